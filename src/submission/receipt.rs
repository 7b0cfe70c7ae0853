//! The receipt: a `.tlog-proof` file that proves one leaf of the registry's log, with the leaf itself in its `extra` line.
//! Reads it; whether the proof holds is for `audit::verify_proof`, which knows the log's key.
//! Basis: C2SP tlog-proof@v1.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What the log keeps of one submission: no row, no pseudonym, no code. The order of the fields is the order of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaf {
    /// `submission-accepted` or `submission-refused`.
    pub event: String,
    /// The leaf's place in the log, from 0.
    pub seq: u64,
    /// RFC 3339 UTC.
    pub time: String,
    pub site: String,
    pub submission: String,
    /// Of the manifest, SHA-256 hex.
    pub manifest: String,
    pub transaction_time: String,
    pub model: String,
    pub policy: String,
    pub model_digest: String,
    pub policy_digest: String,
    pub mapping_digest: String,
    pub accepted: u64,
    pub rejected: u64,
    pub upserts: u64,
    pub tombstones: u64,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Leaf {
    /// The canonical bytes: the log's entry.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers can always be written")
    }
}

/// A submission's receipt, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub submission: String,
    pub accepted: u64,
    pub rejected: u64,
    /// The leaf's place in the log, from 0.
    pub index: u64,
    pub leaf: Leaf,
    /// The log's entry: the leaf's bytes, as they were hashed.
    pub entry: Vec<u8>,
    /// The whole `.tlog-proof` text: what is kept and shown to an auditor.
    pub proof: String,
}

/// Why a text is no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("receipt: {0}")]
pub struct ReceiptFault(&'static str);

impl Receipt {
    /// The text of a receipt: the log's proof with the leaf's bytes in its `extra` line.
    /// `None` when `proof` is no tlog-proof without `extra`.
    pub fn text(proof: &str, entry: &[u8]) -> Option<String> {
        let (version, rest) = proof.split_once('\n')?;
        (version == VERSION && rest.starts_with("index ")).then(|| format!("{version}\nextra {}\n{rest}", STANDARD.encode(entry)))
    }

    /// Takes a receipt apart. Proves nothing: verify the proof over `entry` before believing it.
    /// # Errors: the line that is not as it must be.
    pub fn read(text: &str) -> Result<Self, ReceiptFault> {
        let mut lines = text.lines();
        if lines.next() != Some(VERSION) {
            return Err(ReceiptFault("the first line is not c2sp.org/tlog-proof@v1"));
        }
        let entry = lines
            .next()
            .and_then(|line| line.strip_prefix("extra "))
            .and_then(|extra| STANDARD.decode(extra).ok())
            .ok_or(ReceiptFault("the second line is not the log's entry"))?;
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(|index| index.parse().ok())
            .ok_or(ReceiptFault("the third line is not an index"))?;
        let leaf: Leaf = serde_json::from_slice(&entry).map_err(|_| ReceiptFault("the log's entry is no submission's leaf"))?;
        if leaf.seq != index || leaf.bytes() != entry {
            return Err(ReceiptFault("the log's entry is not the canonical leaf of this index"));
        }
        Ok(Self {
            submission: leaf.submission.clone(),
            accepted: leaf.accepted,
            rejected: leaf.rejected,
            index,
            leaf,
            entry,
            proof: text.to_owned(),
        })
    }
}

const VERSION: &str = "c2sp.org/tlog-proof@v1";

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Leaf {
        Leaf {
            event: "submission-accepted".into(),
            seq: 4,
            time: "2026-01-01T00:00:00Z".into(),
            site: "lake".into(),
            submission: "lake-00000001-abababababababab".into(),
            manifest: "0".repeat(64),
            transaction_time: "2026-01-01T00:00:00Z".into(),
            model: "m".into(),
            policy: "p".into(),
            model_digest: "1".repeat(64),
            policy_digest: "2".repeat(64),
            mapping_digest: "3".repeat(64),
            accepted: 10,
            rejected: 2,
            upserts: 11,
            tombstones: 1,
            reason: None,
        }
    }

    #[test]
    fn a_receipt_carries_the_leaf_it_proves() {
        let proof = "c2sp.org/tlog-proof@v1\nindex 4\naGFzaA==\n\nlog\n5\nroot\n";
        let text = Receipt::text(proof, &leaf().bytes()).expect("a proof without extra");
        let receipt = Receipt::read(&text).expect("a receipt");
        assert_eq!((receipt.accepted, receipt.rejected, receipt.index), (10, 2, 4));
        assert_eq!(receipt.entry, leaf().bytes());
        assert_eq!(Receipt::text(&text, b"again"), None);
    }

    #[test]
    fn a_leaf_of_another_index_is_no_receipt() {
        let proof = "c2sp.org/tlog-proof@v1\nindex 5\n\nlog\n";
        let text = Receipt::text(proof, &leaf().bytes()).expect("a proof without extra");
        assert!(Receipt::read(&text).is_err());
        assert!(Receipt::read("").is_err());
    }

    #[test]
    fn a_leaf_stays_below_4_kib_with_every_field_at_its_longest() {
        let mut longest = leaf();
        longest.reason = Some("x".repeat(500));
        longest.model = "m".repeat(64);
        longest.policy = "p".repeat(64);
        assert!(longest.bytes().len() < 4096);
    }
}
