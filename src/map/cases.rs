//! Cases beside each mapping file: what goes in and which rows come out, run through the whole mapping.
//! Cases are synthetic, so their values may be shown.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::cdm::{Cell, Rows, Table};
use crate::fhir::path::place;
use crate::fhir::tree::{Kind, Node, Tree};

use super::file::{items, member, read, text};
use super::mapping::Mapping;
use super::row::Work;
use super::run::run;
use super::vocabulary::Vocabulary;

/// Cases of one file, failures shown of it, and steps that all its cases may take together: some seconds.
const MAX_CASES: usize = 1000;
const MAX_FAILURES: usize = 100;
const MAX_STEPS: usize = 10_000_000;

/// A case that did not come out as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFailure {
    pub file: String,
    /// Line and column, from 1, of what was expected.
    pub at: (usize, usize),
    pub case: String,
    /// `table`, `table.column`, or empty when the case as a whole failed.
    pub place: String,
    pub message: String,
}

impl fmt::Display for CaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.at.0, self.at.1)?;
        if !self.case.is_empty() {
            write!(f, "{}: ", self.case)?;
        }
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)
    }
}

/// What running the cases of one file gave.
#[derive(Debug, Default)]
pub struct CaseReport {
    pub cases: usize,
    pub failures: Vec<CaseFailure>,
}

/// Runs every case of one file, `<Resource>.<table>.cases.json`. Only rows of that table are compared.
/// `vocabulary` is what codes are looked up in: the model's own small one.
pub fn run_cases(mapping: &Mapping, vocabulary: Option<&Arc<dyn Vocabulary>>, file: &str, source: &str) -> CaseReport {
    let mut report = CaseReport::default();
    let mut fail = |case: &str, failure: Failure| {
        report.failures.push(CaseFailure {
            file: file.to_owned(),
            at: place(source, failure.offset),
            case: case.to_owned(),
            place: failure.place,
            message: failure.message,
        });
    };
    let mut tree = Tree::new();
    let root = match read(&mut tree, source) {
        Ok(root) => root,
        Err(error) => {
            fail("", Failure::whole(error.offset, format!("is not JSON: {}", error.rule)));
            return report;
        }
    };
    let base = file.rsplit('/').next().unwrap_or(file);
    let table = base.split('.').nth(1).unwrap_or_default();
    let Some(id) = mapping.model().find(table) else {
        let message = format!("the file's name says table `{table}`, which the model does not have");
        fail("", Failure::whole(0, message));
        return report;
    };
    let table = mapping.model().table(id);
    let mut count = 0;
    let (mut steps, mut failures) = (0, 0);
    for case in items(root, "cases") {
        if count == MAX_CASES || steps > MAX_STEPS || failures > MAX_FAILURES {
            let most = format!("{MAX_CASES} cases, {MAX_FAILURES} failures and {MAX_STEPS} steps are the most");
            fail(
                "",
                Failure::whole(case.offset(), format!("is not gone through from here on: {most}")),
            );
            break;
        }
        count += 1;
        let name = text(case, "name").unwrap_or_else(|| format!("case {count}"));
        for failure in check(mapping, vocabulary, id, table, case, &mut steps)
            .into_iter()
            .take(MAX_FAILURES)
        {
            failures += 1;
            fail(&name, failure);
        }
    }
    if count == 0 {
        fail("", Failure::whole(0, "has no `cases`"));
    }
    report.cases = count;
    report
}

/// What is wrong with one case, and at which byte of the file.
struct Failure {
    offset: usize,
    place: String,
    message: String,
}

impl Failure {
    fn whole(offset: usize, message: impl Into<String>) -> Self {
        Self::at(offset, "", message)
    }

    fn at(offset: usize, place: &str, message: impl Into<String>) -> Self {
        Self {
            offset,
            place: place.to_owned(),
            message: message.into(),
        }
    }
}

fn check(
    mapping: &Mapping,
    vocabulary: Option<&Arc<dyn Vocabulary>>,
    id: crate::cdm::TableId,
    table: &Table,
    case: Node<'_, '_>,
    steps: &mut usize,
) -> Vec<Failure> {
    let whole = |message: String| vec![Failure::whole(case.offset(), message)];
    let Some(resource) = member(case, "resource") else {
        return whole("has no `resource`".into());
    };
    let mut builder = mapping.lookups().with_vocabulary(vocabulary.cloned());
    for landed in items(case, "landed") {
        let mut tree = Tree::new();
        match read(&mut tree, landed.raw()) {
            Ok(root) => builder.add_node(root),
            Err(error) => return whole(format!("a landed resource is no tree: {}", error.rule)),
        }
    }
    *steps += builder.steps();
    let lookups = builder.finish();
    let mut tree = Tree::new();
    let root = match read(&mut tree, resource.raw()) {
        Ok(root) => root,
        Err(error) => return whole(format!("the resource is no tree: {}", error.rule)),
    };
    let mut rows = Rows::new();
    let mut work = Work::default();
    let made = run(mapping, &lookups, root, &mut rows, &mut work);
    *steps += 1 + work.room.steps();
    match (made, member(case, "refusal")) {
        (Err(refusal), Some(expected)) => {
            let (path, rule) = (
                text(expected, "path").unwrap_or_default(),
                text(expected, "rule").unwrap_or_default(),
            );
            if refusal.path == path && refusal.rule == rule {
                return Vec::new();
            }
            whole(format!(
                "was to be refused for `{rule}` at `{path}`, but was for `{}` at `{}`",
                refusal.rule, refusal.path
            ))
        }
        (Err(refusal), None) => whole(format!("was refused: {refusal}")),
        (Ok(_), Some(_)) => whole("was to be refused, but was mapped".into()),
        (Ok(_), None) => {
            let found: Vec<_> = rows.iter().filter(|(own, _)| *own == id).map(|(_, cells)| cells).collect();
            let expected: Vec<_> = member(case, "rows")
                .map(|rows| items(rows, &table.name).collect())
                .unwrap_or_default();
            compare(table, &found, &expected, case.offset())
        }
    }
}

fn compare(table: &Table, found: &[&[Cell<'_>]], expected: &[Node<'_, '_>], offset: usize) -> Vec<Failure> {
    let mut failures = Vec::new();
    if found.len() != expected.len() {
        let message = format!("{} row(s) were expected, but {} came out", expected.len(), found.len());
        failures.push(Failure::at(offset, &table.name, message));
    }
    // Rows are matched by key where the case gives it, else by place.
    let key_name = &table.columns[table.key].name;
    let by_key: HashMap<&str, &[Cell<'_>]> = found
        .iter()
        .filter_map(|cells| Some((cells[table.key].as_text()?, *cells)))
        .collect();
    for (at, row) in expected.iter().enumerate() {
        let cells = match text(*row, key_name) {
            Some(key) => by_key.get(key.as_str()).copied().ok_or(format!("no row has the key `{key}`")),
            None => found.get(at).copied().ok_or("is missing".to_owned()),
        };
        match cells {
            Ok(cells) => failures.extend(compare_row(table, cells, *row)),
            Err(message) => failures.push(Failure::at(row.offset(), &table.name, message)),
        }
    }
    failures
}

fn compare_row(table: &Table, cells: &[Cell<'_>], row: Node<'_, '_>) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (column, cell) in table.columns.iter().zip(cells) {
        let expected = member(row, &column.name);
        let same = match expected {
            None => cell.is_null(),
            Some(expected) => same(cell, expected),
        };
        if !same {
            let mut shown = Vec::new();
            cell.write_json(&mut shown);
            let wanted = expected.map_or("null".to_owned(), |node| match node.kind() {
                Kind::String => format!("\"{}\"", node.raw()),
                _ => node.raw().to_owned(),
            });
            let message = format!("{wanted} was expected, but {} came out", String::from_utf8_lossy(&shown));
            let offset = expected.unwrap_or(row).offset();
            failures.push(Failure::at(offset, &format!("{}.{}", table.name, column.name), message));
        }
    }
    for child in row.children() {
        if table.column(child.name_text()).is_none() {
            let message = format!("has no column `{}`", child.name_text());
            failures.push(Failure::at(child.offset(), &table.name, message));
        }
    }
    failures
}

/// Digits count: `1.50` is not `1.5`.
fn same(cell: &Cell<'_>, expected: Node<'_, '_>) -> bool {
    match cell {
        Cell::Null => false,
        Cell::Boolean(value) => expected.kind() == Kind::Boolean && (expected.raw() == "true") == *value,
        Cell::Integer(number) => expected.kind() == Kind::Number && expected.raw() == number.to_string(),
        Cell::Decimal(digits) => expected.kind() == Kind::Number && expected.raw() == *digits,
        Cell::Text(own) => expected.kind() == Kind::String && expected.text() == *own,
    }
}
