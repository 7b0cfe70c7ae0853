//! An invariant of a profile or type: a FHIRPath expression that must hold of an element. Compiled with its profile, so that a
//! misspelt element or an unknown ValueSet is a fault of the file; evaluated on the borrowed tree.
//! Basis: FHIR R4 ElementDefinition.constraint; `%resource` is the resource, `%context` the element.
//!
//! Some that hold of every element or resource are decided elsewhere, without an expression (`WELL_KNOWN`).

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::draft::text;
use super::facts::CORE;
use super::share::{Here, Item};
use crate::fhir::path::{self, Canonicals, Collection, Context, Element, Names, Path, Start};
use crate::fhir::tree::Kind;
use crate::fhir::types::TypeId;

/// The keys of what the structure check decides by itself. `ele-1` follows from it: nothing is empty. `dom-6`, that a resource
/// should tell its story in text, is advice to authors of records and not asked of them here; so is `txt-1`, `txt-2` of what
/// such a text is made of: it is never read.
const WELL_KNOWN: [&str; 10] = [
    "ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "dom-6", "ref-1", "txt-1", "txt-2",
];

#[derive(Debug)]
pub(in crate::validate) struct Invariant {
    /// `us-core-8`: what a refusal names.
    pub key: String,
    /// Only a warning.
    pub mild: bool,
    path: Arc<Path>,
    /// What holds of an element for which the expression has no answer.
    doubt: bool,
}

/// Expressions that were compiled before, each from its types.
pub(in crate::validate) type Known = HashMap<(String, Vec<TypeId>, bool), Result<Arc<Path>, String>>;

/// Of what an invariant is asked.
pub(in crate::validate) struct Asked<'c> {
    /// The resource's type; none for an element of any.
    pub resource: Option<TypeId>,
    pub kinds: &'c [TypeId],
    /// A misspelt element is a fault.
    pub strict: bool,
}

impl Invariant {
    /// # Errors: what of the constraint cannot be checked.
    pub(in crate::validate) fn read(
        constraint: &Value,
        asked: &Asked<'_>,
        canonicals: &Canonicals,
        known: &mut Known,
    ) -> Result<Self, String> {
        let key = text(constraint, "key").ok_or("a constraint needs a `key`: a refusal names it")?;
        let mild = match text(constraint, "severity") {
            Some("error") => false,
            Some("warning") => true,
            _ => return Err(format!("constraint `{key}`: `severity` must be `error` or `warning`")),
        };
        let expression =
            text(constraint, "expression").ok_or_else(|| format!("constraint `{key}` has no `expression`: it cannot be checked"))?;
        let mut kinds = asked.kinds.to_vec();
        kinds.extend(asked.resource);
        let found = known
            .entry((expression.to_owned(), kinds, asked.strict))
            .or_insert_with(|| compile(expression, asked, canonicals).map(Arc::new));
        match found {
            Ok(path) => Ok(Self {
                key: key.to_owned(),
                mild,
                path: Arc::clone(path),
                doubt: !asked.strict,
            }),
            Err(message) => Err(format!("constraint `{key}` is not usable FHIRPath at {message}")),
        }
    }

    /// The constraint is one that every element or resource of R4 has, and is decided without its expression.
    pub(super) fn is_well_known(constraint: &Value, own: bool) -> bool {
        let of_core = text(constraint, "source").is_some_and(|source| source.starts_with(CORE) || !source.contains('/'));
        text(constraint, "key").is_some_and(|key| WELL_KNOWN.contains(&key)) && (of_core || !own)
    }

    /// Whether it holds of the element that `node` and its companion `under` are; and the steps that took.
    /// An empty answer does not hold. One that cannot be had, because there are several items where the expression means one, is
    /// against a network's own rule, whose author can mend it, and not against a package's.
    pub fn holds<'t, 'a>(&'t self, here: &Here<'t, 'a>, item: &Item<'t, 'a>) -> (bool, u32) {
        let (node, under) = (item.node, item.under);
        let mut context = Context::new(here.resource, &[]);
        if here.container.index() != here.resource.index() {
            context.root = Element::resource(here.container);
        }
        if let (Some(node), None, Some(fast)) = (node, under, self.path.fast())
            && node.kind() == Kind::Object
            && let Some(Ok(found)) = fast.holds(node, context.given())
        {
            return (found == Some(true), context.steps());
        }
        let focus = path::Item::Element(Element {
            node,
            under,
            type_id: item.kind,
        });
        let found = self.path.evaluate(&context, focus);
        let holds = match found.as_ref().map(Collection::as_slice) {
            Ok([path::Item::Boolean(value)]) => *value,
            Ok([path::Item::Element(element)]) => element.value_node().is_none_or(|node| node.raw() != "false"),
            Ok([] | [_, ..]) => false,
            Err(_) => self.doubt,
        };
        (holds, context.steps())
    }
}

fn compile(expression: &str, asked: &Asked<'_>, canonicals: &Canonicals) -> Result<Path, String> {
    let names = Names {
        pure: true,
        canonicals: Some(canonicals),
        ..Names::default()
    };
    let start = Start {
        focus: Some(asked.kinds.to_vec()).filter(|kinds| !kinds.is_empty()),
        resource: asked.resource.map(|kind| vec![kind]),
        strict: asked.strict,
    };
    Path::compile(expression, &names, &start).map_err(|error| format!("line {} column {}: {}", error.line, error.column, error.message))
}
