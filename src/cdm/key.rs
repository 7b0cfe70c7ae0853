//! Integer keys. Inside, a key is the text `Type/id[#part]`; a model whose keys are integers (OMOP) sees a number made of it.

use super::siphash::siphash;

/// Fixed for ever: another value would give every row of every site another key.
const SEED: [u64; 2] = [0x6865_6164_7761_7465, 0x725f_6b65_795f_7631];

/// The number that stands for a key: positive, 63 bits, the same for the same text everywhere. Two of 10^8 keys of one
/// table share a number with a chance of about 1 in 2,000; the ledger refuses the second.
pub fn key_number(text: &str) -> i64 {
    i64::try_from(siphash(SEED, text.as_bytes()) >> 1).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_keeps_its_number_from_release_to_release() {
        assert_eq!(key_number("Patient/p1"), KNOWN[0]);
        assert_eq!(key_number("Condition/c1#320128"), KNOWN[1]);
    }

    const KNOWN: [i64; 2] = [4_562_601_908_044_954_627, 7_442_586_568_606_510_032];

    proptest! {
        #[test]
        fn a_number_is_positive_and_hangs_on_the_text_alone(a in ".{0,40}", b in ".{0,40}") {
            prop_assert!(key_number(&a) > 0);
            prop_assert_eq!(a == b, key_number(&a) == key_number(&b));
        }
    }
}
