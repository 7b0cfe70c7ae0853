//! The export jobs of ours that an EHR may still hold. Kept apart from the runs, since a run can be forgotten while its job
//! is not: some EHRs allow one job at a time, and then an old one is in the way until it is deleted or gone on with.

use jiff::Timestamp;
use rusqlite::{Error, OptionalExtension, Row, Transaction, params};

use super::job::{Jobs, parsed};
use crate::platform::database::{self, DatabaseError};
use crate::platform::http::Url;

const SELECT: &str = "SELECT poll_url, kicked_at, ask, is_separate FROM export_own";
/// No EHR is known to hold a job longer (Cerner: 30 days); older ones need no thought.
const KEPT_DAYS: i64 = 90;

/// One job at the EHR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) poll_url: Url,
    pub(super) kicked_at: Timestamp,
    /// What it asks for, as a digest.
    pub(super) ask: String,
    /// Its state comes in a header of its own (3.0, `separate-export-status`).
    pub(super) is_separate: bool,
}

impl Own {
    pub(super) fn keep(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        let oldest = self.kicked_at - jiff::SignedDuration::from_hours(24 * KEPT_DAYS);
        tx.execute("DELETE FROM export_own WHERE kicked_at < ?1", [oldest.to_string()])?;
        tx.execute(
            "INSERT OR REPLACE INTO export_own (poll_url, kicked_at, ask, is_separate) VALUES (?1, ?2, ?3, ?4)",
            params![self.poll_url.as_str(), self.kicked_at.to_string(), self.ask, self.is_separate],
        )
        .map(drop)
    }
}

impl Jobs<'_> {
    /// Every job the EHR may hold, but for the one at `current`.
    pub(super) fn old_jobs(self, current: Option<&Url>) -> Result<Vec<Own>, DatabaseError> {
        database::read(self.database, |db| {
            let mut select = db.prepare(&format!("{SELECT} WHERE poll_url <> ?1 ORDER BY kicked_at"))?;
            select.query_map([current.map_or("", Url::as_str)], own_of)?.collect()
        })
    }

    /// The latest job that asks for the same.
    pub(super) fn own_job(self, ask: &str) -> Result<Option<Own>, DatabaseError> {
        database::read(self.database, |db| {
            let select = format!("{SELECT} WHERE ask = ?1 ORDER BY kicked_at DESC LIMIT 1");
            db.query_row(&select, [ask], own_of).optional()
        })
    }

    /// What is known of the job at `poll_url`.
    pub(super) fn job_at(self, poll_url: &Url) -> Result<Option<Own>, DatabaseError> {
        database::read(self.database, |db| {
            let select = format!("{SELECT} WHERE poll_url = ?1");
            db.query_row(&select, [poll_url.as_str()], own_of).optional()
        })
    }

    /// The EHR holds the job at `poll_url` no more.
    pub(super) fn dropped(self, poll_url: &Url) -> Result<(), DatabaseError> {
        self.execute("DELETE FROM export_own WHERE poll_url = ?1", params![poll_url.as_str()])
    }
}

fn own_of(row: &Row<'_>) -> Result<Own, Error> {
    Ok(Own {
        poll_url: parsed(row, 0)?,
        kicked_at: parsed(row, 1)?,
        ask: row.get(2)?,
        is_separate: row.get(3)?,
    })
}
