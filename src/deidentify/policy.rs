//! Reads `deidentification.toml`: one rule and one reason for every column of every table, or it is not loaded.
//! Knows the rule of every column; `policy_file` reads the file, `rule` knows where each may stand, `row` applies them.
//!
//! ```toml
//! [policy.safe-harbor]
//! claims = "45 CFR 164.514(b)(2)"
//! version = "1"
//! [table.lab_result]
//! lab_key       = { rule = "pseudonym", reason = "…" }
//! specimen_date = { safe-harbor = "year", limited-data-set = "shift", reason = "…" }
//! age_at_visit  = { rule = "age-band", bands = [18, 40, 65, 90], reason = "…" }
//! payer         = { safe-harbor = "drop", expert = { rule = "roll-up", by = "concepts/payer.json" }, reason = "…" }
//! [table.note]
//! withhold = "…"   # the reason why no row of the table leaves
//! ```

use super::geography::CENSUS;
use super::heading::{Determination, Shift};
use super::method::{Maps, Method};
use super::placement::Plan;
use super::policy_file::{self, PolicyFault};
use super::rule::{Basis, Rule};
use crate::cdm::{Model, TableId};
use crate::platform::secret::{hex, sha256};

/// How a fault begins that another line may mend.
const UNJOINED: &str = "keys of the table are hidden differently:";

/// One policy, whole and checked against the model.
#[derive(Clone, Debug)]
pub struct Policy {
    basis: Basis,
    claims: String,
    version: String,
    shift: Shift,
    determination: Option<Determination>,
    tables: Vec<Vec<Plan>>,
    /// Per table, why none of its rows leaves.
    withheld: Vec<Option<String>>,
    names: Vec<(String, Vec<String>)>,
    digest: [u8; 32],
}

impl Policy {
    /// The policy `name` (`safe-harbor`, `limited-data-set` or `expert`) of the file's text, for `model`.
    /// # Errors: every fault of the file at once, in the order of lines; those of its other policies too.
    pub fn compile(name: &str, toml: &str, model: &Model) -> Result<Self, Vec<PolicyFault>> {
        Self::compile_with(name, toml, model, &[])
    }

    /// The same, with the ConceptMaps that codes may be rolled up by, as `(file name, text)`.
    /// # Errors: as `compile`.
    pub fn compile_with(name: &str, toml: &str, model: &Model, maps: &[(String, String)]) -> Result<Self, Vec<PolicyFault>> {
        let mut file = policy_file::read(toml, model, maps);
        let wanted = Basis::of(name).filter(|basis| file.headings.contains_key(basis));
        if wanted.is_none() {
            file.has_no_policy(name);
        }
        let policy_file::PolicyFile {
            mut faults,
            mut headings,
            tables,
            withheld,
        } = file;
        let heading = wanted.and_then(|basis| headings.remove(&basis).map(|heading| (basis, heading)));
        if let (Some((basis, heading)), true) = (heading, faults.is_empty()) {
            let tables = tables
                .into_iter()
                .map(|columns| columns.into_iter().filter_map(|mut plans| plans.remove(&basis)).collect());
            let mut policy = Self {
                basis,
                claims: heading.claims,
                version: heading.version,
                shift: heading.shift,
                determination: heading.determination,
                tables: tables.collect(),
                withheld,
                names: model
                    .tables()
                    .map(|(_, table)| (table.name.clone(), table.columns.iter().map(|column| column.name.clone()).collect()))
                    .collect(),
                digest: [0; 32],
            };
            policy.digest = sha256(policy.canonical().as_bytes());
            return Ok(policy);
        }
        faults.sort();
        faults.dedup();
        Err(faults)
    }

    /// The same policy with a site's own stricter rules, as `(table.column, rule)`; a rule is a word or an inline table
    /// (`{ rule = "age-band", bands = [65, 90] }`). `(table, "withhold")` keeps all rows of a table here.
    /// # Errors: an unknown place or rule, or a rule that gives away more than the policy's; all at once.
    pub fn tighten(&self, model: &Model, stricter: &[(&str, &str)]) -> Result<Self, Vec<PolicyFault>> {
        self.tighten_with(model, stricter, &[])
    }

    /// The same, with the ConceptMaps that codes may be rolled up by.
    /// # Errors: as `tighten`.
    pub fn tighten_with(&self, model: &Model, stricter: &[(&str, &str)], maps: Maps<'_>) -> Result<Self, Vec<PolicyFault>> {
        let mut policy = self.clone();
        let mut faults = Vec::new();
        for (line, (place, rule)) in stricter.iter().enumerate() {
            let done = policy.tighten_one(model, place, rule, maps);
            if let Err(fault) = done.and_then(|()| policy.joins(model, place)) {
                faults.push((line, *place, fault));
            }
        }
        // A surrogate joins only when all columns of the key have it: told of when all lines are in.
        faults.retain(|(_, place, fault)| !fault.starts_with(UNJOINED) || policy.joins(model, place).is_err());
        if !faults.is_empty() {
            let fault = |(line, place, fault): (usize, &str, String)| PolicyFault {
                line: line + 1,
                column: 1,
                place: place.to_owned(),
                fault,
            };
            return Err(faults.into_iter().map(fault).collect());
        }
        policy.digest = sha256(policy.canonical().as_bytes());
        Ok(policy)
    }

    fn tighten_one(&mut self, model: &Model, place: &str, text: &str, maps: Maps<'_>) -> Result<(), String> {
        if let (Some(id), "withhold") = (model.find(place), text) {
            let withheld = self
                .withheld
                .get_mut(usize::from(id.0))
                .ok_or("is no table of the policy's model")?;
            withheld.get_or_insert_with(|| "withheld by the site".to_owned());
            return Ok(());
        }
        if model.find(place).is_some() {
            return Err("is a whole table: only `withhold` may stand for one".to_owned());
        }
        let found = place
            .split_once('.')
            .and_then(|(table, column)| model.find(table).and_then(|id| model.table(id).column(column).map(|at| (id, at))));
        let (id, at) = found.ok_or("is no column and no table of the model")?;
        let method = Method::of_text(text, maps).map_err(|fault| {
            let words: Vec<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
            format!("{fault}; a column may have: {}", words.join(", "))
        })?;
        let plan = self
            .tables
            .get_mut(usize::from(id.0))
            .and_then(|columns| columns.get_mut(at))
            .ok_or("is no column of the policy's model, or its table is withheld")?;
        if !plan.method().may_become(&method) {
            return Err(format!(
                "`{}` is not stricter than `{}`: a site may tighten a policy, never loosen it",
                method.rule.as_str(),
                plan.rule.as_str()
            ));
        }
        // Under `expert` a year is the true one; in the limited data set it is the moved day's.
        if (self.basis, plan.rule, method.rule) == (Basis::Expert, Rule::Shift, Rule::Year) {
            return Err("true years beside moved days would tell the shift: `shift` may become `drop`".to_owned());
        }
        if let Some(fault) = method.fault(self.basis, model, model.table(id), at) {
            return Err(fault);
        }
        let reason = format!("tightened by the site; before: {}", plan.reason);
        *plan = Plan::of(method, reason, model, model.table(id), at);
        Ok(())
    }

    /// Whether the keys in the column at `place` are hidden as they are everywhere else.
    fn joins(&self, model: &Model, place: &str) -> Result<(), String> {
        let at = place
            .split_once('.')
            .and_then(|(table, column)| model.find(table).and_then(|id| Some((id, model.table(id).column(column)?))));
        let plan = at.and_then(|(id, at)| self.plans(id).get(at));
        let Some((plan, of)) = plan.and_then(|plan| Some((plan, plan.key_of?))) else {
            return Ok(());
        };
        let mut others = self.tables.iter().flatten().filter(|other| other.key_of == Some(of));
        match others.find(|other| !other.rule.joins(self.basis, plan.rule)) {
            None => Ok(()),
            Some(other) => Err(format!(
                "{UNJOINED} `{}` by `{}` elsewhere: change all columns of the key, or rows could not be joined",
                model.table(of).name,
                other.rule.as_str()
            )),
        }
    }

    /// `safe-harbor`, `limited-data-set` or `expert`.
    pub fn name(&self) -> &'static str {
        self.basis.as_str()
    }

    /// The paragraph of law the policy is written for.
    pub fn claims(&self) -> &str {
        &self.claims
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    /// The most days a date moves, to either side; the true day is one of the possible ones.
    pub fn max_shift_days(&self) -> u16 {
        self.shift.max_days
    }

    /// Whether dates move in whole weeks.
    pub fn keeps_weekday(&self) -> bool {
        self.shift.keep_weekday
    }

    /// Who determined that the risk is very small; only under `expert`.
    pub fn determination(&self) -> Option<&Determination> {
        self.determination.as_ref()
    }

    pub(super) fn shift(&self) -> Shift {
        self.shift
    }

    /// SHA-256 of the canonical form: basis, version, shift, facts and every rule; not the reasons.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// `digest` as hex, as the manifest carries it.
    pub fn digest_hex(&self) -> String {
        hex(&self.digest)
    }

    /// Every column with its rule and reason, as `(table, column, rule, reason)`, in the model's order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &str, Rule, &str)> {
        self.names.iter().zip(&self.tables).flat_map(|((table, columns), plans)| {
            columns
                .iter()
                .zip(plans)
                .map(|(column, plan)| (table.as_str(), column.as_str(), plan.rule, plan.reason.as_str()))
        })
    }

    /// The tables of which no row leaves, and why.
    pub fn withheld(&self) -> impl Iterator<Item = (&str, &str)> {
        let reasons = self.names.iter().zip(&self.withheld);
        reasons.filter_map(|((table, _), reason)| Some((table.as_str(), reason.as_deref()?)))
    }

    pub(super) fn withholds(&self, table: TableId) -> bool {
        self.withheld.get(usize::from(table.0)).is_some_and(Option::is_some)
    }

    /// Every column as `(table index, column index, (table, column), rule)`.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, usize, (&str, &str), Rule)> {
        self.names
            .iter()
            .zip(&self.tables)
            .enumerate()
            .flat_map(|(at, ((table, columns), plans))| {
                columns
                    .iter()
                    .zip(plans)
                    .enumerate()
                    .map(move |(index, (column, plan))| (at, index, (table.as_str(), column.as_str()), plan.rule))
            })
    }

    pub(super) fn digest_bytes(&self) -> &[u8] {
        &self.digest
    }

    pub(super) fn basis(&self) -> Basis {
        self.basis
    }

    pub(super) fn plans(&self, table: TableId) -> &[Plan] {
        self.tables.get(usize::from(table.0)).map_or(&[], Vec::as_slice)
    }

    /// Whether the policy was compiled for this model: same tables, same columns, same order.
    pub(super) fn fits(&self, model: &Model) -> bool {
        model.tables().count() == self.names.len()
            && model
                .tables()
                .zip(&self.names)
                .all(|((_, table), (name, columns))| table.name == *name && table.columns.iter().map(|column| &column.name).eq(columns))
    }

    /// Every column left as it is and unguarded: no policy at all, to show that what looks for a leak finds one.
    #[cfg(test)]
    pub(super) fn switched_off(mut self) -> Self {
        for plan in self.tables.iter_mut().flatten() {
            (plan.rule, plan.guarded) = (Rule::Keep, false);
        }
        self
    }

    fn canonical(&self) -> String {
        let mut text = format!(
            "headwater-policy/1\n{}\n{:?}\n{:?}\nmax_shift_days {}\n{CENSUS}\n",
            self.name(),
            self.claims,
            self.version,
            self.shift.max_days
        );
        // Only where there is something to say, so that policies that do not use them keep their digest.
        if self.shift.keep_weekday {
            text.push_str("keep_weekday\n");
        }
        // What was released before rows joined, or with an observed age over 89, is made again.
        if self.basis == Basis::SafeHarbor {
            text.push_str("one key for a row about nobody\nno observed age over 89\n");
        }
        if let Some(Determination { by, on, reference }) = &self.determination {
            text.push_str(&format!("determined {by:?} {on:?} {reference:?}\n"));
        }
        for ((table, columns), plans) in self.names.iter().zip(&self.tables) {
            for (column, plan) in columns.iter().zip(plans) {
                text.push_str(&format!("{table}.{column} {}\n", plan.method().canonical()));
            }
        }
        for (table, _) in self.withheld() {
            text.push_str(&format!("{table} withheld\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests;
