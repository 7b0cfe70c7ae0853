//! How often each rule was at work, column by column: what a privacy officer reads after a run. Counts, never values.

use super::policy::Policy;
use super::rule::Rule;
use crate::cdm::TableId;

/// Cells that each rule met, per column; added up over threads by `add`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleHits {
    tables: Vec<Vec<u64>>,
}

impl RuleHits {
    pub fn new() -> Self {
        Self::default()
    }

    /// The counts of a table with so many columns.
    pub(super) fn of(&mut self, table: TableId, columns: usize) -> &mut [u64] {
        let table = usize::from(table.0);
        if self.tables.len() <= table {
            self.tables.resize_with(table + 1, Vec::new);
        }
        let counts = &mut self.tables[table];
        if counts.len() < columns {
            counts.resize(columns, 0);
        }
        counts
    }

    /// Adds another thread's counts.
    pub fn add(&mut self, other: &RuleHits) {
        for (table, columns) in other.tables.iter().enumerate() {
            if self.tables.len() <= table {
                self.tables.resize_with(table + 1, Vec::new);
            }
            let mine = &mut self.tables[table];
            if mine.len() < columns.len() {
                mine.resize(columns.len(), 0);
            }
            for (sum, count) in mine.iter_mut().zip(columns) {
                *sum += count;
            }
        }
    }

    /// `(table, column, rule, cells)` for every column of the policy, in the model's order; zeros too.
    pub fn rows<'p>(&'p self, policy: &'p Policy) -> impl Iterator<Item = (&'p str, &'p str, Rule, u64)> {
        policy.places().map(|(table, column, names, rule)| {
            let count = self.tables.get(table).and_then(|columns| columns.get(column)).copied().unwrap_or(0);
            (names.0, names.1, rule, count)
        })
    }
}
