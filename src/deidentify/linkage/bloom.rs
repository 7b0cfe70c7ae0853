//! A Bloom filter as clkhash fills it: each token sets bits by keyed hashes, all features into one filter, folded at the end.
//! Knows neither schema nor patient. Bits count from the left of each byte, as in clkhash's base64.
//!
//! `blakeHash` draws independent places from BLAKE2b; `doubleHash` walks with HMAC-SHA1 and HMAC-MD5, whose regular steps an
//! attacker can see (Kroll and Steinmetzer 2015): it is here to read older projects, not to begin new ones with.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::Blake2bMac512;
use blake2::digest::Mac;
use md5::{Digest, Md5};

use crate::platform::secret::Secret;

/// The longest filter, before it is folded: a place is 16 bits of a hash.
pub const MOST_BITS: usize = 1 << 16;
/// BLAKE2b takes no longer key (RFC 7693).
pub const MOST_BLAKE_KEY_BYTES: usize = 64;
/// Places in one BLAKE2b digest.
const PLACES: usize = 32;

/// How a token's places are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Blake,
    /// Does it draw again where the step would be zero, so that a token sets more than one bit?
    Double {
        prevent_singularity: bool,
    },
}

/// A cryptographic linkage key: one person's filter.
#[derive(Clone, PartialEq, Eq)]
pub struct Clk {
    bits: usize,
    bytes: Vec<u8>,
}

impl Clk {
    pub(super) fn new(bits: usize) -> Self {
        Self {
            bits,
            bytes: vec![0; bits.div_ceil(8)],
        }
    }

    fn set(&mut self, at: usize) {
        self.bytes[at / 8] |= 0x80 >> (at % 8);
    }

    fn get(&self, at: usize) -> bool {
        self.bytes[at / 8] & (0x80 >> (at % 8)) != 0
    }

    /// Sets `count` places of one token, under the two keys of its feature.
    pub(super) fn insert(&mut self, hash: Hash, keys: &[Secret; 2], token: &[u8], count: usize) {
        match hash {
            Hash::Blake => self.insert_blake(&keys[0], token, count),
            Hash::Double { prevent_singularity } => self.insert_double(keys, token, count, prevent_singularity),
        }
    }

    fn insert_blake(&mut self, key: &Secret, token: &[u8], count: usize) {
        let mut left = count;
        for block in 0.. {
            if left == 0 {
                return;
            }
            let salt = block.to_string();
            let mut mac = Blake2bMac512::new_with_salt_and_personal(key.expose(), salt.as_bytes(), &[])
                .expect("the schema's keys have 1 to 64 bytes, and a salt of a few digits fits into 16");
            mac.update(token);
            let digest = mac.finalize().into_bytes();
            for pair in digest.chunks_exact(2).take(left.min(PLACES)) {
                self.set(usize::from(u16::from_le_bytes([pair[0], pair[1]])) % self.bits);
            }
            left = left.saturating_sub(PLACES);
        }
    }

    fn insert_double(&mut self, [sha, md]: &[Secret; 2], token: &[u8], count: usize, prevent_singularity: bool) {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, sha.expose());
        let start = remainder(hmac::sign(&key, token).as_ref(), self.bits);
        let mut step = remainder(&hmac_md5(md.expose(), token, &[]), self.bits);
        if prevent_singularity {
            for again in 0..=u8::MAX {
                if step != 0 {
                    break;
                }
                let mut bytes = [0; 4];
                let sign = char::from(again).encode_utf8(&mut bytes);
                step = remainder(&hmac_md5(md.expose(), token, sign.as_bytes()), self.bits);
            }
        }
        let mut at = start;
        for _ in 0..count {
            self.set(at);
            at = (at + step) % self.bits;
        }
    }

    /// The filter laid in half `folds` times: the halves' bits are joined by exclusive or.
    #[must_use]
    pub(super) fn folded(self, folds: u32) -> Self {
        let mut whole = self;
        for _ in 0..folds {
            let mut half = Self::new(whole.bits / 2);
            for at in 0..half.bits {
                if whole.get(at) != whole.get(at + half.bits) {
                    half.set(at);
                }
            }
            whole = half;
        }
        whole
    }

    /// How many bits it has.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// How many bits are set.
    pub fn count(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }

    /// The bytes, first bit highest.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What an agent reads.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.bytes)
    }

    /// How alike two filters are, from 0 to 1: twice the bits both have, by the bits of each (Dice). Two empty ones are not alike.
    pub fn dice(&self, other: &Self) -> f64 {
        let all = self.count() + other.count();
        let both: u32 = self.bytes.iter().zip(&other.bytes).map(|(a, b)| (a & b).count_ones()).sum();
        if all == 0 { 0.0 } else { f64::from(2 * both) / f64::from(all) }
    }
}

/// Prints no bit: a filter is nearly as telling as the names in it.
impl std::fmt::Debug for Clk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clk({} bits)", self.bits)
    }
}

/// A big-endian number modulo `by`.
fn remainder(number: &[u8], by: usize) -> usize {
    number.iter().fold(0, |rest, byte| (rest << 8 | usize::from(*byte)) % by)
}

/// HMAC (RFC 2104) with MD5 of one text in two pieces.
fn hmac_md5(key: &[u8], text: &[u8], more: &[u8]) -> [u8; 16] {
    let mut block = zeroize::Zeroizing::new([0u8; 64]);
    if key.len() > block.len() {
        block[..16].copy_from_slice(&Md5::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| zeroize::Zeroizing::new(block.map(|byte| byte ^ pad));
    let inner = Md5::new()
        .chain_update(*padded(0x36))
        .chain_update(text)
        .chain_update(more)
        .finalize();
    Md5::new().chain_update(*padded(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::secret::hex;

    #[test]
    fn hmac_md5_agrees_with_rfc_2202() {
        let sum = |key: &[u8], text: &[u8]| hex(&hmac_md5(key, text, &[]));
        assert_eq!(sum(&[0x0b; 16], b"Hi There"), "9294727a3638bb1c13f48ef8158bfc9d");
        assert_eq!(sum(b"Jefe", b"what do ya want for nothing?"), "750c783e6ab0b503eaa86e310a5db738");
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(sum(&[0xaa; 80], long), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
        assert_eq!(
            hmac_md5(b"Jefe", b"what do ya ", b"want for nothing?"),
            hmac_md5(b"Jefe", b"what do ya want for nothing?", &[])
        );
    }

    #[test]
    fn folding_joins_the_halves_by_exclusive_or_and_keeps_odd_lengths() {
        let mut clk = Clk::new(12);
        for at in [0, 1, 6, 11] {
            clk.set(at);
        }
        let folded = clk.folded(1);
        assert_eq!((0..6).filter(|at| folded.get(*at)).collect::<Vec<_>>(), [1, 5]);
        assert_eq!((folded.bits(), folded.folded(1).bits()), (6, 3));
    }

    #[test]
    fn dice_is_of_what_both_have_and_nothing_is_like_nothing() {
        let of = |places: &[usize]| {
            let mut clk = Clk::new(16);
            places.iter().for_each(|at| clk.set(*at));
            clk
        };
        assert!((of(&[1, 2, 3]).dice(&of(&[2, 3, 4, 5])) - 4.0 / 7.0).abs() < 1e-12);
        assert!((of(&[9]).dice(&of(&[9])) - 1.0).abs() < 1e-12);
        assert!(of(&[]).dice(&of(&[])).abs() < 1e-12);
        assert_eq!(format!("{:?}", of(&[1])), "Clk(16 bits)");
    }
}
