//! The columns of one `select` that only follow names, merged into one trie: common beginnings of their paths are walked
//! once, and the children of an object are looked through once for all columns.

use crate::fhir::name::Name;
use crate::fhir::path::{End, Unsure, reference_key};
use crate::fhir::tree::{Kind, Node};

use super::Source;
use super::field::Field;
use super::run::{Row, text_field};

/// Fewer columns are quicker one by one.
const LEAST: usize = 2;

#[derive(Debug)]
pub(super) struct Merged {
    /// The first is the focus.
    forks: Vec<Fork>,
    /// Places in `View::sources`, in order: those merged, and those that are not.
    merged: Vec<usize>,
    pub singly: Vec<usize>,
}

#[derive(Debug, Default)]
struct Fork {
    /// One bit for each name that goes on from here, by its number: most children are passed over by it.
    bits: u64,
    edges: Vec<Edge>,
    /// Places in `View::sources` of the paths that end here.
    ends: Vec<usize>,
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
            if collection(source.column) || source.coding.is_some() || source.reference.is_some() || !all.add(source, place) {
                all.singly.push(place);
            }
        }
        (all.merged.len() >= LEAST).then_some(all)
    }

    fn add(&mut self, source: &Source, place: usize) -> bool {
        let Some(names) = source.path.fast().and_then(|fast| fast.way()).and_then(|way| way.names()) else {
            return false;
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
        self.forks[at].ends.push(place);
        self.merged.push(place);
        true
    }

    /// Fills the merged columns of `row`.
    /// # Errors: something is odd, or there are several values; then every column must be asked for itself.
    pub(super) fn fill<'t, 'a>(&self, sources: &'t [Source], focus: Node<'t, 'a>, row: &mut Row<'t, 'a>) -> Result<(), Unsure> {
        for &place in &self.merged {
            let column = sources[place].column;
            row.fields[column] = Field::Null;
            row.by[column] = u16::try_from(place).map_err(|_| Unsure)?;
            for extra in [&mut row.codings, &mut row.references] {
                if let Some(extra) = extra.get_mut(column) {
                    *extra = Field::Null;
                }
            }
        }
        self.walk(0, sources, focus, row)
    }

    fn walk<'t, 'a>(&self, fork: usize, sources: &'t [Source], node: Node<'t, 'a>, row: &mut Row<'t, 'a>) -> Result<(), Unsure> {
        let fork = &self.forks[fork];
        for &place in &fork.ends {
            end(&sources[place], node, row)?;
        }
        if fork.edges.is_empty() {
            return Ok(());
        }
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
                    for item in child.children() {
                        self.walk(edge.fork, sources, item, row)?;
                    }
                }
                _ => self.walk(edge.fork, sources, child, row)?,
            }
        }
        Ok(())
    }
}

fn end<'t, 'a>(source: &'t Source, node: Node<'t, 'a>, row: &mut Row<'t, 'a>) -> Result<(), Unsure> {
    let Some(way) = source.path.fast().and_then(|fast| fast.way()) else {
        return Err(Unsure);
    };
    let found = match &way.end {
        End::Value if node.kind() == Kind::Null => return Err(Unsure),
        End::Value => Field::Node(node),
        End::ReferenceKey(asked) => match reference_key(node, asked.as_deref()) {
            Some(key) => text_field(key),
            None => return Ok(()),
        },
        End::ResourceKey => return Err(Unsure),
    };
    let field = &mut row.fields[source.column];
    if !field.is_null() {
        return Err(Unsure);
    }
    *field = found;
    Ok(())
}
