//! The client side of SMART Backend Services (SMART App Launch 2.2.0): discovery, client assertion, access token.
//! Used towards the EHR by `pull` and towards the registry by `submit`. Knows nothing of what the token is for.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use oauth2::basic::{BasicClient, BasicErrorResponse, BasicTokenResponse};
use oauth2::{AsyncHttpClient, AuthType, ClientId, HttpRequest, HttpResponse, RequestTokenError, Scope, TokenResponse, TokenUrl};
use reqwest::header::{CONTENT_TYPE, DATE};
use serde_json::Value;

pub use self::key::{Algorithm, ClientKey, KeyError, refuse_published};
use super::clock::{Clock, later};
use super::http::{self, Client, HttpError, Url, WebOrigin};

mod key;

/// How long an assertion is valid; the standard allows 5 minutes at most.
const ASSERTION_SECONDS: i64 = 240;
/// A token is renewed this long before it ends.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// What a server that names no `expires_in` is taken to mean.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
/// A clock further off than this is named as the likely cause of a refusal.
const SKEW_SECONDS: i64 = 60;
const ANSWER_BYTES: usize = 1 << 20;

/// Why there is no token, in words for the person who connects the two systems. Holds nothing of the answer but its OAuth error code.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("token endpoint answered {status} {code}: {hint}")]
    Refused { status: u16, code: String, hint: String },
    #[error("token endpoint answered {status}, which is no token and no OAuth error: {hint}")]
    Odd { status: u16, hint: &'static str },
    #[error("token endpoint {0} is neither on the server's own origin nor in the allowed list: add it there if it is the right one")]
    ForeignEndpoint(WebOrigin),
    #[error("token endpoint was not reached")]
    Http(#[from] HttpError),
    #[error("{url_of}: no SMART configuration: {what}")]
    Discovery { url_of: WebOrigin, what: String, transient: bool },
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl TokenError {
    /// Whether the same request may succeed later by itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Http(error) => error.is_transient(),
            Self::Discovery { transient, .. } => *transient,
            Self::Refused { status, .. } | Self::Odd { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// What a server says about itself in `.well-known/smart-configuration`.
#[derive(Clone, Debug)]
pub struct SmartConfiguration {
    pub token_endpoint: Url,
    /// `token_endpoint_auth_methods_supported`; empty when not said.
    pub auth_methods: Vec<String>,
    /// `token_endpoint_auth_signing_alg_values_supported`; empty when not said.
    pub signing_algorithms: Vec<String>,
    pub scopes: Vec<String>,
    pub capabilities: Vec<String>,
}

/// Reads `[base]/.well-known/smart-configuration`, appended even when the base has a path (SMART App Launch 2.2.0, conformance).
/// # Errors: not reached, not there, no JSON, no usable token endpoint.
pub async fn discover(http: &Client, base: &Url) -> Result<SmartConfiguration, TokenError> {
    http::refuse_plain_http(base)?;
    let fault = |what: &str| TokenError::Discovery {
        url_of: WebOrigin::of(base),
        what: what.to_owned(),
        transient: false,
    };
    let mut root = base.clone();
    root.set_query(None);
    root.set_path(&format!("{}/", base.path().trim_end_matches('/')));
    let url = root
        .join(".well-known/smart-configuration")
        .map_err(|_| fault("the base is no address"))?;
    let request = http.get(url.clone()).header("Accept", "application/json");
    let response = request.send().await.map_err(|e| http::explain(&url, &e))?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(TokenError::Discovery {
            url_of: WebOrigin::of(base),
            what: format!("`.well-known/smart-configuration` answered {status}; check the base address"),
            transient: status == 429 || status >= 500,
        });
    }
    let body = http::read_body(response, ANSWER_BYTES).await?;
    let document: Value = serde_json::from_slice(&body).map_err(|_| fault("it is no JSON"))?;
    let endpoint = document["token_endpoint"]
        .as_str()
        .ok_or_else(|| fault("it names no `token_endpoint`"))?;
    // Old servers give it relative to the base.
    let token_endpoint = root.join(endpoint).map_err(|_| fault("its `token_endpoint` is no address"))?;
    http::refuse_plain_http(&token_endpoint)?;
    let list = |name: &str| -> Vec<String> {
        let items = document[name].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    Ok(SmartConfiguration {
        token_endpoint,
        auth_methods: list("token_endpoint_auth_methods_supported"),
        signing_algorithms: list("token_endpoint_auth_signing_alg_values_supported"),
        scopes: list("scopes_supported"),
        capabilities: list("capabilities"),
    })
}

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
    renew_at: Timestamp,
}

/// The one owner of a client's token: asks for it, keeps it, renews it ahead. Many askers cause one request.
pub struct TokenSource {
    http: Client,
    clock: Clock,
    client_id: String,
    key: ClientKey,
    token_url: Url,
    scope: String,
    granted: tokio::sync::Mutex<Option<Granted>>,
    granted_scope: Mutex<Option<String>>,
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
            granted: tokio::sync::Mutex::new(None),
            granted_scope: Mutex::new(None),
        })
    }

    /// A token with at least a minute to live.
    /// # Errors: the endpoint is not reached or gives none; `is_transient` says whether asking again can help.
    pub async fn token(&self) -> Result<AccessToken, TokenError> {
        // Held over the request on purpose: everyone who asks meanwhile waits for this one answer.
        let mut granted = self.granted.lock().await;
        if let Some(granted) = granted.as_ref().filter(|granted| self.clock.now() < granted.renew_at) {
            return Ok(granted.token.clone());
        }
        let fresh = self.request().await?;
        let token = fresh.token.clone();
        *granted = Some(fresh);
        Ok(token)
    }

    /// Forgets `token` after the server answered 401 to it. A newer token, fetched by another task meanwhile, stays.
    pub async fn invalidate(&self, token: &AccessToken) {
        let mut granted = self.granted.lock().await;
        if granted.as_ref().is_some_and(|granted| granted.token == *token) {
            *granted = None;
        }
    }

    /// The scope the server granted with the last token, when it said one.
    #[must_use]
    pub fn granted_scope(&self) -> Option<String> {
        self.granted_scope.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn request(&self) -> Result<Granted, TokenError> {
        let asked_at = self.clock.now();
        let assertion = self
            .key
            .assertion(&self.client_id, self.token_url.as_str(), asked_at, ASSERTION_SECONDS)?;
        let token_url = TokenUrl::new(self.token_url.to_string()).map_err(|_| HttpError::Address("the token endpoint is no URL"))?;
        let client = BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(token_url);
        let sender = Sender {
            source: self,
            status: AtomicU16::new(0),
            skew: AtomicI64::new(0),
        };
        let answer = client
            .exchange_client_credentials()
            .add_scope(Scope::new(self.scope.clone()))
            .add_extra_param("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .add_extra_param("client_assertion", assertion)
            .request_async(&sender)
            .await;
        let status = sender.status.load(Ordering::Relaxed);
        let answer = answer.map_err(|error| self.translate(status, sender.skew.load(Ordering::Relaxed), error))?;
        self.grant(&answer, asked_at, status)
    }

    fn grant(&self, answer: &BasicTokenResponse, asked_at: Timestamp, status: u16) -> Result<Granted, TokenError> {
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
            renew_at: later(asked_at, usable),
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
                    format!("this machine's clock is {skew} seconds off the server's; set it right first")
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
    /// Seconds by which our clock is ahead of the server's, when its answer had a date.
    skew: AtomicI64,
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
            if let Some(date) = date {
                let skew = self.source.clock.now().as_second() - date.as_second();
                self.skew.store(skew, Ordering::Relaxed);
            }
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
