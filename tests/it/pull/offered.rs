//! What an EHR does not offer is not asked for, by export or by search, and proves nothing; what it offers and refuses is told.

use headwater::platform::backend_services::{Algorithm, ClientKey};
use headwater::pull::Method;
use serde_json::{Value, json};

use super::crawl_ehr::{Ward, patients, said};
use super::ehr::{Answer, Ehr};
use super::*;

const WANTED: [&str; 3] = ["Patient", "Observation", "Coverage"];

/// A CapabilityStatement that lists these types.
fn statement(types: &[&str]) -> String {
    let list = |name: &&str| json!({"type": name, "interaction": [{"code": "read"}, {"code": "search-type"}]});
    let resource: Vec<Value> = types.iter().map(list).collect();
    let export = json!([{"name": "export", "definition": "x"}]);
    json!({"resourceType": "CapabilityStatement", "rest": [{"mode": "server", "operation": export, "resource": resource}]}).to_string()
}

/// An EHR that exports two patients and an Observation, and says this of itself.
async fn exporting(metadata: Answer) -> Ehr {
    let ehr = Ehr::with_manifest(json!({"output": [
        {"type": "Patient", "url": "{base}/files/1"}, {"type": "Observation", "url": "{base}/files/2"}]}))
    .await;
    ehr.on("GET /metadata", [metadata]);
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    ehr.on("GET /files/2", [Answer::new(200, AN_OBSERVATION)]);
    ehr
}

fn by_bulk(settings: &mut EhrSettings) {
    settings.method = Method::Bulk;
}

#[tokio::test]
async fn an_export_does_not_name_what_is_not_offered_and_is_whole_without_it() {
    for change in [by_bulk as fn(&mut EhrSettings), |_| ()] {
        let ehr = exporting(Answer::new(200, statement(&["Patient", "Observation", "Group"]))).await;
        let pulled = Site::new().pull_types(&ehr, 1, &WANTED, change).await.unwrap();
        assert_eq!((pulled.complete, pulled.problems.as_slice()), (true, &[][..]));
        assert_eq!(pulled.not_offered, ["Coverage"]);
        assert_eq!(
            pulled.types.keys().collect::<Vec<_>>(),
            ["Observation", "Patient"],
            "nothing is proven of it"
        );
        assert!(pulled.types["Patient"].whole);
        let query = &ehr.asked("GET /$export")[0].query;
        assert!(query.ends_with("_type=Patient%2CObservation"), "{query}");
        assert!(ehr.seen().iter().all(|seen| !format!("{seen:?}").contains("Coverage")));
    }
}

#[tokio::test]
async fn who_says_nothing_of_types_is_asked_for_all_of_them() {
    for metadata in [
        Answer::new(404, ""),
        Answer::new(503, ""),
        Answer::new(200, "<html>"),
        Answer::new(200, statement(&[])),
    ] {
        let ehr = exporting(metadata).await;
        let pulled = Site::new().pull_types(&ehr, 1, &WANTED, by_bulk).await.unwrap();
        assert!(pulled.complete && pulled.not_offered.is_empty(), "{:?}", pulled.problems);
        assert!(!ehr.asked("GET /metadata").is_empty(), "it was asked");
        assert!(
            ehr.asked("GET /$export")[0]
                .query
                .ends_with("_type=Patient%2CObservation%2CCoverage")
        );
        assert!(pulled.types["Coverage"].whole);
    }
}

#[tokio::test]
async fn a_site_that_insists_asks_for_what_is_not_listed() {
    let ehr = exporting(Answer::new(200, statement(&["Patient"]))).await;
    let insist = |settings: &mut EhrSettings| settings.ask_unlisted = true;
    let pulled = Site::new().pull_types(&ehr, 1, &WANTED, insist).await.unwrap();
    assert!(pulled.not_offered.is_empty());
    assert!(ehr.asked("GET /$export")[0].query.contains("Coverage"));
}

#[tokio::test]
async fn an_ehr_without_patients_is_an_error_and_is_asked_for_nothing() {
    let ehr = exporting(Answer::new(200, statement(&["Observation", "Coverage"]))).await;
    for change in [by_bulk as fn(&mut EhrSettings), |settings| settings.method = Method::Search] {
        let site = Site::new();
        let error = site.pull_types(&ehr, 1, &WANTED, change).await.unwrap_err();
        assert!(matches!(&error, PullError::NotOffered(what) if what == "Patient"), "{error}");
        assert!(words(&error).contains("ask_unlisted"), "{error}");
    }
    assert!(ehr.seen().iter().all(|seen| seen.what == "GET /metadata"), "{:?}", ehr.seen());
}

#[tokio::test]
async fn a_run_that_goes_on_leaves_out_what_it_left_out_before() {
    let ehr = exporting(Answer::new(200, statement(&["Patient", "Observation"]))).await;
    ehr.on("GET /$export", [Answer::hanging(), Answer::taken(1)]);
    let site = Site::new();
    tokio::select! {
        done = site.pull_types(&ehr, 1, &WANTED, |_| ()) => panic!("it ended: {done:?}"),
        () = ehr.hangs() => {}
    }
    ehr.on("GET /metadata", [Answer::new(200, statement(&WANTED))]);
    let pulled = site.pull_types(&ehr, 1, &WANTED, |_| ()).await.unwrap();
    assert_eq!((pulled.complete, pulled.not_offered), (true, vec!["Coverage".to_owned()]));
    let next = site.pull_types(&ehr, 2, &WANTED, |_| ()).await.unwrap();
    assert_eq!(next.not_offered, [""; 0], "the next run looks again");
    let queries: Vec<bool> = ehr
        .asked("GET /$export")
        .iter()
        .map(|seen| seen.query.contains("Coverage"))
        .collect();
    assert_eq!(queries, [false, false, true]);
}

#[tokio::test]
async fn a_search_does_not_ask_for_what_is_not_offered_and_is_whole_without_it() {
    for level in [headwater::pull::Level::Patient, headwater::pull::Level::System] {
        let ward = Ward::of(patients(3)).await;
        ward.hook(|_, what| (what == "metadata").then(|| said(200, statement(&["Patient", "Observation"]))));
        let mut settings = ward.settings(&["Patient", "Observation", "Encounter", "Location"]);
        settings.level = level;
        let site = Site::new();
        let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
        assert_eq!((pulled.complete, pulled.problems.as_slice()), (true, &[][..]));
        assert_eq!(pulled.not_offered, ["Encounter", "Location"]);
        assert_eq!(pulled.types.keys().collect::<Vec<_>>(), ["Observation", "Patient"]);
        assert_eq!(
            (ward.asked_for("Encounter"), ward.asked_for("Location")),
            (0, 0),
            "{:?}",
            ward.asked()
        );
        assert!(pulled.types["Observation"].whole);
    }
}

#[tokio::test]
async fn the_token_is_for_what_is_asked_and_one_for_all_that_is_registered_is_no_breach() {
    for change in [by_bulk as fn(&mut EhrSettings), |_| ()] {
        let ehr = exporting(Answer::new(200, statement(&["Patient", "Observation"]))).await;
        let key = ClientKey::generate(Algorithm::Es384).unwrap();
        ehr.register(key.public_jwk());
        let site = Site {
            key: Some(key),
            ..Site::new()
        };
        site.pull_types(&ehr, 1, &WANTED, change).await.unwrap();
        let asked = &ehr.asked("POST /token")[0].body;
        assert!(asked.contains("system%2FPatient.rs") && !asked.contains("Coverage"), "{asked}");
        let token = json!({"access_token": "t", "token_type": "bearer", "expires_in": 300,
            "scope": "system/Patient.rs system/Observation.rs system/Coverage.rs"});
        ehr.on(
            "POST /token",
            [Answer::new(200, token.to_string()).with("content-type", "application/json")],
        );
        let pulled = site.pull_types(&ehr, 2, &WANTED, change).await.unwrap();
        assert!(pulled.complete, "{:?}", pulled.problems);
        // What is in no way this site's stays a breach.
        let wider = token.to_string().replace("Coverage", "Account");
        ehr.on("POST /token", [Answer::new(200, wider).with("content-type", "application/json")]);
        let error = site.pull_types(&ehr, 3, &WANTED, change).await.unwrap_err();
        assert!(matches!(error, PullError::WiderScope { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_refused_export_says_which_type_it_is_about_when_the_refusal_names_one() {
    let refusal = |text: &str| json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-supported", "diagnostics": text}]});
    for (text, named) in [
        ("_type Coverage is not supported for Hushson", Some("Coverage")),
        ("_type must be one of Patient, Observation", None),
    ] {
        let ehr = exporting(Answer::new(200, statement(&WANTED))).await;
        let answer = || Answer::new(400, refusal(text).to_string());
        ehr.on("GET /$export", [answer()]);
        ehr.on("POST /$export", [answer()]);
        let error = Site::new().pull_types(&ehr, 1, &WANTED, |_| ()).await.unwrap_err();
        let told = words(&error);
        assert!(
            matches!(&error, PullError::Refused { named_type, .. } if named_type.as_deref() == named),
            "{error:?}"
        );
        assert_eq!(told.contains("names Coverage"), named.is_some(), "{told}");
        assert!(!told.contains("Hushson"), "{told}");
    }
}
