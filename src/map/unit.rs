//! A number in the unit that its column asks for, and a unit in UCUM's spelling: `headwater/unit` with `headwater/quantity`.
//!
//! A number whose unit is the wanted one keeps its digits. One of another unit of the same kind is converted by UCUM, in decimals;
//! one of another kind only as `units.toml` says for its analyte. Whatever cannot be converted, and a number with a comparator that
//! no column takes, is missed with a reason and never passed on as if it were in the wanted unit.
//! Basis: UCUM 2.2; FHIR R4 Quantity.

mod analytes;
mod written;

use std::borrow::Cow;
use std::sync::Arc;

use super::mapping::WhenUnmapped;
use crate::cdm::Cell;
use crate::fhir::decimal::Decimal;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};

pub(super) use analytes::{Analyte, Analytes};
pub(super) use written::{UnitCache, Written};

/// The system of UCUM's codes.
pub(super) const UCUM: &str = "http://unitsofmeasure.org";

/// What one column asks for.
#[derive(Debug)]
pub(super) struct UnitRule {
    pub wanted: Wanted,
    /// The column holds the number; else the unit.
    pub number: bool,
    /// Another column of the view takes the comparator.
    pub comparator: bool,
    pub unmapped: WhenUnmapped,
    pub analytes: Arc<Analytes>,
}

#[derive(Debug)]
pub(super) enum Wanted {
    /// This one.
    Unit(Written),
    /// The one that `units.toml` gives for the code; where it gives none, the source's own.
    Analyte,
    /// The source's own, in UCUM's spelling.
    Own,
}

/// A number or a unit that could not be given, and why.
pub(super) struct Missed<'a> {
    pub system: Cow<'a, str>,
    pub code: Cow<'a, str>,
    pub reason: &'static str,
}

/// What of a Quantity says what its number means.
struct Measured<'a> {
    system: Cow<'a, str>,
    /// The unit as code and as word, the code first; a code of another system is none.
    units: [Option<Cow<'a, str>>; 2],
    comparator: Option<Cow<'a, str>>,
}

impl<'a> Measured<'a> {
    fn of(quantity: Node<'_, 'a>) -> Self {
        let text = |name| quantity.get(name).filter(|node| node.kind() == Kind::String).map(Node::text);
        let system = text(Name::SYSTEM).unwrap_or_default();
        let code = text(Name::CODE).filter(|_| system.is_empty() || system == UCUM);
        Self {
            system,
            units: [code, text(Name::of("unit"))],
            comparator: text(Name::of("comparator")),
        }
    }

    /// The unit as it stands in a column of text.
    fn word(text: Cow<'a, str>) -> Self {
        Self {
            system: Cow::Borrowed(""),
            units: [Some(text), None],
            comparator: None,
        }
    }

    fn missed(&self, reason: &'static str) -> Missed<'a> {
        let code = match reason {
            "comparator" => self.comparator.clone(),
            _ => self.units.iter().flatten().next().cloned(),
        };
        Missed {
            system: self.system.clone(),
            code: code.unwrap_or_default(),
            reason,
        }
    }

    /// The unit, if one of the two ways to say it can be read.
    fn read(&self, cache: &mut UnitCache) -> Option<Arc<Written>> {
        self.units.iter().flatten().find_map(|text| cache.read(text))
    }

    /// It says so itself, letter by letter.
    fn is(&self, wanted: &Written) -> bool {
        self.units.iter().flatten().next().is_some_and(|text| **text == *wanted.code)
    }
}

impl UnitRule {
    /// What becomes of the cell that the column's own path gave. `quantity` is what the unit stands in, `analyte` what is known of the
    /// code; neither is asked for before it is needed.
    pub(super) fn given<'a>(
        &'a self,
        own: &Cell<'a>,
        quantity: Option<Node<'_, 'a>>,
        analyte: impl Fn() -> Option<&'a Analyte>,
        cache: &mut UnitCache,
    ) -> Result<Cell<'a>, Missed<'a>> {
        let measured = match (quantity, own) {
            (_, Cell::Null) if self.number => return Ok(Cell::Null),
            (Some(quantity), _) => Measured::of(quantity),
            (None, Cell::Text(text)) if !self.number => Measured::word(text.clone()),
            (None, Cell::Null) => return Ok(Cell::Null),
            (None, _) => Measured::word(Cow::Borrowed("")),
        };
        if !self.number && measured.units.iter().all(Option::is_none) {
            return Ok(Cell::Null);
        }
        if self.number && !self.comparator && measured.comparator.is_some() {
            return Err(measured.missed("comparator"));
        }
        let analyte = match &self.wanted {
            Wanted::Unit(wanted) if measured.is(wanted) => return Ok(self.same(own, wanted)),
            _ => analyte(),
        };
        let wanted = match &self.wanted {
            Wanted::Unit(wanted) => Some(wanted),
            Wanted::Analyte => analyte.and_then(|analyte| analyte.unit.as_ref()),
            Wanted::Own => None,
        };
        match (wanted, self.number) {
            (Some(wanted), _) if measured.is(wanted) => Ok(self.same(own, wanted)),
            (Some(wanted), true) => number(own, &measured, wanted, analyte, cache),
            (Some(wanted), false) => match measured.read(cache) {
                Some(from) if from.is_like(wanted) || connects(analyte, &from, wanted) => Ok(self.same(own, wanted)),
                Some(_) => Err(measured.missed("other-kind")),
                None => Err(measured.missed("no-ucum")),
            },
            (None, true) => Ok(own.clone()),
            (None, false) => match measured.read(cache) {
                Some(unit) => Ok(Cell::Text(Cow::Owned(unit.code.as_ref().to_owned()))),
                None => Err(measured.missed("no-ucum")),
            },
        }
    }

    fn same<'a>(&self, own: &Cell<'a>, wanted: &'a Written) -> Cell<'a> {
        match self.number {
            true => own.clone(),
            false => Cell::Text(Cow::Borrowed(&wanted.code)),
        }
    }
}

fn connects(analyte: Option<&Analyte>, from: &Written, to: &Written) -> bool {
    analyte.is_some_and(|analyte| analyte.connects(from, to))
}

fn number<'a>(
    own: &Cell<'a>,
    measured: &Measured<'a>,
    wanted: &Written,
    analyte: Option<&Analyte>,
    cache: &mut UnitCache,
) -> Result<Cell<'a>, Missed<'a>> {
    let written = match own {
        Cell::Decimal(digits) => Decimal::parse(digits),
        Cell::Integer(number) => Some(Decimal::from(*number)),
        // The check against the table refuses it.
        _ => return Ok(own.clone()),
    };
    let Some(from) = measured.read(cache) else {
        let none = measured.units.iter().flatten().all(|text| text.is_empty());
        return match (none, wanted.is_one()) {
            (true, true) => Ok(own.clone()),
            (true, false) => Err(measured.missed("no-unit")),
            (false, _) => Err(measured.missed("no-ucum")),
        };
    };
    let like = from.is_like(wanted);
    if !like && !connects(analyte, &from, wanted) {
        return Err(measured.missed("other-kind"));
    }
    let convert = |number| match like {
        true => from.convert(number, wanted),
        false => analyte?.convert(number, &from, wanted),
    };
    let converted = written.and_then(|number| sensible(number, &convert));
    match converted {
        Some(None) => Ok(own.clone()),
        Some(Some(number)) => Ok(Cell::Decimal(number.to_string().into())),
        None => Err(measured.missed("out-of-range")),
    }
}

/// The number converted, with the fewest places that still tell apart what the source's last place told apart, and one more: going
/// back gives the source's digits again. The inner `None`: both units are one, and the digits stay as they are.
fn sensible(number: Decimal, convert: &dyn Fn(Decimal) -> Option<Decimal>) -> Option<Option<Decimal>> {
    let (zero, one) = (convert(Decimal::ZERO)?, convert(Decimal::from(1))?);
    if zero.is_zero() && one == Decimal::from(1) {
        return Some(None);
    }
    let converted = convert(number)?;
    let last = convert(Decimal::new(1, number.scale()))?.minus(zero)?;
    let places = (0..30).find(|places| Decimal::new(10, *places) <= last);
    let rounded = places.map_or(Some(converted), |places| converted.round(places))?;
    Some(Some(rounded.trimmed()))
}

#[cfg(test)]
mod tests;
