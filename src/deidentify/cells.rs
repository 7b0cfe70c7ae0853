//! What one cell becomes by a rule that needs no key: a year, a month, a moved day, an age, a band, a wider code. Knows no patient
//! and no table.

use std::borrow::Cow;

use super::age;
use super::date::Partial;
use super::method::Detail;
use crate::cdm::{Cell, Column, Kind};

pub(super) fn year(cell: &Cell<'_>) -> Result<i16, &'static str> {
    match cell {
        Cell::Text(text) => Partial::parse(day_of(text).0).map(|date| date.year).ok_or("year"),
        Cell::Integer(year) if (1000..=9999).contains(year) => i16::try_from(*year).map_err(|_| "year"),
        _ => Err("year"),
    }
}

/// A date that is told in part, with what a column wants behind it.
fn first_day<'m>(told: Partial, rest: &str) -> Cell<'m> {
    let mut shown = String::with_capacity(19);
    told.write(&mut shown);
    shown.push_str(rest);
    Cell::Text(Cow::Owned(shown))
}

/// A year as the column holds it: a number, a partial date, or where only a whole date fits, the year's first day, which
/// says no more than the year.
pub(super) fn year_cell<'m>(column: &Column, year: i16) -> Cell<'m> {
    let told = Partial {
        year,
        ..Partial::default()
    };
    match column.kind {
        Kind::Integer => Cell::Integer(i64::from(year)),
        Kind::Date => first_day(told, "-01-01"),
        Kind::DateTime => first_day(told, "-01-01T00:00:00"),
        _ => first_day(told, ""),
    }
}

pub(super) fn shifted<'m>(cell: &Cell<'_>, days: i32) -> Result<Cell<'m>, &'static str> {
    let (day, time) = day_of(cell.as_text().ok_or("shift")?);
    let date = Partial::parse(day).and_then(|date| date.shifted(days));
    let mut shown = String::with_capacity(19);
    date.ok_or("shift")?.write(&mut shown);
    shown.push_str(time);
    Ok(Cell::Text(Cow::Owned(shown)))
}

/// The date of a date and time, and the rest from its `T` on.
pub(super) fn day_of(text: &str) -> (&str, &str) {
    text.split_at(text.find('T').unwrap_or(text.len()))
}

pub(super) fn aged<'m>(cell: &'m Cell<'_>) -> Result<Cell<'m>, &'static str> {
    match cell {
        Cell::Integer(years) => Ok(Cell::Integer(age::capped(*years))),
        Cell::Decimal(digits) => match age::is_capped_decimal(digits) {
            Some(true) => Ok(Cell::Decimal(Cow::Borrowed("90"))),
            Some(false) => Ok(cell.borrowed()),
            None => Err("age"),
        },
        _ => Err("age"),
    }
}

/// The month of a date, its first day where only a whole date fits; a bare year stays one.
pub(super) fn month_cell<'m>(column: &Column, cell: &Cell<'_>) -> Result<Cell<'m>, &'static str> {
    let date = Partial::parse(day_of(cell.as_text().ok_or("month")?).0).ok_or("month")?;
    if date.month == 0 {
        return Ok(year_cell(column, date.year));
    }
    let told = Partial { day: 0, ..date };
    Ok(match column.kind {
        Kind::Date => first_day(told, "-01"),
        Kind::DateTime => first_day(told, "-01T00:00:00"),
        _ => first_day(told, ""),
    })
}

pub(super) fn banded<'m>(detail: &Detail, column: &Column, cell: &Cell<'_>) -> Result<Cell<'m>, &'static str> {
    let Detail::Bands(starts) = detail else { return Err("age-band") };
    let years = match cell {
        Cell::Integer(years) => *years,
        Cell::Decimal(digits) => age::whole_years(digits).ok_or("age-band")?,
        _ => return Err("age-band"),
    };
    let band = starts.iter().rev().find(|start| **start <= years).copied().unwrap_or(0);
    Ok(match column.kind {
        Kind::Decimal => Cell::Decimal(Cow::Owned(band.to_string())),
        _ => Cell::Integer(band),
    })
}

pub(super) fn rolled_up<'m>(detail: &Detail, cell: &Cell<'_>) -> Result<Cell<'m>, &'static str> {
    let Detail::RollUp(map) = detail else { return Err("roll-up") };
    let target = |code: &str| map.target(code).map(str::to_owned);
    match cell {
        Cell::Text(code) => Ok(target(code).map_or(Cell::Null, |code| Cell::Text(Cow::Owned(code)))),
        Cell::Integer(code) => match target(&code.to_string()) {
            Some(code) => code.parse().map(Cell::Integer).map_err(|_| "roll-up"),
            None => Ok(Cell::Null),
        },
        _ => Err("roll-up"),
    }
}
