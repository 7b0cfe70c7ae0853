//! A registry on a port of this machine with sites that submit to it by the same code a gateway uses. The clock is moved by
//! hand and shared by all, so nothing waits. Every request is written down, and the next ones can be answered with trouble.

#![allow(clippy::disallowed_methods, reason = "tests write the files they need")]
#![allow(unreachable_pub, reason = "the other files of this one binary use it")]

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use headwater::audit::{Vkey, verify_proof};
use headwater::platform::backend_services::{Algorithm, ClientKey};
use headwater::platform::clock::Clock;
use headwater::platform::http::{Client, HttpSettings, client};
use headwater::platform::secret::{hex, sha256};
use headwater::platform::signing::SigningKey;
use headwater::receive::{self, Accept, Registry, Settings};
use headwater::submission::{self, Ledger, Manifest, Output, Tally};
use headwater::submit::{Acknowledged, Enrolled, LinkSettings, Package, RegistryLink, SubmitError, enrol, submit};

pub const ORIGIN: &str = "registry.example/log";
const MODEL: &str = "little";

/// What the requests were, and what the next ones are answered with.
#[derive(Default)]
pub struct Wire {
    pub seen: Vec<String>,
    /// A part of method and path, and the status that the first request that has it gets instead of its answer.
    pub trouble: VecDeque<(&'static str, StatusCode)>,
    /// A part of method and path of the next request whose answer is lost on its way back: the registry has done its work.
    pub lost: VecDeque<&'static str>,
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub registry: Arc<Registry>,
    pub base: String,
    pub clock: Clock,
    pub http: Client,
    pub wire: Arc<Mutex<Wire>>,
}

async fn wiretap(State(wire): State<Arc<Mutex<Wire>>>, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let trouble = {
        let mut wire = wire.lock().unwrap();
        let meant = wire.trouble.front().is_some_and(|(part, _)| line.contains(part));
        let trouble = if meant { wire.trouble.pop_front() } else { None };
        wire.seen.push(line.clone());
        trouble
    };
    if let Some((_, status)) = trouble {
        return status.into_response();
    }
    let answer = next.run(request).await;
    let mut wire = wire.lock().unwrap();
    if answer.status().is_success() && wire.lost.front().is_some_and(|part| line.contains(part)) {
        wire.lost.pop_front();
        // What a proxy says whose backend hung up.
        return StatusCode::BAD_GATEWAY.into_response();
    }
    answer
}

fn table(key: &str, columns: &[(&str, serde_json::Value)]) -> String {
    let order: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let properties: serde_json::Map<_, _> = columns.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false,
        "x-order": order, "x-key": key, "x-patient": "patient_key", "required": if key == "patient_key" { vec![key] } else { vec![key, "patient_key"] }, "properties": properties,
    })
    .to_string()
}

impl World {
    /// A registry of the model `little` that accepts the policy `safe-harbor`, at two o'clock on 10 March 2026.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = serde_json::json!({"type": "string"});
        let models = dir.path().join("models");
        for (name, schema) in [
            (
                "patient",
                table(
                    "patient_key",
                    &[
                        ("patient_key", text.clone()),
                        ("birth_year", serde_json::json!({"type": "integer"})),
                    ],
                ),
            ),
            (
                "lab_result",
                table(
                    "lab_key",
                    &[
                        ("lab_key", text.clone()),
                        ("patient_key", text.clone()),
                        (
                            "test",
                            serde_json::json!({"type": "string", "enum": ["crp", "esr", "calprotectin"]}),
                        ),
                        ("value", serde_json::json!({"type": "number", "minimum": 0})),
                    ],
                ),
            ),
            (
                "visit",
                table("visit_key", &[("visit_key", text.clone()), ("patient_key", text.clone())]),
            ),
            (
                "medication_course",
                table("course_key", &[("course_key", text.clone()), ("patient_key", text)]),
            ),
        ] {
            fs::create_dir_all(models.join(MODEL)).unwrap();
            fs::write(models.join(MODEL).join(format!("{name}.schema.json")), schema).unwrap();
        }
        let accept = Accept {
            model: MODEL.into(),
            policies: vec!["safe-harbor".into()],
            ..Accept::default()
        };
        let settings = Settings::in_dir(&dir.path().join("registry"), &models, ORIGIN, vec![accept]);
        receive::prepare(&settings).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let clock = Clock::manual("2026-03-10T02:00:00Z".parse().unwrap());
        let registry = Registry::open(&settings, &base, clock.clone()).unwrap();
        tokio::spawn(registry.clone().work());
        let wire = Arc::new(Mutex::new(Wire::default()));
        let router = headwater::registry::router(registry.clone()).layer(from_fn_with_state(wire.clone(), wiretap));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            dir,
            registry,
            base,
            clock,
            http: client(&HttpSettings::default()).unwrap(),
            wire,
        }
    }

    /// The requests since the last call that hold `part`.
    pub fn seen(&self, part: &str) -> Vec<String> {
        let seen = std::mem::take(&mut self.wire.lock().unwrap().seen);
        seen.into_iter().filter(|line| line.contains(part)).collect()
    }

    /// The answers to the next requests that hold these parts are lost, in this order.
    pub fn lose(&self, parts: &[&'static str]) {
        self.wire.lock().unwrap().lost.extend(parts);
    }

    pub fn trouble(&self, part: &'static str, status: u16, times: usize) {
        let status = StatusCode::from_u16(status).unwrap();
        self.wire.lock().unwrap().trouble.extend(std::iter::repeat_n((part, status), times));
    }

    /// A site that the operator added and that enrolled its keys.
    pub async fn enrol(&self, name: &str) -> Site {
        let code = self.registry.records().add_site(name).unwrap();
        let key = ClientKey::generate(Algorithm::Es384).unwrap();
        let manifest_key = SigningKey::generate();
        let enrolled = enrol(&self.http, &self.base, &code, &key, &manifest_key).await.unwrap();
        let settings = LinkSettings {
            base: self.base.clone(),
            site: enrolled.site.clone(),
            client_id: enrolled.client_id.clone(),
            longest_wait: Duration::from_secs(3600),
        };
        Site {
            link: RegistryLink::new(settings, key, self.http.clone(), self.clock.clone()).unwrap(),
            enrolled,
            manifest_key,
            outbox: self.dir.path().join(format!("outbox-{name}")),
            clock: self.clock.clone(),
            sequence: 1,
            previous: None,
            policy: "safe-harbor",
        }
    }
}

pub struct Site {
    pub link: RegistryLink,
    pub enrolled: Enrolled,
    manifest_key: SigningKey,
    outbox: PathBuf,
    clock: Clock,
    sequence: u64,
    previous: Option<String>,
    pub policy: &'static str,
}

/// Rows of one table: the keys and bodies to write, and how many keys to delete.
pub struct Rows {
    pub table: &'static str,
    pub upserts: Vec<(String, String)>,
    pub tombstones: Vec<String>,
}

/// `good` laboratory rows and `bad` ones, whose test the model does not know.
pub fn labs(good: usize, bad: usize, tombstones: usize) -> Rows {
    let row = |n: usize| {
        let test = if n < good { "crp" } else { "unknown" };
        let key = format!("l{n:06}");
        let body = format!(
            r#"{{"lab_key":"{key}","patient_key":"p{:04}","test":"{test}","value":{}.50}}"#,
            n % 97,
            n % 40
        );
        (key, body)
    };
    Rows {
        table: "lab_result",
        upserts: (0..good + bad).map(row).collect(),
        tombstones: (0..tombstones).map(|n| format!("m{n:06}")).collect(),
    }
}

/// `count` rows of a table that has but a key and a patient, or a birth year.
pub fn plain(table: &'static str, key: &str, count: usize) -> Rows {
    let row = |n: usize| {
        let id = format!("{}{n:05}", &table[..1]);
        let body = match table {
            "patient" => format!(r#"{{"patient_key":"{id}","birth_year":{}}}"#, 1950 + n % 60),
            _ => format!(r#"{{"{key}":"{id}","patient_key":"p{:05}"}}"#, n % 500),
        };
        (id, body)
    };
    Rows {
        table,
        upserts: (0..count).map(row).collect(),
        tombstones: Vec::new(),
    }
}

pub fn tally(mapped: u64, excluded: u64, refused: u64) -> Tally {
    Tally {
        pulled: mapped + excluded + refused,
        mapped,
        excluded,
        refused,
    }
}

impl Site {
    /// Packs and signs a submission of these rows, one chunk per table.
    pub fn package(&self, rows: &[Rows], resources: &[(&str, Tally)]) -> Package {
        let dir = self.outbox.join(format!("{}-{}", self.sequence, self.policy));
        fs::create_dir_all(&dir).unwrap();
        let chunk = |rows: &Rows| {
            let mut lines = Vec::new();
            for (key, body) in &rows.upserts {
                submission::write_upsert(rows.table, key, body.as_bytes(), &mut lines);
            }
            for key in &rows.tombstones {
                submission::write_delete(rows.table, key, &mut lines);
            }
            let bytes = zstd::encode_all(lines.as_slice(), 3).unwrap();
            let name = hex(&sha256(&bytes));
            fs::write(dir.join(&name), &bytes).unwrap();
            Output::new(
                rows.table,
                &name,
                bytes.len() as u64,
                rows.upserts.len() as u64,
                rows.tombstones.len() as u64,
            )
        };
        let output: Vec<_> = rows.iter().map(chunk).collect();
        let manifest = Manifest {
            format: String::new(),
            site: self.enrolled.site.clone(),
            submission: String::new(),
            sequence: self.sequence,
            previous: self.previous.clone(),
            transaction_time: self.clock.now().to_string(),
            model: MODEL.into(),
            model_digest: "1".repeat(64),
            mapping_digest: "2".repeat(64),
            policy: self.policy.into(),
            policy_digest: "3".repeat(64),
            key_fingerprint: "fingerprint-1".into(),
            security: Vec::new(),
            ledger: Ledger {
                resources: resources
                    .iter()
                    .map(|(name, tally)| ((*name).to_owned(), *tally))
                    .collect::<BTreeMap<_, _>>(),
                released: output.iter().map(|output| output.rows).sum(),
            },
            output,
        };
        Package::seal(&dir, manifest, &self.manifest_key).unwrap()
    }

    /// Delivers a package, its receipt proven under the verifier key that came with the enrolment.
    pub async fn deliver(&mut self, package: &Package) -> Result<Acknowledged, SubmitError> {
        let vkey = Vkey::parse(&self.enrolled.log_vkey).unwrap();
        let prove = |entry: &[u8], proof: &str| verify_proof(&vkey, entry, proof).map(drop).map_err(|error| error.to_string());
        let acknowledged = submit(&self.link, package, &prove, &|_| {}).await?;
        self.sequence = package.manifest().sequence + 1;
        self.previous = Some(package.sha256());
        Ok(acknowledged)
    }
}
