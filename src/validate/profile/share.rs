//! What all checks of one resource share: the profiles, what is left of the work that they may cost, the Bundle around it; and
//! what they look at: a resource, an item of an element.

use std::cell::{Cell, OnceCell};

use super::Inner;
use super::target::Bundle;
use crate::fhir::name::Name;
use crate::fhir::tree::Node;
use crate::fhir::types::TypeId;

/// What the checks of one resource may cost: this much, and so much for each of its bytes. A step is about as long as it
/// takes to look at one member.
const STEPS: u64 = 4_000_000;
const STEPS_PER_BYTE: u64 = 16;

/// What all checks of one resource share.
pub(in crate::validate) struct Shared<'p, 't, 'a> {
    pub inner: &'p Inner,
    pub(super) left: Cell<u64>,
    /// It was said that there is none left.
    pub(super) told: Cell<bool>,
    /// The top of the line: a Bundle holds what references of its entries lead to.
    pub root: Node<'t, 'a>,
    bundle: OnceCell<Bundle<'t, 'a>>,
}

impl<'p, 't, 'a> Shared<'p, 't, 'a> {
    pub fn new(inner: &'p Inner, node: Node<'t, 'a>) -> Self {
        let root = node.root();
        Self {
            inner,
            told: Cell::new(false),
            left: Cell::new(STEPS + STEPS_PER_BYTE * node.size() as u64),
            root,
            bundle: OnceCell::new(),
        }
    }

    /// The entries of the Bundle that the line is.
    pub(super) fn bundle(&self) -> &Bundle<'t, 'a> {
        self.bundle.get_or_init(|| Bundle::of(self.root))
    }
}

/// Which resource is being looked at.
#[derive(Clone, Copy)]
pub(in crate::validate) struct Here<'t, 'a> {
    /// `%resource`
    pub resource: Node<'t, 'a>,
    /// The resource itself, or the one it is contained in.
    pub container: Node<'t, 'a>,
}

impl<'t, 'a> Here<'t, 'a> {
    pub fn top(resource: Node<'t, 'a>) -> Self {
        Self {
            resource,
            container: resource,
        }
    }
}

/// One item of an element.
#[derive(Clone, Copy)]
pub(in crate::validate) struct Item<'t, 'a> {
    pub node: Option<Node<'t, 'a>>,
    /// The companion of a primitive.
    pub under: Option<Node<'t, 'a>>,
    pub kind: Option<TypeId>,
    /// The member it stands in.
    pub name: Name,
}

impl<'t, 'a> Item<'t, 'a> {
    pub fn resource(node: Node<'t, 'a>) -> Self {
        Self {
            node: Some(node),
            under: None,
            kind: node.resource_type().and_then(TypeId::of),
            name: Name::NONE,
        }
    }

    pub(super) fn place(&self) -> Option<Node<'t, 'a>> {
        self.node.or(self.under)
    }
}
