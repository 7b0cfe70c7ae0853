//! The codes that a column looks up: those of its codings, its own, or those that a reference leads to; and what a column
//! says of the one that was picked.

use std::borrow::Cow;

use crate::cdm::Cell;
use crate::fhir::name::Name;
use crate::fhir::path::reference_key;
use crate::fhir::tree::{Kind, Node};

use super::mapping::{Mapping, Rule};
use super::resolve::{Found, Lookups, each_coding};
use super::view::Field;
use super::vocabulary::{CodeCache, Coded, Facet, Lookup, Picked};

/// Where codes and the targets of references are found.
#[derive(Clone, Copy)]
pub(super) struct Seek<'m> {
    pub mapping: &'m Mapping,
    pub lookups: &'m Lookups,
}

impl<'m> Seek<'m> {
    /// The codes that a column looks up, and what they mean, in `codes`.
    /// `given` is what the column's own path, `headwater/coding` and `headwater/reference` gave.
    pub(super) fn codes<'a>(
        self,
        lookup: &Lookup,
        rule: &Rule,
        given: (&Cell<'a>, &Field<'_, 'a>, &Field<'_, 'a>),
        cache: &mut CodeCache,
        codes: &mut Vec<Coded<'a>>,
    ) where
        'm: 'a,
    {
        let (own, codings, references) = given;
        let Some(systems) = self.mapping.systems.as_deref() else { return };
        let vocabulary = self.lookups.vocabulary();
        let mut meet = |system: Cow<'a, str>, code: Cow<'a, str>, display: Option<Cow<'a, str>>| {
            let resolved = cache.resolve(vocabulary, systems, &system, &code);
            codes.push(Coded {
                system,
                code,
                display,
                resolved,
            });
        };
        if !codings.elements().is_empty() {
            for node in codings.elements().iter().filter_map(object) {
                each_coding(node, &mut |coding| {
                    let text = |name| coding.get(name).filter(|node| node.kind() == Kind::String).map(Node::text);
                    if let Some(code) = text(Name::CODE) {
                        meet(text(Name::SYSTEM).unwrap_or_default(), code, text(Name::DISPLAY));
                    }
                });
            }
        } else if let (Some(system), Cell::Text(code)) = (&lookup.system, own) {
            meet(Cow::Owned(system.clone()), code.clone(), None);
        }
        if codes.is_empty()
            && let Some(Found::Codings(all)) = self.found(rule, references)
        {
            for (system, code) in all {
                codes.push(Coded {
                    system: Cow::Borrowed(system),
                    code: Cow::Borrowed(code),
                    display: None,
                    resolved: cache.resolve(vocabulary, systems, system, code),
                });
            }
        }
    }

    /// What the first reference that leads to something leads to.
    pub(super) fn found(self, rule: &Rule, references: &Field<'_, '_>) -> Option<&'m Found> {
        let resolve = rule.resolve?;
        let declared = self.mapping.resolves.get(resolve)?;
        if declared.by.is_some() {
            let mut keys = references.elements().iter().filter_map(Field::cell);
            return keys.find_map(|key| self.lookups.get(resolve, key.as_text()?));
        }
        let wanted = declared.resource.as_str();
        objects(Some(references)).find_map(|reference| {
            let key = reference_key(reference, Some(wanted))?;
            self.lookups.get(resolve, &key)
        })
    }
}

/// What the lookup's column says of the pick. `own` is what the column's own path gave.
pub(super) fn facet<'a>(lookup: &Lookup, picked: &Picked<'a>, own: Cell<'a>) -> Cell<'a> {
    let id = |id: Option<u32>| match id {
        Some(id) => Cell::Integer(i64::from(id)),
        None if lookup.null_when_unmapped || (lookup.null_when_empty && picked.coded.is_none()) => Cell::Null,
        None => Cell::Integer(0),
    };
    let shared = |text: Option<&str>| text.map_or(Cell::Null, |text| Cell::Text(Cow::Owned(text.to_owned())));
    let (coded, concept) = (picked.coded.as_ref(), picked.concept());
    match lookup.facet {
        Facet::Standard => id(concept.map(|concept| concept.id)),
        Facet::Source => id(coded.and_then(|coded| coded.resolved.source.as_ref()).map(|source| source.id)),
        Facet::Code => coded.map_or(own, |coded| Cell::Text(coded.code.clone())),
        Facet::Display => coded.map_or(own, |coded| Cell::Text(coded.display.as_ref().unwrap_or(&coded.code).clone())),
        Facet::Name => shared(concept.map(|concept| &*concept.name)),
        Facet::Domain => shared(concept.map(|concept| &*concept.domain)),
        Facet::Vocabulary => shared(coded.and_then(|coded| coded.resolved.vocabulary.as_deref())),
    }
}

/// The complex elements that a path besides the column's own gave.
pub(super) fn objects<'r, 't, 'a>(fields: Option<&'r Field<'t, 'a>>) -> impl Iterator<Item = Node<'t, 'a>> + use<'r, 't, 'a> {
    fields.map_or(&[][..], Field::elements).iter().filter_map(object)
}

fn object<'t, 'a>(field: &Field<'t, 'a>) -> Option<Node<'t, 'a>> {
    match field {
        Field::Node(node) if node.kind() == Kind::Object => Some(*node),
        _ => None,
    }
}
