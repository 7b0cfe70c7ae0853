//! Where a run stands, kept in the ledger's `run` table: what makes an interrupted run go on instead of starting again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::error::GatewayError;
use super::inherit;
use super::ledger::{self, LedgerError};
use super::options::Options;
use super::report::Report;
use super::scope::{self, Proven, Scope};
use super::site::Site;
use crate::platform::database;
use crate::pull;

/// The phases a run goes through before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Pulling,
    Landed,
    Packaged,
}

impl Phase {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Phase::Pulling => "pulling",
            Phase::Landed => "landed",
            Phase::Packaged => "packaged",
        }
    }

    fn of(text: &str) -> Option<Self> {
        [Phase::Pulling, Phase::Landed, Phase::Packaged]
            .into_iter()
            .find(|phase| phase.as_str() == text)
    }
}

/// One run, as far as it got.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub id: i64,
    pub phase: Phase,
    pub full: bool,
    pub since: Option<Timestamp>,
    pub scope: Scope,
    /// What the pull proved of each type.
    pub proven: BTreeMap<String, Proven>,
    pub transaction_time: Option<Timestamp>,
    /// The EHR gave everything: only then may the watermark move and may the absent be taken for gone.
    pub complete: bool,
    pub problems: Vec<String>,
    pub resumed: bool,
}

impl Run {
    /// Whether ending this run is what `options` ask for.
    pub(super) fn answers(&self, options: &Options) -> bool {
        let same_scope = self.scope.patients == options.patients && self.scope.until == options.until;
        same_scope && (!options.full || self.full) && (options.since.is_none() || options.since == self.since)
    }

    /// A run that is none: it looks at what is landed, as of `now`, and proves nothing.
    pub(super) fn onlooker(now: Timestamp) -> Self {
        Self {
            id: 0,
            phase: Phase::Landed,
            full: false,
            since: None,
            scope: Scope {
                until: Some(now),
                ..Scope::default()
            },
            proven: BTreeMap::new(),
            transaction_time: Some(now),
            complete: false,
            problems: Vec::new(),
            resumed: false,
        }
    }

    /// `full`, `backfill` or `incremental`.
    pub(super) fn kind(&self) -> &'static str {
        match (self.full, self.scope.is_backfill()) {
            (true, _) => "full",
            (_, true) => "backfill",
            _ => "incremental",
        }
    }

    /// From when on this run asks for resources of a type; `None`: all of them.
    pub(super) fn since_of(&self, resource_type: &str) -> Option<Timestamp> {
        self.scope.since_by_type.get(resource_type).copied().unwrap_or(self.since)
    }

    /// The day of the data: ages are reckoned at it, whenever the run is done or done again.
    pub(super) fn day(&self) -> jiff::civil::Date {
        self.transaction_time
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date()
    }
}

/// The interrupted run, or a new one: full when asked for or when there is no watermark, else each of the types `asked` for
/// from its own watermark on. `seal` closes and opens what of the scope names patients.
/// # Errors: the database.
pub(super) fn begin(
    db: &mut Connection,
    options: &Options,
    asked: &[String],
    seal: &scope::Seal,
    now: Timestamp,
) -> Result<Run, LedgerError> {
    let tx = db.transaction()?;
    let open = tx
        .query_row(
            "SELECT id, phase, kind, since, transaction_time, complete, problems FROM run
             WHERE phase IN ('pulling', 'landed', 'packaged') ORDER BY id DESC LIMIT 1",
            [],
            resumed,
        )
        .optional()?;
    if let Some(mut run) = open {
        (run.scope, run.proven) = scope::read(&tx, run.id, seal)?;
        return Ok(run);
    }
    let mut scope = Scope {
        since_by_type: BTreeMap::new(),
        until: options.until,
        patients: options.patients.clone(),
    };
    // A new ledger that took rows over asks for everything until it knows whose each of them is.
    let inherits = inherit::left(&tx)? > 0;
    let since = match (options.full || inherits || scope.is_backfill(), options.since) {
        (_, Some(since)) => Some(since),
        (true, None) => None,
        (false, None) => {
            let mark = ledger::watermark(&tx)?;
            if let Some(mark) = mark.as_ref().filter(|mark| !mark.types.is_empty()) {
                scope.since_by_type = asked.iter().map(|name| (name.clone(), mark.of(name))).collect();
            }
            mark.and_then(|mark| mark.since.parse().ok())
        }
    };
    let full = since.is_none() && scope.since_by_type.values().all(Option::is_none) && !scope.is_backfill();
    let mut run = Run {
        id: 0,
        phase: Phase::Pulling,
        full,
        since,
        scope,
        proven: BTreeMap::new(),
        transaction_time: None,
        complete: false,
        problems: Vec::new(),
        resumed: false,
    };
    tx.execute(
        "INSERT INTO run (kind, phase, since, started_at) VALUES (?1, 'pulling', ?2, ?3)",
        params![run.kind(), since.map(|since| since.to_string()), now.to_string()],
    )?;
    run.id = tx.last_insert_rowid();
    scope::write(&tx, run.id, &run.scope, seal)?;
    tx.commit()?;
    Ok(run)
}

fn resumed(row: &Row<'_>) -> rusqlite::Result<Run> {
    let time = |text: Option<String>| text.and_then(|text| text.parse().ok());
    Ok(Run {
        id: row.get(0)?,
        phase: Phase::of(&row.get::<_, String>(1)?).unwrap_or(Phase::Pulling),
        full: row.get::<_, String>(2)? == "full",
        since: time(row.get(3)?),
        scope: Scope::default(),
        proven: BTreeMap::new(),
        transaction_time: time(row.get(4)?),
        complete: row.get::<_, Option<bool>>(5)?.unwrap_or(false),
        problems: row
            .get::<_, Option<String>>(6)?
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
        resumed: true,
    })
}

/// Every file is landed: notes what the EHR said, and that the transform is next.
/// # Errors: the database.
pub(super) fn landed(
    db: &mut Connection,
    run: &mut Run,
    time: Timestamp,
    proven: BTreeMap<String, Proven>,
    complete: bool,
    problems: Vec<String>,
) -> Result<(), LedgerError> {
    let tx = db.transaction()?;
    scope::prove(&tx, run.id, &proven)?;
    tx.execute(
        "UPDATE run SET phase = 'landed', transaction_time = ?2, complete = ?3, problems = ?4 WHERE id = ?1",
        params![
            run.id,
            time.to_string(),
            complete,
            serde_json::Value::from(problems.clone()).to_string()
        ],
    )?;
    tx.commit()?;
    run.phase = Phase::Landed;
    run.proven = proven;
    run.transaction_time = Some(time);
    run.complete = complete;
    run.problems = problems;
    Ok(())
}

/// Moves a run to `phase` with what it has to report so far.
/// # Errors: the database.
pub(super) fn note(db: &Connection, run: i64, phase: &str, report: &Report, ended: Option<Timestamp>) -> rusqlite::Result<()> {
    db.execute(
        "UPDATE run SET phase = ?2, report = ?3, ended_at = ?4 WHERE id = ?1",
        params![
            run,
            phase,
            serde_json::to_string(report).unwrap_or_default(),
            ended.map(|time| time.to_string())
        ],
    )
    .map(drop)
}

/// What was packaged will not be taken: the run is prepared again from what is landed.
/// # Errors: the database.
pub(super) fn back_to_landed(db: &Connection, run: &mut Run) -> Result<(), LedgerError> {
    db.execute(
        "UPDATE run SET phase = 'landed', report = NULL WHERE id = ?1 AND phase = 'packaged'",
        [run.id],
    )?;
    run.phase = Phase::Landed;
    Ok(())
}

/// Ends a run of which nothing was sent, as `rehearsed` or `abandoned`, and forgets what it pulled, all in one transaction:
/// a later run must neither take it for acknowledged nor its files for landed.
/// # Errors: the database, the landing.
pub(super) fn end_unsent(site: &Site, run: i64, phase: &str, report: Option<&Report>) -> Result<(), GatewayError> {
    let now = site.tools.clock.now();
    site.landing.forget(run, |tx| {
        ledger::discard_pending(tx)?;
        pull::forget(tx, run)?;
        match report {
            Some(report) => note(tx, run, phase, report, Some(now)),
            None => tx
                .execute(
                    "UPDATE run SET phase = ?2, ended_at = ?3 WHERE id = ?1",
                    params![run, phase, now.to_string()],
                )
                .map(drop),
        }
    })?;
    Ok(())
}

/// Removes the outboxes of runs that are not waiting for their receipt: a crash came before they were cleared.
/// # Errors: the database. What cannot be removed stays until the next run.
pub(super) fn tidy(site: &Site) -> Result<(), LedgerError> {
    let waiting: Vec<i64> = database::lock(&site.db)
        .prepare("SELECT id FROM run WHERE phase = 'packaged'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for folder in std::fs::read_dir(site.places.outboxes()).into_iter().flatten().flatten() {
        let run = folder.file_name().to_str().and_then(|name| name.parse::<i64>().ok());
        if run.is_some_and(|run| !waiting.contains(&run)) {
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
    Ok(())
}

/// What a run has reported so far.
/// # Errors: the database.
pub(super) fn report(db: &Connection, run: i64) -> Result<Report, LedgerError> {
    let text: Option<String> = db
        .query_row("SELECT report FROM run WHERE id = ?1", [run], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
