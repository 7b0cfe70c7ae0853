//! What an EHR sees of our key: the public key set, the discovery, the token request, the token. SMART App Launch 2.2.0.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwater::platform::http::Url;
use serde_json::{Value, json};

use super::ehr::{Answer, Ehr};
use super::*;

fn part(assertion: &str, index: usize) -> Value {
    let part = assertion.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn members(value: &Value) -> HashSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_token_is_asked_for_in_the_words_of_smart_and_used_as_a_bearer() {
    for (algorithm, name) in [(Algorithm::Es384, "ES384"), (Algorithm::Rs384, "RS384")] {
        let ehr = Ehr::with_manifest(json!({"output": [{"type": "Patient", "url": "{base}/files/1"}]})).await;
        // The second file request is refused once, so that a second token is asked for.
        ehr.on("GET /files/1", [Answer::new(401, ""), Answer::new(200, TWO_PATIENTS)]);
        let key = ClientKey::generate(algorithm).unwrap();
        ehr.register(key.public_jwk());
        let kid = key.kid().to_owned();
        let site = Site {
            key: Some(key),
            ..Site::new()
        };
        let pulled = site.pull_types(&ehr, 1, &["Patient"], |_| ()).await.unwrap();
        assert!(pulled.complete, "{:?}", pulled.problems);

        let discovery = &ehr.asked("GET /.well-known/smart-configuration")[0];
        assert!(discovery.header("accept").unwrap().contains("application/json"));
        assert_eq!(discovery.header("authorization"), None);

        let mut seen = HashSet::new();
        for asked in ehr.asked("POST /token") {
            assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
            assert_eq!(asked.header("authorization"), None);
            let form: Vec<(String, String)> = Url::parse(&format!("x:/?{}", asked.body))
                .unwrap()
                .query_pairs()
                .into_owned()
                .collect();
            let value = |name: &str| {
                let mut values = form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
                (values.next().unwrap(), values.next()).0
            };
            assert_eq!(value("grant_type"), "client_credentials");
            assert_eq!(value("scope"), "system/Patient.rs");
            assert_eq!(
                value("client_assertion_type"),
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            );
            let assertion = value("client_assertion");
            // No `jku`: it would have to be the address of the registration, and `kid` says enough.
            assert_eq!(part(assertion, 0), json!({"alg": name, "kid": kid, "typ": "JWT"}));
            let claims = part(assertion, 1);
            assert_eq!((&claims["iss"], &claims["sub"]), (&json!("gateway-1"), &json!("gateway-1")));
            assert_eq!(claims["aud"], json!(ehr.base().join("token").unwrap().as_str()));
            // Reckoned from the server's own `Date`, which is the clock that judges it.
            let ahead = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
            assert!((1..=300).contains(&ahead), "{ahead} s");
            assert!(seen.insert(claims["jti"].as_str().unwrap().to_owned()), "used once");
        }
        assert_eq!(seen.len(), 2);
        assert_eq!(ehr.asked("GET /$export")[0].header("authorization"), Some("Bearer token-1"));
        assert_eq!(ehr.asked("GET /files/1")[1].header("authorization"), Some("Bearer token-2"));
    }
}

#[test]
fn a_public_key_set_holds_bare_public_keys_and_nothing_else() {
    for (algorithm, kind, bare) in [
        (Algorithm::Es384, "EC", &["crv", "x", "y"][..]),
        (Algorithm::Rs384, "RSA", &["n", "e"][..]),
    ] {
        let key = ClientKey::generate(algorithm).unwrap();
        let set = key.public_jwks();
        let keys = set["keys"].as_array().unwrap();
        assert_eq!((members(&set), keys.len()), (HashSet::from(["keys"]), 1));
        let jwk = &keys[0];
        assert_eq!((&jwk["kty"], &jwk["kid"]), (&json!(kind), &json!(key.kid())));
        for name in bare {
            assert!(
                URL_SAFE_NO_PAD.decode(jwk[*name].as_str().unwrap()).is_ok() || *name == "crv",
                "{name}"
            );
        }
        for private in ["d", "p", "q", "dp", "dq", "qi", "k", "oth"] {
            assert!(jwk.get(private).is_none(), "{private}");
        }
        assert_ne!(ClientKey::generate(algorithm).unwrap().kid(), key.kid(), "each key has its own");
    }
}
