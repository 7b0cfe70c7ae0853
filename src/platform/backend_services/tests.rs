//! The token flow against a token endpoint scripted by each test.

use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};

use super::*;

type Answer = (u16, &'static str);

/// A server that gives `answers` in turn (the last for ever); returns its base and the number of token requests.
async fn server(answers: Vec<Answer>) -> (Url, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let token = post(move || async move {
        let at = counted.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        let (status, body) = answers[at];
        let date = if body.contains("late") {
            "Sun, 01 Mar 2026 02:10:00 GMT"
        } else {
            "Sun, 01 Mar 2026 02:00:30 GMT"
        };
        (
            StatusCode::from_u16(status).unwrap(),
            [("content-type", "application/json"), ("date", date)],
            body.to_owned(),
        )
    });
    let smart = get(|| async { r#"{"token_endpoint":"auth/token","token_endpoint_auth_signing_alg_values_supported":["ES384"]}"# });
    let router = Router::new()
        .route("/fhir/.well-known/smart-configuration", smart)
        .route("/fhir/auth/token", token);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Url::parse(&format!("http://{}/fhir", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (base, count)
}

async fn source(answers: Vec<Answer>) -> (TokenSource, Arc<AtomicUsize>, Clock) {
    let (base, count) = server(answers).await;
    let http = http::client(&http::HttpSettings::default()).unwrap();
    let clock = Clock::manual("2026-03-01T02:00:00Z".parse().unwrap());
    let smart = discover(&http, &base).await.unwrap();
    assert_eq!(smart.signing_algorithms, ["ES384"]);
    let key = ClientKey::generate(Algorithm::Es384).unwrap();
    let allowed = [WebOrigin::of(&base)];
    let source = TokenSource::new(
        http,
        clock.clone(),
        "client",
        &key,
        smart.token_endpoint,
        "system/Patient.rs",
        &allowed,
    );
    (source.unwrap(), count, clock)
}

const FIRST: Answer = (
    200,
    r#"{"access_token":"one","token_type":"Bearer","expires_in":300,"scope":"system/*.rs"}"#,
);
const SECOND: Answer = (200, r#"{"access_token":"two","token_type":"bearer","expires_in":300}"#);

#[tokio::test]
async fn many_askers_cause_one_request_and_the_token_is_renewed_a_minute_early() {
    let (source, count, clock) = source(vec![FIRST, SECOND]).await;
    let all = futures_util::future::join_all((0..20).map(|_| source.token())).await;
    assert!(all.into_iter().all(|token| token.unwrap().expose() == "one"));
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(source.granted_scope().as_deref(), Some("system/*.rs"));
    clock.advance(Duration::from_secs(239));
    assert_eq!(source.token().await.unwrap().expose(), "one");
    clock.advance(Duration::from_secs(1));
    assert_eq!(source.token().await.unwrap().expose(), "two");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_refused_token_is_forgotten_but_not_its_successor() {
    let (source, count, _) = source(vec![FIRST, SECOND]).await;
    let one = source.token().await.unwrap();
    source.invalidate(&one).await;
    assert_eq!(source.token().await.unwrap().expose(), "two");
    source.invalidate(&one).await;
    assert_eq!(source.token().await.unwrap().expose(), "two");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

async fn check_refusal(answer: Answer, transient: bool, expected: &[&str]) {
    let (source, ..) = source(vec![answer]).await;
    let error = source.token().await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.is_transient(), transient, "{text}");
    for part in expected {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(!text.contains("hush"), "{text}");
    assert!(!format!("{error:?}").contains("hush"), "{error:?}");
}

#[tokio::test]
async fn a_refusal_is_told_in_plain_words_and_without_the_servers_text() {
    let refused = r#"{"error":"invalid_client","error_description":"hush"}"#;
    check_refusal((400, refused), false, &["answered 400 invalid_client", "register this key", "kid "]).await;
    check_refusal(
        (400, r#"{"error":"invalid_client","error_description":null}"#),
        false,
        &["register"],
    )
    .await;
    check_refusal((400, r#"{"error":"invalid_scope"}"#), false, &["system/Patient.rs"]).await;
    check_refusal(
        (400, r#"{"error":"invalid_client","late":1}"#),
        false,
        &["clock is -600 seconds off"],
    )
    .await;
    check_refusal((400, r#"{"error":"Hush hush"}"#), false, &["unreadable code"]).await;
    check_refusal((500, "<html>hush</html>"), true, &["answered 500"]).await;
    check_refusal((429, ""), true, &["answered 429"]).await;
    check_refusal((200, r#"{"token":"hush"}"#), false, &["lacks `access_token`"]).await;
    check_refusal((302, ""), false, &["redirects"]).await;
}

#[tokio::test]
async fn a_token_endpoint_elsewhere_sees_no_assertion() {
    let http = http::client(&http::HttpSettings::default()).unwrap();
    let key = ClientKey::generate(Algorithm::Es384).unwrap();
    let allowed = [WebOrigin::parse("https://ehr.example.org").unwrap()];
    let check = |url: &str, allowed: &[WebOrigin]| {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        TokenSource::new(http.clone(), clock, "client", &key, Url::parse(url).unwrap(), "s", allowed).map(drop)
    };
    assert!(check("https://ehr.example.org/token", &allowed).is_ok());
    for foreign in [
        "https://ehr.example.org.evil.test/token",
        "https://ehr.example.org:8443/token",
        "https://evil.test/token",
    ] {
        assert!(matches!(check(foreign, &allowed), Err(TokenError::ForeignEndpoint(_))), "{foreign}");
    }
    assert!(matches!(check("http://ehr.example.org/token", &allowed), Err(TokenError::Http(_))));
    assert!(
        matches!(check("https://ehr.example.org/token", &[]), Err(TokenError::ForeignEndpoint(_))),
        "an empty list allows nothing"
    );
}

#[tokio::test]
async fn a_base_without_smart_configuration_is_named() {
    let (mut base, _) = server(vec![FIRST]).await;
    base.set_path("/elsewhere");
    let http = http::client(&http::HttpSettings::default()).unwrap();
    let text = discover(&http, &base).await.unwrap_err().to_string();
    assert!(text.contains("answered 404") && text.contains("check the base address"), "{text}");
}
