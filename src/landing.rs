//! The sealed raw store: what was pulled, as it came, one immutable segment per file, so that mapping again needs no pull again.
//! zstd, then AES-256-GCM per frame, a SHA-256 over the plain bytes, a row in the site's database. Knows lines, not JSON.
//! A segment is there with its row or not at all; a changed, missing or extra byte of it is an error, never less data.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, Transaction};

pub use self::reader::FrameReader;
pub use self::segment::{Kind, LandingError, Segment};
use self::writer::Place;
pub use self::writer::{Sealed, SegmentWriter};
use crate::origin::SegmentId;
use crate::platform::database;
use crate::platform::file::{self, Lock, LockError};
use crate::platform::random;
use crate::platform::secret::{Secret, hkdf};

mod frame;
mod reader;
mod row;
mod segment;
mod writer;

/// The table of segments. `sealed` is the length of the sealed file in bytes.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS segment (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    run           INTEGER NOT NULL,
    resource_type TEXT NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('resources', 'deleted', 'outcome')),
    lines         INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    sha256        TEXT NOT NULL,
    file          TEXT NOT NULL UNIQUE,
    sealed        INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS segment_by_run ON segment (run);
";

/// The longest line taken, unless `with_line_limit` says otherwise.
const LINE_BYTES: usize = 16 << 20;
const SUFFIX: &str = ".segment";

/// The store in one directory. Cheap to clone. One process at a time writes; others may read.
#[derive(Clone, Debug)]
pub struct Landing {
    dir: Arc<PathBuf>,
    key: Secret,
    database: Arc<Mutex<Connection>>,
    lock: Arc<Result<Lock, LockError>>,
    line_bytes: usize,
}

impl Landing {
    /// Opens or creates the store in `dir` (0700). `database` has `SCHEMA` applied.
    /// Removes what a crash left: unfinished files, and files whose row was never written.
    /// # Errors: the directory or the database cannot be used. When another process writes here, reading still works.
    pub fn open(dir: &Path, seal_key: Secret, database: Arc<Mutex<Connection>>) -> Result<Self, LandingError> {
        file::create_dir_private(dir)?;
        let lock = Lock::acquire(&dir.join("lock"));
        let landing = Self {
            dir: Arc::new(dir.to_owned()),
            key: seal_key,
            database,
            lock: Arc::new(lock),
            line_bytes: LINE_BYTES,
        };
        match landing.lock.as_ref() {
            Ok(_) => landing.tidy()?,
            Err(LockError::Held { .. }) => {}
            Err(LockError::File(_)) => return Err(landing.not_owner()),
        }
        Ok(landing)
    }

    /// The same store, cutting lines longer than `line_bytes` one byte after that, so that whoever reads them with the same
    /// limit refuses them one by one. Default: 16 MiB.
    #[must_use]
    pub fn with_line_limit(mut self, line_bytes: usize) -> Self {
        self.line_bytes = line_bytes;
        self
    }

    /// The longest line taken whole.
    #[must_use]
    pub fn line_limit(&self) -> usize {
        self.line_bytes
    }

    /// A new segment under way. Nothing of it stays when the writer is dropped.
    /// # Errors: another process writes here; the disk is full.
    pub fn begin(&self, run: i64, resource_type: &str, kind: Kind) -> Result<SegmentWriter, LandingError> {
        if self.lock.is_err() {
            return Err(self.not_owner());
        }
        // The name says nothing of the content, and nothing from outside reaches a path.
        let name = format!("{}{SUFFIX}", random::hex(16));
        let place = Place {
            dir: &self.dir,
            key: &self.key,
            line_bytes: self.line_bytes,
            database: &self.database,
        };
        SegmentWriter::begin(&place, name, run, resource_type, kind)
    }

    /// Enters finished files as segments, in one transaction with whatever `also` writes. All or none.
    /// # Errors: the database; the files are removed at the next opening then.
    pub fn register(
        &self,
        sealed: Vec<Sealed>,
        also: impl FnOnce(&Transaction<'_>, &[Segment]) -> Result<(), rusqlite::Error>,
    ) -> Result<Vec<Segment>, LandingError> {
        Ok(row::register(&self.database, sealed, also)?)
    }

    /// Every landed file of every run, in order of landing.
    /// # Errors: the database.
    pub fn all_segments(&self) -> Result<Vec<Segment>, LandingError> {
        let select = format!("{} ORDER BY id", row::SELECT);
        Ok(database::read(&self.database, |db| {
            db.prepare(&select)?.query_map([], row::segment_of)?.collect()
        })?)
    }

    /// The segments of one run, in the order they were landed.
    /// # Errors: the database.
    pub fn segments(&self, run: i64) -> Result<Vec<Segment>, LandingError> {
        let select = format!("{} WHERE run = ?1 ORDER BY id", row::SELECT);
        Ok(database::read(&self.database, |db| {
            db.prepare(&select)?.query_map([run], row::segment_of)?.collect()
        })?)
    }

    /// The segment of this number.
    /// # Errors: `Unknown` when there is none; the database.
    pub fn segment(&self, id: SegmentId) -> Result<Segment, LandingError> {
        let select = format!("{} WHERE id = ?1", row::SELECT);
        let found = database::read(&self.database, |db| {
            db.prepare(&select)?.query_map([id.0], row::segment_of)?.next().transpose()
        })?;
        found.ok_or(LandingError::Unknown(id))
    }

    /// The plain content, frame by frame.
    /// # Errors: the file is missing or its length or head is not what was written. Later faults come from the reader.
    pub fn read(&self, segment: &Segment) -> Result<FrameReader, LandingError> {
        FrameReader::open(&self.dir.join(&segment.file), &self.key, segment)
    }

    /// Reads a segment to its end and throws the content away.
    /// # Errors: as `read` and its reader.
    pub fn verify(&self, segment: &Segment) -> Result<(), LandingError> {
        let mut reader = self.read(segment)?;
        let mut frame = Vec::new();
        while reader.next_into(&mut frame)? {}
        Ok(())
    }

    /// Removes every segment of a run, in one transaction with whatever `also` writes.
    /// # Errors: the database; nothing is removed then.
    pub fn forget(&self, run: i64, also: impl FnOnce(&Transaction<'_>) -> Result<(), rusqlite::Error>) -> Result<(), LandingError> {
        self.forget_segments(self.segments(run)?, also)
    }

    /// Removes these segments, in one transaction with whatever `also` writes.
    /// # Errors: another process writes here; the database; nothing is removed then.
    pub fn forget_segments(
        &self,
        segments: Vec<Segment>,
        also: impl FnOnce(&Transaction<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), LandingError> {
        if self.lock.is_err() {
            return Err(self.not_owner());
        }
        database::transaction(&self.database, |tx| {
            let mut delete = tx.prepare("DELETE FROM segment WHERE id = ?1")?;
            for segment in &segments {
                delete.execute([segment.id.0])?;
            }
            also(tx)
        })?;
        // Row before file: a file without row is removed at the next opening, a row without file would be an error for ever.
        for segment in segments {
            let _ = fs::remove_file(self.dir.join(segment.file));
        }
        Ok(())
    }

    /// The site's database, in which the segments are entered.
    #[must_use]
    pub fn database(&self) -> &Arc<Mutex<Connection>> {
        &self.database
    }

    /// The key under which a pull's journal hides the ids it must remember. Never the key of the segments.
    #[must_use]
    pub fn journal_key(&self) -> Secret {
        hkdf(&self.key, "pull journal")
    }

    fn not_owner(&self) -> LandingError {
        LandingError::NotOwner(match self.lock.as_ref() {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        })
    }

    fn tidy(&self) -> Result<(), LandingError> {
        let known: std::collections::HashSet<String> = database::read(&self.database, |db| {
            db.prepare("SELECT file FROM segment")?.query_map([], |row| row.get(0))?.collect()
        })?;
        let entries = fs::read_dir(self.dir.as_path()).map_err(|_| LandingError::Directory(self.dir.display().to_string()))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(file::TEMPORARY) || (name.ends_with(SUFFIX) && !known.contains(&name)) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
