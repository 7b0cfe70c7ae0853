//! All views of one resource, row by row. `map` and `cases` both go through here.

use crate::cdm::{Cell, Rows, TableId};
use crate::fhir::tree::Node;
use crate::refusal::{Refusal, Step};

use super::mapping::{Mapping, TableView};
use super::resolve::Lookups;
use super::row::RowMaker;
use super::stats::MapStats;
use super::view::{Room, RowFault};

pub(super) enum Made {
    Rows,
    /// No view reads the type.
    NoView,
    /// Views read the type, and none gave a row.
    NoRow,
}

pub(super) fn run<'a>(
    mapping: &Mapping,
    lookups: &Lookups,
    root: Node<'_, 'a>,
    rows: &mut Rows<'a>,
    cells: &mut Vec<Cell<'a>>,
    room: &mut Room,
    stats: &mut MapStats,
) -> Result<Made, Refusal> {
    let Some(views) = root.resource_type().and_then(|type_name| mapping.by_type.get(type_name)) else {
        return Ok(Made::NoView);
    };
    for &at in views {
        one_view(mapping, &mapping.views[at], lookups, root, rows, cells, room, stats)?;
    }
    unique(mapping, views, rows)?;
    Ok(if rows.is_empty() { Made::NoRow } else { Made::Rows })
}

#[expect(clippy::too_many_arguments, reason = "one step of `run`, cut out to be readable")]
fn one_view<'a>(
    mapping: &Mapping,
    view: &TableView,
    lookups: &Lookups,
    root: Node<'_, 'a>,
    rows: &mut Rows<'a>,
    cells: &mut Vec<Cell<'a>>,
    room: &mut Room,
    stats: &mut MapStats,
) -> Result<(), Refusal> {
    let table = mapping.model.table(view.table);
    let maker = RowMaker {
        view,
        table,
        resolves: &mapping.resolves,
        lookups,
    };
    let refuse = |place: &str, rule: &'static str| Refusal::new(Step::Map, format!("{}.{place}", table.name), rule).by(view.file.clone());
    let mut broken = None;
    let done = view.view.rows_in(room, root, &mut |row| {
        if let Err((column, rule)) = maker.cells(row, cells, stats) {
            broken = Some(refuse(&table.columns[column].name, rule));
            return Err(RowFault {
                place: String::new(),
                rule,
            });
        }
        rows.begin(view.table);
        for cell in cells.drain(..) {
            rows.push(cell);
        }
        Ok(())
    });
    match (broken, done) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(fault)) => Err(refuse(&fault.place, fault.rule)),
        (None, Ok(())) => Ok(()),
    }
}

/// No two rows of one table with one key.
fn unique(mapping: &Mapping, views: &[usize], rows: &Rows<'_>) -> Result<(), Refusal> {
    if rows.len() < 2 {
        return Ok(());
    }
    let mut keys: Vec<(TableId, &str)> = rows
        .iter()
        .filter_map(|(table, cells)| Some((table, cells[mapping.model.table(table).key].as_text()?)))
        .collect();
    keys.sort_unstable();
    let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) else {
        return Ok(());
    };
    let id = twice[0].0;
    let table = mapping.model.table(id);
    let refusal = Refusal::new(
        Step::Map,
        format!("{}.{}", table.name, table.columns[table.key].name),
        "duplicate key",
    );
    let file = views.iter().map(|&at| &mapping.views[at]).find(|view| view.table == id);
    Err(match file {
        Some(view) => refusal.by(view.file.clone()),
        None => refusal,
    })
}
