//! What became of a run's submission, as the site's ledger has it: read beside a gateway at work, without its lock.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::super::report::Report;

/// How a run ended, for whoever reads its evidence.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sent {
    /// `packaged`: it waits for delivery; `done`: the registry took it; `rehearsed`.
    pub phase: String,
    pub submission: Option<String>,
    pub sequence: u64,
    pub accepted: u64,
    pub rejected: u64,
    /// Its place in the registry's log.
    pub leaf: Option<u64>,
    /// SHA-256 of the record, as it was written.
    pub evidence: String,
}

/// What the ledger says of a run; `None` where it knows none.
pub fn of(database: &Path, run: i64) -> Option<Sent> {
    let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let (phase, report): (String, Option<String>) = db
        .query_row("SELECT phase, report FROM run WHERE id = ?1", [run], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .ok()??;
    let report: Report = serde_json::from_str(&report?).ok()?;
    Some(Sent {
        phase,
        submission: report.submission,
        sequence: report.sequence,
        accepted: report.counts.accepted,
        rejected: report.counts.rejected,
        leaf: report.leaf,
        evidence: report.evidence,
    })
}
