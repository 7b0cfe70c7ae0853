//! What a Consent says, of ours and of strangers, in all the ways that it may be written.

use super::super::leave::{Leave, When};
use super::*;
use crate::fhir::tree::{Limits, Tree};

fn settings() -> ConsentSettings {
    ConsentSettings {
        scopes: vec!["research".into()],
        purposes: vec!["HRESCH".into()],
        codes: vec!["urn:ours|mdat".into()],
        actors: vec!["Organization/network".into()],
        ..ConsentSettings::default()
    }
}

/// A whole Consent, which may be odd.
fn odd(json: &str) -> Option<Statement> {
    let mut tree = Tree::new();
    let root = tree.parse(json.as_bytes(), &Limits::default()).expect("JSON");
    read(root, &settings(), "2025-01-01".parse().expect("a day")).map(|read| read.1)
}

#[test]
fn a_misspelt_no_is_a_no_and_is_told() {
    let with = |status: &str, scope: &str, rest: &str| {
        odd(&format!(
            r#"{{"resourceType":"Consent","id":"c","status":"{status}","scope":{scope},"patient":{{"reference":"Patient/p1"}}{rest}}}"#
        ))
    };
    let ours = r#"{"coding":[{"code":"research"}]}"#;
    for (status, rest) in [
        ("actve", r#","provision":{"type":"permit"}"#),
        ("active", r#","provision":{"type":"Deny"}"#),
        ("active", r#","provision":{"type":7}"#),
        ("active", r#","provision":[{"type":"deny"}]"#),
        ("active", r#","provision":{"type":"permit","provision":[{"type":"DENY"}]}"#),
    ] {
        let found = with(status, ours, rest).expect("it speaks");
        assert!(found.is_doubtful && found.clauses == [Clause::always(false)], "{status} {rest}");
    }
    for status in ["draft", "inactive", "entered-in-error"] {
        assert_eq!(with(status, ours, r#","provision":{"type":"deny"}"#), None, "{status} says nothing");
    }
    let plain = with("active", ours, r#","provision":{"type":"deny"}"#).expect("it speaks");
    assert!(!plain.is_doubtful && plain.clauses == [Clause::always(false)]);
    // A scope in words alone: it may be ours where it denies, and is not where it permits.
    let words = r#"{"text":"research"}"#;
    assert_eq!(
        with("active", words, r#","provision":{"type":"deny"}"#)
            .expect("it speaks")
            .clauses
            .len(),
        1
    );
    let permits = with("active", words, r#","dateTime":"2020-01-01","provision":{"type":"permit"}"#);
    assert!(permits.is_none_or(|permits| permits.clauses.is_empty()));
    // A moment that cannot be read is none: a denial then is the newest.
    assert_eq!(
        with("active", ours, r#","dateTime":"not a date","provision":{"type":"deny"}"#)
            .expect("it speaks")
            .given,
        ""
    );
}

fn said(rest: &str, settings: &ConsentSettings) -> Option<Leave> {
    let json = format!(
        r#"{{"resourceType":"Consent","id":"c","status":"active","scope":{{"coding":[{{"code":"research"}}]}},
            "patient":{{"reference":"Patient/p1"}},"dateTime":"2024-03-10"{rest}}}"#
    );
    let mut tree = Tree::new();
    let root = tree.parse(json.as_bytes(), &Limits::default()).expect("JSON");
    let read = read(root, settings, "2025-01-01".parse().expect("a day"))?;
    assert_eq!(read.0, "Patient/p1");
    Some(Leave::by(read.1.clauses))
}

fn leaves(rest: &str, on: &str) -> bool {
    let leave = said(rest, &settings()).expect("it speaks of us");
    leave.why_not(When::On(on.parse().expect("a day"))).is_none()
}

#[test]
fn a_permission_holds_from_its_beginning_and_for_what_comes_after_it() {
    let plain = r#","provision":{"type":"permit"}"#;
    assert!(
        !leaves(plain, "2024-03-09") && leaves(plain, "2024-03-10"),
        "from the day it was given"
    );
    let period = r#","provision":{"type":"permit","period":{"start":"2024-06-01"}}"#;
    assert!(!leaves(period, "2024-05-31") && leaves(period, "2024-06-01"));
    let data = r#","provision":{"type":"permit","dataPeriod":{"start":"2010-01-01","end":"2024-12"}}"#;
    assert!(leaves(data, "2010-01-01") && leaves(data, "2024-12-31") && !leaves(data, "2025-01-01"));
    let before = ConsentSettings {
        retrospective: true,
        ..settings()
    };
    assert_eq!(said(plain, &before), Some(Leave::All));
}

#[test]
fn a_permission_that_is_over_not_begun_or_limited_to_others_is_none() {
    for limit in [
        r#""period":{"end":"2024-12-31"}"#,
        r#""period":{"start":"2025-01-02"}"#,
        r#""period":{"start":"one day"}"#,
        r#""dataPeriod":{"start":"one day"}"#,
        r#""purpose":[{"code":"HMARKT"}]"#,
        r#""code":[{"coding":[{"system":"urn:other","code":"mdat"}]}]"#,
        r#""actor":[{"reference":{"reference":"Organization/other"}}]"#,
        r#""action":[{"coding":[{"code":"correct"}]}]"#,
        r#""class":[{"code":"Observation"}]"#,
        r#""securityLabel":[{"code":"R"}]"#,
        r#""data":[{"meaning":"instance"}]"#,
        r#""modifierExtension":[{"url":"x"}]"#,
    ] {
        let rest = format!(r#","provision":{{"type":"permit",{limit}}}"#);
        assert!(matches!(said(&rest, &settings()), Some(Leave::Nothing(_))), "{limit}");
    }
    for limit in [
        r#""period":{"end":"2025-01-01"}"#,
        r#""purpose":[{"code":"HMARKT"},{"code":"HRESCH"}]"#,
        r#""code":[{"coding":[{"system":"urn:ours","code":"mdat"}]}]"#,
        r#""actor":[{"reference":{"reference":"Organization/network"}}]"#,
        r#""action":[{"coding":[{"code":"disclose"}]}]"#,
    ] {
        assert!(
            leaves(&format!(r#","provision":{{"type":"permit",{limit}}}"#), "2024-12-01"),
            "{limit}"
        );
    }
}

#[test]
fn a_denial_we_cannot_place_counts_and_one_for_another_purpose_does_not() {
    for limit in [
        r#""class":[{"code":"X"}]"#,
        r#""period":{"start":"one day"}"#,
        r#""dataPeriod":{"end":"x"}"#,
    ] {
        let rest = format!(r#","policyRule":{{"coding":[{{"code":"OPTIN"}}]}},"provision":{{"provision":[{{"type":"deny",{limit}}}]}}"#);
        assert!(matches!(said(&rest, &settings()), Some(Leave::Nothing(_))), "{limit}");
    }
    let other = r#","provision":{"type":"permit","provision":[{"type":"deny","purpose":[{"code":"HMARKT"}]}]}"#;
    assert!(leaves(other, "2024-12-01"));
}

#[test]
fn provisions_in_a_provision_are_exceptions_from_it_and_denials_count() {
    let opt_in =
        r#","provision":{"type":"deny","provision":[{"type":"permit","code":[{"coding":[{"system":"urn:ours","code":"mdat"}]}]}]}"#;
    assert!(leaves(opt_in, "2024-12-01") && !leaves(opt_in, "2024-03-09"));
    let both = r#","provision":{"type":"deny","provision":[{"type":"deny","purpose":[{"code":"HRESCH"}]},{"type":"permit"}]}"#;
    assert!(!leaves(both, "2024-12-01"));
    let hole = r#","provision":{"type":"permit","provision":[{"type":"deny","dataPeriod":{"start":"2024-08-01","end":"2024-08-31"}}]}"#;
    assert!(leaves(hole, "2024-07-31") && !leaves(hole, "2024-08-15") && leaves(hole, "2024-09-01"));
}

#[test]
fn the_policy_rule_speaks_where_the_root_has_no_type() {
    let rule = |code: &str| format!(r#","policyRule":{{"coding":[{{"code":"{code}"}}]}}"#);
    assert!(leaves(&rule("OPTIN"), "2024-12-01"));
    assert_eq!(
        said(&rule("OPTOUT"), &settings()),
        Some(Leave::Nothing(super::super::leave::DENIED))
    );
    assert!(matches!(said("", &settings()), Some(Leave::Nothing(_))), "it says nothing");
}

#[test]
fn only_active_or_rejected_consents_of_our_scope_speak() {
    let check = |status: &str, scope: &str| {
        let json = format!(
            r#"{{"resourceType":"Consent","status":"{status}","scope":{{"coding":[{{"code":"{scope}"}}]}},
                "patient":{{"reference":"Patient/p1"}},"provision":{{"type":"permit"}},"dateTime":"2024"}}"#
        );
        let mut tree = Tree::new();
        let root = tree.parse(json.as_bytes(), &Limits::default()).expect("JSON");
        let today = "2025-01-01".parse().expect("a day");
        read(root, &settings(), today).map(|(_, said)| matches!(Leave::by(said.clauses), Leave::Times(_)))
    };
    assert_eq!(check("active", "research"), Some(true));
    assert_eq!(check("rejected", "research"), Some(false));
    for (status, scope) in [
        ("inactive", "research"),
        ("entered-in-error", "research"),
        ("proposed", "research"),
        ("active", "treatment"),
    ] {
        assert_eq!(check(status, scope), None, "{status} {scope}");
    }
}
