//! Whether a coded element is of the codes it is bound to: a code, text or uri by itself; a Coding, or a Quantity's unit, with
//! its system; a CodeableConcept if one of its codings is.
//! FHIR R4 "Terminologies", "Binding Strengths".

use super::rule::Binding;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::fhir::value_set::Codes;

/// The element breaks the binding. A concept that is only told in words breaks a required one.
pub(super) fn is_outside(binding: &Binding, node: Node<'_, '_>, kind: Option<TypeId>) -> bool {
    match is_in(&binding.codes, node, kind) {
        Some(is_in) => !is_in,
        None => binding.required && kind.is_some_and(|kind| kind.as_str() == "CodeableConcept") && node.get(Name::EXTENSION).is_none(),
    }
}

/// Whether it is of these codes; none where it has no code.
pub(super) fn is_in(codes: &Codes, node: Node<'_, '_>, kind: Option<TypeId>) -> Option<bool> {
    match node.kind() {
        Kind::String => Some(codes.has_code(&node.text())),
        Kind::Object => match node.get(Name::CODING).filter(|list| list.kind() == Kind::Array) {
            Some(list) => list
                .children()
                .filter_map(|coding| coded(codes, coding, Name::CODE))
                .reduce(|one, other| one || other),
            None if kind.is_some_and(|kind| kind.as_str() == "Money") => {
                let currency = text(node, Name::of("currency"))?;
                Some(codes.has_code(&currency.text()))
            }
            None => coded(codes, node, Name::CODE),
        },
        _ => None,
    }
}

fn coded(codes: &Codes, coding: Node<'_, '_>, name: Name) -> Option<bool> {
    let code = text(coding, name)?;
    Some(match text(coding, Name::SYSTEM) {
        Some(system) => codes.has(&system.text(), &code.text()),
        None => false,
    })
}

fn text<'t, 'a>(node: Node<'t, 'a>, name: Name) -> Option<Node<'t, 'a>> {
    node.get(name).filter(|text| text.kind() == Kind::String)
}
