//! What a server says about itself before anybody has a token: SMART App Launch 2.2.0, "Conformance".

use jiff::Timestamp;
use reqwest::header::DATE;
use serde_json::Value;

use super::error::TokenError;
use crate::platform::http::{self, Client, Url, WebOrigin};

const ANSWER_BYTES: usize = 1 << 20;

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
    /// The server's own time when it answered (`Date`), when it said one.
    pub server_time: Option<Timestamp>,
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
    let date = response.headers().get(DATE).and_then(|value| value.to_str().ok());
    let server_time = date.and_then(http::http_date);
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
        server_time,
    })
}
