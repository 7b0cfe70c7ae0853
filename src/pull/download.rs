//! Lands one file of an export: asks for it, streams it into a segment, counts it against the manifest, tries again.
//! Every end is one of four: landed, expired, given up, or for later. A file is landed once, in one transaction with its state.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING};
use reqwest::{Method, Response};
use tokio::sync::mpsc::channel;

use super::body::{Caps, Incoming, NotTaken, Piece, QUEUE, take_ndjson};
use super::dial::{Auth, Dial, Patience, is_transient};
use super::error::PullError;
use super::job::{self, File, Jobs};
use super::outcome::Issues;
use super::settings::{Limits, Listener, Progress};
use crate::landing::Landing;
use crate::platform::clock::Stopwatch;
use crate::platform::http;

/// Seconds before a download can be too slow.
const PATIENCE_WITH_SLOW: u64 = 600;

/// How a file ended for now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Landed,
    /// The address is not good any more; a fresh manifest may give a good one.
    Expired(u16),
    /// It will not come.
    GivenUp(String),
    /// It may come later.
    Later(String),
}

/// What one try came to.
enum Try {
    Landed,
    /// Fewer or more lines than the manifest counted; nothing was landed.
    Miscounted,
    Expired(u16),
    Never(String),
    Again(String, Option<std::time::Duration>),
}

/// What a download needs.
pub(super) struct Downloads<'a> {
    pub(super) dial: &'a Dial<'a>,
    pub(super) jobs: Jobs<'a>,
    pub(super) landing: &'a Landing,
    pub(super) limits: &'a Limits,
    pub(super) auth: Auth,
    pub(super) bytes: &'a AtomicU64,
    pub(super) listener: Listener<'a>,
}

impl Downloads<'_> {
    /// Lands `file`, trying as often as the limits say.
    /// # Errors: ours only: disk, database. The other side's faults are fates.
    pub(super) async fn land(&self, file: &File) -> Result<Fate, PullError> {
        let mut patience = Patience::new(self.dial.clock, self.limits);
        let mut miscounts = 0;
        let mut tries = 0;
        loop {
            tries += 1;
            // Servers count wrongly, too: what comes twice with the same fault is landed, and noted.
            let (problem, asked) = match self.attempt(file, miscounts > 0).await? {
                Try::Landed => return Ok(Fate::Landed),
                Try::Expired(status) => return Ok(Fate::Expired(status)),
                Try::Never(problem) => return Ok(Fate::GivenUp(problem)),
                Try::Miscounted => {
                    miscounts += 1;
                    (String::new(), None)
                }
                Try::Again(problem, asked) => (problem, asked),
            };
            if tries >= self.limits.attempts + miscounts {
                return Ok(Fate::Later(problem));
            }
            let Ok(next) = patience.next(asked) else {
                return Ok(Fate::Later(problem));
            };
            (self.listener)(Progress::Retrying { what: "a file", next });
            self.dial.clock.sleep_until(next).await;
        }
    }

    async fn attempt(&self, file: &File, accept_any_count: bool) -> Result<Try, PullError> {
        let headers = [(ACCEPT, "application/fhir+ndjson"), (ACCEPT_ENCODING, "gzip")];
        let response = match self.dial.send(Method::GET, &file.listed.url, &headers, self.auth).await {
            Ok(response) => response,
            Err(PullError::Breach(breach)) => return Ok(Try::Never(breach.to_string())),
            Err(error @ PullError::Unexpected { .. }) => return Ok(Try::Never(error.to_string())),
            Err(PullError::Token(error)) if !error.is_transient() => return Err(PullError::Token(error)),
            Err(error) => return Ok(Try::Again(with_cause(&error), None)),
        };
        let status = response.status().as_u16();
        match status {
            200 => {}
            401 | 403 | 404 | 410 => return Ok(Try::Expired(status)),
            _ => {
                let asked = self.dial.asked_wait(response.headers());
                let body = http::read_body(response, 64 << 10).await.unwrap_or_default();
                let codes = Issues::parse(&body).unwrap_or_default().in_brackets();
                let problem = format!("the server answers {status}{codes}");
                return Ok(if is_transient(status) {
                    Try::Again(problem, asked)
                } else {
                    Try::Never(problem)
                });
            }
        }
        let encoding = response
            .headers()
            .get(CONTENT_ENCODING)
            .map_or("", |value| value.to_str().unwrap_or("?"));
        if !matches!(encoding.to_ascii_lowercase().as_str(), "" | "gzip" | "x-gzip" | "identity") {
            return Ok(Try::Never("it comes in an encoding we did not ask for".to_owned()));
        }
        self.stream(response, file, accept_any_count).await
    }

    async fn stream(&self, mut response: Response, file: &File, accept_any_count: bool) -> Result<Try, PullError> {
        let (sender, receiver) = channel(QUEUE);
        let (landing, run, seq, file) = (self.landing.clone(), self.jobs.run, file.seq, file.clone());
        let caps = Caps {
            plain_bytes: self.limits.file_bytes,
            ratio: self.limits.ratio,
        };
        // Disk and compression block, so they have a thread; when this future is dropped the queue closes and nothing is landed.
        let disk = tokio::task::spawn_blocking(move || receive(&landing, Incoming::new(receiver), run, &file, &caps, accept_any_count));
        let (mut broken, mut received) = (None, 0);
        let watch = Stopwatch::start(self.dial.clock);
        loop {
            let piece = match response.chunk().await {
                Ok(Some(bytes)) => {
                    received += bytes.len() as u64;
                    // A drop a minute keeps every read time limit happy, and a night busy.
                    let elapsed = watch.elapsed().as_secs();
                    if elapsed > PATIENCE_WITH_SLOW && received / elapsed < self.limits.slowest {
                        broken = Some(format!("it comes with less than {} bytes a second", self.limits.slowest));
                        break;
                    }
                    Piece::Bytes(bytes)
                }
                Ok(None) => Piece::End,
                Err(error) => {
                    broken = Some(with_cause(&PullError::Http(http::explain(response.url(), &error))));
                    break;
                }
            };
            let is_end = matches!(piece, Piece::End);
            // The other side hangs up when it refuses the content; its word comes below.
            if sender.send(piece).await.is_err() || is_end {
                break;
            }
        }
        drop(sender);
        let received = disk.await.map_err(|_| PullError::Interrupted)?;
        match received {
            Ok(Received::Landed(bytes)) => {
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                Ok(Try::Landed)
            }
            Ok(Received::Miscounted) => Ok(Try::Miscounted),
            Err(NotTaken::Cut(problem)) => Ok(Try::Again(broken.unwrap_or_else(|| problem.to_owned()), None)),
            Err(NotTaken::Refused(problem)) => Ok(Try::Never(problem)),
            // Landed meanwhile by a download that was thought dead.
            Err(NotTaken::Landing(_)) if self.jobs.is_landed(seq)? => Ok(Try::Landed),
            Err(NotTaken::Landing(error)) => Err(error.into()),
        }
    }
}

enum Received {
    Landed(u64),
    Miscounted,
}

/// The disk's side: everything into a new segment, checked, then entered together with the file's state.
fn receive(
    landing: &Landing,
    incoming: Incoming,
    run: i64,
    file: &File,
    caps: &Caps,
    accept_any_count: bool,
) -> Result<Received, NotTaken> {
    let mut writer = landing.begin(run, &file.listed.resource_type, file.listed.kind)?;
    take_ndjson(incoming, caps, &mut writer)?;
    let (lines, bytes) = (writer.lines(), writer.bytes());
    let miscounted = file.listed.expected.filter(|expected| *expected != lines);
    let problem = match miscounted {
        Some(_) if !accept_any_count => return Ok(Received::Miscounted),
        Some(expected) => Some(format!(
            "it has {lines} resources, the manifest says {expected}, also when asked again"
        )),
        None => None,
    };
    let sealed = writer.finish()?;
    landing.register(vec![sealed], |tx, segments| {
        segments
            .iter()
            .try_for_each(|segment| job::landed(tx, run, file.seq, segment.id, problem.as_deref()))
    })?;
    Ok(Received::Landed(bytes))
}

fn with_cause(error: &PullError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
