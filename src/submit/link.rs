//! One site's way to its registry: who we are there, the token, and one kind of request that is repeated while that can help.
//! Nothing leaves for another origin than the registry's own, whatever an answer says.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::OnceCell;

use super::fault::SubmitError;
use crate::platform::backend_services::{ClientKey, TokenError, TokenSource, discover};
use crate::platform::clock::Clock;
use crate::platform::http::{self, Client, Url, WebOrigin};
use crate::platform::random::jitter;
use crate::submission::SCOPE;

/// Times one request is made before the run is given up until later.
const ATTEMPTS: u32 = 4;
/// The longest wait between two attempts, also when the registry asks for more: the next run will come anyway.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest answer that is read into memory; outcome files are read line by line.
const ANSWER_MAX_BYTES: usize = 4 << 20;

/// The one request whose body may be spoilt on the way: its name says what it must hold.
pub(super) const PUT_CHUNK: &str = "put a chunk";

/// Where the registry is and who we are there.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// The registry's base, `https://registry.example`.
    pub base: String,
    /// This site's name, as enrolled.
    pub site: String,
    /// The client id, as enrolled.
    pub client_id: String,
    /// How long to wait for the registry to apply one submission. Default: one hour.
    pub longest_wait: Duration,
}

/// The link itself; holds the token between requests.
pub struct RegistryLink {
    http: Client,
    pub(super) clock: Clock,
    base: Url,
    origin: WebOrigin,
    pub(super) settings: LinkSettings,
    key: ClientKey,
    tokens: OnceCell<TokenSource>,
}

/// What is sent.
pub(super) enum Body {
    None,
    Json(Bytes),
    Bytes(Bytes),
}

/// What came back, read whole.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl RegistryLink {
    /// # Errors: `Link` if the base is no address that may be dialled (https, or a loopback address).
    pub fn new(settings: LinkSettings, key: ClientKey, http: Client, clock: Clock) -> Result<Self, SubmitError> {
        let base = base_url(&settings.base)?;
        Ok(Self {
            origin: WebOrigin::of(&base),
            http,
            clock,
            base,
            settings,
            key,
            tokens: OnceCell::new(),
        })
    }

    /// The address of `path` at the registry.
    pub(super) fn url(&self, path: &str) -> Result<Url, SubmitError> {
        self.base.join(path).map_err(|_| SubmitError::Link(format!("`{path}` is no path")))
    }

    /// An address that the registry gave; it must be its own.
    pub(super) fn own(&self, given: &str) -> Result<Url, SubmitError> {
        let url = self
            .base
            .join(given)
            .map_err(|_| SubmitError::Untrusted("it names an address that is none".into()))?;
        if WebOrigin::of(&url) != self.origin {
            return Err(SubmitError::Untrusted(format!(
                "it names an address at {}, which is not the registry",
                WebOrigin::of(&url)
            )));
        }
        Ok(url)
    }

    /// Makes the request until it is answered by something else than trouble, and reads the answer.
    pub(super) async fn ask(&self, doing: &'static str, method: Method, url: &Url, body: Body) -> Result<Answer, SubmitError> {
        let response = self.send(doing, method, url, &body).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = http::read_body(response, ANSWER_MAX_BYTES)
            .await
            .map_err(|error| SubmitError::Retry {
                doing,
                why: error.to_string(),
                after: None,
            })?;
        Ok(Answer { status, headers, body })
    }

    /// As [`Self::ask`], the body unread.
    pub(super) async fn send(&self, doing: &'static str, method: Method, url: &Url, body: &Body) -> Result<Response, SubmitError> {
        let mut renewed = false;
        let mut attempt = 1;
        loop {
            let trouble = match self.once(doing, &method, url, body, &mut renewed).await? {
                Ok(response) => return Ok(response),
                Err(trouble) => trouble,
            };
            if attempt == ATTEMPTS {
                let Trouble { why, after } = trouble;
                return Err(SubmitError::Retry { doing, why, after });
            }
            let wait = trouble.after.unwrap_or_else(|| jitter(Duration::from_secs(1 << attempt)));
            self.clock.sleep(wait.min(LONGEST_WAIT)).await;
            attempt += 1;
        }
    }

    /// One attempt; the inner error is one that may pass.
    async fn once(
        &self,
        doing: &'static str,
        method: &Method,
        url: &Url,
        body: &Body,
        renewed: &mut bool,
    ) -> Result<Result<Response, Trouble>, SubmitError> {
        loop {
            let tokens = match self.tokens.get_or_try_init(|| self.token_source()).await {
                Ok(tokens) => tokens,
                Err(error) => return passing(doing, &error).map(Err),
            };
            let token = match tokens.token().await {
                Ok(token) => token,
                Err(error) => return passing(doing, &error).map(Err),
            };
            let mut request = self.http.request(method.clone(), url.clone()).bearer_auth(token.expose());
            request = match body {
                Body::None => request,
                Body::Json(bytes) => request
                    .header(CONTENT_TYPE, HeaderValue::from_static("application/fhir+json"))
                    .body(bytes.clone()),
                Body::Bytes(bytes) => request
                    .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
                    .body(bytes.clone()),
            };
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => return Ok(Err(Trouble::new(http::explain(url, &error).to_string()))),
            };
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && !*renewed {
                // Once: a token may have been withdrawn, a client that is not known gets no better.
                *renewed = true;
                tokens.invalidate(&token).await;
                continue;
            }
            if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
                let after = http::retry_after(response.headers(), self.clock.now());
                let why = format!("it answered {}", status.as_u16());
                return Ok(Err(Trouble { why, after }));
            }
            return Ok(Ok(response));
        }
    }

    async fn token_source(&self) -> Result<TokenSource, TokenError> {
        let configuration = discover(&self.http, &self.base).await?;
        let allowed = [self.origin.clone()];
        let (id, endpoint) = (&self.settings.client_id, configuration.token_endpoint);
        TokenSource::new(self.http.clone(), self.clock.clone(), id, &self.key, endpoint, SCOPE, &allowed)
    }
}

/// Trouble that may pass.
struct Trouble {
    why: String,
    after: Option<Duration>,
}

impl Trouble {
    fn new(why: String) -> Self {
        Self { why, after: None }
    }
}

/// The registry's base address, ending in `/`, so that paths can be joined to it.
pub(super) fn base_url(text: &str) -> Result<Url, SubmitError> {
    let url = Url::parse(&format!("{}/", text.trim_end_matches('/'))).map_err(|_| SubmitError::Link("its base is no address".into()))?;
    http::refuse_plain_http(&url).map_err(|error| SubmitError::Link(error.to_string()))?;
    Ok(url)
}

fn passing(doing: &'static str, error: &TokenError) -> Result<Trouble, SubmitError> {
    // A registry behind a proxy that is down has no configuration for a while; the text says what was answered.
    if error.is_transient() || matches!(error, TokenError::Discovery { .. }) {
        return Ok(Trouble::new(match error {
            // Which host, and what it did.
            TokenError::Http(cause) => format!("{error}: {cause}"),
            other => other.to_string(),
        }));
    }
    match error {
        TokenError::Refused { status, code, hint } => Err(SubmitError::Refused {
            doing,
            status: *status,
            code: code.clone(),
            diagnostics: hint.clone(),
        }),
        other => Err(SubmitError::Link(other.to_string())),
    }
}

impl Answer {
    /// The refusal this answer is: the registry's own OperationOutcome (it holds no patient's value) or OAuth error.
    /// What only says that bytes did not arrive, or are not there any more, is no last word: sending again mends it.
    pub(super) fn refusal(&self, doing: &'static str) -> SubmitError {
        let value: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |pointer: &str| value.pointer(pointer).and_then(serde_json::Value::as_str).map(printable);
        let code = text("/issue/0/code").or_else(|| text("/error")).unwrap_or_else(|| "unknown".into());
        let diagnostics = text("/issue/0/diagnostics")
            .or_else(|| text("/issue/0/details/text"))
            .or_else(|| text("/error_description"));
        let diagnostics = diagnostics.unwrap_or_else(|| "it gave no reason".into());
        let spoilt_on_the_way = doing == PUT_CHUNK && self.status == StatusCode::UNPROCESSABLE_ENTITY;
        if code == "incomplete" || spoilt_on_the_way {
            return SubmitError::Retry {
                doing,
                why: diagnostics,
                after: None,
            };
        }
        SubmitError::Refused {
            doing,
            status: self.status.as_u16(),
            code,
            diagnostics,
        }
    }
}

/// At most 500 characters, none of them a control character.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}
