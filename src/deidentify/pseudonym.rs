//! Keys of one site in one network, and the surrogates they make.
//! Every key is derived from the site's persisted master key with the label `headwater|network|site|purpose`, so that two
//! networks, or two sites, give the same patient unrelated surrogates. Without the master key nothing can be derived;
//! with it, anyone can try all record numbers: that is why it never leaves the site.
//! Basis: 45 CFR 164.514(c)(1). Safe Harbor uses a random secret per patient instead (`people`), kept at the site.

use std::fmt;
use std::path::Path;

use aws_lc_rs::hmac;

use super::guard::GuardKey;
use crate::cdm::siphash::siphash;
use crate::platform::file::{self, FileError};
use crate::platform::secret::{Secret, equal, hex, hkdf, unhex};

/// Bytes of a master key.
pub const MASTER_KEY_BYTES: usize = 32;

/// Hex digits of a surrogate: 128 bits.
pub(super) const PSEUDONYM_DIGITS: usize = 32;

/// Everything secret that de-identification needs from the site. Never printed, never sent.
#[derive(Clone)]
pub struct Keys {
    rows: Secret,
    dates: hmac::Key,
    noise: hmac::Key,
    outbox: hmac::Key,
    guard: GuardKey,
    person: [GuardKey; 2],
    linkage: Secret,
    fingerprint: String,
}

/// Why the master key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "master key `{path}` is not there: restore it from the backup (`headwater keys restore`); a new key would give every patient a new pseudonym"
    )]
    Missing { path: String },
    #[error("master key `{path}` is not usable: {fault}; restore it from the backup")]
    Unusable { path: String, fault: &'static str },
    #[error("master key `{path}` could not be read or written")]
    File {
        path: String,
        #[source]
        source: FileError,
    },
}

/// A patient's place in `People`: a keyed hash of the patient's key, so that no identifier is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PersonId(pub [u8; 16]);

impl PersonId {
    /// As 32 hex digits, a key for the site's own database.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }
}

impl Keys {
    /// The keys of `site` in `network`.
    pub fn derive(master: &Secret, network: &str, site: &str) -> Self {
        let label = |purpose: &str| format!("headwater|{}|{}|{purpose}", escaped(network), escaped(site));
        let key = |purpose: &str| hkdf(master, &label(purpose));
        let sign = |purpose: &str| hmac::Key::new(hmac::HMAC_SHA256, key(purpose).expose());
        let words = |purpose: &str| {
            let key = key(purpose);
            let word = |at: usize| {
                key.expose()
                    .get(at..at + 8)
                    .map_or(0, |bytes| bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
            };
            [word(0), word(8)]
        };
        Self {
            rows: key("row"),
            dates: sign("date"),
            noise: sign("noise"),
            outbox: sign("outbox"),
            guard: words("guard"),
            person: [words("person 1"), words("person 2")],
            linkage: key("linkage"),
            fingerprint: hex(&key("fingerprint").expose()[..8]),
        }
    }

    /// The keys from the site's persisted master key (`create_file`).
    /// # Errors: a file that is missing, readable by others, empty, short, all zero or no hex.
    pub fn from_file(path: &Path, network: &str, site: &str) -> Result<Self, KeyError> {
        Ok(Self::derive(&Self::read_master(path, file::read_secret)?, network, site))
    }

    /// The master key that stands at `path`, fetched by `read` (a secret file, a systemd credential).
    /// # Errors: as `from_file`.
    pub fn read_master(path: &Path, read: impl Fn(&Path) -> Result<Secret, FileError>) -> Result<Secret, KeyError> {
        let shown = || path.display().to_string();
        let unusable = |fault| KeyError::Unusable { path: shown(), fault };
        let text = read(path).map_err(|source| {
            if source.is_not_found() {
                KeyError::Missing { path: shown() }
            } else {
                KeyError::File { path: shown(), source }
            }
        })?;
        let text = std::str::from_utf8(text.expose())
            .map_err(|_| unusable("it is not 64 hex digits"))?
            .trim_ascii();
        if text.is_empty() {
            return Err(unusable("it is empty"));
        }
        let master = Secret::new(unhex(text).ok_or_else(|| unusable("it is not 64 hex digits"))?);
        check(&master).map_err(unusable)?;
        Ok(master)
    }

    /// Writes a new master key, which the caller drew at random, readable by its owner only.
    /// # Errors: a key that is short or all zero; a file that is there already.
    pub fn create_file(path: &Path, master: &Secret) -> Result<(), KeyError> {
        let shown = || path.display().to_string();
        check(master).map_err(|fault| KeyError::Unusable { path: shown(), fault })?;
        let text = Secret::new(format!("{}\n", hex(master.expose())).into_bytes());
        file::write_secret(path, text.expose()).map_err(|source| KeyError::File { path: shown(), source })
    }

    /// Sixteen hex digits that name the keys and tell nothing of them; it stands in every manifest.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The place of a patient in `People`, by the patient's key (`Patient/p1`).
    pub fn person_id(&self, patient: &str) -> PersonId {
        let mut id = [0; 16];
        for (half, key) in id.chunks_exact_mut(8).zip(self.person) {
            half.copy_from_slice(&siphash(key, patient.as_bytes()).to_be_bytes());
        }
        PersonId(id)
    }

    /// The name of a patient in one linkage project: no surrogate that a registry knows, and of another project another name.
    pub fn linkage_id(&self, project: &str, patient: &str) -> [u8; 16] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, hkdf(&self.linkage, project).expose());
        let mut id = [0; 16];
        id.copy_from_slice(&hmac::sign(&key, patient.as_bytes()).as_ref()[..16]);
        id
    }

    pub(super) fn guard(&self) -> GuardKey {
        self.guard
    }

    /// The key of one table's rows.
    pub(super) fn table(&self, table: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, hkdf(&self.rows, table).expose())
    }

    /// 64 secret bits that choose a patient's date shift.
    pub(super) fn date_bits(&self, patient: &str) -> u64 {
        let tag = hmac::sign(&self.dates, patient.as_bytes());
        tag.as_ref().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }

    /// 64 secret bits for one cell of one row: its patient, its table and column, the row's own key.
    pub(super) fn noise_bits(&self, cell: [&str; 4]) -> u64 {
        let mut context = hmac::Context::with_key(&self.noise);
        for part in cell {
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let tag = context.sign();
        tag.as_ref().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }

    pub(super) fn outbox_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.outbox);
        for part in parts {
            // Lengths first: no two lists of parts give the same bytes.
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }

    pub(super) fn is_outbox_mac(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        equal(&self.outbox_mac(parts), mac)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.fingerprint)
    }
}

fn check(master: &Secret) -> Result<(), &'static str> {
    let bytes = master.expose();
    if bytes.len() != MASTER_KEY_BYTES {
        return Err("it is not 64 hex digits");
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Err("it is all zero");
    }
    Ok(())
}

/// A name without `|`, so that no two pairs of names make one label.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('|', "%7C")
}

/// The surrogate of a row's key. `#` with nothing after it says the same key as none.
pub(super) fn source_key(key: &str) -> &str {
    key.strip_suffix('#').unwrap_or(key)
}

/// The surrogate under a table's key (limited data set).
pub(super) fn keyed(table: &hmac::Key, key: &str) -> String {
    short(hmac::sign(table, source_key(key).as_bytes()).as_ref())
}

/// The surrogate under a patient's own random secret (Safe Harbor).
pub(super) fn of_person(secret: &hmac::Key, table: &str, key: &str, room: &mut Vec<u8>) -> String {
    room.clear();
    for part in [table, "\n", source_key(key)] {
        room.extend_from_slice(part.as_bytes());
    }
    short(hmac::sign(secret, room).as_ref())
}

fn short(mac: &[u8]) -> String {
    hex(&mac[..PSEUDONYM_DIGITS / 2])
}

/// Whether a text can be a surrogate of ours.
pub(super) fn is_pseudonym(text: &str) -> bool {
    text.len() == PSEUDONYM_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The surrogate where keys are integers: its first 63 bits, positive.
pub(super) fn number(surrogate: &str) -> Option<i64> {
    let bits = u64::from_str_radix(surrogate.get(..16)?, 16).ok()?;
    i64::try_from(bits >> 1).ok().map(|number| number.max(1))
}

/// Whether a text can be such a number.
pub(super) fn is_number(text: &str) -> bool {
    text.parse().is_ok_and(|number: i64| number > 0 && number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(network: &str, site: &str) -> Keys {
        Keys::derive(&Secret::new((0..32).collect()), network, site)
    }

    #[test]
    fn the_same_key_at_two_sites_or_networks_or_tables_gives_unrelated_pseudonyms() {
        let table = |network, site, table| keyed(&keys(network, site).table(table), "Patient/p1");
        let all = [
            table("ibd", "a", "patient"),
            table("ibd", "b", "patient"),
            table("other", "a", "patient"),
            table("ibd", "a", "visit"),
            table("ibd|a", "", "patient"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(is_pseudonym(one));
            assert!(all[at + 1..].iter().all(|other| other != one));
        }
        assert_eq!(all[0], table("ibd", "a", "patient"), "and it is the same every time");
    }

    #[test]
    fn a_bar_in_a_name_cannot_forge_another_sites_label() {
        assert_ne!(keys("a|b", "c").fingerprint(), keys("a", "b|c").fingerprint());
        assert_ne!(keys("a|b", "c").fingerprint(), keys("a%7Cb", "c").fingerprint());
    }

    #[test]
    fn another_master_key_changes_fingerprint_pseudonym_shift_and_person() {
        let (one, two) = (keys("n", "s"), Keys::derive(&Secret::new(vec![9; 32]), "n", "s"));
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert_eq!(one.fingerprint().len(), 16);
        assert_ne!(keyed(&one.table("t"), "k"), keyed(&two.table("t"), "k"));
        assert_ne!(one.date_bits("Patient/p1"), two.date_bits("Patient/p1"));
        assert!(one.person_id("Patient/p1") != two.person_id("Patient/p1"));
        assert_ne!(one.guard(), two.guard());
    }

    #[test]
    fn an_empty_discriminator_is_no_discriminator() {
        let table = keys("n", "s").table("visit");
        assert_eq!(keyed(&table, "Encounter/e1#"), keyed(&table, "Encounter/e1"));
        assert_ne!(keyed(&table, "Encounter/e1#2"), keyed(&table, "Encounter/e1"));
    }

    #[test]
    fn a_linkage_id_is_no_surrogate_and_differs_by_site_and_project() {
        let id = |site: &str, project: &str| hex(&keys("n", site).linkage_id(project, "Patient/p1"));
        let all = [
            id("a", "one"),
            id("b", "one"),
            id("a", "two"),
            keyed(&keys("n", "a").table("patient"), "Patient/p1"),
        ];
        assert!(all.iter().enumerate().all(|(at, one)| !all[..at].contains(one)));
        assert_eq!(all[0], id("a", "one"));
    }

    #[test]
    fn record_numbers_cannot_be_tried_without_the_key_and_can_be_with_it() {
        let released = keyed(&keys("n", "s").table("patient"), "Patient/00123");
        let search = |keys: &Keys| {
            let table = keys.table("patient");
            (0..1000).find(|number| keyed(&table, &format!("Patient/{number:05}")) == released)
        };
        assert_eq!(search(&Keys::derive(&Secret::new(vec![1; 32]), "n", "s")), None);
        assert_eq!(search(&keys("n", "s")), Some(123), "positive control: the search itself works");
    }

    #[test]
    fn a_master_key_is_read_back_and_a_bad_one_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("master.key");
        let read = || Keys::from_file(&path, "n", "s").map(|keys| keys.fingerprint().to_owned());
        let fault = || read().expect_err("refused").to_string();
        assert!(fault().contains("is not there"));

        Keys::create_file(&path, &Secret::new((0..32).collect())).expect("written");
        assert_eq!(read().expect("read"), keys("n", "s").fingerprint());
        assert!(
            Keys::create_file(&path, &Secret::new(vec![1; 32])).is_err(),
            "a key is never overwritten"
        );

        for (text, expected) in [
            ("", "is empty"),
            ("\n", "is empty"),
            ("0011", "not 64 hex digits"),
            (&"0".repeat(64), "all zero"),
            (&"x".repeat(64), "not 64 hex digits"),
        ] {
            std::fs::remove_file(&path).expect("removed");
            file::write_secret(&path, text.as_bytes()).expect("written");
            assert!(fault().contains(expected), "{expected}: {}", fault());
        }
        let master = |bytes: Vec<u8>| Keys::create_file(&dir.path().join("other.key"), &Secret::new(bytes));
        assert!(master(vec![0; 32]).is_err());
        assert!(master(vec![1; 31]).is_err());
    }

    #[test]
    fn a_master_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("master.key");
        Keys::create_file(&path, &Secret::new(vec![5; 32])).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("opened to the group");
        assert!(matches!(Keys::from_file(&path, "n", "s"), Err(KeyError::File { .. })));
    }

    #[test]
    fn keys_print_their_fingerprint_only() {
        let keys = keys("n", "s");
        assert_eq!(format!("{keys:?}"), format!("Keys({})", keys.fingerprint()));
    }
}
