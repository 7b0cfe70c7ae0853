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
//! [table.note]
//! withhold = "…"   # the reason why no row of the table leaves
//! ```

use super::geography::CENSUS;
use super::policy_file::{self, PolicyFault};
use super::rule::{Basis, Plan, Rule};
use crate::cdm::{Model, TableId};
use crate::platform::secret::{hex, sha256};

/// One policy, whole and checked against the model.
#[derive(Clone, Debug)]
pub struct Policy {
    basis: Basis,
    claims: String,
    version: String,
    max_shift_days: u16,
    tables: Vec<Vec<Plan>>,
    /// Per table, why none of its rows leaves.
    withheld: Vec<Option<String>>,
    names: Vec<(String, Vec<String>)>,
    digest: [u8; 32],
}

impl Policy {
    /// The policy `name` (`safe-harbor` or `limited-data-set`) of the file's text, for `model`.
    /// # Errors: every fault of the file at once, in the order of lines; those of its other policies too.
    pub fn compile(name: &str, toml: &str, model: &Model) -> Result<Self, Vec<PolicyFault>> {
        let mut file = policy_file::read(toml, model);
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
                max_shift_days: heading.max_shift_days,
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

    /// The same policy with a site's own stricter rules, as `(table.column, rule)`.
    /// # Errors: an unknown place or rule, or a rule that gives away more than the policy's; all at once.
    pub fn tighten(&self, model: &Model, stricter: &[(&str, &str)]) -> Result<Self, Vec<PolicyFault>> {
        let mut policy = self.clone();
        let mut faults = Vec::new();
        for (line, (place, word)) in stricter.iter().enumerate() {
            if let Err(fault) = policy.tighten_one(model, place, word) {
                faults.push(PolicyFault {
                    line: line + 1,
                    column: 1,
                    place: (*place).to_owned(),
                    fault,
                });
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        policy.digest = sha256(policy.canonical().as_bytes());
        Ok(policy)
    }

    fn tighten_one(&mut self, model: &Model, place: &str, word: &str) -> Result<(), String> {
        let found = place
            .split_once('.')
            .and_then(|(table, column)| model.find(table).and_then(|id| model.table(id).column(column).map(|at| (id, at))));
        let (id, at) = found.ok_or("is no column of the model")?;
        let rule = Rule::of(word).ok_or_else(|| format!("`{word}` is no rule"))?;
        let plan = self
            .tables
            .get_mut(usize::from(id.0))
            .and_then(|columns| columns.get_mut(at))
            .ok_or("is no column of the policy's model")?;
        if !plan.rule.may_become(rule) {
            return Err(format!(
                "`{word}` is not stricter than `{}`: a site may tighten a policy, never loosen it",
                plan.rule.as_str()
            ));
        }
        if let Some(fault) = rule.fault(self.basis, model.table(id), at) {
            return Err(fault);
        }
        let reason = format!("tightened by the site; before: {}", plan.reason);
        *plan = Plan::of(rule, reason, model, model.table(id), at);
        Ok(())
    }

    /// `safe-harbor` or `limited-data-set`.
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

    pub fn max_shift_days(&self) -> u16 {
        self.max_shift_days
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

    fn canonical(&self) -> String {
        let mut text = format!(
            "headwater-policy/1\n{}\n{:?}\n{:?}\nmax_shift_days {}\n{CENSUS}\n",
            self.name(),
            self.claims,
            self.version,
            self.max_shift_days
        );
        for (table, column, rule, _) in self.columns() {
            text.push_str(&format!("{table}.{column} {}\n", rule.as_str()));
        }
        for (table, _) in self.withheld() {
            text.push_str(&format!("{table} withheld\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests;
