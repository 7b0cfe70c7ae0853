//! Whether a coded element is of the codes it is bound to: a code, text or uri by itself; a Coding, or a Quantity's unit, with
//! its system; a CodeableConcept if one of its codings is. Where nobody here can tell, nothing is said.
//! FHIR R4 "Terminologies", "Binding Strengths".

use super::rule::Binding;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::fhir::value_set::{Membership, ValueSet};

/// The element breaks the binding. A concept that is only told in words breaks a required one.
pub(super) fn is_outside(binding: &Binding, node: Node<'_, '_>, kind: Option<TypeId>) -> bool {
    match membership(&binding.codes, node, kind) {
        Some(membership) => membership == Membership::Out,
        None => binding.required && kind.is_some_and(|kind| kind.as_str() == "CodeableConcept") && node.get(Name::EXTENSION).is_none(),
    }
}

/// Whether it is of these codes; none where it has no code.
pub(super) fn membership(codes: &ValueSet, node: Node<'_, '_>, kind: Option<TypeId>) -> Option<Membership> {
    match node.kind() {
        Kind::String => Some(codes.membership_of_code(&node.text())),
        Kind::Object => match node.get(Name::CODING).filter(|list| list.kind() == Kind::Array) {
            Some(list) => {
                let mut all = None;
                for coding in list.children() {
                    match (coded(codes, coding), all) {
                        (Some(Membership::In), _) => return Some(Membership::In),
                        (Some(Membership::Out), Some(Membership::Unknown)) | (None, _) => {}
                        (found, _) => all = found,
                    }
                }
                all
            }
            None if kind.is_some_and(|kind| kind.as_str() == "Money") => {
                let currency = text(node, Name::of("currency"))?;
                Some(codes.membership_of_code(&currency.text()))
            }
            None => coded(codes, node),
        },
        _ => None,
    }
}

/// A coding without a system says no code of any.
fn coded(codes: &ValueSet, coding: Node<'_, '_>) -> Option<Membership> {
    let code = text(coding, Name::CODE)?;
    Some(match text(coding, Name::SYSTEM) {
        Some(system) => codes.membership(&system.text(), &code.text()),
        None => Membership::Out,
    })
}

fn text<'t, 'a>(node: Node<'t, 'a>, name: Name) -> Option<Node<'t, 'a>> {
    node.get(name).filter(|text| text.kind() == Kind::String)
}
