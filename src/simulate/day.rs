//! What happens to a data set in a day: some resources are edited, some are new, some are gone, and two patients turn
//! out to be one.
//! Every choice about a resource depends on the seed, the day and the resource's type and id only, so that it does not
//! matter how the data is split into files.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use jiff::Timestamp;

use super::dice::{Dice, spread};
use super::error::SimulateError;
use super::world::{Change, Place, World, patient};
use super::{edit, span};

/// What changed in a day; every list holds `Type/id`, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Resources that were there and are different now, those of a merged patient included.
    pub edited: Vec<String>,
    /// Resources that were not there.
    pub added: Vec<String>,
    /// Resources that are gone, a deleted merged patient included.
    pub deleted: Vec<String>,
    pub merged: Option<Merge>,
}

/// Two patients who are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// `Patient/id` of the one that stays.
    pub survivor: String,
    /// `Patient/id` of the other.
    pub loser: String,
    /// True: the loser is deleted. False: it is inactive and says by whom it was replaced.
    pub loser_deleted: bool,
    /// The loser's resources, which now refer to the survivor; all are among `edited` or `added`.
    pub moved: Vec<String>,
}

/// Per million.
const DELETED: u64 = 5_000;
const EDITED: u64 = DELETED + 20_000;
const ADDED: u64 = EDITED + 10_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stay,
    Delete,
    Edit,
    Copy,
}

/// The world after one more day: about 2 % of the resources edited, 1 % new, 0.5 % deleted, and with three patients or
/// more one merged patient. At least one Observation is edited, one added and one deleted where there are enough.
pub fn next_day(world: &World, seed: u64, at: Timestamp) -> Result<(World, Day), SimulateError> {
    // Every day has its own choices, whatever the clock says.
    let seed = seed ^ spread(0xda7, world.days.to_string().as_bytes());
    let mut tomorrow = Tomorrow {
        seed,
        at,
        next: world.clone(),
        today: Changes::default(),
    };
    tomorrow.go_over(world)?;
    tomorrow.make_sure()?;
    let merged = tomorrow.merge(world)?;
    Ok(tomorrow.finish(merged))
}

/// Changes of one day by type and id, before they are put over the world.
#[derive(Default)]
struct Changes {
    made: BTreeMap<(String, String), Change>,
    /// Untouched observations with the lowest hash: what `make_sure` falls back on.
    spare: BTreeMap<u64, String>,
    /// Patients by another hash: the two lowest are the merge's.
    patients: BTreeMap<u64, (String, String)>,
    patient_count: u64,
}

struct Tomorrow {
    seed: u64,
    at: Timestamp,
    next: World,
    today: Changes,
}

impl Tomorrow {
    fn go_over(&mut self, world: &World) -> Result<(), SimulateError> {
        for kind in world.kinds() {
            world.scan(kind, Place::default(), &mut |entry| {
                if let Some(line) = entry.text() {
                    self.consider(kind, line);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    fn consider(&mut self, kind: &str, line: &str) {
        let Some(id) = span::get_plain(line, "id") else { return };
        let hash = spread(self.seed, format!("{kind}/{id}").as_bytes());
        let fate = match (kind, hash % 1_000_000) {
            ("Observation" | "MedicationRequest", ..DELETED) => Fate::Delete,
            ("Observation" | "MedicationRequest" | "Patient", DELETED..EDITED) => Fate::Edit,
            ("Observation" | "Encounter", EDITED..ADDED) => Fate::Copy,
            _ => Fate::Stay,
        };
        self.happen(kind, id, line, fate);
        if kind == "Observation" && fate == Fate::Stay {
            self.today.spare.insert(hash, line.to_owned());
            if self.today.spare.len() > 3 {
                self.today.spare.pop_last();
            }
        }
        if kind == "Patient" && span::get(line, "active") != Some("false") {
            self.today.patient_count += 1;
            self.today
                .patients
                .insert(spread(!self.seed, id.as_bytes()), (id.to_owned(), line.to_owned()));
            if self.today.patients.len() > 2 {
                self.today.patients.pop_last();
            }
        }
    }

    fn happen(&mut self, kind: &str, id: &str, line: &str, fate: Fate) {
        let key = |id: &str| (kind.to_owned(), id.to_owned());
        match fate {
            Fate::Stay => {}
            Fate::Delete => {
                let patient = patient(kind, line).map(str::to_owned);
                self.today.made.insert(key(id), Change::Deleted { at: self.at, patient });
            }
            Fate::Edit => {
                let mut dice = self.dice(id);
                let line = edit::stamp(&edit::edit(kind, line, &mut dice), self.at).into();
                self.today.made.insert(key(id), Change::Edited { line, at: self.at });
            }
            Fate::Copy => {
                let mut dice = self.dice(id);
                let new_id = dice.id();
                let line = edit::first_version(&edit::copy(line, &new_id, &mut dice), self.at).into();
                self.today.made.insert(key(&new_id), Change::Added { line, at: self.at });
            }
        }
    }

    fn dice(&self, id: &str) -> Dice {
        Dice::new(self.seed, spread(self.seed, id.as_bytes()))
    }

    /// Small data sets change too.
    fn make_sure(&mut self) -> Result<(), SimulateError> {
        let spare: Vec<String> = std::mem::take(&mut self.today.spare).into_values().collect();
        if spare.len() < 3 {
            return Ok(());
        }
        let made = |wanted: fn(&Change) -> bool| {
            self.today
                .made
                .iter()
                .any(|((kind, _), change)| kind == "Observation" && wanted(change))
        };
        let missing = [
            (!made(|change| matches!(change, Change::Deleted { .. })), Fate::Delete),
            (!made(|change| matches!(change, Change::Edited { .. })), Fate::Edit),
            (!made(|change| matches!(change, Change::Added { .. })), Fate::Copy),
        ];
        for (line, (_, fate)) in spare.iter().zip(missing.into_iter().filter(|(missing, _)| *missing)) {
            if let Some(id) = span::get_plain(line, "id") {
                self.happen("Observation", id, line, fate);
            }
        }
        Ok(())
    }

    /// Two patients become one: the loser's resources refer to the survivor from now on.
    fn merge(&mut self, world: &World) -> Result<Option<Merge>, SimulateError> {
        if self.today.patient_count < 3 {
            return Ok(None);
        }
        let mut pair = std::mem::take(&mut self.today.patients).into_values();
        let (Some((survivor, _)), Some((loser, loser_line))) = (pair.next(), pair.next()) else {
            return Ok(None);
        };
        let mut moved = Vec::new();
        for kind in world.kinds().into_iter().filter(|kind| *kind != "Patient") {
            let mut found = Vec::new();
            world.scan(kind, Place::default(), &mut |entry| {
                if let Some(line) = entry.text()
                    && let Some(id) = span::get_plain(line, "id")
                    && let Some(line) = edit::point_elsewhere(line, &loser, &survivor)
                {
                    found.push((id.to_owned(), line));
                }
                ControlFlow::Continue(())
            })?;
            for (id, line) in found {
                let key = (kind.to_owned(), id.clone());
                // An edit of this same day has the text to move; a deleted resource has nowhere to go.
                let line = match self.today.made.get(&key) {
                    Some(Change::Deleted { .. } | Change::Added { .. }) => continue,
                    Some(Change::Edited { line, .. }) => edit::point_elsewhere(line, &loser, &survivor).unwrap_or_default(),
                    None => edit::stamp(&line, self.at),
                };
                self.today.made.insert(
                    key,
                    Change::Edited {
                        line: line.into(),
                        at: self.at,
                    },
                );
                moved.push(format!("{kind}/{id}"));
            }
        }
        for ((kind, id), change) in &mut self.today.made {
            if let Change::Added { line, .. } = change
                && let Some(elsewhere) = edit::point_elsewhere(line, &loser, &survivor)
            {
                *line = elsewhere.into();
                moved.push(format!("{kind}/{id}"));
            }
        }
        let loser_deleted = spread(self.seed, loser.as_bytes()).is_multiple_of(2);
        let change = if loser_deleted {
            Change::Deleted {
                at: self.at,
                patient: Some(loser.clone()),
            }
        } else {
            Change::Edited {
                line: edit::stamp(&edit::replaced_by(&loser_line, &survivor), self.at).into(),
                at: self.at,
            }
        };
        self.today.made.insert(("Patient".to_owned(), loser.clone()), change);
        moved.sort();
        Ok(Some(Merge {
            survivor: format!("Patient/{survivor}"),
            loser: format!("Patient/{loser}"),
            loser_deleted,
            moved,
        }))
    }

    fn finish(mut self, merged: Option<Merge>) -> (World, Day) {
        let mut day = Day { merged, ..Day::default() };
        for ((kind, id), change) in self.today.made {
            let list = match &change {
                Change::Edited { .. } => &mut day.edited,
                Change::Added { .. } => &mut day.added,
                Change::Deleted { .. } => &mut day.deleted,
            };
            list.push(format!("{kind}/{id}"));
            self.next.change(&kind, &id, change);
        }
        self.next.days += 1;
        for list in [&mut day.edited, &mut day.added, &mut day.deleted] {
            list.sort();
        }
        (self.next, day)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::simulate::{GeneratorSettings, generate};

    fn all(world: &World) -> BTreeMap<String, String> {
        let mut lines = BTreeMap::new();
        for kind in world.kinds() {
            world
                .for_each_line(kind, &mut |line| {
                    let line = String::from_utf8(line.to_vec()).unwrap();
                    let key = format!("{kind}/{}", span::get_plain(&line, "id").unwrap());
                    assert!(lines.insert(key, line).is_none(), "a resource stands twice");
                })
                .unwrap();
        }
        lines
    }

    fn generated(patients: u64) -> (tempfile::TempDir, World) {
        let folder = tempfile::tempdir().unwrap();
        generate(&GeneratorSettings::new(patients, 5), folder.path()).unwrap();
        let world = World::open(folder.path()).unwrap();
        (folder, world)
    }

    fn later(seconds: i64) -> Timestamp {
        "2026-07-01T00:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds)
    }

    #[test]
    fn what_the_day_tells_is_exactly_what_differs_over_two_days() {
        let (_folder, first) = generated(12);
        let (second, day) = next_day(&first, 1, later(0)).unwrap();
        let (third, day_after) = next_day(&second, 1, later(60)).unwrap();
        for (before, after, day) in [(&first, &second, &day), (&second, &third, &day_after)] {
            let (before, after) = (all(before), all(after));
            let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            let (mut edited, mut added, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
            for key in keys {
                match (before.get(key), after.get(key)) {
                    (Some(old), Some(new)) if old != new => edited.push(key.clone()),
                    (None, Some(_)) => added.push(key.clone()),
                    (Some(_), None) => deleted.push(key.clone()),
                    _ => {}
                }
            }
            assert_eq!((&day.edited, &day.added, &day.deleted), (&edited, &added, &deleted));
            assert!(!edited.is_empty() && !added.is_empty() && !deleted.is_empty());
        }
        assert_ne!(day.edited, day_after.edited);
    }

    #[test]
    fn after_a_merge_nothing_refers_to_the_loser() {
        let (_folder, first) = generated(3);
        let mut ways = BTreeSet::new();
        for seed in 0..8 {
            let (second, day) = next_day(&first, seed, later(0)).unwrap();
            let merge = day.merged.unwrap();
            let lines = all(&second);
            assert!(merge.moved.len() > 20);
            for (key, line) in &lines {
                assert!(
                    *key == merge.loser || !line.contains(&merge.loser),
                    "{key} still refers to the loser"
                );
            }
            assert_eq!(lines.contains_key(&merge.loser), !merge.loser_deleted);
            if let Some(loser) = lines.get(&merge.loser) {
                assert!(loser.contains("replaced-by") && loser.contains(&merge.survivor));
            }
            ways.insert(merge.loser_deleted);
        }
        assert_eq!(ways.len(), 2, "both ways of merging occur");
    }

    #[test]
    fn two_patients_are_never_merged_and_a_day_is_repeatable() {
        let (_folder, world) = generated(2);
        let (_, day) = next_day(&world, 1, later(0)).unwrap();
        assert_eq!(day.merged, None);
        assert_eq!(next_day(&world, 1, later(99)).unwrap().1, day);
        assert_ne!(next_day(&world, 2, later(0)).unwrap().1, day);
    }
}
