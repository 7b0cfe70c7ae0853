//! What a refusal of the token endpoint means: by its status, its code, its words and what else is known. The words are
//! weighed and never shown. Basis: RFC 6749, section 5.2, which has one code for most of what can be wrong with a client.

use serde_json::Value;

use super::fhir::shown;
use super::finding::{Finding, Mender};
use crate::platform::backend_services::ClientKey;
use crate::pull::EhrSettings;

/// What is known besides the answer of the token endpoint, when it refuses.
pub(super) struct Evidence {
    /// Whether the clocks are too far apart.
    pub(super) clock_off: bool,
    /// Whether the key that signs was seen in the JWK Set at our own address.
    pub(super) key_seen: Option<bool>,
}

/// What a refusal means, by its status, its code, its words and what else is known.
pub(super) fn refused(settings: &EhrSettings, key: &ClientKey, status: u16, document: &Value, evidence: &Evidence) -> Finding {
    let id = &settings.client_id;
    let Some(code) = document["error"].as_str() else {
        return match status {
            404 | 405 | 410 => Finding::fail(
                "token-endpoint.not-found",
                format!("there is no token endpoint at the address the server names ({status})"),
                Mender::EhrTeam,
                "ask the EHR's team for the token endpoint, and write it to `ehr.token_url`",
            ),
            429 | 500.. => Finding::fail(
                "token.unavailable",
                format!("the token endpoint answers {status}"),
                Mender::EhrTeam,
                "try again later",
            )
            .for_now(),
            _ => Finding::fail(
                "token.odd",
                format!("the token endpoint answers {status} with neither a token nor an OAuth error"),
                Mender::EhrTeam,
                "ask the EHR's team whether this is the token endpoint of SMART Backend Services, and for the server's log",
            ),
        };
    };
    let words = document["error_description"].as_str().unwrap_or_default().to_ascii_lowercase();
    let (kid, algorithm) = (key.kid(), key.algorithm());
    let host_or_give = if settings.jwks_url.is_some() {
        "see that the EHR has registered exactly the address in `ehr.jwks_url`, and give it a day to read the set anew"
    } else {
        "give the EHR's team the JWK Set again: `headwater keys jwks`"
    };
    match cause(code, &words, evidence) {
        Cause::Clock => Finding::fail(
            "token.clock",
            "the token endpoint finds our assertion expired, or from the future: the two clocks differ",
            Mender::You,
            "compare both clocks with a third one; switch on time synchronisation (NTP) where it is off",
        ),
        Cause::Audience => Finding::fail(
            "token.audience",
            format!(
                "the token endpoint expects another `aud` than its own address at {}",
                settings.token_url.as_ref().map_or("the SMART configuration".to_owned(), shown)
            ),
            Mender::EhrTeam,
            "ask the EHR's team for the exact address it expects as `aud`, and write it to `ehr.token_url`; a proxy in front of the EHR often changes it",
        ),
        Cause::SetNotFetched => Finding::fail(
            "token.jwks-not-fetched",
            "the EHR could not fetch this site's JWK Set",
            Mender::HospitalNetwork,
            "fetch `ehr.jwks_url` from outside the hospital; its certificate must be of a public authority, with its whole chain",
        ),
        Cause::Key => Finding::fail(
            "token.key-unknown",
            format!("the EHR knows client `{id}`, but not the key that signs ({algorithm}, kid {kid})"),
            Mender::You,
            host_or_give,
        ),
        Cause::Algorithm => Finding::fail(
            "auth.algorithm",
            format!("the token endpoint does not take assertions signed with {algorithm}"),
            Mender::You,
            "make a key of the other kind: `headwater keys rotate --algorithm rs384` (or es384), register it, then `headwater keys rotate --activate`",
        ),
        Cause::Environment => Finding::fail(
            "token.wrong-environment",
            format!("client id `{id}` belongs to another environment: a sandbox id at a production server, or the other way round"),
            Mender::You,
            "write the client id of this environment to `ehr.client_id`; vendors give one for each",
        ),
        Cause::NotActivated => Finding::fail(
            "token.not-activated",
            format!("the EHR knows client `{id}`, but it is not activated at this hospital"),
            Mender::EhrTeam,
            "ask the EHR's team to activate (or download) the app for this site, with the scopes `headwater init` printed",
        ),
        Cause::UnknownClient => Finding::fail(
            "token.unknown-client",
            format!("the EHR does not know client id `{id}`"),
            Mender::You,
            "compare `ehr.client_id` with what the EHR's team gave you; a new registration can take a day to reach every server",
        ),
        Cause::Scope => Finding::fail(
            "token.scope-refused",
            "the client is known, but may not have the scope that was asked for",
            Mender::EhrTeam,
            format!(
                "ask the EHR's team to grant it `{}`; or set `scope` in [ehr] to what it grants",
                settings.effective_scope()
            ),
        ),
        Cause::Grant => Finding::fail(
            "token.grant",
            "the token endpoint does not know client credentials: SMART Backend Services is not switched on for this client",
            Mender::EhrTeam,
            "ask the EHR's team to register the app as a backend (system) app",
        ),
        Cause::Unsaid => Finding::fail(
            "token.opaque",
            "the EHR refuses the client and does not say why",
            Mender::EhrTeam,
            likely(settings, key, evidence),
        ),
        Cause::Other => Finding::fail(
            "token.refused",
            format!("the token endpoint refuses the request (status {status})"),
            Mender::EhrTeam,
            "ask the EHR's team for the reason in the server's log, at this minute",
        ),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Clock,
    Audience,
    SetNotFetched,
    Key,
    Algorithm,
    Environment,
    NotActivated,
    UnknownClient,
    Scope,
    Grant,
    /// Refused without a reason.
    Unsaid,
    Other,
}

fn cause(code: &str, words: &str, evidence: &Evidence) -> Cause {
    let says = |list: &[&str]| list.iter().any(|word| contains_word(words, word));
    match code {
        "invalid_scope" => return Cause::Scope,
        "unsupported_grant_type" => return Cause::Grant,
        _ => {}
    }
    if says(&["sandbox", "production", "environment", "non-production"]) {
        Cause::Environment
    } else if says(&["activated", "activate", "enabled", "organization", "tenant", "approved"]) || words.contains("not authorized at") {
        Cause::NotActivated
    } else if says(&["jwks", "jwk set", "jku", "key set"])
        && says(&[
            "fetched",
            "fetch",
            "retrieve",
            "retrieved",
            "reached",
            "download",
            "load",
            "connect",
        ])
    {
        Cause::SetNotFetched
    } else if says(&["expired", "not yet valid", "exp", "iat", "nbf", "clock", "lifetime"]) {
        Cause::Clock
    } else if says(&["aud", "audience"]) {
        Cause::Audience
    } else if says(&["alg", "algorithm"]) {
        Cause::Algorithm
    } else if says(&["kid", "key", "keys", "signature", "jwks", "jwk"]) {
        Cause::Key
    } else if says(&["registered", "unknown", "not found", "no such client", "does not exist"]) {
        Cause::UnknownClient
    } else if evidence.key_seen == Some(false) {
        Cause::Key
    } else if evidence.clock_off && code == "invalid_client" {
        // It was written in the server's time; a server of several machines may have several clocks.
        Cause::Clock
    } else if code == "unauthorized_client" {
        Cause::NotActivated
    } else if code == "invalid_client" || code == "invalid_grant" {
        Cause::Unsaid
    } else {
        Cause::Other
    }
}

/// Whether `word` stands in `text` with no letter right before or after it.
fn contains_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !letter(text[..at].chars().next_back()) && !letter(text[at + word.len()..].chars().next())
    })
}

/// What an unexplained refusal may be, in order of likelihood; what was ruled out is not named.
fn likely(settings: &EhrSettings, key: &ClientKey, evidence: &Evidence) -> String {
    let mut causes = Vec::new();
    if evidence.key_seen != Some(true) {
        causes.push(format!("the key is not registered there yet (kid {})", key.kid()));
    }
    causes.push("the client is not activated at this hospital yet".to_owned());
    causes.push(format!(
        "`{}` is the id of another environment (sandbox or production), or misspelt",
        settings.client_id
    ));
    causes.push("a new registration has not reached every server yet, which takes up to a day".to_owned());
    causes.push("the server expects another `aud` than its token endpoint".to_owned());
    let listed: Vec<String> = (1..).zip(&causes).map(|(number, cause)| format!("({number}) {cause}")).collect();
    format!(
        "ask the EHR's team for the reason in its log, at this minute; most likely first: {}",
        listed.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::backend_services::Algorithm;
    use crate::platform::http::Url;

    #[test]
    fn the_words_of_a_refusal_are_evidence() {
        let calm = Evidence {
            clock_off: false,
            key_seen: None,
        };
        for (code, words, expected) in [
            ("invalid_client", "", Cause::Unsaid),
            ("unauthorized_client", "", Cause::NotActivated),
            ("invalid_scope", "the clock", Cause::Scope),
            ("unsupported_grant_type", "", Cause::Grant),
            ("server_error", "", Cause::Other),
            ("invalid_client", "jwt is expired", Cause::Clock),
            ("invalid_client", "assertion is not yet valid", Cause::Clock),
            ("invalid_client", "invalid audience in client_assertion", Cause::Audience),
            ("invalid_client", "unable to fetch jwks", Cause::SetNotFetched),
            ("invalid_client", "no matching key for kid", Cause::Key),
            ("invalid_client", "unsupported alg", Cause::Algorithm),
            ("invalid_client", "unknown client", Cause::UnknownClient),
            ("invalid_client", "client is not approved for this tenant", Cause::NotActivated),
            ("invalid_client", "this is a sandbox id", Cause::Environment),
            // A word inside another is not that word.
            ("invalid_client", "fraud suspected", Cause::Unsaid),
        ] {
            assert_eq!(cause(code, words, &calm), expected, "{code} {words}");
        }
    }

    #[test]
    fn a_clock_that_is_off_and_a_key_that_is_missing_weigh_more_than_silence() {
        let evidence = |clock_off, key_seen| Evidence { clock_off, key_seen };
        assert_eq!(cause("invalid_client", "", &evidence(true, None)), Cause::Clock);
        assert_eq!(
            cause("invalid_client", "no matching key", &evidence(true, None)),
            Cause::Key,
            "words weigh most"
        );
        assert_eq!(cause("invalid_client", "", &evidence(false, Some(false))), Cause::Key);
        assert_eq!(cause("invalid_client", "", &evidence(false, Some(true))), Cause::Unsaid);
    }

    #[test]
    fn a_cause_that_was_ruled_out_is_not_named() {
        let settings = EhrSettings::new(Url::parse("https://ehr.example.org").unwrap(), "headwater");
        let key = ClientKey::generate(Algorithm::Es384).unwrap();
        let text = |key_seen| {
            likely(
                &settings,
                &key,
                &Evidence {
                    clock_off: false,
                    key_seen,
                },
            )
        };
        assert!(text(None).contains("not registered") && !text(Some(true)).contains("not registered"));
    }
}
