//! What can be wrong with a linkage schema, a project or one patient's record. Names features, places and rules; never a value.

use std::fmt;

/// One thing that is wrong with a schema or a project: where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// `features[2].hashing.strategy`.
    pub place: String,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Gathers faults while something is read.
#[derive(Default)]
pub(super) struct Faults(pub Vec<Fault>);

impl Faults {
    pub fn add(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.0.push(Fault {
            place: place.into(),
            what: what.into(),
        });
    }
}

/// Why one record has no linkage key: the feature and the rule its value breaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("feature `{feature}`: {rule}")]
pub struct Unfit {
    pub feature: String,
    pub rule: &'static str,
}
