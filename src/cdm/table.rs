//! The tables and columns of one common data model, read from its JSON Schemas (one file per table).
//!
//! A table's schema is JSON Schema 2020-12 with `additionalProperties: false` and these annotations of ours:
//! `x-order` (the columns in order), `x-key` (the primary key column), `x-patient` (the column that names the patient),
//! and per column `x-references` (the table whose key it holds). Of a row as a whole one thing can be said: `anyOf`, with
//! one `required` column in each branch.
//! Knows the shape; the words (`required`, `type`, `enum`, `pattern`, `maxLength`) are checked cell by cell without
//! building JSON, because this runs once per cell of every row. A registry checks again, by the schema itself.

use std::collections::HashMap;

use serde_json::Value;

use super::date::{is_date, is_datetime, is_partial_date, is_time};
use super::key::key_number;
use super::{Cell, Pattern};

/// A table's place in its model, in the order of file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u16);

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Integer,
    Decimal,
    Text,
    /// YYYY, YYYY-MM or YYYY-MM-DD (`"format": "x-partial-date"`).
    PartialDate,
    /// YYYY-MM-DD (`"format": "date"`).
    Date,
    /// YYYY-MM-DDThh:mm:ss, the wall clock (`"format": "x-datetime"`).
    DateTime,
    /// hh:mm (`"format": "x-time"`).
    Time,
    /// An integer that is a row's own key or another's: inside, the cell carries the key's text; `key_number` is written.
    Key,
}

impl Kind {
    /// A day, or a part or a moment of one.
    pub fn is_dated(self) -> bool {
        matches!(self, Kind::PartialDate | Kind::Date | Kind::DateTime)
    }
}

/// One column and the rules its values must meet.
#[derive(Debug)]
pub struct Column {
    pub name: String,
    /// `"name":`, as it stands in a row's JSON.
    head: String,
    pub kind: Kind,
    pub required: bool,
    /// The table whose key this column holds (`x-references`).
    pub references: Option<String>,
    pub description: String,
    pub max_length: Option<usize>,
    /// The values allowed, when the schema has an `enum`.
    pub values: Option<Vec<String>>,
    pub pattern: Option<Pattern>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
}

/// One table of the model.
#[derive(Debug)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Index of the primary key column.
    pub key: usize,
    /// Index of the column that names the patient; `None` for tables about no patient.
    pub patient: Option<usize>,
    /// Indexes of the columns of which every row has at least one (`anyOf`); empty where there is no such rule.
    pub any: Vec<usize>,
    pub schema: Value,
}

/// A whole common data model.
#[derive(Debug)]
pub struct Model {
    pub name: String,
    tables: Vec<Table>,
    by_name: HashMap<String, TableId>,
}

/// What is wrong with a model's schema files: one line each, the file's name first.
#[derive(Debug, thiserror::Error)]
#[error("{}", faults.join("\n"))]
pub struct ModelError {
    pub faults: Vec<String>,
}

impl Model {
    /// The model from its schemas: `(file name, JSON text)` pairs, e.g. `("lab_result.schema.json", "{…}")`.
    /// # Errors: every file that is no schema of ours, by name; of one file the first fault.
    pub fn from_schemas(name: &str, files: &[(String, String)]) -> Result<Self, ModelError> {
        let mut sorted: Vec<_> = files.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let mut model = Self {
            name: name.to_owned(),
            tables: Vec::new(),
            by_name: HashMap::new(),
        };
        let mut faults = Vec::new();
        for (file, text) in sorted {
            if let Err(fault) = model.take(file, text) {
                faults.push(format!("{file}{fault}"));
            }
        }
        // A file that could not be read may hold the table that seems to be missing.
        if faults.is_empty() {
            faults = model.dangling();
        }
        if faults.is_empty() { Ok(model) } else { Err(ModelError { faults }) }
    }

    /// # Errors: what comes behind the file's name: `: what`, or `:line:column: what`.
    fn take(&mut self, file: &str, text: &str) -> Result<(), String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| format!(":{}:{}: is not JSON", error.line(), error.column()))?;
        let table_name = file.strip_suffix(".schema.json").ok_or(": is not named <table>.schema.json")?;
        let table = Table::from_schema(table_name, schema).map_err(|fault| format!(": {fault}"))?;
        let id = TableId(u16::try_from(self.tables.len()).map_err(|_| ": is one table too many")?);
        self.by_name.insert(table_name.to_owned(), id);
        self.tables.push(table);
        Ok(())
    }

    /// References to tables that are not there.
    fn dangling(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for table in &self.tables {
            for column in &table.columns {
                if let Some(target) = column.references.as_ref().filter(|target| !self.by_name.contains_key(*target)) {
                    faults.push(format!(
                        "{}.schema.json: column `{}` references the table `{target}`, which the model does not have",
                        table.name, column.name
                    ));
                }
            }
        }
        faults
    }

    pub fn table(&self, id: TableId) -> &Table {
        &self.tables[usize::from(id.0)]
    }

    pub fn find(&self, name: &str) -> Option<TableId> {
        self.by_name.get(name).copied()
    }

    /// All tables in order.
    pub fn tables(&self) -> impl Iterator<Item = (TableId, &Table)> {
        self.tables
            .iter()
            .enumerate()
            .map(|(at, table)| (TableId(u16::try_from(at).expect("checked when loaded")), table))
    }
}

impl Table {
    fn from_schema(name: &str, schema: Value) -> Result<Self, String> {
        let properties = schema.get("properties").and_then(Value::as_object).ok_or("has no `properties`")?;
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err("must say `additionalProperties: false`".into());
        }
        let order = strings(&schema, "x-order").ok_or("has no `x-order`")?;
        let required = strings(&schema, "required").unwrap_or_default();
        if order.len() != properties.len() {
            return Err(format!(
                "`x-order` names {} columns, `properties` has {}",
                order.len(),
                properties.len()
            ));
        }
        let mut columns = Vec::with_capacity(order.len());
        for column in &order {
            let property = properties
                .get(column)
                .ok_or_else(|| format!("`x-order` names `{column}`, `properties` does not"))?;
            columns.push(Column::from_property(column, property, required.contains(column))?);
        }
        let place = |word: &str| -> Result<Option<usize>, String> {
            let Some(column) = schema.get(word).and_then(Value::as_str) else {
                return Ok(None);
            };
            order
                .iter()
                .position(|name| name == column)
                .map(Some)
                .ok_or_else(|| format!("`{word}` names `{column}`, which is no column"))
        };
        let key = place("x-key")?.ok_or("has no `x-key`")?;
        let patient = place("x-patient")?;
        let any = any_of(&schema, &order)?;
        for (at, column) in columns.iter_mut().enumerate() {
            let is_key = at == key || patient == Some(at) || column.references.is_some();
            if is_key && column.kind == Kind::Integer {
                column.kind = Kind::Key;
            }
        }
        Ok(Self {
            name: name.to_owned(),
            columns,
            key,
            patient,
            any,
            schema,
        })
    }

    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Whether a row fits the table; else the first column that does not, and the rule it breaks.
    /// # Errors: `(column index, rule)`; never a value.
    pub fn check(&self, cells: &[Cell<'_>]) -> Result<(), (usize, &'static str)> {
        debug_assert_eq!(cells.len(), self.columns.len());
        for (at, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            column.check(cell).map_err(|rule| (at, rule))?;
        }
        match self.any.first() {
            Some(first) if self.any.iter().all(|at| cells[*at].is_null()) => Err((*first, "anyOf")),
            _ => Ok(()),
        }
    }

    /// Appends the row as one JSON object: columns in order, empty ones left out. No newline.
    pub fn write_json(&self, cells: &[Cell<'_>], out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        for (column, cell) in self.columns.iter().zip(cells) {
            if cell.is_null() {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(column.head.as_bytes());
            match (column.kind, cell) {
                (Kind::Key, Cell::Text(key)) => Cell::Integer(key_number(key)).write_json(out),
                _ => cell.write_json(out),
            }
        }
        out.push(b'}');
    }
}

impl Column {
    fn from_property(name: &str, property: &Value, required: bool) -> Result<Self, String> {
        let format = property.get("format").and_then(Value::as_str);
        let kind = match (property.get("type").and_then(Value::as_str), format) {
            (Some("boolean"), _) => Kind::Boolean,
            (Some("integer"), _) => Kind::Integer,
            (Some("number"), _) => Kind::Decimal,
            (Some("string"), Some("x-partial-date")) => Kind::PartialDate,
            (Some("string"), Some("date")) => Kind::Date,
            (Some("string"), Some("x-datetime")) => Kind::DateTime,
            (Some("string"), Some("x-time")) => Kind::Time,
            (Some("string"), _) => Kind::Text,
            _ => return Err(format!("column `{name}` needs a `type` of boolean, integer, number or string")),
        };
        let pattern = match property.get("pattern").and_then(Value::as_str) {
            Some(pattern) => Some(Pattern::new(pattern).ok_or_else(|| format!("column `{name}`: `pattern` is no regular expression"))?),
            None => None,
        };
        let mut head = Vec::new();
        super::row::write_json_string(name, &mut head);
        Ok(Self {
            name: name.to_owned(),
            head: String::from_utf8_lossy(&head).into_owned() + ":",
            kind,
            required,
            references: property.get("x-references").and_then(Value::as_str).map(str::to_owned),
            description: property.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
            max_length: property
                .get("maxLength")
                .and_then(Value::as_u64)
                .and_then(|n| usize::try_from(n).ok()),
            values: strings(property, "enum"),
            pattern,
            minimum: property.get("minimum").and_then(Value::as_f64),
            maximum: property.get("maximum").and_then(Value::as_f64),
        })
    }

    /// The cell as it stands outside: an integer key as its number.
    pub fn outward<'a>(&self, cell: &'a Cell<'_>) -> Cell<'a> {
        match (self.kind, cell) {
            (Kind::Key, Cell::Text(key)) => Cell::Integer(key_number(key)),
            (_, cell) => cell.borrowed(),
        }
    }

    /// Whether one cell fits the column.
    /// # Errors: the rule it breaks, a JSON Schema keyword.
    pub fn check(&self, cell: &Cell<'_>) -> Result<(), &'static str> {
        match (self.kind, cell) {
            (_, Cell::Null) => {
                if self.required {
                    return Err("required");
                }
            }
            (Kind::Boolean, Cell::Boolean(_)) => {}
            #[expect(clippy::cast_precision_loss, reason = "bounds of our schemas are small")]
            (Kind::Integer | Kind::Decimal, Cell::Integer(number)) => self.in_range(*number as f64)?,
            (Kind::Decimal, Cell::Decimal(digits)) => {
                if self.minimum.is_some() || self.maximum.is_some() {
                    self.in_range(digits.parse().map_err(|_| "type")?)?;
                }
            }
            (Kind::Text, Cell::Text(text)) => self.check_text(text)?,
            (Kind::PartialDate, Cell::Text(text)) if is_partial_date(text) => {}
            (Kind::Date, Cell::Text(text)) if is_date(text) => {}
            (Kind::DateTime, Cell::Text(text)) if is_datetime(text) => {}
            (Kind::Time, Cell::Text(text)) if is_time(text) => {}
            (Kind::PartialDate | Kind::Date | Kind::DateTime | Kind::Time, Cell::Text(_)) => return Err("format"),
            (Kind::Key, Cell::Text(key)) if !key.is_empty() => {}
            (Kind::Key, Cell::Integer(1..)) => {}
            _ => return Err("type"),
        }
        Ok(())
    }

    fn in_range(&self, number: f64) -> Result<(), &'static str> {
        if self.minimum.is_some_and(|minimum| number < minimum) {
            return Err("minimum");
        }
        if self.maximum.is_some_and(|maximum| number > maximum) {
            return Err("maximum");
        }
        Ok(())
    }

    fn check_text(&self, text: &str) -> Result<(), &'static str> {
        if let Some(values) = &self.values
            && !values.iter().any(|value| value == text)
        {
            return Err("enum");
        }
        if let Some(max) = self.max_length
            && text.len() > max
            && text.chars().count() > max
        {
            return Err("maxLength");
        }
        if let Some(pattern) = &self.pattern
            && !pattern.is_match(text)
        {
            return Err("pattern");
        }
        Ok(())
    }
}

/// The columns of `"anyOf": [{"required": ["a"]}, {"required": ["b"]}]`.
/// # Errors: another `anyOf` could only be checked at the registry, so that rows would be refused there and not here.
fn any_of(schema: &Value, order: &[String]) -> Result<Vec<usize>, String> {
    let branches = schema.get("anyOf").and_then(Value::as_array);
    let column = |branch: &Value| match (branch.as_object().map(serde_json::Map::len), strings(branch, "required").as_deref()) {
        (Some(1), Some([column])) => order.iter().position(|name| name == column),
        _ => None,
    };
    let columns = branches
        .into_iter()
        .flatten()
        .map(|branch| column(branch).ok_or_else(|| "each branch of `anyOf` must be `required` with one column of the table".to_owned()));
    columns.collect()
}

fn strings(value: &Value, key: &str) -> Option<Vec<String>> {
    value
        .get(key)?
        .as_array()?
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests;
