//! What definitions of packages ask, rule by rule, with a resource that meets it and one that does not.

use std::sync::Arc;

use super::*;
use crate::fhir::value_set::ValueSets;

const CORE: &str = "http://hl7.org/fhir/StructureDefinition/";

/// A StructureDefinition of the type, called `http://x/<name>`.
fn definition(name: &str, kind: &str, part: &str, elements: &str) -> String {
    let sort = if kind.starts_with(char::is_uppercase) && crate::fhir::types::TypeId::of(kind).is_some_and(|kind| kind.is_resource()) {
        "resource"
    } else {
        "complex-type"
    };
    format!(
        r#"{{"resourceType":"StructureDefinition","url":"http://x/{name}","version":"1","kind":"{sort}","derivation":"constraint","type":"{kind}","baseDefinition":"{CORE}{kind}","{part}":{{"element":[{elements}]}}}}"#
    )
}

fn compiled(definitions: &[String], sets: &[&str], asked: &[&str]) -> (Profiles, Vec<ProfileFault>) {
    let names: Vec<String> = (0..definitions.len()).map(|number| format!("{number}.json")).collect();
    let definitions: Vec<Definition<'_>> = names
        .iter()
        .zip(definitions)
        .map(|(file, json)| Definition { file, json, own: false })
        .collect();
    let sets = sets.iter().map(|set| ("set.json".to_owned(), (*set).to_owned())).collect();
    let (sets, faults) = ValueSets::with_packages(&[], sets);
    assert!(faults.is_empty(), "{faults:?}");
    let options = Options {
        asked: asked.iter().map(|name| format!("http://x/{name}")).collect(),
        base: None,
        ..Options::default()
    };
    Profiles::compile(&definitions, &Arc::new(sets), &options)
}

/// Of one profile of Observation, asked for: each of these members, and the rules that it breaks.
fn check_each(elements: &str, others: &[String], sets: &[&str], cases: &[(&str, &[&str])]) {
    for part in ["differential", "snapshot"] {
        let mut definitions = vec![definition("p", "Observation", part, elements)];
        definitions.extend_from_slice(others);
        let (profiles, found) = compiled(&definitions, sets, &["p"]);
        assert_eq!(found, [], "{part}");
        for (members, expected) in cases {
            let said: Vec<String> = faults(&profiles, &observation(members))
                .into_iter()
                .map(|(path, rule)| format!("{path} {rule}"))
                .collect();
            assert_eq!(said, *expected, "{part}: {members}");
        }
    }
}

const CATEGORY: &str = r#"{"id":"Observation.category","path":"Observation.category","slicing":{"discriminator":[{"type":"KIND","path":"PATH"}],"rules":"RULES","ordered":ORDERED}},
    {"id":"Observation.category:a","path":"Observation.category","sliceName":"a","min":1,"max":"1"},
    {"id":"Observation.category:a.coding.code","path":"Observation.category.coding.code","fixedCode":"a"},
    {"id":"Observation.category:b","path":"Observation.category","sliceName":"b","max":"1"},
    {"id":"Observation.category:b.coding.code","path":"Observation.category.coding.code","fixedCode":"b"},
    {"id":"Observation.category:b.text","path":"Observation.category.text","min":1}"#;

fn category(kind: &str, path: &str, rules: &str, ordered: &str) -> String {
    CATEGORY
        .replace("KIND", kind)
        .replace("PATH", path)
        .replace("RULES", rules)
        .replace("ORDERED", ordered)
}

const A: &str = r#"{"coding":[{"code":"a"}]}"#;
const B: &str = r#"{"coding":[{"code":"b"}],"text":"x"}"#;
const C: &str = r#"{"coding":[{"code":"c"}]}"#;

fn categories(items: &[&str]) -> String {
    format!(r#""category":[{}]"#, items.join(","))
}

#[test]
fn slices_are_told_by_value_and_counted() {
    let missing = "Observation.category slice `category:a`: required";
    check_each(
        &category("value", "coding.code", "open", "false"),
        &[],
        &[],
        &[
            (&categories(&[C, B, A]), &[]),
            (&categories(&[C]), &[missing]),
            (r#""id":"x""#, &[missing]),
            (&categories(&[A, A]), &["Observation.category slice `category:a`: at most 1"]),
            (
                &categories(&[A, r#"{"coding":[{"code":"b"}]}"#]),
                &["Observation.category[1].text required"],
            ),
        ],
    );
}

#[test]
fn a_closed_slicing_refuses_what_fits_none_and_an_open_end_comes_last() {
    check_each(
        &category("value", "coding.code", "closed", "false"),
        &[],
        &[],
        &[
            (&categories(&[B, A]), &[]),
            (&categories(&[A, C]), &["Observation.category[1] fits no slice"]),
        ],
    );
    check_each(
        &category("value", "coding.code", "openAtEnd", "false"),
        &[],
        &[],
        &[
            (&categories(&[A, B, C]), &[]),
            (&categories(&[A, C, B]), &["Observation.category[2] order of slices"]),
        ],
    );
    check_each(
        &category("value", "coding.code", "open", "true"),
        &[],
        &[],
        &[
            (&categories(&[A, C, B]), &[]),
            (&categories(&[B, A]), &["Observation.category[1] order of slices"]),
        ],
    );
}

#[test]
fn a_pattern_around_the_discriminator_says_its_value() {
    let elements = r#"{"id":"Observation.component","path":"Observation.component","slicing":{"discriminator":[{"type":"value","path":"code.coding.code"}],"rules":"open"}},
        {"id":"Observation.component:s","path":"Observation.component","sliceName":"s","min":1},
        {"id":"Observation.component:s.code","path":"Observation.component.code","patternCodeableConcept":{"coding":[{"system":"http://loinc.org","code":"1"}]}},
        {"id":"Observation.component:s.value[x]","path":"Observation.component.value[x]","min":1,"type":[{"code":"Quantity"}]}"#;
    let component = |code: &str, rest: &str| {
        format!(r#""component":[{{"code":{{"coding":[{{"system":"http://loinc.org","code":"{code}"}}]}}{rest}}}]"#)
    };
    check_each(
        elements,
        &[],
        &[],
        &[
            (&component("1", r#","valueQuantity":{"value":1}"#), &[]),
            (&component("1", ""), &["Observation.component[0].value[x] required"]),
            (
                &component("1", r#","valueString":"x""#),
                &["Observation.component[0].valueString type not allowed"],
            ),
            (&component("2", ""), &["Observation.component slice `component:s`: required"]),
        ],
    );
}

#[test]
fn slices_are_told_by_type_existence_and_profile() {
    let typed = r#"{"id":"Observation.value[x]","path":"Observation.value[x]","slicing":{"discriminator":[{"type":"type","path":"$this"}],"rules":"open"}},
        {"id":"Observation.value[x]:valueQuantity","path":"Observation.value[x]","sliceName":"valueQuantity","min":1,"type":[{"code":"Quantity"}]},
        {"id":"Observation.value[x]:valueQuantity.unit","path":"Observation.value[x].unit","min":1}"#;
    let short = r#"{"path":"Observation.valueQuantity","min":1},{"path":"Observation.valueQuantity.unit","min":1}"#;
    for elements in [typed, short] {
        check_each(
            elements,
            &[],
            &[],
            &[
                (r#""valueQuantity":{"unit":"g"}"#, &[]),
                (r#""valueQuantity":{"value":1}"#, &["Observation.valueQuantity.unit required"]),
                (
                    r#""valueString":"x""#,
                    &["Observation.value[x] slice `value[x]:valueQuantity`: required"],
                ),
            ],
        );
    }
    let by = |kind: &str, path: &str, rule: &str| {
        format!(
            r#"{{"id":"Observation.category","path":"Observation.category","slicing":{{"discriminator":[{{"type":"{kind}","path":"{path}"}}],"rules":"open"}}}},
            {{"id":"Observation.category:a","path":"Observation.category","sliceName":"a","min":1,"max":"1"{rule}"#
        )
    };
    let exists = by(
        "exists",
        "text",
        r#"},{"id":"Observation.category:a.text","path":"Observation.category.text","min":1}"#,
    );
    check_each(
        &exists,
        &[],
        &[],
        &[
            (&categories(&[C, B]), &[]),
            (&categories(&[A, C]), &["Observation.category slice `category:a`: required"]),
        ],
    );
    let profile = by(
        "profile",
        "$this",
        r#","type":[{"code":"CodeableConcept","profile":["http://x/told"]}]}"#,
    );
    let told = definition(
        "told",
        "CodeableConcept",
        "differential",
        r#"{"path":"CodeableConcept.text","min":1}"#,
    );
    check_each(
        &profile,
        &[told],
        &[],
        &[
            (&categories(&[C, B]), &[]),
            (&categories(&[A, C]), &["Observation.category slice `category:a`: required"]),
        ],
    );
}

#[test]
fn what_a_reference_leads_to_tells_slices_where_it_can_be_seen() {
    let elements = r#"{"id":"Observation.performer","path":"Observation.performer","slicing":{"discriminator":[{"type":"type","path":"resolve()"}],"rules":"open"}},
        {"id":"Observation.performer:p","path":"Observation.performer","sliceName":"p","min":1,
         "type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/StructureDefinition/Practitioner"]}]}"#;
    let missing = "Observation.performer slice `performer:p`: required";
    check_each(
        elements,
        &[],
        &[],
        &[
            (r#""performer":[{"reference":"Practitioner/1"}]"#, &[]),
            (r#""performer":[{"reference":"Patient/1"}]"#, &[missing]),
            (
                r##""contained":[{"resourceType":"Practitioner","id":"c"}],"performer":[{"reference":"#c"}]"##,
                &[],
            ),
            (
                r##""contained":[{"resourceType":"Patient","id":"c"}],"performer":[{"reference":"#c"}]"##,
                &[missing],
            ),
            // Nobody here can tell.
            (r#""performer":[{"reference":"urn:uuid:1"}]"#, &[]),
            (r#""performer":[{"type":"Practitioner","display":"x"}]"#, &[]),
        ],
    );
}

#[test]
fn a_slice_of_a_slice_and_a_default_slice_have_their_rules() {
    let elements = r#"{"id":"Observation.category","path":"Observation.category","slicing":{"discriminator":[{"type":"value","path":"coding.code"}],"rules":"closed"}},
        {"id":"Observation.category:a","path":"Observation.category","sliceName":"a","slicing":{"discriminator":[{"type":"value","path":"text"}],"rules":"open"}},
        {"id":"Observation.category:a.coding.code","path":"Observation.category.coding.code","fixedCode":"a"},
        {"id":"Observation.category:a/x","path":"Observation.category","sliceName":"a/x","min":1},
        {"id":"Observation.category:a/x.text","path":"Observation.category.text","fixedString":"x"},
        {"id":"Observation.category:@default","path":"Observation.category","sliceName":"@default"},
        {"id":"Observation.category:@default.text","path":"Observation.category.text","min":1}"#;
    check_each(
        elements,
        &[],
        &[],
        &[
            (&categories(&[r#"{"coding":[{"code":"a"}],"text":"x"}"#, B]), &[]),
            (&categories(&[A]), &["Observation.category slice `category:a/x`: required"]),
            (&categories(&[C]), &["Observation.category[0].text required"]),
            (&categories(&[B]), &[]),
        ],
    );
}

mod rules;
