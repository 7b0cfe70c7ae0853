//! An export over HTTP: kick-off, poll, files, cancel.
//! Basis: Bulk Data Access 2.0.0.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::asked::Asked;
use super::body::{self, Ending};
use super::fault::Fault;
use super::groups;
use super::jobs::{Job, Order, Progress};
use super::kick_off;
use super::misconfiguration::Misconfiguration;
use super::plan::Whose;
use super::reply::{Refused, json_as, set, unauthorized};
use super::routes::{Ehr, bearer};
use super::shared::Shared;

pub(super) async fn export_system(State(ehr): Ehr, asked: Asked) -> Result<Response, Refused> {
    kick_off(&ehr, Whose::Everyone, asked)
}

pub(super) async fn export_patients(State(ehr): Ehr, asked: Asked) -> Result<Response, Refused> {
    kick_off(&ehr, Whose::EveryPatient, asked)
}

pub(super) async fn export_group(State(ehr): Ehr, Path(group): Path<String>, asked: Asked) -> Result<Response, Refused> {
    if ehr.planted.shows(Misconfiguration::NoGroupExport) {
        bearer(&ehr, &asked.headers)?;
        return Err(Refused::new(
            StatusCode::NOT_IMPLEMENTED,
            "not-supported",
            "this server does not export Groups",
        ));
    }
    let Some(whose) = groups::members(&ehr, &group) else {
        // Whoever may not ask shall not learn which groups there are.
        bearer(&ehr, &asked.headers)?;
        return Err(Refused::new(StatusCode::NOT_FOUND, "not-found", "there is no such Group"));
    };
    kick_off(&ehr, whose, asked)
}

fn kick_off(ehr: &Shared, whose: Whose, asked: Asked) -> Result<Response, Refused> {
    let grant = bearer(ehr, &asked.headers)?;
    let too_many = |text: &str| Refused::new(StatusCode::TOO_MANY_REQUESTS, "throttled", text).retry_after(ehr.settings.retry_after_s);
    if ehr.faults.fires(Fault::Kickoff429) {
        return Err(too_many("too many exports; come back later"));
    }
    if ehr.settings.one_job_per_client && ehr.jobs.has_any(&grant.client) {
        return Err(too_many("this client has an export already; DELETE it first"));
    }
    let mut parameters = asked.query.clone();
    if asked.method == Method::POST {
        parameters.extend(kick_off::from_resource(&asked.body)?);
    }
    let wanted = kick_off::wanted(whose, &parameters, &asked, &grant)?;
    let path = asked.uri.path_and_query().map_or("", |path| path.as_str());
    let world = ehr.world();
    let order = Order {
        client: grant.client,
        request: format!("{}{}", ehr.base(), path.strip_prefix("/fhir").unwrap_or(path)),
        wanted,
        transaction_time: ehr.transaction_time(),
        loaded: ehr.loaded,
        file_lines: ehr.settings.file_lines.max(1),
    };
    let job = ehr.jobs.begin(world, order);
    let mut response = StatusCode::ACCEPTED.into_response();
    set(
        &mut response,
        "content-location",
        &format!("{}/export-status/{}", ehr.base(), job.id),
    );
    Ok(response)
}

pub(super) async fn status(State(ehr): Ehr, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    let job = job(&ehr, &id, &headers)?;
    if ehr.faults.fires(Fault::Poll503) {
        let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, "transient", "the server is busy; ask again");
        return Err(refused.retry_after(ehr.settings.retry_after_s));
    }
    match job.progress(ehr.settings.polls_before_ready) {
        Progress::Failed => Err(Refused::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "exception",
            "the data could not be read",
        )),
        Progress::Working(done, of) => {
            let mut response = StatusCode::ACCEPTED.into_response();
            set(&mut response, "x-progress", &format!("working, {done} of {of}"));
            set(&mut response, "retry-after", &ehr.settings.retry_after_s.to_string());
            Ok(response)
        }
        Progress::Ready(plan) => {
            let mut manifest = job.manifest(&plan, ehr.base());
            if !plan.pieces.is_empty() && ehr.faults.fires(Fault::WrongCount) {
                manifest["output"][0]["count"] = json!(plan.pieces[0].count + 1);
            }
            Ok(json_as("application/json", StatusCode::OK, &manifest))
        }
    }
}

pub(super) async fn cancel(State(ehr): Ehr, Path(id): Path<String>, headers: HeaderMap) -> Result<StatusCode, Refused> {
    let job = job(&ehr, &id, &headers)?;
    ehr.jobs.remove(&job.id);
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn file(
    State(ehr): Ehr,
    Path((id, generation, name)): Path<(String, u32, String)>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let job = job(&ehr, &id, &headers)?;
    let plan = job.plan().ok_or_else(no_file)?;
    if generation == job.generation() && ehr.faults.fires(Fault::ExpireFileUrl) {
        job.expire();
    }
    if generation != job.generation() {
        return Err(Refused::new(
            StatusCode::GONE,
            "expired",
            "this address has run out; read the manifest again",
        ));
    }
    let gzip = wants_gzip(&headers);
    let stopped = ehr.stopped.clone();
    let body = if name == "deleted" && !plan.deleted.is_empty() {
        body::deletions(plan, gzip, stopped)
    } else {
        let number: usize = name.parse().ok().filter(|number| *number < plan.pieces.len()).ok_or_else(no_file)?;
        let ending = if ehr.faults.fires(Fault::TruncateFile) {
            Ending::Truncated
        } else if ehr.faults.fires(Fault::Stall) {
            Ending::Stalled
        } else {
            Ending::Whole
        };
        body::file(Arc::clone(&job.world), plan, number, gzip, ending, stopped)
    };
    let mut response = Response::new(body);
    set(&mut response, "content-type", "application/fhir+ndjson");
    set(&mut response, "vary", "Accept-Encoding");
    if gzip {
        set(&mut response, "content-encoding", "gzip");
    }
    Ok(response)
}

fn no_file() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "not-found", "this export has no such file")
}

/// The job of that id, for a client who may see it.
fn job(ehr: &Shared, id: &str, headers: &HeaderMap) -> Result<Arc<Job>, Refused> {
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

fn wants_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(header::ACCEPT_ENCODING)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight.trim(), "q=0" | "q=0.0")
    })
}
