//! All views of one resource, row by row. `map` and `cases` both go through here.

use crate::cdm::{Rows, TableId, key_number};
use crate::fhir::name::Name;
use crate::fhir::path::{reference_key, resource_key};
use crate::fhir::tree::Node;
use crate::refusal::{Refusal, Step};

use super::mapping::{Mapping, TableView};
use super::resolve::Lookups;
use super::row::{RowMaker, Work};

pub(super) enum Made {
    Rows,
    /// No view reads the type.
    NoView,
    /// Views read the type, and none gave a row.
    NoRow,
    /// None gave a row, and some view found no standard concept for the resource's codes.
    NoConcept,
    /// None gave a row: the domain of its concepts is taken by no view.
    NoDomain,
}

pub(super) fn run<'a>(
    mapping: &'a Mapping,
    lookups: &'a Lookups,
    root: Node<'_, 'a>,
    rows: &mut Rows<'a>,
    work: &mut Work<'a>,
) -> Result<Made, Refusal> {
    let made = all_views(mapping, lookups, root, rows, work);
    work.stats.settle(|| patient(root));
    made
}

/// The patient that the resource is or is about, as a number.
fn patient(root: Node<'_, '_>) -> Option<i64> {
    if root.resource_type() == Some("Patient") {
        return resource_key(root).map(|key| key_number(&key));
    }
    let named = ["subject", "patient", "beneficiary"];
    let mut references = named.iter().filter_map(|name| root.get(Name::of(name)));
    references.find_map(|reference| reference_key(reference, Some("Patient")).map(|key| key_number(&key)))
}

fn all_views<'a>(
    mapping: &'a Mapping,
    lookups: &'a Lookups,
    root: Node<'_, 'a>,
    rows: &mut Rows<'a>,
    work: &mut Work<'a>,
) -> Result<Made, Refusal> {
    let Some(views) = root.resource_type().and_then(|type_name| mapping.by_type.get(type_name)) else {
        return Ok(Made::NoView);
    };
    work.next_resource();
    for &at in views {
        let before = rows.len();
        one_view(mapping, &mapping.views[at], lookups, root, rows, work)?;
        work.stats.made(at, rows.len() - before);
    }
    unique(mapping, views, rows)?;
    Ok(match rows.is_empty() {
        false => Made::Rows,
        true if work.without_view => Made::NoDomain,
        true if work.without_concept => Made::NoConcept,
        true => Made::NoRow,
    })
}

fn one_view<'a>(
    mapping: &'a Mapping,
    view: &'a TableView,
    lookups: &'a Lookups,
    root: Node<'_, 'a>,
    rows: &mut Rows<'a>,
    work: &mut Work<'a>,
) -> Result<(), Refusal> {
    let table = mapping.model.table(view.table);
    let refuse = |place: &str, rule: &'static str| Refusal::new(Step::Map, format!("{}.{place}", table.name), rule).by(view.file.clone());
    let mut room = std::mem::take(&mut work.room);
    work.next_view();
    let mut maker = RowMaker {
        mapping,
        view,
        table,
        lookups,
        rows,
        work,
        broken: None,
    };
    let done = view.view.rows_for(&mut room, root, &mut maker);
    let broken = maker.broken;
    work.room = room;
    match (broken, done) {
        (Some((column, rule)), _) => Err(refuse(&table.columns[column].name, rule)),
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
