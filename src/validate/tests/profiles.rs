//! What a network's profiles require, and what is said of a profile that cannot be used.

use super::*;

fn profile(elements: &str) -> Result<Profiles, Vec<ProfileFault>> {
    let json = format!(
        r#"{{"resourceType":"StructureDefinition","kind":"resource","derivation":"constraint","type":"Observation","differential":{{"element":[{elements}]}}}}"#
    );
    Profiles::load(&[("obs.json", json)])
}

#[test]
fn a_profile_requires_elements_at_every_depth() {
    let profiles = profile(
        r#"{"path":"Observation"},{"path":"Observation.subject","min":1},{"path":"Observation.value[x]","min":1},
           {"path":"Observation.component.code","min":1},{"path":"Observation.note","max":"0"},{"path":"Observation.category","min":2,"max":"3"}"#,
    )
    .expect("a good profile");
    let category = r#""category":[{"text":"a"},{"text":"b"}]"#;
    let good = format!(r#""subject":{{"reference":"Patient/1"}},"valueString":"a",{category}"#);
    check_by(&profiles, &observation(&good), &[]);
    check_by(
        &profiles,
        &observation(&good.replace("valueString\":\"a\"", "_valueString\":{\"id\":\"x\"}")),
        &[],
    );
    check_by(
        &profiles,
        &observation(category),
        &[("Observation.subject", "required"), ("Observation.value[x]", "required")],
    );
    check_by(
        &profiles,
        &observation(&format!(r#"{good},"component":[{{"id":"a"}}]"#)),
        &[("Observation.component[0].code", "required")],
    );
    check_by(
        &profiles,
        &observation(&format!(r#"{good},"note":[{{"text":"a"}}]"#)),
        &[("Observation.note", "not allowed")],
    );
    check_by(
        &profiles,
        &observation(&good.replace(r#"{"text":"a"},"#, "")),
        &[("Observation.category", "at least 2")],
    );
    check_by(
        &profiles,
        &observation(&good.replace(r#"{"text":"a"},"#, &r#"{"text":"a"},"#.repeat(3))),
        &[("Observation.category", "at most 3")],
    );
    // Other types have no profile here.
    check_by(&profiles, &patient(r#""active":true"#), &[]);
}

#[test]
fn a_refusal_names_the_file_of_the_profile() {
    let profiles = profile(r#"{"path":"Observation.subject","min":1}"#).expect("a good profile");
    let line = observation(r#""valueString":"a""#);
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
    let refusal = validate(&profiles, root).map(|_| ()).expect_err("no subject");
    assert_eq!(refusal.source.as_deref(), Some("obs.json"));
}

#[test]
fn a_profile_fixes_values_and_narrows_types() {
    let profiles = profile(
        r#"{"path":"Observation.status","fixedCode":"final"},
           {"path":"Observation.code","patternCodeableConcept":{"coding":[{"system":"http://loinc.org","code":"1-8"}]}},
           {"path":"Observation.value[x]","type":[{"code":"Quantity"},{"code":"string"}]},
           {"path":"Observation.subject","type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/StructureDefinition/Patient"]}]}"#,
    )
    .expect("a good profile");
    let line = |status: &str, code: &str, rest: &str| {
        format!(r#"{{"resourceType":"Observation","status":"{status}","code":{{"coding":[{code}]}}{rest}}}"#)
    };
    let loinc = r#"{"system":"http://loinc.org","code":"1-8","display":"x"}"#;
    check_by(&profiles, &line("final", loinc, ""), &[]);
    check_by(
        &profiles,
        &line(
            "final",
            &format!(r#"{{"code":"z"}},{loinc}"#),
            r#","subject":{"reference":"Patient/1"}"#,
        ),
        &[],
    );
    check_by(&profiles, &line("amended", loinc, ""), &[("Observation.status", "fixed value")]);
    check_by(
        &profiles,
        &line("final", r#"{"system":"http://loinc.org","code":"1-9"}"#, ""),
        &[("Observation.code", "pattern")],
    );
    check_by(
        &profiles,
        &line("final", loinc, r#","valueInteger":1"#),
        &[("Observation.valueInteger", "type not allowed")],
    );
    check_by(&profiles, &line("final", loinc, r#","valueQuantity":{"value":1}"#), &[]);
    check_by(
        &profiles,
        &line("final", loinc, r#","subject":{"reference":"http://e/Group/1"}"#),
        &[("Observation.subject", "reference type")],
    );
    check_by(&profiles, &line("final", loinc, r#","subject":{"reference":"urn:uuid:1"}"#), &[]);
}

#[test]
fn a_profile_allows_the_modifier_extensions_it_names() {
    let profiles =
        profile(r#"{"path":"Observation.modifierExtension","sliceName":"m","type":[{"code":"Extension","profile":["http://x/m"]}]}"#)
            .expect("a good profile");
    let line = |url: &str| observation(&format!(r#""modifierExtension":[{{"url":"{url}","valueBoolean":true}}]"#));
    check_by(&profiles, &line("http://x/m"), &[]);
    check_by(
        &profiles,
        &line("http://x/n"),
        &[("Observation.modifierExtension[0]", "unknown modifierExtension")],
    );
}

#[test]
fn every_fault_of_a_profile_is_said_at_once() {
    let faults = profile(
        r#"{"path":"Observation.favorite","min":1},{"path":"Patient.name"},{"path":"Observation.code","min":-1,"max":"many"},
           {"path":"Observation.note","min":2,"max":"1"},{"path":"Observation.value[x].unit","min":1},{"path":"Observation.value[x]","type":[{"code":"Age"}]},
           {"path":"Observation.subject","type":[{"code":"Quantity"}]},{"path":"Observation.category","slicing":{},"binding":{"strength":"required"}},
           {"path":"Observation.category","sliceName":"lab","min":1},{"path":"Observation.performer","type":[{"code":"Reference","targetProfile":["http://x/p"]}]}"#,
    )
    .expect_err("faults");
    let said: Vec<(&str, &str)> = faults
        .iter()
        .map(|fault| (fault.element.as_str(), fault.message.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("Observation.favorite", "`Observation` has no element `favorite` in FHIR R4"),
            ("Patient.name", "the path must begin with `Observation`"),
            ("Observation.code", "`max` must be `*` or a whole number in quotes"),
            ("Observation.code", "`min` must be a whole number"),
            ("Observation.note", "`min` is more than `max`"),
            ("Observation.value[x].unit", "name one `type` of the choice before its elements"),
            ("Observation.value[x]", "`type` names a type that this choice does not have"),
            ("Observation.subject", "`type` is `Reference` in FHIR R4"),
            ("Observation.category", "a required binding names its codes by a `valueSet`"),
            (
                "Observation.category",
                "its slices are not told apart by a `slicing.discriminator`, so they are not checked"
            ),
            (
                "Observation.performer",
                "the target profile `http://x/p` is not loaded, so it is not checked"
            ),
        ]
    );
    assert_eq!(
        faults[0].to_string(),
        "profile `obs.json` at Observation.favorite: `Observation` has no element `favorite` in FHIR R4"
    );
}

#[test]
fn an_invariant_holds_of_the_resource_or_of_each_element() {
    let profiles = profile(
        r#"{"path":"Observation","constraint":[{"key":"o-1","severity":"error","human":"h","expression":"value.exists() or component.exists()"}]},
           {"path":"Observation.component","constraint":[{"key":"c-1","severity":"error","expression":"code.text.length() > 1 and %resource.id.exists()"}]},
           {"path":"Observation.value[x]","constraint":[{"key":"v-1","severity":"error","expression":"($this is string) implies $this != 'no'"}]}"#,
    )
    .expect("a good profile");
    check_by(&profiles, &observation(r#""valueString":"a""#), &[]);
    check_by(&profiles, &observation(r#""valueBoolean":false"#), &[]);
    check_by(&profiles, &observation(r#""id":"o""#), &[("Observation", "invariant o-1")]);
    check_by(
        &profiles,
        &observation(r#""valueString":"no""#),
        &[("Observation.valueString", "invariant v-1")],
    );
    check_by(
        &profiles,
        &observation(r#""id":"o","component":[{"code":{"text":"ab"}},{"code":{"text":"a"}}]"#),
        &[("Observation.component[1]", "invariant c-1")],
    );
}

#[test]
fn an_invariant_that_cannot_be_checked_is_a_fault() {
    for (constraint, message) in [
        (r#"{"severity":"error","expression":"true"}"#, "needs a `key`"),
        (
            r#"{"key":"a","severity":"fatal","expression":"true"}"#,
            "`severity` must be `error` or `warning`",
        ),
        (r#"{"key":"a","severity":"error"}"#, "has no `expression`"),
        (
            r#"{"key":"a","severity":"error","expression":"colour.exists()"}"#,
            "no element `colour`",
        ),
        (
            r#"{"key":"a","severity":"error","expression":"effective > now()"}"#,
            "`now()` is not allowed here",
        ),
        (
            r#"{"key":"a","severity":"error","expression":"code.memberOf('http://x')"}"#,
            "no ValueSet `http://x`",
        ),
    ] {
        let faults = profile(&format!(r#"{{"path":"Observation","constraint":[{constraint}]}}"#)).expect_err("a fault");
        assert!(faults[0].message.contains(message), "{constraint}: {faults:?}");
    }
}

#[test]
fn a_file_that_is_no_profile_of_a_resource_is_a_fault() {
    for (json, message) in [
        ("{", "no JSON at line 1 column 1"),
        ("{}", "`resourceType` must be `StructureDefinition`"),
        (
            r#"{"resourceType":"StructureDefinition","kind":"logical"}"#,
            "`kind` must be `resource`, `complex-type` or `primitive-type`",
        ),
        (
            r#"{"resourceType":"StructureDefinition","kind":"resource"}"#,
            "`derivation` must be `constraint` or `specialization`",
        ),
        (
            r#"{"resourceType":"StructureDefinition","kind":"resource","derivation":"constraint","type":"Patientt"}"#,
            "`type` is no type of FHIR R4",
        ),
        (
            r#"{"resourceType":"StructureDefinition","kind":"resource","derivation":"constraint","type":"Patient"}"#,
            "`snapshot.element` and `differential.element` are both missing or empty",
        ),
    ] {
        let faults = Profiles::load(&[("p.json", json)]).expect_err("a fault");
        assert_eq!(faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>(), [message]);
    }
}
