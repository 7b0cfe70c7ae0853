//! Which codes belong to a ValueSet, worked out once from the ValueSets and CodeSystems that are given: lists of codes, whole
//! CodeSystems, other ValueSets, without what is excluded; or a complete expansion. No terminology server is asked: what would
//! need one (a filter, a CodeSystem or ValueSet that is not given) is a fault.
//! Basis: FHIR R4 ValueSet, "Value Set Expansion"; `memberOf` of FHIR's additions to FHIRPath.

mod expand;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Why a file cannot be used. Lines and columns begin at 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct ValueSetFault {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// The codes of one ValueSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codes {
    systems: HashMap<String, HashSet<String>>,
}

impl Codes {
    /// Whether the code of this system belongs.
    pub fn has(&self, system: &str, code: &str) -> bool {
        self.systems.get(system).is_some_and(|codes| codes.contains(code))
    }

    /// Whether the code belongs, where nothing says its system: a bare `code`.
    pub fn has_code(&self, code: &str) -> bool {
        self.systems.values().any(|codes| codes.contains(code))
    }

    pub fn len(&self) -> usize {
        self.systems.values().map(HashSet::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(&mut self, system: &str, code: String) {
        match self.systems.get_mut(system) {
            Some(codes) => {
                codes.insert(code);
            }
            None => {
                self.systems.insert(system.to_owned(), HashSet::from([code]));
            }
        }
    }

    fn add_all(&mut self, other: &Codes) {
        for (system, codes) in &other.systems {
            self.systems.entry(system.clone()).or_default().extend(codes.iter().cloned());
        }
    }

    fn keep(&mut self, other: &Codes) {
        for (system, codes) in &mut self.systems {
            codes.retain(|code| other.has(system, code));
        }
    }

    fn take_away(&mut self, other: &Codes) {
        for (system, codes) in &mut self.systems {
            codes.retain(|code| !other.has(system, code));
        }
    }
}

/// ValueSets by canonical, expanded.
#[derive(Debug, Default)]
pub struct ValueSets {
    /// By url; of several versions, each with its version.
    sets: HashMap<String, Vec<Versioned>>,
}

/// An expansion, and the version that its ValueSet names.
type Versioned = (Option<String>, Arc<Codes>);

impl ValueSets {
    /// The ValueSets in `files`, each a name and its JSON text; CodeSystems are read for what ValueSets include of them.
    /// # Errors: every fault of every file.
    pub fn load(files: &[(String, String)]) -> Result<Self, Vec<ValueSetFault>> {
        expand::load(files)
    }

    /// The ValueSet of a canonical, `url` or `url|version`; `None` where there is none, or several and no version says which.
    pub fn get(&self, canonical: &str) -> Option<&Arc<Codes>> {
        let (url, version) = match canonical.split_once('|') {
            Some((url, version)) => (url, Some(version)),
            None => (canonical, None),
        };
        let known = self.sets.get(url)?;
        match version {
            Some(version) => known
                .iter()
                .find(|(own, _)| own.as_deref() == Some(version))
                .map(|(_, codes)| codes),
            None => match known.as_slice() {
                [(_, only)] => Some(only),
                _ => None,
            },
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sets.values().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
}

#[cfg(test)]
mod tests;
