//! What the Data Checks ask of rows: cells, shares, dates.

use std::collections::{BTreeMap, BTreeSet};

use headwater::cdm::Model;
use serde_json::Value;

use crate::models::Tables;

/// What a check found too much of: the check and the place.
pub type Finding = (&'static str, String);

/// A data mart's rows, with the model they fit.
pub struct Mart<'m> {
    pub model: &'m Model,
    pub tables: &'m Tables,
    pub today: String,
    pub found: BTreeSet<Finding>,
}

impl<'m> Mart<'m> {
    pub fn rows(&self, table: &str) -> &'m [Value] {
        &self.tables[table]
    }

    pub fn found(&mut self, check: &'static str, place: impl Into<String>) {
        self.found.insert((check, place.into()));
    }

    /// Finds where more than `limit` percent of the rows that are asked are `bad`; no row, no finding.
    pub fn more_than(&mut self, check: &'static str, place: &str, limit: usize, bad: usize, asked: usize) {
        if asked > 0 && bad * 100 > limit * asked {
            self.found(check, place);
        }
    }

    pub fn less_than(&mut self, check: &'static str, place: &str, limit: usize, good: usize, asked: usize) {
        if asked > 0 && good * 100 < limit * asked {
            self.found(check, place);
        }
    }

    /// The rows of `table` by their key column.
    pub fn by(&self, table: &str, column: &str) -> BTreeMap<&'m str, &'m Value> {
        self.rows(table).iter().filter_map(|row| Some((text(row, column)?, row))).collect()
    }

    /// The patients that have a row in `table`.
    pub fn patients(&self, table: &str) -> BTreeSet<&'m str> {
        self.rows(table).iter().filter_map(|row| text(row, "patid")).collect()
    }
}

pub fn text<'r>(row: &'r Value, column: &str) -> Option<&'r str> {
    row.get(column)?.as_str()
}

pub fn number(row: &Value, column: &str) -> Option<f64> {
    row.get(column)?.as_f64()
}

/// Whether a cell tells nothing: empty, or a flavour of null.
pub fn is_missing(row: &Value, column: &str) -> bool {
    match row.get(column) {
        None => true,
        Some(cell) => matches!(cell.as_str(), Some("NI" | "UN" | "OT")),
    }
}

pub fn is_any(row: &Value, column: &str, of: &[&str]) -> bool {
    text(row, column).is_some_and(|cell| of.contains(&cell))
}
