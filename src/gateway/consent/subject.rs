//! Whose a resource is, and when it happened, by its own elements: before it is validated, so that what is refused is known
//! to be somebody's, too. FHIR 4.0.1: the elements that refer to the patient, and those of the pattern `FiveWs.done[x]` and,
//! where there is none, "FiveWs.recorded".

use std::sync::LazyLock;

use jiff::civil::Date;

use super::leave::When;
use crate::fhir::datetime::{DateTime, Form};
use crate::fhir::name::Name;
use crate::fhir::reference::Reference;
use crate::fhir::tree::{Kind, Node};

static SUBJECTS: LazyLock<[Name; 5]> = LazyLock::new(|| ["subject", "patient", "beneficiary", "individual", "for"].map(Name::of));

/// When it happened first, then when it was written down.
const MOMENTS: [&str; 37] = [
    "occurrenceDateTime",
    "occurrencePeriod",
    "occurrenceTiming",
    "effectiveDateTime",
    "effectivePeriod",
    "effectiveInstant",
    "effectiveTiming",
    "performedDateTime",
    "performedPeriod",
    "onsetDateTime",
    "onsetPeriod",
    "period",
    "started",
    "whenHandedOver",
    "whenPrepared",
    "timingDateTime",
    "timingPeriod",
    "servicedDate",
    "servicedPeriod",
    "billablePeriod",
    "executionPeriod",
    "assertedDate",
    "start",
    "collection",
    "date",
    "authoredOn",
    "recordedDate",
    "recorded",
    "dateTime",
    "dateAsserted",
    "authored",
    "issued",
    "created",
    "sent",
    "receivedTime",
    "detected",
    "statusDate",
];

static RANKS: LazyLock<Vec<Name>> = LazyLock::new(|| MOMENTS.into_iter().map(Name::of).collect());
static START: LazyLock<Name> = LazyLock::new(|| Name::of("start"));
static END: LazyLock<Name> = LazyLock::new(|| Name::of("end"));
static REFERENCE: LazyLock<Name> = LazyLock::new(|| Name::of("reference"));

/// `Patient/<id>` of the patient whose resource this is.
pub(in crate::gateway) fn of(root: Node<'_, '_>) -> Option<String> {
    if root.resource_type() == Some("Patient") {
        let id = root.get(Name::ID)?.text();
        return (!id.is_empty()).then(|| format!("Patient/{id}"));
    }
    root.children().filter(|child| SUBJECTS.contains(&child.name())).find_map(patient)
}

/// The patient that a reference, or one of several, names.
fn patient(node: Node<'_, '_>) -> Option<String> {
    match node.kind() {
        Kind::Array => node.children().find_map(patient),
        Kind::Object => {
            let text = node.get(*REFERENCE)?.text();
            let reference = Reference::parse(&text)?;
            (reference.type_name == Some("Patient") && !reference.id.is_empty()).then(|| format!("Patient/{}", reference.id))
        }
        _ => None,
    }
}

/// When it happened.
pub(in crate::gateway) fn when(root: Node<'_, '_>) -> When {
    if root.resource_type() == Some("Patient") {
        return When::Timeless;
    }
    let rank = |child: &Node<'_, '_>| RANKS.iter().position(|name| *name == child.name());
    let first = root
        .children()
        .filter_map(|child| Some((rank(&child)?, child)))
        .min_by_key(|found| found.0);
    first.and_then(|(_, node)| first_day(node)).map_or(When::Unknown, When::On)
}

/// The first day of a date, a period, the events of a timing, or a specimen's collection.
fn first_day(node: Node<'_, '_>) -> Option<Date> {
    match node.kind() {
        Kind::String => Some(days(&node.text())?.0),
        Kind::Array => node.children().filter_map(first_day).min(),
        Kind::Object => {
            let part = |name: &str| node.get(Name::of(name)).and_then(first_day);
            let ends = node.get(*START).or_else(|| node.get(*END)).and_then(first_day);
            ends.or_else(|| part("event"))
                .or_else(|| part("collectedDateTime"))
                .or_else(|| part("collectedPeriod"))
        }
        _ => None,
    }
}

/// The first and the last day that a date, as precise as it is, may mean.
pub(super) fn days(text: &str) -> Option<(Date, Date)> {
    let date = DateTime::parse(text, Form::Literal)?;
    let year = i16::try_from(date.year()?).ok()?;
    let small = |number: u8| i8::try_from(number).ok();
    let first = Date::new(year, date.month().map_or(Some(1), small)?, date.day().map_or(Some(1), small)?).ok()?;
    let last = match (date.month(), date.day()) {
        (None, _) => Date::new(year, 12, 31).ok()?,
        (_, None) => first.last_of_month(),
        _ => first,
    };
    Some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::tree::{Limits, Tree};

    fn check(json: &str, patient: Option<&str>, day: Option<&str>) {
        let mut tree = Tree::new();
        let root = tree.parse(json.as_bytes(), &Limits::default()).expect("JSON");
        assert_eq!(of(root).as_deref(), patient, "{json}");
        let expected = day.map_or(When::Unknown, |day| When::On(day.parse().expect("a day")));
        assert_eq!(when(root), expected, "{json}");
    }

    #[test]
    fn whose_a_resource_is_and_when_it_happened() {
        for (json, patient, day) in [
            (
                r#"{"resourceType":"Observation","subject":{"reference":"Patient/p1"},"issued":"2024-05-01T00:00:00Z","effectivePeriod":{"start":"2024-02"}}"#,
                Some("Patient/p1"),
                Some("2024-02-01"),
            ),
            (
                r#"{"resourceType":"Immunization","patient":{"reference":"http://ehr/fhir/Patient/p1/_history/2"},"occurrenceDateTime":"2023"}"#,
                Some("Patient/p1"),
                Some("2023-01-01"),
            ),
            (
                r#"{"resourceType":"Coverage","beneficiary":{"reference":"Patient/p1"},"period":{"end":"2024-01-02"}}"#,
                Some("Patient/p1"),
                Some("2024-01-02"),
            ),
            (
                r#"{"resourceType":"Account","subject":[{"reference":"Device/d"},{"reference":"Patient/p2"}]}"#,
                Some("Patient/p2"),
                None,
            ),
            (
                r#"{"resourceType":"Condition","subject":{"reference":"Group/g"},"onsetDateTime":"not a date","recordedDate":"2024-01-01"}"#,
                None,
                None,
            ),
            (
                r#"{"resourceType":"AdverseEvent","subject":{"reference":"Patient/p1"},"date":"2022-01-02","detected":"2023","recordedDate":"2024"}"#,
                Some("Patient/p1"),
                Some("2022-01-02"),
            ),
            (
                r#"{"resourceType":"Specimen","subject":{"reference":"Patient/p1"},"collection":{"collectedDateTime":"2024-03-03"}}"#,
                Some("Patient/p1"),
                Some("2024-03-03"),
            ),
        ] {
            check(json, patient, day);
        }
        let mut tree = Tree::new();
        let root = tree
            .parse(
                br#"{"resourceType":"Patient","id":"p9","birthDate":"1980-01-01"}"#,
                &Limits::default(),
            )
            .expect("JSON");
        assert_eq!((of(root).as_deref(), when(root)), (Some("Patient/p9"), When::Timeless));
    }

    #[test]
    fn a_date_means_all_the_days_it_may_be() {
        let day = |text: &str| text.parse::<Date>().expect("a day");
        for (text, first, last) in [
            ("2024", "2024-01-01", "2024-12-31"),
            ("2024-02", "2024-02-01", "2024-02-29"),
            ("2024-02-03T10:00:00+02:00", "2024-02-03", "2024-02-03"),
        ] {
            assert_eq!(days(text), Some((day(first), day(last))), "{text}");
        }
        assert_eq!(days("soon"), None);
    }
}
