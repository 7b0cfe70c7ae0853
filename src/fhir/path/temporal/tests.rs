//! Precision kept, order left open where it is, moves that end on days that exist.

use super::*;

fn moment(text: &str) -> Temporal {
    Temporal::literal(text).unwrap_or_else(|| panic!("{text} is a literal"))
}

#[test]
fn the_written_precision_is_printed_again() {
    for text in [
        "2024",
        "2024-02",
        "2024-02-29",
        "2024-02-29T10:11:12.120+02:00",
        "2024-02-29T10:11Z",
    ] {
        assert_eq!(moment(text).to_string(), text);
    }
    assert_eq!(moment("T10:30").to_string(), "10:30");
}

#[test]
fn what_is_no_date_is_refused() {
    for text in [
        "",
        "24",
        "2024-13",
        "2023-02-29",
        "2024-1-1",
        "2024-01-01T25",
        "2024-01-01T10:00:00.",
        "T",
        "20é4",
        "2024-01-01T10:00+15:00",
        "2024T10",
    ] {
        assert!(Temporal::literal(text).is_none(), "{text}");
    }
}

#[test]
fn order_is_open_where_precision_or_zone_is_missing() {
    let compare = |a: &str, b: &str| moment(a).compare(&moment(b));
    assert_eq!(compare("2024-03", "2024-04-01"), Some(Ordering::Less));
    assert_eq!(compare("2024-03", "2024-03-01"), None);
    assert_eq!(compare("2024-03-01T10:00Z", "2024-03-01T12:00+02:00"), Some(Ordering::Equal));
    assert_eq!(compare("2024-03-01T10:00Z", "2024-03-01T12:00"), None);
    assert_eq!(compare("T10:00:00", "T10:00:00.000"), Some(Ordering::Equal));
}

#[test]
fn moving_keeps_to_days_that_exist() {
    let plus = |text: &str, amount, unit| moment(text).plus(amount, unit).map(|moved| moved.to_string());
    assert_eq!(plus("2024-01-31", 1, "month").as_deref(), Some("2024-02-29"));
    assert_eq!(plus("2024-02-29", -1, "year").as_deref(), Some("2023-02-28"));
    assert_eq!(plus("2023-12-31", 1, "day").as_deref(), Some("2024-01-01"));
    assert_eq!(plus("2024-03-01T00:00:00Z", -1, "seconds").as_deref(), Some("2024-02-29T23:59:59Z"));
    assert_eq!(plus("2024", 13, "months").as_deref(), Some("2025"));
    assert_eq!(plus("9999-12-31", 1, "day"), None);
}
