//! OMOP vocabularies as the mapping asks for them: source code -> source concept -> "Maps to" -> standard concepts.
//! Whoever has Athena's files implements `Vocabulary`; `memory` is the small one that cases run with, `codes` remembers answers.
//! Basis: OMOP CDM 5.4, CONCEPT and CONCEPT_RELATIONSHIP; HL7 FHIR-to-OMOP f2o-030 to f2o-040.

mod codes;
mod memory;
mod pick;

pub use codes::CodeCache;
pub(super) use codes::Resolved;
pub use memory::{ConceptLine, MemoryVocabulary, RelationshipLine, places};
pub(super) use pick::{Coded, Facet, Lookup, Picked, RowsOf};

use std::sync::Arc;

/// One concept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concept {
    pub id: u32,
    /// `domain_id`: where its rows belong.
    pub domain: Arc<str>,
    pub name: Arc<str>,
    /// Standard and valid.
    pub standard: bool,
}

/// The vocabularies of one release. Read by all threads; the same question always has the same answer.
pub trait Vocabulary: Send + Sync + std::fmt::Debug {
    /// The concept of `code` in `vocabulary` (a `vocabulary_id`); of several, the valid one.
    fn source(&self, vocabulary: &str, code: &str) -> Option<Concept>;

    /// The concept of this id.
    fn concept(&self, id: u32) -> Option<Concept>;

    /// The valid standard concepts that `concept` maps to, by concept id. A standard concept without a row stands for itself.
    fn standard(&self, concept: &Concept) -> Vec<Concept>;

    /// The version its makers give it; empty when they give none.
    fn release(&self) -> &str;

    /// Tells two releases apart.
    fn digest(&self) -> &str;

    /// Why it could not be read, once it could not: then no answer since counts, and the run must stop.
    fn fault(&self) -> Option<String> {
        None
    }
}
