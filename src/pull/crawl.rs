//! Pulls by search: whole types where the scope is everybody, patient by patient otherwise, then what the found resources
//! refer to. Every unit of work is entered with its segments, so the same run goes on wherever it was cut, and lands nothing
//! twice. Memory is bounded by units under way, not by patients. FHIR 4.0.1, "Search"; Bulk Data's words for deletions.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use self::basket::Sieve;
use self::errand::Errand;
use self::journal::Journal;
pub(super) use self::journal::{forget, is_open, reset};
pub(super) use self::proof::{Proof, proof};
pub(super) use self::query::{REFERENCED, types_of_patients};
use self::rows::Way;
use super::capability::Capability;
use super::dial::Dial;
use super::error::PullError;
use super::settings::{Cohort, EhrSettings, Level, Limits, Listener, Method, Request};
use super::veil::Veil;
use crate::landing::Landing;
use crate::platform::clock::Stopwatch;
use crate::platform::database::DatabaseError;

mod basket;
mod cohort;
mod diagnosed;
mod errand;
mod journal;
mod page;
mod patients;
mod proof;
mod query;
mod references;
mod rows;
mod wholes;

/// Opens the run's crawl, so that a run is not done before it is.
/// # Errors: the database.
pub(super) fn open(landing: &Landing, run: i64) -> Result<(), DatabaseError> {
    journal(landing, run).map(drop)
}

fn journal(landing: &Landing, run: i64) -> Result<Journal, DatabaseError> {
    Journal::open(landing.database(), run, Veil::new(&landing.journal_key()))
}

/// Goes on until every type of `settings.types` is searched, given up or left for later. `date` is the server's clock.
/// # Errors: nothing more can be done now. The same run resumes.
pub(super) async fn crawl(
    settings: &EhrSettings,
    limits: &Limits,
    request: &Request,
    landing: &Landing,
    dial: &Dial<'_>,
    (capability, date): (&Capability, Option<Timestamp>),
    listener: Listener<'_>,
) -> Result<(), PullError> {
    if !is_open(landing.database(), request.run)? {
        return Ok(());
    }
    let journal = journal(landing, request.run)?;
    let watch = Stopwatch::start(dial.clock);
    let now = dial.clock.now();
    // By the server's clock, for its `_lastUpdated` is compared; but never later than by ours.
    journal.began(date.map_or(now, |date| date.min(now)))?;
    if journal.types()?.is_empty() {
        plan(settings, request, capability, &journal)?;
    }
    let sieve = sieve(settings, landing, &journal)?;
    let errand = Errand::new(settings, limits, request, dial, capability, journal, sieve, listener);
    let ended = stages(&errand).await;
    let spent = watch.elapsed().max(Duration::ZERO);
    errand.journal.spent(u64::try_from(spent.as_millis()).unwrap_or(u64::MAX))?;
    ended
}

async fn stages(errand: &Errand<'_>) -> Result<(), PullError> {
    wholes::search(errand).await?;
    if errand.journal.types()?.iter().any(|row| row.way == Way::Patient) {
        cohort::find(errand).await?;
        patients::search(errand).await?;
    }
    references::read(errand).await?;
    let waits = errand.journal.patient_counts()?.0 > 0 || !errand.journal.open_references(u32::MAX, 1)?.is_empty();
    if !waits {
        errand.journal.done()?;
    }
    Ok(())
}

/// Says of each type how it is searched, once for a run.
fn plan(settings: &EhrSettings, request: &Request, capability: &Capability, journal: &Journal) -> Result<(), PullError> {
    let names: BTreeSet<String> = if settings.types.is_empty() {
        let all = types_of_patients().chain(REFERENCED).chain(["Patient"]);
        all.filter(|name| capability.searches(name)).map(str::to_owned).collect()
    } else {
        settings.types.iter().cloned().collect()
    };
    if names.is_empty() {
        journal.note(
            "the EHR's CapabilityStatement offers no search of any type: nothing was asked for",
            true,
        )?;
    }
    let list: Vec<String> = names.iter().cloned().collect();
    let mut types = Vec::new();
    for name in names {
        let way = way(settings, request, capability, &name);
        if way == Way::None {
            let note = format!("`{name}` is of no patient: it comes only from a search of everything, or by `hydrate`");
            journal.note(&note, true)?;
        }
        let since = match (settings.method, way) {
            (Method::Everything, _) => request.earliest(&list),
            // A Patient is read as it is, whenever it changed.
            (_, Way::Patient) if name == "Patient" => None,
            _ => request.since_of(&name),
        };
        let window = settings.vendor.search_last_updated && (since.is_some() || request.until.is_some());
        // What a vendor's search must name besides the patient leaves out the rest, so nothing is proven of it.
        let filtered = window || settings.vendor.search_parameters.contains_key(&name);
        types.push((name, way, filtered));
    }
    journal.plan(&types)?;
    Ok(())
}

fn way(settings: &EhrSettings, request: &Request, capability: &Capability, name: &str) -> Way {
    let everybody = settings.level == Level::System && settings.cohort == Cohort::Level && request.patients.is_empty();
    let vendor = &settings.vendor;
    if vendor.by_reference.iter().any(|other| other == name) {
        return if settings.hydrate { Way::Reference } else { Way::None };
    }
    // Without `_lastUpdated` a search of everything would be one of everything, every night.
    if everybody && settings.method != Method::Everything && vendor.search_last_updated && capability.searches(name) {
        return Way::Type;
    }
    if name == "Patient" || query::parameter(name, capability).is_some() {
        return Way::Patient;
    }
    if settings.hydrate && REFERENCED.contains(&name) {
        return Way::Reference;
    }
    Way::None
}

/// What is landed, and what is followed, by the types of the run.
fn sieve(settings: &EhrSettings, landing: &Landing, journal: &Journal) -> Result<Sieve, PullError> {
    let rows = journal.types()?;
    let mut wanted: BTreeSet<String> = rows.iter().map(|row| row.name.clone()).collect();
    let mut referred = BTreeSet::new();
    if settings.hydrate {
        let is_followed = |name: &str| REFERENCED.contains(&name) || settings.vendor.by_reference.iter().any(|other| other == name);
        referred.extend(wanted.iter().filter(|name| is_followed(name)).cloned());
        let observed = rows.iter().any(|row| row.name == "Observation" && row.way == Way::Patient);
        referred.extend(observed.then(|| "Observation".to_owned()));
    }
    if settings.attachments {
        wanted.insert("Binary".to_owned());
    }
    let mut base = settings.base.clone();
    base.set_query(None);
    base.set_fragment(None);
    let base = format!("{}/", base.as_str().trim_end_matches('/'));
    let by_patient = rows.iter().any(|row| row.way == Way::Patient);
    let attachments = settings.attachments;
    Ok(Sieve::new(landing, journal, (wanted, referred), attachments, by_patient, &base))
}
