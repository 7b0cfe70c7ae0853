//! A database that is built once and from then on only read: an index of public data. Built under another name, synced and
//! renamed, so that a half-built one is never found; read through a memory map, whose pages all processes share.
//! For tables without patients' values only.

use std::fs::{self, File};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::database::{DatabaseError, explain};
use super::file::FileError;

/// The most that is mapped: more than any vocabulary has.
const MAPPED_BYTES: i64 = 64 << 30;
/// Memory that building may use, in KiB.
const BUILD_CACHE_KIB: i64 = 128 << 10;

/// Ends the name of a database that is being built.
const BUILDING: &str = "building";

/// Removes what a crash left half-built in `folder`, which the caller has for itself.
/// # Errors: the folder cannot be read, a leftover not be removed.
pub fn sweep(folder: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(folder)
        .map_err(|error| FileError::io("read", folder, error))?
        .flatten()
    {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == BUILDING) {
            fs::remove_file(&path).map_err(|error| FileError::io("remove", &path, error))?;
        }
    }
    Ok(())
}

/// Builds the database at `path`, which the caller has for itself, with `fill`, whole or not at all.
/// # Errors: `fill`'s own; the database or its folder cannot be written.
#[expect(
    clippy::disallowed_methods,
    reason = "the file is synced before it is renamed, and its folder after"
)]
pub fn build<E: From<DatabaseError>>(path: &Path, fill: impl FnOnce(&mut Connection) -> Result<(), E>) -> Result<(), E> {
    let building = path.with_extension(BUILDING);
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
