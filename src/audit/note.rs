//! Signed notes and checkpoints: who signed which tree. Knows neither tiles nor the store.
//! Basis: C2SP signed-note and tlog-checkpoint. Stricter than the texts in one way: what we read must be written exactly
//! as we would write it, so that no byte of a note can be changed unseen.

use ed25519_dalek::{Signer as _, SigningKey};
use signed_note::{Note, NoteError, Signer, StandardVerifier, Verifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash};

use super::error::AuditError;

/// Trees beyond this size are taken for a fault: 2^48 entries, at 10,000 a second, take nine hundred years.
const MAX_SIZE: u64 = 1 << 48;

/// A tree head: the log's name, how many entries it has, and the root over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub origin: String,
    pub size: u64,
    pub root: [u8; 32],
}

/// A log's public verifier key, `<name>+<8 hex digits>+<base64>`; its name is the log's origin.
#[derive(Clone)]
pub struct Vkey(StandardVerifier);

impl Vkey {
    /// Reads the key; one newline at the end is allowed, nothing else beside the key.
    pub fn parse(text: &str) -> Result<Self, AuditError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        // The key id must stand in lower case, or a changed letter would go unseen.
        let id = text.split('+').nth(1).unwrap_or_default();
        if !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(AuditError::Vkey("its key id is not 8 lower case hexadecimal digits"));
        }
        let verifier = StandardVerifier::new(text).map_err(|_| {
            AuditError::Vkey("it is not `<name>+<key id>+<base64 of an Ed25519 key>`, or its key id belongs to another key")
        })?;
        Ok(Self(verifier))
    }

    /// The name that signs, which is the log's origin.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The text of a note that this key signed.
    pub(super) fn open(&self, note: &[u8]) -> Result<Vec<u8>, AuditError> {
        let parsed = Note::from_bytes(note).map_err(|_| AuditError::Checkpoint("it is no signed note"))?;
        if parsed.to_bytes() != note {
            return Err(AuditError::Checkpoint("its signature lines are not in canonical form"));
        }
        let known = VerifierList::new(vec![Box::new(self.0.clone())]);
        parsed.verify(&known).map_err(|error| {
            AuditError::Checkpoint(match error {
                NoteError::UnverifiedNote => "it is not signed by the verifier key given",
                _ => "its signature by the verifier key given is false",
            })
        })?;
        Ok(parsed.text().to_vec())
    }
}

/// The tree head of a checkpoint that `vkey` signed and that carries `vkey`'s name as its origin.
pub fn open_checkpoint(vkey: &Vkey, checkpoint: &[u8]) -> Result<Head, AuditError> {
    let text = vkey.open(checkpoint)?;
    let parsed = Checkpoint::from_bytes(&text).map_err(|_| AuditError::Checkpoint("its text is not origin, size and root"))?;
    if parsed.origin() != vkey.name() {
        return Err(AuditError::Checkpoint("its origin is not the name of the key that signed it"));
    }
    if parsed.size() > MAX_SIZE {
        return Err(AuditError::Checkpoint("its size is beyond anything a log of ours can hold"));
    }
    Ok(Head {
        origin: parsed.origin().to_owned(),
        size: parsed.size(),
        root: parsed.hash().0,
    })
}

/// The log's private key under its name.
pub(super) struct LogKey {
    name: String,
    key: SigningKey,
}

impl LogKey {
    pub(super) fn new(seed: &[u8; 32], name: &str) -> Result<Self, AuditError> {
        if !signed_note::is_key_name_valid(name) || name.chars().any(char::is_control) {
            return Err(AuditError::Origin(name.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            key: SigningKey::from_bytes(seed),
        })
    }

    pub(super) fn vkey(&self) -> String {
        signed_note::new_ed25519_verifier_key(&self.name, &self.key.verifying_key())
    }

    /// The checkpoint of this head, signed. The same head gives the same bytes.
    pub(super) fn sign(&self, size: u64, root: [u8; 32]) -> Result<String, AuditError> {
        let checkpoint = Checkpoint::new(&self.name, size, Hash(root), "").map_err(|_| AuditError::Checkpoint("its origin is empty"))?;
        let note = Note::new(&checkpoint.to_bytes(), &[]).and_then(|mut note| {
            note.add_sigs(&[self])?;
            Ok(note)
        });
        let note = note.map_err(|_| AuditError::Checkpoint("it could not be signed"))?;
        String::from_utf8(note.to_bytes()).map_err(|_| AuditError::Checkpoint("it is not UTF-8"))
    }
}

impl Signer for LogKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        // Signature type 0x01, Ed25519.
        let mut key = vec![1];
        key.extend_from_slice(self.key.verifying_key().as_bytes());
        signed_note::key_id(&self.name, &key)
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, ed25519_dalek::SignatureError> {
        Ok(self.key.try_sign(text)?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn opens_the_test_vector_of_the_signed_note_text() {
        let vkey = Vkey::parse(VKEY).unwrap();
        assert_eq!(vkey.open(NOTE.as_bytes()).unwrap(), b"This is an example message.\n");
    }

    #[test]
    fn refuses_the_test_vector_with_any_bit_of_note_or_key_changed() {
        for (at, bit) in (0..NOTE.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut note = NOTE.as_bytes().to_vec();
            note[at] ^= 1 << bit;
            assert!(Vkey::parse(VKEY).unwrap().open(&note).is_err(), "byte {at} bit {bit}");
        }
        for (at, bit) in (0..VKEY.len()).flat_map(|at| (0..7).map(move |bit| (at, bit))) {
            let mut key = VKEY.as_bytes().to_vec();
            key[at] ^= 1 << bit;
            let opened = Vkey::parse(std::str::from_utf8(&key).unwrap()).and_then(|vkey| vkey.open(NOTE.as_bytes()));
            assert!(opened.is_err(), "byte {at} bit {bit}");
        }
    }

    #[test]
    fn a_signed_checkpoint_opens_with_the_keys_own_vkey_and_with_no_other() {
        let key = LogKey::new(&[7; 32], "log.example/a").unwrap();
        let checkpoint = key.sign(5, [9; 32]).unwrap();
        let head = open_checkpoint(&Vkey::parse(&key.vkey()).unwrap(), checkpoint.as_bytes()).unwrap();
        assert_eq!((head.origin.as_str(), head.size, head.root), ("log.example/a", 5, [9; 32]));
        let other = LogKey::new(&[8; 32], "log.example/a").unwrap();
        let refused = open_checkpoint(&Vkey::parse(&other.vkey()).unwrap(), checkpoint.as_bytes()).unwrap_err();
        assert_eq!(refused.to_string(), "checkpoint: it is not signed by the verifier key given");
    }

    #[test]
    fn refuses_an_origin_that_is_no_key_name() {
        for name in ["", "a b", "a+b", "a\nb", "a\u{7}b"] {
            assert!(LogKey::new(&[7; 32], name).is_err(), "{name:?}");
        }
    }
}
