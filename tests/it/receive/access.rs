//! Who gets in: enrolment codes, client assertions, tokens, and a site on another site's ground.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use headwater::platform::backend_services::ClientKey;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::{House, Kit, row};

const TOKEN_URL: &str = "http://registry.test/oauth/token";

#[tokio::test]
async fn an_enrolment_code_is_good_once_for_fifteen_minutes_and_one_pair_of_keys() {
    let house = House::new();
    let (kit, other) = (Kit::new("lake"), Kit::new("lake"));
    let code = house.registry.records().add_site("lake").unwrap();
    assert_eq!(house.enrol(&kit, "0000").await.status, StatusCode::FORBIDDEN);
    let first = house.enrol(&kit, &code).await;
    assert_eq!(first.status, StatusCode::OK);
    let told = first.json();
    assert_eq!(
        (told["site"].as_str(), told["model"].as_str(), told["log_vkey"].as_str()),
        (Some("lake"), Some("m"), Some(house.registry.log_vkey().as_str()))
    );
    assert_eq!(
        house.enrol(&kit, &code).await.body,
        first.body,
        "an answer lost on the way is given again"
    );
    assert_eq!(house.enrol(&other, &code).await.status, StatusCode::FORBIDDEN);
    let late = house.registry.records().add_site("lake").unwrap();
    house.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(house.enrol(&other, &late).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_private_weak_or_nameless_key_is_not_enrolled() {
    let house = House::new();
    let kit = Kit::new("lake");
    let code = house.registry.records().add_site("lake").unwrap();
    let jwk = kit.client.public_jwk();
    let with = |name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    let bad = [
        with("d", json!("AAAA")),
        with("kid", Value::Null),
        with("crv", json!("P-256")),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "x"}),
        json!({"kty": "oct", "k": "AAAA", "kid": "x"}),
        json!("none"),
    ];
    for jwk in bad {
        let body = json!({"code": code, "jwk": jwk, "manifest_key": kit.manifest_key.public_base64()});
        let answer = house.call(Method::POST, "/enrol", None, "application/json", body.to_string()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{jwk}");
    }
    let body = json!({"code": code, "jwk": jwk, "manifest_key": "AAAA"});
    let answer = house.call(Method::POST, "/enrol", None, "application/json", body.to_string()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        house.enrol(&kit, &code).await.status,
        StatusCode::OK,
        "none of these used the code up"
    );
}

#[tokio::test]
async fn an_assertion_is_good_once_also_over_a_restart() {
    let house = House::new();
    let kit = house.join("lake").await;
    let assertion = kit.client.assertion("lake", TOKEN_URL, house.clock.now(), 300).unwrap();
    assert_eq!(house.ask_token(&assertion).await.status, StatusCode::OK);
    assert_eq!(house.ask_token(&assertion).await.status, StatusCode::UNAUTHORIZED);
    let house = house.restart();
    let answer = house.ask_token(&assertion).await;
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (StatusCode::UNAUTHORIZED, Some("invalid_client"))
    );
    assert_eq!(
        house.get(&kit, "/fhir/submit-status/lake-00000001-abababababababab").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn forged_and_foreign_assertions_get_no_token() {
    let house = House::new();
    let kit = house.join("lake").await;
    let now = house.clock.now();
    let seconds = now.as_second();
    let refused = async |assertion: String, what: &str| {
        let answer = house.ask_token(&assertion).await;
        assert_eq!(
            (answer.status, answer.json()["error"].as_str()),
            (StatusCode::UNAUTHORIZED, Some("invalid_client")),
            "{what}"
        );
    };
    let by = |client: &ClientKey, id: &str, audience: &str, life: i64| client.assertion(id, audience, now, life).unwrap();
    refused(by(&kit.client, "lake", TOKEN_URL, 301), "exp more than five minutes ahead").await;
    refused(by(&kit.client, "lake", TOKEN_URL, 0), "expired").await;
    refused(by(&kit.client, "lake", "http://registry.test/fhir", 240), "another audience").await;
    refused(by(&kit.client, "river", TOKEN_URL, 240), "unknown client").await;
    refused(by(&Kit::new("lake").client, "lake", TOKEN_URL, 240), "another key").await;
    refused("a.b.c".into(), "no JWT").await;
    refused(String::new(), "empty").await;

    let good = by(&kit.client, "lake", TOKEN_URL, 240);
    let parts: Vec<_> = good.split('.').collect();
    for at in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        // The last characters of base64 may hold bits that say nothing; such a change is no change.
        let same = changed.split('.').zip(&parts).all(|(a, b)| decoded(a) == decoded(b));
        if !same {
            refused(changed, &format!("byte {at}")).await;
        }
    }
    let secret = EncodingKey::from_secret(kit.client.public_jwk().to_string().as_bytes());
    let claims = json!({"iss": "lake", "sub": "lake", "aud": TOKEN_URL, "exp": seconds + 200, "jti": "j1"});
    let mut header = Header::new(jsonwebtoken::Algorithm::HS384);
    header.kid = Some(kit.client.kid().to_owned());
    refused(jsonwebtoken::encode(&header, &claims, &secret).unwrap(), "HMAC with the public key").await;
    use base64::Engine;
    let encode = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", encode(&json!({"alg": "none", "kid": kit.client.kid()})), encode(&claims));
    refused(none, "alg none").await;
    assert_eq!(house.ask_token(&good).await.status, StatusCode::OK, "none of these used its jti up");
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&base64::alphabet::URL_SAFE, config).decode(part).ok()
}

#[tokio::test]
async fn the_token_endpoint_knows_one_grant_and_one_scope() {
    let house = House::new();
    let kit = house.join("lake").await;
    let ask = async |change: &dyn Fn(String) -> String, error: &str| {
        let assertion = kit.client.assertion("lake", TOKEN_URL, house.clock.now(), 240).unwrap();
        let form = format!(
            "grant_type=client_credentials&scope=system/bulk-submit&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion={assertion}"
        );
        let kind = "application/x-www-form-urlencoded";
        let answer = house.call(Method::POST, "/oauth/token", None, kind, change(form)).await;
        assert_eq!(
            (answer.status, answer.json()["error"].as_str()),
            (StatusCode::BAD_REQUEST, Some(error))
        );
    };
    ask(&|form| form.replace("client_credentials", "password"), "unsupported_grant_type").await;
    ask(&|form| form.replace("system/bulk-submit", "system/*.*"), "invalid_scope").await;
    ask(&|form| form.replace("jwt-bearer", "saml2-bearer"), "invalid_request").await;
    ask(&|_| "{}".into(), "unsupported_grant_type").await;
    let configuration = house
        .call(Method::GET, "/.well-known/smart-configuration", None, "", Body::empty())
        .await;
    assert_eq!(configuration.json()["token_endpoint"], TOKEN_URL);
}

#[tokio::test]
async fn a_token_ends_after_five_minutes_and_at_once_when_its_site_is_suspended() {
    let house = House::new();
    let kit = house.join("lake").await;
    let ask = async || house.get(&kit, "/fhir/submit-status/lake-00000001-abababababababab").await.status;
    assert_eq!(ask().await, StatusCode::NOT_FOUND);
    house.registry.records().suspend_site("lake", true).unwrap();
    assert_eq!(ask().await, StatusCode::FORBIDDEN);
    let assertion = kit.client.assertion("lake", TOKEN_URL, house.clock.now(), 240).unwrap();
    assert_eq!(house.ask_token(&assertion).await.status, StatusCode::UNAUTHORIZED);
    house.registry.records().suspend_site("lake", false).unwrap();
    assert_eq!(ask().await, StatusCode::NOT_FOUND);
    house.clock.advance(Duration::from_secs(299));
    assert_eq!(ask().await, StatusCode::NOT_FOUND);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(ask().await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_site_touches_nothing_of_another_site() {
    let house = House::new();
    let mut lake = house.join("lake").await;
    let river = house.join("river").await;
    let parcel = lake.parcel(&[("person", &[("a", Some(&row("a", "200")))])]);
    house.deliver(&mut lake, &parcel).await;
    let waiting = lake.parcel(&[("person", &[("a", Some(&row("a", "2")))])]);
    house.put_all(&lake, &waiting).await;
    for theirs in [&parcel, &waiting] {
        let (id, chunk) = (theirs.id(), theirs.chunk_path(&theirs.chunks[0].0));
        let routes = [
            (Method::HEAD, chunk.clone()),
            (Method::PUT, chunk),
            (Method::PUT, theirs.manifest_path()),
            (Method::GET, format!("/fhir/submit-status/{id}")),
            (Method::GET, format!("/fhir/submissions/{id}/outcome")),
            (Method::GET, format!("/fhir/submissions/{id}/receipt")),
        ];
        for (method, path) in routes {
            for (token, status) in [
                (Some(river.token.as_str()), StatusCode::FORBIDDEN),
                (None, StatusCode::UNAUTHORIZED),
                (Some("guess"), StatusCode::UNAUTHORIZED),
            ] {
                let body = theirs.chunks[0].1.clone();
                let answer = house.call(method.clone(), &path, token, "", body).await;
                assert_eq!(answer.status, status, "{method} {path}");
            }
        }
        let mut as_them = Kit::new("lake");
        as_them.token.clone_from(&river.token);
        for kit in [&river, &as_them] {
            assert_eq!(house.submit(kit, theirs).await.status, StatusCode::FORBIDDEN);
            assert_eq!(house.ask_status(kit, theirs).await.status, StatusCode::FORBIDDEN);
        }
    }
    // The same key at two sites is two rows.
    let mut river = river;
    let own = river.parcel(&[("person", &[("a", Some(&row("a", "7")))])]);
    house.deliver(&mut river, &own).await;
    // Each is told of its own place and its own rows, whatever it asks for; a stranger of nothing.
    for (kit, held) in [(&lake, None), (&river, Some(row("a", "7")))] {
        let place = house.call(Method::GET, "/site/place", Some(&kit.token), "", Vec::new()).await;
        let place: serde_json::Value = serde_json::from_str(&place.text()).unwrap();
        assert_eq!(place["sequence"], 1);
        let of_all = br#"{"table":"","key":""}"#.to_vec();
        let rows = house
            .call(Method::POST, "/site/rows", Some(&kit.token), "application/json", of_all)
            .await;
        let rows: serde_json::Value = serde_json::from_str(&rows.text()).unwrap();
        let rows = rows["rows"].as_array().unwrap();
        // The first row of the lake did not fit its table.
        let digests: Vec<_> = rows.iter().map(|row| row["sha256"].as_str().unwrap().to_owned()).collect();
        let expected: Vec<_> = held.iter().map(|body| headwater::submission::sha256_hex(body.as_bytes())).collect();
        assert_eq!(digests, expected);
        assert!(rows.iter().all(|row| row.get("body").is_none()));
        let behind = br#"{"table":"person","key":"a"}"#.to_vec();
        let rows = house
            .call(Method::POST, "/site/rows", Some(&kit.token), "application/json", behind)
            .await;
        assert_eq!(rows.text(), r#"{"rows":[]}"#);
    }
    for token in [None, Some("guess")] {
        for (method, path) in [(Method::GET, "/site/place"), (Method::POST, "/site/rows")] {
            let answer = house.call(method, path, token, "application/json", b"{}".to_vec()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    let gone = river.parcel(&[("person", &[("a", None)])]);
    house.deliver(&mut river, &gone).await;
    house.deliver(&mut lake, &waiting).await;
    assert_eq!(house.rows().keys().collect::<Vec<_>>(), ["person lake a"]);
}

#[tokio::test]
async fn names_that_are_no_names_reach_no_file() {
    let house = House::new();
    let kit = house.join("lake").await;
    let good = "lake-00000001-abababababababab";
    for path in [
        "/drop/lake/chunks/x".to_owned(),
        format!("/drop/{good}/chunks/..%2f..%2fmanifest"),
        format!("/drop/{good}/chunks/{}", "A".repeat(64)),
        format!("/drop/..%2f{good}/chunks/{}", "a".repeat(64)),
        format!("/drop/{good}%00/chunks/{}", "a".repeat(64)),
        format!("/drop/{good}/../{good}/chunks/{}", "a".repeat(64)),
    ] {
        assert_eq!(house.put(&kit, &path, b"x").await, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(
        house.put(&kit, "/drop/lake-00000001-x/manifest", b"{}").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(std::fs::read_dir(house.dir.path().join("data/drop")).unwrap().count(), 0);
    for path in [
        "/log/../registry.db",
        "/log/%2e%2e/registry.db",
        "/log/tile/0/..%2f..%2f..%2fregistry.db",
    ] {
        let answer = house.call(Method::GET, path, None, "", Body::empty()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(
        house.call(Method::GET, "/log/checkpoint", None, "", Body::empty()).await.status,
        StatusCode::OK
    );
}
