//! Reads one answer of a search: its entries by mode, its `next` link, its `total`; and what the crawl must know of one resource.
//! FHIR 4.0.1, "Bundle", "Search: Result Bundle". Knows no server and no disk.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::fhir::name::Name;
use crate::fhir::reference::{Form, Reference};
use crate::fhir::tree::{Kind, Limits, Node, Tree};

/// Why an entry is in the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Match,
    Include,
    Outcome,
}

/// One page of a search.
pub(super) struct Page<'t, 'a> {
    pub(super) entries: Vec<(Mode, Node<'t, 'a>)>,
    pub(super) next: Option<Cow<'a, str>>,
    pub(super) total: Option<u64>,
}

/// The page in `text`, of a search for `name`; of `$everything` when that is `None`.
/// # Errors: it is none; in words of ours.
pub(super) fn read<'t, 'a>(tree: &'t mut Tree, text: &'a [u8], name: Option<&str>) -> Result<Page<'t, 'a>, &'static str> {
    let root = parse(tree, text)?;
    match root.resource_type() {
        Some("Bundle") => {}
        Some("OperationOutcome") => return Err("it is an OperationOutcome instead of a Bundle"),
        _ => return Err("it is no Bundle"),
    }
    let list = |of: &str| root.get(Name::of(of)).filter(|list| list.kind() == Kind::Array);
    let entries = list("entry").into_iter().flat_map(|entries| entries.children());
    let entries = entries.filter_map(|entry| {
        let resource = entry.get(Name::RESOURCE)?;
        let of_type = resource.resource_type();
        let mode = entry.get(Name::of("search")).and_then(|search| search.get(Name::of("mode")));
        let mode = match mode.map(Node::raw) {
            // Whatever its mode, an outcome is no data; unless outcomes were searched for, which nobody does.
            _ if of_type == Some("OperationOutcome") => Mode::Outcome,
            Some("include") => Mode::Include,
            Some("outcome") => Mode::Outcome,
            _ if name.is_none() || of_type == name => Mode::Match,
            _ => Mode::Include,
        };
        Some((mode, resource))
    });
    let mut links = list("link").into_iter().flat_map(|links| links.children());
    let next = links.find(|link| link.get(Name::of("relation")).is_some_and(|relation| relation.raw() == "next"));
    Ok(Page {
        entries: entries.collect(),
        next: next.and_then(|link| link.get(Name::URL)).map(Node::text),
        total: root.get(Name::of("total")).and_then(|total| total.raw().parse().ok()),
    })
}

/// The resource in `text`.
/// # Errors: it is no JSON, or no resource.
pub(super) fn parse<'t, 'a>(tree: &'t mut Tree, text: &'a [u8]) -> Result<Node<'t, 'a>, &'static str> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let limits = Limits {
        line_bytes: usize::MAX,
        ..Limits::default()
    };
    let root = tree.parse(text, &limits).map_err(|_| "it is no JSON")?;
    root.resource_type().map(|_| root).ok_or("it is no FHIR resource")
}

/// `id`, when the resource has one.
pub(super) fn id<'a>(resource: Node<'_, 'a>) -> Option<Cow<'a, str>> {
    resource.get(Name::ID).filter(|id| id.kind() == Kind::String).map(Node::text)
}

/// `meta.versionId`.
pub(super) fn version<'a>(resource: Node<'_, 'a>) -> Option<&'a str> {
    resource.get(Name::of("meta"))?.get(Name::of("versionId")).map(Node::raw)
}

/// `meta.lastUpdated`.
pub(super) fn changed(resource: Node<'_, '_>) -> Option<Timestamp> {
    resource.get(Name::of("meta"))?.get(Name::of("lastUpdated"))?.raw().parse().ok()
}

/// Where a merged patient goes on: the reference of its first `link` of type `replaced-by`, empty when that names none.
/// FHIR 4.0.1, "Patient", "Linking Patients".
pub(super) fn replaced_by<'a>(patient: Node<'_, 'a>) -> Option<Cow<'a, str>> {
    let links = patient.get(Name::of("link")).filter(|links| links.kind() == Kind::Array)?;
    let link = links
        .children()
        .find(|link| link.get(Name::of("type")).is_some_and(|kind| kind.raw() == "replaced-by"))?;
    let other = link.get(Name::of("other")).and_then(|other| other.get(Name::REFERENCE));
    Some(other.map(Node::text).unwrap_or_default())
}

/// The `patient` or `subject` of any resource.
pub(super) fn subject<'a>(resource: Node<'_, 'a>) -> Option<Cow<'a, str>> {
    let of = |name: &str| resource.get(Name::of(name))?.get(Name::REFERENCE).map(Node::text);
    ["patient", "subject", "beneficiary", "individual"].into_iter().find_map(of)
}

/// Type and id of a reference that stays at the server under `base`: relative, or absolute and below it.
/// Another server's, contained, logical and conditional references are none of ours.
pub(super) fn local<'r>(reference: &'r str, base: &str) -> Option<(&'r str, &'r str)> {
    let reference = match reference.strip_prefix(base) {
        Some(rest) => rest.trim_start_matches('/'),
        None => reference,
    };
    let parts = Reference::parse(reference).filter(|parts| parts.form == Form::Relative)?;
    Some((parts.type_name?, parts.id))
}

/// Calls `found` with each reference in `resource` and the name of the element that holds it, contained resources included.
pub(super) fn references(resource: Node<'_, '_>, found: &mut impl FnMut(Name, &str)) {
    fn visit(node: Node<'_, '_>, holder: Name, found: &mut impl FnMut(Name, &str)) {
        for child in node.children() {
            // Items of a list have no name: the list's is theirs.
            let name = if child.name() == Name::NONE { holder } else { child.name() };
            match child.kind() {
                Kind::String if child.name() == Name::REFERENCE => found(holder, &child.text()),
                Kind::Array | Kind::Object => visit(child, name, found),
                _ => {}
            }
        }
    }
    visit(resource, Name::NONE, found);
}

/// Calls `found` with each address of an attachment's content (`content.attachment.url`).
pub(super) fn attachments(document: Node<'_, '_>, found: &mut impl FnMut(&str)) {
    let contents = document.get(Name::of("content")).filter(|contents| contents.kind() == Kind::Array);
    for content in contents.into_iter().flat_map(|contents| contents.children()) {
        let url = content.get(Name::of("attachment")).and_then(|attachment| attachment.get(Name::URL));
        if let Some(url) = url.filter(|url| url.kind() == Kind::String) {
            found(&url.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://ehr.test/fhir";

    #[test]
    fn entries_are_told_by_mode_and_by_type_where_there_is_none() {
        let text = br#"{"resourceType":"Bundle","total":2,"link":[{"relation":"self","url":"x"},{"relation":"next","url":"?p=2"}],"entry":[
            {"resource":{"resourceType":"Goal","id":"1"}},
            {"resource":{"resourceType":"Goal","id":"2"},"search":{"mode":"match"}},
            {"resource":{"resourceType":"Medication","id":"3"}},
            {"resource":{"resourceType":"Goal","id":"4"},"search":{"mode":"include"}},
            {"resource":{"resourceType":"OperationOutcome"},"search":{"mode":"match"}},
            {"fullUrl":"no resource"}]}"#;
        let mut tree = Tree::new();
        let page = read(&mut tree, text, Some("Goal")).unwrap_or_else(|why| panic!("{why}"));
        let modes: Vec<Mode> = page.entries.iter().map(|(mode, _)| *mode).collect();
        assert_eq!(modes, [Mode::Match, Mode::Match, Mode::Include, Mode::Include, Mode::Outcome]);
        assert_eq!((page.next.as_deref(), page.total), (Some("?p=2"), Some(2)));
        for (text, why) in [
            (&b"<html>"[..], "it is no JSON"),
            (b"{}", "it is no FHIR resource"),
            (br#"{"resourceType":"Patient"}"#, "it is no Bundle"),
            (
                br#"{"resourceType":"OperationOutcome"}"#,
                "it is an OperationOutcome instead of a Bundle",
            ),
        ] {
            assert_eq!(read(&mut tree, text, None).err(), Some(why));
        }
    }

    #[test]
    fn a_reference_is_ours_only_at_our_base() {
        for (reference, expected) in [
            ("Patient/p1", Some(("Patient", "p1"))),
            ("Patient/p1/_history/2", Some(("Patient", "p1"))),
            ("https://ehr.test/fhir/Patient/p1", Some(("Patient", "p1"))),
            ("https://evil.test/fhir/Patient/p1", None),
            ("https://ehr.test/fhirx/Patient/p1", None),
            ("https://ehr.test/fhir.evil.test/Patient/p1", None),
            ("#p1", None),
            ("urn:uuid:7d1f-0b", None),
            ("Patient?identifier=x", None),
        ] {
            assert_eq!(local(reference, BASE), expected, "{reference}");
        }
    }

    #[test]
    fn references_come_with_the_element_that_holds_them() {
        let text = br#"{"resourceType":"Observation","subject":{"reference":"Patient/p"},"hasMember":[{"reference":"Observation/o"}],
            "contained":[{"resourceType":"PractitionerRole","practitioner":{"reference":"Practitioner/q"}}],
            "extension":[{"url":"u","valueReference":{"reference":"Organization/r"}}]}"#;
        let mut tree = Tree::new();
        let root = parse(&mut tree, text).unwrap_or_else(|why| panic!("{why}"));
        let mut found = Vec::new();
        references(root, &mut |name, reference| found.push(format!("{}={reference}", name.as_str())));
        assert_eq!(
            found,
            [
                "subject=Patient/p",
                "hasMember=Observation/o",
                "practitioner=Practitioner/q",
                "valueReference=Organization/r"
            ]
        );
        assert_eq!(subject(root).as_deref(), Some("Patient/p"));
    }

    #[test]
    fn a_merged_patient_names_where_it_goes_on() {
        let check = |link: &str, expected: Option<&str>| {
            let text = format!(r#"{{"resourceType":"Patient","id":"a","link":[{link}]}}"#);
            let mut tree = Tree::new();
            let root = parse(&mut tree, text.as_bytes()).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(replaced_by(root).as_deref(), expected);
        };
        check(r#"{"type":"replaces","other":{"reference":"Patient/b"}}"#, None);
        check(
            r#"{"type":"seealso"},{"type":"replaced-by","other":{"reference":"Patient/b"}}"#,
            Some("Patient/b"),
        );
        check(r#"{"type":"replaced-by","other":{"display":"x"}}"#, Some(""));
        check("", None);
    }
}
