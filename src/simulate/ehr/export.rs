//! An export over HTTP: kick-off, poll, pages of the manifest, cancel.
//! Basis: Bulk Data Access 2.0.0 and 3.0.0.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};

use super::access::Grant;
use super::asked::Asked;
use super::fault::Fault;
use super::groups;
use super::jobs::{Job, Order, Progress};
use super::kick_off;
use super::manifest::{manifest, pages};
use super::misconfiguration::Misconfiguration;
use super::plan::outcome;
use super::reply::{Refused, fhir_text, http_date, json_as, set, unauthorized};
use super::routes::{Ehr, bearer};
use super::settings::KickOffBy;
use super::shared::{Shared, lock};
use super::vendor::Level;
use super::wanted::Whose;

pub(super) async fn export_system(State(ehr): Ehr, asked: Asked) -> Result<Response, Refused> {
    kick_off(&ehr, Level::System, Whose::Everyone, asked).await
}

pub(super) async fn export_patients(State(ehr): Ehr, asked: Asked) -> Result<Response, Refused> {
    kick_off(&ehr, Level::Patient, Whose::EveryPatient, asked).await
}

pub(super) async fn export_group(State(ehr): Ehr, Path(group): Path<String>, asked: Asked) -> Result<Response, Refused> {
    if ehr.planted.shows(Misconfiguration::NoGroupExport) {
        bearer(&ehr, &asked.headers)?;
        return Err(not_exported());
    }
    let Some(whose) = groups::members(&ehr, &group) else {
        // Whoever may not ask shall not learn which groups there are.
        bearer(&ehr, &asked.headers)?;
        return Err(Refused::new(StatusCode::NOT_FOUND, "not-found", "there is no such Group"));
    };
    kick_off(&ehr, Level::Group, whose, asked).await
}

fn not_exported() -> Refused {
    Refused::new(
        StatusCode::NOT_IMPLEMENTED,
        "not-supported",
        "this server does not export at this level",
    )
}

async fn kick_off(ehr: &Shared, level: Level, whose: Whose, asked: Asked) -> Result<Response, Refused> {
    let grant = bearer(ehr, &asked.headers)?;
    let allowed = match ehr.settings.kick_off {
        KickOffBy::GetOnly => Some(Method::GET),
        KickOffBy::PostOnly => Some(Method::POST),
        KickOffBy::Either => None,
    };
    if let Some(allowed) = allowed.filter(|allowed| *allowed != asked.method) {
        let refused = Refused::new(StatusCode::METHOD_NOT_ALLOWED, "not-supported", "a kick-off is sent otherwise here");
        let mut response = refused.into_response();
        set(&mut response, "allow", allowed.as_str());
        return Ok(response);
    }
    if !ehr.temper.levels.contains(&level) {
        return Err(not_exported());
    }
    refuse_on_order(ehr, &grant)?;
    if (ehr.settings.one_job_per_client || ehr.temper.one_job) && ehr.jobs.has_any(&grant.client) {
        return Err(too_many("this client has an export already; DELETE it first").retry_after(ehr.settings.retry_after_s));
    }
    let mut parameters = asked.query.clone();
    if asked.method == Method::POST {
        parameters.extend(kick_off::from_resource(&asked.body)?);
    }
    let wanted = kick_off::wanted(ehr, whose, &parameters, &asked, &grant)?;
    let path = asked.uri.path_and_query().map_or("", |path| path.as_str());
    if ehr.temper.duplicate_refused {
        let same = format!("{} {} {:?} {:?}", grant.client, asked.uri.path(), wanted.since, wanted.types);
        if !lock(&ehr.exports).insert(same) {
            return Err(Refused::new(StatusCode::CONFLICT, "duplicate", "this export was asked for before"));
        }
    }
    if ehr.faults.fires(Fault::DayPasses) {
        let passed = ehr.advance_day().await;
        passed.map_err(|_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the data could not be read"))?;
    }
    let separate_status = ehr.settings.manifest_version >= 3 && asked.prefers("separate-export-status");
    let order = Order {
        client: grant.client,
        request: format!("{}{}", ehr.base(), path.strip_prefix("/fhir").unwrap_or(path)),
        wanted,
        transaction_time: transaction_time(ehr),
        file_lines: file_lines(ehr),
        separate_status,
        empty: ehr.faults.fires(Fault::EmptyOutput),
        deletions_untold: ehr.faults.fires(Fault::DeletionsUntold),
    };
    let job = ehr.jobs.begin(ehr.snapshot(), order, ehr.loaded);
    let mut response = StatusCode::ACCEPTED.into_response();
    set(
        &mut response,
        "content-location",
        &format!("{}/export-status/{}", ehr.base(), job.id),
    );
    if separate_status {
        set(&mut response, "preference-applied", "separate-export-status");
    }
    Ok(response)
}

fn too_many(text: &str) -> Refused {
    Refused::new(StatusCode::TOO_MANY_REQUESTS, "throttled", text)
}

fn refuse_on_order(ehr: &Shared, grant: &Grant) -> Result<(), Refused> {
    let busy = || too_many("too many exports; come back later");
    if ehr.faults.fires(Fault::Kickoff429) {
        return Err(busy().retry_after(ehr.settings.retry_after_s));
    }
    if ehr.faults.fires(Fault::KickoffRetry5h) {
        return Err(busy().retry_after(5 * 3600));
    }
    if ehr.faults.fires(Fault::KickoffRetryDate) {
        return Err(busy().retry_after(http_date(moved(ehr.access.now(), SignedDuration::from_secs(120)))));
    }
    if ehr.faults.fires(Fault::KickoffRetryAbsent) {
        return Err(busy());
    }
    if ehr.faults.fires(Fault::KickoffRetryNegative) {
        return Err(busy().retry_after(-1));
    }
    if ehr.faults.fires(Fault::KickoffRetryHuge) {
        let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, "transient", "the server is being maintained");
        return Err(refused.retry_after(1_000_000_000));
    }
    if ehr.faults.fires(Fault::Kickoff500) {
        return Err(Refused::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "exception",
            "an unexpected error occurred",
        ));
    }
    if ehr.faults.fires_if(Fault::SecondKickoff, ehr.jobs.has_any(&grant.client)) {
        return Err(too_many("this client has an export already; DELETE it first").retry_after(ehr.settings.retry_after_s));
    }
    Ok(())
}

fn transaction_time(ehr: &Shared) -> Timestamp {
    let now = ehr.transaction_time();
    if ehr.faults.fires(Fault::TimeInFuture) {
        moved(now, SignedDuration::from_hours(24))
    } else if ehr.faults.fires(Fault::TimeGoesBack) {
        moved(now, SignedDuration::from_hours(-30 * 24))
    } else {
        now
    }
}

fn moved(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

fn file_lines(ehr: &Shared) -> u64 {
    let most = ehr.settings.file_lines.clamp(1, ehr.temper.file_lines);
    if ehr.faults.fires(Fault::TinyFiles) {
        1
    } else if ehr.faults.fires(Fault::RepeatedType) {
        most.min(10)
    } else {
        most
    }
}

pub(super) async fn status(State(ehr): Ehr, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    let job = job(&ehr, &id, &headers)?;
    if ehr.faults.fires(Fault::Poll503) {
        let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, "transient", "the server is busy; ask again");
        return Err(refused.retry_after(ehr.settings.retry_after_s));
    }
    if ehr.faults.fires(Fault::ErrorAt200) {
        return Ok(fhir_text(StatusCode::OK, outcome("error", "exception", "the export failed")));
    }
    let goes_back = ehr.faults.fires(Fault::ProgressGoesBack);
    let again = goes_back || ehr.faults.fires(Fault::PollAgain);
    let (status, mut response) = match job.progress(ehr.settings.polls_before_ready, again) {
        Progress::Failed => {
            let refused = Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the data could not be read");
            (StatusCode::INTERNAL_SERVER_ERROR, refused.into_response())
        }
        Progress::Working(done, of, ready) => {
            let mut response = match ready {
                Some(plan) => with_manifest(&ehr, &job, &plan, 0),
                None => StatusCode::ACCEPTED.into_response(),
            };
            let progress = if goes_back {
                let left = 100u32.saturating_sub(ehr.faults.fired(Fault::ProgressGoesBack));
                format!("working, {left} of 100")
            } else {
                format!("working, {done} of {of}")
            };
            set(&mut response, "x-progress", &progress);
            set(&mut response, "retry-after", &ehr.settings.retry_after_s.to_string());
            (StatusCode::ACCEPTED, response)
        }
        Progress::Ready(plan) => (StatusCode::OK, with_manifest(&ehr, &job, &plan, 0)),
    };
    if job.order.separate_status {
        set(&mut response, "x-export-status", status.as_str());
        *response.status_mut() = StatusCode::OK;
    } else {
        *response.status_mut() = status;
    }
    Ok(response)
}

pub(super) async fn manifest_page(
    State(ehr): Ehr,
    Path((id, page)): Path<(String, usize)>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let job = job(&ehr, &id, &headers)?;
    let plan = job.plan().filter(|plan| {
        let ready = job.pages_ready(pages(&ehr, &job, plan), ehr.settings.polls_before_ready);
        page < ready || job.endless.load(std::sync::atomic::Ordering::SeqCst)
    });
    let plan = plan.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "not-found", "this manifest has no such page"))?;
    Ok(with_manifest(&ehr, &job, &plan, page))
}

fn with_manifest(ehr: &Shared, job: &Job, plan: &super::plan::Plan, page: usize) -> Response {
    let ready = job.pages_ready(pages(ehr, job, plan), ehr.settings.polls_before_ready);
    let (manifest, until) = manifest(ehr, job, plan, page, ready);
    let mut response = json_as("application/json", StatusCode::OK, &manifest);
    set(&mut response, "expires", &http_date(until));
    response
}

pub(super) async fn cancel(State(ehr): Ehr, Path(id): Path<String>, headers: HeaderMap) -> Result<StatusCode, Refused> {
    let job = job(&ehr, &id, &headers)?;
    ehr.jobs.remove(&job.id);
    Ok(StatusCode::ACCEPTED)
}

/// The job of that id, for a client who may see it.
pub(super) fn job(ehr: &Shared, id: &str, headers: &HeaderMap) -> Result<Arc<Job>, Refused> {
    let grant = bearer(ehr, headers)?;
    if ehr.faults.fires(Fault::Bearer401) {
        return Err(unauthorized());
    }
    let none = || {
        Refused::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is no such export; it was deleted, or the server started anew",
        )
    };
    ehr.jobs.find(id, &grant.client).ok_or_else(none)
}
