//! What is not there any more: what the EHR says it deleted, what a complete full export does not show, what new rules
//! cannot make again; and the brake that stops a night which would withdraw too much.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::landing::{Kind, Segment};
use crate::origin::Origin;
use crate::pull::{self, Pulled, TypePulled};
use crate::refusal::{Refusal, Step};

use super::about::{self, Losing};
use super::consent::When;
use super::counts::Counts;
use super::error::GatewayError;
use super::journal::Run;
use super::ledger::{self, LedgerError};
use super::scope::Proven;
use super::site::Site;
use super::steps::{self, Bench, Deletion};
use super::transform::{Plan, source_key};

/// Below this many known resources the brake does not act: a small site may well lose its only patient.
const BRAKE_FROM: u64 = 50;
/// So many people may take their consent back in one night before the brake asks whether they did.
const BRAKE_PEOPLE_FROM: u64 = 10;

/// Tombstones for what the EHR says it deleted: Bundles of `DELETE Type/id` (Bulk Data 2.0, "Response - Complete Status").
/// Comes before the resources: what is deleted and in the export was made again.
/// # Errors: the database, the landing.
pub(super) fn deleted(plan: &Plan<'_>, writer: &mut Connection, segments: &[Segment], counts: &mut Counts) -> Result<(), GatewayError> {
    let site = plan.site;
    let page = plan.page();
    let mut bench = Bench::default();
    let mut bytes = Vec::new();
    for segment in segments.iter().filter(|segment| segment.kind == Kind::Deleted) {
        let tx = writer.transaction().map_err(LedgerError::from)?;
        let mut frames = site.landing.read(segment)?;
        while frames.next_into(&mut bytes)? {
            for (line_number, line) in steps::lines(frames.first_line(), &bytes) {
                let origin = Origin {
                    segment: segment.id,
                    line: line_number,
                };
                let root = match bench.read(line, &site.settings.limits) {
                    Ok(root) => root,
                    Err(refusal) => {
                        page.refuse_deletion(&tx, origin, &refusal, counts)?;
                        continue;
                    }
                };
                for deletion in steps::deletions(root) {
                    match deletion {
                        Deletion::Of(resource_type, id) => {
                            page.delete(&tx, resource_type, &source_key(site, resource_type, &id), counts)?;
                        }
                        Deletion::Unclear(path) => {
                            let refusal = Refusal::new(Step::Read, path, "not a deletion of Type/id");
                            page.refuse_deletion(&tx, origin, &refusal, counts)?;
                        }
                    }
                }
            }
        }
        tx.commit().map_err(LedgerError::from)?;
    }
    Ok(())
}

/// What the pull proved of each type. A backfill proves nothing of what it did not ask for. A folder of files that was read
/// whole shows every type the mappings read, also one that has no file any more.
pub(super) fn proven(site: &Site, run: &Run, pulled: &Pulled) -> BTreeMap<String, Proven> {
    if run.scope.is_backfill() {
        return BTreeMap::new();
    }
    if let pull::Source::Files(_) = &site.settings.pull.source {
        let proven = Proven {
            whole: run.full && pulled.complete,
            reached: pulled.complete.then_some(pulled.transaction_time),
        };
        return site.asked_types().into_iter().map(|name| (name, proven.clone())).collect();
    }
    let of = |found: &TypePulled| Proven {
        whole: found.whole,
        reached: found.reached,
    };
    pulled.types.iter().map(|(name, found)| (name.clone(), of(found))).collect()
}

/// Of a type that was proven to be there whole, what is known and was not shown is gone. Of a type with lines that do not
/// say whose they are, nothing is: one of them may be the missing one. Gives back the problems to be told.
/// # Errors: the database.
pub(super) fn vanished(plan: &Plan<'_>, run: &Run, writer: &mut Connection, counts: &mut Counts) -> Result<Vec<String>, GatewayError> {
    let mut problems = Vec::new();
    let unreadable = |name: &str| counts.types.get(name).map_or(0, |types| types.unreadable);
    let of_no_type = unreadable(steps::UNKNOWN_TYPE);
    let whole = run.proven.iter().filter(|(_, proven)| proven.whole).map(|(name, _)| name);
    let (withheld, gone): (Vec<String>, Vec<String>) = whole.cloned().partition(|name| of_no_type + unreadable(name) > 0);
    let tx = writer.transaction().map_err(LedgerError::from)?;
    for resource_type in &gone {
        plan.page().vanish(&tx, resource_type, counts)?;
    }
    let mut missed = Vec::new();
    for resource_type in withheld {
        if ledger::is_any_missing(&tx, &resource_type)? {
            missed.push(resource_type);
        }
    }
    tx.commit().map_err(LedgerError::from)?;
    if !missed.is_empty() {
        problems.push(format!(
            "lines could not be read at all, so nothing that is missing from the export was withdrawn for: {}",
            missed.join(", ")
        ));
    }
    Ok(problems)
}

/// After everything was mapped again by new rules, what was not found again.
/// # Errors: the database.
pub(super) fn stale(plan: &Plan<'_>, writer: &mut Connection, counts: &mut Counts) -> Result<Option<String>, GatewayError> {
    let tx = writer.transaction().map_err(LedgerError::from)?;
    let number = plan.page().withdraw_stale(&tx, counts)?;
    tx.commit().map_err(LedgerError::from)?;
    Ok((number > 0).then(|| {
        format!(
            "{number} resources could not be mapped by the new rules, because they are not landed here any more: \
             their rows are withdrawn; run with --full"
        )
    }))
}

/// Known resources that this run did not come to, of patients of whom something else is decided now: what may not leave any
/// more is withdrawn; what the landing does not hold any more cannot be looked at, and stays only where all may leave.
/// # Errors: the database.
pub(super) fn kept_back(plan: &Plan<'_>, writer: &mut Connection, counts: &mut Counts) -> Result<(), GatewayError> {
    let tx = writer.transaction().map_err(LedgerError::from)?;
    for (key, resource_type, content) in about::not_come_to(&tx, &plan.leaves)? {
        let marks = about::marks_of(&tx, &key)?;
        if let Some(why) = marks.iter().find_map(|mark| plan.leaves.of(mark).why_not(When::Unknown)) {
            plan.page().keep_back(&tx, (&key, &resource_type, content), (&marks, why), counts)?;
        }
    }
    about::decide(&tx, &plan.leaves)?;
    Ok(tx.commit().map_err(LedgerError::from)?)
}

/// Stops a run in which consents, or the lack of them, take everything of more than the site's share of all patients: an EHR
/// that stops giving consents looks like everybody's refusal. Whom a person named is not counted.
/// # Errors: `Brake`.
pub(super) fn brake_people(site: &Site, losing: Losing) -> Result<(), GatewayError> {
    let percent = site.settings.vanish_percent;
    let Losing { people, known } = losing;
    let stops = people >= BRAKE_PEOPLE_FROM && people * 100 > known * u64::from(percent);
    let what = || "patients (by their consents, flags and lists, or by a change of [consent] in site.toml)".to_owned();
    stop_if(stops, (people, known, percent), what)
}

/// Stops the first run of a new ledger where it would withdraw more than the site's share of the rows the registry has.
/// # Errors: `Brake`.
pub(super) fn brake_rows(site: &Site, gone: u64, known: u64) -> Result<(), GatewayError> {
    let percent = site.settings.vanish_percent;
    let what = || "rows at the registry, which this site does not make any more,".to_owned();
    stop_if(is_too_much(gone, known, percent), (gone, known, percent), what)
}

/// Stops a run that would withdraw more than the site's share of what is known, of all resources or of one type.
/// # Errors: `Brake`; the database.
pub(super) fn brake(site: &Site, db: &Connection) -> Result<(), GatewayError> {
    let percent = site.settings.vanish_percent;
    let mut all = (0, 0);
    for (resource_type, gone, known) in withdrawn(db)? {
        all = (all.0 + gone, all.1 + known);
        let what = || format!("{resource_type} resources");
        stop_if(is_too_much(gone, known, percent), (gone, known, percent), what)?;
    }
    let (gone, known) = all;
    stop_if(is_too_much(gone, known, percent), (gone, known, percent), || "resources".to_owned())
}

fn stop_if(stops: bool, (gone, known, percent): (u64, u64, u8), what: impl FnOnce() -> String) -> Result<(), GatewayError> {
    if !stops {
        return Ok(());
    }
    Err(GatewayError::Brake {
        gone,
        known,
        what: what(),
        percent,
    })
}

fn is_too_much(gone: u64, known: u64, percent: u8) -> bool {
    known >= BRAKE_FROM && gone * 100 > known * u64::from(percent)
}

/// By type: resources that lose their rows without anyone having mapped them to none, and all that are known.
fn withdrawn(db: &Connection) -> Result<Vec<(String, u64, u64)>, LedgerError> {
    let mut statement = db.prepare(
        "SELECT s.type, count(*) FILTER (WHERE p.fate = 0 OR (p.fate = 3 AND EXISTS
                (SELECT 1 FROM pending_row r WHERE r.id > p.rows_after AND r.id <= p.rows_to AND r.body IS NULL))), count(*)
         FROM source s LEFT JOIN pending_source p ON p.key = s.key GROUP BY s.type ORDER BY s.type",
    )?;
    let number = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(i64::unsigned_abs);
    let found = statement.query_map([], |row| Ok((row.get(0)?, number(row, 1)?, number(row, 2)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brake_acts_above_the_share_and_from_fifty_known_resources_on() {
        for (gone, known, percent, stops) in [
            (49, 49, 20, false),
            (50, 50, 20, true),
            (10, 50, 20, false),
            (11, 50, 20, true),
            (0, 1000, 0, false),
            (1, 1000, 0, true),
            (1000, 1000, 100, false),
        ] {
            assert_eq!(is_too_much(gone, known, percent), stops, "{gone} of {known} at {percent} %");
        }
    }

    #[test]
    fn what_is_withdrawn_is_counted_by_type_and_only_if_it_was_known() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(ledger::SCHEMA).unwrap();
        db.execute_batch(
            "CREATE INDEX pending_source_key ON pending_source (key);
             INSERT INTO source VALUES (x'01', 'Patient', x'', 1), (x'02', 'Patient', x'', 1), (x'03', 'Encounter', x'', 1),
                (x'04', 'Encounter', x'', 2), (x'05', 'Encounter', x'', 1);
             INSERT INTO pending_source VALUES (1, x'01', 'Patient', x'', '', 0, NULL, 0, 0, 0, 0),
                (2, x'99', 'Patient', x'', '', 0, NULL, 0, 0, 0, 0), (3, x'03', 'Encounter', x'', '', 3, 'r', 1, 1, 0, 1),
                (4, x'04', 'Encounter', x'', '', 3, 'r', 1, 2, 1, 1), (5, x'05', 'Encounter', x'', '', 1, NULL, 1, 3, 1, 2);
             INSERT INTO pending_row VALUES (1, 'visit', 'a', x'03', x'', x'', NULL), (2, 'visit', 'b', x'05', x'', x'', NULL);",
        )
        .unwrap();
        let expected = [("Encounter".to_owned(), 1, 3), ("Patient".to_owned(), 1, 2)];
        assert_eq!(withdrawn(&db).unwrap(), expected);
    }
}
