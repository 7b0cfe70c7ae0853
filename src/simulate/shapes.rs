//! The small shapes FHIR R4 resources are made of: meta, coding, quantity, reference, narrative, dates with an offset.
//! Knows no clinic and no patient.

use jiff::civil::{Date, DateTime};

use super::json::{Decimal, Json, list, object};

/// A moment at the clinic, in its local time.
pub(super) type Moment = DateTime;

const US_CORE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/";

/// `meta` with version 1, naming a US Core profile.
pub(super) fn meta(profile: &str, updated: Moment) -> Json {
    object! {
        "versionId": "1",
        "lastUpdated": instant(updated),
        "profile": list![format!("{US_CORE}{profile}")],
    }
}

/// `meta` of a resource type for which US Core has no profile.
pub(super) fn bare_meta(updated: Moment) -> Json {
    object! { "versionId": "1", "lastUpdated": instant(updated) }
}

/// The canonical url of a US Core extension or profile.
pub(super) fn us_core(name: &str) -> String {
    format!("{US_CORE}{name}")
}

pub(super) fn coding(system: &str, code: &str, display: &str) -> Json {
    object! { "system": system, "code": code, "display": display }
}

/// A CodeableConcept of one coding, its display as text.
pub(super) fn concept(system: &str, code: &str, display: &str) -> Json {
    object! { "coding": list![coding(system, code, display)], "text": display }
}

/// A CodeableConcept of HL7's own terminology: `hl7("condition-clinical", "active", "Active")`.
pub(super) fn hl7(system: &str, code: &str, display: &str) -> Json {
    object! { "coding": list![coding(&format!("http://terminology.hl7.org/CodeSystem/{system}"), code, display)] }
}

pub(super) fn quantity(value: Decimal, unit: &str) -> Json {
    object! { "value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit }
}

pub(super) fn reference(kind: &str, id: &str) -> Json {
    object! { "reference": format!("{kind}/{id}") }
}

pub(super) fn named_reference(kind: &str, id: &str, display: &str) -> Json {
    object! { "reference": format!("{kind}/{id}"), "display": display }
}

/// A generated narrative of paragraphs; the texts must not need escaping in XHTML.
pub(super) fn narrative(paragraphs: &[String]) -> Json {
    let mut div = String::from("<div xmlns=\"http://www.w3.org/1999/xhtml\">");
    for paragraph in paragraphs {
        div.push_str("<p>");
        div.push_str(paragraph);
        div.push_str("</p>");
    }
    div.push_str("</div>");
    object! { "status": "generated", "div": div }
}

/// A dateTime with the clinic's offset: `2026-03-05T09:30:00-05:00`.
pub(super) fn date_time(moment: Moment) -> String {
    format!("{}-{:02}:00", moment.strftime("%Y-%m-%dT%H:%M:%S"), hours_behind(moment))
}

/// An instant in UTC with milliseconds.
pub(super) fn instant(moment: Moment) -> String {
    let utc = moment.saturating_add(jiff::Span::new().hours(hours_behind(moment)));
    format!("{}.000Z", utc.strftime("%Y-%m-%dT%H:%M:%S"))
}

pub(super) fn day(date: Date) -> String {
    date.strftime("%Y-%m-%d").to_string()
}

pub(super) fn minutes_later(moment: Moment, minutes: i64) -> Moment {
    moment.saturating_add(jiff::Span::new().minutes(minutes))
}

pub(super) fn days_later(date: Date, days: i64) -> Date {
    date.saturating_add(jiff::Span::new().days(days))
}

/// Days from one date to a later one.
pub(super) fn day_count(from: Date, to: Date) -> i32 {
    (to - from).get_days()
}

/// Eastern time, near enough: summer time from April to October.
fn hours_behind(moment: Moment) -> i64 {
    if (4..=10).contains(&moment.month()) { 4 } else { 5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_same_instant_in_both_spellings() {
        for (moment, local, utc) in [
            (
                jiff::civil::datetime(2026, 1, 31, 21, 5, 9, 0),
                "2026-01-31T21:05:09-05:00",
                "2026-02-01T02:05:09.000Z",
            ),
            (
                jiff::civil::datetime(2026, 7, 1, 8, 0, 0, 0),
                "2026-07-01T08:00:00-04:00",
                "2026-07-01T12:00:00.000Z",
            ),
        ] {
            assert_eq!((date_time(moment).as_str(), instant(moment).as_str()), (local, utc));
        }
    }
}
