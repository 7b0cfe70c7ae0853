//! Conformant -> Mapped rows | Refusal. Plain functions: no async, disk, network, clock or randomness.
//!
//! A mapping is a set of standard ViewDefinitions (`view`) whose columns may carry tags of ours: a key, a translation by
//! ConceptMap (`translate`), a lookup in OMOP's vocabularies (`vocabulary`) or behind a reference (`resolve`), a unit (`unit`). All views of a resource type run on one parse.

pub mod cases;
mod concepts;
mod date;
pub mod derive;
pub mod fault;
mod file;
mod fit;
mod load;
mod mapped;
mod mapping;
mod new_case;
mod resolve;
mod row;
mod run;
mod seek;
mod stats;
mod synthetic;
mod translate;
mod unit;
pub mod view;
pub mod vocabulary;

pub use concepts::{Files, check_concepts};
pub use fault::MappingFault;
pub use file::MAX_FILE_BYTES;
pub use mapped::Mapped;
pub use mapping::{Mapping, Parts};
pub use new_case::new_case;
pub use resolve::{Lookups, LookupsBuilder};
pub use stats::{MapStats, Tally, Unmapped};
pub use synthetic::synthetic;
pub use translate::code_pairs;

use crate::refusal::Refusal;
use crate::validate::Conformant;

/// What became of a resource that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// At least one row.
    Mapped,
    /// No row, and why that is right.
    Excluded(&'static str),
}

/// The rows that the mapping makes of one resource, in `out`; what `out` held is forgotten.
/// # Errors: the column that could not be filled and the rule it breaks; `out` is then empty.
pub fn map<'a>(mapping: &'a Mapping, lookups: &'a Lookups, resource: Conformant<'_, 'a>, out: &mut Mapped<'a>) -> Result<Fate, Refusal> {
    out.rows.clear();
    let result = run::run(mapping, lookups, resource.root(), &mut out.rows, &mut out.work);
    if result.is_err() {
        out.rows.clear();
    }
    match result? {
        run::Made::Rows => Ok(Fate::Mapped),
        run::Made::NoView => Ok(Fate::Excluded("of a type that no mapping reads")),
        run::Made::NoConcept => Ok(Fate::Excluded("its codes have no standard concept in the vocabulary")),
        run::Made::NoDomain => Ok(Fate::Excluded("no view takes the domain of its concepts")),
        run::Made::NoRow => Ok(Fate::Excluded("outside what the mappings ask for")),
    }
}

#[cfg(test)]
mod tests;
