//! What is asked of a response: conditions, expressions, constraints, and the period of the Questionnaire.

use super::*;

fn answered(link: &str, value: &str) -> String {
    format!(r#"{{"linkId":"{link}","answer":[{{{value}}}]}}"#)
}

/// Whether question `b`, which must be answered, is asked when `a` has this answer: Some(true) if it is missed, Some(false) if it is
/// in the way, none if neither.
fn asked(kind: &str, when: &str, value: &str) -> Option<bool> {
    let items = format!(
        r#"{{"linkId":"a","type":"{kind}","repeats":true}},{{"linkId":"b","type":"string","required":true,"enableWhen":[{{"question":"a",{when}}}]}}"#
    );
    let a = if value.is_empty() {
        String::new()
    } else {
        answered("a", value) + ","
    };
    let profiles = loaded(&items);
    let without = found(&profiles, &response("completed", a.trim_end_matches(',')));
    let with = found(&profiles, &response("completed", &(a + &answered("b", r#""valueString":"x""#))));
    let missed = without.iter().any(|one| one == "item required item `b`");
    let in_the_way = with.iter().any(|one| one.ends_with("item that is not enabled"));
    assert!(!(missed && in_the_way), "{when} {value}");
    assert_eq!(
        (without.len() - usize::from(missed), with.len() - usize::from(in_the_way)),
        (0, 0),
        "{without:?} {with:?}"
    );
    (missed || in_the_way).then_some(missed)
}

#[test]
fn each_operator_compares_each_type() {
    let integer = |operator: &str, value: i32| {
        asked(
            "integer",
            &format!(r#""operator":"{operator}","answerInteger":5"#),
            &format!(r#""valueInteger":{value}"#),
        )
    };
    for (operator, below, same, above) in [
        ("=", false, true, false),
        ("!=", true, false, true),
        (">", false, false, true),
        ("<", true, false, false),
        (">=", false, true, true),
        ("<=", true, true, false),
    ] {
        let found = [4, 5, 6].map(|value| integer(operator, value));
        assert_eq!(found, [Some(below), Some(same), Some(above)], "{operator}");
    }
    for (kind, when, value, expected) in [
        (
            "boolean",
            r#""operator":"=","answerBoolean":true"#,
            r#""valueBoolean":true"#,
            Some(true),
        ),
        (
            "boolean",
            r#""operator":"=","answerBoolean":true"#,
            r#""valueBoolean":false"#,
            Some(false),
        ),
        (
            "string",
            r#""operator":"=","answerString":"x""#,
            r#""valueString":"y""#,
            Some(false),
        ),
        (
            "date",
            r#""operator":">","answerDate":"2024-01-01""#,
            r#""valueDate":"2024-01-02""#,
            Some(true),
        ),
        ("date", r#""operator":">","answerDate":"2024-01-01""#, r#""valueDate":"2024""#, None),
        (
            "time",
            r#""operator":"<","answerTime":"10:00:00""#,
            r#""valueTime":"09:00:00""#,
            Some(true),
        ),
        (
            "choice",
            r#""operator":"=","answerCoding":{"code":"1"}"#,
            r#""valueCoding":{"system":"s","code":"1"}"#,
            Some(true),
        ),
        (
            "choice",
            r#""operator":"=","answerCoding":{"system":"s","code":"1"}"#,
            r#""valueCoding":{"code":"1"}"#,
            Some(false),
        ),
        (
            "choice",
            r#""operator":"!=","answerCoding":{"code":"1"}"#,
            r#""valueCoding":{"code":"2"}"#,
            Some(true),
        ),
        (
            "quantity",
            r#""operator":">","answerQuantity":{"value":1,"system":"http://unitsofmeasure.org","code":"kg"}"#,
            r#""valueQuantity":{"value":1500,"system":"http://unitsofmeasure.org","code":"g"}"#,
            Some(true),
        ),
        (
            "quantity",
            r#""operator":">","answerQuantity":{"value":1,"unit":"kg"}"#,
            r#""valueQuantity":{"value":2,"unit":"kg"}"#,
            Some(true),
        ),
        (
            "quantity",
            r#""operator":">","answerQuantity":{"value":1,"unit":"kg"}"#,
            r#""valueQuantity":{"value":2,"unit":"lb"}"#,
            None,
        ),
        (
            "integer",
            r#""operator":"exists","answerBoolean":true"#,
            r#""valueInteger":1"#,
            Some(true),
        ),
        ("integer", r#""operator":"exists","answerBoolean":true"#, "", Some(false)),
        ("integer", r#""operator":"exists","answerBoolean":false"#, "", Some(true)),
        ("integer", r#""operator":"exists","answerInteger":1"#, "", None),
        ("integer", r#""operator":"=","answerString":"1""#, r#""valueInteger":1"#, None),
        ("integer", r#""operator":"~","answerInteger":1"#, r#""valueInteger":1"#, None),
        ("integer", r#""operator":"=","answerInteger":1"#, "", Some(false)),
    ] {
        assert_eq!(asked(kind, when, value), expected, "{when}: {value}");
    }
}

#[test]
fn several_conditions_are_met_by_their_behavior() {
    let items = |behavior: &str| {
        format!(
            r#"{{"linkId":"a","type":"integer"}},{{"linkId":"b","type":"integer"}},{{"linkId":"c","type":"integer","required":true{behavior},
            "enableWhen":[{{"question":"a","operator":"=","answerInteger":1}},{{"question":"b","operator":"=","answerInteger":1}}]}}"#
        )
    };
    let missed = |behavior: &str, a: i32, b: i32| {
        let answers = [("a", a), ("b", b)].map(|(link, value)| answered(link, &format!(r#""valueInteger":{value}"#)));
        !held(&items(behavior), &answers.join(",")).is_empty()
    };
    let (all, any) = (r#","enableBehavior":"all""#, r#","enableBehavior":"any""#);
    assert_eq!([(1, 1), (1, 0), (0, 0)].map(|(a, b)| missed(all, a, b)), [true, false, false]);
    assert_eq!([(1, 1), (1, 0), (0, 0)].map(|(a, b)| missed(any, a, b)), [true, true, false]);
}

#[test]
fn a_condition_looks_within_the_item_that_both_questions_share() {
    let items = r#"{"linkId":"g","type":"group","repeats":true,"item":[{"linkId":"a","type":"boolean","item":[
          {"linkId":"n","type":"string","enableWhen":[{"question":"a","operator":"=","answerBoolean":true}]}]},
        {"linkId":"b","type":"string","required":true,"enableWhen":[{"question":"a","operator":"=","answerBoolean":true}]}]}"#;
    let group = |a: bool, b: bool| {
        let b = if b {
            ",".to_owned() + &answered("b", r#""valueString":"x""#)
        } else {
            String::new()
        };
        format!(
            r#"{{"linkId":"g","item":[{}{b}]}}"#,
            answered("a", &format!(r#""valueBoolean":{a}"#))
        )
    };
    assert_eq!(held(items, &[group(true, true), group(false, false)].join(",")), [""; 0]);
    assert_eq!(
        held(items, &[group(true, false), group(false, true)].join(",")),
        ["item[0].item required item `b`", "item[1].item[1] item that is not enabled"]
    );
    // A question within the answer that it depends on.
    let nested = |a: bool| {
        let n = answered("n", r#""valueString":"x""#);
        format!(
            r#"{{"linkId":"g","item":[{{"linkId":"a","answer":[{{"valueBoolean":{a},"item":[{n}]}}]}}{}]}}"#,
            if a {
                ",".to_owned() + &answered("b", r#""valueString":"x""#)
            } else {
                String::new()
            }
        )
    };
    assert_eq!(held(items, &nested(true)), [""; 0]);
    assert_eq!(
        held(items, &nested(false)),
        ["item[0].item[0].answer[0].item[0] item that is not enabled"]
    );
}

#[test]
fn what_is_not_enabled_is_not_missed_within_either() {
    let items = r#"{"linkId":"a","type":"boolean"},{"linkId":"g","type":"group","required":true,"enableWhen":[{"question":"a","operator":"=","answerBoolean":true}],
        "item":[{"linkId":"b","type":"string","required":true},{"linkId":"c","type":"string"}]}"#;
    let no = answered("a", r#""valueBoolean":false"#);
    assert_eq!(held(items, &no), [""; 0]);
    // An item that says nothing is none.
    assert_eq!(held(items, &format!(r#"{no},{{"linkId":"g"}}"#)), [""; 0]);
    let c = answered("c", r#""valueString":"x""#);
    assert_eq!(
        held(items, &format!(r#"{no},{{"linkId":"g","item":[{c}]}}"#)),
        ["item[1] item that is not enabled"]
    );
}

#[test]
fn an_expression_decides_before_any_condition() {
    let items = |language: &str| {
        format!(
            r#"{{"linkId":"a","type":"integer"}},{{"linkId":"b","type":"string","required":true,"enableWhen":[{{"question":"a","operator":"exists","answerBoolean":false}}],
            "extension":[{{"url":"http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-enableWhenExpression","valueExpression":
              {{"language":"{language}","expression":"%resource.item.where(linkId='a').answer.value > 5"}}}}]}}"#
        )
    };
    let a = |value: i32| answered("a", &format!(r#""valueInteger":{value}"#));
    let b = answered("b", r#""valueString":"x""#);
    let path = items("text/fhirpath");
    assert_eq!(held(&path, &a(6)), ["item required item `b`"]);
    assert_eq!(held(&path, &a(5)), [""; 0]);
    assert_eq!(held(&path, &format!("{},{b}", a(5))), ["item[1] item that is not enabled"]);
    let kanta = path.replace(
        "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-enableWhenExpression",
        "http://phr.kanta.fi/StructureDefinition/fiphr-ext-questionnaire-enablewhen",
    );
    let (start, end) = (kanta.find("valueExpression").expect("a value"), kanta.rfind("}]").expect("an end"));
    let kanta = format!(
        r#"{}valueString":"%resource.item.where(linkId='a').answer.value > 5"{}"#,
        &kanta[..start],
        &kanta[end..]
    );
    assert_eq!(held(&kanta, &a(6)), ["item required item `b`"]);
    assert_eq!(held(&kanta, &a(5)), [""; 0]);
    // In another language nobody here can tell.
    let other = items("text/cql");
    assert_eq!(held(&other, &a(6)), [""; 0]);
    assert_eq!(held(&other, &format!("{},{b}", a(5))), [""; 0]);
}

#[test]
fn constraints_hold_of_the_item_or_the_response() {
    let constraint = |key: &str, severity: &str, expression: &str| {
        format!(
            r#"{{"url":"http://hl7.org/fhir/StructureDefinition/questionnaire-constraint","extension":[{{"url":"key","valueId":"{key}"}},
            {{"url":"severity","valueCode":"{severity}"}},{{"url":"expression","valueString":"{expression}"}},{{"url":"human","valueString":"x"}}]}}"#
        )
    };
    let item = format!(
        r#"{{"linkId":"a","type":"string","repeats":true,"extension":[{},{}]}}"#,
        constraint("two", "error", "answer.count() = 2"),
        constraint("odd", "warning", "answer.value.distinct().count() = answer.count()")
    );
    let form = form("1", &item).replace(
        r#""status""#,
        &format!(r#""extension":[{}],"status""#, constraint("own", "error", "authored.exists()")),
    );
    let (profiles, faults) = compiled(&[form], &[], &Options::default());
    assert_eq!(faults, []);
    let held = |answers: &str| {
        found(
            &profiles,
            &response("completed", &format!(r#"{{"linkId":"a","answer":[{answers}]}}"#)),
        )
    };
    let x = r#"{"valueString":"x"}"#;
    assert_eq!(
        held(x),
        ["QuestionnaireResponse constraint own", "item[0] constraint two"].map(|one| one.replace("QuestionnaireResponse", ""))
    );
    assert_eq!(held(&format!("{x},{x}")), [" constraint own", "warning item[0] constraint odd"]);
}

#[test]
fn a_response_of_another_time_is_warned_of() {
    let form = form("1", r#"{"linkId":"a","type":"string"}"#).replace(
        r#""status""#,
        r#""effectivePeriod":{"start":"2024-02-01","end":"2024-02-29"},"status""#,
    );
    let (profiles, _) = compiled(&[form], &[], &Options::default());
    let authored = |when: &str| {
        let line = response("completed", "").replace(r#""status""#, &format!(r#""authored":"{when}","status""#));
        found(&profiles, &line)
    };
    assert_eq!(authored("2024-02-29T10:00:00Z"), [""; 0]);
    assert_eq!(authored("2024-02"), [""; 0]);
    for outside in ["2024-01-31", "2024-03-01T00:00:00Z"] {
        assert_eq!(
            authored(outside),
            ["warning authored outside of the questionnaire's period"],
            "{outside}"
        );
    }
}
