//! Pulls from a folder: `*.ndjson[.gz]` as they are, `*.json` (a Bundle or one resource) as one line per resource.
//! A file is landed once by its content, whatever it is called. Names are not told: people put patients' names into them.
//! Entries of a Bundle that delete are landed as deletions; entries that hold nothing (responses) are passed over.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::{Connection, Transaction, params};

use super::body::{Caps, NotTaken, take_ndjson, unpack};
use super::by_type::ByType;
use super::error::PullError;
use super::job::Jobs;
use super::settings::{Limits, Listener, Progress, Request};
use crate::fhir::types::TypeId;
use crate::landing::{Kind, Landing};
use crate::platform::clock::Clock;
use crate::platform::database::{self, DatabaseError};
use crate::platform::secret::{Sha256, hex};

/// JSON files are landed together until they are this much, so that a thousand small Bundles are a few segments.
const BATCH_BYTES: u64 = 64 << 20;

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Ndjson,
    Json,
}

/// Lands every file of `folder` that is not landed yet: by this run, or, when `since` is given, by any.
/// Gives back what is missing or odd.
/// # Errors: ours only.
pub(super) async fn pull(
    folder: &Path,
    request: Request,
    landing: &Landing,
    clock: &Clock,
    limits: &Limits,
    listener: Listener<'_>,
) -> Result<Vec<String>, PullError> {
    let jobs = Jobs {
        database: landing.database(),
        run: request.run,
    };
    let job = jobs.open(clock.now())?;
    if job.transaction_time.is_none() {
        // The moment before the first look: what changes later is the next run's.
        jobs.listed(job.begun_at, false, &[])?;
    }
    let files = list(folder)?;
    let total = files.len();
    listener(Progress::Listed { files: total });
    let work = Work {
        landing: landing.clone(),
        request,
        limits: limits.clone(),
    };
    let (mut problems, mut bytes, mut batch) = (Vec::new(), 0, Batch::default());
    for (done, (path, form)) in (1..).zip(files) {
        let work = work.clone();
        let landed = tokio::task::spawn_blocking(move || {
            let landed = work.land(&path, form, &mut batch);
            landed.map(|landed| (landed, batch))
        });
        let (landed, rest) = landed.await.map_err(|_| PullError::Interrupted)??;
        batch = rest;
        match landed {
            Ok(landed) => bytes += landed,
            Err(problem) => problems.push(format!("file {done} of the folder, by name: {problem}")),
        }
        listener(Progress::Downloading { done, total, bytes });
    }
    let rest = tokio::task::spawn_blocking(move || work.enter(&mut batch));
    rest.await.map_err(|_| PullError::Interrupted)??;
    if problems.is_empty() {
        jobs.done()?;
    }
    Ok(problems)
}

/// The files of the folder that we read, by name.
fn list(folder: &Path) -> Result<Vec<(PathBuf, Form)>, PullError> {
    let fault = |_| PullError::Folder(folder.display().to_string());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let form = if name.ends_with(".ndjson") || name.ends_with(".ndjson.gz") {
            Form::Ndjson
        } else if name.ends_with(".json") {
            Form::Json
        } else {
            continue;
        };
        if path.is_file() && !name.starts_with('.') {
            files.push((path, form));
        }
    }
    files.sort();
    Ok(files)
}

/// JSON files under way to one set of segments.
#[derive(Default)]
struct Batch {
    lines: Option<ByType>,
    digests: Vec<String>,
}

#[derive(Clone)]
struct Work {
    landing: Landing,
    request: Request,
    limits: Limits,
}

impl Work {
    /// Plain bytes landed, or why none.
    fn land(&self, path: &Path, form: Form, batch: &mut Batch) -> Result<Result<u64, String>, PullError> {
        let landed = match form {
            Form::Ndjson => self.ndjson(path),
            Form::Json => self.json(path, batch),
        };
        match landed {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(NotTaken::Landing(error)) => Err(error.into()),
            Err(other) => Ok(Err(other.to_string())),
        }
    }

    fn ndjson(&self, path: &Path) -> Result<u64, NotTaken> {
        let digest = digest_of(path)?;
        if self.is_landed(&digest)? {
            return Ok(0);
        }
        let caps = Caps {
            plain_bytes: self.limits.file_bytes,
            ratio: self.limits.ratio,
        };
        let run = self.request.run;
        let mut source = Digesting::open(path)?;
        let (sealed, bytes) = match type_of(path) {
            Some(name) => {
                let mut writer = self.landing.begin(run, name, Kind::Resources)?;
                take_ndjson(BufReader::with_capacity(256 << 10, &mut source), &caps, &mut writer)?;
                let bytes = writer.bytes();
                (vec![writer.finish()?], bytes)
            }
            None => {
                let mut lines = ByType::new(self.landing.clone(), run);
                unpack(BufReader::with_capacity(256 << 10, &mut source), &caps, |plain| lines.take(plain))?;
                lines.end()?;
                let bytes = lines.bytes();
                (lines.finish()?, bytes)
            }
        };
        if source.finish()? != digest {
            return Err(NotTaken::Cut("it changed while it was read; run again when it is still"));
        }
        self.landing.register(sealed, |tx, _| mark(tx, run, &digest))?;
        Ok(bytes)
    }

    fn json(&self, path: &Path, batch: &mut Batch) -> Result<u64, NotTaken> {
        let mut text = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(self.limits.bundle_bytes + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > self.limits.bundle_bytes {
            return Err(NotTaken::Refused(format!("it is longer than {} bytes", self.limits.bundle_bytes)));
        }
        let digest = hex(&crate::platform::secret::sha256(&text));
        if batch.digests.contains(&digest) || self.is_landed(&digest)? {
            return Ok(0);
        }
        let lines = batch
            .lines
            .get_or_insert_with(|| ByType::new(self.landing.clone(), self.request.run));
        let before = lines.bytes();
        lines.bundle(&text)?;
        let bytes = lines.bytes() - before;
        let is_full = lines.bytes() >= BATCH_BYTES;
        batch.digests.push(digest);
        if is_full {
            self.enter(batch)?;
        }
        Ok(bytes)
    }

    /// Makes segments of the batch, together with the note that its files are landed.
    fn enter(&self, batch: &mut Batch) -> Result<(), crate::landing::LandingError> {
        let Some(lines) = batch.lines.take() else { return Ok(()) };
        let digests = std::mem::take(&mut batch.digests);
        self.landing.register(lines.finish()?, |tx, _| {
            digests.iter().try_for_each(|digest| mark(tx, self.request.run, digest))
        })?;
        Ok(())
    }

    fn is_landed(&self, digest: &str) -> Result<bool, NotTaken> {
        let any_run = self.request.since.is_some();
        is_landed(self.landing.database(), self.request.run, digest, any_run).map_err(|error| NotTaken::Landing(error.into()))
    }
}

fn mark(tx: &Transaction<'_>, run: i64, digest: &str) -> Result<(), rusqlite::Error> {
    tx.execute("INSERT INTO landed_file (digest, run) VALUES (?1, ?2)", params![digest, run])
        .map(drop)
}

fn is_landed(database: &Mutex<Connection>, run: i64, digest: &str, any_run: bool) -> Result<bool, DatabaseError> {
    database::read(database, |db| {
        db.query_row(
            "SELECT EXISTS (SELECT 1 FROM landed_file WHERE digest = ?1 AND (run = ?2 OR ?3))",
            params![digest, run, any_run],
            |row| row.get(0),
        )
    })
}

/// The resource type a file's name begins with, when FHIR has it: `Observation.000.ndjson.gz`, `Patient-2.ndjson`.
fn type_of(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    let end = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
    TypeId::of(&name[..end]).filter(|found| found.is_resource()).map(TypeId::as_str)
}

fn digest_of(path: &Path) -> Result<String, NotTaken> {
    let mut source = Digesting::open(path)?;
    std::io::copy(&mut source, &mut std::io::sink()).map_err(unreadable)?;
    source.finish()
}

fn unreadable(_: std::io::Error) -> NotTaken {
    NotTaken::Cut("it could not be read")
}

/// A file that is hashed as it is read.
struct Digesting {
    file: File,
    digest: Sha256,
}

impl Digesting {
    fn open(path: &Path) -> Result<Self, NotTaken> {
        Ok(Self {
            file: File::open(path).map_err(unreadable)?,
            digest: Sha256::new(),
        })
    }

    /// The digest of the whole file; what is left of it is read first.
    fn finish(mut self) -> Result<String, NotTaken> {
        std::io::copy(&mut self, &mut std::io::sink()).map_err(unreadable)?;
        Ok(hex(&self.digest.finish()))
    }
}

impl Read for Digesting {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let length = self.file.read(out)?;
        self.digest.update(&out[..length]);
        Ok(length)
    }
}
