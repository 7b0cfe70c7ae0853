//! Functions on numbers. Exact in decimal where an exact answer exists; `exp`, `ln`, `log` and roots go through binary numbers.

use super::ast::Call;
use super::eval::{Answer, Fault, single};
use super::function::Function as F;
use super::items::Collection;
use super::value::Item;
use crate::fhir::decimal::Decimal;

pub(super) fn call<'t, 'a>(call: &Call, input: &Collection<'t, 'a>, argument: &Collection<'t, 'a>) -> Answer<'t, 'a> {
    let at = call.at;
    let range = Fault {
        rule: "the number is out of range",
        at,
    };
    let Some(own) = single(input, at)?.map(|item| item.clone().plain()) else {
        return Ok(Collection::None);
    };
    if let (F::Abs, Item::Quantity(number, unit)) = (call.function, &own) {
        let number = if number.is_negative() { number.negated() } else { *number };
        return Ok(Collection::One(Item::Quantity(number, unit.clone())));
    }
    let Some(number) = own.as_decimal() else {
        return Err(Fault {
            rule: "a number was expected here",
            at,
        });
    };
    let argument = match single(argument, at)?.map(|item| item.clone().plain()) {
        None => None,
        Some(item) => Some(item.as_decimal().ok_or(Fault {
            rule: "a number was expected here",
            at,
        })?),
    };
    let whole = |number: i128| i64::try_from(number).map(Item::Integer).map_err(|_| range);
    let binary = |number: Option<f64>| number.and_then(Decimal::from_f64).map(Item::Decimal);
    let item = match call.function {
        F::Abs => match own {
            Item::Integer(number) => Some(Item::Integer(number.checked_abs().ok_or(range)?)),
            _ if number.is_negative() => Some(Item::Decimal(number.negated())),
            _ => Some(Item::Decimal(number)),
        },
        F::Ceiling => Some(whole(number.ceiling())?),
        F::Floor => Some(whole(number.floor())?),
        F::Truncate => Some(whole(number.truncate())?),
        F::Round => {
            let places = argument.map_or(0, Decimal::truncate);
            let places = u32::try_from(places).map_err(|_| Fault {
                rule: "places to round to cannot be negative",
                at,
            })?;
            Some(Item::Decimal(number.round(places).ok_or(range)?))
        }
        F::Exp => binary(number.to_f64().map(f64::exp)),
        F::Ln if !number.is_negative() && !number.is_zero() => binary(number.to_f64().map(f64::ln)),
        F::Log => match argument {
            Some(base) if !number.is_negative() && !number.is_zero() => binary(logarithm(number, base)),
            _ => None,
        },
        F::Sqrt if !number.is_negative() => binary(number.to_f64().map(f64::sqrt)),
        F::Power => match argument {
            Some(exponent) => power(&own, number, exponent).ok_or(range)?,
            None => None,
        },
        _ => None,
    };
    Ok(item.into())
}

fn logarithm(number: Decimal, base: Decimal) -> Option<f64> {
    let (number, base) = (number.to_f64()?, base.to_f64()?);
    let result = if base == 2.0 {
        number.log2()
    } else if base == 10.0 {
        number.log10()
    } else {
        number.log(base)
    };
    Some(result)
}

/// The outer `None`: out of range. The inner: no answer (a root of a negative number).
fn power<'t, 'a>(own: &Item<'t, 'a>, number: Decimal, exponent: Decimal) -> Option<Option<Item<'t, 'a>>> {
    if let (0, Ok(exponent)) = (exponent.trimmed().scale(), u32::try_from(exponent.truncate())) {
        let mut product = Decimal::from(1);
        for _ in 0..exponent.min(256) {
            product = product.times(number)?;
        }
        if exponent > 256 && product != Decimal::from(1) && !product.is_zero() {
            return None;
        }
        return Some(Some(match own {
            Item::Integer(_) => Item::Integer(i64::try_from(product.truncate()).ok()?),
            _ => Item::Decimal(product),
        }));
    }
    let result = number.to_f64()?.powf(exponent.to_f64()?);
    Some(Decimal::from_f64(result).map(Item::Decimal))
}
