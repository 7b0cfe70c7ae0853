//! Equality, equivalence and order of items. FHIRPath 2.0, "Equality" and "Comparison".

use std::cmp::Ordering;

use super::items::Collection;
use super::temporal::{Sort, Temporal};
use super::value::Item;
use super::work::Work;
use crate::fhir::decimal::Decimal;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::ucum::Unit;

/// `=` on two collections: `None` where either is empty or precision leaves it open.
pub(super) fn collections_equal(left: &Collection<'_, '_>, right: &Collection<'_, '_>, work: &Work) -> Option<bool> {
    let (left, right) = (left.as_slice(), right.as_slice());
    if left.is_empty() || right.is_empty() {
        return None;
    }
    if left.len() != right.len() {
        return Some(false);
    }
    let mut all = Some(true);
    for (a, b) in left.iter().zip(right) {
        match equal(a, b, work) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => all = None,
        }
    }
    all
}

/// `~` on two collections, in any order.
pub(super) fn collections_equivalent(left: &Collection<'_, '_>, right: &Collection<'_, '_>, work: &Work) -> bool {
    let (left, right) = (left.as_slice(), right.as_slice());
    if left.len() != right.len() {
        return false;
    }
    let mut free: Vec<&Item<'_, '_>> = right.iter().collect();
    left.iter().all(|a| match free.iter().position(|b| equivalent(a, b, work)) {
        Some(at) => {
            free.swap_remove(at);
            true
        }
        None => false,
    })
}

/// Once the work is over the answer means nothing: whoever asks spends, and so finds out.
pub(super) fn contains(all: &Collection<'_, '_>, item: &Item<'_, '_>, work: &Work) -> bool {
    !work.is_over() && all.as_slice().iter().any(|other| equal(item, other, work) == Some(true))
}

pub(super) fn equal(a: &Item<'_, '_>, b: &Item<'_, '_>, work: &Work) -> Option<bool> {
    work.add(1 + a.weight() + b.weight());
    if work.is_over() {
        return None;
    }
    let (a, b) = (a.clone().plain(), b.clone().plain());
    if let (Some(a), Some(b)) = (a.as_decimal(), b.as_decimal()) {
        return Some(a == b);
    }
    match (&a, &b) {
        (Item::Boolean(a), Item::Boolean(b)) => Some(a == b),
        (Item::Text(a), Item::Text(b)) => Some(**a == **b),
        (Item::Temporal(a), Item::Temporal(b)) => equal_temporals(a, b),
        // An element whose type is not known gives text even where it holds a date.
        (Item::Temporal(a), Item::Text(b)) | (Item::Text(b), Item::Temporal(a)) => match read_as(a.sort, b) {
            Some(b) => equal_temporals(a, &b),
            None => Some(false),
        },
        (Item::Quantity(a, a_unit), Item::Quantity(b, b_unit)) => {
            work.add(if **a_unit == **b_unit { 0 } else { 32 });
            let (a, b) = same_unit(*a, a_unit, *b, b_unit)?;
            Some(a == b)
        }
        (Item::Quantity(a, unit), number) | (number, Item::Quantity(a, unit)) => Some(&**unit == "1" && number.as_decimal() == Some(*a)),
        (Item::Element(a), Item::Element(b)) => Some(match (a.node, b.node) {
            (Some(a), Some(b)) => nodes_equal(a, b, false, work),
            (None, None) => match (a.under, b.under) {
                (Some(a), Some(b)) => nodes_equal(a, b, false, work),
                _ => false,
            },
            _ => false,
        }),
        (Item::TypeInfo(a_space, a), Item::TypeInfo(b_space, b)) => Some(a_space == b_space && a == b),
        _ => Some(false),
    }
}

fn equal_temporals(a: &Temporal, b: &Temporal) -> Option<bool> {
    if (a.sort == Sort::Time) != (b.sort == Sort::Time) {
        return Some(false);
    }
    a.compare(b).map(|order| order == Ordering::Equal)
}

fn read_as(sort: Sort, text: &str) -> Option<Temporal> {
    match sort {
        Sort::Time => Temporal::time(text),
        Sort::Date | Sort::DateTime => Temporal::date_time(text),
    }
}

pub(super) fn equivalent(a: &Item<'_, '_>, b: &Item<'_, '_>, work: &Work) -> bool {
    work.add(1 + 8 * (a.weight() + b.weight()));
    if work.is_over() {
        return false;
    }
    let (a, b) = (a.clone().plain(), b.clone().plain());
    if let (Some(a), Some(b)) = (a.as_decimal(), b.as_decimal()) {
        return near(a, b);
    }
    match (&a, &b) {
        (Item::Text(a), Item::Text(b)) => same_words(a, b),
        (Item::Temporal(a), Item::Temporal(b)) => a.compare(b) == Some(Ordering::Equal),
        (Item::Quantity(a, a_unit), Item::Quantity(b, b_unit)) => same_unit(*a, a_unit, *b, b_unit).is_some_and(|(a, b)| near(a, b)),
        (Item::Element(a), Item::Element(b)) => match (a.node, b.node) {
            (Some(a), Some(b)) => nodes_equal(a, b, true, work),
            _ => false,
        },
        _ => equal(&a, &b, work) == Some(true),
    }
}

fn near(a: Decimal, b: Decimal) -> bool {
    let places = a.trimmed().scale().min(b.trimmed().scale());
    a.round(places) == b.round(places)
}

fn same_words(a: &str, b: &str) -> bool {
    let words = |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>();
    words(a) == words(b)
}

/// `<` and its kin. `None` where precision or units leave it open.
/// # Errors: two sorts of values that have no order.
pub(super) fn compare(a: &Item<'_, '_>, b: &Item<'_, '_>) -> Result<Option<Ordering>, &'static str> {
    let (a, b) = (a.clone().plain(), b.clone().plain());
    if let (Some(a), Some(b)) = (a.as_decimal(), b.as_decimal()) {
        return Ok(Some(a.cmp(&b)));
    }
    match (&a, &b) {
        (Item::Text(a), Item::Text(b)) => Ok(Some((**a).cmp(&**b))),
        (Item::Temporal(a), Item::Temporal(b)) if (a.sort == Sort::Time) == (b.sort == Sort::Time) => Ok(a.compare(b)),
        (Item::Temporal(a), Item::Text(b)) => Ok(read_as(a.sort, b).and_then(|b| a.compare(&b))),
        (Item::Text(a), Item::Temporal(b)) => Ok(read_as(b.sort, a).and_then(|a| a.compare(b))),
        (Item::Quantity(a, a_unit), Item::Quantity(b, b_unit)) => Ok(same_unit(*a, a_unit, *b, b_unit).map(|(a, b)| a.cmp(&b))),
        (Item::Element(element), _) | (_, Item::Element(element)) if element.is_primitive() && element.value().is_none() => Ok(None),
        _ => Err("these two values have no order"),
    }
}

/// Both numbers on one scale; `None` where the units do not measure the same kind of thing.
pub(super) fn same_unit(a: Decimal, a_unit: &str, b: Decimal, b_unit: &str) -> Option<(Decimal, Decimal)> {
    if a_unit == b_unit {
        return Some((a, b));
    }
    if let (Some(a_months), Some(b_months)) = (months(a_unit), months(b_unit)) {
        return Some((a.times(a_months)?, b.times(b_months)?));
    }
    unit(a_unit)?.comparable(a, &unit(b_unit)?, b)
}

/// `number` of `from` as a number of `to`.
pub(super) fn in_unit(number: Decimal, from: &str, to: &str) -> Option<Decimal> {
    if from == to {
        return Some(number);
    }
    if let (Some(from), Some(to)) = (months(from), months(to)) {
        return number.times(from)?.divided_by(to);
    }
    unit(from)?.convert(number, &unit(to)?)
}

/// Calendar years and months, which are no fixed time and so compare only with one another.
fn months(unit: &str) -> Option<Decimal> {
    match unit {
        "year" | "years" => Some(Decimal::from(12)),
        "month" | "months" => Some(Decimal::from(1)),
        _ => None,
    }
}

/// A unit of UCUM, or a calendar word that is a fixed time.
fn unit(name: &str) -> Option<Unit> {
    Unit::parse(match name {
        "week" | "weeks" => "wk",
        "day" | "days" => "d",
        "hour" | "hours" => "h",
        "minute" | "minutes" => "min",
        "second" | "seconds" => "s",
        "millisecond" | "milliseconds" => "ms",
        code => code,
    })
}

/// Two pieces of JSON as FHIR compares them: members in any order, numbers by value; arrays in any order when `loose`.
fn nodes_equal(a: Node<'_, '_>, b: Node<'_, '_>, loose: bool, work: &Work) -> bool {
    let text = |node: Node<'_, '_>| if node.kind() == Kind::String { node.raw().len() / 32 } else { 0 };
    work.add(1 + text(a) + text(b));
    if work.is_over() {
        return false;
    }
    if a.kind() != b.kind() {
        return false;
    }
    match a.kind() {
        Kind::Null => true,
        Kind::Boolean => a.raw() == b.raw(),
        Kind::Number => a.raw() == b.raw() || Decimal::parse(a.raw()).is_some_and(|number| Some(number) == Decimal::parse(b.raw())),
        Kind::String if loose => same_words(&a.text(), &b.text()),
        Kind::String => a.raw() == b.raw() || a.text() == b.text(),
        Kind::Array if !loose => {
            a.children().count() == b.children().count() && a.children().zip(b.children()).all(|(a, b)| nodes_equal(a, b, loose, work))
        }
        Kind::Array => {
            let mut free: Vec<_> = b.children().collect();
            let all = a
                .children()
                .all(|a| match free.iter().position(|b| nodes_equal(a, *b, loose, work)) {
                    Some(at) => {
                        free.swap_remove(at);
                        true
                    }
                    None => false,
                });
            all && free.is_empty()
        }
        Kind::Object => {
            let counted = |node: Node<'_, '_>| node.children().filter(|child| !(loose && child.name_text() == "id")).count();
            let width = counted(a);
            work.add(width.saturating_mul(width) / 4);
            width == counted(b)
                && !work.is_over()
                && a.children().filter(|child| !(loose && child.name_text() == "id")).all(|child| {
                    b.children()
                        .find(|other| other.name_text() == child.name_text())
                        .is_some_and(|other| nodes_equal(child, other, loose, work))
                })
        }
    }
}
