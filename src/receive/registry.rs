//! The registry as a whole: its store, drop, log and models, and the one worker that applies what was received.
//! Everything here blocks; `routes` calls it from a thread where that is allowed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::Notify;

use super::access::Access;
use super::apply::Applying;
use super::check::{ModelCheck, ModelFault};
use super::drop::FileDrop;
use super::enrol::{self, Enrolled, Enrolment};
use super::fault::{Fault, chain};
use super::settings::Settings;
use super::store::{self, Store};
use super::submit::{Accepted, Card, Desk, refuse};
use super::{event, sign_in};
use crate::audit;
use crate::platform::clock::Clock;
use crate::platform::file::{self, FileError, Lock, LockError};
use crate::platform::signing::{SigningError, SigningKey};
use crate::submission::{Manifest, SubmissionId};

/// Why a registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Model(#[from] ModelFault),
    #[error("log key: make it with `headwater registry init`")]
    Key(#[from] SigningError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("the registry's data")]
    Data(#[from] Fault),
}

/// The registry's records without its service: what the operator's commands work on, also while it serves.
pub struct Records {
    pub store: Arc<Store>,
    pub log: Arc<audit::Log>,
    pub clock: Clock,
}

/// A registry that can receive. One per data folder: it holds the folder's lock.
pub struct Registry {
    records: Records,
    base: String,
    access: Access,
    files: FileDrop,
    models: Vec<Accepted>,
    log_dir: PathBuf,
    working: Mutex<Option<String>>,
    progress: AtomicU64,
    stopping: AtomicBool,
    wake: Notify,
    _lock: Lock,
}

/// Makes a registry's folders and its log key, unless they are there.
/// # Errors: a folder or the key cannot be written.
pub fn prepare(settings: &Settings) -> Result<(), OpenError> {
    for folder in [&settings.data, &settings.keys] {
        if !folder.is_dir() {
            file::create_dir_private(folder)?;
        }
    }
    let key = settings.keys.join("log.seed");
    if !key.exists() {
        SigningKey::generate().to_seed_file(&key)?;
    }
    Ok(())
}

impl Records {
    /// Opens the records of a prepared registry.
    /// # Errors: the database, the log key.
    pub fn open(settings: &Settings, clock: Clock) -> Result<Self, OpenError> {
        let key = SigningKey::from_seed_file(&settings.keys.join("log.seed"))?;
        let seed: &[u8; 32] = key.seed().expose().try_into().expect("an Ed25519 seed has 32 bytes");
        let log = audit::Log::open(seed, &settings.log_origin).map_err(Fault::from)?;
        let store = Store::open(&settings.data).map_err(Fault::from)?;
        Ok(Self {
            store: Arc::new(store),
            log: Arc::new(log),
            clock,
        })
    }

    /// Makes or finds the site; a one-time enrolment code for it.
    /// # Errors: `Malformed` for a name that is none.
    pub fn add_site(&self, name: &str) -> Result<String, Fault> {
        self.store.write(|tx| enrol::add_site(tx, &self.log, self.clock.now(), name))
    }

    /// Suspends a site from its next request on, or lets it in again.
    /// # Errors: `NotFound` when there is no such site.
    pub fn suspend_site(&self, name: &str, suspended: bool) -> Result<(), Fault> {
        self.store
            .write(|tx| enrol::suspend_site(tx, &self.log, self.clock.now(), name, suspended))
    }

    /// Makes an operator, or renews one's key.
    /// # Errors: `Malformed` for a name that is none.
    pub fn add_operator(&self, name: &str) -> Result<sign_in::Credentials, Fault> {
        self.store.write(|tx| sign_in::add_operator(tx, &self.log, self.clock.now(), name))
    }

    /// Writes an event of the operators' into the log, e.g. an export.
    /// # Errors: the store's or the log's.
    pub fn note(&self, name: &str, subject: &str) -> Result<(), Fault> {
        self.store
            .write(|tx| event::append(tx, &self.log, self.clock.now(), name, subject, &[]))
    }
}

impl Registry {
    /// Opens the registry that sites know as `base` (no slash at its end), and publishes its log.
    /// # Errors: a model that is none, the key, the data, or another process that holds the folder.
    pub fn open(settings: &Settings, base: &str, clock: Clock) -> Result<Arc<Self>, OpenError> {
        let lock = Lock::acquire(&settings.data.join("registry.lock"))?;
        let mut models = Vec::new();
        for accept in &settings.accept {
            models.push(Accepted {
                accept: accept.clone(),
                check: ModelCheck::load(&settings.models, &accept.model)?,
            });
        }
        let registry = Self {
            records: Records::open(settings, clock)?,
            base: base.trim_end_matches('/').to_owned(),
            access: Access::open(&settings.data).map_err(Fault::from)?,
            files: FileDrop::open(&settings.data.join("drop"))?,
            models,
            log_dir: settings.data.join("log"),
            working: Mutex::new(None),
            progress: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            wake: Notify::new(),
            _lock: lock,
        };
        registry.publish()?;
        Ok(Arc::new(registry))
    }

    pub fn records(&self) -> &Records {
        &self.records
    }

    pub fn store(&self) -> &Store {
        &self.records.store
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    pub(super) fn files(&self) -> &FileDrop {
        &self.files
    }

    pub fn now(&self) -> Timestamp {
        self.records.clock.now()
    }

    /// The address sites know, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Where the log's files stand.
    pub fn log_dir(&self) -> &std::path::Path {
        &self.log_dir
    }

    /// The key that checks the log; sites get it when they enrol.
    pub fn log_vkey(&self) -> String {
        self.records.log.vkey()
    }

    pub(super) fn desk(&self) -> Desk<'_> {
        Desk {
            store: self.store(),
            files: &self.files,
            models: &self.models,
            log: &self.records.log,
            base: &self.base,
            now: self.now(),
        }
    }

    pub(super) fn enrol(&self, enrolment: &Enrolment) -> Result<Enrolled, Fault> {
        let log = &self.records.log;
        // Anyone may send a code: only one that may be good comes near the writer.
        let now = self.now();
        if !self
            .store()
            .read(|connection| enrol::may_be_good(connection, now, &enrolment.code))?
        {
            return Err(enrol::CODE_REFUSED);
        }
        let site = self.store().write(|tx| enrol::enrol(tx, log, self.now(), enrolment))?;
        self.wake();
        let models: Vec<String> = self.models.iter().map(|accepted| accepted.accept.model.clone()).collect();
        Ok(Enrolled {
            site: site.name,
            client_id: site.client_id,
            log_origin: log.origin().to_owned(),
            log_vkey: log.vkey(),
            model: models.first().cloned().unwrap_or_default(),
            models,
        })
    }

    /// Brings the log's files up to the log.
    /// # Errors: the disk's, or a log that was set back.
    pub fn publish(&self) -> Result<(), Fault> {
        let publish = |connection: &Connection| Ok(self.records.log.publish(connection, &self.log_dir)?);
        self.store().with_writer(publish)?;
        Ok(())
    }

    /// Has the worker look for work: a submission, or log entries to publish.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Rows done of the submission being applied.
    pub(super) fn progress_of(&self, id: &str) -> Option<u64> {
        let working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        (working.as_deref() == Some(id)).then(|| self.progress.load(Ordering::Relaxed))
    }

    /// Applies all that was received, oldest first, then publishes the log. One that fails by a fault of ours keeps no
    /// other site waiting.
    /// # Errors: the first fault of ours; its submission stays received and is tried again.
    pub fn apply_received(&self) -> Result<(), Fault> {
        let mut failed: Vec<String> = Vec::new();
        let mut first = None;
        while let Some(id) = self.store().read(store::all_waiting)?.into_iter().find(|id| !failed.contains(id)) {
            *self.working.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.clone());
            self.progress.store(0, Ordering::Relaxed);
            // A panic rolls its transaction back; what it leaves behind is as after any other fault.
            let applied = catch_unwind(AssertUnwindSafe(|| self.apply(&id))).unwrap_or(Err(Fault::BrokeOff));
            *self.working.lock().unwrap_or_else(PoisonError::into_inner) = None;
            match applied {
                Ok(()) => {}
                Err(Fault::Stopping) => return Err(Fault::Stopping),
                Err(fault) => {
                    tracing::error!(submission = id, "could not apply submission `{id}`: {}", chain(&fault));
                    failed.push(id);
                    first.get_or_insert(fault);
                }
            }
        }
        self.publish()?;
        first.map_or(Ok(()), Err)
    }

    /// Applies one received submission, or writes down why it is refused.
    fn apply(&self, id: &str) -> Result<(), Fault> {
        let row: Option<(Vec<u8>, String)> = self.store().read(|connection| {
            connection
                .query_row(
                    "SELECT manifest, signature FROM submission WHERE id = ?1 AND state = 'received'",
                    [id],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()
        })?;
        let Some((bytes, signature)) = row else { return Ok(()) };
        let manifest = Manifest::read(&bytes).map_err(|_| Fault::NotFound("the stored manifest cannot be read; restore the database"))?;
        let applying = Applying {
            files: &self.files,
            models: &self.models,
            log: &self.records.log,
            now: self.now(),
            progress: &self.progress,
            stopping: &self.stopping,
        };
        match self.store().write(|tx| applying.apply(tx, &manifest)) {
            Ok(()) => {
                tracing::info!(
                    site = manifest.site,
                    submission = id,
                    rows = manifest.ledger.released,
                    "applied submission `{id}`"
                );
                // After the commit: what is lost here is only room on the disk, and the next submission clears it.
                if let Some(id) = SubmissionId::parse(id)
                    && let Err(fault) = self.files.clear(&id)
                {
                    tracing::warn!(submission = %id, "could not clear the drop of `{id}`: {}", chain(&fault));
                }
                Ok(())
            }
            Err(Fault::Refused(reason)) => {
                let card = Card {
                    manifest: &manifest,
                    bytes: &bytes,
                    signature: &signature,
                };
                self.store().write(|tx| refuse(tx, &self.records.log, self.now(), &card, &reason))
            }
            Err(fault) => Err(fault),
        }
    }

    /// The worker: applies what is received until `stop` is called. What was left by an earlier process comes first.
    pub async fn work(self: Arc<Self>) {
        let mut wait = Duration::from_secs(1);
        while !self.stopping.load(Ordering::Relaxed) {
            let registry = Arc::clone(&self);
            let done = tokio::task::spawn_blocking(move || registry.apply_received()).await;
            match done.unwrap_or(Err(Fault::BrokeOff)) {
                Ok(()) => {
                    wait = Duration::from_secs(1);
                    self.wake.notified().await;
                }
                Err(Fault::Stopping) => return,
                Err(fault) => {
                    tracing::warn!("trying again in {} s: {}", wait.as_secs(), chain(&fault));
                    tokio::select! {
                        () = self.records.clock.sleep(wait) => {}
                        () = self.wake.notified() => {}
                    }
                    wait = (wait * 2).min(Duration::from_secs(60));
                }
            }
        }
    }

    /// Ends the worker; a submission under way is rolled back and begins again at the next start.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }
}
