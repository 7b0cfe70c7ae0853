//! How many different patients were met: exact for a few, then an estimate within about 3 %, in at most 2 KiB.
//! Holds digests of keys, never a key. Basis: HyperLogLog (Flajolet et al. 2007), 1024 registers.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};

/// Counted exactly up to here.
const EXACT: usize = 200;
const REGISTERS: usize = 1024;

#[derive(Debug)]
pub(super) enum Patients {
    Few(HashSet<u64>),
    Many(Box<[u8; REGISTERS]>),
}

impl Default for Patients {
    fn default() -> Self {
        Patients::Few(HashSet::new())
    }
}

/// What a key is counted by.
pub(super) fn digest(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key.as_bytes());
    hasher.finish()
}

impl Patients {
    pub(super) fn add(&mut self, digest: u64) {
        match self {
            Patients::Few(few) => {
                few.insert(digest);
                if few.len() > EXACT {
                    let mut registers = Box::new([0; REGISTERS]);
                    few.iter().for_each(|digest| note(&mut registers, *digest));
                    *self = Patients::Many(registers);
                }
            }
            Patients::Many(registers) => note(registers, digest),
        }
    }

    pub(super) fn count(&self) -> u64 {
        match self {
            Patients::Few(few) => few.len() as u64,
            Patients::Many(registers) => estimate(registers),
        }
    }
}

fn note(registers: &mut [u8; REGISTERS], digest: u64) {
    let place = (digest % REGISTERS as u64) as usize;
    let rest = digest >> 10;
    // 54 bits are left; a 1 stands in front so that the row of zeros ends.
    let zeros = (rest | 1 << 54).trailing_zeros() + 1;
    registers[place] = registers[place].max(u8::try_from(zeros).unwrap_or(u8::MAX));
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an estimate of a count is positive and small"
)]
fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let m = REGISTERS as f64;
    let sum: f64 = registers.iter().map(|&zeros| 0.5f64.powi(i32::from(zeros))).sum();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
    let empty = registers.iter().filter(|&&zeros| zeros == 0).count();
    let best = if raw <= 2.5 * m && empty > 0 {
        m * (m / empty as f64).ln()
    } else {
        raw
    };
    best.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_counted_exactly_and_many_within_a_tenth() {
        for many in [0, 1, 200, 201, 2_000, 100_000u64] {
            let mut patients = Patients::default();
            for _ in 0..2 {
                (0..many).for_each(|number| patients.add(digest(&format!("Patient/{number}"))));
            }
            let found = patients.count();
            let off = found.abs_diff(many);
            assert!(if many <= 200 { off == 0 } else { off * 10 <= many }, "{many}: {found}");
        }
    }
}
