//! Ages: full years at a day, and who counts as over 89.
//! Basis: 45 CFR 164.514(b)(2)(i)(C): all ages over 89, and all elements of dates (including year) indicative of such
//! age, except that they may be aggregated into a single category of age 90 or older.

use jiff::civil::Date;

use super::date::Partial;
use crate::cdm::Cell;

const DAYS_OF_A_YEAR: f64 = 365.25;

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

/// Units of time in days: UCUM's codes, words, and OMOP's concept of each.
const UNITS: [(f64, i64, &[&str]); 5] = [
    (DAYS_OF_A_YEAR, 9448, &["a", "a_j", "a_g", "a_t", "y", "yr", "yrs", "year", "years"]),
    (
        DAYS_OF_A_YEAR / 12.0,
        9580,
        &["mo", "mo_j", "mo_g", "mo_s", "mos", "month", "months"],
    ),
    (7.0, 8511, &["wk", "wks", "week", "weeks"]),
    (1.0, 8512, &["d", "day", "days"]),
    (1.0 / 24.0, 8505, &["h", "hr", "hour", "hours"]),
];

/// Years in one unit of time, by UCUM's code, a word, or OMOP's concept of it; `None` for what is no time.
pub(super) fn years_in(unit: &Cell<'_>) -> Option<f64> {
    let found = match unit {
        Cell::Text(unit) => UNITS
            .iter()
            .find(|(_, _, words)| words.iter().any(|word| unit.eq_ignore_ascii_case(word))),
        Cell::Integer(concept) => UNITS.iter().find(|(_, known, _)| known == concept),
        _ => None,
    };
    found.map(|(days, ..)| days / DAYS_OF_A_YEAR)
}

/// Whether a number of such a unit is a time that nobody under 90 has lived.
pub(super) fn tells_over_89(number: &Cell<'_>, years: f64) -> bool {
    let Cell::Decimal(digits) = number else { return false };
    #[expect(clippy::cast_precision_loss, reason = "90 is exact")]
    digits.parse::<f64>().is_ok_and(|number| number * years >= OLDEST as f64)
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
    fn a_time_that_nobody_under_ninety_has_lived_is_seen_in_any_unit() {
        let text = |text: &'static str| Cell::Text(text.into());
        let check = |unit: Cell<'_>, number: &'static str| {
            let years = years_in(&unit)?;
            Some(tells_over_89(&Cell::Decimal(number.into()), years))
        };
        for (unit, under, over) in [
            (text("a"), "89.9", "90"),
            (text("Years"), "89", "93.0"),
            (text("mo"), "1079", "1080"),
            (text("wk"), "4695", "4697"),
            (text("d"), "32872", "32873"),
            (text("h"), "788939", "788941"),
            (Cell::Integer(9448), "89", "1e2"),
            (Cell::Integer(8512), "90", "40000"),
        ] {
            assert_eq!(check(unit.borrowed(), under), Some(false), "{under}");
            assert_eq!(check(unit, over), Some(true), "{over}");
        }
        for unit in [text("mm[Hg]"), text("mg/d"), text("m"), text(""), Cell::Integer(8840), Cell::Null] {
            assert_eq!(check(unit, "1000000"), None);
        }
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
