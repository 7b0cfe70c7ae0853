//! Faults on order: each happens as often as ordered, is counted, and goes away.

use std::io::Read;

use headwater::simulate::ehr::{Fault, FaultOrder};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::scene::Scene;

#[tokio::test]
async fn faults_before_the_manifest_happen_once_and_are_counted() {
    let scene = Scene::new(|settings| {
        settings.faults = [Fault::Token401, Fault::Kickoff429, Fault::Poll503, Fault::Bearer401]
            .map(FaultOrder::from)
            .to_vec();
    })
    .await;
    let refused = scene.ask_token(&scene.key.sign("k1", &scene.claims()), "system/*.rs").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let token = scene.token().await;
    let throttled = scene.ask(Method::GET, &scene.url("/$export"), &token).await;
    assert_eq!(
        (throttled.status(), &throttled.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap())
    );
    let poll = scene.begin("/$export?_type=Patient", &token).await;
    assert_eq!(scene.ask(Method::GET, &poll, &token).await.status(), StatusCode::UNAUTHORIZED);
    let busy = scene.ask(Method::GET, &poll, &token).await;
    assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(busy.json::<Value>().await.unwrap()["issue"][0]["code"], "transient");
    scene.manifest(&poll, &token).await;
    for fault in Fault::ALL {
        let expected = u32::from(matches!(
            fault,
            Fault::Token401 | Fault::Kickoff429 | Fault::Poll503 | Fault::Bearer401
        ));
        assert_eq!(scene.ehr.fired(fault), expected, "{}", fault.name());
    }
}

#[tokio::test]
async fn a_wrong_count_and_an_expired_address_are_mended_by_reading_again() {
    let scene = Scene::new(|settings| settings.faults = vec![Fault::WrongCount.into(), Fault::ExpireFileUrl.into()]).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export?_type=Patient", &token).await;
    let wrong = scene.manifest(&poll, &token).await;
    assert_eq!(
        (wrong["output"][0]["count"].as_u64(), scene.ehr.fired(Fault::WrongCount)),
        (Some(4), 1)
    );
    let gone = wrong["output"][0]["url"].as_str().unwrap();
    for _ in 0..2 {
        assert_eq!(scene.ask(Method::GET, gone, &token).await.status(), StatusCode::GONE);
    }
    assert_eq!(scene.ehr.fired(Fault::ExpireFileUrl), 1);
    let right = scene.manifest(&poll, &token).await;
    assert_eq!(right["output"][0]["count"], 3);
    let text = scene
        .ask(Method::GET, right["output"][0]["url"].as_str().unwrap(), &token)
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(text, scene.read("Patient"));
}

#[tokio::test]
async fn a_truncated_file_ends_inside_a_line_and_the_next_one_is_whole() {
    let scene = Scene::new(|settings| settings.faults = vec!["truncate-file=2".parse().unwrap()]).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export?_type=Observation", &token).await;
    let url = scene.manifest(&poll, &token).await["output"][0]["url"].as_str().unwrap().to_owned();
    let whole = scene.read("Observation");
    let cut = scene.ask(Method::GET, &url, &token).await.text().await.unwrap();
    assert!(whole.starts_with(&cut) && cut.len() < whole.len() && !cut.ends_with('\n') && cut.len() > whole.len() / 4);
    let packed = scene
        .http
        .get(&url)
        .bearer_auth(&token)
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap();
    let packed = packed.bytes().await.unwrap();
    let mut cut = Vec::new();
    assert!(
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut cut).is_err(),
        "cut gzip has no end"
    );
    assert_eq!(scene.ehr.fired(Fault::TruncateFile), 2);
    assert_eq!(scene.ask(Method::GET, &url, &token).await.text().await.unwrap(), whole);
}

#[tokio::test]
async fn a_stalled_file_says_nothing_more_until_the_server_stops() {
    let scene = Scene::new(|settings| settings.faults = vec![Fault::Stall.into()]).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export?_type=Observation", &token).await;
    let url = scene.manifest(&poll, &token).await["output"][0]["url"].as_str().unwrap().to_owned();
    let mut stalled = scene.ask(Method::GET, &url, &token).await;
    let first = stalled.chunk().await.unwrap();
    assert!(first.is_some_and(|bytes| !bytes.is_empty()));
    assert_eq!(scene.ehr.fired(Fault::Stall), 1);
    // Others are served meanwhile.
    assert_eq!(
        scene.ask(Method::GET, &url, &token).await.text().await.unwrap(),
        scene.read("Observation")
    );
    scene.ehr.shutdown().await;
    while let Ok(chunk) = stalled.chunk().await {
        assert!(chunk.is_some(), "a stalled file never ends well");
    }
}
