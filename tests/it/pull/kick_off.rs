//! How an export is asked for, in one form after another, and what is cleared away before; what is left out is told.

use headwater::platform::clock::Clock;
use headwater::pull::{Level, Method};
use serde_json::{Value, json};

use super::ehr::{Answer, Ehr};
use super::*;

const UNSUPPORTED: &str = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported"}]}"#;

/// An EHR that gives one file of patients for job 1.
async fn ehr_with_patients() -> Ehr {
    let ehr = Ehr::with_manifest(json!({"output": [{"type": "Patient", "url": "{base}/files/1"}]})).await;
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    ehr
}

#[tokio::test]
async fn a_server_that_takes_post_only_gets_the_same_wish_as_parameters() {
    for refusal in [
        Answer::new(405, ""),
        Answer::new(501, ""),
        Answer::new(404, UNSUPPORTED),
        Answer::new(400, UNSUPPORTED),
    ] {
        let ehr = ehr_with_patients().await;
        ehr.on("GET /$export", [refusal]);
        ehr.on("POST /$export", [Answer::taken(1)]);
        let pulled = Site::new().pull_types(&ehr, 1, &["Patient", "Observation"], |_| ()).await.unwrap();
        assert!(pulled.complete, "{:?}", pulled.problems);
        assert_eq!(ehr.asked("GET /$export").len(), 1, "the fault fired");
        let post = &ehr.asked("POST /$export")[0];
        assert_eq!(
            (post.query.as_str(), post.header("content-type")),
            ("", Some("application/fhir+json"))
        );
        let body: Value = serde_json::from_str(&post.body).unwrap();
        let expected = json!({"resourceType": "Parameters", "parameter": [
            {"name": "_outputFormat", "valueString": "application/fhir+ndjson"},
            {"name": "_type", "valueString": "Patient"},
            {"name": "_type", "valueString": "Observation"},
        ]});
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn a_server_that_takes_neither_is_told_by_its_first_refusal() {
    let ehr = Ehr::start().await;
    ehr.on("GET /$export", [Answer::new(405, UNSUPPORTED)]);
    ehr.on("POST /$export", [Answer::new(403, "")]);
    let error = Site::new().pull(&ehr).await.unwrap_err();
    assert!(matches!(error, PullError::Refused { status: 405, .. }), "{error}");
    assert_eq!((ehr.asked("GET /$export").len(), ehr.asked("POST /$export").len()), (1, 1));
}

#[tokio::test]
async fn patients_are_asked_for_by_post_and_where_that_is_refused_everyone_comes_and_it_is_told() {
    let ehr = ehr_with_patients().await;
    ehr.on("POST /$export", [Answer::taken(1)]);
    let mut settings = EhrSettings::new(ehr.base(), "gateway-1");
    settings.method = Method::Bulk;
    let source = Source::Ehr(settings);
    let request = |run| Request {
        patients: vec!["a".to_owned()],
        ..Request::new(run)
    };
    let site = Site::new();
    let pulled = site.pull_as(source.clone(), request(1)).await.unwrap();
    assert_eq!((pulled.complete, pulled.problems.len()), (true, 0), "{:?}", pulled.problems);
    assert!(ehr.asked("POST /$export")[0].body.contains(r#""reference":"Patient/a""#));
    assert!(ehr.asked("GET /$export").is_empty(), "a patient's id stands in no address");

    ehr.on("POST /$export", [Answer::new(405, "")]);
    let pulled = site.pull_as(source, request(2)).await.unwrap();
    assert!(
        pulled.complete && pulled.problems[0].contains("more patients come"),
        "{:?}",
        pulled.problems
    );
    assert!(!ehr.asked("GET /$export")[0].query.contains("patient"));
}

#[tokio::test]
async fn optional_parameters_that_are_refused_are_left_out_and_it_is_told() {
    let ehr = ehr_with_patients().await;
    ehr.on("GET /$export", [Answer::new(400, ""), Answer::taken(1)]);
    let pulled = Site::new()
        .pull_types(&ehr, 1, &["Patient"], |settings| {
            settings.export.type_filters = vec!["Patient?active=true".to_owned()];
            settings.export.elements = vec!["id".to_owned()];
        })
        .await
        .unwrap();
    assert!(
        pulled.complete && pulled.problems[0].contains("optional parameters"),
        "{:?}",
        pulled.problems
    );
    let queries: Vec<String> = ehr.asked("GET /$export").into_iter().map(|seen| seen.query).collect();
    let plain = "_outputFormat=application%2Ffhir%2Bndjson&_type=Patient";
    assert_eq!(
        queries,
        [
            format!("{plain}&_typeFilter=Patient%3Factive%3Dtrue&_elements=id"),
            plain.to_owned()
        ]
    );
}

#[tokio::test]
async fn what_the_server_says_it_ignored_is_told_and_a_type_without_a_file_is_not_believed_absent() {
    let ehr = ehr_with_patients().await;
    let ignored = Answer::new(202, UNSUPPORTED).with("content-location", "{base}/poll/1");
    ehr.on("GET /$export", [ignored]);
    let site = Site::new();
    let pulled = site
        .pull_types(&ehr, 1, &["Patient", "Observation"], |settings| settings.export.lenient = true)
        .await
        .unwrap();
    assert_eq!(
        ehr.asked("GET /$export")[0].header("prefer"),
        Some("respond-async, handling=lenient")
    );
    assert!(pulled.problems[0].contains("(not-supported)"), "{:?}", pulled.problems);
    assert!(pulled.types["Patient"].whole && !pulled.types["Observation"].whole);
    assert!(!pulled.complete && pulled.types["Observation"].reached.is_none());

    let pulled = site.pull_types(&ehr, 2, &["Patient"], |_| ()).await.unwrap();
    assert!(
        pulled.complete && pulled.problems.len() == 1,
        "every asked type came: {:?}",
        pulled.problems
    );
}

#[tokio::test]
async fn a_vendors_header_names_the_client_and_a_type_it_never_exports_is_told() {
    let ehr = ehr_with_patients().await;
    let pulled = Site::new()
        .pull_types(&ehr, 1, &["Patient", "Binary"], |settings| {
            settings.vendor.client_id_header = Some("Epic-Client-ID".to_owned());
            settings.vendor.not_exported = vec!["Binary".to_owned()];
        })
        .await
        .unwrap();
    let named = |seen: &ehr::Seen| seen.header("epic-client-id") == Some("gateway-1");
    assert!(ehr.seen().iter().all(named), "export, poll, file and clean-up");
    let asked = &ehr.asked("GET /$export")[0];
    assert!(asked.query.ends_with("&_type=Patient"), "{}", asked.query);
    assert!(pulled.types["Patient"].whole && !pulled.types["Binary"].whole && !pulled.complete);
}

#[tokio::test]
async fn an_export_that_cannot_be_asked_since_a_moment_is_whole() {
    let ehr = ehr_with_patients().await;
    let mut settings = EhrSettings::new(ehr.base(), "gateway-1");
    settings.method = Method::Bulk;
    let since = Some("2026-02-28T02:00:00Z");
    let site = Site::new();
    let newer = site.pull_from(Source::Ehr(settings.clone()), 1, since).await.unwrap();
    assert!(!newer.types["Patient"].whole && newer.types["Patient"].reached.is_some());
    settings.vendor.export_since = false;
    let whole = site.pull_from(Source::Ehr(settings), 2, since).await.unwrap();
    assert!(whole.types["Patient"].whole);
    assert!(!ehr.asked("GET /$export")[1].query.contains("_since"));
}

#[tokio::test]
async fn a_filter_that_shapes_the_answer_is_refused_before_the_export_is_asked_for() {
    let ehr = ehr_with_patients().await;
    let filter = |settings: &mut EhrSettings| settings.export.type_filters = vec!["Patient?_sort=birthdate".to_owned()];
    let error = Site::new().pull_types(&ehr, 1, &["Patient"], filter).await.unwrap_err();
    assert!(matches!(error, PullError::TypeFilter { place: 1, .. }), "{error}");
    assert!(ehr.asked("GET /$export").is_empty() && ehr.asked("POST /$export").is_empty());
}

/// An EHR that holds job 1 of a run that was cut, and gives run 2 what `second` says, then job 2.
async fn ehr_with_an_old_job(site: &Site, second: Answer) -> Ehr {
    let ehr = ehr_with_patients().await;
    ehr.on("GET /poll/1", [Answer::hanging()]);
    site.pull_cut(&ehr, 1).await;
    ehr.on("GET /$export", [second, Answer::taken(2)]);
    ehr.on(
        "GET /poll/2",
        [Answer::listing(json!({"output": [{"type": "Patient", "url": "{base}/files/1"}]}))],
    );
    ehr.on("DELETE /poll/2", [Answer::new(202, "")]);
    ehr
}

#[tokio::test]
async fn an_own_old_job_is_deleted_where_a_second_one_is_refused_and_it_is_asked_once_more() {
    for status in [429, 409] {
        let site = Site::new();
        let ehr = ehr_with_an_old_job(&site, Answer::new(status, "")).await;
        // Another wish, so that the old job cannot be gone on with; and a run that was forgotten.
        headwater::platform::database::transaction(site.landing.database(), |tx| pull::forget(tx, 1)).unwrap();
        let pulled = site.pull_types(&ehr, 2, &["Patient"], |_| ()).await.unwrap();
        assert!(pulled.complete, "{:?}", pulled.problems);
        assert_eq!((ehr.asked("DELETE /poll/1").len(), ehr.asked("DELETE /poll/2").len()), (1, 1));
        assert_eq!(ehr.asked("GET /$export").len(), 3, "once for run 1, twice for run 2");
    }
}

#[tokio::test]
async fn a_second_job_that_stays_refused_is_not_asked_for_again_and_again() {
    let site = Site::new();
    let ehr = ehr_with_an_old_job(&site, Answer::new(409, "")).await;
    ehr.on("GET /$export", [Answer::new(409, "")]);
    let error = site.pull_types(&ehr, 2, &["Patient"], |_| ()).await.unwrap_err();
    assert!(matches!(error, PullError::Refused { status: 409, .. }), "{error}");
    assert_eq!((ehr.asked("GET /$export").len(), ehr.asked("DELETE /poll/1").len()), (3, 1));
    let error = site.pull_types(&ehr, 2, &["Patient"], |_| ()).await.unwrap_err();
    assert!(matches!(error, PullError::Refused { status: 409, .. }), "{error}");
    assert_eq!(ehr.asked("GET /$export").len(), 4, "nothing of ours is in the way any more");
}

#[tokio::test]
async fn where_one_job_is_allowed_the_old_one_is_deleted_before_the_new_one_is_asked_for() {
    let site = Site::new();
    let ehr = ehr_with_an_old_job(&site, Answer::taken(2)).await;
    let pulled = site
        .pull_types(&ehr, 2, &[], |settings| settings.vendor.one_job = true)
        .await
        .unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    let order: Vec<String> = ehr.seen().into_iter().map(|seen| seen.what).collect();
    let at = |what: &str| order.iter().rposition(|seen| seen == what).unwrap();
    assert!(at("DELETE /poll/1") < at("GET /$export"), "{order:?}");
    assert_eq!(ehr.asked("GET /$export").len(), 2);
}

#[tokio::test]
async fn a_refused_duplicate_is_our_own_job_and_gone_on_with() {
    let site = Site::new();
    let ehr = ehr_with_an_old_job(&site, Answer::new(409, "")).await;
    ehr.lists(json!({"output": [{"type": "Patient", "url": "{base}/files/1"}]}));
    let pulled = site.pull_types(&ehr, 2, &[], |_| ()).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!((ehr.asked("GET /$export").len(), ehr.asked("GET /poll/1").len()), (2, 2));
    assert!(ehr.asked("GET /poll/2").is_empty());
}

#[tokio::test]
async fn a_busy_kick_off_is_waited_for_within_bounds_also_over_a_restart() {
    for (retry_after, least, most) in [
        (Some("18000"), 3600, 3600),
        (Some("1000000000"), 3600, 3600),
        (Some("Sun, 01 Mar 2026 02:30:00 GMT"), 1799, 1800),
        (Some("-5"), 1, 60),
        (None, 1, 60),
    ] {
        let ehr = ehr_with_patients().await;
        let busy = Answer::new(503, "").with("date", "Sun, 01 Mar 2026 02:00:00 GMT");
        let busy = retry_after.into_iter().fold(busy, |busy, value| busy.with("retry-after", value));
        ehr.on("GET /$export", [busy, Answer::taken(1)]);
        let mut site = Site::new();
        site.limits.patience = Duration::ZERO;
        let error = site.pull(&ehr).await.unwrap_err();
        assert!(matches!(error, PullError::NotReady { .. }), "{error}");
        assert_eq!(ehr.asked("GET /$export").len(), 1, "the fault fired");
        assert_eq!(site.elapsed(), Duration::ZERO);
        // As after a restart: another client and another call, the same database.
        site.limits = Limits::default();
        assert!(site.pull(&ehr).await.unwrap().complete);
        let waited = site.elapsed().as_secs();
        assert!((least..=most).contains(&waited), "{retry_after:?}: {waited} s");
    }
}

#[tokio::test]
async fn a_clock_that_is_years_off_stops_no_pull_and_says_so_when_the_ehrs_is_ahead() {
    for (ours, is_told) in [
        ("2016-03-01T02:00:00Z", true),
        ("2036-03-01T02:00:00Z", false),
        ("2026-02-28T02:00:00Z", true),
    ] {
        let ehr = ehr_with_patients().await;
        let mut site = Site::new();
        site.clock = Clock::manual(ours.parse().unwrap());
        let pulled = site.pull(&ehr).await.unwrap();
        assert_eq!(pulled.counts, [("Patient".to_owned(), 2)]);
        assert_eq!(pulled.problems.iter().any(|problem| problem.contains("clock")), is_told, "{ours}");
        assert_eq!(
            pulled.types["Patient"].reached.is_none(),
            is_told,
            "{ours}: a moment in our future is no watermark"
        );
    }
}

#[tokio::test]
async fn a_new_member_of_the_group_makes_one_export_ask_for_everything() {
    let ehr = Ehr::start().await;
    let export = Answer::new(202, "").with("content-location", "{base}/poll/1");
    ehr.on("GET /Group/g/$export", [export]);
    ehr.on("DELETE /poll/1", [Answer::new(202, "")]);
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    let listed = |count: u64| {
        let file = json!({"type": "Patient", "url": "{base}/files/1", "count": count});
        Answer::new(200, ehr::full(json!({ "output": [file] })).to_string())
    };
    let group = |members: &[&str]| {
        let members: Vec<_> = members
            .iter()
            .map(|id| json!({"entity": {"reference": format!("Patient/{id}")}}))
            .collect();
        Answer::new(200, json!({"resourceType": "Group", "member": members}).to_string())
    };
    let site = Site::new();
    let mut settings = EhrSettings::new(ehr.base(), "gateway-1");
    (settings.method, settings.level) = (Method::Bulk, Level::Group("g".to_owned()));
    settings.types = vec!["Patient".to_owned()];
    let since = Some("2026-02-28T02:00:00Z");
    for (run, members, count, since, asks_since) in [
        (1, &["a", "b"][..], 2, None, false),
        (2, &["a", "b"], 2, since, true),
        (3, &["a", "b", "c"], 7, since, false),
        // Run 3 did not get everything it was promised: of its members none is known for sure.
        (4, &["a", "b", "c"], 2, since, false),
        (5, &["a", "b", "c"], 2, since, true),
        (6, &["a", "b"], 2, since, true),
        // Who was away in the run before is new again.
        (7, &["a", "b", "c"], 2, since, false),
    ] {
        ehr.on("GET /Group/g", [group(members)]);
        ehr.on("GET /poll/1", [listed(count)]);
        let pulled = site.pull_from(Source::Ehr(settings.clone()), run, since).await.unwrap();
        assert_eq!(pulled.complete, count == 2, "run {run}: {:?}", pulled.problems);
        let asked = ehr.asked("GET /Group/g/$export");
        assert_eq!(asked.last().unwrap().query.contains("_since"), asks_since, "run {run}");
    }
}
