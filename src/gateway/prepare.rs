//! From landed segments to a signed package: the transform into the ledger's pending tables, in the one order that is right,
//! then the numbers, which must balance before anything is packaged.

use rusqlite::Connection;

use crate::deidentify::Deidentifier;
use crate::landing::{Kind, Segment};
use crate::platform::database;

use super::counts::Counts;
use super::error::GatewayError;
use super::journal::{self, Run};
use super::ledger::{self, LedgerError, Watermark};
use super::options::{Event, Options};
use super::report::{Report, unmapped};
use super::site::Site;
use super::transform::{Plan, Sums, transform};
use super::{lookups, package, people, quarantine, withdraw};

/// Fills the pending tables from the run's segments, packages what changed and signs it. A rehearsal stops before the package.
/// # Errors: see [`GatewayError`]; the pending work is thrown away by the next attempt.
pub(super) fn prepare(site: &Site, run: &Run, options: &Options, progress: &dyn Fn(Event)) -> Result<Report, GatewayError> {
    let rules = site.rules_digest();
    let mark = {
        let mut db = database::lock(&site.db);
        let tx = db.transaction().map_err(LedgerError::from)?;
        ledger::discard_pending(&tx).map_err(LedgerError::from)?;
        quarantine::clear(&tx, run.id).map_err(LedgerError::from)?;
        tx.commit().map_err(LedgerError::from)?;
        ledger::watermark(&db)?
    };
    let segments = site.landing.segments(run.id)?;
    let people = people::refresh(site, &segments)?;
    let (lookups, lookups_digest) = lookups::gather(site)?;
    let new_rules = mark
        .as_ref()
        .is_some_and(|mark| mark.rules != rules || mark.lookups != lookups_digest);
    let plan = Plan {
        site,
        run: run.id,
        lookups,
        deidentifier: Deidentifier::new(
            site.rules.model.clone(),
            site.rules.policy.clone(),
            site.keys.clone(),
            people,
            run.day(),
        )?,
        new_rules,
        skip_unchanged: mark.is_some() && !new_rules,
    };
    let mut writer = site.bulk()?;
    // Pending work may be lost in a power cut and is then done again; what is acknowledged is written elsewhere, in full.
    writer.pragma_update(None, "synchronous", "NORMAL").map_err(LedgerError::from)?;
    let mut sums = Sums::default();
    let mut problems = run.problems.clone();
    // What is gone before what is mapped again: a resource that the full export does not show must not come back from an
    // earlier one.
    withdraw::deleted(&plan, &mut writer, &segments, &mut sums.counts)?;
    let before = sums.counts.total(|types| types.pulled);
    transform(&plan, &mut writer, &segments, false, &mut sums, progress)?;
    if sums.counts.total(|types| types.pulled) - before != lines(&segments) {
        return Err(GatewayError::Unbalanced("the lines looked at are not the lines landed"));
    }
    settle(&plan, &mut writer, &mut sums.counts)?;
    problems.extend(withdraw::vanished(&plan, run, &mut writer, &mut sums.counts)?);
    if new_rules {
        let mut earlier = site.landing.all_segments()?;
        earlier.retain(|segment| segment.run < run.id);
        transform(&plan, &mut writer, &earlier, true, &mut sums, progress)?;
        problems.extend(withdraw::stale(&plan, &mut writer, &mut sums.counts)?);
    }
    if !options.accept_deletions {
        withdraw::brake(site, &writer)?;
    }
    let Sums { mut counts, stats } = sums;
    ledger::tally(&writer, &mut counts)?;
    if !counts.resources_balance() {
        return Err(GatewayError::Unbalanced("pulled is not mapped + excluded + refused"));
    }
    let since = next_since(run, mark.as_ref());
    if run.complete && !reaches_back(run, mark.as_ref()) {
        problems.push("this run began after the watermark: what changed in between is for the next run, the watermark stays".to_owned());
    }
    let mut report = Report {
        run: run.id,
        kind: if run.full { "full" } else { "incremental" }.to_owned(),
        complete: run.complete,
        rehearsed: options.rehearse,
        unmapped: unmapped(&site.rules.model, &stats),
        problems,
        policy: site.rules.policy.name().to_owned(),
        key_fingerprint: site.keys.fingerprint().to_owned(),
        outstanding: ledger::outstanding(&writer)?,
        counts,
        ..Report::default()
    };
    if options.rehearse {
        let tx = writer.transaction().map_err(LedgerError::from)?;
        ledger::discard_pending(&tx).map_err(LedgerError::from)?;
        tx.commit().map_err(LedgerError::from)?;
        drop(writer);
        // An interrupted run that is rehearsed goes on another time. A rehearsal of its own leaves nothing behind that a
        // later run would take for pulled or for acknowledged.
        if !run.resumed {
            journal::end_unsent(site, run.id, "rehearsed", Some(&report))?;
        }
        return Ok(report);
    }
    let next = Watermark {
        since,
        rules,
        lookups: lookups_digest,
        sequence: mark.as_ref().map_or(0, |mark| mark.sequence) + 1,
        manifest_sha256: mark.and_then(|mark| mark.manifest_sha256),
    };
    package::package(&plan, run, &mut writer, next, &mut report, progress)?;
    Ok(report)
}

fn settle(plan: &Plan<'_>, writer: &mut Connection, counts: &mut Counts) -> Result<(), GatewayError> {
    let tx = writer.transaction().map_err(LedgerError::from)?;
    plan.page().settle(&tx, counts)?;
    Ok(tx.commit().map_err(LedgerError::from)?)
}

fn lines(segments: &[Segment]) -> u64 {
    segments
        .iter()
        .filter(|segment| segment.kind == Kind::Resources)
        .map(|segment| segment.lines)
        .sum()
}

/// Whether the run's export begins where the last acknowledged one ended, or before.
fn reaches_back(run: &Run, mark: Option<&Watermark>) -> bool {
    let reached: Option<jiff::Timestamp> = mark.and_then(|mark| mark.since.parse().ok());
    run.since.is_none_or(|since| reached.is_some_and(|reached| since <= reached))
}

/// The watermark moves to the export's transaction time, never back, and only if the EHR gave everything since the last one.
fn next_since(run: &Run, mark: Option<&Watermark>) -> String {
    let before = mark.and_then(|mark| mark.since.parse::<jiff::Timestamp>().ok());
    let reached = run.transaction_time.filter(|_| run.complete && reaches_back(run, mark));
    before.max(reached).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::journal::Phase;

    fn run(since: Option<&str>, time: &str, complete: bool) -> Run {
        Run {
            id: 1,
            phase: Phase::Landed,
            full: since.is_none(),
            since: since.map(|since| since.parse().unwrap()),
            transaction_time: Some(time.parse().unwrap()),
            complete,
            problems: Vec::new(),
            resumed: false,
        }
    }

    fn mark(since: &str) -> Watermark {
        Watermark {
            since: since.to_owned(),
            rules: String::new(),
            lookups: Vec::new(),
            sequence: 1,
            manifest_sha256: None,
        }
    }

    const ONE: &str = "2026-03-01T00:00:00Z";
    const TWO: &str = "2026-03-02T00:00:00Z";
    const THREE: &str = "2026-03-03T00:00:00Z";

    #[test]
    fn the_watermark_moves_with_a_complete_run_and_stays_with_any_other() {
        for (since, time, complete, before, expected) in [
            (None, TWO, true, None, TWO),
            (None, TWO, false, None, ""),
            (None, TWO, true, Some(""), TWO),
            (Some(ONE), TWO, true, Some(ONE), TWO),
            (Some(ONE), TWO, false, Some(ONE), ONE),
            (Some(ONE), TWO, true, Some(TWO), TWO),
            // Never back, whatever the EHR's clock does.
            (None, ONE, true, Some(TWO), TWO),
            // What changed between the watermark and a later `--since` was not pulled.
            (Some(TWO), THREE, true, Some(ONE), ONE),
            (Some(TWO), THREE, true, Some(""), ""),
            (Some(TWO), THREE, true, None, ""),
        ] {
            let next = next_since(&run(since, time, complete), before.map(mark).as_ref());
            assert_eq!(next, expected, "since {since:?} to {time}, complete {complete}, before {before:?}");
        }
    }
}
