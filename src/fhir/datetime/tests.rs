//! Dates on either side of every edge; the order against jiff.

use super::*;

fn is(form: Form, text: &str) -> bool {
    DateTime::parse(text, form).is_some()
}

#[test]
fn dates_are_a_year_a_month_or_a_day_that_exists() {
    for good in ["2024", "0001", "9999", "2024-02", "2024-02-29", "2000-02-29", "2023-12-31"] {
        assert!(is(Form::Date, good) && is(Form::DateTime, good), "{good}");
        assert!(!is(Form::Instant, good) && !is(Form::Time, good), "{good}");
    }
    for bad in [
        "",
        "0000",
        "24",
        "20240",
        "2024-",
        "2024-1",
        "2024-00",
        "2024-13",
        "2023-02-29",
        "1900-02-29",
        "2024-04-31",
        "2020-13-45",
        "2024-01-00",
        "2024-01-1",
        "2024-01-011",
        "2024/01/01",
        " 2024",
        "2024 ",
        "2024-01-01T",
        "+024",
        "２０２４",
    ] {
        assert!(!is(Form::Date, bad), "{bad}");
        assert!(!is(Form::DateTime, bad), "{bad}");
    }
    assert!(!is(Form::Date, "2024-01-01T00:00:00Z"));
}

#[test]
fn a_date_time_has_seconds_and_a_zone_or_no_time_at_all() {
    for good in [
        "2024-01-01T00:00:00Z",
        "2024-01-01T23:59:60Z",
        "2024-01-01T08:30:00.123456789012+14:00",
        "2024-01-01T08:30:00.1-00:00",
        "2024-01-01T08:30:00-13:59",
    ] {
        assert!(is(Form::DateTime, good) && is(Form::Instant, good), "{good}");
    }
    for bad in [
        "2024-01-01T08:30:00",
        "2024-01-01T08:30Z",
        "2024-01-01T08Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T08:60:00Z",
        "2024-01-01T08:00:61Z",
        "2024-01-01T08:30:00.Z",
        "2024-01-01T08:30:00+14:01",
        "2024-01-01T08:30:00+15:00",
        "2024-01-01T08:30:00+05",
        "2024-01-01T08:30:00+0500",
        "2024-01-01T08:30:00z",
        "2024-01-01 08:30:00Z",
        "2024-01-01t08:30:00Z",
        "2024-01T08:30:00Z",
        "2024-02-30T08:30:00Z",
        "2024-01-01T08:30:00ZZ",
    ] {
        assert!(!is(Form::DateTime, bad), "{bad}");
        assert!(!is(Form::Instant, bad), "{bad}");
    }
}

#[test]
fn a_time_has_seconds_and_no_zone() {
    for good in ["00:00:00", "23:59:60", "08:30:00.5"] {
        assert!(is(Form::Time, good), "{good}");
    }
    for bad in ["", "8:30:00", "08:30", "24:00:00", "08:30:00Z", "T08:30:00", "08:30:00."] {
        assert!(!is(Form::Time, bad), "{bad}");
    }
}

#[test]
fn a_literal_may_stop_anywhere() {
    for good in [
        "2024",
        "2024T",
        "2024-03T",
        "2024-03-09T",
        "2024-03-09T08",
        "2024-03-09T08:30",
        "2024-03-09T08:30+01:00",
        "2024-03-09T08:30:00.1",
        "T08",
        "T08:30",
    ] {
        assert!(is(Form::Literal, good), "{good}");
    }
    for bad in ["", "T", "2024-03T08", "T08:30Z", "2024-03-09T08:", "2024-03-09T08:30:00.1+1"] {
        assert!(!is(Form::Literal, bad), "{bad}");
    }
}

#[test]
fn the_parts_are_those_that_were_written() {
    let value = DateTime::parse("2024-03-09T08:30:15.250-05:00", Form::DateTime).expect("a dateTime");
    assert_eq!((value.year(), value.month(), value.day()), (Some(2024), Some(3), Some(9)));
    assert_eq!(
        (value.time(), value.fraction(), value.offset_minutes()),
        (Some((8, 30, 15)), "250", Some(-300))
    );
    assert_eq!((value.precision(), value.date_text()), (Precision::Second, "2024-03-09"));
    assert_eq!(value.day_number(), Some(19_791));
    let month = DateTime::parse("2024-03", Form::Date).expect("a month");
    assert_eq!(
        (month.precision(), month.day(), month.date_text(), month.day_number()),
        (Precision::Month, None, "2024-03", None)
    );
    let time = DateTime::parse("08:30:15", Form::Time).expect("a time");
    assert_eq!((time.year(), time.month(), time.date_text()), (None, None, ""));
}

#[test]
fn the_order_is_known_only_where_both_are_exact_enough() {
    use Ordering::{Equal, Greater, Less};
    for (left, right, expected) in [
        ("2024", "2025", Some(Less)),
        ("2024", "2024", Some(Equal)),
        ("2024", "2024-03", None),
        ("2024-03", "2024-03-01", None),
        ("2024-03", "2024-04-01", Some(Less)),
        ("2024-03-09", "2024-03-09T08:30:00Z", None),
        ("2024-03-09", "2024-03-10T00:30:00+01:00", Some(Less)),
        ("2024-03-09T08:30:00Z", "2024-03-09T10:30:00+02:00", Some(Equal)),
        ("2024-03-09T23:30:00-05:00", "2024-03-10T04:29:59Z", Some(Greater)),
        ("2024-03-09T08:30:00.1Z", "2024-03-09T08:30:00.10Z", Some(Equal)),
        ("2024-03-09T08:30:00Z", "2024-03-09T08:30:00.000Z", Some(Equal)),
        ("2024-03-09T08:30:00.09Z", "2024-03-09T08:30:00.1Z", Some(Less)),
        ("2024-03-09T08:30:00Z", "2024-03-09T08:30:00", None),
        ("2024-03-09T08:30", "2024-03-09T08:30:00", None),
        ("2024-03-09T08:30", "2024-03-09T08:31:00", Some(Less)),
        ("2024-03-09T08", "2024-03-09T09:00", Some(Less)),
        ("T08:30", "T08:30", Some(Equal)),
        ("T08:30", "T09", Some(Less)),
        ("T08:30", "2024", None),
    ] {
        let value = |text| DateTime::parse(text, Form::Literal).expect("a literal");
        assert_eq!(value(left).compare(&value(right)), expected, "{left} {right}");
        assert_eq!(
            value(right).compare(&value(left)),
            expected.map(Ordering::reverse),
            "{right} {left}"
        );
    }
}

#[test]
fn every_day_of_four_centuries_exists_as_jiff_says_and_has_its_number() {
    let epoch = jiff::civil::date(1970, 1, 1);
    for year in 1800..=2200i16 {
        for month in 1..=12i8 {
            for day in 27..=32i8 {
                let text = format!("{year:04}-{month:02}-{day:02}");
                let ours = DateTime::parse(&text, Form::Date).and_then(|value| value.day_number());
                let theirs = jiff::civil::Date::new(year, month, day).ok();
                let theirs = theirs.map(|date| i64::from(epoch.until(date).expect("near enough").get_days()));
                assert_eq!(ours, theirs, "{text}");
            }
        }
    }
}
