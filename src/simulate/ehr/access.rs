//! Who may: registered clients, `private_key_jwt` assertions (RS384, ES384), access tokens.
//! Basis: SMART App Launch 2.2.0, Backend Services; RFC 7523.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{JwkSet, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

use super::misconfiguration::{CLOCK_OFF_SECONDS, Misconfiguration, OTHER_AUDIENCE, Planted};
use super::reply::OAuthRefused;
use super::shared::lock;
use super::vendor::Temper;
use crate::platform::clock::Clock;
use crate::platform::{http, random, secret};

/// Access tokens live this long.
pub(super) const TOKEN_SECONDS: i64 = 300;
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// A JWK Set longer than this is none.
const JWKS_MAX_BYTES: usize = 256 * 1024;

/// Why a client was not registered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    #[error("a registration names its keys as `jwks` (a JWK Set with at least one RSA or EC key) or as `jwks_uri`")]
    NoKeys,
    #[error("this vendor takes the address of a JWK Set only: register with `jwks_uri`")]
    UrlOnly,
    #[error("a `jwks_uri` is https, or http on loopback")]
    Uri,
}

/// Where a client's keys are.
#[derive(Clone)]
enum Keys {
    Set(JwkSet),
    Url(reqwest::Url),
}

/// What a token lets its client do.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) client: String,
    /// None: every type.
    pub(super) types: Option<BTreeSet<String>>,
    expires: Timestamp,
}

pub(super) struct Issued {
    pub(super) token: String,
    pub(super) scope: String,
}

pub(super) struct Access {
    token_url: String,
    clock: Clock,
    http: reqwest::Client,
    planted: Arc<Planted>,
    clients: Mutex<HashMap<String, Keys>>,
    /// Assertions used, until they would have expired.
    used: Mutex<HashMap<(String, String), Timestamp>>,
    tokens: Mutex<HashMap<String, Grant>>,
    temper: Temper,
    /// When tokens were asked for in the last minute.
    requests: Mutex<VecDeque<Timestamp>>,
}

impl Access {
    pub(super) fn new(token_url: String, clock: Clock, http: reqwest::Client, planted: Arc<Planted>, temper: Temper) -> Self {
        Self {
            token_url,
            clock,
            http,
            planted,
            clients: Mutex::default(),
            used: Mutex::default(),
            tokens: Mutex::default(),
            temper,
            requests: Mutex::default(),
        }
    }

    pub(super) fn token_url(&self) -> &str {
        &self.token_url
    }

    /// Now, by the server's clock.
    pub(super) fn now(&self) -> Timestamp {
        let now = self.clock.now();
        if self.planted.shows(Misconfiguration::ClockAhead) {
            after(now, CLOCK_OFF_SECONDS)
        } else if self.planted.shows(Misconfiguration::ClockBehind) {
            after(now, -CLOCK_OFF_SECONDS)
        } else {
            now
        }
    }

    /// The algorithms in which an assertion may be signed.
    pub(super) fn algorithms(&self) -> &'static [Algorithm] {
        if self.planted.shows(Misconfiguration::Rs384Only) {
            &[Algorithm::RS384]
        } else if self.planted.shows(Misconfiguration::Es384Only) {
            &[Algorithm::ES384]
        } else {
            &[Algorithm::RS384, Algorithm::ES384]
        }
    }

    /// Registers a client; its id follows from its keys, so that registering again after a restart gives the same.
    pub(super) fn register(&self, request: &Value) -> Result<String, RegistrationError> {
        let (keys, name) = if let Some(url) = request.get("jwks_uri").and_then(Value::as_str) {
            let parsed = reqwest::Url::parse(url).map_err(|_| RegistrationError::Uri)?;
            http::refuse_plain_http(&parsed).map_err(|_| RegistrationError::Uri)?;
            (Keys::Url(parsed), url.to_owned())
        } else {
            if self.temper.jwks_url_only {
                return Err(RegistrationError::UrlOnly);
            }
            let set = request.get("jwks").cloned().ok_or(RegistrationError::NoKeys)?;
            let set: JwkSet = serde_json::from_value(set).map_err(|_| RegistrationError::NoKeys)?;
            let thumbprints: Result<Vec<_>, _> = set.keys.iter().map(|key| key.thumbprint(ThumbprintHash::SHA256)).collect();
            let name = thumbprints.map_err(|_| RegistrationError::NoKeys)?.join(" ");
            if set.keys.is_empty() || set.keys.iter().any(|key| DecodingKey::from_jwk(key).is_err()) {
                return Err(RegistrationError::NoKeys);
            }
            (Keys::Set(set), name)
        };
        let id = format!("client-{}", &secret::hex(&secret::sha256(name.as_bytes()))[..16]);
        lock(&self.clients).insert(id.clone(), keys);
        Ok(id)
    }

    /// Answers a token request: form fields in, a new access token out.
    pub(super) async fn issue(&self, form: &HashMap<String, String>) -> Result<Issued, OAuthRefused> {
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        if field("grant_type") != "client_credentials" {
            return Err(OAuthRefused::request(
                "unsupported_grant_type",
                "grant_type must be client_credentials",
            ));
        }
        if field("client_assertion_type") != JWT_BEARER {
            return Err(OAuthRefused::request("invalid_request", "client_assertion_type must be jwt-bearer"));
        }
        if self.planted.shows(Misconfiguration::OpaqueRefusal) {
            return Err(OAuthRefused::opaque());
        }
        let client = self.client_of(field("client_assertion")).await?;
        if self.planted.shows(Misconfiguration::NotActivated) {
            return Err(OAuthRefused::request(
                "unauthorized_client",
                "the client is not authorized at this organization",
            ));
        }
        let (types, scope) = self
            .granted(field("scope"))
            .ok_or_else(|| OAuthRefused::request("invalid_scope", "ask for system scopes that read, such as system/*.rs"))?;
        let now = self.clock.now();
        let token = random::hex(32);
        let expires = after(now, TOKEN_SECONDS);
        let mut tokens = lock(&self.tokens);
        tokens.retain(|_, grant| grant.expires > now);
        tokens.insert(token.clone(), Grant { client, types, expires });
        Ok(Issued { token, scope })
    }

    /// Whether the client is blocked: it asked for more tokens in the last minute than the vendor bears.
    pub(super) fn is_blocked(&self) -> bool {
        let now = self.clock.now();
        let mut requests = lock(&self.requests);
        requests.push_back(now);
        while requests.front().is_some_and(|first| after(*first, 60) <= now) {
            requests.pop_front();
        }
        requests.len() > self.temper.tokens_per_minute
    }

    /// Lets a client's tokens run out.
    pub(super) fn revoke(&self, client: &str) {
        lock(&self.tokens).retain(|_, grant| grant.client != client);
    }

    /// Who holds this access token; None if it is unknown or has run out.
    pub(super) fn holder(&self, token: &str) -> Option<Grant> {
        let now = self.clock.now();
        lock(&self.tokens).get(token).filter(|grant| grant.expires > now).cloned()
    }

    /// The client who signed the assertion.
    async fn client_of(&self, assertion: &str) -> Result<String, OAuthRefused> {
        let header = jsonwebtoken::decode_header(assertion).map_err(|_| OAuthRefused::client("the assertion is no JWT"))?;
        if !self.algorithms().contains(&header.alg) {
            return Err(OAuthRefused::client("the assertion's alg is not one that this server takes"));
        }
        let claimed: Value =
            jsonwebtoken::dangerous::insecure_decode_claims(assertion).map_err(|_| OAuthRefused::client("the assertion has no claims"))?;
        let issuer = claimed.get("iss").and_then(Value::as_str).unwrap_or_default();
        if self.planted.shows(Misconfiguration::SandboxClient) {
            return Err(OAuthRefused::client(
                "the client id is of the sandbox; this is a production environment",
            ));
        }
        let keys = lock(&self.clients).get(issuer).cloned();
        let keys = keys.filter(|_| !self.planted.shows(Misconfiguration::UnknownClient));
        let keys = self
            .key_set(keys.ok_or_else(|| OAuthRefused::client("the client is not registered"))?)
            .await?;
        let kid = header
            .kid
            .as_deref()
            .filter(|_| !self.planted.shows(Misconfiguration::KidNotInJwks));
        let key = kid.and_then(|kid| keys.find(kid));
        let key = key.and_then(|key| DecodingKey::from_jwk(key).ok());
        let key = key.ok_or_else(|| OAuthRefused::client("the assertion's kid is not among the client's keys"))?;

        let mut validation = Validation::new(header.alg);
        // The library asks the machine's clock; ours may be a test's.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        validation.sub = Some(issuer.to_owned());
        let claims = jsonwebtoken::decode::<Value>(assertion, &key, &validation)
            .map_err(|_| OAuthRefused::client("the assertion's signature or sub is not right"))?
            .claims;
        self.check_audience(&claims)?;
        self.check_time_and_use(issuer, &claims)?;
        Ok(issuer.to_owned())
    }

    fn check_audience(&self, claims: &Value) -> Result<(), OAuthRefused> {
        let expected = if self.planted.shows(Misconfiguration::WrongAudience) {
            OTHER_AUDIENCE
        } else {
            &self.token_url
        };
        let named = match &claims["aud"] {
            Value::Array(several) => several.iter().any(|one| one == expected),
            one => one == expected,
        };
        if named {
            Ok(())
        } else {
            Err(OAuthRefused::client("the assertion's aud is not right"))
        }
    }

    fn check_time_and_use(&self, issuer: &str, claims: &Value) -> Result<(), OAuthRefused> {
        let now = self.now();
        let expires = claims
            .get("exp")
            .and_then(Value::as_i64)
            .and_then(|exp| Timestamp::from_second(exp).ok());
        let expires = expires.ok_or_else(|| OAuthRefused::client("the assertion's exp is no time"))?;
        if expires <= now {
            return Err(OAuthRefused::client("the assertion has expired"));
        }
        // Five minutes, and a few seconds for clocks that differ.
        if expires > after(now, 310) {
            return Err(OAuthRefused::client("the assertion's exp is more than five minutes ahead"));
        }
        let begins = ["iat", "nbf"]
            .into_iter()
            .filter_map(|name| claims.get(name).and_then(Value::as_i64))
            .max();
        if begins.is_some_and(|begins| begins > after(now, 10).as_second()) {
            return Err(OAuthRefused::client("the assertion is not yet valid"));
        }
        let Some(jti) = claims.get("jti").and_then(Value::as_str) else {
            return Err(OAuthRefused::client("the assertion has no jti"));
        };
        let mut used = lock(&self.used);
        used.retain(|_, expires| *expires > now);
        if used.insert((issuer.to_owned(), jti.to_owned()), expires).is_some() {
            return Err(OAuthRefused::client("the assertion's jti was used before"));
        }
        Ok(())
    }

    /// What is asked for, as far as it is granted.
    fn granted(&self, asked: &str) -> Option<(Option<BTreeSet<String>>, String)> {
        let granted = granted(asked)?;
        if self.planted.shows(Misconfiguration::NarrowScope) {
            return Some((Some(BTreeSet::from(["Patient".to_owned()])), "system/Patient.rs".to_owned()));
        }
        if self.planted.shows(Misconfiguration::WideScope) {
            return Some((None, "system/*.*".to_owned()));
        }
        Some(granted)
    }

    async fn key_set(&self, keys: Keys) -> Result<JwkSet, OAuthRefused> {
        let not_there = || OAuthRefused::client("the client's JWK Set could not be fetched");
        if self.planted.shows(Misconfiguration::JwksUrlUnreachable) {
            return Err(not_there());
        }
        let url = match keys {
            Keys::Set(set) => return Ok(set),
            Keys::Url(url) => url,
        };
        let response = self.http.get(url).send().await.and_then(reqwest::Response::error_for_status);
        let body = http::read_body(response.map_err(|_| not_there())?, JWKS_MAX_BYTES).await;
        let body = body.map_err(|_| not_there())?;
        serde_json::from_slice(&body).map_err(|_| OAuthRefused::client("the client's JWK Set is none"))
    }
}

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// The types that scopes let read, and the scopes that were understood; None if there is none of them.
/// SMART v1 (`.read`) and v2 (`.rs`) alike.
fn granted(asked: &str) -> Option<(Option<BTreeSet<String>>, String)> {
    let mut types = BTreeSet::new();
    let mut scopes = Vec::new();
    for scope in asked.split_whitespace() {
        let Some((kind, rights)) = scope.strip_prefix("system/").and_then(|rest| rest.split_once('.')) else {
            continue;
        };
        let rights = rights.split('?').next().unwrap_or(rights);
        if rights == "read" || rights == "*" || (rights.contains('r') && rights.chars().all(|right| "cruds".contains(right))) {
            types.insert(kind.to_owned());
            scopes.push(scope);
        }
    }
    if scopes.is_empty() {
        return None;
    }
    let all = types.contains("*");
    Some(((!all).then_some(types), scopes.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_both_versions_grant_their_types() {
        let types = |scope: &str| granted(scope).map(|(types, _)| types.map(|types| types.into_iter().collect::<Vec<_>>().join(",")));
        assert_eq!(types("system/*.rs"), Some(None));
        assert_eq!(types("system/*.read"), Some(None));
        assert_eq!(
            types("system/Patient.rs system/Observation.read launch"),
            Some(Some("Observation,Patient".to_owned()))
        );
        assert_eq!(types("system/Patient.c"), None);
        assert_eq!(types("user/*.rs"), None);
        assert_eq!(types(""), None);
    }
}
