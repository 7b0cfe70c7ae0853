//! Who gets a token from the simulated EHR, and what a token opens.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::scene::{Key, Scene, host, register_by_address};

#[tokio::test]
async fn both_algorithms_and_a_key_set_by_address_are_accepted() {
    let mut scene = Scene::new(|_| {}).await;
    scene.token().await;
    scene.key = Key::rs384();
    scene.client = scene.ehr.register(scene.key.public.clone()).unwrap();
    scene.token().await;

    let address = host(json!({ "keys": [scene.key.public] })).await;
    scene.client = register_by_address(&scene.ehr, &address).await;
    scene.token().await;
}

#[tokio::test]
async fn an_assertion_that_is_not_right_gets_no_token() {
    let scene = Scene::new(|_| {}).await;
    let stranger = Key::es384();
    let now = scene.clock.now().as_second();
    let with = |name: &str, value: Value| {
        let mut claims = scene.claims();
        claims[name] = value;
        scene.key.sign("k1", &claims)
    };
    let without_jti = {
        let mut claims = scene.claims();
        claims.as_object_mut().unwrap().remove("jti");
        scene.key.sign("k1", &claims)
    };
    let used = scene.key.sign("k1", &scene.claims());
    assert_eq!(scene.ask_token(&used, "system/*.rs").await.status(), StatusCode::OK);
    let hmac = jsonwebtoken::encode(&Header::new(Algorithm::HS384), &scene.claims(), &EncodingKey::from_secret(b"x")).unwrap();
    let mut tampered = scene.key.sign("k1", &scene.claims());
    let place = tampered.len() - 8..tampered.len() - 7;
    let other = if tampered[place.clone()] == *"A" { "B" } else { "A" };
    tampered.replace_range(place, other);
    for (what, assertion) in [
        ("another audience", with("aud", json!("http://127.0.0.1:1/token"))),
        ("expired", with("exp", json!(now))),
        ("too far ahead", with("exp", json!(now + 3600))),
        ("no jti", without_jti),
        ("a used jti", used),
        ("another subject", with("sub", json!("somebody"))),
        ("an unknown client", with("iss", json!("client-0"))),
        ("an unknown kid", scene.key.sign("k2", &scene.claims())),
        ("another's key", stranger.sign("k1", &scene.claims())),
        ("a weak algorithm", hmac),
        ("a changed signature", tampered),
        ("no JWT", "x.y".to_owned()),
    ] {
        let response = scene.ask_token(&assertion, "system/*.rs").await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{what}");
        assert_eq!(response.json::<Value>().await.unwrap()["error"], "invalid_client", "{what}");
    }
    let no_scope = scene.ask_token(&scene.key.sign("k1", &scene.claims()), "user/*.rs").await;
    assert_eq!(no_scope.json::<Value>().await.unwrap()["error"], "invalid_scope");
}

#[tokio::test]
async fn nothing_is_served_without_a_token_that_is_still_good() {
    let scene = Scene::new(|settings| settings.polls_before_ready = 0).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export", &token).await;
    let file = scene.manifest(&poll, &token).await["output"][0]["url"].as_str().unwrap().to_owned();
    let closed = [scene.url("/$export"), scene.url("/Group/none/$export"), poll, file];
    for url in &closed {
        assert_eq!(scene.ask(Method::GET, url, "0000").await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(scene.http.get(url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    for open in ["/metadata", "/.well-known/smart-configuration"] {
        assert_eq!(scene.http.get(scene.url(open)).send().await.unwrap().status(), StatusCode::OK);
    }
    scene.clock.advance(Duration::from_secs(299));
    assert_eq!(scene.ask(Method::GET, &closed[3], &token).await.status(), StatusCode::OK);
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.ask(Method::GET, &closed[3], &token).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn another_client_does_not_see_the_job() {
    let mut scene = Scene::new(|_| {}).await;
    let poll = scene.begin("/$export", &scene.token().await).await;
    scene.key = Key::es384();
    scene.client = scene.ehr.register(scene.key.public.clone()).unwrap();
    let response = scene.ask(Method::GET, &poll, &scene.token().await).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}
