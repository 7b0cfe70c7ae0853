//! sekmet-fhir, an EHR we did not write, on this machine: started, loaded over its own FHIR API, ended with the test.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use headwater::platform::http::{self, Client, HttpSettings, Url};
use headwater::platform::random;
use serde_json::{Value, json};

/// Resources in one transaction.
const TOGETHER: usize = 500;

/// A running sekmet. Dropped, it ends.
pub(super) struct Sekmet {
    pub(super) base: Url,
    http: Client,
    /// The bearer token that may write.
    loader: String,
    server: Child,
    /// The server lives as long as this.
    _input: ChildStdin,
    _folder: tempfile::TempDir,
}

impl Sekmet {
    /// Starts it with these clients: id, JWK Set, the scopes they may have. `None`, and a word about it, where it is not
    /// installed; `HEADWATER_REQUIRE_SEKMET=1` makes that a fault.
    pub(super) fn start(clients: &[(String, Value, &str)]) -> Option<Self> {
        let python = std::env::var("HEADWATER_SEKMET").unwrap_or_else(|_| "python3".to_owned());
        let probe = Command::new(&python).args(["-c", "import sekmet"]).stderr(Stdio::null()).status();
        if !probe.is_ok_and(|status| status.success()) {
            let required = std::env::var("HEADWATER_REQUIRE_SEKMET").is_ok_and(|value| value == "1");
            assert!(!required, "HEADWATER_REQUIRE_SEKMET=1, but this Python has no sekmet: {python}");
            println!("skipped: no sekmet-fhir; name a Python that has it in HEADWATER_SEKMET");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/serve_sekmet.py"))
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let loader = random::hex(16);
        let clients: Vec<Value> = clients
            .iter()
            .map(|(id, jwks, scopes)| json!({"client_id": id, "jwks": jwks, "scopes": scopes}))
            .collect();
        let mut input = server.stdin.take().unwrap();
        writeln!(input, "{}", json!({"loader": loader, "clients": clients})).unwrap();
        let mut base = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut base).unwrap();
        Some(Self {
            base: base.trim().parse().expect("sekmet starts, and says its base"),
            http: http::client(&HttpSettings::default()).unwrap(),
            loader,
            server,
            _input: input,
            _folder: folder,
        })
    }

    /// Writes every line of every NDJSON file of `folder`, by PUT, under the ids they have.
    pub(super) async fn load(&self, folder: &Path) {
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let resources: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            for some in resources.chunks(TOGETHER) {
                self.put(some).await;
            }
        }
    }

    /// Writes resources, in one transaction.
    pub(super) async fn put(&self, resources: &[Value]) {
        let entries: Vec<Value> = resources
            .iter()
            .map(|resource| {
                let url = format!("{}/{}", text(resource, "resourceType"), text(resource, "id"));
                json!({"resource": resource, "request": {"method": "PUT", "url": url}})
            })
            .collect();
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
        let request = self.http.post(self.base.clone()).bearer_auth(&self.loader);
        let response = request.header("prefer", "return=minimal").json(&bundle).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

impl Drop for Sekmet {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

pub(super) fn text<'a>(resource: &'a Value, member: &str) -> &'a str {
    resource[member].as_str().unwrap()
}
