//! A second look at every row as it leaves, from its bytes alone: the rules were applied by `row`, and here it is read again what
//! came of them. Knows the model and the policy; nothing of patients, keys or how a rule is applied.
//!
//! A member that is no column, a cell of a column that is dropped, a pseudonym that is none, and, where only the year may stay,
//! a full date or a time of day: any of them holds the whole submission back.

use std::collections::BTreeMap;

use super::policy::Policy;
use super::pseudonym;
use super::rule::{Basis, Rule};
use crate::cdm::{Kind as ColumnKind, Model, TableId};
use crate::fhir::tree::{Kind, Limits, Node, Tree};

/// Rows that must not leave, by what is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Violation {
    pub table: String,
    /// Empty where the member is no column: its name might be a value.
    pub column: String,
    pub rule: String,
    pub rows: u64,
}

/// What was read again.
pub struct Proof<'d> {
    model: &'d Model,
    policy: &'d Policy,
    tree: Tree,
    rows: u64,
    cells: u64,
    found: BTreeMap<(String, String, &'static str), u64>,
}

impl<'d> Proof<'d> {
    pub(super) fn new(model: &'d Model, policy: &'d Policy) -> Self {
        Self {
            model,
            policy,
            tree: Tree::new(),
            rows: 0,
            cells: 0,
            found: BTreeMap::new(),
        }
    }

    /// Reads one row of a table that is about to leave; `None` is the end of one.
    pub(super) fn row(&mut self, table: TableId, body: Option<&[u8]>) {
        self.rows += 1;
        let Some(body) = body else { return };
        let mut tree = std::mem::take(&mut self.tree);
        match tree.parse(body, &Limits::default()) {
            Ok(root) if root.kind() == Kind::Object => self.cells_of(table, root),
            _ => self.note(table, "", "is no JSON object"),
        }
        self.tree = tree;
    }

    fn cells_of(&mut self, id: TableId, root: Node<'_, '_>) {
        let table = self.model.table(id);
        let plans = self.policy.plans(id);
        let years_only = self.policy.basis() == Basis::SafeHarbor;
        // Columns are written in their order: each is looked for from where the last one stood.
        let mut at = 0;
        for cell in root.children() {
            self.cells += 1;
            let name = cell.name_text();
            let place = (at..table.columns.len())
                .chain(0..at)
                .find(|place| table.columns[*place].name == name);
            let Some(place) = place else {
                self.note(id, "", "a member that is no column");
                continue;
            };
            at = place + 1;
            let (column, plan) = (&table.columns[place], plans.get(place));
            let fault = match plan.map(|plan| plan.rule) {
                None => Some("a column without a rule"),
                Some(Rule::Drop) if cell.kind() != Kind::Null => Some("a cell of a dropped column"),
                Some(Rule::Pseudonym) if !is_surrogate(cell, column.kind) => Some("a key that is no surrogate"),
                Some(Rule::Year | Rule::BirthDate | Rule::BirthYear) if years_only && !is_year(cell) => {
                    Some("more of a date than its year")
                }
                _ => None,
            };
            if let Some(fault) = fault {
                self.note(id, &column.name, fault);
            }
        }
    }

    fn note(&mut self, table: TableId, column: &str, fault: &'static str) {
        let table = self.model.table(table).name.clone();
        *self.found.entry((table, column.to_owned(), fault)).or_default() += 1;
    }

    /// Rows and cells read, and what must not leave.
    pub fn finish(self) -> (u64, u64, Vec<Violation>) {
        let found = self.found.into_iter().map(|((table, column, rule), rows)| Violation {
            table,
            column,
            rule: rule.to_owned(),
            rows,
        });
        (self.rows, self.cells, found.collect())
    }
}

fn is_surrogate(cell: Node<'_, '_>, kind: ColumnKind) -> bool {
    match (cell.kind(), kind) {
        (Kind::Null, _) => true,
        (Kind::Number, ColumnKind::Key) => pseudonym::is_number(cell.raw()),
        (Kind::String, ColumnKind::Key) => false,
        (Kind::String, _) => pseudonym::is_pseudonym(cell.raw()),
        _ => false,
    }
}

/// A year as a number or a text, or the first moment of one where only a whole date fits.
fn is_year(cell: Node<'_, '_>) -> bool {
    let four = |text: &str| text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    match cell.kind() {
        Kind::Null => true,
        Kind::Number => four(cell.raw()),
        Kind::String => {
            let text = cell.raw();
            let (year, rest) = text.split_at_checked(4).unwrap_or((text, ""));
            four(year) && matches!(rest, "" | "-01-01" | "-01-01T00:00:00")
        }
        _ => false,
    }
}
