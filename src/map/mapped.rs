//! What the mapping made of one resource, and what a thread keeps from one to the next.

use crate::cdm::Rows;

use super::row::Work;
use super::stats::MapStats;
use super::vocabulary::CodeCache;

/// One resource's rows, each checked against its table. Only `map` fills one. Reused from resource to resource.
#[derive(Default)]
pub struct Mapped<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) work: Work<'a>,
}

/// Never shows a value.
impl std::fmt::Debug for Mapped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mapped({} rows)", self.rows.len())
    }
}

impl<'a> Mapped<'a> {
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with what a thread remembers of codes from block to block.
    pub fn with_cache(cache: CodeCache) -> Self {
        let mut mapped = Self::default();
        mapped.work.cache = cache;
        mapped
    }

    /// Rows that were derived from mapped ones.
    pub(super) fn derived(rows: Rows<'a>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// What was remembered of codes.
    pub fn into_cache(self) -> CodeCache {
        self.work.cache
    }

    /// The rows, by view and in the order of the resource.
    pub fn rows(&self) -> &Rows<'a> {
        &self.rows
    }

    /// Forgets the rows; keeps the room and the counts.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Unmapped codes of all resources so far.
    pub fn stats(&self) -> &MapStats {
        &self.work.stats
    }

    /// The counts, which begin again at none.
    pub fn take_stats(&mut self) -> MapStats {
        std::mem::take(&mut self.work.stats)
    }
}
