//! Resource -> Conformant | Refusal. Plain functions: no async, disk, network, clock or randomness.
//!
//! Two steps over the borrowed tree, neither of which changes anything: `structure` holds a resource to the types of
//! FHIR R4, `profile` to the network's own profiles. Bindings to value sets are not checked here: `map` translates codes
//! and counts those it does not know.

mod format;
mod issues;
mod profile;
mod structure;

use crate::fhir::tree::Node;
use crate::refusal::Refusal;
use issues::Issues;
pub use profile::{ProfileFault, Profiles};

/// A resource that passed the structure check and its profiles. Only this part can make one.
#[derive(Clone, Copy)]
pub struct Conformant<'t, 'a> {
    root: Node<'t, 'a>,
}

impl<'t, 'a> Conformant<'t, 'a> {
    pub fn root(self) -> Node<'t, 'a> {
        self.root
    }
}

/// The resource, if it is one of FHIR R4 and fits all profiles of its type.
/// `node` is a resource: the top of a line, or one in a Bundle's entry (`fhir::ndjson::resources`). Paths begin at it.
/// # Errors: the first fault, in the order of the text; what is missing comes after what is wrong.
pub fn validate<'t, 'a>(profiles: &Profiles, node: Node<'t, 'a>) -> Result<Conformant<'t, 'a>, Refusal> {
    let mut issues = Issues::first(node);
    let _ = check(profiles, node, &mut issues, structure::Reach::Whole);
    match issues.found.pop() {
        Some(refusal) => Err(refusal),
        None => Ok(Conformant { root: node }),
    }
}

/// All faults of a resource; empty if `validate` would accept it.
pub fn check_all(profiles: &Profiles, node: Node<'_, '_>) -> Vec<Refusal> {
    let mut issues = Issues::all(node);
    let _ = check(profiles, node, &mut issues, structure::Reach::Whole);
    issues.found
}

/// All faults of a Bundle but for those within the resources of its entries, which are checked one by one.
pub fn check_envelope(profiles: &Profiles, bundle: Node<'_, '_>) -> Vec<Refusal> {
    let mut issues = Issues::all(bundle);
    let _ = check(profiles, bundle, &mut issues, structure::Reach::Envelope);
    issues.found
}

fn check<'t, 'a>(
    profiles: &Profiles,
    node: Node<'t, 'a>,
    issues: &mut Issues<'t, 'a>,
    reach: structure::Reach,
) -> Result<(), issues::Stop> {
    structure::check(profiles, node, issues, reach)?;
    profile::check(profiles, node, issues)
}

#[cfg(test)]
mod tests;
