//! What every step of a crawl needs, and how it asks: one request with patience, a search page by page to its last page.
//! A search ends whole, short (something may be missing), refused, or for later; an EHR that answers nothing stops the run.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};

use super::super::body::NotTaken;
use super::super::capability::Capability;
use super::super::dial::{Auth, Dial, Patience, is_transient};
use super::super::error::PullError;
use super::super::outcome::Issues;
use super::super::settings::{EhrSettings, Limits, Listener, Progress, Request};
use super::basket::{Basket, Sieve, Taken, Use};
use super::journal::Journal;
use crate::platform::http::{self, HttpError, Url};
use crate::platform::secret::sha256;

/// So many searches in a row without any answer, and the EHR is down rather than one record spoilt.
const SILENT: u32 = 3;
/// So many patients in a row whose search of a type is refused, and it is refused for all.
pub(super) const REFUSED: u32 = 5;

/// One crawl under way.
pub(super) struct Errand<'a> {
    pub(super) settings: &'a EhrSettings,
    pub(super) limits: &'a Limits,
    pub(super) request: &'a Request,
    pub(super) dial: &'a Dial<'a>,
    pub(super) capability: &'a Capability,
    pub(super) journal: Journal,
    pub(super) sieve: Sieve,
    pub(super) listener: Listener<'a>,
    /// Searches given up for now, in a row.
    silent: AtomicU32,
    /// Landed by this call.
    pub(super) resources: AtomicU64,
    refusals: Mutex<BTreeMap<String, Refusals>>,
}

/// How the searches of one type are taken.
#[derive(Clone, Copy, Default)]
pub(super) struct Refusals {
    pub(super) in_a_row: u32,
    pub(super) ever_answered: bool,
    /// `_lastUpdated` is not taken: the type is searched without.
    pub(super) no_window: bool,
}

/// An answer in the end.
pub(super) enum Answer {
    Body(Vec<u8>, String),
    /// It will be the same again.
    Refused {
        status: u16,
        codes: String,
    },
    /// Not to be asked, or not to be read.
    Odd(&'static str),
    /// Perhaps later.
    Later(u16),
}

/// How a search ended.
pub(super) enum End {
    Whole,
    /// Something may be missing: why.
    Short(&'static str),
    Refused {
        status: u16,
        codes: String,
    },
    Later,
}

impl<'a> Errand<'a> {
    #[allow(clippy::too_many_arguments, reason = "it is where they meet")]
    pub(super) fn new(
        settings: &'a EhrSettings,
        limits: &'a Limits,
        request: &'a Request,
        dial: &'a Dial<'a>,
        capability: &'a Capability,
        journal: Journal,
        sieve: Sieve,
        listener: Listener<'a>,
    ) -> Self {
        Self {
            settings,
            limits,
            request,
            dial,
            capability,
            journal,
            sieve,
            listener,
            silent: AtomicU32::new(0),
            resources: AtomicU64::new(0),
            refusals: Mutex::default(),
        }
    }

    pub(super) fn concurrency(&self) -> usize {
        self.limits.concurrency.min(self.settings.vendor.concurrency).max(1)
    }

    pub(super) fn refusals(&self) -> MutexGuard<'_, BTreeMap<String, Refusals>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn refusals_of(&self, name: &str) -> Refusals {
        self.refusals().get(name).copied().unwrap_or_default()
    }

    /// The answer to one GET, after as many tries as the limits allow.
    /// # Errors: no token, no connection, no patience left, or an EHR that stays silent whatever it is asked.
    pub(super) async fn get(&self, what: &'static str, url: &Url, accept: &'static str) -> Result<Answer, PullError> {
        self.ask(what, url, accept, None).await
    }

    /// The answer to one search whose parameters may stand in no address: servers and proxies write addresses down.
    /// FHIR R4, "search": `POST [base]/[type]/_search`, with the parameters as a form.
    /// # Errors: as `get`.
    pub(super) async fn find(&self, what: &'static str, url: &Url, form: &str) -> Result<Answer, PullError> {
        self.ask(what, url, "application/fhir+json", Some(form)).await
    }

    async fn ask(&self, what: &'static str, url: &Url, accept: &'static str, form: Option<&str>) -> Result<Answer, PullError> {
        // Stricter than the dial: without a token, too, a `next` of another host is not this EHR's data.
        if !self.dial.rule.may_have_token(url) {
            return Ok(Answer::Odd("it names another host, which is not asked and gets no token"));
        }
        let mut patience = Patience::new(self.dial.clock, self.limits);
        loop {
            let sent = match form {
                None => self.dial.send(Method::GET, url, &[(ACCEPT, accept)], Auth::WithToken).await,
                Some(form) => {
                    let headers = [(ACCEPT, accept), (CONTENT_TYPE, "application/x-www-form-urlencoded")];
                    self.dial.post(url, &headers, form, Auth::WithToken).await
                }
            };
            let (status, asked) = match sent {
                Ok(response) => {
                    let status = response.status().as_u16();
                    let asked = self.dial.asked_wait(response.headers());
                    let kind = response.headers().get(CONTENT_TYPE);
                    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
                    match http::read_body(response, self.limits.manifest_bytes).await {
                        Ok(body) if status == 200 => {
                            self.silent.store(0, Ordering::Relaxed);
                            return Ok(Answer::Body(body, kind));
                        }
                        Ok(body) if !is_transient(status) => {
                            self.silent.store(0, Ordering::Relaxed);
                            let codes = Issues::parse(&body).unwrap_or_default().in_brackets();
                            return Ok(Answer::Refused { status, codes });
                        }
                        Err(HttpError::TooLong { .. }) => return Ok(Answer::Odd("it is longer than the limit allows")),
                        // An answer that broke off counts as none.
                        Ok(_) => (status, asked),
                        Err(_) => (0, asked),
                    }
                }
                Err(PullError::Breach(_)) => return Ok(Answer::Odd("it leads to an address that must not be dialled")),
                // Quiet hours and the end of the time are transient, too, but not to be tried against.
                Err(error @ (PullError::Http(_) | PullError::Token(_))) if error.is_transient() => {
                    patience.failed(what, 0).map_err(|_| error)?;
                    (0, None)
                }
                Err(error) => return Err(error),
            };
            // Being asked to wait is no failure.
            let counts = !(status == 429 || (status == 503 && asked.is_some()));
            if counts && patience.failed(what, status).is_err() {
                // 500 and 504 can hide a permanent error of one record: it alone is put off, as long as others are answered.
                if self.silent.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT {
                    return Err(PullError::Unavailable { what, status });
                }
                return Ok(Answer::Later(status));
            }
            let next = patience.next(asked);
            if let Ok(next) | Err(PullError::NotReady { next }) = next {
                (self.listener)(Progress::Retrying { what, next });
            }
            self.dial.clock.sleep_until(next?).await;
        }
    }

    /// Takes every page of the search at `first` into the basket.
    /// # Errors: ours, and what `get` cannot go on with.
    pub(super) async fn search(&self, slot: &mut Option<Basket>, first: Url, name: Option<&str>) -> Result<End, PullError> {
        let mut pages = Pages::new(self.limits.pages);
        let mut next = Some(first);
        let (mut distinct, mut total) = (HashSet::new(), None);
        let mut short = None;
        while let Some(url) = next {
            if let Err(why) = pages.visit(&url) {
                return Ok(End::Short(why));
            }
            let body = match self.get("a search", &url, "application/fhir+json").await? {
                Answer::Body(body, _) => body,
                Answer::Refused { status, codes } if pages.count == 1 => return Ok(End::Refused { status, codes }),
                Answer::Refused { .. } => return Ok(End::Short("a later page is refused")),
                Answer::Odd(why) => return Ok(End::Short(why)),
                Answer::Later(_) => return Ok(End::Later),
            };
            let wanted = name.map(str::to_owned);
            let taken = match take(slot, move |basket| basket.page(&body, wanted.as_deref(), Use::Land)).await? {
                Ok(taken) => taken,
                Err(why) => return Ok(End::Short(why)),
            };
            if taken.errors > 0 {
                short = Some("the EHR says with an OperationOutcome that something is missing");
            }
            total = total.max(taken.total);
            distinct.extend(taken.matches);
            next = follow(&url, taken.next.as_deref())?;
        }
        // Not loaded yet is not absent: what the EHR counts but does not give is still to come.
        if name.is_some() && total.is_some_and(|total| total > distinct.len() as u64) {
            short = short.or(Some("the EHR counts more than it gives"));
        }
        Ok(short.map_or(End::Whole, End::Short))
    }

    /// Enters the basket's unit, and tells where the crawl stands.
    pub(super) async fn enter(&self, basket: Basket) -> Result<(), PullError> {
        self.resources.fetch_add(basket.resources, Ordering::Relaxed);
        tokio::task::spawn_blocking(move || basket.enter())
            .await
            .map_err(|_| PullError::Interrupted)?
    }
}

/// Lets the basket do `work` on a thread that may block. The inner error is the EHR's, in words of ours.
/// # Errors: ours; the basket is of no use then.
pub(super) async fn take<F>(slot: &mut Option<Basket>, work: F) -> Result<Result<Taken, &'static str>, PullError>
where
    F: FnOnce(&mut Basket) -> Result<Taken, NotTaken> + Send + 'static,
{
    let mut basket = slot.take().ok_or(PullError::Interrupted)?;
    let done = tokio::task::spawn_blocking(move || {
        let taken = work(&mut basket);
        (basket, taken)
    });
    let (basket, taken) = done.await.map_err(|_| PullError::Interrupted)?;
    *slot = Some(basket);
    match taken {
        Ok(taken) => Ok(Ok(taken)),
        Err(NotTaken::Landing(error)) => Err(error.into()),
        Err(NotTaken::Cut(_) | NotTaken::Refused(_)) => Ok(Err("an answer is not what a FHIR search gives")),
    }
}

/// The address of the next page.
/// # Errors: it is no address.
pub(super) fn follow(at: &Url, next: Option<&str>) -> Result<Option<Url>, PullError> {
    let unexpected = PullError::Unexpected {
        what: "a search",
        why: "its `next` link is no address",
    };
    next.map(|next| at.join(next).map_err(|_| unexpected)).transpose()
}

/// Pages visited by one search: no page twice, and not more than allowed.
pub(super) struct Pages {
    visited: HashSet<[u8; 16]>,
    at_most: usize,
    pub(super) count: usize,
}

impl Pages {
    pub(super) fn new(at_most: usize) -> Self {
        Self {
            visited: HashSet::new(),
            at_most,
            count: 0,
        }
    }

    /// # Errors: why the page is not to be asked for.
    pub(super) fn visit(&mut self, url: &Url) -> Result<(), &'static str> {
        let mut key = [0; 16];
        key.copy_from_slice(&sha256(url.as_str().as_bytes())[..16]);
        if !self.visited.insert(key) {
            return Err("its `next` links go round in a circle");
        }
        if self.count >= self.at_most {
            return Err("there are more pages than the limit allows");
        }
        self.count += 1;
        Ok(())
    }
}
