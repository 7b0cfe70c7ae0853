//! SMART App Launch 2.2.0, Backend Services, over HTTP: discovery, registration, access tokens.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

use super::access::TOKEN_SECONDS;
use super::fault::Fault;
use super::misconfiguration::Misconfiguration;
use super::reply::{OAuthRefused, json_as, set};
use super::routes::{Ehr, nothing_here};

pub(super) async fn smart_configuration(State(ehr): Ehr) -> Response {
    if ehr.planted.shows(Misconfiguration::NoDiscovery) {
        return nothing_here().await.into_response();
    }
    if ehr.planted.shows(Misconfiguration::DiscoveryNotJson) {
        return Html("<!doctype html><title>Sign in</title><p>Please sign in to go on.").into_response();
    }
    let mut configuration = json!({
        "token_endpoint": ehr.access.token_url(),
        "registration_endpoint": ehr.registration_url(),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ehr.access.algorithms().iter().map(|one| format!("{one:?}")).collect::<Vec<_>>(),
        "scopes_supported": ["system/*.rs", "system/*.read"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    });
    if ehr.planted.shows(Misconfiguration::NoTokenEndpoint)
        && let Some(members) = configuration.as_object_mut()
    {
        members.remove("token_endpoint");
    }
    if ehr.planted.shows(Misconfiguration::ForeignTokenEndpoint) {
        configuration["token_endpoint"] = json!(format!("{}/token", ehr.elsewhere));
    }
    json_as("application/json", StatusCode::OK, &configuration)
}

pub(super) async fn register(State(ehr): Ehr, body: Bytes) -> Response {
    let request = serde_json::from_slice(&body).unwrap_or(Value::Null);
    match ehr.access.register(&request) {
        Ok(client) => json_as("application/json", StatusCode::CREATED, &json!({ "client_id": client })),
        Err(error) => {
            let refused = json!({ "error": "invalid_client_metadata", "error_description": error.to_string() });
            json_as("application/json", StatusCode::BAD_REQUEST, &refused)
        }
    }
}

pub(super) async fn token(State(ehr): Ehr, Form(form): Form<HashMap<String, String>>) -> Result<Response, OAuthRefused> {
    if ehr.access.is_blocked() || ehr.faults.fires(Fault::Token429) {
        let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
        set(&mut response, "retry-after", "60");
        return Ok(response);
    }
    if ehr.planted.shows(Misconfiguration::TokenEndpoint404) {
        return Ok(nothing_here().await.into_response());
    }
    if ehr.planted.shows(Misconfiguration::TokenEndpointRedirects) {
        let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
        set(&mut response, "location", &format!("{}/token", ehr.elsewhere));
        return Ok(response);
    }
    if ehr.faults.fires(Fault::Token401) {
        return Err(OAuthRefused::client("a fault was ordered"));
    }
    let issued = ehr.access.issue(&form).await?;
    let answer = json!({ "access_token": issued.token, "token_type": "bearer", "expires_in": TOKEN_SECONDS, "scope": issued.scope });
    Ok(json_as("application/json", StatusCode::OK, &answer))
}
