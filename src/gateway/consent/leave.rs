//! What is decided of one patient: all may leave, nothing, or what happened at some times. Knows days, no FHIR and no disk.
//! Whoever is in doubt stays: a row without a day does not leave where the day decides.

use std::collections::{HashMap, HashSet};

use jiff::civil::Date;

use super::super::ledger::SourceKey;
use crate::platform::secret::sha256;

/// A patient, known by a keyed hash that outlives a change of the master key.
pub(in crate::gateway) type Mark = [u8; 16];

/// Why nothing of a patient leaves. Each begins with `consent`, so that a report shows them together.
pub(in crate::gateway) const WITHDRAWN: &str = "consent: the patient is withdrawn";
pub(in crate::gateway) const LISTED: &str = "consent: on an exclusion list";
pub(in crate::gateway) const FLAGGED: &str = "consent: flagged at the EHR";
pub(in crate::gateway) const NONE: &str = "consent: none is on file";
pub(in crate::gateway) const DENIED: &str = "consent: denied";
pub(in crate::gateway) const NOT_IN_FORCE: &str = "consent: none that is in force and says when";
const OTHER_TIME: &str = "consent: not given for this time";
const NO_DAY: &str = "consent: given for some times, and the resource has no date";

/// One rule of a consent over days; of two that hold, the later in the list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Clause {
    pub permits: bool,
    /// First day it speaks of; none: from the beginning.
    pub from: Option<Date>,
    /// Last day it speaks of; none: without end.
    pub until: Option<Date>,
}

impl Clause {
    pub(super) const fn always(permits: bool) -> Self {
        Self {
            permits,
            from: None,
            until: None,
        }
    }

    fn is_always(self) -> bool {
        self.from.is_none() && self.until.is_none()
    }

    /// Whether it speaks of this day. Of an unknown day only a denial does, unless it speaks of all.
    fn speaks_of(self, day: Option<Date>) -> bool {
        match day {
            None => self.is_always() || !self.permits,
            Some(day) => self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day <= until),
        }
    }
}

/// When a resource happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum When {
    /// It is of no time: the patient.
    Timeless,
    Unknown,
    On(Date),
}

/// What of a patient may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Leave {
    All,
    Nothing(&'static str),
    Times(Vec<Clause>),
}

impl Leave {
    /// What these clauses come to.
    pub(super) fn by(clauses: Vec<Clause>) -> Self {
        let last_always = clauses.iter().rposition(|clause| clause.is_always());
        let left = &clauses[last_always.unwrap_or(0)..];
        match left {
            [] => Leave::Nothing(NOT_IN_FORCE),
            left if left.iter().any(|clause| !clause.permits) && left.iter().all(|clause| !clause.permits) => Leave::Nothing(DENIED),
            [only] if only.is_always() => Leave::All,
            left => Leave::Times(left.to_vec()),
        }
    }

    /// Why a resource of this time may not leave.
    pub(in crate::gateway) fn why_not(&self, when: When) -> Option<&'static str> {
        let clauses = match self {
            Leave::All => return None,
            Leave::Nothing(why) => return Some(why),
            Leave::Times(clauses) => clauses,
        };
        let day = match when {
            // Some time is permitted, or this would be `Nothing`.
            When::Timeless => return None,
            When::Unknown => None,
            When::On(day) => Some(day),
        };
        let spoken = clauses.iter().rev().find(|clause| clause.speaks_of(day));
        match (spoken, day) {
            (Some(clause), _) if clause.permits => None,
            (_, None) => Some(NO_DAY),
            _ => Some(OTHER_TIME),
        }
    }

    /// Whether a person decided it by name, one patient after the other: no brake has a say in that.
    pub(in crate::gateway) fn is_asked_for(&self) -> bool {
        matches!(self, Leave::Nothing(WITHDRAWN | LISTED))
    }

    /// What tells this decision from another, for the ledger.
    pub(in crate::gateway) fn digest(&self) -> [u8; 8] {
        let text = match self {
            Leave::All => "all".to_owned(),
            // Why does not matter to what was sent.
            Leave::Nothing(_) => "nothing".to_owned(),
            Leave::Times(clauses) => format!("{clauses:?}"),
        };
        let mut out = [0; 8];
        out.copy_from_slice(&sha256(text.as_bytes())[..8]);
        out
    }
}

/// What is decided of everybody, in one run.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Leaves {
    /// Of whom nothing is said.
    pub(super) default: Leave,
    pub(super) people: HashMap<Mark, Leave>,
    /// Resources, already in the ledger, about people of whom something else is decided than was when they were entered.
    pub(in crate::gateway) redecide: HashSet<SourceKey>,
    /// Whether their landed state must be looked at: some of it may leave now.
    pub(in crate::gateway) reread: bool,
}

impl Leaves {
    pub(super) fn of_all(default: Leave) -> Self {
        Self {
            default,
            people: HashMap::new(),
            redecide: HashSet::new(),
            reread: false,
        }
    }

    /// Nobody is kept here, so nobody need be asked for.
    pub(in crate::gateway) fn is_open(&self) -> bool {
        self.default == Leave::All && self.people.is_empty()
    }

    /// Notes what is decided of one patient, in the place of what was before.
    pub(super) fn say(&mut self, mark: Mark, leave: Leave) {
        if leave == self.default {
            self.people.remove(&mark);
        } else {
            self.people.insert(mark, leave);
        }
    }

    #[cfg(test)]
    pub(in crate::gateway) fn with(default: Leave, people: impl Iterator<Item = (Mark, Leave)>) -> Self {
        let mut leaves = Self::of_all(default);
        people.for_each(|(mark, leave)| leaves.say(mark, leave));
        leaves
    }

    /// Of whom something is said.
    pub(in crate::gateway) fn named(&self) -> impl Iterator<Item = Mark> {
        self.people.keys().copied()
    }

    pub(in crate::gateway) fn of(&self, mark: &Mark) -> &Leave {
        self.people.get(mark).unwrap_or(&self.default)
    }

    /// The decisions as the ledger keeps them; that of everybody else under an empty mark.
    pub(in crate::gateway) fn kept(&self) -> impl Iterator<Item = (&[u8], [u8; 8])> {
        let rest = std::iter::once((&[][..], self.default.digest()));
        rest.chain(self.people.iter().map(|(mark, leave)| (&mark[..], leave.digest())))
    }

    /// Whether both decide the same of everybody.
    pub(in crate::gateway) fn same_as(&self, other: &Leaves) -> bool {
        self.default == other.default && self.people == other.people
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Option<Date> {
        (!text.is_empty()).then(|| text.parse().expect("a day"))
    }

    fn clause(permits: bool, from: &str, until: &str) -> Clause {
        Clause {
            permits,
            from: day(from),
            until: day(until),
        }
    }

    #[test]
    fn what_nobody_permits_stays_and_the_later_rule_counts() {
        let (yes, no) = (Clause::always(true), Clause::always(false));
        assert_eq!(Leave::by(vec![]), Leave::Nothing(NOT_IN_FORCE));
        assert_eq!(Leave::by(vec![no]), Leave::Nothing(DENIED));
        assert_eq!(Leave::by(vec![yes, no]), Leave::Nothing(DENIED));
        assert_eq!(Leave::by(vec![no, yes]), Leave::All);
        assert_eq!(Leave::by(vec![clause(false, "2020-01-01", "")]), Leave::Nothing(DENIED));
    }

    #[test]
    fn a_time_is_permitted_from_its_first_day_to_its_last() {
        let leave = Leave::by(vec![
            Clause::always(false),
            clause(true, "2024-01-01", "2024-12-31"),
            clause(false, "2024-06-01", "2024-06-30"),
        ]);
        for (on, leaves) in [
            ("2023-12-31", false),
            ("2024-01-01", true),
            ("2024-05-31", true),
            ("2024-06-01", false),
            ("2024-06-30", false),
            ("2024-07-01", true),
            ("2024-12-31", true),
            ("2025-01-01", false),
        ] {
            let when = When::On(day(on).expect("a day"));
            assert_eq!(leave.why_not(when).is_none(), leaves, "{on}");
        }
        assert_eq!(leave.why_not(When::Unknown), Some(NO_DAY));
        assert_eq!(leave.why_not(When::Timeless), None);
    }

    #[test]
    fn where_only_some_days_are_denied_a_resource_without_a_day_stays() {
        let leave = Leave::by(vec![Clause::always(true), clause(false, "", "2020-12-31")]);
        assert_eq!(leave.why_not(When::Unknown), Some(NO_DAY));
        assert_eq!(leave.why_not(When::On(day("2021-01-01").expect("a day"))), None);
    }

    #[test]
    fn other_decisions_have_other_digests() {
        let all = [
            Leave::All,
            Leave::Nothing(DENIED),
            Leave::by(vec![clause(true, "2024-01-01", "")]),
            Leave::by(vec![clause(true, "2024-01-02", "")]),
        ];
        let digests: HashSet<_> = all.iter().map(Leave::digest).collect();
        assert_eq!(digests.len(), all.len());
        assert_eq!(Leave::Nothing(DENIED).digest(), Leave::Nothing(NONE).digest(), "nothing is nothing");
    }
}
