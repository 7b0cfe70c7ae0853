//! One view row to one table row: translate, look up, cut dates, make the key, check against the table.

use std::borrow::Cow;

use crate::cdm::{Cell, Kind as ColumnKind, Table};
use crate::fhir::path::reference_key;
use crate::fhir::tree::{Kind, Node};

use super::mapping::{Rule, TableView, Translation, WhenUnmapped};
use super::resolve::{Found, Lookups, codings};
use super::stats::MapStats;
use super::view::{Field, Row};

/// The column that broke a rule, and the rule.
pub(super) type Broken = (usize, &'static str);

pub(super) struct RowMaker<'m> {
    pub view: &'m TableView,
    pub table: &'m Table,
    pub resolves: &'m [super::resolve::Resolve],
    pub lookups: &'m Lookups,
}

impl RowMaker<'_> {
    /// Appends the row's cells to `cells`, one per column of the table.
    /// # Errors: the first column that cannot be filled or does not fit.
    pub(super) fn cells<'a>(&self, row: &Row<'_, 'a>, cells: &mut Vec<Cell<'a>>, stats: &mut MapStats) -> Result<(), Broken> {
        cells.clear();
        let mut key = None;
        for (place, filled) in self.view.filled_by.iter().enumerate() {
            let Some(at) = *filled else {
                cells.push(Cell::Null);
                continue;
            };
            let rule = self.view.rules.get(usize::from(row.by[at]));
            if let Some(columns) = rule.and_then(|rule| rule.key.as_deref()) {
                key = Some((place, columns));
            }
            let cell = match rule {
                Some(rule) => self.cell(rule, row, at, place, stats).map_err(|word| (place, word))?,
                None => Cell::Null,
            };
            cells.push(fitting(cell, self.table.columns[place].kind));
        }
        if let Some((place, columns)) = key
            && !columns.is_empty()
            && let Cell::Text(own) = &cells[place]
        {
            let mut text = format!("{own}#");
            for (at, &column) in columns.iter().enumerate() {
                if at > 0 {
                    text.push('#');
                }
                match &cells[column] {
                    Cell::Null => {}
                    Cell::Boolean(value) => text.push_str(if *value { "true" } else { "false" }),
                    Cell::Integer(number) => text.push_str(&number.to_string()),
                    Cell::Decimal(digits) => text.push_str(digits),
                    Cell::Text(part) => text.push_str(part),
                }
            }
            cells[place] = Cell::Text(Cow::Owned(text));
        }
        self.table.check(cells)
    }

    fn cell<'a>(&self, rule: &Rule, row: &Row<'_, 'a>, at: usize, place: usize, stats: &mut MapStats) -> Result<Cell<'a>, &'static str> {
        let own = row.fields[at].cell().ok_or("not a single primitive value")?;
        let cell = match &rule.translation {
            Some(translation) => self.translated(translation, rule, own, row, at, place, stats)?,
            None if own.is_null() => match self.found(rule, row, at) {
                Some(Found::Value(cell)) => cell.clone(),
                _ => Cell::Null,
            },
            None => own,
        };
        Ok(if rule.date { calendar_date(cell) } else { cell })
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `cell`, cut out to be readable")]
    fn translated<'a>(
        &self,
        translation: &Translation,
        rule: &Rule,
        own: Cell<'a>,
        row: &Row<'_, 'a>,
        at: usize,
        place: usize,
        stats: &mut MapStats,
    ) -> Result<Cell<'a>, &'static str> {
        let mut codes = Codes::new(translation);
        if translation.coding {
            if let Some(Field::List(all)) = row.codings.get(at) {
                for node in all.iter().filter_map(object) {
                    codings(node, &mut |system, code| codes.meet(system, code));
                }
            }
        } else if let (Some(system), Cell::Text(code)) = (&translation.system, &own) {
            codes.meet(system, code);
        }
        if !codes.met {
            match self.found(rule, row, at) {
                Some(Found::Codings(all)) => {
                    for (system, code) in all {
                        codes.meet(system, code);
                    }
                }
                Some(Found::Value(Cell::Text(code))) => {
                    codes.meet(translation.system.as_deref().unwrap_or_default(), code);
                }
                _ => {}
            }
        }
        if let Some(target) = codes.target.or(codes.otherwise) {
            return Ok(Cell::Text(Cow::Owned(target)));
        }
        if let Some((system, code)) = &codes.first {
            stats.count(self.view.table, place, system, code);
            if translation.unmapped == WhenUnmapped::Refuse {
                return Err("unmapped");
            }
        }
        Ok(if translation.unmapped == WhenUnmapped::Source {
            own
        } else {
            Cell::Null
        })
    }

    /// What the column's reference leads to.
    fn found(&self, rule: &Rule, row: &Row<'_, '_>, at: usize) -> Option<&Found> {
        let resolve = rule.resolve?;
        let wanted = self.resolves.get(resolve)?.resource.as_str();
        let Some(Field::List(references)) = row.references.get(at) else {
            return None;
        };
        references.iter().filter_map(object).find_map(|reference| {
            let key = reference_key(reference, Some(wanted))?;
            self.lookups.get(resolve, &key)
        })
    }
}

/// Codes met on the way to a target, in order: the first that the map itself knows wins, then the first that it has a
/// word for otherwise.
struct Codes<'m> {
    translation: &'m Translation,
    target: Option<String>,
    otherwise: Option<String>,
    first: Option<(String, String)>,
    met: bool,
}

impl<'m> Codes<'m> {
    fn new(translation: &'m Translation) -> Self {
        Self {
            translation,
            target: None,
            otherwise: None,
            first: None,
            met: false,
        }
    }

    /// `true` while more codes are wanted.
    fn meet(&mut self, system: &str, code: &str) -> bool {
        self.met = true;
        if self.target.is_some() {
            return false;
        }
        self.target = self.translation.map.target(system, code).map(str::to_owned);
        if self.target.is_some() {
            return false;
        }
        if self.otherwise.is_none() {
            self.otherwise = self.translation.map.otherwise(system, code).map(str::to_owned);
        }
        if self.first.is_none() {
            self.first = Some((system.to_owned(), code.to_owned()));
        }
        true
    }
}

fn object<'t, 'a>(field: &Field<'t, 'a>) -> Option<Node<'t, 'a>> {
    match field {
        Field::Node(node) if node.kind() == Kind::Object => Some(*node),
        _ => None,
    }
}

/// The cell as the column's kind writes it: a whole number is an integer where the column is one, a value of another kind
/// is text where the column is text. What does not fit stays and is refused by the check.
fn fitting(cell: Cell<'_>, kind: ColumnKind) -> Cell<'_> {
    match (kind, cell) {
        (ColumnKind::Integer, Cell::Decimal(digits)) => match digits.parse() {
            Ok(number) => Cell::Integer(number),
            Err(_) => Cell::Decimal(digits),
        },
        (ColumnKind::Text, Cell::Decimal(digits)) => Cell::Text(digits),
        (ColumnKind::Text, Cell::Integer(number)) => Cell::Text(number.to_string().into()),
        (ColumnKind::Text, Cell::Boolean(value)) => Cell::Text(if value { "true".into() } else { "false".into() }),
        (_, cell) => cell,
    }
}

/// The date part of a dateTime or instant, in the zone it was written in.
fn calendar_date(cell: Cell<'_>) -> Cell<'_> {
    match cell {
        Cell::Text(Cow::Borrowed(text)) => Cell::Text(Cow::Borrowed(text.find('T').map_or(text, |at| &text[..at]))),
        Cell::Text(Cow::Owned(mut text)) => {
            if let Some(at) = text.find('T') {
                text.truncate(at);
            }
            Cell::Text(Cow::Owned(text))
        }
        cell => cell,
    }
}
