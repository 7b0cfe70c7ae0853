//! Bindings, extensions, references, limits, dispositions; and definitions without measure.

use super::*;

#[test]
fn bindings_required_are_errors_and_extensible_ones_warnings() {
    let set = r#"{"resourceType":"ValueSet","url":"http://x/v","compose":{"include":[{"system":"s","concept":[{"code":"1"}]}]}}"#;
    let element = |path: &str, strength: &str| {
        format!(r#"{{"path":"Observation.{path}","binding":{{"strength":"{strength}","valueSet":"http://x/v"}}}}"#)
    };
    let concept = |code: &str| format!(r#""method":{{"coding":[{{"system":"t","code":"9"}},{{"system":"s","code":"{code}"}}]}}"#);
    for strength in ["required", "extensible"] {
        let wrong = format!("Observation.method {strength} binding");
        let definitions = [definition("p", "Observation", "differential", &element("method", strength))];
        let (profiles, notes) = compiled(&definitions, &[set], &["p"]);
        assert_eq!(notes, []);
        for (members, expected) in [(concept("1"), None), (concept("2"), Some(wrong.as_str()))] {
            let line = observation(&members);
            let mut tree = Tree::new();
            let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
            let found = check_all(&profiles, root);
            let said: Vec<String> = found
                .iter()
                .map(|issue| format!("{} {}", issue.refusal.path, issue.refusal.rule))
                .collect();
            assert_eq!(said.first().map(String::as_str), expected);
            let is_error = found.iter().any(|issue| issue.severity == Severity::Error);
            assert_eq!(is_error, expected.is_some() && strength == "required");
            assert_eq!(validate(&profiles, root).is_err(), is_error, "a warning does not refuse");
        }
    }
    check_each(
        &element("valueQuantity", "required"),
        &[],
        &[set],
        &[
            (r#""valueQuantity":{"system":"s","code":"1"}"#, &[]),
            (r#""valueQuantity":{"value":1}"#, &[]),
            (
                r#""valueQuantity":{"system":"s","code":"2"}"#,
                &["Observation.valueQuantity required binding"],
            ),
        ],
    );
    let unknown = definition(
        "p",
        "Observation",
        "differential",
        &element("method", "required").replace("x/v", "x/none"),
    );
    let (profiles, notes) = compiled(&[unknown], &[], &["p"]);
    assert!(notes.iter().all(|note| note.unchecked) && notes.len() == 1, "{notes:?}");
    check_by(&profiles, &observation(&concept("2")), &[]);
}

#[test]
fn extensions_are_held_to_their_definitions_wherever_they_stand() {
    let elements = r#"{"path":"Extension.url","fixedUri":"http://x/e"},{"path":"Extension.value[x]","min":1,"type":[{"code":"code"}]}"#;
    let extension = definition("e", "Extension", "differential", elements).replace(
        r#""kind""#,
        r#""context":[{"type":"element","expression":"Patient.birthDate"}],"kind""#,
    );
    let (profiles, notes) = compiled(&[extension], &[], &[]);
    assert_eq!(notes, []);
    let on_date = |extension: &str| patient(&format!(r#""_birthDate":{{"extension":[{extension}]}}"#));
    let at = "Patient._birthDate.extension[0]";
    check_by(&profiles, &on_date(r#"{"url":"http://x/e","valueCode":"a"}"#), &[]);
    check_by(&profiles, &on_date(r#"{"url":"http://x/other","valueString":"a"}"#), &[]);
    check_by(
        &profiles,
        &on_date(r#"{"url":"http://x/e","valueString":"a"}"#),
        &[(&format!("{at}.valueString"), "type not allowed")],
    );
    check_by(
        &profiles,
        &on_date(r#"{"url":"http://x/e"}"#),
        &[(&format!("{at}.value[x]"), "required")],
    );
    check_by(
        &profiles,
        &patient(r#""extension":[{"url":"http://x/e","valueCode":"a"}]"#),
        &[("Patient.extension[0]", "an extension of other elements")],
    );
    let required = r#"{"path":"Observation.extension","sliceName":"e","min":1,"type":[{"code":"Extension","profile":["http://x/e"]}]}"#;
    check_each(
        required,
        &[],
        &[],
        &[
            (r#""extension":[{"url":"http://x/e","valueCode":"a"}]"#, &[]),
            (
                r#""extension":[{"url":"http://x/f","valueCode":"a"}]"#,
                &["Observation.extension slice `extension:e`: required"],
            ),
        ],
    );
}

#[test]
fn a_reference_leads_to_a_type_and_profile_that_is_allowed() {
    let elements = r#"{"path":"Observation.subject","type":[{"code":"Reference","targetProfile":["http://x/dated","http://hl7.org/fhir/StructureDefinition/Group"]}]}"#;
    let dated = definition("dated", "Patient", "differential", r#"{"path":"Patient.birthDate","min":1}"#);
    let contained =
        |members: &str| format!(r##""contained":[{{"resourceType":"Patient","id":"c"{members}}}],"subject":{{"reference":"#c"}}"##);
    check_each(
        elements,
        &[dated],
        &[],
        &[
            (&contained(r#","birthDate":"2020""#), &[]),
            (&contained(""), &["Observation.subject profile of the reference's target"]),
            (r#""subject":{"reference":"Patient/1"}"#, &[]),
            (r#""subject":{"reference":"Group/1"}"#, &[]),
            (r#""subject":{"reference":"Device/1"}"#, &["Observation.subject reference type"]),
            (
                r#""subject":{"reference":"urn:uuid:1","type":"Device"}"#,
                &["Observation.subject reference type"],
            ),
        ],
    );
}

#[test]
fn lengths_and_limits_hold() {
    let elements = r#"{"path":"Observation.note.text","maxLength":3},
        {"path":"Observation.valueQuantity","type":[{"code":"Quantity"}],"minValueQuantity":{"value":1,"code":"kg","system":"http://unitsofmeasure.org"}},
        {"path":"Observation.valueInteger","type":[{"code":"integer"}],"maxValueInteger":5}"#;
    check_each(
        elements,
        &[],
        &[],
        &[
            (r#""note":[{"text":"äöü"}],"valueInteger":5"#, &[]),
            (r#""note":[{"text":"abcd"}]"#, &["Observation.note[0].text longer than allowed"]),
            (r#""valueInteger":6"#, &["Observation.valueInteger more than allowed"]),
            (r#""valueQuantity":{"value":1000,"code":"g"}"#, &[]),
            (
                r#""valueQuantity":{"value":999,"code":"g"}"#,
                &["Observation.valueQuantity less than allowed"],
            ),
            (r#""valueQuantity":{"value":0,"code":"m"}"#, &[]),
        ],
    );
}

#[test]
fn a_differential_builds_on_the_profile_it_names() {
    let base = definition(
        "base",
        "Observation",
        "differential",
        &category("value", "coding.code", "open", "false"),
    );
    let derived = definition(
        "p",
        "Observation",
        "differential",
        r#"{"id":"Observation.category:b","path":"Observation.category","sliceName":"b","min":1}"#,
    )
    .replace(&format!("{CORE}Observation"), "http://x/base");
    let (profiles, notes) = compiled(&[base, derived], &[], &["p"]);
    assert_eq!(notes, []);
    check_by(&profiles, &observation(&categories(&[A, B])), &[]);
    check_by(
        &profiles,
        &observation(&categories(&[A])),
        &[("Observation.category", "slice `category:b`: required")],
    );
    check_by(
        &profiles,
        &observation(&categories(&[B])),
        &[("Observation.category", "slice `category:a`: required")],
    );
}

#[test]
fn a_resource_is_held_to_the_profiles_that_it_names_and_that_are_loaded() {
    let (profiles, _) = compiled(
        &[definition(
            "p",
            "Observation",
            "differential",
            r#"{"path":"Observation.subject","min":1}"#,
        )],
        &[],
        &[],
    );
    let line = |canonical: &str| observation(&format!(r#""meta":{{"profile":["http://x/none","{canonical}"]}}"#));
    check_by(&profiles, &observation(r#""id":"a""#), &[]);
    check_by(&profiles, &line("http://x/p"), &[("Observation.subject", "required")]);
    check_by(&profiles, &line("http://x/p|1"), &[("Observation.subject", "required")]);
    check_by(&profiles, &line("http://x/p|2"), &[]);
    check_by(
        &profiles,
        &patient(r#""meta":{"profile":["http://x/p"]}"#),
        &[("Patient", "profile of another type")],
    );
}

#[test]
fn a_profile_says_what_its_faults_mean_and_a_tally_counts_them() {
    let elements = r#"{"path":"Observation.subject","min":1},{"path":"Observation.method","mustSupport":true},{"path":"Observation.code.text","mustSupport":true}"#;
    let json = definition("p", "Observation", "differential", elements);
    let definitions = [Definition {
        file: "p.json",
        json: &json,
        own: true,
    }];
    for (disposition, refuses) in [(Disposition::Refuse, true), (Disposition::Warn, false), (Disposition::Count, false)] {
        let options = Options {
            dispositions: vec![("http://x/p".to_owned(), disposition)],
            ..Options::default()
        };
        let (profiles, faults) = Profiles::compile(&definitions, &Arc::default(), &options);
        assert_eq!(faults, []);
        let mut tallies = [Tally::default(), Tally::default()];
        for (at, members) in [
            (0, r#""id":"a""#),
            (1, r#""subject":{"reference":"Patient/1"},"method":{"text":"m"}"#),
        ] {
            let line = observation(members);
            let mut tree = Tree::new();
            let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
            let verdict = validate_counting(&profiles, root, &mut tallies[at]);
            assert_eq!(verdict.is_err(), refuses && at == 0, "{disposition:?}");
        }
        let [mut all, other] = tallies;
        all.merge(other);
        let report = profiles.report(&all);
        let [profile] = report.profiles.as_slice() else {
            panic!("one profile")
        };
        assert_eq!((profile.profile.as_str(), profile.resources), ("p.json", 2));
        let support: Vec<(&str, u64)> = profile
            .must_support
            .iter()
            .map(|(element, count)| (element.as_str(), *count))
            .collect();
        // Where a resource is refused at once, its elements are counted up to there.
        assert_eq!(support, [("Observation.method", 1), ("Observation.code.text", 2)]);
        let [fault] = report.faults.as_slice() else { panic!("one fault") };
        assert_eq!(
            (fault.path.as_str(), fault.rule.as_str(), fault.count),
            ("Observation.subject", "required", 1)
        );
    }
}

#[test]
fn profiles_that_lead_back_to_themselves_and_resources_without_measure_come_to_an_end() {
    let circle = r#"{"path":"Observation.hasMember","type":[{"code":"Reference","targetProfile":["http://x/p"]}]},
        {"path":"Observation.contained","type":[{"code":"Observation","profile":["http://x/p"]}]}"#;
    let (profiles, _) = compiled(&[definition("p", "Observation", "differential", circle)], &[], &["p"]);
    let line = r##"{"resourceType":"Observation","status":"final","code":{"text":"x"},"hasMember":[{"reference":"#a"}],"contained":[
        {"resourceType":"Observation","id":"a","status":"final","code":{"text":"x"},"hasMember":[{"reference":"#b"}]},
        {"resourceType":"Observation","id":"b","status":"final","code":{"text":"x"},"hasMember":[{"reference":"#a"},{"reference":"#"}]}]}"##;
    check_by(&profiles, line, &[]);
    let own = definition("p", "Observation", "differential", "").replace(&format!("{CORE}Observation"), "http://x/p");
    let (_, notes) = compiled(&[own.replace("[]", r#"[{"path":"Observation"}]"#)], &[], &[]);
    assert!(notes[0].message.contains("builds on itself"), "{notes:?}");
    // Many items, many contained resources: the work is bounded, and the bound is said.
    let (profiles, _) = compiled(
        &[definition(
            "p",
            "Observation",
            "differential",
            &category("value", "coding.code", "open", "false"),
        )],
        &[],
        &["p"],
    );
    let many = vec![C; 20_000];
    check_by(&profiles, &observation(&categories(&[&[A], many.as_slice()].concat())), &[]);
    let contained: Vec<String> = (0..4_000)
        .map(|number| format!(r#"{{"resourceType":"Patient","id":"c{number}"}}"#))
        .collect();
    let references = vec![r##"{"reference":"#none"}"##; 4_000];
    let line = observation(&format!(
        r#""contained":[{}],"focus":[{}]"#,
        contained.join(","),
        references.join(",")
    ));
    let (profiles, _) = compiled(
        &[definition(
            "p",
            "Observation",
            "differential",
            r#"{"path":"Observation.focus","type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/StructureDefinition/Patient"]}]}"#,
        )],
        &[],
        &["p"],
    );
    check_by(&profiles, &line, &[("Observation", "more to check than may be")]);
}

#[test]
fn what_a_fault_means_is_said_by_the_profile_that_applies_and_a_verdict_on_a_part_stays_a_verdict() {
    // An Observation whose method must fit one of two profiles of CodeableConcept, and whose category must fit one.
    let elements = r#"{"path":"Observation.method","type":[{"code":"CodeableConcept","profile":["http://x/a","http://x/b"]}]},
        {"path":"Observation.category","type":[{"code":"CodeableConcept","profile":["http://x/a"]}]}"#;
    let concept = |name: &str, member: &str| {
        let element = format!(r#"{{"path":"CodeableConcept.{member}","min":1}}"#);
        definition(name, "CodeableConcept", "differential", &element)
    };
    let definitions = [
        definition("p", "Observation", "differential", elements),
        concept("a", "text"),
        concept("b", "id"),
    ];
    let names = ["p.json", "a.json", "b.json"];
    let definitions: Vec<Definition<'_>> = names
        .iter()
        .zip(&definitions)
        .map(|(file, json)| Definition { file, json, own: false })
        .collect();
    let meaning = |packaged, dispositions: &[(&str, Disposition)]| {
        let options = Options {
            asked: vec!["http://x/p".to_owned()],
            dispositions: dispositions
                .iter()
                .map(|(name, means)| (format!("http://x/{name}"), *means))
                .collect(),
            packaged,
            base: None,
            ..Options::default()
        };
        let (profiles, faults) = Profiles::compile(&definitions, &Arc::default(), &options);
        assert_eq!(faults, []);
        let line = observation(r#""method":{"coding":[{"code":"1"}]},"category":[{"id":"c"}]"#);
        let mut tree = Tree::new();
        let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
        let found = check_all(&profiles, root);
        let said = found
            .iter()
            .map(|issue| (format!("{} {}", issue.refusal.path, issue.refusal.rule), issue.severity));
        said.collect::<Vec<_>>()
    };
    for (means, severity) in [
        (Disposition::Refuse, Severity::Error),
        (Disposition::Warn, Severity::Warning),
        (Disposition::Count, Severity::Counted),
    ] {
        let mut expected = vec![
            ("Observation.method fits none of its profiles".to_owned(), severity),
            ("Observation.category[0].text required".to_owned(), severity),
        ];
        expected.sort();
        for mut found in [
            meaning(means, &[]),
            meaning(Disposition::Count, &[("p", means)]),
            meaning(means, &[("a", Disposition::Count), ("b", Disposition::Count)]),
        ] {
            found.sort();
            assert_eq!(found, expected, "{means:?}");
        }
    }
}
