//! Why a connection does not work: walks from the site's own file to one read of each type, and says at the first step that
//! fails what it means, who can mend it and what to do next. Reads no patient's data and changes nothing, here or there; a
//! trial export, if a person asks for one, is taken back at once.
//!
//! ```text
//! address -> dns -> tcp (or proxy) -> tls -> clock -> fhir -> offer -> types
//!         -> discovery -> token-endpoint -> auth -> jwks -> token -> scope -> group -> reads -> export
//! registry, whatever the EHR says
//! ```

use jiff::{SignedDuration, Timestamp};

use crate::platform::backend_services::{Algorithm, ClientKey};
use crate::platform::clock::Clock;
use crate::platform::http::{self, Client, HttpError, HttpSettings};
use crate::pull::EhrSettings;

use super::feeds::Feeds;
use finding::Notes;
use refusal::Evidence;
use sign_in::SignedIn;

mod ask;
mod certificate;
mod fhir;
mod finding;
mod reach;
mod reads;
mod refusal;
mod registry;
mod scope;
mod sign_in;

pub use finding::{Diagnosis, Finding, Listener, Mender, Outcome, Verdict};

/// What is examined.
#[derive(Debug)]
pub struct Subject {
    /// `None`: a folder of files, with nothing to connect to.
    pub ehr: Option<(EhrSettings, ClientKey)>,
    /// Which types fill which tables.
    pub feeds: Feeds,
    /// `None`: not enrolled yet.
    pub registry: Option<Enrolment>,
    pub http: HttpSettings,
    /// Whether an export is begun and taken back. Default: no.
    pub try_export: bool,
}

/// Who this site is at its registry.
#[derive(Debug)]
pub struct Enrolment {
    pub base: String,
    pub site: String,
    pub client_id: String,
    pub key: ClientKey,
    /// Fingerprints of the master key here and of one that is to take its place; empty where it cannot be read.
    pub made_with: Vec<String>,
}

/// Every step that can be tried.
pub async fn examine(subject: &Subject, clock: &Clock, listener: Listener<'_>) -> Diagnosis {
    let mut notes = Notes::new(listener);
    match client(&subject.http) {
        Err(finding) => {
            notes.note(*finding);
        }
        Ok(client) => {
            match &subject.ehr {
                Some((settings, key)) => ehr(subject, settings, key, &client, clock, &mut notes).await,
                None => notes.skip(&["address.files"], "the data come from a folder"),
            }
            match &subject.registry {
                Some(enrolment) => {
                    if notes.note(registry::examine(&client, clock, enrolment).await) {
                        notes.note(registry::rows(&client, clock, enrolment).await);
                    } else {
                        notes.skip(&["registry-rows.skipped"], "the registry was not asked");
                    }
                }
                None => {
                    notes.note(Finding::warn(
                        "registry.none",
                        "this site is not enrolled at a registry yet",
                        Mender::You,
                        "ask the registry's operator for a code, then: headwater init DIR --registry URL --enrol CODE",
                    ));
                }
            }
        }
    }
    notes.diagnosis
}

fn client(settings: &HttpSettings) -> Result<Client, Box<Finding>> {
    http::client(settings).map_err(|error| {
        Box::new(match error {
            HttpError::CaFile(..) => Finding::fail(
                "http.ca-file",
                error.to_string(),
                Mender::You,
                "name a file of PEM certificates (`-----BEGIN CERTIFICATE-----`) as `ca_file` in [http]",
            ),
            HttpError::Proxy(_) => Finding::fail(
                "proxy.unusable",
                error.to_string(),
                Mender::You,
                "write `proxy` in [http] as `http://host:port`",
            ),
            error => Finding::fail(
                "http.client",
                error.to_string(),
                Mender::You,
                "install the system's certificate authorities (package `ca-certificates`)",
            ),
        })
    })
}

const AFTER_CONTACT: [&str; 10] = [
    "clock.skipped",
    "fhir.skipped",
    "offer.skipped",
    "types.skipped",
    "discovery.skipped",
    "token-endpoint.skipped",
    "auth.skipped",
    "jwks.skipped",
    "token.skipped",
    "scope.skipped",
];
const AFTER_TOKEN: [&str; 3] = ["group.skipped", "reads.skipped", "export.skipped"];

async fn ehr(subject: &Subject, settings: &EhrSettings, key: &ClientKey, client: &Client, clock: &Clock, notes: &mut Notes<'_>) {
    let reached = notes.note(reach::address(&settings.base))
        && match &subject.http.proxy {
            Some(proxy) => reach::by_proxy(proxy, notes).await,
            None => reach::directly(&settings.base, notes).await,
        };
    let metadata = ask::below(&settings.base, &["metadata"]);
    let answer = match reached {
        true => match ask::get(client, &metadata, &[], None).await {
            Ok(answer) => Some(answer),
            Err(why) => {
                notes.note(reach::unanswered(why, &settings.base).await);
                None
            }
        },
        false => None,
    };
    let Some(answer) = answer else {
        notes.skip(&AFTER_CONTACT, "the EHR was not reached");
        notes.skip(&AFTER_TOKEN, "the EHR was not reached");
        return;
    };
    notes.note(if settings.base.scheme() == "https" {
        Finding::ok("tls.ok", "the server's certificate is trusted, and is for this name")
    } else {
        Finding::skipped("tls.loopback", "the EHR is on this machine")
    });
    let server_time = answer.date();
    notes.note(reach::clock(clock.now(), server_time));
    let (finding, offer) = fhir::examine(answer, &metadata).await;
    notes.note(finding);
    notes.note(fhir::way(settings, &offer));
    let unlisted = offer.unlisted(settings);
    notes.note(fhir::types(settings, &unlisted, &subject.feeds));
    // What a run does not ask for need not be granted, nor be there.
    let settings = &pull_settings(settings, &unlisted);

    let clocks = Clocks {
        clock,
        ahead: server_time.map_or(0, |server| server.as_second() - clock.now().as_second()),
    };
    let mut signed_in = None;
    if settings.signs_in {
        signed_in = sign_in(settings, key, client, &clocks, notes).await;
        let Some(signed_in) = &signed_in else {
            notes.skip(&["scope.skipped"], "there is no token");
            notes.skip(&AFTER_TOKEN, "there is no token");
            return;
        };
        notes.note(scope::examine(signed_in.scope.as_deref(), settings));
    } else {
        notes.skip(
            &["token.not-wanted"],
            "`ehr.sign_in` says that this server asks nobody who they are",
        );
    }
    let reader = reads::Reader {
        client,
        settings,
        token: signed_in.as_ref().map(|signed_in| signed_in.token.as_str()),
        offer: &offer,
    };
    notes.note(reader.group().await);
    notes.note(reader.types().await);
    if subject.try_export {
        notes.note(reader.export(clock.now()).await);
    } else {
        notes.skip(&["export.not-tried"], "begun only with --try-export, and then taken back at once");
    }
}

/// The EHR as a run asks it: without what it does not offer.
fn pull_settings(settings: &EhrSettings, unlisted: &[String]) -> EhrSettings {
    let (not_asked, types) = settings
        .types
        .iter()
        .cloned()
        .partition(|name| name != "Patient" && unlisted.contains(name));
    EhrSettings {
        types,
        not_asked,
        ..settings.clone()
    }
}

/// Our clock, and by how many seconds the server's is ahead of it.
struct Clocks<'a> {
    clock: &'a Clock,
    ahead: i64,
}

impl Clocks<'_> {
    fn differ(&self) -> bool {
        self.ahead.abs() > reach::SKEW_SECONDS
    }

    /// The time assertions are written in: as in a run, the server's own when the two differ.
    fn now(&self) -> Timestamp {
        let ahead = if self.differ() { self.ahead } else { 0 };
        let now = self.clock.now();
        now.checked_add(SignedDuration::from_secs(ahead)).unwrap_or(now)
    }
}

/// Discovery to token.
async fn sign_in(settings: &EhrSettings, key: &ClientKey, client: &Client, clocks: &Clocks<'_>, notes: &mut Notes<'_>) -> Option<SignedIn> {
    let Some(found) = sign_in::configuration(client, settings, notes).await else {
        let why = "the token endpoint is not known";
        notes.skip(&["token-endpoint.skipped", "auth.skipped", "jwks.skipped", "token.skipped"], why);
        return None;
    };
    let may_send = notes.note(sign_in::endpoint(settings, &found.token_endpoint));
    let algorithm: Algorithm = key.algorithm();
    let fits = notes.note(sign_in::method(&found, algorithm));
    let (finding, key_seen) = sign_in::jwk_set(client, settings, key.kid()).await;
    notes.note(finding);
    if !may_send || !fits {
        notes.skip(
            &["token.skipped"],
            "the token endpoint would not take, or may not have, this site's assertion",
        );
        return None;
    }
    let evidence = Evidence {
        clock_off: clocks.differ(),
        key_seen,
    };
    let (finding, signed_in) = sign_in::token(client, settings, key, &found.token_endpoint, clocks.now(), &evidence).await;
    notes.note(finding);
    signed_in
}
