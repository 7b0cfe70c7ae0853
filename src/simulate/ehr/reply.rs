//! How the EHR says no: OperationOutcome on FHIR endpoints, OAuth errors on the token endpoint.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::error::SimulateError;

/// A refusal on a FHIR endpoint.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    /// FHIR IssueType.
    code: &'static str,
    text: String,
    retry_after: Option<String>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            code,
            text: text.into(),
            retry_after: None,
        }
    }

    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", text)
    }

    /// Says when to come back: seconds, or a date.
    pub(super) fn retry_after(mut self, when: impl ToString) -> Self {
        self.retry_after = Some(when.to_string());
        self
    }
}

/// What was read could not be; the cause may echo what stands in it and is not told.
impl From<SimulateError> for Refused {
    fn from(_: SimulateError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the data could not be read")
    }
}

impl From<std::io::Error> for Refused {
    fn from(_: std::io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the data could not be read")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let outcome = json!({
            "resourceType": "OperationOutcome",
            "issue": [{ "severity": "error", "code": self.code, "diagnostics": self.text }],
        });
        let mut response = fhir_json(self.status, &outcome);
        if let Some(when) = self.retry_after {
            set(&mut response, "retry-after", &when);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A refusal of the token endpoint: RFC 6749, section 5.2.
pub(super) struct OAuthRefused {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    /// None: the description is null.
    pub(super) text: Option<&'static str>,
}

impl OAuthRefused {
    pub(super) fn client(text: &'static str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            text: Some(text),
        }
    }

    /// The answer that says nothing.
    pub(super) fn opaque() -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error: "invalid_client",
            text: None,
        }
    }

    pub(super) fn request(error: &'static str, text: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            text: Some(text),
        }
    }
}

impl IntoResponse for OAuthRefused {
    fn into_response(self) -> Response {
        json_as(
            "application/json",
            self.status,
            &json!({ "error": self.error, "error_description": self.text }),
        )
    }
}

pub(super) fn fhir_json(status: StatusCode, body: &Value) -> Response {
    json_as("application/fhir+json", status, body)
}

/// A resource as text.
pub(super) fn fhir_text(status: StatusCode, body: String) -> Response {
    text_as("application/fhir+json", status, body)
}

pub(super) fn json_as(content_type: &'static str, status: StatusCode, body: &Value) -> Response {
    text_as(content_type, status, body.to_string())
}

fn text_as(content_type: &'static str, status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The refusal of who shows no good access token.
pub(super) fn unauthorized() -> Refused {
    Refused::new(
        StatusCode::UNAUTHORIZED,
        "login",
        "an access token is missing, unknown or has run out",
    )
}

/// Sets a header; a text that cannot be one is left out.
pub(super) fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// An instant as HTTP writes it: RFC 9110, section 5.6.7.
pub(super) fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
