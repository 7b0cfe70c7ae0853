//! The simulated EHR over real HTTP, asked by a client written here: what it serves, what it refuses, how it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use headwater::platform::clock::Clock;
use headwater::platform::http;
use headwater::simulate::ehr::{Call, Ehr, EhrSettings, Fault, FaultOrder, serve};
use headwater::simulate::{GeneratorSettings, generate};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

const START: &str = "2026-07-01T03:00:00Z";

/// A key pair of a client.
struct Key {
    private: EncodingKey,
    algorithm: Algorithm,
    public: Value,
}

impl Key {
    fn es384() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        Self::new(EncodingKey::from_ec_der(der.as_ref()), Algorithm::ES384)
    }

    fn rs384() -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        Self::new(EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), Algorithm::RS384)
    }

    fn new(private: EncodingKey, algorithm: Algorithm) -> Self {
        let mut public = serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).unwrap()).unwrap();
        public["kid"] = json!("k1");
        Self {
            private,
            algorithm,
            public,
        }
    }

    fn sign(&self, kid: &str, claims: &Value) -> String {
        let header = Header {
            kid: Some(kid.to_owned()),
            ..Header::new(self.algorithm)
        };
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }
}

/// An EHR over generated patients, and a client of it.
struct Scene {
    ehr: Ehr,
    http: reqwest::Client,
    key: Key,
    client: String,
    clock: Clock,
    folder: tempfile::TempDir,
    counts: BTreeMap<String, u64>,
    assertions: AtomicU32,
}

impl Scene {
    async fn new(change: impl FnOnce(&mut EhrSettings)) -> Self {
        Self::with(3, change).await
    }

    async fn with(patients: u64, change: impl FnOnce(&mut EhrSettings)) -> Self {
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
        let client = ehr.register(key.public.clone()).unwrap();
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

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.ehr.base_url())
    }

    fn token_url(&self) -> String {
        self.ehr.base_url().replace("/fhir", "/token")
    }

    fn claims(&self) -> Value {
        let number = self.assertions.fetch_add(1, Ordering::SeqCst);
        let expires = self.clock.now().as_second() + 240;
        json!({ "iss": self.client, "sub": self.client, "aud": self.token_url(), "exp": expires, "jti": format!("j{number}") })
    }

    async fn ask_token(&self, assertion: &str, scope: &str) -> Response {
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ];
        self.http.post(self.token_url()).form(&form).send().await.unwrap()
    }

    async fn token_for(&self, scope: &str) -> String {
        let response = self.ask_token(&self.key.sign("k1", &self.claims()), scope).await;
        assert_eq!(response.status(), StatusCode::OK);
        let body: Value = response.json().await.unwrap();
        assert_eq!(
            (body["token_type"].as_str(), body["expires_in"].as_i64()),
            (Some("bearer"), Some(300))
        );
        body["access_token"].as_str().unwrap().to_owned()
    }

    async fn token(&self) -> String {
        self.token_for("system/*.rs").await
    }

    async fn ask(&self, method: Method, url: &str, token: &str) -> Response {
        self.http
            .request(method, url)
            .bearer_auth(token)
            .header("prefer", "respond-async")
            .send()
            .await
            .unwrap()
    }

    /// Kicks off; the address to poll.
    async fn begin(&self, path: &str, token: &str) -> String {
        let response = self.ask(Method::GET, &self.url(path), token).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{path}");
        response.headers()["content-location"].to_str().unwrap().to_owned()
    }

    /// Polls until the manifest is there.
    async fn manifest(&self, poll: &str, token: &str) -> Value {
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

    async fn export(&self, path: &str) -> Export {
        let token = self.token().await;
        let poll = self.begin(path, &token).await;
        let manifest = self.manifest(&poll, &token).await;
        let mut export = Export {
            manifest,
            ..Export::default()
        };
        for output in export.manifest["output"].as_array().unwrap() {
            let text = self
                .ask(Method::GET, output["url"].as_str().unwrap(), &token)
                .await
                .text()
                .await
                .unwrap();
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
            let text = self
                .ask(Method::GET, output["url"].as_str().unwrap(), &token)
                .await
                .text()
                .await
                .unwrap();
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

    fn read(&self, kind: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{kind}.ndjson"))).unwrap()
    }

    fn patient_ids(&self) -> Vec<String> {
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
        self.read("Patient").lines().map(id).collect()
    }
}

#[derive(Default)]
struct Export {
    manifest: Value,
    /// Lines by `Type/id`.
    resources: BTreeMap<String, String>,
    deleted: BTreeSet<String>,
}

impl Export {
    fn kinds(&self) -> BTreeSet<&str> {
        self.resources.keys().filter_map(|key| key.split('/').next()).collect()
    }

    fn since(&self) -> &str {
        self.manifest["transactionTime"].as_str().unwrap()
    }
}

#[tokio::test]
async fn a_system_export_gives_every_line_as_it_is() {
    let scene = Scene::new(|_| {}).await;
    let export = scene.export("/$export").await;
    let total: u64 = scene.counts.values().sum();
    assert_eq!(export.resources.len() as u64, total);
    for (key, line) in &export.resources {
        let kind = key.split('/').next().unwrap();
        assert!(
            scene.read(kind).lines().any(|original| original == line),
            "{kind}: a line was altered"
        );
    }
    assert_eq!(export.manifest["request"], scene.url("/$export"));
    assert_eq!(export.manifest["requiresAccessToken"], true);
    assert_eq!(export.manifest["error"], json!([]));
    assert!(export.manifest.get("deleted").is_none());
}

#[tokio::test]
async fn a_patient_export_leaves_out_what_no_patient_has_to_do_with() {
    let scene = Scene::new(|_| {}).await;
    let everything = scene.export("/$export").await;
    let export = scene.export("/Patient/$export").await;
    assert!(everything.kinds().contains("ResearchStudy"));
    assert!(!export.kinds().contains("ResearchStudy"));
    for kind in ["Patient", "Observation", "Practitioner", "Organization", "Location", "Medication"] {
        assert!(export.kinds().contains(kind), "{kind} is missing");
    }
    // Only the drugs that somebody was given by reference travel along.
    let medications = export.resources.keys().filter(|key| key.starts_with("Medication/")).count();
    assert!(medications > 0 && medications < 22, "{medications}");
}

#[tokio::test]
async fn a_group_export_holds_the_group_and_nobody_else() {
    let scene = Scene::new(|_| {}).await;
    let (members, all) = (scene.patient_ids()[..1].to_vec(), scene.patient_ids());
    let scene = Scene::new(|settings| {
        settings.groups.insert("one".to_owned(), members.clone());
    })
    .await;
    let export = scene.export("/Group/one/$export").await;
    assert_eq!(export.resources.keys().filter(|key| key.starts_with("Patient/")).count(), 1);
    for line in export.resources.values() {
        assert!(
            !line.contains(&all[1]) && !line.contains(&all[2]),
            "another patient's resource came along"
        );
    }
    let own: usize = scene.read("Observation").lines().filter(|line| line.contains(&members[0])).count();
    assert_eq!(export.resources.keys().filter(|key| key.starts_with("Observation/")).count(), own);
    let everyone = scene.export("/Group/all/$export").await;
    assert_eq!(everyone.resources.len(), scene.export("/Patient/$export").await.resources.len());
}

#[tokio::test]
async fn types_and_scopes_narrow_an_export() {
    let scene = Scene::new(|_| {}).await;
    let export = scene.export("/$export?_type=Patient,Condition&_type=Encounter").await;
    assert_eq!(
        export.kinds().into_iter().collect::<Vec<_>>(),
        ["Condition", "Encounter", "Patient"]
    );
    let token = scene.token_for("system/Patient.rs").await;
    let poll = scene.begin("/$export", &token).await;
    let manifest = scene.manifest(&poll, &token).await;
    assert_eq!(manifest["output"].as_array().unwrap().len(), 1);
    let refused = scene.ask(Method::GET, &scene.url("/$export?_type=Observation"), &token).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_export_since_the_last_holds_the_day_and_nothing_else() {
    let scene = Scene::with(8, |_| {}).await;
    let mut export = scene.export("/$export").await;
    let mut held = export.resources;
    for level in ["/$export", "/Patient/$export", "/Group/all/$export"] {
        let since = export.manifest["transactionTime"].as_str().unwrap().to_owned();
        let nothing = scene.export(&format!("{level}?_since={since}")).await;
        assert_eq!((nothing.resources.len(), nothing.deleted.len()), (0, 0));
        let day = scene.ehr.advance_day().await.unwrap();
        export = scene.export(&format!("{level}?_since={since}")).await;
        let changed: BTreeSet<_> = day.edited.iter().chain(&day.added).cloned().collect();
        assert_eq!(export.resources.keys().cloned().collect::<BTreeSet<_>>(), changed);
        assert_eq!(export.deleted, day.deleted.iter().cloned().collect());
        assert!(!export.deleted.is_empty() && day.merged.is_some());
        // Whoever applies the changes holds what a full export gives.
        held.extend(export.resources.clone());
        held.retain(|key, _| !export.deleted.contains(key));
        assert_eq!(held, scene.export("/$export").await.resources);
        for line in export.resources.values() {
            let resource: Value = serde_json::from_str(line).unwrap();
            let updated: jiff::Timestamp = resource["meta"]["lastUpdated"].as_str().unwrap().parse().unwrap();
            assert!(updated > since.parse().unwrap() && updated <= export.since().parse().unwrap());
        }
    }
}

#[tokio::test]
async fn a_running_export_does_not_see_the_day_that_passes() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export?_type=Observation", &token).await;
    scene.ehr.advance_day().await.unwrap();
    let manifest = scene.manifest(&poll, &token).await;
    let text = scene
        .ask(Method::GET, manifest["output"][0]["url"].as_str().unwrap(), &token)
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(text, scene.read("Observation"));
}

#[tokio::test]
async fn files_are_split_and_gzip_is_the_same_data() {
    let scene = Scene::new(|settings| settings.file_lines = 50).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export?_type=Observation", &token).await;
    let manifest = scene.manifest(&poll, &token).await;
    let files = manifest["output"].as_array().unwrap();
    assert_eq!(files.len() as u64, scene.counts["Observation"].div_ceil(50));
    let mut all = String::new();
    for file in files {
        let request = scene.http.get(file["url"].as_str().unwrap()).bearer_auth(&token);
        let response = request.header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], "gzip");
        let bytes = response.bytes().await.unwrap();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut all).unwrap();
    }
    assert_eq!(all, scene.read("Observation"));
}

#[tokio::test]
async fn a_kick_off_by_post_means_the_same() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    let body = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "_type", "valueString": "Patient" },
        { "name": "patient", "valueReference": { "reference": format!("Patient/{}", scene.patient_ids()[1]) } },
    ]});
    let request = scene
        .http
        .post(scene.url("/Patient/$export"))
        .bearer_auth(&token)
        .header("prefer", "respond-async");
    let response = request.json(&body).send().await.unwrap();
    let poll = response.headers()["content-location"].to_str().unwrap();
    assert_eq!(scene.manifest(poll, &token).await["output"][0]["count"], 1);
}

#[tokio::test]
async fn data_without_dates_counts_as_updated_when_the_server_began() {
    let scene = Scene::new(|_| {}).await;
    let observations = scene.read("Observation");
    let lines = observations.lines().map(|line| {
        let mut resource: Value = serde_json::from_str(line).unwrap();
        resource["meta"].as_object_mut().unwrap().remove("lastUpdated");
        format!("{resource}\n")
    });
    let lines: String = lines.collect();
    let undated = tempfile::tempdir().unwrap();
    headwater::platform::file::write_durable(&undated.path().join("Observation.ndjson"), lines.as_bytes()).unwrap();
    let scene = Scene::new(|settings| settings.data = undated.path().to_owned()).await;
    let before = scene.export("/$export?_since=2026-07-01T02:59:59Z").await;
    assert_eq!(before.resources.len(), lines.lines().count());
    assert_eq!(scene.export(&format!("/$export?_since={START}")).await.resources.len(), 0);
}

#[tokio::test]
async fn both_algorithms_and_a_key_set_by_address_are_accepted() {
    let mut scene = Scene::new(|_| {}).await;
    scene.token().await;
    scene.key = Key::rs384();
    scene.client = scene.ehr.register(scene.key.public.clone()).unwrap();
    scene.token().await;

    let set = json!({ "keys": [scene.key.public] });
    let router = axum::Router::new().route("/jwks.json", axum::routing::get(async move || axum::Json(set)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let request = scene.http.post(scene.ehr.registration_url()).json(&json!({ "jwks_uri": address }));
    let registered: Value = request.send().await.unwrap().json().await.unwrap();
    scene.client = registered["client_id"].as_str().unwrap().to_owned();
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
    let last = if tampered.ends_with('A') { 'B' } else { 'A' };
    tampered.replace_range(tampered.len() - 8..tampered.len() - 7, &last.to_string());
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

#[tokio::test]
async fn a_kick_off_that_is_not_understood_is_refused() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    for (path, expected) in [
        ("/$export?_since=yesterday", StatusCode::BAD_REQUEST),
        ("/$export?_type=patient", StatusCode::BAD_REQUEST),
        ("/$export?_outputFormat=text/csv", StatusCode::BAD_REQUEST),
        ("/$export?_typeFilter=Patient%3F", StatusCode::BAD_REQUEST),
        ("/$export?patient=Patient/1", StatusCode::BAD_REQUEST),
        ("/Group/none/$export", StatusCode::NOT_FOUND),
        ("/Nothing", StatusCode::NOT_FOUND),
        ("/$export?_outputFormat=ndjson", StatusCode::ACCEPTED),
        ("/%24export", StatusCode::ACCEPTED),
    ] {
        let response = scene.ask(Method::GET, &scene.url(path), &token).await;
        assert_eq!(response.status(), expected, "{path}");
        if expected != StatusCode::ACCEPTED {
            assert_eq!(
                response.json::<Value>().await.unwrap()["resourceType"],
                "OperationOutcome",
                "{path}"
            );
        }
    }
    let plain = scene.http.get(scene.url("/$export")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(plain.status(), StatusCode::BAD_REQUEST);
    let lenient = scene.http.get(scene.url("/$export?_typeFilter=x")).bearer_auth(&token);
    let lenient = lenient.header("prefer", "respond-async, handling=lenient").send().await.unwrap();
    assert_eq!(lenient.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn polls_wait_and_a_cancelled_job_is_gone() {
    let scene = Scene::new(|settings| (settings.polls_before_ready, settings.retry_after_s) = (3, 0)).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export?_type=Patient", &token).await;
    let first = scene.ask(Method::GET, &poll, &token).await;
    assert_eq!(
        (first.status(), &first.headers()["x-progress"]),
        (StatusCode::ACCEPTED, &"working, 0 of 3".parse().unwrap())
    );
    assert_eq!(first.headers()["retry-after"], "0");
    scene.manifest(&poll, &token).await;
    assert!(scene.ehr.calls(Call::Poll) >= 4);
    assert_eq!(scene.ask(Method::DELETE, &poll, &token).await.status(), StatusCode::ACCEPTED);
    assert_eq!(scene.ask(Method::GET, &poll, &token).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        (
            scene.ehr.calls(Call::Cancel),
            scene.ehr.calls(Call::KickOff),
            scene.ehr.calls(Call::Token)
        ),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn one_job_a_client_if_the_settings_say_so() {
    let scene = Scene::new(|settings| settings.one_job_per_client = true).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export", &token).await;
    let second = scene.ask(Method::GET, &scene.url("/$export"), &token).await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    scene.ask(Method::DELETE, &poll, &token).await;
    scene.begin("/$export", &token).await;
}

#[tokio::test]
async fn a_restart_forgets_the_jobs_and_knows_a_client_again_by_its_key() {
    let scene = Scene::new(|_| {}).await;
    let poll = scene.begin("/$export", &scene.token().await).await;
    let listen = scene
        .ehr
        .base_url()
        .trim_start_matches("http://")
        .trim_end_matches("/fhir")
        .parse()
        .unwrap();
    let Scene {
        ehr,
        http,
        key,
        client,
        clock,
        folder,
        counts,
        assertions,
    } = scene;
    ehr.shutdown().await;
    let ehr = serve(EhrSettings {
        listen,
        clock: clock.clone(),
        ..EhrSettings::new(folder.path())
    })
    .await
    .unwrap();
    assert_eq!(ehr.register(key.public.clone()).unwrap(), client);
    let scene = Scene {
        ehr,
        http,
        key,
        client,
        clock,
        folder,
        counts,
        assertions,
    };
    let token = scene.token().await;
    assert_eq!(scene.ask(Method::GET, &poll, &token).await.status(), StatusCode::NOT_FOUND);
}

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
