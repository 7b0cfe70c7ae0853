//! How fast an EHR is asked: requests to one host at a time, more while it answers well, half as many when it does not; the
//! pause it asks for, kept by everyone; the hours it is left alone; the moment to be finished.
//! Knows no request and no answer but its status. The time that ran is what counts, not what the wall clock shows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tracing::info;

use super::error::PullError;
use super::settings::{Limits, QuietHours};
use crate::platform::clock::{Clock, Stopwatch, until};
use crate::platform::http::WebOrigin;

/// Requests at a time in the beginning.
const FIRST: usize = 2;
/// Answers that make a usual waiting time; before so many, none is called slow.
const SAMPLES: u32 = 8;
/// An answer is slow when it takes so many times the usual, and so much longer.
const SLOW_FACTOR: f64 = 4.0;
const SLOW_SECONDS: f64 = 2.0;
/// The weight of one answer in the usual waiting time.
const WEIGHT: f64 = 0.125;
/// Hosts remembered; a manifest may name many.
const HOSTS: usize = 256;

/// The pace of one pull.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Clock,
    /// Requests to one host at a time, at most.
    most: usize,
    max_wait: Duration,
    patience: Duration,
    quiet: Vec<QuietHours>,
    deadline: Option<Timestamp>,
    hosts: Mutex<HashMap<WebOrigin, Arc<Host>>>,
}

/// Whether a request waits out the pause its host asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    Kept,
    /// What lightens the host's load, as a job given back, is no matter of its pause.
    Ignored,
}

impl Pace {
    /// `bears`: what the vendor's EHRs bear at a time.
    pub(super) fn new(clock: &Clock, limits: &Limits, bears: usize) -> Self {
        Self {
            clock: clock.clone(),
            most: limits.concurrency.min(bears).max(1),
            max_wait: limits.max_wait,
            patience: limits.patience,
            quiet: limits.quiet.clone(),
            deadline: limits.deadline,
            hosts: Mutex::default(),
        }
    }

    /// Comes back when a request may begin at all: not after the deadline, not in quiet hours.
    /// # Errors: `OutOfTime`; `Quiet` when the quiet hours last longer than this call may wait.
    pub(super) async fn may_begin(&self) -> Result<(), PullError> {
        loop {
            let now = self.clock.now();
            if let Some(deadline) = self.deadline.filter(|deadline| *deadline <= now) {
                return Err(PullError::OutOfTime { deadline });
            }
            let Some(end) = self.quiet.iter().find_map(|hours| quiet_until(hours, now)) else {
                return Ok(());
            };
            if until(now, end) > self.patience || self.deadline.is_some_and(|deadline| deadline <= end) {
                return Err(PullError::Quiet { until: end });
            }
            info!(until = %end, "the EHR is left alone until {end}");
            self.clock.sleep_until(end).await;
        }
    }

    /// Waits for a place among the requests to `origin`.
    /// # Errors: as `may_begin`.
    pub(super) async fn enter(&self, origin: &WebOrigin, pause: Pause) -> Result<Permit, PullError> {
        let host = self.host(origin);
        loop {
            self.may_begin().await?;
            if let Some(left) = host.paused().filter(|_| pause == Pause::Kept) {
                self.clock.sleep(left).await;
                continue;
            }
            let mut changed = std::pin::pin!(host.changed.notified());
            // Asked for before looking, or a place that comes free between the two is missed.
            changed.as_mut().enable();
            if host.take_place() {
                let asked = Stopwatch::start(&self.clock);
                let cuts = host.state().cuts;
                let (host, max_wait) = (host.clone(), self.max_wait);
                return Ok(Permit {
                    host,
                    asked,
                    cuts,
                    max_wait,
                });
            }
            changed.await;
        }
    }

    fn host(&self, origin: &WebOrigin) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= HOSTS && !hosts.contains_key(origin) {
            // In use are those that somebody else holds, too.
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let new = || Arc::new(Host::new(origin.clone(), self.most, self.clock.clone()));
        hosts.entry(origin.clone()).or_insert_with(new).clone()
    }
}

/// One host, as it bears us.
#[derive(Debug)]
struct Host {
    origin: WebOrigin,
    clock: Clock,
    most: usize,
    state: Mutex<State>,
    /// A place came free, or there are more.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Places there are.
    places: usize,
    taken: usize,
    /// Good answers since the places last changed.
    good: usize,
    /// How often the places were cut: what was asked before a cut does not count for the next.
    cuts: u64,
    /// The pause the host asked for, and since when it runs.
    pause: Option<(Stopwatch, Duration)>,
    /// The usual waiting time in seconds, and of how many answers.
    usual: f64,
    samples: u32,
}

impl Host {
    fn new(origin: WebOrigin, most: usize, clock: Clock) -> Self {
        Self {
            origin,
            clock,
            most,
            state: Mutex::new(State {
                places: FIRST.min(most),
                taken: 0,
                good: 0,
                cuts: 0,
                pause: None,
                usual: 0.0,
                samples: 0,
            }),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left of the pause.
    fn paused(&self) -> Option<Duration> {
        let mut state = self.state();
        let (since, wait) = state.pause.as_ref()?;
        let left = wait.saturating_sub(since.elapsed());
        if left.is_zero() {
            state.pause = None;
            return None;
        }
        Some(left)
    }

    fn take_place(&self) -> bool {
        let mut state = self.state();
        let free = state.taken < state.places;
        state.taken += usize::from(free);
        free
    }

    fn pause(&self, wait: Duration) {
        let left = self.paused().unwrap_or_default();
        if wait > left {
            self.state().pause = Some((Stopwatch::start(&self.clock), wait));
            info!(host = %self.origin, seconds = wait.as_secs(), "{} asks for a pause of {} s", self.origin, wait.as_secs());
        }
    }

    /// A round of good answers is worth a place.
    fn went_well(&self) {
        let mut state = self.state();
        state.good += 1;
        if state.good < state.places || state.places >= self.most {
            return;
        }
        state.places += 1;
        state.good = 0;
        let places = state.places;
        drop(state);
        info!(host = %self.origin, places, "{} answers well: {places} requests at a time", self.origin);
        self.changed.notify_waiters();
    }

    /// Half the places, once for all that was asked before.
    fn went_badly(&self, cuts: u64, why: &'static str) {
        let mut state = self.state();
        if state.cuts != cuts {
            return;
        }
        state.cuts += 1;
        state.good = 0;
        let before = state.places;
        state.places = (before / 2).max(1);
        let places = state.places;
        drop(state);
        if places < before {
            info!(host = %self.origin, places, "{} {why}: {places} requests at a time", self.origin);
        }
    }

    /// Whether an answer after `seconds` is much slower than usual; it is counted to the usual ones either way.
    fn is_slow(&self, seconds: f64) -> bool {
        let mut state = self.state();
        let usual = state.usual;
        state.usual = if state.samples == 0 {
            seconds
        } else {
            usual + WEIGHT * (seconds - usual)
        };
        state.samples = state.samples.saturating_add(1);
        state.samples > SAMPLES && seconds > usual * SLOW_FACTOR && seconds > usual + SLOW_SECONDS
    }
}

/// A place among the requests to one host; free again when dropped, for a download when its body is read.
#[derive(Debug)]
pub(super) struct Permit {
    host: Arc<Host>,
    asked: Stopwatch,
    cuts: u64,
    max_wait: Duration,
}

impl Permit {
    /// The answer's head came with `status`, which asks to wait (`Retry-After`) or not.
    pub(super) fn answered(&self, status: u16, asked_wait: Option<Duration>) {
        let is_slow = self.host.is_slow(self.asked.elapsed().as_secs_f64());
        match status {
            429 | 503 => {
                if let Some(wait) = asked_wait {
                    self.host.pause(wait.min(self.max_wait));
                }
                self.host.went_badly(self.cuts, "is busy");
            }
            408 | 502 | 504 => self.host.went_badly(self.cuts, "is overloaded"),
            _ if is_slow => self.host.went_badly(self.cuts, "answers much slower than usual"),
            // Another 5xx says nothing of the load.
            500.. => {}
            _ => self.host.went_well(),
        }
    }

    /// No answer came in time.
    pub(super) fn timed_out(&self) {
        self.host.went_badly(self.cuts, "does not answer in time");
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.host.state();
        state.taken = state.taken.saturating_sub(1);
        drop(state);
        self.host.changed.notify_waiters();
    }
}

/// When the quiet hours that `now` lies in end; `None` outside them. Where the hour of their end comes twice or not at all
/// (daylight saving time), they end with the later.
fn quiet_until(hours: &QuietHours, now: Timestamp) -> Option<Timestamp> {
    let here = now.to_zoned(hours.zone.clone());
    let (date, time) = (here.date(), here.time());
    let ends_on = if hours.from < hours.to {
        (hours.from <= time && time < hours.to).then_some(date)?
    } else if hours.from == hours.to {
        return None;
    } else if time < hours.to {
        date
    } else if hours.from <= time {
        date.tomorrow().ok()?
    } else {
        return None;
    };
    let end = hours
        .zone
        .to_ambiguous_zoned(ends_on.to_datetime(hours.to))
        .later()
        .ok()?
        .timestamp();
    (now < end).then_some(end)
}

#[cfg(test)]
mod tests;
