//! What to pull, from where, within which limits; and what a pull says on its way and at its end.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::landing::Segment;
use crate::platform::http::{Url, WebOrigin};

/// Where the data comes from, and within which limits.
#[derive(Clone, Debug)]
pub struct Settings {
    pub source: Source,
    pub limits: Limits,
}

/// Where the data comes from.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of it in a run")]
pub enum Source {
    /// A FHIR server with Bulk Data Access.
    Bulk(BulkSettings),
    /// A folder of `*.ndjson`, `*.ndjson.gz` and `*.json` files, subfolders not included.
    Files(PathBuf),
}

/// A FHIR server and what to ask it for.
#[derive(Clone, Debug)]
pub struct BulkSettings {
    /// The FHIR base, e.g. `https://ehr.example.org/fhir/r4`.
    pub base: Url,
    /// The id under which our key is registered. Not used without a key.
    pub client_id: String,
    pub level: Level,
    /// Resource types to ask for; empty asks for all the server would give.
    pub types: Vec<String>,
    /// The scope to ask for. Default: `system/<Type>.rs` for each type, `system/*.rs` without types.
    pub scope: Option<String>,
    /// The token endpoint, for servers without `.well-known/smart-configuration`.
    pub token_url: Option<Url>,
    /// Origins, besides the base's, that may get our assertion and our token. Default: none.
    pub token_origins: Vec<WebOrigin>,
}

impl BulkSettings {
    /// A server asked for everything at the system level.
    #[must_use]
    pub fn new(base: Url, client_id: impl Into<String>) -> Self {
        Self {
            base,
            client_id: client_id.into(),
            level: Level::System,
            types: Vec::new(),
            scope: None,
            token_url: None,
            token_origins: Vec::new(),
        }
    }

    /// The scope to ask for.
    #[must_use]
    pub fn effective_scope(&self) -> String {
        match &self.scope {
            Some(scope) => scope.clone(),
            None if self.types.is_empty() => "system/*.rs".to_owned(),
            None => self
                .types
                .iter()
                .map(|name| format!("system/{name}.rs"))
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

/// Whose data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Level {
    System,
    Patient,
    /// The members of this Group.
    Group(String),
}

/// Bounds of one pull. The defaults suit an EHR that takes hours.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Files downloaded at a time. Default: 4.
    pub concurrency: usize,
    /// Tries of one request before it counts as failed for now. Default: 5.
    pub attempts: u32,
    /// How long one call waits for the server altogether before it gives up for now. Default: 24 h.
    pub patience: Duration,
    /// The longest single wait, whatever `Retry-After` says. Default: 1 h.
    pub max_wait: Duration,
    /// The first wait when the server names none; doubled up to 5 min. Default: 2 s.
    pub first_wait: Duration,
    /// Plain bytes of one file. Default: 64 GiB.
    pub file_bytes: u64,
    /// Plain bytes per compressed byte, beyond the first MiB. Default: 200.
    pub ratio: u64,
    /// Bytes a second below which a download, after ten minutes, is broken off and tried again. Default: 128.
    pub slowest: u64,
    /// Manifest pages. Default: 10,000.
    pub pages: usize,
    /// Bytes of one manifest page. Default: 64 MiB.
    pub manifest_bytes: usize,
    /// Bytes of one `*.json` file, which is read whole. Default: 128 MiB.
    pub bundle_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 4,
            attempts: 5,
            patience: Duration::from_secs(24 * 3600),
            max_wait: Duration::from_secs(3600),
            first_wait: Duration::from_secs(2),
            file_bytes: 64 << 30,
            ratio: 200,
            slowest: 128,
            pages: 10_000,
            manifest_bytes: 64 << 20,
            bundle_bytes: 128 << 20,
        }
    }
}

/// Which pull this is. The same run number again resumes it, or gives its result again.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub run: i64,
    /// Only what changed at or after this moment. `None`: everything.
    pub since: Option<Timestamp>,
}

/// What a pull gave.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The moment the data is from, by the source's clock; the next `since` when the run was complete.
    pub transaction_time: Timestamp,
    /// All that was landed, in the order of landing.
    pub segments: Vec<Segment>,
    /// Whether everything the source listed is landed, and the source reported no error.
    pub complete: bool,
    /// What is missing or odd, for a person. No patient's value.
    pub problems: Vec<String>,
    /// Landed resources by type, in order of type.
    pub counts: Vec<(String, u64)>,
}

/// Where a pull stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The server took the job.
    KickedOff,
    /// The server works on it. `x_progress` is its own word, made harmless: printable, at most 100 characters.
    JobWaiting { x_progress: Option<String>, next_poll: Timestamp },
    /// The server asks for patience, or did not answer.
    Retrying { what: &'static str, next: Timestamp },
    /// The job is done; so many files are to be downloaded.
    Listed { files: usize },
    /// `done` of `total` files are landed; `bytes` plain bytes of this call's.
    Downloading { done: usize, total: usize, bytes: u64 },
    /// The server lost the job; it is asked again from the start.
    Restarted,
}

/// Hears where a pull stands.
pub type Listener<'a> = &'a (dyn Fn(Progress) + Send + Sync);
