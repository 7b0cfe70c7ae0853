//! Dates as FHIR search compares them: every date is a stretch of time as long as its precision.
//! A date without a zone is taken as UTC. Basis: FHIR R4 (4.0.1), Search, 3.1.1.5.5 and the prefixes of 3.1.1.5.6.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::Value;

/// From the first moment to the one after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moments {
    from: Timestamp,
    to: Timestamp,
}

impl Moments {
    /// A moment to the millisecond.
    pub(super) fn instant(at: Timestamp) -> Self {
        Self::lasting(at, SignedDuration::from_millis(1))
    }

    fn lasting(from: Timestamp, length: SignedDuration) -> Self {
        let to = from.checked_add(length).unwrap_or(Timestamp::MAX);
        Self { from, to }
    }

    /// `2026`, `2026-03`, `2026-03-01` or a dateTime with or without seconds, a fraction of them, and a zone.
    fn parse(text: &str) -> Option<Self> {
        let Some((_, time)) = text.split_once('T') else {
            return Self::parse_date(text);
        };
        let zone = time.find(['Z', '+', '-']).unwrap_or(time.len());
        let length = match time[..zone].len() {
            5 => SignedDuration::from_mins(1),
            8 => SignedDuration::from_secs(1),
            10.. => SignedDuration::from_millis(1),
            _ => return None,
        };
        let split = text.len() - time.len() + zone;
        let seconds = if zone == 5 { ":00" } else { "" };
        let zone = if split == text.len() { "Z" } else { &text[split..] };
        let from: Timestamp = format!("{}{seconds}{zone}", &text[..split]).parse().ok()?;
        Some(Self::lasting(from, length))
    }

    fn parse_date(text: &str) -> Option<Self> {
        let (first, length) = match text.len() {
            4 => (format!("{text}-01-01"), 1.year()),
            7 => (format!("{text}-01"), 1.month()),
            10 => (text.to_owned(), 1.day()),
            _ => return None,
        };
        let first: Date = first.parse().ok()?;
        let start = |date: Date| date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).ok();
        Some(Self {
            from: start(first)?,
            to: start(first.saturating_add(length))?,
        })
    }

    /// The prefix and the moments of a search's value.
    pub(super) fn of_search(value: &str) -> Option<(&str, Self)> {
        let (prefix, date) = match value.get(..2) {
            Some(prefix @ ("eq" | "ne" | "gt" | "lt" | "ge" | "le" | "sa" | "eb" | "ap")) => (prefix, &value[2..]),
            _ => ("eq", value),
        };
        Some((prefix, Self::parse(date)?))
    }

    /// The moments of a date, a dateTime, an instant or a Period.
    pub(super) fn of_element(value: &Value) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return Self::parse(text);
        }
        let end = |name: &str| value.get(name).and_then(Value::as_str).map(Self::parse);
        let from = end("start").map_or(Some(Timestamp::MIN), |start| Some(start?.from))?;
        let to = end("end").map_or(Some(Timestamp::MAX), |end| Some(end?.to))?;
        Some(Self { from, to })
    }

    /// Whether a resource's moments are what a search's value asks for.
    pub(super) fn compare(wanted: &str, is: Self) -> bool {
        let Some((prefix, wanted)) = Self::of_search(wanted) else {
            return false;
        };
        let within = wanted.from <= is.from && is.to <= wanted.to;
        match prefix {
            "ne" => !within,
            "gt" => is.to > wanted.to,
            "lt" => is.from < wanted.from,
            "ge" => is.to > wanted.to || within,
            "le" => is.from < wanted.from || within,
            "sa" => is.from >= wanted.to,
            "eb" => is.to <= wanted.from,
            "ap" => is.from < wanted.to && wanted.from < is.to,
            _ => within,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_compared_at_the_precision_that_was_asked() {
        let is = Moments::instant("2026-07-01T03:00:00.250Z".parse().unwrap());
        for (wanted, expected) in [
            ("2026", true),
            ("2026-07-01", true),
            ("2026-07-01T03:00:00Z", true),
            ("2026-07-01T03:00", true),
            ("2026-06-30T23:00:00-04:00", true),
            ("ge2026-07-01T03:00:00.250Z", true),
            ("gt2026-07-01T03:00:00.250Z", false),
            ("gt2026-07-01T03:00:00.249Z", true),
            ("le2026-07-01T03:00:00.250Z", true),
            ("lt2026-07-01T03:00:00.250Z", false),
            ("ge2026-07-01T03:00:00Z", true),
            ("gt2026-07-01T03:00:00Z", false),
            ("ne2026-07", false),
            ("sa2026-06", true),
            ("eb2027", true),
        ] {
            assert_eq!(Moments::compare(wanted, is), expected, "{wanted}");
        }
        for odd in ["", "ge", "20260701", "2026-13", "2026-07-01T3", "yesterday", "ge2026-07-01T"] {
            assert!(Moments::of_search(odd).is_none(), "{odd}");
        }
    }
}
