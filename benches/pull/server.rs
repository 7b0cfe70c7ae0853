//! A server of files that stay as they are, with just enough of Bulk Data around them that a pull can ask for them.
//! Everything is sent from memory, at full speed or as a far and busy EHR would.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use headwater::simulate::{GeneratorSettings, generate};
use serde_json::json;

use crate::client::Kind;

/// Plain bytes of one block of content, about.
const BLOCK_BYTES: usize = 10_000_000;
const CHUNK_BYTES: usize = 64 << 10;
/// What a busy EHR gives to all its readers together, per second.
const PACED_BYTES: f64 = 20e6;
/// How far away it is.
const PACED_DELAY: Duration = Duration::from_millis(20);

/// Resources as NDJSON, and how they are sent.
#[derive(Clone)]
pub struct Content {
    sent: Bytes,
    plain_bytes: usize,
    lines: usize,
    gzip: bool,
}

impl Content {
    /// Observations of synthetic patients, about 10 MB: most of what an EHR exports.
    pub fn generate() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        generate(&GeneratorSettings::new(150, 1), folder.path()).expect("patients");
        let mut text = std::fs::read_to_string(folder.path().join("Observation.ndjson")).expect("a generated file");
        while text.len() < BLOCK_BYTES {
            text.extend_from_within(..);
        }
        let end = text[..BLOCK_BYTES].rfind('\n').map_or(0, |at| at + 1);
        text.truncate(end);
        Self::plain(text)
    }

    fn plain(text: String) -> Self {
        Self {
            plain_bytes: text.len(),
            lines: text.lines().count(),
            sent: text.into(),
            gzip: false,
        }
    }

    /// The same, sent as gzip.
    pub fn gzipped(&self) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&self.sent).expect("memory takes it");
        Self {
            sent: encoder.finish().expect("memory takes it").into(),
            gzip: true,
            ..self.clone()
        }
    }

    /// Its first line alone.
    pub fn first_line(&self) -> Self {
        let end = self.sent.iter().position(|byte| *byte == b'\n').expect("a line");
        let line = std::str::from_utf8(&self.sent[..=end]).expect("text");
        Self::plain(line.to_owned())
    }
}

/// Files to be had, all with the same content.
#[derive(Clone)]
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    pub files: usize,
    /// How often the content stands in one file.
    pub repeats: usize,
    pub content: Content,
    /// As a far and busy EHR sends.
    pub paced: bool,
}

impl Case {
    pub fn plain_bytes(&self) -> usize {
        self.files * self.repeats * self.content.plain_bytes
    }

    /// What a client of this kind counts: a pull unpacks, the others take what comes.
    pub fn bytes_for(&self, kind: Kind) -> u64 {
        let one = match kind {
            Kind::Pull => self.content.plain_bytes,
            Kind::Discard | Kind::Disk => self.content.sent.len(),
        };
        (self.files * self.repeats * one) as u64
    }
}

/// When the next chunk of any paced answer may go.
struct Pace(Mutex<Instant>);

impl Pace {
    async fn take(&self, bytes: usize) {
        let at = {
            let mut next = self.0.lock().expect("nobody panics holding it");
            *next = (*next).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / PACED_BYTES);
            *next
        };
        tokio::time::sleep_until(at.into()).await;
    }
}

struct Served {
    case: Case,
    base: String,
    pace: Pace,
}

/// Serves the cases on loopback until the process ends; their bases, in order.
pub async fn start(cases: &[Case]) -> Vec<String> {
    let mut bases = Vec::new();
    for case in cases {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("its address"));
        bases.push(base.clone());
        let served = Arc::new(Served {
            case: case.clone(),
            base,
            pace: Pace(Mutex::new(Instant::now())),
        });
        let router = Router::new()
            .route("/$export", get(kick_off))
            .route("/status", get(manifest).delete(async || axum::http::StatusCode::ACCEPTED))
            .route("/files/{number}", get(file))
            .with_state(served);
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    bases
}

async fn kick_off(State(served): State<Arc<Served>>) -> Response {
    let status = format!("{}/status", served.base);
    (axum::http::StatusCode::ACCEPTED, [(CONTENT_LOCATION, status)]).into_response()
}

async fn manifest(State(served): State<Arc<Served>>) -> Response {
    let count = served.case.content.lines * served.case.repeats;
    let files = (0..served.case.files).map(|number| {
        let url = format!("{}/files/{number}", served.base);
        json!({"type": "Observation", "url": url, "count": count})
    });
    let manifest = json!({
        "transactionTime": "2026-03-01T02:00:00Z",
        "request": format!("{}/$export", served.base),
        "requiresAccessToken": false,
        "output": files.collect::<Vec<_>>(),
        "error": [],
    });
    ([(CONTENT_TYPE, "application/json")], manifest.to_string()).into_response()
}

async fn file(State(served): State<Arc<Served>>, Path(_): Path<u64>) -> Response {
    if served.case.paced {
        tokio::time::sleep(PACED_DELAY).await;
    }
    let content = &served.case.content;
    let mut response = Response::builder()
        .header(CONTENT_TYPE, "application/fhir+ndjson")
        .header(CONTENT_LENGTH, content.sent.len() * served.case.repeats);
    if content.gzip {
        response = response.header(CONTENT_ENCODING, "gzip");
    }
    let starts = (0..served.case.repeats).flat_map({
        let length = content.sent.len();
        move |_| (0..length).step_by(CHUNK_BYTES)
    });
    let chunks = futures_util::stream::unfold((served, starts), async |(served, mut starts)| {
        let start = starts.next()?;
        let sent = &served.case.content.sent;
        let chunk = sent.slice(start..sent.len().min(start + CHUNK_BYTES));
        if served.case.paced {
            served.pace.take(chunk.len()).await;
        }
        Some((Ok::<_, std::io::Error>(chunk), (served, starts)))
    });
    response.body(Body::from_stream(Box::pin(chunks))).expect("a response")
}
