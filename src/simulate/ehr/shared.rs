//! What all requests share: the data as it stands, jobs, clients, faults, the log, and the order of moments.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::super::day::{Day, next_day};
use super::super::world::World;
use super::access::Access;
use super::fault::Faults;
use super::index::Snapshot;
use super::jobs::Jobs;
use super::listing::Listings;
use super::misconfiguration::{MISSING_TYPE, Misconfiguration, Planted};
use super::settings::{EhrError, EhrSettings};
use super::terms;
use super::vendor::Temper;
use crate::platform::http;

pub(super) struct Shared {
    pub(super) settings: EhrSettings,
    pub(super) access: Access,
    pub(super) faults: Faults,
    pub(super) planted: Arc<Planted>,
    pub(super) jobs: Jobs,
    pub(super) log: Log,
    /// For resources that do not say when they were last updated: when this EHR first saw them.
    pub(super) loaded: Timestamp,
    pub(super) stopped: watch::Receiver<bool>,
    base: String,
    origin: String,
    /// Another origin, `http://127.0.0.1:PORT`, that must never see a token.
    pub(super) elsewhere: String,
    snapshot: Mutex<Arc<Snapshot>>,
    pub(super) listings: Listings,
    pub(super) temper: Temper,
    /// Where the fault `reset` breaks a connection.
    pub(super) reset_at: Mutex<Option<u64>>,
    /// Requests that are being answered.
    pub(super) busy: AtomicUsize,
    /// Exports that were asked for: client, level, `_since` and types.
    pub(super) exports: Mutex<HashSet<String>>,
    day: tokio::sync::Mutex<()>,
    /// The latest moment told to anyone: exports and changes never share one.
    latest: Mutex<Timestamp>,
}

impl Shared {
    pub(super) fn new(
        settings: EhrSettings,
        world: World,
        origin: &str,
        elsewhere: &str,
        stopped: watch::Receiver<bool>,
    ) -> Result<Self, EhrError> {
        let client = http::client(&http::HttpSettings::default())?;
        let loaded = to_milliseconds(settings.clock.now());
        let planted = Arc::new(Planted::new(&settings.misconfigured));
        Ok(Self {
            access: Access::new(
                format!("{origin}/token"),
                settings.clock.clone(),
                client,
                Arc::clone(&planted),
                settings.vendor.temper(),
            ),
            planted,
            faults: Faults::new(&settings.faults, settings.fault_seed),
            jobs: Jobs::default(),
            log: Log::default(),
            loaded,
            stopped,
            base: format!("{origin}/fhir"),
            origin: origin.to_owned(),
            elsewhere: elsewhere.to_owned(),
            snapshot: Mutex::new(Arc::new(Snapshot::new(Arc::new(world), loaded))),
            listings: Listings::default(),
            temper: settings.vendor.temper(),
            reset_at: Mutex::new(settings.reset_at),
            busy: AtomicUsize::new(0),
            exports: Mutex::default(),
            day: tokio::sync::Mutex::default(),
            latest: Mutex::new(loaded),
            settings,
        })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn registration_url(&self) -> String {
        format!("{}/register", self.origin)
    }

    pub(super) fn world(&self) -> Arc<World> {
        Arc::clone(&lock(&self.snapshot).world)
    }

    /// The data as it stands now, with its index.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&lock(&self.snapshot))
    }

    /// Whether this type can be searched for and exported here, be there a resource of it or not.
    pub(super) fn offers(&self, kind: &str) -> bool {
        let is_missing = kind == MISSING_TYPE && self.planted.shows(Misconfiguration::TypeNotOffered);
        !is_missing && (self.world().kinds().contains(kind) || terms::kinds().any(|known| known == kind))
    }

    pub(super) fn next_day_url(&self) -> String {
        format!("{}/next-day", self.origin)
    }

    /// Lets a day pass; exports begun before go on with the data of their own beginning.
    pub(super) async fn advance_day(&self) -> Result<Day, EhrError> {
        // One day at a time: two at once would both begin from the same morning.
        let _one = self.day.lock().await;
        let (world, at, seed) = (self.world(), self.moment_of_change(), self.settings.seed);
        let day = tokio::task::spawn_blocking(move || next_day(&world, seed, at));
        let (world, day) = day.await.map_err(|_| EhrError::Interrupted)??;
        *lock(&self.snapshot) = Arc::new(Snapshot::new(Arc::new(world), self.loaded));
        Ok(day)
    }

    /// The transaction time of an export that begins now: not before any change it contains.
    pub(super) fn transaction_time(&self) -> Timestamp {
        let mut latest = lock(&self.latest);
        *latest = to_milliseconds(self.settings.clock.now()).max(*latest);
        *latest
    }

    /// The moment of a change that happens now: after every transaction time told so far.
    pub(super) fn moment_of_change(&self) -> Timestamp {
        let mut latest = lock(&self.latest);
        let after = latest.checked_add(SignedDuration::from_millis(1)).unwrap_or(Timestamp::MAX);
        *latest = to_milliseconds(self.settings.clock.now()).max(after);
        *latest
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Discovery,
    Registration,
    Token,
    KickOff,
    Poll,
    File,
    Cancel,
    /// A search, or a further page of one.
    Search,
    /// A read of one resource, or `$everything` of one patient.
    Read,
    Other,
}

/// One request, as it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub call: Call,
    pub method: String,
    pub path: String,
    pub status: u16,
    /// Whether it carried an Authorization header.
    pub with_token: bool,
    /// Whether it went to the other origin, which is not the EHR's own.
    pub elsewhere: bool,
}

const SEEN_AT_MOST: usize = 100_000;

/// What was asked.
#[derive(Default)]
pub(super) struct Log {
    counts: [AtomicU64; Call::Other as usize + 1],
    seen: Mutex<Vec<Seen>>,
}

impl Log {
    pub(super) fn note(&self, seen: Seen) {
        self.counts[seen.call as usize].fetch_add(1, Ordering::SeqCst);
        let mut all = lock(&self.seen);
        if all.len() < SEEN_AT_MOST {
            all.push(seen);
        }
    }

    pub(super) fn calls(&self, call: Call) -> u64 {
        self.counts[call as usize].load(Ordering::SeqCst)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }
}

/// The lock, also after a panic elsewhere: nothing here is left half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Instants on the wire have milliseconds: what is finer would compare unlike what was told.
fn to_milliseconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(moment.as_millisecond()).unwrap_or(moment)
}
