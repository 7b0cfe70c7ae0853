//! What to pull, from where, within which limits; and what a pull says on its way and at its end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::vendor::Vendor;

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
    Ehr(EhrSettings),
    /// A folder of `*.ndjson`, `*.ndjson.gz` and `*.json` files, subfolders not included.
    Files(PathBuf),
}

/// A FHIR server and what to ask it for.
#[derive(Clone, Debug)]
pub struct EhrSettings {
    /// The FHIR base, e.g. `https://ehr.example.org/fhir/r4`.
    pub base: Url,
    /// The id under which our key is registered. Not used without a key.
    pub client_id: String,
    /// How to ask: by `$export`, by search, or whichever the server is good at. Default: planned.
    pub method: Method,
    /// At which level `$export` is asked for; and, without a cohort of its own, whose data a search is for.
    pub level: Level,
    /// Whose data, when it is not simply the level's.
    pub cohort: Cohort,
    /// Resource types to ask for; empty asks for all the server would give.
    pub types: Vec<String>,
    /// Asks for `types` that the server's CapabilityStatement does not list, too. Default: no, they are left out.
    pub ask_unlisted: bool,
    /// Types that are not asked for here, and whose scope is no breach when it is granted: what the server does not offer,
    /// what comes another way. Default: none; a pull fills it.
    pub not_asked: Vec<String>,
    /// What of the export's parameters to use beyond level, types and `_since`.
    pub export: ExportOptions,
    /// Whether a search reads what the found resources refer to: Medication, Practitioner, PractitionerRole, Location,
    /// Organization, and the `hasMember` Observations of a panel. Default: yes. Applies to asked types only.
    pub hydrate: bool,
    /// Whether the attachments of DocumentReferences are fetched, too. Default: no.
    pub attachments: bool,
    /// The quirks of the EHR's vendor.
    pub vendor: Vendor,
    /// The scope to ask for. Default: `system/<Type>.rs` for each type, `system/*.rs` without types.
    pub scope: Option<String>,
    /// Goes on, with a warning, when the EHR grants more than the scope asked for. Default: no, such a run is refused.
    pub accept_wider_scope: bool,
    /// Whether the server wants to know who asks (SMART Backend Services). One that does not must be out of strangers' reach.
    /// Default: yes.
    pub signs_in: bool,
    /// The token endpoint, for servers without `.well-known/smart-configuration`.
    pub token_url: Option<Url>,
    /// Where the EHR finds our public keys (`jku` of every assertion): equal to what is registered there. Default: not said.
    pub jwks_url: Option<Url>,
    /// Origins, besides the base's, that may get our assertion and our token. Default: none.
    pub token_origins: Vec<WebOrigin>,
}

impl EhrSettings {
    /// A server asked for everything at the system level.
    #[must_use]
    pub fn new(base: Url, client_id: impl Into<String>) -> Self {
        Self {
            base,
            client_id: client_id.into(),
            method: Method::Planned,
            level: Level::System,
            cohort: Cohort::Level,
            types: Vec::new(),
            ask_unlisted: false,
            not_asked: Vec::new(),
            export: ExportOptions::default(),
            hydrate: true,
            attachments: false,
            vendor: Vendor::default(),
            scope: None,
            accept_wider_scope: false,
            signs_in: true,
            token_url: None,
            jwks_url: None,
            token_origins: Vec::new(),
        }
    }

    /// The scope to ask for.
    #[must_use]
    pub fn effective_scope(&self) -> String {
        match &self.scope {
            Some(scope) => scope.clone(),
            None if self.types.is_empty() => "system/*.rs".to_owned(),
            None => scopes(&self.types),
        }
    }

    /// The scope beyond which nothing may be granted: a server may give a client all it is registered for.
    #[must_use]
    pub fn widest_scope(&self) -> String {
        let asked = self.effective_scope();
        match (&self.scope, self.not_asked.is_empty()) {
            (None, false) => format!("{asked} {}", scopes(&self.not_asked)),
            _ => asked,
        }
    }
}

fn scopes(types: &[String]) -> String {
    types.iter().map(|name| format!("system/{name}.rs")).collect::<Vec<_>>().join(" ")
}

/// Whose data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Level {
    System,
    Patient,
    /// The members of this Group.
    Group(String),
}

/// How an EHR is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By what the CapabilityStatement, the vendor profile and the measured rate say, type by type.
    Planned,
    /// `$export` only.
    Bulk,
    /// Search only, patient by patient or by `_lastUpdated`.
    Search,
    /// `Patient/[id]/$everything`, patient by patient.
    Everything,
}

/// Whose data are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cohort {
    /// Whoever the level names: the members of the Group, or every patient the server shows.
    Level,
    /// The patients of a text file, one per line: an id, or an identifier (MRN) as `system|value`. Lines that begin with `#`
    /// are remarks. An empty file is nobody.
    Listed(PathBuf),
    /// The patients a search finds: `Patient?…`, or the subjects of any other type's search.
    Found(String),
    /// The subjects of landed Conditions whose code is in this ValueSet, a FHIR JSON file with `compose.include.concept` or
    /// an expansion.
    Diagnosed(PathBuf),
}

/// Parameters of `$export` beyond level, types and `_since` (Bulk Data 2.0.0 and 3.0.0, "Query Parameters").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// `_typeFilter`: FHIR searches such as `Observation?category=laboratory`.
    pub type_filters: Vec<String>,
    /// `_elements`: root elements such as `Observation.code`.
    pub elements: Vec<String>,
    /// `includeAssociatedData`: `LatestProvenanceResources`, `RelevantProvenanceResources`.
    pub include_associated_data: Vec<String>,
    /// `organizeOutputBy`: a resource type, as a rule `Patient`.
    pub organize_output_by: Option<String>,
    /// `allowPartialManifests`: files may be read while the server still makes others.
    pub allow_partial_manifests: bool,
    /// `Prefer: handling=lenient`: the server may ignore what it does not support. What it ignored is told as a problem.
    pub lenient: bool,
    /// `Prefer: separate-export-status` (3.0): the job's state in `X-Export-Status`.
    pub separate_status: bool,
}

/// Hours of each day in which the EHR is left alone, in the hospital's time zone. `from` after `to` goes over midnight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuietHours {
    pub from: Time,
    pub to: Time,
    pub zone: TimeZone,
}

/// Bounds of one pull. The defaults suit an EHR that takes hours.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests to one host at a time, at most: the pace begins lower and finds what the EHR bears. Default: 4.
    pub concurrency: usize,
    /// Token requests a minute, at most (athenahealth blocks a client above 200). Default: 30.
    pub tokens_per_minute: u32,
    /// When the EHR is left alone. Default: never.
    pub quiet: Vec<QuietHours>,
    /// The moment to be finished: the pull stops at a checkpoint, and the next call goes on. Default: none.
    pub deadline: Option<Timestamp>,
    /// How long one export job may take before it is cancelled and the run is partial. Default: 30 days.
    pub job_patience: Duration,
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
            tokens_per_minute: 30,
            quiet: Vec::new(),
            deadline: None,
            job_patience: Duration::from_secs(30 * 24 * 3600),
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub run: i64,
    /// Only what changed at or after this moment. `None`: everything.
    pub since: Option<Timestamp>,
    /// Types with a moment of their own, which goes before `since`.
    pub since_by_type: BTreeMap<String, Option<Timestamp>>,
    /// Only these patients (a backfill): ids. Empty: the cohort.
    pub patients: Vec<String>,
    /// Only what changed before this moment (`_until`). `None`: up to now.
    pub until: Option<Timestamp>,
}

impl Request {
    /// Run `run`, everything.
    #[must_use]
    pub fn new(run: i64) -> Self {
        Self { run, ..Self::default() }
    }

    /// Whether this is a backfill: a part of somebody's data, from which no later run can go on.
    #[must_use]
    pub fn is_aside(&self) -> bool {
        !self.patients.is_empty() || self.until.is_some()
    }

    /// From when on `resource_type` is asked for; `None`: all of it.
    #[must_use]
    pub fn since_of(&self, resource_type: &str) -> Option<Timestamp> {
        self.since_by_type.get(resource_type).copied().unwrap_or(self.since)
    }

    /// The one moment that leaves out nothing of `types`, for a request that can name only one.
    #[must_use]
    pub fn earliest(&self, types: &[String]) -> Option<Timestamp> {
        if types.is_empty() {
            let own = self.since_by_type.values().copied();
            return own.chain([self.since]).min().flatten();
        }
        types.iter().map(|name| self.since_of(name)).min().flatten()
    }
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
    /// What is proven of each type that was asked for.
    pub types: BTreeMap<String, TypePulled>,
    /// Types that the server does not offer: not asked for, and nothing is proven of them.
    pub not_offered: Vec<String>,
}

/// What a pull proved of one resource type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypePulled {
    /// Everything the server has of this type, within the scope, is landed: what is known and was not seen is gone.
    pub whole: bool,
    /// The next `since` of this type: the earlier of the moment the pull began and the newest change seen, never in the
    /// future. `None` when the type is not all there.
    pub reached: Option<Timestamp>,
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
    /// All patients of the run are landed; the rest is still coming. Told once a call, as soon as it is so.
    PatientsLanded,
    /// The server lost the job, or changed what it gave: what was landed is thrown away, all or in part, and fetched again.
    Restarted,
    /// Which types come by `$export` and which by search. `None`: none; an empty list: all there are.
    Planned {
        bulk: Option<Vec<String>>,
        search: Option<Vec<String>>,
    },
    /// So many patients are to be searched for.
    Cohort { patients: u64 },
    /// `done` of `total` patients (or types) are searched; `resources` landed by this call.
    Crawling { done: u64, total: u64, resources: u64 },
}

/// Hears where a pull stands.
pub type Listener<'a> = &'a (dyn Fn(Progress) + Send + Sync);
