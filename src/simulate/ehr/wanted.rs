//! What an export is asked for: whose resources, which of them, and in what form.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::query::Query;
use super::shape::Elements;

/// Filters by type: a resource of the type passes if it is found by any of them.
pub(super) type Filters = BTreeMap<String, Vec<Query>>;

/// Whose resources.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    /// System level: everything, also what belongs to no patient.
    Everyone,
    /// Every patient's.
    EveryPatient,
    /// These patients', by id.
    Patients(Arc<HashSet<String>>),
}

impl Whose {
    pub(super) fn includes(&self, patient: &str) -> bool {
        match self {
            Self::Everyone | Self::EveryPatient => true,
            Self::Patients(ids) => ids.contains(patient),
        }
    }
}

/// Whose Provenance travels along unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Associated {
    /// The newest about each resource.
    Latest,
    /// All about each resource.
    Relevant,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) whose: Whose,
    /// None: every type.
    pub(super) types: Option<BTreeSet<String>>,
    /// Types that this server never exports.
    pub(super) never: &'static [&'static str],
    /// Only what changed after this moment.
    pub(super) since: Option<Timestamp>,
    /// Only what changed before this moment.
    pub(super) until: Option<Timestamp>,
    pub(super) filters: Filters,
    pub(super) elements: Vec<Elements>,
    pub(super) associated: Option<Associated>,
    /// Blocks of a patient each instead of files of a type each.
    pub(super) by_patient: bool,
    /// The manifest may come in pages, and before the job is done.
    pub(super) partial: bool,
    /// Whether resources say when they were last updated.
    pub(super) last_updated: bool,
    /// Parameters that were ignored, as the client preferred.
    pub(super) ignored: Vec<String>,
}

impl Wanted {
    /// All there is of somebody.
    pub(super) fn of(whose: Whose) -> Self {
        Self {
            whose,
            types: None,
            never: &[],
            since: None,
            until: None,
            filters: Filters::new(),
            elements: Vec::new(),
            associated: None,
            by_patient: false,
            partial: false,
            last_updated: true,
            ignored: Vec::new(),
        }
    }

    /// Whether resources of this type are asked for and exported.
    pub(super) fn has(&self, kind: &str) -> bool {
        !self.never.contains(&kind) && self.types.as_ref().is_none_or(|types| types.contains(kind))
    }
}
