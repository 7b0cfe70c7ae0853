//! Edits of single resources as text: a value amended, an address changed, a copy with a new date, a reference moved.

use jiff::Timestamp;
use jiff::civil::Date;

use super::dice::Dice;
use super::shapes::{day, days_later};
use super::{names, span};

/// The resource as somebody amended it.
pub(super) fn edit(kind: &str, line: &str, dice: &mut Dice) -> String {
    match kind {
        "Observation" => amend(line),
        "Patient" => move_house(line, dice),
        "MedicationRequest" => span::set(line, "status", "\"stopped\""),
        _ => line.to_owned(),
    }
}

/// A corrected result: status `amended`, the value's last digit another one.
fn amend(line: &str) -> String {
    let status = if span::get_plain(line, "status") == Some("amended") {
        "\"corrected\""
    } else {
        "\"amended\""
    };
    let line = span::set(line, "status", status);
    let Some(quantity) = span::get(&line, "valueQuantity") else {
        return line;
    };
    let Some(value) = span::get(quantity, "value").and_then(another_digit) else {
        return line;
    };
    span::set(&line, "valueQuantity", &span::set(quantity, "value", &value))
}

/// `3.50` becomes `3.51`, `9` becomes `8`: as many digits as before.
fn another_digit(number: &str) -> Option<String> {
    let last = number.bytes().last().filter(u8::is_ascii_digit)?;
    if number.contains(['e', 'E']) {
        return None;
    }
    let other = if last == b'9' { '8' } else { char::from(last + 1) };
    Some(format!("{}{other}", &number[..number.len() - 1]))
}

/// The first address becomes another one.
fn move_house(line: &str, dice: &mut Dice) -> String {
    let home = names::address(dice);
    let address = format!(
        r#"[{{"use":"home","line":["{}"],"city":"{}","state":"{}","postalCode":"{}","country":"US"}}]"#,
        home.line, home.city, home.state, home.zip
    );
    span::set(line, "address", &address)
}

/// The same resource with another id and a later date.
pub(super) fn copy(line: &str, new_id: &str, dice: &mut Dice) -> String {
    let days = dice.between(1, 20);
    let mut line = span::set(line, "id", &format!("\"{new_id}\""));
    for name in ["effectiveDateTime", "issued"] {
        if let Some(date) = span::get_plain(&line, name).and_then(|date| later(date, days)) {
            line = span::set(&line, name, &format!("\"{date}\""));
        }
    }
    for name in ["effectivePeriod", "period"] {
        let Some(period) = span::get(&line, name) else { continue };
        let mut moved = period.to_owned();
        for end in ["start", "end"] {
            if let Some(date) = span::get_plain(&moved, end).and_then(|date| later(date, days)) {
                moved = span::set(&moved, end, &format!("\"{date}\""));
            }
        }
        line = span::set(&line, name, &moved);
    }
    line
}

/// A date or dateTime moved by days, at the precision it has; None where it has no day.
fn later(date_time: &str, days: i64) -> Option<String> {
    let date: Date = date_time.get(..10)?.parse().ok()?;
    Some(format!("{}{}", day(days_later(date, days)), &date_time[10..]))
}

/// The line with every reference to one patient turned to another; None if there was none.
pub(super) fn point_elsewhere(line: &str, from: &str, to: &str) -> Option<String> {
    if !line.contains(from) {
        return None;
    }
    let mut moved = line.to_owned();
    for before in ["Patient/", "urn:uuid:"] {
        for after in ["\"", "/_history/"] {
            moved = moved.replace(&format!("{before}{from}{after}"), &format!("{before}{to}{after}"));
        }
    }
    (moved != line).then_some(moved)
}

/// A patient who is another one: inactive, and replaced by them.
pub(super) fn replaced_by(line: &str, survivor: &str) -> String {
    let line = span::set(line, "active", "false");
    span::set(
        &line,
        "link",
        &format!(r#"[{{"other":{{"reference":"Patient/{survivor}"}},"type":"replaced-by"}}]"#),
    )
}

/// The next version, last updated at `at`.
pub(super) fn stamp(line: &str, at: Timestamp) -> String {
    let version = span::get(line, "meta")
        .and_then(|meta| span::get_plain(meta, "versionId"))
        .and_then(|version| version.parse::<u64>().ok())
        .unwrap_or(1);
    set_meta(line, version.saturating_add(1), at)
}

/// Version 1, last updated at `at`.
pub(super) fn first_version(line: &str, at: Timestamp) -> String {
    set_meta(line, 1, at)
}

fn set_meta(line: &str, version: u64, at: Timestamp) -> String {
    let meta = span::get(line, "meta").unwrap_or("{}");
    let meta = span::set(meta, "versionId", &format!("\"{version}\""));
    let meta = span::set(&meta, "lastUpdated", &format!("\"{}\"", instant(at)));
    span::set(line, "meta", &meta)
}

/// An instant to the millisecond, in UTC.
pub(super) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = r#"{"resourceType":"Observation","id":"o","meta":{"versionId":"3"},"status":"final","subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-02-28T10:00:00-05:00","valueQuantity":{"value":3.50,"unit":"g/dL"}}"#;

    #[test]
    fn an_amended_result_differs_in_status_value_and_version_only() {
        let at: Timestamp = "2026-07-01T02:03:04.5Z".parse().unwrap();
        let edited = stamp(&edit("Observation", RESULT, &mut Dice::new(1, 1)), at);
        let expected = RESULT.replace("final", "amended").replace("3.50", "3.51").replace(
            r#"{"versionId":"3"}"#,
            r#"{"versionId":"4","lastUpdated":"2026-07-01T02:03:04.500Z"}"#,
        );
        assert_eq!(edited, expected);
    }

    #[test]
    fn a_copy_has_a_new_id_and_a_later_date_of_the_same_shape() {
        let copied = copy(RESULT, "n", &mut Dice::new(1, 1));
        assert_eq!(span::get_plain(&copied, "id"), Some("n"));
        let date = span::get_plain(&copied, "effectiveDateTime").unwrap();
        assert!(date > "2026-02-28T10:00:00-05:00" && date.ends_with("T10:00:00-05:00"));
        assert_eq!(later("2026-02", 3), None);
        assert_eq!(later("2026-02-28", 1).unwrap(), "2026-03-01");
    }

    #[test]
    fn only_references_to_the_patient_are_moved() {
        let line =
            r#"{"id":"p1","subject":{"reference":"Patient/p1"},"a":"urn:uuid:p1","b":"Patient/p11","c":"http://x/Patient/p1/_history/2"}"#;
        let moved = point_elsewhere(line, "p1", "p2").unwrap();
        assert_eq!(
            moved,
            r#"{"id":"p1","subject":{"reference":"Patient/p2"},"a":"urn:uuid:p2","b":"Patient/p11","c":"http://x/Patient/p2/_history/2"}"#
        );
        assert_eq!(point_elsewhere(r#"{"id":"p1"}"#, "p1", "p2"), None);
    }
}
