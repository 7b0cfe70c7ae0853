//! How the EHR behaves, and why it may not be there.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::super::error::SimulateError;
use super::fault::FaultOrder;
use super::misconfiguration::Misconfiguration;
use super::named::named;
use super::vendor::Vendor;
use crate::platform::clock::Clock;

named! {
    "way to kick off",
    /// How a kick-off may be sent.
    pub enum KickOffBy {
        Either = "either": "GET, or POST with Parameters",
        GetOnly = "get-only": "GET only: POST answers 405",
        PostOnly = "post-only": "POST only, as in version 4: GET answers 405",
    }
}

/// How the EHR behaves.
#[derive(Clone, Debug)]
pub struct EhrSettings {
    /// A folder of `<Type>*.ndjson[.gz]`.
    pub data: PathBuf,
    /// Loopback only. Default 127.0.0.1 and any free port.
    pub listen: SocketAddr,
    /// Default generic.
    pub vendor: Vendor,
    /// Where the chance of `advance_day` begins. Default 1.
    pub seed: u64,
    /// Resources a file holds at most. Default 10,000.
    pub file_lines: u64,
    /// Polls answered 202 before the manifest is given. Default 1.
    pub polls_before_ready: u32,
    /// `Retry-After` of 202, 429 and 503, in seconds. Default 1.
    pub retry_after_s: u64,
    /// A second kick-off of a client while its job is there is refused with 429. Default false.
    pub one_job_per_client: bool,
    /// Groups besides `all`: id and the ids of their patients.
    pub groups: BTreeMap<String, Vec<String>>,
    /// How a kick-off may be sent. Default either way.
    pub kick_off: KickOffBy,
    /// Which version of Bulk Data it speaks, 1 to 4. Default 3.
    pub manifest_version: u8,
    /// Files a page of a manifest names at most, where the client allows partial manifests. Default 4.
    pub manifest_files: usize,
    /// Files are on another origin and need no token. Default false.
    pub files_elsewhere: bool,
    /// How long the addresses of files are good. Default a day.
    pub files_live: Duration,
    pub faults: Vec<FaultOrder>,
    /// Chooses at which occasions ordered faults happen. Default none: at the first.
    pub fault_seed: Option<u64>,
    /// The byte at which the fault `reset` breaks a file's connection. Default one that the seed chooses.
    pub reset_at: Option<u64>,
    /// What is set up wrongly from the start. Default nothing.
    pub misconfigured: Vec<Misconfiguration>,
    pub clock: Clock,
}

impl EhrSettings {
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            vendor: Vendor::Generic,
            seed: 1,
            file_lines: 10_000,
            polls_before_ready: 1,
            retry_after_s: 1,
            one_job_per_client: false,
            groups: BTreeMap::new(),
            kick_off: KickOffBy::Either,
            manifest_version: 3,
            manifest_files: 4,
            files_elsewhere: false,
            files_live: Duration::from_secs(24 * 3600),
            faults: Vec::new(),
            fault_seed: None,
            reset_at: None,
            misconfigured: Vec::new(),
            clock: Clock::system(),
        }
    }
}

/// Why the EHR is not there.
#[derive(Debug, thiserror::Error)]
pub enum EhrError {
    #[error(transparent)]
    Data(#[from] SimulateError),
    #[error("the simulated EHR speaks plain http and listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    #[error("could not listen on {on}: is the port in use?")]
    Listen {
        on: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("could not build the HTTP client that fetches JWK Sets")]
    Http(#[from] crate::platform::http::HttpError),
    #[error("the day's changes were interrupted")]
    Interrupted,
}
