//! FHIR dates keep their precision: `2024-03` is a month, not its first day. Nothing is filled in, nothing is moved to
//! another time zone: the text stays what the source wrote, the parts beside it are for reading and comparing.
//!
//! FHIR 4.0.1, "Primitive Types" (date, dateTime, instant, time); FHIRPath N1, "Comparison" for the order.

use std::cmp::Ordering;

/// How exact a value is. Fractions of a second belong to the second, as in FHIRPath.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

/// Which of FHIR's types a text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `2024`, `2024-03`, `2024-03-09`
    Date,
    /// A date, or all down to the second with a time zone.
    DateTime,
    /// All down to the second with a time zone.
    Instant,
    /// `08:30:00`, without a time zone.
    Time,
    /// A time of any precision: `08`, `08:30`
    Clock,
    /// A FHIRPath literal without its `@`: a date or dateTime of any precision, with or without a time zone
    /// (`2024-03-09T`, `2024-03-09T08:30`), or a time of any precision (`T08`).
    Literal,
}

impl Form {
    /// The form of the FHIR type of this name.
    pub fn of_type(name: &str) -> Option<Form> {
        Some(match name {
            "date" => Form::Date,
            "dateTime" => Form::DateTime,
            "instant" => Form::Instant,
            "time" => Form::Time,
            _ => return None,
        })
    }
}

/// A date, dateTime, instant or time. Has no `Display`: its text may be a patient's.
#[derive(Clone, Copy)]
pub struct DateTime<'a> {
    text: &'a str,
    precision: Precision,
    /// A time of day without a date.
    time_only: bool,
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    /// The digits behind the point.
    fraction: &'a str,
    /// Minutes east of UTC.
    offset: Option<i16>,
}

impl<'a> DateTime<'a> {
    /// `text` as a value of this form; `None` if it is not one (a thirteenth month, a 30 February, a time without zone).
    pub fn parse(text: &'a str, form: Form) -> Option<DateTime<'a>> {
        let mut reader = Reader { text, at: 0 };
        let mut value = DateTime {
            text,
            precision: Precision::Year,
            time_only: false,
            year: 0,
            month: 0,
            day: 0,
            hour: 0,
            minute: 0,
            second: 0,
            fraction: "",
            offset: None,
        };
        let literal = form == Form::Literal;
        if matches!(form, Form::Time | Form::Clock) || (literal && reader.take(b'T')) {
            value.time_only = true;
            reader.time(&mut value, form != Form::Time)?;
            return reader.is_done().then_some(value);
        }
        reader.date(&mut value)?;
        if form == Form::Date || reader.is_done() {
            return (form != Form::Instant && reader.is_done()).then_some(value);
        }
        if !reader.take(b'T') || (value.precision < Precision::Day && !literal) {
            return None;
        }
        if literal && reader.is_done() {
            return Some(value);
        }
        if value.precision < Precision::Day {
            return None;
        }
        reader.time(&mut value, literal)?;
        value.offset = reader.zone()?;
        if value.offset.is_none() && !literal {
            return None;
        }
        reader.is_done().then_some(value)
    }

    /// As it was written.
    pub fn text(&self) -> &'a str {
        self.text
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// 1 to 9999; `None` for a time.
    pub fn year(&self) -> Option<u16> {
        (!self.time_only).then_some(self.year)
    }

    /// 1 to 12, if it is known.
    pub fn month(&self) -> Option<u8> {
        (!self.time_only && self.precision >= Precision::Month).then_some(self.month)
    }

    /// 1 to 31, if it is known.
    pub fn day(&self) -> Option<u8> {
        (!self.time_only && self.precision >= Precision::Day).then_some(self.day)
    }

    /// Hour, minute and second (0 to 60), if there is a time; unknown parts are 0.
    pub fn time(&self) -> Option<(u8, u8, u8)> {
        (self.precision >= Precision::Hour).then_some((self.hour, self.minute, self.second))
    }

    /// The digits behind the second's point; empty if there are none.
    pub fn fraction(&self) -> &'a str {
        self.fraction
    }

    /// Minutes east of UTC, if a zone was written.
    pub fn offset_minutes(&self) -> Option<i16> {
        self.offset
    }

    /// The calendar date as it was written, in its own time zone: `2024-03-09`, `2024-03` or `2024`; empty for a time.
    pub fn date_text(&self) -> &'a str {
        if self.time_only {
            return "";
        }
        self.text.split('T').next().unwrap_or_default()
    }

    /// Days since 1970-01-01 of the calendar date in its own time zone, if the day is known.
    pub fn day_number(&self) -> Option<i64> {
        self.day().map(|day| days(self.year, self.month, day))
    }

    /// FHIRPath's order: `None` where it cannot be known, because one is less exact and both are equal as far as it goes,
    /// because only one of two times of day has a zone, or because one is a time without a date.
    /// A date has no zone: it is compared with the calendar date of the other, in the other's own zone.
    pub fn compare(&self, other: &DateTime<'_>) -> Option<Ordering> {
        if self.time_only != other.time_only {
            return None;
        }
        let shared = self.precision.min(other.precision);
        if shared >= Precision::Hour && self.offset.is_some() != other.offset.is_some() {
            return None;
        }
        let order = if shared >= Precision::Minute && self.offset.is_some() {
            self.utc_minutes().cmp(&other.utc_minutes())
        } else {
            self.parts(shared).cmp(&other.parts(shared))
        };
        let order = order.then_with(|| self.seconds(shared).cmp(&other.seconds(shared)));
        // As far as both go they are equal: that is an answer only if both go equally far.
        (order != Ordering::Equal || self.precision == other.precision).then_some(order)
    }

    /// The parts down to the minute, those beyond `precision` as zero.
    fn parts(&self, precision: Precision) -> [u16; 5] {
        let mut parts = [self.year, self.month.into(), self.day.into(), self.hour.into(), self.minute.into()];
        let known = (precision as usize + 1).min(parts.len());
        parts[known..].fill(0);
        parts
    }

    fn seconds(&self, precision: Precision) -> (u8, &'a str) {
        if precision < Precision::Second {
            return (0, "");
        }
        (self.second, self.fraction.trim_end_matches('0'))
    }

    fn utc_minutes(&self) -> i64 {
        let minutes = i64::from(self.hour) * 60 + i64::from(self.minute) - i64::from(self.offset.unwrap_or(0));
        days(self.year, self.month, self.day) * 1440 + minutes
    }
}

/// Never shows a value.
impl std::fmt::Debug for DateTime<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DateTime to the {:?}", self.precision)
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    /// Exactly `count` digits, as a number within the range.
    fn number(&mut self, count: usize, range: std::ops::RangeInclusive<u16>) -> Option<u16> {
        let mut number = 0;
        for byte in self.text.as_bytes().get(self.at..self.at + count)? {
            if !byte.is_ascii_digit() {
                return None;
            }
            number = number * 10 + u16::from(byte - b'0');
        }
        self.at += count;
        range.contains(&number).then_some(number)
    }

    fn two(&mut self, range: std::ops::RangeInclusive<u16>) -> Option<u8> {
        self.number(2, range).map(|number| number as u8)
    }

    fn date(&mut self, value: &mut DateTime<'a>) -> Option<()> {
        value.year = self.number(4, 1..=9999)?;
        if self.take(b'-') {
            value.month = self.two(1..=12)?;
            value.precision = Precision::Month;
            if self.take(b'-') {
                value.day = self.two(1..=month_length(value.year, value.month).into())?;
                value.precision = Precision::Day;
            }
        }
        Some(())
    }

    fn time(&mut self, value: &mut DateTime<'a>, partial: bool) -> Option<()> {
        value.hour = self.two(0..=23)?;
        value.precision = Precision::Hour;
        if !self.take(b':') {
            return partial.then_some(());
        }
        value.minute = self.two(0..=59)?;
        value.precision = Precision::Minute;
        if !self.take(b':') {
            return partial.then_some(());
        }
        // 60 is a leap second.
        value.second = self.two(0..=60)?;
        value.precision = Precision::Second;
        if self.take(b'.') {
            let rest = &self.text[self.at..];
            let length = rest.bytes().take_while(u8::is_ascii_digit).count();
            value.fraction = &rest[..length];
            self.at += length;
            return (length > 0).then_some(());
        }
        Some(())
    }

    /// `Some(None)`: no zone stands here. `None`: a bad one.
    fn zone(&mut self) -> Option<Option<i16>> {
        if self.take(b'Z') {
            return Some(Some(0));
        }
        let east = self.take(b'+');
        if !east && !self.take(b'-') {
            return Some(None);
        }
        let hours = self.number(2, 0..=14)? as i16;
        if !self.take(b':') {
            return None;
        }
        let minutes = hours * 60 + self.number(2, 0..=59)? as i16;
        if minutes > 14 * 60 {
            return None;
        }
        Some(Some(if east { minutes } else { -minutes }))
    }
}

/// 28 to 31.
pub(super) fn month_length(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1 March of the year 0 to 1970-01-01.
pub(super) const EPOCH_DAYS: i64 = 719_468;

/// Days since 1970-01-01 in the Gregorian calendar, years counted from March so that 29 February is the last day.
pub(super) fn days(year: u16, month: u8, day: u8) -> i64 {
    let month = i64::from(month);
    let year = i64::from(year) - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - EPOCH_DAYS
}

#[cfg(test)]
mod tests;
