//! Where a run stands, kept in the ledger's `run` table: what makes an interrupted run go on instead of starting again.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::ledger::{self, LedgerError};
use super::{Options, Report};

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
    pub transaction_time: Option<Timestamp>,
    /// The EHR gave everything: only then may the watermark move and may the absent be taken for gone.
    pub complete: bool,
    pub problems: Vec<String>,
    pub resumed: bool,
}

impl Run {
    /// The day of the data: ages are reckoned at it, whenever the run is done or done again.
    pub(super) fn day(&self) -> jiff::civil::Date {
        self.transaction_time
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date()
    }
}

/// The interrupted run, or a new one: full when asked for or when there is no watermark, else from the watermark on.
/// # Errors: the database.
pub(super) fn begin(db: &mut Connection, options: &Options, now: Timestamp) -> Result<Run, LedgerError> {
    let tx = db.transaction()?;
    let open = tx
        .query_row(
            "SELECT id, phase, kind, since, transaction_time, complete, problems FROM run
             WHERE phase IN ('pulling', 'landed', 'packaged') ORDER BY id DESC LIMIT 1",
            [],
            resumed,
        )
        .optional()?;
    if let Some(run) = open {
        return Ok(run);
    }
    let since = match (options.full, options.since) {
        (true, _) => None,
        (false, Some(since)) => Some(since),
        (false, None) => ledger::watermark(&tx)?.and_then(|mark| mark.since.parse().ok()),
    };
    let kind = if since.is_none() { "full" } else { "incremental" };
    tx.execute(
        "INSERT INTO run (kind, phase, since, started_at) VALUES (?1, 'pulling', ?2, ?3)",
        params![kind, since.map(|since| since.to_string()), now.to_string()],
    )?;
    let id = tx.last_insert_rowid();
    tx.commit()?;
    Ok(Run {
        id,
        phase: Phase::Pulling,
        full: since.is_none(),
        since,
        transaction_time: None,
        complete: false,
        problems: Vec::new(),
        resumed: false,
    })
}

fn resumed(row: &Row<'_>) -> rusqlite::Result<Run> {
    let time = |text: Option<String>| text.and_then(|text| text.parse().ok());
    Ok(Run {
        id: row.get(0)?,
        phase: Phase::of(&row.get::<_, String>(1)?).unwrap_or(Phase::Pulling),
        full: row.get::<_, String>(2)? == "full",
        since: time(row.get(3)?),
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
pub(super) fn landed(db: &Connection, run: &mut Run, time: Timestamp, complete: bool, problems: Vec<String>) -> Result<(), LedgerError> {
    db.execute(
        "UPDATE run SET phase = 'landed', transaction_time = ?2, complete = ?3, problems = ?4 WHERE id = ?1",
        params![
            run.id,
            time.to_string(),
            complete,
            serde_json::Value::from(problems.clone()).to_string()
        ],
    )?;
    run.phase = Phase::Landed;
    run.transaction_time = Some(time);
    run.complete = complete;
    run.problems = problems;
    Ok(())
}

/// Moves a run to `phase` with what it has to report so far.
/// # Errors: the database.
pub(super) fn note(db: &Connection, run: i64, phase: &str, report: &Report, ended: Option<Timestamp>) -> Result<(), LedgerError> {
    db.execute(
        "UPDATE run SET phase = ?2, report = ?3, ended_at = ?4 WHERE id = ?1",
        params![
            run,
            phase,
            serde_json::to_string(report).unwrap_or_default(),
            ended.map(|time| time.to_string())
        ],
    )?;
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
