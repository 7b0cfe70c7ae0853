//! A brake on guessing: how many attempts to sign in one name has. Held in memory only; bounded whatever comes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::platform::clock::later;

/// How many attempts one name has within `WINDOW`; a good one counts too. Links have one count together, with more room:
/// they cannot be guessed, and a name that others locked must still have them.
pub(super) const ATTEMPTS: usize = 10;
pub(super) const LINK_ATTEMPTS: usize = 100;
const WINDOW: Duration = Duration::from_secs(300);
/// Names remembered at most; beyond that all strangers share one count.
const NAMES: usize = 1000;

/// Recent attempts by name.
#[derive(Default)]
pub(super) struct Attempts(Mutex<BTreeMap<String, VecDeque<Timestamp>>>);

impl Attempts {
    /// Notes one attempt; `false` when there were too many.
    pub(super) fn may(&self, name: &str, now: Timestamp, most: usize) -> bool {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, times| {
            times.retain(|time| later(*time, WINDOW) > now);
            !times.is_empty()
        });
        let name = if names.len() < NAMES || names.contains_key(name) {
            name
        } else {
            ""
        };
        let times = names.entry(name.to_owned()).or_default();
        if times.len() >= most {
            return false;
        }
        times.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_attempts_within_five_minutes_are_the_end_of_guessing_one_name() {
        let attempts = Attempts::default();
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        assert!((0..ATTEMPTS).all(|_| attempts.may("ann", now, ATTEMPTS)));
        assert!(!attempts.may("ann", now, ATTEMPTS));
        assert!(attempts.may("bob", now, ATTEMPTS));
        assert!(!attempts.may("ann", later(now, WINDOW - Duration::from_secs(1)), ATTEMPTS));
        assert!(attempts.may("ann", later(now, WINDOW), ATTEMPTS));
    }

    #[test]
    fn a_thousand_made_up_names_do_not_fill_the_memory() {
        let attempts = Attempts::default();
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let let_in = (0..3 * NAMES).filter(|n| attempts.may(&format!("n{n}"), now, ATTEMPTS)).count();
        assert!(let_in <= NAMES + ATTEMPTS);
        assert!(attempts.0.lock().unwrap().len() <= NAMES + 1);
    }
}
