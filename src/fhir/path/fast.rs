//! The straight way: the shapes that nearly all expressions of a mapping have, compiled to plain loops over the tree
//! that allocate nothing. `eval` answers everything; what is answered here is answered the same.
//!
//! A way (`way`) follows names, filters and `first()`; a test (`test`) is a condition on one node; a value is a way, the
//! first of several, a test, a literal or `iif` of these. Where a line holds something odd (an element with extensions
//! in place of its value, two items where one was meant) the answer is `Unsure`, and `eval` is asked. A fault that lies
//! behind the first item wanted is not looked for.

mod compile;
mod test;
mod way;

pub use test::Test;
pub use way::{End, Way};

use super::ast::{Expr, Literal};
use super::check::Typing;
use super::value::Text;
use crate::fhir::tree::Node;

/// The line holds something that only `eval` can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsure;

pub(super) type Told<T> = Result<T, Unsure>;

/// An expression with a straight way.
#[derive(Debug)]
pub enum Fast {
    Way(Way),
    /// `(a | b | c).first()`
    First(Box<[Way]>),
    Test(Test),
    Literal(Literal),
    /// `{}`
    Nothing,
    If(Box<Choice>),
}

/// `iif(test, then, otherwise)`
#[derive(Debug)]
pub struct Choice {
    test: Test,
    then: Fast,
    otherwise: Fast,
}

/// What stands at the end.
pub enum Found<'t, 'a> {
    Nothing,
    Node(Node<'t, 'a>),
    Key(Text<'t, 'a>),
    Boolean(bool),
    Literal(&'t Literal),
    /// More than one item.
    Many,
}

impl Fast {
    /// The straight way of `expr` from a focus of type `focus`, if it has one.
    pub fn of(expr: &Expr, focus: &Typing) -> Option<Self> {
        let [focus] = *focus.as_deref()? else { return None };
        compile::value(expr, focus)
    }

    /// The expression as a way, if it is one.
    pub fn way(&self) -> Option<&Way> {
        match self {
            Fast::Way(way) => Some(way),
            _ => None,
        }
    }

    /// The only item, from `focus`. `constants` are the values of the view's `%constants`.
    pub fn one<'t, 'a>(&'t self, focus: Node<'t, 'a>, constants: &'t [Literal]) -> Told<Found<'t, 'a>> {
        match self {
            Fast::Way(way) => way.one(focus, constants),
            Fast::First(ways) => {
                for way in ways {
                    if let Some(node) = way.first(focus, constants)? {
                        return Ok(Found::Node(node));
                    }
                }
                Ok(Found::Nothing)
            }
            Fast::Test(test) => Ok(test.holds(focus, constants)?.map_or(Found::Nothing, Found::Boolean)),
            Fast::Literal(literal) => Ok(Found::Literal(literal)),
            Fast::Nothing => Ok(Found::Nothing),
            Fast::If(choice) => {
                let holds = choice.test.holds(focus, constants)? == Some(true);
                let branch = if holds { &choice.then } else { &choice.otherwise };
                branch.one(focus, constants)
            }
        }
    }

    /// The answer to a condition; `None` when the expression is no condition, or the answer is empty.
    pub fn holds(&self, focus: Node<'_, '_>, constants: &[Literal]) -> Option<Told<Option<bool>>> {
        match self {
            Fast::Test(test) => Some(test.holds(focus, constants)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
