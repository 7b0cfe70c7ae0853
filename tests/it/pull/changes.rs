//! Many small files, and files that change while they are fetched.

use serde_json::json;

use super::ehr::{Answer, Ehr};
use super::*;

#[tokio::test]
async fn thousands_of_files_of_one_line_are_a_few_segments_over_a_few_connections() {
    const FILES: usize = 1_500;
    let name_of = |file: usize| ["Patient", "Observation", "Condition"][file % 3];
    let output: Vec<_> = (0..FILES)
        .map(|file| json!({"type": name_of(file), "url": format!("{{base}}/files/{file}"), "count": 1}))
        .collect();
    let ehr = Ehr::with_manifest(json!({ "output": output })).await;
    for file in 0..FILES {
        let name = name_of(file);
        ehr.on(
            &format!("GET /files/{file}"),
            [Answer::new(200, format!("{{\"resourceType\":\"{name}\",\"id\":\"{file}\"}}\n"))],
        );
    }
    ehr.on("GET /files/7", [Answer::new(429, ""), Answer::new(200, AN_OBSERVATION)]);
    let site = Site::new();
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(
        pulled.counts,
        ["Condition", "Observation", "Patient"].map(|name| (name.to_owned(), 500))
    );
    assert!(pulled.segments.len() <= 6, "{} durable writes", pulled.segments.len());
    assert!(
        ehr.most_under_way() <= site.limits.concurrency,
        "{} at a time",
        ehr.most_under_way()
    );
    assert_eq!(ehr.seen().len(), FILES + 5, "each once, but for the one that was refused");
}

/// Two files of patients and one of Observations; file 2 is answered as told.
async fn ehr_that_changes(second: impl IntoIterator<Item = Answer>) -> Ehr {
    let ehr = Ehr::with_manifest(json!({"output": [
        {"type": "Patient", "url": "{base}/files/1"},
        {"type": "Patient", "url": "{base}/files/2"},
        {"type": "Observation", "url": "{base}/files/3"},
    ]}))
    .await;
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    ehr.on("GET /files/2", second);
    ehr.on("GET /files/3", [Answer::new(200, AN_OBSERVATION)]);
    ehr
}

const NEW_PATIENTS: &str = "{\"resourceType\":\"Patient\",\"id\":\"c\"}\n{\"resourceType\":\"Patient\",\"id\":\"d\"}\n";

#[tokio::test]
async fn content_that_changed_between_tries_is_fetched_again_with_all_of_its_type() {
    let ehr = ehr_that_changes([Answer::new(200, TWO_PATIENTS).shortened(5), Answer::new(200, NEW_PATIENTS)]).await;
    let site = Site::new();
    let pulled = site.pull_types(&ehr, 1, &["Patient", "Observation"], |_| ()).await.unwrap();
    assert_eq!(ehr.asked("GET /files/2").len(), 3, "cut, changed, and again");
    assert_eq!((ehr.asked("GET /files/1").len(), ehr.asked("GET /files/3").len()), (2, 1));
    assert_eq!(
        (ehr.asked("GET /$export").len(), ehr.asked("GET /poll/1").len()),
        (1, 2),
        "the same job"
    );
    assert!(pulled.complete && pulled.types["Patient"].whole, "{:?}", pulled.problems);
    assert!(pulled.problems[0].contains("Patient changed at the EHR"), "{:?}", pulled.problems);
    assert_eq!(pulled.counts, [("Observation".to_owned(), 1), ("Patient".to_owned(), 4)]);
    assert_eq!(site.landed(&pulled)[1].2.matches("\"id\":\"c\"").count(), 1);
}

#[tokio::test]
async fn the_same_content_after_a_cut_is_no_change() {
    let ehr = ehr_that_changes([Answer::new(200, TWO_PATIENTS).shortened(5), Answer::new(200, TWO_PATIENTS)]).await;
    let pulled = Site::new().pull(&ehr).await.unwrap();
    assert!(pulled.complete && pulled.problems.is_empty(), "{:?}", pulled.problems);
    assert_eq!((ehr.asked("GET /files/2").len(), ehr.asked("GET /files/1").len()), (2, 1));
}

#[tokio::test]
async fn content_that_changes_again_and_again_is_not_believed() {
    let cut = || Answer::new(200, TWO_PATIENTS).shortened(5);
    let new = || Answer::new(200, NEW_PATIENTS);
    let ehr = ehr_that_changes([cut(), new(), cut(), new()]).await;
    let pulled = Site::new().pull_types(&ehr, 1, &["Patient", "Observation"], |_| ()).await.unwrap();
    assert_eq!(
        ehr.asked("GET /files/2").len(),
        4,
        "the fault fired, and the type was fetched again once"
    );
    assert!(!pulled.complete && !pulled.types["Patient"].whole && pulled.types["Observation"].whole);
    assert_eq!(pulled.problems.len(), 2, "{:?}", pulled.problems);
}

#[tokio::test]
async fn a_pull_cut_while_a_changed_type_is_fetched_again_goes_on_there() {
    let cut = Answer::new(200, TWO_PATIENTS).shortened(5);
    let ehr = ehr_that_changes([cut, Answer::new(200, NEW_PATIENTS), Answer::hanging()]).await;
    let site = Site::new();
    site.pull_cut(&ehr, 1).await;
    ehr.on("GET /files/2", [Answer::new(200, NEW_PATIENTS)]);
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(pulled.counts, [("Observation".to_owned(), 1), ("Patient".to_owned(), 4)]);
    assert_eq!((ehr.asked("GET /$export").len(), ehr.asked("GET /files/3").len()), (1, 1));
}
