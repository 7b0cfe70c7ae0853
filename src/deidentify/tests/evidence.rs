//! What a night proves of itself: the guard stops what is planted, and rows are read again as they leave.

use super::*;

#[test]
fn the_guard_stops_every_planted_identifier_and_lets_codes_pass_under_every_policy() {
    for policy in ["safe-harbor", "limited-data-set"] {
        let control = with(policy).control();
        assert!(control.planted() >= 200, "{} planted", control.planted());
        for kind in &control.kinds {
            assert!(kind.caught * 100 >= kind.planted * 99, "{policy}: {kind:?}");
        }
        assert_eq!(control.passed, control.harmless, "{policy}");
        assert!(control.holds());
    }
}

#[test]
fn a_guard_that_misses_more_than_one_in_a_hundred_does_not_hold() {
    let mut control = with("safe-harbor").control();
    control.kinds[0].caught -= 4;
    assert!(!control.holds());
    assert!(!Control::default().holds(), "a control that did not run proves nothing");
}

/// The row that `cells` make, with its bytes changed afterwards: what no rule can give.
fn violations(policy: &str, from: &str, to: &str) -> Vec<(String, String, u64)> {
    let with = with(policy);
    let visit = vec![text("Encounter/e1"), text("Patient/p-one"), text("2024-02-03")];
    let rows = run(
        &with,
        &[
            ("visit", visit),
            ("lab", lab("Patient/p-one", "8480-6")),
            ("patient", patient("Patient/p-one", "2010-03-15")),
        ],
    )
    .expect("released");
    let mut proof = with.proof();
    for row in &rows {
        let body = String::from_utf8(row.body().expect("a row").to_vec()).expect("UTF-8");
        let mut changed = row.clone();
        changed.body = Some(body.replacen(from, to, 1).into_bytes());
        changed.prove(&mut proof);
    }
    with.tombstone("lab", rows[1].key()).expect("a released row").prove(&mut proof);
    let (rows, _, found) = proof.finish();
    assert_eq!(rows, 4);
    found.into_iter().map(|found| (found.column, found.rule, found.rows)).collect()
}

#[test]
fn rows_as_they_leave_are_read_again_and_what_no_rule_gives_is_seen() {
    for policy in ["safe-harbor", "limited-data-set"] {
        assert_eq!(
            violations(policy, "", ""),
            [],
            "{policy}: nothing is wrong with what the rules made"
        );
        let one = |column: &str, rule: &str| vec![(column.to_owned(), rule.to_owned(), 1)];
        assert_eq!(
            violations(policy, r#""code":"8480-6""#, r#""code":"8480-6","note":"Amara""#),
            one("note", "a cell of a dropped column")
        );
        assert_eq!(
            violations(policy, r#""unit""#, r#""amara""#),
            one("", "a member that is no column"),
            "its name might be a value"
        );
        let key = r#""lab_key":""#;
        assert_eq!(
            violations(policy, key, r#""lab_key":"x"#),
            one("lab_key", "a key that is no surrogate")
        );
    }
    assert_eq!(
        violations("safe-harbor", r#""day":"2024""#, r#""day":"2024-02""#),
        [("day".to_owned(), "more of a date than its year".to_owned(), 1)]
    );
    assert_eq!(
        violations("safe-harbor", r#""birth_year":2010"#, r#""birth_year":20100315"#),
        [("birth_year".to_owned(), "more of a date than its year".to_owned(), 1)]
    );
}
