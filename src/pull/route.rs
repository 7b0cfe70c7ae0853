//! One EHR, each type its way: plans which types come by export and which by search, keeps the plan for the run, and goes
//! both ways. Knows no manifest and no page: `bulk` and `crawl` do.

use jiff::Timestamp;
use tracing::info;

use super::capability::Capability;
use super::dial::Dial;
use super::error::PullError;
use super::job::{Jobs, State};
use super::settings::{EhrSettings, Limits, Listener, Method, Progress, Request};
use super::vendor::Preferred;
use super::{bulk, capability, crawl, offer, planner};
use crate::landing::Landing;
use crate::platform::backend_services::ClientKey;
use crate::platform::clock::{Clock, Stopwatch};
use crate::platform::http::Client;

/// Each type its way: what is exported first, then what is searched.
pub(super) async fn pull(
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
    let searches = match &kept {
        Some(plan) => plan.search.is_some(),
        None => ehr.method != Method::Bulk,
    };
    let narrows = kept.is_none() && !ehr.types.is_empty() && !ehr.ask_unlisted;
    let mut dial = None;
    let (mut capability, mut date) = (None, None);
    if searches || narrows {
        let said = statement(ehr, limits, (http, clock), key).await;
        match said {
            Ok((open, found, at)) => (dial, capability, date) = (Some(open), found, at),
            Err(error) if searches => return Err(error),
            // An export needs no statement, and will meet what is wrong with this server itself.
            Err(_) => info!(run, "the EHR's CapabilityStatement cannot be read: every wanted type is asked for"),
        }
    }
    let not_offered = match &kept {
        Some(_) => offer::kept(database, run)?,
        None => offer::not_offered(ehr, capability.as_ref())?,
    };
    let ehr = &offer::narrowed(ehr, &not_offered);
    if !not_offered.is_empty() {
        let names = not_offered.join(", ");
        info!(run, names, "the EHR does not offer {names}: run {run} does not ask for them");
        if searches {
            // Its token is for what is asked.
            dial = Some(Dial::open(ehr, limits, http, clock, key).await?);
        }
    }
    let plan = match kept {
        Some(plan) => plan,
        None => {
            let rates = planner::rates(database, &ehr.base)?;
            let plan = planner::decide(ehr, request, capability.as_ref(), rates);
            planner::keep(database, request, &plan, &not_offered)?;
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

/// What the server says of itself and what its clock says, and the way it was asked by.
/// # Errors: it is not reached.
async fn statement<'a>(
    ehr: &EhrSettings,
    limits: &Limits,
    (http, clock): (&'a Client, &'a Clock),
    key: Option<&ClientKey>,
) -> Result<(Dial<'a>, Option<Capability>, Option<Timestamp>), PullError> {
    let dial = Dial::open(ehr, limits, http, clock, key).await?;
    let (capability, date) = capability::ask(&dial, &ehr.base, limits).await?;
    Ok((dial, capability, date))
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
    let beside = ehr.types.iter().filter(|name| !types.contains(name));
    let ehr = EhrSettings {
        not_asked: ehr.not_asked.iter().chain(beside).cloned().collect(),
        types,
        ..ehr.clone()
    };
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
