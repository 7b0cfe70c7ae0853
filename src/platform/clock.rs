//! The one clock. Tests hold a manual one, which moves only when told or when someone sleeps on it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Tells the time and lets wait. Cheap to clone; clones of a manual clock move together.
#[derive(Clone, Debug)]
pub struct Clock(Inner);

#[derive(Clone, Debug)]
enum Inner {
    System,
    Manual(Arc<Mutex<Timestamp>>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Inner::System)
    }

    /// A clock that stands at `start`.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Inner::Manual(Arc::new(Mutex::new(start))))
    }

    /// Now, in UTC.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "here is the one clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::System => Timestamp::now(),
            Inner::Manual(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a manual clock on; the machine's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Inner::Manual(now) = &self.0 {
            let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
            *now = later(*now, by);
        }
    }

    /// Waits. A manual clock does not wait: it moves on by `duration` and lets other tasks run once.
    #[allow(clippy::disallowed_methods, reason = "here is the one clock")]
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Inner::System => tokio::time::sleep(duration).await,
            Inner::Manual(_) => {
                self.advance(duration);
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until `moment`; returns at once when it is past.
    pub async fn sleep_until(&self, moment: Timestamp) {
        let wait = until(self.now(), moment);
        if !wait.is_zero() {
            self.sleep(wait).await;
        }
    }
}

/// Measures elapsed time; a jump of the wall clock does not touch it.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    clock: Clock,
    started: Timestamp,
    instant: Instant,
}

impl Stopwatch {
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "here is the one clock")]
    pub fn start(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            started: clock.now(),
            instant: Instant::now(),
        }
    }

    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match self.clock.0 {
            Inner::System => self.instant.elapsed(),
            Inner::Manual(_) => until(self.started, self.clock.now()),
        }
    }
}

/// `moment` moved on by `by`; the end of time when that is past it.
#[must_use]
pub fn later(moment: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| moment.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// The time from `now` to `moment`; zero when `moment` is past.
#[must_use]
pub fn until(now: Timestamp, moment: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeping_on_a_manual_clock_moves_every_clone() {
        let start: Timestamp = "2026-03-01T02:00:00Z".parse().unwrap();
        let clock = Clock::manual(start);
        let other = clock.clone();
        let watch = Stopwatch::start(&clock);
        clock.sleep(Duration::from_secs(3600)).await;
        assert_eq!(watch.elapsed(), Duration::from_secs(3600));
        assert_eq!(other.now().to_string(), "2026-03-01T03:00:00Z");
        other.sleep_until(start).await;
        assert_eq!(clock.now().to_string(), "2026-03-01T03:00:00Z");
    }

    #[test]
    fn a_wait_beyond_the_end_of_time_ends_there() {
        assert_eq!(later(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(later(Timestamp::UNIX_EPOCH, Duration::MAX), Timestamp::MAX);
        assert_eq!(until(Timestamp::MAX, Timestamp::UNIX_EPOCH), Duration::ZERO);
    }
}
