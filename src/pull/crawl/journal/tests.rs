//! The journal of a crawl over a database in memory.

use super::super::super::tables::SCHEMA;
use super::*;
use crate::platform::secret::Secret;

fn database() -> Arc<Mutex<Connection>> {
    let database = Connection::open_in_memory().unwrap();
    database.execute_batch(SCHEMA).unwrap();
    Arc::new(Mutex::new(database))
}

fn member(id: &str) -> Entry {
    let id = id.to_owned();
    Entry {
        members: vec![Member { id, landed: false }],
        ..Entry::default()
    }
}

#[test]
fn a_unit_of_a_call_that_was_taken_over_is_not_entered() {
    let (database, key) = (database(), Secret::random(32));
    let old = Journal::open(&database, 1, Veil::new(&key)).unwrap();
    let enter = |journal: &Journal, entry: &Entry| database::transaction(&database, |tx| journal.enter(tx, entry));
    enter(&old, &member("a")).unwrap();
    let new = Journal::open(&database, 1, Veil::new(&key)).unwrap();
    assert!(enter(&old, &member("b")).is_err());
    enter(&new, &member("c")).unwrap();
    enter(&new, &member("a")).unwrap();
    let ids: Vec<String> = new
        .open_patients(0, 10)
        .unwrap_or_default()
        .into_iter()
        .map(|patient| patient.id)
        .collect();
    assert_eq!(ids, ["a", "c"], "each once, and nothing of the old call");
}

#[test]
fn what_is_landed_need_not_be_read_and_a_reset_forgets_it() {
    let database = database();
    let journal = Journal::open(&database, 1, Veil::new(&Secret::random(32))).unwrap();
    let enter = |entry: &Entry| database::transaction(&database, |tx| journal.enter(tx, entry)).unwrap();
    let refer = |ids: &[&str]| Entry {
        references: ids.iter().map(|id| ("Location".to_owned(), (*id).to_owned())).collect(),
        ..Entry::default()
    };
    enter(&Entry {
        seen: vec![(journal.veil.resource("Location", "landed"), [7; 16])],
        ..Entry::default()
    });
    enter(&refer(&["landed", "far"]));
    enter(&refer(&["far"]));
    let open = || {
        journal
            .open_references(0, 10)
            .unwrap_or_default()
            .into_iter()
            .map(|one| one.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(open(), ["far"]);
    database::transaction(&database, |tx| reset(tx, 1)).unwrap();
    enter(&refer(&["landed"]));
    assert_eq!(open(), ["landed"]);
}
