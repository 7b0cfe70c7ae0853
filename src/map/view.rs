//! A SQL-on-FHIR v2 ViewDefinition: compiled once, then rows from any resource. Knows no table and no concept.
//! Basis: SQL on FHIR v2 (2.1), profile ShareableViewDefinition and its "Processing Algorithm".

mod compile;
mod field;
mod focus;
mod merge;
mod row;
mod run;

pub use field::{Field, write_csv_field};
pub use row::{Room, Row};
pub use run::RowFault;

use crate::fhir::path::{Literal, Path};
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
    /// Further paths that a mapping asks for on the same focus: `headwater/coding`, `headwater/reference`.
    coding: Option<Path>,
    reference: Option<Path>,
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

    pub fn has_coding(&self) -> bool {
        self.coding.is_some()
    }

    pub fn has_reference(&self) -> bool {
        self.reference.is_some()
    }
}

/// A compiled view.
#[derive(Debug)]
pub struct View {
    name: String,
    resource: String,
    type_id: Option<TypeId>,
    constants: Vec<Literal>,
    wheres: Vec<Path>,
    columns: Vec<Column>,
    sources: Vec<Source>,
    select: Select,
    /// Some source has a path besides its own.
    extended: bool,
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
}

impl View {
    /// The view that `text` defines. `file` names it in faults.
    /// # Errors: every fault of the file.
    pub fn compile(text: &str, file: &str, reading: Reading) -> Result<Self, Vec<MappingFault>> {
        compile::compile(text, file, reading)
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

    /// The `column`s of the file, in order of the file.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }
}

#[cfg(test)]
mod tests;
