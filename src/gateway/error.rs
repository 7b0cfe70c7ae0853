//! Why a run did not end. Whatever it is, nothing is lost: the next run goes on.

use std::path::PathBuf;

use crate::platform::{database, file};
use crate::{audit, deidentify, landing, pull, submit};

use super::consent::ConsentError;
use super::ledger::LedgerError;
use super::people::PeopleError;

/// Why a run did not end.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("who may leave could not be decided")]
    Consent(#[from] ConsentError),
    #[error("pulling from the EHR stopped")]
    Pull(#[from] pull::PullError),
    #[error(
        "the EHR did not give every file of its export: nothing was sent, what came is landed, the next run asks for the rest\n  {}",
        problems.join("\n  ")
    )]
    NotAll { problems: Vec<String> },
    #[error(
        "run {run} was interrupted ({phase}) and a rehearsal cannot take its place: nothing was done. \
         End it with `headwater sync`, then rehearse"
    )]
    Unfinished { run: i64, phase: &'static str },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the site's database could not be used")]
    Database(#[from] database::DatabaseError),
    #[error("a landed segment could not be read")]
    Landing(#[from] landing::LandingError),
    #[error("submitting to the registry stopped; what was prepared is kept and sent by the next run")]
    Submit(#[from] submit::SubmitError),
    #[error("the patients' crosswalk could not be used")]
    People(#[from] PeopleError),
    #[error(
        "{gone} of {known} {what} known here would be withdrawn at once (more than {percent} %): nothing was sent. \
         If that is right, run again with --accept-deletions; if not, ask the EHR's team what changed in the export"
    )]
    Brake {
        gone: u64,
        known: u64,
        /// `resources`, or `Observation resources` where one type is struck more than all together.
        what: String,
        percent: u8,
    },
    #[error(
        "the registry holds rows of this site that were made with the master key {expected}, and the one here is {found}: nothing was sent, \
         for every patient would have a second pseudonym. Restore the key from its backup: `headwater keys restore`"
    )]
    OtherKey { found: String, expected: String },
    #[error(
        "a check of what would leave did not hold, and nothing was sent: {}. Read `{}` (`headwater evidence` shows it), then mend the \
         mapping or the policy, or report it",
        failed.join("; "),
        path.display()
    )]
    Evidence { failed: Vec<String>, path: PathBuf },
    #[error("[risk] in site.toml: {0}")]
    Risk(String),
    #[error("the run's evidence could not be written: nothing was sent, for what is not proven does not leave")]
    EvidenceFile(#[from] file::FileError),
    #[error("the ledger does not balance ({0}): nothing was sent; this is our fault, please report it with the counts above")]
    Unbalanced(&'static str),
    #[error("the registry's answer does not fit what was sent ({0}): it is not entered; a person must look")]
    Answer(&'static str),
    #[error("registry.log_vkey in site.toml is no verifier key; take it from the enrolment")]
    LogKey(#[source] audit::AuditError),
    #[error("the outbox could not be cleared")]
    Outbox(#[source] std::io::Error),
    #[error("the packaged submission in the outbox is not the one the ledger noted; restore the state directory from its backup")]
    Package,
    #[error("de-identification could not be set up")]
    Deidentify(#[from] deidentify::DeidentifyError),
    #[error("the vocabulary could not be read ({0}): nothing mapped since was kept; the next run goes on")]
    Vocabulary(String),
    #[error("the worker of this run stopped unexpectedly")]
    Worker,
}
