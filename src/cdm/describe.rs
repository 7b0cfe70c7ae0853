//! A model's compact description (`model.toml`, one line per column) to its JSON Schemas, so that nobody writes a schema by
//! hand. `column` reads one line; here tables are put together and printed, always the same bytes for the same text.
//!
//! ```toml
//! name = "omop-5.4"
//! title = "OMOP Common Data Model 5.4"
//! [patterns]                       # for `like(NAME)`
//! loinc = "^[0-9]{1,7}-[0-9]$"
//! [sets]                           # for `set(NAME)`: codes and what they mean
//! yes_no = "Y yes; N no; NI"
//! [tables.person]
//! about = "One row per person."
//! key = "person_id"
//! patient = "person_id"
//! columns = """
//! person_id    id!              The person.
//! location_id  id -> location   Where the person lives.
//! """
//! any = ["location_id", "note"]    # every row has at least one of them; left out: no such rule
//! ```

mod column;
mod print;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use toml::Spanned;

/// What is wrong, and where. Lines begin at 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptionFault {
    pub line: usize,
    pub message: String,
}

impl fmt::Display for DescriptionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    patterns: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    sets: BTreeMap<String, Spanned<String>>,
    tables: BTreeMap<String, Spanned<TableText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableText {
    #[serde(default)]
    title: Option<String>,
    about: String,
    key: String,
    #[serde(default)]
    patient: Option<String>,
    /// At least one of these columns is filled in every row.
    #[serde(default)]
    any: Vec<String>,
    columns: Spanned<String>,
}

/// `(file name, JSON)` of every table's schema, by name.
/// # Errors: every fault of the text, with its line.
pub fn schemas(text: &str) -> Result<Vec<(String, String)>, Vec<DescriptionFault>> {
    let description: Description = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        vec![fault(line, format!("is no model description: {}", error.message()))]
    })?;
    let mut faults = Vec::new();
    for (name, pattern) in &description.patterns {
        if regex::Regex::new(pattern.get_ref()).is_err() {
            let line = line_of(text, pattern.span().start);
            faults.push(fault(line, format!("pattern `{name}` is no regular expression")));
        }
    }
    let mut files = Vec::new();
    for (name, table) in &description.tables {
        let words = column::Words {
            patterns: &description.patterns,
            sets: &description.sets,
            tables: &description.tables,
        };
        let (first, table_line) = (first_line(text, &table.get_ref().columns), line_of(text, table.span().start));
        let table = table.get_ref();
        let mut columns: Vec<column::Column> = Vec::new();
        for (at, line) in table
            .columns
            .get_ref()
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            match column::read(line, &words) {
                Ok(column) if columns.iter().any(|known| known.name == column.name) => {
                    faults.push(fault(
                        first + at,
                        format!("column `{}` stands twice in table `{name}`", column.name),
                    ));
                }
                Ok(column) => columns.push(column),
                Err(message) => faults.push(fault(first + at, message)),
            }
        }
        let one_each = [("key", Some(&table.key)), ("patient", table.patient.as_ref())];
        let any = table.any.iter().map(|named| ("any", Some(named)));
        for (word, named) in one_each.into_iter().chain(any) {
            // A line that could not be read still names its column.
            let names = |named: &str| {
                table
                    .columns
                    .get_ref()
                    .lines()
                    .any(|line| line.split_whitespace().next() == Some(named))
            };
            if let Some(named) = named.filter(|named| !names(named)) {
                faults.push(fault(
                    table_line,
                    format!("`{word}` of table `{name}` names `{named}`, which is no column of it"),
                ));
            }
        }
        files.push((format!("{name}.schema.json"), print::schema(&description, name, table, &columns)));
    }
    if faults.is_empty() { Ok(files) } else { Err(faults) }
}

fn fault(line: usize, message: impl Into<String>) -> DescriptionFault {
    DescriptionFault {
        line,
        message: message.into(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1)
}

/// The line on which the first line of a `"""` text stands: a line break right after the quotes does not count.
fn first_line(text: &str, columns: &Spanned<String>) -> usize {
    let start = columns.span().start;
    let opens = text
        .get(start..)
        .is_some_and(|rest| rest.starts_with("\"\"\"\n") || rest.starts_with("'''\n"));
    line_of(text, start) + usize::from(opens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdm::Model;

    const TEXT: &str = r#"name = "tiny"
[patterns]
loinc = "^[0-9]+-[0-9]$"
[sets]
yes_no = "Y yes; N no; NI"
[tables.person]
about = "One row per person."
key = "person_id"
patient = "person_id"
columns = """
person_id  id!                The person.
born       date               Day of birth.
year       integer[1850..2100]! Year of birth.
smokes     set(yes_no)!       Whether the person smokes.
weight     decimal[0..]       Kilograms.
note       text(50)
"""
[tables.lab]
title = "Laboratory result"
about = "One row per result."
key = "lab_key"
patient = "person_id"
columns = """
lab_key    key!               The result.
person_id  id! -> person      The person.
code       like(loinc)!       The analyte.
taken      datetime           When.
value      decimal            The number.
words      text(20)           The result in words.
"""
any = ["value", "words"]
"#;

    #[test]
    fn a_description_becomes_schemas_that_make_a_model() {
        let files = schemas(TEXT).expect("the description is without fault");
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["lab.schema.json", "person.schema.json"]);
        let model = Model::from_schemas("tiny", &files).expect("the schemas make a model");
        let person = model.table(model.find("person").expect("a table"));
        assert_eq!(person.columns.len(), 6);
        assert!(person.columns[2].required && !person.columns[1].required);
        assert_eq!(person.columns[2].minimum, Some(1850.0));
        assert_eq!(person.columns[3].values.as_deref(), Some(&["Y", "N", "NI"].map(str::to_owned)[..]));
        assert_eq!(person.columns[5].max_length, Some(50));
        let lab = model.table(model.find("lab").expect("a table"));
        assert_eq!(lab.columns[1].references.as_deref(), Some("person"));
        assert_eq!(lab.any, [4, 5]);
        assert!(person.any.is_empty());
        assert_eq!(schemas(TEXT).expect("again"), files);
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let broken = TEXT
            .replace("text(50)", "txet(50)")
            .replace("set(yes_no)", "set(no_yes)")
            .replace("-> person", "-> parson")
            .replace("key = \"lab_key\"", "key = \"lab\"")
            .replace("any = [\"value\"", "any = [\"valeu\"");
        let faults = schemas(&broken).expect_err("five faults");
        let shown: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "25: column `person_id` refers to the table `parson`, which the model does not have",
                "18: `key` of table `lab` names `lab`, which is no column of it",
                "18: `any` of table `lab` names `valeu`, which is no column of it",
                "14: column `smokes`: there is no `no_yes` under `[sets]`",
                "16: column `note`: `txet(50)` is no type; types are: boolean, integer, decimal, text, text(N), date, partial-date, datetime, time, id, key, set(NAME), like(NAME), like(NAME,LENGTH)",
            ]
        );
        assert_eq!(schemas("name = 3").expect_err("no text")[0].line, 1);
    }
}
