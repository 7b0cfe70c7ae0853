//! What a resource is held to without naming it, where that is asked: vital signs by their code, extensions by their url.

use std::sync::Arc;

use super::*;

const CORE: &str = "http://hl7.org/fhir/StructureDefinition/";

/// A profile of this name that asks for one element.
fn profile(name: &str, element: &str) -> String {
    format!(
        r#"{{"resourceType":"StructureDefinition","url":"{CORE}{name}","kind":"resource","derivation":"constraint","type":"Observation","differential":{{"element":[{{"path":"Observation.{element}","min":1}}]}}}}"#
    )
}

fn compiled(definitions: &[String], options: &Options) -> Profiles {
    packaged(definitions, options)
}

fn coded(system: &str, codes: &[&str]) -> String {
    let codings: Vec<String> = codes
        .iter()
        .map(|code| format!(r#"{{"system":"{system}","code":"{code}"}}"#))
        .collect();
    format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{}]}}}}"#,
        codings.join(",")
    )
}

#[test]
fn a_vital_sign_is_held_to_its_profile_by_its_code_where_that_is_asked() {
    let definitions = [profile("bodytemp", "device"), profile("resprate", "method")];
    let asked = Options {
        vital_signs: true,
        ..Options::default()
    };
    let (loinc, snomed) = ("http://loinc.org", "http://snomed.info/sct");
    let profiles = compiled(&definitions, &asked);
    let (device, method) = (("Observation.device", "required"), ("Observation.method", "required"));
    for (system, codes, expected) in [
        (loinc, &["8310-5"][..], vec![device]),
        (loinc, &["8331-1"], vec![device]),
        (snomed, &["276885007"], vec![device]),
        (loinc, &["8310-5", "9279-1"], vec![method]),
        // Loaded is what is loaded.
        (loinc, &["85354-9"], vec![]),
        (loinc, &["2339-0"], vec![]),
        (snomed, &["8310-5"], vec![]),
        ("http://x", &["8310-5"], vec![]),
    ] {
        check_by(&profiles, &coded(system, codes), &expected);
    }
    // LOINC goes before SNOMED CT.
    let both = coded(loinc, &["8310-5"]).replace(
        r#""coding":["#,
        r#""coding":[{"system":"http://snomed.info/sct","code":"86290005"},"#,
    );
    check_by(&profiles, &both, &[device]);
    // Named as well, it is told once; within another resource it is held too.
    let named = coded(loinc, &["8310-5"]).replace(r#""status""#, &format!(r#""meta":{{"profile":["{CORE}bodytemp"]}},"status""#));
    check_by(&profiles, &named, &[device]);
    let bundle = format!(
        r#"{{"resourceType":"Bundle","type":"collection","entry":[{{"resource":{}}}]}}"#,
        coded(loinc, &["8310-5"])
    );
    check_by(&profiles, &bundle, &[("Bundle.entry[0].resource.device", "required")]);
    let asked_for = Options {
        asked: vec![format!("{CORE}bodytemp")],
        ..asked
    };
    check_by(&compiled(&definitions, &asked_for), &coded(loinc, &["8310-5"]), &[device]);
    check_by(&compiled(&definitions, &Options::default()), &coded(loinc, &["8310-5"]), &[]);
}

#[test]
fn the_units_beside_a_vital_sign_are_extensible_in_r4_s_own_profiles() {
    let binding = |url: &str| {
        format!(
            r#"{{"resourceType":"StructureDefinition","url":"{url}","kind":"resource","derivation":"constraint","type":"Observation","differential":{{"element":[
            {{"path":"Observation.component.value[x]","binding":{{"strength":"required","valueSet":"http://hl7.org/fhir/ValueSet/ucum-vitals-common|4.0.1"}}}}]}}}}"#
        )
    };
    let set = r#"{"resourceType":"ValueSet","url":"http://hl7.org/fhir/ValueSet/ucum-vitals-common","version":"4.0.1","compose":{"include":[{"system":"http://unitsofmeasure.org","concept":[{"code":"%"}]}]}}"#;
    let (sets, _) = crate::fhir::value_set::ValueSets::with_packages(&[], vec![("v.json".to_owned(), set.to_owned())]);
    let sets = Arc::new(sets);
    let line = observation(
        r#""component":[{"code":{"text":"x"},"valueQuantity":{"value":6,"system":"http://unitsofmeasure.org","code":"L/min"}}]"#,
    );
    for (url, severity) in [
        ("http://hl7.org/fhir/StructureDefinition/oxygensat", Severity::Warning),
        ("http://x/oxygensat", Severity::Error),
    ] {
        let json = binding(url);
        let definitions = [Definition {
            file: "d.json",
            json: &json,
            own: false,
        }];
        let options = Options {
            asked: vec![url.to_owned()],
            ..Options::default()
        };
        let (profiles, faults) = Profiles::compile(&definitions, &sets, &options);
        assert_eq!(faults, []);
        let mut tree = Tree::new();
        let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
        let found: Vec<Severity> = check_all(&profiles, root).iter().map(|issue| issue.severity).collect();
        assert_eq!(found, [severity], "{url}");
    }
}

#[test]
fn an_extension_that_nothing_defines_is_told_where_that_is_asked() {
    let definition = r#"{"resourceType":"StructureDefinition","url":"http://x/known","kind":"complex-type","derivation":"constraint","type":"Extension","differential":{"element":[{"path":"Extension.url","fixedUri":"http://x/known"}]}}"#;
    let line = patient(
        r#""extension":[{"url":"http://x/known","extension":[{"url":"part","valueString":"v"}]},{"url":"http://x/new","valueString":"v"},
        {"url":"http://hl7.org/fhir/StructureDefinition/later","valueString":"v"}],"_birthDate":{"extension":[{"url":"urn:oid:1.2","valueString":"v"}]}"#,
    )
    .replace('\n', " ");
    for disposition in [Disposition::Refuse, Disposition::Warn, Disposition::Count] {
        let options = Options {
            unknown_extensions: Some(disposition),
            ..Options::default()
        };
        let profiles = compiled(&[definition.to_owned()], &options);
        let mut tree = Tree::new();
        let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
        let told: Vec<(Severity, String, String)> = check_all(&profiles, root)
            .into_iter()
            .map(|issue| (issue.severity, issue.refusal.path, issue.refusal.rule.into_owned()))
            .collect();
        let expected = ["Patient.extension[1]", "Patient._birthDate.extension[0]"]
            .map(|path| (disposition.severity(), path.to_owned(), "unknown extension".to_owned()));
        assert_eq!(told, expected);
    }
    check_by(&compiled(&[definition.to_owned()], &Options::default()), &line, &[]);
}
