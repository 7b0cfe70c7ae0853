//! Ed25519 signatures (RFC 8032): a site signs its manifests, a registry checks them. Public keys travel as base64.

use std::fmt;
use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::file::{self, FileError};
use super::secret::Secret;

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("signing key `{0}` is no Ed25519 seed: expected 32 bytes, or their base64")]
    NoSeed(String),
}

/// The signature does not belong to this message and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not belong to this message and key")]
pub struct BadSignature;

/// An Ed25519 private key.
pub struct SigningKey {
    seed: Secret,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    #[must_use]
    pub fn generate() -> Self {
        Self::from_seed(Secret::random(32)).expect("32 random bytes are a seed")
    }

    /// The key of a 32-byte seed; `None` for another length.
    #[must_use]
    pub fn from_seed(seed: Secret) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok()?;
        Some(Self { seed, pair })
    }

    /// The key whose seed stands in `path`, raw or as base64, in a file only its owner can read.
    /// # Errors: the file cannot be read or is open to others; it holds no seed.
    pub fn from_seed_file(path: &Path) -> Result<Self, SigningError> {
        let content = file::read_secret(path)?;
        let seed = match content.expose().len() {
            32 => Some(content),
            _ => STANDARD.decode(content.expose().trim_ascii()).ok().map(Secret::new),
        };
        seed.and_then(Self::from_seed)
            .ok_or_else(|| SigningError::NoSeed(path.display().to_string()))
    }

    /// Writes the seed as base64 into a new file only its owner can read.
    /// # Errors: the file exists or cannot be written.
    pub fn to_seed_file(&self, path: &Path) -> Result<(), SigningError> {
        let mut text = STANDARD.encode(self.seed.expose());
        text.push('\n');
        Ok(file::write_secret(path, text.as_bytes())?)
    }

    /// The 32-byte seed, for a signer of another library.
    #[must_use]
    pub fn seed(&self) -> &Secret {
        &self.seed
    }

    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        let public = self.pair.public_key().as_ref();
        public.try_into().expect("an Ed25519 public key has 32 bytes")
    }

    #[must_use]
    pub fn public_base64(&self) -> String {
        STANDARD.encode(self.public())
    }

    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.pair.sign(message);
        signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(public {})", self.public_base64())
    }
}

/// The public key a base64 text holds; `None` when it holds no 32 bytes.
#[must_use]
pub fn public_from_base64(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

/// Checks that `signature` (64 bytes) is `public`'s over `message`.
/// # Errors: `BadSignature` for every fault, also for bytes that are no key.
pub fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(&ED25519, public)
        .verify(message, signature)
        .map_err(|_| BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_rfc_8032_test_2_does() {
        let seed = crate::platform::secret::unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
        let key = SigningKey::from_seed(Secret::new(seed)).unwrap();
        let signature = key.sign(&[0x72]);
        assert!(crate::platform::secret::hex(&signature).starts_with("92a009a9f0d4cab8720e820b5f642540"));
        assert_eq!(verify(&key.public(), &[0x72], &signature), Ok(()));
        assert_eq!(verify(&key.public(), &[0x73], &signature), Err(BadSignature));
        assert_eq!(verify(&SigningKey::generate().public(), &[0x72], &signature), Err(BadSignature));
        assert_eq!(verify(b"no key", &[0x72], &signature), Err(BadSignature));
    }

    #[test]
    fn a_seed_file_gives_the_same_key_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.key");
        let key = SigningKey::generate();
        key.to_seed_file(&path).unwrap();
        let again = SigningKey::from_seed_file(&path).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(public_from_base64(&key.public_base64()), Some(key.public()));
    }

    #[test]
    fn a_file_without_a_seed_is_refused_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.key");
        file::write_secret(&path, b"hush, no seed").unwrap();
        let error = SigningKey::from_seed_file(&path).unwrap_err();
        assert!(error.to_string().contains("no Ed25519 seed"), "{error}");
        assert!(!error.to_string().contains("hush"));
    }
}
