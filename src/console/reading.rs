//! What the pages show, read from the registry's store: one function and one type per page. Every list has a limit.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::audit;
use crate::submission::{Manifest, Tally};

/// Rows of a list on one page.
pub(super) const LIST: u64 = 50;
/// Submissions that a site's small bars show.
const BARS: i64 = 14;
/// Grouped reasons that a submission's page shows.
const REASONS: i64 = 100;

/// One submission in numbers.
pub(super) struct Summary {
    pub id: String,
    pub site: String,
    pub sequence: u64,
    pub received_at: String,
    pub applied_at: Option<String>,
    pub state: String,
    pub reason: Option<String>,
    pub transaction_time: String,
    pub pulled: u64,
    pub mapped: u64,
    pub excluded: u64,
    pub refused: u64,
    pub released: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub upserts: u64,
    pub tombstones: u64,
}

const SUMMARY: &str = "id, site, sequence, received_at, applied_at, state, reason, transaction_time, \
    pulled, mapped, excluded, refused, released, accepted, rejected, upserts, tombstones";

fn summary(row: &Row<'_>) -> Result<Summary, rusqlite::Error> {
    Ok(Summary {
        id: row.get(0)?,
        site: row.get(1)?,
        sequence: number(row, 2)?,
        received_at: row.get(3)?,
        applied_at: row.get(4)?,
        state: row.get(5)?,
        reason: row.get(6)?,
        transaction_time: row.get(7)?,
        pulled: number(row, 8)?,
        mapped: number(row, 9)?,
        excluded: number(row, 10)?,
        refused: number(row, 11)?,
        released: number(row, 12)?,
        accepted: number(row, 13)?,
        rejected: number(row, 14)?,
        upserts: number(row, 15)?,
        tombstones: number(row, 16)?,
    })
}

/// SQLite's integers are signed, counts are not.
fn number(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    Ok(row.get::<_, i64>(column)?.try_into().unwrap_or_default())
}

/// A site as a line of the overview.
pub(super) struct SiteLine {
    pub name: String,
    pub enrolled_at: Option<String>,
    pub suspended: bool,
    /// The last accepted submission.
    pub last: Option<Summary>,
    pub accepted: u64,
    pub refused: u64,
    pub rows: u64,
    /// Accepted and rejected rows of the last accepted submissions, oldest first.
    pub recent: Vec<(u64, u64)>,
}

/// The first page.
pub(super) struct Overview {
    pub sites: Vec<SiteLine>,
    pub waiting: u64,
    /// Rows held, by table.
    pub tables: Vec<(String, u64)>,
}

pub(super) fn overview(connection: &Connection) -> Result<Overview, rusqlite::Error> {
    let mut names = connection.prepare("SELECT name FROM site ORDER BY name")?;
    let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut sites = Vec::with_capacity(names.len());
    for name in &names {
        sites.extend(site_line(connection, name)?);
    }
    let waiting = "SELECT count(*) FROM submission WHERE state = 'received'";
    let mut tables = connection.prepare("SELECT table_name, sum(row_count) FROM row_count GROUP BY table_name ORDER BY table_name")?;
    Ok(Overview {
        sites,
        waiting: connection.query_row(waiting, [], |row| number(row, 0))?,
        tables: tables.query_map([], |row| Ok((row.get(0)?, number(row, 1)?)))?.collect::<Result<_, _>>()?,
    })
}

fn site_line(connection: &Connection, name: &str) -> Result<Option<SiteLine>, rusqlite::Error> {
    let site = connection
        .query_row("SELECT enrolled_at, suspended FROM site WHERE name = ?1", [name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((enrolled_at, suspended)) = site else { return Ok(None) };
    let of_state = |state: &str| {
        let sql = "SELECT count(*) FROM submission WHERE site = ?1 AND state = ?2";
        connection.query_row(sql, [name, state], |row| number(row, 0))
    };
    let last = format!("SELECT {SUMMARY} FROM submission WHERE site = ?1 AND state = 'applied' ORDER BY sequence DESC LIMIT 1");
    let recent = "SELECT accepted, rejected FROM submission WHERE site = ?1 AND state = 'applied' ORDER BY sequence DESC LIMIT ?2";
    let mut recent = connection.prepare(recent)?;
    let recent = recent.query_map(params![name, BARS], |row| Ok((number(row, 0)?, number(row, 1)?)))?;
    let mut recent: Vec<_> = recent.collect::<Result<_, _>>()?;
    recent.reverse();
    let rows = "SELECT coalesce(sum(row_count), 0) FROM row_count WHERE site = ?1";
    Ok(Some(SiteLine {
        name: name.to_owned(),
        enrolled_at,
        suspended,
        last: connection.query_row(&last, [name], summary).optional()?,
        accepted: of_state("applied")?,
        refused: of_state("refused")?,
        rows: connection.query_row(rows, [name], |row| number(row, 0))?,
        recent,
    }))
}

/// A site's page.
pub(super) struct Site {
    pub line: SiteLine,
    /// Newest first.
    pub submissions: Vec<Summary>,
    /// There are older ones than those listed.
    pub more: bool,
    /// Rows held, by table, with the time of the last submission that changed the table.
    pub tables: Vec<(String, u64, Option<String>)>,
}

pub(super) fn site(connection: &Connection, name: &str, before: Option<u64>) -> Result<Option<Site>, rusqlite::Error> {
    let Some(line) = site_line(connection, name)? else { return Ok(None) };
    let sql = format!("SELECT {SUMMARY} FROM submission WHERE site = ?1 AND sequence < ?2 ORDER BY sequence DESC, received_at DESC LIMIT ?3");
    let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
    let mut submissions = connection.prepare(&sql)?;
    let submissions = submissions.query_map(params![name, before, LIST as i64 + 1], summary)?;
    let mut submissions: Vec<_> = submissions.collect::<Result<_, _>>()?;
    let more = submissions.len() as u64 > LIST;
    submissions.truncate(LIST as usize);
    let sql = "SELECT table_name, row_count, (SELECT max(s.applied_at) FROM submission s JOIN submission_table t ON t.submission = s.id \
        WHERE s.site = ?1 AND s.state = 'applied' AND t.table_name = row_count.table_name) FROM row_count WHERE site = ?1 ORDER BY table_name";
    let mut tables = connection.prepare(sql)?;
    let tables = tables.query_map([name], |row| Ok((row.get(0)?, number(row, 1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
    Ok(Some(Site { line, submissions, more, tables }))
}

/// One table in one submission.
pub(super) struct TableLine {
    pub table: String,
    pub upserts: u64,
    pub tombstones: u64,
    pub accepted: u64,
    pub rejected: u64,
}

/// Rejected rows with the same cause.
pub(super) struct Reason {
    pub table: String,
    pub rule: String,
    pub path: String,
    pub rows: u64,
}

/// A submission's page.
pub(super) struct Submission {
    pub summary: Summary,
    pub manifest: Option<Manifest>,
    pub manifest_sha256: String,
    /// By resource type.
    pub resources: Vec<(String, Tally)>,
    pub tables: Vec<TableLine>,
    pub reasons: Vec<Reason>,
    pub leaf_index: Option<u64>,
    pub receipt: Option<String>,
}

pub(super) fn submission(connection: &Connection, id: &str) -> Result<Option<Submission>, rusqlite::Error> {
    let found = connection
        .query_row(&format!("SELECT {SUMMARY}, manifest, manifest_sha256, leaf_index, receipt FROM submission WHERE id = ?1"), [id], |row| {
            let manifest: Vec<u8> = row.get(17)?;
            let leaf_index: Option<i64> = row.get(19)?;
            Ok((summary(row)?, manifest, row.get(18)?, leaf_index.and_then(|index| index.try_into().ok()), row.get(20)?))
        })
        .optional()?;
    let Some((summary, manifest, manifest_sha256, leaf_index, receipt)) = found else { return Ok(None) };
    let manifest = Manifest::read(&manifest).ok();
    let resources = manifest.iter().flat_map(|manifest| &manifest.ledger.resources).map(|(kind, tally)| (kind.clone(), *tally)).collect();
    let sql = "SELECT table_name, upserts, tombstones, accepted, rejected FROM submission_table WHERE submission = ?1 ORDER BY table_name";
    let mut tables = connection.prepare(sql)?;
    let tables = tables.query_map([id], |row| {
        Ok(TableLine {
            table: row.get(0)?,
            upserts: number(row, 1)?,
            tombstones: number(row, 2)?,
            accepted: number(row, 3)?,
            rejected: number(row, 4)?,
        })
    })?;
    let tables = tables.collect::<Result<_, _>>()?;
    let sql = "SELECT table_name, rule, path, count(*) FROM outcome WHERE submission = ?1 GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT ?2";
    let mut reasons = connection.prepare(sql)?;
    let reasons = reasons.query_map(params![id, REASONS], |row| {
        Ok(Reason {
            table: row.get(0)?,
            rule: row.get(1)?,
            path: row.get(2)?,
            rows: number(row, 3)?,
        })
    })?;
    Ok(Some(Submission {
        summary,
        manifest,
        manifest_sha256,
        resources,
        tables,
        reasons: reasons.collect::<Result<_, _>>()?,
        leaf_index,
        receipt,
    }))
}

/// The log's page.
pub(super) struct LogReading {
    pub size: u64,
    /// The last signed checkpoint, as its text.
    pub checkpoint: Option<String>,
    /// Newest first.
    pub entries: Vec<audit::Entry>,
}

pub(super) fn log(connection: &Connection, before: Option<u64>) -> Result<LogReading, rusqlite::Error> {
    let size = audit::size(connection)?;
    let end = before.unwrap_or(size).min(size);
    let mut entries = audit::entries(connection, end.saturating_sub(LIST), end.min(LIST))?;
    entries.reverse();
    Ok(LogReading {
        size,
        checkpoint: audit::last_checkpoint(connection)?,
        entries,
    })
}
