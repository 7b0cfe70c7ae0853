//! What the console shows: numbers of sites and submissions, read only. No row's body, and of a row's key nothing at all.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::store::{count, int};
use crate::submission::Tally;

/// One site at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteOverview {
    pub name: String,
    pub enrolled_at: Option<String>,
    pub suspended: bool,
    /// Submissions applied so far; they are numbered without a gap.
    pub submissions: u64,
    /// Submissions refused and not corrected under the same name.
    pub refused: u64,
    /// Submissions received and not applied yet.
    pub waiting: u64,
    pub last_received_at: Option<String>,
    pub last_applied_at: Option<String>,
    /// The EHR's time of the newest data applied.
    pub last_transaction_time: Option<String>,
    /// Rows the registry holds of this site.
    pub rows: u64,
    /// What became of the resources at the hospital, summed over the applied submissions.
    pub resources: Tally,
    /// What became of the rows here, summed likewise.
    pub accepted: u64,
    pub rejected: u64,
}

/// One line of a site's submissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    pub id: String,
    pub site: String,
    pub sequence: u64,
    pub received_at: String,
    pub applied_at: Option<String>,
    /// `received`, `applied` or `refused`.
    pub state: String,
    pub reason: Option<String>,
    pub manifest_sha256: String,
    pub transaction_time: String,
    pub model: String,
    pub model_digest: String,
    pub policy: String,
    pub policy_digest: String,
    pub mapping_digest: String,
    pub key_fingerprint: String,
    pub pulled: u64,
    pub mapped: u64,
    pub excluded: u64,
    /// Resources the site's own gateway refused.
    pub refused: u64,
    pub released: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub upserts: u64,
    pub tombstones: u64,
    pub leaf_index: Option<u64>,
    pub receipt: Option<String>,
}

/// What a submission did to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableCounts {
    pub table: String,
    pub upserts: u64,
    pub tombstones: u64,
    pub accepted: u64,
    pub rejected: u64,
}

/// Rejected rows of one table by the rule they broke and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeGroup {
    pub table: String,
    pub rule: String,
    pub path: String,
    pub count: u64,
}

/// All sites by name.
pub fn overview(connection: &Connection) -> Result<Vec<SiteOverview>, rusqlite::Error> {
    connection
        .prepare(
            "SELECT s.name, s.enrolled_at, s.suspended, s.last_sequence,
                count(*) FILTER (WHERE b.state = 'refused'), count(*) FILTER (WHERE b.state = 'received'),
                max(b.received_at), max(b.applied_at), max(b.transaction_time) FILTER (WHERE b.state = 'applied'),
                coalesce((SELECT sum(row_count) FROM row_count r WHERE r.site = s.name), 0),
                coalesce(sum(a.accepted), 0), coalesce(sum(a.rejected), 0),
                coalesce(sum(a.pulled), 0), coalesce(sum(a.mapped), 0), coalesce(sum(a.excluded), 0), coalesce(sum(a.refused), 0)
             FROM site s LEFT JOIN submission b ON b.site = s.name LEFT JOIN submission a ON a.id = b.id AND a.state = 'applied' GROUP BY s.name ORDER BY s.name",
        )?
        .query_map([], |row| {
            Ok(SiteOverview {
                name: row.get(0)?,
                enrolled_at: row.get(1)?,
                suspended: row.get(2)?,
                submissions: count(row, 3)?,
                refused: count(row, 4)?,
                waiting: count(row, 5)?,
                last_received_at: row.get(6)?,
                last_applied_at: row.get(7)?,
                last_transaction_time: row.get(8)?,
                rows: count(row, 9)?,
                accepted: count(row, 10)?,
                rejected: count(row, 11)?,
                resources: Tally {
                    pulled: count(row, 12)?,
                    mapped: count(row, 13)?,
                    excluded: count(row, 14)?,
                    refused: count(row, 15)?,
                },
            })
        })?
        .collect()
}

const COLUMNS: &str = "id, site, sequence, received_at, applied_at, state, reason, manifest_sha256, transaction_time, model, model_digest,
    policy, policy_digest, mapping_digest, key_fingerprint, pulled, mapped, excluded, refused, released, accepted, rejected, upserts,
    tombstones, leaf_index, receipt";

fn submission_of(row: &Row<'_>) -> Result<Submission, rusqlite::Error> {
    Ok(Submission {
        id: row.get(0)?,
        site: row.get(1)?,
        sequence: count(row, 2)?,
        received_at: row.get(3)?,
        applied_at: row.get(4)?,
        state: row.get(5)?,
        reason: row.get(6)?,
        manifest_sha256: row.get(7)?,
        transaction_time: row.get(8)?,
        model: row.get(9)?,
        model_digest: row.get(10)?,
        policy: row.get(11)?,
        policy_digest: row.get(12)?,
        mapping_digest: row.get(13)?,
        key_fingerprint: row.get(14)?,
        pulled: count(row, 15)?,
        mapped: count(row, 16)?,
        excluded: count(row, 17)?,
        refused: count(row, 18)?,
        released: count(row, 19)?,
        accepted: count(row, 20)?,
        rejected: count(row, 21)?,
        upserts: count(row, 22)?,
        tombstones: count(row, 23)?,
        leaf_index: row.get::<_, Option<i64>>(24)?.and_then(|index| u64::try_from(index).ok()),
        receipt: row.get(25)?,
    })
}

/// A site's submissions, newest first, at most `limit`.
pub fn submissions(connection: &Connection, site: &str, limit: u64) -> Result<Vec<Submission>, rusqlite::Error> {
    submissions_before(connection, site, u64::MAX, limit)
}

/// The same, only those with a sequence below `before`.
pub fn submissions_before(connection: &Connection, site: &str, before: u64, limit: u64) -> Result<Vec<Submission>, rusqlite::Error> {
    connection
        .prepare(&format!(
            "SELECT {COLUMNS} FROM submission WHERE site = ?1 AND sequence < ?2 ORDER BY sequence DESC, received_at DESC, id LIMIT ?3"
        ))?
        .query_map(params![site, int(before), int(limit)], submission_of)?
        .collect()
}

/// When a table of a site was last written to, by table.
pub fn last_changes(connection: &Connection, site: &str) -> Result<Vec<(String, String)>, rusqlite::Error> {
    connection
        .prepare(
            "SELECT t.table_name, max(s.applied_at) FROM submission s JOIN submission_table t ON t.submission = s.id
             WHERE s.site = ?1 AND s.state = 'applied' GROUP BY t.table_name ORDER BY t.table_name",
        )?
        .query_map([site], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// A submission's manifest, as it was signed.
pub fn manifest(connection: &Connection, id: &str) -> Result<Option<Vec<u8>>, rusqlite::Error> {
    connection
        .query_row("SELECT manifest FROM submission WHERE id = ?1", [id], |row| row.get(0))
        .optional()
}

/// The newest submissions of all sites, at most `limit`.
pub fn recent(connection: &Connection, limit: u64) -> Result<Vec<Submission>, rusqlite::Error> {
    connection
        .prepare(&format!("SELECT {COLUMNS} FROM submission ORDER BY received_at DESC, id LIMIT ?1"))?
        .query_map([int(limit)], submission_of)?
        .collect()
}

/// One submission.
pub fn submission(connection: &Connection, id: &str) -> Result<Option<Submission>, rusqlite::Error> {
    connection
        .prepare(&format!("SELECT {COLUMNS} FROM submission WHERE id = ?1"))?
        .query_row([id], submission_of)
        .optional()
}

/// A submission's counts by table.
pub fn table_counts(connection: &Connection, submission: &str) -> Result<Vec<TableCounts>, rusqlite::Error> {
    connection
        .prepare(
            "SELECT table_name, upserts, tombstones, accepted, rejected FROM submission_table WHERE submission = ?1 ORDER BY table_name",
        )?
        .query_map([submission], |row| {
            Ok(TableCounts {
                table: row.get(0)?,
                upserts: count(row, 1)?,
                tombstones: count(row, 2)?,
                accepted: count(row, 3)?,
                rejected: count(row, 4)?,
            })
        })?
        .collect()
}

/// A submission's rejected rows by table, rule and place, most frequent first.
pub fn outcomes(connection: &Connection, submission: &str) -> Result<Vec<OutcomeGroup>, rusqlite::Error> {
    connection
        .prepare(
            "SELECT table_name, rule, path, count(*) AS n FROM outcome WHERE submission = ?1
             GROUP BY table_name, rule, path ORDER BY n DESC, table_name, rule, path",
        )?
        .query_map([submission], |row| {
            Ok(OutcomeGroup {
                table: row.get(0)?,
                rule: row.get(1)?,
                path: row.get(2)?,
                count: count(row, 3)?,
            })
        })?
        .collect()
}

/// Rows the registry holds: `(site, table, rows)`, by site and table.
pub fn rows(connection: &Connection) -> Result<Vec<(String, String, u64)>, rusqlite::Error> {
    connection
        .prepare("SELECT site, table_name, row_count FROM row_count ORDER BY site, table_name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, count(row, 2)?)))?
        .collect()
}
