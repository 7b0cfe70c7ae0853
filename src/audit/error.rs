//! What can be wrong with a log: ours, or one we check. Texts name the tile or entry, never its content.

use thiserror::Error;

use crate::platform::file::FileError;

/// Why a file of a log could not be had; the caller's own error.
pub type FetchError = Box<dyn std::error::Error + Send + Sync>;

/// Why the log could not be written, or why a log, checkpoint or proof is refused.
#[derive(Debug, Error)]
pub enum AuditError {
    #[error("log origin `{0}` is no key name: it must not be empty and must hold neither white space nor `+`")]
    Origin(String),
    #[error("verifier key: {0}")]
    Vkey(&'static str),
    #[error("checkpoint: {0}")]
    Checkpoint(&'static str),
    #[error("entry of {0} bytes is too long for the log: at most 65535")]
    EntryTooLong(usize),
    #[error("log has no entry {index}: its size is {size}")]
    NoSuchEntry { index: u64, size: u64 },
    #[error("log database")]
    Database(#[from] rusqlite::Error),
    #[error("log database lacks or spoils the stored tree hash {0}; restore the database from its backup")]
    StoredHash(u64),
    #[error("log of size {size} does not continue the checkpoint of size {earlier} that was signed before; nothing is signed: {hint}")]
    Inconsistent { earlier: u64, size: u64, hint: &'static str },
    #[error("log file `{path}`")]
    File {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("log file `{path}` could not be had")]
    Fetch {
        path: String,
        #[source]
        source: FetchError,
    },
    #[error(transparent)]
    Write(#[from] FileError),
    #[error("`{path}` is refused: {fault}")]
    Tile { path: String, fault: String },
    #[error("entry {index} in `{path}` is refused: {fault}")]
    Entry { index: u64, path: String, fault: &'static str },
    #[error("the {size} entries have another root than the checkpoint signs")]
    Root { size: u64 },
    #[error("proof: {0}")]
    Proof(&'static str),
}

impl AuditError {
    pub(super) fn tile(path: &str, fault: impl Into<String>) -> Self {
        AuditError::Tile {
            path: path.to_owned(),
            fault: fault.into(),
        }
    }
}
