//! Derived rows in a night: one row for each group of many resources' rows (`derived.toml`), such as the time a patient was
//! observed. Made from what each resource gives (`shares`), by the same rules as `headwater map` makes them over a folder
//! (`map::derive`), de-identified like every row.
//!
//! The work follows the change: only groups that a resource heard of tonight is in, or was in, are made anew; each from all of
//! its shares, so that nothing hangs on the order of nights. A row that comes out as the registry has it is not sent. A group
//! without shares has no row: the one it had is withdrawn. All of it is pending work like any other: done again after a
//! crash, acknowledged with the receipt.
//!
//! A derived row has no resource. In the ledger its source is the group (`released.source`), which no `source` row has, so it
//! is in neither side of *pulled = mapped + excluded + refused*. It has an equation of its own, group by group,
//! *made anew = mapped + refused + ended*, and its row is in *released = accepted + rejected* like all rows.
//! A group whose row is refused has none: there is no older version that would be truer.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::deidentify::RuleHits;
use crate::map::Mapped;
use crate::map::derive::{Gathered, RunFacts};
use crate::refusal::{Refusal, Step};

use super::counts::Counts;
use super::enter::Sealed;
use super::error::GatewayError;
use super::journal::Run;
use super::ledger::LedgerError;
use super::shares::{self, GroupKey};
use super::site::Rules;
use super::transform::Plan;

/// Groups of one transaction.
const PAGE: u32 = 2_000;

/// What became of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Mapped,
    Refused,
    Ended,
}

/// What a run says of itself in the tables with one row a run.
pub(super) fn facts(rules: &Rules, date: String, is_deidentified: bool) -> RunFacts {
    let release = rules.vocabulary.as_ref().map_or("", |vocabulary| vocabulary.release());
    RunFacts {
        date,
        vocabulary: release.to_owned(),
        mapping: rules.mapping_digest.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        date_management: if is_deidentified { "03" } else { "01" }.to_owned(),
    }
}

/// What the derived tables need of a resource's rows.
pub(super) fn gather(rules: &Rules, mapped: &Mapped<'_>, gathered: &mut Gathered) {
    if rules.derivations.is_empty() {
        return;
    }
    for (table, cells) in mapped.rows().iter() {
        if rules.derivations.gathers(table) {
            rules.derivations.gather(table, cells, gathered);
        }
    }
}

/// Makes anew, into the pending tables, the rows of every group that this run touched. Every resource is entered by now.
/// # Errors: the database; a share that cannot be opened.
pub(super) fn derive(
    plan: &Plan<'_>,
    run: &Run,
    writer: &mut Connection,
    (counts, hits): (&mut Counts, &mut RuleHits),
) -> Result<(), GatewayError> {
    let tx = begin(writer)?;
    note(plan, run, &tx)?;
    tx.commit().map_err(LedgerError::from)?;
    let facts = facts(&plan.site.rules, run.day().to_string(), true);
    let mut after = Vec::new();
    loop {
        let tx = begin(writer)?;
        let groups = shares::noted(&tx, &after, PAGE)?;
        let Some((last, _)) = groups.last() else { return Ok(()) };
        after = last.to_vec();
        for (group, table) in &groups {
            let made = make(plan, &tx, (table, group), &facts, (counts, hits))?;
            let of_table = counts.derived.entry(table.clone()).or_default();
            of_table.groups += 1;
            match made {
                Made::Mapped => of_table.mapped += 1,
                Made::Refused => of_table.refused += 1,
                Made::Ended => of_table.ended += 1,
            }
        }
        tx.commit().map_err(LedgerError::from)?;
    }
}

fn begin(writer: &mut Connection) -> Result<Transaction<'_>, LedgerError> {
    Ok(writer.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

/// Notes the groups to be made anew.
fn note(plan: &Plan<'_>, run: &Run, tx: &Transaction<'_>) -> Result<(), LedgerError> {
    let Rules { model, derivations, .. } = &plan.site.rules;
    shares::touch(tx, plan.new_rules)?;
    if run.full {
        for table in derivations.tables() {
            shares::touch_rejected(tx, &model.table(table).name)?;
        }
    }
    for table in derivations.of_run() {
        let table = &model.table(table).name;
        shares::touch_one(tx, table, &shares::group_key(plan.site, table, ""))?;
    }
    Ok(())
}

/// The row of one group, from all its shares, into the pending tables where it differs from what the registry holds.
fn make(
    plan: &Plan<'_>,
    tx: &Transaction<'_>,
    (table, group): (&str, &GroupKey),
    facts: &RunFacts,
    (counts, hits): (&mut Counts, &mut RuleHits),
) -> Result<Made, GatewayError> {
    let Rules { model, derivations, .. } = &plan.site.rules;
    let (by, mut released, mut made) = (&plan.deidentifier, Vec::new(), Made::Ended);
    let mut worker = by.worker();
    // A table that the rules do not derive any more has no row.
    if let Some(id) = model.find(table).filter(|id| derivations.tables().any(|derived| derived == *id)) {
        let mut gathered = Gathered::default();
        shares::of_group(tx, plan.site, group, |share| {
            derivations.add(id, share, &mut gathered).map_err(|_| LedgerError::Share)
        })?;
        let mut each = |row: Result<&Mapped<'_>, (String, &'static str)>| {
            let row = row.map_err(|(place, rule)| Refusal::new(Step::Map, place, rule));
            let done = row.and_then(|row| {
                by.withheld(row).for_each(|name| counts.withhold(name, 1));
                worker.deidentify(row, &mut released, hits)
            });
            made = if done.is_ok() { Made::Mapped } else { Made::Refused };
            if let Err(refusal) = done {
                counts.unmade(&refusal);
            }
            Ok::<_, LedgerError>(())
        };
        derivations.rows_of(model, id, &gathered, facts, &mut each)?;
    }
    let rows: Vec<Sealed> = released.into_iter().map(|row| Sealed::new(row, by)).collect();
    plan.page().rows(tx, group, &rows)?;
    Ok(made)
}
