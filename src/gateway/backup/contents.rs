//! What stands in a backup, line by line, and why there is none or nothing was restored. Knows no disk.

use serde::{Deserialize, Serialize};

use super::super::master::MasterError;
use super::super::people::PeopleError;
use super::super::site::SiteError;
use super::envelope::EnvelopeError;
use crate::platform::database::DatabaseError;
use crate::platform::file::{FileError, LockError};

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Master(#[from] MasterError),
    #[error("a rotation of the master key is under way, and both keys would be needed: run `headwater sync` first, then back up")]
    Rotating,
    #[error("a run is at work, or another gateway: back up or restore when it has ended")]
    Busy(#[source] LockError),
    #[error(transparent)]
    Site(#[from] SiteError),
    #[error("a file of the state directory could not be used")]
    File(#[from] FileError),
    #[error("the site's database could not be used")]
    Database(#[from] DatabaseError),
    #[error("the site's database could not be read or written")]
    Sql(#[from] rusqlite::Error),
    #[error("an entry of the site's database was sealed by another key")]
    Sealed,
    #[error(transparent)]
    People(#[from] PeopleError),
    #[error("the backup opens, and what is in it cannot be read: it was made by another version")]
    Content,
    #[error("the backup is of site `{found}`, and site.toml says `{expected}`: pseudonyms hang on both names, nothing was restored")]
    OtherSite { found: String, expected: String },
    #[error(
        "there is another {what} here than in the backup: nothing was restored. \
         A site that has keys needs none; to build it anew, move the state directory away first"
    )]
    Other { what: String },
}

impl BackupError {
    /// Whether something is in the way that only a person may move.
    pub fn is_a_decision(&self) -> bool {
        match self {
            BackupError::Other { .. } | BackupError::Busy(_) => true,
            BackupError::Master(error) => error.is_a_decision(),
            _ => false,
        }
    }

    /// Whether this machine, rather than who asked, is at fault.
    pub fn is_ours(&self) -> bool {
        matches!(
            self,
            BackupError::File(_)
                | BackupError::Database(_)
                | BackupError::Sql(_)
                | BackupError::Sealed
                | BackupError::Site(_)
                | BackupError::People(_)
        ) || matches!(self, BackupError::Envelope(EnvelopeError::Read(_) | EnvelopeError::Memory(_)))
    }
}

/// What is in a backup, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    pub network: String,
    pub site: String,
    /// Of the master key.
    pub fingerprint: String,
    pub made_at: String,
    pub keys: Vec<String>,
    pub patients: u64,
    pub withdrawals: u64,
}

/// One line of the file's content.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Line {
    Site {
        network: String,
        site: String,
        fingerprint: String,
        made_at: String,
    },
    Key {
        name: String,
        bytes: String,
    },
    Person {
        record: String,
    },
    Withdrawal {
        mark: String,
        reason: Option<String>,
        asked_at: String,
        lifted_at: Option<String>,
        done_at: Option<String>,
        submission: Option<String>,
        leaf: Option<i64>,
        rows: Option<i64>,
    },
    End {
        patients: u64,
        withdrawals: u64,
    },
}
