//! Whether a code belongs to a ValueSet, decided from the ValueSets and CodeSystems that are given: lists of codes, whole
//! CodeSystems, filters over them, other ValueSets, without what is excluded; or a complete expansion. Codes that a grammar makes
//! (units, languages, media types) are decided by it. No terminology server is asked: what would need one is `Unknown`, with
//! the reason. Nothing is worked out before somebody asks for it.
//! Basis: FHIR R4 ValueSet, "Value Set Expansion"; `memberOf` of FHIR's additions to FHIRPath.

mod ask;
mod code_system;
mod compose;
mod filter;
mod grammar;
mod json;
mod known;
mod membership;
mod store;

use std::sync::Arc;

pub use membership::Membership;
pub use store::ValueSetFault;

use store::Store;

/// A file of definitions: its name for messages, and its JSON text, one resource.
pub type File = (String, String);

/// ValueSets and CodeSystems by canonical. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ValueSets {
    store: Arc<Store>,
}

/// One ValueSet. Cheap to clone; holds on to all that it was loaded with.
#[derive(Clone, Debug)]
pub struct ValueSet {
    store: Arc<Store>,
    at: usize,
}

impl ValueSets {
    /// A network's own `files`. Its author can mend them, so that what would need a terminology server is a fault.
    /// # Errors: every fault of every file.
    pub fn load(files: &[File]) -> Result<Self, Vec<ValueSetFault>> {
        match Self::with_packages(files, Vec::new()) {
            (sets, faults) if faults.is_empty() => Ok(sets),
            (_, faults) => Err(faults),
        }
    }

    /// A network's own files, held to the same; and the definitions of others in `packages`, in which what cannot be decided
    /// is no fault. Of two with one canonical the own one counts, then the first. Other resources are passed over.
    pub fn with_packages(own: &[File], packages: Vec<File>) -> (Self, Vec<ValueSetFault>) {
        let (store, faults) = Store::read(own, packages);
        (Self { store: Arc::new(store) }, faults)
    }

    /// The ValueSet of a canonical, `url` or `url|version`. Where no version is asked for, the latest of a package's; `None` where
    /// there is none, or several of the network's own.
    pub fn find(&self, canonical: &str) -> Option<ValueSet> {
        let at = self.store.find(canonical).ok()?;
        let store = Arc::clone(&self.store);
        Some(ValueSet { store, at })
    }

    /// Whether the CodeSystem `system` has the code: by what is loaded of it, or by its grammar.
    pub fn code(&self, system: &str, code: &str) -> Membership {
        self.store.code(system, code)
    }

    /// Whether the CodeSystem `system` is loaded, whole.
    pub fn has_system(&self, system: &str) -> bool {
        self.store.has_whole_system(system)
    }

    /// How many ValueSets there are.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ValueSet {
    /// Whether the code of this system belongs.
    pub fn membership(&self, system: &str, code: &str) -> Membership {
        self.store.membership(self.at, system, code)
    }

    /// Whether the code belongs, where nothing says its system: a bare `code`.
    pub fn membership_of_code(&self, code: &str) -> Membership {
        self.store.membership_of_code(self.at, code)
    }

    /// The code of this system is known to belong.
    pub fn has(&self, system: &str, code: &str) -> bool {
        self.membership(system, code) == Membership::In
    }

    /// The bare code is known to belong.
    pub fn has_code(&self, code: &str) -> bool {
        self.membership_of_code(code) == Membership::In
    }

    /// Why some codes cannot be decided, in words; empty where all can.
    pub fn undecided(&self) -> Vec<String> {
        self.store.undecided(self.at)
    }

    /// The canonical's url.
    pub fn url(&self) -> &str {
        self.store.url(self.at)
    }
}

#[cfg(test)]
mod tests;
