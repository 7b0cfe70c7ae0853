//! A way through the tree: names, filters, `first()`, an extension by its url.

use super::test::Test;
use super::{Found, Given, Told, Unsure};
use crate::fhir::name::Name;
use crate::fhir::path::keys::{reference_key, resource_key};
use crate::fhir::tree::{Kind, Node};

/// What stands at the end of the way.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Value,
    ResourceKey,
    ReferenceKey(Option<String>),
}

#[derive(Debug)]
pub struct Way {
    /// Stages but the last give their first node only.
    pub(super) stages: Vec<Vec<Hop>>,
    pub(super) last: Vec<Hop>,
    pub end: End,
    /// The first key is enough: `getReferenceKey().first()`.
    pub(super) first: bool,
}

#[derive(Debug)]
pub(super) enum Hop {
    Member(Member),
    Where(Test),
    Extension(String),
    /// What follows is known to `eval` alone; from nothing it gives nothing.
    Ask,
}

/// One name, or the names of a choice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub name: Name,
    pub others: Box<[Name]>,
    /// What it names may have its id and extensions in a sibling, `_name`.
    pub primitive: bool,
}

impl Member {
    #[inline]
    fn find<'t, 'a>(&self, node: Node<'t, 'a>) -> Told<Option<Node<'t, 'a>>> {
        if !self.others.is_empty() {
            return self.chosen(node);
        }
        let mut companion = false;
        for child in node.children() {
            let name = child.name();
            if name == self.name {
                let odd = match child.kind() {
                    Kind::Null => true,
                    Kind::Array => self.primitive && node.get(name.companion()).is_some(),
                    _ => false,
                };
                return if odd { Err(Unsure) } else { Ok(Some(child)) };
            }
            companion |= name == self.name.companion();
        }
        if companion { Err(Unsure) } else { Ok(None) }
    }

    fn chosen<'t, 'a>(&self, node: Node<'t, 'a>) -> Told<Option<Node<'t, 'a>>> {
        let mut found = None;
        for child in node.children() {
            let name = child.name();
            let element = name.element();
            if element != self.name && !self.others.contains(&element) {
                continue;
            }
            if name.is_companion() || found.is_some() || child.kind() == Kind::Null {
                return Err(Unsure);
            }
            found = Some(child);
        }
        Ok(found)
    }
}

impl Way {
    /// Calls `visit` for each node at the end of the way until it says `false`.
    #[inline]
    pub fn walk<'t, 'a>(&self, focus: Node<'t, 'a>, given: Given<'_>, visit: &mut impl FnMut(Node<'t, 'a>) -> Told<bool>) -> Told<()> {
        let mut focus = focus;
        for stage in &self.stages {
            let mut found = None;
            follow(stage, focus, given, &mut |node| {
                found = Some(node);
                Ok(false)
            })?;
            match found {
                Some(node) => focus = node,
                None => return Ok(()),
            }
        }
        follow(&self.last, focus, given, visit)?;
        Ok(())
    }

    /// The first node.
    pub(super) fn first<'t, 'a>(&self, focus: Node<'t, 'a>, given: Given<'_>) -> Told<Option<Node<'t, 'a>>> {
        let mut found = None;
        self.walk(focus, given, &mut |node| {
            found = Some(node);
            Ok(false)
        })?;
        Ok(found)
    }

    /// The only node, which must have a value.
    pub(super) fn single<'t, 'a>(&self, focus: Node<'t, 'a>, given: Given<'_>) -> Told<Option<Node<'t, 'a>>> {
        let mut found = None;
        self.walk(focus, given, &mut |node| {
            if found.is_some() || node.kind() == Kind::Null {
                return Err(Unsure);
            }
            found = Some(node);
            Ok(true)
        })?;
        Ok(found)
    }

    /// What stands at the end, if it is one.
    pub(super) fn one<'t, 'a>(&'t self, focus: Node<'t, 'a>, given: Given<'_>) -> Told<Found<'t, 'a>> {
        let asked = match &self.end {
            End::Value => None,
            End::ResourceKey => {
                let key = resource_key(focus);
                given.read(key.as_ref().map_or(0, |key| key.len()))?;
                return Ok(key.map_or(Found::Nothing, Found::Key));
            }
            End::ReferenceKey(type_name) => Some(type_name.as_deref()),
        };
        let mut found = Found::Nothing;
        let mut count = 0;
        self.walk(focus, given, &mut |node| {
            let item = match asked {
                None => Found::Node(node),
                Some(type_name) => match reference_key(node, type_name) {
                    Some(key) => {
                        given.read(node.size())?;
                        Found::Key(key)
                    }
                    None => return Ok(true),
                },
            };
            count += 1;
            found = if count > 1 { Found::Many } else { item };
            Ok(count < 2 && !self.first)
        })?;
        Ok(found)
    }

    /// Something stands at the end.
    pub(super) fn exists(&self, focus: Node<'_, '_>, given: Given<'_>) -> Told<bool> {
        let mut found = false;
        self.walk(focus, given, &mut |node| {
            found = match &self.end {
                End::Value => true,
                End::ReferenceKey(asked) => {
                    given.read(node.size())?;
                    reference_key(node, asked.as_deref()).is_some()
                }
                End::ResourceKey => return Err(Unsure),
            };
            Ok(!found)
        })?;
        Ok(found)
    }

    /// Some name is followed on the way.
    pub(super) fn has_name(&self) -> bool {
        let named = |hop: &Hop| matches!(hop, Hop::Member(_));
        self.last.iter().chain(self.stages.iter().flatten()).any(named)
    }

    /// The names of a way that only follows names, one after the other, each with those of its choice; `None` for
    /// another. The flag says whether it is a primitive's.
    pub fn names(&self) -> Option<impl Iterator<Item = (Name, &[Name], bool)>> {
        let named = |hop: &Hop| matches!(hop, Hop::Member(_));
        let plain = self.stages.is_empty() && self.end != End::ResourceKey && !self.first && self.last.iter().all(named);
        plain.then(|| {
            self.last.iter().filter_map(|hop| match hop {
                Hop::Member(member) => Some((member.name, &*member.others, member.primitive)),
                _ => None,
            })
        })
    }

    /// Both ways are one and the same, and only follow names.
    pub(super) fn is_same_names(&self, other: &Way) -> bool {
        match (self.names(), other.names()) {
            (Some(own), Some(others)) => self.end == other.end && own.eq(others),
            _ => false,
        }
    }
}

/// `true` while `visit` wants more.
fn follow<'t, 'a>(hops: &[Hop], node: Node<'t, 'a>, given: Given<'_>, visit: &mut impl FnMut(Node<'t, 'a>) -> Told<bool>) -> Told<bool> {
    let Some((hop, rest)) = hops.split_first() else {
        return visit(node);
    };
    match hop {
        Hop::Member(member) => {
            let Some(child) = member.find(node)? else { return Ok(true) };
            if child.kind() == Kind::Array {
                return all(rest, child, given, visit, &mut |_| true);
            }
            follow(rest, child, given, visit)
        }
        Hop::Where(test) => {
            given.spent(1)?;
            match test.holds(node, given)? {
                Some(true) => follow(rest, node, given, visit),
                _ => Ok(true),
            }
        }
        Hop::Ask => Err(Unsure),
        Hop::Extension(url) => {
            let Some(extensions) = node.get(Name::EXTENSION) else {
                return Ok(true);
            };
            if extensions.kind() != Kind::Array {
                return Err(Unsure);
            }
            let mut wanted = |node: Node<'t, 'a>| node.get(Name::URL).is_some_and(|own| own.is_text(url));
            all(rest, extensions, given, visit, &mut wanted)
        }
    }
}

fn all<'t, 'a>(
    hops: &[Hop],
    array: Node<'t, 'a>,
    given: Given<'_>,
    visit: &mut impl FnMut(Node<'t, 'a>) -> Told<bool>,
    wanted: &mut impl FnMut(Node<'t, 'a>) -> bool,
) -> Told<bool> {
    let (mut went_over, mut more) = (0, true);
    for item in array.children() {
        went_over += 1;
        if wanted(item) && !follow(hops, item, given, visit)? {
            more = false;
            break;
        }
    }
    given.went_over(went_over)?;
    Ok(more)
}
