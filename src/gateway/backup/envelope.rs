//! A file that only a passphrase opens: a head line that says how the key is made of it, then frames sealed with AES-256-GCM.
//! Which of the three went wrong is told apart, and nothing of the content: the passphrase, the head, a frame.
//!
//! ```text
//! headwater-backup/1 argon2id m=65536 t=3 p=1 salt=<hex> check=<hex> sum=<hex>\n
//! length (4 bytes, little endian), sealed frame    repeated; the last one says that it is the last
//! ```
//! Argon2id (RFC 9106), for it makes guessing cost memory, which the hardware of who guesses has little of; its parameters
//! stand in the head, so that they may grow. 64 MiB and three passes are the RFC's second recommendation. `check` is a MAC of
//! the head under the key, `sum` a digest of the line before it: a damaged head is not taken for a wrong passphrase.

use std::io::{ErrorKind, Read};

use argon2::{Algorithm, Argon2, Params, Version};

use crate::platform::file::{Durable, FileError};
use crate::platform::random;
use crate::platform::secret::{Aead, Secret, equal, hex, hkdf, hmac_sha256, sha256, unhex};

const FORMAT: &str = "headwater-backup/1";
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// What a head may ask of the machine that reads it.
const MOST_MEMORY_KIB: u32 = 1 << 20;
const MOST_PASSES: u32 = 64;
const MOST_LANES: u32 = 16;

const FRAME_BYTES: usize = 256 << 10;
const SEALED_MOST: usize = FRAME_BYTES + 64;
const HEAD_MOST: usize = 512;

/// Why a backup cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the passphrase is not the one this backup was made with")]
    Passphrase,
    #[error("this is no backup of Headwater, or of a version that this one does not know")]
    NotOurs,
    #[error("the head of the backup is damaged: take another copy of the file")]
    Head,
    #[error("the backup is damaged at its part {0}: take another copy of the file")]
    Damaged(u64),
    #[error("the backup ends too soon, at its part {0}: the copy was cut off; take another one")]
    Cut(u64),
    #[error("something follows the backup's end: the file was changed; take another copy")]
    Longer,
    #[error("the backup could not be written")]
    File(#[from] FileError),
    #[error("the backup could not be read")]
    Read(#[source] std::io::Error),
    #[error("this machine has not the memory ({0} MiB) that opening the backup takes")]
    Memory(u32),
}

/// The key that a passphrase makes.
fn key(passphrase: &Secret, salt: &[u8], (memory, passes, lanes): (u32, u32, u32)) -> Result<Secret, EnvelopeError> {
    let params = Params::new(memory, passes, lanes, Some(32)).map_err(|_| EnvelopeError::Head)?;
    let mut key = vec![0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose(), salt, &mut key)
        .map_err(|_| EnvelopeError::Memory(memory >> 10))?;
    Ok(Secret::new(key))
}

/// How a frame's nonce and place hang together: no frame can be left out, moved or taken for the last one.
fn place(number: u64, is_last: bool) -> ([u8; 12], [u8; 1]) {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    (nonce, [u8::from(is_last)])
}

/// Writes a sealed file; it is there, whole and durable, after `finish`, and never in the place of another.
pub(super) struct Writer {
    file: Durable,
    aead: Aead,
    number: u64,
    plain: Vec<u8>,
}

impl Writer {
    /// # Errors: the disk; the memory.
    pub(super) fn begin(file: Durable, passphrase: &Secret) -> Result<Self, EnvelopeError> {
        let salt: [u8; 16] = random::bytes();
        let key = key(passphrase, &salt, (MEMORY_KIB, PASSES, LANES))?;
        let said = format!("{FORMAT} argon2id m={MEMORY_KIB} t={PASSES} p={LANES} salt={}", hex(&salt));
        let checked = format!("{said} check={}", hex(&check(&key, &said)));
        let head = format!("{checked} sum={}\n", hex(&sha256(checked.as_bytes())[..8]));
        let mut writer = Self {
            file,
            aead: Aead::new(&hkdf(&key, "headwater|backup|frames")),
            number: 0,
            plain: Vec::with_capacity(FRAME_BYTES),
        };
        writer.file.write(head.as_bytes())?;
        Ok(writer)
    }

    /// # Errors: the disk.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), EnvelopeError> {
        for piece in bytes.chunks(FRAME_BYTES) {
            if self.plain.len() + piece.len() > FRAME_BYTES {
                self.seal(false)?;
            }
            self.plain.extend_from_slice(piece);
        }
        Ok(())
    }

    fn seal(&mut self, is_last: bool) -> Result<(), EnvelopeError> {
        let mut sealed = std::mem::replace(&mut self.plain, Vec::with_capacity(FRAME_BYTES));
        let (nonce, aad) = place(self.number, is_last);
        self.aead.seal(nonce, &aad, &mut sealed);
        let length = u32::try_from(sealed.len()).map_err(|_| EnvelopeError::Head)?;
        self.file.write(&length.to_le_bytes())?;
        self.file.write(&sealed)?;
        self.number += 1;
        Ok(())
    }

    /// # Errors: the disk; something is there under this name.
    pub(super) fn finish(mut self) -> Result<(), EnvelopeError> {
        self.seal(true)?;
        Ok(self.file.finish_new()?)
    }
}

fn check(key: &Secret, said: &str) -> [u8; 32] {
    hmac_sha256(&hkdf(key, "headwater|backup|check"), said.as_bytes())
}

/// The plain content of a sealed file, whole: nothing of it is given before all of it was found sound.
/// # Errors: see [`EnvelopeError`].
pub(super) fn open(mut from: impl Read, passphrase: &Secret) -> Result<Secret, EnvelopeError> {
    let head = head(&mut from)?;
    let (checked, sum) = head.rsplit_once(" sum=").ok_or(EnvelopeError::Head)?;
    if sum != hex(&sha256(checked.as_bytes())[..8]) {
        return Err(EnvelopeError::Head);
    }
    let (said, checked) = checked.rsplit_once(" check=").ok_or(EnvelopeError::Head)?;
    let mut words = said.strip_prefix(FORMAT).ok_or(EnvelopeError::NotOurs)?.split_ascii_whitespace();
    if words.next() != Some("argon2id") {
        return Err(EnvelopeError::NotOurs);
    }
    let mut word = |name: &str| words.next().and_then(|word| word.strip_prefix(name)).ok_or(EnvelopeError::NotOurs);
    let number = |text: &str, most: u32| text.parse().ok().filter(|number| *number <= most).ok_or(EnvelopeError::NotOurs);
    let memory = number(word("m=")?, MOST_MEMORY_KIB)?;
    let passes = number(word("t=")?, MOST_PASSES)?;
    let lanes = number(word("p=")?, MOST_LANES)?;
    let salt = unhex(word("salt=")?).ok_or(EnvelopeError::NotOurs)?;
    let key = key(passphrase, &salt, (memory, passes, lanes))?;
    if !equal(&check(&key, said), &unhex(checked).unwrap_or_default()) {
        return Err(EnvelopeError::Passphrase);
    }
    frames(&mut from, &Aead::new(&hkdf(&key, "headwater|backup|frames"))).map(Secret::new)
}

fn head(from: &mut impl Read) -> Result<String, EnvelopeError> {
    let mut head = Vec::new();
    let mut byte = [0];
    while head.len() < HEAD_MOST {
        match from.read_exact(&mut byte) {
            Ok(()) if byte == *b"\n" => {
                let text = String::from_utf8(head).map_err(|_| EnvelopeError::NotOurs)?;
                return if text.starts_with("headwater-backup/") {
                    Ok(text)
                } else {
                    Err(EnvelopeError::NotOurs)
                };
            }
            Ok(()) => head.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(EnvelopeError::Read(error)),
        }
    }
    Err(if head.starts_with(b"headwater-backup/") {
        EnvelopeError::Cut(0)
    } else {
        EnvelopeError::NotOurs
    })
}

fn frames(from: &mut impl Read, aead: &Aead) -> Result<Vec<u8>, EnvelopeError> {
    let mut plain = Vec::new();
    for number in 0.. {
        let mut length = [0; 4];
        read(from, &mut length, number)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > SEALED_MOST {
            return Err(EnvelopeError::Damaged(number));
        }
        let mut sealed = vec![0; length];
        read(from, &mut sealed, number)?;
        let mut last = sealed.clone();
        let (nonce, aad) = place(number, false);
        if aead.open(nonce, &aad, &mut sealed).is_ok() {
            plain.append(&mut sealed);
            continue;
        }
        let (nonce, aad) = place(number, true);
        aead.open(nonce, &aad, &mut last).map_err(|_| EnvelopeError::Damaged(number))?;
        plain.append(&mut last);
        let mut more = [0];
        return match from.read(&mut more) {
            Ok(0) => Ok(plain),
            Ok(_) => Err(EnvelopeError::Longer),
            Err(error) => Err(EnvelopeError::Read(error)),
        };
    }
    Err(EnvelopeError::Longer)
}

fn read(from: &mut impl Read, into: &mut [u8], number: u64) -> Result<(), EnvelopeError> {
    from.read_exact(into).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => EnvelopeError::Cut(number),
        _ => EnvelopeError::Read(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup");
        let mut writer = Writer::begin(Durable::create(&path).unwrap(), &passphrase("correct horse")).unwrap();
        writer.write(plain).unwrap();
        writer.finish().unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn what_was_sealed_comes_back_however_long_it_is() {
        for length in [0, 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES] {
            let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let file = sealed(&plain);
            assert!(open(&file[..], &passphrase("correct horse")).unwrap().expose() == plain, "{length}");
        }
    }

    #[test]
    fn a_wrong_passphrase_a_cut_and_a_change_are_told_apart() {
        let file = sealed(&vec![7; FRAME_BYTES + 100]);
        assert!(matches!(open(&file[..], &passphrase("other")), Err(EnvelopeError::Passphrase)));
        let with = |file: &[u8]| open(file, &passphrase("correct horse")).map(drop);
        let end = file.iter().position(|byte| *byte == b'\n').unwrap();
        assert!(matches!(with(&file[..end]), Err(EnvelopeError::Cut(0))));
        for cut in [end + 1, end + 3, end + 100, file.len() - 1, end + 1 + 4 + FRAME_BYTES + 16] {
            assert!(matches!(with(&file[..cut]), Err(EnvelopeError::Cut(_))), "{cut}");
        }
        for at in [end + 6, end + 500, file.len() - 1] {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(matches!(with(&changed), Err(EnvelopeError::Damaged(_))), "{at}");
        }
        for at in [20, end - 40, end - 1] {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(matches!(with(&changed), Err(EnvelopeError::Head)), "{at}");
        }
        let longer = [&file[..], b"x"].concat();
        assert!(matches!(with(&longer), Err(EnvelopeError::Longer)));
        for other in [&b""[..], b"PK\x03\x04", b"{}\n"] {
            assert!(matches!(with(other), Err(EnvelopeError::NotOurs)), "{other:?}");
        }
    }
}
