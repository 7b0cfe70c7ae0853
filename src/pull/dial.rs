//! Sends one request to the EHR: origin rule, pace, token, redirects followed by hand, waits reckoned. Knows no job and no file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};
use tracing::warn;

use super::error::PullError;
use super::origin_rule::{Breach, OriginRule};
use super::pace::{Pace, Pause, Permit};
use super::scope;
use super::settings::{EhrSettings, Limits};
use crate::platform::backend_services::{AccessToken, ClientKey, SmartConfiguration, TokenSource, discover};
use crate::platform::clock::{Clock, Stopwatch, later, until};
use crate::platform::http::{self, Client, FailureKind, HttpError, Url, WebOrigin};
use crate::platform::random;

const REDIRECTS: usize = 5;
/// `Retry-After: 0` is an invitation, not one to knock without a pause: the pause begins here and doubles up to a second.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_EAGER: Duration = Duration::from_secs(1);
/// Waits of our own choosing grow no further.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// How we reach one EHR.
pub(super) struct Dial<'a> {
    pub(super) http: &'a Client,
    pub(super) clock: &'a Clock,
    pub(super) rule: OriginRule,
    /// None when the EHR wants no token.
    pub(super) tokens: Option<TokenSource>,
    /// A vendor's own header that names the client, and the client's id.
    named: Option<(HeaderName, String)>,
    pace: Pace,
    asked: Asked,
    max_wait: Duration,
}

/// The scope that was asked for, the most that may be granted, and what to do when more is.
struct Asked {
    scope: String,
    widest: String,
    accepts_wider: bool,
    warned: AtomicBool,
}

/// Whether a request may carry the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    WithToken,
    Without,
}

impl<'a> Dial<'a> {
    /// Ready to dial: the token endpoint is found, but not yet asked.
    /// # Errors: the base or the token endpoint is not usable or not reached.
    pub(super) async fn open(
        settings: &EhrSettings,
        limits: &Limits,
        http: &'a Client,
        clock: &'a Clock,
        key: Option<&ClientKey>,
    ) -> Result<Self, PullError> {
        http::refuse_plain_http(&settings.base)?;
        let named = settings.vendor.client_id_header.as_ref().map(|name| name.parse()).transpose();
        let named = named.map_err(|_| HttpError::Address("the vendor's client id header is no header's name"))?;
        let mut dial = Self {
            http,
            clock,
            rule: OriginRule::new(&settings.base, &settings.token_origins),
            tokens: None,
            named: named.map(|name| (name, settings.client_id.clone())),
            pace: Pace::new(clock, limits, settings.vendor.concurrency),
            asked: Asked {
                scope: settings.effective_scope(),
                widest: settings.widest_scope(),
                accepts_wider: settings.accept_wider_scope,
                warned: AtomicBool::new(false),
            },
            max_wait: limits.max_wait,
        };
        dial.pace.may_begin().await?;
        if let Some(key) = key {
            let (token_url, server_time) = match &settings.token_url {
                Some(url) => (url.clone(), None),
                None => {
                    let found = dial.smart_configuration(&settings.base, limits).await?;
                    (found.token_endpoint, found.server_time)
                }
            };
            let (id, scope) = (&settings.client_id, &dial.asked.scope);
            let origins = dial.rule.token_origins();
            let source = TokenSource::new(http.clone(), clock.clone(), id, key, token_url, scope, origins)?;
            if let Some(server_time) = server_time {
                source.server_time_is(server_time);
            }
            dial.tokens = Some(source.at_most(limits.tokens_per_minute.min(settings.vendor.tokens_per_minute)));
        }
        Ok(dial)
    }

    async fn smart_configuration(&self, base: &Url, limits: &Limits) -> Result<SmartConfiguration, PullError> {
        let mut patience = Patience::new(self.clock, limits);
        loop {
            match discover(self.http, base).await {
                Ok(found) => return Ok(found),
                Err(error) if error.is_transient() => patience.failed("the SMART configuration", 0).map_err(|_| error)?,
                Err(error) => return Err(error.into()),
            }
            self.clock.sleep_until(patience.next(None)?).await;
            self.pace.may_begin().await?;
        }
    }

    /// The answer, whatever its status, after redirects; after a 401 the token is renewed once. A good answer keeps its place
    /// among the requests to its host until it is dropped: read it before asking for more.
    /// # Errors: a forbidden address, no connection, no token, a token for more than was asked, no time left.
    pub(super) async fn send(&self, method: Method, url: &Url, headers: &[(HeaderName, &str)], auth: Auth) -> Result<Response, PullError> {
        self.exchange(method, url, headers, None, auth).await
    }

    /// `send`, by POST and with a body.
    /// # Errors: as `send`.
    pub(super) async fn post(&self, url: &Url, headers: &[(HeaderName, &str)], body: &str, auth: Auth) -> Result<Response, PullError> {
        self.exchange(Method::POST, url, headers, Some(body), auth).await
    }

    async fn exchange(
        &self,
        method: Method,
        url: &Url,
        headers: &[(HeaderName, &str)],
        body: Option<&str>,
        auth: Auth,
    ) -> Result<Response, PullError> {
        let tokens = match auth {
            Auth::WithToken => self.tokens.as_ref(),
            Auth::Without => None,
        };
        self.rule.check(url)?;
        let Some(tokens) = tokens else {
            let permit = self.enter(url, &method).await?;
            return self.follow(method, url, headers, body, None, permit).await;
        };
        if !self.rule.may_have_token(url) {
            return Err(Breach::TokenElsewhere(WebOrigin::of(url)).into());
        }
        // The place first: a token must not grow old in the queue.
        let permit = self.enter(url, &method).await?;
        let token = self.token(tokens).await?;
        let first = self
            .follow(method.clone(), url, headers, body, Some(token.expose()), permit)
            .await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        drop(first);
        tokens.invalidate(&token).await;
        let permit = self.enter(url, &method).await?;
        let token = self.token(tokens).await?;
        self.follow(method, url, headers, body, Some(token.expose()), permit).await
    }

    async fn enter(&self, url: &Url, method: &Method) -> Result<Permit, PullError> {
        let pause = if *method == Method::DELETE { Pause::Ignored } else { Pause::Kept };
        self.pace.enter(&WebOrigin::of(url), pause).await
    }

    /// A token, when it is for no more than what was asked.
    async fn token(&self, tokens: &TokenSource) -> Result<AccessToken, PullError> {
        let token = tokens.token().await?;
        let granted = tokens.granted_scope().unwrap_or_default();
        let mut more = scope::beyond(&self.asked.widest, &granted);
        if !more.is_empty() {
            more.truncate(5);
            let granted = more.join(" ");
            if !self.asked.accepts_wider {
                return Err(PullError::WiderScope { granted });
            }
            if !self.asked.warned.swap(true, Ordering::Relaxed) {
                warn!(granted, "the EHR grants more than was asked for: {granted}");
            }
        }
        Ok(token)
    }

    /// Of `types` those the last token is not good for, each with the reason; a reason without a type when everything was
    /// asked for. Empty before the first token, and when the server did not say what it granted.
    pub(super) fn not_granted(&self, types: &[String]) -> Vec<(String, &'static str)> {
        match self.tokens.as_ref().and_then(TokenSource::granted_scope) {
            Some(granted) => scope::missing(types, &granted),
            None => Vec::new(),
        }
    }

    async fn follow(
        &self,
        mut method: Method,
        url: &Url,
        headers: &[(HeaderName, &str)],
        mut body: Option<&str>,
        mut token: Option<&str>,
        mut permit: Permit,
    ) -> Result<Response, PullError> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            self.rule.check(&at)?;
            let mut request = self.http.request(method.clone(), at.clone());
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            if let Some((name, id)) = self.named.as_ref().filter(|_| self.rule.may_have_token(&at)) {
                request = request.header(name, id);
            }
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if let Some(body) = body {
                request = request.body(body.to_owned());
            }
            let mut response = request.send().await.map_err(|error| failed(&at, &error, &permit))?;
            let status = response.status();
            permit.answered(status.as_u16(), self.asked_wait(response.headers()));
            if status == StatusCode::OK {
                // The place is free again when the body is read: with the answer it goes.
                response.extensions_mut().insert(Arc::new(permit));
                return Ok(response);
            }
            drop(permit);
            if !(status.is_redirection() && status != StatusCode::NOT_MODIFIED) {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| at.join(location).ok()).ok_or(PullError::Unexpected {
                what: "a request",
                why: "a redirect names no address",
            })?;
            // RFC 9110 section 15.4: 303 asks for a GET, and clients have long read 301 and 302 so after a POST.
            if method == Method::POST && matches!(status.as_u16(), 301..=303) {
                (method, body) = (Method::GET, None);
            }
            // Cerner sends downloads on to storage with a signed address: the token must not follow, nor come back later.
            if WebOrigin::of(&next) != WebOrigin::of(&at) {
                token = None;
                if body.is_some() && !self.rule.may_have_token(&next) {
                    return Err(Breach::BodyElsewhere(WebOrigin::of(&next)).into());
                }
            }
            self.rule.check(&next)?;
            permit = self.enter(&next, &method).await?;
            at = next;
        }
        Err(Breach::TooManyRedirects(REDIRECTS).into())
    }

    /// Waits until `moment`, which an earlier call may have written down by a clock that was set since: not longer than any
    /// other wait.
    pub(super) async fn wait_for(&self, moment: Timestamp) {
        let wait = until(self.clock.now(), moment).min(self.max_wait);
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
    }

    /// What `Retry-After` asks, if anything.
    pub(super) fn asked_wait(&self, headers: &HeaderMap<HeaderValue>) -> Option<Duration> {
        http::retry_after(headers, self.clock.now())
    }
}

/// Why no answer came; what it says of the host's load is noted.
fn failed(to: &Url, error: &reqwest::Error, permit: &Permit) -> PullError {
    match http::explain(to, error) {
        HttpError::Failed {
            to,
            kind: FailureKind::Inward,
            ..
        } => Breach::Inward(to).into(),
        error => {
            if error.kind() == Some(FailureKind::Timeout) {
                permit.timed_out();
            }
            error.into()
        }
    }
}

/// Whether a status may pass by itself.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429) || (status >= 500 && !matches!(status, 501 | 505))
}

/// How long one call may still wait, and how long next.
pub(super) struct Patience<'a> {
    clock: &'a Clock,
    limits: &'a Limits,
    /// How long it has been already; a jump of the wall clock does not count.
    waited: Stopwatch,
    backoff: Duration,
    /// The least wait, however soon the server says.
    eager: Duration,
    failures: u32,
}

impl<'a> Patience<'a> {
    pub(super) fn new(clock: &'a Clock, limits: &'a Limits) -> Self {
        Self {
            clock,
            limits,
            waited: Stopwatch::start(clock),
            backoff: limits.first_wait,
            eager: SHORTEST_WAIT,
            failures: 0,
        }
    }

    /// The moment to ask again: what the server asked within our cap, or our own growing wait.
    /// # Errors: `NotReady` when that is beyond what this call may wait.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Result<Timestamp, PullError> {
        let wait = match asked {
            Some(asked) => {
                let wait = asked.clamp(self.eager, self.limits.max_wait);
                self.eager = (self.eager * 2).min(LONGEST_EAGER);
                wait
            }
            None => {
                let wait = random::jitter(self.backoff).min(self.limits.max_wait);
                self.backoff = (self.backoff * 2).min(LONGEST_BACKOFF);
                wait
            }
        };
        let next = later(self.clock.now(), wait);
        if self.waited.elapsed().saturating_add(wait) > self.limits.patience {
            return Err(PullError::NotReady { next });
        }
        Ok(next)
    }

    /// Counts a failure that was not an invitation to wait.
    /// # Errors: `Unavailable` after the allowed number in a row.
    pub(super) fn failed(&mut self, what: &'static str, status: u16) -> Result<(), PullError> {
        self.failures += 1;
        if self.failures >= self.limits.attempts {
            return Err(PullError::Unavailable { what, status });
        }
        Ok(())
    }

    /// An answer came: failures are counted anew.
    pub(super) fn answered(&mut self) {
        self.failures = 0;
    }
}
