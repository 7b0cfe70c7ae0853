//! The tempers of vendors: what their EHRs refuse, leave out and do otherwise.

use std::sync::Arc;
use std::time::Duration;

use headwater::platform::file::write_durable;
use headwater::simulate::ehr::{RegistrationError, Vendor};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::scene::{START, Scene, register_by_address};

async fn scene_of(vendor: Vendor) -> Scene {
    Scene::new(|settings| settings.vendor = vendor).await
}

/// Kick-offs of a vendor, and how they are answered; each accepted one is cancelled.
async fn check(scene: &Scene, cases: &[(&str, u16)]) {
    let token = scene.token().await;
    for (path, status) in cases {
        let answer = scene.ask(Method::GET, &scene.url(path), &token).await;
        assert_eq!(answer.status().as_u16(), *status, "{path}");
        if let Some(poll) = answer.headers().get("content-location") {
            scene.ask(Method::DELETE, poll.to_str().unwrap(), &token).await;
        }
    }
}

#[tokio::test]
async fn epic_exports_groups_whole_and_one_at_a_time() {
    let scene = scene_of(Vendor::Epic).await;
    check(
        &scene,
        &[
            ("/$export", 501),
            ("/Patient/$export", 501),
            ("/Group/all/$export", 202),
            ("/Group/all/$export?_type=Patient&_type=Condition", 202),
            ("/Group/all/$export?_since=2026-01-01T00:00:00Z", 400),
        ],
    )
    .await;
    let token = scene.token().await;
    scene.begin("/Group/all/$export", &token).await;
    check(&scene, &[("/Group/all/$export", 429)]).await;
}

#[tokio::test]
async fn epic_says_nowhere_when_something_was_last_updated() {
    let scene = scene_of(Vendor::Epic).await;
    let token = scene.token().await;
    let export = scene.export("/Group/all/$export").await;
    assert!(
        export
            .resources
            .values()
            .all(|line| !line.contains("lastUpdated") && line.contains("versionId"))
    );
    let found = scene.ask(Method::GET, &scene.url("/Observation?_count=1000"), &token).await;
    let text = found.text().await.unwrap();
    assert!(!text.contains("lastUpdated"));
    for line in export
        .resources
        .iter()
        .filter(|(key, _)| key.starts_with("Observation/"))
        .map(|(_, line)| line)
    {
        assert!(text.contains(line.as_str()), "a search and an export differ");
    }
    check(&scene, &[("/Observation?_lastUpdated=ge2026", 400)]).await;
    let statement: Value = scene.ask(Method::GET, &scene.url("/metadata"), &token).await.json().await.unwrap();
    assert!(!statement.to_string().contains("_lastUpdated"));
    assert!(statement["rest"][0].get("operation").is_none());
}

#[tokio::test]
async fn epic_wants_a_patient_and_a_type_for_episodes_and_a_key_by_address() {
    let folder = tempfile::tempdir().unwrap();
    let episode = r#"{"resourceType":"EpisodeOfCare","id":"e","status":"active","type":[{"coding":[{"code":"t"}]}],"patient":{"reference":"Patient/p"}}"#;
    write_durable(&folder.path().join("EpisodeOfCare.ndjson"), episode.as_bytes()).unwrap();
    let scene = Scene::new(|settings| {
        settings.vendor = Vendor::Epic;
        settings.data = folder.path().to_owned();
    })
    .await;
    check(
        &scene,
        &[
            ("/EpisodeOfCare?patient=p", 400),
            ("/EpisodeOfCare?type=t", 400),
            ("/EpisodeOfCare?patient=p&type=t", 200),
        ],
    )
    .await;
    assert_eq!(scene.ehr.register(scene.key.public.clone()), Err(RegistrationError::UrlOnly));
}

#[tokio::test]
async fn oracle_is_narrow_in_its_parameters() {
    let scene = scene_of(Vendor::Oracle).await;
    check(
        &scene,
        &[
            ("/Patient/$export", 501),
            ("/Group/all/$export?_type=Patient,Observation", 202),
            ("/Group/all/$export?_type=Patient&_type=Observation", 400),
            ("/Group/all/$export?_type=Practitioner,Location", 400),
            ("/Group/all/$export?_type=Practitioner,Observation", 202),
            ("/Group/all/$export?_elements=id", 400),
            ("/Group/all/$export?_typeFilter=Patient%3Factive%3Dtrue", 400),
            ("/Group/all/$export?_typeFilter=Observation%3Fstatus%3Dfinal", 202),
            (
                "/Group/all/$export?_typeFilter=Observation%3Fstatus%3Dfinal&_typeFilter=Observation%3Fcode%3Dx",
                400,
            ),
            ("/Group/all/$export?_since=2026-01-01T00:00:00Z", 202),
        ],
    )
    .await;
    let token = scene.token().await;
    let patient = json!([{ "name": "patient", "valueReference": { "reference": "Patient/1" } }]);
    assert_eq!(
        scene.post("/Group/all/$export", &token, patient).await.status(),
        StatusCode::BAD_REQUEST
    );
    let lenient = scene.http.get(scene.url("/Group/all/$export?_elements=id")).bearer_auth(&token);
    let lenient = lenient.header("prefer", "respond-async, handling=lenient").send().await.unwrap();
    assert_eq!(lenient.status(), StatusCode::ACCEPTED);
    check(&scene, &[("/Group/all/$export", 429)]).await;
}

#[tokio::test]
async fn oracle_keeps_files_of_200_lines_behind_a_redirect_that_takes_no_token() {
    let folder = Scene::new(|_| {}).await;
    let binary = r#"{"resourceType":"Binary","id":"b","contentType":"text/plain","data":""}"#;
    write_durable(&folder.folder.path().join("Binary.ndjson"), binary.as_bytes()).unwrap();
    let scene = Scene::new(|settings| {
        settings.vendor = Vendor::Oracle;
        settings.data = folder.folder.path().to_owned();
    })
    .await;
    let token = scene.token().await;
    let poll = scene.begin("/Group/all/$export", &token).await;
    let manifest = scene.manifest(&poll, &token).await;
    assert_eq!(manifest["requiresAccessToken"], true);
    let files = manifest["output"].as_array().unwrap();
    assert!(
        files
            .iter()
            .all(|file| file["count"].as_u64().unwrap() <= 200 && file["type"] != "Binary")
    );
    let url = files[0]["url"].as_str().unwrap();
    assert_eq!(scene.http.get(url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let redirect = scene.ask(Method::GET, url, &token).await;
    assert_eq!(redirect.status(), StatusCode::TEMPORARY_REDIRECT);
    let elsewhere = redirect.headers()["location"].to_str().unwrap();
    assert!(elsewhere.starts_with(scene.ehr.elsewhere_url()));
    assert_eq!(scene.ask(Method::GET, elsewhere, &token).await.status(), StatusCode::BAD_REQUEST);
    let file = scene.http.get(elsewhere).send().await.unwrap().text().await.unwrap();
    assert_eq!(file.lines().count() as u64, files[0]["count"].as_u64().unwrap());
}

#[tokio::test]
async fn soarian_refuses_the_same_export_a_second_time() {
    let scene = scene_of(Vendor::Soarian).await;
    check(
        &scene,
        &[
            ("/$export", 501),
            ("/Patient/$export?_type=Patient", 202),
            ("/Patient/$export?_type=Patient", 409),
            ("/Patient/$export?_type=Condition", 202),
            (&format!("/Patient/$export?_type=Patient&_since={START}"), 202),
            (&format!("/Patient/$export?_type=Patient&_since={START}"), 409),
        ],
    )
    .await;
}

#[tokio::test]
async fn athena_blocks_who_asks_for_more_than_200_tokens_a_minute() {
    let scene = scene_of(Vendor::Athena).await;
    for _ in 0..200 {
        scene.token().await;
    }
    let blocked = scene.ask_token(&scene.key.sign("k1", &scene.claims()), "system/*.rs").await;
    assert_eq!(
        (blocked.status(), blocked.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::TOO_MANY_REQUESTS, "60")
    );
    scene.clock.advance(Duration::from_secs(60));
    scene.token().await;
}

#[tokio::test]
async fn athena_answers_thirty_requests_at_a_time() {
    let scene = scene_of(Vendor::Athena).await;
    // A key set that never comes holds the token requests that wait for it.
    let (arrived, never) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let counting = Arc::clone(&arrived);
    let router = axum::Router::new().fallback(async move || {
        counting.add_permits(1);
        let _ = never.acquire().await;
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = register_by_address(&scene.ehr, &address).await;
    let mut waiting = Vec::new();
    for number in 0..30 {
        let mut claims = scene.claims();
        (claims["iss"], claims["sub"], claims["jti"]) = (json!(client), json!(client), json!(format!("w{number}")));
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("scope", "system/*.rs".to_owned()),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
            ),
            ("client_assertion", scene.key.sign("k1", &claims)),
        ];
        let request = scene.http.post(scene.token_url()).form(&form);
        waiting.push(tokio::spawn(request.send()));
    }
    let _ = arrived.acquire_many(30).await.unwrap();
    let refused = scene.http.get(scene.url("/metadata")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}
