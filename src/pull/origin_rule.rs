//! Which addresses a manifest, link or redirect may send us to, and which of them may see the token.
//! Decides on parsed scheme, host and port only; where a name leads is `platform::http`'s to watch, at connect time. EHRs are in
//! private networks themselves, so a private address is no fault as such: the operator must have named its origin. Basis: Bulk Data 3.0.0, "Output File Request"; an EHR's own words are not trusted here.

use std::net::IpAddr;

use crate::platform::http::{self, HttpError, Reach, Url, WebOrigin};

/// An address the rule forbids. Names its origin only.
#[derive(Debug, thiserror::Error)]
pub enum Breach {
    #[error("EHR sends us to an address that must not be dialled")]
    Address(#[from] HttpError),
    #[error(
        "EHR sends us to {0}, which is this machine, its link or a private network, and no configured origin: refused; if it is right, add it to `extra_origins`"
    )]
    Inward(WebOrigin),
    #[error("EHR wants our token sent to {0}: refused; if that host is the EHR's own, add it to `extra_origins`")]
    TokenElsewhere(WebOrigin),
    #[error(
        "EHR redirects what we send to {0}: refused, since it may name patients; if that host is the EHR's own, add it to `extra_origins`"
    )]
    BodyElsewhere(WebOrigin),
    #[error("EHR redirects more than {0} times")]
    TooManyRedirects(usize),
}

/// The rule for one EHR.
#[derive(Clone, Debug)]
pub(super) struct OriginRule {
    base: WebOrigin,
    base_is_loopback: bool,
    token_origins: Vec<WebOrigin>,
}

impl OriginRule {
    pub(super) fn new(base: &Url, token_origins: &[WebOrigin]) -> Self {
        let mut allowed = vec![WebOrigin::of(base)];
        allowed.extend_from_slice(token_origins);
        Self {
            base: WebOrigin::of(base),
            base_is_loopback: http::is_loopback(base),
            token_origins: allowed,
        }
    }

    /// The origins that may get the token: the base's and the configured ones.
    pub(super) fn token_origins(&self) -> &[WebOrigin] {
        &self.token_origins
    }

    pub(super) fn may_have_token(&self, url: &Url) -> bool {
        self.token_origins.contains(&WebOrigin::of(url))
    }

    /// # Errors: plain http, a user name, no host; this machine, its link or a private network, unless that origin is configured
    /// or the EHR is on this machine itself.
    pub(super) fn check(&self, url: &Url) -> Result<(), Breach> {
        http::refuse_plain_http(url)?;
        let origin = WebOrigin::of(url);
        if origin == self.base || self.token_origins.contains(&origin) {
            return Ok(());
        }
        if is_inward(url) && !(self.base_is_loopback && http::is_loopback(url)) {
            return Err(Breach::Inward(origin));
        }
        Ok(())
    }
}

/// This machine, its link, a private network or no address at all, in any spelling.
fn is_inward(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    if host.trim_end_matches('.').ends_with("localhost") {
        return true;
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(|address| http::reach(address) != Reach::Public)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> OriginRule {
        let base = Url::parse("https://ehr.example.org/fhir").unwrap();
        OriginRule::new(&base, &[WebOrigin::parse("https://files.example.org").unwrap()])
    }

    #[test]
    fn the_token_goes_to_its_origins_and_to_no_other() {
        for (url, expected) in [
            ("https://ehr.example.org/files/1", true),
            ("https://EHR.example.org:443/", true),
            ("https://files.example.org/1", true),
            ("https://ehr.example.org:8443/", false),
            ("http://ehr.example.org/", false),
            ("https://ehr.example.org.evil.test/", false),
            ("https://ehr.example.org./", false),
            ("https://evil.test/ehr.example.org", false),
            ("https://evil.test\\@ehr.example.org/", false),
            ("https://sub.ehr.example.org/", false),
            ("https://ehr.example.orgx/", false),
            ("https:\\\\evil.test/", false),
        ] {
            assert_eq!(rule().may_have_token(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_relative_trick_does_not_leave_its_origin_unseen() {
        let at = Url::parse("https://ehr.example.org/fhir/").unwrap();
        for (link, expected) in [
            ("//evil.test/x", false),
            ("/\\evil.test/x", false),
            ("files/1", true),
            ("/files/1", true),
        ] {
            assert_eq!(rule().may_have_token(&at.join(link).unwrap()), expected, "{link}");
        }
    }

    #[test]
    fn no_link_leads_into_this_machine_or_its_metadata_service() {
        for refused in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://0/",
            "https://localhost/",
            "https://localhost./",
            "https://x.localhost/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::ffff:169.254.169.254]/",
            "https://[fe80::1]/",
            "https://10.1.2.3/x",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "https://255.255.255.255/",
            "http://127.0.0.1/",
            "http://files.other.test/",
            "https://user@files.other.test/",
            "file:///etc/passwd",
        ] {
            assert!(rule().check(&Url::parse(refused).unwrap()).is_err(), "{refused}");
        }
        for allowed in [
            "https://bucket.storage.test/x?signature=1",
            "https://93.184.216.34/x",
            "https://ehr.example.org/x",
        ] {
            assert!(rule().check(&Url::parse(allowed).unwrap()).is_ok(), "{allowed}");
        }
    }

    #[test]
    fn a_private_address_is_dialled_when_its_origin_is_configured() {
        let base = Url::parse("https://10.0.0.5/fhir").unwrap();
        let rule = OriginRule::new(&base, &[WebOrigin::parse("https://10.0.0.6").unwrap()]);
        for (url, expected) in [
            ("https://10.0.0.5/x", true),
            ("https://10.0.0.6/x", true),
            ("https://10.0.0.7/x", false),
            ("https://10.0.0.6:8443/x", false),
        ] {
            assert_eq!(rule.check(&Url::parse(url).unwrap()).is_ok(), expected, "{url}");
        }
    }

    #[test]
    fn an_ehr_on_this_machine_may_use_this_machine() {
        let rule = OriginRule::new(&Url::parse("http://127.0.0.1:8080/fhir").unwrap(), &[]);
        let other = Url::parse("http://127.0.0.1:9090/file").unwrap();
        assert!(rule.check(&other).is_ok());
        assert!(!rule.may_have_token(&other));
        assert!(rule.check(&Url::parse("https://169.254.169.254/").unwrap()).is_err());
    }
}
