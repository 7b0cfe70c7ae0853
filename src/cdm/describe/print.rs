//! A table as the JSON Schema 2020-12 that `table` reads and a registry checks with: one line per column.

use serde_json::{Value, json};

use super::column::Column;
use super::{Description, TableText};

pub(super) fn schema(description: &Description, name: &str, table: &TableText, columns: &[Column]) -> String {
    let mut lines = vec![
        member("$schema", &json!("https://json-schema.org/draft/2020-12/schema")),
        member(
            "$id",
            &json!(format!("https://headwater.example/models/{}/{name}.schema.json", description.name)),
        ),
        member("title", &json!(title(description, name, table))),
        member("description", &json!(table.about)),
        member("type", &json!("object")),
        member("additionalProperties", &json!(false)),
        member("x-key", &json!(table.key)),
    ];
    if let Some(patient) = &table.patient {
        lines.push(member("x-patient", &json!(patient)));
    }
    lines.push(member(
        "x-order",
        &json!(columns.iter().map(|column| &column.name).collect::<Vec<_>>()),
    ));
    let required: Vec<_> = columns.iter().filter(|column| column.required).map(|column| &column.name).collect();
    lines.push(member("required", &json!(required)));
    let properties: Vec<_> = columns.iter().map(|column| format!("    {}", property(column))).collect();
    lines.push(format!("\"properties\": {{\n{}\n  }}", properties.join(",\n")));
    if !table.any.is_empty() {
        let any: Vec<_> = table.any.iter().map(|column| json!({ "required": [column] })).collect();
        lines.push(member("anyOf", &json!(any)));
    }
    format!("{{\n  {}\n}}\n", lines.join(",\n  "))
}

fn title(description: &Description, name: &str, table: &TableText) -> String {
    match &table.title {
        Some(title) => title.clone(),
        None if description.title.is_empty() => name.to_owned(),
        None => format!("{}: {name}", description.title),
    }
}

fn property(column: &Column) -> String {
    let mut words = Vec::new();
    for (at, (word, value)) in column.keywords.iter().enumerate() {
        words.push(member(word, value));
        if at == 0 {
            words.extend((!column.about.is_empty()).then(|| member("description", &json!(column.about))));
            words.extend(column.references.as_ref().map(|table| member("x-references", &json!(table))));
        }
    }
    if column.meanings.iter().any(|(_, meaning)| !meaning.is_empty()) {
        let meanings: Vec<_> = column
            .meanings
            .iter()
            .map(|(code, meaning)| member(code, &json!(meaning)))
            .collect();
        words.push(format!("\"x-meanings\": {{ {} }}", meanings.join(", ")));
    }
    format!("{}: {{ {} }}", json!(column.name), words.join(", "))
}

fn member(name: &str, value: &Value) -> String {
    format!("{}: {}", json!(name), spaced(value))
}

/// The value on one line, with a blank behind each comma of a list.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
