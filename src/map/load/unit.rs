//! The tags of a unit: `headwater/unit`, and the Quantity, codes and comparator it is read with.

use std::sync::Arc;

use super::super::mapping::WhenUnmapped;
use super::super::unit::{UnitRule, Wanted, Written};
use super::super::view::{Source, View};
use super::Loader;
use crate::cdm::{Column, Kind};

/// R4's Quantity and what it is narrowed to.
const QUANTITIES: [&str; 7] = [
    "Quantity",
    "SimpleQuantity",
    "MoneyQuantity",
    "Age",
    "Count",
    "Distance",
    "Duration",
];

impl Loader<'_, '_> {
    pub(super) fn unit(&mut self, source: &Source, view: &View, column: Option<&Column>) -> Option<Box<UnitRule>> {
        let Some(tag) = source.tag("headwater/unit") else {
            for name in ["headwater/quantity", "headwater/comparator"] {
                if let Some(tag) = source.tag(name) {
                    self.faults
                        .at(tag.offset, format!("`{name}` is of no use without `headwater/unit`"));
                }
            }
            return None;
        };
        let looked_up = source.tag("headwater/vocabulary").or(source.tag("headwater/translate")).is_some();
        let number = match column?.kind {
            // What is looked up is the unit's code, whatever becomes of it.
            _ if looked_up => false,
            Kind::Decimal | Kind::Integer => true,
            Kind::Text => false,
            _ => {
                let message = "`headwater/unit` belongs to a column of numbers, or to the column of their unit";
                self.faults.at(tag.offset, message);
                return None;
            }
        };
        self.quantity(source, number, tag.offset);
        if let Some(rows) = source.tag("headwater/rows") {
            self.faults.at(
                rows.offset,
                "a column whose concepts make the rows is looked up as it is, without `headwater/unit`",
            );
        }
        if let Some(taken) = source.tag("headwater/comparator")
            && !view.columns().iter().any(|column| column.name == taken.value)
        {
            let message = format!("`headwater/comparator` names `{}`, which is no column of this view", taken.value);
            self.faults.at(taken.offset, message);
        }
        let unmapped = self.when_unmapped(source);
        if let (true, WhenUnmapped::Literal(_), Some(tag)) = (number, &unmapped, source.tag("headwater/unmapped")) {
            self.faults.at(
                tag.offset,
                "a number that cannot be converted is left out, refused or kept: `null`, `refuse`, `source`",
            );
        }
        let wanted = match tag.value.as_str() {
            "normal" if number => {
                let message = "`normal` is for the column of the unit; a column of numbers names the UCUM unit it wants, or `analyte`";
                self.faults.at(tag.offset, message);
                return None;
            }
            "normal" => Wanted::Own,
            "analyte" => {
                if self.analytes.is_empty() || source.tag("headwater/coding").is_none() {
                    let message = "`analyte` needs `headwater/coding`, and a `units.toml` beside the views that says which unit each code is wanted in";
                    self.faults.at(tag.offset, message);
                }
                Wanted::Analyte
            }
            code => match Written::read(code) {
                Some(unit) if *unit.code == *code => Wanted::Unit(unit),
                Some(unit) => {
                    self.faults.at(tag.offset, format!("`{code}` is written `{}` in UCUM", unit.code));
                    return None;
                }
                None => {
                    self.faults.at(
                        tag.offset,
                        format!("`{code}` is no UCUM unit that is known here, nor `normal` or `analyte`"),
                    );
                    return None;
                }
            },
        };
        Some(Box::new(UnitRule {
            wanted,
            number,
            comparator: source.tag("headwater/comparator").is_some(),
            unmapped,
            analytes: Arc::clone(self.analytes),
        }))
    }

    /// `headwater/quantity` is there where it must be, and gives a Quantity.
    fn quantity(&mut self, source: &Source, number: bool, at: usize) {
        let Some(tag) = source.tag("headwater/quantity") else {
            if number {
                let message = "`headwater/unit` on a column of numbers needs `headwater/quantity`: the number alone does not say its unit";
                self.faults.at(at, message);
            }
            return;
        };
        if source.tag("headwater/reference").is_some() {
            self.faults
                .at(tag.offset, "a column follows a reference or measures a quantity, not both");
            return;
        }
        let other = source
            .aside_typing()
            .iter()
            .flatten()
            .find(|kind| !QUANTITIES.contains(&kind.as_str()));
        if let Some(other) = other {
            let message = format!(
                "`headwater/quantity` must give the Quantity itself, where unit and comparator stand, not its `{}`",
                other.as_str()
            );
            self.faults.at(tag.offset, message);
        }
    }
}
