//! Misconfigurations of the simulated EHR: each changes the answers it says it changes, is counted, and can be mended.

use std::time::Duration;

use headwater::simulate::ehr::Misconfiguration::{self, *};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::scene::{Key, Scene};

/// Token requests refused: status, `error`, and whether there is a description.
#[tokio::test]
async fn the_token_endpoint_refuses_as_a_strict_server_does() {
    let scene = Scene::new(|_| {}).await;
    for (planted, status, error, described) in [
        (WrongAudience, 401, "invalid_client", true),
        (UnknownClient, 401, "invalid_client", true),
        (KidNotInJwks, 401, "invalid_client", true),
        (JwksUrlUnreachable, 401, "invalid_client", true),
        (Rs384Only, 401, "invalid_client", true),
        (NotActivated, 400, "unauthorized_client", true),
        (SandboxClient, 401, "invalid_client", true),
        (ClockAhead, 401, "invalid_client", true),
        (ClockBehind, 401, "invalid_client", true),
        (OpaqueRefusal, 400, "invalid_client", false),
    ] {
        scene.ehr.plant(planted);
        let refused = scene.ask_token(&scene.key.sign("k1", &scene.claims()), "system/*.rs").await;
        assert_eq!(refused.status().as_u16(), status, "{}", planted.name());
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["error"], error, "{}", planted.name());
        assert_eq!(body["error_description"].is_string(), described, "{}", planted.name());
        assert!(scene.ehr.fired_misconfiguration(planted) > 0, "{} was not counted", planted.name());
        scene.ehr.mend(planted);
        scene.token().await;
    }
    let mut rsa = scene;
    rsa.key = Key::rs384();
    rsa.client = rsa.ehr.register(rsa.key.public.clone()).unwrap();
    rsa.ehr.plant(Rs384Only);
    rsa.token().await;
    rsa.ehr.mend(Rs384Only);
    rsa.ehr.plant(Es384Only);
    let refused = rsa.ask_token(&rsa.key.sign("k1", &rsa.claims()), "system/*.rs").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn discovery_is_missing_or_misleads() {
    let scene = Scene::new(|_| {}).await;
    let get = async || scene.http.get(scene.url("/.well-known/smart-configuration")).send().await.unwrap();
    let with = async |planted: Misconfiguration| {
        scene.ehr.plant(planted);
        let answer = get().await;
        scene.ehr.mend(planted);
        assert_eq!(scene.ehr.fired_misconfiguration(planted), 1);
        answer
    };
    assert_eq!(with(NoDiscovery).await.status(), StatusCode::NOT_FOUND);
    assert!(with(DiscoveryNotJson).await.json::<Value>().await.is_err());
    let configuration: Value = with(NoTokenEndpoint).await.json().await.unwrap();
    assert!(configuration.get("token_endpoint").is_none());
    let configuration: Value = with(ForeignTokenEndpoint).await.json().await.unwrap();
    assert_eq!(configuration["token_endpoint"], format!("{}/token", scene.ehr.elsewhere_url()));
    let configuration: Value = with(Es384Only).await.json().await.unwrap();
    assert_eq!(
        configuration["token_endpoint_auth_signing_alg_values_supported"],
        serde_json::json!(["ES384"])
    );
    assert_eq!(get().await.json::<Value>().await.unwrap()["token_endpoint"], scene.token_url());
}

#[tokio::test]
async fn a_token_endpoint_is_missing_or_leads_to_where_no_assertion_belongs() {
    let scene = Scene::new(|settings| settings.misconfigured = vec![TokenEndpoint404]).await;
    let ask = async || scene.ask_token(&scene.key.sign("k1", &scene.claims()), "system/*.rs").await;
    assert_eq!(ask().await.status(), StatusCode::NOT_FOUND);
    scene.ehr.mend(TokenEndpoint404);
    scene.ehr.plant(TokenEndpointRedirects);
    let redirected = ask().await;
    assert_eq!(redirected.status(), StatusCode::TEMPORARY_REDIRECT);
    let elsewhere = redirected.headers()["location"].to_str().unwrap();
    assert!(elsewhere.starts_with(scene.ehr.elsewhere_url()));
    // Who follows is seen.
    scene.http.post(elsewhere).bearer_auth("x").send().await.unwrap();
    let seen = scene.ehr.seen();
    let last = seen.last().unwrap();
    assert!(last.elsewhere && last.with_token && last.status == 400 && last.path == "/token");
}

#[tokio::test]
async fn the_date_of_every_answer_is_the_servers_own_time() {
    let scene = Scene::new(|_| {}).await;
    let date = async || {
        let answer = scene.http.get(scene.url("/metadata")).send().await.unwrap();
        answer.headers()["date"].to_str().unwrap().to_owned()
    };
    assert_eq!(date().await, "Wed, 01 Jul 2026 03:00:00 GMT");
    scene.clock.advance(Duration::from_secs(61));
    assert_eq!(date().await, "Wed, 01 Jul 2026 03:01:01 GMT");
    scene.ehr.plant(ClockBehind);
    assert_eq!(date().await, "Wed, 01 Jul 2026 02:51:01 GMT");
    scene.ehr.plant(ClockAhead);
    assert_eq!(date().await, "Wed, 01 Jul 2026 03:11:01 GMT");
}

#[tokio::test]
async fn a_scope_is_narrower_or_wider_than_asked() {
    let scene = Scene::new(|_| {}).await;
    for (planted, granted, observations) in [(NarrowScope, "system/Patient.rs", 403), (WideScope, "system/*.*", 200)] {
        scene.ehr.plant(planted);
        let asked = "system/Patient.rs system/Observation.rs";
        let answer = scene.ask_token(&scene.key.sign("k1", &scene.claims()), asked).await;
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["scope"], granted);
        let token = body["access_token"].as_str().unwrap();
        let read = scene.ask(Method::GET, &scene.url("/Observation?_count=1"), token).await;
        assert_eq!(read.status().as_u16(), observations);
        scene.ehr.mend(planted);
    }
}

#[tokio::test]
async fn what_the_token_opens_is_shut_in_named_ways() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    for (planted, path, status) in [
        (GroupNotVisible, "/Group/all", 404),
        (GroupNotVisible, "/Group/all/$export", 404),
        (NoGroupExport, "/Group/all/$export", 501),
        (TypeForbidden, "/Observation?_count=1", 403),
        (Read500, "/Patient?_count=1", 500),
        (Read500, "/Group/all", 500),
        (Metadata404, "/metadata", 404),
    ] {
        let before = scene.ehr.fired_misconfiguration(planted);
        scene.ehr.plant(planted);
        assert_eq!(
            scene.ask(Method::GET, &scene.url(path), &token).await.status().as_u16(),
            status,
            "{path}"
        );
        scene.ehr.mend(planted);
        assert!(
            scene.ehr.fired_misconfiguration(planted) > before,
            "{} was not counted",
            planted.name()
        );
        assert!(
            scene.ask(Method::GET, &scene.url(path), &token).await.status().is_success(),
            "{path}"
        );
    }
    scene.ehr.plant(FhirStu3);
    let statement: Value = scene.ask(Method::GET, &scene.url("/metadata"), &token).await.json().await.unwrap();
    assert_eq!(statement["fhirVersion"], "3.0.2");
}
