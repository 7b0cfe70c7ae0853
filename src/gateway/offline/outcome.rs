//! What came of mapping a folder, in numbers and in a few refusals. No patient value, but for codes that nothing maps.

use std::collections::BTreeMap;

use crate::cdm::Model;

use super::super::counts::Counts;
use super::super::report::{Unmapped, UnmappedCode};
use super::part::Part;

/// A refused line, for the person who maps: file, line, type, path and rule; never a value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RefusedLine {
    pub file: String,
    pub line: u64,
    pub resource_type: String,
    pub refusal: String,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub counts: Counts,
    /// Codes without a concept, by table and column.
    pub unmapped: Vec<Unmapped>,
    /// Those codes, the most frequent first.
    pub unmapped_codes: Vec<UnmappedCode>,
    /// Further codes that were met after there was no room to keep different ones.
    pub unmapped_beyond: u64,
    /// The vocabulary's release; empty without one.
    pub vocabulary: String,
    pub rows: BTreeMap<String, u64>,
    /// Bytes of NDJSON read, unpacked.
    pub bytes: u64,
    /// The first refusals, at most [`SHOWN`].
    pub refused: Vec<RefusedLine>,
}

/// How many refusals are kept to be shown; all are counted.
pub const SHOWN: usize = 100;

impl Outcome {
    pub(super) fn add(&mut self, part: Part, model: &Model) {
        for (name, types) in part.types {
            let sum = self.counts.types.entry(name).or_default();
            sum.pulled += types.pulled;
            sum.mapped += types.mapped;
            sum.excluded += types.excluded;
            sum.refused += types.refused;
        }
        for (from, to) in [(part.excluded, &mut self.counts.excluded), (part.refused, &mut self.counts.refused)] {
            for (why, number) in from {
                *to.entry(why).or_default() += number;
            }
        }
        for (table, number) in part.withheld {
            self.counts.withhold(&table, number);
        }
        for ((_, table), number) in model.tables().zip(part.rows) {
            *self.rows.entry(table.name.clone()).or_default() += number;
        }
        self.bytes += part.bytes;
        let room = SHOWN.saturating_sub(self.refused.len());
        self.refused.extend(part.lines.into_iter().take(room));
    }
}
