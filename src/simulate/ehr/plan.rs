//! What an export contains: which resources a filter lets through, and how they are split into files.
//! Nothing is copied: a file of an export is a place in the data set and a number of resources from there on.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;

use super::super::error::SimulateError;
use super::super::span;
use super::super::world::{Entry, Place, World, patient};

/// Types without a patient that travel along where a patient's resource refers to them.
const ASSOCIATED: &[&str] = &[
    "Device",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
];

/// Deletions in one Bundle.
const DELETED_IN_A_BUNDLE: usize = 100;

/// Whose resources.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    /// System level: everything, also what belongs to no patient.
    Everyone,
    /// Every patient's.
    EveryPatient,
    /// These patients', by id.
    Patients(Arc<HashSet<String>>),
}

impl Whose {
    fn includes(&self, patient: &str) -> bool {
        match self {
            Self::Everyone | Self::EveryPatient => true,
            Self::Patients(ids) => ids.contains(patient),
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) whose: Whose,
    /// None: every type.
    pub(super) types: Option<BTreeSet<String>>,
    /// Only what changed after this moment.
    pub(super) since: Option<Timestamp>,
}

/// Lets resources through.
pub(super) struct Filter {
    whose: Whose,
    since: Option<Timestamp>,
    /// When what does not say so was last updated.
    loaded: Timestamp,
    /// `Type/id` and `urn:uuid:id` of what the patients' resources refer to.
    associated: HashSet<String>,
}

/// One file of an export.
pub(super) struct Piece {
    pub(super) kind: String,
    pub(super) start: Place,
    pub(super) count: u64,
}

/// A prepared export.
pub(super) struct Plan {
    pub(super) filter: Filter,
    pub(super) pieces: Vec<Piece>,
    /// `Type/id` of what was deleted since, in groups of one Bundle each.
    pub(super) deleted: Vec<Vec<String>>,
}

impl Plan {
    /// Reads through the data once, and for a patient's or a group's export once more to see what belongs to it.
    pub(super) fn new(world: &World, wanted: &Wanted, loaded: Timestamp, file_lines: u64) -> Result<Self, SimulateError> {
        let associated = match wanted.whose {
            Whose::Everyone => HashSet::new(),
            Whose::EveryPatient | Whose::Patients(_) => referenced(world, &wanted.whose)?,
        };
        let filter = Filter {
            whose: wanted.whose.clone(),
            since: wanted.since,
            loaded,
            associated,
        };
        let kinds = world.kinds();
        let kinds = kinds
            .into_iter()
            .filter(|kind| wanted.types.as_ref().is_none_or(|types| types.contains(*kind)));
        let (mut pieces, mut deleted) = (Vec::new(), Vec::new());
        for kind in kinds {
            world.scan(kind, Place::default(), &mut |entry| {
                if filter.lets_through(kind, &entry) {
                    match pieces.last_mut() {
                        Some(Piece { kind: last, count, .. }) if last == kind && *count < file_lines => *count += 1,
                        _ => pieces.push(Piece {
                            kind: kind.to_owned(),
                            start: entry.place,
                            count: 1,
                        }),
                    }
                }
                ControlFlow::Continue(())
            })?;
            if let Some(since) = wanted.since {
                let gone = world.deleted(kind).filter(|(_, at, patient)| {
                    *at > since && patient.map_or(matches!(wanted.whose, Whose::Everyone), |patient| wanted.whose.includes(patient))
                });
                deleted.extend(gone.map(|(id, _, _)| format!("{kind}/{id}")));
            }
        }
        let deleted = deleted.chunks(DELETED_IN_A_BUNDLE).map(<[String]>::to_vec).collect();
        Ok(Self { filter, pieces, deleted })
    }
}

impl Filter {
    pub(super) fn lets_through(&self, kind: &str, entry: &Entry<'_>) -> bool {
        let everyone = matches!(self.whose, Whose::Everyone);
        if everyone && self.since.is_none() {
            return true;
        }
        // What is no text has no date and no patient: it is part of the whole only.
        let Some(line) = entry.text() else { return everyone };
        if let Some(since) = self.since
            && entry.changed.or_else(|| last_updated(line)).unwrap_or(self.loaded) <= since
        {
            return false;
        }
        everyone
            || match patient(kind, line) {
                Some(patient) => self.whose.includes(patient),
                None => ASSOCIATED.contains(&kind) && self.is_associated(kind, line),
            }
    }

    fn is_associated(&self, kind: &str, line: &str) -> bool {
        let Some(id) = span::get_plain(line, "id") else { return false };
        self.associated.contains(&format!("{kind}/{id}")) || self.associated.contains(&format!("urn:uuid:{id}"))
    }
}

pub(super) fn last_updated(line: &str) -> Option<Timestamp> {
    span::get_plain(span::get(line, "meta")?, "lastUpdated")?.parse().ok()
}

/// What the resources of the patients refer to, of the types that travel along.
fn referenced(world: &World, whose: &Whose) -> Result<HashSet<String>, SimulateError> {
    let mut found = HashSet::new();
    for kind in world.kinds() {
        world.scan(kind, Place::default(), &mut |entry| {
            if let Some(line) = entry.text()
                && patient(kind, line).is_some_and(|patient| whose.includes(patient))
            {
                collect_references(line, &mut found);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(found)
}

pub(super) fn collect_references(line: &str, found: &mut HashSet<String>) {
    for at in memchr::memmem::find_iter(line.as_bytes(), b"\"reference\"") {
        let after = line[at + 11..].trim_start().strip_prefix(':').map_or("", str::trim_start);
        let Some(reference) = after.strip_prefix('"').and_then(|text| text.split('"').next()) else {
            continue;
        };
        let reference = reference.split("/_history/").next().unwrap_or(reference);
        if reference.starts_with("urn:uuid:") {
            found.insert(reference.to_owned());
        } else if let Some((before, id)) = reference.rsplit_once('/') {
            let kind = before.rsplit('/').next().unwrap_or(before);
            if ASSOCIATED.contains(&kind) {
                found.insert(format!("{kind}/{id}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_all_shapes_are_collected_and_patients_are_not() {
        let mut found = HashSet::new();
        collect_references(
            r#"{"a":{"reference":"Practitioner/1"},"b":[{"reference" : "https://x/fhir/Location/2/_history/3"}],"c":{"reference":"urn:uuid:4"},"d":{"reference":"Patient/5"},"e":{"reference":""#,
            &mut found,
        );
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort();
        assert_eq!(found, ["Location/2", "Practitioner/1", "urn:uuid:4"]);
    }
}
