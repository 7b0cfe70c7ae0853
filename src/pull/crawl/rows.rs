//! What the journal holds of a crawl, row by row, and what one unit of work adds to it. Knows no database.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::veil::Key;

/// How a type is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// All of it at once.
    Type,
    /// Patient by patient.
    Patient,
    /// Read where others refer to it.
    Reference,
    /// Not at all.
    None,
}

impl Way {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Patient => "patient",
            Self::Reference => "reference",
            Self::None => "none",
        }
    }
}

/// One type of a run.
#[derive(Clone, Debug)]
pub(super) struct TypeRow {
    pub(super) name: String,
    pub(super) way: Way,
    pub(super) filtered: bool,
    pub(super) done: bool,
    pub(super) failures: u64,
    pub(super) refused: Option<u16>,
    pub(super) newest: Option<Timestamp>,
}

/// One patient to be searched for. Has no `Debug`: an id is a patient's.
pub(super) struct Patient {
    pub(super) seq: i64,
    pub(super) id: String,
    /// The Patient itself is landed.
    pub(super) landed: bool,
    /// Searched whole by an earlier run.
    pub(super) known: bool,
    pub(super) tries: u32,
}

/// One resource others refer to.
pub(super) struct Referred {
    pub(super) seq: i64,
    pub(super) name: String,
    pub(super) id: String,
    pub(super) tries: u32,
}

/// What became of a patient or a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// For another try.
    Open,
    Done,
    /// Goes on under another id.
    Merged,
    /// The server says it was deleted.
    Gone,
    /// The server does not know it.
    Absent,
    Failed,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Merged => "merged",
            Self::Gone => "gone",
            Self::Absent => "absent",
            Self::Failed => "failed",
        }
    }
}

/// What one unit adds to a type.
#[derive(Clone, Debug, Default)]
pub(super) struct OfType {
    pub(super) failures: u64,
    pub(super) refused: Option<u16>,
    pub(super) newest: Option<Timestamp>,
    pub(super) matches: u64,
}

/// Where the search of a whole type goes on.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) next: Option<String>,
    pub(super) done: bool,
}

/// A member of the cohort. Has no `Debug`: an id is a patient's.
pub(super) struct Member {
    pub(super) id: String,
    pub(super) landed: bool,
}

/// All that one unit writes besides its segments.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) seen: Vec<(Key, Key)>,
    pub(super) types: BTreeMap<String, OfType>,
    pub(super) patients: Vec<(i64, String, State)>,
    pub(super) members: Vec<Member>,
    /// Type and id of what the unit's resources refer to.
    pub(super) references: BTreeSet<(String, String)>,
    pub(super) referred: Vec<(i64, State)>,
    pub(super) place: Option<Place>,
    pub(super) cohort_at: Option<String>,
    pub(super) cohort_short: bool,
    pub(super) notes: BTreeMap<(&'static str, bool), u64>,
    pub(super) sentences: BTreeMap<String, u64>,
}
