//! What is refused, where and by which rule. Among the inputs are those on which other readers of FHIR hang, panic or
//! change a value: each has its name here.

mod base;
mod implied;
mod packages;
mod profiles;
mod questionnaire;

use super::*;
use crate::fhir::tree::{Limits, Tree};

fn faults(profiles: &Profiles, line: &str) -> Vec<(String, String)> {
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("the test's line is JSON");
    let all = check_all(profiles, root);
    let first = validate(profiles, root).map(|_| ()).err();
    let all: Vec<Refusal> = all.into_iter().map(|issue| issue.refusal).collect();
    assert_eq!(first.as_ref(), all.first(), "validate refuses by the first of all faults");
    all.into_iter().map(|refusal| (refusal.path, refusal.rule.into_owned())).collect()
}

fn check(line: &str, expected: &[(&str, &str)]) {
    check_by(&Profiles::default(), line, expected);
}

fn check_by(profiles: &Profiles, line: &str, expected: &[(&str, &str)]) {
    let found = faults(profiles, line);
    let found: Vec<(&str, &str)> = found.iter().map(|(path, rule)| (path.as_str(), rule.as_str())).collect();
    assert_eq!(found, expected, "{line}");
}

/// An Observation with these members more.
fn observation(members: &str) -> String {
    format!(r#"{{"resourceType":"Observation","status":"final","code":{{"text":"x"}},{members}}}"#)
}

fn patient(members: &str) -> String {
    format!(r#"{{"resourceType":"Patient",{members}}}"#)
}

#[test]
fn a_resource_of_r4_is_conformant() {
    check(
        &observation(r#""valueQuantity":{"value":58.50,"unit":"mg"},"effectiveDateTime":"2024-03-09T08:30:00-05:00""#),
        &[],
    );
    check(
        &patient(r#""birthDate":"2010-04","_birthDate":{"extension":[{"url":"http://x/y","valueString":"z"}]},"multipleBirthInteger":2"#),
        &[],
    );
    check(
        &patient(
            r#""contained":[{"resourceType":"Organization","id":"o","name":"n"}],"managingOrganization":{"reference":"Organization/o"}"#,
        ),
        &[],
    );
}

#[test]
fn an_unknown_array_field_is_refused_and_does_not_hang() {
    check(&observation(r#""foo":[]"#), &[("Observation.foo", "unknown element")]);
    check(
        &observation(r#""component":[{"code":{"text":"x"},"foo":[1]}]"#),
        &[("Observation.component[0].foo", "unknown element")],
    );
}

#[test]
fn an_empty_array_is_refused_and_does_not_panic() {
    check(&patient(r#""name":[]"#), &[("Patient.name", "empty array")]);
    check(&patient(r#""name":[{"given":[]}]"#), &[("Patient.name[0].given", "empty array")]);
}

#[test]
fn an_integer_of_more_than_32_bits_is_refused_and_not_cut() {
    check(
        &observation(r#""valueInteger":99999999999"#),
        &[("Observation.valueInteger", "integer of 32 bits")],
    );
    check(
        &observation(r#""valueInteger":2147483648"#),
        &[("Observation.valueInteger", "integer of 32 bits")],
    );
    check(
        &observation(r#""valueInteger":99999999999999999999999"#),
        &[("Observation.valueInteger", "integer of 32 bits")],
    );
    check(&observation(r#""valueInteger":2147483647"#), &[]);
    check(&observation(r#""valueInteger":-2147483648"#), &[]);
    check(
        &observation(r#""valueInteger":1.0"#),
        &[("Observation.valueInteger", "type integer")],
    );
    check(
        &observation(r#""valueInteger":1e2"#),
        &[("Observation.valueInteger", "type integer")],
    );
}

#[test]
fn a_decimal_in_quotes_is_refused_and_not_converted() {
    check(
        &observation(r#""valueQuantity":{"value":"58.5"}"#),
        &[("Observation.valueQuantity.value", "type decimal")],
    );
    check(
        &observation(r#""component":[{"code":{"text":"a"}},{"code":{"text":"b"},"valueQuantity":{"value":"1"}}]"#),
        &[("Observation.component[1].valueQuantity.value", "type decimal")],
    );
}

#[test]
fn a_boolean_in_quotes_is_refused_and_not_converted() {
    check(&patient(r#""active":"true""#), &[("Patient.active", "type boolean")]);
    check(&patient(r#""active":1"#), &[("Patient.active", "type boolean")]);
}

#[test]
fn a_date_that_does_not_exist_is_refused() {
    check(&patient(r#""birthDate":"2020-13-45""#), &[("Patient.birthDate", "date")]);
    check(&patient(r#""birthDate":"2023-02-29""#), &[("Patient.birthDate", "date")]);
    check(&patient(r#""birthDate":"2024-01-01T00:00:00Z""#), &[("Patient.birthDate", "date")]);
    check(&patient(r#""birthDate":"2024-01-\u0030\u0031""#), &[("Patient.birthDate", "date")]);
    check(
        &observation(r#""effectiveDateTime":"2024-03-09T08:30""#),
        &[("Observation.effectiveDateTime", "dateTime")],
    );
    check(&observation(r#""issued":"2024-03-09""#), &[("Observation.issued", "instant")]);
    check(&observation(r#""valueTime":"24:00:00""#), &[("Observation.valueTime", "time")]);
    check(
        &patient(r#""extension":[{"url":"http://x","valueDate":"2024-02-30"}]"#),
        &[("Patient.extension[0].valueDate", "date")],
    );
}

#[test]
fn a_member_that_stands_twice_never_gets_here() {
    let line = patient(r#""active":true,"active":false"#);
    let error = Tree::new()
        .parse(line.as_bytes(), &Limits::default())
        .map(|_| ())
        .map_err(|error| error.rule);
    assert_eq!(error, Err("duplicate member"));
}

#[test]
fn one_where_many_belong_and_many_where_one_belongs_are_refused() {
    check(&patient(r#""name":{"family":"x"}"#), &[("Patient.name", "many, not one")]);
    check(&patient(r#""gender":["male"]"#), &[("Patient.gender", "one, not many")]);
    check(
        &observation(r#""subject":[{"reference":"Patient/1"}]"#),
        &[("Observation.subject", "one, not many")],
    );
    check(&patient(r#""name":[[{"family":"x"}]]"#), &[("Patient.name[0]", "type object")]);
}

#[test]
fn an_object_where_a_text_belongs_and_a_text_where_an_object_belongs_are_refused() {
    check(&patient(r#""gender":{"code":"male"}"#), &[("Patient.gender", "type string")]);
    check(&patient(r#""gender":7"#), &[("Patient.gender", "type string")]);
    check(&observation(r#""subject":"Patient/1""#), &[("Observation.subject", "type object")]);
    check(&patient(r#""contained":["x"]"#), &[("Patient.contained[0]", "type object")]);
}

#[test]
fn nothing_may_be_empty() {
    check(&patient(r#""gender":"""#), &[("Patient.gender", "empty string")]);
    check(&patient(r#""maritalStatus":{}"#), &[("Patient.maritalStatus", "empty object")]);
    check(&patient(r#""gender":null"#), &[("Patient.gender", "null")]);
    check(&patient(r#""_gender":{}"#), &[("Patient._gender", "empty object")]);
}

#[test]
fn null_stands_only_in_an_array_beside_its_companion() {
    let name = |members: &str| patient(&format!(r#""name":[{{{members}}}]"#));
    check(&name(r#""given":["a",null],"_given":[null,{"id":"x"}]"#), &[]);
    check(
        &name(r#""given":["a",null],"_given":[{"id":"x"}]"#),
        &[("Patient.name[0].given[1]", "null")],
    );
    check(&name(r#""given":["a",null]"#), &[("Patient.name[0].given[1]", "null")]);
    check(
        &name(r#""given":["a"],"_given":[null]"#),
        &[("Patient.name[0]._given", "empty array")],
    );
    check(&patient(r#""name":[null]"#), &[("Patient.name[0]", "null")]);
    check(
        &patient(r#""name":[null],"_name":[{"id":"x"}]"#),
        &[("Patient.name[0]", "null"), ("Patient._name", "unknown element")],
    );
}

#[test]
fn a_companion_belongs_to_a_primitive_and_holds_only_id_and_extensions() {
    check(
        &patient(r#""_maritalStatus":{"id":"x"}"#),
        &[("Patient._maritalStatus", "unknown element")],
    );
    check(
        &patient(r#""_gender":{"value":"x"}"#),
        &[("Patient._gender.value", "unknown element")],
    );
    check(&patient(r#""_gender":"x""#), &[("Patient._gender", "type object")]);
    check(&patient(r#""_gender":[{"id":"x"}]"#), &[("Patient._gender", "one, not many")]);
    check(
        &patient(r#""_gender":{"extension":[{"valueCode":"x"}]}"#),
        &[("Patient._gender.extension[0].url", "required")],
    );
}

#[test]
fn a_choice_is_made_once() {
    check(
        &observation(r#""valueString":"a","valueInteger":1"#),
        &[("Observation.valueInteger", "more than one of a choice")],
    );
    check(&observation(r#""valueString":"a","_valueString":{"id":"x"}"#), &[]);
    check(
        &observation(r#""valueString":"a","_valueInteger":{"id":"x"}"#),
        &[("Observation._valueInteger", "more than one of a choice")],
    );
    check(&observation(r#""valueString":"a","effectiveDateTime":"2024""#), &[]);
    check(
        &observation(r#""valueAge":{"value":1}"#),
        &[("Observation.valueAge", "unknown element")],
    );
}

#[test]
fn ids_codes_and_uris_have_their_characters() {
    check(&patient(r#""id":"a.B-9""#), &[]);
    check(&patient(&format!(r#""id":"{}""#, "x".repeat(64))), &[]);
    check(&patient(&format!(r#""id":"{}""#, "x".repeat(65))), &[("Patient.id", "id")]);
    check(&patient(r#""id":"a b""#), &[("Patient.id", "id")]);
    check(&patient(r#""id":"a\u0062""#), &[("Patient.id", "id")]);
    check(&patient(r#""implicitRules":"http://x y""#), &[("Patient.implicitRules", "uri")]);
    check(
        &patient(r#""extension":[{"url":"http://x","valueCode":" a"}]"#),
        &[("Patient.extension[0].valueCode", "code")],
    );
}

#[test]
fn counts_are_not_negative_and_ranks_are_positive() {
    check(&patient(r#""telecom":[{"rank":0}]"#), &[("Patient.telecom[0].rank", "positive")]);
    check(&patient(r#""telecom":[{"rank":1}]"#), &[]);
    check(
        r#"{"resourceType":"Bundle","type":"searchset","total":-1}"#,
        &[("Bundle.total", "not negative")],
    );
}

#[test]
fn a_resource_says_a_type_of_r4() {
    check(r#"{"resourceType":"Patientt"}"#, &[("?.resourceType", "resource type")]);
    check(r#"{"resourceType":"Quantity","value":1}"#, &[("?.resourceType", "resource type")]);
    check(r#"{"resourceType":"Resource"}"#, &[("Resource.resourceType", "resource type")]);
    check(r#"{"id":"x"}"#, &[("?.resourceType", "resource type")]);
    check(r#"[{"resourceType":"Patient"}]"#, &[("?", "type object")]);
    check(r#""Patient""#, &[("?", "type object")]);
    check(
        &patient(r#""maritalStatus":{"resourceType":"CodeableConcept"}"#),
        &[("Patient.maritalStatus.resourceType", "unknown element")],
    );
}

#[test]
fn contained_resources_are_checked_too() {
    check(
        &patient(r#""contained":[{"resourceType":"Organization","id":"o","active":"yes"}]"#),
        &[("Patient.contained[0].active", "type boolean")],
    );
    check(
        &patient(r#""contained":[{"id":"o"}]"#),
        &[("Patient.contained[0].resourceType", "resource type")],
    );
}

#[test]
fn a_resource_in_a_bundle_is_checked_with_paths_of_its_own() {
    let line = r#"{"resourceType":"Bundle","type":"batch","entry":[{"fullUrl":7,"resource":{"resourceType":"Patient","active":"yes"}}]}"#;
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
    let resource = crate::fhir::ndjson::resources(root).next().expect("a resource");
    let refusal = validate(&Profiles::default(), resource).map(|_| ()).expect_err("a wrong type");
    assert_eq!(refusal.to_string(), "validate: type boolean at `Patient.active`");
    let paths: Vec<_> = check_all(&Profiles::default(), root)
        .into_iter()
        .map(|issue| issue.refusal.path)
        .collect();
    assert_eq!(paths, ["Bundle.entry[0].fullUrl", "Bundle.entry[0].resource.active"]);
    let paths: Vec<_> = check_envelope(&Profiles::default(), root)
        .into_iter()
        .map(|issue| issue.refusal.path)
        .collect();
    assert_eq!(paths, ["Bundle.entry[0].fullUrl"]);
}

#[test]
fn an_unknown_modifier_extension_refuses_its_resource_wherever_it_stands() {
    let rule = "unknown modifierExtension";
    let line = patient(r#""modifierExtension":[{"url":"http://x/m","valueBoolean":true}]"#);
    check(&line, &[("Patient.modifierExtension[0]", rule)]);
    let allowed = Profiles::default().allow_modifier("http://x/m");
    check_by(&allowed, &line, &[]);
    let other = patient(r#""modifierExtension":[{"url":"http://x/m","valueBoolean":true},{"url":"http://x/n","valueBoolean":true}]"#);
    check_by(&allowed, &other, &[("Patient.modifierExtension[1]", rule)]);
    let deep =
        patient(r#""contained":[{"resourceType":"Patient","contact":[{"modifierExtension":[{"url":"http://x/n","valueCode":"c"}]}]}]"#);
    check_by(&allowed, &deep, &[("Patient.contained[0].contact[0].modifierExtension[0]", rule)]);
    let inside = patient(r#""extension":[{"url":"u","modifierExtension":[{"url":"http://x/m","valueBoolean":true}]}]"#);
    check_by(&allowed, &inside, &[("Patient.extension[0].modifierExtension", "unknown element")]);
}

#[test]
fn a_hundred_faults_are_enough() {
    let members: Vec<String> = (0..200).map(|number| format!(r#""n{number}":1"#)).collect();
    assert_eq!(faults(&Profiles::default(), &patient(&members.join(","))).len(), 100);
}

#[test]
fn no_fault_shows_a_value() {
    let line = patient(
        r#""birthDate":"CANARY","Mr CANARY 1980":1,"name":[{"family":["CANARY"]}],"active":"CANARY","modifierExtension":[{"url":"CANARY"}]"#,
    );
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
    let found = check_all(&Profiles::default(), root);
    assert_eq!(found.len(), 5);
    assert!(!format!("{found:?} {root:?}").contains("CANARY"));
}

/// The profiles of definitions as a package brings them.
fn packaged(definitions: &[impl AsRef<str>], options: &Options) -> Profiles {
    let definitions: Vec<Definition<'_>> = definitions
        .iter()
        .map(|json| Definition {
            file: "d.json",
            json: json.as_ref(),
            own: false,
        })
        .collect();
    let (profiles, faults) = Profiles::compile(&definitions, &std::sync::Arc::default(), options);
    assert_eq!(faults, []);
    profiles
}
