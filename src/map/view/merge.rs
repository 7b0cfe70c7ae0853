//! The columns of one `select` that only follow names, merged into one trie: common beginnings of their paths are walked
//! once, and the children of an object are looked through once for all columns.

use crate::fhir::name::Name;
use crate::fhir::path::{End, Fast, Given, Unsure, reference_key};
use crate::fhir::tree::{Kind, Node};

use super::Source;
use super::field::{Field, text_field};
use super::row::Row;

/// Fewer columns are quicker one by one.
const LEAST: usize = 2;

#[derive(Debug)]
pub(super) struct Merged {
    /// The first is the focus.
    forks: Vec<Fork>,
    /// Those merged: column, and place in `View::sources`.
    merged: Vec<(usize, u16)>,
    /// Places of those that are not.
    pub singly: Vec<usize>,
}

#[derive(Debug, Default)]
struct Fork {
    /// One bit for each name that goes on from here, by its number: most children are passed over by it.
    bits: u64,
    edges: Vec<Edge>,
    /// The paths that end here.
    ends: Vec<Ending>,
}

/// The column that is filled, and with what.
#[derive(Debug)]
struct Ending {
    column: usize,
    /// The key of a reference to this type, or to any; else the value itself.
    key: Option<Option<String>>,
}

#[derive(Debug)]
struct Edge {
    name: Name,
    fork: usize,
    primitive: bool,
}

fn bit(name: Name) -> u64 {
    1 << ((name.0 >> 1) % 64)
}

impl Merged {
    /// `sources` begin at `start` in the view's list. `collection` says which columns are lists.
    pub(super) fn of(sources: &[Source], start: usize, collection: impl Fn(usize) -> bool) -> Option<Merged> {
        let mut all = Merged {
            forks: vec![Fork::default()],
            merged: Vec::new(),
            singly: Vec::new(),
        };
        for (source, place) in sources.iter().zip(start..) {
            if collection(source.column) || source.coding.is_some() || source.aside.is_some() || !all.add(source, place) {
                all.singly.push(place);
            }
        }
        (all.merged.len() >= LEAST).then_some(all)
    }

    fn add(&mut self, source: &Source, place: usize) -> bool {
        let Some(way) = source.path.fast().and_then(Fast::way) else {
            return false;
        };
        let (Some(names), Ok(number)) = (way.names(), u16::try_from(place)) else {
            return false;
        };
        let key = match &way.end {
            End::Value => None,
            End::ReferenceKey(asked) => Some(asked.clone()),
            End::ResourceKey => return false,
        };
        let names: Vec<_> = names.collect();
        if names.is_empty() || names.iter().any(|(_, others, _)| !others.is_empty()) {
            return false;
        }
        let mut at = 0;
        for (name, _, primitive) in names {
            let known = self.forks[at].edges.iter().find(|edge| edge.name == name).map(|edge| edge.fork);
            at = known.unwrap_or_else(|| {
                let fork = self.forks.len();
                self.forks.push(Fork::default());
                self.forks[at].bits |= bit(name);
                self.forks[at].edges.push(Edge { name, fork, primitive });
                fork
            });
        }
        let column = source.column;
        self.forks[at].ends.push(Ending { column, key });
        self.merged.push((column, number));
        true
    }

    /// Fills the merged columns of `row`.
    /// # Errors: something is odd, or there are several values; then every column must be asked for itself.
    pub(super) fn fill<'t, 'a>(&self, focus: Node<'t, 'a>, row: &mut Row<'t, 'a>, given: Given<'_>) -> Result<(), Unsure> {
        for &(column, place) in &self.merged {
            row.fields[column] = Field::Null;
            row.by[column] = place;
        }
        if !row.codings.is_empty() {
            for &(column, _) in &self.merged {
                row.codings[column] = Field::Null;
                row.asides[column] = Field::Null;
            }
        }
        self.branches(&self.forks[0], focus, &mut row.fields, given)
    }

    #[inline]
    fn walk<'t, 'a>(&self, fork: usize, node: Node<'t, 'a>, fields: &mut [Field<'t, 'a>], given: Given<'_>) -> Result<(), Unsure> {
        let fork = &self.forks[fork];
        for ending in &fork.ends {
            ending.fill(node, fields, given)?;
        }
        if fork.edges.is_empty() {
            return Ok(());
        }
        self.branches(fork, node, fields, given)
    }

    fn branches<'t, 'a>(&self, fork: &Fork, node: Node<'t, 'a>, fields: &mut [Field<'t, 'a>], given: Given<'_>) -> Result<(), Unsure> {
        for child in node.children() {
            let name = child.name();
            if fork.bits & bit(name) == 0 {
                continue;
            }
            let Some(edge) = fork.edges.iter().find(|edge| edge.name == name) else {
                continue;
            };
            match child.kind() {
                Kind::Null => return Err(Unsure),
                Kind::Array => {
                    if edge.primitive && node.get(name.companion()).is_some() {
                        return Err(Unsure);
                    }
                    let mut went_over = 0;
                    for item in child.children() {
                        went_over += 1;
                        self.walk(edge.fork, item, fields, given)?;
                    }
                    given.went_over(went_over)?;
                }
                _ => self.walk(edge.fork, child, fields, given)?,
            }
        }
        Ok(())
    }
}

fn key<'t, 'a>(node: Node<'t, 'a>, asked: Option<&str>) -> Field<'t, 'a> {
    reference_key(node, asked).map_or(Field::Null, text_field)
}

impl Ending {
    #[inline]
    fn fill<'t, 'a>(&self, node: Node<'t, 'a>, fields: &mut [Field<'t, 'a>], given: Given<'_>) -> Result<(), Unsure> {
        let field = &mut fields[self.column];
        if !field.is_null() || node.kind() == Kind::Null {
            return Err(Unsure);
        }
        *field = match &self.key {
            None => Field::Node(node),
            Some(asked) => {
                given.read(node.size())?;
                key(node, asked.as_deref())
            }
        };
        Ok(())
    }
}
