//! A small WebDriver client: a headless Chromium of this machine, driven over HTTP. Basis: W3C WebDriver.

#![allow(clippy::disallowed_methods, reason = "tests write the files they need")]
#![allow(unreachable_pub, reason = "the other files of this one binary use it")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater::platform::http::Client;
use serde_json::{Value, json};

pub struct Browser {
    http: Client,
    driver: Child,
    session: String,
    _profile: tempfile::TempDir,
}

/// Chromium and its driver, if this machine has both. `HEADWATER_REQUIRE_BROWSER=1` makes it a fault if it has not.
pub fn find() -> Option<(PathBuf, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = |names: &[&str]| {
        let folders: Vec<_> = std::env::split_paths(&path).collect();
        names
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
            .find(|file| file.is_file())
    };
    let found = on_path(&["chromium", "chromium-browser", "google-chrome"]).zip(on_path(&["chromedriver"]));
    let required = std::env::var("HEADWATER_REQUIRE_BROWSER").is_ok_and(|value| value == "1");
    assert!(
        found.is_some() || !required,
        "HEADWATER_REQUIRE_BROWSER=1, but there is no chromium or no chromedriver on the path"
    );
    found
}

impl Browser {
    pub async fn start(http: Client, chromium: &Path, chromedriver: &Path) -> Self {
        let mut driver = Command::new(chromedriver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port_of = |line: String| line.split(" on port ").nth(1)?.trim_end_matches('.').parse::<u16>().ok();
        // Its first line repeats the 0 it was given.
        let mut ports = lines.map_while(Result::ok).filter_map(port_of).filter(|port| *port != 0);
        let port = ports.next().expect("chromedriver says its port");
        let profile = tempfile::tempdir().unwrap();
        let data_dir = format!("--user-data-dir={}", profile.path().display());
        let options = json!({
            "binary": chromium,
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", data_dir,
            ],
        });
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let mut browser = Self {
            http,
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            _profile: profile,
        };
        let session = browser.call("POST", "", &capabilities).await;
        // An element that is not there yet, because its page is still on the way, is waited for.
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().expect("a session"));
        browser.call("POST", "/timeouts", &json!({"implicit": 5000})).await;
        browser
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.session));
        let request = if method == "POST" { request.json(body) } else { request };
        let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
        let value = answer["value"].take();
        assert!(value.get("error").is_none(), "{method} {path}: {value}");
        value
    }

    async fn get(&self, path: &str) -> Value {
        self.call("GET", path, &Value::Null).await
    }

    pub async fn go(&self, url: &str) {
        self.call("POST", "/url", &json!({"url": url})).await;
    }

    pub async fn url(&self) -> String {
        self.get("/url").await.as_str().unwrap().to_owned()
    }

    /// The elements that this CSS selector finds.
    pub async fn find(&self, css: &str) -> Vec<String> {
        let found = self
            .call("POST", "/elements", &json!({"using": "css selector", "value": css}))
            .await;
        found
            .as_array()
            .unwrap()
            .iter()
            .map(|element| element.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned())
            .collect()
    }

    pub async fn one(&self, css: &str) -> String {
        let mut found = self.find(css).await;
        assert_eq!(found.len(), 1, "`{css}` on {}", self.url().await);
        found.remove(0)
    }

    pub async fn text(&self, css: &str) -> String {
        let element = self.one(css).await;
        self.get(&format!("/element/{element}/text")).await.as_str().unwrap().to_owned()
    }

    pub async fn attribute(&self, css: &str, name: &str) -> String {
        let element = self.one(css).await;
        self.get(&format!("/element/{element}/attribute/{name}"))
            .await
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub async fn type_into(&self, css: &str, text: &str) {
        let element = self.one(css).await;
        self.call("POST", &format!("/element/{element}/value"), &json!({"text": text}))
            .await;
    }

    pub async fn click(&self, css: &str) {
        let element = self.one(css).await;
        self.call("POST", &format!("/element/{element}/click"), &json!({})).await;
    }

    pub async fn resize(&self, width: u32, height: u32) {
        self.call("POST", "/window/rect", &json!({"width": width, "height": height})).await;
    }

    /// Whether the page is wider than its window.
    pub async fn overflows(&self) -> bool {
        let script = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        self.call("POST", "/execute/sync", &json!({"script": script, "args": []}))
            .await
            .as_bool()
            .unwrap()
    }

    pub async fn dark(&self, dark: bool) {
        let features = json!([{"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }}]);
        let command = json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}});
        self.call("POST", "/goog/cdp/execute", &command).await;
    }

    /// A picture of the whole page, written to `file`.
    pub async fn picture(&self, file: &Path, width: u32) {
        let metrics = self
            .call(
                "POST",
                "/execute/sync",
                &json!({"script": "return document.documentElement.scrollHeight", "args": []}),
            )
            .await;
        let height = metrics.as_u64().unwrap();
        let command = json!({"cmd": "Page.captureScreenshot", "params": {
            "captureBeyondViewport": true, "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
        }});
        let picture = self.call("POST", "/goog/cdp/execute", &command).await;
        std::fs::write(file, STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// What the browser's console said since the last call: script errors, refused content, failed requests.
    pub async fn console(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", &json!({"type": "browser"})).await;
        log.as_array()
            .unwrap()
            .iter()
            .map(|line| format!("{} {}", line["level"], line["message"]))
            .collect()
    }

    pub async fn quit(mut self) {
        self.call("DELETE", "", &Value::Null).await;
        self.driver.kill().unwrap();
        self.driver.wait().unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
