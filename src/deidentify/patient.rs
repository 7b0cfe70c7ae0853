//! The patient whose rows are at hand: what is secret of them is looked up and derived once, however many rows they have. Knows no
//! rule and no cell.

use std::cell::OnceCell;

use aws_lc_rs::hmac;

use super::date;
use super::means::Means;
use super::people::Known;
use super::pseudonym;
use super::rule::Basis;
use crate::cdm::TableId;

/// The patient the rows are about.
pub(super) struct Patient<'d> {
    /// At the source: `Patient/p1`.
    pub key: String,
    pub known: Known<'d>,
    /// Not under Safe Harbor.
    pub shift_days: i32,
    /// The key made of the patient's own secret, once a surrogate asked for it; Safe Harbor's pseudonyms are such.
    secret: OnceCell<hmac::Key>,
    recent: Recent,
    /// Room for what is signed.
    room: Vec<u8>,
}

impl<'d> Patient<'d> {
    /// # Errors: a patient whom nobody saw.
    pub fn of(means: &'d Means, key: &str) -> Result<Self, &'static str> {
        let known = means.people.find(means.keys.person_id(key)).ok_or("unknown patient")?;
        let shift_days = match means.policy.basis() {
            Basis::SafeHarbor => 0,
            Basis::LimitedDataSet | Basis::Expert => {
                let shift = means.policy.shift();
                date::shift_days(means.keys.date_bits(key), shift.max_days, shift.keep_weekday)
            }
        };
        Ok(Self {
            key: key.to_owned(),
            known,
            shift_days,
            secret: OnceCell::new(),
            recent: Recent::default(),
            room: Vec::new(),
        })
    }

    /// The surrogate of a key of `table` under the patient's own secret.
    pub fn surrogate(&mut self, table: &str, key: &str) -> String {
        let own = || hmac::Key::new(hmac::HMAC_SHA256, self.known.secret);
        pseudonym::of_person(self.secret.get_or_init(own), table, key, &mut self.room)
    }

    /// The surrogate of a key of the table, made by `make` unless it was made a few rows before.
    pub fn remembered(&mut self, by: (TableId, bool), key: &str, make: impl FnOnce(&mut Self) -> String) -> String {
        if let Some(known) = self.recent.find(by, key) {
            return known;
        }
        let made = make(self);
        self.recent.add(by, key, &made);
        made
    }
}

/// Surrogates made lately.
#[derive(Default)]
pub(super) struct Recent {
    made: Vec<Made>,
    /// The oldest of them, which the next one takes the place of.
    oldest: usize,
}

/// A surrogate: of which table's key, whether by a patient's secret, the key, and what was made of it.
struct Made {
    by: (TableId, bool),
    key: String,
    surrogate: String,
}

/// A row points at its patient, a visit, a place, a person or two.
const RECENT: usize = 8;

impl Recent {
    /// The surrogate, made by `make` unless it was made lately.
    pub fn get(&mut self, by: (TableId, bool), key: &str, make: impl FnOnce() -> String) -> String {
        self.find(by, key).unwrap_or_else(|| {
            let made = make();
            self.add(by, key, &made);
            made
        })
    }

    fn find(&self, by: (TableId, bool), key: &str) -> Option<String> {
        let found = self.made.iter().find(|made| made.by == by && made.key == key)?;
        Some(found.surrogate.clone())
    }

    fn add(&mut self, by: (TableId, bool), key: &str, surrogate: &str) {
        if self.made.len() < RECENT {
            let (key, surrogate) = (key.to_owned(), surrogate.to_owned());
            self.made.push(Made { by, key, surrogate });
            return;
        }
        let made = &mut self.made[self.oldest];
        made.by = by;
        key.clone_into(&mut made.key);
        surrogate.clone_into(&mut made.surrogate);
        self.oldest = (self.oldest + 1) % RECENT;
    }
}
