//! Mapped rows become de-identified rows, or the whole resource is refused: **Mapped -> Deidentified | Refusal**.
//! A plain function of rows, policy, keys, people and a day: no disk, network, clock or randomness.
//!
//! Every column has a rule (`policy`); keys become surrogates (`pseudonym`), dates move or become years (`date`, `age`),
//! places become large (`geography`); then every text that a rule does not vouch for passes the leak guard (`guard`)
//! against the identifiers of its own patient (`people`, `identifiers`) and against the shapes of anybody's (`shape`).
//! A row about a patient we never saw cannot leave: there would be nobody to guard.
//!
//! What is promised is what is removed, never that a row is anonymous: a rare diagnosis names a person without a name.

use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;

use crate::cdm::{Kind, Model, Rows, TableId};
use crate::map::Mapped;
use crate::platform::secret::sha256;
use crate::refusal::Refusal;

mod age;
mod cells;
mod control;
mod date;
mod evidence;
mod geography;
mod guard;
mod heading;
mod identifiers;
pub mod linkage;
mod means;
mod method;
mod patient;
mod people;
mod perturb;
mod placement;
mod policy;
mod policy_file;
mod proof;
mod pseudonym;
mod redact;
mod risk;
mod row;
mod rule;
mod shape;
mod strictness;
mod words;

pub use control::{Control, Planted};
pub use evidence::RuleHits;
pub use heading::Determination;
pub use people::{BadRecord, People, PeopleBuilder, PeopleError, PersonRecord, patient_key};
pub use policy::Policy;
pub use policy_file::PolicyFault;
pub use proof::{Proof, Violation};
pub use pseudonym::{KeyError, Keys, MASTER_KEY_BYTES, PersonId};
pub use risk::Anonymity;
pub use row::Worker;
pub use rule::{Basis, Rule};

use means::Means;
use row::RowMaker;

/// One row, or the end of one, that may leave the site. Only this part can make one.
#[derive(Clone, PartialEq, Eq)]
pub struct Deidentified {
    table: TableId,
    name: Arc<str>,
    key: String,
    body: Option<Vec<u8>>,
}

impl Deidentified {
    pub fn table_id(&self) -> TableId {
        self.table
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.name
    }

    /// The row's surrogate key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The row as one JSON object in the table's order of columns; `None` for a tombstone.
    pub fn body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }

    pub fn is_tombstone(&self) -> bool {
        self.body.is_none()
    }

    /// SHA-256 of the body; of nothing for a tombstone.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.body.as_deref().unwrap_or_default())
    }

    /// Reads the row again as it leaves.
    pub fn prove(&self, proof: &mut Proof<'_>) {
        proof.row(self.table, self.body());
    }

    fn new(table: TableId, name: Arc<str>, key: String, body: Option<Vec<u8>>) -> Self {
        Self { table, name, key, body }
    }
}

impl fmt::Debug for Deidentified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Deidentified({}, {})",
            self.name,
            if self.is_tombstone() { "tombstone" } else { "row" }
        )
    }
}

/// What comes back from the site's outbox.
#[derive(Clone, Copy)]
pub struct Stored<'s> {
    pub table: &'s str,
    pub key: &'s str,
    /// `None` for a tombstone.
    pub body: Option<&'s [u8]>,
    pub mac: &'s [u8],
}

/// Why nothing can be de-identified, or a stored row may not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeidentifyError {
    #[error("the policy was compiled for another model: compile it again for this one")]
    OtherModel,
    #[error("the model has no such table")]
    NoTable,
    #[error("a tombstone needs the surrogate key of a released row")]
    NoPseudonym,
    #[error("a stored row was not made here, under these keys and this policy, or was changed: it may not leave; run the sync again")]
    BadMac,
}

/// Everything that de-identification needs, shared by all threads of a run.
pub struct Deidentifier {
    means: Means,
}

impl Deidentifier {
    /// `today` is the day ages are reckoned at: the day of the run's data (the export's transaction time), not of the clock.
    /// # Errors: `OtherModel`.
    pub fn new(model: Arc<Model>, policy: Policy, keys: Keys, people: People, today: Date) -> Result<Self, DeidentifyError> {
        if !policy.fits(&model) {
            return Err(DeidentifyError::OtherModel);
        }
        let tables = model
            .tables()
            .map(|(_, table)| (Arc::from(table.name.as_str()), keys.table(&table.name)))
            .collect();
        Ok(Self {
            means: Means {
                model,
                policy,
                keys,
                people,
                today,
                tables,
            },
        })
    }

    /// What one thread de-identifies with.
    pub fn worker(&self) -> Worker<'_> {
        Worker::new(&self.means)
    }

    pub fn policy(&self) -> &Policy {
        &self.means.policy
    }

    pub fn keys(&self) -> &Keys {
        &self.means.keys
    }

    pub fn people(&self) -> &People {
        &self.means.people
    }

    /// The tables of those rows that the policy keeps here, one entry for each row.
    pub fn withheld<'d>(&'d self, mapped: &Mapped<'_>) -> impl Iterator<Item = &'d Arc<str>> {
        self.kept_of(mapped.rows())
    }

    fn kept_of<'d>(&'d self, rows: &Rows<'_>) -> impl Iterator<Item = &'d Arc<str>> {
        let Means { policy, tables, .. } = &self.means;
        let kept = rows.iter().filter(|(table, _)| policy.withholds(*table));
        kept.filter_map(|(table, _)| tables.get(usize::from(table.0)).map(|(name, _)| name))
    }

    /// Tries the leak guard at work here on planted identifiers and on harmless codes.
    pub fn control(&self) -> Control {
        Control::of(&self.means.keys, &self.means.policy)
    }

    /// Begins to read again what leaves.
    pub fn proof(&self) -> Proof<'_> {
        Proof::new(&self.means.model, &self.means.policy)
    }

    /// The end of a row that was released under `key` (a surrogate).
    /// # Errors: `NoTable`, `NoPseudonym`.
    pub fn tombstone(&self, table: &str, key: &str) -> Result<Deidentified, DeidentifyError> {
        let (id, name) = self.named(table)?;
        let table = self.means.model.table(id);
        let fits = match table.columns[table.key].kind {
            Kind::Key => pseudonym::is_number(key),
            _ => pseudonym::is_pseudonym(key),
        };
        if !fits {
            return Err(DeidentifyError::NoPseudonym);
        }
        Ok(Deidentified::new(id, name, key.to_owned(), None))
    }

    /// The MAC under which a row may wait in the site's outbox; it holds for these keys and this policy only.
    pub fn mac(&self, row: &Deidentified) -> [u8; 32] {
        self.means
            .keys
            .outbox_mac(&self.mac_parts(&row.name, &row.key, row.body.as_deref()))
    }

    /// The row that waited in the outbox.
    /// # Errors: `BadMac` when a byte, the keys or the policy differ; `NoTable`.
    pub fn restore(&self, stored: Stored<'_>) -> Result<Deidentified, DeidentifyError> {
        let (id, name) = self.named(stored.table)?;
        if !self
            .means
            .keys
            .is_outbox_mac(&self.mac_parts(stored.table, stored.key, stored.body), stored.mac)
        {
            return Err(DeidentifyError::BadMac);
        }
        Ok(Deidentified::new(id, name, stored.key.to_owned(), stored.body.map(<[u8]>::to_vec)))
    }

    fn named(&self, table: &str) -> Result<(TableId, Arc<str>), DeidentifyError> {
        let id = self.means.model.find(table).ok_or(DeidentifyError::NoTable)?;
        let (name, _) = self.means.tables.get(usize::from(id.0)).ok_or(DeidentifyError::NoTable)?;
        Ok((id, name.clone()))
    }

    fn mac_parts<'p>(&'p self, table: &'p str, key: &'p str, body: Option<&'p [u8]>) -> [&'p [u8]; 6] {
        let kind: &[u8] = if body.is_some() { b"upsert" } else { b"delete" };
        let digest = self.means.policy.digest_bytes();
        [
            b"headwater-outbox/1",
            digest,
            kind,
            table.as_bytes(),
            key.as_bytes(),
            body.unwrap_or_default(),
        ]
    }
}

impl fmt::Debug for Deidentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deidentifier({}, {:?}, {:?})", self.policy().name(), self.keys(), self.people())
    }
}

/// The patients (`Patient/id`) that a resource's rows name, one for each row that names one.
pub fn patients_of<'r>(model: &Model, mapped: &'r Mapped<'_>) -> impl Iterator<Item = &'r str> {
    let named = mapped
        .rows()
        .iter()
        .filter_map(|(table, cells)| cells.get(model.table(table).patient?));
    named.filter_map(|cell| cell.as_text().map(pseudonym::source_key))
}

impl Worker<'_> {
    /// Appends one resource's rows, de-identified, in their order, and counts in `hits` what each rule met; on a refusal appends none
    /// of them. What comes out hangs on the rows alone, not on what was de-identified before.
    /// # Errors: the first cell that may not leave, as `table.column` and rule; never a value.
    pub fn deidentify(&mut self, mapped: &Mapped<'_>, out: &mut Vec<Deidentified>, hits: &mut RuleHits) -> Result<(), Refusal> {
        self.release(mapped.rows(), out, hits)
    }

    fn release(&mut self, rows: &Rows<'_>, out: &mut Vec<Deidentified>, hits: &mut RuleHits) -> Result<(), Refusal> {
        let (before, means) = (out.len(), self.means());
        let mut maker = RowMaker::new(self);
        for (table, cells) in rows.iter().filter(|(table, _)| !means.policy.withholds(*table)) {
            match maker.release(table, cells, hits) {
                Ok(row) => {
                    let name = means.tables[usize::from(table.0)].0.clone();
                    out.push(Deidentified::new(table, name, row.key, Some(row.body)));
                }
                Err(refusal) => {
                    out.truncate(before);
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
