//! Faults on order: each has a name, happens a counted number of times, and says how often it happened.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::named::named;

named! {
    "fault",
    /// What can go wrong.
    pub enum Fault {
        Token401 = "token-401": "the token endpoint answers 401 `invalid_client` to a good assertion",
        Bearer401 = "bearer-401": "a poll or a file refuses a good access token with 401, as if it had run out",
        Kickoff429 = "kickoff-429": "a kick-off answers 429 with `Retry-After`",
        Poll503 = "poll-503": "a poll answers 503 with a transient OperationOutcome and `Retry-After`",
        TruncateFile = "truncate-file": "a file ends in the middle of a line; the HTTP answer ends as if all were well",
        WrongCount = "wrong-count": "the manifest counts one resource too many in its first file",
        ExpireFileUrl = "expire-file-url": "a file's address has run out (410); the manifest, read again, has new ones",
        Stall = "stall": "a file's answer stops in the middle and says nothing more",
        Search429 = "search-429": "a search, a page of one or a read answers 429 with `Retry-After`",
        Search500 = "search-500": "a search, a page of one or a read answers 500",
        Search503 = "search-503": "a search, a page of one or a read answers 503 with a transient OperationOutcome and `Retry-After`",
        EmptySearch = "empty-search": "a search that finds something says that it found nothing",
        NextLoops = "next-loops": "the `next` link of a page leads to the same page",
        NextEndless = "next-endless": "after the last page come empty pages without end, each with a `next` link",
        NextElsewhere = "next-elsewhere": "the `next` link of a page leads to another origin",
    }
}

/// A fault and how often it shall happen: `poll-503=3`; once, if no number is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultOrder {
    pub fault: Fault,
    pub times: u32,
}

impl From<Fault> for FaultOrder {
    fn from(fault: Fault) -> Self {
        Self { fault, times: 1 }
    }
}

impl FromStr for FaultOrder {
    type Err = String;

    fn from_str(order: &str) -> Result<Self, Self::Err> {
        let (name, times) = order.split_once('=').unwrap_or((order, "1"));
        let fault: Fault = name.parse()?;
        let times = times
            .parse()
            .map_err(|_| format!("fault `{name}`: `{times}` is no number of times"))?;
        Ok(Self { fault, times })
    }
}

/// The faults still to happen and those that did.
#[derive(Default)]
pub(super) struct Faults([(AtomicU32, AtomicU32); Fault::ALL.len()]);

impl Faults {
    pub(super) fn new(orders: &[FaultOrder]) -> Self {
        let faults = Self::default();
        for order in orders {
            faults.order(*order);
        }
        faults
    }

    pub(super) fn order(&self, order: FaultOrder) {
        self.0[order.fault as usize].0.fetch_add(order.times, Ordering::SeqCst);
    }

    /// True if the fault shall happen now; it then counts as having happened.
    pub(super) fn fires(&self, fault: Fault) -> bool {
        let (left, fired) = &self.0[fault as usize];
        let fires = left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        fired.fetch_add(u32::from(fires), Ordering::SeqCst);
        fires
    }

    /// The same, where the fault can happen only under a condition.
    pub(super) fn fires_if(&self, fault: Fault, it_can: bool) -> bool {
        it_can && self.fires(fault)
    }

    pub(super) fn fired(&self, fault: Fault) -> u32 {
        self.0[fault as usize].1.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_as_often_as_ordered_and_is_counted() {
        let faults = Faults::new(&["poll-503=2".parse().unwrap(), Fault::Stall.into()]);
        let fired = |fault| (0..5).filter(|_| faults.fires(fault)).count();
        assert_eq!((fired(Fault::Poll503), fired(Fault::Stall), fired(Fault::WrongCount)), (2, 1, 0));
        assert_eq!((faults.fired(Fault::Poll503), faults.fired(Fault::WrongCount)), (2, 0));
    }

    #[test]
    fn every_fault_is_found_by_its_name_and_an_unknown_one_lists_them() {
        for (at, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, at);
            assert_eq!(fault.name().parse(), Ok(FaultOrder { fault, times: 1 }));
        }
        let refused = "poll-500".parse::<FaultOrder>().unwrap_err();
        assert!(refused.contains("`poll-500`") && refused.contains("poll-503, truncate-file"));
        assert!("stall=often".parse::<FaultOrder>().is_err());
    }
}
