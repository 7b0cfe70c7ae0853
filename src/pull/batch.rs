//! Lands small files together: twenty thousand files of one line are a few segments, not twenty thousand writes to disk.
//! Files of one kind and type share a segment, which is entered together with the state of each of them. Memory is bounded
//! by `BATCH_BYTES` for each type and by `ALL_BYTES` for all. What is not entered yet is fetched again after a crash.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::body::NotTaken;
use super::by_type::ByType;
use super::job::{self, File, Jobs};
use crate::landing::{Kind, Landing, LandingError, Sealed};

/// A batch is entered when it holds this much,
const BATCH_BYTES: usize = 4 << 20;
/// or this many files: so much is fetched again after a crash, at most.
const BATCH_FILES: usize = 512;
/// With more than this in all batches, the largest is entered.
const ALL_BYTES: usize = 12 << 20;

/// The kind and type that share a segment. An empty type may be any.
pub(super) type Key = (&'static str, String);

/// Small files that are fetched and not entered yet.
pub(super) struct Batches {
    landing: Landing,
    run: i64,
    open: Mutex<BTreeMap<Key, Batch>>,
    landed: AtomicUsize,
}

#[derive(Default)]
struct Batch {
    plain: Vec<u8>,
    files: Vec<Entry>,
}

struct Entry {
    seq: i64,
    problem: Option<String>,
    /// Where in `plain` it stands.
    range: Range<usize>,
}

/// What shares a segment with `file`.
pub(super) fn key_of(file: &File) -> Key {
    (file.listed.kind.as_str(), file.listed.resource_type.clone())
}

impl Batches {
    pub(super) fn new(landing: Landing, run: i64) -> Self {
        Self {
            landing,
            run,
            open: Mutex::default(),
            landed: AtomicUsize::new(0),
        }
    }

    /// Files entered so far.
    pub(super) fn landed(&self) -> usize {
        self.landed.load(Ordering::Relaxed)
    }

    /// Takes the whole content of `file`, to be entered soon.
    /// # Errors: the disk or the database, when a batch was full.
    pub(super) fn add(&self, file: &File, plain: &[u8], problem: Option<String>) -> Result<(), NotTaken> {
        let full = {
            let mut open = self.lock();
            open.entry(key_of(file)).or_default().add(file.seq, plain, problem);
            take_full(&mut open, &key_of(file))
        };
        match full {
            // Written without the lock: the others go on meanwhile.
            Some((key, batch)) => self.enter(&key, batch),
            None => Ok(()),
        }
    }

    /// Enters what is there of one key, when no more of it comes.
    /// # Errors: the disk or the database.
    pub(super) fn flush(&self, key: &Key) -> Result<(), NotTaken> {
        let batch = self.lock().remove(key);
        batch.map_or(Ok(()), |batch| self.enter(key, batch))
    }

    /// Enters everything that is there.
    /// # Errors: as `flush`.
    pub(super) fn flush_all(&self) -> Result<(), NotTaken> {
        let all = std::mem::take(&mut *self.lock());
        all.into_iter().try_for_each(|(key, batch)| self.enter(&key, batch))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Batch>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, key: &Key, mut batch: Batch) -> Result<(), NotTaken> {
        loop {
            let count = batch.files.len();
            match self.register(key, &batch) {
                Ok(()) => {
                    self.landed.fetch_add(count, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => {
                    // A download that was thought dead may have landed some of them meanwhile: without those, then.
                    batch = self.without_landed(batch)?;
                    if batch.files.len() == count {
                        return Err(error);
                    }
                    if batch.files.is_empty() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn register(&self, key: &Key, batch: &Batch) -> Result<(), NotTaken> {
        let sealed = self.seal(key, &batch.plain)?;
        self.landing.register(sealed, |tx, segments| {
            let segment = segments.first().map(|segment| segment.id);
            let mut files = batch.files.iter();
            files.try_for_each(|file| job::landed(tx, self.run, file.seq, segment, file.problem.as_deref()))
        })?;
        Ok(())
    }

    fn seal(&self, (kind, name): &Key, plain: &[u8]) -> Result<Vec<Sealed>, NotTaken> {
        let kind = Kind::parse(kind).unwrap_or(Kind::Resources);
        if kind == Kind::Resources && name.is_empty() {
            let mut sorted = ByType::new(self.landing.clone(), self.run).without_headers();
            sorted.take(plain)?;
            sorted.end()?;
            return Ok(sorted.finish()?);
        }
        let mut writer = self.landing.begin(self.run, name, kind)?;
        writer.write(plain)?;
        Ok(vec![writer.finish()?])
    }

    fn without_landed(&self, batch: Batch) -> Result<Batch, NotTaken> {
        let jobs = Jobs {
            database: self.landing.database(),
            run: self.run,
        };
        let mut rest = Batch::default();
        for file in batch.files {
            if !jobs.is_landed(file.seq).map_err(LandingError::from)? {
                rest.add(file.seq, &batch.plain[file.range], file.problem);
            }
        }
        Ok(rest)
    }
}

impl Batch {
    fn add(&mut self, seq: i64, plain: &[u8], problem: Option<String>) {
        // Between two files there is a line end; at the end of the last there is what the server sent.
        if self.plain.last().is_some_and(|last| *last != b'\n') {
            self.plain.push(b'\n');
        }
        let from = self.plain.len();
        self.plain.extend_from_slice(plain);
        let range = from..self.plain.len();
        self.files.push(Entry { seq, problem, range });
    }

    fn is_full(&self) -> bool {
        self.plain.len() >= BATCH_BYTES || self.files.len() >= BATCH_FILES
    }
}

fn take_full(open: &mut BTreeMap<Key, Batch>, key: &Key) -> Option<(Key, Batch)> {
    if open.get(key).is_some_and(Batch::is_full) {
        return open.remove_entry(key);
    }
    let all: usize = open.values().map(|batch| batch.plain.len()).sum();
    if all <= ALL_BYTES {
        return None;
    }
    let largest = open.iter().max_by_key(|(_, batch)| batch.plain.len()).map(|(key, _)| key.clone())?;
    open.remove_entry(&largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("resources", name.to_owned())
    }

    #[test]
    fn a_line_end_stands_between_files_and_none_is_added_after_the_last() {
        let mut batch = Batch::default();
        for (seq, plain) in [(0, "{}\n"), (1, "{}"), (2, ""), (3, "{}")] {
            batch.add(seq, plain.as_bytes(), None);
        }
        assert_eq!(batch.plain, b"{}\n{}\n{}");
        let ranges: Vec<_> = batch.files.iter().map(|file| &batch.plain[file.range.clone()]).collect();
        assert_eq!(ranges, [&b"{}\n"[..], b"{}", b"", b"{}"]);
    }

    #[test]
    fn a_batch_is_full_by_its_bytes_or_files_and_the_largest_goes_when_all_are_too_much() {
        let mut open = BTreeMap::new();
        let check = |open: &mut BTreeMap<Key, Batch>, name: &str, bytes: usize, expected: Option<&str>| {
            open.entry(key(name)).or_default().add(0, &vec![b' '; bytes], None);
            let full = take_full(open, &key(name)).map(|(key, _)| key.1);
            assert_eq!(full.as_deref(), expected, "{name}");
        };
        check(&mut open, "A", BATCH_BYTES - 2, None);
        check(&mut open, "A", 1, Some("A"));
        for name in ["A", "B", "C"] {
            check(&mut open, name, BATCH_BYTES - 2, None);
        }
        check(&mut open, "D", 5, None);
        check(&mut open, "D", 5, Some("C"));
        for _ in 1..BATCH_FILES {
            check(&mut open, "E", 0, None);
        }
        check(&mut open, "E", 0, Some("E"));
    }
}
