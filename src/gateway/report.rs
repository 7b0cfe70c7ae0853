//! What a run says of itself when it ends: the balanced ledger in numbers. No patient value, so it may be logged and kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use crate::cdm::{Model, TableId};
use crate::map::{self, MapStats};

/// A code that no ConceptMap knows. The code stays at the site: it may be a local one with a patient's text in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmapped {
    pub table: String,
    pub column: String,
    /// Different codes.
    pub codes: u64,
    /// How often they were met.
    pub count: u64,
    /// The same by why they have no target: `no-code`, `no-standard` and so on.
    #[serde(default)]
    pub reasons: BTreeMap<String, u64>,
}

/// One run in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub run: i64,
    /// `full` or `incremental`.
    pub kind: String,
    /// The EHR gave everything it announced.
    pub complete: bool,
    pub rehearsed: bool,
    pub counts: Counts,
    /// Faults by profiles that let their resource go on: path, rule and profile.
    #[serde(default)]
    pub warned: BTreeMap<String, u64>,
    /// Codes without a concept, by table and column.
    pub unmapped: Vec<Unmapped>,
    /// Types that the EHR does not offer, so that they were not asked for, and the tables that stay empty for it.
    #[serde(default)]
    pub not_offered: BTreeMap<String, Vec<String>>,
    /// Ids of the exclusion lists that nothing here is about: a misspelt one excludes nobody.
    #[serde(default)]
    pub strangers_listed: u64,
    /// What the EHR did not give, in words without patient values.
    pub problems: Vec<String>,
    pub policy: String,
    pub key_fingerprint: String,
    /// The registry's names for what was sent: submission, sequence, leaf of its log.
    pub submission: Option<String>,
    pub sequence: u64,
    pub leaf: Option<u64>,
    pub chunks: usize,
    /// SHA-256 of the run's evidence, `state/evidence/<run>/evidence.json`.
    #[serde(default)]
    pub evidence: String,
    /// Why the registry rejected rows: `table: rule`.
    pub rejected: BTreeMap<String, u64>,
    /// Rows of this and earlier runs that the registry has not taken to this day: `table: rule`. They are tried again when
    /// their resource changes, when the rules change, and whenever it is pulled again (`--full`).
    #[serde(default)]
    pub outstanding: BTreeMap<String, u64>,
    pub seconds: f64,
}

impl Report {
    /// Both sides of the ledger hold, and the EHR gave everything.
    pub fn balanced(&self) -> bool {
        self.counts.resources_balance() && self.counts.derived_balance() && (self.rehearsed || self.counts.rows_balance())
    }
}

/// Codes without a concept, by table and column; the codes themselves are not told.
pub(super) fn unmapped(model: &Model, stats: &MapStats) -> Vec<Unmapped> {
    let mut sums: BTreeMap<(TableId, usize), Unmapped> = BTreeMap::new();
    for (code, tally) in stats.unmapped() {
        let sum = sums.entry((code.table, code.column)).or_insert_with(|| {
            let table = model.table(code.table);
            Unmapped {
                table: table.name.clone(),
                column: table.columns[code.column].name.clone(),
                codes: 0,
                count: 0,
                reasons: BTreeMap::new(),
            }
        });
        sum.codes += 1;
        sum.count += tally.times;
        *sum.reasons.entry(code.reason.to_owned()).or_default() += tally.times;
    }
    sums.into_values().collect()
}

/// One code without a target, for the person who maps. It may be a local one with a patient's text in it, so it is told only
/// where the rows themselves are written, never in a run's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnmappedCode {
    pub table: String,
    pub column: String,
    pub system: String,
    pub code: String,
    pub reason: &'static str,
    pub count: u64,
    pub patients: u64,
    /// There are more patients than were told apart.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_patients: bool,
}

/// The codes themselves, the most frequent first.
pub(super) fn unmapped_codes(model: &Model, stats: &MapStats) -> Vec<UnmappedCode> {
    let named = |(code, tally): (&map::Unmapped, &map::Tally)| {
        let table = model.table(code.table);
        let (patients, more_patients) = tally.patients();
        UnmappedCode {
            table: table.name.clone(),
            column: table.columns[code.column].name.clone(),
            system: code.system.clone(),
            code: code.code.clone(),
            reason: code.reason,
            count: tally.times,
            patients,
            more_patients,
        }
    };
    stats.unmapped().into_iter().map(named).collect()
}
