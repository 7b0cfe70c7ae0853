//! How politely an EHR is asked, and how the clock's tricks are borne: through whole pulls, seen from the EHR's side.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::ehr::{Answer, Ehr};
use super::*;
use headwater::platform::backend_services::TokenSource;
use headwater::platform::http::WebOrigin;
use headwater::pull::QuietHours;
use jiff::Timestamp;
use jiff::tz::TimeZone;

fn files(count: usize) -> serde_json::Value {
    let output: Vec<_> = (1..=count)
        .map(|n| json!({"type": "Patient", "url": format!("{{base}}/files/{n}")}))
        .collect();
    json!({"output": output})
}

async fn with_files(count: usize) -> Ehr {
    let ehr = Ehr::with_manifest(files(count)).await;
    for n in 1..=count {
        ehr.on(&format!("GET /files/{n}"), [Answer::new(200, TWO_PATIENTS)]);
    }
    ehr
}

#[tokio::test]
async fn a_pause_asked_for_once_is_kept_by_all_downloads() {
    let ehr = with_files(40).await;
    ehr.on(
        "GET /files/1",
        [Answer::new(429, "").with("retry-after", "1800"), Answer::new(200, TWO_PATIENTS)],
    );
    let mut site = Site::new();
    site.limits.concurrency = 32;
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(ehr.asked("GET /files/1").len(), 2, "the fault fired");
    let waited = site.elapsed().as_secs();
    assert!((1800..1810).contains(&waited), "all waited the same half hour: {waited} s");
    let asked: usize = (1..=40).map(|n| ehr.asked(&format!("GET /files/{n}")).len()).sum();
    assert_eq!(asked, 41, "nobody else was refused");
}

#[tokio::test]
async fn a_pull_begun_in_quiet_hours_waits_for_their_end_and_asks_nothing_before() {
    let ehr = with_files(1).await;
    let mut site = Site::with_key(&ehr);
    site.limits.quiet = vec![QuietHours {
        from: "01:00".parse().unwrap(),
        to: "06:00".parse().unwrap(),
        zone: TimeZone::UTC,
    }];
    site.limits.patience = Duration::from_secs(3600);
    let error = site.pull(&ehr).await.unwrap_err();
    assert!(matches!(error, PullError::Quiet { .. }) && error.is_transient(), "{error}");
    assert!(error.to_string().contains("2026-03-01T06:00:00Z"), "{error}");
    assert!(ehr.seen().is_empty(), "not even a token was asked for");

    site.limits.patience = Duration::from_secs(24 * 3600);
    assert!(site.pull(&ehr).await.unwrap().complete);
    assert_eq!(site.elapsed().as_secs(), 4 * 3600);
}

#[tokio::test]
async fn a_pull_stops_at_its_deadline_and_the_next_one_goes_on() {
    let ehr = with_files(3).await;
    let busy = Answer::new(503, "").with("retry-after", "3600");
    ehr.on("GET /files/2", [busy, Answer::new(200, TWO_PATIENTS)]);
    let mut site = Site::new();
    site.limits.concurrency = 1;
    site.limits.deadline = Some("2026-03-01T02:30:00Z".parse().unwrap());
    let error = site.pull(&ehr).await.unwrap_err();
    assert!(matches!(error, PullError::OutOfTime { .. }) && error.is_transient(), "{error}");
    assert_eq!(ehr.asked("GET /files/2").len(), 1, "the fault fired");
    let before = ehr.seen().len();
    assert!(matches!(site.pull(&ehr).await.unwrap_err(), PullError::OutOfTime { .. }));
    assert_eq!(ehr.seen().len(), before, "after the deadline nothing is asked");

    site.limits.deadline = None;
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(pulled.counts, [("Patient".to_owned(), 6)]);
    assert_eq!(ehr.asked("GET /$export").len(), 1, "the same job");
}

/// A source of tokens at the EHR, and its clock.
fn source(site: &Site, ehr: &Ehr, per_minute: u32) -> TokenSource {
    let endpoint = ehr.base().join("token").unwrap();
    let allowed = [WebOrigin::of(&ehr.base())];
    let (http, clock) = (site.http.clone(), site.clock.clone());
    TokenSource::new(
        http,
        clock,
        "gateway-1",
        site.key.as_ref().unwrap(),
        endpoint,
        "system/*.rs",
        &allowed,
    )
    .unwrap()
    .at_most(per_minute)
}

#[tokio::test]
async fn thirty_two_tasks_share_one_token_and_one_renewal_through_hours() {
    let ehr = Ehr::start().await;
    let site = Site::with_key(&ehr);
    let source = source(&site, &ehr, 30);
    for renewed in 1..=36 {
        let all = futures_util::future::join_all((0..32).map(|_| source.token())).await;
        let tokens: std::collections::BTreeSet<String> = all.into_iter().map(|token| token.unwrap().expose().to_owned()).collect();
        assert_eq!(tokens.len(), 1);
        assert_eq!(
            ehr.asked("POST /token").len(),
            renewed,
            "one request for all, a minute before the end"
        );
        site.clock.advance(Duration::from_secs(241));
    }
}

#[tokio::test]
async fn more_tokens_than_the_budget_of_a_minute_are_waited_for() {
    let ehr = Ehr::start().await;
    let site = Site::with_key(&ehr);
    let source = source(&site, &ehr, 5);
    for turn in 0..12 {
        let token = source.token().await.unwrap();
        source.invalidate(&token).await;
        assert_eq!(site.elapsed().as_secs(), [0, 60, 120][turn / 5], "token {turn}");
    }
    assert_eq!(ehr.asked("POST /token").len(), 12);
}

#[tokio::test]
async fn an_ehr_that_refuses_every_token_does_not_see_more_than_the_budget() {
    let ehr = with_files(20).await;
    for n in 1..=20 {
        ehr.on(&format!("GET /files/{n}"), [Answer::new(401, "")]);
    }
    let mut site = Site::with_key(&ehr);
    site.limits.tokens_per_minute = 4;
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(!pulled.complete);
    let minutes = usize::try_from(site.elapsed().as_secs() / 60).unwrap();
    let asked = ehr.asked("POST /token").len();
    assert!(asked > 8 && asked <= 4 * (minutes + 1), "{asked} tokens in {minutes} minutes");
}

#[tokio::test]
async fn a_token_that_ends_while_a_file_comes_is_renewed_for_the_next() {
    let ehr = with_files(3).await;
    let mut site = Site::with_key(&ehr);
    site.limits.concurrency = 1;
    site.limits.slowest = 0;
    ehr.on("GET /files/1", [Answer::new(200, "{\"id\":1}\n").dripping(&site.clock)]);
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert!(site.elapsed() > Duration::from_secs(300), "the token ended meanwhile");
    let token = |what: &str| ehr.asked(what)[0].header("authorization").unwrap().to_owned();
    assert_eq!(token("GET /files/1"), "Bearer token-1");
    assert_eq!(token("GET /files/3"), "Bearer token-2");
    assert_eq!(ehr.asked("GET /files/3").len(), 1, "renewed ahead, not after a 401");
}

/// An EHR whose clock shows `there` while ours shows `here`, and that holds assertions to its own time. Gives the claims
/// of those it refused and took.
async fn clocks(here: &str, there: &'static str, tells: bool) -> (Result<(), String>, usize) {
    let server: Timestamp = there.parse().unwrap();
    let refused = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = refused.clone();
    let date = move || {
        jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&server)
            .unwrap()
    };
    let token = axum::routing::post(move |body: String| async move {
        let assertion = body
            .split('&')
            .find_map(|pair| pair.strip_prefix("client_assertion="))
            .unwrap()
            .to_owned();
        let claims = jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(&assertion)
            .unwrap()
            .claims;
        let (issued, ends) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        let now = server.as_second();
        let is_of_our_time = issued <= now + 60 && ends > now && ends - issued <= 300;
        let (status, body) = if is_of_our_time {
            (200, r#"{"access_token":"one","token_type":"bearer","expires_in":300}"#)
        } else {
            counted.fetch_add(1, Ordering::SeqCst);
            (400, r#"{"error":"invalid_client"}"#)
        };
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        if tells {
            headers.insert("date", date().parse().unwrap());
        } else {
            headers.insert("date", "never".parse().unwrap());
        }
        (axum::http::StatusCode::from_u16(status).unwrap(), headers, body)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint: headwater::platform::http::Url = format!("http://{}/token", listener.local_addr().unwrap()).parse().unwrap();
    let router = axum::Router::new().route("/token", token);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let site = Site::new();
    let clock = Clock::manual(here.parse().unwrap());
    let key = ClientKey::generate(Algorithm::Es384).unwrap();
    let allowed = [WebOrigin::of(&endpoint)];
    let source = TokenSource::new(site.http.clone(), clock.clone(), "gateway-1", &key, endpoint, "s", &allowed).unwrap();
    let answer = source.token().await.map(drop).map_err(|error| error.to_string());
    if answer.is_ok() {
        // The clock jumps during the run: the token in hand lives by the time that ran.
        for jump in ["2016-01-01T00:00:00Z", "2036-01-01T00:00:00Z"] {
            clock.set(jump.parse().unwrap());
            let before = refused.load(Ordering::SeqCst);
            assert_eq!(source.token().await.unwrap().expose(), "one");
            assert_eq!(refused.load(Ordering::SeqCst), before, "no token was asked for");
        }
    }
    (answer, refused.load(Ordering::SeqCst))
}

#[tokio::test]
async fn assertions_go_by_the_servers_time_when_the_clocks_differ() {
    let there = "2026-03-01T02:00:00Z";
    for (here, refused) in [
        ("2026-03-01T02:00:00Z", 0),
        ("2026-03-01T02:00:50Z", 0),
        ("2026-02-28T02:00:00Z", 1),
        ("2026-03-02T02:00:00Z", 1),
        ("2016-03-01T02:00:00Z", 1),
        ("2036-03-01T02:00:00Z", 1),
        // An hour's mistake with daylight saving time, either way; a leap day.
        ("2026-03-01T03:00:00Z", 1),
        ("2026-03-01T01:00:00Z", 1),
        ("2024-02-29T02:00:00Z", 1),
    ] {
        let (answer, count) = clocks(here, there, true).await;
        assert_eq!(answer, Ok(()), "ours shows {here}");
        assert_eq!(count, refused, "refused once and asked again once: ours shows {here}");
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_an_error_when_the_server_does_not_tell_its_time() {
    let (answer, refused) = clocks("2026-03-02T02:00:00Z", "2026-03-01T02:00:00Z", false).await;
    assert!(answer.unwrap_err().contains("this machine's clock"));
    assert_eq!(refused, 1, "without its time there is nothing to try again with");
}

#[tokio::test]
async fn a_wait_written_down_before_the_clock_was_set_back_is_no_longer_than_any_other() {
    let ehr = with_files(1).await;
    let waiting = Answer::new(202, "").with("retry-after", "3000");
    ehr.on("GET /poll/1", [waiting, Answer::hanging()]);
    let site = Site::new();
    tokio::select! {
        result = site.pull(&ehr) => panic!("it ended: {result:?}"),
        () = ehr.hangs() => {}
    }
    site.clock.set("2016-03-01T02:00:00Z".parse().unwrap());
    ehr.lists(files(1));
    assert!(site.pull(&ehr).await.is_ok());
    let left = site.clock.now().duration_since("2016-03-01T02:00:00Z".parse().unwrap());
    assert!(left.as_secs() <= 3600, "{} s", left.as_secs());
}
