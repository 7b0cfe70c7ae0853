//! Pulls by Bulk Data Access: kick off, wait, read the manifest, download, clean up. Every step is written down before the
//! next, so this loop begins wherever the last one was cut. Built to Bulk Data 2.0.0; takes manifests of 1.0 to the 4.0 ballot.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use futures_util::StreamExt;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, HeaderName};
use reqwest::{Method, Response};
use tracing::{info, warn};

use super::dial::{Auth, Dial, Patience, is_transient};
use super::download::{Downloads, Fate};
use super::error::PullError;
use super::job::{self, File, Job, Jobs, State};
use super::kick_off;
use super::manifest::{self, Listed, Page};
use super::outcome::Issues;
use super::settings::{EhrSettings, Limits, Listener, Progress, Request};
use crate::landing::{Kind, Landing};
use crate::platform::backend_services::ClientKey;
use crate::platform::clock::Clock;
use crate::platform::http::{self, Client, Url};

/// So often may the server lose one run's job.
const RESTARTS: u32 = 2;
const STATUS: &str = "the status request";

/// One EHR, one run.
pub(super) struct Bulk<'a> {
    settings: &'a EhrSettings,
    limits: &'a Limits,
    request: Request,
    landing: &'a Landing,
    dial: Dial<'a>,
    jobs: Jobs<'a>,
    listener: Listener<'a>,
}

/// What waiting for the job came to.
enum Polled {
    Listed(Vec<Listed>, Timestamp, bool),
    /// The server does not know the job (any more).
    Gone,
}

impl<'a> Bulk<'a> {
    /// Ready to dial: the token endpoint is found, but not yet asked.
    /// # Errors: the base or the token endpoint is not usable or not reached.
    pub(super) async fn new(
        settings: &'a EhrSettings,
        limits: &'a Limits,
        request: Request,
        landing: &'a Landing,
        (http, clock): (&'a Client, &'a Clock),
        key: Option<&ClientKey>,
        listener: Listener<'a>,
    ) -> Result<Self, PullError> {
        Ok(Self {
            settings,
            limits,
            landing,
            dial: Dial::open(settings, limits, http, clock, key).await?,
            jobs: Jobs {
                database: landing.database(),
                run: request.run,
            },
            request,
            listener,
        })
    }

    /// Goes on until every listed file is landed, given up or left for later.
    /// # Errors: nothing more can be done now. The same run resumes.
    pub(super) async fn run(&self) -> Result<(), PullError> {
        loop {
            let job = self.jobs.open(self.dial.clock.now())?;
            match job.state {
                State::Kicking => self.kick_off(&job).await?,
                State::Polling => match self.poll(&job).await? {
                    Polled::Listed(files, time, needs_token) => {
                        self.jobs.listed(time, needs_token, &files)?;
                        info!(
                            run = self.request.run,
                            files = files.len(),
                            "export of run {} is ready",
                            self.request.run
                        );
                        (self.listener)(Progress::Listed { files: files.len() });
                    }
                    Polled::Gone => self.restart(&job)?,
                },
                State::Listed => match self.download(&job).await? {
                    Settled::All => {
                        // Cleaned up first: after a crash between the two it is done again, which is harmless.
                        self.clean_up(&job).await;
                        self.jobs.done()?;
                    }
                    Settled::NotAll => return Ok(()),
                    Settled::Gone => self.restart(&job)?,
                },
                State::Done => return Ok(()),
            }
        }
    }

    async fn kick_off(&self, job: &Job) -> Result<(), PullError> {
        const WHAT: &str = "the export request";
        let url = kick_off::url(self.settings, self.request.earliest(&self.settings.types))?;
        let headers = [
            (ACCEPT, "application/fhir+json"),
            (HeaderName::from_static("prefer"), "respond-async"),
        ];
        let mut patience = Patience::new(self.dial.clock, self.limits);
        self.dial.clock.sleep_until(job.next_at).await;
        loop {
            let asked = match self.dial.send(Method::GET, &url, &headers, Auth::WithToken).await {
                Ok(response) if response.status() == 202 => {
                    let poll_url = kick_off::content_location(response.headers(), &url)?;
                    self.dial.rule.check(&poll_url)?;
                    // Small exports are ready at once; when this one is not, the first poll's answer says how long to wait.
                    let asked = self.dial.asked_wait(response.headers()).unwrap_or_default();
                    let next = patience.next(Some(asked))?;
                    // Before the first poll: a lost address is a lost job, and some EHRs allow one at a time.
                    self.jobs.kicked_off(&poll_url, next)?;
                    (self.listener)(Progress::KickedOff);
                    return Ok(());
                }
                Ok(response) => {
                    let (status, asked, issues) = self.fault(response).await;
                    if !is_transient(status) {
                        return Err(PullError::Refused {
                            status,
                            codes: issues.in_brackets(),
                            hint: kick_off::hint(status, &self.settings.level),
                        });
                    }
                    if status != 429 && asked.is_none() {
                        patience.failed(WHAT, status)?;
                    }
                    asked
                }
                Err(error) if error.is_transient() => patience.failed(WHAT, 0).map_err(|_| error).map(|()| None)?,
                Err(error) => return Err(error),
            };
            self.wait("the export request", &mut patience, asked).await?;
        }
    }

    async fn poll(&self, job: &Job) -> Result<Polled, PullError> {
        let url = job.poll_url.as_ref().ok_or(PullError::LostAgain(job.restarts))?;
        let mut patience = Patience::new(self.dial.clock, self.limits);
        self.dial.clock.sleep_until(job.next_at).await;
        loop {
            let asked = match self
                .dial
                .send(Method::GET, url, &[(ACCEPT, "application/json")], Auth::WithToken)
                .await
            {
                Ok(response) if response.status() == 202 => {
                    patience.answered();
                    let x_progress = kick_off::x_progress(response.headers());
                    let next = patience.next(self.dial.asked_wait(response.headers()));
                    if let Ok(next_poll) | Err(PullError::NotReady { next: next_poll }) = next {
                        self.jobs.wait_until(next_poll)?;
                        (self.listener)(Progress::JobWaiting { x_progress, next_poll });
                    }
                    self.dial.clock.sleep_until(next?).await;
                    continue;
                }
                Ok(response) if response.status() == 200 => match http::read_body(response, self.limits.manifest_bytes).await {
                    Ok(body) => return self.pages(manifest::parse(&body, url)?, url).await,
                    Err(error @ http::HttpError::TooLong { .. }) => return Err(error.into()),
                    Err(error) => patience.failed(STATUS, 0).map_err(|_| error).map(|()| None)?,
                },
                Ok(response) if matches!(response.status().as_u16(), 404 | 410) => return Ok(Polled::Gone),
                Ok(response) => self.poll_fault(response, &mut patience).await?,
                Err(error) if error.is_transient() => patience.failed(STATUS, 0).map_err(|_| error).map(|()| None)?,
                Err(error) => return Err(error),
            };
            self.wait(STATUS, &mut patience, asked).await?;
        }
    }

    async fn poll_fault(&self, response: Response, patience: &mut Patience<'_>) -> Result<Option<std::time::Duration>, PullError> {
        let (status, asked, issues) = self.fault(response).await;
        if matches!(status, 401 | 403) {
            return Err(PullError::Refused {
                status,
                codes: issues.in_brackets(),
                hint: "the token that kicked it off may not ask for its status; tell the EHR's owner",
            });
        }
        if !is_transient(status) || !issues.are_transient() {
            // The job's end, not the request's: what it was is of no use to the next call.
            self.landing
                .forget(self.request.run, |tx| job::restart(tx, self.request.run, self.dial.clock.now()))?;
            return Err(PullError::JobFailed {
                status,
                codes: issues.in_brackets(),
            });
        }
        if status != 429 && asked.is_none() {
            patience.failed(STATUS, status)?;
        }
        Ok(asked)
    }

    /// The whole manifest, following `next` links (3.0) from its first page.
    async fn pages(&self, first: Page, at: &Url) -> Result<Polled, PullError> {
        const WHAT: &str = "a manifest page";
        let unexpected = |why| PullError::Unexpected { what: WHAT, why };
        let (time, needs_token) = (first.transaction_time, first.requires_token);
        let mut seen = HashSet::from([at.to_string()]);
        let mut page = first;
        let mut files = Vec::new();
        loop {
            files.append(&mut page.files);
            let Some(next) = page.next.take() else { break };
            if !seen.insert(next.to_string()) {
                return Err(unexpected("its `next` links go round in a circle"));
            }
            if seen.len() > self.limits.pages {
                return Err(unexpected("there are more pages than the limit allows"));
            }
            let mut patience = Patience::new(self.dial.clock, self.limits);
            page = loop {
                let asked = match self
                    .dial
                    .send(Method::GET, &next, &[(ACCEPT, "application/json")], Auth::WithToken)
                    .await
                {
                    Ok(response) if response.status() == 200 => {
                        let body = http::read_body(response, self.limits.manifest_bytes).await?;
                        break manifest::parse(&body, &next)?;
                    }
                    Ok(response) if matches!(response.status().as_u16(), 404 | 410) => return Ok(Polled::Gone),
                    Ok(response) => {
                        let (status, asked, _) = self.fault(response).await;
                        patience.failed(WHAT, status)?;
                        asked
                    }
                    Err(error) if error.is_transient() => patience.failed(WHAT, 0).map_err(|_| error).map(|()| None)?,
                    Err(error) => return Err(error),
                };
                self.wait(WHAT, &mut patience, asked).await?;
            };
        }
        // A manifest may name one file twice; landing it twice would count it twice.
        let mut once = HashSet::new();
        files.retain(|file| once.insert(file.url.to_string()));
        Ok(Polled::Listed(files, time, needs_token))
    }

    async fn download(&self, job: &Job) -> Result<Settled, PullError> {
        let bytes = AtomicU64::new(0);
        let files = self.jobs.open_files()?;
        let expired = self.download_each(files, job.needs_token, &bytes).await?;
        if !expired.is_empty() {
            // Addresses end sooner than the job: the same manifest again, with fresh ones, once.
            let fresh = match self.poll(job).await? {
                Polled::Gone => return Ok(Settled::Gone),
                Polled::Listed(files, time, needs_token) if Some(time) == job.transaction_time => {
                    self.jobs.renewed(needs_token, &files)?.then_some(needs_token)
                }
                Polled::Listed(..) => None,
            };
            let still_expired = match fresh {
                Some(needs_token) => {
                    let again: HashSet<i64> = expired.iter().map(|(file, _)| file.seq).collect();
                    let mut files = self.jobs.open_files()?;
                    files.retain(|file| again.contains(&file.seq));
                    self.download_each(files, needs_token, &bytes).await?
                }
                None => expired,
            };
            for (file, status) in still_expired {
                let problem = format!("the server answers {status}, also after its manifest was read again");
                self.jobs.failed(file.seq, &problem)?;
            }
        }
        let (total, settled) = self.jobs.file_counts()?;
        Ok(if total == settled { Settled::All } else { Settled::NotAll })
    }

    /// Downloads `files`, some at a time; gives back those whose address has expired.
    async fn download_each(&self, mut files: Vec<File>, needs_token: bool, bytes: &AtomicU64) -> Result<Vec<(File, u16)>, PullError> {
        let downloads = Downloads {
            dial: &self.dial,
            jobs: self.jobs,
            landing: self.landing,
            limits: self.limits,
            // "SHALL NOT" send it when the manifest says false.
            auth: if needs_token { Auth::WithToken } else { Auth::Without },
            bytes,
            listener: self.listener,
        };
        // Patients first: whoever maps what is landed while the rest is coming needs all of them.
        files.sort_by_key(|file| !may_hold_patients(file));
        let (total, settled) = self.jobs.file_counts()?;
        let done = AtomicUsize::new(settled);
        let downloads = &downloads;
        let mut patients = files.iter().filter(|file| may_hold_patients(file)).count();
        if patients == 0 {
            (self.listener)(Progress::PatientsLanded);
        }
        // Made one by one as there is room: twenty thousand files are twenty thousand rows, not as many futures.
        let each = files.into_iter().map(|file| async move { (downloads.land(&file).await, file) });
        let mut under_way = futures_util::stream::iter(each).buffer_unordered(self.limits.concurrency.max(1));
        let mut expired = Vec::new();
        while let Some((fate, file)) = under_way.next().await {
            match fate? {
                Fate::Landed if may_hold_patients(&file) => {
                    patients -= 1;
                    if patients == 0 {
                        (self.listener)(Progress::PatientsLanded);
                    }
                }
                Fate::Landed => {}
                Fate::Expired(status) => {
                    expired.push((file, status));
                    continue;
                }
                Fate::GivenUp(problem) => self.jobs.failed(file.seq, &problem)?,
                Fate::Later(problem) => {
                    self.jobs.postponed(file.seq, &problem)?;
                    continue;
                }
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            let bytes = bytes.load(Ordering::Relaxed);
            (self.listener)(Progress::Downloading { done, total, bytes });
        }
        Ok(expired)
    }

    /// Tells the server we are done. It may forget the job; so may we.
    async fn clean_up(&self, job: &Job) {
        let Some(url) = &job.poll_url else { return };
        let headers = [(ACCEPT, "application/fhir+json")];
        match self.dial.send(Method::DELETE, url, &headers, Auth::WithToken).await {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => warn!(
                run = self.request.run,
                status = response.status().as_u16(),
                "the EHR did not delete the finished export job; it will by itself"
            ),
            Err(_) => warn!(
                run = self.request.run,
                "the EHR was not reached to delete the finished export job; it will by itself"
            ),
        }
    }

    fn restart(&self, job: &Job) -> Result<(), PullError> {
        if job.restarts >= RESTARTS {
            return Err(PullError::LostAgain(job.restarts + 1));
        }
        warn!(
            run = self.request.run,
            "the EHR lost the export job of run {}; asking again from the start", self.request.run
        );
        let now = self.dial.clock.now();
        self.landing
            .forget(self.request.run, |tx| job::restart(tx, self.request.run, now))?;
        (self.listener)(Progress::Restarted);
        Ok(())
    }

    async fn wait(&self, what: &'static str, patience: &mut Patience<'_>, asked: Option<std::time::Duration>) -> Result<(), PullError> {
        let next = patience.next(asked);
        if let Ok(next) | Err(PullError::NotReady { next }) = next {
            self.jobs.wait_until(next)?;
            (self.listener)(Progress::Retrying { what, next });
        }
        self.dial.clock.sleep_until(next?).await;
        Ok(())
    }

    /// What a refusing answer says: status, wait, issue codes.
    async fn fault(&self, response: Response) -> (u16, Option<std::time::Duration>, Issues) {
        let status = response.status().as_u16();
        let asked = self.dial.asked_wait(response.headers());
        let body = http::read_body(response, 1 << 20).await.unwrap_or_default();
        (status, asked, Issues::parse(&body).unwrap_or_default())
    }
}

/// A file without a type may hold anything.
fn may_hold_patients(file: &File) -> bool {
    file.listed.kind == Kind::Resources && matches!(file.listed.resource_type.as_str(), "Patient" | "")
}

/// What downloading came to.
enum Settled {
    All,
    NotAll,
    Gone,
}
