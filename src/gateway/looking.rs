//! One landed resource, looked at by a person of the site: what it becomes, row by row, and what each rule did to each cell.
//! The same way as a run's, by the same plan; nothing is written and nothing is sent. What identifies stands in fields of its own,
//! which are not told by `Debug`, and which whoever shows this leaves out unless a person asked for them at a terminal.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use super::consent;
use super::error::GatewayError;
use super::journal::Run;
use super::site::Site;
use super::steps::{self, Bench, Head, Met};
use super::transform::Plan;
use super::{ledger, lookups, people};
use crate::deidentify::Deidentified;
use crate::fhir::tree::Node;
use crate::map::{Fate, Mapped};
use crate::origin::Origin;
use crate::platform::database;

/// A resource and what becomes of it.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    pub resource_type: String,
    /// Where it lies in the landing: segment and line.
    pub segment: i64,
    pub line: u64,
    /// The run that landed it.
    pub landed_in: i64,
    /// `mapped`, `excluded` or `refused`.
    pub fate: &'static str,
    /// Why it is excluded or refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub rows: Vec<SeenRow>,
    /// Its own id: names it at the EHR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// A row that would leave.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenRow {
    pub table: String,
    pub key: String,
    pub columns: Vec<SeenCell>,
}

/// One cell, before and after.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenCell {
    pub column: String,
    pub rule: String,
    /// Why the rule stands there, in the policy's words.
    pub reason: String,
    /// `kept`, `left empty`, `empty` or what the rule makes of it.
    pub effect: String,
    /// As it leaves, in JSON.
    pub released: String,
    /// As it came, in JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identified: Option<String>,
}

impl Seen {
    /// The same without what identifies.
    #[must_use]
    pub fn unidentified(mut self) -> Self {
        self.id = None;
        for cell in self.rows.iter_mut().flat_map(|row| &mut row.columns) {
            cell.identified = None;
        }
        self
    }
}

/// Never shows a value.
impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seen({}, {}, {} rows)", self.resource_type, self.fate, self.rows.len())
    }
}

/// The plan of who only looks: today's rules and decisions over what is landed.
/// # Errors: see [`GatewayError`].
pub(super) fn plan(site: &Site) -> Result<Plan<'_>, GatewayError> {
    let run = Run::onlooker(site.tools.clock.now());
    let mark = ledger::watermark(&database::lock(&site.db))?;
    let people = people::refresh(site, &[])?;
    let leaves = consent::decide(site, &run)?.0;
    let lookups = lookups::gather(site)?.0;
    Plan::new(site, &run, people, (lookups, leaves), mark.as_ref(), false)
}

/// What becomes of one resource.
pub(super) fn look(plan: &Plan<'_>, bench: &mut Bench, (origin, landed_in): (Origin, i64), root: Node<'_, '_>) -> Seen {
    let site = plan.site;
    let head = Head::of(root).ok();
    let mut seen = Seen {
        resource_type: steps::shown_type(root.resource_type().unwrap_or_default()).to_owned(),
        segment: origin.segment.0,
        line: origin.line,
        landed_in,
        fate: "mapped",
        why: None,
        rows: Vec::new(),
        id: head.map(|head| head.id.into_owned()),
    };
    let mut mapped = Mapped::with_cache(std::mem::take(&mut bench.codes));
    let mut released = Vec::new();
    let fate = match plan.stays(root, consent::patient_of(root).as_deref()) {
        Some(why) => Ok(Fate::Excluded(why)),
        None => steps::release(
            &site.rules,
            &plan.lookups,
            &mut plan.deidentifier.worker(),
            root,
            &mut mapped,
            &mut released,
            &mut Met::default(),
        ),
    };
    let by_row = crate::deidentify::patients_of(&site.rules.model, &mapped).find_map(|patient| plan.stays(root, Some(patient)));
    match (fate, by_row) {
        (Ok(Fate::Mapped), None) => seen.rows = rows(plan, &mapped, &released),
        (Ok(Fate::Mapped), Some(why)) | (Ok(Fate::Excluded(why)), _) => (seen.fate, seen.why) = ("excluded", Some(why.to_owned())),
        (Err(refusal), _) => (seen.fate, seen.why) = ("refused", Some(refusal.to_string())),
    }
    bench.codes = mapped.into_cache();
    seen
}

fn rows(plan: &Plan<'_>, mapped: &Mapped<'_>, released: &[Deidentified]) -> Vec<SeenRow> {
    let rules = &plan.site.rules;
    let withheld: Vec<&str> = rules.policy.withheld().map(|(table, _)| table).collect();
    let leaving = mapped
        .rows()
        .iter()
        .map(|(table, cells)| (rules.model.table(table), cells))
        .filter(|(table, _)| !withheld.contains(&table.name.as_str()));
    let mut all = Vec::with_capacity(released.len());
    for ((table, cells), row) in leaving.zip(released) {
        let mut came = Vec::new();
        table.write_json(cells, &mut came);
        let (came, left) = (members(&came), members(row.body().unwrap_or_default()));
        let ruled = rules.policy.columns().filter(|(of, ..)| *of == table.name);
        let columns = ruled
            .map(|(_, column, rule, reason)| {
                let of = |members: &BTreeMap<String, Box<RawValue>>| members.get(column).map_or("null", |raw| raw.get()).to_owned();
                let (identified, released) = (of(&came), of(&left));
                let effect = match (identified.as_str(), released.as_str()) {
                    ("null", "null") => "empty",
                    (_, "null") => "left empty",
                    (before, after) if before == after => "kept",
                    _ => effect_of(rules.policy.name(), rule.as_str()),
                };
                SeenCell {
                    column: column.to_owned(),
                    rule: rule.as_str().to_owned(),
                    reason: reason.to_owned(),
                    effect: effect.to_owned(),
                    released,
                    identified: Some(identified),
                }
            })
            .collect();
        all.push(SeenRow {
            table: row.table().to_owned(),
            key: row.key().to_owned(),
            columns,
        });
    }
    all
}

fn members(json: &[u8]) -> BTreeMap<String, Box<RawValue>> {
    serde_json::from_slice(json).unwrap_or_default()
}

/// What a rule made of a cell that is not as it came, in words where the rule's own are short of saying it. The same rule does not
/// do the same under every policy.
fn effect_of<'r>(policy: &str, rule: &'r str) -> &'r str {
    match (policy, rule) {
        (_, "pseudonym" | "surrogate") => "another name, the same wherever it stands",
        ("limited-data-set", "year") => "year of the day moved by this patient's secret days",
        (_, "year") => "year only",
        ("safe-harbor", "birth-date") => "year only; no birth that tells an age over 89",
        ("safe-harbor", "birth-year") => "one year for all of 90 and over",
        (_, "birth-year") => "year of the birth date moved by this patient's secret days",
        (_, "shift" | "birth-date") => "moved by this patient's secret days",
        (_, "month") => "month only",
        (_, "age") => "90 and over are one",
        (_, "age-band") => "first year of its band",
        (_, "zip3") => "first three digits, or 000",
        (_, "zip5") => "first five digits",
        (_, "zip9") => "nine digits",
        (_, "state") => "two letters",
        (_, "roll-up") => "a coarser code",
        (_, "perturb") => "a number moved by secret noise",
        (_, "redact") => "text without what identifies",
        (_, other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deidentify::Rule;

    #[test]
    fn nothing_is_said_to_move_under_safe_harbor_and_every_rule_that_changes_a_cell_has_words() {
        for rule in Rule::ALL.map(Rule::as_str) {
            // No policy of Safe Harbor may have `shift`.
            let moves = effect_of("safe-harbor", rule).contains("secret days");
            assert_eq!(moves, rule == "shift", "{rule}");
            for policy in ["safe-harbor", "limited-data-set", "expert"] {
                // Of these a cell is kept or left empty.
                let has_words = matches!(rule, "drop" | "keep" | "code") || effect_of(policy, rule) != rule;
                assert!(has_words, "{policy}: {rule}");
            }
        }
        assert!(effect_of("limited-data-set", "birth-date").starts_with("moved"));
        assert!(effect_of("safe-harbor", "birth-date").starts_with("year only"));
        assert_eq!(effect_of("expert", "year"), "year only", "an expert's year is the true one");
    }
}
