//! How a job is waited for and its manifest read: states in their own header, pages that are not there yet, files organized
//! by patient, jobs that do not end.

use serde_json::json;

use super::ehr::{Answer, Ehr};
use super::*;

fn separate(settings: &mut EhrSettings) {
    settings.export.separate_status = true;
}

#[tokio::test]
async fn a_state_in_its_own_header_is_believed_where_the_server_said_so() {
    let ehr = Ehr::with_manifest(json!({})).await;
    ehr.on(
        "GET /$export",
        [Answer::taken(1).with("preference-applied", "respond-async, separate-export-status")],
    );
    let fatal = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"processing"}]}"#;
    let states = || {
        [
            Answer::new(200, "").with("x-export-status", "202").with("retry-after", "60"),
            Answer::new(503, fatal),
            Answer::listing(json!({})).with("x-export-status", "200"),
        ]
    };
    ehr.on("GET /poll/1", states());
    let site = Site::new();
    assert!(site.pull_types(&ehr, 1, &[], separate).await.unwrap().complete);
    assert_eq!(
        ehr.asked("GET /$export")[0].header("prefer"),
        Some("respond-async, separate-export-status")
    );
    assert_eq!(ehr.asked("GET /poll/1").len(), 3, "a fault of the request is not the job's");
    assert!(site.elapsed() >= Duration::from_secs(60));

    ehr.on("GET /poll/1", [Answer::new(200, fatal).with("x-export-status", "500")]);
    let error = site.pull_types(&ehr, 2, &[], separate).await.unwrap_err();
    assert!(matches!(error, PullError::JobFailed { status: 500, .. }), "{error}");

    // Not applied, the header means nothing.
    ehr.takes_export();
    ehr.on("GET /poll/1", [Answer::listing(json!({})).with("x-export-status", "202")]);
    assert!(site.pull_types(&ehr, 3, &[], separate).await.unwrap().complete);
}

#[tokio::test]
async fn a_next_page_that_is_not_there_yet_is_waited_for() {
    let first = json!({
        "output": [{"type": "Patient", "url": "{base}/files/1"}],
        "link": [{"relation": "next", "url": "{base}/poll/1/2"}],
    });
    let ehr = Ehr::with_manifest(first).await;
    let waiting = Answer::new(202, "").with("retry-after", "60");
    let second = Answer::listing(json!({"output": [{"type": "Observation", "url": "{base}/files/2"}]}));
    ehr.on("GET /poll/1/2", [waiting.clone(), waiting, second]);
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    ehr.on("GET /files/2", [Answer::new(200, AN_OBSERVATION)]);
    let site = Site::new();
    let partial = |settings: &mut EhrSettings| settings.export.allow_partial_manifests = true;
    let pulled = site.pull_types(&ehr, 1, &[], partial).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert!(ehr.asked("GET /$export")[0].query.ends_with("&allowPartialManifests=true"));
    assert_eq!((ehr.asked("GET /poll/1/2").len(), site.elapsed().as_secs()), (3, 120));
    assert_eq!(pulled.counts.len(), 2);
}

#[tokio::test]
async fn a_page_on_another_host_sees_no_token() {
    let elsewhere = Ehr::start().await;
    let link = json!([{"relation": "next", "url": format!("{}page/2", elsewhere.base())}]);
    let ehr = Ehr::with_manifest(json!({"link": link})).await;
    let error = Site::with_key(&ehr).pull(&ehr).await.unwrap_err();
    assert!(matches!(error, PullError::Breach(_)), "{error}");
    assert_eq!(ehr.asked("GET /poll/1").len(), 1, "the fault fired");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn files_organized_by_patient_are_sorted_by_type_without_their_headers() {
    let header = |id: &str| {
        let parameter = json!([{"name": "header", "valueReference": {"reference": format!("Patient/{id}")}}]);
        format!("{}\n", json!({"resourceType": "Parameters", "parameter": parameter}))
    };
    let condition = "{\"resourceType\":\"Condition\",\"id\":\"c\"}\n";
    let manifest = json!({
        "outputOrganizedBy": "Patient",
        "output": [{"url": "{base}/files/1", "count": 3, "continuesInFile": "{base}/files/2"}],
    });
    let ehr = Ehr::with_manifest(manifest).await;
    // The file that goes on is named nowhere else, and still wanted; one server counts headers, another does not.
    ehr.on(
        "GET /files/1",
        [Answer::new(200, [&header("a"), TWO_PATIENTS, AN_OBSERVATION].concat())],
    );
    ehr.on("GET /files/2", [Answer::new(200, [&header("a"), condition].concat())]);
    let site = Site::new();
    let by_patient = |settings: &mut EhrSettings| settings.export.organize_output_by = Some("Patient".to_owned());
    let pulled = site
        .pull_types(&ehr, 1, &["Patient", "Observation", "Condition"], by_patient)
        .await
        .unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert!(pulled.types.values().all(|proven| proven.whole));
    let expected = [("Condition", condition), ("Observation", AN_OBSERVATION), ("Patient", TWO_PATIENTS)];
    assert_eq!(
        site.landed(&pulled),
        expected.map(|(name, lines)| (name.to_owned(), "resources", lines.to_owned()))
    );
}

#[tokio::test]
async fn a_large_file_of_mixed_types_is_sorted_as_it_comes() {
    let observation = format!("{{\"resourceType\":\"Observation\",\"x\":\"{}\"}}\n", "y".repeat(9_000));
    let text = [TWO_PATIENTS, &observation].concat().repeat(100);
    let ehr = Ehr::with_manifest(json!({"output": [{"url": "{base}/files/1", "count": 300}]})).await;
    ehr.on(
        "GET /files/1",
        [Answer::new(200, text.clone()).cut_after(600_000), Answer::new(200, text)],
    );
    let site = Site::new();
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(pulled.counts, [("Observation".to_owned(), 100), ("Patient".to_owned(), 200)]);
    assert_eq!(site.landed(&pulled)[0].2, observation.repeat(100));
    assert_eq!(ehr.asked("GET /files/1").len(), 2, "the fault fired");
}

#[tokio::test]
async fn a_job_that_does_not_end_is_cancelled_and_the_run_says_so() {
    let ehr = Ehr::with_manifest(json!({})).await;
    let progress = |text: &str| Answer::new(202, "").with("x-progress", text).with("retry-after", "3600");
    ehr.on("GET /poll/1", [progress("90%"), progress("10%")]);
    let mut site = Site::new();
    site.limits.job_patience = Duration::from_secs(3 * 24 * 3600);
    let mut calls = 0;
    let pulled = loop {
        calls += 1;
        match site.pull_types(&ehr, 1, &["Patient"], |_| ()).await {
            Err(PullError::NotReady { .. }) => {}
            ended => break ended.unwrap(),
        }
    };
    assert!(
        calls > 2,
        "a call waits a day at most, and the job's time is reckoned over all of them"
    );
    assert!(ehr.asked("GET /poll/1").len() >= 72, "the fault fired");
    assert_eq!(site.elapsed(), Duration::from_secs(3 * 24 * 3600));
    assert_eq!((ehr.asked("DELETE /poll/1").len(), ehr.asked("GET /$export").len()), (1, 1));
    assert!(
        !pulled.complete && pulled.problems[0].contains("within 3 days"),
        "{:?}",
        pulled.problems
    );
    assert!(!pulled.types["Patient"].whole && pulled.types["Patient"].reached.is_none());
    assert_eq!(pull::unfinished(site.landing.database()).unwrap(), None, "the next run asks anew");
}
