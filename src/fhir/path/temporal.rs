//! Dates, dateTimes and times with the precision they were written in: parse, compare, move, and print.
//! Basis: FHIRPath 2.0, "Date, DateTime, Time" and "Comparison"; boundaries are in `boundary`.

use std::cmp::Ordering;
use std::fmt;

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
    pub year: i32,
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
    const START: Temporal = Temporal {
        sort: Sort::Date,
        precision: Precision::Year,
        year: 1,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        nanosecond: 0,
        places: 0,
        zone: None,
    };

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
        let bytes = text.as_bytes();
        let mut date = Self::START;
        date.year = i32::try_from(number(bytes, 0, 4)?).ok().filter(|&year| year > 0)?;
        if bytes.len() == 4 {
            return Some(date);
        }
        date.month = part(bytes, b'-', 4, 1, 12)?;
        date.precision = Precision::Month;
        if bytes.len() == 7 {
            return Some(date);
        }
        date.day = part(bytes, b'-', 7, 1, days_in_month(date.year, date.month))?;
        date.precision = Precision::Day;
        (bytes.len() == 10).then_some(date)
    }

    /// A date, or a date, `T` and as much time as was known, with or without a zone.
    pub fn date_time(text: &str) -> Option<Self> {
        let (date, time) = match text.find('T') {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, ""),
        };
        let mut moment = Self::date(date)?;
        moment.sort = Sort::DateTime;
        if time.is_empty() {
            return Some(moment);
        }
        let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
        let (clock, zone) = time.split_at(zone_at);
        moment.read_clock(clock)?;
        moment.zone = match zone.as_bytes() {
            [] => None,
            [b'Z'] => Some(0),
            [sign, digits @ ..] if digits.len() == 5 => {
                let hours = i16::try_from(number(digits, 0, 2)?).ok().filter(|&hours| hours <= 14)?;
                let minutes = i16::from(part(digits, b':', 2, 0, 59)?);
                Some((hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 })
            }
            _ => return None,
        };
        Some(moment)
    }

    /// `hh`, `hh:mm`, `hh:mm:ss`, `hh:mm:ss.fff`
    pub fn time(text: &str) -> Option<Self> {
        let mut time = Self {
            sort: Sort::Time,
            ..Self::START
        };
        time.read_clock(text)?;
        Some(time)
    }

    fn read_clock(&mut self, text: &str) -> Option<()> {
        let bytes = text.as_bytes();
        self.hour = u8::try_from(number(bytes, 0, 2)?).ok().filter(|&hour| hour < 24)?;
        self.precision = Precision::Hour;
        if bytes.len() > 2 {
            self.minute = part(bytes, b':', 2, 0, 59)?;
            self.precision = Precision::Minute;
        }
        if bytes.len() > 5 {
            self.second = part(bytes, b':', 5, 0, 60)?;
            self.precision = Precision::Second;
        }
        if bytes.len() > 8 {
            let fraction = text.get(8..)?.strip_prefix('.').filter(|digits| !digits.is_empty())?;
            let mut nanosecond = 0;
            for at in 0..9 {
                let digit = fraction.as_bytes().get(at).copied().unwrap_or(b'0');
                nanosecond = nanosecond * 10 + u32::from(digit.is_ascii_digit().then(|| digit - b'0')?);
            }
            if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            self.nanosecond = nanosecond;
            self.places = u8::try_from(fraction.len().min(9)).unwrap_or(9);
            self.precision = Precision::Fraction;
        }
        matches!(bytes.len(), 2 | 5 | 8 | 10..).then_some(())
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
        moved.year = i32::try_from(total.div_euclid(12)).ok().filter(|year| (1..=9999).contains(year))?;
        moved.month = u8::try_from(total.rem_euclid(12) + 1).ok()?;
        moved.day = moved.day.min(days_in_month(moved.year, moved.month));
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
            days_from_civil(self.year, self.month, self.day)
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

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    bytes
        .get(at..at + length)?
        .iter()
        .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

fn part(bytes: &[u8], sign: u8, at: usize, least: u8, most: u8) -> Option<u8> {
    if bytes.get(at) != Some(&sign) {
        return None;
    }
    u8::try_from(number(bytes, at + 1, 2)?)
        .ok()
        .filter(|part| (least..=most).contains(part))
}

pub(super) fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 0000-03-01 of the Gregorian calendar without a beginning.
fn days_from_civil(year: i32, month: u8, day: u8) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let month = (i64::from(month) + 9) % 12;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + i64::from(day) - 1
}

fn civil_from_days(days: i64) -> Option<(i32, u8, u8)> {
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let year = i32::try_from(year).ok().filter(|year| (1..=9999).contains(year))?;
    Some((year, u8::try_from(month).ok()?, u8::try_from(day).ok()?))
}

#[cfg(test)]
mod tests;
