//! Where a site stands at its registry: what a site that lost its ledger asks before it sends again. Its last submission, so
//! that the chain goes on; the fingerprint of the key it was made with, so that no other key doubles every patient; and, page
//! by page, the keys and digests of its own rows, so that what is there already is not sent again and what is gone is withdrawn.

use serde::{Deserialize, Serialize};

/// Most rows of one page of an inventory.
pub const INVENTORY_PAGE: usize = 10_000;

/// The end of a site's chain of submissions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Of the last submission applied; 0 before the first.
    pub sequence: u64,
    /// Of its manifest, SHA-256 hex.
    pub manifest_sha256: Option<String>,
    /// Of the keys its rows were made with.
    pub key_fingerprint: Option<String>,
}

impl Place {
    /// The fingerprint of the key that the rows there were made with, where `is_ours` does not know it: a run with ours would give
    /// every patient a second pseudonym.
    pub fn other_key(&self, is_ours: impl Fn(&str) -> bool) -> Option<&str> {
        self.key_fingerprint
            .as_deref()
            .filter(|fingerprint| self.sequence > 0 && !is_ours(fingerprint))
    }
}

/// The row behind which a page of an inventory begins; both empty: the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    pub table: String,
    pub key: String,
}

/// One row the registry holds of a site, without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub table: String,
    pub key: String,
    /// SHA-256 of the body, hex.
    pub sha256: String,
}

/// A page of an inventory, in the order of table and key. An empty one is behind the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub rows: Vec<Held>,
}
