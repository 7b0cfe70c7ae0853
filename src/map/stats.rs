//! Codes that no ConceptMap and no vocabulary knew, counted by rows and by patients. A local code may be free text: these stay in memory and in the site's own
//! report and are never logged, which is why nothing here prints itself.

use std::collections::{BTreeSet, HashMap};

use crate::cdm::TableId;

/// Different codes kept; the rest is only counted, so that free text cannot fill the memory.
const MAX_CODES: usize = 50_000;

/// Patients told apart per code, and over all codes: what is beyond is "at least".
const MAX_PATIENTS: usize = 1_000;
const MAX_ALL_PATIENTS: usize = 400_000;

/// Where a code was met that no map knew.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unmapped {
    pub table: TableId,
    /// The column's place in its table.
    pub column: usize,
    pub system: String,
    pub code: String,
    /// `no-group`, `no-code`, `no-target` of a ConceptMap; `no-vocabulary`, `no-code`, `no-standard`, `other-domain` of a
    /// vocabulary, and `no-view` where no view takes the domain of its concept; `no-unit`, `no-ucum`, `other-kind`, `comparator`,
    /// `out-of-range` of a number that is not in its column's unit.
    pub reason: &'static str,
}

/// How often one code was met.
#[derive(Default)]
pub struct Tally {
    pub times: u64,
    patients: BTreeSet<i64>,
    more_patients: bool,
}

impl Tally {
    /// Different patients, and whether there are more than were told apart.
    pub fn patients(&self) -> (u64, bool) {
        (self.patients.len() as u64, self.more_patients)
    }
}

/// One thread's counts.
#[derive(Default)]
pub struct MapStats {
    /// Places in `tallies`, by table, column, reason, system and code.
    places: HashMap<Box<[u8]>, usize>,
    tallies: Vec<(Unmapped, Tally)>,
    /// Met in the resource at hand: its patient is not known yet.
    fresh: Vec<usize>,
    /// Patients kept, over all codes.
    patients: usize,
    beyond: u64,
    /// Rows by view, by the view's place in the mapping.
    rows: Vec<u64>,
    key: Vec<u8>,
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

    /// Counts a code of the resource at hand; `settle` ends the resource.
    pub fn count(&mut self, table: TableId, column: usize, system: &str, code: &str, reason: &'static str) {
        match self.place(table, column, system, code, reason) {
            Some(place) => {
                self.tallies[place].1.times += 1;
                self.fresh.push(place);
            }
            None => self.beyond += 1,
        }
    }

    /// Ends a resource: what was counted since the last one belongs to this patient, asked for only where something was.
    pub fn settle(&mut self, patient: impl FnOnce() -> Option<i64>) {
        if self.fresh.is_empty() {
            return;
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        if let Some(patient) = patient() {
            fresh.iter().for_each(|place| self.patient(*place, patient));
        }
        fresh.clear();
        self.fresh = fresh;
    }

    fn patient(&mut self, place: usize, patient: i64) {
        let tally = &mut self.tallies[place].1;
        if tally.patients.contains(&patient) {
            return;
        }
        if tally.patients.len() >= MAX_PATIENTS || self.patients >= MAX_ALL_PATIENTS {
            tally.more_patients = true;
            return;
        }
        tally.patients.insert(patient);
        self.patients += 1;
    }

    /// Where the code is counted; `None` once there is no room for another.
    fn place(&mut self, table: TableId, column: usize, system: &str, code: &str, reason: &'static str) -> Option<usize> {
        self.key.clear();
        self.key.extend_from_slice(&table.0.to_le_bytes());
        self.key.extend_from_slice(&column.to_le_bytes());
        for text in [reason, system] {
            self.key.extend_from_slice(text.as_bytes());
            self.key.push(0);
        }
        self.key.extend_from_slice(code.as_bytes());
        if let Some(place) = self.places.get(self.key.as_slice()) {
            return Some(*place);
        }
        let place = self.tallies.len();
        if place >= MAX_CODES {
            return None;
        }
        self.places.insert(self.key.as_slice().into(), place);
        let code = Unmapped {
            table,
            column,
            system: system.to_owned(),
            code: code.to_owned(),
            reason,
        };
        self.tallies.push((code, Tally::default()));
        Some(place)
    }

    /// Adds another thread's counts.
    pub fn merge(&mut self, other: MapStats) {
        for (code, tally) in other.tallies {
            let Some(place) = self.place(code.table, code.column, &code.system, &code.code, code.reason) else {
                self.beyond += tally.times;
                continue;
            };
            tally.patients.iter().for_each(|patient| self.patient(place, *patient));
            let own = &mut self.tallies[place].1;
            own.times += tally.times;
            own.more_patients |= tally.more_patients;
        }
        self.beyond += other.beyond;
        for (view, rows) in other.rows.into_iter().enumerate() {
            self.made(view, usize::try_from(rows).unwrap_or(usize::MAX));
        }
    }

    /// The codes and how often, the most frequent first; equal counts in the order of table, column and code.
    pub fn unmapped(&self) -> Vec<(&Unmapped, &Tally)> {
        let mut all: Vec<_> = self.tallies.iter().map(|(code, tally)| (code, tally)).collect();
        all.sort_by(|a, b| b.1.times.cmp(&a.1.times).then_with(|| a.0.cmp(b.0)));
        all
    }

    /// Codes met after the room for different codes was used up.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }
}

impl std::fmt::Debug for MapStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MapStats({} different codes)", self.tallies.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(stats: &mut MapStats, code: &str, patient: i64) {
        stats.count(TableId(0), 1, "s", code, "no-code");
        stats.settle(|| Some(patient));
    }

    #[test]
    fn a_code_is_counted_by_rows_and_by_patients_over_threads() {
        let (mut one, mut two) = (MapStats::default(), MapStats::default());
        for (code, patient) in [("a", 1), ("a", 1), ("a", 2), ("b", 1)] {
            met(&mut one, code, patient);
        }
        met(&mut two, "a", 2);
        met(&mut two, "a", 3);
        one.merge(two);
        let all: Vec<_> = one
            .unmapped()
            .iter()
            .map(|(code, tally)| (code.code.clone(), tally.times, tally.patients()))
            .collect();
        assert_eq!(all, [("a".to_owned(), 5, (3, false)), ("b".to_owned(), 1, (1, false))]);
    }

    #[test]
    fn more_patients_than_are_told_apart_are_at_least_so_many() {
        let mut stats = MapStats::default();
        (0..1_500).for_each(|patient| met(&mut stats, "a", patient));
        assert_eq!(stats.unmapped()[0].1.patients(), (1_000, true));
        assert_eq!(stats.unmapped()[0].1.times, 1_500);
    }

    #[test]
    fn free_text_in_place_of_codes_cannot_fill_the_memory() {
        let mut stats = MapStats::default();
        (0..60_000).for_each(|number| met(&mut stats, &number.to_string(), number));
        assert_eq!((stats.unmapped().len(), stats.beyond()), (50_000, 10_000));
    }
}
