//! Which of two versions of a resource is the later one, by `meta.lastUpdated`.
//! Servers write instants with different offsets and precision, so texts do not sort as moments do.

use std::cmp::Ordering;

use crate::fhir::datetime::{DateTime, Form};

/// What of `meta.lastUpdated` may be kept: the text if it is a moment, nothing if it is anything else.
pub(super) fn of(last_updated: &str) -> &str {
    DateTime::parse(last_updated, Form::Literal).map_or("", |_| last_updated)
}

/// Whether `version` is later than `earlier`: as moments; as texts where precision or zone leaves it open.
/// What says when it is is later than what does not say.
pub(super) fn is_later(version: &str, earlier: &str) -> bool {
    match (DateTime::parse(version, Form::Literal), DateTime::parse(earlier, Form::Literal)) {
        (Some(new), Some(old)) => new.compare(&old).map_or(version > earlier, |order| order == Ordering::Greater),
        (new, None) => new.is_some(),
        (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_their_moments_whatever_their_offset_and_precision() {
        for (earlier, later) in [
            ("2026-03-01T10:00:00+02:00", "2026-03-01T09:00:00Z"),
            ("2026-03-01T23:30:00-01:00", "2026-03-02T01:00:00+00:00"),
            ("2026-03-01T08:00:00Z", "2026-03-01T08:00:00.001Z"),
            ("2026-03-01T08:00:00.9Z", "2026-03-01T08:00:01Z"),
            ("2026-03-01T08:00:00.1Z", "2026-03-01T08:00:00.11Z"),
            ("2026-03-01", "2026-03-02T00:00:00Z"),
            ("2026-03-01", "2026-03-01T10:00:00Z"),
            ("", "2026-03-01T08:00:00Z"),
            ("yesterday", "1970-01-01T00:00:00Z"),
        ] {
            assert!(is_later(later, earlier), "{later} is later than {earlier}");
            assert!(!is_later(earlier, later), "{earlier} is not later than {later}");
        }
    }

    #[test]
    fn the_same_moment_written_in_two_ways_is_not_later() {
        for (one, other) in [
            ("2026-03-01T10:00:00+02:00", "2026-03-01T08:00:00Z"),
            ("2026-03-01T08:00:00.10Z", "2026-03-01T08:00:00.1Z"),
            ("2026-03-01T08:00:00+00:00", "2026-03-01T08:00:00Z"),
            ("", ""),
            ("", "never"),
        ] {
            assert!(!is_later(one, other) && !is_later(other, one), "{one} and {other}");
        }
    }

    #[test]
    fn only_a_moment_is_kept_of_what_stands_in_last_updated() {
        assert_eq!(of("2026-03-01T08:00:00.123+01:00"), "2026-03-01T08:00:00.123+01:00");
        for other in ["", "Smith", "2026-13-01T00:00:00Z", "2026-03-01T08:00:00Z Smith"] {
            assert_eq!(of(other), "", "{other}");
        }
    }
}
