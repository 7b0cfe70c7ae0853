//! Columns that a view fills and no case of that view does: what nobody has said the right answer of.

use std::collections::BTreeSet;

use serde_json::Value;

use super::dictionary::{Fill, view_fills};

/// A column that is filled, and tried by no case.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Untested {
    pub file: String,
    pub table: String,
    pub column: String,
}

/// The untested columns of `views`, by file and in the order of the file. Both lists are `(file name, JSON)`.
pub(super) fn untested(views: &[(String, String)], cases: &[(String, String)]) -> Vec<Untested> {
    let mut found = Vec::new();
    for (file, text) in views {
        let Ok(view) = serde_json::from_str::<Value>(text) else { continue };
        let table = view["name"].as_str().unwrap_or_default();
        let beside = file.replace(".json", ".cases.json");
        let tested = cases
            .iter()
            .find(|(name, _)| *name == beside)
            .map(|(_, text)| filled(text, table))
            .unwrap_or_default();
        let mut told = BTreeSet::new();
        for Fill { column, .. } in view_fills(&view) {
            if !tested.contains(&column) && told.insert(column.clone()) {
                found.push(Untested {
                    file: file.clone(),
                    table: table.to_owned(),
                    column,
                });
            }
        }
    }
    found
}

/// The columns that some expected row of the cases fills.
fn filled(cases: &str, table: &str) -> BTreeSet<String> {
    let cases: Value = serde_json::from_str(cases).unwrap_or_default();
    let rows = cases["cases"].as_array().into_iter().flatten();
    rows.filter_map(|case| case["rows"][table].as_array())
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(|row| row.keys().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_no_expected_row_fills_is_untested() {
        let view = r#"{"name":"t","select":[{"column":[{"name":"a","path":"id"},{"name":"b","path":"status"}]}]}"#;
        let cases = r#"{"cases":[{"name":"x","rows":{"t":[{"a":"1"}],"other":[{"b":"1"}]}}]}"#;
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let found = untested(&[file("X.t.json", view)], &[file("X.t.cases.json", cases)]);
        assert_eq!(found.iter().map(|one| one.column.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}
