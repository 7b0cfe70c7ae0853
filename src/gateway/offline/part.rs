//! What one block of lines gave: rows as bytes, and every count. Parts are added up in the order of blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cdm::{Cell, Model, Table, TableId, csv};
use crate::deidentify::{Deidentified, Deidentifier};
use crate::map::derive::Gathered;
use crate::map::{MapStats, Mapped};
use crate::refusal::Refusal;

use super::super::counts::TypeCounts;
use super::super::folder::Input;
use super::super::site::Rules;
use super::outcome::{RefusedLine, SHOWN};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Ndjson,
    Csv,
}

/// What one block gave.
#[derive(Default)]
pub(super) struct Part {
    pub tables: Vec<Vec<u8>>,
    pub rows: Vec<u64>,
    pub types: BTreeMap<String, TypeCounts>,
    pub excluded: BTreeMap<String, u64>,
    pub refused: BTreeMap<String, u64>,
    pub withheld: BTreeMap<Arc<str>, u64>,
    pub lines: Vec<RefusedLine>,
    pub stats: MapStats,
    pub gathered: Gathered,
    pub bytes: u64,
}

impl Part {
    pub(super) fn of(rules: &Rules) -> Self {
        let tables = rules.model.tables().count();
        Self {
            tables: vec![Vec::new(); tables],
            rows: vec![0; tables],
            ..Self::default()
        }
    }

    /// A resource's rows as they are.
    pub(super) fn write(&mut self, model: &Model, format: Format, mapped: &Mapped<'_>) {
        for (id, cells) in mapped.rows().iter() {
            let table = usize::from(id.0);
            let out = &mut self.tables[table];
            match format {
                Format::Ndjson => model.table(id).write_json(cells, out),
                Format::Csv => write_csv(model.table(id), cells, out),
            }
            out.push(b'\n');
            self.rows[table] += 1;
        }
    }

    /// A resource's rows as they may leave; those that may not are counted.
    pub(super) fn release(&mut self, rules: &Rules, by: &Deidentifier, mapped: &Mapped<'_>, released: &[Deidentified]) {
        for table in by.withheld(mapped) {
            *self.withheld.entry(table.clone()).or_default() += 1;
        }
        for row in released {
            if let Some(TableId(table)) = rules.model.find(row.table()) {
                let out = &mut self.tables[usize::from(table)];
                out.extend_from_slice(row.body().unwrap_or_default());
                out.push(b'\n');
                self.rows[usize::from(table)] += 1;
            }
        }
    }

    /// A derived row, which no resource's fate counts.
    pub(super) fn refuse_row(&mut self, refusal: &Refusal) {
        let rule = format!("derived row: {} {}", refusal.path, refusal.rule);
        *self.refused.entry(rule).or_default() += 1;
    }

    pub(super) fn refuse(&mut self, input: &Input, line: u64, resource_type: &str, refusal: &Refusal) {
        self.types.entry(resource_type.to_owned()).or_default().refused += 1;
        *self
            .refused
            .entry(format!("{}: {}", refusal.step.as_str(), refusal.rule))
            .or_default() += 1;
        if self.lines.len() < SHOWN {
            self.lines.push(RefusedLine {
                file: input
                    .path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                line,
                resource_type: resource_type.to_owned(),
                refusal: refusal.to_string(),
            });
        }
    }
}

/// One CSV record.
fn write_csv(table: &Table, cells: &[Cell<'_>], out: &mut Vec<u8>) {
    for (at, (column, cell)) in table.columns.iter().zip(cells).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match column.outward(cell) {
            Cell::Null => {}
            Cell::Text(text) => csv::write_text(&text, out),
            other => other.write_json(out),
        }
    }
}
