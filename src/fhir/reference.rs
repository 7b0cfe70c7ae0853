//! A reference as type and id: `Patient/p1`, `http://ehr/fhir/Patient/p1/_history/2`, `urn:uuid:…`, `#contained`.
//! Knows how a reference is written, not what it points to. FHIR 4.0.1, "References", "Literal References".

use super::types::TypeId;

/// How a reference is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `Patient/p1`, perhaps with a version
    Relative,
    /// `http://ehr/fhir/Patient/p1`, perhaps with a version
    Absolute,
    /// `urn:uuid:…`: the id is what follows
    Uuid,
    /// `urn:oid:…`: the id is what follows
    Oid,
    /// `#c1`: a resource inside this one; an empty id is this resource itself
    Contained,
    /// `Patient?identifier=…`: a search, no id
    Conditional,
}

/// A reference in its parts. Has no `Debug`: an id is a patient's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reference<'a> {
    /// The resource type, where the reference says it.
    pub type_name: Option<&'a str>,
    /// Empty for a search.
    pub id: &'a str,
    pub version: Option<&'a str>,
    pub form: Form,
    /// `Type/id` as it stands in the text, where the reference says both.
    pub key: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// The parts of `text`; `None` if it is no reference of FHIR.
    pub fn parse(text: &'a str) -> Option<Reference<'a>> {
        if let Some(plain) = Self::plain(text) {
            return Some(plain);
        }
        let bare = |id, form| Reference {
            type_name: None,
            id,
            version: None,
            form,
            key: None,
        };
        if let Some(id) = text.strip_prefix('#') {
            return (id.is_empty() || is_id(id)).then_some(bare(id, Form::Contained));
        }
        if let Some(id) = text.strip_prefix("urn:uuid:") {
            return is_id(id).then_some(bare(id, Form::Uuid));
        }
        if let Some(id) = text.strip_prefix("urn:oid:") {
            return is_id(id).then_some(bare(id, Form::Oid));
        }
        if let Some((path, search)) = text.split_once('?') {
            let type_name = path.rsplit('/').next().filter(|name| is_type(name))?;
            return (!search.is_empty()).then_some(Reference {
                type_name: Some(type_name),
                ..bare("", Form::Conditional)
            });
        }
        let absolute = text.starts_with("http://") || text.starts_with("https://");
        let versioned = text.contains('_').then(|| text.split_once("/_history/")).flatten();
        let (text, version) = match versioned {
            Some((text, version)) if is_id(version) => (text, Some(version)),
            Some(_) => return None,
            None => (text, None),
        };
        let (path, id) = text.rsplit_once('/')?;
        let type_name = if absolute { path.rsplit_once('/')?.1 } else { path };
        (is_type(type_name) && is_id(id)).then_some(Reference {
            type_name: Some(type_name),
            id,
            version,
            form: if absolute { Form::Absolute } else { Form::Relative },
            key: text.get(path.len() - type_name.len()..),
        })
    }

    /// `Type/id` and nothing else, as nearly all references are.
    fn plain(text: &'a str) -> Option<Reference<'a>> {
        let slash = text.bytes().position(|byte| byte == b'/')?;
        let (type_name, id) = (&text[..slash], &text[slash + 1..]);
        (is_id(id) && is_type(type_name)).then_some(Reference {
            type_name: Some(type_name),
            id,
            version: None,
            form: Form::Relative,
            key: Some(text),
        })
    }
}

/// FHIR allows 64 characters; some servers write longer ids, and a join needs no limit.
fn is_id(text: &str) -> bool {
    // Without a branch for each byte: ids are short, and nearly all are sound.
    !text.is_empty() && text.bytes().fold(true, |sound, byte| sound & IN_ID[usize::from(byte)])
}

const IN_ID: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let own = byte as u8;
        table[byte] = own.is_ascii_alphanumeric() || matches!(own, b'-' | b'.' | b'_');
        byte += 1;
    }
    table
};

fn is_type(name: &str) -> bool {
    TypeId::of(name).is_some_and(|kind| kind.is_resource() && kind != TypeId::RESOURCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(Form, Option<&str>, &str, Option<&str>)>) {
        let parts = Reference::parse(text).map(|found| (found.form, found.type_name, found.id, found.version));
        assert_eq!(parts, expected, "{text}");
        let key = |(form, kind, id, _): (Form, Option<&str>, &str, _)| {
            matches!(form, Form::Relative | Form::Absolute).then(|| format!("{}/{id}", kind.unwrap_or_default()))
        };
        let found = Reference::parse(text).and_then(|found| found.key.map(str::to_owned));
        assert_eq!(found, expected.and_then(key), "{text}");
    }

    #[test]
    fn every_way_to_write_a_reference_gives_its_parts() {
        check("Patient/p1", Some((Form::Relative, Some("Patient"), "p1", None)));
        check("Patient/p1/_history/2", Some((Form::Relative, Some("Patient"), "p1", Some("2"))));
        check("http://ehr/fhir/Patient/p1", Some((Form::Absolute, Some("Patient"), "p1", None)));
        check(
            "https://ehr:8443/a/b/Patient/p.1-x/_history/v2",
            Some((Form::Absolute, Some("Patient"), "p.1-x", Some("v2"))),
        );
        check("urn:uuid:7d1f-0b", Some((Form::Uuid, None, "7d1f-0b", None)));
        check("urn:oid:1.2.3", Some((Form::Oid, None, "1.2.3", None)));
        check("#c1", Some((Form::Contained, None, "c1", None)));
        check("#", Some((Form::Contained, None, "", None)));
        check(
            "Practitioner?identifier=http://x|1/2",
            Some((Form::Conditional, Some("Practitioner"), "", None)),
        );
        check(
            "http://ehr/fhir/Patient?name=x",
            Some((Form::Conditional, Some("Patient"), "", None)),
        );
    }

    #[test]
    fn what_is_no_reference_has_no_parts() {
        for text in [
            "",
            "p1",
            "Patient",
            "Patient/",
            "/p1",
            "Patient/p1/",
            "Patient/p 1",
            "Patientt/p1",
            "Resource/p1",
            "Quantity/p1",
            "a/Patient/p1",
            "urn:uuid:",
            "Patient/p1/_history/",
            "Patient?",
            "Thing?x=y",
            "http://Patient",
            "http://ehr/fhir/p1",
            "Patient/p1#c",
            "#a b",
            "Patient/é",
        ] {
            check(text, None);
        }
    }
}
