//! From landed segments to a signed package: the transform into the ledger's pending tables, in the one order that is right,
//! then the numbers, which must balance before anything is packaged.

use rusqlite::Connection;

use crate::landing::{Kind, Segment};
use crate::platform::database;
use crate::pull;

use super::ahead::Ahead;
use super::counts::Counts;
use super::error::GatewayError;
use super::journal::{self, Run};
use super::ledger::{self, LedgerError, Watermark};
use super::options::{Event, Options};
use super::report::{Report, unmapped};
use super::site::Site;
use super::transform::{Plan, Sums, transform};
use super::validation::Validated;
use super::{about, consent, derived, evidence, inherit, lookups, marks, package, people, preview, quarantine, withdraw};

/// Fills the pending tables from the run's segments, as far as that was not done `ahead`, packages what changed and signs it. A rehearsal stops before the package.
/// # Errors: see [`GatewayError`]; the pending work is thrown away by the next attempt.
pub(super) fn prepare(
    site: &Site,
    run: &Run,
    options: &Options,
    ahead: Option<Ahead>,
    progress: &dyn Fn(Event),
) -> Result<Report, GatewayError> {
    let rules = site.rules_digest();
    let mark = ledger::watermark(&database::lock(&site.db))?;
    let segments = site.landing.segments(run.id)?;
    let people = people::refresh(site, &segments)?;
    let (lookups, lookups_digest) = lookups::gather(site)?;
    let new_rules = mark
        .as_ref()
        .is_some_and(|mark| mark.rules != rules || mark.lookups != lookups_digest);
    let (mut leaves, undecided) = consent::decide(site, run)?;
    let changes = about::compare(&database::lock(&site.db), &mut leaves, consent::Leave::is_asked_for)?;
    if !options.accept_deletions {
        withdraw::brake_people(site, changes.losing)?;
    }
    let new_rules = new_rules || (mark.is_some() && changes.of_everybody);
    let plan = Plan::new(site, run, people, (lookups, leaves), mark.as_ref(), new_rules)?;
    let (mut sums, rest) = match ahead.filter(|ahead| ahead.stands(run, &segments, new_rules, &plan.leaves)) {
        Some(ahead) => {
            let rest = ahead.rest(&segments);
            (ahead.sums, rest)
        }
        None => {
            clear(site, run.id)?;
            (Sums::default(), segments.clone())
        }
    };
    let mut writer = writer(site)?;
    let mut problems = run.problems.clone();
    problems.extend(undecided);
    // What is gone before what is mapped again: a resource that the full export does not show must not come back from an
    // earlier one.
    let before = sums.counts.total(|types| types.pulled);
    withdraw::deleted(&plan, &mut writer, &segments, &mut sums.counts)?;
    let of_deletions = sums.counts.total(|types| types.pulled) - before;
    transform(&plan, &mut writer, &rest, false, &mut sums, progress)?;
    if sums.counts.total(|types| types.pulled) - of_deletions != lines(&segments) {
        return Err(GatewayError::Unbalanced("the lines looked at are not the lines landed"));
    }
    settle(&plan, &mut writer, &mut sums.counts)?;
    problems.extend(withdraw::vanished(&plan, run, &mut writer, &mut sums.counts)?);
    if new_rules || plan.leaves.reread {
        let mut earlier = site.landing.all_segments()?;
        earlier.retain(|segment| segment.run < run.id);
        transform(&plan, &mut writer, &earlier, true, &mut sums, progress)?;
    }
    if new_rules {
        problems.extend(withdraw::stale(&plan, &mut writer, &mut sums.counts)?);
    }
    withdraw::kept_back(&plan, &mut writer, &mut sums.counts)?;
    if !options.accept_deletions {
        withdraw::brake(site, &writer)?;
    }
    derived::derive(&plan, run, &mut writer, (&mut sums.counts, &mut sums.gleaned.met.hits))?;
    inherit::adopt(&plan, run, &mut writer, options.accept_deletions)?;
    let left = inherit::left(&writer).map_err(LedgerError::from)?;
    if left > 0 {
        problems.push(format!(
            "{left} rows that the registry holds from before this ledger are of no resource that came yet: the next run pulls everything again"
        ));
    }
    let Sums {
        mut counts,
        stats,
        gleaned,
        ..
    } = sums;
    ledger::tally(&writer, &mut counts)?;
    if !counts.resources_balance() {
        return Err(GatewayError::Unbalanced("pulled is not mapped + excluded + refused"));
    }
    if !counts.derived_balance() {
        return Err(GatewayError::Unbalanced(
            "derived groups made anew are not mapped + refused + ended",
        ));
    }
    problems.extend(marks::why_they_stay(run, mark.as_ref()));
    let mut report = Report {
        run: run.id,
        kind: run.kind().to_owned(),
        complete: run.complete,
        rehearsed: options.rehearse,
        warned: Validated::of(&site.rules, &gleaned.met.tally).warned(),
        unmapped: unmapped(&site.rules.model, &stats),
        not_offered: site.rules.feeds().empty_without(&pull::not_offered(&site.db, run.id)?),
        problems,
        strangers_listed: consent::strangers_listed(site, &writer)?,
        policy: site.rules.policy.name().to_owned(),
        key_fingerprint: site.keys.fingerprint().to_owned(),
        outstanding: ledger::outstanding(&writer)?,
        counts,
        ..Report::default()
    };
    if options.rehearse {
        if let Some(patients) = options.preview {
            preview::of_plan(&plan, patients, &mut |seen| progress(Event::Preview(Box::new(seen))))?;
        }
        if options.preview.is_none() {
            let mut proof = plan.deidentifier.proof();
            ledger::each_pending_row(&writer, &plan.deidentifier, |row| {
                row.prove(&mut proof);
                Ok::<_, GatewayError>(())
            })?;
            let evidence = evidence::gather(&plan, run, &writer, &report, (&gleaned, options.accept_risk), proof)?;
            report.evidence = evidence::write(&site.places.evidence(), &evidence)?;
        }
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
    let before = inherit::chain(&writer)?.filter(|_| mark.is_none()).unwrap_or_default();
    let next = Watermark {
        since: marks::next_since(run, mark.as_ref()),
        types: marks::next_of_types(run, &site.asked_types(), mark.as_ref()),
        rules,
        lookups: lookups_digest,
        sequence: mark.as_ref().map_or(before.sequence, |mark| mark.sequence) + 1,
        manifest_sha256: mark.map_or(before.manifest_sha256, |mark| mark.manifest_sha256),
    };
    package::package(
        &plan,
        run,
        &mut writer,
        (next, (&gleaned, options.accept_risk)),
        &mut report,
        progress,
    )?;
    Ok(report)
}

/// Throws away the pending work of whatever run, so that this one can begin.
/// # Errors: the database.
pub(super) fn clear(site: &Site, run: i64) -> Result<(), GatewayError> {
    let mut db = database::lock(&site.db);
    let tx = db.transaction().map_err(LedgerError::from)?;
    ledger::discard_pending(&tx).map_err(LedgerError::from)?;
    quarantine::clear(&tx, run).map_err(LedgerError::from)?;
    Ok(tx.commit().map_err(LedgerError::from)?)
}

/// The connection that writes pending work. It may be lost in a power cut and is then done again; what is acknowledged is
/// written elsewhere, in full.
/// # Errors: the database.
pub(super) fn writer(site: &Site) -> Result<Connection, GatewayError> {
    let writer = site.bulk()?;
    writer.pragma_update(None, "synchronous", "NORMAL").map_err(LedgerError::from)?;
    Ok(writer)
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
