//! What a crawl proved: a type is whole when every patient of a proven cohort was searched for it to the last page, without a
//! filter and without an error. What it reached is the earlier of its beginning and the newest change it saw.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use tracing::info;

use super::super::settings::{Request, TypePulled};
use super::journal;
use super::rows::Way;
use crate::platform::database::{self, DatabaseError};

/// What a crawl came to.
pub(crate) struct Proof {
    pub(crate) types: BTreeMap<String, TypePulled>,
    /// What is missing, for a person. No patient's value.
    pub(crate) problems: Vec<String>,
    pub(crate) began: Timestamp,
    pub(crate) milliseconds: u64,
}

/// What the crawl of `request.run` came to so far; `None` when that run has none.
/// # Errors: the database.
pub(crate) fn proof(database: &Mutex<Connection>, request: &Request) -> Result<Option<Proof>, DatabaseError> {
    let run = request.run;
    let found: Option<(String, Option<i64>, bool, i64)> = database::read(database, |db| {
        db.query_row(
            "SELECT state, began_at, cohort_whole, milliseconds FROM crawl_run WHERE run = ?1",
            [run],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .optional()
    })?;
    let Some((state, Some(began), cohort_whole, milliseconds)) = found else {
        return Ok(None);
    };
    let (open, notes) = database::read(database, |db| {
        let open: i64 = db.query_row(
            "SELECT count(*) FROM crawl_patient WHERE run = ?1 AND state = 'open'",
            [run],
            |row| row.get(0),
        )?;
        let mut select = db.prepare("SELECT note, problem, times FROM crawl_note WHERE run = ?1 ORDER BY note")?;
        let notes = select.query_map([run], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok((open, notes.collect::<Result<Vec<(String, bool, i64)>, _>>()?))
    })?;
    let began = journal::moment(began).map_err(|error| database::explain_on(&database::lock(database), error))?;
    let mut problems = Vec::new();
    for (note, is_problem, times) in notes {
        let sentence = if times > 1 { format!("{note} ({times} times)") } else { note };
        if is_problem {
            problems.push(sentence);
        } else {
            info!(run, "{sentence}");
        }
    }
    if open > 0 {
        problems.push(format!(
            "{open} patients were not answered for by the EHR: the same run goes on with them"
        ));
    } else if state != "done" {
        problems.push("the crawl is not at its end: the same run goes on with it".to_owned());
    }
    // A backfill, or a look at what was until then, says nothing of now.
    let of_now = !request.is_aside();
    let mut types = BTreeMap::new();
    for row in journal::types(database, run)? {
        let searched = match row.way {
            Way::Type => row.done,
            Way::Patient => state == "done" && cohort_whole && open == 0,
            Way::Reference | Way::None => false,
        };
        let proven = searched && of_now && row.failures == 0 && row.refused.is_none();
        let reached = row.newest.map_or(began, |newest| newest.min(began));
        let pulled = TypePulled {
            whole: proven && !row.filtered,
            reached: proven.then_some(reached),
        };
        types.insert(row.name, pulled);
    }
    Ok(Some(Proof {
        types,
        problems,
        began,
        milliseconds: journal::unsigned(milliseconds),
    }))
}
