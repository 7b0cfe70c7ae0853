//! What a reference leads to: the declared values of landed targets, by `Type/id`, gathered in a pass before the mapping. With
//! `headwater/by` the other way round: the values of a resource that points at the one at hand, by what it points at.
//! Holds those values only, never a resource. Read by all threads, changed by none.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use crate::cdm::Cell;
use crate::fhir::name::Name;
use crate::fhir::path::{Context, Element, Item, Path, reference_key, resource_key};
use crate::fhir::tree::{Kind, Node};
use crate::validate::Conformant;

use super::view::Field;
use super::vocabulary::{MemoryVocabulary, Vocabulary};

/// One kind of lookup that some column declares: a type of resource and what is wanted of it.
#[derive(Debug)]
pub(super) struct Resolve {
    pub resource: String,
    pub target: String,
    pub path: Path,
    /// The text and path of the reference by which the resource is found, instead of by its own key.
    pub by: Option<(String, Path)>,
}

/// What was wanted of one target.
#[derive(Clone)]
pub enum Found {
    Value(Cell<'static>),
    /// `(system, code)` of each Coding.
    Codings(Vec<(String, String)>),
}

/// The values of all targets. Prints nothing of them.
#[derive(Default)]
pub struct Lookups {
    /// Per `Resolve`, by `Type/id`.
    found: Vec<HashMap<String, Found>>,
    vocabulary: Option<Arc<dyn Vocabulary>>,
}

impl Lookups {
    pub fn get(&self, resolve: usize, key: &str) -> Option<&Found> {
        self.found.get(resolve)?.get(key)
    }

    /// The vocabulary; without one, an empty one.
    pub(super) fn vocabulary(&self) -> &dyn Vocabulary {
        static EMPTY: OnceLock<MemoryVocabulary> = OnceLock::new();
        match &self.vocabulary {
            Some(vocabulary) => vocabulary.as_ref(),
            None => EMPTY.get_or_init(MemoryVocabulary::default),
        }
    }

    /// Why the vocabulary could not be read, once it could not: what was mapped since does not count.
    pub fn fault(&self) -> Option<String> {
        self.vocabulary.as_ref()?.fault()
    }

    /// How many targets are known, over all lookups.
    pub fn len(&self) -> usize {
        self.found.iter().map(HashMap::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Gathers `Lookups`: feed it the resources of `Mapping::lookup_types`, in any order.
pub struct LookupsBuilder<'m> {
    resolves: &'m [Resolve],
    lookups: Lookups,
    /// Steps that looking for the targets took.
    steps: usize,
    /// Per `Resolve` with `by`, by the pointing resource's own key: whom it points at, and what is wanted of it. A newer state
    /// replaces the older one; of several that point at one resource, the first by key counts.
    pointing: Vec<BTreeMap<String, (Vec<String>, Found)>>,
}

impl<'m> LookupsBuilder<'m> {
    pub(super) fn new(resolves: &'m [Resolve]) -> Self {
        let found = resolves.iter().map(|_| HashMap::new()).collect();
        Self {
            resolves,
            lookups: Lookups { found, vocabulary: None },
            steps: 0,
            pointing: resolves.iter().map(|_| BTreeMap::new()).collect(),
        }
    }

    /// The same, with the vocabulary that codes are looked up in.
    pub fn with_vocabulary(mut self, vocabulary: Option<Arc<dyn Vocabulary>>) -> Self {
        self.lookups.vocabulary = vocabulary;
        self
    }

    /// Takes what the mapping wants of this resource; nothing, if it wants nothing of its type.
    pub fn add(&mut self, resource: Conformant<'_, '_>) {
        self.add_node(resource.root());
    }

    pub(super) fn add_node(&mut self, root: Node<'_, '_>) {
        let Some(type_name) = root.resource_type() else { return };
        let Some(key) = resource_key(root) else { return };
        for (at, resolve) in self
            .resolves
            .iter()
            .enumerate()
            .filter(|(_, resolve)| resolve.resource == type_name)
        {
            let (found, steps) = wanted(&resolve.path, root);
            self.steps += steps;
            match (&resolve.by, found) {
                (None, Some(found)) => {
                    self.lookups.found[at].insert(key.to_string(), found);
                }
                (None, None) => {}
                (Some((_, by)), Some(found)) => {
                    self.pointing[at].insert(key.to_string(), (pointed_at(by, root), found));
                }
                (Some(_), None) => {
                    self.pointing[at].remove(&*key);
                }
            }
        }
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    pub fn finish(mut self) -> Lookups {
        for (found, pointing) in self.lookups.found.iter_mut().zip(self.pointing) {
            for (targets, value) in pointing.into_values() {
                for target in targets {
                    found.entry(target).or_insert_with(|| value.clone());
                }
            }
        }
        self.lookups
    }
}

/// What `path` gives of the resource; `None` without an answer.
fn fields<'t, 'a>(path: &'t Path, root: Node<'t, 'a>) -> Option<Vec<Field<'t, 'a>>> {
    fields_in(&Context::new(root, &[]), path, root)
}

fn fields_in<'t, 'a>(context: &Context<'t, 'a>, path: &'t Path, root: Node<'t, 'a>) -> Option<Vec<Field<'t, 'a>>> {
    let found = path.evaluate(context, Item::Element(Element::resource(root))).ok()?;
    Some(found.into_iter().map(Field::of).collect())
}

/// The keys of what the resource points at.
fn pointed_at(by: &Path, root: Node<'_, '_>) -> Vec<String> {
    let key = |field: &Field<'_, '_>| match field {
        Field::Node(node) => reference_key(*node, None).map(|key| key.to_string()),
        _ => None,
    };
    fields(by, root).unwrap_or_default().iter().filter_map(key).collect()
}

/// A target whose expression has no answer is as good as absent: the column is then empty, and checked as such.
fn wanted<'t>(path: &'t Path, root: Node<'t, '_>) -> (Option<Found>, usize) {
    let context = Context::new(root, &[]);
    let found = fields_in(&context, path, root).and_then(|items| told(&items));
    (found, context.steps() as usize)
}

fn told(items: &[Field<'_, '_>]) -> Option<Found> {
    let mut all = Vec::new();
    for field in items {
        match field {
            Field::Node(node) if node.kind() == Kind::Object => codings(*node, &mut |system, code| {
                all.push((system.to_owned(), code.to_owned()));
                true
            }),
            Field::Null => {}
            value => return value.cell().map(owned).map(Found::Value),
        }
    }
    (!all.is_empty()).then_some(Found::Codings(all))
}

fn owned(cell: Cell<'_>) -> Cell<'static> {
    match cell {
        Cell::Null => Cell::Null,
        Cell::Boolean(value) => Cell::Boolean(value),
        Cell::Integer(number) => Cell::Integer(number),
        Cell::Decimal(digits) => Cell::Decimal(digits.into_owned().into()),
        Cell::Text(text) => Cell::Text(text.into_owned().into()),
    }
}

/// System and code of a Coding, or of each Coding of a CodeableConcept, until `visit` says `false`.
pub(super) fn codings(node: Node<'_, '_>, visit: &mut dyn FnMut(&str, &str) -> bool) {
    let mut more = true;
    each_coding(node, &mut |coding| {
        if !more {
            return;
        }
        let text = |name| coding.get(name).filter(|node| node.kind() == Kind::String).map(Node::text);
        if let Some(code) = text(Name::CODE) {
            more = visit(&text(Name::SYSTEM).unwrap_or_default(), &code);
        }
    });
}

/// A Coding itself, or each Coding of a CodeableConcept.
pub(super) fn each_coding<'t, 'a>(node: Node<'t, 'a>, visit: &mut dyn FnMut(Node<'t, 'a>)) {
    match node.get(Name::CODING).filter(|all| all.kind() == Kind::Array) {
        Some(all) => all.children().for_each(visit),
        None => visit(node),
    }
}
