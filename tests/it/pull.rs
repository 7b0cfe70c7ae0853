//! Pulls against an EHR that does as each test scripts it. Every fault is seen to have fired in what the EHR was asked.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod access;
mod bulk;
mod changes;
mod crawl;
mod crawl_cohort;
mod crawl_ehr;
mod crawl_faults;
mod ehr;
mod faults;
mod files;
mod hostile;
mod kick_off;
mod matrix;
mod network;
mod offered;
mod pace;
mod requirements;
mod status;
mod types;
mod vendors;
mod wire;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater::landing::{self, Landing, Segment};
use headwater::platform::backend_services::{Algorithm, ClientKey};
use headwater::platform::clock::Clock;
use headwater::platform::http::{self, Client, HttpSettings};
use headwater::platform::{database, secret::Secret};
use headwater::pull::{self, EhrSettings, Limits, Progress, PullError, Pulled, Request, Settings, Source};

use self::ehr::Ehr;

/// A hospital's side: store, clock, client, key; and what the pull told on its way.
struct Site {
    dir: tempfile::TempDir,
    landing: Landing,
    clock: Clock,
    http: Client,
    key: Option<ClientKey>,
    told: Mutex<Vec<Progress>>,
    limits: Limits,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = database::open(&dir.path().join("site.db"), &[landing::SCHEMA, pull::SCHEMA]).unwrap();
        let landing = Landing::open(&dir.path().join("landing"), Secret::random(32), Arc::new(Mutex::new(database))).unwrap();
        Self {
            dir,
            landing,
            clock: Clock::manual("2026-03-01T02:00:00Z".parse().unwrap()),
            http: http::client(&HttpSettings::default()).unwrap(),
            key: None,
            told: Mutex::default(),
            limits: Limits::default(),
        }
    }

    /// A site with a key the EHR knows.
    fn with_key(ehr: &Ehr) -> Self {
        let key = ClientKey::generate(Algorithm::Es384).unwrap();
        ehr.register(key.public_jwk());
        Self {
            key: Some(key),
            ..Self::new()
        }
    }

    async fn pull_from(&self, source: Source, run: i64, since: Option<&str>) -> Result<Pulled, PullError> {
        let request = Request {
            since: since.map(|since| since.parse().unwrap()),
            ..Request::new(run)
        };
        self.pull_as(source, request).await
    }

    async fn pull_as(&self, source: Source, request: Request) -> Result<Pulled, PullError> {
        let settings = Settings {
            source,
            limits: self.limits.clone(),
        };
        let listener = |progress| self.told.lock().unwrap().push(progress);
        pull::pull(
            &settings,
            request,
            &self.landing,
            &self.http,
            &self.clock,
            self.key.as_ref(),
            &listener,
        )
        .await
    }

    async fn pull(&self, ehr: &Ehr) -> Result<Pulled, PullError> {
        self.pull_from(Source::Ehr(EhrSettings::new(ehr.base(), "gateway-1")), 1, None)
            .await
    }

    /// Asks for these types, otherwise as `change` says.
    async fn pull_types(&self, ehr: &Ehr, run: i64, types: &[&str], change: impl FnOnce(&mut EhrSettings)) -> Result<Pulled, PullError> {
        let mut settings = EhrSettings::new(ehr.base(), "gateway-1");
        settings.types = types.iter().map(|name| (*name).to_owned()).collect();
        change(&mut settings);
        self.pull_from(Source::Ehr(settings), run, None).await
    }

    /// Pulls run `run` until the EHR hangs, and gives up there, as a crash would.
    async fn pull_cut(&self, ehr: &Ehr, run: i64) {
        tokio::select! {
            result = self.pull_types(ehr, run, &[], |_| ()) => panic!("it ended: {result:?}"),
            () = ehr.hangs() => {}
        }
    }

    async fn pull_folder(&self, folder: &Path, run: i64, since: Option<&str>) -> Result<Pulled, PullError> {
        self.pull_from(Source::Files(folder.to_owned()), run, since).await
    }

    fn content(&self, segment: &Segment) -> String {
        let frames: Vec<Vec<u8>> = self.landing.read(segment).unwrap().map(Result::unwrap).collect();
        String::from_utf8(frames.concat()).unwrap()
    }

    /// Type, kind and content of everything landed, sorted.
    fn landed(&self, pulled: &Pulled) -> Vec<(String, &'static str, String)> {
        let segments = pulled.segments.iter();
        let mut landed: Vec<_> = segments
            .map(|segment| (segment.resource_type.clone(), segment.kind.as_str(), self.content(segment)))
            .collect();
        landed.sort();
        landed
    }

    fn elapsed(&self) -> Duration {
        let start = "2026-03-01T02:00:00Z".parse().unwrap();
        Duration::try_from(self.clock.now().duration_since(start)).unwrap()
    }

    fn told(&self) -> Vec<Progress> {
        self.told.lock().unwrap().clone()
    }
}

/// The chain of messages of an error, as a person would see it.
fn words(error: &PullError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

const AN_OBSERVATION: &str = "{\"resourceType\":\"Observation\",\"id\":\"o\"}\n";
const TWO_PATIENTS: &str = "{\"resourceType\":\"Patient\",\"id\":\"a\"}\n{\"resourceType\":\"Patient\",\"id\":\"b\"}\n";
