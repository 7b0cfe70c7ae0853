//! The keys a site signs in with at its EHR, over time: one is changed for another without a night lost.
//!
//! ```text
//! current                   signs
//! begin      -> next        published beside it, so that the EHR learns it; the current one still signs
//! activate   -> next signs  the one before it is old, and still published while the EHR's caches hold the set
//! retire     -> old is gone from the published set and from the disk
//! ```
//! Between two steps lies the overlap. Each step is one replaced file at a time: a crash leaves a state that the next call
//! completes. Basis: SMART App Launch 2.2.0, "Registering a client": keys are rotated by publishing the new one first.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::site::Places;
use crate::platform::backend_services::{Algorithm, ClientKey, KeyError};
use crate::platform::file::{self, FileError, Lock, LockError};

/// How long both keys are known, unless said otherwise.
pub const OVERLAP_HOURS: u32 = 24;
/// A shorter overlap would end before a cached set does.
pub const SHORTEST_OVERLAP_HOURS: u32 = 2;

/// Why the keys could not be read or changed. Holds no byte of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("EHR key `{file}` could not be used")]
    Key {
        file: &'static str,
        #[source]
        source: KeyError,
    },
    #[error("could not write the site's keys")]
    File(#[from] FileError),
    #[error("another rotation is at work on these keys; wait until it ends")]
    Busy(#[from] LockError),
    #[error(
        "`ehr.rotation.json` does not say when the keys were changed: restore it from the backup, or remove it to begin the overlap anew"
    )]
    Moments,
    #[error("a rotation is under way already; `headwater keys list` says where it stands")]
    UnderWay,
    #[error("there is no next key to activate; `headwater keys rotate` makes one")]
    NoNext,
}

/// What a key is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Signs.
    Current,
    /// Is published, and will sign.
    Next,
    /// Signed, and is still published.
    Old,
}

/// One key the site holds.
#[derive(Debug)]
pub struct Held {
    pub role: Role,
    pub key: ClientKey,
    /// When it takes its next step; `None`: it stays.
    pub until: Option<Timestamp>,
}

/// A step of a rotation that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The key `kid` is published; it signs from `from` on.
    Published { kid: String, from: Timestamp },
    /// The key `kid` signs; the one before it stays published until `until`.
    Activated { kid: String, until: Timestamp },
    /// The key `kid` is neither published nor on the disk.
    Retired { kid: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct Moments {
    overlap_hours: u32,
    published: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activated: Option<Timestamp>,
}

impl Moments {
    fn after_overlap(&self, moment: Timestamp) -> Timestamp {
        let overlap = SignedDuration::from_hours(self.overlap_hours.into());
        moment.checked_add(overlap).unwrap_or(Timestamp::MAX)
    }
}

/// The keys that are there: current, next, old.
/// # Errors: a key that is missing (the current one), open to others, or no key.
pub fn held(places: &Places) -> Result<Vec<Held>, KeysError> {
    let moments = moments(places)?;
    let current = read(&places.ehr_key(), "ehr.pem")?;
    let until = |activated: bool| {
        let moments = moments.as_ref()?;
        let moment = if activated { moments.activated? } else { moments.published };
        Some(moments.after_overlap(moment))
    };
    let mut held = Vec::new();
    let next = optional(&places.ehr_next_key(), "ehr.next.pem")?;
    // After a crash between two files of a step, a key may lie in two of them: it counts once.
    if let Some(key) = next.filter(|key| key.kid() != current.kid()) {
        held.push(Held {
            role: Role::Next,
            key,
            until: until(false),
        });
    }
    let old = optional(&places.ehr_old_key(), "ehr.old.pem")?;
    if let Some(key) = old.filter(|key| key.kid() != current.kid()) {
        held.push(Held {
            role: Role::Old,
            key,
            until: until(true),
        });
    }
    held.insert(
        0,
        Held {
            role: Role::Current,
            key: current,
            until: None,
        },
    );
    Ok(held)
}

/// The JWK Set that the EHR may see: the public half of every key that signs, will sign or signed lately.
/// # Errors: as [`held`].
pub fn jwk_set(places: &Places) -> Result<Value, KeysError> {
    let keys: Vec<Value> = held(places)?.iter().map(|held| held.key.public_jwk()).collect();
    Ok(json!({ "keys": keys }))
}

/// Writes the JWK Set to `state/jwks.json`, whole or not at all.
/// # Errors: as [`held`]; a disk that cannot be written.
pub fn publish(places: &Places) -> Result<Value, KeysError> {
    let set = jwk_set(places)?;
    file::write_durable(&places.jwks(), format!("{set:#}\n").as_bytes())?;
    Ok(set)
}

/// Makes the next key and publishes it; the current one goes on signing for `overlap_hours`.
/// # Errors: `UnderWay`; a disk that cannot be written.
pub fn begin(places: &Places, algorithm: Algorithm, overlap_hours: u32, now: Timestamp) -> Result<Step, KeysError> {
    let _lock = lock(places)?;
    if held(places)?.len() > 1 {
        return Err(KeysError::UnderWay);
    }
    clean(places)?;
    let moments = Moments {
        overlap_hours: overlap_hours.max(SHORTEST_OVERLAP_HOURS),
        published: now,
        activated: None,
    };
    let key = ClientKey::generate(algorithm).map_err(|source| KeysError::Key {
        file: "ehr.next.pem",
        source,
    })?;
    // The moment before the key: a key without its moment would never come to sign.
    write_moments(places, &moments)?;
    file::write_durable(&places.ehr_next_key(), key.to_pem().expose())?;
    publish(places)?;
    Ok(Step::Published {
        kid: key.kid().to_owned(),
        from: moments.after_overlap(now),
    })
}

/// Lets the next key sign from now on, whether or not its time has come.
/// # Errors: `NoNext`; a disk that cannot be written.
pub fn activate(places: &Places, now: Timestamp) -> Result<Step, KeysError> {
    let _lock = lock(places)?;
    activate_locked(places, now)
}

/// Takes the step whose time has come, if there is one. Harmless to call at any time.
/// # Errors: as [`activate`].
pub fn advance(places: &Places, now: Timestamp) -> Result<Option<Step>, KeysError> {
    // Without a rotation under way there is nothing to lock, and nothing to write.
    if moments(places)?.is_none() {
        return Ok(None);
    }
    let _lock = lock(places)?;
    // A crash in the middle of an activation left the new key signing: the rest of that step first.
    let current = read(&places.ehr_key(), "ehr.pem")?;
    if optional(&places.ehr_next_key(), "ehr.next.pem")?.is_some_and(|next| next.kid() == current.kid()) {
        return activate_locked(places, now).map(Some);
    }
    let due = |held: &&Held| held.until.is_some_and(|until| until <= now);
    let all = held(places)?;
    match all.iter().find(due).map(|held| (held.role, held.key.kid().to_owned())) {
        Some((Role::Next, _)) => activate_locked(places, now).map(Some),
        Some((_, kid)) => {
            clean(places)?;
            publish(places)?;
            Ok(Some(Step::Retired { kid }))
        }
        None => Ok(None),
    }
}

fn activate_locked(places: &Places, now: Timestamp) -> Result<Step, KeysError> {
    let current = read(&places.ehr_key(), "ehr.pem")?;
    let next = optional(&places.ehr_next_key(), "ehr.next.pem")?.ok_or(KeysError::NoNext)?;
    let mut moments = moments(places)?.unwrap_or(Moments {
        overlap_hours: OVERLAP_HOURS,
        published: now,
        activated: None,
    });
    // Old before current, current before the removal of next: at every point the key that signs is on the disk and published.
    if current.kid() != next.kid() {
        file::write_durable(&places.ehr_old_key(), current.to_pem().expose())?;
        file::write_durable(&places.ehr_key(), next.to_pem().expose())?;
    }
    moments.activated = Some(now);
    write_moments(places, &moments)?;
    remove(&places.ehr_next_key())?;
    publish(places)?;
    Ok(Step::Activated {
        kid: next.kid().to_owned(),
        until: moments.after_overlap(now),
    })
}

/// Removes all of a rotation that is over.
fn clean(places: &Places) -> Result<(), KeysError> {
    for path in [places.ehr_next_key(), places.ehr_old_key(), places.ehr_rotation()] {
        remove(&path)?;
    }
    Ok(())
}

fn lock(places: &Places) -> Result<Lock, KeysError> {
    Ok(Lock::acquire(&places.keys().join("ehr.rotation.lock"))?)
}

fn moments(places: &Places) -> Result<Option<Moments>, KeysError> {
    match file::read(&places.ehr_rotation(), 4096) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| KeysError::Moments),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write_moments(places: &Places, moments: &Moments) -> Result<(), KeysError> {
    let text = serde_json::to_vec(moments).map_err(|_| KeysError::Moments)?;
    Ok(file::write_durable(&places.ehr_rotation(), &text)?)
}

fn read(path: &Path, file: &'static str) -> Result<ClientKey, KeysError> {
    ClientKey::from_file(path).map_err(|source| KeysError::Key { file, source })
}

fn optional(path: &Path, file: &'static str) -> Result<Option<ClientKey>, KeysError> {
    match ClientKey::from_file(path) {
        Err(KeyError::File(error)) if error.is_not_found() => Ok(None),
        other => other.map(Some).map_err(|source| KeysError::Key { file, source }),
    }
}

fn remove(path: &Path) -> Result<(), KeysError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::Io {
            doing: "remove",
            path: path.display().to_string(),
            advice: "",
            source: error,
        }
        .into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-01T02:00:00Z";

    fn site() -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::of(&dir.path().join("state"));
        places.make_keys().unwrap();
        (dir, places)
    }

    fn at(hours: i64) -> Timestamp {
        NOW.parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
    }

    fn roles(places: &Places) -> Vec<(Role, String)> {
        let held = held(places).unwrap();
        held.iter().map(|held| (held.role, held.key.kid().to_owned())).collect()
    }

    fn published(places: &Places) -> Vec<String> {
        let set: Value = serde_json::from_slice(&file::read(&places.jwks(), 1 << 20).unwrap()).unwrap();
        let keys = set["keys"].as_array().unwrap();
        assert!(
            keys.iter().all(|key| key.get("d").is_none() && key.get("p").is_none()),
            "the private half stays"
        );
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_rotation_publishes_first_signs_later_and_forgets_last() {
        let (_dir, places) = site();
        let first = roles(&places)[0].1.clone();
        let Step::Published { kid: second, from } = begin(&places, Algorithm::Es384, 24, at(0)).unwrap() else {
            panic!("a next key is published")
        };
        assert_eq!(from, at(24));
        assert_eq!(roles(&places), [(Role::Current, first.clone()), (Role::Next, second.clone())]);
        assert_eq!(published(&places), [first.clone(), second.clone()]);
        assert!(matches!(begin(&places, Algorithm::Es384, 24, at(1)), Err(KeysError::UnderWay)));
        assert_eq!(advance(&places, at(23)).unwrap(), None, "the EHR may not know it yet");

        let step = advance(&places, at(24)).unwrap();
        assert_eq!(
            step,
            Some(Step::Activated {
                kid: second.clone(),
                until: at(48)
            })
        );
        assert_eq!(roles(&places), [(Role::Current, second.clone()), (Role::Old, first.clone())]);
        assert_eq!(published(&places), [second.clone(), first.clone()]);
        assert_eq!(advance(&places, at(47)).unwrap(), None, "a cached set may hold only the old one");

        assert_eq!(advance(&places, at(48)).unwrap(), Some(Step::Retired { kid: first }));
        assert_eq!(roles(&places), [(Role::Current, second.clone())]);
        assert_eq!(published(&places), [second]);
        assert_eq!(advance(&places, at(1000)).unwrap(), None);
        begin(&places, Algorithm::Rs384, 24, at(1000)).unwrap();
    }

    #[test]
    fn a_person_who_registered_the_key_need_not_wait() {
        let (_dir, places) = site();
        assert!(matches!(activate(&places, at(0)), Err(KeysError::NoNext)));
        begin(&places, Algorithm::Es384, 24, at(0)).unwrap();
        assert!(matches!(activate(&places, at(1)).unwrap(), Step::Activated { until, .. } if until == at(25)));
    }

    #[test]
    fn a_crash_at_any_point_of_the_activation_is_completed_by_the_next_call() {
        for crash in 0..3 {
            let (_dir, places) = site();
            let first = roles(&places)[0].1.clone();
            begin(&places, Algorithm::Es384, 24, at(0)).unwrap();
            let second = roles(&places)[1].1.clone();
            let (current, next) = (
                read(&places.ehr_key(), "ehr.pem").unwrap(),
                read(&places.ehr_next_key(), "ehr.next.pem").unwrap(),
            );
            if crash >= 1 {
                file::write_durable(&places.ehr_old_key(), current.to_pem().expose()).unwrap();
            }
            if crash >= 2 {
                file::write_durable(&places.ehr_key(), next.to_pem().expose()).unwrap();
            }
            let known: Vec<String> = roles(&places).into_iter().map(|(_, kid)| kid).collect();
            assert!(known.contains(&first) && known.contains(&second), "crash {crash}: {known:?}");
            assert!(
                matches!(advance(&places, at(24)).unwrap(), Some(Step::Activated { .. })),
                "crash {crash}"
            );
            assert_eq!(roles(&places), [(Role::Current, second), (Role::Old, first)], "crash {crash}");
        }
    }

    #[test]
    fn an_overlap_is_never_shorter_than_a_cached_set_lives() {
        let (_dir, places) = site();
        let step = begin(&places, Algorithm::Es384, 0, at(0)).unwrap();
        assert!(matches!(step, Step::Published { from, .. } if from == at(2)));
    }

    #[test]
    fn every_file_of_a_rotation_is_its_owners_only() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, places) = site();
        begin(&places, Algorithm::Es384, 24, at(0)).unwrap();
        let next = std::fs::metadata(places.ehr_next_key()).unwrap().permissions().mode();
        activate(&places, at(0)).unwrap();
        for path in [places.ehr_key(), places.ehr_old_key()] {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!((mode & 0o777, next & 0o777), (0o600, 0o600));
        }
    }
}
