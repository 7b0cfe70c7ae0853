//! The straight way: the shapes that nearly all expressions of a mapping have, compiled to plain loops over the tree
//! that allocate nothing. `eval` answers everything; what is answered here is answered the same.
//!
//! A way (`way`) follows names, filters and `first()`; a test (`test`) is a condition on one node; a value is a way, the
//! first of several, a test, a literal or `iif` of these. Where a line holds something odd (an element with extensions
//! in place of its value, two items where one was meant) the answer is `Unsure`, and `eval` is asked. A fault that lies
//! behind the first item wanted is not looked for.

mod compile;
mod given;
mod test;
mod way;

pub use given::Given;
pub use test::Test;
pub use way::{End, Way};

use super::ast::{Expr, Literal};
use super::check::Typing;
use super::keys::reference_key;
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
    Several(Box<Several>),
    Test(Test),
    Literal(Literal),
    /// `{}`
    Nothing,
    If(Box<Choice>),
    /// Known to `eval` alone; stands in a branch of `iif`.
    Ask,
}

/// `a | b`, `a.combine(b)`, and what follows from each of their items.
#[derive(Debug)]
pub struct Several {
    ways: Vec<Way>,
    /// Equal items count once.
    distinct: bool,
    tail: Way,
}

/// `iif(test, then, otherwise)`
#[derive(Debug)]
pub struct Choice {
    test: Test,
    then: Fast,
    otherwise: Fast,
    /// `iif(a.exists(), a, …)`: what is there answers both.
    itself: bool,
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

    /// The only item, from `focus`.
    pub fn one<'t, 'a>(&'t self, focus: Node<'t, 'a>, given: Given<'_>) -> Told<Found<'t, 'a>> {
        match self {
            Fast::Way(way) => way.one(focus, given),
            Fast::First(ways) => {
                for way in ways {
                    if let Some(node) = way.first(focus, given)? {
                        return Ok(Found::Node(node));
                    }
                }
                Ok(Found::Nothing)
            }
            Fast::Test(test) => Ok(test.holds(focus, given)?.map_or(Found::Nothing, Found::Boolean)),
            Fast::Literal(literal) => Ok(Found::Literal(literal)),
            Fast::Nothing => Ok(Found::Nothing),
            Fast::If(choice) if choice.itself => match choice.then.one(focus, given)? {
                Found::Nothing => choice.otherwise.one(focus, given),
                found => Ok(found),
            },
            Fast::If(choice) => choice.branch(focus, given)?.one(focus, given),
            Fast::Several(several) => {
                let mut found = Found::Nothing;
                let mut count = 0;
                several.walk(focus, given, &mut |node| {
                    let item = match &several.tail.end {
                        End::ReferenceKey(asked) => match reference_key(node, asked.as_deref()) {
                            Some(key) => {
                                given.read(node.size())?;
                                Found::Key(key)
                            }
                            None => return Ok(true),
                        },
                        _ => Found::Node(node),
                    };
                    count += 1;
                    found = if count > 1 { Found::Many } else { item };
                    Ok(count < 2 && !several.tail.first)
                })?;
                Ok(found)
            }
            Fast::Ask => Err(Unsure),
        }
    }

    /// Calls `visit` for each node that stands at the end, until it says `false`.
    /// # Errors: what stands there is no element of the line.
    pub fn each<'t, 'a>(&self, focus: Node<'t, 'a>, given: Given<'_>, visit: &mut impl FnMut(Node<'t, 'a>) -> Told<bool>) -> Told<()> {
        match self {
            Fast::Way(way) if way.end == End::Value => way.walk(focus, given, visit),
            Fast::Several(several) if several.tail.end == End::Value => several.walk(focus, given, visit),
            Fast::If(choice) => choice.branch(focus, given)?.each(focus, given, visit),
            Fast::Nothing => Ok(()),
            _ => Err(Unsure),
        }
    }

    /// The answer to a condition; `None` when the expression is no condition, or the answer is empty.
    pub fn holds(&self, focus: Node<'_, '_>, given: Given<'_>) -> Option<Told<Option<bool>>> {
        match self {
            Fast::Test(test) => Some(test.holds(focus, given)),
            _ => None,
        }
    }
}

impl Choice {
    #[inline]
    fn branch(&self, focus: Node<'_, '_>, given: Given<'_>) -> Told<&Fast> {
        let holds = self.test.holds(focus, given)? == Some(true);
        Ok(if holds { &self.then } else { &self.otherwise })
    }
}

impl Several {
    fn walk<'t, 'a>(&self, focus: Node<'t, 'a>, given: Given<'_>, visit: &mut impl FnMut(Node<'t, 'a>) -> Told<bool>) -> Told<()> {
        let mut first = None;
        let mut count = 0;
        for way in &self.ways {
            way.walk(focus, given, &mut |node| {
                count += 1;
                first = first.or(Some(node));
                Ok(!(self.distinct && count > 1))
            })?;
        }
        // Whether two items are equal is for `eval` to tell.
        if self.distinct && count > 1 {
            return Err(Unsure);
        }
        if let (Some(only), 1) = (first, count) {
            return self.tail.walk(only, given, visit);
        }
        let mut more = true;
        for way in &self.ways {
            way.walk(focus, given, &mut |node| {
                if more {
                    self.tail.walk(node, given, &mut |node| {
                        more = visit(node)?;
                        Ok(more)
                    })?;
                }
                Ok(more)
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
