//! Sends one request to the EHR: origin rule, token, redirects followed by hand, waits reckoned. Knows no job and no file.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};

use super::error::PullError;
use super::origin_rule::{Breach, OriginRule};
use super::settings::{EhrSettings, Limits};
use crate::platform::backend_services::{ClientKey, TokenSource, discover};
use crate::platform::clock::{Clock, later, until};
use crate::platform::http::{self, Client, Url, WebOrigin};
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
        let mut dial = Self {
            http,
            clock,
            rule: OriginRule::new(&settings.base, &settings.token_origins),
            tokens: None,
        };
        if let Some(key) = key {
            let token_url = match &settings.token_url {
                Some(url) => url.clone(),
                None => dial.token_endpoint(&settings.base, limits).await?,
            };
            let (id, scope) = (&settings.client_id, settings.effective_scope());
            let origins = dial.rule.token_origins();
            dial.tokens = Some(TokenSource::new(http.clone(), clock.clone(), id, key, token_url, &scope, origins)?);
        }
        Ok(dial)
    }

    async fn token_endpoint(&self, base: &Url, limits: &Limits) -> Result<Url, PullError> {
        let mut patience = Patience::new(self.clock, limits);
        loop {
            match discover(self.http, base).await {
                Ok(found) => return Ok(found.token_endpoint),
                Err(error) if error.is_transient() => patience.failed("the SMART configuration", 0).map_err(|_| error)?,
                Err(error) => return Err(error.into()),
            }
            self.clock.sleep_until(patience.next(None)?).await;
        }
    }

    /// The answer, whatever its status, after redirects; after a 401 the token is renewed once.
    /// # Errors: a forbidden address, no connection, no token.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(HeaderName, &str)],
        auth: Auth,
    ) -> Result<Response, PullError> {
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
        let Some(tokens) = tokens else {
            return self.follow(method, url, headers, body, None).await;
        };
        self.rule.check(url)?;
        if !self.rule.may_have_token(url) {
            return Err(Breach::TokenElsewhere(WebOrigin::of(url)).into());
        }
        let token = tokens.token().await?;
        let response = self.follow(method.clone(), url, headers, body, Some(token.expose())).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        tokens.invalidate(&token).await;
        let token = tokens.token().await?;
        self.follow(method, url, headers, body, Some(token.expose())).await
    }

    async fn follow(
        &self,
        method: Method,
        url: &Url,
        headers: &[(HeaderName, &str)],
        body: Option<&str>,
        mut token: Option<&str>,
    ) -> Result<Response, PullError> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            self.rule.check(&at)?;
            let mut request = self.http.request(method.clone(), at.clone());
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if let Some(body) = body {
                request = request.body(body.to_owned());
            }
            let response = request.send().await.map_err(|e| http::explain(&at, &e))?;
            let status = response.status();
            if !(status.is_redirection() && status != StatusCode::NOT_MODIFIED) {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| at.join(location).ok()).ok_or(PullError::Unexpected {
                what: "a request",
                why: "a redirect names no address",
            })?;
            // Cerner sends downloads on to storage with a signed address: the token must not follow, nor come back later.
            if WebOrigin::of(&next) != WebOrigin::of(&at) {
                // What we ask for names patients; it is for the EHR as the token is.
                if body.is_some() && !self.rule.may_have_token(&next) {
                    return Err(Breach::TokenElsewhere(WebOrigin::of(&next)).into());
                }
                token = token.filter(|_| self.rule.may_have_token(&next));
            }
            at = next;
        }
        Err(Breach::TooManyRedirects(REDIRECTS).into())
    }

    /// What `Retry-After` asks, if anything.
    pub(super) fn asked_wait(&self, headers: &HeaderMap<HeaderValue>) -> Option<Duration> {
        http::retry_after(headers, self.clock.now())
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
    begun: Timestamp,
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
            begun: clock.now(),
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
        if until(self.begun, next) > self.limits.patience {
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
