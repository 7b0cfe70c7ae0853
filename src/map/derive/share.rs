//! What one resource gives to a derived row, in bytes that can wait for the other resources of its group: a JSON array of the
//! group's value and, per column of the derived table, the least or greatest so far. Whoever keeps them seals them: the
//! group's value is a patient's key, and the columns hold dates.

use serde_json::Value;

use crate::cdm::row::write_json_string;
use crate::cdm::{Cell, TableId};

use super::{Derivations, Gathered};

/// These bytes are no share of this table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share of a derived row cannot be read")]
pub struct NotAShare;

impl Derivations {
    /// What was gathered, share by share: the derived table, the group's value, the bytes.
    pub fn shares<'g>(&'g self, gathered: &'g Gathered) -> impl Iterator<Item = (TableId, &'g str, Vec<u8>)> {
        let tables = self.tables.iter().zip(&gathered.groups);
        tables.flat_map(|(derivation, groups)| {
            let table = derivation.table;
            groups
                .iter()
                .map(move |(group, cells)| (table, group.as_ref(), bytes(group, cells)))
        })
    }

    /// Adds a share of `table`, in any order.
    /// # Errors: the bytes are none.
    pub fn add(&self, table: TableId, share: &[u8], gathered: &mut Gathered) -> Result<(), NotAShare> {
        gathered.groups.resize_with(self.tables.len(), Default::default);
        let mut found = self.tables.iter().zip(&mut gathered.groups);
        let (derivation, groups) = found.find(|(derivation, _)| derivation.table == table).ok_or(NotAShare)?;
        let (group, cells) = read(share).ok_or(NotAShare)?;
        if cells.len() != derivation.columns.len() {
            return Err(NotAShare);
        }
        derivation.hold(groups.entry(group.into()).or_default(), cells);
        Ok(())
    }
}

fn bytes(group: &str, cells: &[Cell<'_>]) -> Vec<u8> {
    let mut out = vec![b'['];
    write_json_string(group, &mut out);
    for cell in cells {
        out.push(b',');
        cell.write_json(&mut out);
    }
    out.push(b']');
    out
}

fn read(share: &[u8]) -> Option<(String, Vec<Cell<'static>>)> {
    let mut values = serde_json::from_slice::<Vec<Value>>(share).ok()?.into_iter();
    let Value::String(group) = values.next()? else { return None };
    let cell = |value| match value {
        Value::Null => Some(Cell::Null),
        Value::String(text) => Some(Cell::Text(text.into())),
        Value::Number(number) => number.as_i64().map(Cell::Integer),
        _ => None,
    };
    Some((group, values.map(cell).collect::<Option<_>>()?))
}
