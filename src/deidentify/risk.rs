//! How many patients share each combination of quasi-identifiers: k-anonymity and unicity. Figures, never a value.
//! Knows classes as sizes only; which columns make a class is the gateway's settings.
//! Basis: expert determination, 45 CFR 164.514(b)(1), asks how small the smallest group is. A figure is no promise.

use serde::{Deserialize, Serialize};

/// What the sizes of all classes say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anonymity {
    pub patients: u64,
    pub classes: u64,
    /// Patients in the smallest class; 0 where there is nobody.
    pub smallest: u64,
    /// Patients who are alone in their class.
    pub unique: u64,
    /// Patients in classes smaller than k.
    pub below_k: u64,
    /// Patients by the size of their class: 1, 2-4, 5-10, 11-50, above.
    pub histogram: [u64; 5],
}

impl Anonymity {
    /// The words of the histogram's bins.
    pub const BINS: [&str; 5] = ["1 (unique)", "2-4", "5-10", "11-50", "51 and more"];

    pub fn of(sizes: impl IntoIterator<Item = u64>, k: u64) -> Self {
        let mut sum = Self::default();
        for size in sizes.into_iter().filter(|size| *size > 0) {
            sum.patients += size;
            sum.classes += 1;
            sum.smallest = if sum.classes == 1 { size } else { sum.smallest.min(size) };
            sum.unique += u64::from(size == 1);
            sum.below_k += if size < k { size } else { 0 };
            let bin = match size {
                1 => 0,
                2..=4 => 1,
                5..=10 => 2,
                11..=50 => 3,
                _ => 4,
            };
            sum.histogram[bin] += size;
        }
        sum
    }

    /// Nobody stands in a class smaller than k.
    pub fn holds(&self) -> bool {
        self.below_k == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_of_exactly_k_is_large_enough_and_one_less_is_not() {
        assert!(Anonymity::of([11, 12, 500], 11).holds());
        let found = Anonymity::of([11, 10, 1, 1], 11);
        assert_eq!((found.patients, found.classes, found.smallest), (23, 4, 1));
        assert_eq!((found.unique, found.below_k), (2, 12));
        assert_eq!(found.histogram, [2, 0, 10, 11, 0]);
    }

    #[test]
    fn nobody_is_no_class() {
        assert_eq!(Anonymity::of([], 11), Anonymity::default());
    }
}
