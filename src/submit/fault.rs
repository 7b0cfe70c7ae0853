//! Why a submission is not acknowledged: whose fault it is says what is to be done.

use std::time::Duration;

use crate::platform::file::FileError;
use crate::submission::{ManifestFault, ReceiptFault};

/// Why rows could not be packed, or a package not delivered. No text holds a row or a key.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The other side's or the network's; the same again later is right and harmless.
    #[error("could not {doing} at the registry: {why}; nothing is lost, the next run goes on")]
    Retry {
        doing: &'static str,
        why: String,
        /// What the registry asked to wait.
        after: Option<Duration>,
    },
    /// The registry's last word on this submission, with its own reason.
    #[error("the registry refused to {doing} ({status}, {code}): {diagnostics}")]
    Refused {
        doing: &'static str,
        status: u16,
        /// The FHIR issue type.
        code: String,
        diagnostics: String,
    },
    /// The registry answers, but what it answers cannot be believed. A person must look.
    #[error("the registry's answer is not accepted: {0}")]
    Untrusted(String),
    #[error(transparent)]
    Receipt(#[from] ReceiptFault),
    #[error("rows of table `{0}` came out of order or twice; nothing of this package is sent")]
    Order(String),
    #[error("a row of table `{0}` is longer than a submission's line may be")]
    RowTooLong(String),
    #[error("the outbox folder `{0}` holds another sealed submission")]
    OtherPackage(String),
    #[error("`{0}` in the outbox is spoilt: its bytes are not those that were written")]
    Spoilt(String),
    #[error("rows could not be compressed")]
    Compress(#[source] std::io::Error),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Manifest(#[from] ManifestFault),
    #[error("the link to the registry: {0}")]
    Link(String),
}

impl SubmitError {
    /// Whether the same again later may succeed without anyone's doing.
    #[must_use]
    pub fn may_be_retried(&self) -> bool {
        matches!(self, SubmitError::Retry { .. })
    }
}
