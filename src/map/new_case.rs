//! A case out of a (synthetic) resource: what goes in and the rows that come out now. A person then says whether they
//! are right.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cdm::{Cell, Rows};
use crate::fhir::tree::{Limits, Tree};

use super::mapping::Mapping;
use super::row::Work;
use super::run::run;
use super::vocabulary::Vocabulary;

/// The case, as it stands in a `*.cases.json`; rows of `table` only.
/// # Errors: what of the resource cannot be read, in words without a value.
pub fn new_case(
    mapping: &Mapping,
    vocabulary: Option<&Arc<dyn Vocabulary>>,
    table: &str,
    name: &str,
    resource: Value,
) -> Result<Value, String> {
    let id = mapping
        .model()
        .find(table)
        .ok_or_else(|| format!("the model has no table `{table}`"))?;
    let text = resource.to_string();
    let mut tree = Tree::new();
    let root = tree
        .parse(text.as_bytes(), &Limits::default())
        .map_err(|error| error.rule.to_owned())?;
    let lookups = mapping.lookups().with_vocabulary(vocabulary.cloned()).finish();
    let (mut rows, mut work) = (Rows::new(), Work::default());
    let mut case = json!({ "name": name, "resource": resource });
    match run(mapping, &lookups, root, &mut rows, &mut work) {
        Err(refusal) => case["refusal"] = json!({ "path": refusal.path, "rule": refusal.rule }),
        Ok(_) => {
            let columns = &mapping.model().table(id).columns;
            let own = rows.iter().filter(|(row, _)| *row == id);
            let rows: Vec<Value> = own
                .map(|(_, cells)| {
                    let filled = columns.iter().zip(cells).filter(|(_, cell)| !cell.is_null());
                    Value::Object(filled.map(|(column, cell)| (column.name.clone(), value(cell))).collect())
                })
                .collect();
            case["rows"] = json!({ table: rows });
        }
    }
    Ok(case)
}

/// A cell as a case says it: a key is its text.
fn value(cell: &Cell<'_>) -> Value {
    let mut out = Vec::new();
    cell.write_json(&mut out);
    serde_json::from_slice(&out).unwrap_or_default()
}
