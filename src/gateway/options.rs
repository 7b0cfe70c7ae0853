//! What a run is asked to do, and what it tells while it does it.

use jiff::Timestamp;

use super::looking::Seen;
use crate::pull;

/// What one run is asked to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Pull everything, not only what changed.
    pub full: bool,
    /// Pull what changed since then, whatever the watermark says.
    pub since: Option<Timestamp>,
    /// Only these patients, by their ids: a backfill, which leaves the watermarks alone. Empty: the cohort.
    pub patients: Vec<String>,
    /// Only what changed before this moment: a backfill, too.
    pub until: Option<Timestamp>,
    /// Go the whole way and deliver nothing.
    pub rehearse: bool,
    /// Of a rehearsal: tell what becomes of the resources of so many patients, one by one.
    pub preview: Option<usize>,
    /// A person has looked: let a run through that would withdraw an unusual share of all resources.
    pub accept_deletions: bool,
    /// A person has looked: let a run through in which a patient leaves who stands in a small group.
    pub accept_risk: bool,
}

/// What is going on, for whoever shows it.
#[derive(Clone, Debug)]
pub enum Event {
    /// An interrupted run goes on. `then_anew`: it is not what was asked for; that comes after it, in a run of its own.
    Resumed {
        run: i64,
        phase: &'static str,
        then_anew: bool,
    },
    /// An interrupted run cannot end: what it pulled is thrown away and pulled again.
    Abandoned {
        run: i64,
        why: &'static str,
    },
    Pull(pull::Progress),
    /// So many resources were worked on while the others were still being pulled.
    MappedAhead {
        resources: u64,
    },
    Transform {
        resources: u64,
    },
    /// In a rehearsal that is looked at: one resource and what becomes of it.
    Preview(Box<Seen>),
    Package {
        rows: u64,
    },
    Submit {
        chunks: usize,
    },
}
