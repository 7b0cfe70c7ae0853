//! What rows are de-identified with: model, policy, keys, people and a day, the same for every thread of a run.

use std::sync::Arc;

use aws_lc_rs::hmac;
use jiff::civil::Date;

use super::people::People;
use super::policy::Policy;
use super::pseudonym::Keys;
use crate::cdm::Model;

/// What every row of a run is de-identified with.
pub(super) struct Means {
    pub model: Arc<Model>,
    pub policy: Policy,
    pub keys: Keys,
    pub people: People,
    /// The day ages are reckoned at.
    pub today: Date,
    /// Per table: its name and the key of its surrogates.
    pub tables: Vec<(Arc<str>, hmac::Key)>,
}
