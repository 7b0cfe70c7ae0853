//! Counts that are shown outside a site: no number of patients or rows from 1 to 10, and none that two shown numbers give.
//!
//! Every count is rounded up to a multiple of eleven, nothing to nothing: any sum, difference or multiple of shown numbers is
//! a multiple of eleven again, whatever filters they were counted by and whichever of them lie within others. So there is
//! nothing left to suppress in a second step, which hiding alone would need for each total and each pair of filters.
//! A total is shown as the sum of its shown parts and not rounded by itself: both together could tell a part exactly.
//!
//! Basis: CMS cell size suppression policy (ResDAC): no cell of 1 to 10, nor a value from which one can be derived; zero may
//! be shown. Not held: two reports of different days, of which one count passed a multiple of eleven in between.

/// The smallest count that may be told from nothing.
pub const LEAST: u64 = 11;

/// The count as it may be shown: "at most this many, and at least ten fewer".
#[must_use]
pub const fn published(count: u64) -> u64 {
    match count.div_ceil(LEAST).checked_mul(LEAST) {
        Some(shown) => shown,
        None => u64::MAX - u64::MAX % LEAST,
    }
}

/// Counts that add up to a total: each as it may be shown, and the total.
pub fn published_parts<const N: usize>(parts: [u64; N]) -> ([u64; N], u64) {
    let parts = parts.map(published);
    (parts, parts.iter().fold(0, |sum: u64, part| sum.saturating_add(*part)))
}

/// A share in per cent, of two counts as they are shown; at most 100.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a share that is shown with one digit")]
pub fn published_percent(part: u64, whole: u64) -> f64 {
    let (part, whole) = (published(part), published(whole));
    if whole == 0 {
        0.0
    } else {
        (part.min(whole) as f64 * 1000.0 / whole as f64).round() / 10.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What patients are counted by: each has one value of each of four attributes.
    type Patient = [u8; 4];

    /// Every filter by up to two attributes, also "any": what somebody may ask for.
    fn filters() -> Vec<Vec<(usize, u8)>> {
        let mut all = vec![Vec::new()];
        let single: Vec<_> = (0..4).flat_map(|attribute| (0..3).map(move |value| (attribute, value))).collect();
        for (at, one) in single.iter().enumerate() {
            all.push(vec![*one]);
            all.extend(single[at + 1..].iter().filter(|two| two.0 != one.0).map(|two| vec![*one, *two]));
        }
        all
    }

    fn counts(patients: &[Patient]) -> Vec<u64> {
        let fits = |patient: &Patient, filter: &[(usize, u8)]| filter.iter().all(|(attribute, value)| patient[*attribute] == *value);
        let count = |filter: Vec<(usize, u8)>| patients.iter().filter(|patient| fits(patient, &filter)).count() as u64;
        filters().into_iter().map(count).collect()
    }

    /// Two shown numbers that give a value from 1 to 10, alone, by their difference or by a share of one in the other.
    fn leak(shown: &[Option<u64>]) -> Option<(u64, u64)> {
        let shown: Vec<u64> = shown.iter().copied().flatten().collect();
        let small = |value: u64| (1..LEAST).contains(&value);
        let all = || shown.iter().flat_map(|one| shown.iter().map(move |two| (*one, *two)));
        let alone = shown.iter().copied().find(|one| small(*one)).map(|one| (one, one));
        alone.or_else(|| all().find(|(one, two)| small(one.abs_diff(*two))))
    }

    /// A crowd with rare values, so that small cells do occur.
    fn crowd() -> impl Strategy<Value = Vec<Patient>> {
        let value = || prop_oneof![12 => Just(0u8), 6 => Just(1u8), 1 => Just(2u8)];
        prop::collection::vec([value(), value(), value(), value()], 0..160)
    }

    proptest! {
        #[test]
        fn no_pair_of_filters_gives_a_value_from_1_to_10(patients in crowd()) {
            let shown: Vec<_> = counts(&patients).into_iter().map(|count| Some(published(count))).collect();
            prop_assert_eq!(leak(&shown), None);
        }

        #[test]
        fn a_shown_part_leaves_eleven_counts_open_beside_its_total_and_all_other_parts(parts in any::<[u16; 5]>(), at in 0usize..5) {
            let parts = parts.map(|part| u64::from(part % 60));
            let (shown, total) = published_parts(parts);
            prop_assert_eq!(total % LEAST, 0);
            // Every count that would have been shown the same way, with all else as it is.
            let alike = (0..100).filter(|count| {
                let mut other = parts;
                other[at] = *count;
                published_parts(other) == (shown, total)
            });
            prop_assert_eq!(alike.count(), if parts[at] == 0 { 1 } else { 11 });
        }

        #[test]
        fn a_count_is_shown_as_at_most_ten_more(count in 0..u64::MAX / 2) {
            let shown = published(count);
            prop_assert!(shown >= count && shown - count < LEAST && shown.is_multiple_of(LEAST));
            prop_assert_eq!(shown == 0, count == 0);
        }
    }

    #[test]
    fn hiding_small_cells_alone_is_caught() {
        // 60 girls and 5 boys: the five are hidden, and the total minus the girls tells them.
        let mut patients = vec![[0, 0, 0, 0]; 60];
        patients.extend(vec![[1, 0, 0, 0]; 5]);
        let hidden = |count: u64| (count == 0 || count >= LEAST).then_some(count);
        let shown: Vec<_> = counts(&patients).into_iter().map(hidden).collect();
        assert_eq!(leak(&shown), Some((65, 60)));
        // So is a small count that stands as eleven, where the others stand as they are.
        let coarse = |count: u64| Some(if count == 0 { 0 } else { count.max(LEAST) });
        let shown: Vec<_> = counts(&patients).into_iter().map(coarse).collect();
        assert!(leak(&shown).is_some());
    }

    #[test]
    fn a_total_that_is_rounded_by_itself_would_tell_its_parts() {
        // Eleven parts of one: each is shown as 11, and a total shown as 11 says that each is one.
        let parts = [1; 11];
        assert_eq!(published(parts.iter().sum()), 11);
        assert_eq!(published_parts(parts), ([11; 11], 121));
    }

    #[test]
    fn shares_are_of_the_shown_counts() {
        assert!((published_percent(1, 100) - 10.0).abs() < 1e-9, "11 of 110");
        assert!((published_percent(0, 100)).abs() < 1e-9);
        assert!((published_percent(0, 0)).abs() < 1e-9);
        assert!((published_percent(3, 2) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn the_largest_count_is_shown() {
        assert!(published(u64::MAX).is_multiple_of(LEAST));
    }
}
