//! The methods that are told something, from the policy file to the released row, and an expert's heading.

use super::*;

const HEADING: &str = "[policy.expert]\nclaims = \"45 CFR 164.514(b)(1)\"\nversion = \"1\"\ndetermined_by = \"A. Statistician\"\n\
                       determined_on = \"2024-01-02\"\ndetermination = \"Report 7\"\n";

fn coarse() -> Vec<(String, String)> {
    let text = r#"{"resourceType":"ConceptMap","url":"u","group":[{"source":"s","element":[
        {"code":"K50.1","target":[{"code":"K50","equivalence":"wider"}]},{"code":"K51.9","target":[{"code":"K51","equivalence":"wider"}]}]}]}"#;
    vec![("coarse.json".to_owned(), text.to_owned())]
}

/// The small model's rules as an expert might set them.
fn rules() -> String {
    let rules = POLICY.split_once("[table.patient]").expect("tables").1;
    let changes = [
        (
            r#"{ safe-harbor = "zip3", limited-data-set = "zip5", reason"#,
            r#"{ rule = "zip5", reason"#,
        ),
        (
            r#"{ safe-harbor = "year", limited-data-set = "shift", reason"#,
            r#"{ rule = "month", reason"#,
        ),
        (
            r#"age = { rule = "age", reason"#,
            r#"age = { rule = "age-band", bands = [18, 65, 90], reason"#,
        ),
        (
            r#"code = { rule = "code", reason"#,
            r#"code = { rule = "roll-up", by = "concepts/coarse.json", otherwise = "other", reason"#,
        ),
        (
            r#"value = { rule = "keep", reason"#,
            r#"value = { rule = "perturb", within = 0.5, reason"#,
        ),
        (
            r#"count = { rule = "keep", reason"#,
            r#"count = { rule = "perturb", within = 3, reason"#,
        ),
        (r#"note = { rule = "drop", reason"#, r#"note = { rule = "redact", reason"#),
    ];
    changes.iter().fold(format!("[table.patient]{rules}"), |text, (from, to)| {
        assert!(text.contains(from), "the test changes something: {from}");
        text.replace(from, to)
    })
}

fn compiled(text: &str) -> Result<Policy, Vec<PolicyFault>> {
    Policy::compile_with("expert", text, &model(), &coarse())
}

fn of(policy: Policy, master: u8) -> Deidentifier {
    let keys = Keys::derive(&Secret::new(vec![master; 32]), "ibd", "a");
    let mut people = PeopleBuilder::new(&keys, 10);
    for json in PATIENTS {
        let mut tree = Tree::new();
        let root = tree.parse(json.as_bytes(), &Limits::default()).expect("JSON");
        people.add(root, [40; 32]).expect("a patient");
    }
    Deidentifier::new(model(), policy, keys, people.finish(), date(2024, 6, 14)).expect("one model")
}

fn expert() -> Deidentifier {
    of(compiled(&format!("{HEADING}{}", rules())).expect("a good policy"), 1)
}

fn lab_of<'a>(key: &'a str, code: &'a str, note: &'a str) -> Vec<Cell<'a>> {
    let mut cells = lab("Patient/p-one", code);
    cells[0] = text(key);
    cells[7] = text(note);
    cells
}

#[test]
fn every_method_does_to_a_row_what_the_file_tells_it() {
    let with = expert();
    let visit = vec![text("Encounter/e1"), text("Patient/p-one"), text("2019-07-21")];
    assert_eq!(one(&with, "visit", visit)["day"], "2019-07");
    for (code, target) in [("K50.1", "K50"), ("K51.9", "K51"), ("Z99", "other")] {
        assert_eq!(one(&with, "lab", lab_of("Observation/o1", code, "x"))["code"], target);
    }
    for (age, band) in [(0, 0), (17, 0), (18, 18), (64, 18), (65, 65), (89, 65), (90, 90), (104, 90)] {
        let mut cells = patient("Patient/p-one", "2010-03-15");
        cells[3] = Cell::Integer(age);
        assert_eq!(one(&with, "patient", cells)["age"], band, "{age}");
    }
}

#[test]
fn noise_is_the_same_for_the_same_cell_and_another_for_another_row_or_key() {
    let released = |with: &Deidentifier, key: &str| one(with, "lab", lab_of(key, "K50.1", "x"));
    let (with, other) = (expert(), of(compiled(&format!("{HEADING}{}", rules())).expect("good"), 2));
    assert_eq!(released(&with, "Observation/o1"), released(&expert(), "Observation/o1"));
    let (mut differ, mut keyed, mut seen) = (0, 0, std::collections::BTreeSet::new());
    for number in 0..200 {
        let key = format!("Observation/o{number}");
        let value = |with| released(with, &key)["value"].as_f64().expect("a number");
        let count = released(&with, &key)["count"].as_i64().expect("a number");
        assert!((value(&with) - 1.5).abs() <= 0.5 + 1e-9, "within the bound");
        assert!((4..=10).contains(&count), "within the bound");
        keyed += usize::from((value(&with) - value(&other)).abs() > 1e-9);
        differ += usize::from((value(&with) - 1.5).abs() > 1e-9);
        seen.insert(count);
    }
    // 101 steps of a hundredth: the true number, or an equal one, is drawn about twice in 200.
    assert!(differ > 185 && keyed > 185, "{differ} {keyed}");
    assert_eq!(seen.len(), 7, "every step is taken: {seen:?}");
}

#[test]
fn a_redacted_text_leaves_without_its_patient_and_without_anybody_s_shapes() {
    let with = expert();
    for (note, left) in [
        ("Seen Amara Okonkwo today", "Seen […] today"),
        (
            "mother of Okonkwo, Amara called 617-555-0142 twice",
            "mother of […] called […] twice",
        ),
        ("born 15 March 2010 in spring", "born […] in spring"),
        ("seen on 2019-03-04 in clinic", "seen on […] in clinic"),
        ("mail jane@example.org or +44 20 7946 0958 please", "mail […] or […] please"),
        ("nothing of note", "nothing of note"),
    ] {
        assert_eq!(one(&with, "lab", lab_of("Observation/o1", "K50.1", note))["note"], left, "{note}");
    }
}

#[test]
fn what_an_expert_must_say_has_no_default() {
    for line in ["determined_by", "determined_on", "determination"] {
        for text in ["", "  "] {
            let changed = |written: &str| match written.starts_with(&format!("{line} ")) {
                true if text.is_empty() => String::new(),
                true => format!("{line} = \"{text}\"\n"),
                false => format!("{written}\n"),
            };
            let heading: String = HEADING.lines().map(changed).collect();
            let faults = compiled(&format!("{heading}{}", rules())).expect_err("refused");
            assert!(faults.iter().any(|fault| fault.fault == format!("needs `{line}`")), "{faults:?}");
        }
    }
    let day = HEADING.replace("2024-01-02", "in spring");
    assert!(
        compiled(&format!("{day}{}", rules())).expect_err("refused")[0]
            .fault
            .contains("is a day")
    );
    let policy = compiled(&format!("{HEADING}{}", rules())).expect("good");
    assert_eq!(policy.determination().map(|who| who.by.as_str()), Some("A. Statistician"));
    let other = compiled(&format!("{}{}", HEADING.replace("Report 7", "Report 8"), rules())).expect("good");
    assert_ne!(policy.digest(), other.digest(), "another determination is another policy");
}

#[test]
fn an_expert_s_policy_is_default_deny_too_and_keeps_no_free_text() {
    let good = format!("{HEADING}{}", rules());
    let without = good.replace(r#"unit = { rule = "keep", reason = "r" }"#, "");
    assert!(compiled(&without).expect_err("refused")[0].fault.contains("has no rule"));
    let kept = good.replace(r#"note = { rule = "redact""#, r#"note = { rule = "keep""#);
    assert!(compiled(&kept).expect_err("refused")[0].fault.contains("would let free text out"));
    let no_maps = Policy::compile("expert", &good, &model()).expect_err("refused");
    assert!(no_maps[0].fault.contains("is no ConceptMap of the package"));
}

#[test]
fn safe_harbor_and_the_limited_data_set_do_not_take_what_is_an_expert_s() {
    let compile = |name: &str, from: &str, to: &str| {
        let text = POLICY.replace(from, to);
        assert_ne!(text, POLICY);
        let faults = Policy::compile(name, &text, &model()).expect_err("refused");
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let note = r#"note = { rule = "drop""#;
    for (name, redact) in [
        ("safe-harbor", r#"note = { safe-harbor = "redact", limited-data-set = "drop""#),
        ("limited-data-set", r#"note = { safe-harbor = "drop", limited-data-set = "redact""#),
    ] {
        assert!(compile(name, note, redact).contains(&format!("under {name}:")));
    }
    let day = r#"safe-harbor = "year", limited-data-set = "shift""#;
    let month = compile("safe-harbor", day, r#"safe-harbor = "month", limited-data-set = "shift""#);
    assert!(month.contains("leaves `year`"), "{month}");
    let month = compile("limited-data-set", day, r#"safe-harbor = "year", limited-data-set = "month""#);
    assert!(month.contains("would tell the shift"), "{month}");
    let stray = compile(
        "safe-harbor",
        "version = \"1\"\n[policy.limited",
        "version = \"1\"\ndetermined_by = \"x\"\n[policy.limited",
    );
    assert!(stray.contains("is for the policy `expert`"), "{stray}");
}

#[test]
fn a_weekday_stays_where_the_policy_keeps_it() {
    let kept = POLICY.replace(
        "claims = \"45 CFR 164.514(e)\"",
        "claims = \"45 CFR 164.514(e)\"\nkeep_weekday = true\nmax_shift_days = 100",
    );
    let policy = Policy::compile("limited-data-set", &kept, &model()).expect("good");
    assert!(policy.keeps_weekday());
    let mut shifts = std::collections::BTreeSet::new();
    for master in 1..60 {
        let with = of(policy.clone(), master);
        let visit = vec![text("Encounter/e1"), text("Patient/p-one"), text("2024-02-01")];
        let day: Date = one(&with, "visit", visit)["day"].as_str().expect("a day").parse().expect("a date");
        let moved = (day - date(2024, 2, 1)).get_days();
        assert!(moved % 7 == 0 && moved.abs() <= 98, "{moved}");
        shifts.insert(moved);
    }
    // 59 draws out of 29: about 25 different ones.
    assert!(shifts.len() > 15, "{shifts:?}");
    let little = kept.replace("max_shift_days = 100", "max_shift_days = 6");
    let faults = Policy::compile("limited-data-set", &little, &model()).expect_err("refused");
    assert!(faults[0].fault.contains("at least 7"));
}

#[test]
fn surrogates_of_a_key_are_of_one_kind_or_rows_would_not_join() {
    let places = ["patient.patient_key", "visit.patient_key", "lab.patient_key"];
    let policy = Policy::compile("limited-data-set", POLICY, &model()).expect("good");
    let one_only = policy.tighten(&model(), &[(places[0], "surrogate")]).expect_err("refused");
    assert!(one_only[0].fault.contains("rows could not be joined"));
    let all = policy
        .tighten(&model(), &places.map(|place| (place, "surrogate")))
        .expect("stricter");
    let (with, keyed) = (of(all, 1), of(policy, 1));
    let row = |with: &Deidentifier| one(with, "patient", patient("Patient/p-one", "2010-03-15"))["patient_key"].clone();
    assert_eq!(one(&with, "lab", lab("Patient/p-one", "8480-6"))["patient_key"], row(&with));
    assert_ne!(row(&with), row(&keyed));
    let mixed = POLICY.replacen(
        r#"patient_key = { rule = "pseudonym""#,
        r#"patient_key = { safe-harbor = "pseudonym", limited-data-set = "surrogate""#,
        1,
    );
    let faults = Policy::compile("limited-data-set", &mixed, &model()).expect_err("refused");
    assert!(faults.iter().all(|fault| fault.fault.contains("rows could not be joined")));
    let site = POLICY.replace(r#"site_key = { rule = "pseudonym""#, r#"site_key = { rule = "surrogate""#);
    let faults = Policy::compile("safe-harbor", &site, &model()).expect_err("refused");
    assert!(faults[0].fault.contains("needs a patient"));
}

#[test]
fn a_site_tightens_by_bands_bounds_maps_and_whole_tables() {
    let policy = Policy::compile("limited-data-set", POLICY, &model()).expect("good");
    let stricter = [
        ("patient.age", r#"{ rule = "age-band", bands = [65, 90] }"#),
        ("lab.value", r#"{ rule = "perturb", within = 1 }"#),
        (
            "lab.code",
            r#"{ rule = "roll-up", by = "concepts/coarse.json", otherwise = "other" }"#,
        ),
        ("site", "withhold"),
    ];
    let tight = policy.tighten_with(&model(), &stricter, &coarse()).expect("stricter");
    assert_ne!(tight.digest(), policy.digest());
    assert_eq!(tight.withheld().collect::<Vec<_>>(), [("site", "withheld by the site")]);
    let with = of(tight, 1);
    assert_eq!(one(&with, "lab", lab_of("Observation/o1", "K50.1", "x"))["code"], "K50");
    let kept = run(&with, &[("site", vec![text("Organization/s"), text("x")])]).expect("nothing");
    assert!(kept.is_empty());
    let looser = [("lab.value", r#"{ rule = "perturb", within = 0.5 }"#), ("lab.code", "code")];
    assert_eq!(with.policy().tighten(&model(), &looser).expect_err("looser").len(), 2);
}

#[test]
fn a_row_that_names_its_own_resource_s_id_stays() {
    let with = with("limited-data-set");
    let id = "9d3f1c2a-77aa-4c1b-8e11-0a2b3c4d5e6f";
    let (own, another) = (format!("Observation/{id}"), "Observation/another-one");
    let row = |key| {
        let mut cells = lab("Patient/p-one", id);
        cells[0] = text(key);
        cells
    };
    assert_eq!(
        refusal(&with, "lab", row(&own)),
        "deidentify: leak guard: an id of its source at `lab.code`"
    );
    run(&with, &[("lab", row(another))]).expect("another resource's id is not this row's");
}
