//! Hides what the site's database must remember of patients: ids sealed where they are needed again, keyed hashes where they are only
//! compared. Knows no table. The site's database so holds no id in clear, as the ledger's.

use super::error::PullError;
use crate::platform::secret::{self, Secret, hkdf, hmac_sha256};

/// A keyed hash of an id, cut to 16 bytes.
pub(super) type Key = [u8; 16];

const AAD: &[u8] = b"headwater crawl";

/// The two keys of one site's journal.
pub(super) struct Veil {
    hash: Secret,
    seal: Secret,
}

impl Veil {
    pub(super) fn new(key: &Secret) -> Self {
        Self {
            hash: hkdf(key, "hash"),
            seal: hkdf(key, "seal"),
        }
    }

    /// The same for the same parts, in the same order, at this site; nothing to anybody else.
    pub(super) fn hash(&self, parts: &[&[u8]]) -> Key {
        let mut message = Vec::with_capacity(96);
        for part in parts {
            // With its length, so that no two lists of parts give the same bytes.
            message.extend_from_slice(&(part.len() as u64).to_le_bytes());
            message.extend_from_slice(part);
        }
        let mut key = Key::default();
        key.copy_from_slice(&hmac_sha256(&self.hash, &message)[..16]);
        key
    }

    /// `Type/id` hashed.
    pub(super) fn resource(&self, name: &str, id: &str) -> Key {
        self.hash(&[b"resource", name.as_bytes(), id.as_bytes()])
    }

    pub(super) fn seal(&self, text: &str) -> Vec<u8> {
        secret::seal(&self.seal, AAD, text.as_bytes())
    }

    /// # Errors: another key, or changed bytes.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<String, PullError> {
        let plain = secret::open(&self.seal, AAD, sealed).map_err(|_| PullError::Sealed)?;
        String::from_utf8(plain).map_err(|_| PullError::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_only() {
        let (one, other) = (Veil::new(&Secret::random(32)), Veil::new(&Secret::random(32)));
        let sealed = one.seal("p-1");
        assert!(!sealed.windows(3).any(|window| window == b"p-1"));
        assert_eq!(one.open(&sealed).unwrap(), "p-1");
        assert!(matches!(other.open(&sealed), Err(PullError::Sealed)));
    }

    #[test]
    fn hashes_differ_by_part_by_order_and_by_key() {
        let (one, other) = (Veil::new(&Secret::random(32)), Veil::new(&Secret::random(32)));
        assert_eq!(one.hash(&[b"a", b"bc"]), one.hash(&[b"a", b"bc"]));
        assert_ne!(one.hash(&[b"a", b"bc"]), one.hash(&[b"ab", b"c"]));
        assert_ne!(one.hash(&[b"a", b"bc"]), one.hash(&[b"bc", b"a"]));
        assert_ne!(one.hash(&[b"a", b"bc"]), other.hash(&[b"a", b"bc"]));
    }
}
