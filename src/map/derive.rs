//! Tables that no single resource fills (`derived.toml`): one row for each patient out of many rows of another table, or one
//! row for the whole run. Pure: rows are taken in any order and in any number of parts, the same rows come out.
//! Memory: one entry for each group, a few words each.

mod load;
mod share;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::cdm::{Cell, Model, Rows, TableId};

use super::fault::MappingFault;
use super::mapped::Mapped;

pub use share::NotAShare;

/// The derived tables of one model.
#[derive(Debug, Default)]
pub struct Derivations {
    tables: Vec<Derivation>,
}

#[derive(Debug)]
struct Derivation {
    table: TableId,
    source: Source,
    /// Per column of the table.
    columns: Vec<Option<Make>>,
}

#[derive(Debug)]
enum Source {
    /// One row.
    Run,
    /// One row for each value of a column of another table.
    Groups { from: TableId, by: usize },
}

/// What a column is made of.
#[derive(Debug)]
enum Make {
    Constant(Cell<'static>),
    /// A fact of the run, and what stands there when it has none.
    Run(Fact, Option<String>),
    By,
    /// Columns of the rows that are gathered.
    Least(usize),
    Greatest(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Date,
    Vocabulary,
    Mapping,
    Version,
    DateManagement,
}

/// What a run says of itself.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// YYYY-MM-DD
    pub date: String,
    /// Release of the vocabularies.
    pub vocabulary: String,
    /// Digest of the mapping.
    pub mapping: String,
    /// This program's.
    pub version: String,
    /// PCORnet's code for how dates are treated: `01` as they are, `03` obfuscated.
    pub date_management: String,
}

/// What was gathered of the rows so far.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Per derived table, by group: the least or greatest of each of its columns.
    groups: Vec<BTreeMap<Box<str>, Vec<Cell<'static>>>>,
}

impl Derivations {
    /// The tables that `text` (TOML) derives in `model`; `file` names it in faults.
    /// # Errors: every fault of the file, with its line.
    pub fn load(file: &str, text: &str, model: &Model) -> Result<Self, Vec<MappingFault>> {
        load::load(file, text, model)
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The tables, in the order of the file.
    pub fn tables(&self) -> impl Iterator<Item = TableId> {
        self.tables.iter().map(|derivation| derivation.table)
    }

    /// The tables with one row a run.
    pub fn of_run(&self) -> impl Iterator<Item = TableId> {
        let of_run = self.tables.iter().filter(|derivation| matches!(derivation.source, Source::Run));
        of_run.map(|derivation| derivation.table)
    }

    /// Whether rows of this table are gathered.
    pub fn gathers(&self, table: TableId) -> bool {
        let from = |derivation: &Derivation| matches!(derivation.source, Source::Groups { from, .. } if from == table);
        self.tables.iter().any(from)
    }

    /// Takes one row of `table`.
    pub fn gather(&self, table: TableId, cells: &[Cell<'_>], gathered: &mut Gathered) {
        gathered.groups.resize_with(self.tables.len(), BTreeMap::new);
        for (derivation, groups) in self.tables.iter().zip(&mut gathered.groups) {
            let Source::Groups { from, by } = derivation.source else { continue };
            if from != table {
                continue;
            }
            let Some(Cell::Text(group)) = cells.get(by) else { continue };
            let width = derivation.columns.len();
            if !groups.contains_key(group.as_ref()) {
                groups.insert(group.as_ref().into(), vec![Cell::Null; width]);
            }
            let Some(held) = groups.get_mut(group.as_ref()) else { continue };
            for (make, held) in derivation.columns.iter().zip(held) {
                match make {
                    Some(Make::Least(at)) => keep(held, &cells[*at], std::cmp::Ordering::Less),
                    Some(Make::Greatest(at)) => keep(held, &cells[*at], std::cmp::Ordering::Greater),
                    _ => {}
                }
            }
        }
    }

    /// Adds what another part gathered.
    pub fn merge(&self, gathered: &mut Gathered, other: Gathered) {
        gathered.groups.resize_with(self.tables.len(), BTreeMap::new);
        for ((derivation, mine), theirs) in self.tables.iter().zip(&mut gathered.groups).zip(other.groups) {
            for (group, cells) in theirs {
                derivation.hold(mine.entry(group).or_default(), cells);
            }
        }
    }

    /// Calls `each` with every derived row, in the order of tables and groups.
    /// # Errors: `table.column` and the rule of the first row that does not fit its table; what `each` says.
    pub fn rows<E>(
        &self,
        model: &Model,
        gathered: &Gathered,
        facts: &RunFacts,
        mut each: impl FnMut(Result<&Mapped<'_>, (String, &'static str)>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.tables()
            .try_for_each(|table| self.rows_of(model, table, gathered, facts, &mut each))
    }

    /// The same, of one table; none when it is not derived.
    /// # Errors: as `rows`.
    pub fn rows_of<E>(
        &self,
        model: &Model,
        table: TableId,
        gathered: &Gathered,
        facts: &RunFacts,
        each: &mut impl FnMut(Result<&Mapped<'_>, (String, &'static str)>) -> Result<(), E>,
    ) -> Result<(), E> {
        let none = BTreeMap::new();
        let of_table = self.tables.iter().enumerate().filter(|(_, derivation)| derivation.table == table);
        for (at, derivation) in of_table {
            let one = [("", &[][..])];
            let groups = gathered.groups.get(at).unwrap_or(&none);
            let groups = groups.iter().map(|(group, cells)| (group.as_ref(), cells.as_slice()));
            let rows: Box<dyn Iterator<Item = (&str, &[Cell<'_>])>> = match derivation.source {
                Source::Run => Box::new(one.into_iter()),
                Source::Groups { .. } => Box::new(groups),
            };
            for (group, held) in rows {
                let cells: Vec<Cell<'_>> = derivation.row(group, held, facts);
                let table = model.table(derivation.table);
                if let Err((column, rule)) = table.check(&cells) {
                    each(Err((format!("{}.{}", table.name, table.columns[column].name), rule)))?;
                    continue;
                }
                let mut rows = Rows::new();
                rows.begin(derivation.table);
                cells.into_iter().for_each(|cell| rows.push(cell));
                each(Ok(&Mapped::derived(rows)))?;
            }
        }
        Ok(())
    }
}

impl Derivation {
    /// Adds `cells` to what is `held` of their group; nothing is held of a new one.
    fn hold(&self, held: &mut Vec<Cell<'static>>, cells: Vec<Cell<'static>>) {
        if held.is_empty() {
            *held = cells;
            return;
        }
        for ((make, held), cell) in self.columns.iter().zip(held).zip(&cells) {
            match make {
                Some(Make::Least(_)) => keep(held, cell, std::cmp::Ordering::Less),
                Some(Make::Greatest(_)) => keep(held, cell, std::cmp::Ordering::Greater),
                _ => {}
            }
        }
    }

    fn row<'g>(&'g self, group: &'g str, held: &'g [Cell<'_>], facts: &'g RunFacts) -> Vec<Cell<'g>> {
        let make = |(at, make): (usize, &'g Option<Make>)| match make {
            None => Cell::Null,
            Some(Make::Constant(cell)) => cell.borrowed(),
            Some(Make::By) => Cell::Text(Cow::Borrowed(group)),
            Some(Make::Least(_) | Make::Greatest(_)) => held.get(at).map_or(Cell::Null, Cell::borrowed),
            Some(Make::Run(fact, otherwise)) => {
                let told = match fact {
                    Fact::Date => &facts.date,
                    Fact::Vocabulary => &facts.vocabulary,
                    Fact::Mapping => &facts.mapping,
                    Fact::Version => &facts.version,
                    Fact::DateManagement => &facts.date_management,
                };
                match (told.is_empty(), otherwise) {
                    (false, _) => Cell::Text(Cow::Borrowed(told)),
                    (true, Some(otherwise)) => Cell::Text(Cow::Borrowed(otherwise)),
                    (true, None) => Cell::Null,
                }
            }
        };
        self.columns.iter().enumerate().map(make).collect()
    }
}

/// Keeps `cell` where nothing is held yet, or where it is on that side of what is held.
fn keep(held: &mut Cell<'static>, cell: &Cell<'_>, side: std::cmp::Ordering) {
    let better = match (&*held, cell) {
        (_, Cell::Null) => false,
        (Cell::Null, _) => true,
        (Cell::Integer(held), Cell::Integer(cell)) => cell.cmp(held) == side,
        // Dates of one form: their text sorts as they do.
        (Cell::Text(held), Cell::Text(cell)) => cell.as_ref().cmp(held.as_ref()) == side,
        _ => false,
    };
    if better {
        *held = match cell {
            Cell::Text(text) => Cell::Text(Cow::Owned(text.to_string())),
            Cell::Integer(number) => Cell::Integer(*number),
            _ => Cell::Null,
        };
    }
}

#[cfg(test)]
mod tests;
