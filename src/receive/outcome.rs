//! What a site gets back besides the receipt: its rejected rows, one OperationOutcome per line, page by page from the store.

use rusqlite::{Connection, params};

use crate::submission::Outcome;

/// Lines read at a time: what one request holds in memory.
pub(super) const PAGE: i64 = 2000;

/// The outcomes of a submission after `after` (0 at first), at most `PAGE` of them as NDJSON, and where to go on.
/// `None` when there are no more.
pub(super) fn page(connection: &Connection, submission: &str, after: i64) -> Result<Option<(String, i64)>, rusqlite::Error> {
    let mut select = connection.prepare(
        "SELECT rowid, table_name, row_key, rule, path FROM outcome WHERE submission = ?1 AND rowid > ?2 ORDER BY rowid LIMIT ?3",
    )?;
    let rows = select.query_map(params![submission, after, PAGE], |row| {
        let outcome = Outcome {
            table: row.get(1)?,
            key: row.get(2)?,
            rule: row.get(3)?,
            path: row.get(4)?,
        };
        Ok((row.get::<_, i64>(0)?, outcome))
    })?;
    let mut text = String::new();
    let mut last = None;
    for row in rows {
        let (at, outcome) = row?;
        text.push_str(&outcome.to_line());
        text.push('\n');
        last = Some(at);
    }
    Ok(last.map(|last| (text, last)))
}
