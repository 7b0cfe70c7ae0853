//! validate -> map -> (deidentify) for one line at a time: the sequence both the nightly run and the offline path use.
//! Pure: what comes out depends on the line, the rules, the lookups and the people alone.

use std::borrow::Cow;

use crate::deidentify::{Deidentified, RuleHits, Worker};
use crate::fhir::tree::{Kind, Limits, Node, Tree};
use crate::fhir::types::TypeId;
use crate::map::vocabulary::CodeCache;
use crate::map::{self, Lookups, Mapped};
use crate::refusal::{Refusal, Step};
use crate::validate::{self, Tally};

use super::site::Rules;

/// The type of what does not say its own; what else stands in a type's place might be a value and is not shown.
pub(super) const UNKNOWN_TYPE: &str = "unknown";

/// Whether FHIR has this type of resource.
pub(super) fn is_resource_type(name: &str) -> bool {
    TypeId::of(name).is_some_and(TypeId::is_resource)
}

/// A resource type as it may be shown and counted.
pub(super) fn shown_type(name: &str) -> &str {
    if is_resource_type(name) { name } else { UNKNOWN_TYPE }
}

/// The lines that are not blank, without their line ends, each with its number.
pub(super) fn lines(first: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = Some(bytes);
    let split = std::iter::from_fn(move || {
        let bytes = rest?;
        let end = memchr::memchr(b'\n', bytes);
        rest = end.map(|end| &bytes[end + 1..]);
        Some(&bytes[..end.unwrap_or(bytes.len())])
    });
    (first..)
        .zip(split)
        .map(|(number, line)| (number, line.strip_suffix(b"\r").unwrap_or(line)))
        .filter(|(_, line)| !line.trim_ascii().is_empty())
}

/// One thread's reusable room: the tree a line is parsed into.
#[derive(Default)]
pub(super) struct Bench {
    tree: Tree,
    /// What is remembered of codes, from block to block.
    pub codes: CodeCache,
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
            .filter(|id| id.kind() == Kind::String)
            .map(Node::text)
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Refusal::new(Step::Read, format!("{}.id", shown_type(resource_type)), "required"))?;
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

/// What the steps met on the way, for the run's evidence.
#[derive(Clone, Debug, Default)]
pub(super) struct Met {
    /// How often each rule of the policy was at work.
    pub hits: RuleHits,
    /// What was seen of each profile.
    pub tally: Tally,
}

/// Validates and maps one resource into `mapped`.
/// # Errors: a refusal by either step.
pub(super) fn map_resource<'a>(
    rules: &'a Rules,
    lookups: &'a Lookups,
    root: Node<'_, 'a>,
    mapped: &mut Mapped<'a>,
) -> Result<map::Fate, Refusal> {
    let conformant = validate::validate(&rules.profiles, root)?;
    map::map(&rules.mapping, lookups, conformant, mapped)
}

/// The whole way of one resource: its fate; its rows, de-identified, go to `released`; what was met, to `met`.
/// # Errors: a refusal by any step; then nothing was released.
pub(super) fn release<'a>(
    rules: &'a Rules,
    lookups: &'a Lookups,
    worker: &mut Worker<'_>,
    root: Node<'_, 'a>,
    mapped: &mut Mapped<'a>,
    released: &mut Vec<Deidentified>,
    met: &mut Met,
) -> Result<map::Fate, Refusal> {
    let conformant = validate::validate_counting(&rules.profiles, root, &mut met.tally)?;
    let fate = map::map(&rules.mapping, lookups, conformant, mapped)?;
    if fate == map::Fate::Mapped {
        worker.deidentify(mapped, released, &mut met.hits)?;
    }
    Ok(fate)
}

/// What one entry of a `deleted` Bundle asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deletion<'a> {
    Of(&'static str, Cow<'a, str>),
    /// Nothing that can be withdrawn by type and id; the path says what is missing.
    Unclear(&'static str),
}

/// What a `deleted` Bundle asks to delete (Bulk Data 2.0: type transaction, method DELETE, url Type/id).
pub(super) fn deletions<'a>(root: Node<'_, 'a>) -> Vec<Deletion<'a>> {
    let Some(entries) = member(root, "entry").filter(|entries| entries.kind() == Kind::Array) else {
        return vec![Deletion::Unclear("Bundle.entry")];
    };
    let deletion = |entry: Node<'_, 'a>| {
        let method = member(entry, "request").and_then(|request| member(request, "method"));
        if method.is_none_or(|method| method.text() != "DELETE") {
            return Deletion::Unclear("Bundle.entry.request.method");
        }
        let url = member(entry, "request").and_then(|request| member(request, "url")).map(Node::text);
        url.and_then(|url| deleted_by(&url))
            .unwrap_or(Deletion::Unclear("Bundle.entry.request.url"))
    };
    entries.children().map(deletion).collect()
}

/// `Patient/1`, `https://ehr.example.org/fhir/Patient/1`, either with a version behind it. A conditional deletion
/// (`Patient?identifier=...`) names no resource that we could know.
fn deleted_by(url: &str) -> Option<Deletion<'static>> {
    let path = url.split_once("/_history/").map_or(url, |(path, _)| path);
    let mut parts = path.rsplit('/');
    let (id, resource_type) = (parts.next()?, parts.next()?);
    let resource_type = TypeId::of(resource_type).filter(|found| found.is_resource())?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    // FHIR 4.0.1, "id": 1 to 64 of these.
    ((1..=64).contains(&id.len()) && id.bytes().all(fits) && !path.contains('?'))
        .then(|| Deletion::Of(resource_type.as_str(), Cow::Owned(id.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_is_understood_by_type_and_id_however_its_address_is_written() {
        for url in [
            "Patient/a-1.b",
            "/Patient/a-1.b",
            "https://ehr.example.org/fhir/Patient/a-1.b",
            "Patient/a-1.b/_history/7",
        ] {
            assert_eq!(deleted_by(url), Some(Deletion::Of("Patient", "a-1.b".into())), "{url}");
        }
    }

    #[test]
    fn no_part_of_an_odd_address_is_taken_for_a_type_or_an_id() {
        for url in [
            "",
            "Patient",
            "Patient/",
            "Patient/a/",
            "Patient?name=x/Patient/1",
            "Patient?identifier=http://x/Smith/1",
            "http://x/Smith/1",
            "Smith/1",
            "HumanName/1",
            "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
            "Patient/a b",
            "Patient/1?x=1",
            "Patient/0123456789012345678901234567890123456789012345678901234567890123x",
        ] {
            assert_eq!(deleted_by(url), None, "{url}");
        }
    }

    #[test]
    fn every_entry_of_a_bundle_of_deletions_has_an_answer() {
        let mut bench = Bench::default();
        let line = br#"{"resourceType":"Bundle","entry":[{"request":{"method":"DELETE","url":"Patient/1"}},
            {"request":{"method":"PUT","url":"Patient/2"}},{"request":{"method":"DELETE"}},{}]}"#;
        let root = bench.read(line, &Limits::default()).unwrap();
        assert_eq!(
            deletions(root),
            [
                Deletion::Of("Patient", "1".into()),
                Deletion::Unclear("Bundle.entry.request.method"),
                Deletion::Unclear("Bundle.entry.request.url"),
                Deletion::Unclear("Bundle.entry.request.method"),
            ]
        );
        let root = bench.read(b"{}", &Limits::default()).unwrap();
        assert_eq!(deletions(root), [Deletion::Unclear("Bundle.entry")]);
    }

    #[test]
    fn lines_keep_their_numbers_past_blank_ones_and_lose_their_ends() {
        let found: Vec<_> = lines(7, b"a\r\n\n \t\r\nb\n\0\nc").collect();
        assert_eq!(found, [(7, &b"a"[..]), (10, b"b"), (11, b"\0"), (12, b"c")]);
    }

    #[test]
    fn the_head_of_a_line_shows_no_text_in_the_place_of_a_type_and_takes_no_id_that_is_none() {
        let mut bench = Bench::default();
        for (line, path) in [
            (r#"{"resourceType":"Smith"}"#, "unknown.id"),
            (r#"{"resourceType":"Patient","id":7}"#, "Patient.id"),
            (r#"{"resourceType":"Patient","id":""}"#, "Patient.id"),
            (r#"{"resourceType":"Patient","id":null}"#, "Patient.id"),
            (r#"{"id":"x"}"#, "resourceType"),
        ] {
            let root = bench.read(line.as_bytes(), &Limits::default()).unwrap();
            assert_eq!(Head::of(root).err().map(|refusal| refusal.path).as_deref(), Some(path), "{line}");
        }
    }
}
