//! Where faults are gathered: the first one, or all. Costs nothing as long as there is none.

use std::borrow::Cow;

use crate::fhir::tree::Node;
use crate::refusal::{Refusal, Step};

/// One fault is enough: stop.
#[derive(Debug)]
pub(super) struct Stop;

/// A resource with more faults than this is not read to its end: each path takes its time.
const MOST: usize = 100;

pub(super) struct Issues<'t, 'a> {
    top: Node<'t, 'a>,
    all: bool,
    pub(super) found: Vec<Refusal>,
}

impl<'t, 'a> Issues<'t, 'a> {
    /// Stops at the first fault. Paths begin at `top`.
    pub(super) fn first(top: Node<'t, 'a>) -> Self {
        let found = Vec::new();
        Self { top, all: false, found }
    }

    /// Goes on to the end.
    pub(super) fn all(top: Node<'t, 'a>) -> Self {
        Self {
            all: true,
            ..Self::first(top)
        }
    }

    /// A fault at `node` itself.
    #[cold]
    pub(super) fn at(&mut self, node: Node<'t, 'a>, rule: impl Into<Cow<'static, str>>) -> Result<(), Stop> {
        self.add(Refusal::new(Step::Validate, node.path_below(self.top), rule))
    }

    /// The same, by the profile in the file `source`.
    #[cold]
    pub(super) fn at_by(&mut self, node: Node<'t, 'a>, rule: impl Into<Cow<'static, str>>, source: &str) -> Result<(), Stop> {
        self.add(Refusal::new(Step::Validate, node.path_below(self.top), rule).by(source.to_owned()))
    }

    /// A fault at the element `element` of `node`, which is not there; by the profile in the file `source`, if by any.
    #[cold]
    pub(super) fn below(
        &mut self,
        node: Node<'t, 'a>,
        element: &str,
        rule: impl Into<Cow<'static, str>>,
        source: Option<&str>,
    ) -> Result<(), Stop> {
        let refusal = Refusal::new(Step::Validate, format!("{}.{element}", node.path_below(self.top)), rule);
        self.add(match source {
            Some(source) => refusal.by(source.to_owned()),
            None => refusal,
        })
    }

    fn add(&mut self, refusal: Refusal) -> Result<(), Stop> {
        self.found.push(refusal);
        if self.all && self.found.len() < MOST { Ok(()) } else { Err(Stop) }
    }
}
