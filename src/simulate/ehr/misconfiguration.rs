//! What is set up wrongly between a site and its EHR: each has a name, is there until it is mended, and is counted
//! whenever an answer was another because of it. Where it can, a misconfiguration changes what the server knows, not
//! what it says: the refusal is then the one a strict server gives.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::named::named;

named! {
    "misconfiguration",
    /// What can be set up wrongly.
    pub enum Misconfiguration {
        NoDiscovery = "no-discovery": "`.well-known/smart-configuration` answers 404",
        DiscoveryNotJson = "discovery-not-json": "`.well-known/smart-configuration` answers 200 with a page of HTML",
        NoTokenEndpoint = "no-token-endpoint": "the SMART configuration names no `token_endpoint`",
        ForeignTokenEndpoint = "foreign-token-endpoint": "the SMART configuration names a `token_endpoint` on another origin",
        TokenEndpoint404 = "token-endpoint-404": "the named token endpoint is not there",
        TokenEndpointRedirects = "token-endpoint-redirects": "the token endpoint answers 307 to another origin",
        WrongAudience = "wrong-audience": "the token endpoint expects another `aud` than its own address",
        UnknownClient = "unknown-client": "no client id is registered",
        KidNotInJwks = "kid-not-in-jwks": "the server knows another key than the one that signs",
        JwksUrlUnreachable = "jwks-url-unreachable": "the server cannot fetch the client's JWK Set",
        Rs384Only = "rs384-only": "the server takes assertions signed with RS384 only, and says so",
        Es384Only = "es384-only": "the server takes assertions signed with ES384 only, and says so",
        NotActivated = "not-activated": "the client is known and not yet activated at this site",
        SandboxClient = "sandbox-client": "the client id is one of the vendor's sandbox",
        ClockAhead = "clock-ahead": "the server's clock is ten minutes ahead: assertions have expired",
        ClockBehind = "clock-behind": "the server's clock is ten minutes behind: assertions are from the future",
        NarrowScope = "narrow-scope": "whatever is asked for, `system/Patient.rs` is granted",
        WideScope = "wide-scope": "whatever is asked for, `system/*.*` is granted",
        GroupNotVisible = "group-not-visible": "no Group is shown to the client: 404",
        NoGroupExport = "no-group-export": "a Group's `$export` answers 501",
        TypeNotOffered = "type-not-offered": "Conditions are not offered: the CapabilityStatement does not list them, searches answer 404, exports that name them 400",
        TypeNotExported = "type-not-exported": "an export that names Conditions answers 400, though the CapabilityStatement lists them",
        TypeForbidden = "type-forbidden": "Observations answer 403, whatever the scope says",
        OpaqueRefusal = "opaque-refusal": "every token request is refused with `invalid_client` and no description",
        FhirStu3 = "fhir-stu3": "the CapabilityStatement says FHIR 3.0.2",
        Metadata404 = "metadata-404": "the CapabilityStatement is not there",
        Read500 = "read-500": "every read and every search answers 500",
    }
}

/// The type that `type-not-offered` and `type-not-exported` are about.
pub(super) const MISSING_TYPE: &str = "Condition";
/// The type that `type-forbidden` forbids.
pub(super) const FORBIDDEN_TYPE: &str = "Observation";
/// What `wrong-audience` expects.
pub(super) const OTHER_AUDIENCE: &str = "https://ehr.example.org/oauth2/token";
/// How far off the clocks of `clock-ahead` and `clock-behind` are.
pub(super) const CLOCK_OFF_SECONDS: i64 = 600;

/// What is set up wrongly now, and how often it showed.
#[derive(Default)]
pub(super) struct Planted([(AtomicBool, AtomicU32); Misconfiguration::ALL.len()]);

impl Planted {
    pub(super) fn new(planted: &[Misconfiguration]) -> Self {
        let all = Self::default();
        for one in planted {
            all.set(*one, true);
        }
        all
    }

    pub(super) fn set(&self, one: Misconfiguration, planted: bool) {
        self.0[one as usize].0.store(planted, Ordering::SeqCst);
    }

    /// True if it is planted; it then counts as having shown.
    pub(super) fn shows(&self, one: Misconfiguration) -> bool {
        let (planted, shown) = &self.0[one as usize];
        let shows = planted.load(Ordering::SeqCst);
        shown.fetch_add(u32::from(shows), Ordering::SeqCst);
        shows
    }

    /// How often it showed.
    pub(super) fn shown(&self, one: Misconfiguration) -> u32 {
        self.0[one as usize].1.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misconfiguration_shows_until_it_is_mended_and_is_counted() {
        let planted = Planted::new(&[Misconfiguration::Read500]);
        assert!(planted.shows(Misconfiguration::Read500) && planted.shows(Misconfiguration::Read500));
        planted.set(Misconfiguration::Read500, false);
        assert!(!planted.shows(Misconfiguration::Read500) && !planted.shows(Misconfiguration::FhirStu3));
        assert_eq!(
            (planted.shown(Misconfiguration::Read500), planted.shown(Misconfiguration::FhirStu3)),
            (2, 0)
        );
    }

    #[test]
    fn every_misconfiguration_is_found_by_its_name_and_an_unknown_one_lists_them() {
        for (at, one) in Misconfiguration::ALL.into_iter().enumerate() {
            assert_eq!((one as usize, one.name().parse()), (at, Ok(one)));
        }
        let refused = "no-luck".parse::<Misconfiguration>().unwrap_err();
        assert!(refused.contains("`no-luck`") && refused.contains("no-discovery, discovery-not-json"));
    }
}
