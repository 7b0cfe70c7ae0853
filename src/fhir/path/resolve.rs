//! `resolve()`: what a reference leads to within the resource at hand, a contained resource or another entry of the same Bundle.
//! Nothing is ever fetched: a reference that leads out gives nothing.
//! Basis: FHIR R4, "Contained Resources" and "Resolving references in Bundles".

use super::value::{Element, Item};
use crate::fhir::name::Name;
use crate::fhir::reference::{Form, Reference};
use crate::fhir::tree::{Kind, Node};

/// The resource that `item`, a Reference or the text of one, leads to within `root`; and how many nodes were looked at.
pub(super) fn resolved<'t, 'a>(item: &Item<'t, 'a>, root: Node<'t, 'a>) -> (Option<Item<'t, 'a>>, usize) {
    let Item::Element(element) = item else { return (None, 0) };
    let Some(node) = element.value_node() else { return (None, 0) };
    let text = match node.kind() {
        Kind::String => Some(node),
        _ => node.get(Name::REFERENCE).filter(|text| text.kind() == Kind::String),
    };
    let Some(text) = text.map(Node::text) else { return (None, 0) };
    let Some(reference) = Reference::parse(&text) else {
        return (None, 0);
    };
    let mut seen = 0;
    let entries = entries(root);
    let own = entries.iter().find(|entry| holds(**entry, node));
    let found = match reference.form {
        Form::Contained => {
            let holder = own.and_then(|entry| entry.get(Name::RESOURCE)).unwrap_or(root);
            match reference.id {
                "" => Some(holder),
                id => contained(holder)
                    .inspect(|_| seen += 1)
                    .find(|resource| is(*resource, Name::ID, id)),
            }
        }
        Form::Conditional => None,
        _ => {
            seen += entries.len();
            let named = entries.iter().find(|entry| leads_to(**entry, &text, &reference, own.copied()));
            named.and_then(|entry| entry.get(Name::RESOURCE))
        }
    };
    (found.map(|resource| Item::Element(Element::resource(resource))), seen)
}

/// The entries of a Bundle that have a resource.
fn entries<'t, 'a>(root: Node<'t, 'a>) -> Vec<Node<'t, 'a>> {
    let list = match root.resource_type() {
        Some("Bundle") => root.get(Name::ENTRY).filter(|list| list.kind() == Kind::Array),
        _ => None,
    };
    let entries = list.into_iter().flat_map(Node::children);
    entries
        .filter(|entry| entry.get(Name::RESOURCE).is_some_and(|resource| resource.kind() == Kind::Object))
        .collect()
}

fn contained<'t, 'a>(holder: Node<'t, 'a>) -> impl Iterator<Item = Node<'t, 'a>> {
    let list = holder.get(Name::CONTAINED).filter(|list| list.kind() == Kind::Array);
    list.into_iter().flat_map(Node::children)
}

/// `inner` stands within `outer`.
fn holds(outer: Node<'_, '_>, inner: Node<'_, '_>) -> bool {
    let (from, at) = (outer.offset(), inner.offset());
    from <= at && at < from + outer.raw().len()
}

fn is(node: Node<'_, '_>, name: Name, text: &str) -> bool {
    node.get(name)
        .is_some_and(|value| value.kind() == Kind::String && value.text() == text)
}

/// By its `fullUrl`; a relative reference on the base of the entry it stands in; without urls by type and id.
fn leads_to(entry: Node<'_, '_>, text: &str, reference: &Reference<'_>, own: Option<Node<'_, '_>>) -> bool {
    let Some(resource) = entry.get(Name::RESOURCE) else { return false };
    if let Some(version) = reference.version {
        let meta = resource.get(Name::of("meta"));
        if !meta.is_some_and(|meta| is(meta, Name::of("versionId"), version)) {
            return false;
        }
    }
    let text = text.split("/_history/").next().unwrap_or(text);
    let full = |entry: Node<'_, '_>| entry.get(Name::of("fullUrl")).map(|url| url.text().into_owned());
    let url = full(entry);
    if url.as_deref() == Some(text) {
        return true;
    }
    if reference.form != Form::Relative || resource.resource_type() != reference.type_name || !is(resource, Name::ID, reference.id) {
        return false;
    }
    // Entries of two servers may have one type and id.
    let base = |url: &str| url.rsplitn(3, '/').nth(2).map(str::to_owned);
    match (own.and_then(full).as_deref().and_then(base), url.as_deref().and_then(base)) {
        (Some(here), Some(there)) => here == there,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Names, Path, Start};
    use super::*;
    use crate::fhir::tree::{Limits, Tree};
    use crate::fhir::types::TypeId;

    const BUNDLE: &str = r##"{"resourceType":"Bundle","entry":[
        {"fullUrl":"http://one/Observation/o","resource":{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p"},
          "contained":[{"resourceType":"Device","id":"c","distinctIdentifier":"mine"}],"device":{"reference":"#c"},
          "performer":[{"reference":"urn:uuid:1"},{"reference":"http://two/Patient/p"},{"reference":"Practitioner/none"}],
          "hasMember":[{"reference":"#"}],"focus":[{"reference":"Patient/p/_history/2"},{"reference":"Patient/p/_history/3"}]}},
        {"fullUrl":"http://two/Patient/p","resource":{"resourceType":"Patient","id":"p","gender":"male"}},
        {"fullUrl":"http://one/Patient/p","resource":{"resourceType":"Patient","id":"p","gender":"female","meta":{"versionId":"2"}}},
        {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Practitioner","id":"x","gender":"other"}},
        {"resource":{"resourceType":"Observation","id":"o2","device":{"reference":"#c"}}}]}"##;

    fn answer(expression: &str) -> Vec<String> {
        let mut tree = Tree::new();
        let root = tree.parse(BUNDLE.as_bytes(), &Limits::default()).expect("JSON");
        let path = Path::compile(expression, &Names::default(), &Start::default()).expect("an expression");
        let found = path.evaluate(&Context::new(root, &[]), Item::Element(Element::resource(root)));
        let found = found.expect("an answer");
        found
            .as_slice()
            .iter()
            .filter_map(Item::to_text)
            .map(|text| text.to_string())
            .collect()
    }

    #[test]
    fn a_reference_leads_to_what_is_contained_or_stands_in_the_same_bundle_and_nowhere_else() {
        for (expression, expected) in [
            ("entry[0].resource.device.resolve().distinctIdentifier", vec!["mine"]),
            ("entry[4].resource.device.resolve().distinctIdentifier", vec![]),
            ("entry[0].resource.subject.resolve().gender", vec!["female"]),
            ("entry[0].resource.subject.reference.resolve().gender", vec!["female"]),
            ("entry[0].resource.performer.resolve().gender", vec!["other", "male"]),
            ("entry[0].resource.performer.resolve().ofType(Patient).gender", vec!["male"]),
            ("entry[0].resource.hasMember.resolve().id", vec!["o"]),
            ("entry[0].resource.focus.resolve().gender", vec!["female"]),
        ] {
            assert_eq!(answer(expression), expected, "{expression}");
        }
    }

    #[test]
    fn a_mapping_says_which_type_it_means() {
        let compile = |expression: &str| {
            let start = Start {
                focus: TypeId::of("MedicationRequest").map(|kind| vec![kind]),
                resource: TypeId::of("MedicationRequest").map(|kind| vec![kind]),
                strict: true,
            };
            let names = Names {
                pure: true,
                ..Names::default()
            };
            Path::compile(expression, &names, &start).map_err(|error| error.message)
        };
        assert!(compile("medication.ofType(Reference).resolve().ofType(Medication).code").is_ok());
        assert!(compile("medication.ofType(Reference).resolve().exists()").is_ok());
        assert!(compile("medication.ofType(Reference).resolve().where($this is Medication).exists()").is_ok());
        let vague = compile("medication.ofType(Reference).resolve().code").expect_err("vague");
        assert!(vague.contains("`resolve().ofType("), "{vague}");
        let wrong = compile("medication.ofType(Reference).resolve().ofType(Medication).colour").expect_err("wrong");
        assert!(wrong.contains("no element `colour`"), "{wrong}");
    }
}
