//! Faults on order: each has a name, happens a counted number of times, and says how often it happened.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::dice::spread;
use super::named::named;

named! {
    "fault",
    /// What can go wrong.
    pub enum Fault {
        Token401 = "token-401": "the token endpoint answers 401 `invalid_client` to a good assertion",
        Token429 = "token-429": "the token endpoint answers 429 with `Retry-After`",
        Bearer401 = "bearer-401": "a poll, a file, a search or a read refuses a good access token with 401, as if it had run out",
        TokenExpires = "token-expires": "the access token runs out while a file is sent; the file's answer is cut",
        Kickoff429 = "kickoff-429": "a kick-off answers 429 with `Retry-After`",
        KickoffRetry5h = "kickoff-retry-5h": "a kick-off answers 429 with a `Retry-After` of five hours",
        KickoffRetryDate = "kickoff-retry-date": "a kick-off answers 429 with a `Retry-After` that is a date, two minutes ahead",
        KickoffRetryAbsent = "kickoff-retry-absent": "a kick-off answers 429 without `Retry-After`",
        KickoffRetryNegative = "kickoff-retry-negative": "a kick-off answers 429 with a `Retry-After` of -1",
        KickoffRetryHuge = "kickoff-retry-huge": "a kick-off answers 503 with a `Retry-After` of 10^9",
        Kickoff500 = "kickoff-500": "a kick-off answers 500",
        SecondKickoff = "second-kickoff": "a kick-off is refused with 429 while the client has a job",
        DayPasses = "day-passes": "a day passes before an export begins: edits, additions, deletions, a merge of two patients",
        TimeInFuture = "time-in-future": "an export's `transactionTime` is a day ahead",
        TimeGoesBack = "time-goes-back": "an export's `transactionTime` is thirty days ago",
        EmptyOutput = "empty-output": "an export gives nothing, whatever there is",
        TinyFiles = "tiny-files": "an export's files hold one resource each",
        RepeatedType = "repeated-type": "an export's files hold ten resources at most, so that types stand several times",
        DeletionsUntold = "deletions-untold": "an export does not tell what was deleted",
        Poll503 = "poll-503": "a poll answers 503 with a transient OperationOutcome and `Retry-After`",
        PollAgain = "poll-again": "a poll answers 202 although all is done; `poll-again=always` for ever",
        ProgressGoesBack = "progress-goes-back": "a poll answers 202, and X-Progress says less each time",
        ErrorAt200 = "error-at-200": "a poll answers 200 with an OperationOutcome instead of the manifest",
        WrongCount = "wrong-count": "the manifest counts one resource too many in its first file",
        RepeatedUrl = "repeated-url": "the manifest lists its first file twice",
        UnknownFields = "unknown-fields": "the manifest and its entries have fields that no standard knows",
        ErrorFiles = "error-files": "the manifest names a file of errors: some resources could not be exported",
        NextLoops = "next-loops": "the `next` link of a page, of a search or a manifest, leads to the same page",
        NextEndless = "next-endless": "after the last page come empty pages without end, each with a `next` link",
        NextElsewhere = "next-elsewhere": "the `next` link of a page leads to another origin",
        ExpireFileUrl = "expire-file-url": "a file's address has run out (410); the manifest, read again, has new ones",
        File403 = "file-403": "a file's address answers 403, as stores do whose signature has run out; the manifest has new ones",
        File404 = "file-404": "a file's address answers 404; the manifest, read again, has new ones",
        File500 = "file-500": "a file answers 500",
        TruncateFile = "truncate-file": "a file ends in the middle of a line; the HTTP answer ends as if all were well",
        EarlyFin = "early-fin": "a file's answer, whose length nobody said, ends early with the connection",
        ShortContentLength = "short-content-length": "a file's answer ends before its Content-Length",
        CutChunked = "cut-chunked": "a file's answer in chunks ends without the last chunk",
        CutGzip = "cut-gzip": "a file's gzip stream ends early in an answer that is well",
        CutLastLine = "cut-last-line": "a file's last line is cut in an answer that is well",
        ContentChanges = "content-changes": "a file breaks off, and what came of it is not what comes at the next try",
        Reset = "reset": "a file's connection breaks at a byte that the seed or the settings choose",
        Stall = "stall": "a file's answer stops in the middle and says nothing more",
        SlowDrip = "slow-drip": "a file comes at 1 KiB a second, by the EHR's clock",
        Redirect = "redirect": "a request with a token is redirected with 307 to another origin",
        Search429 = "search-429": "a search, a page of one or a read answers 429 with `Retry-After`",
        Search500 = "search-500": "a search, a page of one or a read answers 500",
        Search503 = "search-503": "a search, a page of one or a read answers 503 with a transient OperationOutcome and `Retry-After`",
        SearchCut = "search-cut": "a page of a search breaks off in the middle",
        EmptySearch = "empty-search": "a search that finds something says that it found nothing",
    }
}

/// A fault and how often it shall happen: `poll-503=3`; once, if no number is given; `always` without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultOrder {
    pub fault: Fault,
    /// `u32::MAX` is without end.
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
        let times = match times {
            "always" => u32::MAX,
            number => number
                .parse()
                .map_err(|_| format!("fault `{name}`: `{number}` is no number of times, and not `always`"))?,
        };
        Ok(Self { fault, times })
    }
}

/// The faults still to happen and those that did.
pub(super) struct Faults {
    each: [Count; Fault::ALL.len()],
    /// Chooses the occasions at which ordered faults happen; None: the first.
    seed: Option<u64>,
}

#[derive(Default)]
struct Count {
    left: AtomicU32,
    fired: AtomicU32,
    /// How often it could have happened since it was ordered.
    occasions: AtomicU32,
}

impl Faults {
    pub(super) fn new(orders: &[FaultOrder], seed: Option<u64>) -> Self {
        let faults = Self {
            each: std::array::from_fn(|_| Count::default()),
            seed,
        };
        for order in orders {
            faults.order(*order);
        }
        faults
    }

    pub(super) fn order(&self, order: FaultOrder) {
        let left = &self.each[order.fault as usize].left;
        let _ = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_add(order.times)));
    }

    /// True if the fault shall happen now; it then counts as having happened.
    pub(super) fn fires(&self, fault: Fault) -> bool {
        let count = &self.each[fault as usize];
        if count.left.load(Ordering::SeqCst) == 0 {
            return false;
        }
        if let Some(seed) = self.seed {
            let occasion = count.occasions.fetch_add(1, Ordering::SeqCst);
            // One occasion in four, so that a fault falls on a request that nobody can foresee.
            if !spread(seed, format!("{} {occasion}", fault.name()).as_bytes()).is_multiple_of(4) {
                return false;
            }
        }
        let less = |left: u32| if left == u32::MAX { Some(left) } else { left.checked_sub(1) };
        let fires = count.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
        count.fired.fetch_add(u32::from(fires), Ordering::SeqCst);
        fires
    }

    /// The same, where the fault can happen only under a condition.
    pub(super) fn fires_if(&self, fault: Fault, it_can: bool) -> bool {
        it_can && self.fires(fault)
    }

    pub(super) fn fired(&self, fault: Fault) -> u32 {
        self.each[fault as usize].fired.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_as_often_as_ordered_and_is_counted() {
        let faults = Faults::new(&["poll-503=2".parse().unwrap(), Fault::Stall.into()], None);
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
        assert!(refused.contains("`poll-500`") && refused.contains("poll-503, poll-again"));
        assert!("stall=often".parse::<FaultOrder>().is_err());
    }

    #[test]
    fn a_fault_without_end_never_ends_and_a_seed_moves_faults_to_later_occasions() {
        let faults = Faults::new(&["poll-again=always".parse().unwrap()], None);
        assert_eq!((0..9).filter(|_| faults.fires(Fault::PollAgain)).count(), 9);
        let occasions = |seed| {
            let faults = Faults::new(&["search-500=3".parse().unwrap()], Some(seed));
            (0..100).filter(|_| faults.fires(Fault::Search500)).collect::<Vec<_>>()
        };
        assert_eq!((occasions(1).len(), occasions(1)), (3, occasions(1)));
        assert!(occasions(1) != occasions(2) && occasions(1) != [0, 1, 2]);
    }
}
