//! What de-identification must know of a patient, and no more: a random secret, the birth date, hashes of identifiers.
//! Built from landed Patient resources before the transform; kept by the gateway, sealed, between runs (`PersonRecord`).
//! No name, number or address is in here; a stranger with this and without the site's master key can compare nothing.
//!
//! A patient takes about 100 bytes and 8 for each identifying word, 300 to 400 in all: `max_patients` bounds the memory.

use std::collections::HashMap;
use std::fmt;

use zeroize::Zeroizing;

use super::date::Partial;
use super::guard::Subject;
use super::identifiers;
use super::pseudonym::{Keys, PersonId};
use crate::fhir::name::Name;
use crate::fhir::tree::Node;
use crate::platform::secret::equal;
use crate::refusal::{Refusal, Step};

/// More identifying words than this is no patient but a fault of the source.
const MOST_WORDS: usize = 1024;
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 16 + 32 + 4;

/// One patient's facts, as the gateway keeps them: sealed, and found again by `id`.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonRecord {
    id: PersonId,
    secret: Zeroizing<[u8; 32]>,
    birth: u32,
    words: Box<[u64]>,
}

/// The bytes are no record of ours: cut, changed, or of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored facts about a patient cannot be read: they were cut or changed; run with `--full` to gather them again")]
pub struct BadRecord;

/// Why a patient could not be added.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    #[error("the patient was refused")]
    Refused(#[source] Refusal),
    #[error("more than {max} patients in one run: raise `max_patients` (about 400 bytes of memory each)")]
    TooMany { max: usize },
}

impl PersonRecord {
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(super) fn birth(&self) -> Option<Partial> {
        Partial::unpack(self.birth)
    }

    /// The facts of a Patient resource. `secret` is random, drawn once per patient and the same for ever (crosswalk).
    /// # Errors: a resource that is no Patient or has no id.
    pub fn of(keys: &Keys, root: Node<'_, '_>, secret: [u8; 32]) -> Result<Self, Refusal> {
        let patient = patient_key(root).ok_or_else(|| Refusal::new(Step::Deidentify, "Patient.id", "a Patient with an id"))?;
        let words = identifiers::of_patient(root, keys.guard());
        if words.len() > MOST_WORDS {
            return Err(Refusal::new(Step::Deidentify, "Patient", "more than 1024 identifying words"));
        }
        let birth = root.get(Name::of("birthDate")).and_then(|birth| Partial::parse(&birth.text()));
        Ok(Self {
            id: keys.person_id(&patient),
            secret: Zeroizing::new(secret),
            birth: birth.map_or(0, Partial::pack),
            words: words.into(),
        })
    }

    /// The patient's place; a key for the site's own database, and no identifier.
    pub fn id(&self) -> PersonId {
        self.id
    }

    /// This record with what an older record of the same patient knew: its secret stays, its words are still guarded.
    #[must_use]
    pub fn with_older(mut self, older: &PersonRecord) -> Self {
        if self.id != older.id {
            return self;
        }
        self.secret = older.secret.clone();
        if self.birth == 0 {
            self.birth = older.birth;
        }
        let mut words = [&*self.words, &*older.words].concat();
        words.sort_unstable();
        words.dedup();
        // The newest words count; a history of a thousand corrections is cut rather than grown without end.
        if words.len() <= MOST_WORDS {
            self.words = words.into();
        }
        self
    }

    /// Whether both have the same secret, and so the same surrogates.
    pub fn has_secret_of(&self, other: &PersonRecord) -> bool {
        equal(&*self.secret, &*other.secret)
    }

    /// The record as bytes, secret: to be sealed before they reach a disk.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEAD_BYTES + 8 * self.words.len()));
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&*self.secret);
        bytes.extend_from_slice(&self.birth.to_be_bytes());
        for word in &self.words {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// The record of `to_bytes`.
    /// # Errors: anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadRecord> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES).ok_or(BadRecord)?;
        let (chunks, cut) = rest.as_chunks::<8>();
        let words: Box<[u64]> = chunks.iter().map(|chunk| u64::from_be_bytes(*chunk)).collect();
        let part = |from: usize, to: usize| head.get(from..to).ok_or(BadRecord);
        if head.first() != Some(&VERSION) || !cut.is_empty() || words.len() > MOST_WORDS || !words.is_sorted() {
            return Err(BadRecord);
        }
        Ok(Self {
            id: PersonId(part(1, 17)?.try_into().map_err(|_| BadRecord)?),
            secret: Zeroizing::new(part(17, 49)?.try_into().map_err(|_| BadRecord)?),
            birth: u32::from_be_bytes(part(49, 53)?.try_into().map_err(|_| BadRecord)?),
            words,
        })
    }
}

impl fmt::Debug for PersonRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PersonRecord({} words)", self.words.len())
    }
}

/// `Patient/<id>` of a Patient resource; what `Keys::person_id` is asked with.
pub fn patient_key(root: Node<'_, '_>) -> Option<String> {
    let id = root.get(Name::ID).filter(|_| root.resource_type() == Some("Patient"))?.text();
    (!id.is_empty()).then(|| format!("Patient/{id}"))
}

/// The patients of one run. Shared by all threads; never changed after `finish`.
#[derive(Default)]
pub struct People {
    people: HashMap<PersonId, Person>,
}

struct Person {
    secret: Zeroizing<[u8; 32]>,
    birth: u32,
    words: Box<[u64]>,
}

impl People {
    pub fn len(&self) -> usize {
        self.people.len()
    }

    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    pub fn contains(&self, id: PersonId) -> bool {
        self.people.contains_key(&id)
    }

    pub(super) fn find(&self, id: PersonId) -> Option<Known<'_>> {
        self.people.get(&id).map(|person| Known {
            secret: &person.secret,
            subject: Subject {
                words: &person.words,
                birth: Partial::unpack(person.birth),
            },
        })
    }
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "People({})", self.people.len())
    }
}

/// A patient we know.
#[derive(Clone, Copy)]
pub(super) struct Known<'p> {
    pub secret: &'p [u8; 32],
    pub subject: Subject<'p>,
}

/// Gathers the patients of a run, within a bound.
pub struct PeopleBuilder {
    keys: Keys,
    max_patients: usize,
    people: People,
}

impl PeopleBuilder {
    /// At most `max_patients` patients, about 400 bytes each.
    pub fn new(keys: &Keys, max_patients: usize) -> Self {
        Self {
            keys: keys.clone(),
            max_patients,
            people: People::default(),
        }
    }

    /// Adds a landed Patient resource with the secret drawn for it. A second one of the same patient adds its words;
    /// the first one's secret stays.
    /// # Errors: a resource that is no patient; one patient more than `max_patients`.
    pub fn add(&mut self, root: Node<'_, '_>, secret: [u8; 32]) -> Result<(), PeopleError> {
        let record = PersonRecord::of(&self.keys, root, secret).map_err(PeopleError::Refused)?;
        self.insert(record)
    }

    /// Adds a patient whose facts were kept. An older record goes in first.
    /// # Errors: one patient more than `max_patients`.
    pub fn insert(&mut self, record: PersonRecord) -> Result<(), PeopleError> {
        let mut record = record;
        if let Some(older) = self.people.people.remove(&record.id) {
            let id = record.id;
            record = record.with_older(&PersonRecord {
                id,
                secret: older.secret,
                birth: older.birth,
                words: older.words,
            });
        } else if self.people.len() >= self.max_patients {
            return Err(PeopleError::TooMany { max: self.max_patients });
        }
        let PersonRecord { id, secret, birth, words } = record;
        self.people.people.insert(id, Person { secret, birth, words });
        Ok(())
    }

    pub fn finish(self) -> People {
        self.people
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::tree::{Limits, Tree};
    use crate::platform::secret::Secret;

    fn keys() -> Keys {
        Keys::derive(&Secret::new(vec![1; 32]), "n", "s")
    }

    fn record(json: &str, secret: u8) -> Result<PersonRecord, Refusal> {
        let mut tree = Tree::new();
        let root = tree.parse(json.as_bytes(), &Limits::default()).expect("JSON");
        PersonRecord::of(&keys(), root, [secret; 32])
    }

    fn patient(id: &str, family: &str) -> PersonRecord {
        record(
            &format!(r#"{{"resourceType":"Patient","id":"{id}","name":[{{"family":"{family}"}}],"birthDate":"2010-03"}}"#),
            7,
        )
        .expect("a patient")
    }

    #[test]
    fn a_record_survives_its_bytes_and_any_cut_is_noticed() {
        let record = patient("p1234", "Okonkwo");
        let bytes = record.to_bytes();
        assert!(PersonRecord::from_bytes(&bytes) == Ok(record));
        for length in 0..bytes.len() {
            let whole_words = length >= HEAD_BYTES && (length - HEAD_BYTES).is_multiple_of(8);
            assert_eq!(PersonRecord::from_bytes(&bytes[..length]).is_ok(), whole_words, "{length}");
        }
        let mut other = bytes.to_vec();
        other[0] = 2;
        assert_eq!(PersonRecord::from_bytes(&other), Err(BadRecord));
    }

    #[test]
    fn a_second_version_of_a_patient_adds_its_words_and_keeps_the_first_secret() {
        let mut builder = PeopleBuilder::new(&keys(), 1);
        let (old, mut new) = (patient("p1234", "Okonkwo"), patient("p1234", "Featherstone"));
        new.secret = Zeroizing::new([8; 32]);
        builder.insert(old.clone()).expect("room");
        builder.insert(new.clone()).expect("the same patient needs no room");
        let people = builder.finish();
        let known = people.find(new.id()).expect("known");
        assert_eq!(known.secret, &[7; 32]);
        assert!(old.words.iter().chain(&new.words).all(|word| known.subject.words.contains(word)));
        assert!(known.subject.words.is_sorted());
        assert_eq!(people.len(), 1);
    }

    #[test]
    fn one_patient_more_than_the_bound_is_refused() {
        let mut builder = PeopleBuilder::new(&keys(), 1);
        builder.insert(patient("p1", "A")).expect("room");
        assert!(matches!(builder.insert(patient("p2", "B")), Err(PeopleError::TooMany { max: 1 })));
    }

    #[test]
    fn a_resource_that_is_no_patient_is_refused_without_its_values() {
        for json in [
            r#"{"resourceType":"Practitioner","id":"x"}"#,
            r#"{"resourceType":"Patient"}"#,
            r#"{"resourceType":"Patient","id":""}"#,
        ] {
            let refusal = record(json, 1).expect_err("refused");
            assert_eq!(refusal.to_string(), "deidentify: a Patient with an id at `Patient.id`");
        }
    }

    #[test]
    fn nothing_of_a_record_is_printed() {
        let printed = format!("{:?} {:?}", patient("p1234", "Okonkwo"), People::default());
        assert_eq!(printed, "PersonRecord(2 words) People(0)");
    }
}
