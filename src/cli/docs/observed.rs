//! What a coverage report saw of each column, for the data dictionary: how full it is, and how many of its codes found no concept.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::super::show::{count, thousands};
use super::super::{Failure, chain};
use crate::gateway::coverage::Coverage;
use crate::platform::file;

/// A report may be this long.
const REPORT_BYTES: u64 = 64 << 20;

/// Of one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    filled: u64,
    rows: u64,
    /// Different codes without a concept, and how often they came.
    codes: u64,
    times: u64,
}

/// Of every column of the tables that resources fill; empty without a report.
#[derive(Debug, Default)]
pub(super) struct Observed {
    columns: BTreeMap<(String, String), Seen>,
    /// Whose data it was.
    pub of: Option<String>,
}

impl Observed {
    /// The report in `path`, as `headwater coverage --json` prints it, of the same model.
    /// # Errors: it cannot be read, or is of another model.
    pub(super) fn read(path: &Path, model: &str) -> Result<Self, Failure> {
        let shown = path.display();
        let text = file::read(path, REPORT_BYTES).map_err(|error| Failure::usage(chain(&error)))?;
        let report: Coverage = serde_json::from_slice(&text).map_err(|error| {
            let place = format!("{}:{}", error.line(), error.column());
            Failure::usage(format!("{shown}:{place}: is no report of `headwater coverage --json`"))
        })?;
        if report.model != model {
            return Err(Failure::usage(format!(
                "{shown}: is a report of the model `{}`, and the dictionary is of `{model}`; name one of them otherwise",
                report.model
            )));
        }
        // A dictionary is made to be shown around.
        Ok(Self::of(&if report.least == 0 { report.for_outside() } else { report }))
    }

    fn of(report: &Coverage) -> Self {
        let mut columns: BTreeMap<(String, String), Seen> = BTreeMap::new();
        for fill in &report.columns {
            let seen = columns.entry((fill.table.clone(), fill.column.clone())).or_default();
            (seen.filled, seen.rows) = (fill.filled, fill.rows);
        }
        for gap in &report.codes {
            let seen = columns.entry((gap.table.clone(), gap.column.clone())).or_default();
            seen.codes += 1;
            seen.times += gap.times;
        }
        let read: u64 = report.resources.values().map(|types| types.read).sum();
        let whose = match report.site.as_str() {
            "" => "a folder of files".to_owned(),
            site => format!("the landed data of site `{site}`"),
        };
        let few = match report.least {
            0 => String::new(),
            least => format!("; counts are rounded up to multiples of {least}"),
        };
        Self {
            columns,
            of: Some(format!(
                "Observed in {whose}: {} of {}{few}.",
                count(read, "resource"),
                count(report.patients, "patient")
            )),
        }
    }

    /// What was seen of a column, one sentence each; nothing where it was not looked at.
    pub(super) fn words(&self, table: &str, column: &str) -> Vec<String> {
        let Some(seen) = self.columns.get(&(table.to_owned(), column.to_owned())) else {
            return Vec::new();
        };
        if seen.rows == 0 {
            return vec!["the table had no rows".to_owned()];
        }
        let mut words = vec![format!(
            "filled in {} of {} rows ({} %)",
            thousands(seen.filled),
            thousands(seen.rows),
            seen.filled * 100 / seen.rows
        )];
        if seen.codes > 0 {
            words.push(format!(
                "{} without a concept, in all {}",
                count(seen.codes, "code"),
                count(seen.times, "time")
            ));
        }
        words
    }

    /// Adds to every column of the dictionary's JSON what was seen of it.
    pub(super) fn add_to(&self, dictionary: &mut Value) {
        let tables = dictionary["tables"].as_array_mut().into_iter().flatten();
        for table in tables {
            let name = table["name"].as_str().unwrap_or_default().to_owned();
            for column in table["columns"].as_array_mut().into_iter().flatten() {
                let place = (name.clone(), column["name"].as_str().unwrap_or_default().to_owned());
                if let Some(seen) = self.columns.get(&place) {
                    column["observed"] = json!({ "filled": seen.filled, "rows": seen.rows, "codesWithoutConcept": seen.codes });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::coverage::{CodeGap, ColumnFill};

    #[test]
    fn a_column_tells_how_full_it_is_and_how_many_codes_found_nothing() {
        let fill = |column: &str, filled: u64, rows: u64| ColumnFill {
            table: "t".to_owned(),
            column: column.to_owned(),
            filled,
            rows,
            mapped: true,
        };
        let gap = CodeGap {
            table: "t".to_owned(),
            column: "a".to_owned(),
            system: String::new(),
            code: "x".to_owned(),
            reason: "no-code".to_owned(),
            times: 7,
            patients: 1,
        };
        let seen = Observed::of(&Coverage {
            columns: vec![fill("a", 1_999, 2_000), fill("b", 0, 0)],
            codes: vec![gap],
            ..Coverage::default()
        });
        assert_eq!(
            seen.words("t", "a"),
            ["filled in 1,999 of 2,000 rows (99 %)", "1 code without a concept, in all 7 times"]
        );
        assert_eq!(seen.words("t", "b"), ["the table had no rows"]);
        assert!(seen.words("t", "c").is_empty());
    }
}
