//! Enrolment: a one-time code from the registry's operator turns this site's public keys into a client of the registry.
//! Sends public keys only.

use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::fault::SubmitError;
use super::link::base_url;
use crate::platform::backend_services::ClientKey;
use crate::platform::http::{self, Client};
use crate::platform::signing::SigningKey;

const DOING: &str = "enrol";
const ANSWER_MAX_BYTES: usize = 4 << 20;

/// What the registry says about itself and about us; the log's verifier key is pinned from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    pub site: String,
    pub client_id: String,
    pub log_origin: String,
    pub log_vkey: String,
    /// The common data model the registry takes.
    pub model: String,
    /// Everything else the registry says about its models, as it says it.
    #[serde(default)]
    pub models: serde_json::Value,
}

/// Enrols this site with its one-time code.
///
/// # Errors: `Refused` for a code that is unknown, used or expired; `Retry` if the registry is not reached.
pub async fn enrol(http: &Client, base: &str, code: &str, key: &ClientKey, manifest_key: &SigningKey) -> Result<Enrolled, SubmitError> {
    let doing = DOING;
    let url = base_url(base)?
        .join("enrol")
        .map_err(|_| SubmitError::Link("its base is no address".into()))?;
    let body = serde_json::json!({"code": code, "jwk": key.public_jwk(), "manifest_key": manifest_key.public_base64()});
    let retry = |why: String| SubmitError::Retry { doing, why, after: None };
    let response = http
        .post(url.clone())
        .json(&body)
        .send()
        .await
        .map_err(|error| retry(http::explain(&url, &error).to_string()))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = http::read_body(response, ANSWER_MAX_BYTES)
        .await
        .map_err(|error| retry(error.to_string()))?;
    match status {
        StatusCode::OK | StatusCode::CREATED => {
            serde_json::from_slice(&body).map_err(|error| SubmitError::Untrusted(format!("it is no enrolment (column {})", error.column())))
        }
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            Err(retry(format!("it answered {}", status.as_u16())))
        }
        _ => Err(super::link::Answer { status, headers, body }.refusal(doing)),
    }
}
