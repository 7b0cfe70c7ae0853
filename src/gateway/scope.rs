//! What a run asks for beyond its kind, and what the pull proved of it, kept beside the `run` table. A backfill names
//! patients: their ids stand here sealed only. Knows no EHR; `journal` decides, `prepare` and `withdraw` conclude.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::ledger::LedgerError;
use crate::platform::secret::{self, Secret};

const AAD: &[u8] = b"headwater backfill 1";

/// What a run asks for.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// From when on each type is asked for; `None`: all of it. A type that is not named here has the run's `since`.
    pub since_by_type: BTreeMap<String, Option<Timestamp>>,
    /// Only what changed before.
    pub until: Option<Timestamp>,
    /// Only these patients.
    pub patients: Vec<String>,
}

impl Scope {
    /// Whether the run is aside from the nightly ones: it proves nothing of the rest and moves no watermark.
    pub(super) fn is_backfill(&self) -> bool {
        !self.patients.is_empty() || self.until.is_some()
    }
}

/// Shows how many patients, not which.
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("since_by_type", &self.since_by_type)
            .field("until", &self.until)
            .field("patients", &self.patients.len())
            .finish()
    }
}

/// What the pull proved of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proven {
    /// All of it is landed: what is known and was not seen is gone.
    pub whole: bool,
    /// Its next `since`; none when it is not all there.
    pub reached: Option<Timestamp>,
}

/// Closes and opens what names patients.
pub(super) struct Seal<'a>(Option<&'a Secret>);

impl<'a> Seal<'a> {
    pub(super) fn by(key: &'a Secret) -> Self {
        Self(Some(key))
    }

    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self(None)
    }

    fn close(&self, plain: &[u8]) -> Vec<u8> {
        self.0.map_or_else(|| plain.to_vec(), |key| secret::seal(key, AAD, plain))
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let Some(key) = self.0 else { return Ok(sealed.to_vec()) };
        secret::open(key, AAD, sealed).map_err(|_| LedgerError::Scope)
    }
}

/// Notes what a new run asks for.
/// # Errors: the database.
pub(super) fn write(db: &Connection, run: i64, scope: &Scope, seal: &Seal<'_>) -> Result<(), LedgerError> {
    let patients = (!scope.patients.is_empty()).then(|| seal.close(scope.patients.join("\n").as_bytes()));
    db.execute(
        "INSERT INTO run_scope (run, since_by_type, until, patients) VALUES (?1, ?2, ?3, ?4)",
        params![
            run,
            serde_json::to_string(&scope.since_by_type).unwrap_or_default(),
            scope.until.map(|until| until.to_string()),
            patients
        ],
    )?;
    Ok(())
}

/// What a run asks for, and what was proven of it so far.
/// # Errors: the database; a scope that another key sealed.
pub(super) fn read(db: &Connection, run: i64, seal: &Seal<'_>) -> Result<(Scope, BTreeMap<String, Proven>), LedgerError> {
    let found = db
        .query_row(
            "SELECT since_by_type, until, patients, proven FROM run_scope WHERE run = ?1",
            [run],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, Option<String>>(1)?,
                    row.get::<_, Option<Vec<u8>>>(2)?,
                    row.get::<_, Option<String>>(3)?,
                ))
            },
        )
        .optional()?;
    let Some((since_by_type, until, patients, proven)) = found else {
        return Ok(Default::default());
    };
    let patients = patients.map(|sealed| seal.open(&sealed)).transpose()?.unwrap_or_default();
    let patients = String::from_utf8(patients).map_err(|_| LedgerError::Scope)?;
    let scope = Scope {
        since_by_type: serde_json::from_str(&since_by_type).map_err(|_| LedgerError::Scope)?,
        until: until.map(|until| until.parse()).transpose().map_err(|_| LedgerError::Scope)?,
        patients: patients.lines().map(str::to_owned).collect(),
    };
    let proven = proven.map(|proven| serde_json::from_str(&proven)).transpose();
    Ok((scope, proven.map_err(|_| LedgerError::Scope)?.unwrap_or_default()))
}

/// Notes what the pull proved.
/// # Errors: the database.
pub(super) fn prove(db: &Connection, run: i64, proven: &BTreeMap<String, Proven>) -> Result<(), LedgerError> {
    let proven = serde_json::to_string(proven).unwrap_or_default();
    db.execute(
        "INSERT INTO run_scope (run, since_by_type, proven) VALUES (?1, '{}', ?2) ON CONFLICT (run) DO UPDATE SET proven = ?2",
        params![run, proven],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::ledger;
    use super::*;

    #[test]
    fn what_a_run_asks_for_comes_back_and_its_patients_stand_sealed() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(ledger::SCHEMA).unwrap();
        db.execute("INSERT INTO run (kind, phase, started_at) VALUES ('backfill', 'pulling', 'x')", [])
            .unwrap();
        let (key, other) = (Secret::random(32), Secret::random(32));
        let scope = Scope {
            since_by_type: [("Patient".to_owned(), None), ("Condition".to_owned(), Some(Timestamp::UNIX_EPOCH))].into(),
            until: Some(Timestamp::UNIX_EPOCH),
            patients: vec!["canary-1".to_owned(), "canary-2".to_owned()],
        };
        write(&db, 1, &scope, &Seal::by(&key)).unwrap();
        let proven: BTreeMap<_, _> = [(
            "Patient".to_owned(),
            Proven {
                whole: true,
                reached: Some(Timestamp::UNIX_EPOCH),
            },
        )]
        .into();
        prove(&db, 1, &proven).unwrap();
        assert_eq!(read(&db, 1, &Seal::by(&key)).unwrap(), (scope.clone(), proven));
        let held: Vec<u8> = db.query_row("SELECT patients FROM run_scope", [], |row| row.get(0)).unwrap();
        assert!(!held.windows(6).any(|bytes| bytes == b"canary"));
        assert!(!format!("{scope:?}").contains("canary"));
        assert!(matches!(read(&db, 1, &Seal::by(&other)), Err(LedgerError::Scope)));
    }
}
