//! What a code means, remembered: each different code is asked of the vocabulary once per thread. Bounded, so that a source
//! full of different codes cannot fill the memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::translate::ConceptMap;
use super::{Concept, Vocabulary};

/// Different codes remembered; then it begins again.
const MOST: usize = 65_536;

/// The system under which a code system's URL stands in the ConceptMap of vocabularies.
const URI: &str = "urn:ietf:rfc:3986";

/// What became of one code.
#[derive(Debug, Default)]
pub(in crate::map) struct Resolved {
    /// `vocabulary_id` of the code's system.
    pub vocabulary: Option<Arc<str>>,
    /// Its concept in that vocabulary.
    pub source: Option<Concept>,
    pub standard: Vec<Concept>,
}

impl Resolved {
    /// Why no standard concept was found.
    pub(in crate::map) fn reason(&self) -> &'static str {
        match self {
            Resolved { vocabulary: None, .. } => "no-vocabulary",
            Resolved { source: None, .. } => "no-code",
            _ => "no-standard",
        }
    }
}

/// One thread's memory of codes.
#[derive(Default)]
pub struct CodeCache {
    known: HashMap<Box<[u8]>, Arc<Resolved>>,
    key: Vec<u8>,
}

impl std::fmt::Debug for CodeCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CodeCache({} codes)", self.known.len())
    }
}

impl CodeCache {
    /// What `code` of the code system `system` means.
    pub(in crate::map) fn resolve(&mut self, vocabulary: &dyn Vocabulary, systems: &ConceptMap, system: &str, code: &str) -> Arc<Resolved> {
        self.key.clear();
        self.key.extend_from_slice(system.as_bytes());
        self.key.push(0);
        self.key.extend_from_slice(code.as_bytes());
        if let Some(known) = self.known.get(self.key.as_slice()) {
            return Arc::clone(known);
        }
        let resolved = Arc::new(resolve(vocabulary, systems, system, code));
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(self.key.as_slice().into(), Arc::clone(&resolved));
        resolved
    }
}

fn resolve(vocabulary: &dyn Vocabulary, systems: &ConceptMap, system: &str, code: &str) -> Resolved {
    let Some(name) = systems.target(URI, system) else {
        return Resolved::default();
    };
    let source = vocabulary.source(name, code);
    Resolved {
        vocabulary: Some(Arc::from(name)),
        standard: source.as_ref().map(|source| vocabulary.standard(source)).unwrap_or_default(),
        source,
    }
}
