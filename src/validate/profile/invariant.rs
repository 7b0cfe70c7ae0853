//! An invariant of a profile: a FHIRPath expression that must hold of an element. Compiled with the profile, so that a misspelt element
//! or an unknown ValueSet is a fault of the file; evaluated on the borrowed tree.
//! Basis: FHIR R4 ElementDefinition.constraint; `%resource` is the resource, `%context` the element.

use serde_json::Value;

use super::super::issues::{Issues, Severity, Source, Stop};
use crate::fhir::path::{Canonicals, Context, Element, Item, Names, Path, Start};
use crate::fhir::tree::Node;
use crate::fhir::types::TypeId;

#[derive(Debug)]
pub(super) struct Invariant {
    /// `us-core-8`: what a refusal names.
    key: String,
    path: Path,
    /// The type of what it is asked of, where there is only one.
    type_id: Option<TypeId>,
}

impl Invariant {
    /// # Errors: what of the constraint cannot be checked.
    pub(super) fn read(constraint: &Value, kind: TypeId, types: &[TypeId], canonicals: &Canonicals) -> Result<Self, String> {
        let text = |name: &str| constraint.get(name).and_then(Value::as_str);
        let key = text("key").ok_or("a constraint needs a `key`: a refusal names it")?;
        if text("severity") != Some("error") {
            return Err(format!(
                "constraint `{key}`: only severity `error` refuses a resource; leave one out that does not"
            ));
        }
        let expression = text("expression").ok_or_else(|| format!("constraint `{key}` has no `expression`: it cannot be checked"))?;
        let names = Names {
            pure: true,
            canonicals: Some(canonicals),
            ..Names::default()
        };
        let start = Start {
            focus: Some(types.to_vec()),
            resource: Some(vec![kind]),
            strict: true,
        };
        let path = Path::compile(expression, &names, &start).map_err(|error| {
            format!(
                "constraint `{key}` is not usable FHIRPath at line {} column {}: {}",
                error.line, error.column, error.message
            )
        })?;
        Ok(Self {
            key: key.to_owned(),
            path,
            type_id: match types {
                [only] => Some(*only),
                _ => None,
            },
        })
    }

    /// An expression without an answer does not hold.
    fn holds(&self, resource: Node<'_, '_>, node: Node<'_, '_>) -> bool {
        let focus = Item::Element(Element {
            node: Some(node),
            under: None,
            type_id: self.type_id,
        });
        let found = self.path.evaluate(&Context::new(resource, &[]), focus);
        // FHIR, "Constraints": what is empty is not violated.
        found.is_ok_and(|found| match found.as_slice() {
            [] => true,
            [Item::Boolean(value)] => *value,
            [Item::Element(element)] => element.value_node().is_none_or(|node| node.raw() != "false"),
            _ => false,
        })
    }
}

/// Where a profile is being checked.
pub(super) struct At<'f, 't, 'a> {
    pub resource: Node<'t, 'a>,
    pub file: &'f str,
}

impl<'t, 'a> At<'_, 't, 'a> {
    pub(super) fn source(&self) -> Source<'_> {
        Source {
            number: None,
            name: Some(self.file),
            severity: Severity::Error,
        }
    }

    /// All of `invariants` hold of `node`.
    pub(super) fn invariants(&self, invariants: &[Invariant], node: Node<'t, 'a>, issues: &mut Issues<'t, 'a, '_>) -> Result<(), Stop> {
        for invariant in invariants {
            if !invariant.holds(self.resource, node) {
                issues.at(node, format!("invariant {}", invariant.key), self.source())?;
            }
        }
        Ok(())
    }
}
