//! How a resource leaves the EHR: whole, without its date where the vendor has none, or with the asked elements only.

use std::borrow::Cow;

use super::super::span;
use super::listing::shown;
use super::reply::Refused;

/// Tagged to what is not whole: FHIR R4, `meta.tag`.
const SUBSETTED: &str = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}"#;

/// Elements that one type or another must have; a server gives them unasked.
const MANDATORY: &[&str] = &[
    "resourceType",
    "id",
    "status",
    "intent",
    "code",
    "class",
    "subject",
    "patient",
    "individual",
    "study",
    "vaccineCode",
    "occurrenceDateTime",
    "medicationReference",
    "medicationCodeableConcept",
    "content",
    "target",
    "recorded",
    "agent",
];

/// One of `_elements`: an element of a type, or of every type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elements {
    kind: Option<String>,
    name: String,
}

impl Elements {
    /// `Patient.name,birthDate`.
    pub(super) fn read(list: &str) -> Result<Vec<Self>, Refused> {
        let one = |text: &str| {
            let (kind, name) = text
                .split_once('.')
                .map_or((None, text), |(kind, name)| (Some(kind.to_owned()), name));
            let is_root = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
            is_root.then(|| Self {
                kind,
                name: name.to_owned(),
            })
        };
        let read: Option<_> = list.split(',').map(str::trim).map(one).collect();
        read.ok_or_else(|| Refused::invalid("_elements names elements at the root of resources, such as `Patient.birthDate`"))
    }
}

/// What becomes of every resource on its way out.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) elements: Vec<Elements>,
    pub(super) last_updated: bool,
}

impl Shape {
    pub(super) fn of<'l>(&self, kind: &str, line: &'l str) -> Cow<'l, str> {
        let line = shown(line, self.last_updated);
        let is_for = |element: &&Elements| element.kind.as_ref().is_none_or(|of| of == kind);
        let asked: Vec<&str> = self.elements.iter().filter(is_for).map(|element| element.name.as_str()).collect();
        if asked.is_empty() {
            return line;
        }
        let mut kept = vec![];
        for (name, value) in span::members(&line) {
            if name == "meta" {
                let tags = span::get(value, "tag").map(span::items).unwrap_or_default();
                let tags: Vec<&str> = tags.into_iter().chain([SUBSETTED]).collect();
                kept.push(format!("\"meta\":{}", span::set(value, "tag", &format!("[{}]", tags.join(",")))));
            } else if MANDATORY.contains(&name) || asked.contains(&name) {
                kept.push(format!("\"{name}\":{value}"));
            }
        }
        if !kept.iter().any(|member| member.starts_with("\"meta\"")) {
            kept.push(format!(r#""meta":{{"tag":[{SUBSETTED}]}}"#));
        }
        format!("{{{}}}", kept.join(",")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_has_the_asked_and_the_mandatory_elements_and_says_so() {
        let Ok(elements) = Elements::read("birthDate,Observation.value") else {
            panic!("refused")
        };
        let shape = Shape {
            elements,
            last_updated: false,
        };
        let line = r#"{"resourceType":"Patient","id":"p","meta":{"versionId":"2","lastUpdated":"2026-01-01T00:00:00Z"},"birthDate":"2010-01-01","name":[{}]}"#;
        assert_eq!(
            shape.of("Patient", line),
            format!(r#"{{"resourceType":"Patient","id":"p","meta":{{"versionId":"2","tag":[{SUBSETTED}]}},"birthDate":"2010-01-01"}}"#)
        );
        for odd in ["", "Patient.name.family", "a b"] {
            assert!(Elements::read(odd).is_err(), "{odd}");
        }
    }
}
