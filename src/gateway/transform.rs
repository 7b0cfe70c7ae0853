//! validate -> map -> (deidentify) for one line at a time: the sequence both the nightly run and the offline path use.
//! Pure: what comes out depends on the line, the rules, the lookups and the people alone.

use std::borrow::Cow;

use crate::deidentify::{self, Deidentified, Deidentifier};
use crate::fhir::tree::{Limits, Node, Tree};
use crate::map::{self, Lookups, Mapped};
use crate::refusal::{Refusal, Step};
use crate::validate;

use super::Rules;

/// One thread's reusable room: the tree a line is parsed into.
#[derive(Default)]
pub(super) struct Bench {
    tree: Tree,
}

/// What a line says of itself before anything is checked. Borrowed from the line.
pub(super) struct Head<'a> {
    pub resource_type: &'a str,
    pub id: Cow<'a, str>,
    pub last_updated: Cow<'a, str>,
}

impl Bench {
    /// The root of `line`.
    /// # Errors: a refusal of step `read`, with the byte offset as its path.
    pub(super) fn read<'t, 'a>(&'t mut self, line: &'a [u8], limits: &Limits) -> Result<Node<'t, 'a>, Refusal> {
        self.tree
            .parse(line, limits)
            .map_err(|error| Refusal::new(Step::Read, format!("byte {}", error.offset), error.rule))
    }
}

impl<'a> Head<'a> {
    /// # Errors: a refusal of step `read` for a line that is no resource with an id.
    pub(super) fn of(root: Node<'_, 'a>) -> Result<Self, Refusal> {
        let resource_type = root
            .resource_type()
            .ok_or_else(|| Refusal::new(Step::Read, "resourceType", "required"))?;
        let id = member(root, "id")
            .ok_or_else(|| Refusal::new(Step::Read, format!("{resource_type}.id"), "required"))?
            .text();
        let last_updated = member(root, "meta")
            .and_then(|meta| member(meta, "lastUpdated"))
            .map(Node::text)
            .unwrap_or_default();
        Ok(Self {
            resource_type,
            id,
            last_updated,
        })
    }
}

fn member<'t, 'a>(node: Node<'t, 'a>, name: &str) -> Option<Node<'t, 'a>> {
    node.get(crate::fhir::name::Name::of(name))
}

/// Validates and maps one resource into `mapped`.
/// # Errors: a refusal by either step.
pub(super) fn map_resource<'a>(
    rules: &Rules,
    lookups: &Lookups,
    root: Node<'_, 'a>,
    mapped: &mut Mapped<'a>,
) -> Result<map::Fate, Refusal> {
    let conformant = validate::validate(&rules.profiles, root)?;
    map::map(&rules.mapping, lookups, conformant, mapped)
}

/// The whole way of one resource: its fate; its rows, de-identified, go to `released`.
/// # Errors: a refusal by any step; then nothing was released.
pub(super) fn release<'a>(
    rules: &Rules,
    lookups: &Lookups,
    deidentifier: &Deidentifier,
    root: Node<'_, 'a>,
    mapped: &mut Mapped<'a>,
    released: &mut Vec<Deidentified>,
) -> Result<map::Fate, Refusal> {
    let fate = map_resource(rules, lookups, root, mapped)?;
    if fate == map::Fate::Mapped {
        deidentify::deidentify(deidentifier, mapped, released)?;
    }
    Ok(fate)
}

/// What a `deleted` Bundle asks to delete: `Type/id`, one for each entry (Bulk Data 2.0: type transaction, method DELETE).
pub(super) fn deleted_urls<'a>(root: Node<'_, 'a>) -> Vec<Cow<'a, str>> {
    let Some(entries) = member(root, "entry") else { return Vec::new() };
    let request = |entry: Node<'_, 'a>| {
        let request = member(entry, "request")?;
        let is_delete = member(request, "method").is_some_and(|method| method.text() == "DELETE");
        member(request, "url").filter(|_| is_delete).map(Node::text)
    };
    entries.children().filter_map(request).collect()
}
