//! What the pages show, put together from the receiving side's readings. Every list has a limit.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::audit;
use crate::receive::read::{self, OutcomeGroup, SiteOverview, TableCounts};
use crate::submission::{Manifest, Tally};

/// Rows of a list on one page.
pub(super) const LIST: u64 = 50;
/// Submissions that a site's small bars show.
const BARS: usize = 14;

/// A site as a line of the overview.
pub(super) struct SiteLine {
    pub site: SiteOverview,
    /// The last accepted submission.
    pub last: Option<read::Submission>,
    /// Accepted and rejected rows of the last accepted submissions, oldest first.
    pub recent: Vec<(u64, u64)>,
}

/// The first page.
pub(super) struct Overview {
    pub sites: Vec<SiteLine>,
    /// Rows held, by table.
    pub tables: BTreeMap<String, u64>,
}

pub(super) fn overview(connection: &Connection) -> Result<Overview, rusqlite::Error> {
    let sites = read::overview(connection)?.into_iter().map(|site| line(connection, site));
    let mut tables = BTreeMap::new();
    for (_, table, rows) in read::rows(connection)? {
        *tables.entry(table).or_insert(0) += rows;
    }
    Ok(Overview {
        sites: sites.collect::<Result<_, _>>()?,
        tables,
    })
}

fn line(connection: &Connection, site: SiteOverview) -> Result<SiteLine, rusqlite::Error> {
    let mut newest = read::submissions(connection, &site.name, LIST)?;
    newest.retain(|submission| submission.state == "applied");
    newest.truncate(BARS);
    let recent = newest
        .iter()
        .rev()
        .map(|submission| (submission.accepted, submission.rejected))
        .collect();
    let last = newest.into_iter().next();
    Ok(SiteLine { site, last, recent })
}

/// Rows held of one table.
pub(super) struct TableHeld {
    pub table: String,
    pub rows: u64,
    pub changed_at: Option<String>,
}

/// A site's page.
pub(super) struct Site {
    pub line: SiteLine,
    /// Newest first.
    pub submissions: Vec<read::Submission>,
    /// There are older ones than those listed.
    pub more: bool,
    pub tables: Vec<TableHeld>,
}

pub(super) fn site(connection: &Connection, name: &str, before: Option<u64>) -> Result<Option<Site>, rusqlite::Error> {
    let Some(site) = read::overview(connection)?.into_iter().find(|site| site.name == name) else {
        return Ok(None);
    };
    let mut submissions = read::submissions_before(connection, name, before.unwrap_or(u64::MAX), LIST + 1)?;
    let more = submissions.len() as u64 > LIST;
    submissions.truncate(LIST as usize);
    let mut changes: BTreeMap<_, _> = read::last_changes(connection, name)?.into_iter().collect();
    let held = read::rows(connection)?.into_iter().filter(|(site, _, _)| site == name);
    let tables = held.map(|(_, table, rows)| TableHeld {
        changed_at: changes.remove(&table),
        table,
        rows,
    });
    Ok(Some(Site {
        line: line(connection, site)?,
        submissions,
        more,
        tables: tables.collect(),
    }))
}

/// A submission's page.
pub(super) struct Submission {
    pub summary: read::Submission,
    pub manifest: Option<Manifest>,
    /// By resource type.
    pub resources: Vec<(String, Tally)>,
    pub tables: Vec<TableCounts>,
    /// Most frequent first.
    pub reasons: Vec<OutcomeGroup>,
}

pub(super) fn submission(connection: &Connection, id: &str) -> Result<Option<Submission>, rusqlite::Error> {
    let Some(summary) = read::submission(connection, id)? else {
        return Ok(None);
    };
    let manifest = read::manifest(connection, id)?.and_then(|bytes| Manifest::read(&bytes).ok());
    let resources = manifest.iter().flat_map(|manifest| &manifest.ledger.resources);
    let mut reasons = read::outcomes(connection, id)?;
    reasons.truncate(2 * LIST as usize);
    Ok(Some(Submission {
        summary,
        resources: resources.map(|(kind, tally)| (kind.clone(), *tally)).collect(),
        manifest,
        tables: read::table_counts(connection, id)?,
        reasons,
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
