//! One answer and its question: types, options, ValueSets, and what bounds a value.

use super::*;

const CORE: &str = "http://hl7.org/fhir/StructureDefinition/";
const CAPTURE: &str = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-";

fn extended(kind: &str, extensions: &[(&str, &str)]) -> String {
    let extensions: Vec<String> = extensions
        .iter()
        .map(|(name, value)| {
            let place = if name.ends_with("Quantity") || *name == "unitOpen" {
                CAPTURE
            } else {
                CORE
            };
            format!(r#"{{"url":"{place}{name}",{value}}}"#)
        })
        .collect();
    format!(r#""type":"{kind}","extension":[{}]"#, extensions.join(","))
}

#[test]
fn an_answer_is_of_its_question_s_type() {
    let values = [
        ("boolean", r#""valueBoolean":true"#),
        ("decimal", r#""valueDecimal":1.5"#),
        ("integer", r#""valueInteger":1"#),
        ("date", r#""valueDate":"2024-01-01""#),
        ("dateTime", r#""valueDateTime":"2024-01-01T10:00:00Z""#),
        ("time", r#""valueTime":"10:00:00""#),
        ("string", r#""valueString":"x""#),
        ("text", r#""valueString":"x""#),
        ("url", r#""valueUri":"http://x""#),
        ("attachment", r#""valueAttachment":{"title":"x"}"#),
        ("reference", r#""valueReference":{"reference":"Patient/p"}"#),
        ("quantity", r#""valueQuantity":{"value":1}"#),
        ("choice", r#""valueCoding":{"code":"x"}"#),
        ("open-choice", r#""valueCoding":{"code":"x"}"#),
    ];
    for (kind, own) in values {
        for (other, value) in values {
            let member = value.split('"').nth(1).expect("a name");
            let chosen = ["Coding", "String", "Date", "Time", "Integer", "Reference"].map(|sort| format!("value{sort}"));
            let fits = own.split('"').nth(1) == Some(member) || (kind.ends_with("choice") && chosen.iter().any(|one| one == member));
            let expected = format!("item[0].answer[0].{member} type of the answer");
            let expected = if fits { vec![] } else { vec![expected.as_str()] };
            check_each(&format!(r#""type":"{kind}""#), &[(&format!("{{{value}}}"), &expected)]);
            assert!(fits || other != kind);
        }
    }
    // A type that R4 does not have holds nobody to anything.
    check_each(r#""type":"question""#, &[(r#"{"valueBoolean":true}"#, &[])]);
}

#[test]
fn an_answer_is_one_of_the_options() {
    let options = r#""repeats":true,"answerOption":[{"valueCoding":{"system":"http://x/s","code":"1","display":"one"}},{"valueCoding":{"code":"2"}},{"valueString":"mine"},
        {"valueInteger":7},{"valueTime":"10:00:00"},{"valueDate":"2024-01-01"},{"valueReference":{"reference":"Patient/p"}}]"#;
    let cases = |open: bool| -> Vec<(&str, &str)> {
        vec![
            (r#"{"valueCoding":{"system":"http://x/s","code":"1"}}"#, ""),
            (r#"{"valueCoding":{"system":"http://x/s","code":"2"}}"#, "valueCoding"),
            (r#"{"valueCoding":{"code":"2"}}"#, ""),
            (r#"{"valueCoding":{"code":"1"}}"#, "valueCoding"),
            (r#"{"valueString":"mine"}"#, ""),
            (r#"{"valueString":"other"}"#, if open { "" } else { "valueString" }),
            (r#"{"valueInteger":7}"#, ""),
            (r#"{"valueInteger":8}"#, "valueInteger"),
            (r#"{"valueTime":"10:00:00"}"#, ""),
            (r#"{"valueTime":"11:00:00"}"#, "valueTime"),
            (r#"{"valueDate":"2024-01-01"}"#, ""),
            (r#"{"valueDate":"2024-01-02"}"#, "valueDate"),
            (r#"{"valueReference":{"reference":"Patient/p"}}"#, ""),
            (r#"{"valueReference":{"reference":"Patient/q"}}"#, "valueReference"),
        ]
    };
    for (kind, open) in [("choice", false), ("open-choice", true)] {
        for (answer, member) in cases(open) {
            let expected = format!("item[0].answer[0].{member} answer option");
            let expected = if member.is_empty() { vec![] } else { vec![expected.as_str()] };
            check_each(&format!(r#""type":"{kind}",{options}"#), &[(answer, &expected)]);
        }
    }
    // HL7's validator holds texts, numbers and times to options as well.
    check_each(
        r#""type":"string","answerOption":[{"valueString":"a"}]"#,
        &[
            (r#"{"valueString":"a"}"#, &[]),
            (r#"{"valueString":"b"}"#, &["item[0].answer[0].valueString answer option"]),
        ],
    );
    check_each(r#""type":"choice""#, &[(r#"{"valueString":"x"}"#, &[])]);
}

#[test]
fn an_exclusive_option_stands_alone() {
    let question = format!(
        r#""type":"choice","repeats":true,"answerOption":[{{"valueCoding":{{"code":"1"}}}},{{"extension":[{{"url":"{CORE}questionnaire-optionExclusive","valueBoolean":true}}],"valueCoding":{{"code":"none"}}}}]"#
    );
    let (one, none) = (r#"{"valueCoding":{"code":"1"}}"#, r#"{"valueCoding":{"code":"none"}}"#);
    check_each(
        &question,
        &[
            (none, &[]),
            (one, &[]),
            (
                &format!("{one},{none}"),
                &["item[0].answer[1].valueCoding exclusive option beside another"],
            ),
        ],
    );
}

#[test]
fn codes_are_of_the_value_set() {
    let set = r#"{"resourceType":"ValueSet","url":"http://x/v","compose":{"include":[{"system":"http://x/s","concept":[{"code":"1"}]}]}}"#;
    let server = r#"{"resourceType":"ValueSet","url":"http://x/w","compose":{"include":[{"system":"http://x/elsewhere"}]}}"#;
    let outside = |member: &str| vec![format!("item[0].answer[0].{member} answer value set")];
    for (kind, set_url, answer, expected) in [
        (
            "choice",
            "http://x/v",
            r#"{"valueCoding":{"system":"http://x/s","code":"1"}}"#,
            vec![],
        ),
        (
            "choice",
            "http://x/v",
            r#"{"valueCoding":{"system":"http://x/s","code":"2"}}"#,
            outside("valueCoding"),
        ),
        ("choice", "http://x/v", r#"{"valueCoding":{"code":"1"}}"#, outside("valueCoding")),
        (
            "choice",
            "http://x/v",
            r#"{"valueCoding":{"display":"mine"}}"#,
            outside("valueCoding"),
        ),
        (
            "choice",
            "http://x/v",
            r#"{"valueCoding":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}}"#,
            vec![],
        ),
        ("open-choice", "http://x/v", r#"{"valueCoding":{"display":"mine"}}"#, vec![]),
        ("open-choice", "http://x/v", r#"{"valueString":"mine"}"#, vec![]),
        (
            "open-choice",
            "http://x/v",
            r#"{"valueCoding":{"system":"http://x/s","code":"2"}}"#,
            outside("valueCoding"),
        ),
        ("string", "http://x/v", r#"{"valueString":"1"}"#, vec![]),
        ("string", "http://x/v", r#"{"valueString":"one"}"#, outside("valueString")),
        // Nobody here can tell.
        (
            "choice",
            "http://x/w",
            r#"{"valueCoding":{"system":"http://x/elsewhere","code":"1"}}"#,
            vec![],
        ),
        // A set that the Questionnaire contains.
        ("choice", "#own", r#"{"valueCoding":{"system":"http://x/s","code":"3"}}"#, vec![]),
        (
            "choice",
            "#own",
            r#"{"valueCoding":{"system":"http://x/s","code":"1"}}"#,
            outside("valueCoding"),
        ),
    ] {
        let own = r#""contained":[{"resourceType":"ValueSet","id":"own","url":"http://x/v","compose":{"include":[{"system":"http://x/s","concept":[{"code":"3"}]}]}}],"status""#;
        let form = form("1", &format!(r#"{{"linkId":"q","type":"{kind}","answerValueSet":"{set_url}"}}"#)).replace(r#""status""#, own);
        let (profiles, faults) = compiled(&[form], &[set, server], &Options::default());
        assert_eq!(faults, []);
        let line = response("completed", &format!(r#"{{"linkId":"q","answer":[{answer}]}}"#));
        assert_eq!(found(&profiles, &line), expected, "{kind} {set_url} {answer}");
    }
}

#[test]
fn texts_are_as_long_and_look_as_the_question_says() {
    let question = format!(
        r#"{},"maxLength":4"#,
        extended(
            "string",
            &[("minLength", r#""valueInteger":2"#), ("regex", r#""valueString":"[a-zé]+|\\d{3}""#)]
        )
    );
    check_each(
        &question,
        &[
            (r#"{"valueString":"abé"}"#, &[]),
            (r#"{"valueString":"123"}"#, &[]),
            (r#"{"valueString":"12"}"#, &["item[0].answer[0].valueString pattern of the answer"]),
            (r#"{"valueString":"a"}"#, &["item[0].answer[0].valueString shorter than allowed"]),
            (r#"{"valueString":"abcde"}"#, &["item[0].answer[0].valueString longer than allowed"]),
        ],
    );
    // A pattern that we cannot run holds nobody.
    check_each(
        &extended("string", &[("regex", r#""valueString":"(?=a)""#)]),
        &[(r#"{"valueString":"b"}"#, &[])],
    );
}

#[test]
fn numbers_and_moments_stay_within_their_limits() {
    let question = extended(
        "decimal",
        &[
            ("maxDecimalPlaces", r#""valueInteger":2"#),
            ("minValue", r#""valueDecimal":-1.5"#),
            ("maxValue", r#""valueInteger":10"#),
        ],
    );
    check_each(
        &question,
        &[
            (r#"{"valueDecimal":10.00}"#, &[]),
            (r#"{"valueDecimal":1.2300}"#, &[]),
            (r#"{"valueDecimal":1.234}"#, &["item[0].answer[0].valueDecimal decimal places"]),
            (r#"{"valueDecimal":-1.51}"#, &["item[0].answer[0].valueDecimal less than allowed"]),
            (r#"{"valueDecimal":10.01}"#, &["item[0].answer[0].valueDecimal more than allowed"]),
        ],
    );
    let days = [
        ("minValue", r#""valueDate":"2024-03-01""#),
        ("maxValue", r#""valueDate":"2024-04-30""#),
    ];
    check_each(
        &extended("date", &days),
        &[
            (r#"{"valueDate":"2024-03-01"}"#, &[]),
            // It may have been after the first.
            (r#"{"valueDate":"2024-03"}"#, &[]),
            (r#"{"valueDate":"2024-02-29"}"#, &["item[0].answer[0].valueDate less than allowed"]),
            (r#"{"valueDate":"2024-05"}"#, &["item[0].answer[0].valueDate more than allowed"]),
        ],
    );
}

#[test]
fn quantities_compare_by_their_units() {
    let (least, most) = (
        r#""valueQuantity":{"value":1,"system":"http://unitsofmeasure.org","code":"kg"}"#,
        r#""valueQuantity":{"value":5,"system":"http://unitsofmeasure.org","code":"kg"}"#,
    );
    let quantity = |value: &str, code: &str| {
        format!(r#"{{"valueQuantity":{{"value":{value},"system":"http://unitsofmeasure.org","code":"{code}"}}}}"#)
    };
    let fault = |rule: &str| vec![format!("item[0].answer[0].valueQuantity {rule}")];
    for (answer, expected) in [
        (quantity("5", "kg"), vec![]),
        (quantity("1000", "g"), vec![]),
        (quantity("999", "g"), fault("less than allowed")),
        (quantity("5000.1", "g"), fault("more than allowed")),
        (
            quantity("3", "m"),
            [fault("unit of the limit"), fault("unit of the limit")].concat(),
        ),
        (
            r#"{"valueQuantity":{"value":3,"unit":"kg"}}"#.to_owned(),
            [fault("unit of the limit"), fault("unit of the limit")].concat(),
        ),
        (r#"{"valueQuantity":{"comparator":"<"}}"#.to_owned(), vec![]),
    ] {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check_each(
            &extended("quantity", &[("minQuantity", least), ("maxQuantity", most)]),
            &[(&answer, &expected)],
        );
    }
    // Counts have no unit.
    let most = [("maxQuantity", r#""valueQuantity":{"value":5}"#)];
    check_each(
        &extended("quantity", &most),
        &[
            (r#"{"valueQuantity":{"value":5}}"#, &[]),
            (
                r#"{"valueQuantity":{"value":6}}"#,
                &["item[0].answer[0].valueQuantity more than allowed"],
            ),
        ],
    );
}

#[test]
fn units_are_of_those_that_are_offered() {
    let unit = r#""valueCoding":{"system":"http://unitsofmeasure.org","code":"kg"}"#;
    let set = r#"{"resourceType":"ValueSet","url":"http://x/units","compose":{"include":[{"system":"http://unitsofmeasure.org","concept":[{"code":"kg"}]}]}}"#;
    let named = [("questionnaire-unitOption", unit)];
    let by_set = [("questionnaire-unitValueSet", r#""valueCanonical":"http://x/units""#)];
    for extensions in [named, by_set] {
        let form = |open: &[(&str, &str)]| {
            let all = [&extensions, open].concat();
            form("1", &format!(r#"{{"linkId":"q",{}}}"#, extended("quantity", &all)))
        };
        let held = |form: String, quantity: &str| {
            let (profiles, faults) = compiled(&[form], &[set], &Options::default());
            assert_eq!(faults, []);
            found(
                &profiles,
                &response(
                    "completed",
                    &format!(r#"{{"linkId":"q","answer":[{{"valueQuantity":{quantity}}}]}}"#),
                ),
            )
        };
        let (kilos, grams, bare) = (
            r#"{"value":1,"system":"http://unitsofmeasure.org","code":"kg"}"#,
            r#"{"value":1,"system":"http://unitsofmeasure.org","code":"g"}"#,
            r#"{"value":1,"unit":"kg"}"#,
        );
        let refused = ["item[0].answer[0].valueQuantity unit not allowed"];
        assert_eq!(held(form(&[]), kilos), [""; 0]);
        assert_eq!(held(form(&[]), grams), refused);
        assert_eq!(held(form(&[]), bare), refused);
        assert_eq!(held(form(&[("unitOpen", r#""valueCode":"optionsOrString""#)]), bare), [""; 0]);
        assert_eq!(held(form(&[("unitOpen", r#""valueCode":"optionsOnly""#)]), bare), refused);
    }
}

#[test]
fn attachments_are_of_a_kind_and_size() {
    let question = extended(
        "attachment",
        &[
            ("mimeType", r#""valueCode":"image/*""#),
            ("mimeType", r#""valueCode":"application/pdf""#),
            ("maxSize", r#""valueDecimal":0.00001"#),
        ],
    );
    let data = "QUFB".repeat(8);
    check_each(
        &question,
        &[
            (r#"{"valueAttachment":{"contentType":"image/png","size":10}}"#, &[]),
            (r#"{"valueAttachment":{"contentType":"Application/PDF; x=y"}}"#, &[]),
            (
                r#"{"valueAttachment":{"contentType":"text/plain"}}"#,
                &["item[0].answer[0].valueAttachment media type"],
            ),
            (
                r#"{"valueAttachment":{"contentType":"image/png","size":11}}"#,
                &["item[0].answer[0].valueAttachment attachment size"],
            ),
            (
                &format!(r#"{{"valueAttachment":{{"contentType":"image/png","data":"{data}"}}}}"#),
                &["item[0].answer[0].valueAttachment attachment size"],
            ),
        ],
    );
}

#[test]
fn references_lead_to_what_is_allowed() {
    let reference = |text: &str| format!(r#"{{"valueReference":{{"reference":"{text}"}}}}"#);
    let targets = [
        ("questionnaire-referenceResource", r#""valueCode":"Patient""#),
        ("questionnaire-referenceResource", r#""valueCode":"Group""#),
    ];
    let of_type = "item[0].answer[0].valueReference reference type";
    let none = "item[0].answer[0].valueReference reference";
    for (question, text, expected) in [
        (extended("reference", &targets), "Patient/p", None),
        (extended("reference", &targets), "http://ehr/fhir/Group/p", None),
        (extended("reference", &targets), "urn:uuid:7d1f-0b", None),
        (extended("reference", &targets), "Device/d", Some(of_type)),
        (extended("reference", &targets), "http://ehr/fhir/Device/d", Some(of_type)),
        (extended("reference", &[]), "Device/d", None),
        (extended("reference", &[]), "https://ehr/fhir/Chicken/c", Some(of_type)),
        (extended("reference", &[]), "https://ehr/a/file", None),
        (extended("reference", &[]), "Chicken/c", Some(none)),
        (extended("reference", &[]), "ht tp://ehr/fhir/Patient/p", Some(none)),
    ] {
        let expected: Vec<&str> = expected.into_iter().collect();
        check_each(&question, &[(&reference(text), &expected)]);
    }
    let typed = r#"{"valueReference":{"type":"Device","display":"x"}}"#;
    check_each(&extended("reference", &targets), &[(typed, &[of_type])]);
}
