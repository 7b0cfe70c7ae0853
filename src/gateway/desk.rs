//! Where a person withdraws a patient, takes it back and sees what came of it: beside a run that is at work, if need be, for a
//! refusal must not wait. Knows the patient's id for as long as it takes to hash it; nothing that is kept names anybody.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;

use super::about;
use super::ledger::{self, LedgerError};
use super::site::{self, Places, SiteError};
use super::withdrawals::{self, Withdrawal};
use crate::platform::database;
use crate::platform::file;
use crate::platform::secret::{Secret, hkdf};

const CACHE_BYTES: u32 = 2 << 20;
/// How long a run that writes is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a withdrawal will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The number of the withdrawal.
    pub withdrawal: i64,
    /// Whether it was asked for just now; else the patient was withdrawn already.
    pub is_new: bool,
    /// Resources of the patient that the ledger knows.
    pub resources: u64,
    /// Rows of them that the registry holds.
    pub rows: u64,
    /// A submission that was packaged before is still waiting, and is sent first.
    pub after_a_waiting_submission: bool,
}

/// The desk of one site.
#[derive(Debug)]
pub struct Desk {
    db: Connection,
    marks: Secret,
    people: Secret,
}

impl Desk {
    /// # Errors: the landing key cannot be used; the database.
    pub fn open(places: &Places) -> Result<Self, SiteError> {
        let landing = file::read_secret(&places.landing_key()).map_err(|error| SiteError::Key(Box::new(error)))?;
        let (path, schemas) = (places.database(), [ledger::SCHEMA, about::SCHEMA, withdrawals::SCHEMA]);
        // A ledger that is there is not checked whole first, and a run at work is waited for.
        let db = if path.exists() {
            database::open_for_bulk(&path, CACHE_BYTES)?
        } else {
            database::open(&path, &[])?
        };
        let waiting = db.busy_timeout(PATIENCE).and_then(|()| db.execute_batch(&schemas.concat()));
        waiting.map_err(|error| database::explain(&path, error))?;
        Ok(Self {
            db,
            marks: hkdf(&landing, site::MARKS),
            people: hkdf(&landing, site::PEOPLE),
        })
    }

    /// Of these patients (`Patient/id`), the places of those who are strangers here: no resource is about them, and no withdrawal
    /// holds for them. Such an id may be misspelt, or of somebody whose record was never pulled.
    /// # Errors: the database.
    pub fn strangers(&self, patients: &[String]) -> Result<Vec<usize>, LedgerError> {
        let marks: Vec<_> = patients.iter().map(|patient| site::mark(&self.marks, patient)).collect();
        let mut asked: HashSet<_> = marks.iter().copied().collect();
        for blocked in withdrawals::blocked(&self.db)? {
            asked.remove(&blocked);
        }
        let strangers = about::strangers(&self.db, asked)?;
        Ok((0..marks.len()).filter(|at| strangers.contains(&marks[*at])).collect())
    }

    /// Blocks a patient (`Patient/id`) from now on; the rows are withdrawn by the next run.
    /// # Errors: the database.
    pub fn withdraw(&self, patient: &str, reason: Option<&str>, now: Timestamp) -> Result<Asked, LedgerError> {
        let mark = site::mark(&self.marks, patient);
        let (withdrawal, is_new) = withdrawals::add(&self.db, &mark, reason, &self.people, now)?;
        let (resources, rows) = about::held(&self.db, &mark)?;
        let waiting = "SELECT EXISTS (SELECT 1 FROM run WHERE phase = 'packaged')";
        Ok(Asked {
            withdrawal,
            is_new,
            resources,
            rows,
            after_a_waiting_submission: self.db.query_row(waiting, [], |row| row.get(0))?,
        })
    }

    /// Takes a withdrawal back: whether there was one. What else may be said of the patient holds again from the next run on.
    /// # Errors: the database.
    pub fn undo(&self, withdrawal: i64, now: Timestamp) -> Result<bool, LedgerError> {
        withdrawals::lift(&self.db, withdrawal, now)
    }

    /// All withdrawals, the oldest first.
    /// # Errors: the database.
    pub fn list(&self) -> Result<Vec<Withdrawal>, LedgerError> {
        withdrawals::list(&self.db)
    }

    /// The words of the person who asked for it.
    /// # Errors: the database; another site's words.
    pub fn reason(&self, withdrawal: i64) -> Result<Option<String>, LedgerError> {
        withdrawals::reason(&self.db, withdrawal, &self.people)
    }

    /// The registry's receipt of the submission that ended a withdrawal.
    /// # Errors: the database.
    pub fn receipt(&self, submission: &str) -> Result<Option<String>, LedgerError> {
        let found = self
            .db
            .query_row("SELECT receipt FROM submission WHERE id = ?1", [submission], |row| row.get(0));
        match found {
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            found => Ok(found?),
        }
    }
}
