//! A site's state directory, opened: keys, landing, ledger, and the lock that keeps a second gateway out.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use crate::cdm::Model;
use crate::deidentify::{Keys, MASTER_KEY_BYTES, Policy};
use crate::fhir::tree::Limits;
use crate::landing::{self, Landing};
use crate::map::derive::Derivations;
use crate::map::vocabulary::Vocabulary;
use crate::map::{LookupsBuilder, Mapping};
use crate::platform::backend_services::{Algorithm, ClientKey, KeyError};
use crate::platform::clock::Clock;
use crate::platform::file::{self, Lock};
use crate::platform::http::Url;
use crate::platform::secret::{Secret, hex, hkdf, hmac_sha256, sha256};
use crate::platform::signing::SigningKey;
use crate::platform::{database, random};
use crate::pull;
use crate::validate::Profiles;

use super::consent::{ConsentSettings, Mark};
use super::evidence::RiskSettings;
use super::feeds::Feeds;
use super::master::{self, MasterError, MasterKey};
use super::validation::Packaged;
use super::{about, evidence, inherit, ledger, people, quarantine, withdrawals};

/// Seals what is known of patients.
pub(super) const PEOPLE: &str = "headwater|landing|people";
/// Hashes patients for what is decided of them.
pub(super) const MARKS: &str = "headwater|landing|marks";

/// What SQLite may hold of the ledger in memory while it works on all of it.
const BULK_CACHE_BYTES: u32 = 16 << 20;

/// What a network prescribes: compiled once, shared by all threads.
#[derive(Clone, Debug)]
pub struct Rules {
    pub model: Arc<Model>,
    pub profiles: Arc<Profiles>,
    pub mapping: Arc<Mapping>,
    /// The tables that no single resource fills.
    pub derivations: Arc<Derivations>,
    /// What the mapping looks codes up in.
    pub vocabulary: Option<Arc<dyn Vocabulary>>,
    pub policy: Policy,
    /// The FHIR packages that resources are held to.
    pub packages: Vec<Packaged>,
    /// Rules of these packages that cannot be checked here, each with the reason.
    pub unchecked: Vec<String>,
    pub model_digest: String,
    pub mapping_digest: String,
}

impl Rules {
    /// Begins the pass that gathers what the mapping looks up.
    pub fn lookups(&self) -> LookupsBuilder<'_> {
        self.mapping.lookups().with_vocabulary(self.vocabulary.clone())
    }

    /// Which types of resources fill which table that may leave.
    pub fn feeds(&self) -> Feeds {
        let pairs = self
            .mapping
            .feeds()
            .map(|(name, table)| (name, self.model.table(table).name.as_str()));
        Feeds::of(pairs.filter(|(_, table)| !self.policy.withheld().any(|(withheld, _)| withheld == *table)))
    }

    /// The resource types the mappings read, those they look up, and patients, without whom nothing may leave.
    pub fn resource_types(&self) -> Vec<String> {
        let mut types: Vec<String> = self
            .mapping
            .resource_types()
            .into_iter()
            .chain(self.mapping.lookup_types())
            .map(str::to_owned)
            .collect();
        types.push("Patient".to_owned());
        types.sort();
        types.dedup();
        types
    }
}

/// What the site's own file says. Paths are absolute.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name the registry knows the site by.
    pub name: String,
    /// The network whose keys are derived: two networks never share a pseudonym.
    pub network: String,
    pub state: PathBuf,
    pub threads: usize,
    pub limits: Limits,
    /// A run that would withdraw more than this share of all known resources is stopped, in per cent.
    pub vanish_percent: u8,
    /// Most patients whose crosswalk is held in memory (about 400 bytes each).
    pub max_patients: usize,
    /// Who may leave.
    pub consent: ConsentSettings,
    /// How many patients must be alike in what leaves of them.
    pub risk: RiskSettings,
    /// Where the master key is kept.
    pub master: MasterKey,
    pub pull: pull::Settings,
    pub registry: RegistrySettings,
}

/// Which registry, and how it is known.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    pub base: String,
    pub client_id: String,
    /// The verifier key of its log, pinned at enrolment.
    pub log_vkey: String,
}

/// What the outside world gives a run.
#[derive(Clone, Debug)]
pub struct Tools {
    pub http: reqwest::Client,
    pub clock: Clock,
}

/// The places in a state directory.
#[derive(Clone, Debug)]
pub struct Places(PathBuf);

impl Places {
    pub fn of(state: &Path) -> Self {
        Self(state.to_owned())
    }
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }
    /// Every pseudonym and date shift hangs on this one: 32 random bytes.
    pub fn pseudonym_key(&self) -> PathBuf {
        self.keys().join("pseudonym.key")
    }
    /// The master key that is to take the place of the one before.
    pub(super) fn pseudonym_next_key(&self) -> PathBuf {
        self.keys().join("pseudonym.next.key")
    }
    /// Hashes resource ids for the ledger, once a master key was rotated.
    pub(super) fn ledger_key(&self) -> PathBuf {
        self.keys().join("ledger.key")
    }
    /// Seals everything that lies here.
    pub fn landing_key(&self) -> PathBuf {
        self.keys().join("landing.key")
    }
    /// Signs manifests.
    pub fn manifest_key(&self) -> PathBuf {
        self.keys().join("manifest.key")
    }
    /// Signs in at the EHR.
    pub fn ehr_key(&self) -> PathBuf {
        self.keys().join("ehr.pem")
    }
    /// The key that signs in at the EHR; its assertions name `jwks_url` where there is one.
    /// # Errors: it is missing, open to others, or no key.
    pub fn ehr_signing_key(&self, jwks_url: Option<&Url>) -> Result<ClientKey, KeyError> {
        let key = ClientKey::from_file(&self.ehr_key())?;
        Ok(match jwks_url {
            Some(url) => key.published_at(url.as_str()),
            None => key,
        })
    }
    /// The key that will sign in at the EHR when it is known there.
    pub(super) fn ehr_next_key(&self) -> PathBuf {
        self.keys().join("ehr.next.pem")
    }
    /// The key that signed in at the EHR until lately.
    pub(super) fn ehr_old_key(&self) -> PathBuf {
        self.keys().join("ehr.old.pem")
    }
    /// When the steps of a rotation were taken.
    pub(super) fn ehr_rotation(&self) -> PathBuf {
        self.keys().join("ehr.rotation.json")
    }
    /// The public keys of the EHR's client, for whoever may ask.
    pub fn jwks(&self) -> PathBuf {
        self.0.join("jwks.json")
    }
    /// Signs in at the registry.
    pub fn registry_key(&self) -> PathBuf {
        self.keys().join("registry.pem")
    }
    pub fn database(&self) -> PathBuf {
        self.0.join("gateway.db")
    }
    pub fn landing(&self) -> PathBuf {
        self.0.join("landing")
    }
    /// Where the chunks of one run wait for their receipt.
    pub fn outbox(&self, run: i64) -> PathBuf {
        self.outboxes().join(run.to_string())
    }
    pub(super) fn outboxes(&self) -> PathBuf {
        self.0.join("outbox")
    }
    /// What each run proves of itself.
    pub fn evidence(&self) -> PathBuf {
        self.0.join("evidence")
    }
    pub(super) fn state(&self) -> PathBuf {
        self.0.clone()
    }
    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("gateway.lock")
    }

    /// Makes the directory and every key that is not there yet; a key that is there is never replaced.
    /// # Errors: a disk that cannot be written.
    pub fn make_keys(&self) -> Result<(), SiteError> {
        self.make_keys_for(Algorithm::Es384)
    }

    /// The same; an EHR's key that is made signs by `algorithm`.
    /// # Errors: a disk that cannot be written.
    pub fn make_keys_for(&self, algorithm: Algorithm) -> Result<(), SiteError> {
        file::create_dir_private(&self.0)?;
        file::create_dir_private(&self.keys())?;
        if !self.pseudonym_key().exists() {
            let master = Secret::random(MASTER_KEY_BYTES);
            Keys::create_file(&self.pseudonym_key(), &master).map_err(|error| SiteError::Key(Box::new(error)))?;
        }
        if !self.landing_key().exists() {
            file::write_secret(&self.landing_key(), &random::bytes::<32>())?;
        }
        if !self.manifest_key().exists() {
            SigningKey::generate().to_seed_file(&self.manifest_key())?;
        }
        for (path, algorithm) in [(self.ehr_key(), algorithm), (self.registry_key(), Algorithm::Es384)] {
            if !path.exists() {
                ClientKey::generate(algorithm)?.to_file(&path)?;
            }
        }
        Ok(())
    }
}

/// Why a site cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    #[error("a second gateway is at work on this state directory; nothing was done")]
    Busy(#[source] file::LockError),
    #[error("a key of this site cannot be used; restore the keys folder from its backup (a new key would double every pseudonym)")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the master key, on which every pseudonym hangs, cannot be used")]
    Master(#[from] MasterError),
    #[error("a file of the site's state directory could not be used")]
    File(#[from] file::FileError),
    #[error("a signing key could not be used")]
    Signing(#[from] crate::platform::signing::SigningError),
    #[error("a client key could not be used")]
    ClientKey(#[from] crate::platform::backend_services::KeyError),
    #[error("the site's database could not be opened")]
    Database(#[from] database::DatabaseError),
    #[error("the landing could not be opened")]
    Landing(#[from] landing::LandingError),
}

/// The keyed hash of a patient (`Patient/id`).
pub(super) fn mark(key: &Secret, patient: &str) -> Mark {
    let digest = hmac_sha256(key, patient.as_bytes());
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest[..16]);
    mark
}

/// An opened site. While it lives, no second gateway works on the same state.
#[derive(Debug)]
pub struct Site {
    pub settings: Settings,
    pub rules: Rules,
    pub tools: Tools,
    pub places: Places,
    pub landing: Landing,
    pub db: Arc<Mutex<Connection>>,
    pub ehr_key: Option<ClientKey>,
    pub registry_key: ClientKey,
    pub manifest_key: SigningKey,
    pub keys: Keys,
    pub(super) source_key: Secret,
    pub(super) person_key: Secret,
    mark_key: Secret,
    is_rotating: AtomicBool,
    /// The fingerprint of the key whose place is taken.
    key_before: Option<String>,
    _lock: Lock,
}

impl Site {
    /// Opens the state directory: lock first, then keys, database and landing.
    /// # Errors: a second gateway, a missing or readable key, a damaged database.
    pub fn open(settings: Settings, rules: Rules, tools: Tools) -> Result<Self, SiteError> {
        let places = Places::of(&settings.state);
        file::create_dir_private(&settings.state)?;
        let lock = Lock::acquire(&places.lock()).map_err(SiteError::Busy)?;
        let boxed = |error: file::FileError| SiteError::Key(Box::new(error));
        let landing_key = file::read_secret(&places.landing_key()).map_err(boxed)?;
        let db = database::open(
            &places.database(),
            &[
                landing::SCHEMA,
                pull::SCHEMA,
                ledger::SCHEMA,
                about::SCHEMA,
                master::SCHEMA,
                inherit::SCHEMA,
                quarantine::SCHEMA,
                people::SCHEMA,
                withdrawals::SCHEMA,
                evidence::SCHEMA,
                evidence::RISK_SCHEMA,
            ],
        )?;
        ledger::upgrade(&db).map_err(|error| database::explain(&places.database(), error))?;
        let master = master::in_force(&places, &settings.master, (&settings.network, &settings.name), &db)?;
        let db = Arc::new(Mutex::new(db));
        let landing = Landing::open(&places.landing(), hkdf(&landing_key, "headwater|landing|segments"), db.clone())?
            .with_line_limit(settings.limits.line_bytes);
        let ehr_key = match &settings.pull.source {
            pull::Source::Ehr(ehr) if ehr.signs_in => Some(places.ehr_signing_key(ehr.jwks_url.as_ref())?),
            _ => None,
        };
        Ok(Self {
            ehr_key,
            registry_key: ClientKey::from_file(&places.registry_key())?,
            manifest_key: SigningKey::from_seed_file(&places.manifest_key())?,
            source_key: master.ledger,
            is_rotating: AtomicBool::new(master.is_rotating),
            person_key: hkdf(&landing_key, PEOPLE),
            mark_key: hkdf(&landing_key, MARKS),
            keys: master.keys,
            key_before: master.before,
            settings,
            rules,
            tools,
            places,
            landing,
            db,
            _lock: lock,
        })
    }

    /// The types a pull asks for.
    pub(super) fn asked_types(&self) -> Vec<String> {
        match &self.settings.pull.source {
            pull::Source::Ehr(ehr) if !ehr.types.is_empty() => ehr.types.clone(),
            _ => {
                let mut types = self.rules.resource_types();
                types.extend(self.settings.consent.types().into_iter().map(str::to_owned));
                types.sort();
                types.dedup();
                types
            }
        }
    }

    /// The keyed hash of a patient (`Patient/id`), the same for ever: it does not hang on the master key.
    pub(super) fn mark(&self, patient: &str) -> Mark {
        mark(&self.mark_key, patient)
    }

    /// Whether rows with this fingerprint were made with a key of this site.
    pub(super) fn made(&self, fingerprint: &str) -> bool {
        self.keys.fingerprint() == fingerprint || self.key_before.as_deref() == Some(fingerprint)
    }

    /// Whether this run maps everything again under a new master key.
    pub(super) fn is_rotating(&self) -> bool {
        self.is_rotating.load(Ordering::Relaxed)
    }

    /// The registry holds rows of the new key now.
    pub(super) fn has_rotated(&self) {
        self.is_rotating.store(false, Ordering::Relaxed);
    }

    /// A connection to the ledger for large statements. Its tables hold keyed hashes and de-identified rows.
    pub(super) fn bulk(&self) -> Result<Connection, database::DatabaseError> {
        database::open_for_bulk(&self.places.database(), BULK_CACHE_BYTES)
    }

    /// One digest of everything that shapes a released row: another digest means every resource is mapped again.
    pub fn rules_digest(&self) -> String {
        let policy = self.rules.policy.digest_hex();
        let mut parts = vec![
            self.rules.model_digest.as_str(),
            &self.rules.mapping_digest,
            &policy,
            self.keys.fingerprint(),
        ];
        // A ledger from before it knew whose each resource is: everything is mapped again, once.
        parts.push("about 1");
        // A ledger from before runs sent derived rows has no shares: everything is mapped again, once.
        if !self.rules.derivations.is_empty() {
            parts.push("derived 1");
        }
        hex(&sha256(parts.join("\n").as_bytes()))
    }
}
