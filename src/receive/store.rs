//! The registry's tables in SQLite: one writer, a few readers. Knows the layout, not what is done with it.
//! Times are whole seconds of UTC in RFC 3339, so that their order is the order of their text.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{Timestamp, Unit};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::fault::Fault;
use crate::audit;
use crate::platform::database::{self, DatabaseError};

/// The registry's tables; the log's own are `audit::SCHEMA`.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS site (
    name TEXT PRIMARY KEY, client_id TEXT NOT NULL UNIQUE, jwk TEXT, manifest_key TEXT, enrolled_at TEXT,
    suspended INTEGER NOT NULL DEFAULT 0, last_sequence INTEGER NOT NULL DEFAULT 0, last_manifest_sha256 TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS enrolment_code (
    code_sha256 TEXT PRIMARY KEY, site TEXT NOT NULL REFERENCES site (name), expires_at TEXT NOT NULL, used_at TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS submission (
    id TEXT PRIMARY KEY, site TEXT NOT NULL REFERENCES site (name), sequence INTEGER NOT NULL, received_at TEXT NOT NULL,
    applied_at TEXT, state TEXT NOT NULL CHECK (state IN ('received', 'applied', 'refused')), reason TEXT,
    manifest BLOB NOT NULL, manifest_sha256 TEXT NOT NULL, signature TEXT NOT NULL, transaction_time TEXT NOT NULL,
    model TEXT NOT NULL, model_digest TEXT NOT NULL, policy TEXT NOT NULL, policy_digest TEXT NOT NULL,
    mapping_digest TEXT NOT NULL, key_fingerprint TEXT NOT NULL,
    pulled INTEGER NOT NULL, mapped INTEGER NOT NULL, excluded INTEGER NOT NULL, refused INTEGER NOT NULL, released INTEGER NOT NULL,
    accepted INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0,
    upserts INTEGER NOT NULL DEFAULT 0, tombstones INTEGER NOT NULL DEFAULT 0, leaf_index INTEGER, receipt TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS submission_of_site ON submission (site, sequence);
CREATE UNIQUE INDEX IF NOT EXISTS submission_applied_once ON submission (site, sequence) WHERE state = 'applied';
CREATE TABLE IF NOT EXISTS submission_table (
    submission TEXT NOT NULL REFERENCES submission (id), table_name TEXT NOT NULL, upserts INTEGER NOT NULL,
    tombstones INTEGER NOT NULL, accepted INTEGER NOT NULL, rejected INTEGER NOT NULL, PRIMARY KEY (submission, table_name)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcome (
    submission TEXT NOT NULL, table_name TEXT NOT NULL, row_key TEXT NOT NULL, rule TEXT NOT NULL, path TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS outcome_of_submission ON outcome (submission);
CREATE TABLE IF NOT EXISTS cdm_row (
    table_name TEXT NOT NULL, site TEXT NOT NULL, row_key TEXT NOT NULL, body TEXT NOT NULL, submission TEXT NOT NULL,
    PRIMARY KEY (table_name, site, row_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS row_count (
    site TEXT NOT NULL, table_name TEXT NOT NULL, row_count INTEGER NOT NULL, PRIMARY KEY (site, table_name)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS operator (name TEXT PRIMARY KEY, key_sha256 TEXT NOT NULL, created_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sign_in_code (
    code_sha256 TEXT PRIMARY KEY, operator TEXT NOT NULL REFERENCES operator (name), expires_at TEXT NOT NULL, used_at TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS session (
    id_sha256 TEXT PRIMARY KEY, operator TEXT NOT NULL REFERENCES operator (name), created_at TEXT NOT NULL, expires_at TEXT NOT NULL
) STRICT;
";

/// Long enough for the largest submission's transaction of another process.
const BUSY: Duration = Duration::from_secs(120);
const IDLE_READERS: usize = 8;
/// What the write-ahead log keeps of the disk after a large submission.
const JOURNAL_BYTES: i64 = 64 << 20;

/// The store: what is written is on disk when the call returns.
pub struct Store {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

/// A site as enrolled.
#[derive(Clone, Debug)]
pub struct Site {
    pub name: String,
    pub client_id: String,
    pub jwk: Option<String>,
    pub manifest_key: Option<String>,
    pub enrolled_at: Option<String>,
    pub suspended: bool,
    pub last_sequence: u64,
    pub last_manifest_sha256: Option<String>,
}

impl Store {
    /// Opens or creates `registry.db` in `dir`.
    /// # Errors: as `platform::database::open`.
    pub fn open(dir: &Path) -> Result<Self, DatabaseError> {
        let path = dir.join("registry.db");
        let writer = database::open(&path, &[SCHEMA, audit::SCHEMA])?;
        let explain = |error| database::explain(&path, error);
        writer.busy_timeout(BUSY).map_err(explain)?;
        writer.pragma_update(None, "journal_size_limit", JOURNAL_BYTES).map_err(explain)?;
        Ok(Self {
            path,
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
        })
    }

    /// One write transaction: committed when `work` gives `Ok`, rolled back otherwise. Waits for the writer.
    /// # Errors: what `work` gave, or the store's own.
    pub fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut writer = self.writer();
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| database::explain(&self.path, error))?;
        let done = work(&transaction)?;
        transaction.commit().map_err(|error| database::explain(&self.path, error))?;
        Ok(done)
    }

    /// The writer outside a transaction, for `audit::Log::publish`.
    /// # Errors: what `work` gave.
    pub fn with_writer<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        work(&self.writer())
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        // A panic under the lock rolled its transaction back; the connection is as good as before.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one consistent state, also while a submission is being applied.
    /// # Errors: what `work` met.
    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, Fault> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => self.open_reader()?,
        };
        let transaction = reader.transaction()?;
        let done = work(&transaction)?;
        drop(transaction);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < IDLE_READERS {
            readers.push(reader);
        }
        Ok(done)
    }

    fn open_reader(&self) -> Result<Connection, DatabaseError> {
        let explain = |error| database::explain(&self.path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&self.path, flags).map_err(explain)?;
        reader.busy_timeout(BUSY).map_err(explain)?;
        reader.pragma_update(None, "temp_store", "MEMORY").map_err(explain)?;
        Ok(reader)
    }
}

const SITE_COLUMNS: &str = "name, client_id, jwk, manifest_key, enrolled_at, suspended, last_sequence, last_manifest_sha256";

fn site_of(row: &Row<'_>) -> Result<Site, rusqlite::Error> {
    Ok(Site {
        name: row.get(0)?,
        client_id: row.get(1)?,
        jwk: row.get(2)?,
        manifest_key: row.get(3)?,
        enrolled_at: row.get(4)?,
        suspended: row.get(5)?,
        last_sequence: count(row, 6)?,
        last_manifest_sha256: row.get(7)?,
    })
}

/// The site of this name.
pub fn site(connection: &Connection, name: &str) -> Result<Option<Site>, rusqlite::Error> {
    connection
        .prepare(&format!("SELECT {SITE_COLUMNS} FROM site WHERE name = ?1"))?
        .query_row([name], site_of)
        .optional()
}

/// The site that signs its assertions as `client_id`.
pub fn site_of_client(connection: &Connection, client_id: &str) -> Result<Option<Site>, rusqlite::Error> {
    connection
        .prepare(&format!("SELECT {SITE_COLUMNS} FROM site WHERE client_id = ?1"))?
        .query_row([client_id], site_of)
        .optional()
}

/// All sites by name.
pub fn sites(connection: &Connection) -> Result<Vec<Site>, rusqlite::Error> {
    connection
        .prepare(&format!("SELECT {SITE_COLUMNS} FROM site ORDER BY name"))?
        .query_map([], site_of)?
        .collect()
}

/// Where a submission stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Taken, not yet applied.
    Received,
    Applied,
    /// Refused whole, for this reason.
    Refused(String),
}

/// The state of a submission; `None` when it never came.
pub fn state(connection: &Connection, id: &str) -> Result<Option<State>, rusqlite::Error> {
    let row: Option<(String, Option<String>)> = connection
        .prepare("SELECT state, reason FROM submission WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(row.map(|(state, reason)| match state.as_str() {
        "applied" => State::Applied,
        "refused" => State::Refused(reason.unwrap_or_default()),
        _ => State::Received,
    }))
}

/// The submission of `site` that waits to be applied, if there is one.
pub fn waiting(connection: &Connection, site: &str) -> Result<Option<String>, rusqlite::Error> {
    connection
        .prepare("SELECT id FROM submission WHERE site = ?1 AND state = 'received'")?
        .query_row(params![site], |row| row.get(0))
        .optional()
}

/// The submissions that wait to be applied, oldest first.
pub fn all_waiting(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    connection
        .prepare("SELECT id FROM submission WHERE state = 'received' ORDER BY received_at, id")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// A count from a column: SQLite's integers are signed, ours never below 0.
pub fn count(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}

/// A count as SQLite stores it.
pub fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A time as the store writes it: whole seconds.
pub fn stamp(time: Timestamp) -> String {
    let rounded = jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Trunc);
    time.round(rounded).unwrap_or(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_last_commit_while_a_write_is_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let sites = |store: &Store| store.read(|connection| Ok(sites(connection)?.len())).unwrap();
        store
            .write(|tx| {
                tx.execute("INSERT INTO site (name, client_id) VALUES ('a', 'a')", [])?;
                assert_eq!(sites(&store), 0);
                Ok(())
            })
            .unwrap();
        assert_eq!(sites(&store), 1);
        let failed = store.write(|tx| {
            tx.execute("INSERT INTO site (name, client_id) VALUES ('b', 'b')", [])?;
            Err::<(), _>(Fault::Busy)
        });
        assert!(matches!(failed, Err(Fault::Busy)));
        assert_eq!(sites(&store), 1);
    }

    #[test]
    fn the_store_opens_while_another_process_writes_a_large_submission() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let opened = store.write(|tx| {
            tx.execute("INSERT INTO site (name, client_id) VALUES ('a', 'a')", [])?;
            let other = database::open(&dir.path().join("registry.db"), &[SCHEMA, audit::SCHEMA])?;
            Ok(sites(&other)?.len())
        });
        assert_eq!(opened.unwrap(), 0);
    }

    #[test]
    fn times_are_whole_seconds_so_that_text_order_is_time_order() {
        let time: Timestamp = "2026-03-01T02:00:00.987Z".parse().unwrap();
        assert_eq!(stamp(time), "2026-03-01T02:00:00Z");
    }
}
