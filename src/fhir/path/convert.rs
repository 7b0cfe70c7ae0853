//! `toInteger()` and its kin, and `convertsTo…()`, which asks whether they would answer.

use super::ast::Call;
use super::collection::text_of;
use super::compare::in_unit;
use super::eval::{Answer, boolean, single};
use super::function::Function as F;
use super::items::Collection;
use super::temporal::{Precision, Sort, Temporal};
use super::value::{Item, Text, is_calendar_unit};
use crate::fhir::decimal::Decimal;

/// The conversion that a `convertsTo…` asks about, or the function itself.
fn conversion(function: F) -> Option<(F, bool)> {
    Some(match function {
        F::ToBoolean | F::ToInteger | F::ToDecimal | F::ToText | F::ToDate | F::ToDateTime | F::ToTime | F::ToQuantity => (function, false),
        F::ConvertsToBoolean => (F::ToBoolean, true),
        F::ConvertsToInteger => (F::ToInteger, true),
        F::ConvertsToDecimal => (F::ToDecimal, true),
        F::ConvertsToText => (F::ToText, true),
        F::ConvertsToDate => (F::ToDate, true),
        F::ConvertsToDateTime => (F::ToDateTime, true),
        F::ConvertsToTime => (F::ToTime, true),
        F::ConvertsToQuantity => (F::ToQuantity, true),
        _ => return None,
    })
}

pub(super) fn is_conversion(function: F) -> bool {
    conversion(function).is_some()
}

pub(super) fn call<'t, 'a>(call: &Call, input: &Collection<'t, 'a>, argument: &Collection<'t, 'a>) -> Answer<'t, 'a> {
    let Some((function, asks)) = conversion(call.function) else {
        return Ok(Collection::None);
    };
    let Some(item) = single(input, call.at)?.map(|item| item.clone().plain()) else {
        return Ok(Collection::None);
    };
    let unit = text_of(argument, call.at)?;
    let result = convert(function, item, unit.as_deref());
    Ok(if asks { boolean(Some(result.is_some())) } else { result.into() })
}

fn convert<'t, 'a>(function: F, item: Item<'t, 'a>, unit: Option<&str>) -> Option<Item<'t, 'a>> {
    Some(match (function, item) {
        (F::ToText, item) => Item::Text(item.to_text()?),
        (F::ToBoolean, Item::Boolean(value)) => Item::Boolean(value),
        (F::ToBoolean, Item::Text(text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" | "1.0" => Item::Boolean(true),
            "false" | "f" | "no" | "n" | "0" | "0.0" => Item::Boolean(false),
            _ => return None,
        },
        (F::ToBoolean, number) => match number.as_decimal()? {
            number if number == Decimal::from(1) => Item::Boolean(true),
            number if number.is_zero() => Item::Boolean(false),
            _ => return None,
        },
        (F::ToInteger, Item::Integer(number)) => Item::Integer(number),
        (F::ToInteger, Item::Boolean(value)) => Item::Integer(i64::from(value)),
        (F::ToInteger, Item::Text(text)) => Item::Integer(text.parse().ok()?),
        (F::ToDecimal, Item::Boolean(value)) => Item::Decimal(Decimal::from(i64::from(value))),
        (F::ToDecimal, Item::Text(text)) => {
            Item::Decimal(Decimal::parse(text.strip_prefix('+').unwrap_or(&text)).filter(|_| !text.contains(['e', 'E']))?)
        }
        (F::ToDecimal, number) => Item::Decimal(number.as_decimal()?),
        (F::ToDate, Item::Text(text)) => Item::Temporal(Temporal::date_time(&text).map(date_part)?),
        (F::ToDate, Item::Temporal(moment)) if moment.sort != Sort::Time => Item::Temporal(date_part(moment)),
        (F::ToDateTime, Item::Text(text)) => Item::Temporal(Temporal::date_time(&text)?),
        (F::ToDateTime, Item::Temporal(moment)) if moment.sort != Sort::Time => Item::Temporal(Temporal {
            sort: Sort::DateTime,
            ..moment
        }),
        (F::ToTime, Item::Text(text)) => Item::Temporal(Temporal::time(text.strip_prefix('T').unwrap_or(&text))?),
        (F::ToTime, Item::Temporal(moment)) if moment.sort == Sort::Time => Item::Temporal(moment),
        (F::ToQuantity, item) => {
            let (number, own) = quantity(item)?;
            match unit {
                Some(unit) if unit != &*own => Item::Quantity(in_unit(number, &own, unit)?, unit.to_owned().into()),
                _ => Item::Quantity(number, own),
            }
        }
        _ => return None,
    })
}

/// The calendar date in which the moment lies, in its own zone.
pub(super) fn date_part(moment: Temporal) -> Temporal {
    Temporal {
        sort: Sort::Date,
        precision: moment.precision.min(Precision::Day),
        zone: None,
        ..moment
    }
}

/// The time of day of the moment, in its own zone.
pub(crate) fn time_part(moment: Temporal) -> Temporal {
    Temporal {
        sort: Sort::Time,
        zone: None,
        ..moment
    }
}

fn quantity<'t, 'a>(item: Item<'t, 'a>) -> Option<(Decimal, Text<'t, 'a>)> {
    let one = || Text::Expression("1");
    match item {
        Item::Quantity(number, unit) => Some((number, unit)),
        Item::Boolean(value) => Some((Decimal::from(i64::from(value)), one())),
        Item::Text(text) => {
            let (number, unit) = text.split_once(' ').map_or((&*text, ""), |(number, unit)| (number, unit.trim()));
            let number = Decimal::parse(number.strip_prefix('+').unwrap_or(number))?;
            if unit.is_empty() {
                return Some((number, one()));
            }
            let quoted = unit.strip_prefix('\'').and_then(|unit| unit.strip_suffix('\''));
            let unit = quoted.or_else(|| is_calendar_unit(unit).then_some(unit))?;
            Some((number, unit.to_owned().into()))
        }
        number => Some((number.as_decimal()?, one())),
    }
}
