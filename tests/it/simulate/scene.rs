//! An EHR over generated patients and a client of it, written here and not with the gateway's own parts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use headwater::platform::clock::Clock;
use headwater::platform::http;
use headwater::simulate::ehr::{Ehr, EhrSettings, serve};
use headwater::simulate::{GeneratorSettings, generate};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

pub(super) const START: &str = "2026-07-01T03:00:00Z";

/// A key pair of a client.
pub(super) struct Key {
    pub(super) private: EncodingKey,
    pub(super) algorithm: Algorithm,
    pub(super) public: Value,
}

impl Key {
    pub(super) fn es384() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        Self::new(EncodingKey::from_ec_der(der.as_ref()), Algorithm::ES384)
    }

    pub(super) fn rs384() -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        Self::new(EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), Algorithm::RS384)
    }

    pub(super) fn new(private: EncodingKey, algorithm: Algorithm) -> Self {
        let mut public = serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).unwrap()).unwrap();
        public["kid"] = json!("k1");
        Self {
            private,
            algorithm,
            public,
        }
    }

    pub(super) fn sign(&self, kid: &str, claims: &Value) -> String {
        let header = Header {
            kid: Some(kid.to_owned()),
            ..Header::new(self.algorithm)
        };
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }
}

/// The address of a JWK Set, hosted until the test ends.
pub(super) async fn host(set: Value) -> String {
    let router = axum::Router::new().route("/jwks.json", axum::routing::get(async move || axum::Json(set)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Registers by the address of a JWK Set; the client id.
pub(super) async fn register_by_address(ehr: &Ehr, address: &str) -> String {
    let http = http::client(&http::HttpSettings::default()).unwrap();
    let request = http.post(ehr.registration_url()).json(&json!({ "jwks_uri": address }));
    let registered: Value = request.send().await.unwrap().json().await.unwrap();
    registered["client_id"].as_str().unwrap().to_owned()
}

/// An EHR over generated patients, and a client of it.
pub(super) struct Scene {
    pub(super) ehr: Ehr,
    pub(super) http: reqwest::Client,
    pub(super) key: Key,
    pub(super) client: String,
    pub(super) clock: Clock,
    pub(super) folder: tempfile::TempDir,
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) assertions: AtomicU32,
}

impl Scene {
    pub(super) async fn new(change: impl FnOnce(&mut EhrSettings)) -> Self {
        Self::with(3, change).await
    }

    pub(super) async fn with(patients: u64, change: impl FnOnce(&mut EhrSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let counts = generate(&GeneratorSettings::new(patients, 11), folder.path()).unwrap().counts;
        let clock = Clock::manual(START.parse().unwrap());
        let mut settings = EhrSettings {
            clock: clock.clone(),
            ..EhrSettings::new(folder.path())
        };
        change(&mut settings);
        let ehr = serve(settings).await.unwrap();
        let key = Key::es384();
        let client = match ehr.register(key.public.clone()) {
            Ok(client) => client,
            // This vendor takes the address of a key set only.
            Err(_) => register_by_address(&ehr, &host(json!({ "keys": [key.public] })).await).await,
        };
        let http = http::client(&http::HttpSettings::default()).unwrap();
        Self {
            ehr,
            http,
            key,
            client,
            clock,
            folder,
            counts,
            assertions: AtomicU32::new(0),
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.ehr.base_url())
    }

    pub(super) fn token_url(&self) -> String {
        self.ehr.base_url().replace("/fhir", "/token")
    }

    pub(super) fn claims(&self) -> Value {
        let number = self.assertions.fetch_add(1, Ordering::SeqCst);
        let expires = self.clock.now().as_second() + 240;
        json!({ "iss": self.client, "sub": self.client, "aud": self.token_url(), "exp": expires, "jti": format!("j{number}") })
    }

    pub(super) async fn ask_token(&self, assertion: &str, scope: &str) -> Response {
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ];
        self.http.post(self.token_url()).form(&form).send().await.unwrap()
    }

    pub(super) async fn token_for(&self, scope: &str) -> String {
        let response = self.ask_token(&self.key.sign("k1", &self.claims()), scope).await;
        assert_eq!(response.status(), StatusCode::OK);
        let body: Value = response.json().await.unwrap();
        assert_eq!(
            (body["token_type"].as_str(), body["expires_in"].as_i64()),
            (Some("bearer"), Some(300))
        );
        body["access_token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn token(&self) -> String {
        self.token_for("system/*.rs").await
    }

    pub(super) async fn ask(&self, method: Method, url: &str, token: &str) -> Response {
        self.http
            .request(method, url)
            .bearer_auth(token)
            .header("prefer", "respond-async")
            .send()
            .await
            .unwrap()
    }

    /// A file that a manifest names.
    pub(super) async fn file(&self, output: &Value, token: &str) -> String {
        let url = output["url"].as_str().unwrap();
        self.ask(Method::GET, url, token).await.text().await.unwrap()
    }

    /// Kicks off; the address to poll.
    pub(super) async fn begin(&self, path: &str, token: &str) -> String {
        let response = self.ask(Method::GET, &self.url(path), token).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{path}");
        response.headers()["content-location"].to_str().unwrap().to_owned()
    }

    /// Polls until the manifest is there.
    pub(super) async fn manifest(&self, poll: &str, token: &str) -> Value {
        loop {
            let response = self.ask(Method::GET, poll, token).await;
            match response.status() {
                StatusCode::OK => return response.json().await.unwrap(),
                StatusCode::ACCEPTED => {
                    assert!(response.headers().contains_key("x-progress") && response.headers().contains_key("retry-after"))
                }
                other => panic!("a poll answered {other}"),
            }
        }
    }

    pub(super) async fn export(&self, path: &str) -> Export {
        let token = self.token().await;
        let poll = self.begin(path, &token).await;
        let manifest = self.manifest(&poll, &token).await;
        self.download(manifest, &token).await
    }

    /// Kicks off by POST; the answer.
    pub(super) async fn post(&self, path: &str, token: &str, parameters: Value) -> Response {
        let request = self.http.post(self.url(path)).bearer_auth(token).header("prefer", "respond-async");
        let body = json!({ "resourceType": "Parameters", "parameter": parameters });
        request.json(&body).send().await.unwrap()
    }

    /// Everything that one manifest names.
    pub(super) async fn download(&self, manifest: Value, token: &str) -> Export {
        let mut export = Export {
            manifest,
            ..Export::default()
        };
        for output in export.manifest["output"].as_array().unwrap() {
            let text = self.file(output, token).await;
            assert_eq!(output["count"].as_u64().unwrap(), text.lines().count() as u64);
            for line in text.lines() {
                let kind = output["type"].as_str().unwrap();
                let resource: Value = serde_json::from_str(line).unwrap();
                assert_eq!(resource["resourceType"], kind);
                let key = format!("{kind}/{}", resource["id"].as_str().unwrap());
                assert!(export.resources.insert(key, line.to_owned()).is_none(), "a resource came twice");
            }
        }
        for output in export.manifest["deleted"].as_array().unwrap_or(&Vec::new()) {
            let text = self.file(output, token).await;
            for line in text.lines() {
                let bundle: Value = serde_json::from_str(line).unwrap();
                assert_eq!(bundle["type"], "transaction");
                for entry in bundle["entry"].as_array().unwrap() {
                    assert_eq!(entry["request"]["method"], "DELETE");
                    export.deleted.insert(entry["request"]["url"].as_str().unwrap().to_owned());
                }
            }
        }
        export
    }

    pub(super) fn read(&self, kind: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{kind}.ndjson"))).unwrap()
    }

    pub(super) fn patient_ids(&self) -> Vec<String> {
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
        self.read("Patient").lines().map(id).collect()
    }
}

#[derive(Default)]
pub(super) struct Export {
    pub(super) manifest: Value,
    /// Lines by `Type/id`.
    pub(super) resources: BTreeMap<String, String>,
    pub(super) deleted: BTreeSet<String>,
}

impl Export {
    pub(super) fn kinds(&self) -> BTreeSet<&str> {
        self.resources.keys().filter_map(|key| key.split('/').next()).collect()
    }

    pub(super) fn since(&self) -> &str {
        self.manifest["transactionTime"].as_str().unwrap()
    }
}
