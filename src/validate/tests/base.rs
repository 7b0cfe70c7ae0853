//! FHIR's own rules, where they are asked: without any package, and with the definitions of its types.

use super::*;

fn asked(definitions: &[&str]) -> Profiles {
    packaged(definitions, &Options::default())
}

#[test]
fn elements_that_r4_requires_must_be_there() {
    let profiles = asked(&[]);
    check_by(&profiles, &observation(r#""id":"o""#), &[]);
    check_by(
        &profiles,
        r#"{"resourceType":"Observation","component":[{"id":"a"}]}"#,
        &[
            ("Observation.component[0].code", "required"),
            ("Observation.status", "required"),
            ("Observation.code", "required"),
        ],
    );
    check_by(
        &profiles,
        r#"{"resourceType":"Observation","_status":{"id":"x"},"code":{"text":"x"}}"#,
        &[],
    );
    let request = |members: &str| {
        format!(
            r#"{{"resourceType":"MedicationRequest","status":"active","intent":"order","subject":{{"reference":"Patient/1"}}{members}}}"#
        )
    };
    check_by(&profiles, &request(r#","medicationCodeableConcept":{"text":"x"}"#), &[]);
    check_by(&profiles, &request(""), &[("MedicationRequest.medication[x]", "required")]);
    // A network that says itself what it needs is not asked for more.
    check(r#"{"resourceType":"Observation"}"#, &[]);
}

#[test]
fn codes_of_required_bindings_are_of_their_set() {
    let profiles = asked(&[]);
    check_by(&profiles, &patient(r#""gender":"female""#), &[]);
    check_by(&profiles, &patient(r#""gender":"F""#), &[("Patient.gender", "required binding")]);
    check_by(
        &profiles,
        &patient(r#""name":[{"use":"usual"},{"use":"pet"}]"#),
        &[("Patient.name[1].use", "required binding")],
    );
}

#[test]
fn what_holds_of_every_element_is_decided_without_an_expression() {
    let profiles = asked(&[]);
    let extension = |members: &str| patient(&format!(r#""extension":[{{"url":"http://x"{members}}}]"#));
    let inner = r#","extension":[{"url":"a","valueCode":"c"}]"#;
    check_by(&profiles, &extension(r#","valueCode":"c""#), &[]);
    check_by(&profiles, &extension(inner), &[]);
    check_by(&profiles, &extension(""), &[("Patient.extension[0]", "invariant ext-1")]);
    check_by(
        &profiles,
        &extension(&format!(r#"{inner},"valueCode":"c""#)),
        &[("Patient.extension[0]", "invariant ext-1")],
    );
    let contained = |inner: &str, reference: &str| {
        patient(&format!(
            r#""contained":[{{"resourceType":"Organization","id":"o"{inner}}}],"managingOrganization":{{"reference":"{reference}"}}"#
        ))
    };
    check_by(&profiles, &contained("", "#o"), &[]);
    check_by(&profiles, &contained("", "Organization/o"), &[("Patient", "invariant dom-3")]);
    check_by(&profiles, &contained(r##","partOf":{"reference":"#"}"##, "Organization/o"), &[]);
    check_by(
        &profiles,
        &contained("", "#p"),
        &[("Patient.managingOrganization", "invariant ref-1"), ("Patient", "invariant dom-3")],
    );
    check_by(
        &profiles,
        &contained(r#","meta":{"versionId":"1"}"#, "#o"),
        &[("Patient", "invariant dom-4")],
    );
    check_by(
        &profiles,
        &contained(r#","meta":{"security":[{"code":"R"}]}"#, "#o"),
        &[("Patient", "invariant dom-5")],
    );
    let entry = |url: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"collection","entry":[{{"fullUrl":"{url}","resource":{{"resourceType":"Patient"}}}}]}}"#
        )
    };
    check_by(&profiles, &entry("urn:uuid:1"), &[]);
    check_by(&profiles, &entry("Patient/1"), &[("Bundle.entry[0].fullUrl", "absolute url")]);
    let search = |members: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"searchset","entry":[{{"resource":{{"resourceType":"Patient"{members}}}}},{{"resource":{{"resourceType":"OperationOutcome","issue":[{{"severity":"error","code":"value"}}]}}}}]}}"#
        )
    };
    check_by(&profiles, &search(r#","id":"p""#), &[]);
    check_by(&profiles, &search(""), &[("Bundle.entry[0].resource.id", "required")]);
    let text = |div: &str| patient(&format!(r#""text":{{"status":"generated","div":"{div}"}}"#));
    check_by(&profiles, &text("<div>x</div>"), &[]);
    check_by(
        &profiles,
        &text("<div><script>x</script></div>"),
        &[("Patient.text.div", "narrative")],
    );
}

#[test]
fn definitions_of_types_bring_their_invariants() {
    let period = r#"{"resourceType":"StructureDefinition","kind":"complex-type","derivation":"specialization","type":"Period","snapshot":{"element":[
        {"path":"Period","constraint":[{"key":"per-1","severity":"error","expression":"start.hasValue().not() or end.hasValue().not() or (start <= end)"},
         {"key":"ele-1","severity":"error","expression":"false"}]}]}}"#;
    let patients = r#"{"resourceType":"StructureDefinition","kind":"resource","derivation":"specialization","type":"Patient","snapshot":{"element":[
        {"path":"Patient"},{"path":"Patient.contact","constraint":[{"key":"pat-1","severity":"error","expression":"name.exists() or telecom.exists()"},
         {"key":"w","severity":"warning","expression":"relationship.exists()"}]}]}}"#;
    let profiles = asked(&[period, patients]);
    let name = |end: &str| patient(&format!(r#""name":[{{"period":{{"start":"2020","end":"{end}"}}}}]"#));
    check_by(&profiles, &name("2021"), &[]);
    check_by(&profiles, &name("2019"), &[("Patient.name[0].period", "invariant per-1")]);
    let line = patient(r#""contact":[{"gender":"male"}]"#);
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
    let found: Vec<_> = check_all(&profiles, root)
        .into_iter()
        .map(|issue| (issue.severity, issue.refusal.rule.into_owned()))
        .collect();
    assert_eq!(
        found,
        [
            (Severity::Error, "invariant pat-1".to_owned()),
            (Severity::Warning, "invariant w".to_owned())
        ]
    );
}

#[test]
fn texts_have_the_form_of_their_type() {
    let value = |kind: &str, value: &str| patient(&format!(r#""extension":[{{"url":"http://x","value{kind}":"{value}"}}]"#));
    for (kind, good, bad, rule) in [
        ("Base64Binary", "QUJD\\nRA==", "QUJ", "base64Binary"),
        ("Base64Binary", "\\/+8=", "QU=D", "base64Binary"),
        ("Oid", "urn:oid:1.2.840.0", "urn:oid:1.02", "oid"),
        ("Oid", "urn:oid:2.1", "urn:oid:3.1", "oid"),
        (
            "Uuid",
            "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
            "urn:uuid:C757873D-ec9a-4326-a141-556f43239520",
            "uuid",
        ),
        ("Code", "a b", "a  b", "code"),
        ("Url", "http://x", "http://x y", "uri"),
    ] {
        check(&value(kind, good), &[]);
        check(&value(kind, bad), &[(&format!("Patient.extension[0].value{kind}"), rule)]);
    }
}
