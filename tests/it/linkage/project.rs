//! A project's file: what of a Patient may feed a feature, and how a value is brought into the schema's form.

use headwater::deidentify::linkage::{Clk, Encoder, Project, check_secret};
use headwater::fhir::tree::{Limits, Tree};
use headwater::platform::secret::Secret;
use serde_json::json;

pub(super) const SECRET: &str = "3f0c9d5e7b1a2468ace013579bdf02468ace13579bdf0f1e2d3c4b5a69788796";

/// Names, birth date, sex and postal code, as a project would have them.
pub(super) fn schema() -> String {
    let feature = |identifier: &str, format: serde_json::Value, comparison: serde_json::Value, bits: u32, missing: bool| {
        let mut feature = json!({ "identifier": identifier, "format": format,
            "hashing": { "comparison": comparison, "strategy": { "bitsPerFeature": bits } } });
        if missing {
            feature["hashing"]["missingValue"] = json!({ "sentinel": "" });
        }
        feature
    };
    let (bigrams, places) = (
        json!({ "type": "ngram", "n": 2 }),
        json!({ "type": "ngram", "n": 1, "positional": true }),
    );
    json!({ "version": 3,
        "clkConfig": { "l": 1024, "kdf": { "type": "HKDF", "salt": "dHdpbnMtMjAyNg==", "info": "dHdpbnM=" } },
        "features": [
            { "identifier": "id", "ignored": true },
            feature("given", json!({ "type": "string", "case": "lower" }), bigrams.clone(), 200, true),
            feature("family", json!({ "type": "string", "case": "lower" }), bigrams, 200, true),
            feature("birth", json!({ "type": "date", "format": "%Y-%m-%d" }), places.clone(), 250, true),
            feature("sex", json!({ "type": "enum", "values": ["male", "female", "other"] }), json!({ "type": "exact" }), 40, true),
            feature("zip", json!({ "type": "string" }), places, 80, true),
        ] })
    .to_string()
}

pub(super) const FILE: &str = r#"
[project]
name = "twins-2026"
agent = "Linkage Unit of the State University"
schema = "schema.json"
[feature.given]
path = "name.first().given.first()"
case = "lower"
accents = false
[feature.family]
path = "name.first().family"
case = "lower"
accents = false
[feature.birth]
path = "birthDate"
[feature.sex]
path = "gender.where($this != 'unknown')"
[feature.zip]
path = "address.first().postalCode.substring(0, 5)"
"#;

fn parse(file: &str) -> Result<Project, Vec<String>> {
    let read = |name: &str| {
        if name == "schema.json" {
            Ok(schema())
        } else {
            Err("cannot be read".to_owned())
        }
    };
    Project::parse(file, read).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

pub(super) fn project() -> (Project, Encoder) {
    let project = parse(FILE).unwrap_or_else(|faults| panic!("{faults:?}"));
    let encoder = project.encoder(&Secret::new(SECRET.as_bytes().to_vec()));
    (project, encoder)
}

fn encode(patient: &serde_json::Value) -> Result<Clk, String> {
    let (project, encoder) = project();
    let text = patient.to_string();
    let mut tree = Tree::new();
    let root = tree.parse(text.as_bytes(), &Limits::default()).unwrap();
    project.encode(&encoder, root).map_err(|unfit| unfit.to_string())
}

#[test]
fn only_names_birth_date_sex_and_postal_code_may_feed_a_feature() {
    let with = |path: &str| parse(&FILE.replace("name.first().family", path));
    for path in [
        "name.first().family",
        "name.where(use = 'official').family.first()",
        "(name.where(period.end.empty()) | name).first().family",
        "name.given.join(' ')",
        "name.first().suffix.first()",
        "iif(gender = 'female', 'F', 'M')",
        "address.where(use = 'home').postalCode.first()",
        "Patient.birthDate.toString().substring(0, 4)",
        "%resource.name.family.first()",
    ] {
        assert!(with(path).is_ok(), "{path}: {:?}", with(path));
    }
    for path in [
        "identifier.value.first()",
        "identifier.where(system = 'http://hl7.org/fhir/sid/us-ssn').value",
        "telecom.value.first()",
        "address.line.first()",
        "address.city.first()",
        "address.first()",
        "name.text.first()",
        "name.first()",
        "id",
        "getResourceKey()",
        "%resource.id",
        "meta.versionId",
        "birthDate.extension('http://hl7.org/fhir/StructureDefinition/patient-birthTime').value",
        "extension('http://hl7.org/fhir/us/core/StructureDefinition/us-core-race').extension('text').value",
        "name.family.extension('x').value",
        "contact.name.family.first()",
        "link.other.resolve().ofType(Patient).name.family",
        "children().first()",
        "descendants().ofType(string).first()",
        "repeat($this.children()).ofType(string).first()",
        "iif(telecom.exists(), 'a', name.first().family)",
        "name.where(%resource.identifier.exists()).family.first()",
        "photo.first().title",
        "generalPractitioner.display",
    ] {
        let found = with(path).expect_err(path);
        assert!(
            found.len() == 1 && found[0].starts_with("feature.family.path: reads `Patient"),
            "{path}: {found:?}"
        );
    }
    for path in ["'a'", "now().toString()", "name.surname", "name..family", "today()"] {
        assert!(with(path).is_err(), "{path}");
    }
}

#[test]
fn every_fault_of_a_project_is_named_at_once() {
    let found = parse("[project]\nname = \"a b\"\nschema = \"other.json\"\nspeed = 1\n[feature.x]\npath = \"id\"\n[more]\n").unwrap_err();
    for place in [
        "more:",
        "project.speed:",
        "project.agent:",
        "project.name:",
        "project.schema: cannot be read",
    ] {
        assert!(found.iter().any(|fault| fault.starts_with(place)), "{place} in {found:?}");
    }
    let found = parse(
        &FILE
            .replace("[feature.zip]", "[feature.phone]")
            .replace("case = \"lower\"", "case = \"small\""),
    )
    .unwrap_err();
    for place in [
        "feature.phone: is no feature",
        "feature.zip: is missing",
        "feature.given.case:",
        "feature.family.case:",
    ] {
        assert!(found.iter().any(|fault| fault.starts_with(place)), "{place} in {found:?}");
    }
    assert!(parse("[project\n").unwrap_err()[0].starts_with("line 1: is not TOML"));
    assert!(!parse("").unwrap_err().is_empty());
}

#[test]
fn spellings_of_one_person_meet_and_another_person_does_not() {
    let patient = |given: &str, family: &str, birth: &str| {
        json!({ "resourceType": "Patient", "id": "x", "name": [{ "given": [given, "Middle"], "family": family }], "birthDate": birth,
            "gender": "female", "address": [{ "postalCode": "45229-0001" }] })
    };
    let one = encode(&patient("José", "Åström", "2010-03-14")).unwrap();
    assert_eq!(one, encode(&patient("JOSE", "astrom", "2010-03-14")).unwrap());
    assert_eq!(one, encode(&patient("Jose\u{301}", "Astro\u{308}m", "2010-03-14")).unwrap());
    assert!(one.dice(&encode(&patient("Hugo", "Quilmann", "2016-11-30")).unwrap()) < 0.7);
    // A birth date that is not whole is none.
    let none = encode(
        &json!({ "resourceType": "Patient", "name": [{ "given": ["José"], "family": "Åström" }], "gender": "female",
        "address": [{ "postalCode": "45229" }] }),
    );
    assert_eq!(encode(&patient("José", "Åström", "2010-03")), none);
    assert_eq!(encode(&patient("José", "Åström", "2010")), none);
}

#[test]
fn a_value_that_does_not_fit_is_told_by_feature_and_rule_and_nobody_is_not_encoded() {
    let gender = json!({ "resourceType": "Patient", "name": [{ "family": "Okonkwo" }], "gender": "Okonkwo" });
    assert_eq!(encode(&gender).unwrap_err(), "feature `sex`: one of the listed values");
    let date = json!({ "resourceType": "Patient", "name": [{ "family": "Okonkwo" }], "birthDate": "14.3.2010" });
    assert_eq!(encode(&date).unwrap_err(), "feature `birth`: a date of the format");
    for nobody in [
        json!({ "resourceType": "Patient", "id": "x" }),
        json!({ "resourceType": "Patient", "gender": "unknown" }),
    ] {
        assert_eq!(encode(&nobody).unwrap_err(), "feature `(all)`: something to link by");
    }
}

#[test]
fn a_secret_that_was_not_drawn_at_random_is_refused() {
    let check = |text: &[u8]| check_secret(&Secret::new(text.to_vec()));
    assert!(check(SECRET.as_bytes()).is_ok() && check(&SECRET.as_bytes()[..32]).is_ok());
    assert!(check(&SECRET.as_bytes()[..31]).is_err() && check(b"").is_err());
    assert!(check(&[b'0'; 64]).is_err() && check("abcdefg".repeat(9).as_bytes()).is_err());
}
