//! Applies one received submission: rows, outcomes, counts, log leaf and receipt in one transaction, or nothing at all.
//! Chunks are unpacked and checked as they stream; memory is a line, not a submission. What does not fit its table is
//! rejected row by row; what contradicts the manifest refuses the whole submission.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jiff::Timestamp;
use rusqlite::{Statement, Transaction, params};

use super::check::TableCheck;
use super::drop::FileDrop;
use super::fault::Fault;
use super::store::{self, int, stamp};
use super::submit::{Accepted, find, leaf};
use crate::audit;
use crate::platform::secret::{Sha256, hex};
use crate::submission::{
    CHUNK_MAX_PLAIN_BYTES, CHUNK_MAX_RATIO, CHUNK_WINDOW_LOG_MAX, LINE_MAX_BYTES, Line, Manifest, Op, Output, Receipt, SubmissionId,
};

/// What applying needs.
pub(super) struct Applying<'a> {
    pub(super) files: &'a FileDrop,
    pub(super) models: &'a [Accepted],
    pub(super) log: &'a audit::Log,
    pub(super) now: Timestamp,
    /// Rows done so far, for the status page.
    pub(super) progress: &'a AtomicU64,
    pub(super) stopping: &'a AtomicBool,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    upserts: u64,
    tombstones: u64,
    accepted: u64,
    rejected: u64,
    /// Rows more than before; deletions count against it.
    grown: i64,
}

impl Applying<'_> {
    /// Applies the submission `manifest` within `tx`.
    /// # Errors: `Refused` with the reason when it contradicts its manifest; any other leaves it waiting. Roll back on each.
    pub(super) fn apply(&self, tx: &Transaction<'_>, manifest: &Manifest) -> Result<(), Fault> {
        let gone = || Fault::NotFound("the submission is not there any more");
        let id = SubmissionId::parse(&manifest.submission).ok_or_else(gone)?;
        let site = store::site(tx, &manifest.site)?.ok_or_else(gone)?;
        let chain = manifest.verify_chain(site.last_sequence, site.last_manifest_sha256.as_deref());
        chain.map_err(|fault| Fault::Refused(fault.to_string()))?;
        let model = find(self.models, &manifest.model);
        let model = model.ok_or_else(|| Fault::Refused(format!("model: `{}` is not accepted here", manifest.model)))?;
        let mut tables: BTreeMap<&str, Counts> = BTreeMap::new();
        let mut statements = Statements::prepare(tx)?;
        for (at, output) in manifest.output.iter().enumerate() {
            let check = model.check.table(&output.table);
            let check = check.ok_or_else(|| Fault::Refused(format!("model: `{}` has no table `{}`", manifest.model, output.table)))?;
            let mut chunk = ApplyChunk {
                applying: self,
                statements: &mut statements,
                manifest,
                output,
                at,
                check,
            };
            let counts = tables.entry(&output.table).or_default();
            chunk.apply(&id, counts)?;
        }
        drop(statements);
        self.close(tx, manifest, &tables)
    }

    /// Writes what the submission came to: counts, leaf, receipt, the site's place in its chain.
    fn close(&self, tx: &Transaction<'_>, manifest: &Manifest, tables: &BTreeMap<&str, Counts>) -> Result<(), Fault> {
        let id = &manifest.submission;
        let mut sum = Counts::default();
        for (table, counts) in tables {
            sum.upserts += counts.upserts;
            sum.tombstones += counts.tombstones;
            sum.accepted += counts.accepted;
            sum.rejected += counts.rejected;
            tx.execute(
                "INSERT INTO submission_table (submission, table_name, upserts, tombstones, accepted, rejected) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id, table, int(counts.upserts), int(counts.tombstones), int(counts.accepted), int(counts.rejected)],
            )?;
            tx.execute(
                "INSERT INTO row_count (site, table_name, row_count) VALUES (?1, ?2, ?3)
                 ON CONFLICT (site, table_name) DO UPDATE SET row_count = row_count + excluded.row_count",
                params![manifest.site, table, counts.grown],
            )?;
        }
        let mut leaf = leaf(tx, self.now, manifest, "submission-accepted")?;
        leaf.accepted = sum.accepted;
        leaf.rejected = sum.rejected;
        leaf.upserts = sum.upserts;
        leaf.tombstones = sum.tombstones;
        let entry = leaf.bytes();
        let appended = self.log.append(tx, &entry)?;
        let proof = self.log.proof(tx, appended.index)?;
        let receipt = Receipt::text(&proof, &entry).expect("audit writes a tlog-proof without an extra line");
        tx.execute(
            "UPDATE submission SET state = 'applied', reason = NULL, applied_at = ?2, accepted = ?3, rejected = ?4, upserts = ?5,
                tombstones = ?6, leaf_index = ?7, receipt = ?8 WHERE id = ?1",
            params![
                id,
                stamp(self.now),
                int(sum.accepted),
                int(sum.rejected),
                int(sum.upserts),
                int(sum.tombstones),
                int(appended.index),
                receipt
            ],
        )?;
        tx.execute(
            "UPDATE site SET last_sequence = ?2, last_manifest_sha256 = ?3 WHERE name = ?1",
            params![manifest.site, int(manifest.sequence), manifest.sha256()],
        )?;
        Ok(())
    }
}

/// What is done with each row, prepared once.
struct Statements<'t> {
    insert: Statement<'t>,
    update: Statement<'t>,
    delete: Statement<'t>,
    reject: Statement<'t>,
}

impl<'t> Statements<'t> {
    fn prepare(tx: &'t Transaction<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            insert: tx
                .prepare("INSERT OR IGNORE INTO cdm_row (table_name, site, row_key, body, submission) VALUES (?1, ?2, ?3, ?4, ?5)")?,
            update: tx.prepare(
                "UPDATE cdm_row SET body = ?4, submission = ?5
                 WHERE table_name = ?1 AND site = ?2 AND row_key = ?3 AND submission <> ?5",
            )?,
            delete: tx.prepare("DELETE FROM cdm_row WHERE table_name = ?1 AND site = ?2 AND row_key = ?3")?,
            reject: tx.prepare("INSERT INTO outcome (submission, table_name, row_key, rule, path) VALUES (?1, ?2, ?3, ?4, ?5)")?,
        })
    }
}

/// One chunk on its way into the tables.
struct ApplyChunk<'c, 't> {
    applying: &'c Applying<'c>,
    statements: &'c mut Statements<'t>,
    manifest: &'c Manifest,
    output: &'c Output,
    at: usize,
    check: &'c TableCheck,
}

impl ApplyChunk<'_, '_> {
    fn apply(&mut self, id: &SubmissionId, counts: &mut Counts) -> Result<(), Fault> {
        let path = self.applying.files.chunk_path(id, &self.output.sha256)?;
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.refused("chunk", "is not in the drop any more; put it again and submit again"));
            }
            opened => opened?,
        };
        let mut packed = Hashing {
            file,
            hash: Sha256::new(),
            bytes: 0,
            failed: None,
        };
        let before = *counts;
        let read = self.apply_lines(&mut packed, counts);
        if let Some(error) = packed.failed.take() {
            return Err(error.into());
        }
        // The digest before all else: bytes that are not the signed ones have nothing to say.
        io::copy(&mut packed, &mut io::sink())?;
        if hex(&packed.hash.finish()) != self.output.sha256 || packed.bytes != self.output.bytes {
            self.applying.files.remove_chunk(id, &self.output.sha256)?;
            return Err(self.refused("chunk", "does not have the bytes that its name says; put it again and submit again"));
        }
        read?;
        let (upserts, tombstones) = (counts.upserts - before.upserts, counts.tombstones - before.tombstones);
        if (upserts, tombstones) != (self.output.upserts, self.output.tombstones) {
            return Err(self.refused("counts", "holds other numbers of upserts and tombstones than the manifest says"));
        }
        Ok(())
    }

    fn refused(&self, word: &str, what: &str) -> Fault {
        Fault::Refused(format!("{word}: output[{}] {what}", self.at))
    }

    fn apply_lines(&mut self, packed: &mut Hashing, counts: &mut Counts) -> Result<(), Fault> {
        let mut unpacked = zstd::stream::read::Decoder::new(packed)?;
        unpacked.window_log_max(CHUNK_WINDOW_LOG_MAX)?;
        let most = (self.output.bytes * CHUNK_MAX_RATIO).clamp(1 << 20, CHUNK_MAX_PLAIN_BYTES);
        let mut lines = BufReader::with_capacity(64 << 10, unpacked.take(most + 1));
        let mut line = Vec::new();
        let mut plain = 0_u64;
        for number in 1_u64.. {
            line.clear();
            let read = (&mut lines).take(LINE_MAX_BYTES as u64 + 2).read_until(b'\n', &mut line);
            let read = read.map_err(|_| self.refused("line", "cannot be unpacked as zstd"))?;
            plain += read as u64;
            if plain > most {
                return Err(self.refused("line", "unpacks to more bytes than a chunk may"));
            }
            if read == 0 {
                break;
            }
            let fault = |what: &dyn std::fmt::Display| Fault::Refused(format!("line: output[{}] line {number} {what}", self.at));
            if line.pop() != Some(b'\n') {
                return Err(fault(&"is too long or has no newline"));
            }
            let row = Line::read(&line).map_err(|error| fault(&error))?;
            if row.table != self.output.table {
                return Err(fault(&"is of another table than the manifest says"));
            }
            self.apply_line(&row, counts)?;
            self.applying.progress.fetch_add(1, Ordering::Relaxed);
            if self.applying.stopping.load(Ordering::Relaxed) {
                return Err(Fault::Stopping);
            }
        }
        Ok(())
    }

    fn apply_line(&mut self, line: &Line<'_>, counts: &mut Counts) -> Result<(), Fault> {
        let done = match line.op {
            Op::Delete => {
                counts.tombstones += 1;
                let gone = self.statements.delete.execute(params![line.table, self.manifest.site, line.key])?;
                counts.grown -= i64::try_from(gone).unwrap_or_default();
                Ok(())
            }
            Op::Upsert(row) => {
                counts.upserts += 1;
                match self.check.check(&line.key, row) {
                    Ok(()) => self.upsert(line, row, counts)?,
                    Err(fault) => Err((fault.rule, fault.path)),
                }
            }
        };
        match done {
            Ok(()) => counts.accepted += 1,
            Err((rule, path)) => {
                counts.rejected += 1;
                let reject = &mut self.statements.reject;
                reject.execute(params![self.manifest.submission, line.table, line.key, rule, path])?;
            }
        }
        Ok(())
    }

    /// Writes a row that fits; the same key twice in one submission is rejected the second time.
    fn upsert(&mut self, line: &Line<'_>, row: &str, counts: &mut Counts) -> Result<Result<(), (String, String)>, Fault> {
        let values = params![line.table, self.manifest.site, line.key, row, self.manifest.submission];
        if self.statements.insert.execute(values)? == 1 {
            counts.grown += 1;
            return Ok(Ok(()));
        }
        let written = self.statements.update.execute(values)?;
        Ok(if written == 1 {
            Ok(())
        } else {
            Err(("duplicate".into(), String::new()))
        })
    }
}

/// A chunk's file, hashed as it is read. Remembers a fault of the disk, which the unpacker would pass on as its own.
struct Hashing {
    file: File,
    hash: Sha256,
    bytes: u64,
    failed: Option<io::Error>,
}

impl Read for Hashing {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.file.read(out) {
            Ok(read) => {
                self.hash.update(&out[..read]);
                self.bytes += read as u64;
                Ok(read)
            }
            Err(error) => {
                self.failed = Some(io::Error::from(error.kind()));
                Err(error)
            }
        }
    }
}
