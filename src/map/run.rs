//! All views of one resource, row by row. `map` and `cases` both go through here.

use crate::cdm::{Rows, TableId};
use crate::fhir::tree::Node;
use crate::refusal::{Refusal, Step};

use super::mapping::{Mapping, TableView};
use super::resolve::Lookups;
use super::row::{RowMaker, Work};
use super::view::RowFault;

pub(super) enum Made {
    Rows,
    /// No view reads the type.
    NoView,
    /// Views read the type, and none gave a row.
    NoRow,
    /// None gave a row, and some view found no standard concept for the resource's codes.
    NoConcept,
}

pub(super) fn run<'a>(
    mapping: &Mapping,
    lookups: &Lookups,
    root: Node<'_, 'a>,
    rows: &mut Rows<'a>,
    work: &mut Work<'a>,
) -> Result<Made, Refusal> {
    let Some(views) = root.resource_type().and_then(|type_name| mapping.by_type.get(type_name)) else {
        return Ok(Made::NoView);
    };
    work.without_concept = false;
    for &at in views {
        let before = rows.len();
        one_view(mapping, &mapping.views[at], lookups, root, rows, work)?;
        work.stats.made(at, rows.len() - before);
    }
    unique(mapping, views, rows)?;
    Ok(match rows.is_empty() {
        false => Made::Rows,
        true if work.without_concept => Made::NoConcept,
        true => Made::NoRow,
    })
}

fn one_view<'a>(
    mapping: &Mapping,
    view: &TableView,
    lookups: &Lookups,
    root: Node<'_, 'a>,
    rows: &mut Rows<'a>,
    work: &mut Work<'a>,
) -> Result<(), Refusal> {
    let table = mapping.model.table(view.table);
    let maker = RowMaker {
        mapping,
        view,
        table,
        lookups,
    };
    let refuse = |place: &str, rule: &'static str| Refusal::new(Step::Map, format!("{}.{place}", table.name), rule).by(view.file.clone());
    let mut broken = None;
    let done = view.view.rows(root, &mut |row| {
        maker.rows(row, rows, work).map_err(|(column, rule)| {
            broken = Some(refuse(&table.columns[column].name, rule));
            RowFault {
                place: String::new(),
                rule,
            }
        })
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
