//! Enrolment: a one-time code from the registry's operator, exchanged for a name and the registry's log key.
//! The site's private keys never travel; their public halves do.

use serde::{Deserialize, Serialize};

/// What a registry tells a new site.
#[derive(Clone, Debug, Deserialize)]
pub struct Enrolled {
    pub site: String,
    pub client_id: String,
    pub log_origin: String,
    /// To be pinned: every receipt is checked against it.
    pub log_vkey: String,
    /// The common data model the registry takes.
    pub model: String,
}

#[derive(Serialize)]
struct Request<'a> {
    code: &'a str,
    jwk: &'a serde_json::Value,
    manifest_key: &'a str,
}

/// Why a site was not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("the registry's address `{0}` is not usable: https, or http on loopback only")]
    Address(String),
    #[error("the registry at {0} could not be reached")]
    Network(String, #[source] reqwest::Error),
    #[error("the registry refused the enrolment ({0}): ask its operator for a fresh code (`headwater registry site add NAME`)")]
    Refused(u16),
    #[error("the registry's answer is not an enrolment; is this the address of a Headwater registry?")]
    Answer,
}

/// Enrols this site at the registry.
/// # Errors: see [`EnrolError`]; nothing is kept of a failed try, and the code stays good unless the registry took it.
pub async fn enrol(
    http: &reqwest::Client,
    base: &str,
    code: &str,
    jwk: &serde_json::Value,
    manifest_key: &str,
) -> Result<Enrolled, EnrolError> {
    let url = reqwest::Url::parse(&format!("{}/enrol", base.trim_end_matches('/')))
        .ok()
        .filter(|url| crate::platform::http::refuse_plain_http(url).is_ok())
        .ok_or_else(|| EnrolError::Address(base.to_owned()))?;
    let origin = url.origin().ascii_serialization();
    let answer = http
        .post(url)
        .json(&Request { code, jwk, manifest_key })
        .send()
        .await
        .map_err(|error| EnrolError::Network(origin.clone(), error.without_url()))?;
    if !answer.status().is_success() {
        return Err(EnrolError::Refused(answer.status().as_u16()));
    }
    answer.json().await.map_err(|_| EnrolError::Answer)
}
