//! Which master key is in force, and how one takes the other's place. Every pseudonym and date shift hangs on it, so no run
//! ever makes one: a key that is missing, or is not the one the registry's rows were made with, stops the run.
//!
//! ```text
//! rotate       pseudonym.next.key beside pseudonym.key; ledger.key, so that the ledger goes on knowing its resources
//! next run     everything is mapped again under the next key: old pseudonyms withdrawn, new ones sent, one submission
//! acknowledge  with the ledger, in its transaction: the fingerprint of the key the registry's rows are made with, the crosswalk
//! then         the next key takes the place of the old one. A crash before that is mended at the next opening
//! ```
//! Until the registry has answered, the old key lies where it was: the rows out there are its rows.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::report::Report;
use super::site::Places;
use crate::deidentify::{KeyError, Keys, MASTER_KEY_BYTES};
use crate::platform::file::{self, FileError};
use crate::platform::secret::{Secret, hex, hkdf};

/// The table.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS master (    -- the key that the registry's rows were made with
    only INTEGER PRIMARY KEY CHECK (only = 1),
    fingerprint TEXT NOT NULL
) STRICT;
";

/// Where the master key is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MasterKey {
    /// In the state directory, made by `init`.
    #[default]
    File,
    /// A credential of the service manager (`$CREDENTIALS_DIRECTORY/<name>`), and one that takes its place.
    Credential { name: String, next: Option<String> },
}

/// Why no key is in force.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("a key file could not be written")]
    File(#[from] FileError),
    #[error(
        "`keys.master_credential` names the credential `{name}`, and the service manager gave none (CREDENTIALS_DIRECTORY is not set): \
         run it as the service that has `LoadCredentialEncrypted={name}`, or by `systemd-run` with the same"
    )]
    NoCredentials { name: String },
    #[error(
        "the master key ({found}) is not the one the registry's rows were made with ({expected}): nothing was pulled or sent. \
         Restore that key from its backup (`headwater keys restore`), or set `site.name` and `site.network` back, which it hangs on; \
         a change that is meant is begun with `headwater keys rotate --master`"
    )]
    Changed { found: String, expected: String },
    #[error(
        "ledger.key is not there, and a master key was rotated here: restore the keys folder from its backup (`headwater keys restore`)"
    )]
    NoLedgerKey,
    #[error("a rotation is under way already: the next `headwater sync` maps everything again under the key {next}")]
    UnderWay { next: String },
    #[error(
        "the master key is a credential of the service manager, which this command cannot write: add a new one, name it as \
         `keys.next_credential`, and run `headwater sync`; it says when the new one is in force"
    )]
    NotOurs,
    #[error("the site's ledger (gateway.db) could not be read")]
    Database(#[from] rusqlite::Error),
}

impl MasterError {
    /// Whether a person must decide, rather than mend this machine's files.
    pub fn is_a_decision(&self) -> bool {
        matches!(self, MasterError::Changed { .. })
    }
}

/// The key in force.
#[derive(Debug)]
pub(super) struct InForce {
    pub keys: Keys,
    /// Hashes the ids of resources for the ledger; it stays when the master key changes.
    pub ledger: Secret,
    /// The registry's rows were made with the key before: everything is mapped again.
    pub is_rotating: bool,
    /// The fingerprint of the key before, while its place is being taken.
    pub before: Option<String>,
}

/// Where the keys of a place stand.
struct Held<'p> {
    places: &'p Places,
    at: &'p MasterKey,
    network: &'p str,
    site: &'p str,
    current: Secret,
    next: Option<Secret>,
}

impl Held<'_> {
    fn keys(&self, master: &Secret) -> Keys {
        Keys::derive(master, self.network, self.site)
    }

    /// The ledger's own key: the file, or what the first master key gives, by the text of its file: ledgers were always hashed so.
    fn ledger(&self) -> Result<Secret, MasterError> {
        match file::read_secret(&self.places.ledger_key()) {
            Ok(key) => Ok(key),
            Err(error) if error.is_not_found() => {
                let label = format!("headwater|{}|{}|ledger", self.network, self.site);
                let text = match self.at {
                    MasterKey::File => file::read_secret(&self.places.pseudonym_key())?,
                    MasterKey::Credential { .. } => as_text(&self.current),
                };
                Ok(hkdf(&text, &label))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A master key as its file holds it.
fn as_text(master: &Secret) -> Secret {
    Secret::new(format!("{}\n", hex(master.expose())).into_bytes())
}

fn held<'p>(places: &'p Places, at: &'p MasterKey, (network, site): (&'p str, &'p str)) -> Result<Held<'p>, MasterError> {
    let (current, next) = match at {
        MasterKey::File => {
            let next = places.pseudonym_next_key();
            let there = next.exists().then(|| Keys::read_master(&next, file::read_secret));
            (Keys::read_master(&places.pseudonym_key(), file::read_secret)?, there.transpose()?)
        }
        MasterKey::Credential { name, next } => {
            let given = |name: &str| Ok::<_, MasterError>(Keys::read_master(&credential(name)?, file::read_credential)?);
            (given(name)?, next.as_deref().map(given).transpose()?)
        }
    };
    Ok(Held {
        places,
        at,
        network,
        site,
        current,
        next,
    })
}

fn credential(name: &str) -> Result<PathBuf, MasterError> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| MasterError::NoCredentials { name: name.to_owned() })?;
    Ok(Path::new(&folder).join(name))
}

/// The key in force for a run. `ids`: network and site.
/// # Errors: a key that is missing, unusable or not the one in force; see [`MasterError`].
pub(super) fn in_force(places: &Places, at: &MasterKey, ids: (&str, &str), db: &Connection) -> Result<InForce, MasterError> {
    let held = held(places, at, ids)?;
    let (current, next) = (held.keys(&held.current), held.next.as_ref().map(|next| held.keys(next)));
    let bound = bound(db)?;
    let is = |keys: &Keys| bound.as_deref() == Some(keys.fingerprint());
    let has_ledger_key = places.ledger_key().exists();
    if let Some(next) = next.clone().filter(|next| is(next) && !is(&current)) {
        if !has_ledger_key {
            return Err(MasterError::NoLedgerKey);
        }
        let ledger = held.ledger()?;
        finish(places, at)?;
        return Ok(InForce {
            keys: next,
            ledger,
            is_rotating: false,
            before: None,
        });
    }
    if let Some(expected) = bound.as_ref().filter(|_| !is(&current)) {
        let found = current.fingerprint().to_owned();
        let expected = expected.clone();
        return Err(MasterError::Changed { found, expected });
    }
    let ledger = held.ledger()?;
    let is_spare = next.as_ref().is_some_and(|next| next.fingerprint() == current.fingerprint());
    if is_spare && *at == MasterKey::File {
        // A crash came between the two steps of `finish`.
        file::remove(&places.pseudonym_next_key())?;
    }
    let Some(next) = next.filter(|_| !is_spare) else {
        return Ok(InForce {
            keys: current,
            ledger,
            is_rotating: false,
            before: None,
        });
    };
    if !has_ledger_key {
        file::write_secret(&places.ledger_key(), ledger.expose())?;
    }
    Ok(InForce {
        keys: next,
        ledger,
        is_rotating: true,
        before: Some(current.fingerprint().to_owned()),
    })
}

/// Begins a rotation: makes the next key. The fingerprints of the key in force and of the next one.
/// # Errors: one is under way; the key is not ours to make; the disk.
pub fn rotate(places: &Places, at: &MasterKey, ids: (&str, &str)) -> Result<(String, String), MasterError> {
    if *at != MasterKey::File {
        return Err(MasterError::NotOurs);
    }
    let before = held(places, at, ids)?;
    if let Some(next) = &before.next {
        let next = before.keys(next).fingerprint().to_owned();
        return Err(MasterError::UnderWay { next });
    }
    if !places.ledger_key().exists() {
        file::write_secret(&places.ledger_key(), before.ledger()?.expose())?;
    }
    Keys::create_file(&places.pseudonym_next_key(), &Secret::random(MASTER_KEY_BYTES))?;
    let after = held(places, at, ids)?;
    let fingerprint = |key: &Secret| after.keys(key).fingerprint().to_owned();
    Ok((
        fingerprint(&after.current),
        after.next.as_ref().map(fingerprint).unwrap_or_default(),
    ))
}

/// The fingerprints of the key here, of one that is to take its place, and of the one the registry's rows were made with.
/// # Errors: a key that is missing or unusable; the database.
pub fn fingerprints(places: &Places, at: &MasterKey, ids: (&str, &str)) -> Result<(String, Option<String>, Option<String>), MasterError> {
    let held = held(places, at, ids)?;
    let fingerprint = |key: &Secret| held.keys(key).fingerprint().to_owned();
    let bound = if places.database().exists() {
        let db = Connection::open(places.database())?;
        db.execute_batch(SCHEMA)?;
        bound(&db)?
    } else {
        None
    };
    Ok((fingerprint(&held.current), held.next.as_ref().map(fingerprint), bound))
}

/// The master key with this fingerprint, as its file holds it, for a backup: after a rotation of credentials it is the next one,
/// until somebody renames them.
/// # Errors: as [`in_force`]; none of those here has it.
pub(super) fn text(places: &Places, at: &MasterKey, ids: (&str, &str), fingerprint: &str) -> Result<Secret, MasterError> {
    let held = held(places, at, ids)?;
    let mut all = [Some(&held.current), held.next.as_ref()].into_iter().flatten();
    match all.find(|key| held.keys(key).fingerprint() == fingerprint) {
        Some(key) => Ok(as_text(key)),
        None => Err(MasterError::Changed {
            found: held.keys(&held.current).fingerprint().to_owned(),
            expected: fingerprint.to_owned(),
        }),
    }
}

/// The fingerprint of the key that the registry's rows were made with.
fn bound(db: &Connection) -> rusqlite::Result<Option<String>> {
    let bound = db.query_row("SELECT fingerprint FROM master", [], |row| row.get(0)).optional()?;
    if bound.is_some() {
        return Ok(bound);
    }
    // A ledger from before it was kept apart: the last run that was acknowledged says it.
    let has_runs = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'run'")?.exists([])?;
    if !has_runs {
        return Ok(None);
    }
    let report: Option<Option<String>> = db
        .query_row("SELECT report FROM run WHERE phase = 'done' ORDER BY id DESC LIMIT 1", [], |row| {
            row.get(0)
        })
        .optional()?;
    let report: Option<Report> = report.flatten().and_then(|text| serde_json::from_str(&text).ok());
    Ok(report
        .map(|report| report.key_fingerprint)
        .filter(|fingerprint| !fingerprint.is_empty()))
}

/// The registry has answered a submission made with this key.
/// # Errors: the database.
pub(super) fn bind(tx: &Transaction<'_>, fingerprint: &str) -> rusqlite::Result<()> {
    tx.execute("INSERT OR REPLACE INTO master (only, fingerprint) VALUES (1, ?1)", [fingerprint])
        .map(drop)
}

/// The next key takes the place of the one before it, which is not on this disk any more then.
/// # Errors: the disk; it is tried again when the site is opened.
pub(super) fn finish(places: &Places, at: &MasterKey) -> Result<(), MasterError> {
    if *at != MasterKey::File {
        return Ok(());
    }
    let next = places.pseudonym_next_key();
    let text = file::read_secret(&next)?;
    // Content first: a crash between the two leaves the same key twice, which is no rotation.
    file::write_durable(&places.pseudonym_key(), text.expose())?;
    file::remove(&next)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: (&str, &str) = ("n", "s");

    fn site() -> (tempfile::TempDir, Places, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::of(dir.path());
        places.make_keys().unwrap();
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        (dir, places, db)
    }

    fn now(places: &Places, db: &Connection) -> Result<InForce, MasterError> {
        in_force(places, &MasterKey::File, IDS, db)
    }

    fn answer(db: &mut Connection, keys: &Keys) {
        let tx = db.transaction().unwrap();
        bind(&tx, keys.fingerprint()).unwrap();
        tx.commit().unwrap();
    }

    #[test]
    fn a_rotation_keeps_the_old_key_until_the_registry_has_answered_and_then_forgets_it() {
        let (_dir, places, mut db) = site();
        let old = now(&places, &db).unwrap();
        assert!(!old.is_rotating);
        answer(&mut db, &old.keys);
        let (from, to) = rotate(&places, &MasterKey::File, IDS).unwrap();
        assert_eq!(from, old.keys.fingerprint());
        assert!(matches!(rotate(&places, &MasterKey::File, IDS), Err(MasterError::UnderWay { .. })));
        for _ in 0..2 {
            let next = now(&places, &db).unwrap();
            assert!(next.is_rotating && next.keys.fingerprint() == to);
            assert_eq!(
                next.ledger.expose(),
                old.ledger.expose(),
                "the ledger goes on knowing its resources"
            );
            assert!(places.pseudonym_next_key().exists());
        }
        let next = now(&places, &db).unwrap();
        answer(&mut db, &next.keys);
        // The process died here: the next opening ends it.
        for _ in 0..2 {
            let after = now(&places, &db).unwrap();
            assert!(!after.is_rotating && after.keys.fingerprint() == to);
            assert_eq!(after.ledger.expose(), old.ledger.expose());
            assert!(!places.pseudonym_next_key().exists());
        }
    }

    #[test]
    fn the_ledger_is_hashed_as_it_always_was_also_where_the_key_is_a_credential() {
        let (_dir, places, db) = site();
        let text = file::read_secret(&places.pseudonym_key()).unwrap();
        let before = hkdf(&text, "headwater|n|s|ledger");
        assert_eq!(now(&places, &db).unwrap().ledger.expose(), before.expose());
        let master = Keys::read_master(&places.pseudonym_key(), file::read_secret).unwrap();
        assert_eq!(as_text(&master).expose(), text.expose());
    }

    #[test]
    fn a_crash_between_the_two_steps_of_the_end_is_no_rotation() {
        let (_dir, places, mut db) = site();
        rotate(&places, &MasterKey::File, IDS).unwrap();
        let next = now(&places, &db).unwrap();
        answer(&mut db, &next.keys);
        let text = file::read_secret(&places.pseudonym_next_key()).unwrap();
        file::write_durable(&places.pseudonym_key(), text.expose()).unwrap();
        assert!(!now(&places, &db).unwrap().is_rotating);
        assert!(!places.pseudonym_next_key().exists(), "the spare copy goes");
        rotate(&places, &MasterKey::File, IDS).expect("and the next rotation may begin");
    }

    #[test]
    fn the_key_that_is_written_into_a_backup_is_the_one_in_force() {
        let (_dir, places, mut db) = site();
        rotate(&places, &MasterKey::File, IDS).unwrap();
        let next = now(&places, &db).unwrap();
        // As with credentials: acknowledged, and not renamed yet.
        answer(&mut db, &next.keys);
        let text_of = |fingerprint: &str| text(&places, &MasterKey::File, IDS, fingerprint);
        let given = text_of(next.keys.fingerprint()).unwrap();
        let expected = file::read_secret(&places.pseudonym_next_key()).unwrap();
        assert!(given.expose().trim_ascii() == expected.expose().trim_ascii());
        assert!(text_of("0000000000000000").is_err(), "no other is passed off for it");
    }

    #[test]
    fn a_key_that_is_missing_or_another_is_refused_with_what_to_do() {
        let (_dir, places, mut db) = site();
        let old = now(&places, &db).unwrap();
        answer(&mut db, &old.keys);
        std::fs::remove_file(places.pseudonym_key()).unwrap();
        let missing = now(&places, &db).unwrap_err();
        assert!(missing.to_string().contains("restore it from the backup") && !missing.is_a_decision());
        Keys::create_file(&places.pseudonym_key(), &Secret::random(32)).unwrap();
        let changed = now(&places, &db).unwrap_err();
        assert!(changed.is_a_decision() && changed.to_string().contains("keys restore"), "{changed}");
        let none = MasterKey::Credential {
            name: "a".into(),
            next: None,
        };
        assert!(matches!(rotate(&places, &none, IDS), Err(MasterError::NotOurs)));
    }
}
