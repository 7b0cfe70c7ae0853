//! A cohort by diagnosis: the subjects of landed Conditions whose code is in a ValueSet. The newest landed version of a
//! Condition counts; one entered in error, or refuted, is no diagnosis. FHIR 4.0.1, "ValueSet", "Condition".

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::page;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind as Json, Node, Tree};
use crate::landing::{Kind, Landing, LandingError};
use crate::platform::secret::sha256;

/// Codes, each with its system.
pub(super) type Codes = HashSet<(String, String)>;

/// The codes of a ValueSet: its expansion, or the concepts that its `compose` lists.
/// # Errors: it is none, or says its codes by a rule that only a terminology server can follow.
pub(super) fn codes(text: &str) -> Result<Codes, &'static str> {
    let document: Value = serde_json::from_str(text).map_err(|_| "it is no JSON")?;
    if document["resourceType"] != "ValueSet" {
        return Err("it is no ValueSet");
    }
    let mut codes = Codes::new();
    if document["expansion"].is_object() {
        expansion(&document["expansion"]["contains"], &mut codes);
    } else {
        if document["compose"]["exclude"].as_array().is_some_and(|list| !list.is_empty()) {
            return Err("it excludes codes: give it with an expansion");
        }
        for include in document["compose"]["include"].as_array().into_iter().flatten() {
            let concepts = include["concept"].as_array().filter(|concepts| !concepts.is_empty());
            let Some(concepts) = concepts else {
                return Err("it names no concepts but a filter, another ValueSet or a whole code system: give it with an expansion");
            };
            for concept in concepts {
                add(&include["system"], &concept["code"], &mut codes);
            }
        }
    }
    if codes.is_empty() {
        return Err("it holds no code");
    }
    Ok(codes)
}

fn expansion(contains: &Value, codes: &mut Codes) {
    for item in contains.as_array().into_iter().flatten() {
        if item["abstract"] != true {
            add(&item["system"], &item["code"], codes);
        }
        expansion(&item["contains"], codes);
    }
}

fn add(system: &Value, code: &Value, codes: &mut Codes) {
    if let (Some(system), Some(code)) = (system.as_str(), code.as_str()) {
        codes.insert((system.to_owned(), code.to_owned()));
    }
}

/// The ids of the patients with such a Condition, among all that was landed, in order.
/// # Errors: a segment cannot be read.
pub(super) fn patients(landing: &Landing, codes: &Codes, base: &str) -> Result<BTreeSet<String>, LandingError> {
    let mut of_condition: HashMap<[u8; 16], String> = HashMap::new();
    let (mut tree, mut frame) = (Tree::new(), Vec::new());
    for segment in landing.all_segments()? {
        if segment.kind != Kind::Resources || !matches!(segment.resource_type.as_str(), "Condition" | "") {
            continue;
        }
        let mut reader = landing.read(&segment)?;
        while reader.next_into(&mut frame)? {
            for line in frame.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
                let Ok(condition) = page::parse(&mut tree, line) else { continue };
                if condition.resource_type() != Some("Condition") {
                    continue;
                }
                let mut key = [0; 16];
                key.copy_from_slice(&sha256(page::id(condition).unwrap_or_default().as_bytes())[..16]);
                // Landed later is newer: a code taken back is no diagnosis any more.
                of_condition.remove(&key);
                let subject = page::subject(condition);
                if let Some(("Patient", id)) = subject.as_deref().and_then(|subject| page::local(subject, base))
                    && is_diagnosis(condition, codes)
                {
                    of_condition.insert(key, id.to_owned());
                }
            }
        }
    }
    Ok(of_condition.into_values().collect())
}

fn is_diagnosis(condition: Node<'_, '_>, codes: &Codes) -> bool {
    let doubtful = condition
        .get(Name::of("verificationStatus"))
        .is_some_and(|status| codings(status).any(|(_, code)| matches!(code.as_str(), "entered-in-error" | "refuted")));
    !doubtful
        && condition
            .get(Name::CODE)
            .is_some_and(|code| codings(code).any(|coding| codes.contains(&coding)))
}

fn codings<'t>(concept: Node<'t, '_>) -> impl Iterator<Item = (String, String)> {
    let codings = concept.get(Name::CODING).filter(|codings| codings.kind() == Json::Array);
    let text = |of: Option<Node<'_, '_>>| of.map(|of| of.text().into_owned()).unwrap_or_default();
    let codings: Vec<Node<'t, '_>> = codings.into_iter().flat_map(|codings| codings.children()).collect();
    let codings = codings
        .into_iter()
        .map(move |coding| (text(coding.get(Name::SYSTEM)), text(coding.get(Name::CODE))));
    codings.collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_from_the_expansion_or_from_listed_concepts_only() {
        let check = |members: &str, expected: Result<usize, &str>| {
            let text = format!(r#"{{"resourceType":"ValueSet",{members}}}"#);
            assert_eq!(codes(&text).map(|codes| codes.len()), expected, "{members}");
        };
        let filter = "it names no concepts but a filter, another ValueSet or a whole code system: give it with an expansion";
        check(
            r#""compose":{"include":[{"system":"s","concept":[{"code":"a"},{"code":"b"}]},{"system":"t","concept":[{"code":"a"}]}]}"#,
            Ok(3),
        );
        check(r#""compose":{"include":[{"system":"s"}]}"#, Err(filter));
        check(
            r#""compose":{"include":[{"system":"s","concept":[{"code":"a"}]}],"exclude":[{"system":"s"}]}"#,
            Err("it excludes codes: give it with an expansion"),
        );
        check(
            r#""expansion":{"contains":[{"system":"s","code":"top","abstract":true,"contains":[{"system":"s","code":"a"}]}]}"#,
            Ok(1),
        );
        check(r#""expansion":{"contains":[]}"#, Err("it holds no code"));
        assert_eq!(codes(r#"{"resourceType":"Patient"}"#), Err("it is no ValueSet"));
    }
}
