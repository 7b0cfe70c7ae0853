//! What an expression may name by its canonical besides the resource: ValueSets for `memberOf`, profiles for `conformsTo`. Looked up
//! when the expression is compiled, so that an unknown one is an error there and the same resource always gives the same answer.

use std::fmt;
use std::sync::Arc;

use super::ast::{Expr, Literal, Variable};
use super::function::Function;
use super::types::base_type;
use super::value::Item;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::value_set::{ValueSet, ValueSets};

/// A profile, for whoever knows what profiles are.
pub trait Fits: Send + Sync + fmt::Debug {
    /// Whether the resource is of the profile's type and meets all of it.
    fn fits(&self, resource: Node<'_, '_>) -> bool;
}

/// The ValueSets and profiles of a package.
#[derive(Clone, Debug, Default)]
pub struct Canonicals {
    pub value_sets: Arc<ValueSets>,
    /// By canonical url.
    pub profiles: Vec<(String, Arc<dyn Fits>)>,
}

/// What the argument of a call names.
#[derive(Debug)]
pub enum Named {
    ValueSet(ValueSet),
    Profile(Arc<dyn Fits>),
}

/// What `memberOf` or `conformsTo` names; `None` for the specification's own types, and where nobody gave a package and an answer
/// is not owed before the resource is seen.
/// # Errors: in words, what is not known.
pub(super) fn named(function: Function, argument: &Expr, known: Option<&Canonicals>, pure: bool) -> Result<Option<Named>, String> {
    let canonical = match argument {
        Expr::Literal(Literal::Text(text)) | Expr::Variable(Variable::Text(text), _) => text.as_str(),
        _ if function == Function::ConformsTo && !pure => return Ok(None),
        _ => return Err(format!("`{}()` names its canonical by a text that stands here", function.name())),
    };
    if function == Function::MemberOf {
        let sets = known.map(|known| &known.value_sets);
        return match sets.and_then(|sets| sets.find(canonical)) {
            // An answer that may be neither yes nor no would be taken for one of them.
            Some(set) => match set.undecided().first() {
                Some(reason) => Err(format!("the ValueSet `{canonical}` cannot be decided here: {reason}")),
                None => Ok(Some(Named::ValueSet(set))),
            },
            None => Err(format!(
                "no ValueSet `{canonical}` is known here; a package's stand beside its profiles, in profiles/fhir, and of several versions one is named with `|`"
            )),
        };
    }
    if base_type(canonical).is_some() {
        return Ok(None);
    }
    let profiles = known.map_or(&[][..], |known| known.profiles.as_slice());
    match profiles.iter().find(|(url, _)| url == canonical) {
        Some((_, profile)) => Ok(Some(Named::Profile(Arc::clone(profile)))),
        None if known.is_none() && !pure => Ok(None),
        None => Err(format!(
            "no profile `{canonical}` is known here; a package's stand in profiles/fhir, a type of R4 is http://hl7.org/fhir/StructureDefinition/Patient"
        )),
    }
}

/// Whether a code, Coding or CodeableConcept belongs; the outer `None` where the item is none of these, the inner where it has no value.
pub(super) fn belongs(codes: &ValueSet, item: &Item<'_, '_>) -> Option<Option<bool>> {
    match item {
        Item::Text(text) => Some(Some(codes.has_code(text))),
        Item::Element(element) => match element.value_node() {
            None => Some(None),
            Some(node) => match node.kind() {
                Kind::String => Some(Some(codes.has_code(&node.text()))),
                Kind::Object => Some(Some(match node.get(Name::CODING).filter(|all| all.kind() == Kind::Array) {
                    Some(all) => all.children().any(|coding| coded(codes, coding)),
                    None => coded(codes, node),
                })),
                _ => None,
            },
        },
        _ => None,
    }
}

/// A coding without a system says no code of any.
fn coded(codes: &ValueSet, coding: Node<'_, '_>) -> bool {
    let text = |name| coding.get(name).filter(|node| node.kind() == Kind::String).map(Node::text);
    match (text(Name::SYSTEM), text(Name::CODE)) {
        (Some(system), Some(code)) => codes.has(&system, &code),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
