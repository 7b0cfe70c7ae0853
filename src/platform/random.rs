//! The one source of randomness: the operating system's, by aws-lc. Keys, salts, token ids and jitter come from here.

use std::time::Duration;

/// Fills `out` with random bytes.
/// # Panics: when the operating system has no randomness to give; no key may be made then.
pub fn fill(out: &mut [u8]) {
    aws_lc_rs::rand::fill(out).expect("the operating system gives randomness");
}

/// An array of random bytes.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    fill(&mut out);
    out
}

/// `n_bytes` random bytes in lower-case hex.
#[must_use]
pub fn hex(n_bytes: usize) -> String {
    let mut out = vec![0; n_bytes];
    fill(&mut out);
    super::secret::hex(&out)
}

/// Between three quarters and all of `wait`, so that many clients do not come back at one moment.
#[must_use]
pub fn jitter(wait: Duration) -> Duration {
    let share = f64::from(u32::from_le_bytes(bytes())) / f64::from(u32::MAX);
    wait.mul_f64(0.75 + 0.25 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ_and_have_the_asked_length() {
        let (one, two) = (hex(16), hex(16));
        assert_eq!(one.len(), 32);
        assert_ne!(one, two);
    }

    #[test]
    fn jitter_stays_within_three_quarters_and_all() {
        for _ in 0..1000 {
            let wait = jitter(Duration::from_secs(100));
            assert!((Duration::from_secs(75)..=Duration::from_secs(100)).contains(&wait));
        }
    }
}
