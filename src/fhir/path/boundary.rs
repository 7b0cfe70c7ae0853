//! `lowBoundary()` and `highBoundary()`: the least and the greatest value that a value of limited precision may stand for.
//! FHIRPath 2.0, "Boundary functions"; of a Period, the boundary of its start and of its end (SQL on FHIR v2).

use super::ast::Call;
use super::convert::{date_part, time_part};
use super::eval::{Answer, Fault, single};
use super::function::Function as F;
use super::items::Collection;
use super::temporal::{Precision, Sort, Temporal};
use super::value::{Element, Item};
use crate::fhir::datetime::month_length;
use crate::fhir::decimal::Decimal;
use crate::fhir::name::Name;
use crate::fhir::types::TypeId;

pub(super) fn call<'t, 'a>(call: &Call, input: &Collection<'t, 'a>, argument: &Collection<'t, 'a>) -> Answer<'t, 'a> {
    let at = call.at;
    let Some(item) = single(input, at)? else {
        return Ok(Collection::None);
    };
    let high = call.function == F::HighBoundary;
    let item = match item {
        Item::Element(element) if element.type_text() == Some("Period") => match bound_of_period(element, high) {
            Some(item) => item,
            None => return Ok(Collection::None),
        },
        item => item.clone(),
    };
    let own = item.plain();
    let digits = match single(argument, at)? {
        Some(Item::Integer(digits)) => Some(*digits),
        None => None,
        Some(_) if call.function == F::Comparable => None,
        Some(_) => {
            return Err(Fault {
                rule: "an integer was expected here",
                at,
            });
        }
    };
    Ok(match call.function {
        F::Precision => precision(&own).map(Item::Integer).into(),
        F::Comparable => {
            let other = single(argument, at)?.map(|item| item.clone().plain());
            match (own, other) {
                (Item::Quantity(a, a_unit), Some(Item::Quantity(b, b_unit))) => {
                    Collection::One(Item::Boolean(super::compare::same_unit(a, &a_unit, b, &b_unit).is_some()))
                }
                (_, Some(_)) => Collection::One(Item::Boolean(false)),
                _ => Collection::None,
            }
        }
        _ => boundary(own, high, digits).into(),
    })
}

fn bound_of_period<'t, 'a>(period: &Element<'t, 'a>, high: bool) -> Option<Item<'t, 'a>> {
    let node = period.node?.get(Name::of(if high { "end" } else { "start" }))?;
    Some(Item::Element(Element {
        node: Some(node),
        under: None,
        type_id: TypeId::of("dateTime"),
    }))
}

fn boundary<'t, 'a>(own: Item<'t, 'a>, high: bool, digits: Option<i64>) -> Option<Item<'t, 'a>> {
    match own {
        Item::Integer(number) => number_boundary(number.into(), high, digits).map(Item::Decimal),
        Item::Decimal(number) => number_boundary(number, high, digits).map(Item::Decimal),
        Item::Quantity(number, unit) => Some(Item::Quantity(number_boundary(number, high, digits)?, unit)),
        Item::Temporal(moment) => moment_boundary(moment, high, digits).map(Item::Temporal),
        _ => None,
    }
}

/// Half a unit of the last place written, to either side.
fn number_boundary(number: Decimal, high: bool, digits: Option<i64>) -> Option<Decimal> {
    let half = Decimal::new(5, number.scale().checked_add(1)?);
    let bound = if high { number.plus(half)? } else { number.minus(half)? };
    match digits {
        None => Some(bound),
        Some(places) => {
            let places = u32::try_from(places).ok().filter(|&places| places <= 28)?;
            if places >= bound.scale() {
                return bound.rescale(places);
            }
            // Fewer places than the boundary has: towards the outside.
            let factor = Decimal::new(10i128.checked_pow(places)?, 0);
            let scaled = bound.times(factor)?;
            let whole = if high { scaled.ceiling() } else { scaled.floor() };
            Some(Decimal::new(whole, places))
        }
    }
}

fn moment_boundary(moment: Temporal, high: bool, digits: Option<i64>) -> Option<Temporal> {
    let finest = match digits {
        None if moment.sort == Sort::Date => Precision::Day,
        None => Precision::Fraction,
        Some(digits) => precision_of(moment.sort, digits)?,
    };
    let mut bound = moment;
    if high {
        if bound.precision < Precision::Month {
            bound.month = 12;
        }
        if bound.precision < Precision::Day {
            bound.day = month_length(bound.year, bound.month);
        }
        if bound.precision < Precision::Hour {
            bound.hour = 23;
        }
        if bound.precision < Precision::Minute {
            bound.minute = 59;
        }
        if bound.precision < Precision::Second {
            bound.second = 59;
        }
        if bound.precision < Precision::Fraction {
            bound.nanosecond = 999_000_000;
        }
    }
    if finest >= Precision::Hour && moment.sort == Sort::DateTime && bound.zone.is_none() {
        // The day begins first at UTC+14 and ends last at UTC-12.
        bound.zone = Some(if high { -12 * 60 } else { 14 * 60 });
    }
    bound.precision = finest;
    bound.places = 3;
    if finest < Precision::Hour {
        bound.zone = None;
    }
    Some(bound)
}

/// The precision that FHIRPath names by a number of digits.
fn precision_of(sort: Sort, digits: i64) -> Option<Precision> {
    Some(match (sort, digits) {
        (Sort::Time, 2) => Precision::Hour,
        (Sort::Time, 4) => Precision::Minute,
        (Sort::Time, 6) => Precision::Second,
        (Sort::Time, 9) => Precision::Fraction,
        (Sort::Date | Sort::DateTime, 4) => Precision::Year,
        (Sort::Date | Sort::DateTime, 6) => Precision::Month,
        (Sort::Date | Sort::DateTime, 8) => Precision::Day,
        (Sort::DateTime, 10) => Precision::Hour,
        (Sort::DateTime, 12) => Precision::Minute,
        (Sort::DateTime, 14) => Precision::Second,
        (Sort::DateTime, 17) => Precision::Fraction,
        _ => return None,
    })
}

fn precision(own: &Item<'_, '_>) -> Option<i64> {
    Some(match own {
        Item::Integer(_) => 0,
        Item::Decimal(number) => number.scale().into(),
        Item::Temporal(moment) => {
            let digits = match moment.precision {
                Precision::Year => 4,
                Precision::Month => 6,
                Precision::Day => 8,
                Precision::Hour => 10,
                Precision::Minute => 12,
                Precision::Second => 14,
                Precision::Fraction => 14 + i64::from(moment.places),
            };
            if moment.sort == Sort::Time { digits - 8 } else { digits }
        }
        _ => return None,
    })
}

/// `yearOf()` … `timeOf()`
pub(super) fn part<'t, 'a>(call: &Call, input: &Collection<'t, 'a>) -> Answer<'t, 'a> {
    let Some(Item::Temporal(moment)) = single(input, call.at)?.map(|item| item.clone().plain()) else {
        return Ok(Collection::None);
    };
    let dated = moment.sort != Sort::Time;
    let (known, number) = match call.function {
        F::YearOf => (dated, i64::from(moment.year)),
        F::MonthOf => (dated && moment.precision >= Precision::Month, moment.month.into()),
        F::DayOf => (dated && moment.precision >= Precision::Day, moment.day.into()),
        F::HourOf => (moment.precision >= Precision::Hour, moment.hour.into()),
        F::MinuteOf => (moment.precision >= Precision::Minute, moment.minute.into()),
        F::SecondOf => (moment.precision >= Precision::Second, moment.second.into()),
        F::DateOf => {
            return Ok(if dated {
                Collection::One(Item::Temporal(date_part(moment)))
            } else {
                Collection::None
            });
        }
        _ => {
            let time = time_part(moment);
            let known = moment.precision >= Precision::Hour;
            return Ok(if known {
                Collection::One(Item::Temporal(time))
            } else {
                Collection::None
            });
        }
    };
    Ok(if known {
        Collection::One(Item::Integer(number))
    } else {
        Collection::None
    })
}
