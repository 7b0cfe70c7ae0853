//! Whose data earlier runs had whole. A `since` leaves nothing out only of a patient whom the nightly run before this one had
//! whole, too: who is new, or was away, is asked for from the beginning. What is doubtful counts as not known.
//! Patients stand here as keyed hashes.

use std::sync::Mutex;

use rusqlite::{Connection, Error, Transaction, params};

use super::veil::Key;
use crate::platform::database::{self, DatabaseError};

/// SQL: the nightly run before run `?1`.
macro_rules! before {
    () => {
        "(SELECT max(run) FROM pull_plan WHERE run < ?1 AND NOT aside)"
    };
}

/// SQL: whether the patient `key` is known to run `?1`.
pub(super) const IS_KNOWN: &str = concat!(
    "EXISTS (SELECT 1 FROM known_patient k WHERE k.patient = key AND k.sure AND k.run = ",
    before!(),
    ")"
);

/// Enters a patient of this run. A backfill sees a part of anybody, and makes nobody known; where some types come by export,
/// nobody is sure before that is whole, too.
pub(super) fn enter(tx: &Transaction<'_>, run: i64, patient: &Key, sure: bool) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO known_patient (patient, run, sure)
         SELECT ?2, run, ?3 AND bulk IS NULL FROM pull_plan WHERE run = ?1 AND NOT aside
         ON CONFLICT DO UPDATE SET sure = max(sure, excluded.sure)",
    )?
    .execute(params![run, &patient[..], sure])
    .map(drop)
}

/// Whether one of `patients` is not known to this run.
pub(super) fn is_any_new(tx: &Transaction<'_>, run: i64, patients: &[Key]) -> Result<bool, Error> {
    let mut select = tx.prepare(&format!("SELECT {IS_KNOWN} FROM (SELECT ?2 AS key)"))?;
    for patient in patients {
        if !select.query_row(params![run, &patient[..]], |row| row.get::<_, bool>(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The run had everything: what it knows is sure. What is older than the run before it is of no more use.
pub(super) fn sure(database: &Mutex<Connection>, run: i64) -> Result<(), DatabaseError> {
    database::transaction(database, |tx| {
        tx.execute("UPDATE known_patient SET sure = 1 WHERE run = ?1 AND NOT sure", [run])?;
        tx.execute(concat!("DELETE FROM known_patient WHERE run < ", before!()), [run])
            .map(drop)
    })
}

/// Forgets whom a run had.
pub(super) fn forget(tx: &Transaction<'_>, run: i64) -> Result<(), Error> {
    tx.execute("DELETE FROM known_patient WHERE run = ?1", [run]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::tables::SCHEMA;
    use super::*;

    const PATIENT: Key = [7; 16];

    /// Runs as (number, aside, sure of the patient or not there); whether the patient is known to the next one.
    fn known(runs: &[(i64, bool, Option<bool>)]) -> bool {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        let tx = db.transaction().unwrap();
        for (run, aside, patient) in runs {
            tx.execute("INSERT INTO pull_plan (run, aside) VALUES (?1, ?2)", params![run, aside])
                .unwrap();
            if let Some(sure) = patient {
                enter(&tx, *run, &PATIENT, *sure).unwrap();
            }
        }
        !is_any_new(&tx, 99, &[PATIENT]).unwrap()
    }

    #[test]
    fn known_is_whom_the_nightly_run_before_had_whole() {
        assert!(!known(&[]));
        assert!(known(&[(1, false, Some(true))]));
        assert!(!known(&[(1, false, Some(false))]), "the run did not have everything");
        assert!(!known(&[(1, false, Some(true)), (2, false, None)]), "away in the run before");
        assert!(known(&[(1, false, Some(true)), (2, true, None)]), "a backfill is no night");
        assert!(!known(&[(1, true, Some(true))]), "a backfill makes nobody known");
        assert!(known(&[(1, false, None), (2, false, Some(true))]));
    }

    #[test]
    fn where_some_types_come_by_export_nobody_is_sure_by_a_search_alone() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        let tx = db.transaction().unwrap();
        tx.execute(
            "INSERT INTO pull_plan (run, bulk, search, aside) VALUES (1, 'Encounter', 'Binary', 0)",
            [],
        )
        .unwrap();
        enter(&tx, 1, &PATIENT, true).unwrap();
        assert!(is_any_new(&tx, 2, &[PATIENT]).unwrap());
    }

    #[test]
    fn a_run_that_is_sure_of_everything_keeps_the_run_before_it_for_a_rehearsal_that_is_forgotten() {
        let database = Mutex::new(Connection::open_in_memory().unwrap());
        database::lock(&database).execute_batch(SCHEMA).unwrap();
        for run in 1..4 {
            database::transaction(&database, |tx| {
                tx.execute("INSERT INTO pull_plan (run, aside) VALUES (?1, 0)", [run])?;
                enter(tx, run, &PATIENT, false)
            })
            .unwrap();
            sure(&database, run).unwrap();
        }
        let left: Vec<(i64, bool)> = database::read(&database, |db| {
            let mut select = db.prepare("SELECT run, sure FROM known_patient ORDER BY run")?;
            select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
        .unwrap();
        assert_eq!(left, [(2, true), (3, true)]);
    }
}
