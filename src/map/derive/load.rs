//! Reads `derived.toml` against the model; every fault at once, with its line.

use toml::de::{DeTable, DeValue};

use super::{Derivation, Derivations, Fact, Make, Source};
use crate::cdm::{Cell, Column, Kind, Model, Table, TableId};

use super::super::fault::MappingFault;
use super::super::file::Faults;

pub(super) fn load(file: &str, text: &str, model: &Model) -> Result<Derivations, Vec<MappingFault>> {
    let mut reader = Reader {
        faults: Faults::new(file, text),
        model,
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.faults.at(at, format!("is not TOML: {}", error.message()));
    }
    let mut derivations = Derivations::default();
    for (name, value) in root.get_ref() {
        let at = name.span().start;
        match (model.find(name.get_ref()), value.get_ref().as_table()) {
            (Some(id), Some(entries)) => derivations.tables.extend(reader.table(id, at, entries)),
            (None, _) => reader.faults.at(at, format!("`{}` is no table of the model", name.get_ref())),
            (_, None) => reader.faults.at(at, format!("`{}` is no TOML table", name.get_ref())),
        }
    }
    // Tables in the order of the file would follow the alphabet of TOML; the model's order is everyone's.
    derivations.tables.sort_by_key(|derivation| derivation.table);
    let faults = reader.faults.all;
    if faults.is_empty() { Ok(derivations) } else { Err(faults) }
}

struct Reader<'r> {
    faults: Faults<'r>,
    model: &'r Model,
}

impl Reader<'_> {
    fn table(&mut self, id: TableId, at: usize, entries: &DeTable<'_>) -> Option<Derivation> {
        let model = self.model;
        let table = model.table(id);
        let text = |word: &str| entries.get(word).and_then(|value| value.get_ref().as_str());
        for key in entries.keys() {
            if !matches!(key.get_ref().as_ref(), "from" | "by" | "rows" | "columns") {
                self.faults.at(
                    key.span().start,
                    format!("`{}` is not known here: from, by, rows, columns", key.get_ref()),
                );
            }
        }
        let (source, from) = match (text("from"), text("by"), text("rows")) {
            (None, None, Some("one")) => (Source::Run, None),
            (Some(from), Some(by), None) => {
                let found = model.find(from).map(|from| (from, model.table(from).column(by)));
                let Some((from, Some(by))) = found else {
                    self.faults.at(
                        at,
                        format!("`{}`: `from` and `by` must name a table and a column of it", table.name),
                    );
                    return None;
                };
                if !matches!(model.table(from).columns[by].kind, Kind::Text | Kind::Key) {
                    self.faults.at(at, format!("`{}`: `by` must name a key or a text", table.name));
                }
                (Source::Groups { from, by }, Some(model.table(from)))
            }
            _ => {
                self.faults
                    .at(at, format!("`{}` needs `from` and `by`, or `rows = \"one\"`", table.name));
                return None;
            }
        };
        let Some(written) = entries.get("columns").and_then(|value| value.get_ref().as_table()) else {
            self.faults.at(at, format!("`{}` needs `columns`", table.name));
            return None;
        };
        for name in written.keys() {
            if table.column(name.get_ref()).is_none() {
                self.faults.at(
                    name.span().start,
                    format!("table `{}` has no column `{}`", table.name, name.get_ref()),
                );
            }
        }
        let mut columns = Vec::new();
        for column in &table.columns {
            let make = written.get_key_value(column.name.as_str());
            let made = make.and_then(|(name, value)| self.make(name.span().start, column, value.get_ref(), from));
            if column.required && make.is_none() {
                self.faults.at(
                    at,
                    format!(
                        "column `{}` of table `{}` is required, but nothing fills it",
                        column.name, table.name
                    ),
                );
            }
            columns.push(made);
        }
        Some(Derivation {
            table: id,
            source,
            columns,
        })
    }

    fn make(&mut self, at: usize, column: &Column, value: &DeValue<'_>, from: Option<&Table>) -> Option<Make> {
        let name = &column.name;
        let entries = value.as_table();
        let get = |word: &str| entries.and_then(|entries| entries.get(word)).map(|value| value.get_ref());
        let of = |word: &str| {
            let named = get(word).and_then(|value| value.as_str())?;
            Some(gathered(named, from, column).map_err(|fault| format!("`{name}`: `{named}` {fault}")))
        };
        for word in entries.iter().flat_map(|entries| entries.keys()) {
            if !matches!(word.get_ref().as_ref(), "by" | "min" | "max" | "constant" | "run" | "else") {
                self.faults.at(
                    word.span().start,
                    format!("`{}` is not known here: by, min, max, constant, run, else", word.get_ref()),
                );
            }
        }
        let made = if let Some(constant) = get("constant") {
            constant_cell(constant, column.kind)
                .map(Make::Constant)
                .ok_or_else(|| format!("`{name}`: the constant does not fit the column"))
        } else if let Some(fact) = get("run").and_then(|value| value.as_str()) {
            let otherwise = get("else").and_then(|value| value.as_str()).map(str::to_owned);
            let fact = match fact {
                "date" => Some(Fact::Date),
                "vocabulary" => Some(Fact::Vocabulary),
                "mapping" => Some(Fact::Mapping),
                "version" => Some(Fact::Version),
                "date-management" => Some(Fact::DateManagement),
                _ => None,
            };
            match fact {
                Some(fact) if fits(fact, column.kind) => Ok(Make::Run(fact, otherwise)),
                Some(_) => Err(format!("`{name}`: this fact of the run does not fit the column")),
                None => Err(format!(
                    "`{name}`: `run` must be `date`, `vocabulary`, `mapping`, `version` or `date-management`"
                )),
            }
        } else if get("by").is_some() && from.is_some() {
            match column.kind {
                Kind::Text | Kind::Key => Ok(Make::By),
                _ => Err(format!("`{name}`: `by` fills a key or a text")),
            }
        } else if let Some(found) = of("min") {
            found.map(Make::Least)
        } else if let Some(found) = of("max") {
            found.map(Make::Greatest)
        } else {
            Err(format!(
                "`{name}` must be {{ by = true }}, {{ min = … }}, {{ max = … }}, {{ constant = … }} or {{ run = … }}"
            ))
        };
        made.map_err(|fault| self.faults.at(at, fault)).ok()
    }
}

/// The place of the column `named` of the table that is gathered, if its least or greatest value can fill `column`.
fn gathered(named: &str, from: Option<&Table>, column: &Column) -> Result<usize, &'static str> {
    let (from, at) = from
        .and_then(|from| Some((from, from.column(named)?)))
        .ok_or("is no column of the table that is gathered")?;
    match (from.columns[at].kind, column.kind) {
        (kind, wanted) if kind != wanted => Err("holds something else than this column"),
        (Kind::Integer | Kind::Date | Kind::DateTime | Kind::Time, _) => Ok(at),
        _ => Err("has no least or greatest value: an integer, a whole date or a time of day has"),
    }
}

fn fits(fact: Fact, kind: Kind) -> bool {
    kind == Kind::Text || (fact == Fact::Date && matches!(kind, Kind::Date | Kind::PartialDate))
}

fn constant_cell(value: &DeValue<'_>, kind: Kind) -> Option<Cell<'static>> {
    let text = value.as_str().map(|text| Cell::Text(text.to_owned().into()));
    match kind {
        Kind::Integer => value.as_integer()?.as_str().parse().ok().map(Cell::Integer),
        Kind::Boolean => value.as_bool().map(Cell::Boolean),
        Kind::Decimal => Some(Cell::Decimal(value.as_float()?.as_str().to_owned().into())),
        _ => text,
    }
}
