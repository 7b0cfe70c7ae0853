//! Pulls from a folder.

use super::ehr::gzip;
use super::*;

#[allow(clippy::disallowed_methods, reason = "tests lay files out")]
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

const BUNDLE: &str = r#"{
  "resourceType": "Bundle",
  "type": "transaction",
  "entry": [
    {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "p",
       "text": {"div": "a\nb  c"}}, "request": {"method": "POST", "url": "Patient"}},
    {"resource": {
       "resourceType": "Observation", "valueQuantity": {"value": 1.500, "unit": "mg / dL"}}},
    {"request": {"method": "DELETE", "url": "Condition/9"}},
    {"response": {"status": "200"}}
  ]
}"#;

fn landed(kinds: &[(&str, &'static str, &str)]) -> Vec<(String, &'static str, String)> {
    kinds
        .iter()
        .map(|(name, kind, content)| ((*name).to_owned(), *kind, (*content).to_owned()))
        .collect()
}

#[tokio::test]
async fn lands_ndjson_as_it_is_and_bundles_as_a_line_per_resource() {
    let mixed = "{\"resourceType\":\"Device\",\"x\":1.10}\n\nno json\n{\"resourceType\":\"Device\"}";
    let dir = folder(&[
        ("Patient.000.ndjson", TWO_PATIENTS.as_bytes()),
        ("Condition.ndjson.gz", &gzip(b"{\"resourceType\":\"Condition\"}\n")),
        ("export.ndjson", mixed.as_bytes()),
        ("Jane_Doe.json", BUNDLE.as_bytes()),
        ("one.json", b"{\"resourceType\":\"Location\"}"),
        ("notes.txt", b"not ours"),
    ]);
    let site = Site::new();
    let pulled = site.pull_folder(dir.path(), 1, None).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(pulled.transaction_time.to_string(), "2026-03-01T02:00:00Z");
    assert_eq!(
        site.landed(&pulled),
        landed(&[
            ("", "resources", "no json\n"),
            (
                "Bundle",
                "deleted",
                "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{\"request\":{\"method\":\"DELETE\",\"url\":\"Condition/9\"}}]}\n"
            ),
            ("Condition", "resources", "{\"resourceType\":\"Condition\"}\n"),
            (
                "Device",
                "resources",
                "{\"resourceType\":\"Device\",\"x\":1.10}\n{\"resourceType\":\"Device\"}\n"
            ),
            ("Location", "resources", "{\"resourceType\":\"Location\"}\n"),
            (
                "Observation",
                "resources",
                "{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":1.500,\"unit\":\"mg / dL\"}}\n"
            ),
            ("Patient", "resources", TWO_PATIENTS),
            (
                "Patient",
                "resources",
                "{\"resourceType\":\"Patient\",\"id\":\"p\",\"text\":{\"div\":\"a\\nb  c\"}}\n"
            ),
        ])
    );
}

#[tokio::test]
async fn a_file_is_landed_once_by_its_content() {
    let dir = folder(&[
        ("Patient.ndjson", TWO_PATIENTS.as_bytes()),
        ("Patient-copy.ndjson", TWO_PATIENTS.as_bytes()),
        ("a.json", BUNDLE.as_bytes()),
    ]);
    let site = Site::new();
    let first = site.pull_folder(dir.path(), 1, None).await.unwrap();
    assert_eq!(first.counts, [("Observation".to_owned(), 1), ("Patient".to_owned(), 3)]);
    let again = site.pull_folder(dir.path(), 1, None).await.unwrap();
    assert_eq!(again.segments, first.segments);

    let newer = site.pull_folder(dir.path(), 2, Some("2026-03-01T02:00:00Z")).await.unwrap();
    assert!(newer.complete && newer.segments.is_empty(), "nothing is new");
    let whole = site.pull_folder(dir.path(), 3, None).await.unwrap();
    assert_eq!(whole.counts, first.counts, "a run without `since` wants everything");
}

#[tokio::test]
async fn what_cannot_be_used_is_told_without_names_and_values_and_taken_when_mended() {
    let dir = folder(&[
        ("CanaryName.json", b"{\"resourceType\":\"Patient\",\"name\":CanaryValue}"),
        ("Condition.ndjson.gz", &gzip(b"{\"resourceType\":\"Condition\"}\n")[..20]),
        ("Patient.ndjson", TWO_PATIENTS.as_bytes()),
        ("Procedure.ndjson", b"{\"resourceType\":\"Procedure\"}\n{\"resourceTy"),
    ]);
    let site = Site::new();
    let pulled = site.pull_folder(dir.path(), 1, None).await.unwrap();
    assert!(!pulled.complete);
    assert_eq!(pulled.problems.len(), 3, "{:?}", pulled.problems);
    assert!(!pulled.problems.concat().contains("Canary"), "{:?}", pulled.problems);
    assert_eq!(pulled.counts, [("Patient".to_owned(), 2)]);

    for (name, content) in [
        ("CanaryName.json", "{\"resourceType\":\"Patient\"}"),
        ("Procedure.ndjson", "{\"resourceType\":\"Procedure\"}"),
    ] {
        headwater::platform::file::write_durable(&dir.path().join(name), content.as_bytes()).unwrap();
    }
    std::fs::remove_file(dir.path().join("Condition.ndjson.gz")).unwrap();
    let mended = site.pull_folder(dir.path(), 1, None).await.unwrap();
    assert!(mended.complete, "{:?}", mended.problems);
    assert_eq!(mended.counts, [("Patient".to_owned(), 3), ("Procedure".to_owned(), 1)]);
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = Site::new().pull_folder(&dir.path().join("nowhere"), 1, None).await.unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}
