//! A site and a registry over the registry's own router: joining, submitting, asking. What every test here stands on.

mod access;
mod apply;
mod command;
mod serve;
mod tamper;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater::platform::backend_services::{Algorithm, ClientKey};
use headwater::platform::clock::Clock;
use headwater::platform::signing::SigningKey;
use headwater::receive::{Accept, Registry, Settings, prepare};
use headwater::submission::{BulkSubmit, Ledger, Manifest, Output, StatusRequest, Tally, sha256_hex, write_delete, write_upsert};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

const BASE: &str = "http://registry.test";

/// A registry in a folder of its own, at a clock that stands.
struct House {
    dir: TempDir,
    clock: Clock,
    registry: Arc<Registry>,
    router: Router,
}

/// A site with its keys and a token.
struct Kit {
    name: String,
    client: ClientKey,
    manifest_key: SigningKey,
    token: String,
    sequence: u64,
    previous: Option<String>,
}

/// A submission ready to be sent.
#[derive(Clone)]
struct Parcel {
    manifest: Manifest,
    signature: String,
    chunks: Vec<(String, Vec<u8>)>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn settings(dir: &Path) -> Settings {
    let accept = Accept {
        model: "m".into(),
        policies: vec!["safe-harbor".into()],
        ..Accept::default()
    };
    Settings::in_dir(dir, &dir.join("profiles"), "registry.test/log", vec![accept])
}

fn write_models(dir: &Path) {
    let folder = dir.join("profiles/m");
    fs::create_dir_all(&folder).unwrap();
    for table in ["person", "visit"] {
        let schema = serde_json::json!({
            "type": "object", "additionalProperties": false, "x-order": ["id", "who", "n", "unit"], "x-key": "id", "x-patient": "who",
            "required": ["id", "who"],
            "properties": {
                "id": {"type": "string"}, "who": {"type": "string"}, "n": {"type": "number", "maximum": 100},
                "unit": {"type": "string", "enum": ["mg/L", "g/dL"]}
            }
        });
        headwater::platform::file::write_durable(&folder.join(format!("{table}.schema.json")), schema.to_string().as_bytes()).unwrap();
    }
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_models(dir.path());
        prepare(&settings(dir.path())).unwrap();
        Self::open(dir, Clock::manual("2026-03-01T02:00:00Z".parse().unwrap()))
    }

    /// Lets go of the registry's folder, so that another may open it.
    fn shut(self) -> (TempDir, Clock) {
        (self.dir, self.clock)
    }

    fn open(dir: TempDir, clock: Clock) -> Self {
        let registry = Registry::open(&settings(dir.path()), BASE, clock.clone()).unwrap();
        let router = headwater::registry::router(Arc::clone(&registry));
        Self {
            dir,
            clock,
            registry,
            router,
        }
    }

    /// The same folder in a new process.
    fn restart(self) -> Self {
        let Self {
            dir,
            clock,
            registry,
            router,
        } = self;
        drop((router, registry));
        Self::open(dir, clock)
    }

    async fn call(&self, method: Method, path: &str, token: Option<&str>, kind: &str, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("content-type", kind);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: axum::body::to_bytes(body, 64 << 20).await.unwrap().to_vec(),
        }
    }

    async fn put(&self, kit: &Kit, path: &str, body: &[u8]) -> StatusCode {
        let kind = "application/octet-stream";
        self.call(Method::PUT, path, Some(&kit.token), kind, body.to_vec()).await.status
    }

    async fn get(&self, kit: &Kit, path: &str) -> Answer {
        self.call(Method::GET, path, Some(&kit.token), "", Body::empty()).await
    }

    /// Adds a site, enrols it and gets it a token.
    async fn join(&self, name: &str) -> Kit {
        let code = self.registry.records().add_site(name).unwrap();
        let mut kit = Kit::new(name);
        let answer = self.enrol(&kit, &code).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        kit.token = self.token(&kit).await;
        kit
    }

    async fn enrol(&self, kit: &Kit, code: &str) -> Answer {
        let body = serde_json::json!({"code": code, "jwk": kit.client.public_jwk(), "manifest_key": kit.manifest_key.public_base64()});
        self.call(Method::POST, "/enrol", None, "application/json", body.to_string()).await
    }

    async fn token(&self, kit: &Kit) -> String {
        let assertion = kit
            .client
            .assertion(&kit.name, &format!("{BASE}/oauth/token"), self.clock.now(), 240)
            .unwrap();
        let answer = self.ask_token(&assertion).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    async fn ask_token(&self, assertion: &str) -> Answer {
        let form = format!(
            "grant_type=client_credentials&scope=system/bulk-submit&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion={assertion}"
        );
        let kind = "application/x-www-form-urlencoded";
        self.call(Method::POST, "/oauth/token", None, kind, form).await
    }

    async fn put_all(&self, kit: &Kit, parcel: &Parcel) {
        for (sha256, bytes) in &parcel.chunks {
            assert_eq!(self.put(kit, &parcel.chunk_path(sha256), bytes).await, StatusCode::OK);
        }
        assert_eq!(
            self.put(kit, &parcel.manifest_path(), &parcel.manifest.bytes()).await,
            StatusCode::OK
        );
    }

    async fn submit(&self, kit: &Kit, parcel: &Parcel) -> Answer {
        let parameters = BulkSubmit {
            site: kit.name.clone(),
            submission: parcel.id().to_owned(),
            manifest_url: format!("{BASE}{}", parcel.manifest_path()),
            fhir_base_url: format!("{BASE}/fhir"),
            signature: parcel.signature.clone(),
        };
        self.submit_parameters(kit, &parameters.to_parameters()).await
    }

    async fn submit_parameters(&self, kit: &Kit, parameters: &Value) -> Answer {
        let kind = "application/fhir+json";
        self.call(Method::POST, "/fhir/$bulk-submit", Some(&kit.token), kind, parameters.to_string())
            .await
    }

    async fn ask_status(&self, kit: &Kit, parcel: &Parcel) -> Answer {
        let parameters = StatusRequest {
            site: kit.name.clone(),
            submission: parcel.id().to_owned(),
        };
        let body = parameters.to_parameters().to_string();
        self.call(
            Method::POST,
            "/fhir/$bulk-submit-status",
            Some(&kit.token),
            "application/fhir+json",
            body,
        )
        .await
    }

    async fn status(&self, kit: &Kit, parcel: &Parcel) -> Answer {
        self.get(kit, &format!("/fhir/submit-status/{}", parcel.id())).await
    }

    /// Sends the whole submission and has it applied; the site's chain moves on.
    async fn deliver(&self, kit: &mut Kit, parcel: &Parcel) {
        self.put_all(kit, parcel).await;
        let answer = self.submit(kit, parcel).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        self.registry.apply_received().unwrap();
        assert_eq!(self.status(kit, parcel).await.status, StatusCode::OK);
        kit.sequence += 1;
        kit.previous = Some(parcel.manifest.sha256());
    }

    /// Every row the registry holds: `table site key` to body.
    fn rows(&self) -> BTreeMap<String, String> {
        let read = |connection: &rusqlite::Connection| {
            connection
                .prepare("SELECT table_name || ' ' || site || ' ' || row_key, body FROM cdm_row")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        self.registry.store().read(read).unwrap()
    }

    /// The first number of a query.
    fn number(&self, sql: &str) -> i64 {
        self.registry
            .store()
            .read(|connection| connection.query_row(sql, [], |row| row.get(0)))
            .unwrap()
    }

    fn chunk_file(&self, parcel: &Parcel, sha256: &str) -> PathBuf {
        self.dir.path().join("data/drop").join(parcel.id()).join("chunks").join(sha256)
    }
}

impl Parcel {
    fn id(&self) -> &str {
        &self.manifest.submission
    }

    fn manifest_path(&self) -> String {
        format!("/drop/{}/manifest", self.id())
    }

    fn chunk_path(&self, sha256: &str) -> String {
        format!("/drop/{}/chunks/{sha256}", self.id())
    }
}

/// A line of a chunk: `Some(row)` writes, `None` deletes.
type Change<'c> = (&'c str, Option<&'c str>);

fn row(id: &str, n: &str) -> String {
    format!(r#"{{"id":"{id}","who":"p1","n":{n}}}"#)
}

fn lines(table: &str, changes: &[Change<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, row) in changes {
        match row {
            Some(row) => write_upsert(table, key, row.as_bytes(), &mut out),
            None => write_delete(table, key, &mut out),
        }
    }
    out
}

impl Kit {
    /// A site with new keys, which no registry knows yet.
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            client: ClientKey::generate(Algorithm::Es384).unwrap(),
            manifest_key: SigningKey::generate(),
            token: String::new(),
            sequence: 1,
            previous: None,
        }
    }

    /// The site's next submission: one chunk per table.
    fn parcel(&self, tables: &[(&str, &[Change<'_>])]) -> Parcel {
        self.parcel_with(tables, |_| {})
    }

    /// The same, its manifest changed before it is sealed and signed.
    fn parcel_with(&self, tables: &[(&str, &[Change<'_>])], change: impl FnOnce(&mut Manifest)) -> Parcel {
        let mut outputs = Vec::new();
        for (table, changes) in tables {
            let upserts = changes.iter().filter(|(_, row)| row.is_some()).count() as u64;
            outputs.push((*table, lines(table, changes), upserts, changes.len() as u64 - upserts));
        }
        self.parcel_of(&outputs, change)
    }

    /// A submission of these plain chunks: table, lines, upserts, tombstones.
    fn parcel_of(&self, plain: &[(&str, Vec<u8>, u64, u64)], change: impl FnOnce(&mut Manifest)) -> Parcel {
        let (mut chunks, mut output) = (Vec::new(), Vec::new());
        for (table, lines, upserts, tombstones) in plain {
            let bytes = zstd::encode_all(lines.as_slice(), 3).unwrap();
            let sha256 = sha256_hex(&bytes);
            output.push(Output::new(table, &sha256, bytes.len() as u64, *upserts, *tombstones));
            chunks.push((sha256, bytes));
        }
        let tally = Tally {
            pulled: 4,
            mapped: 3,
            excluded: 1,
            refused: 0,
        };
        let released = output.iter().map(|output| output.rows).sum();
        let mut manifest = Manifest {
            format: String::new(),
            site: self.name.clone(),
            submission: String::new(),
            sequence: self.sequence,
            previous: self.previous.clone(),
            transaction_time: "2026-03-01T01:00:00Z".into(),
            model: "m".into(),
            model_digest: "1".repeat(64),
            mapping_digest: "2".repeat(64),
            policy: "safe-harbor".into(),
            policy_digest: "3".repeat(64),
            key_fingerprint: "0123456789abcdef".into(),
            security: Vec::new(),
            ledger: Ledger {
                resources: BTreeMap::from([("Patient".into(), tally)]),
                released,
            },
            output,
        };
        change(&mut manifest);
        let manifest = manifest.seal().unwrap();
        let signature = self.sign(&manifest);
        Parcel {
            manifest,
            signature,
            chunks,
        }
    }

    fn sign(&self, manifest: &Manifest) -> String {
        STANDARD.encode(self.manifest_key.sign(&manifest.bytes()))
    }
}
