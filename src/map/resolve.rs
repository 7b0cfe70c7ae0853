//! What a reference leads to: the declared values of landed targets, by `Type/id`, gathered in a pass before the mapping.
//! Holds those values only, never a resource. Read by all threads, changed by none.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::cdm::Cell;
use crate::fhir::name::Name;
use crate::fhir::path::{Context, Element, Item, Path, resource_key};
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::validate::Conformant;

use super::view::Field;
use super::vocabulary::{MemoryVocabulary, Vocabulary};

/// One kind of lookup that some column declares: a type of resource and what is wanted of it.
#[derive(Debug)]
pub(super) struct Resolve {
    pub resource: String,
    pub target: String,
    pub path: Path,
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
}

impl<'m> LookupsBuilder<'m> {
    pub(super) fn new(resolves: &'m [Resolve]) -> Self {
        let found = resolves.iter().map(|_| HashMap::new()).collect();
        Self {
            resolves,
            lookups: Lookups { found, vocabulary: None },
            steps: 0,
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
            if let Some(found) = found {
                self.lookups.found[at].insert(key.to_string(), found);
            }
        }
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    pub fn finish(self) -> Lookups {
        self.lookups
    }
}

/// A target whose expression has no answer is as good as absent: the column is then empty, and checked as such.
fn wanted<'t>(path: &'t Path, root: Node<'t, '_>) -> (Option<Found>, usize) {
    let context = Context::new(root, &[]);
    let found = evaluated(&context, path, root);
    (found, context.steps() as usize)
}

fn evaluated<'t, 'a>(context: &Context<'t, 'a>, path: &'t Path, root: Node<'t, 'a>) -> Option<Found> {
    let focus = Item::Element(Element {
        node: Some(root),
        under: None,
        type_id: root.resource_type().and_then(TypeId::of),
    });
    let items: Vec<Field<'_, '_>> = path.evaluate(context, focus).ok()?.into_iter().map(Field::of).collect();
    let mut all = Vec::new();
    for field in &items {
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
