//! What a pull proves of each type: a fault spoils the types it touches, and no other.

use serde_json::json;

use super::ehr::{Answer, Ehr};
use super::*;

/// Patients in file 1, an Observation in file 2, and what else the manifest lists.
async fn ehr_with(more: serde_json::Value) -> Ehr {
    let mut manifest = json!({"output": [
        {"type": "Patient", "url": "{base}/files/1", "count": 2},
        {"type": "Observation", "url": "{base}/files/2", "count": 1},
    ]});
    for (name, value) in more.as_object().unwrap() {
        manifest[name] = value.clone();
    }
    let ehr = Ehr::with_manifest(manifest).await;
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    ehr.on("GET /files/2", [Answer::new(200, AN_OBSERVATION)]);
    ehr
}

/// Pulls both types, and checks which of them are whole.
async fn check(ehr: &Ehr, patients: bool, observations: bool) -> Pulled {
    let pulled = Site::new().pull_types(ehr, 1, &["Patient", "Observation"], |_| ()).await.unwrap();
    for (name, expected) in [("Patient", patients), ("Observation", observations)] {
        let proven = &pulled.types[name];
        assert_eq!(
            (proven.whole, proven.reached.is_some()),
            (expected, expected),
            "{name}: {:?}",
            pulled.problems
        );
    }
    assert_eq!(pulled.complete, patients && observations, "{:?}", pulled.problems);
    pulled
}

#[tokio::test]
async fn a_file_that_never_comes_spoils_its_own_type_only() {
    let ehr = ehr_with(json!({})).await;
    ehr.on("GET /files/1", [Answer::new(404, "")]);
    check(&ehr, false, true).await;
    assert_eq!(
        ehr.asked("GET /files/1").len(),
        2,
        "the fault fired, also after the manifest was read again"
    );
}

#[tokio::test]
async fn a_wrong_count_spoils_its_own_type_only() {
    let ehr = ehr_with(json!({})).await;
    ehr.on("GET /files/2", [Answer::new(200, "")]);
    let pulled = check(&ehr, true, false).await;
    assert!(
        pulled.problems[0].contains("has 0 resources, the manifest says 1"),
        "{:?}",
        pulled.problems
    );
}

#[tokio::test]
async fn resources_of_another_type_than_the_manifest_says_are_landed_and_told() {
    let ehr = ehr_with(json!({})).await;
    ehr.on(
        "GET /files/2",
        [Answer::new(200, "{\"resourceType\":\"Condition\",\"id\":\"c\"}\n")],
    );
    let pulled = check(&ehr, true, false).await;
    let told = "file 2 of the export (resources, Observation): 1 of its 1 resources are of another type than the manifest says";
    assert_eq!(pulled.problems, [told]);
    assert_eq!(pulled.segments.len(), 2);
}

#[tokio::test]
async fn a_file_of_deletions_or_errors_that_never_comes_spoils_every_type() {
    for member in ["deleted", "error", "outcome"] {
        let ehr = ehr_with(json!({member: [{"url": "{base}/files/3"}]})).await;
        ehr.on("GET /files/3", [Answer::new(410, "")]);
        check(&ehr, false, false).await;
        assert_eq!(ehr.asked("GET /files/3").len(), 2, "the fault fired");
    }
}

#[tokio::test]
async fn a_reported_error_spoils_the_type_it_names_or_every_type() {
    for (issue, patients, observations) in [
        (
            json!({"severity": "error", "code": "exception", "expression": ["Observation"]}),
            true,
            false,
        ),
        (json!({"severity": "error", "code": "exception"}), false, false),
        (json!({"severity": "warning", "code": "not-supported"}), true, true),
    ] {
        let ehr = ehr_with(json!({"error": [{"type": "OperationOutcome", "url": "{base}/files/3"}]})).await;
        let outcome = json!({"resourceType": "OperationOutcome", "issue": [issue]});
        ehr.on("GET /files/3", [Answer::new(200, format!("{outcome}\n"))]);
        let pulled = check(&ehr, patients, observations).await;
        assert_eq!(pulled.problems.len(), 1, "{:?}", pulled.problems);
        let outcomes = pulled.segments.iter().filter(|segment| segment.kind == landing::Kind::Outcome);
        assert_eq!(outcomes.count(), 1, "what the source reports is kept");
    }
}

#[tokio::test]
async fn a_full_export_of_no_file_is_told_and_complete_and_a_later_one_is_silent() {
    let ehr = Ehr::with_manifest(json!({})).await;
    let site = Site::new();
    let whole = site.pull_types(&ehr, 1, &["Patient"], |_| ()).await.unwrap();
    assert!(
        whole.complete && whole.types["Patient"].whole,
        "deleting everything is for the brake to ask about"
    );
    assert!(
        whole.problems.len() == 1 && whole.problems[0].contains("no file at all"),
        "{:?}",
        whole.problems
    );
    let source = Source::Ehr(EhrSettings::new(ehr.base(), "gateway-1"));
    let later = site.pull_from(source, 2, Some("2026-02-28T02:00:00Z")).await.unwrap();
    assert!(later.complete && later.problems.is_empty(), "{:?}", later.problems);
}

#[tokio::test]
async fn what_changed_before_a_moment_is_never_all_there_is() {
    let ehr = ehr_with(json!({})).await;
    let request = Request {
        until: Some("2026-02-28T00:00:00Z".parse().unwrap()),
        ..Request::new(1)
    };
    let source = Source::Ehr(EhrSettings::new(ehr.base(), "gateway-1"));
    let pulled = Site::new().pull_as(source, request).await.unwrap();
    assert!(pulled.complete && pulled.types.values().all(|proven| !proven.whole));
    assert!(ehr.asked("GET /$export")[0].query.ends_with("_until=2026-02-28T00%3A00%3A00Z"));
}
