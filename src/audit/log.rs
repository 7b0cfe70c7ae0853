//! The log's store: entries and tree hashes in SQLite, appended within the caller's transaction.
//! One append reads and writes O(log n) hashes. Knows no files: `publish` derives those.

use std::cell::RefCell;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tlog_tiles::{Hash, HashReader, record_hash, stored_hash_index, stored_hashes_for_record_hash, tree_hash};

use super::error::AuditError;
use super::note::{Head, LogKey};
use super::proof;
use super::tiles::MAX_ENTRY;

/// The log's tables. Triggers refuse to change or delete what was written.
///
/// `log_hash` holds every complete subtree's hash under its dense storage index (Crosby and Wallach, 3.3), `log_checkpoint`
/// every head that was ever signed.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS log_entry (idx INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS log_hash (idx INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS log_checkpoint (size INTEGER PRIMARY KEY, root BLOB NOT NULL, note TEXT NOT NULL) STRICT;
CREATE TRIGGER IF NOT EXISTS log_entry_is_never_changed BEFORE UPDATE ON log_entry BEGIN SELECT RAISE(ABORT, 'a log entry is never changed'); END;
CREATE TRIGGER IF NOT EXISTS log_entry_is_never_deleted BEFORE DELETE ON log_entry BEGIN SELECT RAISE(ABORT, 'a log entry is never deleted'); END;
CREATE TRIGGER IF NOT EXISTS log_checkpoint_is_never_changed BEFORE UPDATE ON log_checkpoint BEGIN SELECT RAISE(ABORT, 'a signed checkpoint is never changed'); END;
CREATE TRIGGER IF NOT EXISTS log_checkpoint_is_never_deleted BEFORE DELETE ON log_checkpoint BEGIN SELECT RAISE(ABORT, 'a signed checkpoint is never deleted'); END;
";

/// A log that can be written: its name and its key. The entries are in the database the caller hands in.
pub struct Log {
    pub(super) key: LogKey,
    origin: String,
}

/// Where an entry stands: its zero-based index, and the log's size with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub index: u64,
    pub size: u64,
}

/// A tree head and the checkpoint text that signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    pub head: Head,
    pub checkpoint: String,
}

/// One entry as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub index: u64,
    pub entry: Vec<u8>,
}

impl Log {
    /// The log named `origin`, signed with the Ed25519 key of this seed.
    ///
    /// # Errors: `Origin` if the name is empty or holds white space or `+`.
    pub fn open(seed: &[u8; 32], origin: &str) -> Result<Self, AuditError> {
        Ok(Self {
            key: LogKey::new(seed, origin)?,
            origin: origin.to_owned(),
        })
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The verifier key that checks this log's checkpoints; give it to the sites by another way than the log.
    pub fn vkey(&self) -> String {
        self.key.vkey()
    }

    /// Appends one entry; it is in the log if and when the caller's transaction commits.
    pub fn append(&self, transaction: &Transaction<'_>, entry: &[u8]) -> Result<Appended, AuditError> {
        if entry.len() > MAX_ENTRY {
            return Err(AuditError::EntryTooLong(entry.len()));
        }
        let index = size(transaction)?;
        let hashes = Stored::on(transaction).run(|stored| stored_hashes_for_record_hash(index, record_hash(entry), stored))?;
        transaction
            .prepare("INSERT INTO log_entry (idx, entry) VALUES (?1, ?2)")?
            .execute(params![index as i64, entry])?;
        let mut insert = transaction.prepare("INSERT INTO log_hash (idx, hash) VALUES (?1, ?2)")?;
        for (at, hash) in (stored_hash_index(0, index)..).zip(hashes) {
            insert.execute(params![at as i64, hash.0])?;
        }
        Ok(Appended { index, size: index + 1 })
    }

    /// The signed checkpoint of the log as it is now. The same size gives the same bytes.
    ///
    /// Every head is recorded; one that does not continue the last recorded one is not signed.
    pub fn checkpoint(&self, connection: &Connection) -> Result<SignedHead, AuditError> {
        let size = size(connection)?;
        let root = root(connection, size)?;
        let last = connection
            .prepare("SELECT size, root FROM log_checkpoint ORDER BY size DESC LIMIT 1")?
            .query_row([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, Vec<u8>>(1)?)))
            .optional()?;
        if let Some((earlier, signed)) = &last {
            continues(
                connection,
                *earlier,
                signed,
                size,
                "the database was changed or set back; restore it from its backup",
            )?;
        }
        let checkpoint = self.key.sign(size, root)?;
        if last.is_none_or(|(earlier, _)| earlier < size) {
            connection
                .prepare("INSERT INTO log_checkpoint (size, root, note) VALUES (?1, ?2, ?3)")?
                .execute(params![size as i64, root, checkpoint])?;
        }
        let head = Head {
            origin: self.origin.clone(),
            size,
            root,
        };
        Ok(SignedHead { head, checkpoint })
    }

    /// The inclusion proof of entry `index` in the log as it is now, with the signed checkpoint: a `.tlog-proof` text.
    pub fn proof(&self, connection: &Connection, index: u64) -> Result<String, AuditError> {
        let signed = self.checkpoint(connection)?;
        let size = signed.head.size;
        if index >= size {
            return Err(AuditError::NoSuchEntry { index, size });
        }
        let path = Stored::on(connection).run(|stored| tlog_tiles::prove_record(size, index, stored))?;
        Ok(proof::write(index, &path, &signed.checkpoint))
    }
}

/// How many entries the log has.
pub fn size(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let last: Option<i64> = connection
        .prepare("SELECT max(idx) FROM log_entry")?
        .query_row([], |row| row.get(0))?;
    Ok(last.map_or(0, |last| last as u64 + 1))
}

/// The text of the last checkpoint that was signed, if any was.
pub fn last_checkpoint(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    connection
        .query_row("SELECT note FROM log_checkpoint ORDER BY size DESC LIMIT 1", [], |row| row.get(0))
        .optional()
}

/// At most `limit` entries from index `first` on, in the log's order.
pub fn entries(connection: &Connection, first: u64, limit: u64) -> Result<Vec<Entry>, rusqlite::Error> {
    let mut select = connection.prepare("SELECT idx, entry FROM log_entry WHERE idx >= ?1 ORDER BY idx LIMIT ?2")?;
    let rows = select.query_map(params![first as i64, limit.min(i64::MAX as u64) as i64], |row| {
        Ok(Entry {
            index: row.get::<_, i64>(0)? as u64,
            entry: row.get(1)?,
        })
    })?;
    rows.collect()
}

/// Refuses unless the first `earlier` entries still have the root that was signed for them.
pub(super) fn continues(connection: &Connection, earlier: u64, signed: &[u8], size: u64, hint: &'static str) -> Result<(), AuditError> {
    if earlier > size || root(connection, earlier)?.as_slice() != signed {
        return Err(AuditError::Inconsistent { earlier, size, hint });
    }
    Ok(())
}

/// The root over the first `size` entries.
pub(super) fn root(connection: &Connection, size: u64) -> Result<[u8; 32], AuditError> {
    Ok(Stored::on(connection).run(|stored| tree_hash(size, stored))?.0)
}

/// The hashes at these storage indexes.
pub(super) fn hashes(connection: &Connection, indexes: &[u64]) -> Result<Vec<Hash>, AuditError> {
    let mut select = connection.prepare("SELECT hash FROM log_hash WHERE idx = ?1")?;
    let mut hashes = Vec::with_capacity(indexes.len());
    for index in indexes {
        let hash: Option<Vec<u8>> = select.query_row([*index as i64], |row| row.get(0)).optional()?;
        let hash = hash.and_then(|hash| hash.try_into().ok()).ok_or(AuditError::StoredHash(*index))?;
        hashes.push(Hash(hash));
    }
    Ok(hashes)
}

/// The stored hashes as the tree's mathematics reads them. Its error type has no room for ours, so ours waits aside.
struct Stored<'c> {
    connection: &'c Connection,
    failure: RefCell<Option<AuditError>>,
}

impl<'c> Stored<'c> {
    fn on(connection: &'c Connection) -> Self {
        Self {
            connection,
            failure: RefCell::new(None),
        }
    }

    fn run<T>(self, work: impl FnOnce(&Self) -> Result<T, tlog_tiles::Error>) -> Result<T, AuditError> {
        let result = work(&self);
        match self.failure.into_inner() {
            Some(failure) => Err(failure),
            None => result.map_err(|_| AuditError::Proof("the tree has no such place")),
        }
    }
}

impl HashReader for Stored<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        hashes(self.connection, indexes).map_err(|error| {
            self.failure.replace(Some(error));
            tlog_tiles::Error::IndexesNotInTree
        })
    }
}
