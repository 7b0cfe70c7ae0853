//! From a released row back to where it came from: the resource in the landing, what each rule did, the run and the receipt.
//! Only at the site, which alone holds the keys: a released key leads nowhere without them.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::error::GatewayError;
use super::landed::{Newest, each_line};
use super::ledger::{LedgerError, SourceKey};
use super::looking::{self, Seen, look};
use super::site::Site;
use super::steps::{Bench, Head};
use super::transform::source_key;
use crate::platform::database;

/// Where a row, or a submission, stands with the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    pub run: i64,
    /// `full`, `incremental` or `backfill`.
    pub kind: String,
    pub submission: String,
    pub sequence: u64,
    pub manifest_sha256: String,
    pub key_fingerprint: String,
    /// When the receipt was entered here.
    pub acknowledged_at: Option<String>,
    /// Of the registry's log.
    pub leaf: Option<u64>,
    /// The receipt: a `.tlog-proof` text, for whoever verifies the log.
    pub receipt: Option<String>,
    /// Rows at the registry that are as this submission sent them.
    pub rows_now: u64,
    pub counts: super::counts::Counts,
}

/// A row at the registry.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    pub table: String,
    pub key: String,
    /// The submission that sent it as it is now; none for what was taken over after a lost disk.
    pub sent: Option<Sent>,
    /// What it was made of: one resource, or, for a derived row, every resource of its group. Empty where that is not landed any more.
    pub made_of: Vec<Seen>,
    /// One row for a group of many resources.
    pub is_derived: bool,
}

/// The rows at the registry with this key; several where tables share it.
/// # Errors: see [`GatewayError`].
pub fn rows(site: &Site, key: &str) -> Result<Vec<Explained>, GatewayError> {
    let found: Vec<(SourceKey, String, Option<i64>)> = {
        let db = database::lock(&site.db);
        let mut select = db
            .prepare("SELECT source, table_name, run FROM released WHERE row_key = ?1 ORDER BY table_name")
            .map_err(LedgerError::from)?;
        let found = select
            .query_map([key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .map_err(LedgerError::from)?;
        found.collect::<Result<_, _>>().map_err(LedgerError::from)?
    };
    let mut all = Vec::new();
    for (source, table, run) in found {
        let (sources, is_derived, sent) = {
            let db = database::lock(&site.db);
            let shares = sources_of(&db, &source)?;
            let sent = run.map(|run| sent(&db, "s.run = ?1", &run)).transpose()?.flatten();
            if shares.is_empty() {
                (vec![source], false, sent)
            } else {
                (shares, true, sent)
            }
        };
        all.push(Explained {
            made_of: resources(site, &sources, key, is_derived)?,
            table,
            key: key.to_owned(),
            sent,
            is_derived,
        });
    }
    Ok(all)
}

/// The resources that a derived row is made of.
fn sources_of(db: &Connection, group: &SourceKey) -> Result<Vec<SourceKey>, LedgerError> {
    let mut select = db.prepare("SELECT source FROM derived_share WHERE grp = ?1")?;
    let found = select.query_map([&group[..]], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The newest landed state of these resources; of what they become only the row of this key, unless they make a derived one.
fn resources(site: &Site, sources: &[SourceKey], key: &str, is_derived: bool) -> Result<Vec<Seen>, GatewayError> {
    let plan = looking::plan(site)?;
    let (mut newest, mut bench, mut room) = (Newest::of(site)?, Bench::default(), Bench::default());
    let mut found = Vec::new();
    each_line(site, &mut newest, |newest, origin, run, line| {
        let Ok(root) = room.read(line, &site.settings.limits) else {
            return Ok(());
        };
        let Ok(head) = Head::of(root) else { return Ok(()) };
        let source = source_key(site, head.resource_type, &head.id);
        if sources.contains(&source) && newest.is(root)? {
            let mut seen = look(&plan, &mut bench, (origin, run), root);
            seen.rows.retain(|row| !is_derived && row.key == key);
            found.push(seen);
        }
        Ok(())
    })?;
    Ok(found)
}

/// A submission by its id.
/// # Errors: the database.
pub fn submission(site: &Site, id: &str) -> Result<Option<Sent>, GatewayError> {
    Ok(sent(&database::lock(&site.db), "s.id = ?1", &id)?)
}

fn sent(db: &Connection, which: &str, value: &dyn rusqlite::ToSql) -> Result<Option<Sent>, LedgerError> {
    let sql = format!(
        "SELECT s.id, s.run, s.sequence, s.manifest_sha256, s.receipt, r.kind, r.ended_at FROM submission s
         JOIN run r ON r.id = s.run WHERE {which} ORDER BY s.sequence DESC LIMIT 1"
    );
    let found = db
        .query_row(&sql, params![value], |row| {
            Ok(Sent {
                submission: row.get(0)?,
                run: row.get(1)?,
                sequence: row.get::<_, i64>(2)?.unsigned_abs(),
                manifest_sha256: row.get(3)?,
                receipt: row.get(4)?,
                kind: row.get(5)?,
                acknowledged_at: row.get(6)?,
                ..Sent::default()
            })
        })
        .optional()?;
    let Some(mut sent) = found else { return Ok(None) };
    let report = super::journal::report(db, sent.run)?;
    (sent.key_fingerprint, sent.leaf, sent.counts) = (report.key_fingerprint, report.leaf, report.counts);
    let now = db.query_row("SELECT count(*) FROM released WHERE run = ?1", [sent.run], |row| {
        row.get::<_, i64>(0)
    })?;
    sent.rows_now = now.unsigned_abs();
    Ok(Some(sent))
}
