//! The only place where a fault becomes an HTTP status. FHIR endpoints answer with an OperationOutcome, the token endpoint in
//! OAuth's words. A fault of ours is told to our own log in full and to the caller in one sentence.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::access::{Token, TokenFault};
use super::fault::{Fault, chain};

const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json");

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, code) = match &self {
            Fault::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "login"),
            Fault::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Fault::NotFound(_) => (StatusCode::NOT_FOUND, "not-found"),
            Fault::Malformed(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Fault::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Fault::Incomplete(_) => (StatusCode::CONFLICT, "incomplete"),
            Fault::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-long"),
            Fault::WrongDigest(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Fault::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "business-rule"),
            Fault::Busy => (StatusCode::TOO_MANY_REQUESTS, "throttled"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "transient"),
        };
        let text = if self.is_ours() {
            tracing::error!("a request failed: {}", chain(&self));
            "the registry could not do this now; try again later".to_owned()
        } else {
            self.to_string()
        };
        let mut response = outcome(status, "error", code, &text);
        let headers = response.headers_mut();
        match status {
            StatusCode::UNAUTHORIZED => headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            StatusCode::TOO_MANY_REQUESTS => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2")),
            StatusCode::SERVICE_UNAVAILABLE => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10")),
            _ => None,
        };
        response
    }
}

/// An OperationOutcome with one issue.
pub(super) fn outcome(status: StatusCode, severity: &str, code: &str, text: &str) -> Response {
    fhir(
        status,
        &json!({
            "resourceType": "OperationOutcome",
            "issue": [{"severity": severity, "code": code, "details": {"text": text}, "diagnostics": text}]
        }),
    )
}

/// A FHIR resource.
pub(super) fn fhir(status: StatusCode, body: &Value) -> Response {
    typed(status, FHIR_JSON, body.to_string())
}

/// Any JSON.
pub(super) fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => typed(status, HeaderValue::from_static("application/json"), text),
        Err(_) => Fault::BrokeOff.into_response(),
    }
}

/// A body of this type that nobody keeps.
pub(super) fn typed(status: StatusCode, kind: HeaderValue, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The token endpoint's answer (RFC 6749, 5.1 and 5.2).
pub(super) fn token(answer: Result<Token, TokenFault>) -> Response {
    let (status, error) = match &answer {
        Ok(token) => return json(StatusCode::OK, token),
        Err(TokenFault::InvalidRequest(_)) => (StatusCode::BAD_REQUEST, "invalid_request"),
        Err(TokenFault::UnsupportedGrant) => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        Err(TokenFault::InvalidClient(_)) => (StatusCode::UNAUTHORIZED, "invalid_client"),
        Err(TokenFault::InvalidScope) => (StatusCode::BAD_REQUEST, "invalid_scope"),
        Err(TokenFault::Store(fault)) => {
            tracing::error!("a token could not be issued: {}", chain(fault));
            (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
        }
    };
    let text = answer.err().map(|fault| fault.to_string()).unwrap_or_default();
    json(status, &json!({"error": error, "error_description": text}))
}
