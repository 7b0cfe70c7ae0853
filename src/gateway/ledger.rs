//! The balanced ledger: what was pulled, what became of each resource, what was released, what the registry answered.
//! One SQLite file per site. A run is green only if it balances, resource by resource and row by row.
//!
//! Two kinds of tables: what is *acknowledged* (`source`, `released`, `watermark`: true at the registry) and what is
//! *pending* (`pending_*`: this run's work, thrown away and done again after a crash until the run is packaged).
//! Resource ids stand here only as keyed hashes; row bodies only de-identified.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::counts::{Counts, Fate};
use super::{about, inherit, shares};
use crate::deidentify::{Deidentified, Deidentifier, DeidentifyError, Stored};
use crate::submission;

/// The ledger's tables.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,              -- 'full' | 'incremental' | 'backfill'
    phase TEXT NOT NULL,             -- 'pulling' | 'landed' | 'packaged' | 'done' | 'rehearsed' | 'abandoned'
    since TEXT,
    transaction_time TEXT,
    complete INTEGER,
    problems TEXT,
    report TEXT,
    started_at TEXT NOT NULL,
    ended_at TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS run_scope (  -- what a run asks for, and what the pull proved of it
    run INTEGER PRIMARY KEY REFERENCES run (id),
    since_by_type TEXT NOT NULL,     -- JSON
    until TEXT,
    patients BLOB,                   -- of a backfill: sealed, for these are ids
    proven TEXT                      -- JSON by type: whole, reached
) STRICT;
CREATE TABLE IF NOT EXISTS type_watermark ( -- up to where the registry holds everything of a type
    type TEXT PRIMARY KEY,
    since TEXT NOT NULL
) STRICT, WITHOUT ROWID;
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
    content BLOB NOT NULL,           -- SHA-256 of the canonical content, first 16 bytes
    fate INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS released ( -- the rows the registry holds
    source BLOB NOT NULL,
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    digest BLOB NOT NULL,
    run INTEGER,                      -- that released it as it is; none: taken over, or from before this was kept
    PRIMARY KEY (source, table_name, row_key)
) STRICT, WITHOUT ROWID;
-- The pending tables only grow at their end while a run fills them: with a random place for each row the disk, and not the
-- work, would set the pace. Their indexes are made once, when the export is in (`enter::settle`).
CREATE TABLE IF NOT EXISTS pending_source (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    type TEXT NOT NULL,
    content BLOB NOT NULL,
    version TEXT NOT NULL,           -- meta.lastUpdated, to put repeats of one run in order; forgotten with the run
    fate INTEGER NOT NULL,           -- 0: deleted
    reason TEXT,
    segment INTEGER NOT NULL,        -- where it lies, 0 for what is deleted
    line INTEGER NOT NULL,
    rows_after INTEGER NOT NULL,     -- its pending rows are those behind this id, up to and with `rows_to`
    rows_to INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS pending_row (
    id INTEGER PRIMARY KEY,
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    source BLOB NOT NULL,
    digest BLOB NOT NULL,
    mac BLOB NOT NULL,
    body BLOB                        -- none for a tombstone
) STRICT;
CREATE TABLE IF NOT EXISTS derived_share ( -- what the acknowledged state of a resource gives to a derived row (`shares`)
    source BLOB NOT NULL,
    grp BLOB NOT NULL,               -- keyed hash of the derived table and the group's value
    table_name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (source, grp)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS derived_share_by_group ON derived_share (grp);
CREATE TABLE IF NOT EXISTS derived_group ( -- the groups whose row the registry holds: `released.source` of derived rows
    grp BLOB PRIMARY KEY,
    table_name TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending_share (
    source BLOB NOT NULL,
    segment INTEGER NOT NULL,
    line INTEGER NOT NULL,
    grp BLOB,                        -- none: what the resource gave before holds no more
    table_name TEXT,
    sealed BLOB
) STRICT;
CREATE TABLE IF NOT EXISTS pending_group ( -- to be made anew
    grp BLOB PRIMARY KEY,
    table_name TEXT NOT NULL
) STRICT, WITHOUT ROWID;
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
CREATE INDEX IF NOT EXISTS rejected_by_source ON rejected (source);
";

/// Brings the tables of an older ledger up to `SCHEMA`.
/// # Errors: the database.
pub fn upgrade(db: &Connection) -> rusqlite::Result<()> {
    let has_run = db
        .prepare("SELECT 1 FROM pragma_table_info('released') WHERE name = 'run'")?
        .exists([])?;
    if has_run {
        return Ok(());
    }
    db.execute_batch("ALTER TABLE released ADD COLUMN run INTEGER")
}

/// A resource known by its keyed hash.
pub type SourceKey = [u8; 16];

/// Why a resource that nothing happened to was not looked at again.
pub(super) const UNCHANGED: &str = "unchanged";

/// What may go wrong with the ledger's file.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the site's ledger (gateway.db) could not be read or written; check the disk, then run again")]
    Database(#[from] rusqlite::Error),
    #[error("two resources make one row of table `{0}`, which no mapping should be able to do: nothing was sent; please report this")]
    TwoResources(String),
    #[error("a row in the site's ledger (gateway.db) cannot leave")]
    Row(#[from] DeidentifyError),
    #[error("a share of a derived row in the site's ledger (gateway.db) does not open: restore state/ and its keys from the same backup")]
    Share,
    #[error("an entry in the site's ledger (gateway.db) was sealed by another key: restore state/ and its keys from the same backup")]
    Sealed,
    #[error("what the interrupted run asks for cannot be read: restore state/ and its keys from the same backup")]
    Scope,
    #[error("the registry rejected a row of table `{0}` that was not sent: its answer is not entered, a person must look")]
    NotSent(String),
}

/// The watermark: up to where the registry holds everything, and under which rules.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Watermark {
    /// Up to where everything is there, of every type; empty before the first complete run.
    pub since: String,
    /// The same for each type that was ever there whole. Where this is empty, `since` holds for all.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
    pub rules: String,
    pub lookups: Vec<u8>,
    pub sequence: u64,
    pub manifest_sha256: Option<String>,
}

impl Watermark {
    /// Up to where everything of this type is there.
    #[must_use]
    pub fn of(&self, resource_type: &str) -> Option<jiff::Timestamp> {
        let since = if self.types.is_empty() {
            Some(&self.since)
        } else {
            self.types.get(resource_type)
        };
        since.and_then(|since| since.parse().ok())
    }
}

/// # Errors: the database.
pub fn watermark(db: &Connection) -> Result<Option<Watermark>, LedgerError> {
    let mut types = BTreeMap::new();
    let mut statement = db.prepare("SELECT type, since FROM type_watermark")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        types.insert(row.get(0)?, row.get(1)?);
    }
    Ok(db
        .query_row(
            "SELECT since, rules, lookups, sequence, manifest_sha256 FROM watermark",
            [],
            |row| {
                Ok(Watermark {
                    since: row.get(0)?,
                    types,
                    rules: row.get(1)?,
                    lookups: row.get(2)?,
                    sequence: row.get::<_, i64>(3)?.unsigned_abs(),
                    manifest_sha256: row.get(4)?,
                })
            },
        )
        .optional()?)
}

/// The acknowledged state of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub content: [u8; 16],
    pub fate: Fate,
    /// The registry did not take all of its rows.
    pub rejected: bool,
}

impl Known {
    /// Whether a line of this content needs no second look under the same rules. What was refused or rejected gets one: it
    /// is told again why, and may be taken now.
    pub fn settles(&self, content: &[u8; 16]) -> bool {
        self.content == *content && self.fate != Fate::Refused && !self.rejected
    }
}

/// What is known of a resource.
/// # Errors: the database.
pub fn known(db: &Connection, key: &SourceKey) -> Result<Option<Known>, LedgerError> {
    Ok(db
        .prepare_cached("SELECT content, fate, EXISTS (SELECT 1 FROM rejected WHERE source = source.key) FROM source WHERE key = ?1")?
        .query_row([&key[..]], |row| {
            Ok(Known {
                content: row.get(0)?,
                fate: Fate::from_code(row.get(1)?),
                rejected: row.get(2)?,
            })
        })
        .optional()?)
}

/// The rows of a resource that the registry holds, as table and surrogate key.
/// # Errors: the database.
pub fn rows_of(db: &Connection, key: &SourceKey) -> Result<Vec<(String, String)>, LedgerError> {
    let mut statement = db.prepare_cached("SELECT table_name, row_key FROM released WHERE source = ?1 ORDER BY table_name, row_key")?;
    let rows = statement.query_map([&key[..]], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Throws away the pending work of whatever run, so that the transform can begin again.
/// # Errors: the database.
pub fn discard_pending(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(
        "DROP INDEX IF EXISTS pending_source_key; DROP INDEX IF EXISTS pending_row_key;
         DELETE FROM pending_source; DELETE FROM pending_row;",
    )?;
    about::discard(tx)?;
    inherit::discard(tx)?;
    shares::discard(tx)
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
    let mut before = (String::new(), String::new());
    while let Some(row) = found.next().map_err(LedgerError::from)? {
        let row = restore(row, by)?;
        if (before.0.as_str(), before.1.as_str()) == (row.table(), row.key()) {
            return Err(LedgerError::TwoResources(before.0).into());
        }
        before = (row.table().to_owned(), row.key().to_owned());
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
/// # Errors: the database; a rejected row that was not sent.
pub fn acknowledge(tx: &Transaction<'_>, run: i64, rejected: &[submission::Outcome], mark: &Watermark) -> Result<(), LedgerError> {
    // What was looked at again speaks for itself: only what is rejected now is.
    tx.execute(
        "DELETE FROM rejected WHERE source IN (SELECT key FROM pending_source WHERE fate <> 3 AND reason IS NOT ?1
            UNION ALL SELECT grp FROM pending_group)",
        [UNCHANGED],
    )?;
    for row in rejected {
        let found = tx
            .prepare_cached(
                "INSERT OR REPLACE INTO rejected (table_name, row_key, source, rule, path, run)
             SELECT table_name, row_key, source, ?3, ?4, ?5 FROM pending_row WHERE table_name = ?1 AND row_key = ?2",
            )?
            .execute(params![row.table, row.key, row.rule, row.path, run])?;
        // Also a row that is rejected twice: then another one is not, and would be taken for delivered.
        if found != 1 {
            return Err(LedgerError::NotSent(row.table.clone()));
        }
        tx.prepare_cached("DELETE FROM pending_row WHERE table_name = ?1 AND row_key = ?2")?
            .execute([&row.table, &row.key])?;
    }
    // In the order of the tables they go into: each page is written once.
    tx.execute(
        "INSERT OR REPLACE INTO released (source, table_name, row_key, digest, run)
            SELECT source, table_name, row_key, digest, ?1 FROM pending_row WHERE body IS NOT NULL ORDER BY 1, 2, 3",
        [run],
    )?;
    tx.execute_batch(
        "DELETE FROM rejected WHERE EXISTS
            (SELECT 1 FROM pending_row p WHERE p.table_name = rejected.table_name AND p.row_key = rejected.row_key);
         DELETE FROM released WHERE (source, table_name, row_key) IN
            (SELECT source, table_name, row_key FROM pending_row WHERE body IS NULL);
         DELETE FROM source WHERE key IN (SELECT key FROM pending_source WHERE fate = 0);
         INSERT OR REPLACE INTO source (key, type, content, fate)
            SELECT key, type, content, fate FROM pending_source WHERE fate > 0 ORDER BY key;",
    )?;
    about::acknowledge(tx)?;
    inherit::acknowledge(tx)?;
    shares::acknowledge(tx)?;
    discard_pending(tx)?;
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
    for (resource_type, since) in &mark.types {
        tx.execute(
            "INSERT OR REPLACE INTO type_watermark (type, since) VALUES (?1, ?2)",
            params![resource_type, since],
        )?;
    }
    Ok(())
}

/// Rows that the registry has not taken to this day, by `table: rule`.
/// # Errors: the database.
pub fn outstanding(db: &Connection) -> Result<BTreeMap<String, u64>, LedgerError> {
    let mut statement = db.prepare("SELECT table_name || ': ' || rule, count(*) FROM rejected GROUP BY 1")?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Whether this run did not show a resource of the type that is known.
/// # Errors: the database.
pub fn is_any_missing(db: &Connection, resource_type: &str) -> Result<bool, LedgerError> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM source WHERE type = ?1 AND NOT EXISTS (SELECT 1 FROM pending_source p WHERE p.key = source.key))";
    Ok(db.query_row(sql, [resource_type], |row| row.get(0))?)
}

#[cfg(test)]
mod tests;
