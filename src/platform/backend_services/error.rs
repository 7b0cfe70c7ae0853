//! Why there is no token, whoever is at fault.

use super::key::KeyError;
use crate::platform::http::{HttpError, WebOrigin};

/// Why there is no token, in words for the person who connects the two systems. Holds nothing of the answer but its OAuth error code.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("token endpoint answered {status} {code}: {hint}")]
    Refused { status: u16, code: String, hint: String },
    #[error("token endpoint answered {status}, which is no token and no OAuth error: {hint}")]
    Odd { status: u16, hint: &'static str },
    #[error("token endpoint {0} is neither on the server's own origin nor in the allowed list: add it there if it is the right one")]
    ForeignEndpoint(WebOrigin),
    #[error("token endpoint was not reached")]
    Http(#[from] HttpError),
    #[error("{url_of}: no SMART configuration: {what}")]
    Discovery { url_of: WebOrigin, what: String, transient: bool },
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl TokenError {
    /// Whether the same request may succeed later by itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Http(error) => error.is_transient(),
            Self::Discovery { transient, .. } => *transient,
            Self::Refused { status, .. } | Self::Odd { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}
