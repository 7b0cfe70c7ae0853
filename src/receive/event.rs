//! What the registry writes into its log besides submissions: who was let in, who was shut out. Never a key, only its digest.

use jiff::Timestamp;
use rusqlite::Transaction;
use serde::Serialize;

use super::fault::Fault;
use super::store::stamp;
use crate::audit;

/// One event. The order of the fields is the order of the bytes.
#[derive(Serialize)]
struct Event<'e> {
    event: &'e str,
    seq: u64,
    time: String,
    /// The site or operator it is about.
    subject: &'e str,
    /// SHA-256 (hex) of what came with it, e.g. of an enrolled key.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    digests: &'e [(&'e str, String)],
}

/// Appends one event to the log, in the transaction that makes it true.
/// # Errors: the store's or the log's.
pub(super) fn append(
    tx: &Transaction<'_>,
    log: &audit::Log,
    now: Timestamp,
    event: &str,
    subject: &str,
    digests: &[(&str, String)],
) -> Result<(), Fault> {
    let event = Event {
        event,
        seq: audit::size(tx)?,
        time: stamp(now),
        subject,
        digests,
    };
    let entry = serde_json::to_vec(&event).expect("strings and numbers can always be written");
    log.append(tx, &entry)?;
    Ok(())
}
