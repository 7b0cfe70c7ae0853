//! A database that is built once and from then on only read: an index of public data. Built under another name, synced and
//! renamed, so that a half-built one is never found; read through a memory map, whose pages all processes share.
//! For tables without patients' values only.

use std::fs::{self, File};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::database::{DatabaseError, explain};
use super::file::FileError;
use super::random;

/// The most that is mapped: more than any vocabulary has.
const MAPPED_BYTES: i64 = 64 << 30;
/// Memory that building may use, in KiB.
const BUILD_CACHE_KIB: i64 = 128 << 10;

/// Builds the database at `path` with `fill`, whole or not at all.
/// # Errors: `fill`'s own; the database or its folder cannot be written.
#[expect(
    clippy::disallowed_methods,
    reason = "the file is synced before it is renamed, and its folder after"
)]
pub fn build<E: From<DatabaseError>>(path: &Path, fill: impl FnOnce(&mut Connection) -> Result<(), E>) -> Result<(), E> {
    // Two processes may build at once: each under a name of its own, and whichever ends last is as good.
    let building = path.with_extension(format!("{}.building", random::hex(8)));
    let fault = |error| E::from(explain(&building, error));
    let failed = |what, error| E::from(DatabaseError::File(FileError::io(what, &building, error)));
    let mut connection = Connection::open(&building).map_err(fault)?;
    // A crash leaves the other name: nothing here needs a journal.
    connection.pragma_update(None, "journal_mode", "OFF").map_err(fault)?;
    connection.pragma_update(None, "synchronous", "OFF").map_err(fault)?;
    connection.pragma_update(None, "cache_size", -BUILD_CACHE_KIB).map_err(fault)?;
    if let Err(error) = fill(&mut connection) {
        drop(connection);
        // What is left of it is only in the way.
        let _ = fs::remove_file(&building);
        return Err(error);
    }
    connection.close().map_err(|(_, error)| fault(error))?;
    File::open(&building)
        .and_then(|file| file.sync_all())
        .map_err(|error| failed("sync", error))?;
    fs::rename(&building, path).map_err(|error| failed("rename", error))?;
    super::file::sync_dir(path).map_err(|error| E::from(DatabaseError::File(error)))
}

/// Opens what `build` made, for reading.
/// # Errors: it is not there, or no database.
pub fn open(path: &Path) -> Result<Connection, DatabaseError> {
    let fault = |error| explain(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    connection
        .pragma_update_and_check(None, "mmap_size", MAPPED_BYTES, |_| Ok(()))
        .map_err(fault)?;
    Ok(connection)
}
