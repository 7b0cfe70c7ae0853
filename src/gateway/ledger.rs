//! The balanced ledger: what was pulled, what became of each resource, what was released, what the registry answered.
//! One SQLite file per site. A run is green only if it balances, resource by resource and row by row.
//!
//! Two kinds of tables: what is *acknowledged* (`source`, `released`, `watermark`: true at the registry) and what is
//! *pending* (`pending_*`: this run's work, thrown away and done again after a crash until the run is packaged).
//! Resource ids stand here only as keyed hashes; row bodies only de-identified.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::quarantine;
use crate::deidentify::{Deidentified, Deidentifier, DeidentifyError, Stored};
use crate::origin::Origin;
use crate::refusal::{Refusal, Step};
use crate::submission;

/// The ledger's tables.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,              -- 'full' | 'incremental'
    phase TEXT NOT NULL,             -- 'pulling' | 'landed' | 'packaged' | 'done' | 'rehearsed' | 'abandoned'
    since TEXT,
    transaction_time TEXT,
    complete INTEGER,
    problems TEXT,
    report TEXT,
    started_at TEXT NOT NULL,
    ended_at TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS watermark (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    since TEXT NOT NULL,
    rules TEXT NOT NULL,
    lookups BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    manifest_sha256 TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS source (  -- the newest acknowledged state of each resource
    key BLOB PRIMARY KEY,            -- keyed hash of Type/id
    type TEXT NOT NULL,
    content BLOB NOT NULL,           -- SHA-256 of the line, first 16 bytes
    fate INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS released ( -- the rows the registry holds
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    source BLOB NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (table_name, row_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS released_by_source ON released (source);
CREATE TABLE IF NOT EXISTS pending_source (
    key BLOB PRIMARY KEY,
    type TEXT NOT NULL,
    content BLOB NOT NULL,
    version TEXT NOT NULL,           -- meta.lastUpdated, to put repeats of one run in order; forgotten with the run
    fate INTEGER NOT NULL,           -- 0: deleted
    reason TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending_row (
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    source BLOB NOT NULL,
    digest BLOB NOT NULL,
    mac BLOB NOT NULL,
    body BLOB,                       -- none for a tombstone
    PRIMARY KEY (table_name, row_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pending_row_by_source ON pending_row (source);
CREATE TABLE IF NOT EXISTS submission (
    id TEXT PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    sequence INTEGER NOT NULL,
    manifest_sha256 TEXT NOT NULL,
    next_mark TEXT NOT NULL,         -- the watermark, once the receipt is proven
    receipt TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS rejected ( -- rows the registry would not take, until a later version is taken
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    source BLOB NOT NULL,
    rule TEXT NOT NULL,
    path TEXT NOT NULL,
    run INTEGER NOT NULL,
    PRIMARY KEY (table_name, row_key)
) STRICT, WITHOUT ROWID;
";

/// What became of a resource. Every one pulled ends in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fate {
    Mapped = 1,
    Excluded = 2,
    Refused = 3,
}

impl Fate {
    fn from_code(code: i64) -> Self {
        match code {
            1 => Fate::Mapped,
            2 => Fate::Excluded,
            _ => Fate::Refused,
        }
    }
}

/// A resource known by its keyed hash.
pub type SourceKey = [u8; 16];

/// What the pipeline found out about one resource.
#[derive(Debug)]
pub enum Outcome {
    /// Same bytes and same rules as last time: nothing to do. Holds the fate of then.
    Unchanged(Fate),
    Mapped(Vec<Sealed>),
    Excluded(&'static str),
    Refused(Refusal),
}

/// A row and the MAC under which it may wait here.
#[derive(Debug)]
pub struct Sealed {
    row: Deidentified,
    mac: [u8; 32],
}

impl Sealed {
    pub fn new(row: Deidentified, by: &Deidentifier) -> Self {
        let mac = by.mac(&row);
        Self { row, mac }
    }
}

/// One resource on its way into the ledger.
#[derive(Debug)]
pub struct Entry {
    pub resource_type: String,
    /// `None` for a line that could not be read far enough to know its id.
    pub key: Option<SourceKey>,
    pub content: [u8; 16],
    pub version: String,
    pub outcome: Outcome,
    /// Read again from the landing because the rules changed; not pulled in this run.
    pub remapped: bool,
    pub origin: Origin,
}

const UNCHANGED: &str = "unchanged";

/// The numbers of one resource type.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TypeCounts {
    pub pulled: u64,
    pub remapped: u64,
    pub mapped: u64,
    pub excluded: u64,
    pub refused: u64,
    /// Of those mapped or excluded: not looked at again, because nothing changed.
    pub unchanged: u64,
    pub deleted: u64,
}

/// The numbers of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub types: BTreeMap<String, TypeCounts>,
    /// Why resources were excluded.
    pub excluded: BTreeMap<String, u64>,
    /// Why resources were refused: `step: rule`.
    pub refused: BTreeMap<String, u64>,
    pub upserts: BTreeMap<String, u64>,
    pub tombstones: BTreeMap<String, u64>,
    pub accepted: u64,
    pub rejected: u64,
}

impl Counts {
    /// Sum of one number over all types.
    pub fn total(&self, number: impl Fn(&TypeCounts) -> u64) -> u64 {
        self.types.values().map(number).sum()
    }

    /// Rows that leave: upserts and tombstones.
    pub fn released(&self) -> u64 {
        self.upserts.values().sum::<u64>() + self.tombstones.values().sum::<u64>()
    }

    /// pulled (and re-mapped) = mapped + excluded + refused, type by type.
    pub fn resources_balance(&self) -> bool {
        self.types
            .values()
            .all(|t| t.pulled + t.remapped == t.mapped + t.excluded + t.refused)
    }

    /// released = accepted + rejected.
    pub fn rows_balance(&self) -> bool {
        self.released() == self.accepted + self.rejected
    }
}

/// What may go wrong with the ledger's file.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the site's ledger (gateway.db) could not be read or written; check the disk, then run again")]
    Database(#[from] rusqlite::Error),
    #[error("a row in the site's ledger (gateway.db) cannot leave")]
    Row(#[from] DeidentifyError),
}

/// The watermark: up to where the registry holds everything, and under which rules.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Watermark {
    pub since: String,
    pub rules: String,
    pub lookups: Vec<u8>,
    pub sequence: u64,
    pub manifest_sha256: Option<String>,
}

/// # Errors: the database.
pub fn watermark(db: &Connection) -> Result<Option<Watermark>, LedgerError> {
    Ok(db
        .query_row(
            "SELECT since, rules, lookups, sequence, manifest_sha256 FROM watermark",
            [],
            |row| {
                Ok(Watermark {
                    since: row.get(0)?,
                    rules: row.get(1)?,
                    lookups: row.get(2)?,
                    sequence: row.get::<_, i64>(3)?.unsigned_abs(),
                    manifest_sha256: row.get(4)?,
                })
            },
        )
        .optional()?)
}

/// The acknowledged state of a resource: content and fate.
/// # Errors: the database.
pub fn known(db: &Connection, key: &SourceKey) -> Result<Option<([u8; 16], Fate)>, LedgerError> {
    Ok(db
        .prepare_cached("SELECT content, fate FROM source WHERE key = ?1")?
        .query_row([&key[..]], |row| Ok((row.get::<_, [u8; 16]>(0)?, Fate::from_code(row.get(1)?))))
        .optional()?)
}

/// Throws away this run's pending work, so that the transform can begin again.
/// # Errors: the database.
pub fn discard_pending(tx: &Transaction<'_>, run: i64) -> Result<(), LedgerError> {
    tx.execute_batch("DELETE FROM pending_source; DELETE FROM pending_row;")?;
    tx.execute("DELETE FROM quarantine WHERE run = ?1", [run])?;
    Ok(())
}

/// Enters one resource: its fate, and how its rows differ from what the registry holds.
/// A repeat within the run replaces the earlier one only if it is newer; either way it is counted.
/// # Errors: the database.
pub fn enter(tx: &Transaction<'_>, by: &Deidentifier, run: i64, entry: &Entry, counts: &mut Counts) -> Result<(), LedgerError> {
    let earlier = entry.key.map(|key| pending_version(tx, &key)).transpose()?.flatten();
    if entry.remapped && earlier.is_some() {
        // This run has a newer state of it, or has mapped it again already.
        return Ok(());
    }
    let types = counts.types.entry(entry.resource_type.clone()).or_default();
    if entry.remapped {
        types.remapped += 1;
    } else {
        types.pulled += 1;
    }
    let Some(key) = entry.key else {
        // Only a line that could not be read has no key.
        types.refused += 1;
        if let Outcome::Refused(refusal) = &entry.outcome {
            count(&mut counts.refused, reason(refusal));
            quarantine::enter(tx, run, &entry.resource_type, entry.origin, refusal)?;
        }
        return Ok(());
    };
    if let Some(earlier) = earlier {
        types.excluded += 1;
        if earlier >= entry.version {
            count(&mut counts.excluded, "repeated in one export, not newer".to_owned());
            return Ok(());
        }
        count(&mut counts.excluded, "replaced by a newer version in the same export".to_owned());
        tx.prepare_cached("DELETE FROM pending_row WHERE source = ?1")?
            .execute([&key[..]])?;
    }
    let (fate, why) = match &entry.outcome {
        Outcome::Unchanged(fate) => (*fate, Some(UNCHANGED.to_owned())),
        Outcome::Mapped(rows) => match enter_rows(tx, by, &key, rows)? {
            Ok(()) => (Fate::Mapped, None),
            Err(refusal) => {
                quarantine::enter(tx, run, &entry.resource_type, entry.origin, &refusal)?;
                (Fate::Refused, Some(reason(&refusal)))
            }
        },
        Outcome::Excluded(why) => {
            enter_rows(tx, by, &key, &[])?.ok();
            (Fate::Excluded, Some((*why).to_owned()))
        }
        // The rows of an earlier, good version stay at the registry until the resource is mended.
        Outcome::Refused(refusal) => {
            quarantine::enter(tx, run, &entry.resource_type, entry.origin, refusal)?;
            (Fate::Refused, Some(reason(refusal)))
        }
    };
    tx.prepare_cached("INSERT OR REPLACE INTO pending_source (key, type, content, version, fate, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            &key[..],
            entry.resource_type,
            &entry.content[..],
            entry.version,
            fate as u8,
            why
        ])?;
    Ok(())
}

/// Adds to `counts` what the pending tables say: the fate of every resource, the rows that will leave.
/// # Errors: the database.
pub fn tally(db: &Connection, counts: &mut Counts) -> Result<(), LedgerError> {
    let mut statement = db.prepare("SELECT type, fate, reason, count(*) FROM pending_source WHERE fate > 0 GROUP BY 1, 2, 3")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let types = counts.types.entry(row.get(0)?).or_default();
        let why: Option<String> = row.get(2)?;
        let number = row.get::<_, i64>(3)?.unsigned_abs();
        let fate = Fate::from_code(row.get(1)?);
        match fate {
            Fate::Mapped => types.mapped += number,
            Fate::Excluded => types.excluded += number,
            Fate::Refused => types.refused += number,
        }
        match (fate, why) {
            (_, Some(why)) if why == UNCHANGED => types.unchanged += number,
            (Fate::Excluded, Some(why)) => *counts.excluded.entry(why).or_default() += number,
            (Fate::Refused, Some(why)) => *counts.refused.entry(why).or_default() += number,
            _ => {}
        }
    }
    let mut statement = db.prepare("SELECT table_name, body IS NOT NULL, count(*) FROM pending_row GROUP BY 1, 2")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let side = if row.get(1)? { &mut counts.upserts } else { &mut counts.tombstones };
        *side.entry(row.get(0)?).or_default() += row.get::<_, i64>(2)?.unsigned_abs();
    }
    Ok(())
}

/// Calls `each` with every pending row in canonical order (table, key), re-made only if this site's key sealed it.
/// # Errors: the database, a forged row, or what `each` returns.
pub fn each_pending_row<E: From<LedgerError>>(
    db: &Connection,
    by: &Deidentifier,
    mut each: impl FnMut(Deidentified) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = db
        .prepare("SELECT table_name, row_key, mac, body FROM pending_row ORDER BY table_name, row_key")
        .map_err(LedgerError::from)?;
    let mut found = statement.query([]).map_err(LedgerError::from)?;
    while let Some(row) = found.next().map_err(LedgerError::from)? {
        let row = restore(row, by)?;
        each(row)?;
    }
    Ok(())
}

fn restore(row: &rusqlite::Row<'_>, by: &Deidentifier) -> Result<Deidentified, LedgerError> {
    let (table, key): (String, String) = (row.get(0)?, row.get(1)?);
    let (mac, body): (Vec<u8>, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?);
    Ok(by.restore(Stored {
        table: &table,
        key: &key,
        body: body.as_deref(),
        mac: &mac,
    })?)
}

/// The registry has answered: what it accepted is now what it holds, what it rejected is noted, the watermark moves.
/// One transaction, the caller's: a crash before its commit repeats the question and gets the same answer.
/// # Errors: the database.
pub fn acknowledge(tx: &Transaction<'_>, run: i64, rejected: &[submission::Outcome], mark: &Watermark) -> Result<(), LedgerError> {
    for row in rejected {
        tx.prepare_cached(
            "INSERT OR REPLACE INTO rejected (table_name, row_key, source, rule, path, run)
             SELECT table_name, row_key, source, ?3, ?4, ?5 FROM pending_row WHERE table_name = ?1 AND row_key = ?2",
        )?
        .execute(params![row.table, row.key, row.rule, row.path, run])?;
        tx.prepare_cached("DELETE FROM pending_row WHERE table_name = ?1 AND row_key = ?2")?
            .execute([&row.table, &row.key])?;
    }
    tx.execute_batch(
        "DELETE FROM rejected WHERE EXISTS (SELECT 1 FROM pending_row p WHERE p.table_name = rejected.table_name AND p.row_key = rejected.row_key);
         DELETE FROM released WHERE EXISTS
            (SELECT 1 FROM pending_row p WHERE p.body IS NULL AND p.table_name = released.table_name AND p.row_key = released.row_key);
         INSERT OR REPLACE INTO released (table_name, row_key, source, digest)
            SELECT table_name, row_key, source, digest FROM pending_row WHERE body IS NOT NULL;
         DELETE FROM source WHERE key IN (SELECT key FROM pending_source WHERE fate = 0);
         INSERT OR REPLACE INTO source (key, type, content, fate) SELECT key, type, content, fate FROM pending_source WHERE fate > 0;
         DELETE FROM pending_source;
         DELETE FROM pending_row;",
    )?;
    tx.execute(
        "INSERT OR REPLACE INTO watermark (only, since, rules, lookups, sequence, manifest_sha256) VALUES (1, ?1, ?2, ?3, ?4, ?5)",
        params![
            mark.since,
            mark.rules,
            mark.lookups,
            mark.sequence.cast_signed(),
            mark.manifest_sha256
        ],
    )?;
    Ok(())
}

/// Resources of the pulled types that the registry has rows of, but that a complete full pull did not show: gone.
/// Returns how many were entered as deleted, and how many were known in all.
/// # Errors: the database.
pub fn enter_vanished(tx: &Transaction<'_>, by: &Deidentifier, types: &[String], counts: &mut Counts) -> Result<(u64, u64), LedgerError> {
    let (mut gone, mut known) = (0, 0);
    for resource_type in types {
        let keys: Vec<SourceKey> = tx
            .prepare_cached("SELECT key FROM source WHERE type = ?1 AND key NOT IN (SELECT key FROM pending_source)")?
            .query_map([resource_type], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        known += tx
            .query_row("SELECT count(*) FROM source WHERE type = ?1", [resource_type], |row| {
                row.get::<_, i64>(0)
            })?
            .unsigned_abs();
        for key in &keys {
            enter_deleted(tx, by, resource_type, key, counts)?;
            gone += 1;
        }
    }
    Ok((gone, known))
}

/// Enters a deletion: tombstones for every row that came from the resource.
/// # Errors: the database.
pub fn enter_deleted(
    tx: &Transaction<'_>,
    by: &Deidentifier,
    resource_type: &str,
    key: &SourceKey,
    counts: &mut Counts,
) -> Result<(), LedgerError> {
    counts.types.entry(resource_type.to_owned()).or_default().deleted += 1;
    if pending_version(tx, key)?.is_none() {
        enter_rows(tx, by, key, &[])?.ok();
        tx.prepare_cached(
            "INSERT OR REPLACE INTO pending_source (key, type, content, version, fate) VALUES (?1, ?2, zeroblob(16), '', 0)",
        )?
        .execute(params![&key[..], resource_type])?;
    }
    Ok(())
}

/// Pending rows of one resource: what differs from the registry, and tombstones for what is gone.
/// The inner error is the data's: two resources that claim one row key.
fn enter_rows(tx: &Transaction<'_>, by: &Deidentifier, key: &SourceKey, rows: &[Sealed]) -> Result<Result<(), Refusal>, LedgerError> {
    for Sealed { row, .. } in rows {
        let owner: Option<[u8; 16]> = tx
            .prepare_cached(
                "SELECT source FROM pending_row WHERE table_name = ?1 AND row_key = ?2 AND body IS NOT NULL
                 UNION ALL SELECT source FROM released WHERE table_name = ?1 AND row_key = ?2",
            )?
            .query_row([row.table(), row.key()], |row| row.get(0))
            .optional()?;
        if owner.is_some_and(|owner| owner != *key) {
            return Ok(Err(Refusal::new(Step::Map, row.table(), "row key of another resource")));
        }
    }
    let mut held: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
    {
        let mut statement = tx.prepare_cached("SELECT table_name, row_key, digest FROM released WHERE source = ?1")?;
        let mut found = statement.query([&key[..]])?;
        while let Some(row) = found.next()? {
            held.insert((row.get(0)?, row.get(1)?), row.get(2)?);
        }
    }
    for sealed in rows {
        let before = held.remove(&(sealed.row.table().to_owned(), sealed.row.key().to_owned()));
        if before.as_deref() != Some(&sealed.row.digest()[..]) {
            insert_row(tx, key, sealed)?;
        }
    }
    for (table, row_key) in held.into_keys() {
        insert_row(tx, key, &Sealed::new(by.tombstone(&table, &row_key)?, by))?;
    }
    Ok(Ok(()))
}

fn insert_row(tx: &Transaction<'_>, key: &SourceKey, Sealed { row, mac }: &Sealed) -> Result<(), LedgerError> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO pending_row (table_name, row_key, source, digest, mac, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![row.table(), row.key(), &key[..], &row.digest()[..], &mac[..], row.body()])?;
    Ok(())
}

fn pending_version(tx: &Transaction<'_>, key: &SourceKey) -> Result<Option<String>, LedgerError> {
    Ok(tx
        .prepare_cached("SELECT version FROM pending_source WHERE key = ?1")?
        .query_row([&key[..]], |row| row.get(0))
        .optional()?)
}

fn count(map: &mut BTreeMap<String, u64>, key: String) {
    *map.entry(key).or_default() += 1;
}

fn reason(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.step.as_str(), refusal.rule)
}
