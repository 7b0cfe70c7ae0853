//! Ages: full years at a day, and who counts as over 89.
//! Basis: 45 CFR 164.514(b)(2)(i)(C): all ages over 89, and all elements of dates (including year) indicative of such
//! age, except that they may be aggregated into a single category of age 90 or older.

use jiff::civil::Date;

use super::date::Partial;

/// The category of everyone over 89.
pub(super) const OLDEST: i64 = 90;

/// Full years from birth to `on`; where month or day of birth are not known, the most it can be.
pub(super) fn years(birth: Partial, on: Date) -> i32 {
    let had_birthday = (on.month(), on.day()) >= (birth.month.max(1), birth.day.max(1));
    i32::from(on.year()) - i32::from(birth.year) - i32::from(!had_birthday)
}

/// Whether the year of birth itself would tell an age over 89.
pub(super) fn is_over_89(birth: Partial, on: Date) -> bool {
    i64::from(years(birth, on)) >= OLDEST
}

/// An age, with everyone over 89 in one category.
pub(super) fn capped(age: i64) -> i64 {
    age.min(OLDEST)
}

/// Whether the digits of an age are 90 or more. `None` if they are no number.
pub(super) fn is_capped_decimal(digits: &str) -> Option<bool> {
    let age: f64 = digits.parse().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "90 is exact")]
    Some(age >= OLDEST as f64)
}

/// The full years of an age written with decimals. `None` if it is no number, or no age.
pub(super) fn whole_years(digits: &str) -> Option<i64> {
    let age: f64 = digits.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be small")]
    (age.abs() < 1e6).then(|| age.floor() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn over(birth: &str, on: Date) -> bool {
        is_over_89(Partial::parse(birth).expect("a date"), on)
    }

    #[test]
    fn the_ninetieth_birthday_is_the_boundary() {
        assert!(!over("1934-06-15", date(2024, 6, 14)), "89 years and 365 days");
        assert!(over("1934-06-15", date(2024, 6, 15)), "90 today");
        assert!(!over("1935-06-15", date(2024, 6, 15)), "89 today");
    }

    #[test]
    fn a_leap_day_child_turns_ninety_on_the_first_of_march() {
        assert!(!over("1932-02-29", date(2022, 2, 28)));
        assert!(over("1932-02-29", date(2022, 3, 1)));
    }

    #[test]
    fn an_imprecise_birth_counts_as_the_oldest_it_can_be() {
        assert!(over("1934", date(2024, 1, 1)));
        assert!(!over("1935", date(2024, 12, 31)));
        assert!(!over("1934-06", date(2024, 5, 31)));
        assert!(over("1934-06", date(2024, 6, 1)));
    }

    #[test]
    fn ages_are_capped_at_ninety() {
        assert_eq!([capped(0), capped(89), capped(90), capped(104)], [0, 89, 90, 90]);
        assert_eq!(is_capped_decimal("89.9"), Some(false));
        assert_eq!(is_capped_decimal("90.0"), Some(true));
        assert_eq!(is_capped_decimal("1e2"), Some(true));
        assert_eq!(is_capped_decimal("old"), None);
    }
}
