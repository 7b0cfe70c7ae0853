//! Refused resources, on the hospital's side: where each lies in the landing, which step refused it, at which path and by
//! which rule. Never a value; the resource itself stays sealed in its segment.

use rusqlite::{Connection, Transaction, params};

use crate::origin::{Origin, SegmentId};
use crate::refusal::Refusal;

/// The quarantine's table.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS quarantine (
    run INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    line INTEGER NOT NULL,
    type TEXT NOT NULL,
    step TEXT NOT NULL,
    path TEXT NOT NULL,
    rule TEXT NOT NULL,
    source TEXT,
    PRIMARY KEY (run, segment, line)
) STRICT, WITHOUT ROWID;
";

/// One refused resource.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    pub run: i64,
    pub segment: i64,
    pub line: u64,
    pub resource_type: String,
    pub step: String,
    pub path: String,
    pub rule: String,
    pub source: Option<String>,
}

/// # Errors: the database.
pub fn enter(tx: &Transaction<'_>, run: i64, resource_type: &str, origin: Origin, refusal: &Refusal) -> rusqlite::Result<()> {
    let SegmentId(segment) = origin.segment;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO quarantine (run, segment, line, type, step, path, rule, source) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        run,
        segment,
        origin.line.cast_signed(),
        resource_type,
        refusal.step.as_str(),
        refusal.path,
        refusal.rule,
        refusal.source
    ])?;
    Ok(())
}

/// Takes a resource out again: a newer version of it came in the same export.
/// # Errors: the database.
pub fn leave(tx: &Transaction<'_>, run: i64, origin: Origin) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM quarantine WHERE run = ?1 AND segment = ?2 AND line = ?3")?
        .execute(params![run, origin.segment.0, origin.line.cast_signed()])?;
    Ok(())
}

/// Empties the run's part, before its transform begins anew.
/// # Errors: the database.
pub fn clear(tx: &Transaction<'_>, run: i64) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM quarantine WHERE run = ?1", [run]).map(drop)
}

/// The refused resources of a run, in the order of the landing.
/// # Errors: the database.
pub fn list(db: &Connection, run: i64) -> rusqlite::Result<Vec<Refused>> {
    db.prepare("SELECT run, segment, line, type, step, path, rule, source FROM quarantine WHERE run = ?1 ORDER BY segment, line")?
        .query_map([run], |row| {
            Ok(Refused {
                run: row.get(0)?,
                segment: row.get(1)?,
                line: row.get::<_, i64>(2)?.unsigned_abs(),
                resource_type: row.get(3)?,
                step: row.get(4)?,
                path: row.get(5)?,
                rule: row.get(6)?,
                source: row.get(7)?,
            })
        })?
        .collect()
}

/// The newest run that refused anything.
/// # Errors: the database.
pub fn newest(db: &Connection) -> rusqlite::Result<Option<i64>> {
    db.query_row("SELECT max(run) FROM quarantine", [], |row| row.get(0))
}
