//! The scripted EHR: for each request a queue of answers, the last of which stays. Writes down everything it is asked.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use headwater::platform::clock::Clock;
use headwater::platform::http::Url;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// One answer. `{base}` in headers and body stands for the server's base.
#[derive(Clone, Default)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The connection breaks after this many bytes of the body.
    cut: Option<usize>,
    /// A byte a minute, by this clock.
    drip: Option<Clock>,
    /// Never answers; tells that it was asked.
    hang: bool,
}

impl Answer {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            ..Self::default()
        }
    }

    /// The export is taken, as job `number`.
    pub(super) fn taken(number: u32) -> Self {
        Self::new(202, "").with("content-location", format!("{{base}}/poll/{number}"))
    }

    /// A manifest with these members beside the required ones.
    pub(super) fn listing(manifest: Value) -> Self {
        Self::new(200, full(manifest).to_string())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The body compressed, and said to be so.
    pub(super) fn gzipped(mut self) -> Self {
        self.body = gzip(&self.body);
        self.with("content-encoding", "gzip")
    }

    /// The body without its last bytes, properly ended.
    pub(super) fn shortened(mut self, by: usize) -> Self {
        self.body.truncate(self.body.len() - by);
        self
    }

    pub(super) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    pub(super) fn dripping(mut self, clock: &Clock) -> Self {
        self.drip = Some(clock.clone());
        self
    }

    pub(super) fn hanging() -> Self {
        Self {
            hang: true,
            ..Self::default()
        }
    }
}

pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// `GET /files/1`, without query.
    pub(super) what: String,
    pub(super) query: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

#[derive(Default)]
struct Inner {
    base: String,
    script: Mutex<HashMap<String, VecDeque<Answer>>>,
    seen: Mutex<Vec<Seen>>,
    jwk: Mutex<Option<Value>>,
    tokens: Mutex<u32>,
    hanging: Notify,
    /// Requests under way, and the most there ever were.
    under_way: Mutex<(usize, usize)>,
}

#[derive(Clone)]
pub(super) struct Ehr(Arc<Inner>);

impl Ehr {
    pub(super) async fn start() -> Self {
        Self::known_as(None).await.0
    }

    /// An EHR that calls itself `base`, for something stands before it; and where it listens itself.
    pub(super) async fn known_as(base: Option<String>) -> (Self, std::net::SocketAddr) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            base: base.unwrap_or_else(|| format!("http://{address}")),
            ..Inner::default()
        });
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (Self(inner), address)
    }

    /// An EHR whose export is ready at the first poll and lists `manifest` (members beside the required ones).
    pub(super) async fn with_manifest(manifest: Value) -> Self {
        let ehr = Self::start().await;
        ehr.takes_export();
        ehr.lists(manifest);
        ehr.on("DELETE /poll/1", [Answer::new(202, "")]);
        ehr
    }

    pub(super) fn takes_export(&self) {
        self.on("GET /$export", [Answer::taken(1)]);
    }

    pub(super) fn lists(&self, manifest: Value) {
        self.on("GET /poll/1", [Answer::new(200, full(manifest).to_string())]);
    }

    pub(super) fn base(&self) -> Url {
        self.0.base.parse().unwrap()
    }

    /// Answers `what` (`GET /path`) with these in turn; the last for ever.
    pub(super) fn on(&self, what: &str, answers: impl IntoIterator<Item = Answer>) {
        let answers = answers.into_iter().collect();
        self.0.script.lock().unwrap().insert(what.to_owned(), answers);
    }

    /// The public key whose assertions get a token.
    pub(super) fn register(&self, jwk: Value) {
        *self.0.jwk.lock().unwrap() = Some(jwk);
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap().clone()
    }

    /// Every request for `what`, in order.
    pub(super) fn asked(&self, what: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.what == what).collect()
    }

    /// The most requests that were ever under way together.
    pub(super) fn most_under_way(&self) -> usize {
        self.0.under_way.lock().unwrap().1
    }

    /// When a hanging answer was asked for.
    pub(super) async fn hangs(&self) {
        self.0.hanging.notified().await;
    }
}

/// A manifest with its required members.
pub(super) fn full(mut manifest: Value) -> Value {
    for (name, value) in [
        ("transactionTime", json!("2026-03-01T01:59:00.000Z")),
        ("request", json!("{base}/$export")),
        ("requiresAccessToken", json!(true)),
        ("output", json!([])),
        ("error", json!([])),
    ] {
        if manifest.get(name).is_none() {
            manifest[name] = value;
        }
    }
    manifest
}

async fn answer(State(ehr): State<Arc<Inner>>, request: Request) -> Response {
    {
        let mut under_way = ehr.under_way.lock().unwrap();
        under_way.0 += 1;
        under_way.1 = under_way.1.max(under_way.0);
    }
    // So that requests under way together are seen together.
    tokio::task::yield_now().await;
    let response = answered(&ehr, request).await;
    ehr.under_way.lock().unwrap().0 -= 1;
    response
}

async fn answered(ehr: &Arc<Inner>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let what = format!("{} {}", parts.method, parts.uri.path());
    let headers = parts.headers.iter();
    ehr.seen.lock().unwrap().push(Seen {
        what: what.clone(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let scripted = {
        let mut script = ehr.script.lock().unwrap();
        script.get_mut(&what).and_then(|answers| {
            if answers.len() > 1 {
                answers.pop_front()
            } else {
                answers.front().cloned()
            }
        })
    };
    let answer = match (scripted, what.as_str()) {
        (Some(answer), _) => answer,
        (None, "POST /token") => token(ehr, &body),
        (None, "GET /.well-known/smart-configuration") => Answer::new(200, r#"{"token_endpoint":"{base}/token"}"#),
        (None, _) => Answer::new(404, ""),
    };
    if answer.hang {
        ehr.hanging.notify_one();
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value.replace("{base}", &ehr.base));
    }
    let body = match String::from_utf8(answer.body) {
        Ok(text) => text.replace("{base}", &ehr.base).into_bytes(),
        Err(binary) => binary.into_bytes(),
    };
    let body = match (answer.cut, answer.drip) {
        (None, None) => Body::from(body),
        (_, Some(clock)) => {
            let drops = futures_util::stream::unfold(body.into_iter(), move |mut left| {
                let clock = clock.clone();
                async move {
                    clock.sleep(Duration::from_secs(60)).await;
                    let byte = left.next()?;
                    Some((Ok::<_, std::io::Error>(Bytes::from(vec![byte])), left))
                }
            });
            Body::from_stream(drops)
        }
        (Some(at), None) => {
            let pieces = [Ok(Bytes::copy_from_slice(&body[..at])), Err(std::io::Error::other("cut"))];
            Body::from_stream(futures_util::stream::iter(pieces))
        }
    };
    response.body(body).unwrap()
}

/// A token for an assertion that verifies with the registered key and says all that SMART wants; `invalid_client` otherwise.
fn token(ehr: &Inner, form: &[u8]) -> Answer {
    let jwk = ehr.jwk.lock().unwrap().clone();
    let form: HashMap<String, String> = headwater::platform::http::Url::parse(&format!("x:/?{}", String::from_utf8_lossy(form)))
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect();
    let claims = jwk.and_then(|jwk| {
        let assertion = form.get("client_assertion")?;
        let header = jsonwebtoken::decode_header(assertion).ok()?;
        if header.typ.as_deref() != Some("JWT") || header.kid.as_deref() != jwk["kid"].as_str() {
            return None;
        }
        let key = DecodingKey::from_jwk(&serde_json::from_value(jwk).unwrap()).ok()?;
        let mut rules = Validation::new(header.alg);
        rules.validate_exp = false;
        rules.set_audience(&[format!("{}/token", ehr.base)]);
        let claims = jsonwebtoken::decode::<Value>(assertion, &key, &rules).ok()?.claims;
        let right = claims["iss"] == claims["sub"]
            && claims["jti"].as_str().is_some_and(|jti| jti.len() >= 16)
            && claims["exp"].as_i64()? - claims["iat"].as_i64()? <= 300
            && form.get("grant_type")? == "client_credentials"
            && form.get("client_assertion_type")? == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        right.then_some(claims)
    });
    if claims.is_none() {
        return Answer::new(400, r#"{"error":"invalid_client"}"#).with("content-type", "application/json");
    }
    let mut tokens = ehr.tokens.lock().unwrap();
    *tokens += 1;
    let body = json!({"access_token": format!("token-{tokens}"), "token_type": "bearer", "expires_in": 300, "scope": form.get("scope")});
    Answer::new(200, body.to_string()).with("content-type", "application/json")
}
