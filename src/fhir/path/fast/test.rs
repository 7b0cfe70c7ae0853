//! A condition on one node: true, false, or empty.

use regex::Regex;

use super::way::Way;
use super::{Fast, Found, Told, Unsure};
use crate::fhir::path::ast::Literal;
use crate::fhir::tree::{Kind, Node};

#[derive(Debug)]
pub enum Test {
    /// `a and b and c`
    All(Vec<Test>),
    /// `a or b or c`
    Any(Vec<Test>),
    /// `way = 'a' or way = 'b'`; with `unequal`, `way != 'a' and way != 'b'`.
    Equal {
        way: Way,
        texts: Vec<Operand>,
        unequal: bool,
    },
    /// `way = true`, `way != true`
    Flag {
        way: Way,
        value: bool,
    },
    /// `way.startsWith('a')` and its kin
    Text {
        way: Way,
        search: Search,
    },
    /// `(a | b).exists()`
    Exists(Vec<Way>),
    Empty(Vec<Way>),
    Not(Box<Test>),
    /// The boolean itself.
    Holds(Way),
    /// `way.all(test)`
    Every {
        way: Way,
        test: Box<Test>,
    },
    /// `value.toString().length() >= least`
    Length {
        value: Box<Fast>,
        least: usize,
    },
    /// `iif(…).exists()`
    Gives(Box<Fast>),
    /// Known to `eval` alone.
    Ask,
}

/// A text of the expression, or the view's constant of this place.
#[derive(Debug)]
pub enum Operand {
    Text(String),
    Constant(usize),
}

#[derive(Debug)]
pub enum Search {
    StartsWith(Operand),
    EndsWith(Operand),
    Contains(Operand),
    Matches(Regex),
}

impl Operand {
    #[inline]
    fn text<'o>(&'o self, constants: &'o [Literal]) -> Told<&'o str> {
        match self {
            Operand::Text(text) => Ok(text),
            Operand::Constant(at) => match constants.get(*at) {
                Some(Literal::Text(text)) => Ok(text),
                _ => Err(Unsure),
            },
        }
    }
}

impl Test {
    pub(super) fn holds(&self, focus: Node<'_, '_>, constants: &[Literal]) -> Told<Option<bool>> {
        match self {
            Test::All(tests) => several(tests, false, focus, constants),
            Test::Any(tests) => several(tests, true, focus, constants),
            Test::Equal { way, texts, unequal } => {
                let Some(node) = way.single(focus, constants)? else {
                    return Ok(None);
                };
                if node.kind() != Kind::String {
                    return Err(Unsure);
                }
                let mut found = false;
                for text in texts {
                    let text = text.text(constants)?;
                    if is_text(node, text) {
                        found = true;
                        break;
                    }
                }
                Ok(Some(found != *unequal))
            }
            Test::Flag { way, value } => {
                let Some(node) = way.single(focus, constants)? else {
                    return Ok(None);
                };
                Ok(Some((flag(node)?) == *value))
            }
            Test::Text { way, search } => {
                let Some(node) = way.single(focus, constants)? else {
                    return Ok(None);
                };
                if node.kind() != Kind::String {
                    return Err(Unsure);
                }
                let text = node.text();
                Ok(Some(match search {
                    Search::StartsWith(start) => text.starts_with(start.text(constants)?),
                    Search::EndsWith(end) => text.ends_with(end.text(constants)?),
                    Search::Contains(part) => text.contains(part.text(constants)?),
                    Search::Matches(pattern) => pattern.is_match(&text),
                }))
            }
            Test::Exists(ways) => exists(ways, focus, constants).map(Some),
            Test::Empty(ways) => exists(ways, focus, constants).map(|exists| Some(!exists)),
            Test::Not(test) => Ok(test.holds(focus, constants)?.map(|holds| !holds)),
            Test::Holds(way) => match way.single(focus, constants)? {
                None => Ok(None),
                Some(node) => flag(node).map(Some),
            },
            Test::Every { way, test } => {
                let mut all = true;
                way.walk(focus, constants, &mut |node| {
                    all = test.holds(node, constants)? == Some(true);
                    Ok(all)
                })?;
                Ok(Some(all))
            }
            Test::Length { value, least } => match value.one(focus, constants)? {
                Found::Nothing => Ok(None),
                Found::Node(node) => long(node, *least).map(Some),
                _ => Err(Unsure),
            },
            Test::Gives(value) => match value.one(focus, constants)? {
                Found::Nothing => Ok(Some(false)),
                // An element without a value may still have extensions.
                Found::Node(node) if node.kind() == Kind::Null => Err(Unsure),
                _ => Ok(Some(true)),
            },
            Test::Ask => Err(Unsure),
        }
    }
}

/// The longest length that is told from the text of a date as it stands: a moment is printed in its own way, but never
/// without its day.
pub(super) const DAY: usize = 10;

fn long(node: Node<'_, '_>, least: usize) -> Told<bool> {
    let raw = node.raw();
    if node.kind() != Kind::String || node.is_escaped() || !raw.is_ascii() || raw.as_bytes().get(2) == Some(&b':') {
        return Err(Unsure);
    }
    Ok(raw.len() >= least)
}

#[inline]
fn is_text(node: Node<'_, '_>, text: &str) -> bool {
    if node.is_escaped() {
        node.text() == text
    } else {
        node.raw() == text
    }
}

fn flag(node: Node<'_, '_>) -> Told<bool> {
    match node.kind() {
        Kind::Boolean => Ok(node.raw() == "true"),
        _ => Err(Unsure),
    }
}

fn exists(ways: &[Way], focus: Node<'_, '_>, constants: &[Literal]) -> Told<bool> {
    for way in ways {
        if way.exists(focus, constants)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `or` with `decisive` true, `and` with it false: one decisive answer decides, an empty one leaves it open.
fn several(tests: &[Test], decisive: bool, focus: Node<'_, '_>, constants: &[Literal]) -> Told<Option<bool>> {
    let mut open = false;
    for test in tests {
        match test.holds(focus, constants)? {
            Some(holds) if holds == decisive => return Ok(Some(decisive)),
            Some(_) => {}
            None => open = true,
        }
    }
    Ok(if open { None } else { Some(!decisive) })
}
