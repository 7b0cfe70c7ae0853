//! A whole policy file, and every way in which one is not.

use super::*;

fn model() -> Model {
    let schema = |body: &str| format!(r#"{{"type":"object","additionalProperties":false,{body}}}"#);
    let patient = schema(
        r#""x-key":"patient_key","x-patient":"patient_key","x-order":["patient_key","birth_date","sex"],"required":["patient_key"],
            "properties":{"patient_key":{"type":"string","maxLength":64},"birth_date":{"type":"string","format":"x-partial-date"},
            "sex":{"type":"string","enum":["F","M"]}}"#,
    );
    let lab = schema(
        r#""x-key":"lab_key","x-patient":"patient_key","x-order":["lab_key","patient_key","day","loinc","note","value"],
            "required":["lab_key","patient_key","loinc"],"properties":{"lab_key":{"type":"string","maxLength":64},
            "patient_key":{"type":"string","x-references":"patient"},"day":{"type":"string","format":"x-partial-date"},
            "loinc":{"type":"string","maxLength":10},"note":{"type":"string"},"value":{"type":"number"}}"#,
    );
    let files = [("patient.schema.json".to_owned(), patient), ("lab.schema.json".to_owned(), lab)];
    Model::from_schemas("m", &files).expect("schemas of ours")
}

const GOOD: &str = r#"
[policy.safe-harbor]
claims = "45 CFR 164.514(b)(2)"
version = "1"
[policy.limited-data-set]
claims = "45 CFR 164.514(e)"
version = "1"
max_shift_days = 90
[table.patient]
patient_key = { rule = "pseudonym", reason = "r" }
birth_date = { rule = "birth-date", reason = "r" }
sex = { rule = "keep", reason = "r" }
[table.lab]
lab_key = { rule = "pseudonym", reason = "r" }
patient_key = { rule = "pseudonym", reason = "r" }
day = { safe-harbor = "year", limited-data-set = "shift", reason = "r" }
loinc = { rule = "code", reason = "r" }
note = { rule = "drop", reason = "free text" }
value = { rule = "keep", reason = "r" }
"#;

fn faults(text: &str) -> Vec<String> {
    match Policy::compile("safe-harbor", text, &model()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

/// The faults of the good file with one line changed.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "the test changes something: {from}");
    faults(&GOOD.replace(from, to))
}

#[test]
fn both_policies_of_a_whole_file_compile_and_differ() {
    let compile = |name| Policy::compile(name, GOOD, &model()).expect("a good file");
    let (strict, limited) = (compile("safe-harbor"), compile("limited-data-set"));
    assert_eq!((strict.max_shift_days(), limited.max_shift_days()), (182, 90));
    assert_ne!(strict.digest(), limited.digest());
    let rule = |policy: &Policy, wanted: &str| policy.columns().find(|(_, column, _, _)| *column == wanted).map(|found| found.2);
    assert_eq!(rule(&strict, "day"), Some(Rule::Year));
    assert_eq!(rule(&limited, "day"), Some(Rule::Shift));
    assert_eq!(strict.columns().count(), 9);
}

#[test]
fn a_column_without_rule_or_reason_is_not_loaded() {
    assert_eq!(
        changed(r#"value = { rule = "keep", reason = "r" }"#, ""),
        ["line 13: `lab.value`: has no rule: nothing leaves without one"]
    );
    assert_eq!(
        changed(r#""drop", reason = "free text""#, r#""drop""#),
        ["line 18: `lab.note`: has no reason"]
    );
    assert_eq!(
        changed(r#"reason = "free text""#, r#"reason = "  ""#),
        ["line 18: `lab.note`: has no reason"]
    );
    assert_eq!(
        changed(r#"limited-data-set = "shift", "#, ""),
        ["line 16: `lab.day`: has no rule under limited-data-set: nothing leaves without one"]
    );
}

#[test]
fn what_the_model_does_not_have_is_named() {
    assert_eq!(
        changed("note =", "remark ="),
        [
            "line 13: `lab.note`: has no rule: nothing leaves without one",
            "line 18: `lab.remark`: is no column of the model",
        ]
    );
    assert_eq!(
        changed("[table.patient]", "[table.person]"),
        [
            "line 1: `patient`: has no rules: every column needs one",
            "line 9: `person`: is no table of the model",
        ]
    );
    assert_eq!(
        changed(r#""code""#, r#""codes""#).first().map(String::as_str),
        Some("line 17: `lab.loinc`: `codes` is no rule")
    );
}

#[test]
fn all_faults_come_at_once_in_the_order_of_lines() {
    let text = GOOD
        .replace(r#"version = "1""#, "")
        .replace(r#""birth-date""#, r#""keep""#)
        .replace(r#""free text""#, r#""""#)
        .replace("[table.lab]", "oops = 1\n[table.lab]");
    let lines: Vec<String> = faults(&text).iter().map(|fault| fault.split(':').take(2).collect()).collect();
    assert_eq!(
        lines,
        [
            "line 2 `policy.safe-harbor`",
            "line 5 `policy.limited-data-set`",
            "line 11 `patient.birth_date`",
            "line 11 `patient.birth_date`",
            "line 13 `patient.oops`",
            "line 19 `lab.note`",
        ]
    );
}

#[test]
fn rules_stand_only_where_they_make_sense() {
    let column = r#"note = { rule = "drop", reason = "free text" }"#;
    let with = |rule: &str| changed(column, &format!(r#"note = {{ rule = "{rule}", reason = "r" }}"#)).join("\n");
    assert!(with("keep").contains("would let free text out"));
    assert!(with("code").contains("`maxLength` of at most 64"));
    assert!(with("pseudonym").contains("needs `x-references`"));
    assert!(with("shift").contains("is for date columns") || with("shift").contains("a shifted date is still a full date"));
    assert!(with("age").contains("is for integer or decimal columns, this one is text"));
    assert_eq!(with("state"), "", "text may be a state");
    assert!(with("zip5").contains("never five digits"));
    assert!(
        changed(r#"loinc = { rule = "code""#, r#"loinc = { rule = "drop""#)
            .join("")
            .contains("would refuse every row")
    );
    assert!(
        changed(r#"lab_key = { rule = "pseudonym""#, r#"lab_key = { rule = "code""#)
            .join("")
            .contains("only `pseudonym`")
    );
    assert!(
        changed(r#"safe-harbor = "year""#, r#"safe-harbor = "shift""#)
            .join("")
            .contains("still a full date")
    );
    assert!(
        changed(r#"safe-harbor = "year""#, r#"safe-harbor = "keep""#)
            .join("")
            .contains("never kept whole")
    );
}

#[test]
fn a_policy_name_or_key_or_number_that_is_unknown_is_a_fault() {
    assert!(
        changed("[policy.safe-harbor]", "[policy.best-effort]")
            .join("")
            .contains("is no policy we know")
    );
    assert!(
        changed("max_shift_days = 90", "max_shift_days = 0")
            .join("")
            .contains("from 1 to 3650")
    );
    assert!(
        changed("max_shift_days = 90", "max_shift = 90")
            .join("")
            .contains("`max_shift` is not known here")
    );
    assert!(
        changed(r#"rule = "code""#, r#"rule = "code", safe-harbor = "drop""#)
            .join("")
            .contains("two rules")
    );
    assert!(changed("[policy.safe-harbor]", "[polices]").join("").contains("is not known"));
    assert!(faults("[policy").join("").contains("is not TOML"));
    assert!(!faults("").is_empty(), "an empty file allows nothing");
    let other = Policy::compile("identified", GOOD, &model()).expect_err("refused");
    assert_eq!(other[0].fault, "is no policy of this file; it has: safe-harbor, limited-data-set");
}

#[test]
fn a_required_birth_column_cannot_be_emptied_so_it_is_not_loaded() {
    let schema = r#"{"additionalProperties":false,"x-key":"k","x-patient":"k","x-order":["k","y"],"required":["k","y"],
            "properties":{"k":{"type":"string"},"y":{"type":"string","format":"date"}}}"#;
    let model = Model::from_schemas("m", &[("p.schema.json".into(), schema.into())]).expect("a schema");
    let text = r#"
[policy.safe-harbor]
claims = "c"
version = "1"
[table.p]
k = { rule = "pseudonym", reason = "r" }
y = { rule = "birth-date", reason = "r" }"#;
    let faults = Policy::compile("safe-harbor", text, &model).expect_err("refused");
    assert!(faults[0].fault.contains("must be empty for a patient over 89"));
    let limited = text.replace("safe-harbor", "limited-data-set");
    assert!(Policy::compile("limited-data-set", &limited, &model).is_ok());
}

#[test]
fn a_site_tightens_and_the_digest_says_so() {
    let model = model();
    let policy = Policy::compile("limited-data-set", GOOD, &model).expect("good");
    let tight = policy
        .tighten(&model, &[("lab.day", "year"), ("lab.value", "drop")])
        .expect("stricter");
    assert_ne!(tight.digest(), policy.digest());
    assert!(tight.columns().any(|(_, column, rule, _)| column == "day" && rule == Rule::Year));
    assert_eq!(policy.tighten(&model, &[]).expect("the same").digest(), policy.digest());
    let faults = tight
        .tighten(
            &model,
            &[
                ("lab.day", "shift"),
                ("lab.nothing", "drop"),
                ("lab.value", "hide"),
                ("lab.loinc", "drop"),
            ],
        )
        .expect_err("looser or unknown");
    assert_eq!(faults.len(), 4);
    assert!(faults[0].fault.contains("never loosen"));
}

#[test]
fn reasons_do_not_change_the_digest_and_rules_do() {
    let digest = |text: &str| Policy::compile("safe-harbor", text, &model()).expect("good").digest();
    assert_eq!(digest(GOOD), digest(&GOOD.replace("free text", "a better reason")));
    assert_ne!(
        digest(GOOD),
        digest(&GOOD.replace(r#"value = { rule = "keep""#, r#"value = { rule = "drop""#))
    );
    assert_ne!(digest(GOOD), digest(&GOOD.replacen(r#"version = "1""#, r#"version = "2""#, 1)));
}

#[test]
fn a_withheld_table_needs_a_reason_and_no_rules() {
    let schema = |key: &str| {
        format!(
            r#"{{"additionalProperties":false,"x-key":"{key}","x-order":["{key}"],"required":["{key}"],"properties":{{"{key}":{{"type":"string"}}}}}}"#
        )
    };
    let files = [
        ("note.schema.json".to_owned(), schema("n")),
        ("p.schema.json".to_owned(), schema("k")),
    ];
    let model = Model::from_schemas("m", &files).expect("schemas");
    let file = |note: &str| {
        format!(
            "[policy.safe-harbor]\nclaims = \"c\"\nversion = \"1\"\n[table.p]\nk = {{ rule = \"pseudonym\", reason = \"r\" }}\n[table.note]\n{note}\n"
        )
    };
    let compile = |note: &str| Policy::compile("safe-harbor", &file(note), &model);
    let policy = compile("withhold = \"free text\"").expect("good");
    assert_eq!(policy.withheld().collect::<Vec<_>>(), [("note", "free text")]);
    assert_eq!(policy.columns().count(), 1);
    let rules = compile("n = { rule = \"pseudonym\", reason = \"r\" }").expect("good");
    assert_ne!(policy.digest(), rules.digest());
    let fault = |note: &str| compile(note).expect_err("a fault")[0].fault.clone();
    assert_eq!(fault("withhold = \" \""), "`withhold` needs a reason, as text");
    assert!(fault("withhold = \"r\"\nn = { rule = \"drop\", reason = \"r\" }").contains("no column may have a rule"));
}
