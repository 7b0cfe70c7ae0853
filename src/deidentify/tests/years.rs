//! A year beside moved days: it must not tell how far they moved.

use super::*;

fn under(policy: Policy) -> Deidentifier {
    let keys = Keys::derive(&Secret::new(vec![1; 32]), "ibd", "a");
    let mut people = PeopleBuilder::new(&keys, 10);
    let mut tree = Tree::new();
    let root = tree.parse(PATIENTS[0].as_bytes(), &Limits::default()).expect("JSON");
    people.add(root, [40; 32]).expect("a patient");
    Deidentifier::new(model(), policy, keys, people.finish(), date(2024, 6, 14)).expect("one model")
}

fn year_of(with: &Deidentifier, day: &str) -> String {
    let cells = vec![text("Encounter/e1"), text("Patient/p-one"), text(day)];
    let Ok(rows) = run(with, &[("visit", cells)]) else {
        panic!("the row of {day} is released");
    };
    let row: serde_json::Value = serde_json::from_slice(rows[0].body().expect("a row")).expect("JSON");
    row["day"].as_str().expect("a day")[..4].to_owned()
}

#[test]
fn a_site_that_tightens_moved_days_to_years_shows_the_years_of_the_moved_days() {
    let model = model();
    let days = Policy::compile("limited-data-set", POLICY, &model).expect("a good policy");
    let years = days.tighten(&model, &[("visit.day", "year")]).expect("stricter");
    let (days, years) = (under(days), under(years));
    let mut moved = 0;
    for month in 1..=12 {
        let day = format!("2015-{month:02}-15");
        assert_eq!(year_of(&days, &day), year_of(&years, &day), "{day}");
        moved += usize::from(year_of(&days, &day) != "2015");
    }
    assert!(moved > 0, "no day left its year: nothing was shown");
}

#[test]
fn an_expert_s_moved_days_may_not_become_true_years() {
    let model = model();
    let heading = "[policy.expert]\nclaims = \"45 CFR 164.514(b)(1)\"\nversion = \"1\"\ndetermined_by = \"a\"\ndetermined_on = \"2024-01-02\"\ndetermination = \"d\"\n";
    let rules = POLICY.split_once("[table.patient]").expect("tables").1;
    let rules = rules.replace("safe-harbor = \"zip3\", limited-data-set = \"zip5\"", "rule = \"zip5\"");
    let rules = rules.replace("safe-harbor = \"year\", limited-data-set = \"shift\"", "rule = \"shift\"");
    let policy = Policy::compile("expert", &format!("{heading}[table.patient]{rules}"), &model).expect("a good policy");
    let faults = policy.tighten(&model, &[("visit.day", "year")]).expect_err("refused");
    assert!(faults[0].fault.contains("would tell the shift"), "{}", faults[0]);
    assert!(policy.tighten(&model, &[("visit.day", "drop")]).is_err(), "the day is required");
}

#[test]
fn a_text_with_parts_taken_out_is_for_an_expert_s_policy_alone() {
    let model = model();
    let rules = POLICY.replace("note = { rule = \"drop\"", "note = { rule = \"redact\"");
    assert_ne!(rules, POLICY);
    for (policy, why) in [
        ("safe-harbor", "may still name somebody"),
        ("limited-data-set", "would tell the shift"),
    ] {
        let faults = Policy::compile(policy, &rules, &model).expect_err("refused");
        assert!(
            faults.iter().any(|fault| fault.place == "lab.note" && fault.fault.contains(why)),
            "{policy}: {faults:?}"
        );
    }
}
