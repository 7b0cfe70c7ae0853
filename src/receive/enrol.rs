//! How a site joins: the operator makes a one-time code, the site's gateway sends it with its two public keys.
//! The private keys never leave the site. A code used again with the same keys gets the same answer, so that an answer lost
//! on the way does not lock a site out; with other keys it is refused.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::access::algorithm;
use super::event;
use super::fault::Fault;
use super::store::{self, Site, stamp};
use crate::audit;
use crate::platform::clock::later;
use crate::platform::random;
use crate::submission::{is_site_name, sha256_hex};

/// How long a one-time code can be used.
pub const CODE_LIFE: Duration = Duration::from_secs(15 * 60);

/// What a gateway sends to join.
#[derive(Deserialize)]
pub struct Enrolment {
    pub code: String,
    /// When given, it must be the site the code was made for.
    #[serde(default)]
    pub site_name: Option<String>,
    /// The client's public key, a JWK with `kid`: P-384 or RSA of at least 2048 bits.
    pub jwk: Value,
    /// The manifest key's public half, Ed25519, base64.
    pub manifest_key: String,
}

/// What it gets back. `log_vkey` is to be kept: it is how the site will know the registry's receipts.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Enrolled {
    pub site: String,
    pub client_id: String,
    pub log_origin: String,
    pub log_vkey: String,
    pub model: String,
    pub models: Vec<String>,
}

/// Makes or finds the site and gives a new one-time code for it.
/// # Errors: `Malformed` when the name is no site name.
pub fn add_site(tx: &Transaction<'_>, log: &audit::Log, now: Timestamp, name: &str) -> Result<String, Fault> {
    if !is_site_name(name) {
        return Err(Fault::Malformed(
            "a site's name is 1 to 32 lower-case letters, digits and inner hyphens, a letter first".into(),
        ));
    }
    let new = tx.execute("INSERT OR IGNORE INTO site (name, client_id) VALUES (?1, ?1)", [name])?;
    let code = random::hex(20);
    tx.execute(
        "INSERT INTO enrolment_code (code_sha256, site, expires_at) VALUES (?1, ?2, ?3)",
        params![sha256_hex(code.as_bytes()), name, stamp(later(now, CODE_LIFE))],
    )?;
    let event = if new == 1 { "site-added" } else { "site-code-renewed" };
    event::append(tx, log, now, event, name, &[])?;
    Ok(code)
}

/// Suspends a site or lets it in again.
/// # Errors: `NotFound` when there is no such site.
pub fn suspend_site(tx: &Transaction<'_>, log: &audit::Log, now: Timestamp, name: &str, suspended: bool) -> Result<(), Fault> {
    let found = tx.execute("UPDATE site SET suspended = ?2 WHERE name = ?1", params![name, suspended])?;
    if found == 0 {
        return Err(Fault::NotFound("there is no site of this name"));
    }
    let event = if suspended { "site-suspended" } else { "site-resumed" };
    event::append(tx, log, now, event, name, &[])
}

pub(super) const CODE_REFUSED: Fault =
    Fault::Forbidden("the enrolment code is not known, was used or is older than 15 minutes; ask for a new one");

/// Whether there is such a code that is not too old.
pub(super) fn may_be_good(connection: &Connection, now: Timestamp, code: &str) -> Result<bool, rusqlite::Error> {
    let known = "SELECT EXISTS (SELECT 1 FROM enrolment_code WHERE code_sha256 = ?1 AND expires_at > ?2)";
    connection.query_row(known, params![sha256_hex(code.trim().as_bytes()), stamp(now)], |row| row.get(0))
}

/// Takes an enrolment: the code is used up, the keys are the site's from now on. The site's name.
/// # Errors: `Forbidden` for a code that is not known, used or too old; `Malformed` for keys that cannot be used.
pub(super) fn enrol(tx: &Transaction<'_>, log: &audit::Log, now: Timestamp, enrolment: &Enrolment) -> Result<Site, Fault> {
    let jwk = public_jwk(&enrolment.jwk)?;
    let manifest_key = manifest_key(&enrolment.manifest_key)?;
    let code_sha256 = sha256_hex(enrolment.code.trim().as_bytes());
    let code: Option<(String, String, Option<String>)> = tx
        .query_row(
            "SELECT site, expires_at, used_at FROM enrolment_code WHERE code_sha256 = ?1",
            [&code_sha256],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let Some((name, expires_at, used_at)) = code else {
        return Err(CODE_REFUSED);
    };
    if expires_at <= stamp(now) || enrolment.site_name.as_ref().is_some_and(|given| *given != name) {
        return Err(CODE_REFUSED);
    }
    let site = store::site(tx, &name)?.ok_or(Fault::NotFound("the code's site is not there any more"))?;
    if site.suspended {
        return Err(Fault::Forbidden("the site is suspended; ask the registry's operators"));
    }
    if used_at.is_some() {
        let same = site.jwk.as_deref() == Some(&jwk) && site.manifest_key.as_deref() == Some(&manifest_key);
        return if same { Ok(site) } else { Err(CODE_REFUSED) };
    }
    tx.execute(
        "UPDATE enrolment_code SET used_at = ?2 WHERE code_sha256 = ?1",
        params![code_sha256, stamp(now)],
    )?;
    tx.execute(
        "UPDATE site SET jwk = ?2, manifest_key = ?3, enrolled_at = ?4 WHERE name = ?1",
        params![name, jwk, manifest_key, stamp(now)],
    )?;
    let digests = [
        ("clientKey", sha256_hex(jwk.as_bytes())),
        ("manifestKey", sha256_hex(manifest_key.as_bytes())),
    ];
    event::append(tx, log, now, "site-enrolled", &name, &digests)?;
    Ok(site)
}

/// The JWK's public members in one form; nothing else is stored.
fn public_jwk(given: &Value) -> Result<String, Fault> {
    let wrong = |what: &str| Fault::Malformed(format!("jwk: {what}"));
    if ["d", "p", "q", "dp", "dq", "qi", "k"]
        .iter()
        .any(|member| given.get(member).is_some())
    {
        return Err(wrong("holds a private key; keep it, make a new one and send its public half"));
    }
    let jwk: Jwk = serde_json::from_value(given.clone()).map_err(|_| wrong("is no JSON Web Key"))?;
    let kid = jwk.common.key_id.as_deref().filter(|kid| (1..=128).contains(&kid.len()));
    let kid = kid.ok_or_else(|| wrong("has no kid of 1 to 128 bytes"))?;
    algorithm(&jwk).ok_or_else(|| wrong("is neither P-384 nor RSA of at least 2048 bits"))?;
    jsonwebtoken::DecodingKey::from_jwk(&jwk).map_err(|_| wrong("has members that are not base64url"))?;
    let public = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => json!({"kty": "RSA", "n": key.n, "e": key.e, "kid": kid}),
        AlgorithmParameters::EllipticCurve(key) => json!({"kty": "EC", "crv": "P-384", "x": key.x, "y": key.y, "kid": kid}),
        _ => return Err(wrong("is neither P-384 nor RSA of at least 2048 bits")),
    };
    Ok(public.to_string())
}

fn manifest_key(given: &str) -> Result<String, Fault> {
    let key = crate::platform::signing::public_from_base64(given);
    key.map(|_| given.trim().to_owned())
        .ok_or_else(|| Fault::Malformed("manifest_key: is not the base64 of 32 bytes, an Ed25519 public key".into()))
}
