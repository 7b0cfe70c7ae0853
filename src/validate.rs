//! Resource -> Conformant | Refusal. Plain functions: no async, disk, network, clock or randomness.
//!
//! Two steps over the borrowed tree, neither of which changes anything: `structure` holds a resource to the types of
//! FHIR R4, `profile` to the profiles that apply to it: a network's own for its type, those it names in `meta.profile`,
//! those that are asked for. What a profile's fault means (refuse, warn, count) is said per profile. `questionnaire` holds a
//! QuestionnaireResponse to its Questionnaire, where that is given.

mod format;
mod issues;
mod narrative;
mod profile;
mod questionnaire;
mod rules;
mod structure;
mod tally;
mod versions;
mod vital_signs;

use crate::fhir::tree::Node;
use crate::refusal::Refusal;
use issues::Issues;
pub use issues::{Issue, Severity};
pub use profile::{Definition, Disposition, Options, ProfileFault, Profiles};
pub use tally::{FaultReport, ProfileReport, Report, Tally};

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

/// The resource, if it is one of FHIR R4 and fits all profiles that refuse.
/// `node` is a resource: the top of a line, or one in a Bundle's entry (`fhir::ndjson::resources`). Paths begin at it.
/// # Errors: the first fault, in the order of the text; what is missing comes after what is wrong.
pub fn validate<'t, 'a>(profiles: &Profiles, node: Node<'t, 'a>) -> Result<Conformant<'t, 'a>, Refusal> {
    verdict(profiles, node, None)
}

/// The same, and counts what was seen.
/// # Errors: the first fault.
pub fn validate_counting<'t, 'a>(profiles: &Profiles, node: Node<'t, 'a>, tally: &mut Tally) -> Result<Conformant<'t, 'a>, Refusal> {
    verdict(profiles, node, Some(tally))
}

/// All faults of a resource: errors, warnings, and what is only counted. Without an error `validate` would accept it.
pub fn check_all(profiles: &Profiles, node: Node<'_, '_>) -> Vec<Issue> {
    let mut issues = Issues::all(node);
    let _ = structure::check(profiles, node, &mut issues, structure::Reach::Whole);
    issues.found
}

/// All faults of a Bundle but for those within the resources of its entries, which are checked one by one.
pub fn check_envelope(profiles: &Profiles, bundle: Node<'_, '_>) -> Vec<Issue> {
    let mut issues = Issues::all(bundle);
    let _ = structure::check(profiles, bundle, &mut issues, structure::Reach::Envelope);
    issues.found
}

fn verdict<'t, 'a>(profiles: &Profiles, node: Node<'t, 'a>, tally: Option<&mut Tally>) -> Result<Conformant<'t, 'a>, Refusal> {
    let mut issues = Issues::first(node, tally);
    let _ = structure::check(profiles, node, &mut issues, structure::Reach::Whole);
    match issues.found.pop() {
        Some(issue) => Err(issue.refusal),
        None => Ok(Conformant { root: node }),
    }
}

#[cfg(test)]
mod tests;
