//! Whether a code belongs to a compiled ValueSet: each part is asked, nothing is listed.

use std::collections::HashSet;

use super::compose::{Part, Source};
use super::grammar;
use super::membership::Membership;
use super::store::Store;

/// Parts of ValueSets that one question may look at: a package can nest its ValueSets so that there is no end to them.
const STEPS: u32 = 20_000;

/// The CodeSystems whose codes a ValueSet may hold.
#[derive(Debug, Default)]
pub(super) struct Systems {
    pub(super) named: Vec<String>,
    /// Something that it includes is not there: others may be.
    pub(super) and_others: bool,
}

impl Store {
    pub(super) fn membership(&self, at: usize, system: &str, code: &str) -> Membership {
        self.ask(at, system, code, &mut STEPS.clone())
    }

    pub(super) fn membership_of_code(&self, at: usize, code: &str) -> Membership {
        let (mut steps, mut found) = (STEPS, Membership::Out);
        let systems = self.systems(at);
        for system in &systems.named {
            found = found.or(|| self.ask(at, system, code, &mut steps));
        }
        if systems.and_others {
            found.or(|| Membership::Unknown)
        } else {
            found
        }
    }

    /// The CodeSystems that a ValueSet's codes can be of, its imports' included.
    pub(super) fn find_systems(&self, at: usize) -> Systems {
        let (mut seen, mut left, mut found) = (HashSet::new(), vec![at], Systems::default());
        while let Some(at) = left.pop() {
            for part in &self.compiled(at).include {
                match &part.system {
                    Some(system) if !found.named.contains(system) => found.named.push(system.clone()),
                    Some(_) => {}
                    None => found.and_others |= part.is_broken,
                }
                left.extend(part.sets.iter().copied().filter(|set| seen.insert(*set)));
            }
        }
        found
    }

    pub(super) fn ask(&self, at: usize, system: &str, code: &str, steps: &mut u32) -> Membership {
        let compiled = self.compiled(at);
        let mut found = Membership::Out;
        for part in &compiled.include {
            found = found.or(|| part.ask(self, system, code, steps));
        }
        for part in &compiled.exclude {
            found = found.and(|| part.ask(self, system, code, steps).not());
        }
        found
    }
}

impl Part {
    fn ask(&self, store: &Store, system: &str, code: &str, steps: &mut u32) -> Membership {
        if self.system.as_ref().is_some_and(|own| own != system) {
            return Membership::Out;
        }
        if *steps == 0 {
            return Membership::Unknown;
        }
        *steps -= 1;
        let mut found = match &self.source {
            Source::Any => Membership::In,
            Source::Nothing => Membership::Unknown,
            Source::Listed(codes) => codes.contains(code).into(),
            Source::ListedFolded(codes) => codes.contains(&code.to_lowercase()).into(),
            Source::Loaded { system: at, exact } => match store.code_system(*at).code(code) {
                Membership::Out if !exact => Membership::Unknown,
                Membership::Unknown => grammar::code(system, code),
                known => known,
            },
            Source::Grammar => grammar::code(system, code),
        };
        for filter in &self.filters {
            found = found.and(|| match &self.source {
                Source::Loaded { system: at, .. } => filter.over(store.code_system(*at), code),
                _ => grammar::filter(system, filter, code),
            });
        }
        for set in &self.sets {
            found = found.and(|| store.ask(*set, system, code, steps));
        }
        if self.is_broken { found.and(|| Membership::Unknown) } else { found }
    }
}
