//! Why a request or a submission is not taken. Says whose fault it is; `reply` alone knows what that means in HTTP.
//! No message holds a row, a key of a row, a token or a code.

use crate::audit::AuditError;
use crate::platform::database::DatabaseError;
use crate::platform::file::FileError;

/// Why the registry does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No token, or one that is not good any more.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// A good token, but not for this.
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("{0}")]
    NotFound(&'static str),
    /// The request itself is not as it must be.
    #[error("{0}")]
    Malformed(String),
    /// Contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// Something must be put into the drop first.
    #[error("{0}")]
    Incomplete(String),
    #[error("{0}")]
    TooLarge(&'static str),
    /// The bytes are not those that their name says.
    #[error("{0}")]
    WrongDigest(&'static str),
    /// The submission is refused whole, for this reason; it is in the log.
    #[error("{0}")]
    Refused(String),
    /// One submission per site at a time.
    #[error("another submission of this site is being applied; try again when it is done")]
    Busy,
    /// The registry is stopping; what was under way begins again at its next start.
    #[error("the registry is stopping; try again when it is back")]
    Stopping,
    #[error("the registry's store failed")]
    Store(#[from] DatabaseError),
    #[error("the registry's store failed")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the registry's drop failed")]
    File(#[from] FileError),
    #[error("the registry's drop could not be read")]
    Io(#[from] std::io::Error),
    #[error("the registry's log failed")]
    Audit(#[from] AuditError),
    #[error("a task of the registry broke off")]
    BrokeOff,
}

impl Fault {
    /// Whether the fault is ours: trying again later may help, and someone should look.
    pub fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::Store(_) | Self::Sqlite(_) | Self::File(_) | Self::Io(_) | Self::Audit(_) | Self::BrokeOff
        )
    }
}

/// The fault and its causes in one line, for the registry's own log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
