//! Keys that join rows: `getResourceKey()` is `Type/id`, `getReferenceKey(Type)` the same of what a reference names.
//! SQL on FHIR v2, "Required additional functions".

use std::borrow::Cow;

use super::value::Text;
use crate::fhir::name::Name;
use crate::fhir::reference::{Form, Reference};
use crate::fhir::tree::Node;

/// `Type/id` of a resource; `None` without an id.
pub fn resource_key<'t, 'a>(resource: Node<'_, 'a>) -> Option<Text<'t, 'a>> {
    let id = resource.get(Name::ID)?.text();
    let type_name = resource.resource_type()?;
    let mut key = String::with_capacity(type_name.len() + 1 + id.len());
    key.push_str(type_name);
    key.push('/');
    key.push_str(&id);
    Some(Text::Line(Cow::Owned(key)))
}

/// `Type/id` of what a Reference element (or the text of a reference) names: relative, absolute with or without a
/// version, or `urn:uuid:`. `None` for another type than `asked`, for contained, logical and conditional references.
pub fn reference_key<'t, 'a>(reference: Node<'_, 'a>, asked: Option<&str>) -> Option<Text<'t, 'a>> {
    let text = match reference.get(Name::REFERENCE) {
        Some(text) => text,
        None if reference.kind() == crate::fhir::tree::Kind::String => reference,
        None => return None,
    };
    let declared = || reference.get(Name::of("type")).map(Node::text);
    match text.text() {
        Cow::Borrowed(text) => key_of(text, &declared, asked).map(Text::Line),
        Cow::Owned(text) => key_of(&text, &declared, asked).map(|key| Text::Line(Cow::Owned(key.into_owned()))),
    }
}

/// `declared` is what the element says of its target's type, asked for only where the reference does not say it.
fn key_of<'r, 'd>(reference: &'r str, declared: &dyn Fn() -> Option<Cow<'d, str>>, asked: Option<&str>) -> Option<Cow<'r, str>> {
    let found = Reference::parse(reference)?;
    match found.form {
        Form::Relative | Form::Absolute => found
            .key
            .filter(|_| asked.is_none_or(|asked| found.type_name == Some(asked)))
            .map(Cow::Borrowed),
        // Such a reference does not say the type: the caller asked for one, or the element declares it.
        Form::Uuid | Form::Oid => {
            let declared = declared();
            let type_name = asked.or(declared.as_deref())?;
            let fits = declared.as_deref().is_none_or(|declared| declared == type_name);
            fits.then(|| Cow::Owned(format!("{type_name}/{}", found.id)))
        }
        Form::Contained | Form::Conditional => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_gives_the_key_of_its_target_however_it_is_written() {
        for (reference, asked, key) in [
            ("Patient/p1", None, Some("Patient/p1")),
            ("Patient/p1", Some("Patient"), Some("Patient/p1")),
            ("Patient/p1", Some("Group"), None),
            ("http://ehr.example/fhir/Patient/p1", None, Some("Patient/p1")),
            ("https://ehr.example/Patient/p1/_history/3", Some("Patient"), Some("Patient/p1")),
            (
                "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
                Some("Patient"),
                Some("Patient/0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"),
            ),
            ("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", None, None),
            ("#contained", None, None),
            ("Patient?identifier=x|y", None, None),
            ("Patient/", None, None),
            ("p1", None, None),
        ] {
            assert_eq!(key_of(reference, &|| None, asked).as_deref(), key, "{reference}");
        }
        assert_eq!(key_of("urn:uuid:1", &|| Some("Patient".into()), None).as_deref(), Some("Patient/1"));
        assert_eq!(key_of("urn:uuid:1", &|| Some("Group".into()), Some("Patient")), None);
    }
}
