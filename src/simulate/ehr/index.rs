//! Where in the data a resource stands, by id and by patient: what searches need that an export, which reads everything,
//! does not. Holds ids and places, no content.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use super::super::error::SimulateError;
use super::super::span;
use super::super::world::{Entry, Place, World, patient};
use super::plan::last_updated;

/// Lines read past on the way to the next wanted one, before it is sought instead.
const FAR: usize = 64;

/// The data at one moment; its index is made when first asked for.
pub(super) struct Snapshot {
    pub(super) world: Arc<World>,
    /// When what does not say so was last updated.
    loaded: Timestamp,
    index: OnceLock<Index>,
}

impl Snapshot {
    pub(super) fn new(world: Arc<World>, loaded: Timestamp) -> Self {
        Self {
            world,
            loaded,
            index: OnceLock::new(),
        }
    }

    /// The index; the first to ask waits until it is made.
    /// # Errors: the data cannot be read.
    pub(super) fn index(&self) -> Result<&Index, SimulateError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = Index::new(&self.world, self.loaded)?;
        // Two at once make the same.
        Ok(self.index.get_or_init(|| index))
    }

    /// The lines of these rows of a type, in the order of the rows, which ascend.
    pub(super) fn lines(&self, kind: &str, rows: &[u32]) -> Result<Vec<String>, SimulateError> {
        let Some(all) = self.index()?.kinds.get(kind) else {
            return Ok(Vec::new());
        };
        let place = |row: &u32| all.rows[*row as usize].place;
        let mut lines = Vec::with_capacity(rows.len());
        while let Some(next) = rows.get(lines.len()) {
            let (before, mut passed) = (lines.len(), 0);
            self.world.scan(kind, place(next), &mut |entry: Entry<'_>| {
                if rows.get(lines.len()).map(place) == Some(entry.place) {
                    lines.push(entry.text().unwrap_or_default().to_owned());
                    passed = 0;
                } else {
                    passed += 1;
                }
                if lines.len() == rows.len() || passed > FAR {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            if lines.len() == before {
                break;
            }
        }
        Ok(lines)
    }
}

/// All types.
pub(super) struct Index {
    kinds: BTreeMap<String, Kind>,
}

/// One type's resources: rows in the order of the data.
#[derive(Default)]
pub(super) struct Kind {
    rows: Vec<Row>,
    by_id: HashMap<Box<str>, u32>,
    by_patient: HashMap<Box<str>, Vec<u32>>,
    /// Patients are looked up by number often enough.
    by_identifier: HashMap<Box<str>, Vec<u32>>,
}

struct Row {
    place: Place,
    updated: Timestamp,
}

impl Index {
    fn new(world: &World, loaded: Timestamp) -> Result<Self, SimulateError> {
        let mut kinds = BTreeMap::new();
        for name in world.kinds() {
            let mut kind = Kind::default();
            world.scan(name, Place::default(), &mut |entry| {
                // What is no text or has no id cannot be asked for.
                if let Some(line) = entry.text()
                    && let Some(id) = span::get_plain(line, "id")
                {
                    kind.add(name, id, line, &entry, loaded);
                }
                ControlFlow::Continue(())
            })?;
            kinds.insert(name.to_owned(), kind);
        }
        Ok(Self { kinds })
    }

    pub(super) fn kind(&self, name: &str) -> Option<&Kind> {
        self.kinds.get(name)
    }

    /// Types and rows of everything that is a patient's, the patient first.
    pub(super) fn of_patient(&self, id: &str) -> Vec<(&str, &[u32])> {
        let mut found: Vec<_> = self
            .kinds
            .iter()
            .filter_map(|(name, kind)| Some((name.as_str(), kind.of_patient(id)?)))
            .collect();
        found.sort_by_key(|(name, _)| *name != "Patient");
        found
    }
}

impl Kind {
    fn add(&mut self, name: &str, id: &str, line: &str, entry: &Entry<'_>, loaded: Timestamp) {
        let row = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.rows.push(Row {
            place: entry.place,
            updated: entry.changed.or_else(|| last_updated(line)).unwrap_or(loaded),
        });
        self.by_id.insert(id.into(), row);
        if let Some(patient) = patient(name, line) {
            self.by_patient.entry(patient.into()).or_default().push(row);
        }
        if name == "Patient" {
            for identifier in span::get(line, "identifier").map(span::items).unwrap_or_default() {
                if let Some(value) = span::get_plain(identifier, "value") {
                    self.by_identifier.entry(value.into()).or_default().push(row);
                }
            }
        }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn row_of(&self, id: &str) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(super) fn of_patient(&self, id: &str) -> Option<&[u32]> {
        self.by_patient.get(id).map(Vec::as_slice)
    }

    /// Patients with this number; None for types that are not looked up by it.
    pub(super) fn of_identifier(&self, value: &str) -> Option<&[u32]> {
        (!self.by_identifier.is_empty()).then(|| self.by_identifier.get(value).map_or(&[][..], Vec::as_slice))
    }

    pub(super) fn patients(&self) -> impl Iterator<Item = &str> {
        self.by_patient.keys().map(|id| &**id)
    }

    pub(super) fn updated(&self, row: u32) -> Timestamp {
        self.rows[row as usize].updated
    }
}
