//! Secrets in memory and what is done with them: hashing, key derivation, authenticated encryption. aws-lc for all of it.
//! A `Secret` has no way to be printed and is overwritten when dropped. Knows nothing of files; `file` reads and writes them.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, digest, hkdf as kdf, hmac};
use zeroize::Zeroizing;

/// Bytes nobody may print.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// `n_bytes` fresh random bytes.
    #[must_use]
    pub fn random(n_bytes: usize) -> Self {
        let mut bytes = vec![0; n_bytes];
        super::random::fill(&mut bytes);
        Self::new(bytes)
    }

    /// The bytes, for the one call that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// 32 bytes derived from `master` for the purpose `label` (HKDF-SHA256, RFC 5869, no salt). Different labels, unrelated keys.
#[must_use]
pub fn hkdf(master: &Secret, label: &str) -> Secret {
    hkdf_salted(master, &[], label)
}

/// The same with a salt.
#[must_use]
pub fn hkdf_salted(master: &Secret, salt: &[u8], label: &str) -> Secret {
    let mut out = vec![0; 32];
    let info = [label.as_bytes()];
    kdf::Salt::new(kdf::HKDF_SHA256, salt)
        .extract(master.expose())
        .expand(&info, kdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut out))
        .expect("32 bytes are one block of HKDF-SHA256");
    Secret::new(out)
}

/// The hash of `hkdf_long`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdfHash {
    Sha256,
    Sha512,
}

impl KdfHash {
    /// The most bytes one derivation gives: 255 blocks of the hash (RFC 5869, 2.3).
    #[must_use]
    pub fn most_bytes(self) -> usize {
        match self {
            Self::Sha256 => 255 * 32,
            Self::Sha512 => 255 * 64,
        }
    }
}

/// `n_bytes` derived from `secret` by HKDF (RFC 5869); `None` beyond `most_bytes` of the hash.
#[must_use]
pub fn hkdf_long(hash: KdfHash, secret: &Secret, salt: &[u8], info: &[u8], n_bytes: usize) -> Option<Secret> {
    struct Length(usize);
    impl kdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let algorithm = match hash {
        KdfHash::Sha256 => kdf::HKDF_SHA256,
        KdfHash::Sha512 => kdf::HKDF_SHA512,
    };
    let mut out = Zeroizing::new(vec![0; n_bytes]);
    let prk = kdf::Salt::new(algorithm, salt).extract(secret.expose());
    prk.expand(&[info], Length(n_bytes)).and_then(|okm| okm.fill(&mut out)).ok()?;
    Some(Secret(out))
}

#[must_use]
pub fn hmac_sha256(key: &Secret, data: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
    array(hmac::sign(&key, data).as_ref())
}

#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    array(digest::digest(&digest::SHA256, data).as_ref())
}

/// SHA-256 of bytes that come piece by piece.
pub struct Sha256(digest::Context);

impl Sha256 {
    #[must_use]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        array(self.0.finish().as_ref())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}

/// Whether two byte strings are equal, in a time that does not tell where they differ.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// The bytes of a hex text of either case; `None` when it is no hex.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits?;
    if digits.len() % 2 != 0 {
        return None;
    }
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// The message was changed, or sealed with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed bytes do not open: they were changed, or sealed with another key")]
pub struct NotOpened;

/// An AES-256-GCM key. A nonce must never be used twice with one key: count, or derive a key per use.
pub struct Aead(LessSafeKey);

/// How much longer a sealed message is than its plain text.
pub const TAG_BYTES: usize = 16;

impl Aead {
    /// # Panics: when `key` is not 32 bytes long; `hkdf` and `Secret::random(32)` give such.
    #[must_use]
    pub fn new(key: &Secret) -> Self {
        Self(LessSafeKey::new(
            UnboundKey::new(&AES_256_GCM, key.expose()).expect("an AES-256 key has 32 bytes"),
        ))
    }

    /// Encrypts `in_out` in place and appends the tag.
    pub fn seal(&self, nonce: [u8; 12], aad: &[u8], in_out: &mut Vec<u8>) {
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), in_out)
            .expect("a message below 64 GiB can be sealed");
    }

    /// Decrypts `in_out` in place and cuts the tag off.
    /// # Errors: `NotOpened`; `in_out` then holds nothing of use.
    pub fn open(&self, nonce: [u8; 12], aad: &[u8], in_out: &mut Vec<u8>) -> Result<(), NotOpened> {
        let length = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), in_out)
            .map_err(|_| NotOpened)?
            .len();
        in_out.truncate(length);
        Ok(())
    }
}

impl fmt::Debug for Aead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aead(not shown)")
    }
}

/// `plain` sealed under `key` with a random nonce, which stands in front. For few, small messages of one key.
#[must_use]
pub fn seal(key: &Secret, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; 12] = super::random::bytes();
    let mut sealed = plain.to_vec();
    Aead::new(key).seal(nonce, aad, &mut sealed);
    let mut out = nonce.to_vec();
    out.append(&mut sealed);
    out
}

/// What `seal` sealed.
/// # Errors: `NotOpened` when a byte, the key or `aad` differs.
pub fn open(key: &Secret, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotOpened> {
    let (nonce, body) = sealed.split_first_chunk::<12>().ok_or(NotOpened)?;
    let mut plain = body.to_vec();
    Aead::new(key).open(*nonce, aad, &mut plain)?;
    Ok(plain)
}

fn array(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_agree_with_the_published_vectors() {
        // FIPS 180-4 "abc"; RFC 4231 case 2.
        assert_eq!(
            hex(&sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let mut pieces = Sha256::new();
        pieces.update(b"a");
        pieces.update(b"bc");
        assert_eq!(pieces.finish(), sha256(b"abc"));
        let mac = hmac_sha256(&Secret::new(b"Jefe".to_vec()), b"what do ya want for nothing?");
        assert_eq!(hex(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn hkdf_agrees_with_rfc_5869_and_labels_give_unrelated_keys() {
        // RFC 5869 A.3: no salt, no info; its first 32 bytes.
        let master = Secret::new(vec![0x0b; 22]);
        assert_eq!(
            hex(hkdf(&master, "").expose()),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        );
        assert_ne!(hkdf(&master, "a").expose(), hkdf(&master, "b").expose());
        assert_ne!(hkdf_salted(&master, b"1", "a").expose(), hkdf(&master, "a").expose());
    }

    #[test]
    fn a_long_derivation_agrees_with_rfc_5869_and_ends_where_the_standard_does() {
        // RFC 5869 A.2: 82 bytes.
        let bytes = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
        let secret = Secret::new(bytes(0x00, 0x4f));
        let derived = hkdf_long(KdfHash::Sha256, &secret, &bytes(0x60, 0xaf), &bytes(0xb0, 0xff), 82).expect("82 bytes");
        assert_eq!(
            hex(derived.expose()),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71\
             cc30c58179ec3e87c14c01d5c1f3434f1d87"
        );
        for hash in [KdfHash::Sha256, KdfHash::Sha512] {
            assert!(hkdf_long(hash, &secret, &[], &[], hash.most_bytes()).is_some());
            assert!(hkdf_long(hash, &secret, &[], &[], hash.most_bytes() + 1).is_none());
        }
    }

    #[test]
    fn a_sealed_message_opens_only_unchanged_and_with_its_key() {
        let key = Secret::random(32);
        let sealed = seal(&key, b"about", b"plain");
        assert_eq!(open(&key, b"about", &sealed), Ok(b"plain".to_vec()));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&key, b"about", &changed), Err(NotOpened), "byte {at}");
        }
        assert_eq!(open(&key, b"other", &sealed), Err(NotOpened));
        assert_eq!(open(&Secret::random(32), b"about", &sealed), Err(NotOpened));
        assert_eq!(open(&key, b"about", &sealed[..11]), Err(NotOpened));
    }

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::new(b"hush".to_vec())), "Secret(not shown)");
    }

    #[test]
    fn hex_goes_both_ways_and_refuses_what_is_no_hex() {
        assert_eq!(unhex(&hex(&[0, 15, 255])), Some(vec![0, 15, 255]));
        assert_eq!(unhex("0F"), Some(vec![15]));
        assert_eq!(unhex("abc"), None);
        assert_eq!(unhex("zz"), None);
    }

    #[test]
    fn equality_is_of_content_and_length() {
        assert!(equal(b"abc", b"abc"));
        assert!(!equal(b"abc", b"abd"));
        assert!(!equal(b"abc", b"ab"));
    }
}
