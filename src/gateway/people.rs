//! The crosswalk: what the site knows of each patient to de-identify their rows, sealed in the ledger's file.
//! A patient's secret is drawn once and stays; names and numbers are kept as keyed hashes only.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::deidentify::{BadRecord, People, PeopleBuilder, PersonRecord};
use crate::landing::{Kind, Segment};
use crate::platform::secret::Secret;
use crate::platform::{database, random, secret};

use super::error::GatewayError;
use super::site::Site;
use super::steps::{self, Bench};

/// The crosswalk's table.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS person (
    id BLOB PRIMARY KEY,             -- keyed hash of Patient/id
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS person_next ( -- the same under the next master key, with secrets of its own
    id BLOB PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

const AAD: &[u8] = b"headwater person 1";

/// Why the crosswalk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    #[error("the crosswalk (table `person` in gateway.db) could not be read or written")]
    Database(#[from] rusqlite::Error),
    #[error("an entry of the crosswalk was not sealed by this site's landing.key: restore state/ and its keys from the same backup")]
    Sealed,
    #[error("an entry of the crosswalk cannot be read")]
    Record(#[from] BadRecord),
    #[error(transparent)]
    TooMany(#[from] crate::deidentify::PeopleError),
}

/// Takes in the Patient resources of these segments and gives every patient the site knows.
/// # Errors: the database, a foreign seal, more patients than configured.
pub(super) fn refresh(site: &Site, segments: &[Segment]) -> Result<People, GatewayError> {
    let every;
    let (table, segments) = if site.is_rotating() {
        // Under the next key nobody is known yet: of everybody, everything landed is read again.
        every = site.landing.all_segments()?;
        ("person_next", &every[..])
    } else {
        ("person", segments)
    };
    let (mut bench, mut bytes) = (Bench::default(), Vec::new());
    for segment in segments
        .iter()
        .filter(|s| s.kind == Kind::Resources && s.resource_type == "Patient")
    {
        let mut frames = site.landing.read(segment)?;
        while frames.next_into(&mut bytes)? {
            let mut db = database::lock(&site.db);
            let tx = db.transaction().map_err(PeopleError::from)?;
            for (_, line) in steps::lines(1, &bytes) {
                let Ok(root) = bench.read(line, &site.settings.limits) else {
                    continue;
                };
                // What is no patient with an id is refused, and counted, when it is transformed.
                let Ok(record) = PersonRecord::of(&site.keys, root, random::bytes()) else {
                    continue;
                };
                let record = match find(site, &tx, table, &record)? {
                    Some(older) => record.with_older(&older),
                    None => record,
                };
                let sealed = secret::seal(&site.person_key, AAD, &record.to_bytes());
                tx.prepare_cached(&format!("INSERT OR REPLACE INTO {table} (id, sealed) VALUES (?1, ?2)"))
                    .and_then(|mut insert| insert.execute(params![&record.id().0[..], sealed]))
                    .map_err(PeopleError::from)?;
            }
            tx.commit().map_err(PeopleError::from)?;
        }
    }
    Ok(all(site, table)?)
}

/// The registry has rows of the next key: what was known under it is the crosswalk now.
/// # Errors: the database.
pub(super) fn turn_over(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch("DELETE FROM person; INSERT INTO person SELECT id, sealed FROM person_next; DELETE FROM person_next;")
}

/// Calls `each` with everything that is known, for a backup.
/// # Errors: the database, a foreign seal; what `each` says.
pub(super) fn each_record<E: From<rusqlite::Error> + From<PeopleError>>(
    db: &Connection,
    seal: &Secret,
    mut each: impl FnMut(PersonRecord) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = db.prepare("SELECT sealed FROM person ORDER BY id")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        each(opened(seal, &row.get::<_, Vec<u8>>(0)?)?)?;
    }
    Ok(())
}

/// Enters what a backup knows of a patient. Who is there keeps their secret, which must be the same.
/// # Errors: the database; another secret is there.
pub(super) fn keep(db: &Connection, seal: &Secret, record: &PersonRecord) -> Result<(), PeopleError> {
    let id = record.id();
    let there: Option<Vec<u8>> = db
        .prepare_cached("SELECT sealed FROM person WHERE id = ?1")?
        .query_row([&id.0[..]], |row| row.get(0))
        .optional()?;
    if let Some(there) = there {
        let same = opened(seal, &there)?.has_secret_of(record);
        return if same { Ok(()) } else { Err(PeopleError::Sealed) };
    }
    let sealed = secret::seal(seal, AAD, &record.to_bytes());
    db.prepare_cached("INSERT INTO person (id, sealed) VALUES (?1, ?2)")?
        .execute(params![&id.0[..], sealed])?;
    Ok(())
}

fn opened(seal: &Secret, sealed: &[u8]) -> Result<PersonRecord, PeopleError> {
    let bytes = secret::open(seal, AAD, sealed).map_err(|_| PeopleError::Sealed)?;
    Ok(PersonRecord::from_bytes(&bytes)?)
}

fn find(site: &Site, db: &Connection, table: &str, record: &PersonRecord) -> Result<Option<PersonRecord>, PeopleError> {
    let sealed: Option<Vec<u8>> = db
        .prepare_cached(&format!("SELECT sealed FROM {table} WHERE id = ?1"))?
        .query_row([&record.id().0[..]], |row| row.get(0))
        .optional()?;
    sealed.map(|sealed| open(site, &sealed)).transpose()
}

fn open(site: &Site, sealed: &[u8]) -> Result<PersonRecord, PeopleError> {
    opened(&site.person_key, sealed)
}

fn all(site: &Site, table: &str) -> Result<People, PeopleError> {
    let db = database::lock(&site.db);
    let mut builder = PeopleBuilder::new(&site.keys, site.settings.max_patients);
    let mut statement = db.prepare(&format!("SELECT sealed FROM {table}"))?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        builder.insert(open(site, &row.get::<_, Vec<u8>>(0)?)?)?;
    }
    Ok(builder.finish())
}
