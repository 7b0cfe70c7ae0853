//! Pulls what a source knows into the landing store: from a FHIR server by Bulk Data Access, by search, or by both, each type
//! its way; or from a folder of files.
//! Knows what was promised and what came; a pull that cannot prove it has everything says so. Calling again resumes.

use std::collections::BTreeMap;
use std::pin::Pin;

use jiff::Timestamp;
use tracing::info;

use self::dial::Dial;
pub use self::error::PullError;
use self::job::{Jobs, State};
pub use self::job::{forget, transaction_time, unfinished};
pub use self::origin_rule::Breach;
use self::proof::Proof;
pub use self::scope::{beyond as scope_beyond, missing as scope_missing};
pub use self::settings::{
    Cohort, EhrSettings, ExportOptions, Level, Limits, Listener, Method, Progress, Pulled, QuietHours, Request, Settings, Source,
    TypePulled,
};
use self::vendor::Preferred;
pub use self::vendor::{KickOff, Vendor, VendorFault};
use crate::landing::{Kind, Landing, Segment};
use crate::platform::backend_services::ClientKey;
use crate::platform::clock::{Clock, Stopwatch};
use crate::platform::http::Client;

mod batch;
mod body;
mod bulk;
mod by_type;
mod capability;
mod crawl;
mod dial;
mod download;
mod error;
mod files;
mod job;
mod kick_off;
mod lines;
mod manifest;
mod origin_rule;
mod outcome;
mod own;
mod pace;
mod planner;
mod proof;
mod scope;
mod settings;
mod status;
mod taking;
mod talk;
mod vendor;
mod wish;

/// The tables of the pull: of exports, of crawls, of the plans that choose between them.
pub const SCHEMA: &str = match std::str::from_utf8(&TABLES) {
    Ok(tables) => tables,
    Err(_) => unreachable!(),
};
const TABLES: [u8; job::SCHEMA.len() + crawl::SCHEMA.len() + planner::SCHEMA.len()] =
    joined(&[job::SCHEMA, crawl::SCHEMA, planner::SCHEMA]);

const fn joined<const LENGTH: usize>(parts: &[&str]) -> [u8; LENGTH] {
    let mut all = [0; LENGTH];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut from = 0;
        while from < parts[part].len() {
            all[at] = parts[part].as_bytes()[from];
            (from, at) = (from + 1, at + 1);
        }
        part += 1;
    }
    all
}

/// Pulls run `request.run`, or goes on with it, or gives its result again.
///
/// `landing`'s database has `SCHEMA` applied. Without `key` no token is asked for. Give up the future at any point: what is
/// landed stays, nothing is landed twice.
/// # Errors: nothing more can be done now; `PullError::is_transient` says whether the same call may go on later.
pub async fn pull(
    settings: &Settings,
    request: Request,
    landing: &Landing,
    http: &Client,
    clock: &Clock,
    key: Option<&ClientKey>,
    listener: Listener<'_>,
) -> Result<Pulled, PullError> {
    let jobs = Jobs {
        database: landing.database(),
        run: request.run,
    };
    let mut notes = Vec::new();
    let asked = request.clone();
    if jobs.open(clock.now())?.state != State::Done || crawl::is_open(landing.database(), request.run)? {
        let work = async {
            match &settings.source {
                Source::Ehr(ehr) => from_ehr(ehr, &settings.limits, &request, landing, (http, clock), key, listener).await?,
                Source::Files(folder) => notes = files::pull(folder, request, landing, clock, &settings.limits, listener).await?,
            }
            Ok(())
        };
        in_time(settings.limits.deadline, clock, Box::pin(work)).await?;
    }
    summary(settings, &asked, jobs, landing, clock, notes)
}

/// Each type its way: what is exported first, then what is searched.
async fn from_ehr(
    ehr: &EhrSettings,
    limits: &Limits,
    request: &Request,
    landing: &Landing,
    (http, clock): (&Client, &Clock),
    key: Option<&ClientKey>,
    listener: Listener<'_>,
) -> Result<(), PullError> {
    let (database, run) = (landing.database(), request.run);
    let jobs = Jobs { database, run };
    let kept = planner::kept(database, run)?;
    let asks = match &kept {
        Some(plan) => plan.search.is_some(),
        None => ehr.method != Method::Bulk,
    };
    let mut dial = None;
    let (mut capability, mut date) = (None, None);
    if asks {
        let open = Dial::open(ehr, limits, http, clock, key).await?;
        (capability, date) = capability::ask(&open, &ehr.base, limits).await?;
        dial = Some(open);
    }
    let plan = match kept {
        Some(plan) => plan,
        None => {
            let rates = planner::rates(database, &ehr.base)?;
            let plan = planner::decide(ehr, request, capability.as_ref(), rates);
            planner::keep(database, run, &plan)?;
            tell(run, &plan, listener);
            plan
        }
    };
    if plan.search.is_some() {
        // Before the export, so that the run is not done with it alone.
        crawl::open(landing, run)?;
    }
    let mut exported = Ok(());
    if let Some(types) = plan.bulk.clone() {
        let without_patients = |step| {
            if step != Progress::PatientsLanded {
                listener(step);
            }
        };
        // Of two ways neither knows when the other has landed its patients.
        let listener: Listener<'_> = if plan.search.is_some() { &without_patients } else { listener };
        exported = export(ehr, types, limits, request, landing, (http, clock), key, listener).await;
        let goes_on = matches!(
            exported,
            Ok(()) | Err(PullError::NotReady { .. } | PullError::JobFailed { .. } | PullError::LostAgain(_) | PullError::Refused { .. })
        );
        // What is searched need not wait for an export that takes its time.
        if !goes_on {
            return exported;
        }
    }
    if let (Some(types), Some(dial)) = (&plan.search, &dial) {
        let ehr = EhrSettings {
            types: types.clone(),
            ..ehr.clone()
        };
        let known = (&capability.unwrap_or_default(), date);
        crawl::crawl(&ehr, limits, request, landing, dial, known, listener).await?;
        bulk::note_grants(jobs, dial, types)?;
        let is_done = !crawl::is_open(database, run)?;
        if is_done && let Some(proof) = crawl::proof(database, request)? {
            let all = landing.segments(run)?;
            let searched = all
                .iter()
                .filter(|segment| types.is_empty() || types.contains(&segment.resource_type));
            let resources = searched.map(|segment| segment.lines).sum();
            planner::measured(database, &ehr.base, Preferred::Search, resources, proof.milliseconds)?;
        }
        if is_done && plan.bulk.is_none() {
            jobs.done()?;
        }
    }
    exported
}

#[allow(clippy::too_many_arguments, reason = "a pull's, and the types")]
async fn export(
    ehr: &EhrSettings,
    types: Vec<String>,
    limits: &Limits,
    request: &Request,
    landing: &Landing,
    (http, clock): (&Client, &Clock),
    key: Option<&ClientKey>,
    listener: Listener<'_>,
) -> Result<(), PullError> {
    let jobs = Jobs {
        database: landing.database(),
        run: request.run,
    };
    if jobs.open(clock.now())?.state == State::Done {
        return Ok(());
    }
    let watch = Stopwatch::start(clock);
    let ehr = EhrSettings { types, ..ehr.clone() };
    let bulk = bulk::Bulk::new(&ehr, limits, request.clone(), landing, (http, clock), key, listener).await?;
    bulk.run().await?;
    if jobs.open(clock.now())?.state == State::Done {
        let resources = landing.segments(request.run)?.iter().map(|segment| segment.lines).sum();
        let milliseconds = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
        planner::measured(landing.database(), &ehr.base, Preferred::Bulk, resources, milliseconds)?;
    }
    Ok(())
}

fn tell(run: i64, plan: &planner::Plan, listener: Listener<'_>) {
    let words = |types: &Option<Vec<String>>| match types {
        None => "nothing".to_owned(),
        Some(types) if types.is_empty() => "every type".to_owned(),
        Some(types) => types.join(", "),
    };
    let (bulk, search) = (words(&plan.bulk), words(&plan.search));
    info!(
        run,
        bulk, search, "run {run} asks for {bulk} by bulk export, for {search} by search"
    );
    if plan.search.is_some() {
        listener(Progress::Planned {
            bulk: plan.bulk.clone(),
            search: plan.search.clone(),
        });
    }
}

/// Boxed, so that the compiler sees by itself that it may change threads.
type Work<'a> = Pin<Box<dyn Future<Output = Result<(), PullError>> + Send + 'a>>;

/// `work`, given up at the deadline wherever it stands: what is landed by then stays, and running downloads leave nothing.
async fn in_time(deadline: Option<Timestamp>, clock: &Clock, work: Work<'_>) -> Result<(), PullError> {
    let Some(deadline) = deadline else { return work.await };
    tokio::select! {
        biased;
        done = work => done,
        () = clock.passed(deadline) => Err(PullError::OutOfTime { deadline }),
    }
}

fn summary(
    settings: &Settings,
    request: &Request,
    jobs: Jobs<'_>,
    landing: &Landing,
    clock: &Clock,
    notes: Vec<String>,
) -> Result<Pulled, PullError> {
    let job = jobs.open(clock.now())?;
    let segments = landing.segments(jobs.run)?;
    let counts = counts(&segments);
    let searched = crawl::proof(landing.database(), request)?;
    let names = || counts.iter().map(|(name, _)| name.clone()).collect();
    let (asked, vendor) = match &settings.source {
        Source::Ehr(ehr) => (ehr.types.clone(), Some(&ehr.vendor)),
        Source::Files(_) => (Vec::new(), None),
    };
    let mut exported: Vec<String> = if asked.is_empty() { names() } else { asked.clone() };
    let mut since = vendor.map_or(request.since, |vendor| wish::since(vendor, &asked, request));
    if let Some(searched) = &searched {
        exported.retain(|name| !searched.types.contains_key(name));
        since = vendor.and_then(|vendor| wish::since(vendor, &exported, request));
    }
    let mut proof = Proof::of(jobs, &job, landing, &segments, &exported)?;
    for note in notes {
        proof.spoil("", note);
    }
    let mut transaction_time = job.transaction_time.unwrap_or(job.begun_at);
    if let Some(crawl::Proof { began, .. }) = &searched {
        // Of two moments the earlier leaves out nothing.
        transaction_time = job.transaction_time.unwrap_or(*began).min(*began);
    }
    // A source whose clock runs ahead would make the next `since` skip what changes until then.
    if transaction_time > crate::platform::clock::later(clock.now(), std::time::Duration::from_secs(300)) {
        let text = "the source's `transactionTime` lies in the future: its clock or ours is wrong";
        proof.spoil("", text.to_owned());
    }
    let is_exported = job.state == State::Done;
    let proven = |name: &String| {
        let holds = is_exported && proof.holds_for(name);
        let pulled = TypePulled {
            whole: holds && since.is_none() && request.until.is_none(),
            reached: holds.then(|| transaction_time.min(clock.now())),
        };
        (name.clone(), pulled)
    };
    let mut types: BTreeMap<String, TypePulled> = exported.iter().map(proven).collect();
    let is_done = is_exported && !crawl::is_open(landing.database(), jobs.run)?;
    let mut complete = is_done && proof.holds();
    if let Some(searched) = searched {
        complete &= searched.problems.is_empty();
        proof.problems.extend(searched.problems);
        // An EHR may answer a search for what it did not grant with nothing, as if there were none.
        let granted = |(name, pulled): (String, TypePulled)| {
            if proof.is_spoilt(&name) {
                (name, TypePulled::default())
            } else {
                (name, pulled)
            }
        };
        types.extend(searched.types.into_iter().map(granted));
    }
    let problems = proof.problems;
    Ok(Pulled {
        transaction_time,
        complete,
        problems,
        counts,
        segments,
        types,
    })
}

fn counts(segments: &[Segment]) -> Vec<(String, u64)> {
    let mut counts = BTreeMap::new();
    for segment in segments.iter().filter(|segment| segment.kind == Kind::Resources) {
        *counts.entry(segment.resource_type.clone()).or_insert(0) += segment.lines;
    }
    counts.into_iter().collect()
}
