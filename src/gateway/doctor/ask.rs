//! One request, and why it was not answered: name, connection, proxy, certificate, or nobody there. Sends a token to the
//! address it is told and follows no redirect. A body is read only where it holds nothing of a patient.

use std::error::Error;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use rustls::{CertificateError, InvalidMessage};
use serde_json::Value;

use crate::platform::http::{self, Client, Url, WebOrigin};

/// CapabilityStatements of large EHRs have several MiB.
const LONGEST_BODY: usize = 32 << 20;

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    UnknownHost,
    Refused,
    TimedOut,
    /// The proxy would not connect us.
    Proxy,
    /// The proxy wants a user name and password.
    ProxySignIn,
    Untrusted,
    Expired,
    NotYetValid,
    WrongHost,
    /// The certificate is an authority's own, which no server may show.
    SelfSigned,
    /// Another fault of the certificate or of the handshake.
    Handshake,
    /// What answers speaks no TLS.
    NotTls,
    BrokeOff,
}

/// An answer, its body unread.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    response: reqwest::Response,
}

impl Answer {
    /// The body, where it holds nothing of a patient; empty when it broke off or is longer than any such document.
    pub(super) async fn body(self) -> Vec<u8> {
        http::read_body(self.response, LONGEST_BODY).await.unwrap_or_default()
    }

    /// The body as JSON; `Null` when it is none, broke off, or is longer than any such document.
    pub(super) async fn json(self) -> Value {
        serde_json::from_slice(&self.body().await).unwrap_or(Value::Null)
    }

    /// The server's own time.
    pub(super) fn date(&self) -> Option<Timestamp> {
        http::http_date(self.headers.get("date")?.to_str().ok()?)
    }

    /// Where a redirect leads: its origin, which is all that may be shown.
    pub(super) fn leads_to(&self, from: &Url) -> Option<WebOrigin> {
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        from.join(location).ok().as_ref().map(WebOrigin::of)
    }
}

/// Asks for `url`, with these headers and, if there is one, the token.
pub(super) async fn get(client: &Client, url: &Url, headers: &[(HeaderName, String)], token: Option<&str>) -> Result<Answer, Unanswered> {
    send(client.get(url.clone()), headers, token).await
}

/// Sends a request that was made up elsewhere.
pub(super) async fn send(
    request: reqwest::RequestBuilder,
    headers: &[(HeaderName, String)],
    token: Option<&str>,
) -> Result<Answer, Unanswered> {
    let mut all = HeaderMap::new();
    all.insert(ACCEPT, HeaderValue::from_static("application/fhir+json, application/json"));
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            all.insert(name.clone(), value);
        }
    }
    if let Some(mut value) = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok()) {
        value.set_sensitive(true);
        all.insert(AUTHORIZATION, value);
    }
    let response = request.headers(all).send().await.map_err(|error| why(&error))?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        response,
    })
}

/// The base with `path` behind it, whether or not the base ends with a slash. The base's query is left out.
pub(super) fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// The cause that was found in the chain of errors.
fn why(error: &reqwest::Error) -> Unanswered {
    let mut words = String::new();
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = tls(error) {
            return found;
        }
        words.push_str(&error.to_string().to_ascii_lowercase());
        words.push(' ');
        cause = error.source();
    }
    let mentions = |one: &str| words.contains(one);
    if mentions("proxy authorization") || mentions("407") {
        Unanswered::ProxySignIn
    } else if mentions("tunnel") {
        Unanswered::Proxy
    } else if error.is_timeout() {
        Unanswered::TimedOut
    } else if mentions("dns") || mentions("lookup address") {
        Unanswered::UnknownHost
    } else if mentions("refused") {
        Unanswered::Refused
    } else {
        Unanswered::BrokeOff
    }
}

/// What TLS says, in itself or inside the errors of streams, which hold it one in another.
fn tls(error: &(dyn Error + 'static)) -> Option<Unanswered> {
    let mut error = error;
    while let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = inner;
    }
    let fault = error.downcast_ref::<rustls::Error>()?;
    Some(match fault {
        rustls::Error::InvalidCertificate(fault) => match fault {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Unanswered::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Unanswered::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Unanswered::WrongHost,
            // An authority of the same name as a trusted one, with another key, is as unknown as any.
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Unanswered::Untrusted,
            other if other.to_string().contains("CaUsedAsEndEntity") => Unanswered::SelfSigned,
            _ => Unanswered::Handshake,
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Unanswered::NotTls,
        _ => Unanswered::Handshake,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_behind_the_base_however_it_ends() {
        for base in ["https://e.example/fhir", "https://e.example/fhir/", "https://e.example/fhir?x=1#y"] {
            let url = below(&Url::parse(base).unwrap(), &["Group", "a b"]);
            assert_eq!(url.as_str(), "https://e.example/fhir/Group/a%20b", "{base}");
        }
    }
}
