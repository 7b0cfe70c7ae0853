//! Where faults are gathered: the first one, or all. Costs nothing as long as there is none.

use std::borrow::Cow;

use super::tally::Tally;
use crate::fhir::tree::Node;
use crate::refusal::{Refusal, Step};

/// What a fault means for its resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The resource is refused.
    Error,
    /// The resource goes on; somebody should look.
    Warning,
    /// The resource goes on; the fault is counted.
    Counted,
}

/// One fault of a resource: where, which rule, by which profile, and what it means. Never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    pub severity: Severity,
    /// Path, rule and source.
    pub refusal: Refusal,
}

/// Whose rule it is.
#[derive(Clone, Copy)]
pub(super) struct Source<'p> {
    /// The profile's number in a tally; none for FHIR's own rules.
    pub number: Option<u32>,
    /// The profile's file or canonical.
    pub name: Option<&'p str>,
    /// What an error by this source means.
    pub severity: Severity,
}

impl Source<'static> {
    /// The rules without which a resource cannot be read.
    pub(super) const STRUCTURE: Source<'static> = Source {
        number: None,
        name: None,
        severity: Severity::Error,
    };
}

/// One fault is enough: stop.
#[derive(Debug)]
pub(super) struct Stop;

/// A resource with more faults than this is not read to its end: each path takes its time.
const MOST: usize = 100;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The first error; what is less is counted.
    First,
    All,
    /// Whether there is an error.
    Verdict,
}

pub(super) struct Issues<'t, 'a, 'c> {
    top: Node<'t, 'a>,
    wanted: Wanted,
    pub(super) found: Vec<Issue>,
    pub(super) tally: Option<&'c mut Tally>,
}

impl<'t, 'a, 'c> Issues<'t, 'a, 'c> {
    /// Stops at the first error, and counts what is less. Paths begin at `top`.
    pub(super) fn first(top: Node<'t, 'a>, tally: Option<&'c mut Tally>) -> Self {
        Self::new(top, Wanted::First, tally)
    }

    /// Goes on to the end.
    pub(super) fn all(top: Node<'t, 'a>) -> Self {
        Self::new(top, Wanted::All, None)
    }

    /// Stops at the first error and says nothing about it.
    pub(super) fn verdict(top: Node<'t, 'a>) -> Self {
        Self::new(top, Wanted::Verdict, None)
    }

    pub(super) fn is_verdict(&self) -> bool {
        self.wanted == Wanted::Verdict
    }

    fn new(top: Node<'t, 'a>, wanted: Wanted, tally: Option<&'c mut Tally>) -> Self {
        let found = Vec::new();
        Self { top, wanted, found, tally }
    }

    /// A fault at `node` itself.
    #[cold]
    pub(super) fn at(&mut self, node: Node<'t, 'a>, rule: impl Into<Cow<'static, str>>, source: Source<'_>) -> Result<(), Stop> {
        self.add(|top| node.path_below(top), rule.into(), source)
    }

    /// A fault at the element `element` of `node`, which is not there.
    #[cold]
    pub(super) fn below(
        &mut self,
        node: Node<'t, 'a>,
        element: &str,
        rule: impl Into<Cow<'static, str>>,
        source: Source<'_>,
    ) -> Result<(), Stop> {
        self.add(|top| format!("{}.{element}", node.path_below(top)), rule.into(), source)
    }

    fn add(&mut self, path: impl Fn(Node<'t, 'a>) -> String, rule: Cow<'static, str>, source: Source<'_>) -> Result<(), Stop> {
        let error = source.severity == Severity::Error;
        if self.wanted == Wanted::Verdict {
            return if error { Err(Stop) } else { Ok(()) };
        }
        if let Some(tally) = self.tally.as_deref_mut() {
            tally.fault(source.number, &path(self.top), &rule, source.severity);
        }
        if self.wanted == Wanted::First && !error {
            return Ok(());
        }
        let refusal = Refusal::new(Step::Validate, path(self.top), rule);
        self.found.push(Issue {
            severity: source.severity,
            refusal: match source.name {
                Some(name) => refusal.by(name.to_owned()),
                None => refusal,
            },
        });
        if self.wanted == Wanted::All && self.found.len() < MOST {
            Ok(())
        } else {
            Err(Stop)
        }
    }
}
