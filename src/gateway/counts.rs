//! The balanced ledger in numbers: what was pulled, what became of it, what left, what was taken.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// What became of a resource. Every one pulled ends in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fate {
    Mapped = 1,
    Excluded = 2,
    Refused = 3,
}

impl Fate {
    pub(super) fn from_code(code: i64) -> Self {
        match code {
            1 => Fate::Mapped,
            2 => Fate::Excluded,
            _ => Fate::Refused,
        }
    }
}

/// The numbers of one resource type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeCounts {
    pub pulled: u64,
    pub remapped: u64,
    pub mapped: u64,
    pub excluded: u64,
    pub refused: u64,
    /// Of those mapped or excluded: not looked at again, because nothing changed.
    pub unchanged: u64,
    pub deleted: u64,
    /// Of those refused: lines that do not even say which resource they are.
    #[serde(default)]
    pub unreadable: u64,
}

/// The groups of one derived table, each of which has one row or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedCounts {
    /// Made anew, since a resource that is in them, or was, was looked at.
    pub groups: u64,
    pub mapped: u64,
    pub refused: u64,
    /// No resource gives anything to them any more.
    pub ended: u64,
}

/// The numbers of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub types: BTreeMap<String, TypeCounts>,
    /// Why resources were excluded.
    pub excluded: BTreeMap<String, u64>,
    /// Why resources were refused: `step: rule`.
    pub refused: BTreeMap<String, u64>,
    pub upserts: BTreeMap<String, u64>,
    pub tombstones: BTreeMap<String, u64>,
    /// Rows that were made and that the policy keeps at the site with their whole table, of the resources looked at.
    #[serde(default)]
    pub withheld: BTreeMap<String, u64>,
    /// The groups of derived tables that were made anew, by table.
    #[serde(default)]
    pub derived: BTreeMap<String, DerivedCounts>,
    /// Why derived rows were refused: `step: rule`.
    #[serde(default)]
    pub unmade: BTreeMap<String, u64>,
    pub accepted: u64,
    pub rejected: u64,
}

impl Counts {
    /// The numbers of one type.
    pub(super) fn of(&mut self, resource_type: &str) -> &mut TypeCounts {
        self.types.entry(resource_type.to_owned()).or_default()
    }

    pub(super) fn exclude(&mut self, why: &str) {
        *self.excluded.entry(why.to_owned()).or_default() += 1;
    }

    pub(super) fn refuse(&mut self, why: String) {
        *self.refused.entry(why).or_default() += 1;
    }

    pub(super) fn withhold(&mut self, table: &str, rows: u64) {
        *self.withheld.entry(table.to_owned()).or_default() += rows;
    }

    pub(super) fn unmade(&mut self, refusal: &Refusal) {
        let why = format!("{}: {} {}", refusal.step.as_str(), refusal.path, refusal.rule);
        *self.unmade.entry(why).or_default() += 1;
    }

    /// Sum of one number over all types.
    pub fn total(&self, number: impl Fn(&TypeCounts) -> u64) -> u64 {
        self.types.values().map(number).sum()
    }

    /// Rows that leave: upserts and tombstones.
    pub fn released(&self) -> u64 {
        self.upserts.values().sum::<u64>() + self.tombstones.values().sum::<u64>()
    }

    /// pulled (and re-mapped) = mapped + excluded + refused, type by type.
    pub fn resources_balance(&self) -> bool {
        self.types
            .values()
            .all(|t| t.pulled + t.remapped == t.mapped + t.excluded + t.refused)
    }

    /// made anew = mapped + refused + ended, table by table.
    pub fn derived_balance(&self) -> bool {
        self.derived.values().all(|t| t.groups == t.mapped + t.refused + t.ended)
    }

    /// released = accepted + rejected.
    pub fn rows_balance(&self) -> bool {
        self.released() == self.accepted + self.rejected
    }
}
