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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use jiff::civil::Time;
    use jiff::tz::TimeZone;

    use super::*;

    const START: &str = "2026-03-01T02:00:00Z";

    fn pace(change: impl FnOnce(&mut Limits)) -> (Pace, Clock, WebOrigin) {
        let clock = Clock::manual(START.parse().unwrap());
        let mut limits = Limits {
            concurrency: 16,
            ..Limits::default()
        };
        change(&mut limits);
        let pace = Pace::new(&clock, &limits, usize::MAX);
        (pace, clock, WebOrigin::parse("https://ehr.example.org").unwrap())
    }

    fn places(pace: &Pace, origin: &WebOrigin) -> usize {
        pace.host(origin).state().places
    }

    async fn ask(pace: &Pace, origin: &WebOrigin, status: u16, wait: Option<u64>) {
        let permit = pace.enter(origin, Pause::Kept).await.unwrap();
        permit.answered(status, wait.map(Duration::from_secs));
    }

    #[tokio::test]
    async fn each_round_of_good_answers_is_worth_one_more_up_to_the_most() {
        let (pace, _, origin) = pace(|limits| limits.concurrency = 5);
        let mut seen = vec![places(&pace, &origin)];
        for _ in 0..40 {
            ask(&pace, &origin, 200, None).await;
            if seen.last() != Some(&places(&pace, &origin)) {
                seen.push(places(&pace, &origin));
            }
        }
        assert_eq!(seen, [2, 3, 4, 5]);
    }

    #[tokio::test]
    async fn a_burst_of_refusals_halves_once_and_the_next_halves_again() {
        let (pace, _, origin) = pace(|_| ());
        for _ in 0..200 {
            ask(&pace, &origin, 200, None).await;
        }
        assert_eq!(places(&pace, &origin), 16);
        let mut burst = Vec::new();
        for _ in 0..10 {
            burst.push(pace.enter(&origin, Pause::Kept).await.unwrap());
        }
        for permit in burst {
            permit.answered(429, None);
        }
        assert_eq!(places(&pace, &origin), 8, "ten at once are one sign");
        ask(&pace, &origin, 503, None).await;
        assert_eq!(places(&pace, &origin), 4);
        pace.enter(&origin, Pause::Kept).await.unwrap().timed_out();
        assert_eq!(places(&pace, &origin), 2);
        for _ in 0..3 {
            ask(&pace, &origin, 504, None).await;
        }
        assert_eq!(places(&pace, &origin), 1, "never none");
        ask(&pace, &origin, 500, None).await;
        assert_eq!(places(&pace, &origin), 1, "a plain error is no sign either way");
        ask(&pace, &origin, 200, None).await;
        assert_eq!(places(&pace, &origin), 2);
    }

    #[tokio::test]
    async fn an_answer_much_slower_than_usual_halves_and_a_usual_one_does_not() {
        let (pace, clock, origin) = pace(|_| ());
        let after = async |seconds: u64| {
            let permit = pace.enter(&origin, Pause::Kept).await.unwrap();
            clock.advance(Duration::from_secs(seconds));
            permit.answered(200, None);
        };
        for _ in 0..60 {
            after(1).await;
        }
        let before = places(&pace, &origin);
        after(3).await;
        assert!(places(&pace, &origin) >= before, "three times the usual is still usual");
        after(12).await;
        assert_eq!(places(&pace, &origin), before / 2);
    }

    #[tokio::test]
    async fn a_pause_holds_everyone_at_the_host_and_nobody_elsewhere() {
        let (pace, clock, origin) = pace(|_| ());
        ask(&pace, &origin, 429, Some(600)).await;
        let other = WebOrigin::parse("https://files.example.org").unwrap();
        drop(pace.enter(&other, Pause::Kept).await.unwrap());
        drop(pace.enter(&origin, Pause::Ignored).await.unwrap());
        assert_eq!(clock.now().to_string(), START);
        let ten = (0..10).map(|_| ask(&pace, &origin, 200, None));
        futures_util::future::join_all(ten).await;
        assert_eq!(clock.now().to_string(), "2026-03-01T02:10:00Z", "ten waited the same ten minutes");
        ask(&pace, &origin, 503, Some(u64::MAX)).await;
        drop(pace.enter(&origin, Pause::Kept).await.unwrap());
        assert_eq!(
            clock.now().to_string(),
            "2026-03-01T03:10:00Z",
            "an hour is the longest, whatever it asks"
        );
    }

    #[tokio::test]
    async fn a_jump_of_the_clock_makes_no_pause_longer() {
        let (pace, clock, origin) = pace(|_| ());
        ask(&pace, &origin, 429, Some(60)).await;
        clock.set("2016-03-01T02:00:00Z".parse().unwrap());
        ask(&pace, &origin, 200, None).await;
        assert_eq!(clock.now().to_string(), "2016-03-01T02:01:00Z");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_thirty_two_tasks_never_more_are_in_than_there_are_places_and_all_get_in() {
        let (pace, clock, origin) = pace(|limits| limits.concurrency = 5);
        let (inside, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let task = async || {
            for turn in 0..20 {
                let permit = pace.enter(&origin, Pause::Kept).await.unwrap();
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                permit.answered(if turn == 7 { 429 } else { 200 }, None);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(permit);
                done.fetch_add(1, Ordering::SeqCst);
            }
        };
        futures_util::future::join_all((0..32).map(|_| task())).await;
        assert_eq!(done.load(Ordering::SeqCst), 640);
        let most = most.load(Ordering::SeqCst);
        assert!((2..=5).contains(&most), "{most} at a time");
        assert_eq!(clock.now().to_string(), START, "nobody waited for time");
    }

    fn hours(from: &str, to: &str, zone: TimeZone) -> QuietHours {
        let time = |text: &str| text.parse::<Time>().unwrap();
        QuietHours {
            from: time(from),
            to: time(to),
            zone,
        }
    }

    #[test]
    fn quiet_hours_end_at_their_end_in_the_hospitals_zone() {
        let berlin = || TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let check = |from: &str, to: &str, now: &str, expected: Option<&str>| {
            let end = quiet_until(&hours(from, to, berlin()), now.parse().unwrap());
            assert_eq!(end.map(|end| end.to_string()).as_deref(), expected, "{from} to {to} at {now}");
        };
        check("07:00", "19:00", "2026-01-15T06:00:00Z", Some("2026-01-15T18:00:00Z"));
        check("07:00", "19:00", "2026-07-15T05:00:00Z", Some("2026-07-15T17:00:00Z"));
        check("07:00", "19:00", "2026-07-15T04:59:59Z", None);
        check("07:00", "19:00", "2026-07-15T17:00:00Z", None);
        check("22:00", "06:00", "2026-01-15T23:00:00Z", Some("2026-01-16T05:00:00Z"));
        check("22:00", "06:00", "2026-01-16T04:00:00Z", Some("2026-01-16T05:00:00Z"));
        check("22:00", "06:00", "2026-01-16T12:00:00Z", None);
        check("06:00", "06:00", "2026-01-16T05:30:00Z", None);
        // 02:00 to 03:00 is left out on 29 March 2026, and comes twice on 25 October.
        check("01:00", "02:30", "2026-03-29T00:30:00Z", Some("2026-03-29T01:30:00Z"));
        check("01:00", "02:30", "2026-10-25T00:15:00Z", Some("2026-10-25T01:30:00Z"));
        check("01:00", "02:30", "2026-10-25T01:15:00Z", Some("2026-10-25T01:30:00Z"));
        check("22:00", "06:00", "2024-02-28T22:00:00Z", Some("2024-02-29T05:00:00Z"));
    }

    #[tokio::test]
    async fn a_request_waits_for_quiet_hours_to_end_or_says_when_they_do() {
        let quiet = || vec![hours("01:00", "04:00", TimeZone::UTC), hours("04:00", "05:30", TimeZone::UTC)];
        let (patient, clock, origin) = pace(|limits| limits.quiet = quiet());
        drop(patient.enter(&origin, Pause::Kept).await.unwrap());
        assert_eq!(clock.now().to_string(), "2026-03-01T05:30:00Z", "one after the other");
        for change in [
            (|limits: &mut Limits| limits.patience = Duration::from_secs(3600)) as fn(&mut Limits),
            |limits| limits.deadline = Some("2026-03-01T03:30:00Z".parse().unwrap()),
        ] {
            let (pace, clock, origin) = pace(|limits| {
                limits.quiet = quiet();
                change(limits);
            });
            let error = pace.enter(&origin, Pause::Kept).await.unwrap_err();
            assert!(
                error.is_transient() && error.to_string().contains("2026-03-01T04:00:00Z"),
                "{error}"
            );
            assert_eq!(clock.now().to_string(), START, "it did not wait in vain");
        }
    }

    #[tokio::test]
    async fn no_request_begins_after_the_deadline() {
        let (pace, clock, origin) = pace(|limits| limits.deadline = Some("2026-03-01T05:00:00Z".parse().unwrap()));
        clock.advance(Duration::from_secs(3 * 3600 - 1));
        drop(pace.enter(&origin, Pause::Kept).await.unwrap());
        clock.advance(Duration::from_secs(1));
        let error = pace.enter(&origin, Pause::Ignored).await.unwrap_err();
        assert!(matches!(error, PullError::OutOfTime { .. }) && error.is_transient(), "{error}");
    }
}
