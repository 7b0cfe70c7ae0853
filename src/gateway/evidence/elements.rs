//! Which elements of FHIR R4 this site's EHR has ever sent: what is new in a night is what nobody has looked at yet.
//! An element is named by its type, `Patient.contact`, `HumanName.given`. Names that R4 does not have are counted and never
//! shown, for they may be a value. Basis: FHIR R4 element definitions by type.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction, params};

use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;

/// The elements' table.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS element_seen ( -- elements of R4 that the EHR has sent, and the run that saw each first
    element TEXT PRIMARY KEY,
    run INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Elements within elements: no resource that was read has more.
const DEPTH: usize = 128;

/// Elements met by one thread: a bit for each element of each type.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Elements {
    types: Vec<Vec<u64>>,
    /// Members that R4 does not have.
    unknown: u64,
}

impl Elements {
    /// Notes every element of a resource.
    pub(in crate::gateway) fn see(&mut self, root: Node<'_, '_>) {
        if let Some(type_id) = root.resource_type().and_then(TypeId::of) {
            self.object(root, type_id, 0);
        }
    }

    fn object(&mut self, node: Node<'_, '_>, type_id: TypeId, depth: usize) {
        for child in node.children() {
            let name = child.name();
            if name == Name::RESOURCE_TYPE {
                continue;
            }
            let Some(known) = type_id.child(name) else {
                self.unknown += 1;
                continue;
            };
            self.note(type_id, known.name);
            if depth >= DEPTH || name.is_companion() {
                continue;
            }
            let below = known.type_id;
            let mut item = |item: Node<'_, '_>| {
                if item.kind() == Kind::Object {
                    // A resource within a resource says its own type.
                    let type_id = match below.is_resource() {
                        true => item.resource_type().and_then(TypeId::of),
                        false => Some(below),
                    };
                    if let Some(type_id) = type_id {
                        self.object(item, type_id, depth + 1);
                    }
                }
            };
            match child.kind() {
                Kind::Array => child.children().for_each(&mut item),
                _ => item(child),
            }
        }
    }

    fn note(&mut self, type_id: TypeId, name: Name) {
        let (place, word) = (usize::from(type_id.0), usize::from(name.0) / 64);
        if self.types.len() <= place {
            self.types.resize_with(place + 1, Vec::new);
        }
        let bits = &mut self.types[place];
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        bits[word] |= 1 << (name.0 % 64);
    }

    /// Adds what another thread met.
    pub(in crate::gateway) fn add(&mut self, other: &Self) {
        self.unknown += other.unknown;
        for (place, bits) in other.types.iter().enumerate() {
            if self.types.len() <= place {
                self.types.resize_with(place + 1, Vec::new);
            }
            let mine = &mut self.types[place];
            if mine.len() < bits.len() {
                mine.resize(bits.len(), 0);
            }
            mine.iter_mut().zip(bits).for_each(|(mine, bits)| *mine |= bits);
        }
    }

    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    /// `Patient.birthDate` and so on.
    fn names(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for (place, bits) in self.types.iter().enumerate() {
            for (word, bits) in bits.iter().enumerate() {
                for bit in (0..64).filter(|bit| bits >> bit & 1 == 1) {
                    let (Ok(type_id), Ok(name)) = (u16::try_from(place), u16::try_from(word * 64 + bit)) else {
                        continue;
                    };
                    all.insert(format!("{}.{}", TypeId(type_id).as_str(), Name(name).as_str()));
                }
            }
        }
        all
    }

    /// Those that no other run has met.
    /// # Errors: the database.
    pub(super) fn new_in(&self, db: &Connection, run: i64) -> rusqlite::Result<Vec<String>> {
        let mut known = db.prepare_cached("SELECT EXISTS (SELECT 1 FROM element_seen WHERE element = ?1 AND run <> ?2)")?;
        let mut new = Vec::new();
        for element in self.names() {
            if !known.query_row(params![element, run], |row| row.get::<_, bool>(0))? {
                new.push(element);
            }
        }
        Ok(new)
    }
}

/// Remembers what a run met first. Doing it again changes nothing.
/// # Errors: the database.
pub(in crate::gateway) fn remember(tx: &Transaction<'_>, run: i64, elements: &[String]) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached("INSERT OR IGNORE INTO element_seen (element, run) VALUES (?1, ?2)")?;
    for element in elements {
        insert.execute(params![element, run])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::tree::{Limits, Tree};

    fn elements(json: &str) -> Elements {
        let mut tree = Tree::new();
        let mut elements = Elements::default();
        elements.see(tree.parse(json.as_bytes(), &Limits::default()).expect("JSON"));
        elements
    }

    const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","name":[{"family":"Okonkwo"}],"Okonkwo":1,
        "contained":[{"resourceType":"Organization","name":"x"}],"_birthDate":{"extension":[{"url":"http://x"}]}}"#;

    #[test]
    fn elements_are_named_by_their_type_and_unknown_members_are_only_counted() {
        let found = elements(PATIENT);
        let names: Vec<String> = found.names().into_iter().collect();
        assert_eq!(
            names,
            [
                "HumanName.family",
                "Organization.name",
                "Patient.birthDate",
                "Patient.contained",
                "Patient.id",
                "Patient.name"
            ]
        );
        assert_eq!(found.unknown(), 1);
    }

    #[test]
    fn what_is_new_is_what_no_other_run_met_and_stays_new_for_its_own() {
        let mut db = Connection::open_in_memory().expect("a database");
        db.execute_batch(SCHEMA).expect("the schema");
        let first = elements(r#"{"resourceType":"Patient","id":"p"}"#);
        let new = first.new_in(&db, 1).expect("asked");
        assert_eq!(new, ["Patient.id"]);
        let tx = db.transaction().expect("a transaction");
        remember(&tx, 1, &new).expect("remembered");
        tx.commit().expect("committed");
        assert_eq!(
            first.new_in(&db, 1).expect("asked"),
            ["Patient.id"],
            "a run that is done again says the same"
        );
        let mut both = first.clone();
        both.add(&elements(PATIENT));
        let second = both.new_in(&db, 2).expect("asked");
        assert!(!second.contains(&"Patient.id".to_owned()) && second.contains(&"HumanName.family".to_owned()));
    }
}
