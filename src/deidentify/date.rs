//! Moves every date of one person by the same secret number of days, or leaves its year.
//! Knows nothing of tables: `policy` says which columns are dates; `pseudonym` says how many days.
//! Basis: shifted dates are full dates, for the limited data set, 45 CFR 164.514(e); Safe Harbor leaves the year,
//! 164.514(b)(2)(i)(C).
//!
//! A month or a year cannot move by days: under `shift` it becomes the year in which its middle falls after the shift
//! (the 15th of the month; the second of July). Time of day never leaves.

use std::fmt::Write;

use jiff::civil::Date;
use jiff::{Span, ToSpan};

use crate::cdm::date::is_partial_date;

/// The months as English spells them, in lower case.
pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A date as precise as its source: `month` and `day` are 0 where the source did not say.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Partial {
    pub year: i16,
    pub month: i8,
    pub day: i8,
}

impl Partial {
    /// The date part of a FHIR date, dateTime or instant.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let date = text.split_once('T').map_or(text, |(date, _)| date);
        if !is_partial_date(date) {
            return None;
        }
        let number = |range: std::ops::Range<usize>| date.get(range).and_then(|digits| digits.parse::<i16>().ok());
        let small = |range| number(range).and_then(|number| i8::try_from(number).ok()).unwrap_or(0);
        Some(Self {
            year: number(0..4)?,
            month: small(5..7),
            day: small(8..10),
        })
    }

    /// As 32 bits, for a person's record; 0 is no date.
    pub(super) fn pack(self) -> u32 {
        (u32::from(self.year.unsigned_abs()) << 9) | (u32::from(self.month.unsigned_abs()) << 5) | u32::from(self.day.unsigned_abs())
    }

    /// The date of `pack`.
    pub(super) fn unpack(bits: u32) -> Option<Self> {
        let small = |bits: u32| i8::try_from(bits).unwrap_or(0);
        (bits != 0).then(|| Self {
            year: i16::try_from(bits >> 9).unwrap_or(0),
            month: small((bits >> 5) & 15),
            day: small(bits & 31),
        })
    }

    pub(super) fn is_full(self) -> bool {
        self.day != 0
    }

    /// The date `days` later; a partial date becomes a year. `None` outside the calendar.
    pub(super) fn shifted(self, days: i32) -> Option<Self> {
        let middle = match (self.month, self.day) {
            (0, _) => Date::new(self.year, 7, 2),
            (month, 0) => Date::new(self.year, month, 15),
            (month, day) => Date::new(self.year, month, day),
        };
        let span: Span = days.days();
        let moved = middle.ok()?.checked_add(span).ok()?;
        (moved.year() > 0).then(|| Self {
            year: moved.year(),
            month: if self.is_full() { moved.month() } else { 0 },
            day: if self.is_full() { moved.day() } else { 0 },
        })
    }

    /// Appends YYYY, YYYY-MM or YYYY-MM-DD.
    pub(super) fn write(self, out: &mut String) {
        match u16::try_from(self.year) {
            Ok(year @ 0..=9999) => [year / 1000, year / 100, year / 10, year]
                .iter()
                .for_each(|part| digit(out, part % 10)),
            _ => {
                let written = write!(out, "{:04}", self.year);
                debug_assert!(written.is_ok(), "writing to a String cannot fail");
            }
        }
        let parts = [self.month, self.day].map(|part| u16::from(part.unsigned_abs()));
        for part in parts.into_iter().take_while(|part| *part > 0) {
            out.push('-');
            digit(out, part / 10);
            digit(out, part % 10);
        }
    }
}

fn digit(out: &mut String, digit: u16) {
    out.push(char::from(b'0' + digit as u8));
}

/// The shift of `-most ..= most` days that 64 secret bits choose; by whole weeks, the same within that bound.
pub(super) fn shift_days(secret: u64, most: u16, weeks: bool) -> i32 {
    let step = if weeks { 7 } else { 1 };
    let most = most / step;
    // 2^64 is so much more than 2N+1 that the remainder is even to one part in 2^48.
    let width = 2 * u64::from(most) + 1;
    i32::from(step) * (i32::try_from(secret % width).unwrap_or(0) - i32::from(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shifted(text: &str, days: i32) -> Option<String> {
        let mut out = String::new();
        Partial::parse(text)?.shifted(days)?.write(&mut out);
        Some(out)
    }

    #[test]
    fn a_full_date_moves_and_its_time_stays_behind() {
        for (text, days, expected) in [
            ("2024-02-28", 1, "2024-02-29"),
            ("2023-02-28", 1, "2023-03-01"),
            ("2024-01-01T23:59:59-05:00", -1, "2023-12-31"),
            ("2024-12-31", 182, "2025-07-01"),
            ("2024-06-15", 0, "2024-06-15"),
        ] {
            assert_eq!(shifted(text, days).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_partial_date_becomes_the_year_of_its_moved_middle() {
        assert_eq!(shifted("2024-01", -15).as_deref(), Some("2023"));
        assert_eq!(shifted("2024-01", -14).as_deref(), Some("2024"));
        assert_eq!(shifted("2024", 182).as_deref(), Some("2024"));
        assert_eq!(shifted("2024", 183).as_deref(), Some("2025"));
    }

    #[test]
    fn what_is_no_date_is_not_guessed_at() {
        for text in [
            "",
            "2024-13",
            "2023-02-29",
            "03/04/2010",
            "2024-01-01 10:00",
            "yesterday",
            "9999-12-31x",
        ] {
            assert_eq!(shifted(text, 1), None, "{text}");
        }
        assert_eq!(shifted("9999-12-31", 1), None, "the calendar ends");
        assert_eq!(shifted("0001-01-01", -1), None, "the calendar begins");
    }

    #[test]
    fn every_shift_within_the_bound_is_reached_and_none_beyond() {
        let seen: std::collections::BTreeSet<i32> = (0..1000).map(|secret| shift_days(secret, 3, false)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [-3, -2, -1, 0, 1, 2, 3]);
        let weeks: std::collections::BTreeSet<i32> = (0..1000).map(|secret| shift_days(secret, 20, true)).collect();
        assert_eq!(weeks.into_iter().collect::<Vec<_>>(), [-14, -7, 0, 7, 14]);
    }

    proptest! {
        #[test]
        fn intervals_between_two_dates_survive_the_shift(
            a in (1900i16..2100, 1i8..=12, 1i8..=28), b in (1900i16..2100, 1i8..=12, 1i8..=28), days in -400i32..=400
        ) {
            let plain = |(y, m, d): (i16, i8, i8)| Date::new(y, m, d).expect("a day every month has");
            let moved = |(year, month, day): (i16, i8, i8)| {
                let to = Partial { year, month, day }.shifted(days).expect("inside the calendar");
                plain((to.year, to.month, to.day))
            };
            prop_assert_eq!((plain(a) - plain(b)).get_days(), (moved(a) - moved(b)).get_days());
        }

        #[test]
        fn a_packed_date_is_the_same_date(year in 1i16..=9999, month in 0i8..=12, day in 0i8..=31) {
            let date = Partial { year, month, day };
            prop_assert!(Partial::unpack(date.pack()) == Some(date));
        }
    }
}
