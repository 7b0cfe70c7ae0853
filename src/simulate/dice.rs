//! Seeded chance. Every patient has a stream of their own, so that one patient's bytes depend on the seed and on the
//! patient's number only, never on how many others there are.
//! Whole numbers only: the same bytes on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A source of repeatable choices.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// Stream 0 is the clinic's; stream n + 1 is patient n's.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// A number from 0 up to, without, `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // The bias of a 64-bit remainder is far below anything a simulated clinic could show.
        self.0.next_u64() % bound.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high - low).unwrap_or(0) + 1;
        low + i64::try_from(self.below(width)).unwrap_or(0)
    }

    /// Like `between`, but the middle is likelier than the ends.
    pub(super) fn around(&mut self, low: i64, high: i64) -> i64 {
        (self.between(low, high) + self.between(low, high)) / 2
    }

    /// True in `percent` of 100 cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the choices; all are equally likely.
    pub(super) fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        let at = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        &choices[at]
    }

    /// One of the choices, by weight.
    pub(super) fn weighted<'c, T>(&mut self, choices: &'c [(u64, T)]) -> &'c T {
        let total = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total);
        for (weight, choice) in choices {
            if left < *weight {
                return choice;
            }
            left -= weight;
        }
        &choices[0].1
    }

    /// An id shaped like a random UUID.
    pub(super) fn id(&mut self) -> String {
        let (high, low) = (self.0.next_u64(), self.0.next_u64());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }

    /// `count` decimal digits, the first of them not 0.
    pub(super) fn digits(&mut self, count: usize) -> String {
        let mut digits = String::with_capacity(count);
        for at in 0..count {
            let low = u8::from(at == 0);
            let digit = u8::try_from(self.below(u64::from(10 - low))).unwrap_or(0) + low;
            digits.push(char::from(b'0' + digit));
        }
        digits
    }
}

/// A well spread 64-bit hash of `text` under `seed`: a choice about one thing that depends on nothing else.
pub(super) fn spread(seed: u64, text: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in text {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // The finish of SplitMix64: FNV alone leaves the high bits poor.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_and_stream_always_give_the_same_choices() {
        let roll = |seed, stream| {
            let mut dice = Dice::new(seed, stream);
            (dice.id(), dice.digits(6), dice.between(-3, 3))
        };
        assert_eq!(roll(7, 1), roll(7, 1));
        assert_ne!(roll(7, 1), roll(7, 2));
        assert_ne!(roll(7, 1), roll(8, 1));
    }

    #[test]
    fn the_first_choices_of_a_seed_never_change_between_releases() {
        assert_eq!(Dice::new(1, 1).id(), FIRST_ID);
    }

    const FIRST_ID: &str = "da16ea55-e3f5-4de7-8d08-a889e871fc06";

    #[test]
    fn numbers_stay_between_their_ends_and_reach_both() {
        let mut dice = Dice::new(1, 1);
        let rolled: std::collections::BTreeSet<i64> = (0..200).map(|_| dice.between(-2, 2)).collect();
        assert_eq!(rolled.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
    }

    #[test]
    fn spread_hashes_differ_by_seed_and_text() {
        assert_ne!(spread(1, b"Patient/a"), spread(1, b"Patient/b"));
        assert_ne!(spread(1, b"Patient/a"), spread(2, b"Patient/a"));
    }
}
