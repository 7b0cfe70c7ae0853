//! A package: manifest, signature and chunks in one folder of the outbox. Once signed it is never written again, so that
//! a crash between signing and receipt sends the very same submission.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fault::SubmitError;
use crate::platform::file;
use crate::platform::secret::{hex, sha256};
use crate::platform::signing::SigningKey;
use crate::submission::{MANIFEST_MAX_BYTES, Manifest, Output};

const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "manifest.sig";

/// A signed submission in its folder, ready to be sent, as often as it takes.
#[derive(Clone, Debug)]
pub struct Package {
    dir: PathBuf,
    manifest: Manifest,
    bytes: Vec<u8>,
    signature: String,
}

impl Package {
    /// Seals and signs the manifest and writes both beside the chunks. Signature first: a manifest that is there is signed.
    ///
    /// # Errors: the manifest is none; the folder holds another one already; it cannot be written.
    pub fn seal(dir: &Path, manifest: Manifest, key: &SigningKey) -> Result<Self, SubmitError> {
        let manifest = manifest.seal()?;
        let bytes = manifest.bytes();
        if let Some(before) = Self::open(dir)? {
            return if before.bytes == bytes {
                Ok(before)
            } else {
                Err(SubmitError::OtherPackage(dir.display().to_string()))
            };
        }
        let signature = STANDARD.encode(key.sign(&bytes));
        file::write_durable(&dir.join(SIGNATURE), signature.as_bytes())?;
        file::write_durable(&dir.join(MANIFEST), &bytes)?;
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            bytes,
            signature,
        })
    }

    /// The package in this folder; `None` when none was sealed there.
    pub fn open(dir: &Path) -> Result<Option<Self>, SubmitError> {
        let bytes = match file::read(&dir.join(MANIFEST), MANIFEST_MAX_BYTES as u64) {
            Err(error) if error.is_not_found() => return Ok(None),
            read => read?,
        };
        let signature = file::read(&dir.join(SIGNATURE), 1024)?;
        Ok(Some(Self {
            dir: dir.to_owned(),
            manifest: Manifest::read(&bytes)?,
            bytes,
            signature: String::from_utf8(signature).map_err(|_| SubmitError::Spoilt(SIGNATURE.to_owned()))?,
        }))
    }

    /// What it says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest's signed bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 (hex) of the manifest: the next one's `previous`.
    pub fn sha256(&self) -> String {
        hex(&sha256(&self.bytes))
    }

    /// The site's signature over the manifest's bytes, base64.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// A chunk's bytes, checked against its name.
    pub fn chunk(&self, output: &Output) -> Result<Vec<u8>, SubmitError> {
        let bytes = file::read(&self.dir.join(&output.sha256), output.bytes)?;
        if hex(&sha256(&bytes)) != output.sha256 {
            return Err(SubmitError::Spoilt(output.sha256.clone()));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests spoil files")]
mod tests {
    use super::*;
    use crate::submission::{Ledger, verify};

    fn manifest(model: &str) -> Manifest {
        Manifest {
            format: String::new(),
            site: "lakeside".into(),
            submission: String::new(),
            sequence: 1,
            previous: None,
            transaction_time: "2026-03-10T02:00:00Z".into(),
            model: model.into(),
            model_digest: "1".repeat(64),
            mapping_digest: "2".repeat(64),
            policy: "safe-harbor".into(),
            policy_digest: "3".repeat(64),
            key_fingerprint: "fingerprint-1".into(),
            security: Vec::new(),
            ledger: Ledger::default(),
            output: Vec::new(),
        }
    }

    #[test]
    fn a_sealed_package_is_found_again_after_a_crash_and_sealing_it_again_changes_nothing() {
        let (dir, key) = (tempfile::tempdir().unwrap(), SigningKey::generate());
        assert!(Package::open(dir.path()).unwrap().is_none());
        let sealed = Package::seal(dir.path(), manifest("m"), &key).unwrap();
        for again in [
            Package::open(dir.path()).unwrap().unwrap(),
            Package::seal(dir.path(), manifest("m"), &key).unwrap(),
        ] {
            assert_eq!(
                (again.bytes(), again.signature(), again.sha256()),
                (sealed.bytes(), sealed.signature(), sealed.sha256())
            );
        }
        assert!(verify(&key.public_base64(), sealed.bytes(), sealed.signature()));
    }

    #[test]
    fn a_crash_between_signature_and_manifest_leaves_nothing_sealed() {
        let (dir, key) = (tempfile::tempdir().unwrap(), SigningKey::generate());
        Package::seal(dir.path(), manifest("m"), &key).unwrap();
        std::fs::remove_file(dir.path().join(MANIFEST)).unwrap();
        assert!(Package::open(dir.path()).unwrap().is_none());
        Package::seal(dir.path(), manifest("other"), &key).unwrap();
    }

    #[test]
    fn another_manifest_in_the_same_folder_is_refused_and_the_first_stays() {
        let (dir, key) = (tempfile::tempdir().unwrap(), SigningKey::generate());
        let first = Package::seal(dir.path(), manifest("m"), &key).unwrap();
        assert!(matches!(
            Package::seal(dir.path(), manifest("other"), &key),
            Err(SubmitError::OtherPackage(_))
        ));
        assert_eq!(Package::open(dir.path()).unwrap().unwrap().bytes(), first.bytes());
    }

    #[test]
    fn a_chunk_is_given_only_with_the_bytes_of_its_name() {
        let (dir, key) = (tempfile::tempdir().unwrap(), SigningKey::generate());
        let package = Package::seal(dir.path(), manifest("m"), &key).unwrap();
        let output = Output::new("lab", &hex(&sha256(b"chunk")), 5, 1, 0);
        let path = dir.path().join(&output.sha256);
        assert!(matches!(package.chunk(&output), Err(SubmitError::File(_))), "absent");
        for (bytes, good) in [(b"chunk".as_slice(), true), (b"chunK", false), (b"chun", false), (b"chunks", false)] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(package.chunk(&output).is_ok(), good);
        }
    }
}
