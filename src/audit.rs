//! The registry's transparency log: what happened is appended in the caller's transaction, proven by receipts, published
//! as files that anyone can check. Also every check of such a log, by whoever holds its verifier key.
//!
//! Knows nothing of what an entry says: entries are bytes, at most 65,535 of them. They carry commitments, not data,
//! because a log is never pruned.
//! Basis: C2SP tlog-tiles, tlog-checkpoint, signed-note and tlog-proof; the tree is RFC 6962 section 2.1 over SHA-256.

mod error;
mod log;
mod note;
mod proof;
mod publish;
mod tiles;
mod verify;

pub use error::{AuditError, FetchError};
pub use log::{Appended, Entry, Log, SCHEMA, SignedHead, entries, last_checkpoint, size};
pub use note::{Head, Vkey, open_checkpoint};
pub use proof::{Proven, verify_proof};
pub use publish::Published;
pub use verify::{Verified, consistent_since, verify, verify_dir, verify_since};

#[cfg(test)]
mod tests;
