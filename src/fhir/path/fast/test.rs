//! A condition on one node: true, false, or empty.

use super::way::Way;
use super::{Fast, Found, Given, Told, Unsure};
use crate::fhir::path::ast::Literal;
use crate::fhir::path::pattern::Pattern;
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
    Matches(Pattern),
}

impl Operand {
    #[inline]
    fn text<'o>(&'o self, given: Given<'o>) -> Told<&'o str> {
        match self {
            Operand::Text(text) => Ok(text),
            Operand::Constant(at) => match given.constants.get(*at) {
                Some(Literal::Text(text)) => Ok(text),
                _ => Err(Unsure),
            },
        }
    }
}

impl Test {
    pub(super) fn holds(&self, focus: Node<'_, '_>, given: Given<'_>) -> Told<Option<bool>> {
        match self {
            Test::All(tests) => several(tests, false, focus, given),
            Test::Any(tests) => several(tests, true, focus, given),
            Test::Equal { way, texts, unequal } => {
                let Some(node) = way.single(focus, given)? else {
                    return Ok(None);
                };
                if node.kind() != Kind::String {
                    return Err(Unsure);
                }
                let mut found = false;
                given.went_over(texts.len())?;
                for text in texts {
                    let text = text.text(given)?;
                    if node.is_text(text) {
                        found = true;
                        break;
                    }
                }
                Ok(Some(found != *unequal))
            }
            Test::Flag { way, value } => {
                let Some(node) = way.single(focus, given)? else {
                    return Ok(None);
                };
                Ok(Some((flag(node)?) == *value))
            }
            Test::Text { way, search } => {
                let Some(node) = way.single(focus, given)? else {
                    return Ok(None);
                };
                if node.kind() != Kind::String {
                    return Err(Unsure);
                }
                given.read(node.size())?;
                let text = node.text();
                Ok(Some(match search {
                    Search::StartsWith(start) => text.starts_with(start.text(given)?),
                    Search::EndsWith(end) => text.ends_with(end.text(given)?),
                    Search::Contains(part) => text.contains(part.text(given)?),
                    Search::Matches(pattern) => {
                        given.spent(pattern.cost(&text))?;
                        pattern.regex().is_match(&text)
                    }
                }))
            }
            Test::Exists(ways) => exists(ways, focus, given).map(Some),
            Test::Empty(ways) => exists(ways, focus, given).map(|exists| Some(!exists)),
            Test::Not(test) => Ok(test.holds(focus, given)?.map(|holds| !holds)),
            Test::Holds(way) => match way.single(focus, given)? {
                None => Ok(None),
                Some(node) => flag(node).map(Some),
            },
            Test::Every { way, test } => {
                let mut all = true;
                way.walk(focus, given, &mut |node| {
                    all = test.holds(node, given)? == Some(true);
                    Ok(all)
                })?;
                Ok(Some(all))
            }
            Test::Length { value, least } => match value.one(focus, given)? {
                Found::Nothing => Ok(None),
                Found::Node(node) => {
                    given.read(node.size())?;
                    long(node, *least).map(Some)
                }
                _ => Err(Unsure),
            },
            Test::Gives(value) => match value.one(focus, given)? {
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

fn flag(node: Node<'_, '_>) -> Told<bool> {
    match node.kind() {
        Kind::Boolean => Ok(node.raw() == "true"),
        _ => Err(Unsure),
    }
}

fn exists(ways: &[Way], focus: Node<'_, '_>, given: Given<'_>) -> Told<bool> {
    for way in ways {
        if way.exists(focus, given)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `or` with `decisive` true, `and` with it false: one decisive answer decides, an empty one leaves it open.
fn several(tests: &[Test], decisive: bool, focus: Node<'_, '_>, given: Given<'_>) -> Told<Option<bool>> {
    let mut open = false;
    given.went_over(tests.len())?;
    for test in tests {
        match test.holds(focus, given)? {
            Some(holds) if holds == decisive => return Ok(Some(decisive)),
            Some(_) => {}
            None => open = true,
        }
    }
    Ok(if open { None } else { Some(!decisive) })
}
