//! Opens the embedded database the way both towers need it: write-ahead log, every commit on disk, foreign keys, own id.
//! Knows no table; each part brings its `SCHEMA`. Transactions are the callers'. Faults are translated: which file, what to do.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::file::{self, FileError};

/// `PRAGMA application_id` of our databases: the bytes `HWTR`.
const APPLICATION_ID: i32 = 0x4857_5452;

/// A database could not be opened or used. Says which file and what to do; never a value.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("database `{0}` is damaged: move it away and restore its last copy, or start afresh and pull everything again")]
    Damaged(String),
    #[error("`{0}` is a database of another program: name another file")]
    NotOurs(String),
    #[error("database `{0}` could not be written: the disk is full; make room and run again, nothing is lost")]
    Full(String),
    #[error("database `{0}` is locked by another process: wait until it ends")]
    Locked(String),
    #[error("database `{0}` could not be opened: check that its directory is there and this user may write to it")]
    NotOpened(String),
    #[error("database `{path}` refused a statement")]
    Statement {
        path: String,
        #[source]
        source: rusqlite::Error,
    },
    #[error(transparent)]
    File(#[from] FileError),
}

/// Opens or creates the database at `path` (mode 0600) and applies each schema, which must be harmless to repeat.
/// # Errors: damaged, another program's, not writable.
pub fn open(path: &Path, schemas: &[&str]) -> Result<Connection, DatabaseError> {
    if !path.exists() {
        // SQLite would give it the mode of the umask.
        file::write_durable(path, b"")?;
    }
    let fault = |error| explain(path, error);
    let connection = Connection::open(path).map_err(fault)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(fault)?;
    let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(fault)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fault)?;
    if id != APPLICATION_ID && (id != 0 || tables != 0) {
        return Err(DatabaseError::NotOurs(path.display().to_string()));
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fault)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    connection.pragma_update(None, "foreign_keys", "ON").map_err(fault)?;
    // Sorting and big statements must not spill a patient's values into a temporary file.
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(fault)?;
    if id != APPLICATION_ID {
        // Not again each time: it is a write, and would wait for another process's transaction.
        connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(fault)?;
    }
    let health: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fault)?;
    if health != "ok" {
        return Err(DatabaseError::Damaged(path.display().to_string()));
    }
    for schema in schemas {
        connection.execute_batch(schema).map_err(fault)?;
    }
    Ok(connection)
}

/// A second connection to a database that `open` has opened, with the same settings and without its checks, for large
/// statements: up to `cache_bytes` in memory, and what a sort needs beyond goes to unnamed files beside the database.
/// For tables without patients' values only.
/// # Errors: the database cannot be opened.
pub fn open_for_bulk(path: &Path, cache_bytes: u32) -> Result<Connection, DatabaseError> {
    let fault = |error| explain(path, error);
    let connection = Connection::open(path).map_err(fault)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(fault)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    connection.pragma_update(None, "foreign_keys", "ON").map_err(fault)?;
    connection.pragma_update(None, "temp_store", "FILE").map_err(fault)?;
    let dir = path.parent().unwrap_or(Path::new(".")).display().to_string();
    connection.pragma_update(None, "temp_store_directory", dir).map_err(fault)?;
    connection
        .pragma_update(None, "cache_size", -i64::from(cache_bytes / 1024))
        .map_err(fault)?;
    Ok(connection)
}

/// What a SQLite error means for the file at `path`.
#[must_use]
pub fn explain(path: &Path, error: rusqlite::Error) -> DatabaseError {
    let path = path.display().to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DatabaseError::Damaged(path),
        Some(ErrorCode::DiskFull) => DatabaseError::Full(path),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => DatabaseError::Locked(path),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => DatabaseError::NotOpened(path),
        _ => DatabaseError::Statement { path, source: error },
    }
}

/// The same, for an error of this open connection.
#[must_use]
pub fn explain_on(connection: &Connection, error: rusqlite::Error) -> DatabaseError {
    explain(&PathBuf::from(connection.path().unwrap_or("in memory")), error)
}

/// The connection, also after another thread panicked with it: its open transaction was rolled back then.
pub fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One transaction around `work`: committed when it gives `Ok`, rolled back otherwise.
/// # Errors: what `work` met, or the commit, explained.
pub fn transaction<T>(
    connection: &Mutex<Connection>,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
) -> Result<T, DatabaseError> {
    let mut connection = lock(connection);
    let done = (|| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    })();
    done.map_err(|error| explain_on(&connection, error))
}

/// One look at the database, without a transaction.
/// # Errors: what `work` met, explained.
pub fn read<T>(connection: &Mutex<Connection>, work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, DatabaseError> {
    let connection = lock(connection);
    work(&connection).map_err(|error| explain_on(&connection, error))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests write damaged files")]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, v TEXT) STRICT;";

    #[test]
    fn opens_with_every_commit_on_disk_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let connection = open(&path, &[SCHEMA]).unwrap();
        let pragma = |name: &str| -> String {
            let value: rusqlite::types::Value = connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap();
            format!("{value:?}")
        };
        assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
        assert_eq!(pragma("synchronous"), "Integer(2)");
        assert_eq!(pragma("foreign_keys"), "Integer(1)");
        assert_eq!(pragma("temp_store"), "Integer(2)");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop(connection);
        open(&path, &[SCHEMA]).unwrap();
    }

    #[test]
    fn a_damaged_file_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        fs::write(
            &path,
            b"this is no database, though it is longer than a header of one hundred bytes would have to be, truly",
        )
        .unwrap();
        let error = open(&path, &[SCHEMA]).unwrap_err();
        assert!(matches!(error, DatabaseError::Damaged(_)), "{error}");
        assert!(
            error.to_string().contains("a.db") && error.to_string().contains("restore"),
            "{error}"
        );
    }

    #[test]
    fn a_page_overwritten_inside_is_found_at_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let connection = open(&path, &[SCHEMA]).unwrap();
        for k in 0..2000 {
            connection.execute("INSERT INTO t VALUES (?1, ?2)", (k, "x".repeat(100))).unwrap();
        }
        connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
        drop(connection);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2 / 4096 * 4096;
        bytes[middle..middle + 4096].fill(0xFF);
        fs::write(&path, bytes).unwrap();
        assert!(matches!(open(&path, &[SCHEMA]), Err(DatabaseError::Damaged(_))));
    }

    #[test]
    fn a_database_of_another_program_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(open(&path, &[SCHEMA]), Err(DatabaseError::NotOurs(_))));
    }

    #[test]
    fn a_transaction_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let connection = Mutex::new(open(&dir.path().join("a.db"), &[SCHEMA]).unwrap());
        let failed: Result<(), _> = transaction(&connection, |tx| {
            tx.execute("INSERT INTO t VALUES (1, 'x')", [])?;
            tx.execute("INSERT INTO t VALUES (1, 'y')", []).map(drop)
        });
        assert!(matches!(failed, Err(DatabaseError::Statement { .. })));
        let count = |c: &Connection| c.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(read(&connection, count).unwrap(), 0);
        transaction(&connection, |tx| tx.execute("INSERT INTO t VALUES (1, 'x')", [])).unwrap();
        assert_eq!(read(&connection, count).unwrap(), 1);
    }
}
