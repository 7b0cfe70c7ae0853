//! Everything that makes a site's pseudonyms, in one file that only a passphrase opens: its keys, the crosswalk, the blocks of
//! withdrawn patients. Not the landed data and not the ledger: a site that is built anew pulls all of it again and finds, row
//! by row, what the registry holds already.
//!
//! What is restored never takes the place of something else. The crosswalk comes before the keys and the master key last of
//! all: as long as that is missing no run begins, so that a restore that was cut off is no danger and may be repeated.

mod contents;
mod envelope;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use super::master::{self, MasterError, MasterKey};
use super::people;
use super::site::{self, Places, SiteError};
use super::{about, ledger, withdrawals};
use crate::deidentify::{Keys, PersonRecord};
use crate::platform::database;
use crate::platform::file::{self, Durable, FileError, Lock};
use crate::platform::secret::{Secret, hex, hkdf, unhex};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use contents::Line;
pub use contents::{BackupError, Contents};
use envelope::Writer;

/// The fewest characters of a passphrase.
pub const SHORTEST_PASSPHRASE: usize = 12;

const MASTER: &str = "pseudonym.key";
const LANDING: &str = "landing.key";

/// Writes the backup of a site to `out`, where nothing may be yet. `ids`: network and site.
/// # Errors: see [`BackupError`]; then there is no file.
pub fn backup(
    places: &Places,
    at: &MasterKey,
    ids: (&str, &str),
    out: &Path,
    passphrase: &Secret,
    now: Timestamp,
) -> Result<Contents, BackupError> {
    let _lock = Lock::acquire(&places.lock()).map_err(BackupError::Busy)?;
    let db = open(places)?;
    let in_force = master::in_force(places, at, ids, &db)?;
    if in_force.is_rotating {
        return Err(BackupError::Rotating);
    }
    let landing = file::read_secret(&places.landing_key()).map_err(|error| SiteError::Key(Box::new(error)))?;
    let mut writer = Writer::begin(Durable::create(out)?, passphrase)?;
    let mut contents = Contents {
        network: ids.0.to_owned(),
        site: ids.1.to_owned(),
        fingerprint: in_force.keys.fingerprint().to_owned(),
        made_at: now.to_string(),
        ..Contents::default()
    };
    put(
        &mut writer,
        &Line::Site {
            network: contents.network.clone(),
            site: contents.site.clone(),
            fingerprint: contents.fingerprint.clone(),
            made_at: contents.made_at.clone(),
        },
    )?;
    for (name, key) in keys(places, at, ids, &contents.fingerprint)? {
        let bytes = hex(key.expose());
        contents.keys.push(name.clone());
        put(&mut writer, &Line::Key { name, bytes })?;
    }
    let seal = hkdf(&landing, site::PEOPLE);
    people::each_record(&db, &seal, |record| {
        contents.patients += 1;
        let record = hex(&record.to_bytes());
        put(&mut writer, &Line::Person { record })
    })?;
    each_withdrawal(&db, &seal, |line| {
        contents.withdrawals += 1;
        put(&mut writer, &line)
    })?;
    put(
        &mut writer,
        &Line::End {
            patients: contents.patients,
            withdrawals: contents.withdrawals,
        },
    )?;
    writer.finish()?;
    Ok(contents)
}

fn put(writer: &mut Writer, line: &Line) -> Result<(), BackupError> {
    let mut text = serde_json::to_vec(line).map_err(|_| BackupError::Content)?;
    text.push(b'\n');
    let text = Secret::new(text);
    Ok(writer.write(text.expose())?)
}

fn open(places: &Places) -> Result<Connection, BackupError> {
    Ok(database::open(
        &places.database(),
        &[ledger::SCHEMA, about::SCHEMA, master::SCHEMA, people::SCHEMA, withdrawals::SCHEMA],
    )?)
}

/// Every file of the keys folder, by name; the master key also where it is a credential.
fn keys(places: &Places, at: &MasterKey, ids: (&str, &str), fingerprint: &str) -> Result<BTreeMap<String, Secret>, BackupError> {
    let mut found = BTreeMap::new();
    let unreadable = |source| FileError::io_of("read the folder", &places.keys(), source);
    for entry in std::fs::read_dir(places.keys()).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if is_key_name(&name) && path.is_file() {
            found.insert(name, file::read_secret(&path)?);
        }
    }
    if *at != MasterKey::File {
        let master = master::text(places, at, ids, fingerprint)?;
        found.insert(MASTER.to_owned(), master);
    }
    Ok(found)
}

/// A file's own name, and nothing that leads elsewhere or is unfinished.
fn is_key_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    !name.starts_with('.') && !name.is_empty() && name.bytes().all(fits) && !name.ends_with(file::TEMPORARY)
}

fn each_withdrawal(db: &Connection, seal: &Secret, mut each: impl FnMut(Line) -> Result<(), BackupError>) -> Result<(), BackupError> {
    let mut select = db.prepare("SELECT id, mark, asked_at, lifted_at, done_at, submission, leaf, rows FROM withdrawal ORDER BY id")?;
    let mut found = select.query([])?;
    while let Some(row) = found.next()? {
        let reason = withdrawals::reason(db, row.get(0)?, seal).map_err(|_| BackupError::Sealed)?;
        each(Line::Withdrawal {
            mark: hex(&row.get::<_, [u8; 16]>(1)?),
            reason,
            asked_at: row.get(2)?,
            lifted_at: row.get(3)?,
            done_at: row.get(4)?,
            submission: row.get(5)?,
            leaf: row.get(6)?,
            rows: row.get(7)?,
        })?;
    }
    Ok(())
}

/// What a backup holds, read and understood whole.
struct Read {
    contents: Contents,
    keys: BTreeMap<String, Secret>,
    people: Vec<PersonRecord>,
    withdrawals: Vec<Line>,
}

fn read(file: &Path, passphrase: &Secret) -> Result<Read, BackupError> {
    let from = File::open(file).map_err(|source| FileError::io_of("read", file, source))?;
    let plain = envelope::open(std::io::BufReader::new(from), passphrase)?;
    let mut read = Read {
        contents: Contents::default(),
        keys: BTreeMap::new(),
        people: Vec::new(),
        withdrawals: Vec::new(),
    };
    let mut is_ended = false;
    for line in plain.expose().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if is_ended {
            return Err(BackupError::Content);
        }
        // What serde says of a line might show it.
        match serde_json::from_slice(line).map_err(|_| BackupError::Content)? {
            Line::Site {
                network,
                site,
                fingerprint,
                made_at,
            } => {
                read.contents = Contents {
                    network,
                    site,
                    fingerprint,
                    made_at,
                    ..Contents::default()
                }
            }
            Line::Key { name, bytes } => {
                let bytes = unhex(&bytes).filter(|_| is_key_name(&name)).ok_or(BackupError::Content)?;
                read.contents.keys.push(name.clone());
                read.keys.insert(name, Secret::new(bytes));
            }
            Line::Person { record } => {
                let bytes = Secret::new(unhex(&record).ok_or(BackupError::Content)?);
                read.people
                    .push(PersonRecord::from_bytes(bytes.expose()).map_err(|_| BackupError::Content)?);
            }
            line @ Line::Withdrawal { .. } => read.withdrawals.push(line),
            Line::End { patients, withdrawals } => {
                is_ended = patients == read.people.len() as u64 && withdrawals == read.withdrawals.len() as u64;
                (read.contents.patients, read.contents.withdrawals) = (patients, withdrawals);
            }
        }
    }
    if !is_ended || !read.keys.contains_key(MASTER) || !read.keys.contains_key(LANDING) {
        return Err(BackupError::Content);
    }
    Ok(read)
}

/// Restores a backup into a site's state directory. What is there already and the same is left as it is.
/// # Errors: see [`BackupError`]; then nothing of the site's own was changed.
pub fn restore(places: &Places, ids: (&str, &str), from: &Path, passphrase: &Secret) -> Result<Contents, BackupError> {
    let Read {
        contents,
        keys,
        people,
        withdrawals,
    } = read(from, passphrase)?;
    if (contents.network.as_str(), contents.site.as_str()) != ids {
        return Err(BackupError::OtherSite {
            found: format!("{}/{}", contents.network, contents.site),
            expected: format!("{}/{}", ids.0, ids.1),
        });
    }
    file::create_dir_private(&places.state())?;
    file::create_dir_private(&places.keys())?;
    let _lock = Lock::acquire(&places.lock()).map_err(BackupError::Busy)?;
    for (name, key) in &keys {
        match file::read_secret(&places.keys().join(name)) {
            Ok(there) if there.expose() == key.expose() => {}
            Err(error) if error.is_not_found() => {}
            Ok(_) => {
                return Err(BackupError::Other {
                    what: format!("key `{name}`"),
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    let landing = keys.get(LANDING).ok_or(BackupError::Content)?;
    let seal = hkdf(landing, site::PEOPLE);
    let mut db = open(places)?;
    let tx = db.transaction()?;
    let bound: Option<String> = tx.query_row("SELECT fingerprint FROM master", [], |row| row.get(0)).optional()?;
    if bound.is_some_and(|bound| bound != contents.fingerprint) {
        let what = "master key in the ledger".to_owned();
        return Err(BackupError::Other { what });
    }
    master::bind(&tx, &contents.fingerprint)?;
    for record in &people {
        people::keep(&tx, &seal, record).map_err(|_| BackupError::Other {
            what: "crosswalk".to_owned(),
        })?;
    }
    for line in withdrawals {
        restore_withdrawal(&tx, &seal, line)?;
    }
    tx.commit()?;
    drop(db);
    // The master key last: without it no run begins.
    let (last, first): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(name, _)| name == MASTER);
    for (name, key) in first.into_iter().chain(last) {
        let path = places.keys().join(&name);
        if !path.exists() {
            file::write_secret(&path, key.expose())?;
        }
    }
    let restored = Keys::from_file(&places.pseudonym_key(), ids.0, ids.1).map_err(MasterError::from)?;
    if restored.fingerprint() != contents.fingerprint {
        return Err(BackupError::Content);
    }
    Ok(contents)
}

fn restore_withdrawal(db: &Connection, seal: &Secret, line: Line) -> Result<(), BackupError> {
    let Line::Withdrawal {
        mark,
        reason,
        asked_at,
        lifted_at,
        done_at,
        submission,
        leaf,
        rows,
    } = line
    else {
        return Err(BackupError::Content);
    };
    let mark = unhex(&mark).filter(|mark| mark.len() == 16).ok_or(BackupError::Content)?;
    let there = db
        .prepare_cached("SELECT 1 FROM withdrawal WHERE mark = ?1 AND asked_at = ?2")?
        .exists(params![mark, asked_at])?;
    if !there {
        let reason = reason.map(|reason| withdrawals::sealed(seal, &reason));
        db.execute(
            "INSERT INTO withdrawal (mark, reason, asked_at, lifted_at, done_at, submission, leaf, rows) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![mark, reason, asked_at, lifted_at, done_at, submission, leaf, rows],
        )?;
    }
    Ok(())
}
