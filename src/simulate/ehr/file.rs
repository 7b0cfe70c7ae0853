//! The files of an export over HTTP: at the EHR's own address with a token, or at the other origin without one.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};

use super::body::{self, Content, Ending};
use super::export::job;
use super::fault::Fault;
use super::jobs::Job;
use super::reply::{Refused, set};
use super::routes::Ehr;
use super::shared::{Shared, lock};

type Name = Path<(String, u32, String)>;

/// Before this many bytes `reset` breaks a connection, if nobody chooses the byte.
const RESET_WITHIN: u64 = 64 * 1024;

pub(super) async fn file(State(ehr): Ehr, Path((id, number, name)): Name, headers: HeaderMap) -> Result<Response, Refused> {
    let job = job(&ehr, &id, &headers)?;
    if ehr.temper.files_elsewhere {
        let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
        set(
            &mut response,
            "location",
            &format!("{}/export-file/{id}/{number}/{name}", ehr.elsewhere),
        );
        return Ok(response);
    }
    give(&ehr, &job, number, &name, &headers)
}

/// At the other origin: whoever knows the address may have the file.
pub(super) async fn file_elsewhere(State(ehr): Ehr, Path((id, number, name)): Name, headers: HeaderMap) -> Result<Response, Refused> {
    let job = ehr.jobs.get(&id).ok_or_else(no_file)?;
    give(&ehr, &job, number, &name, &headers)
}

fn give(ehr: &Shared, job: &Job, number: u32, name: &str, headers: &HeaderMap) -> Result<Response, Refused> {
    let plan = job.plan().ok_or_else(no_file)?;
    let now = ehr.settings.clock.now();
    let gone = |status, code| Refused::new(status, code, "this address has run out; read the manifest again");
    for (fault, status, code) in [
        (Fault::ExpireFileUrl, StatusCode::GONE, "expired"),
        (Fault::File403, StatusCode::FORBIDDEN, "forbidden"),
        (Fault::File404, StatusCode::NOT_FOUND, "not-found"),
    ] {
        if job.is_good(number, now) && ehr.faults.fires(fault) {
            job.expire();
            return Err(gone(status, code));
        }
    }
    if !job.is_good(number, now) {
        return Err(gone(StatusCode::GONE, "expired"));
    }
    if ehr.faults.fires(Fault::File500) {
        return Err(Refused::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "exception",
            "an unexpected error occurred",
        ));
    }
    let content = match name {
        "deleted" if !plan.deleted.is_empty() => Content::Deletions(plan),
        "outcome" => Content::Outcomes(plan, job.has_errors.load(std::sync::atomic::Ordering::SeqCst)),
        _ => {
            let piece: usize = name.parse().ok().filter(|piece| *piece < plan.pieces.len()).ok_or_else(no_file)?;
            Content::Piece(Arc::clone(&job.snapshot), plan, piece)
        }
    };
    let gzip = wants_gzip(headers);
    let is_piece = matches!(content, Content::Piece(..));
    let mut response = if is_piece { misbehaved(ehr, job, &content, gzip)? } else { None }
        .unwrap_or_else(|| Response::new(body::streamed(content, gzip, Ending::Whole, ehr.stopped.clone())));
    set(&mut response, "content-type", "application/fhir+ndjson");
    set(&mut response, "vary", "Accept-Encoding");
    if gzip {
        set(&mut response, "content-encoding", "gzip");
    }
    Ok(response)
}

/// The answer that an ordered fault makes of a file; None if none was ordered.
fn misbehaved(ehr: &Shared, job: &Job, content: &Content, gzip: bool) -> Result<Option<Response>, Refused> {
    let faults = &ehr.faults;
    let cut_by_line = |ending| Response::new(body::streamed(content.clone(), gzip, ending, ehr.stopped.clone()));
    if faults.fires(Fault::TruncateFile) {
        return Ok(Some(cut_by_line(Ending::Truncated)));
    }
    if faults.fires(Fault::Stall) {
        return Ok(Some(cut_by_line(Ending::Stalled)));
    }
    let whole = || body::whole(content, gzip);
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let mut response = Response::default();
    if faults.fires(Fault::EarlyFin) {
        // An answer of HTTP/1.0 has neither length nor chunks: it ends with the connection.
        *response.version_mut() = Version::HTTP_10;
        *response.body_mut() = body::bytes(half(&whole()?), false);
    } else if faults.fires(Fault::ShortContentLength) {
        let bytes = whole()?;
        set(&mut response, "content-length", &bytes.len().to_string());
        *response.body_mut() = body::bytes(half(&bytes), true);
    } else if faults.fires(Fault::CutChunked) {
        *response.body_mut() = body::bytes(half(&whole()?), true);
    } else if faults.fires_if(Fault::CutGzip, gzip) {
        *response.body_mut() = body::bytes(half(&whole()?), false);
    } else if faults.fires(Fault::CutLastLine) {
        *response.body_mut() = body::bytes(body::without_last_half_line(content, gzip)?, false);
    } else if faults.fires(Fault::ContentChanges) {
        *response.body_mut() = body::bytes(half(&body::changed(content, gzip)?), true);
    } else if faults.fires(Fault::TokenExpires) {
        ehr.access.revoke(&job.order.client);
        *response.body_mut() = body::bytes(half(&whole()?), true);
    } else if faults.fires(Fault::Reset) {
        let bytes = whole()?;
        let drawn = || super::super::dice::spread(ehr.settings.seed, faults.fired(Fault::Reset).to_string().as_bytes()) % RESET_WITHIN;
        let at = lock(&ehr.reset_at).unwrap_or_else(drawn);
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        *response.body_mut() = body::bytes(bytes[..at].to_vec(), true);
    } else if faults.fires(Fault::SlowDrip) {
        *response.body_mut() = body::dripping(whole()?, ehr.settings.clock.clone());
    } else {
        return Ok(None);
    }
    Ok(Some(response))
}

fn no_file() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "not-found", "this export has no such file")
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
