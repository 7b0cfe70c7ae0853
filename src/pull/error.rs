//! Why a pull stopped. What was landed until then stays; the same run resumes there.

use jiff::Timestamp;

use super::origin_rule::Breach;
use crate::landing::LandingError;
use crate::platform::backend_services::TokenError;
use crate::platform::database::DatabaseError;
use crate::platform::http::HttpError;

/// A pull stopped.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error("no access to the EHR")]
    Token(#[from] TokenError),
    #[error("the EHR was not reached")]
    Http(#[from] HttpError),
    #[error(transparent)]
    Landing(#[from] LandingError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Breach(#[from] Breach),
    #[error("EHR refused the export: it answered {status}{codes}; {hint}{}", named(named_type.as_deref()))]
    Refused {
        status: u16,
        codes: String,
        /// The only type of those asked for that the refusal names.
        named_type: Option<String>,
        hint: &'static str,
    },
    #[error(
        "the EHR does not offer {0}: its CapabilityStatement lists other types only, so there is nothing to ask for; check \
         `base` in [ehr], and ask the EHR's team; if it has them all the same, set ask_unlisted = true in [ehr]"
    )]
    NotOffered(String),
    #[error("type filter {place} of the export {why}")]
    TypeFilter { place: usize, why: &'static str },
    #[error("EHR gave the export up: it answered {status}{codes}; the next run asks anew")]
    JobFailed { status: u16, codes: String },
    #[error("EHR is not ready yet: run again after {next}; the job is kept and resumed")]
    NotReady { next: Timestamp },
    #[error("the EHR is left alone until {until}: run again then; what was landed is kept")]
    Quiet { until: Timestamp },
    #[error("the pull was to be finished by {deadline}, and is not: the next run goes on where it stopped")]
    OutOfTime { deadline: Timestamp },
    #[error(
        "EHR granted more than was asked for ({granted}): refused; let its owner take that from this client, or set `accept_wider_scope`"
    )]
    WiderScope { granted: String },
    #[error("EHR answers {what} with {status} again and again: run again later; what was landed is kept")]
    Unavailable { what: &'static str, status: u16 },
    #[error("EHR's answer to {what} is not what Bulk Data Access says: {why}")]
    Unexpected { what: &'static str, why: &'static str },
    #[error("EHR lost the export {0} times: ask its owner why jobs do not stay")]
    LostAgain(u32),
    #[error("could not read the folder `{0}`: check the path and the rights of this user")]
    Folder(String),
    #[error("the cohort is nobody: {0}; an empty cohort never means every patient")]
    Nobody(&'static str),
    #[error("could not read the {what} `{path}`: {why}")]
    CohortFile {
        what: &'static str,
        path: String,
        why: &'static str,
    },
    #[error("what the journal of this crawl holds does not open with this site's seal key: restore the key, or forget the run")]
    Sealed,
    #[error("another pull of this run went on meanwhile: nothing is lost, and this one ends")]
    Overtaken,
    #[error("a part of this program stopped unexpectedly while landing; what was landed before is kept")]
    Interrupted,
}

fn named(named_type: Option<&str>) -> String {
    named_type.map_or_else(String::new, |name| {
        format!("; it names {name} and no other type asked for: ask its team whether it exports that, or leave it out of `types` in [ehr]")
    })
}

impl PullError {
    /// Whether the same run may go on later by itself: the other side's fault, not the configuration's and not ours.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotReady { .. } | Self::Unavailable { .. } | Self::JobFailed { .. } | Self::Quiet { .. } | Self::OutOfTime { .. } => true,
            Self::Http(error) => error.is_transient(),
            Self::Token(error) => error.is_transient(),
            _ => false,
        }
    }
}
