//! What the site's database knows of a crawl, so that a crash between any two lines repeats at most the units under way and
//! lands nothing twice. A unit's segments, its patients' states and all it saw are entered in one transaction (`enter`).
//! Ids are hashed where they are compared and sealed where they are needed again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use rusqlite::{Connection, Error, OptionalExtension, Transaction, params};

use super::super::error::PullError;
use super::super::known::{self, IS_KNOWN};
use super::super::veil::{Key, Veil};
use super::rows::{Entry, Member, Patient, Referred, State, TypeRow, Way};
use crate::platform::database::{self, DatabaseError};
use crate::platform::random;

/// The rows of one run, written by one call.
#[derive(Clone)]
pub(super) struct Journal {
    pub(super) database: Arc<Mutex<Connection>>,
    pub(super) run: i64,
    pub(super) veil: Arc<Veil>,
    owner: [u8; 16],
}

impl Journal {
    /// Opens the run's journal and takes it over from whoever wrote to it before: a unit of theirs still under way is refused.
    pub(super) fn open(database: &Arc<Mutex<Connection>>, run: i64, veil: Veil) -> Result<Self, DatabaseError> {
        let owner = random::bytes::<16>();
        database::transaction(database, |tx| {
            tx.execute(
                "INSERT INTO crawl_run (run, state, owner) VALUES (?1, 'cohort', ?2) ON CONFLICT (run) DO UPDATE SET owner = ?2",
                params![run, &owner[..]],
            )
        })?;
        Ok(Self {
            database: database.clone(),
            run,
            veil: Arc::new(veil),
            owner,
        })
    }

    /// When the run began; `now` when this is the first to ask.
    pub(super) fn began(&self, now: Timestamp) -> Result<Timestamp, DatabaseError> {
        self.write(|tx| {
            tx.execute(
                "UPDATE crawl_run SET began_at = ?2 WHERE run = ?1 AND began_at IS NULL",
                params![self.run, now.as_microsecond()],
            )?;
            tx.query_row("SELECT began_at FROM crawl_run WHERE run = ?1", [self.run], |row| {
                moment(row.get(0)?)
            })
        })
    }

    /// Enters the types of a run that has none yet.
    pub(super) fn plan(&self, types: &[(String, Way, bool)]) -> Result<(), DatabaseError> {
        self.write(|tx| {
            let mut insert =
                tx.prepare("INSERT INTO crawl_type (run, resource_type, way, filtered) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?;
            for (name, way, filtered) in types {
                insert.execute(params![self.run, name, way.as_str(), filtered])?;
            }
            Ok(())
        })
    }

    /// The type goes another way.
    pub(super) fn turn(&self, name: &str, way: Way) -> Result<(), DatabaseError> {
        self.write(|tx| {
            tx.execute(
                "UPDATE crawl_type SET way = ?3, next = NULL, done = 0 WHERE run = ?1 AND resource_type = ?2",
                params![self.run, name, way.as_str()],
            )
            .map(drop)
        })
    }

    pub(super) fn types(&self) -> Result<Vec<TypeRow>, DatabaseError> {
        types(&self.database, self.run)
    }

    /// The page with which the search of a whole type goes on, and the entries seen before it.
    pub(super) fn place(&self, name: &str) -> Result<(Option<String>, u64), PullError> {
        let (next, matches): (Option<Vec<u8>>, u64) = database::read(&self.database, |db| {
            db.query_row(
                "SELECT next, matches FROM crawl_type WHERE run = ?1 AND resource_type = ?2",
                params![self.run, name],
                |row| Ok((row.get(0)?, unsigned(row.get(1)?))),
            )
        })?;
        Ok((next.map(|sealed| self.veil.open(&sealed)).transpose()?, matches))
    }

    /// The search of a whole type begins anew.
    pub(super) fn replace(&self, name: &str) -> Result<(), DatabaseError> {
        self.write(|tx| {
            tx.execute(
                "UPDATE crawl_type SET next = NULL, matches = 0 WHERE run = ?1 AND resource_type = ?2",
                params![self.run, name],
            )
            .map(drop)
        })
    }

    /// Whether the cohort is found, and how far.
    pub(super) fn cohort(&self) -> Result<(bool, Option<String>), PullError> {
        let (state, at): (String, Option<Vec<u8>>) = database::read(&self.database, |db| {
            db.query_row("SELECT state, cohort_at FROM crawl_run WHERE run = ?1", [self.run], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
        })?;
        Ok((state != "cohort", at.map(|sealed| self.veil.open(&sealed)).transpose()?))
    }

    /// Every member of the cohort is entered.
    pub(super) fn cohort_found(&self) -> Result<(), DatabaseError> {
        self.write(|tx| {
            tx.execute(
                "UPDATE crawl_run SET state = 'patients', cohort_at = NULL WHERE run = ?1 AND state = 'cohort'",
                [self.run],
            )
            .map(drop)
        })
    }

    /// Patients still to be searched for, and all.
    pub(super) fn patient_counts(&self) -> Result<(u64, u64), DatabaseError> {
        database::read(&self.database, |db| {
            db.query_row(
                "SELECT coalesce(sum(state = 'open'), 0), count(*) FROM crawl_patient WHERE run = ?1",
                [self.run],
                |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))),
            )
        })
    }

    /// The next open patients after `seq`.
    pub(super) fn open_patients(&self, after: i64, at_most: usize) -> Result<Vec<Patient>, PullError> {
        let rows: Vec<(i64, Vec<u8>, bool, bool, u32)> = database::read(&self.database, |db| {
            let mut select = db.prepare_cached(&format!(
                "SELECT seq, sealed, landed, {IS_KNOWN}, tries
                 FROM crawl_patient WHERE run = ?1 AND seq > ?2 AND state = 'open' ORDER BY seq LIMIT ?3"
            ))?;
            let rows = select.query_map(params![self.run, after, i64::try_from(at_most).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })?;
            rows.collect()
        })?;
        let patient = |(seq, sealed, landed, known, tries): (i64, Vec<u8>, bool, bool, u32)| {
            let id = self.veil.open(&sealed)?;
            Ok(Patient {
                seq,
                id,
                landed,
                known,
                tries,
            })
        };
        rows.into_iter().map(patient).collect()
    }

    /// Open references tried at most `tries` times, those of one type together; none of a type that comes whole, and none
    /// that another unit landed meanwhile.
    pub(super) fn open_references(&self, tries: u32, at_most: usize) -> Result<Vec<Referred>, PullError> {
        let rows: Vec<(i64, String, Vec<u8>, u32)> = database::read(&self.database, |db| {
            let mut select = db.prepare_cached(
                "SELECT seq, resource_type, sealed, tries FROM crawl_reference
                 WHERE run = ?1 AND state = 'open' AND tries <= ?2 AND NOT EXISTS (
                     SELECT 1 FROM crawl_type WHERE crawl_type.run = ?1
                     AND crawl_type.resource_type = crawl_reference.resource_type AND way = 'type')
                 AND NOT EXISTS (SELECT 1 FROM crawl_seen WHERE crawl_seen.run = ?1 AND resource = key)
                 ORDER BY resource_type, seq LIMIT ?3",
            )?;
            let rows = select.query_map(params![self.run, tries, i64::try_from(at_most).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
            rows.collect()
        })?;
        let referred = |(seq, name, sealed, tries): (i64, String, Vec<u8>, u32)| {
            let id = self.veil.open(&sealed)?;
            Ok(Referred { seq, name, id, tries })
        };
        rows.into_iter().map(referred).collect()
    }

    /// How often some open reference was tried.
    pub(super) fn reference_tries(&self) -> Result<u32, DatabaseError> {
        database::read(&self.database, |db| {
            let select = "SELECT coalesce(max(tries), 0) FROM crawl_reference WHERE run = ?1 AND state = 'open'";
            db.query_row(select, [self.run], |row| row.get(0))
        })
    }

    /// Whether this run landed this version.
    pub(super) fn is_seen(db: &Connection, run: i64, resource: &Key, version: &Key) -> Result<bool, Error> {
        let mut select = db.prepare_cached("SELECT 1 FROM crawl_seen WHERE run = ?1 AND resource = ?2 AND version = ?3")?;
        select.exists(params![run, &resource[..], &version[..]])
    }

    /// The run is done: what was only of use on its way is forgotten.
    pub(super) fn done(&self) -> Result<(), DatabaseError> {
        self.write(|tx| {
            tx.execute("UPDATE crawl_run SET state = 'done' WHERE run = ?1", [self.run])?;
            tx.execute("DELETE FROM crawl_seen WHERE run = ?1", [self.run])?;
            tx.execute("DELETE FROM crawl_reference WHERE run = ?1 AND state = 'done'", [self.run])?;
            tx.execute("UPDATE crawl_patient SET sealed = x'' WHERE run = ?1", [self.run])?;
            tx.execute("UPDATE crawl_reference SET sealed = x'' WHERE run = ?1", [self.run])
                .map(drop)
        })
    }

    pub(super) fn spent(&self, milliseconds: u64) -> Result<(), DatabaseError> {
        let milliseconds = i64::try_from(milliseconds).unwrap_or(0);
        self.write(|tx| {
            tx.execute(
                "UPDATE crawl_run SET milliseconds = milliseconds + ?2 WHERE run = ?1",
                params![self.run, milliseconds],
            )
            .map(drop)
        })
    }

    /// Notes a sentence of the whole run; a problem makes the run incomplete.
    pub(super) fn note(&self, note: &str, problem: bool) -> Result<(), DatabaseError> {
        self.write(|tx| add_note(tx, self.run, note, problem, 1))
    }

    /// How often `note` was noted.
    pub(super) fn noted(&self, note: &str) -> Result<u64, DatabaseError> {
        database::read(&self.database, |db| {
            let select = "SELECT coalesce(sum(times), 0) FROM crawl_note WHERE run = ?1 AND note = ?2";
            db.query_row(select, params![self.run, note], |row| Ok(unsigned(row.get(0)?)))
        })
    }

    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, DatabaseError> {
        database::transaction(&self.database, work)
    }

    /// Writes `entry` within the transaction that enters the unit's segments.
    /// # Errors: another call took the run over: then nothing of the unit is entered.
    pub(super) fn enter(&self, tx: &Transaction<'_>, entry: &Entry) -> Result<(), Error> {
        let run = self.run;
        let ours = tx.query_row(
            "SELECT owner = ?2 AND state <> 'done' FROM crawl_run WHERE run = ?1",
            params![run, &self.owner[..]],
            |row| row.get(0),
        );
        if !ours.optional()?.unwrap_or(false) {
            return Err(Error::StatementChangedRows(0));
        }
        let mut insert = tx.prepare_cached("INSERT INTO crawl_seen (run, resource, version) VALUES (?1, ?2, ?3)")?;
        for (resource, version) in &entry.seen {
            insert.execute(params![run, &resource[..], &version[..]])?;
        }
        for (name, of_type) in &entry.types {
            tx.execute(
                "INSERT INTO crawl_type (run, resource_type, way, filtered, failures, refused, newest, matches)
                 VALUES (?1, ?2, 'reference', 1, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE SET failures = failures + ?3, refused = coalesce(?4, refused),
                     newest = max(coalesce(newest, ?5), coalesce(?5, newest)), matches = matches + ?6",
                params![
                    run,
                    name,
                    signed(of_type.failures),
                    of_type.refused,
                    of_type.newest.map(Timestamp::as_microsecond),
                    signed(of_type.matches)
                ],
            )?;
        }
        for (seq, id, state) in &entry.patients {
            tx.execute(
                "UPDATE crawl_patient SET state = ?3, tries = tries + 1 WHERE run = ?1 AND seq = ?2",
                params![run, seq, state.as_str()],
            )?;
            if *state == State::Done {
                known::enter(tx, run, &self.veil.resource("Patient", id), true)?;
            }
        }
        self.add_members(tx, &entry.members)?;
        self.add_references(tx, &entry.references)?;
        for (seq, state) in &entry.referred {
            tx.execute(
                "UPDATE crawl_reference SET state = ?3, tries = tries + 1 WHERE run = ?1 AND seq = ?2",
                params![run, seq, state.as_str()],
            )?;
        }
        if let Some(place) = &entry.place {
            tx.execute(
                "UPDATE crawl_type SET next = ?3, done = ?4 WHERE run = ?1 AND resource_type = ?2",
                params![run, place.name, place.next.as_ref().map(|next| self.veil.seal(next)), place.done],
            )?;
        }
        if let Some(at) = &entry.cohort_at {
            let update = "UPDATE crawl_run SET cohort_at = ?2 WHERE run = ?1";
            tx.execute(update, params![run, self.veil.seal(at)])?;
        }
        if entry.cohort_short {
            tx.execute("UPDATE crawl_run SET cohort_whole = 0 WHERE run = ?1", [run])?;
        }
        for ((note, problem), times) in &entry.notes {
            add_note(tx, run, note, *problem, *times)?;
        }
        entry
            .sentences
            .iter()
            .try_for_each(|(note, times)| add_note(tx, run, note, true, *times))
    }

    fn add_members(&self, tx: &Transaction<'_>, members: &[Member]) -> Result<(), Error> {
        let mut insert = tx.prepare_cached(
            "INSERT INTO crawl_patient (run, seq, key, sealed, state, landed)
             VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM crawl_patient WHERE run = ?1), ?2, ?3, 'open', ?4)
             ON CONFLICT DO NOTHING",
        )?;
        for member in members {
            let key = self.veil.resource("Patient", &member.id);
            insert.execute(params![self.run, &key[..], self.veil.seal(&member.id), member.landed])?;
        }
        Ok(())
    }

    /// What is landed already, in whatever version, need not be read.
    fn add_references(&self, tx: &Transaction<'_>, references: &BTreeSet<(String, String)>) -> Result<(), Error> {
        let mut insert = tx.prepare_cached(
            "INSERT INTO crawl_reference (run, seq, resource_type, key, sealed, state)
             SELECT ?1, (SELECT coalesce(max(seq), 0) + 1 FROM crawl_reference WHERE run = ?1), ?2, ?3, ?4, 'open'
             WHERE NOT EXISTS (SELECT 1 FROM crawl_seen WHERE run = ?1 AND resource = ?3)
             ON CONFLICT DO NOTHING",
        )?;
        for (name, id) in references {
            let key = self.veil.resource(name, id);
            insert.execute(params![self.run, name, &key[..], self.veil.seal(id)])?;
        }
        Ok(())
    }
}

fn add_note(tx: &Transaction<'_>, run: i64, note: &str, problem: bool, times: u64) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO crawl_note (run, note, problem, times) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET times = times + ?4",
        params![run, note, problem, signed(times)],
    )
    .map(drop)
}

/// Back to the start, within the transaction that removes the run's segments. A run without crawl is left alone.
pub(crate) fn reset(tx: &Transaction<'_>, run: i64) -> Result<(), Error> {
    for table in ["crawl_type", "crawl_patient", "crawl_reference", "crawl_seen", "crawl_note"] {
        tx.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run])?;
    }
    known::forget(tx, run)?;
    tx.execute(
        "UPDATE crawl_run SET state = 'cohort', began_at = NULL, cohort_at = NULL, cohort_whole = 1 WHERE run = ?1",
        [run],
    )
    .map(drop)
}

/// Forgets everything of a run, also that its patients are known.
pub(crate) fn forget(tx: &Transaction<'_>, run: i64) -> Result<(), Error> {
    reset(tx, run)?;
    tx.execute("DELETE FROM crawl_run WHERE run = ?1", [run]).map(drop)
}

/// Whether the run has a crawl that is not done.
/// # Errors: the database.
pub(crate) fn is_open(database: &Mutex<Connection>, run: i64) -> Result<bool, DatabaseError> {
    database::read(database, |db| {
        db.prepare("SELECT 1 FROM crawl_run WHERE run = ?1 AND state <> 'done'")?
            .exists([run])
    })
}

pub(super) fn types(database: &Mutex<Connection>, run: i64) -> Result<Vec<TypeRow>, DatabaseError> {
    database::read(database, |db| {
        let mut select = db.prepare(
            "SELECT resource_type, way, filtered, done, failures, refused, newest FROM crawl_type WHERE run = ?1 ORDER BY resource_type",
        )?;
        let rows = select.query_map([run], |row| {
            let way: String = row.get(1)?;
            let newest: Option<i64> = row.get(6)?;
            Ok(TypeRow {
                name: row.get(0)?,
                way: match way.as_str() {
                    "type" => Way::Type,
                    "patient" => Way::Patient,
                    "reference" => Way::Reference,
                    _ => Way::None,
                },
                filtered: row.get(2)?,
                done: row.get(3)?,
                failures: unsigned(row.get(4)?),
                refused: row.get(5)?,
                newest: newest.map(moment).transpose()?,
            })
        })?;
        rows.collect()
    })
}

pub(super) fn moment(microseconds: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(microseconds).map_err(|_| Error::InvalidQuery)
}

pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
