//! The whole house on loopback for tests: a simulated EHR, a registry, and sites run by the real binary.
//! On drop nothing is left over; what a test wants checked at the end of every house is in `close`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use axum::routing::get;
use axum::{Json, Router};
use headwater::gateway::Places;
use headwater::network::Package;
use headwater::platform::backend_services::ClientKey;
use headwater::platform::clock::Clock;
use headwater::platform::http::{HttpSettings, client};
use headwater::receive::{Accept, Settings};
use headwater::registry::{self, RegistryConfig};
use headwater::simulate::ehr::{self, Ehr, EhrSettings, RegistrationError};
use headwater::simulate::{self, GeneratorSettings};
use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The binary under test.
pub const HEADWATER: &str = env!("CARGO_BIN_EXE_headwater");

/// Every row of the registry, in order: table, site, key, body.
pub type Rows = Vec<(String, String, String, String)>;

pub struct House {
    model: &'static str,
    pub runtime: Runtime,
    pub ehr: Option<Ehr>,
    pub registry: Option<registry::Handle>,
    pub dir: TempDir,
}

impl House {
    /// A house whose EHR serves `data`.
    pub fn over(data: &Path) -> Self {
        Self::with(data, |_| {})
    }

    /// The same, with an EHR of another temper.
    pub fn with(data: &Path, temper: impl FnOnce(&mut EhrSettings)) -> Self {
        Self::of("ibd-registry", data, temper)
    }

    /// The same, with a registry of another model.
    pub fn of(model: &'static str, data: &Path, temper: impl FnOnce(&mut EhrSettings)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let ehr = runtime.block_on(async {
            let mut settings = EhrSettings::new(data);
            settings.retry_after_s = 0;
            temper(&mut settings);
            ehr::serve(settings).await.expect("the EHR serves")
        });
        let mut house = Self {
            model,
            runtime,
            ehr: Some(ehr),
            registry: None,
            dir,
        };
        house.open_registry();
        house
    }

    /// Starts the registry, or starts it again on the same folder; a model that a test changed stays changed.
    pub fn open_registry(&mut self) {
        if !self.models().exists() {
            self.write_model(|_, text| text.to_owned());
        }
        self.serve_registry(0, &["safe-harbor", "limited-data-set"]);
    }

    /// The same on a port (0: any), accepting these policies, with the model's schemas changed by `edit` (file name, text).
    pub fn open_registry_as(&mut self, port: u16, policies: &[&str], edit: impl Fn(&str, &str) -> String) {
        self.write_model(edit);
        self.serve_registry(port, policies);
    }

    fn models(&self) -> PathBuf {
        self.dir.path().join("registry/profiles")
    }

    fn write_model(&self, edit: impl Fn(&str, &str) -> String) {
        let folder = self.models().join(self.model);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in Package::BuiltIn.schemas(self.model).expect("the built-in model") {
            std::fs::write(folder.join(&name), edit(&name, &text)).expect("a file");
        }
    }

    fn serve_registry(&mut self, port: u16, policies: &[&str]) {
        let (home, models) = (self.dir.path().join("registry"), self.models());
        let accept = Accept {
            model: self.model.into(),
            policies: policies.iter().map(|&policy| policy.to_owned()).collect(),
            ..Accept::default()
        };
        let settings = Settings::in_dir(&home, &models, "test.example/log", vec![accept]);
        let handle = self.runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
            registry::serve(
                RegistryConfig {
                    settings,
                    clock: Clock::system(),
                },
                listener,
            )
            .await
            .expect("the registry serves")
        });
        self.registry = Some(handle);
    }

    /// Stops the registry; its port, to start it there again.
    pub fn stop_registry(&mut self) -> u16 {
        let registry = self.registry.take().expect("the registry is running");
        let port = registry.base_url().rsplit(':').next().and_then(|port| port.parse().ok());
        self.runtime.block_on(registry.stop()).expect("the registry ends well");
        port.expect("an address with a port")
    }

    pub fn ehr(&self) -> &Ehr {
        self.ehr.as_ref().expect("the EHR is running")
    }

    pub fn registry(&self) -> &registry::Handle {
        self.registry.as_ref().expect("the registry is running")
    }

    /// Registers a public key at the EHR; where that takes the address of a JWK Set only, the set is hosted as long as the
    /// house stands.
    fn register(&self, jwk: Value) -> String {
        match self.ehr().register(jwk.clone()) {
            Err(RegistrationError::UrlOnly) => {}
            done => return done.expect("the EHR takes the key"),
        }
        let registration = self.ehr().registration_url();
        let answer: Value = self.runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let at = listener.local_addr().expect("an address");
            let set = Json(json!({ "keys": [jwk] }));
            let router = Router::new().route("/jwks.json", get(|| async move { set }));
            tokio::spawn(async move { axum::serve(listener, router).await });
            let http = client(&HttpSettings::default()).expect("a client");
            let asked = json!({ "jwks_uri": format!("http://{at}/jwks.json") });
            let answer = http.post(registration).json(&asked).send().await.expect("an answer");
            answer.json().await.expect("JSON")
        });
        answer["client_id"].as_str().expect("an id").to_owned()
    }

    /// Makes the site `north` with `headwater init`; `keys` of another house's site are taken over. The path of its site.toml.
    pub fn site(&self, policy: &str, keys: Option<&Path>) -> PathBuf {
        let dir = self.dir.path().join("north");
        let places = Places::of(&dir.join("state"));
        if let Some(keys) = keys {
            std::fs::create_dir_all(places.keys()).expect("a folder");
            for entry in std::fs::read_dir(keys).expect("the other site's keys") {
                let path = entry.expect("a key").path();
                std::fs::copy(&path, places.keys().join(path.file_name().expect("a name"))).expect("a copy");
            }
        }
        std::fs::create_dir_all(&dir).expect("a folder");
        places.make_keys().expect("keys can be made");
        let jwk = ClientKey::from_file(&places.ehr_key()).expect("the key just made").public_jwk();
        let client_id = self.register(jwk);
        let code = self
            .registry()
            .registry()
            .records()
            .add_site("north")
            .expect("the registry takes a site");
        let made = Command::new(HEADWATER)
            .args([
                "init",
                dir.to_str().expect("a path of ours"),
                "--ehr",
                self.ehr().base_url(),
                "--client-id",
                &client_id,
            ])
            .args([
                "--group",
                "all",
                "--registry",
                self.registry().base_url(),
                "--enrol",
                &code,
                "--policy",
                policy,
            ])
            .output()
            .expect("the binary runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        dir.join("site.toml")
    }

    /// Makes the site `north` over a folder of files instead of an EHR. The path of its site.toml.
    pub fn site_of_files(&self, policy: &str, folder: &Path) -> PathBuf {
        let dir = self.dir.path().join("north");
        let code = self
            .registry()
            .registry()
            .records()
            .add_site("north")
            .expect("the registry takes a site");
        let made = Command::new(HEADWATER)
            .arg("init")
            .arg(&dir)
            .arg("--files")
            .arg(folder)
            .args(["--registry", self.registry().base_url(), "--enrol", &code, "--policy", policy])
            .output()
            .expect("the binary runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        dir.join("site.toml")
    }

    /// Every row the registry holds.
    pub fn rows(&self) -> Rows {
        let db = rusqlite::Connection::open(self.dir.path().join("registry/data/registry.db")).expect("the registry's database");
        let mut statement = db
            .prepare("SELECT table_name, site, row_key, body FROM cdm_row ORDER BY 1, 2, 3")
            .expect("the registry's table");
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .expect("a query");
        rows.collect::<Result<_, _>>().expect("rows")
    }

    /// Every page of the console that links lead to, by its path, as an operator who signed in sees it.
    pub fn pages(&self) -> Vec<(String, String)> {
        let code = self
            .registry()
            .registry()
            .records()
            .add_operator("reader")
            .expect("an operator")
            .code;
        let http = client(&HttpSettings::default()).expect("a client");
        let base = self.registry().base_url();
        self.runtime.block_on(async {
            let entered = http
                .post(format!("{base}/sign-in"))
                .form(&[("code", &code)])
                .send()
                .await
                .expect("an answer");
            let session = entered.headers()[SET_COOKIE]
                .to_str()
                .expect("a cookie")
                .split(';')
                .next()
                .expect("a session");
            let mut pages: Vec<(String, String)> = Vec::new();
            let mut todo = vec!["/console".to_owned()];
            while let Some(path) = todo.pop() {
                if pages.iter().any(|(seen, _)| *seen == path) {
                    continue;
                }
                let page = http
                    .get(format!("{base}{path}"))
                    .header(COOKIE, session)
                    .send()
                    .await
                    .expect("an answer");
                assert!(page.status().is_success(), "{path}: {}", page.status());
                let text = page.text().await.expect("text");
                let links = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
                todo.extend(links.filter(|link| link.starts_with("/console")).map(str::to_owned));
                pages.push((path, text));
            }
            pages
        })
    }

    pub fn close(mut self) {
        let (ehr, registry) = (self.ehr.take(), self.registry.take());
        self.runtime.block_on(async {
            if let Some(ehr) = ehr {
                ehr.shutdown().await;
            }
            if let Some(registry) = registry {
                registry.stop().await.expect("the registry ends well");
            }
        });
    }
}

/// Synthetic patients in a folder of their own.
pub fn patients(number: u64, seed: u64) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    simulate::generate(&GeneratorSettings::new(number, seed), dir.path()).expect("patients are made");
    dir
}

/// `headwater sync`, not yet waited for.
pub fn start_sync(site: &Path, more: &[&str]) -> Child {
    Command::new(HEADWATER)
        .args(["sync", "--json", "--site", site.to_str().expect("a path of ours")])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

/// `headwater sync` to its end.
pub fn sync(site: &Path, more: &[&str]) -> Output {
    start_sync(site, more).wait_with_output().expect("the run ends")
}

/// The report of a run that ended with 0.
pub fn report(output: &Output) -> serde_json::Value {
    assert!(
        output.status.success(),
        "exit {:?}\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("a report in JSON")
}

/// A folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a copy");
        }
    }
}
