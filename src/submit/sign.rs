//! A package: manifest, signature and chunks in one folder of the outbox. Once signed it is never written again, so that
//! a crash between signing and receipt sends the very same submission.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fault::SubmitError;
use crate::platform::file::{self, FileError};
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
            Err(error) if is_absent(&error) => return Ok(None),
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

fn is_absent(error: &FileError) -> bool {
    error.is_not_found()
}
