//! One run's conversation with one EHR: who is asked, what is written down, who is told. Knows how to wait, how to hear a
//! refusal and how to let a job go; what is asked in which order stands in `bulk`.

use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Method, Response};
use tracing::warn;

use super::dial::{Auth, Dial, Patience};
use super::error::PullError;
use super::job::Jobs;
use super::outcome::Issues;
use super::settings::{EhrSettings, Limits, Listener, Progress, Request};
use crate::landing::Landing;
use crate::platform::http::{self, Url};

pub(super) struct Talk<'a> {
    pub(super) settings: &'a EhrSettings,
    pub(super) limits: &'a Limits,
    pub(super) request: Request,
    pub(super) landing: &'a Landing,
    pub(super) dial: Dial<'a>,
    pub(super) jobs: Jobs<'a>,
    pub(super) listener: Listener<'a>,
}

impl Talk<'_> {
    /// Waits as long as the server asked, or longer with each time; written down first, so that a restart waits, too.
    /// # Errors: `NotReady` when that is beyond what this call may wait.
    pub(super) async fn wait(&self, what: &'static str, patience: &mut Patience<'_>, asked: Option<Duration>) -> Result<(), PullError> {
        let next = patience.next(asked);
        if let Ok(next) | Err(PullError::NotReady { next }) = next {
            self.jobs.wait_until(next)?;
            (self.listener)(Progress::Retrying { what, next });
        }
        self.dial.clock.sleep_until(next?).await;
        Ok(())
    }

    /// What a refusing answer says: status, wait, issue codes.
    pub(super) async fn fault(&self, response: Response) -> (u16, Option<Duration>, Issues) {
        let status = response.status().as_u16();
        let asked = self.dial.asked_wait(response.headers());
        let body = http::read_body(response, 1 << 20).await.unwrap_or_default();
        (status, asked, Issues::parse(&body).unwrap_or_default())
    }

    /// Tells the server that the job at `url` is not needed any more. Whether it is gone. A job that stays is no fault: it
    /// ends by itself, and is tried again when it is in the way.
    /// # Errors: the database.
    pub(super) async fn drop_job(&self, url: &Url) -> Result<bool, PullError> {
        let headers = [(ACCEPT, "application/fhir+json")];
        let run = self.request.run;
        match self.dial.send(Method::DELETE, url, &headers, Auth::WithToken).await {
            Ok(response) if response.status().is_success() || matches!(response.status().as_u16(), 404 | 410) => {
                self.jobs.dropped(url)?;
                return Ok(true);
            }
            Ok(response) => {
                let status = response.status().as_u16();
                warn!(run, status, "the EHR did not delete an export job; it will by itself");
            }
            Err(_) => warn!(run, "the EHR was not reached to delete an export job; it will by itself"),
        }
        Ok(false)
    }

    /// Deletes the jobs that earlier runs left at the server. How many it held.
    /// # Errors: the database.
    pub(super) async fn drop_old_jobs(&self) -> Result<usize, PullError> {
        let mut dropped = 0;
        for own in self.jobs.old_jobs(None)? {
            dropped += usize::from(self.drop_job(&own.poll_url).await?);
        }
        Ok(dropped)
    }
}
