//! The client side of SMART Backend Services (SMART App Launch 2.2.0): discovery, client assertion, access token.
//! Used towards the EHR by `pull` and towards the registry by `submit`. Knows nothing of what the token is for.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use oauth2::basic::{BasicClient, BasicErrorResponse, BasicTokenResponse};
use oauth2::{AsyncHttpClient, AuthType, ClientId, HttpRequest, HttpResponse, RequestTokenError, Scope, TokenResponse, TokenUrl};
use reqwest::header::{CONTENT_TYPE, DATE};
use tracing::warn;

pub use self::discovery::{SmartConfiguration, discover};
pub use self::error::TokenError;
pub use self::key::{Algorithm, ClientKey, KeyError, refuse_published};
use super::clock::{Clock, Stopwatch};
use super::http::{self, Client, HttpError, Url, WebOrigin};

mod discovery;
mod error;
mod key;

/// How long an assertion is valid; the standard allows 5 minutes at most.
const ASSERTION_SECONDS: i64 = 240;
/// A token is renewed this long before it ends.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// What a server that names no `expires_in` is taken to mean.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
/// When our clock and the server's differ by more, assertions are written in the server's time.
const SKEW_SECONDS: i64 = 60;
/// The span the budget of token requests is counted over.
const MINUTE: Duration = Duration::from_secs(60);
const ANSWER_BYTES: usize = 1 << 20;

/// A bearer token; cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Arc<str>);

impl AccessToken {
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(not shown)")
    }
}

struct Granted {
    token: AccessToken,
    /// Runs since the token was asked for: a token's life is no matter of the wall clock.
    age: Stopwatch,
    usable: Duration,
}

#[derive(Default)]
struct Kept {
    granted: Option<Granted>,
    /// The token requests of the last minute, oldest first.
    asked: VecDeque<Stopwatch>,
}

/// The one owner of a client's token: asks for it, keeps it, renews it ahead. Many askers cause one request.
pub struct TokenSource {
    http: Client,
    clock: Clock,
    client_id: String,
    key: ClientKey,
    token_url: Url,
    scope: String,
    kept: tokio::sync::Mutex<Kept>,
    granted_scope: Mutex<Option<String>>,
    per_minute: usize,
    /// Seconds by which the server's clock is ahead of ours; 0 while the two agree.
    ahead: AtomicI64,
}

impl TokenSource {
    /// `allowed` lists the origins whose token endpoint may see our assertion: the server's own first.
    /// # Errors: the endpoint is on another origin, or plain http.
    pub fn new(
        http: Client,
        clock: Clock,
        client_id: &str,
        key: &ClientKey,
        token_url: Url,
        scope: &str,
        allowed: &[WebOrigin],
    ) -> Result<Self, TokenError> {
        http::refuse_plain_http(&token_url)?;
        let origin = WebOrigin::of(&token_url);
        if !allowed.contains(&origin) {
            return Err(TokenError::ForeignEndpoint(origin));
        }
        Ok(Self {
            http,
            clock,
            client_id: client_id.to_owned(),
            key: key.clone(),
            token_url,
            scope: scope.to_owned(),
            kept: tokio::sync::Mutex::default(),
            granted_scope: Mutex::new(None),
            per_minute: usize::MAX,
            ahead: AtomicI64::new(0),
        })
    }

    /// The same, asking at most so often a minute; at least once. Who asks for more waits.
    #[must_use]
    pub fn at_most(mut self, per_minute: u32) -> Self {
        self.per_minute = usize::try_from(per_minute.max(1)).unwrap_or(usize::MAX);
        self
    }

    /// Notes what the server's clock shows now. Assertions are written in its time when ours is more than a minute off.
    /// Gives whether that changed.
    pub fn server_time_is(&self, server: Timestamp) -> bool {
        let off = server.as_second() - self.clock.now().as_second();
        let ahead = if off.abs() > SKEW_SECONDS { off } else { 0 };
        let before = self.ahead.load(Ordering::Relaxed);
        if (ahead - before).abs() <= SKEW_SECONDS {
            return false;
        }
        self.ahead.store(ahead, Ordering::Relaxed);
        if ahead != 0 {
            warn!(
                ahead,
                "the server's clock is {ahead} seconds ahead of this machine's: our assertions go by the server's; set the wrong one right"
            );
        }
        true
    }

    /// A token with at least a minute to live.
    /// # Errors: the endpoint is not reached or gives none; `is_transient` says whether asking again can help.
    pub async fn token(&self) -> Result<AccessToken, TokenError> {
        // Held over the request on purpose: everyone who asks meanwhile waits for this one answer.
        let mut kept = self.kept.lock().await;
        if let Some(granted) = kept.granted.as_ref().filter(|granted| granted.age.elapsed() < granted.usable) {
            return Ok(granted.token.clone());
        }
        let fresh = self.request(&mut kept.asked).await?;
        let token = fresh.token.clone();
        kept.granted = Some(fresh);
        Ok(token)
    }

    /// Forgets `token` after the server answered 401 to it. A newer token, fetched by another task meanwhile, stays.
    pub async fn invalidate(&self, token: &AccessToken) {
        let mut kept = self.kept.lock().await;
        if kept.granted.as_ref().is_some_and(|granted| granted.token == *token) {
            kept.granted = None;
        }
    }

    /// The scope the server granted with the last token, when it said one.
    #[must_use]
    pub fn granted_scope(&self) -> Option<String> {
        self.granted_scope.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A fresh token. A refusal by a server of another time is answered once with an assertion of that time.
    async fn request(&self, asked: &mut VecDeque<Stopwatch>) -> Result<Granted, TokenError> {
        self.wait_for_budget(asked).await;
        let (answer, server_time) = self.ask().await;
        match (&answer, server_time) {
            (Err(TokenError::Refused { status, .. }), Some(server)) if *status < 500 && self.server_time_is(server) => {
                self.wait_for_budget(asked).await;
                self.ask().await.0
            }
            _ => answer,
        }
    }

    async fn wait_for_budget(&self, asked: &mut VecDeque<Stopwatch>) {
        loop {
            while asked.front().is_some_and(|first| first.elapsed() >= MINUTE) {
                asked.pop_front();
            }
            match asked.front() {
                Some(first) if asked.len() >= self.per_minute => self.clock.sleep(MINUTE.saturating_sub(first.elapsed())).await,
                _ => break,
            }
        }
        asked.push_back(Stopwatch::start(&self.clock));
    }

    /// One request; beside its outcome the server's time, when it said one.
    async fn ask(&self) -> (Result<Granted, TokenError>, Option<Timestamp>) {
        let sender = Sender {
            source: self,
            status: AtomicU16::new(0),
            server_time: Mutex::new(None),
        };
        let granted = self.exchange(&sender).await;
        (granted, *sender.server_time.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn exchange(&self, sender: &Sender<'_>) -> Result<Granted, TokenError> {
        let age = Stopwatch::start(&self.clock);
        let ahead = jiff::SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed));
        let issued_at = self.clock.now().saturating_add(ahead).unwrap_or(Timestamp::MAX);
        let assertion = self
            .key
            .assertion(&self.client_id, self.token_url.as_str(), issued_at, ASSERTION_SECONDS)?;
        let token_url = TokenUrl::new(self.token_url.to_string()).map_err(|_| HttpError::Address("the token endpoint is no URL"))?;
        let client = BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(token_url);
        let answer = client
            .exchange_client_credentials()
            .add_scope(Scope::new(self.scope.clone()))
            .add_extra_param("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .add_extra_param("client_assertion", assertion)
            .request_async(sender)
            .await;
        let status = sender.status.load(Ordering::Relaxed);
        let server_time = *sender.server_time.lock().unwrap_or_else(PoisonError::into_inner);
        let skew = server_time.map_or(0, |server| self.clock.now().as_second() - server.as_second());
        let answer = answer.map_err(|error| self.translate(status, skew, error))?;
        self.grant(&answer, age, status)
    }

    fn grant(&self, answer: &BasicTokenResponse, age: Stopwatch, status: u16) -> Result<Granted, TokenError> {
        let token: &str = answer.access_token().secret();
        if token.is_empty() || !token.bytes().all(|b| (0x21..0x7f).contains(&b)) {
            let hint = "its `access_token` is empty or no header value";
            return Err(TokenError::Odd { status, hint });
        }
        let scopes = answer
            .scopes()
            .map(|scopes| scopes.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(" "));
        *self.granted_scope.lock().unwrap_or_else(PoisonError::into_inner) = scopes;
        let lifetime = answer.expires_in().unwrap_or(DEFAULT_LIFETIME);
        // A token of less than two minutes is used for half its life.
        let usable = lifetime.checked_sub(RENEW_BEFORE).unwrap_or_default().max(lifetime / 2);
        Ok(Granted {
            token: AccessToken(token.into()),
            age,
            usable,
        })
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let sent = self
            .http
            .post(self.token_url.clone())
            .headers(parts.headers)
            .body(body)
            .send()
            .await;
        let response = sent.map_err(|e| http::explain(&self.token_url, &e))?;
        let mut answer = HttpResponse::new(Vec::new());
        *answer.status_mut() = response.status();
        for name in [CONTENT_TYPE, DATE] {
            if let Some(value) = response.headers().get(&name) {
                answer.headers_mut().insert(name, value.clone());
            }
        }
        *answer.body_mut() = http::read_body(response, ANSWER_BYTES).await?;
        Ok(answer)
    }

    /// The library's texts hold the server's answer; only its error code, if it looks like one, goes on.
    fn translate(&self, status: u16, skew: i64, error: RequestTokenError<HttpError, BasicErrorResponse>) -> TokenError {
        match error {
            RequestTokenError::Request(error) => TokenError::Http(error),
            RequestTokenError::ServerResponse(answer) => {
                let code: String = answer.error().to_string();
                let code = if is_oauth_code(&code) {
                    code
                } else {
                    "with an unreadable code".to_owned()
                };
                // An assertion of another time is refused with the same code as one of another key.
                let hint = if skew.abs() > SKEW_SECONDS {
                    format!(
                        "this machine's clock is {skew} seconds off the server's, and an assertion of the server's own time helps no more; set the wrong clock right first"
                    )
                } else {
                    self.hint(&code)
                };
                TokenError::Refused { status, code, hint }
            }
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => TokenError::Odd {
                status,
                hint: match status {
                    200 => "its JSON lacks `access_token` or `token_type`",
                    300..400 => "it redirects, which a token endpoint must not; name its final address",
                    404 | 405 => "there is no token endpoint at this address",
                    _ => "check the address, and the server's log",
                },
            },
        }
    }

    fn hint(&self, code: &str) -> String {
        let (kid, algorithm) = (self.key.kid(), self.key.algorithm());
        match code {
            "invalid_client" => format!(
                "the server does not know client `{}` with this key; register this key there ({algorithm}, kid {kid}), check the client id, whether it is active at this site, and this machine's clock",
                self.client_id
            ),
            "invalid_scope" | "unauthorized_client" => {
                format!(
                    "the client is known, but not for this; let the server's owner grant it `{}`",
                    self.scope
                )
            }
            "unsupported_grant_type" => "this server does not offer SMART Backend Services at this address".to_owned(),
            _ => format!("check client id, key ({algorithm}, kid {kid}), scope and this machine's clock"),
        }
    }
}

/// Our client as the library sees it; keeps the status, which the library's errors lose.
/// A named type and not a closure: only so the compiler sees that the future may change threads.
struct Sender<'s> {
    source: &'s TokenSource,
    status: AtomicU16,
    /// The answer's `Date`.
    server_time: Mutex<Option<Timestamp>>,
}

impl<'c> AsyncHttpClient<'c> for Sender<'_> {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let response = self.source.send(request).await?;
            let date = response
                .headers()
                .get("date")
                .and_then(|value| value.to_str().ok())
                .and_then(http::http_date);
            *self.server_time.lock().unwrap_or_else(PoisonError::into_inner) = date;
            self.status.store(response.status().as_u16(), Ordering::Relaxed);
            Ok(response)
        })
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSource(client {}, at {})", self.client_id, WebOrigin::of(&self.token_url))
    }
}

/// RFC 6749 error codes and their extensions are short lower-case words.
fn is_oauth_code(code: &str) -> bool {
    (1..=40).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[cfg(test)]
mod tests;
