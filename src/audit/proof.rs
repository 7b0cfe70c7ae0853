//! The `.tlog-proof` text: one entry's place in a signed tree. Basis: C2SP tlog-proof; RFC 6962 section 2.1.1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog_tiles::{Hash, check_record, record_hash};

use super::error::AuditError;
use super::note::{Head, Vkey, open_checkpoint};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// A path in a tree of 2^48 entries has 48 hashes.
const MAX_PATH: usize = 64;

/// What a proof proves: this entry stands at `index` in the tree with this head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    pub index: u64,
    pub head: Head,
}

/// The proof as text: index, path from the leaf's sibling upwards, checkpoint.
pub(super) fn write(index: u64, path: &[Hash], checkpoint: &str) -> String {
    let mut text = format!("{FIRST_LINE}\nindex {index}\n");
    for hash in path {
        text.push_str(&hash.to_string());
        text.push('\n');
    }
    text.push('\n');
    text.push_str(checkpoint);
    text
}

/// Checks that `proof` proves `entry` to be in the log of this verifier key.
pub fn verify_proof(vkey: &Vkey, entry: &[u8], proof: &str) -> Result<Proven, AuditError> {
    let (head, checkpoint) = proof
        .split_once("\n\n")
        .ok_or(AuditError::Proof("it has no blank line before its checkpoint"))?;
    let mut lines = head.split('\n');
    if lines.next() != Some(FIRST_LINE) {
        return Err(AuditError::Proof("its first line is not `c2sp.org/tlog-proof@v1`"));
    }
    let mut line = lines.next();
    if line.is_some_and(|line| line.starts_with("extra ")) {
        line = lines.next();
    }
    let index = line.and_then(|line| line.strip_prefix("index ")).and_then(decimal);
    let index = index.ok_or(AuditError::Proof("it has no line `index <n>`"))?;
    let mut path = Vec::new();
    for line in lines {
        let hash = STANDARD.decode(line).ok().and_then(|hash| hash.try_into().ok());
        path.push(Hash(hash.ok_or(AuditError::Proof("a line of its path is no hash in base64"))?));
        if path.len() > MAX_PATH {
            return Err(AuditError::Proof("its path is longer than any tree is high"));
        }
    }
    let head = open_checkpoint(vkey, checkpoint.as_bytes())?;
    check_record(&path, head.size, Hash(head.root), index, record_hash(entry))
        .map_err(|_| AuditError::Proof("the entry is not at its index in the tree that the checkpoint signs"))?;
    Ok(Proven { index, head })
}

/// A decimal number without leading zeros or sign.
fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
