//! Waits for the job and reads its manifest, page by page. A page that is not there yet is waited for like the first one.
//! Knows when a job has taken too long; what then becomes of it is `bulk`'s. Bulk Data 2.0.0, "Bulk Data Status Request";
//! 3.0.0, "allowPartialManifests" and "separate-export-status".

use std::collections::HashSet;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Method, Response};

use super::dial::{Auth, Patience, is_transient};
use super::error::PullError;
use super::job::{self, Job};
use super::kick_off::x_progress;
use super::manifest::{self, Listed, Page};
use super::settings::Progress;
use super::talk::Talk;
use crate::landing::Kind;
use crate::platform::clock::later;
use crate::platform::http::{self, Url};

const WHAT: &str = "the status request";

/// What waiting for the job came to.
pub(super) enum Polled {
    Listed(Listing),
    /// The server does not know the job (any more).
    Gone,
    /// It has taken longer than the limits allow.
    Stuck,
}

/// All pages of a manifest.
pub(super) struct Listing {
    pub(super) files: Vec<Listed>,
    pub(super) transaction_time: Timestamp,
    pub(super) needs_token: bool,
}

/// What waiting for one page came to.
enum Fetched {
    Page(Page),
    Gone,
    Stuck,
}

/// How the job is asked after.
struct Watch {
    /// When it has taken too long.
    give_up_at: Timestamp,
    /// Its state comes in a header of its own.
    is_separate: bool,
}

/// The manifest of the job, when it is done.
/// # Errors: the job failed; not reached; the server asks for more patience than this call has; it is no manifest.
pub(super) async fn poll(talk: &Talk<'_>, job: &Job) -> Result<Polled, PullError> {
    let first = job.poll_url.as_ref().ok_or(PullError::LostAgain(job.restarts))?;
    let own = talk.jobs.job_at(first)?;
    let watch = Watch {
        give_up_at: later(own.as_ref().map_or(job.begun_at, |own| own.kicked_at), talk.limits.job_patience),
        is_separate: own.is_some_and(|own| own.is_separate),
    };
    let unexpected = |why| PullError::Unexpected { what: WHAT, why };
    let mut seen = HashSet::new();
    let (mut files, mut continued) = (Vec::new(), Vec::new());
    let mut said: Option<(Timestamp, bool)> = None;
    let mut at = first.clone();
    let mut patience = Patience::new(talk.dial.clock, talk.limits);
    talk.dial.wait_for(job.next_at).await;
    loop {
        if !seen.insert(at.to_string()) {
            return Err(unexpected("the manifest's `next` links go round in a circle"));
        }
        if seen.len() > talk.limits.pages {
            return Err(unexpected("the manifest has more pages than the limit allows"));
        }
        let page = match fetch(talk, &at, &watch, &mut patience).await? {
            Fetched::Page(page) => page,
            Fetched::Gone => {
                talk.jobs.dropped(first)?;
                return Ok(Polled::Gone);
            }
            Fetched::Stuck => return Ok(Polled::Stuck),
        };
        // The pages are of one export: the earliest moment holds for all of it, and one of them cannot want less than the rest.
        said = Some(match said {
            Some((_, token)) if token != page.requires_token => {
                return Err(unexpected("the manifest's pages disagree on `requiresAccessToken`"));
            }
            Some((time, token)) => (time.min(page.transaction_time), token),
            None => (page.transaction_time, page.requires_token),
        });
        files.extend(page.files);
        continued.extend(page.continued);
        match page.next {
            Some(next) => at = next,
            None => break,
        }
    }
    let (transaction_time, needs_token) = said.ok_or_else(|| unexpected("the manifest has no page"))?;
    Ok(Polled::Listed(Listing {
        files: once_each(files, continued),
        transaction_time,
        needs_token,
    }))
}

/// A manifest may name one file twice; landing it twice would count it twice. One that is named only as the continuation
/// of another is wanted, too.
fn once_each(mut files: Vec<Listed>, continued: Vec<Url>) -> Vec<Listed> {
    files.extend(continued.into_iter().map(|url| Listed {
        kind: Kind::Resources,
        resource_type: String::new(),
        url,
        expected: None,
    }));
    let mut once = HashSet::new();
    files.retain(|file| once.insert(file.url.to_string()));
    files
}

async fn fetch(talk: &Talk<'_>, url: &Url, watch: &Watch, patience: &mut Patience<'_>) -> Result<Fetched, PullError> {
    let clock = talk.dial.clock;
    loop {
        let sent = talk
            .dial
            .send(Method::GET, url, &[(ACCEPT, "application/json")], Auth::WithToken)
            .await;
        let asked = match sent {
            Ok(response) => match state_of(&response, watch.is_separate) {
                202 => {
                    patience.answered();
                    if clock.now() >= watch.give_up_at {
                        return Ok(Fetched::Stuck);
                    }
                    wait_for_job(talk, response.headers(), watch, patience).await?;
                    continue;
                }
                200 => match http::read_body(response, talk.limits.manifest_bytes).await {
                    Ok(body) => {
                        patience.answered();
                        return Ok(Fetched::Page(manifest::parse(&body, url)?));
                    }
                    Err(error @ http::HttpError::TooLong { .. }) => return Err(error.into()),
                    Err(error) => patience.failed(WHAT, 0).map_err(|_| error).map(|()| None)?,
                },
                404 | 410 => return Ok(Fetched::Gone),
                state => fault(talk, response, state, watch, patience).await?,
            },
            Err(error) if error.is_transient() => patience.failed(WHAT, 0).map_err(|_| error).map(|()| None)?,
            Err(error) => return Err(error),
        };
        talk.wait(WHAT, patience, asked).await?;
    }
}

/// The job's state as a status: the answer's own, or that of `X-Export-Status` where the server said it would send it.
fn state_of(response: &Response, is_separate: bool) -> u16 {
    let status = response.status().as_u16();
    let separate = response.headers().get("x-export-status").filter(|_| is_separate && status == 200);
    separate
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .unwrap_or(status)
}

async fn wait_for_job(talk: &Talk<'_>, headers: &HeaderMap, watch: &Watch, patience: &mut Patience<'_>) -> Result<(), PullError> {
    let x_progress = x_progress(headers);
    // Asked once more at the end of our patience, and then no more.
    let next = patience.next(talk.dial.asked_wait(headers)).map(|next| next.min(watch.give_up_at));
    if let Ok(next_poll) | Err(PullError::NotReady { next: next_poll }) = next {
        talk.jobs.wait_until(next_poll)?;
        (talk.listener)(Progress::JobWaiting { x_progress, next_poll });
    }
    talk.dial.clock.sleep_until(next?).await;
    Ok(())
}

async fn fault(
    talk: &Talk<'_>,
    response: Response,
    state: u16,
    watch: &Watch,
    patience: &mut Patience<'_>,
) -> Result<Option<std::time::Duration>, PullError> {
    let (status, asked, issues) = talk.fault(response).await;
    if matches!(status, 401 | 403) {
        return Err(PullError::Refused {
            status,
            codes: issues.in_brackets(),
            named_type: None,
            hint: "the token that kicked it off may not ask for its status; tell the EHR's owner",
        });
    }
    // Where the job's state comes apart, a status of the answer itself is never the job's end.
    let is_jobs = if watch.is_separate {
        state != status || !is_transient(status)
    } else {
        !is_transient(status) || !issues.are_transient()
    };
    if is_jobs {
        // The job's end, not the request's: what it was is of no use to the next call.
        let run = talk.request.run;
        let job = talk.jobs.open(talk.dial.clock.now())?;
        talk.landing.forget(run, |tx| job::restart(tx, run, talk.dial.clock.now()))?;
        // It may still stand in the way of the next one.
        if let Some(url) = &job.poll_url {
            talk.drop_job(url).await?;
        }
        return Err(PullError::JobFailed {
            status: state,
            codes: issues.in_brackets(),
        });
    }
    if status != 429 && asked.is_none() {
        patience.failed(WHAT, status)?;
    }
    Ok(asked)
}
