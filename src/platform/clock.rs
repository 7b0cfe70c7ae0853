//! The one clock. Tests hold a manual one, which moves only when told or when someone sleeps on it.
//! Two times are told apart: the wall clock, which people and servers read and which may jump; and the time that ran,
//! which only grows (`Stopwatch`). Whatever is waited for or limited goes by the second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

/// The wall clock is looked at again this often while a moment of it is waited for: it may have jumped.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Tells the time and lets wait. Cheap to clone; clones of a manual clock move together.
#[derive(Clone, Debug)]
pub struct Clock(Inner);

#[derive(Clone, Debug)]
enum Inner {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    at: Mutex<At>,
    moved: Notify,
}

#[derive(Debug)]
struct At {
    now: Timestamp,
    ran: Duration,
}

impl Manual {
    fn at(&self) -> MutexGuard<'_, At> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        Self(Inner::Manual(Arc::new(Manual {
            at: Mutex::new(At {
                now: start,
                ran: Duration::ZERO,
            }),
            moved: Notify::new(),
        })))
    }

    /// Now, in UTC.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "here is the one clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::System => Timestamp::now(),
            Inner::Manual(manual) => manual.at().now,
        }
    }

    /// Moves a manual clock on; the machine's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Inner::Manual(manual) = &self.0 {
            let mut at = manual.at();
            at.now = later(at.now, by);
            at.ran = at.ran.saturating_add(by);
            drop(at);
            manual.moved.notify_waiters();
        }
    }

    /// Sets a manual clock to `moment`, as someone sets a wall clock: no time runs by it. The machine's is left alone.
    pub fn set(&self, moment: Timestamp) {
        if let Inner::Manual(manual) = &self.0 {
            manual.at().now = moment;
            manual.moved.notify_waiters();
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

    /// Comes back when the wall clock has passed `moment`, also by a jump. Unlike `sleep_until` it moves no manual clock.
    pub async fn passed(&self, moment: Timestamp) {
        loop {
            match &self.0 {
                Inner::System => {
                    let left = until(self.now(), moment);
                    if left.is_zero() {
                        return;
                    }
                    self.sleep(left.min(LOOK_AGAIN)).await;
                }
                Inner::Manual(manual) => {
                    let mut moved = std::pin::pin!(manual.moved.notified());
                    // Asked for before looking, or a move between the two is missed.
                    moved.as_mut().enable();
                    if moment <= self.now() {
                        return;
                    }
                    moved.await;
                }
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

/// Measures the time that ran; a jump of the wall clock does not touch it.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    clock: Clock,
    began: Duration,
    instant: Instant,
}

impl Stopwatch {
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "here is the one clock")]
    pub fn start(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            began: match &clock.0 {
                Inner::System => Duration::ZERO,
                Inner::Manual(manual) => manual.at().ran,
            },
            instant: Instant::now(),
        }
    }

    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.clock.0 {
            Inner::System => self.instant.elapsed(),
            Inner::Manual(manual) => manual.at().ran.saturating_sub(self.began),
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

    #[tokio::test]
    async fn a_jump_of_the_wall_clock_is_no_time_that_ran() {
        let start: Timestamp = "2024-02-29T23:59:59Z".parse().unwrap();
        let clock = Clock::manual(start);
        let watch = Stopwatch::start(&clock);
        for moment in ["2024-02-28T23:59:59Z", "2034-02-28T00:00:00Z", "2014-03-30T01:00:00Z"] {
            clock.set(moment.parse().unwrap());
            assert_eq!(watch.elapsed(), Duration::ZERO, "{moment}");
        }
        clock.advance(Duration::from_secs(5));
        assert_eq!(watch.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_moment_is_waited_for_without_moving_the_clock() {
        let clock = Clock::manual("2026-03-01T02:00:00Z".parse().unwrap());
        let moment = "2026-03-01T05:00:00Z".parse().unwrap();
        let mover = async {
            clock.advance(Duration::from_secs(3600));
            tokio::task::yield_now().await;
            assert_eq!(clock.now().to_string(), "2026-03-01T03:00:00Z", "nobody slept");
            clock.set(moment);
        };
        tokio::join!(clock.passed(moment), mover);
        clock.passed(moment).await;
    }

    #[test]
    fn a_wait_beyond_the_end_of_time_ends_there() {
        assert_eq!(later(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(later(Timestamp::UNIX_EPOCH, Duration::MAX), Timestamp::MAX);
        assert_eq!(until(Timestamp::MAX, Timestamp::UNIX_EPOCH), Duration::ZERO);
    }
}
