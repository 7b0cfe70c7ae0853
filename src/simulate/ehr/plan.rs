//! What an export contains: which resources a filter lets through, and how they are split into files.
//! Nothing is copied: a file of an export is a place in the data set and a number of resources from there on.

use std::collections::HashSet;
use std::ops::ControlFlow;

use jiff::Timestamp;

use super::super::error::SimulateError;
use super::super::span;
use super::super::world::{Entry, Place, World, patient};
use super::associated::{ASSOCIATED, collect_references, provenance_of, referenced, targets};
use super::index::{Kind, Snapshot};
use super::shape::Shape;
use super::wanted::{Wanted, Whose};

/// Deletions in one Bundle.
const DELETED_IN_A_BUNDLE: usize = 100;

/// Lets resources through.
pub(super) struct Filter {
    wanted: Wanted,
    /// When what does not say so was last updated.
    loaded: Timestamp,
    /// `Type/id` and `urn:uuid:id` of what the patients' resources refer to.
    associated: HashSet<String>,
    /// Ids of the Provenance that travels along without being asked for by type.
    provenance: HashSet<String>,
}

/// One file of an export.
pub(super) enum Piece {
    /// So many resources of a type, from a place on.
    Run { kind: String, start: Place, count: u64 },
    /// The blocks of these patients.
    Blocks(Vec<String>),
}

/// A prepared export.
pub(super) struct Plan {
    pub(super) filter: Filter,
    pub(super) pieces: Vec<Piece>,
    /// `Type/id` of what was deleted since, in groups of one Bundle each.
    pub(super) deleted: Vec<Vec<String>>,
    pub(super) shape: Shape,
    /// What the client shall know: OperationOutcomes, one a line.
    pub(super) notes: Vec<String>,
}

impl Plan {
    /// Reads through the data once, and for a patient's or a group's export once more to see what belongs to it.
    pub(super) fn new(snapshot: &Snapshot, wanted: &Wanted, loaded: Timestamp, file_lines: u64) -> Result<Self, SimulateError> {
        let world = &*snapshot.world;
        let associated = match wanted.whose {
            Whose::Everyone => HashSet::new(),
            Whose::EveryPatient | Whose::Patients(_) => referenced(world, &wanted.whose)?,
        };
        let provenance = match wanted.associated {
            Some(which) if !wanted.has("Provenance") => provenance_of(world, wanted, which)?,
            _ => HashSet::new(),
        };
        let filter = Filter {
            wanted: wanted.clone(),
            loaded,
            associated,
            provenance,
        };
        let pieces = if wanted.by_patient {
            filter.blocks(snapshot, file_lines)?
        } else {
            filter.runs(world, file_lines)?
        };
        let ignored = wanted
            .ignored
            .iter()
            .map(|name| outcome("information", "not-supported", &format!("the parameter `{name}` was ignored")));
        Ok(Self {
            pieces,
            deleted: filter.deleted(world),
            shape: Shape {
                elements: wanted.elements.clone(),
                last_updated: wanted.last_updated,
            },
            notes: ignored.collect(),
            filter,
        })
    }
}

/// An OperationOutcome as a line.
pub(super) fn outcome(severity: &str, code: &str, text: &str) -> String {
    serde_json::json!({
        "resourceType": "OperationOutcome",
        "issue": [{ "severity": severity, "code": code, "diagnostics": text }],
    })
    .to_string()
}

impl Filter {
    /// Files of one type each.
    fn runs(&self, world: &World, file_lines: u64) -> Result<Vec<Piece>, SimulateError> {
        let mut pieces = Vec::new();
        for kind in world.kinds().into_iter().filter(|kind| self.may_have(kind)) {
            world.scan(kind, Place::default(), &mut |entry| {
                if self.lets_through(kind, &entry) {
                    match pieces.last_mut() {
                        Some(Piece::Run { kind: last, count, .. }) if last == kind && *count < file_lines => *count += 1,
                        _ => pieces.push(Piece::Run {
                            kind: kind.to_owned(),
                            start: entry.place,
                            count: 1,
                        }),
                    }
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(pieces)
    }

    /// Files of whole patients.
    fn blocks(&self, snapshot: &Snapshot, file_lines: u64) -> Result<Vec<Piece>, SimulateError> {
        let index = snapshot.index()?;
        let mut patients: Vec<&str> = index.kind("Patient").into_iter().flat_map(Kind::patients).collect();
        patients.retain(|patient| self.wanted.whose.includes(patient));
        patients.sort_unstable();
        let (mut pieces, mut lines) = (Vec::new(), u64::MAX);
        for patient in patients {
            let rows = index.of_patient(patient);
            let rows = rows.iter().filter(|(kind, _)| self.may_have(kind)).flat_map(|(kind, rows)| {
                let kind = index.kind(kind);
                rows.iter().filter_map(move |row| Some(kind?.updated(*row)))
            });
            let count = rows.filter(|updated| self.in_time(*updated)).count() as u64;
            if count == 0 {
                continue;
            }
            match pieces.last_mut() {
                Some(Piece::Blocks(last)) if lines < file_lines => last.push(patient.to_owned()),
                _ => {
                    pieces.push(Piece::Blocks(vec![patient.to_owned()]));
                    lines = 0;
                }
            }
            lines += count;
        }
        Ok(pieces)
    }

    /// The resources of one patient's block, and what they refer to, in the order of their types.
    pub(super) fn block(&self, snapshot: &Snapshot, patient: &str) -> Result<Vec<(String, String)>, SimulateError> {
        let index = snapshot.index()?;
        let (mut block, mut referenced) = (Vec::new(), HashSet::new());
        for (kind, rows) in index.of_patient(patient) {
            for line in snapshot.lines(kind, rows)? {
                collect_references(&line, &mut referenced);
                block.push((kind.to_owned(), line));
            }
        }
        for (kind, row) in targets(index, &referenced) {
            for line in snapshot.lines(&kind, &[row])? {
                block.push((kind.clone(), line));
            }
        }
        block.retain(|(kind, line)| {
            self.may_have(kind)
                && self.lets_through(
                    kind,
                    &Entry {
                        line: line.as_bytes(),
                        place: Place::default(),
                        changed: None,
                    },
                )
        });
        Ok(block)
    }

    /// `Type/id` of what was deleted since, in groups.
    fn deleted(&self, world: &World) -> Vec<Vec<String>> {
        let Some(since) = self.wanted.since else { return Vec::new() };
        let mut deleted = Vec::new();
        for kind in world.kinds().into_iter().filter(|kind| self.wanted.has(kind)) {
            let whose = &self.wanted.whose;
            let gone = world.deleted(kind).filter(|(_, at, patient)| {
                *at > since && patient.map_or(matches!(whose, Whose::Everyone), |patient| whose.includes(patient))
            });
            deleted.extend(gone.map(|(id, _, _)| format!("{kind}/{id}")));
        }
        deleted.chunks(DELETED_IN_A_BUNDLE).map(<[String]>::to_vec).collect()
    }

    fn may_have(&self, kind: &str) -> bool {
        self.wanted.has(kind) || (kind == "Provenance" && !self.provenance.is_empty())
    }

    fn in_time(&self, updated: Timestamp) -> bool {
        self.wanted.since.is_none_or(|since| updated > since) && self.wanted.until.is_none_or(|until| updated < until)
    }

    pub(super) fn lets_through(&self, kind: &str, entry: &Entry<'_>) -> bool {
        let wanted = &self.wanted;
        let everyone = matches!(wanted.whose, Whose::Everyone);
        let filters = wanted.filters.get(kind);
        let by_type = wanted.has(kind);
        let timed = wanted.since.is_some() || wanted.until.is_some();
        if everyone && !timed && filters.is_none() && by_type {
            return true;
        }
        // What is no text has no date and no patient: it is part of the whole only.
        let Some(line) = entry.text() else { return everyone };
        if timed && !self.in_time(entry.changed.or_else(|| last_updated(line)).unwrap_or(self.loaded)) {
            return false;
        }
        if !by_type && !span::get_plain(line, "id").is_some_and(|id| self.provenance.contains(id)) {
            return false;
        }
        if filters.is_some_and(|filters| !filters.iter().any(|query| query.finds(line))) {
            return false;
        }
        everyone
            || match patient(kind, line) {
                Some(patient) => wanted.whose.includes(patient),
                // Provenance that travels along was chosen by whose resources it is about.
                None => !by_type || (ASSOCIATED.contains(&kind) && self.is_associated(kind, line)),
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
