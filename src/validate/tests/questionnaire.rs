//! A response held to its Questionnaire, rule by rule: the Questionnaires are our own and small. `answers` has the rules of one
//! answer, `conditions` those of what is asked.

use std::sync::Arc;

use super::*;
use crate::fhir::value_set::ValueSets;

mod answers;
mod conditions;

const URL: &str = "http://x/Questionnaire/q";

/// A Questionnaire of these items, called `http://x/Questionnaire/q` in this version.
fn form(version: &str, items: &str) -> String {
    format!(r#"{{"resourceType":"Questionnaire","url":"{URL}","version":"{version}","status":"active","item":[{items}]}}"#)
}

/// A response with these items.
fn response(status: &str, items: &str) -> String {
    let items = if items.is_empty() {
        String::new()
    } else {
        format!(r#","item":[{items}]"#)
    };
    format!(r#"{{"resourceType":"QuestionnaireResponse","questionnaire":"{URL}","status":"{status}"{items}}}"#)
}

fn compiled(forms: &[String], sets: &[&str], options: &Options) -> (Profiles, Vec<ProfileFault>) {
    let definitions: Vec<Definition<'_>> = forms
        .iter()
        .map(|json| Definition {
            file: "q.json",
            json,
            own: false,
        })
        .collect();
    let sets = sets.iter().map(|set| ("set.json".to_owned(), (*set).to_owned())).collect();
    let (sets, faults) = ValueSets::with_packages(&[], sets);
    assert!(faults.is_empty(), "{faults:?}");
    Profiles::compile(&definitions, &Arc::new(sets), options)
}

fn loaded(items: &str) -> Profiles {
    let (profiles, faults) = compiled(&[form("1", items)], &[], &Options::default());
    assert_eq!(faults, []);
    profiles
}

/// Severity, path below the response, rule.
fn found(profiles: &Profiles, line: &str) -> Vec<String> {
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("the test's line is JSON");
    let issues = check_all(profiles, root);
    let first = validate(profiles, root).map(|_| ()).err();
    let errors = issues.iter().filter(|issue| issue.severity == Severity::Error);
    assert_eq!(first.as_ref(), errors.map(|issue| &issue.refusal).next());
    let shown = issues.iter().map(|issue| {
        let path = issue
            .refusal
            .path
            .strip_prefix("QuestionnaireResponse")
            .unwrap_or(&issue.refusal.path);
        let mark = match issue.severity {
            Severity::Error => "",
            Severity::Warning => "warning ",
            Severity::Counted => "counted ",
        };
        format!("{mark}{} {}", path.trim_start_matches('.'), issue.refusal.rule)
    });
    shown.collect()
}

/// Of a completed response with these items.
fn held(items: &str, answered: &str) -> Vec<String> {
    found(&loaded(items), &response("completed", answered))
}

/// Of each pair of answers to one question of this kind, what is found.
fn check_each(question: &str, cases: &[(&str, &[&str])]) {
    let profiles = loaded(&format!(r#"{{"linkId":"q",{question}}}"#));
    for (answers, expected) in cases {
        let line = response("completed", &format!(r#"{{"linkId":"q","answer":[{answers}]}}"#));
        assert_eq!(found(&profiles, &line), *expected, "{question}: {answers}");
    }
}

#[test]
fn a_questionnaire_is_found_by_its_url_and_version() {
    let forms = [
        form("1", r#"{"linkId":"a","type":"boolean"}"#),
        form("2", r#"{"linkId":"b","type":"boolean"}"#),
    ];
    let (profiles, faults) = compiled(&forms, &[], &Options::default());
    assert_eq!(faults, []);
    let line = response("completed", r#"{"linkId":"a","answer":[{"valueBoolean":true}]}"#);
    let named = |name: &str| found(&profiles, &line.replace(URL, name));
    assert_eq!(named(&format!("{URL}|1")), [""; 0]);
    assert_eq!(named(&format!("{URL}|2")), ["item[0] unknown linkId"]);
    assert_eq!(named(URL), ["item[0] unknown linkId"], "the last one that was loaded");
    for unknown in ["http://x/Questionnaire/p", "http://x/Questionnaire/q|3", "Questionnaire/q", "#q"] {
        assert_eq!(
            named(unknown),
            ["counted questionnaire questionnaire not known here: its answers are not checked"],
            "{unknown}"
        );
    }
    let without = line.replace(&format!(r#""questionnaire":"{URL}","#), "");
    assert_eq!(found(&profiles, &without), [""; 0]);
    // Where FHIR's own rules are not asked, nothing is told either.
    assert_eq!(found(&Profiles::default(), &line), [""; 0]);
}

#[test]
fn a_contained_questionnaire_holds_and_names_nothing_of_the_data() {
    let line = |code: &str, item: &str| {
        format!(
            r##"{{"resourceType":"QuestionnaireResponse","status":"completed","questionnaire":"#form","contained":[
            {{"resourceType":"Questionnaire","id":"form","status":"active","item":[{{"linkId":"a","type":"choice","required":true,"answerValueSet":"#codes"}},
              {{"linkId":"t","type":"string","extension":[{{"url":"http://hl7.org/fhir/StructureDefinition/regex","valueString":"x"}}]}}]}},
            {{"resourceType":"ValueSet","id":"codes","status":"active","compose":{{"include":[{{"system":"http://x/s","concept":[{{"code":"1"}}]}}]}}}}],
            "extension":[{{"url":"http://x/e","valueUri":"#codes"}}],
            "item":[{item}{{"linkId":"t","answer":[{{"valueString":"{code}"}}]}}]}}"##
        )
        .replace('\n', " ")
    };
    let answer = |code: &str| format!(r#"{{"linkId":"a","answer":[{{"valueCoding":{{"system":"http://x/s","code":"{code}"}}}}]}},"#);
    let (profiles, _) = compiled(&[], &[], &Options::default());
    assert_eq!(
        found(&profiles, &line("1", &answer("1"))),
        [""; 0],
        "no pattern of a stranger is run"
    );
    assert_eq!(
        found(&profiles, &line("1", &answer("2"))),
        ["item[0].answer[0].valueCoding answer value set"]
    );
    assert_eq!(found(&profiles, &line("1", "")), ["item required item"]);
    let (silent, _) = compiled(
        &[],
        &[],
        &Options {
            base: None,
            ..Options::default()
        },
    );
    assert_eq!(found(&silent, &line("1", "")), [""; 0]);
}

#[test]
fn items_stand_as_in_the_questionnaire() {
    let items = r#"{"linkId":"g","type":"group","item":[{"linkId":"a","type":"boolean","item":[{"linkId":"n","type":"boolean"}]},{"linkId":"b","type":"boolean"}]},
        {"linkId":"d","type":"display"}"#;
    let yes = |link: &str| format!(r#"{{"linkId":"{link}","answer":[{{"valueBoolean":true}}]}}"#);
    let group = |inner: &str| format!(r#"{{"linkId":"g","item":[{inner}]}}"#);
    let (a, b, n) = (yes("a"), yes("b"), yes("n"));
    let nested = format!(r#"{{"linkId":"a","answer":[{{"valueBoolean":true,"item":[{n}]}}]}}"#);
    for (answered, expected) in [
        (String::new(), vec![]),
        (group(&format!("{a},{b}")), vec![]),
        (group(&format!("{nested},{b}")), vec![]),
        (group(&format!("{b},{a}")), vec!["item[0].item[1] order of items"]),
        (a.clone(), vec!["item[0] item of another place"]),
        (group(&n), vec!["item[0].item[0] item of another place"]),
        (yes("other"), vec!["item[0] unknown linkId"]),
        (
            format!(r#"{{"linkId":"d","answer":[{{"valueBoolean":true}}],"item":[{a}]}}"#),
            vec![
                "item[0].answer[0] answer of a display item",
                "item[0].item[0] item within a display item",
            ],
        ),
        (
            r#"{"linkId":"g","answer":[{"valueBoolean":true}]}"#.to_owned(),
            vec!["item[0].answer[0] answer of a group"],
        ),
        (
            group(&format!(r#"{{"linkId":"a","item":[{n}]}}"#)),
            vec!["item[0].item[0].item[0] item outside of an answer"],
        ),
        (r#"{"answer":[{"valueBoolean":true}]}"#.to_owned(), vec!["item[0].linkId required"]),
    ] {
        assert_eq!(held(items, &answered), expected, "{answered}");
    }
}

#[test]
fn what_must_be_answered_is_unless_the_response_is_in_progress() {
    let items = r#"{"linkId":"a","type":"string","required":true,"item":[{"linkId":"n","type":"string","required":true}]},
        {"linkId":"g","type":"group","required":true,"item":[{"linkId":"b","type":"string","required":true}]},{"linkId":"d","type":"display","required":true}"#;
    let profiles = loaded(items);
    let full = r#"{"linkId":"a","answer":[{"valueString":"x","item":[{"linkId":"n","answer":[{"valueString":"x"}]}]}]},{"linkId":"g","item":[{"linkId":"b","answer":[{"valueString":"x"}]}]}"#;
    let missed = ["item required item `a`", "item required item `g`"];
    for status in ["completed", "amended", "stopped", "entered-in-error"] {
        assert_eq!(found(&profiles, &response(status, full)), [""; 0]);
        assert_eq!(found(&profiles, &response(status, "")), missed, "{status}");
    }
    assert_eq!(
        found(&profiles, &response("in-progress", "")),
        missed.map(|one| format!("warning {one}"))
    );
    assert_eq!(
        found(&profiles, &response("completed", r#"{"linkId":"a"},{"linkId":"g"}"#)),
        ["item[0].answer required item `a`", "item[1].item required item `g`"]
    );
    assert_eq!(
        found(
            &profiles,
            &response(
                "completed",
                r#"{"linkId":"a","answer":[{"valueString":"x"}]},{"linkId":"g","item":[{"linkId":"b"}]}"#
            )
        ),
        [
            "item[0].answer[0].item required item `n`",
            "item[1].item[0].answer required item `b`"
        ]
    );
}

#[test]
fn what_does_not_repeat_is_there_once() {
    let items = r#"{"linkId":"a","type":"string"},{"linkId":"r","type":"string","repeats":true,"extension":[
        {"url":"http://hl7.org/fhir/StructureDefinition/questionnaire-minOccurs","valueInteger":2},
        {"url":"http://hl7.org/fhir/StructureDefinition/questionnaire-maxOccurs","valueInteger":3}]}"#;
    let item = |link: &str, answers: usize| {
        let answers = vec![r#"{"valueString":"x"}"#; answers].join(",");
        format!(r#"{{"linkId":"{link}","answer":[{answers}]}}"#)
    };
    for (answered, expected) in [
        (vec![item("a", 1), item("r", 3)], vec![]),
        (vec![item("a", 2)], vec!["item[0].answer[1] one answer, not many"]),
        (vec![item("a", 1), item("a", 1)], vec!["item[1] one item, not many"]),
        (vec![item("r", 1), item("r", 1)], vec![]),
        (vec![item("r", 1)], vec!["item[0] at least 2"]),
        (vec![item("r", 4)], vec!["item[0] at most 3"]),
    ] {
        assert_eq!(held(items, &answered.join(",")), expected, "{answered:?}");
    }
}

#[test]
fn the_text_of_an_item_is_its_question_s_or_a_translation_of_it() {
    let items = r#"{"linkId":"a","type":"string","text":"Pain","_text":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/translation",
        "extension":[{"url":"lang","valueCode":"de"},{"url":"content","valueString":"Schmerz"}]}]}}"#;
    let item = |text: &str| format!(r#"{{"linkId":"a"{text},"answer":[{{"valueString":"x"}}]}}"#);
    assert_eq!(held(items, &item("")), [""; 0]);
    assert_eq!(held(items, &item(r#","text":"Pain""#)), [""; 0]);
    assert_eq!(held(items, &item(r#","text":"Schmerz""#)), [""; 0]);
    assert_eq!(held(items, &item(r#","text":"Gain""#)), ["item[0].text text of the question"]);
}

#[test]
fn a_fault_means_what_the_questionnaire_s_disposition_says_and_names_it() {
    let forms = [form("1", r#"{"linkId":"a","type":"boolean"}"#)];
    let line = response("completed", r#"{"linkId":"Jane Doe","answer":[{"valueBoolean":true}]}"#);
    for (meant, disposition, mark) in [
        ("http://x/Questionnaire/other", Disposition::Warn, ""),
        (URL, Disposition::Warn, "warning "),
        ("http://x/Questionnaire/q|1", Disposition::Count, "counted "),
        ("q.json", Disposition::Refuse, ""),
    ] {
        let options = Options {
            dispositions: vec![(meant.to_owned(), disposition)],
            ..Options::default()
        };
        let (profiles, _) = compiled(&forms, &[], &options);
        assert_eq!(found(&profiles, &line), [format!("{mark}item[0] unknown linkId")]);
        let mut tree = Tree::new();
        let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
        let issues = check_all(&profiles, root);
        assert_eq!(issues[0].refusal.source.as_deref(), Some(URL));
        assert!(!format!("{issues:?}").contains("Jane"), "{issues:?}");
    }
}

#[test]
fn a_tally_counts_the_responses_and_faults_of_each_questionnaire() {
    let definition = r#"{"resourceType":"StructureDefinition","url":"http://x/p","kind":"resource","derivation":"constraint","type":"QuestionnaireResponse","differential":{"element":[{"path":"QuestionnaireResponse.authored","min":1,"mustSupport":true}]}}"#;
    let other = form("1", "").replace(URL, "http://x/Questionnaire/other");
    let options = Options {
        asked: vec!["http://x/p".to_owned()],
        packaged: Disposition::Warn,
        ..Options::default()
    };
    let forms = [other, form("1", r#"{"linkId":"a","type":"boolean"}"#), definition.to_owned()];
    let (profiles, faults) = compiled(&forms, &[], &options);
    assert_eq!((faults, profiles.questionnaires(), profiles.len()), (vec![], 2, 1));
    assert!(
        profiles.has_questionnaire(URL) && profiles.has_questionnaire(&format!("{URL}|1")) && !profiles.has_questionnaire("http://x/p")
    );
    let mut tally = Tally::default();
    for link in ["a", "b", "b"] {
        let line = response("completed", &format!(r#"{{"linkId":"{link}","answer":[{{"valueBoolean":true}}]}}"#));
        let mut tree = Tree::new();
        let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
        assert!(
            validate_counting(&profiles, root, &mut tally).is_ok(),
            "a package warns where nobody says more"
        );
    }
    let report = profiles.report(&tally);
    let held: Vec<(&str, u64)> = report.profiles.iter().map(|one| (one.profile.as_str(), one.resources)).collect();
    assert_eq!(held, [("http://x/p", 3), (URL, 3)]);
    assert_eq!(report.profiles[0].must_support, [("QuestionnaireResponse.authored".to_owned(), 0)]);
    let found: Vec<(Option<&str>, &str, u64)> = report
        .faults
        .iter()
        .map(|fault| (fault.profile.as_deref(), fault.rule.as_str(), fault.count))
        .collect();
    assert_eq!(found, [(Some("http://x/p"), "required", 3), (Some(URL), "unknown linkId", 2)]);
}

#[test]
fn what_of_a_questionnaire_cannot_be_checked_is_said() {
    let constraint = |expression: &str| {
        format!(
            r#"{{"url":"http://hl7.org/fhir/StructureDefinition/questionnaire-constraint","extension":[{{"url":"key","valueId":"k"}},
            {{"url":"severity","valueCode":"error"}},{{"url":"expression","valueString":"{expression}"}}]}}"#
        )
    };
    let item = format!(
        r#"{{"linkId":"a","type":"choice","answerValueSet":"http://x/none","extension":[{}]}}"#,
        constraint("answer.(")
    );
    let nameless = form("1", "").replace(&format!(r#""url":"{URL}","#), "");
    for own in [true, false] {
        let forms = [form("1", &item), nameless.clone()];
        let definitions = forms.each_ref().map(|json| Definition { file: "q.json", json, own });
        let (profiles, faults) = Profiles::compile(&definitions, &Arc::default(), &Options::default());
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(
            said[0].starts_with("profile `q.json` at a: the codes of `http://x/none`"),
            "{said:?}"
        );
        assert!(said[1].contains("constraint `k` is not usable FHIRPath"), "{said:?}");
        assert!(said[2].contains("needs a `url`"), "{said:?}");
        assert!(faults.iter().all(|fault| fault.unchecked != own));
        let answered = r#"{"linkId":"a","answer":[{"valueCoding":{"system":"s","code":"1"}}]}"#;
        assert_eq!(found(&profiles, &response("completed", answered)), [""; 0]);
    }
}

#[test]
fn a_questionnaire_s_own_conditions_name_its_other_questions() {
    let questionnaire = |when: &str| {
        form(
            "1",
            &format!(
                r#"{{"linkId":"a","type":"boolean"}},{{"linkId":"b","type":"group","enableWhen":[{{"question":"{when}","operator":"exists","answerBoolean":true}}],"item":[{{"linkId":"c","type":"boolean"}}]}}"#
            ),
        )
    };
    let (profiles, _) = compiled(&[], &[], &Options::default());
    for (when, expected) in [
        ("a", vec![]),
        ("z", vec!["Questionnaire.item[1].enableWhen[0] question of the condition"]),
        ("b", vec!["Questionnaire.item[1].enableWhen[0] condition within its own item"]),
        ("c", vec!["Questionnaire.item[1].enableWhen[0] condition within its own item"]),
    ] {
        assert_eq!(found(&profiles, &questionnaire(when)), expected, "{when}");
    }
    assert_eq!(found(&Profiles::default(), &questionnaire("z")), [""; 0]);
}

#[test]
fn an_answer_of_any_shape_ends_the_check() {
    // Deep, wide and odd: no panic, and no more work than is paid for.
    let deep = (0..12).fold(r#"{"linkId":"a"}"#.to_owned(), |inner, _| {
        format!(r#"{{"linkId":"a","answer":[{{"valueString":"x","item":[{inner}]}}]}}"#)
    });
    let profiles = loaded(r#"{"linkId":"a","type":"string","item":[{"linkId":"b","type":"string","required":true}]}"#);
    assert!(!found(&profiles, &response("completed", &deep)).is_empty());
    let nested = |open: &str, close: &str| open.repeat(2000) + r#"{"linkId":"a"}"# + &close.repeat(2000);
    let items = nested(r#"{"linkId":"a","answer":[{"item":["#, "]}]}");
    let questions = nested(
        r#"{"linkId":"a","enableWhen":[{"question":"a","operator":"exists","answerBoolean":true}],"item":["#,
        "]}",
    );
    let contained = format!(
        r##"{{"resourceType":"QuestionnaireResponse","questionnaire":"#q","contained":[{{"resourceType":"Questionnaire","id":"q","item":[{questions}]}}],"item":[{items}]}}"##
    );
    let form = form("1", &questions);
    for line in [response("completed", &items), contained, form] {
        let mut tree = Tree::new();
        let limits = Limits {
            depth: 20_000,
            ..Limits::default()
        };
        let root = tree.parse(line.as_bytes(), &limits).expect("JSON");
        assert!(check_all(&profiles, root).iter().any(|issue| issue.refusal.rule == "too deep"));
    }
    for odd in [
        r#"{"linkId":1}"#,
        r#"{"linkId":"a","answer":{}}"#,
        r#"{"linkId":"a","answer":[1]}"#,
        r#"{"linkId":"a","item":[[]]}"#,
        "7",
    ] {
        assert!(!found(&profiles, &response("completed", odd)).is_empty(), "{odd}");
    }
}
