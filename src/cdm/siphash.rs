//! SipHash-2-4: a keyed hash of 64 bits, quick on the short words the leak guard compares and the keys of rows.
//! Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), section 2 and appendix A (test vector).
//! Not for pseudonyms: those are HMAC-SHA-256.

/// The hash of `text` under a key of 128 bits.
pub fn siphash(key: [u64; 2], text: &[u8]) -> u64 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let (blocks, rest) = text.as_chunks::<8>();
    for block in blocks {
        take(&mut state, u64::from_le_bytes(*block));
    }
    let mut last = [0u8; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = text.len().to_le_bytes()[0];
    take(&mut state, u64::from_le_bytes(last));
    state[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn take(state: &mut [u64; 4], block: u64) {
    state[3] ^= block;
    round(state);
    round(state);
    state[0] ^= block;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_papers_own_vector_comes_out() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let text: Vec<u8> = (0..15).collect();
        assert_eq!(siphash(key, &text), 0xa129_ca61_49be_45e5);
    }

    proptest! {
        #[test]
        fn it_is_the_siphash_the_standard_library_had(a in any::<u64>(), b in any::<u64>(), text in proptest::collection::vec(any::<u8>(), 0..70)) {
            #[expect(deprecated, reason = "the only independent SipHash-2-4 at hand")]
            let theirs = {
                use std::hash::Hasher;
                let mut hasher = std::hash::SipHasher::new_with_keys(a, b);
                hasher.write(&text);
                hasher.finish()
            };
            prop_assert_eq!(siphash([a, b], &text), theirs);
        }
    }
}
