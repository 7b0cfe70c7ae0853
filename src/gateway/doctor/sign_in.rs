//! From the server's SMART configuration to an access token. Asks for the token itself and not by `TokenSource`, which keeps
//! nothing of a refusal but its code: here the words of a refusal are evidence. They are weighed and never shown.
//! Basis: SMART App Launch 2.2.0, Backend Services; RFC 6749, section 5.2; RFC 7523.

use jiff::Timestamp;

use super::ask::{self, Answer, Unanswered};
use super::fhir::shown;
use super::finding::{Finding, Mender, Notes};
use super::refusal::{Evidence, refused};
use crate::platform::backend_services::{Algorithm, ClientKey, SmartConfiguration, discover};
use crate::platform::http::{self, Client, Url, WebOrigin};
use crate::pull::EhrSettings;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_SECONDS: i64 = 240;

/// A token and what it is for. Cannot be printed.
pub(super) struct SignedIn {
    pub(super) token: String,
    /// What the server says it granted.
    pub(super) scope: Option<String>,
}

/// The SMART configuration, or why there is none.
pub(super) async fn configuration(client: &Client, settings: &EhrSettings, notes: &mut Notes<'_>) -> Option<SmartConfiguration> {
    if let Some(url) = &settings.token_url {
        notes.note(Finding::skipped("discovery.not-needed", "`ehr.token_url` names the token endpoint"));
        return Some(SmartConfiguration {
            token_endpoint: url.clone(),
            auth_methods: Vec::new(),
            signing_algorithms: Vec::new(),
            scopes: Vec::new(),
            capabilities: Vec::new(),
            server_time: None,
        });
    }
    let url = ask::below(&settings.base, &[".well-known", "smart-configuration"]);
    let name_it = "if the EHR's team knows the token endpoint, write it to `ehr.token_url`";
    let finding = match ask::get(client, &url, &[], None).await {
        Err(_) => Finding::fail(
            "discovery.unanswered",
            "the server answered before, but not for its SMART configuration",
            Mender::EhrTeam,
            "try again later",
        )
        .for_now(),
        Ok(answer) if answer.status == 200 => {
            let document = answer.json().await;
            if document.is_object() && document["token_endpoint"].is_string() {
                match discover(client, &settings.base).await {
                    Ok(found) => {
                        notes.note(Finding::ok(
                            "discovery.ok",
                            format!("the token endpoint is at {}", shown(&found.token_endpoint)),
                        ));
                        return Some(found);
                    }
                    Err(_) => Finding::fail(
                        "discovery.bad-token-endpoint",
                        "the SMART configuration names a token endpoint that may not be dialled: it is no https address",
                        Mender::EhrTeam,
                        format!("tell the EHR's team; {name_it}"),
                    ),
                }
            } else if document.is_object() {
                Finding::fail(
                    "discovery.no-token-endpoint",
                    "the SMART configuration names no `token_endpoint`: SMART Backend Services is not switched on there",
                    Mender::EhrTeam,
                    format!("ask the EHR's team to switch it on; {name_it}"),
                )
            } else {
                Finding::fail(
                    "discovery.not-json",
                    "`.well-known/smart-configuration` answers with something else than JSON, such as a sign-in page",
                    Mender::EhrTeam,
                    format!("ask the EHR's team to let it be read without signing in; {name_it}"),
                )
            }
        }
        Ok(answer) if answer.status == 429 || answer.status >= 500 => Finding::fail(
            "discovery.unavailable",
            format!("`.well-known/smart-configuration` answers {}", answer.status),
            Mender::EhrTeam,
            "try again later",
        )
        .for_now(),
        Ok(answer) => Finding::fail(
            "discovery.not-found",
            format!(
                "`.well-known/smart-configuration` answers {}: it must stand right below `ehr.base`",
                answer.status
            ),
            Mender::EhrTeam,
            format!("check `ehr.base`; {name_it}"),
        ),
    };
    notes.note(finding);
    None
}

/// Whether the token endpoint may see our assertion.
pub(super) fn endpoint(settings: &EhrSettings, url: &Url) -> Finding {
    if http::refuse_plain_http(url).is_err() {
        return Finding::fail(
            "token-endpoint.plain-http",
            "the token endpoint is no https address",
            Mender::EhrTeam,
            "ask the EHR's team for the https address, and write it to `ehr.token_url`",
        );
    }
    let origin = WebOrigin::of(url);
    if origin == WebOrigin::of(&settings.base) || settings.token_origins.contains(&origin) {
        Finding::ok("token-endpoint.ok", format!("{origin} may see this site's assertion"))
    } else {
        Finding::fail(
            "token-endpoint.foreign",
            format!("the token endpoint is at {origin}, which is not the EHR's own address: nothing is sent there unasked"),
            Mender::You,
            format!("ask the EHR's team whether {origin} is theirs; if it is, add it to `ehr.extra_origins`"),
        )
    }
}

/// Whether the server takes a signed assertion, and one of our algorithm.
pub(super) fn method(found: &SmartConfiguration, algorithm: Algorithm) -> Finding {
    let has = |list: &[String], word: &str| list.is_empty() || list.iter().any(|item| item == word);
    if !has(&found.auth_methods, "private_key_jwt") {
        return Finding::fail(
            "auth.method",
            "the server does not take a signed assertion (`private_key_jwt`), the one way a SMART backend service signs in",
            Mender::EhrTeam,
            "ask the EHR's team to switch SMART Backend Services on, and whether this is its token endpoint",
        );
    }
    let ours = algorithm.to_string();
    if !has(&found.signing_algorithms, &ours) {
        let other = match algorithm {
            Algorithm::Es384 => "rs384",
            Algorithm::Rs384 => "es384",
        };
        let takes_other = found.signing_algorithms.iter().any(|name| name.eq_ignore_ascii_case(other));
        let next = if takes_other {
            format!(
                "make a key it takes: `headwater keys rotate --algorithm {other}`, register that at the EHR, then `headwater keys rotate --activate`"
            )
        } else {
            "tell the EHR's team: SMART asks of every server that it takes RS384 or ES384".to_owned()
        };
        let who = if takes_other { Mender::You } else { Mender::Vendor };
        return Finding::fail(
            "auth.algorithm",
            format!("the server does not take assertions signed with {ours}"),
            who,
            next,
        );
    }
    Finding::ok("auth.ok", format!("signed assertions with {ours} are taken"))
}

/// Whether the JWK Set we host can be fetched and holds the key that signs. Asked as anyone would ask: without a token.
pub(super) async fn jwk_set(client: &Client, settings: &EhrSettings, kid: &str) -> (Finding, Option<bool>) {
    let Some(url) = &settings.jwks_url else {
        let finding = if settings.vendor.jwks_url {
            Finding::warn(
                "jwks.needed",
                format!(
                    "{} takes keys by the address of a JWK Set only, and `ehr.jwks_url` is not set",
                    settings.vendor.title
                ),
                Mender::You,
                "host the set: `headwater serve` behind your https address; register that address at the EHR, and write it to `ehr.jwks_url`",
            )
        } else {
            Finding::skipped("jwks.not-hosted", "no `ehr.jwks_url`: the EHR's team was given the JWK Set itself")
        };
        return (finding, None);
    };
    if http::refuse_plain_http(url).is_err() {
        let finding = Finding::fail(
            "jwks.plain-http",
            "`ehr.jwks_url` is no https address, and the EHR will not read keys from it",
            Mender::You,
            "put an https address in front of `headwater serve`",
        );
        return (finding, None);
    }
    let at = shown(url);
    let answer = match ask::get(client, url, &[], None).await {
        Ok(answer) if answer.status == 200 => answer,
        // From inside a hospital its own public address is often not reached: that proves nothing.
        _ => {
            let finding = Finding::warn(
                "jwks.unreachable",
                format!("the JWK Set at {at} could not be fetched from here; the EHR must be able to"),
                Mender::You,
                "fetch it from outside the hospital; see that `headwater serve` runs and the network lets the EHR in",
            );
            return (finding, None);
        }
    };
    let set = answer.json().await;
    let Some(keys) = set["keys"].as_array() else {
        let finding = Finding::fail(
            "jwks.not-a-set",
            format!("what answers at {at} is no JWK Set"),
            Mender::You,
            "let `ehr.jwks_url` lead to the `/.well-known/jwks.json` of `headwater serve`, or to a copy of `state/jwks.json`",
        );
        return (finding, None);
    };
    if keys.iter().any(|key| key["kid"] == kid) {
        (
            Finding::ok("jwks.ok", format!("the JWK Set at {at} holds the key that signs")),
            Some(true),
        )
    } else {
        let finding = Finding::fail(
            "jwks.kid-missing",
            format!("the JWK Set at {at} does not hold the key that signs (kid {kid})"),
            Mender::You,
            "run `headwater keys jwks` and let the address serve that set; a cache in front of it may still hold the old one",
        );
        (finding, Some(false))
    }
}

/// A token, or why there is none.
pub(super) async fn token(
    client: &Client,
    settings: &EhrSettings,
    key: &ClientKey,
    url: &Url,
    now: Timestamp,
    evidence: &Evidence,
) -> (Finding, Option<SignedIn>) {
    let id = &settings.client_id;
    let Ok(assertion) = key.assertion(id, url.as_str(), now, ASSERTION_SECONDS) else {
        let finding = Finding::fail(
            "key.unusable",
            "the key cannot sign",
            Mender::You,
            "make another: `headwater keys rotate`",
        );
        return (finding, None);
    };
    let scope = settings.effective_scope();
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", &scope),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", &assertion),
    ];
    let answer = match ask::send(client.post(url.clone()).form(&form), &[], None).await {
        Ok(answer) => answer,
        Err(why) => return (unanswered(url, why), None),
    };
    let status = answer.status;
    if let 300..=399 = status {
        return (redirects(&answer, url), None);
    }
    let document = answer.json().await;
    match document["access_token"].as_str() {
        Some(token) if status == 200 && !token.is_empty() => {
            let signed_in = SignedIn {
                token: token.to_owned(),
                scope: document["scope"].as_str().map(str::to_owned),
            };
            (
                Finding::ok("token.ok", format!("the EHR knows client `{id}` and gives it a token")),
                Some(signed_in),
            )
        }
        _ => (refused(settings, key, status, &document, evidence), None),
    }
}

fn unanswered(url: &Url, why: Unanswered) -> Finding {
    let origin = shown(url);
    match why {
        Unanswered::UnknownHost | Unanswered::Refused | Unanswered::Proxy | Unanswered::ProxySignIn => Finding::fail(
            "token-endpoint.unreachable",
            format!("the token endpoint at {origin} is not reached from here"),
            Mender::HospitalNetwork,
            "ask the network team to let this machine reach that host, too",
        ),
        Unanswered::TimedOut | Unanswered::BrokeOff => Finding::fail(
            "token-endpoint.silent",
            format!("the token endpoint at {origin} does not answer"),
            Mender::EhrTeam,
            "try again later",
        )
        .for_now(),
        _ => Finding::fail(
            "token-endpoint.tls",
            format!("the certificate of the token endpoint at {origin} is not trusted"),
            Mender::You,
            "name its certificate authority as `ca_file` in [http]",
        ),
    }
}

fn redirects(answer: &Answer, url: &Url) -> Finding {
    let to = answer
        .leads_to(url)
        .map_or("another address".to_owned(), |origin| origin.to_string());
    Finding::fail(
        "token-endpoint.redirects",
        format!("the token endpoint sends us on to {to}; an assertion is never sent after a redirect"),
        Mender::EhrTeam,
        "ask the EHR's team for the final address: write it to `ehr.token_url`, and its origin, if it is another, to `ehr.extra_origins`",
    )
}
