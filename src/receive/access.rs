//! Who may submit: SMART Backend Services, the server's side. A client assertion becomes a token of five minutes; a token
//! becomes its site. What must be remembered over a restart (used assertions, tokens) is on disk, in its own database, so
//! that nobody waits for a token while a large submission is being applied.
//! Basis: SMART App Launch 2.2.0, client-confidential-asymmetric; RFC 7523.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::store::{Site, Store, site, site_of_client};
use crate::platform::database::{self, DatabaseError};
use crate::platform::random;
use crate::submission::{SCOPE, sha256_hex};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS token_jti (iss TEXT NOT NULL, jti TEXT NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY (iss, jti)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS token (sha256 TEXT PRIMARY KEY, site TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// A token's life in seconds, and the longest an assertion may live.
pub(super) const TOKEN_SECONDS: i64 = 300;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The form a client posts to the token endpoint.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenForm {
    pub grant_type: String,
    pub scope: String,
    pub client_assertion_type: String,
    pub client_assertion: String,
}

/// The token endpoint's answer.
#[derive(Serialize)]
pub(super) struct Token {
    pub access_token: String,
    pub token_type: &'static str,
    pub expires_in: i64,
    pub scope: &'static str,
}

/// Why there is no token, in OAuth's words (RFC 6749, 5.2).
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenFault {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("grant_type is not client_credentials")]
    UnsupportedGrant,
    #[error("{0}")]
    InvalidClient(&'static str),
    #[error("the scope does not hold system/bulk-submit, the only one there is")]
    InvalidScope,
    #[error("the registry's store failed")]
    Store(#[from] Fault),
}

/// Used assertions and live tokens.
pub(super) struct Access {
    connection: Mutex<Connection>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: f64,
    jti: String,
    #[serde(default)]
    nbf: Option<f64>,
}

impl Access {
    /// Opens or creates `access.db` in `dir`.
    /// # Errors: as `platform::database::open`.
    pub(super) fn open(dir: &Path) -> Result<Self, DatabaseError> {
        let connection = database::open(&dir.join("access.db"), &[SCHEMA])?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token for the site whose key signed the assertion.
    /// # Errors: the first thing that is not as it must be.
    pub(super) fn issue(&self, store: &Store, token_url: &str, now: Timestamp, form: &TokenForm) -> Result<Token, TokenFault> {
        if form.grant_type != "client_credentials" {
            return Err(TokenFault::UnsupportedGrant);
        }
        if form.client_assertion_type != ASSERTION_TYPE {
            return Err(TokenFault::InvalidRequest("client_assertion_type is not jwt-bearer"));
        }
        let (site, claims) = verify(store, token_url, now, &form.client_assertion)?;
        if !form.scope.split(' ').any(|scope| scope == SCOPE) {
            return Err(TokenFault::InvalidScope);
        }
        let expires_at = exp_second(claims.exp);
        let token = random::hex(32);
        let mut connection = self.lock();
        let remember = || -> Result<bool, rusqlite::Error> {
            let tx = connection.transaction()?;
            tx.execute("DELETE FROM token_jti WHERE expires_at < ?1", [now.as_second()])?;
            tx.execute("DELETE FROM token WHERE expires_at < ?1", [now.as_second()])?;
            let new = tx.execute(
                "INSERT OR IGNORE INTO token_jti (iss, jti, expires_at) VALUES (?1, ?2, ?3)",
                params![claims.iss, claims.jti, expires_at],
            )?;
            if new == 1 {
                tx.execute(
                    "INSERT INTO token (sha256, site, expires_at) VALUES (?1, ?2, ?3)",
                    params![sha256_hex(token.as_bytes()), site.name, now.as_second() + TOKEN_SECONDS],
                )?;
            }
            tx.commit()?;
            Ok(new == 1)
        };
        let fresh = { remember }().map_err(|error| TokenFault::Store(error.into()))?;
        if !fresh {
            return Err(TokenFault::InvalidClient("the assertion's jti was used before"));
        }
        Ok(Token {
            access_token: token,
            token_type: "bearer",
            expires_in: TOKEN_SECONDS,
            scope: SCOPE,
        })
    }

    /// The site whose token stands in an `Authorization` header.
    /// # Errors: `Unauthenticated` without a live token, `Forbidden` for a suspended site, from its next request on.
    pub(super) fn site_of(&self, store: &Store, authorization: Option<&str>, now: Timestamp) -> Result<Site, Fault> {
        let (scheme, token) = authorization
            .and_then(|header| header.split_once(' '))
            .ok_or(Fault::Unauthenticated("a bearer token is missing; ask the token endpoint for one"))?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Fault::Unauthenticated("the authorization is no bearer token"));
        }
        let name: Option<String> = self
            .lock()
            .prepare("SELECT site FROM token WHERE sha256 = ?1 AND expires_at > ?2")?
            .query_row(params![sha256_hex(token.as_bytes()), now.as_second()], |row| row.get(0))
            .optional()?;
        let expired = Fault::Unauthenticated("the token is not known or has expired; ask the token endpoint for a new one");
        let name = name.ok_or(expired)?;
        let site = store.read(|connection| site(connection, &name))?;
        let site = site.ok_or(Fault::Unauthenticated("the token's site is not known any more"))?;
        if site.suspended {
            return Err(Fault::Forbidden("the site is suspended; ask the registry's operators"));
        }
        Ok(site)
    }
}

/// A NumericDate's whole second, rounded up; far beyond any assertion's limit when it is no such number.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates and the limit check refuses both ends"
)]
fn exp_second(exp: f64) -> i64 {
    exp.ceil() as i64
}

/// Checks a client assertion; the site and its claims.
fn verify(store: &Store, token_url: &str, now: Timestamp, assertion: &str) -> Result<(Site, Claims), TokenFault> {
    let invalid = TokenFault::InvalidClient;
    if assertion.len() > 16 << 10 {
        return Err(invalid("the assertion is longer than 16 KiB"));
    }
    let header = jsonwebtoken::decode_header(assertion).map_err(|_| invalid("the assertion is no JWT"))?;
    if !matches!(header.alg, Algorithm::RS384 | Algorithm::ES384) {
        return Err(invalid("the assertion's alg is neither RS384 nor ES384"));
    }
    if header.jku.is_some() || header.jwk.is_some() || header.x5u.is_some() || header.x5c.is_some() {
        return Err(invalid("the assertion brings or points to a key; only the enrolled key counts"));
    }
    let kid = header.kid.ok_or(invalid("the assertion has no kid"))?;
    // Unverified, only to find the key to verify with.
    let claimed = jsonwebtoken::dangerous::insecure_decode::<Claims>(assertion).map_err(|_| invalid("the assertion lacks a claim"))?;
    let client_id = claimed.claims.iss;
    let site = store.read(|connection| site_of_client(connection, &client_id))?;
    let unknown = invalid("the client is not known, or its kid is not the enrolled key's");
    let site = site.ok_or(unknown)?;
    let jwk: Jwk = site
        .jwk
        .as_deref()
        .and_then(|jwk| serde_json::from_str(jwk).ok())
        .ok_or(invalid("the site has not enrolled a key yet"))?;
    if jwk.common.key_id.as_deref() != Some(kid.as_str()) {
        return Err(invalid("the client is not known, or its kid is not the enrolled key's"));
    }
    if algorithm(&jwk) != Some(header.alg) {
        return Err(invalid("the assertion's alg is not the enrolled key's"));
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| invalid("the enrolled key cannot be used"))?;
    let mut validation = Validation::new(header.alg);
    // Our clock, not the library's: exp and nbf are checked below.
    validation.validate_exp = false;
    validation.set_audience(&[token_url]);
    validation.set_required_spec_claims(&["aud", "iss", "sub", "exp"]);
    let claims = jsonwebtoken::decode::<Claims>(assertion, &key, &validation)
        .map_err(|_| invalid("the assertion's signature is false, or its aud is not this token endpoint"))?
        .claims;
    if claims.iss != claims.sub {
        return Err(invalid("the assertion's iss and sub differ"));
    }
    let now = now.as_second();
    let exp = exp_second(claims.exp);
    if exp <= now {
        return Err(invalid("the assertion has expired; check the clocks"));
    }
    if exp > now + TOKEN_SECONDS {
        return Err(invalid("the assertion's exp is more than 5 minutes ahead; check the clocks"));
    }
    if claims.nbf.is_some_and(|nbf| exp_second(nbf) > now + 60) {
        return Err(invalid("the assertion is not valid yet; check the clocks"));
    }
    if claims.jti.is_empty() || claims.jti.len() > 256 {
        return Err(invalid("the assertion's jti is not 1 to 256 bytes"));
    }
    if site.suspended {
        return Err(invalid("the site is suspended; ask the registry's operators"));
    }
    Ok((site, claims))
}

/// The one algorithm an enrolled key signs with; `None` for a key that is not taken.
pub(super) fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Some(Algorithm::ES384),
        // 2048 bits are 342 base64 characters.
        AlgorithmParameters::RSA(key) if key.n.len() >= 342 => Some(Algorithm::RS384),
        _ => None,
    }
}
