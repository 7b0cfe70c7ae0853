//! What the site's database knows of a pull, so that a crash between any two lines loses nothing and repeats nothing.
//! Order: the poll address before the first poll, the list before the first file, a segment together with its file's state.

use std::collections::BTreeSet;
use std::sync::Mutex;

use jiff::Timestamp;
use rusqlite::{Connection, Error, OptionalExtension, Row, Transaction, params};

use super::crawl;
use super::manifest::Listed;
use super::own::Own;
use crate::landing::Kind;
use crate::origin::SegmentId;
use crate::platform::database::{self, DatabaseError};
use crate::platform::http::Url;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The server was not asked yet, or was too busy.
    Kicking,
    Polling,
    /// The files are known.
    Listed,
    /// Every file is landed or given up.
    Done,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) state: State,
    pub(super) poll_url: Option<Url>,
    pub(super) begun_at: Timestamp,
    /// The server is not asked before.
    pub(super) next_at: Timestamp,
    pub(super) transaction_time: Option<Timestamp>,
    pub(super) needs_token: bool,
    /// How often the server lost the job.
    pub(super) restarts: u32,
}

/// A file still to be landed.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) seq: i64,
    pub(super) listed: Listed,
}

/// What is to be told of an export besides its files. No patient's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// Nothing is missing for it.
    Told(String),
    /// Part of the wish was ignored, nobody knows which: a type without any file may be that part.
    Ignored(String),
    /// This type is not all there; without a name, no type is.
    Spoils(String, String),
}

/// A file that is not simply landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Troubled {
    /// Its place in the manifest, from 1.
    pub(super) place: i64,
    pub(super) kind: Kind,
    pub(super) resource_type: String,
    pub(super) problem: Option<String>,
}

/// The rows of one run.
#[derive(Clone, Copy)]
pub(super) struct Jobs<'a> {
    pub(super) database: &'a Mutex<Connection>,
    pub(super) run: i64,
}

impl Jobs<'_> {
    /// The run's job; a new one when there is none.
    pub(super) fn open(self, now: Timestamp) -> Result<Job, DatabaseError> {
        database::transaction(self.database, |tx| {
            tx.execute(
                "INSERT INTO export_job (run, state, begun_at, next_at) VALUES (?1, 'kicking', ?2, ?2) ON CONFLICT DO NOTHING",
                params![self.run, now.to_string()],
            )?;
            tx.query_row(
                "SELECT state, poll_url, begun_at, next_at, transaction_time, needs_token, restarts FROM export_job WHERE run = ?1",
                [self.run],
                job_of,
            )
        })
    }

    pub(super) fn wait_until(self, next_at: Timestamp) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE export_job SET next_at = ?2 WHERE run = ?1",
            params![self.run, next_at.to_string()],
        )
    }

    /// The server has the job `own`.
    pub(super) fn kicked_off(self, own: &Own, next_at: Timestamp, notes: &[Note]) -> Result<(), DatabaseError> {
        database::transaction(self.database, |tx| {
            // An adopted job is no longer another run's.
            tx.execute("UPDATE export_job SET poll_url = NULL WHERE poll_url = ?1", [own.poll_url.as_str()])?;
            tx.execute(
                "UPDATE export_job SET state = 'polling', poll_url = ?2, next_at = ?3 WHERE run = ?1",
                params![self.run, own.poll_url.as_str(), next_at.to_string()],
            )?;
            own.keep(tx)?;
            notes.iter().try_for_each(|note| noted(tx, self.run, note))
        })
    }

    pub(super) fn note(self, note: &Note) -> Result<(), DatabaseError> {
        database::transaction(self.database, |tx| noted(tx, self.run, note))
    }

    pub(super) fn notes(self) -> Result<Vec<Note>, DatabaseError> {
        database::read(self.database, |db| {
            let mut select = db.prepare("SELECT effect, resource_type, note FROM export_note WHERE run = ?1")?;
            let rows = select.query_map([self.run], |row| {
                let (effect, name, text): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(match effect.as_str() {
                    "told" => Note::Told(text),
                    "ignored" => Note::Ignored(text),
                    _ => Note::Spoils(name, text),
                })
            })?;
            rows.collect()
        })
    }

    pub(super) fn listed(self, transaction_time: Timestamp, needs_token: bool, files: &[Listed]) -> Result<(), DatabaseError> {
        database::transaction(self.database, |tx| {
            tx.execute(
                "UPDATE export_job SET state = 'listed', transaction_time = ?2, needs_token = ?3 WHERE run = ?1",
                params![self.run, transaction_time.to_string(), needs_token],
            )?;
            let mut insert = tx.prepare(
                "INSERT INTO export_file (run, seq, kind, resource_type, url, expected, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'listed')",
            )?;
            for (seq, file) in (0i64..).zip(files) {
                let expected = file.expected.and_then(|count| i64::try_from(count).ok());
                insert.execute(params![
                    self.run,
                    seq,
                    file.kind.as_str(),
                    file.resource_type,
                    file.url.as_str(),
                    expected
                ])?;
            }
            Ok(())
        })
    }

    /// Fresh addresses for the same files; `false`, and nothing changed, when they are not the same files.
    pub(super) fn renewed(self, needs_token: bool, files: &[Listed]) -> Result<bool, DatabaseError> {
        database::transaction(self.database, |tx| {
            let mut select = tx.prepare("SELECT kind, resource_type FROM export_file WHERE run = ?1 ORDER BY seq")?;
            let rows = select.query_map([self.run], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let known: Vec<(String, String)> = rows.collect::<Result<_, _>>()?;
            let same = known.len() == files.len()
                && known
                    .iter()
                    .zip(files)
                    .all(|((kind, name), file)| kind == file.kind.as_str() && *name == file.resource_type);
            if same {
                tx.execute(
                    "UPDATE export_job SET needs_token = ?2 WHERE run = ?1",
                    params![self.run, needs_token],
                )?;
                let mut update = tx.prepare("UPDATE export_file SET url = ?3 WHERE run = ?1 AND seq = ?2 AND state = 'listed'")?;
                for (seq, file) in (0i64..).zip(files) {
                    update.execute(params![self.run, seq, file.url.as_str()])?;
                }
            }
            Ok(same)
        })
    }

    /// Files neither landed nor given up whose address is known.
    pub(super) fn open_files(self) -> Result<Vec<File>, DatabaseError> {
        database::read(self.database, |db| {
            let mut select = db.prepare(
                "SELECT seq, kind, resource_type, url, expected FROM export_file WHERE run = ?1 AND state = 'listed' AND url <> ''
                 ORDER BY seq",
            )?;
            let rows = select.query_map([self.run], file_of)?;
            rows.collect()
        })
    }

    /// Files to be fetched again, whose address the manifest must give again.
    pub(super) fn without_address(self) -> Result<Vec<i64>, DatabaseError> {
        database::read(self.database, |db| {
            let mut select = db.prepare("SELECT seq FROM export_file WHERE run = ?1 AND state = 'listed' AND url = '' ORDER BY seq")?;
            select.query_map([self.run], |row| row.get(0))?.collect()
        })
    }

    /// How many files of resources are listed of this type; without a name, of all.
    pub(super) fn files_of(self, resource_type: &str) -> Result<usize, DatabaseError> {
        database::read(self.database, |db| {
            db.query_row(
                "SELECT count(*) FROM export_file WHERE run = ?1 AND kind = 'resources' AND (resource_type = ?2 OR ?2 = '')",
                params![self.run, resource_type],
                |row| Ok(size(row.get(0)?)),
            )
        })
    }

    /// All files of the run, and those landed or given up.
    pub(super) fn file_counts(self) -> Result<(usize, usize), DatabaseError> {
        database::read(self.database, |db| {
            db.query_row(
                "SELECT count(*), count(*) FILTER (WHERE state <> 'listed') FROM export_file WHERE run = ?1",
                [self.run],
                |row| Ok((size(row.get(0)?), size(row.get(1)?))),
            )
        })
    }

    pub(super) fn is_landed(self, seq: i64) -> Result<bool, DatabaseError> {
        database::read(self.database, |db| {
            let state = db.query_row(
                "SELECT state FROM export_file WHERE run = ?1 AND seq = ?2",
                params![self.run, seq],
                |row| row.get::<_, String>(0),
            );
            Ok(state.optional()?.is_some_and(|state| state == "landed"))
        })
    }

    /// The file cannot be had, ever.
    pub(super) fn failed(self, seq: i64, problem: &str) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE export_file SET state = 'failed', problem = ?3 WHERE run = ?1 AND seq = ?2 AND state = 'listed'",
            params![self.run, seq, problem],
        )
    }

    /// The file cannot be had now.
    pub(super) fn postponed(self, seq: i64, problem: &str) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE export_file SET problem = ?3 WHERE run = ?1 AND seq = ?2 AND state = 'listed'",
            params![self.run, seq, problem],
        )
    }

    pub(super) fn done(self) -> Result<(), DatabaseError> {
        self.execute("UPDATE export_job SET state = 'done' WHERE run = ?1", params![self.run])
    }

    /// Every file of the run that is not simply landed: place in the manifest, kind, type, what is noted against it.
    pub(super) fn troubled(self) -> Result<Vec<Troubled>, DatabaseError> {
        database::read(self.database, |db| {
            let mut select = db.prepare(
                "SELECT seq, kind, resource_type, problem FROM export_file
                 WHERE run = ?1 AND (problem IS NOT NULL OR state <> 'landed') ORDER BY seq",
            )?;
            let rows = select.query_map([self.run], |row| {
                Ok(Troubled {
                    place: row.get::<_, i64>(0)? + 1,
                    kind: kind_of(&row.get::<_, String>(1)?)?,
                    resource_type: row.get(2)?,
                    problem: row.get(3)?,
                })
            })?;
            rows.collect()
        })
    }

    /// The types of which the manifest lists files of resources; empty is a file without a type.
    pub(super) fn listed_types(self) -> Result<BTreeSet<String>, DatabaseError> {
        database::read(self.database, |db| {
            let mut select = db.prepare("SELECT DISTINCT resource_type FROM export_file WHERE run = ?1 AND kind = 'resources'")?;
            select.query_map([self.run], |row| row.get(0))?.collect()
        })
    }

    pub(super) fn execute(self, statement: &str, values: &[&dyn rusqlite::ToSql]) -> Result<(), DatabaseError> {
        database::transaction(self.database, |tx| tx.execute(statement, values).map(drop))
    }
}

/// Marks a file as landed, within the transaction that enters its segment.
/// # Errors: also when it is landed already: then the segment must not be entered a second time.
pub(super) fn landed(tx: &Transaction<'_>, run: i64, seq: i64, segment: Option<SegmentId>, problem: Option<&str>) -> Result<(), Error> {
    // An address may be signed, and so a key to the file: it is not kept longer than needed.
    let changed = tx.execute(
        "UPDATE export_file SET state = 'landed', url = '', segment = ?3, problem = ?4 WHERE run = ?1 AND seq = ?2 AND state = 'listed'",
        params![run, seq, segment.map(|segment| segment.0), problem],
    )?;
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::StatementChangedRows(changed))
    }
}

/// The landed files of a type are to be fetched again, within the transaction that removes their segments. Without a type:
/// all files of resources. Their addresses come from the manifest.
pub(super) fn reopen(tx: &Transaction<'_>, run: i64, resource_type: &str) -> Result<(), Error> {
    tx.execute(
        "UPDATE export_file SET state = 'listed', segment = NULL, problem = NULL
         WHERE run = ?1 AND kind = 'resources' AND state = 'landed' AND (resource_type = ?2 OR ?2 = '')",
        params![run, resource_type],
    )
    .map(drop)
}

/// Writes a note down; twice is once.
pub(super) fn noted(tx: &Transaction<'_>, run: i64, note: &Note) -> Result<(), Error> {
    let (effect, name, text) = match note {
        Note::Told(text) => ("told", "", text),
        Note::Ignored(text) => ("ignored", "", text),
        Note::Spoils(name, text) => ("spoils", name.as_str(), text),
    };
    tx.execute(
        "INSERT INTO export_note (run, effect, resource_type, note) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        params![run, effect, name, text],
    )
    .map(drop)
}

/// Back to the start, within the transaction that removes the run's segments.
pub(super) fn restart(tx: &Transaction<'_>, run: i64, now: Timestamp) -> Result<(), Error> {
    for table in ["export_file", "export_note"] {
        tx.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run])?;
    }
    // The run's segments are gone, those of a crawl beside the export, too.
    crawl::reset(tx, run)?;
    tx.execute(
        "UPDATE export_job SET state = 'kicking', poll_url = NULL, transaction_time = NULL, begun_at = ?2, next_at = ?2,
         restarts = restarts + 1 WHERE run = ?1",
        params![run, now.to_string()],
    )
    .map(drop)
}

/// Forgets everything of a run whose landed files are forgotten with it: no file of it counts as landed any more.
/// # Errors: the database.
pub fn forget(tx: &Transaction<'_>, run: i64) -> Result<(), Error> {
    for table in [
        "landed_file",
        "export_file",
        "export_note",
        "export_job",
        "pull_plan",
        "pull_not_offered",
    ] {
        tx.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run])?;
    }
    crawl::forget(tx, run)
}

/// The latest run whose pull is not done, with the moment it began: the one to resume before a new one is begun.
/// # Errors: the database.
pub fn unfinished(database: &Mutex<Connection>) -> Result<Option<(i64, Timestamp)>, DatabaseError> {
    database::read(database, |db| {
        db.query_row(
            "SELECT run, begun_at FROM export_job
             WHERE state <> 'done' OR run IN (SELECT run FROM crawl_run WHERE state <> 'done') ORDER BY run DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, parsed(row, 1)?)),
        )
        .optional()
    })
}

/// The moment the data of a run is from, as far as its source has said.
/// # Errors: the database.
pub fn transaction_time(database: &Mutex<Connection>, run: i64) -> Result<Option<Timestamp>, DatabaseError> {
    let found = database::read(database, |db| {
        db.query_row("SELECT transaction_time FROM export_job WHERE run = ?1", [run], |row| {
            row.get::<_, Option<String>>(0)
        })
        .optional()
    })?;
    Ok(found.flatten().and_then(|time| time.parse().ok()))
}

fn job_of(row: &Row<'_>) -> Result<Job, Error> {
    let state: String = row.get(0)?;
    Ok(Job {
        state: match state.as_str() {
            "kicking" => State::Kicking,
            "polling" => State::Polling,
            "listed" => State::Listed,
            _ => State::Done,
        },
        poll_url: row.get::<_, Option<String>>(1)?.map(|_| parsed(row, 1)).transpose()?,
        begun_at: parsed(row, 2)?,
        next_at: parsed(row, 3)?,
        transaction_time: row.get::<_, Option<String>>(4)?.map(|_| parsed(row, 4)).transpose()?,
        needs_token: row.get(5)?,
        restarts: row.get(6)?,
    })
}

fn file_of(row: &Row<'_>) -> Result<File, Error> {
    let kind: String = row.get(1)?;
    Ok(File {
        seq: row.get(0)?,
        listed: Listed {
            kind: kind_of(&kind)?,
            resource_type: row.get(2)?,
            url: parsed(row, 3)?,
            expected: row.get::<_, Option<i64>>(4)?.and_then(|count| u64::try_from(count).ok()),
        },
    })
}

fn kind_of(text: &str) -> Result<Kind, Error> {
    Kind::parse(text).ok_or(Error::InvalidQuery)
}

/// A value we wrote as text ourselves.
pub(super) fn parsed<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    row.get::<_, String>(column)?.parse().map_err(|_| Error::InvalidQuery)
}

fn size(count: i64) -> usize {
    usize::try_from(count).unwrap_or(0)
}
