//! `headwater/date`: FHIR's dates and moments as tables hold them.
//! Wall clock means the day and time as the source wrote them, its offset left out; `utc-…` counts the offset in first.

use std::borrow::Cow;

use jiff::civil;

use crate::cdm::Cell;

/// What a date becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateForm {
    /// The calendar date, of the precision it has.
    Date,
    /// YYYY-MM-DDThh:mm:ss; a date alone begins at midnight, a partial one gives nothing.
    DateTime,
    UtcDate,
    UtcDateTime,
    /// hh:mm; nothing where no time is told.
    Time,
}

impl DateForm {
    pub(super) const WORDS: [(&'static str, DateForm); 5] = [
        ("date", DateForm::Date),
        ("datetime", DateForm::DateTime),
        ("utc-date", DateForm::UtcDate),
        ("utc-datetime", DateForm::UtcDateTime),
        ("time", DateForm::Time),
    ];
}

/// The text of a date, dateTime, instant or time in the form; other cells as they are.
pub(super) fn cut(cell: Cell<'_>, form: DateForm) -> Cell<'_> {
    let Cell::Text(text) = cell else { return cell };
    let cut = match form {
        DateForm::Date => Some(day(text)),
        DateForm::DateTime => match text {
            Cow::Borrowed(text) => moment(text),
            Cow::Owned(text) => moment(&text).map(|moment| Cow::Owned(moment.into_owned())),
        },
        DateForm::UtcDate => Some(in_utc(&text).map_or_else(|| day(text.clone()), |utc| Cow::Owned(utc.date().to_string()))),
        DateForm::UtcDateTime => match in_utc(&text) {
            Some(utc) => Some(Cow::Owned(utc.strftime("%Y-%m-%dT%H:%M:%S").to_string())),
            None => moment(&text).map(|moment| Cow::Owned(moment.into_owned())),
        },
        DateForm::Time => time(&text).map(|time| Cow::Owned(time.to_owned())),
    };
    cut.map_or(Cell::Null, Cell::Text)
}

fn day(text: Cow<'_, str>) -> Cow<'_, str> {
    let end = before_time(&text);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// Where the time of a moment begins. Texts this short are quicker looked through byte by byte.
fn before_time(text: &str) -> usize {
    text.bytes().position(|byte| byte == b'T').unwrap_or(text.len())
}

/// The wall clock to the second.
fn moment(text: &str) -> Option<Cow<'_, str>> {
    let end = before_time(text);
    if end != 10 {
        return None;
    }
    match text.len() {
        ..=11 => Some(Cow::Owned([&text[..end], "T00:00:00"].concat())),
        _ => text.get(..19).map(Cow::Borrowed),
    }
}

/// hh:mm of a moment, or of a time alone.
fn time(text: &str) -> Option<&str> {
    let time = match text.split_once('T') {
        Some((_, time)) => time,
        None if text.get(2..3) == Some(":") => text,
        None => return None,
    };
    time.get(..5)
}

/// The moment in UTC; `None` when the text tells no offset.
fn in_utc(text: &str) -> Option<civil::DateTime> {
    let (_, rest) = text.split_once('T')?;
    let sign = rest.find(['Z', '+', '-'])?;
    let clock: civil::DateTime = moment(text)?.parse().ok()?;
    let offset = rest.get(sign..)?;
    let number = |range| offset.get(range).and_then(|digits: &str| digits.parse::<i64>().ok());
    let minutes = match offset {
        "Z" => 0,
        _ => number(1..3)? * 60 + number(4..6)?,
    };
    let minutes = if offset.starts_with('-') { -minutes } else { minutes };
    clock.checked_sub(jiff::Span::new().minutes(minutes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(text: &str) -> [String; 5] {
        DateForm::WORDS.map(|(_, form)| match cut(Cell::Text(text.into()), form) {
            Cell::Text(text) => text.into_owned(),
            _ => String::new(),
        })
    }

    #[test]
    fn a_moment_is_the_wall_clock_or_utc() {
        assert_eq!(
            forms("2024-03-01T02:30:59.123+05:30"),
            ["2024-03-01", "2024-03-01T02:30:59", "2024-02-29", "2024-02-29T21:00:59", "02:30"]
        );
        assert_eq!(
            forms("2024-12-31T23:00:00-02:00"),
            ["2024-12-31", "2024-12-31T23:00:00", "2025-01-01", "2025-01-01T01:00:00", "23:00"]
        );
        assert_eq!(
            forms("2024-03-01T02:30:59Z"),
            ["2024-03-01", "2024-03-01T02:30:59", "2024-03-01", "2024-03-01T02:30:59", "02:30"]
        );
    }

    #[test]
    fn what_the_source_does_not_tell_is_not_made_up() {
        assert_eq!(
            forms("2024-03-01"),
            ["2024-03-01", "2024-03-01T00:00:00", "2024-03-01", "2024-03-01T00:00:00", ""]
        );
        assert_eq!(forms("2024-03"), ["2024-03", "", "2024-03", "", ""]);
        assert_eq!(forms("2024"), ["2024", "", "2024", "", ""]);
        assert_eq!(forms("08:15:00")[4], "08:15");
    }
}
