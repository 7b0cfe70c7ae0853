//! Codes that no ConceptMap knew, counted. A local code may be free text: these stay in memory and in the site's own
//! report and are never logged, which is why nothing here prints itself.

use std::collections::HashMap;

use crate::cdm::TableId;

/// Different codes kept; the rest is only counted, so that free text cannot fill the memory.
const MAX_CODES: usize = 50_000;

/// Where a code was met that no map knew.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unmapped {
    pub table: TableId,
    /// The column's place in its table.
    pub column: usize,
    pub system: String,
    pub code: String,
    /// `no-group`, `no-code`, `no-target` of a ConceptMap; `no-vocabulary`, `no-code`, `no-standard`, `other-domain` of a
    /// vocabulary.
    pub reason: &'static str,
}

/// One thread's counts.
#[derive(Default)]
pub struct MapStats {
    unmapped: HashMap<Unmapped, u64>,
    beyond: u64,
    /// Rows by view, by the view's place in the mapping.
    rows: Vec<u64>,
}

impl MapStats {
    /// Counts what one view made of one resource.
    pub(super) fn made(&mut self, view: usize, rows: usize) {
        if rows == 0 {
            return;
        }
        if self.rows.len() <= view {
            self.rows.resize(view + 1, 0);
        }
        self.rows[view] += rows as u64;
    }

    /// Rows of the view at this place of `Mapping::views`.
    pub fn rows_of(&self, view: usize) -> u64 {
        self.rows.get(view).copied().unwrap_or(0)
    }

    pub fn count(&mut self, table: TableId, column: usize, system: &str, code: &str, reason: &'static str) {
        let key = Unmapped {
            table,
            column,
            system: system.to_owned(),
            code: code.to_owned(),
            reason,
        };
        self.add(key, 1);
    }

    fn add(&mut self, key: Unmapped, times: u64) {
        if self.unmapped.len() >= MAX_CODES && !self.unmapped.contains_key(&key) {
            self.beyond += times;
            return;
        }
        *self.unmapped.entry(key).or_insert(0) += times;
    }

    /// Adds another thread's counts.
    pub fn merge(&mut self, other: MapStats) {
        for (key, times) in other.unmapped {
            self.add(key, times);
        }
        self.beyond += other.beyond;
        for (view, rows) in other.rows.into_iter().enumerate() {
            self.made(view, usize::try_from(rows).unwrap_or(usize::MAX));
        }
    }

    /// The codes and how often, the most frequent first; equal counts in the order of table, column and code.
    pub fn unmapped(&self) -> Vec<(&Unmapped, u64)> {
        let mut all: Vec<_> = self.unmapped.iter().map(|(key, times)| (key, *times)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        all
    }

    /// Codes met after the room for different codes was used up.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }
}

impl std::fmt::Debug for MapStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MapStats({} different codes)", self.unmapped.len())
    }
}
