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

#[tokio::test]
async fn a_kick_off_is_refused_with_every_kind_of_retry_after() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    for (fault, status, retry_after) in [
        (Fault::KickoffRetry5h, 429, Some("18000")),
        (Fault::KickoffRetryDate, 429, Some("Wed, 01 Jul 2026 03:02:00 GMT")),
        (Fault::KickoffRetryAbsent, 429, None),
        (Fault::KickoffRetryNegative, 429, Some("-1")),
        (Fault::KickoffRetryHuge, 503, Some("1000000000")),
        (Fault::Kickoff500, 500, None),
    ] {
        scene.ehr.order(fault.into());
        let refused = scene.ask(Method::GET, &scene.url("/$export"), &token).await;
        let told = refused.headers().get("retry-after").map(|when| when.to_str().unwrap());
        assert_eq!((refused.status().as_u16(), told, scene.ehr.fired(fault)), (status, retry_after, 1));
    }
    scene.ehr.order(Fault::SecondKickoff.into());
    let poll = scene.begin("/$export", &token).await;
    let second = scene.ask(Method::GET, &scene.url("/$export"), &token).await;
    assert_eq!((second.status().as_u16(), scene.ehr.fired(Fault::SecondKickoff)), (429, 1));
    scene.ehr.order(Fault::SecondKickoff.into());
    scene.ask(Method::DELETE, &poll, &token).await;
    scene.begin("/$export", &token).await;
    assert_eq!(scene.ehr.fired(Fault::SecondKickoff), 1, "without a job there is no second one");
}

#[tokio::test]
async fn a_job_is_never_done_and_its_progress_goes_back() {
    let scene = Scene::new(|settings| {
        settings.polls_before_ready = 0;
        settings.faults = vec!["progress-goes-back=2".parse().unwrap(), "poll-again=always".parse().unwrap()];
    })
    .await;
    let token = scene.token().await;
    let poll = scene.begin("/$export", &token).await;
    let mut told = Vec::new();
    for _ in 0..40 {
        let answer = scene.ask(Method::GET, &poll, &token).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        told.push(answer.headers()["x-progress"].to_str().unwrap().to_owned());
    }
    assert_eq!(told[..2], ["working, 99 of 100", "working, 98 of 100"]);
    assert_eq!(scene.ehr.fired(Fault::PollAgain), 38);
    scene.ehr.order(Fault::ErrorAt200.into());
    let odd = scene.ask(Method::GET, &poll, &token).await;
    assert_eq!(odd.status(), StatusCode::OK);
    assert_eq!(odd.json::<Value>().await.unwrap()["resourceType"], "OperationOutcome");
}

#[tokio::test]
async fn a_manifest_is_odd_in_named_ways() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    let with = async |orders: &[&str]| {
        orders.iter().for_each(|order| scene.ehr.order(order.parse().unwrap()));
        let poll = scene.begin("/$export?_type=Patient,Observation", &token).await;
        let manifest = scene.manifest(&poll, &token).await;
        for order in orders {
            assert_eq!(scene.ehr.fired(order.parse::<FaultOrder>().unwrap().fault), 1, "{order}");
        }
        manifest
    };
    let plain = with(&[]).await;
    let output = |manifest: &Value| manifest["output"].as_array().unwrap().clone();
    assert_eq!(output(&plain).len(), 2);
    let repeated = output(&with(&["repeated-url"]).await);
    assert_eq!((repeated.len(), &repeated[2]), (3, &repeated[0]));
    assert!(with(&["unknown-fields"]).await.get("serverMood").is_some());
    assert_eq!(output(&with(&["empty-output"]).await).len(), 0);
    let tiny = output(&with(&["tiny-files"]).await);
    assert_eq!(tiny.len() as u64, scene.counts["Patient"] + scene.counts["Observation"]);
    let types = output(&with(&["repeated-type"]).await);
    assert_eq!(types.len() as u64, 1 + scene.counts["Observation"].div_ceil(10));
    let partial = with(&["error-files"]).await;
    let errors = scene.file(&partial["error"][0], &token).await;
    assert!(errors.contains("OperationOutcome") && errors.contains("\"severity\":\"error\"") && errors.lines().count() == 1);
    assert!(
        with(&["time-in-future"]).await["transactionTime"]
            .as_str()
            .unwrap()
            .starts_with("2026-07-02T03:00:00")
    );
    assert!(
        with(&["time-goes-back"]).await["transactionTime"]
            .as_str()
            .unwrap()
            .starts_with("2026-06-01T03:00:00")
    );
    let elsewhere = with(&["next-elsewhere"]).await;
    assert!(elsewhere["link"][0]["url"].as_str().unwrap().starts_with(scene.ehr.elsewhere_url()));
    let mut page = with(&["next-endless"]).await;
    for _ in 0..5 {
        let next = page["link"][0]["url"].as_str().unwrap().to_owned();
        page = scene.ask(Method::GET, &next, &token).await.json().await.unwrap();
        assert_eq!(output(&page).len(), 0);
    }
    let next = with(&["next-loops"]).await["link"][0]["url"].as_str().unwrap().to_owned();
    let first: Value = scene.ask(Method::GET, &next, &token).await.json().await.unwrap();
    assert_eq!(output(&first).len(), 2);
}

#[tokio::test]
async fn a_day_passes_before_an_export_and_its_deletions_are_not_told() {
    let scene = Scene::with(6, |settings| {
        settings.faults = vec![Fault::DayPasses.into(), "deletions-untold=1".parse().unwrap()];
    })
    .await;
    let before: std::collections::BTreeSet<String> = scene
        .counts
        .keys()
        .flat_map(|kind| scene.read(kind).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let export = scene.export(&format!("/$export?_since={}", super::scene::START)).await;
    assert!(!export.resources.is_empty() && export.manifest.get("deleted").is_none());
    let after = scene.export("/$export").await;
    assert_eq!((scene.ehr.fired(Fault::DayPasses), scene.ehr.fired(Fault::DeletionsUntold)), (1, 1));
    let now: std::collections::BTreeSet<String> = after.resources.values().cloned().collect();
    assert!(before.difference(&now).count() > export.deleted.len());
    // Told again, the deletions are there.
    let told = scene.export(&format!("/$export?_since={}", super::scene::START)).await;
    assert!(!told.deleted.is_empty());
}

#[tokio::test]
async fn a_token_request_is_throttled() {
    let scene = Scene::new(|settings| settings.faults = vec![Fault::Token429.into()]).await;
    let refused = scene.ask_token(&scene.key.sign("k1", &scene.claims()), "system/*.rs").await;
    assert_eq!(
        (refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()),
        (429, "60")
    );
    scene.token().await;
}
