//! Lands one file of an export: asks for it, streams it to the disk's side, tries again. Every end is one of five: landed,
//! held with others, expired, given up, or for later. A file is landed once, in one transaction with its state.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING};
use reqwest::{Method, Response};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::channel;

use super::batch::Batches;
use super::body::{Caps, Incoming, NotTaken, Piece, QUEUE};
use super::dial::{Auth, Patience, is_transient};
use super::error::PullError;
use super::job::File;
use super::settings::Progress;
use super::taking::{Outcome, Prefix, Taken, Taker};
use super::talk::Talk;
use crate::landing::Kind;
use crate::platform::clock::Stopwatch;
use crate::platform::http;

/// Seconds before a download can be too slow.
const PATIENCE_WITH_SLOW: u64 = 600;
/// Files of mixed types at a time: each holds a buffer for every type in it.
const MIXED: usize = 2;

/// How a file ended for now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Landed,
    /// Fetched, and entered with the others of its batch.
    Held,
    /// The address is not good any more; a fresh manifest may give a good one.
    Expired(u16),
    /// It will not come.
    GivenUp(String),
    /// It may come later.
    Later(String),
}

/// What one try came to.
enum Try {
    Done(Fate),
    /// Fewer or more lines than the manifest counted; nothing was landed.
    Miscounted,
    Again(String, Option<std::time::Duration>),
}

/// What is known of one file from the tries before.
#[derive(Default)]
struct History {
    miscounts: u32,
    prefix: Option<Prefix>,
}

/// What the downloads of one call share.
pub(super) struct Downloads<'a> {
    pub(super) talk: &'a Talk<'a>,
    pub(super) auth: Auth,
    pub(super) batches: Arc<Batches>,
    pub(super) bytes: AtomicU64,
    /// Types of which a file was other content when it was asked for again.
    changed: Mutex<BTreeSet<String>>,
    mixed: Semaphore,
}

impl<'a> Downloads<'a> {
    pub(super) fn new(talk: &'a Talk<'a>, needs_token: bool) -> Self {
        Self {
            talk,
            auth: auth(needs_token),
            batches: Arc::new(Batches::new(talk.landing.clone(), talk.request.run)),
            bytes: AtomicU64::new(0),
            changed: Mutex::default(),
            mixed: Semaphore::new(MIXED),
        }
    }

    /// Types whose content has changed since the last look.
    pub(super) fn take_changed(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lands `file`, trying as often as the limits say.
    /// # Errors: ours only: disk, database. The other side's faults are fates.
    pub(super) async fn land(&self, file: &File) -> Result<Fate, PullError> {
        let is_mixed = file.listed.kind == Kind::Resources && file.listed.resource_type.is_empty();
        let _turn = if is_mixed { self.mixed.acquire().await.ok() } else { None };
        let mut patience = Patience::new(self.talk.dial.clock, self.talk.limits);
        let mut history = History::default();
        let mut tries = 0;
        loop {
            tries += 1;
            // Servers count wrongly, too: what comes twice with the same fault is landed, and noted.
            let (problem, asked) = match self.attempt(file, &mut history).await? {
                Try::Done(fate) => return Ok(fate),
                Try::Miscounted => {
                    history.miscounts += 1;
                    (String::new(), None)
                }
                Try::Again(problem, asked) => (problem, asked),
            };
            if tries >= self.talk.limits.attempts + history.miscounts {
                return Ok(Fate::Later(problem));
            }
            let Ok(next) = patience.next(asked) else {
                return Ok(Fate::Later(problem));
            };
            (self.talk.listener)(Progress::Retrying { what: "a file", next });
            self.talk.dial.clock.sleep_until(next).await;
        }
    }

    async fn attempt(&self, file: &File, history: &mut History) -> Result<Try, PullError> {
        let headers = [(ACCEPT, "application/fhir+ndjson"), (ACCEPT_ENCODING, "gzip")];
        let never = |problem| Ok(Try::Done(Fate::GivenUp(problem)));
        let response = match self.talk.dial.send(Method::GET, &file.listed.url, &headers, self.auth).await {
            Ok(response) => response,
            Err(PullError::Breach(breach)) => return never(breach.to_string()),
            Err(error @ PullError::Unexpected { .. }) => return never(error.to_string()),
            Err(PullError::Token(error)) if !error.is_transient() => return Err(PullError::Token(error)),
            // Not this file's fault, nor one that asking again mends now.
            Err(error @ (PullError::OutOfTime { .. } | PullError::Quiet { .. } | PullError::WiderScope { .. })) => return Err(error),
            Err(error) => return Ok(Try::Again(with_cause(&error), None)),
        };
        let status = response.status().as_u16();
        match status {
            200 => {}
            401 | 403 | 404 | 410 => return Ok(Try::Done(Fate::Expired(status))),
            _ => {
                let (_, asked, issues) = self.talk.fault(response).await;
                let problem = format!("the server answers {status}{}", issues.in_brackets());
                return if is_transient(status) {
                    Ok(Try::Again(problem, asked))
                } else {
                    never(problem)
                };
            }
        }
        let encoding = response.headers().get(CONTENT_ENCODING);
        let encoding = encoding.map_or("", |value| value.to_str().unwrap_or("?"));
        if !matches!(encoding.to_ascii_lowercase().as_str(), "" | "gzip" | "x-gzip" | "identity") {
            return never("it comes in an encoding we did not ask for".to_owned());
        }
        self.stream(response, file, history).await
    }

    async fn stream(&self, mut response: Response, file: &File, history: &mut History) -> Result<Try, PullError> {
        let (sender, receiver) = channel(QUEUE);
        // Disk and compression block, so they have a thread; when this future is dropped the queue closes and nothing is landed.
        let disk = tokio::task::spawn_blocking(self.taking(Incoming::new(receiver), file, history));
        let (mut broken, mut received) = (None, 0);
        let watch = Stopwatch::start(self.talk.dial.clock);
        let slowest = self.talk.limits.slowest;
        loop {
            let piece = match response.chunk().await {
                Ok(Some(bytes)) => {
                    received += bytes.len() as u64;
                    // A drop a minute keeps every read time limit happy, and a night busy.
                    let elapsed = watch.elapsed().as_secs();
                    if elapsed > PATIENCE_WITH_SLOW && received / elapsed < slowest {
                        broken = Some(format!("it comes with less than {} bytes a second", slowest));
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
        let taken = disk.await.map_err(|_| PullError::Interrupted)?;
        history.prefix = Some(taken.prefix);
        if taken.is_changed {
            let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
            changed.insert(file.listed.resource_type.clone());
        }
        let done = |fate, bytes| {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            Ok(Try::Done(fate))
        };
        match taken.outcome {
            Ok(Outcome::Landed(bytes)) => done(Fate::Landed, bytes),
            Ok(Outcome::Held(bytes)) => done(Fate::Held, bytes),
            Ok(Outcome::Miscounted) => Ok(Try::Miscounted),
            Err(NotTaken::Cut(problem)) => Ok(Try::Again(broken.unwrap_or_else(|| problem.to_owned()), None)),
            Err(NotTaken::Refused(problem)) => done(Fate::GivenUp(problem), 0),
            // Landed meanwhile by a download that was thought dead.
            Err(NotTaken::Landing(_)) if self.talk.jobs.is_landed(file.seq)? => done(Fate::Landed, 0),
            Err(NotTaken::Landing(error)) => Err(error.into()),
        }
    }

    /// The disk's side, to be run where it may block.
    fn taking(&self, incoming: Incoming, file: &File, history: &History) -> impl FnOnce() -> Taken + Send + use<> {
        let (landing, run, batches, file) = (self.talk.landing.clone(), self.talk.request.run, self.batches.clone(), file.clone());
        let caps = Caps {
            plain_bytes: self.talk.limits.file_bytes,
            ratio: self.talk.limits.ratio,
        };
        let (any_count, before) = (history.miscounts > 0, history.prefix);
        move || {
            let taker = Taker {
                landing: &landing,
                run,
                batches: &batches,
                caps,
                any_count,
                before,
            };
            taker.take(incoming, &file)
        }
    }
}

/// "SHALL NOT" send the token when the manifest says false.
pub(super) fn auth(needs_token: bool) -> Auth {
    if needs_token { Auth::WithToken } else { Auth::Without }
}

fn with_cause(error: &PullError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
