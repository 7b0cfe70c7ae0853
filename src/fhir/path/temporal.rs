//! Dates, dateTimes and times with the precision they were written in: compare, move, and print; `datetime` reads them.
//! Basis: FHIRPath 2.0, "Date, DateTime, Time" and "Comparison"; boundaries are in `boundary`.

use std::cmp::Ordering;
use std::fmt;

use crate::fhir::datetime::{self, DateTime, Form, days, month_length};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Date,
    DateTime,
    Time,
}

/// How far the written form goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// A fraction of a second was written.
    Fraction,
}

#[derive(Clone, Copy, Debug)]
pub struct Temporal {
    pub sort: Sort,
    pub precision: Precision,
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub nanosecond: u32,
    /// Digits of the fraction that were written.
    pub places: u8,
    /// Minutes east of UTC.
    pub zone: Option<i16>,
}

impl Temporal {
    /// A FHIRPath literal without its `@`: `2024-03`, `2024-03-01T`, `T10:00`.
    pub fn literal(text: &str) -> Option<Self> {
        match text.strip_prefix('T') {
            Some(time) => Self::time(time),
            None if text.contains('T') => Self::date_time(text),
            None => Self::date(text),
        }
    }

    /// `YYYY`, `YYYY-MM`, `YYYY-MM-DD`
    pub fn date(text: &str) -> Option<Self> {
        Some(Self::of(DateTime::parse(text, Form::Date)?, Sort::Date))
    }

    /// A date, or a date, `T` and as much time as was known, with or without a zone.
    pub fn date_time(text: &str) -> Option<Self> {
        let read = DateTime::parse(text, Form::Literal).filter(|read| read.year().is_some())?;
        Some(Self::of(read, Sort::DateTime))
    }

    /// `hh`, `hh:mm`, `hh:mm:ss`, `hh:mm:ss.fff`
    pub fn time(text: &str) -> Option<Self> {
        Some(Self::of(DateTime::parse(text, Form::Clock)?, Sort::Time))
    }

    /// What was read; parts that were not written are the first of their kind.
    fn of(read: DateTime<'_>, sort: Sort) -> Self {
        let (hour, minute, second) = read.time().unwrap_or_default();
        let fraction = read.fraction();
        let digits = fraction.bytes().map(|digit| u32::from(digit - b'0')).chain(std::iter::repeat(0));
        Self {
            sort,
            precision: match read.precision() {
                datetime::Precision::Year => Precision::Year,
                datetime::Precision::Month => Precision::Month,
                datetime::Precision::Day => Precision::Day,
                datetime::Precision::Hour => Precision::Hour,
                datetime::Precision::Minute => Precision::Minute,
                datetime::Precision::Second if fraction.is_empty() => Precision::Second,
                datetime::Precision::Second => Precision::Fraction,
            },
            year: read.year().unwrap_or(1),
            month: read.month().unwrap_or(1),
            day: read.day().unwrap_or(1),
            hour,
            minute,
            second,
            nanosecond: digits.take(9).fold(0, |sum, digit| sum * 10 + digit),
            places: fraction.len().min(9) as u8,
            zone: read.offset_minutes(),
        }
    }

    /// Before, same or after; `None` where the precision or a missing zone leaves it open.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let (mut a, mut b) = (*self, *other);
        let timed = |moment: &Self| moment.sort == Sort::DateTime && moment.precision >= Precision::Hour;
        if timed(&a) && timed(&b) && a.zone != b.zone {
            match (a.zone, b.zone) {
                (Some(_), Some(_)) => {
                    a = a.in_utc();
                    b = b.in_utc();
                }
                _ => return None,
            }
        }
        let pairs = [
            (Precision::Year, i64::from(a.year), i64::from(b.year)),
            (Precision::Month, a.month.into(), b.month.into()),
            (Precision::Day, a.day.into(), b.day.into()),
            (Precision::Hour, a.hour.into(), b.hour.into()),
            (Precision::Minute, a.minute.into(), b.minute.into()),
            (Precision::Second, a.second.into(), b.second.into()),
            (Precision::Fraction, a.nanosecond.into(), b.nanosecond.into()),
        ];
        for (precision, a_part, b_part) in pairs {
            // Seconds and their fraction count as one precision.
            let needed = precision.min(Precision::Second);
            match (a.precision >= needed, b.precision >= needed) {
                (true, true) => {}
                (false, false) => return Some(Ordering::Equal),
                _ => return None,
            }
            match a_part.cmp(&b_part) {
                Ordering::Equal => {}
                order => return Some(order),
            }
        }
        Some(Ordering::Equal)
    }

    fn in_utc(self) -> Self {
        let zone = self.zone.unwrap_or(0);
        let mut moved = self.plus_milliseconds(-i128::from(zone) * 60_000).unwrap_or(self);
        moved.zone = Some(0);
        moved
    }

    /// Moved by so many of `unit` (`year`, `months`, `'s'`, …), whole units of the precision only.
    pub fn plus(self, amount: i64, unit: &str) -> Option<Self> {
        let months = match unit {
            "year" | "years" => amount.checked_mul(12)?,
            "month" | "months" => amount,
            _ => {
                let milliseconds: i128 = match unit {
                    "week" | "weeks" | "wk" => 604_800_000,
                    "day" | "days" | "d" => 86_400_000,
                    "hour" | "hours" | "h" => 3_600_000,
                    "minute" | "minutes" | "min" => 60_000,
                    "second" | "seconds" | "s" => 1000,
                    "millisecond" | "milliseconds" | "ms" => 1,
                    _ => return None,
                };
                return self.plus_days_or_less(i128::from(amount) * milliseconds);
            }
        };
        if self.sort == Sort::Time {
            return None;
        }
        let months = if self.precision == Precision::Year {
            months / 12 * 12
        } else {
            months
        };
        let total = i64::from(self.year) * 12 + i64::from(self.month) - 1 + months;
        let mut moved = self;
        moved.year = u16::try_from(total.div_euclid(12)).ok().filter(|year| (1..=9999).contains(year))?;
        moved.month = u8::try_from(total.rem_euclid(12) + 1).ok()?;
        moved.day = moved.day.min(month_length(moved.year, moved.month));
        Some(moved)
    }

    fn plus_days_or_less(self, milliseconds: i128) -> Option<Self> {
        const DAY: i128 = 86_400_000;
        // A coarser value moves by whole units of its own precision: 2014 + 24 months, 2014-01 + 30 days.
        match self.precision {
            Precision::Year => self.plus(i64::try_from(milliseconds / (365 * DAY)).ok()?, "years"),
            Precision::Month => self.plus(i64::try_from(milliseconds / (30 * DAY)).ok()?, "months"),
            Precision::Day => self.plus_milliseconds(milliseconds / DAY * DAY),
            Precision::Hour => self.plus_milliseconds(milliseconds / 3_600_000 * 3_600_000),
            Precision::Minute => self.plus_milliseconds(milliseconds / 60_000 * 60_000),
            Precision::Second | Precision::Fraction => {
                let mut moved = self.plus_milliseconds(milliseconds)?;
                if moved.precision == Precision::Second && moved.nanosecond != 0 {
                    moved.precision = Precision::Fraction;
                    moved.places = 3;
                }
                Some(moved)
            }
        }
    }

    fn plus_milliseconds(self, milliseconds: i128) -> Option<Self> {
        let second_of_day = i128::from(self.hour) * 3600 + i128::from(self.minute) * 60 + i128::from(self.second);
        let days = if self.sort == Sort::Time {
            0
        } else {
            days(self.year, self.month, self.day)
        };
        let total = (i128::from(days) * 86_400 + second_of_day) * 1_000_000_000 + i128::from(self.nanosecond) + milliseconds * 1_000_000;
        let (days, rest) = (total.div_euclid(86_400_000_000_000), total.rem_euclid(86_400_000_000_000));
        let mut moved = self;
        if self.sort != Sort::Time {
            (moved.year, moved.month, moved.day) = civil_from_days(i64::try_from(days).ok()?)?;
        }
        moved.nanosecond = u32::try_from(rest % 1_000_000_000).ok()?;
        let seconds = rest / 1_000_000_000;
        moved.hour = u8::try_from(seconds / 3600).ok()?;
        moved.minute = u8::try_from(seconds / 60 % 60).ok()?;
        moved.second = u8::try_from(seconds % 60).ok()?;
        Some(moved)
    }
}

impl fmt::Display for Temporal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sort != Sort::Time {
            write!(f, "{:04}", self.year)?;
            if self.precision >= Precision::Month {
                write!(f, "-{:02}", self.month)?;
            }
            if self.precision >= Precision::Day {
                write!(f, "-{:02}", self.day)?;
            }
            if self.precision >= Precision::Hour {
                f.write_str("T")?;
            }
        }
        if self.precision >= Precision::Hour {
            write!(f, "{:02}", self.hour)?;
        }
        if self.precision >= Precision::Minute {
            write!(f, ":{:02}", self.minute)?;
        }
        if self.precision >= Precision::Second {
            write!(f, ":{:02}", self.second)?;
        }
        if self.precision == Precision::Fraction {
            let digits = format!("{:09}", self.nanosecond);
            write!(f, ".{}", &digits[..usize::from(self.places).clamp(1, 9)])?;
        }
        match self.zone {
            Some(0) => f.write_str("Z"),
            Some(zone) => write!(
                f,
                "{}{:02}:{:02}",
                if zone < 0 { '-' } else { '+' },
                zone.unsigned_abs() / 60,
                zone.unsigned_abs() % 60
            ),
            None => Ok(()),
        }
    }
}

/// The calendar date so many days after 1970-01-01: `days` the other way round.
fn civil_from_days(days: i64) -> Option<(u16, u8, u8)> {
    let days = days + datetime::EPOCH_DAYS;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let year = u16::try_from(year).ok().filter(|year| (1..=9999).contains(year))?;
    Some((year, u8::try_from(month).ok()?, u8::try_from(day).ok()?))
}

#[cfg(test)]
mod tests;
