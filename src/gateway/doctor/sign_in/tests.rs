//! What a refusal of the token endpoint is taken to mean, by the evidence.

use super::*;

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
