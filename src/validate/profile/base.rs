//! The rules that FHIR's own definitions add to its types, by type: invariants and bindings that no profile need repeat.

use super::rule::{Checks, List, ListId, Profile};
use super::{Disposition, Options, TYPES};
use crate::fhir::types::TypeId;
use crate::validate::issues::Severity;

/// The rules that FHIR's own definitions add to its types.
#[derive(Debug)]
pub(in crate::validate) struct Base {
    /// Holds the lists; it has no name and no number.
    pub profile: Profile,
    by_type: Vec<Option<(Checks, ListId)>>,
}

impl Default for Base {
    fn default() -> Self {
        Base::new(vec![List::default()], Vec::new(), &Options::default())
    }
}

impl Base {
    pub(super) fn new(lists: Vec<List>, by_type: Vec<Option<(Checks, ListId)>>, options: &Options) -> Base {
        let profile = Profile {
            number: TYPES,
            name: String::new(),
            url: None,
            kind: TypeId::RESOURCE,
            severity: options.base.map_or(Severity::Counted, Disposition::severity),
            checks: Checks::default(),
            root: ListId::NONE,
            lists,
            support: Vec::new(),
            contexts: Vec::new(),
        };
        Base { profile, by_type }
    }

    /// There are such rules: the definitions of FHIR's types were loaded.
    pub fn is_there(&self) -> bool {
        self.by_type.iter().any(Option::is_some)
    }

    #[inline]
    pub fn of(&self, kind: TypeId) -> Option<&(Checks, ListId)> {
        self.by_type.get(usize::from(kind.0))?.as_ref()
    }
}
