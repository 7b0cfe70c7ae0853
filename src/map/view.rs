//! A SQL-on-FHIR v2 ViewDefinition: compiled once, then rows from any resource. Knows no table and no concept.
//! Basis: SQL on FHIR v2 (2.1), profile ShareableViewDefinition and its "Processing Algorithm".

mod bound;
mod compile;
mod constant;
mod field;
mod focus;
mod key;
mod limits;
mod look;
mod merge;
mod reads;
mod row;
mod run;
mod taker;
mod union;

pub use field::{Field, write_csv_field};
pub use row::{Asked, Room, Row};
pub use taker::{Done, RowFault, Taker};

use crate::fhir::path::{Canonicals, Literal, Path, Typing};
use crate::fhir::types::TypeId;

use super::fault::MappingFault;

/// How a view is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As the standard says: an element that R4 does not have gives nothing.
    Standard,
    /// As a mapping: an element that R4 does not have is a fault, and so is a function that is not pure.
    Mapping,
}

/// One column of the result.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub description: String,
    /// All values as a list, instead of one.
    pub collection: bool,
}

/// One `column` of the file. Branches of a `unionAll` fill the same columns in ways of their own.
#[derive(Debug)]
pub struct Source {
    /// The column it fills.
    pub column: usize,
    /// `tag` and `tags`, with each value's place in the file.
    pub tags: Vec<Tag>,
    /// Where in the file it stands.
    pub offset: usize,
    /// The `forEach`s it stands in, each followed by a point: what its expressions begin at.
    pub within: String,
    /// Its path is `getResourceKey()`: no two resources give it one value.
    pub own_key: bool,
    path: Path,
    text: String,
    /// The column of an earlier source on the same focus, with the same path.
    same: Option<usize>,
    /// Further paths that a mapping asks for on the same focus: `headwater/coding`; `headwater/reference` or `headwater/quantity`.
    coding: Option<Path>,
    aside: Option<Path>,
    /// This source or another of its column has one of these.
    extended: bool,
}

#[derive(Clone, Debug)]
pub struct Tag {
    pub name: String,
    pub value: String,
    pub offset: usize,
}

impl Source {
    pub fn tag(&self, name: &str) -> Option<&Tag> {
        self.tags.iter().find(|tag| tag.name == name)
    }

    /// The literals that its path may give.
    pub fn constants(&self) -> Vec<&Literal> {
        self.path.literals()
    }

    pub fn has_coding(&self) -> bool {
        self.coding.is_some()
    }

    /// The types that `headwater/reference` or `headwater/quantity` may give; `None` when that is not known.
    pub fn aside_typing(&self) -> &Typing {
        self.aside.as_ref().map_or(&None, Path::typing)
    }
}

/// A compiled view.
#[derive(Debug)]
pub struct View {
    name: String,
    resource: String,
    type_id: Option<TypeId>,
    constants: Vec<Literal>,
    wheres: Vec<Condition>,
    columns: Vec<Column>,
    sources: Vec<Source>,
    select: Select,
    /// Some source has a path besides its own.
    extended: bool,
    /// What a row costs, beyond what stands in it.
    row_steps: usize,
}

/// One `where`.
#[derive(Debug)]
struct Condition {
    path: Path,
    text: String,
    /// Its number among those that several views of one resource type ask.
    shared: Option<usize>,
}

/// `select` or a branch of `unionAll`.
#[derive(Debug)]
struct Select {
    each: Each,
    parts: Vec<Part>,
    /// Columns filled beneath.
    columns: std::ops::Range<usize>,
}

#[derive(Debug)]
enum Each {
    Once,
    /// `forEach`
    Items(Path),
    /// `forEachOrNull`
    ItemsOrNull(Path),
    Repeat(Vec<Path>),
}

#[derive(Debug)]
enum Part {
    Columns(Columns),
    Select(Box<Select>),
    Union(Vec<Select>),
}

/// The columns of one `select`: places in `sources`, and those of them that are filled in one walk.
#[derive(Debug)]
struct Columns {
    sources: std::ops::Range<usize>,
    merged: Option<merge::Merged>,
    /// The source that says whether the row is wanted at all.
    gate: Option<usize>,
}

impl View {
    /// The view that `text` defines. `file` names it in faults.
    /// # Errors: every fault of the file.
    pub fn compile(text: &str, file: &str, reading: Reading) -> Result<Self, Vec<MappingFault>> {
        compile::compile(text, file, reading, None)
    }

    /// The same as part of a mapping, with the ValueSets and profiles that its expressions may name.
    /// # Errors: every fault of the file.
    pub fn of_mapping(text: &str, file: &str, canonicals: Option<&Canonicals>) -> Result<Self, Vec<MappingFault>> {
        compile::compile(text, file, Reading::Mapping, canonicals)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The resource type it reads.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The columns in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Says of each condition which of `known` it is, so that views of one resource type ask it once; new ones are added.
    /// Those with constants are each view's own.
    pub(super) fn share_conditions(&mut self, known: &mut Vec<String>) {
        for condition in self.wheres.iter_mut().filter(|condition| !condition.text.contains('%')) {
            let place = known.iter().position(|text| *text == condition.text);
            condition.shared = Some(place.unwrap_or_else(|| {
                known.push(condition.text.clone());
                known.len() - 1
            }));
        }
    }

    /// Names the sources that say whether a row is wanted, by their places.
    pub(super) fn set_gates(&mut self, gates: &[usize]) {
        // A gate is asked before the columns that stand before it.
        gates.iter().for_each(|gate| self.sources[*gate].same = None);
        self.select.set_gates(gates);
    }

    /// The `column`s of the file, in order of the file.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }
}

impl Select {
    fn set_gates(&mut self, gates: &[usize]) {
        for part in &mut self.parts {
            match part {
                Part::Columns(columns) => columns.gate = gates.iter().copied().find(|gate| columns.sources.contains(gate)),
                Part::Select(select) => select.set_gates(gates),
                Part::Union(branches) => branches.iter_mut().for_each(|branch| branch.set_gates(gates)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
