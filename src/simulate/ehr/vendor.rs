//! Whose EHR is simulated, and what that vendor's does otherwise than the plain standards.
//! Written from the vendors' own pages and the issues of their clients, not from the gateway's profiles, so that the two
//! can disagree. Sources stand in `profiles/vendors/`.

use super::named::named;

named! {
    "vendor",
    /// A vendor whose temper the EHR takes on.
    pub enum Vendor {
        Generic = "generic": "the plain reading of the standards",
        Epic = "epic": "exports Groups only and whole, one job at a time; no `lastUpdated` anywhere; keys by JWKS URL only",
        Oracle = "oracle": "Millennium: Groups only, one job, 200 lines a file, files behind a 307 to another origin",
        Soarian = "soarian": "the same `_since` and `_type` a second time is 409",
        Athena = "athena": "more than 200 token requests a minute block the client; 30 requests at a time",
    }
}

/// A level at which a server exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    System,
    Patient,
    Group,
}

/// What a vendor's EHR does. `GENERIC` does what the standards say.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a trait of a vendor's that stands alone")]
pub(super) struct Temper {
    pub(super) levels: &'static [Level],
    /// A second kick-off is refused while a job of this client is there.
    pub(super) one_job: bool,
    /// Parameters of a kick-off that it does not have.
    pub(super) lacks: &'static [&'static str],
    /// `_type` may be given more than once.
    pub(super) repeated_type: bool,
    /// `_typeFilter`s of one type, at most.
    pub(super) filters_per_type: usize,
    /// Types that take no `_typeFilter`.
    pub(super) unfiltered: &'static [&'static str],
    /// Types that are never exported.
    pub(super) not_exported: &'static [&'static str],
    /// Types that are exported only together with another one.
    pub(super) companions: &'static [&'static str],
    /// The same `_since` and `_type` a second time is refused with 409.
    pub(super) duplicate_refused: bool,
    /// Resources say when they were last updated, and can be searched by it.
    pub(super) last_updated: bool,
    /// What a search of a type must name: type, parameters.
    pub(super) search_needs: &'static [(&'static str, &'static [&'static str])],
    /// Lines a file holds at most.
    pub(super) file_lines: u64,
    /// Files are behind a redirect to an address on another origin, which takes no token.
    pub(super) files_elsewhere: bool,
    /// Clients register the address of their key set only.
    pub(super) jwks_url_only: bool,
    /// More token requests in a minute block the client.
    pub(super) tokens_per_minute: usize,
    /// More requests at a time are refused with 429.
    pub(super) requests_at_a_time: usize,
}

const GENERIC: Temper = Temper {
    levels: &[Level::System, Level::Patient, Level::Group],
    one_job: false,
    lacks: &[],
    repeated_type: true,
    filters_per_type: usize::MAX,
    unfiltered: &[],
    not_exported: &[],
    companions: &[],
    duplicate_refused: false,
    last_updated: true,
    search_needs: &[],
    file_lines: u64::MAX,
    files_elsewhere: false,
    jwks_url_only: false,
    tokens_per_minute: usize::MAX,
    requests_at_a_time: usize::MAX,
};

impl Vendor {
    pub(super) fn temper(self) -> Temper {
        match self {
            Self::Generic => GENERIC,
            Self::Epic => Temper {
                levels: &[Level::Group],
                one_job: true,
                lacks: &["_since", "_until"],
                last_updated: false,
                search_needs: &[("EpisodeOfCare", &["patient", "type"])],
                jwks_url_only: true,
                ..GENERIC
            },
            Self::Oracle => Temper {
                levels: &[Level::Group],
                one_job: true,
                lacks: &["_elements", "patient", "_until", "organizeOutputBy", "allowPartialManifests"],
                repeated_type: false,
                filters_per_type: 1,
                unfiltered: &["Patient", "Location", "Organization", "Practitioner"],
                not_exported: &["Binary"],
                companions: &["Location", "Organization", "Practitioner", "PractitionerRole", "RelatedPerson"],
                file_lines: 200,
                files_elsewhere: true,
                ..GENERIC
            },
            Self::Soarian => Temper {
                levels: &[Level::Patient, Level::Group],
                duplicate_refused: true,
                ..GENERIC
            },
            Self::Athena => Temper {
                tokens_per_minute: 200,
                requests_at_a_time: 30,
                ..GENERIC
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_vendor_is_refused_with_the_list_of_those_that_exist() {
        assert_eq!("epic".parse(), Ok(Vendor::Epic));
        assert_eq!(
            "meditech".parse::<Vendor>(),
            Err("there is no vendor `meditech`; there are: generic, epic, oracle, soarian, athena".to_owned())
        );
    }
}
