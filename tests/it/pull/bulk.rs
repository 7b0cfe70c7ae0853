//! The ways a well-meaning EHR answers.

use serde_json::json;

use super::ehr::{Answer, Ehr};
use super::*;
use headwater::platform::http::WebOrigin;
use headwater::pull::{Level, unfinished};

#[tokio::test]
async fn pulls_with_a_token_from_kick_off_to_clean_up_and_gives_the_same_result_again() {
    let ehr = Ehr::start().await;
    let site = Site::with_key(&ehr);
    let export = Answer::new(202, "")
        .with("content-location", "{base}/poll/1")
        .with("retry-after", "30");
    ehr.on("GET /Group/g1/$export", [export]);
    let waiting = Answer::new(202, "").with("x-progress", "half\t way").with("retry-after", "120");
    let manifest = ehr::full(json!({
        "output": [
            {"type": "Patient", "url": "{base}/files/1", "count": 2},
            {"type": "Observation", "url": "{base}/files/2"},
        ],
        "deleted": [{"type": "Bundle", "url": "{base}/files/3", "count": 1}],
    }));
    ehr.on("GET /poll/1", [waiting, Answer::new(200, manifest.to_string())]);
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS).gzipped()]);
    ehr.on("GET /files/2", [Answer::new(200, "{\"resourceType\":\"Observation\"}")]);
    ehr.on("GET /files/3", [Answer::new(200, "{\"resourceType\":\"Bundle\"}\n")]);
    ehr.on("DELETE /poll/1", [Answer::new(202, "")]);

    let mut settings = EhrSettings::new(ehr.base(), "gateway-1");
    settings.level = Level::Group("g1".to_owned());
    settings.types = vec!["Patient".to_owned(), "Observation".to_owned()];
    let source = Source::Ehr(settings);
    let since = Some("2026-02-28T02:00:00Z");
    let pulled = site.pull_from(source.clone(), 1, since).await.unwrap();

    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(pulled.transaction_time.to_string(), "2026-03-01T01:59:00Z");
    assert_eq!(pulled.counts, [("Observation".to_owned(), 1), ("Patient".to_owned(), 2)]);
    let expected = [
        ("Bundle", "deleted", "{\"resourceType\":\"Bundle\"}\n"),
        ("Observation", "resources", "{\"resourceType\":\"Observation\"}"),
        ("Patient", "resources", TWO_PATIENTS),
    ];
    assert_eq!(site.landed(&pulled), expected.map(|(t, k, c)| (t.to_owned(), k, c.to_owned())));
    assert_eq!(site.elapsed(), Duration::from_secs(150), "30 s and 120 s as the server asked");
    assert!(site.told().iter().any(|told| matches!(
        told,
        Progress::JobWaiting { x_progress: Some(text), .. } if text == "half way"
    )));

    let kick_off = &ehr.asked("GET /Group/g1/$export")[0];
    assert_eq!(
        kick_off.query,
        "_outputFormat=application%2Ffhir%2Bndjson&_type=Patient%2CObservation&_since=2026-02-28T02%3A00%3A00Z"
    );
    assert_eq!(kick_off.header("accept"), Some("application/fhir+json"));
    assert_eq!(kick_off.header("prefer"), Some("respond-async"));
    assert_eq!(ehr.asked("GET /poll/1")[0].header("accept"), Some("application/json"));
    assert_eq!(ehr.asked("GET /files/1")[0].header("accept-encoding"), Some("gzip"));
    assert_eq!(ehr.asked("DELETE /poll/1").len(), 1);
    assert_eq!(ehr.asked("POST /token").len(), 1, "one token served all");
    let paths = [
        "GET /Group/g1/$export",
        "GET /poll/1",
        "GET /files/1",
        "GET /files/3",
        "DELETE /poll/1",
    ];
    for seen in paths.iter().flat_map(|path| ehr.asked(path)) {
        assert_eq!(seen.header("authorization"), Some("Bearer token-1"), "{}", seen.what);
    }

    let before = ehr.seen().len();
    let again = site.pull_from(source, 1, since).await.unwrap();
    assert_eq!((again.segments, again.complete), (pulled.segments, true));
    assert_eq!(ehr.seen().len(), before, "a finished run asks nobody");
    assert_eq!(unfinished(site.landing.database()).unwrap(), None);
}

#[tokio::test]
async fn an_unregistered_key_is_told_in_plain_words() {
    let ehr = Ehr::with_manifest(json!({})).await;
    let site = Site::with_key(&ehr);
    ehr.register(ClientKey::generate(Algorithm::Es384).unwrap().public_jwk());
    let error = site.pull(&ehr).await.unwrap_err();
    assert!(words(&error).contains("answered 400 invalid_client"), "{}", words(&error));
    assert!(ehr.asked("GET /$export").is_empty());
}

#[tokio::test]
async fn files_that_want_no_token_get_none() {
    let manifest = json!({"requiresAccessToken": false, "output": [{"type": "Patient", "url": "{base}/files/1"}]});
    let ehr = Ehr::with_manifest(manifest).await;
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    let site = Site::with_key(&ehr);
    assert!(site.pull(&ehr).await.unwrap().complete);
    assert!(ehr.asked("GET /poll/1")[0].header("authorization").is_some());
    assert_eq!(ehr.asked("GET /files/1")[0].header("authorization"), None);
}

#[tokio::test]
async fn a_redirect_to_another_origin_does_not_carry_the_token_not_even_back() {
    for status in [301, 302, 303, 307, 308] {
        let ehr = Ehr::with_manifest(json!({"output": [{"type": "Patient", "url": "{base}/files/1"}]})).await;
        let storage = Ehr::start().await;
        let away = format!("{}signed?x=1", storage.base());
        let back = format!("{}files/2", ehr.base());
        ehr.on("GET /files/1", [Answer::new(status, "").with("location", away)]);
        storage.on("GET /signed", [Answer::new(status, "").with("location", back)]);
        ehr.on("GET /files/2", [Answer::new(200, TWO_PATIENTS)]);
        let site = Site::with_key(&ehr);
        let pulled = site.pull(&ehr).await.unwrap();
        assert!(pulled.complete, "{:?}", pulled.problems);
        assert_eq!(ehr.asked("GET /files/1")[0].header("authorization"), Some("Bearer token-1"));
        assert_eq!(storage.seen().len(), 1, "the fault fired");
        assert_eq!(storage.seen()[0].header("authorization"), None);
        assert_eq!(ehr.asked("GET /files/2")[0].header("authorization"), None);
    }
}

#[tokio::test]
async fn a_file_elsewhere_that_wants_the_token_is_not_asked_unless_that_origin_is_allowed() {
    let storage = Ehr::start().await;
    storage.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    let url = format!("{}files/1", storage.base());
    let ehr = Ehr::with_manifest(json!({"output": [{"type": "Patient", "url": url}]})).await;
    let site = Site::with_key(&ehr);
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(!pulled.complete);
    assert!(pulled.problems[0].contains("extra_origins"), "{:?}", pulled.problems);
    assert!(storage.seen().is_empty(), "no token and no request for a foreign host");

    let mut settings = EhrSettings::new(ehr.base(), "gateway-1");
    settings.token_origins = vec![WebOrigin::of(&storage.base())];
    let allowed = site.pull_from(Source::Ehr(settings), 2, None).await.unwrap();
    assert!(allowed.complete, "{:?}", allowed.problems);
    assert!(storage.seen()[0].header("authorization").is_some());
}

#[tokio::test]
async fn a_manifest_in_pages_is_one_export_and_a_file_named_twice_is_one_file() {
    let first = json!({
        "output": [{"type": "Patient", "url": "{base}/files/1"}],
        "link": [{"relation": "next", "url": "{base}/poll/1/2"}],
    });
    let ehr = Ehr::with_manifest(first).await;
    let second = ehr::full(json!({"output": [
        {"type": "Patient", "url": "{base}/files/2"},
        {"type": "Patient", "url": "{base}/files/1"},
    ]}));
    ehr.on("GET /poll/1/2", [Answer::new(503, ""), Answer::new(200, second.to_string())]);
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    ehr.on("GET /files/2", [Answer::new(200, TWO_PATIENTS)]);
    let site = Site::new();
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(pulled.counts, [("Patient".to_owned(), 4)]);
    assert_eq!(ehr.asked("GET /poll/1/2").len(), 2);
    assert_eq!(ehr.asked("GET /files/1").len(), 1);
}

#[tokio::test]
async fn pages_in_a_circle_end() {
    let ehr = Ehr::with_manifest(json!({"link": [{"relation": "next", "url": "{base}/poll/1"}]})).await;
    let error = Site::new().pull(&ehr).await.unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
    assert_eq!(ehr.asked("GET /poll/1").len(), 1);
}

#[tokio::test]
async fn pages_beyond_the_limit_end() {
    let ehr = Ehr::with_manifest(json!({"link": [{"relation": "next", "url": "{base}/poll/2"}]})).await;
    for page in 2..10 {
        let link = json!({"link": [{"relation": "next", "url": format!("{{base}}/poll/{}", page + 1)}]});
        ehr.on(&format!("GET /poll/{page}"), [Answer::new(200, ehr::full(link).to_string())]);
    }
    let mut site = Site::new();
    site.limits.pages = 3;
    let error = site.pull(&ehr).await.unwrap_err();
    assert!(error.to_string().contains("more pages"), "{error}");
}

#[tokio::test]
async fn errors_the_server_reports_make_the_run_partial_and_show_codes_only() {
    let manifest = json!({
        "output": [{"type": "Patient", "url": "{base}/files/1"}],
        "error": [{"type": "OperationOutcome", "url": "{base}/files/2"}],
    });
    let outcome = |severity: &str| {
        let line = json!({"resourceType": "OperationOutcome", "issue": [
            {"severity": severity, "code": "not-found", "diagnostics": "CanaryName"}]});
        Answer::new(200, format!("{line}\n"))
    };
    for (severity, complete) in [("error", false), ("fatal", false), ("information", true), ("warning", true)] {
        let ehr = Ehr::with_manifest(manifest.clone()).await;
        ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
        ehr.on("GET /files/2", [outcome(severity)]);
        let site = Site::new();
        let pulled = site.pull(&ehr).await.unwrap();
        assert_eq!(pulled.complete, complete, "{severity}");
        let kinds: Vec<_> = site.landed(&pulled).into_iter().map(|(_, kind, _)| kind).collect();
        assert_eq!(kinds, ["outcome", "resources"]);
        assert_eq!(
            pulled.counts,
            [("Patient".to_owned(), 2)],
            "outcomes are no resources of the export"
        );
        if !complete {
            assert_eq!(
                pulled.problems,
                ["the source reports 1 errors of its own (1 not-found): it did not give everything"]
            );
        }
    }
}

#[tokio::test]
async fn a_time_in_the_future_makes_the_run_partial() {
    for (time, complete) in [("2026-03-01T02:04:00Z", true), ("2026-03-01T02:20:00Z", false)] {
        let ehr = Ehr::with_manifest(json!({"transactionTime": time})).await;
        let pulled = Site::new().pull(&ehr).await.unwrap();
        assert_eq!(pulled.complete, complete, "{time}");
    }
}

#[tokio::test]
async fn a_pull_can_be_spawned() {
    let ehr = Ehr::with_manifest(json!({})).await;
    let done = tokio::spawn(async move { Site::new().pull(&ehr).await.map(|pulled| pulled.complete) });
    assert!(done.await.unwrap().unwrap());
}
