//! What a `select` looks at: nearly always an element of the line, seldom something computed.

use crate::fhir::path::{Element, Item};
use crate::fhir::tree::Node;
use crate::fhir::types::TypeId;

/// What is looked at, and its place among its siblings.
#[derive(Clone)]
pub(super) struct Focus<'t, 'a> {
    pub at: At<'t, 'a>,
    pub index: i64,
}

#[derive(Clone)]
pub(super) enum At<'t, 'a> {
    Node(Node<'t, 'a>, Option<TypeId>),
    Item(Item<'t, 'a>),
}

impl<'t, 'a> At<'t, 'a> {
    /// What straight ways begin at; `None` for computed items and for elements without a value.
    #[inline]
    pub(super) fn node(&self) -> Option<Node<'t, 'a>> {
        match self {
            At::Node(node, _) => Some(*node),
            At::Item(Item::Element(Element { node, under: None, .. })) => *node,
            At::Item(_) => None,
        }
    }

    /// What the evaluator begins at.
    pub(super) fn item(&self) -> Item<'t, 'a> {
        match self {
            At::Node(node, type_id) => Item::Element(Element {
                node: Some(*node),
                under: None,
                type_id: *type_id,
            }),
            At::Item(item) => item.clone(),
        }
    }
}
