//! `+ - * / div mod`, in decimal arithmetic. FHIRPath 2.0, "Math" and "Date/Time Arithmetic".

use super::ast::Operator;
use super::compare::in_unit;
use super::value::{Item, Text, is_calendar_unit};
use crate::fhir::decimal::Decimal;

/// Bytes of two units together.
const LONGEST_UNIT: usize = 200;

const RANGE: &str = "the number is out of range";
const SORTS: &str = "this operator does not go with these two values";

/// One value from two; `None` for an empty result (division by zero, a date without an answer).
pub(super) fn arithmetic<'t, 'a>(operator: Operator, a: Item<'t, 'a>, b: Item<'t, 'a>) -> Result<Option<Item<'t, 'a>>, &'static str> {
    match (&a, &b) {
        (Item::Integer(x), Item::Integer(y)) => integers(operator, *x, *y),
        (Item::Integer(_) | Item::Decimal(_), Item::Integer(_) | Item::Decimal(_)) => {
            let (Some(x), Some(y)) = (a.as_decimal(), b.as_decimal()) else {
                return Err(SORTS);
            };
            decimals(operator, x, y)
        }
        (Item::Temporal(moment), Item::Quantity(amount, unit)) if matches!(operator, Operator::Add | Operator::Subtract) => {
            let amount = i64::try_from(amount.truncate()).map_err(|_| RANGE)?;
            let amount = if operator == Operator::Subtract {
                amount.checked_neg().ok_or(RANGE)?
            } else {
                amount
            };
            if matches!(&**unit, "a" | "mo") {
                return Err("a calendar word (`months`) is needed here, not a UCUM unit");
            }
            if !is_calendar_unit(unit) && !matches!(&**unit, "wk" | "d" | "h" | "min" | "s" | "ms") {
                return Err("a date can only be moved by a unit of time");
            }
            Ok(moment.plus(amount, unit).map(Item::Temporal))
        }
        (Item::Quantity(..), _) | (_, Item::Quantity(..)) => quantities(operator, &a, &b),
        _ => Err(SORTS),
    }
}

fn integers<'t, 'a>(operator: Operator, x: i64, y: i64) -> Result<Option<Item<'t, 'a>>, &'static str> {
    let whole = match operator {
        Operator::Add => x.checked_add(y),
        Operator::Subtract => x.checked_sub(y),
        Operator::Multiply => x.checked_mul(y),
        Operator::Divide => return decimals(operator, x.into(), y.into()),
        Operator::DivideWhole | Operator::Modulo if y == 0 => return Ok(None),
        Operator::DivideWhole => x.checked_div(y),
        Operator::Modulo => x.checked_rem(y),
        _ => return Err(SORTS),
    };
    whole.map(|number| Some(Item::Integer(number))).ok_or(RANGE)
}

fn decimals<'t, 'a>(operator: Operator, x: Decimal, y: Decimal) -> Result<Option<Item<'t, 'a>>, &'static str> {
    let number = match operator {
        Operator::Add => x.plus(y),
        Operator::Subtract => x.minus(y),
        Operator::Multiply => x.times(y),
        Operator::Divide | Operator::DivideWhole | Operator::Modulo if y.is_zero() => return Ok(None),
        Operator::Divide => x.divided_by(y),
        Operator::Modulo => x.remainder(y),
        Operator::DivideWhole => {
            let whole = x.div_whole(y).and_then(|whole| i64::try_from(whole).ok()).ok_or(RANGE)?;
            return Ok(Some(Item::Integer(whole)));
        }
        _ => return Err(SORTS),
    };
    number.map(|number| Some(Item::Decimal(number))).ok_or(RANGE)
}

fn quantities<'t, 'a>(operator: Operator, a: &Item<'t, 'a>, b: &Item<'t, 'a>) -> Result<Option<Item<'t, 'a>>, &'static str> {
    let side = |item: &Item<'t, 'a>| match item {
        Item::Quantity(number, unit) => Some((*number, unit.clone())),
        _ => item.as_decimal().map(|number| (number, Text::Expression("1"))),
    };
    let (Some((x, x_unit)), Some((y, y_unit))) = (side(a), side(b)) else {
        return Err(SORTS);
    };
    // Units that multiply again and again would grow without end.
    if x_unit.len() + y_unit.len() > LONGEST_UNIT {
        return Err(RANGE);
    }
    match operator {
        Operator::Add | Operator::Subtract => {
            if *x_unit == *y_unit {
                let sum = if operator == Operator::Add { x.plus(y) } else { x.minus(y) };
                return sum.map(|sum| Some(Item::Quantity(sum, x_unit))).ok_or(RANGE);
            }
            // The answer is in the unit of the left side where both say the same kind of thing.
            let Some(y) = in_unit(y, &y_unit, &x_unit) else {
                return Ok(None);
            };
            let sum = if operator == Operator::Add { x.plus(y) } else { x.minus(y) };
            sum.map(|sum| Some(Item::Quantity(sum, x_unit))).ok_or(RANGE)
        }
        Operator::Multiply => {
            let unit = match (&*x_unit, &*y_unit) {
                ("1", _) => y_unit,
                (_, "1") => x_unit,
                (x_unit, y_unit) if x_unit == y_unit => format!("{x_unit}2").into(),
                (x_unit, y_unit) => format!("{x_unit}.{y_unit}").into(),
            };
            x.times(y).map(|number| Some(Item::Quantity(number, unit))).ok_or(RANGE)
        }
        Operator::Divide => {
            if y.is_zero() {
                return Ok(None);
            }
            let unit = match (&*x_unit, &*y_unit) {
                (_, "1") => x_unit,
                (x_unit, y_unit) if x_unit == y_unit => Text::Expression("1"),
                (x_unit, y_unit) => format!("{x_unit}/{y_unit}").into(),
            };
            x.divided_by(y).map(|number| Some(Item::Quantity(number, unit))).ok_or(RANGE)
        }
        _ => Err(SORTS),
    }
}
