//! Files of an export that come wrong: cut in many ways, changed, late, from elsewhere, out of date.

use std::io::Read;
use std::time::Duration;

use headwater::simulate::ehr::{Fault, FaultOrder};
use reqwest::{Method, Response, StatusCode};

use super::scene::Scene;

/// A scene, its token, and the address of its file of Observations.
async fn observations(change: impl FnOnce(&mut headwater::simulate::ehr::EhrSettings)) -> (Scene, String, String) {
    let scene = Scene::new(change).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export?_type=Observation", &token).await;
    let url = scene.manifest(&poll, &token).await["output"][0]["url"].as_str().unwrap().to_owned();
    (scene, token, url)
}

async fn get(scene: &Scene, url: &str, token: &str, gzip: bool) -> Response {
    let request = scene.http.get(url).bearer_auth(token);
    let coding = if gzip { "gzip" } else { "identity" };
    request.header("accept-encoding", coding).send().await.unwrap()
}

/// What arrived, and whether the answer ended well.
async fn drain(mut answer: Response) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, true),
            Err(_) => return (bytes, false),
        }
    }
}

#[tokio::test]
async fn a_file_is_cut_in_every_way_that_a_network_and_a_server_can() {
    let (scene, token, url) = observations(|_| {}).await;
    let whole = scene.read("Observation");
    // The fault, gzip, whether the answer ends as if all were well, and whether a line is cut in what can be read.
    for (fault, gzip, ends_well, line_cut) in [
        (Fault::EarlyFin, false, true, true),
        (Fault::ShortContentLength, false, false, true),
        (Fault::CutChunked, false, false, true),
        (Fault::CutGzip, true, true, true),
        (Fault::CutLastLine, false, true, true),
        (Fault::CutLastLine, true, true, true),
        (Fault::EarlyFin, true, true, true),
        (Fault::Reset, false, false, true),
    ] {
        let before = scene.ehr.fired(fault);
        scene.ehr.order(fault.into());
        let answer = get(&scene, &url, &token, gzip).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", fault.name());
        let (bytes, ended_well) = drain(answer).await;
        assert_eq!((ended_well, scene.ehr.fired(fault)), (ends_well, before + 1), "{}", fault.name());
        let mut text = Vec::new();
        let unpacked = if gzip {
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut text).is_ok()
        } else {
            text = bytes;
            true
        };
        assert!(whole.as_bytes().starts_with(&text) && text.len() < whole.len(), "{}", fault.name());
        // Only where the cut is inside the packed text does gzip itself not notice.
        assert_eq!(unpacked, !gzip || fault == Fault::CutLastLine, "{}", fault.name());
        assert_eq!(!text.ends_with(b"\n"), line_cut, "{}", fault.name());
        let (next, ended_well) = drain(get(&scene, &url, &token, false).await).await;
        assert!(ended_well && next == whole.as_bytes(), "{} left a trace", fault.name());
    }
}

#[tokio::test]
async fn a_connection_breaks_at_the_byte_that_was_chosen() {
    let (scene, token, url) = observations(|settings| settings.reset_at = Some(0)).await;
    let whole = scene.read("Observation");
    for byte in [0, 1, 1000, 65_535] {
        scene.ehr.reset_at(byte as u64);
        scene.ehr.order(Fault::Reset.into());
        let (bytes, ended_well) = drain(get(&scene, &url, &token, false).await).await;
        assert!(
            !ended_well && bytes == whole.as_bytes()[..byte],
            "byte {byte}, {} came",
            bytes.len()
        );
    }
    assert_eq!(scene.ehr.fired(Fault::Reset), 4);
}

#[tokio::test]
async fn a_file_that_broke_off_is_another_at_the_next_try() {
    let (scene, token, url) = observations(|settings| settings.faults = vec![Fault::ContentChanges.into()]).await;
    let whole = scene.read("Observation");
    let (first, ended_well) = drain(get(&scene, &url, &token, false).await).await;
    assert!(!ended_well && !whole.as_bytes().starts_with(&first) && first.starts_with(&whole.as_bytes()[..100]));
    let (second, _) = drain(get(&scene, &url, &token, false).await).await;
    assert_eq!(second, whole.as_bytes());
}

#[tokio::test]
async fn a_token_runs_out_in_the_middle_of_a_file() {
    let (scene, token, url) = observations(|settings| settings.faults = vec![Fault::TokenExpires.into()]).await;
    let (first, ended_well) = drain(get(&scene, &url, &token, false).await).await;
    assert!(!ended_well && !first.is_empty());
    assert_eq!(get(&scene, &url, &token, false).await.status(), StatusCode::UNAUTHORIZED);
    let (second, ended_well) = drain(get(&scene, &url, &scene.token().await, false).await).await;
    assert!(ended_well && second == scene.read("Observation").as_bytes());
}

#[tokio::test]
async fn a_slow_file_takes_a_second_a_kilobyte_by_the_servers_clock() {
    let (scene, token, url) = observations(|settings| settings.faults = vec![Fault::SlowDrip.into()]).await;
    let before = scene.clock.now();
    let (bytes, ended_well) = drain(get(&scene, &url, &token, false).await).await;
    assert!(ended_well && bytes == scene.read("Observation").as_bytes());
    let seconds = scene.clock.now().duration_since(before).as_secs();
    assert_eq!(seconds as usize, bytes.len().div_ceil(1024));
}

#[tokio::test]
async fn addresses_run_out_on_order_and_with_time_and_the_manifest_has_new_ones() {
    let (scene, token, _) = observations(|_| {}).await;
    let poll = scene.begin("/$export?_type=Observation", &token).await;
    let address = async |token: &str| scene.manifest(&poll, token).await["output"][0]["url"].as_str().unwrap().to_owned();
    for (fault, status) in [(Fault::File403, 403), (Fault::File404, 404), (Fault::ExpireFileUrl, 410)] {
        let old = address(&token).await;
        scene.ehr.order(fault.into());
        assert_eq!(get(&scene, &old, &token, false).await.status().as_u16(), status);
        assert_eq!(get(&scene, &old, &token, false).await.status(), StatusCode::GONE);
        let new = address(&token).await;
        assert_ne!(new, old);
        assert_eq!(get(&scene, &new, &token, false).await.status(), StatusCode::OK);
    }
    let told = scene.ask(Method::GET, &poll, &token).await;
    assert_eq!(told.headers()["expires"], "Thu, 02 Jul 2026 03:00:00 GMT");
    let old = address(&token).await;
    scene.clock.advance(Duration::from_secs(24 * 3600));
    let token = scene.token().await;
    assert_eq!(get(&scene, &old, &token, false).await.status(), StatusCode::GONE);
    assert_eq!(get(&scene, &address(&token).await, &token, false).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn files_elsewhere_are_for_whoever_has_the_address_and_for_no_token() {
    let scene = Scene::new(|settings| settings.files_elsewhere = true).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export?_type=Patient", &token).await;
    let manifest = scene.manifest(&poll, &token).await;
    assert_eq!(manifest["requiresAccessToken"], false);
    let url = manifest["output"][0]["url"].as_str().unwrap();
    assert!(url.starts_with(scene.ehr.elsewhere_url()));
    assert_eq!(get(&scene, url, &token, false).await.status(), StatusCode::BAD_REQUEST);
    let file = scene.http.get(url).send().await.unwrap().text().await.unwrap();
    assert_eq!(file, scene.read("Patient"));
    let leaks: Vec<_> = scene
        .ehr
        .seen()
        .into_iter()
        .filter(|seen| seen.elsewhere && seen.with_token)
        .collect();
    assert_eq!((leaks.len(), leaks[0].status), (1, 400));
}

#[tokio::test]
async fn a_request_with_a_token_is_sent_elsewhere() {
    let (scene, token, url) = observations(|settings| settings.faults = vec![]).await;
    for path in [url, scene.url("/Patient?_count=1")] {
        scene.ehr.order(FaultOrder::from(Fault::Redirect));
        let redirect = scene.ask(Method::GET, &path, &token).await;
        assert_eq!(redirect.status(), StatusCode::TEMPORARY_REDIRECT);
        assert!(
            redirect.headers()["location"]
                .to_str()
                .unwrap()
                .starts_with(scene.ehr.elsewhere_url())
        );
        assert_eq!(scene.ask(Method::GET, &path, &token).await.status(), StatusCode::OK);
    }
    assert_eq!(scene.ehr.fired(Fault::Redirect), 2);
}
