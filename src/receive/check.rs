//! Whether one row fits its table, by the model's own JSON Schema, compiled once.
//! Independent of the column checks in `cdm` that the sites run: what arrives is checked as if no site had.
//! The schema library's messages hold values; only the keyword and the column leave this file.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::cdm::Model;
use crate::cdm::date::is_partial_date;

/// The compiled schemas of one model.
pub struct ModelCheck {
    pub model: Model,
    tables: BTreeMap<String, TableCheck>,
}

/// One table's rules.
pub struct TableCheck {
    key: String,
    columns: HashSet<String>,
    validator: Validator,
}

/// The rule a row breaks, and the column as a JSON pointer (empty for the row itself).
#[derive(Debug, PartialEq, Eq)]
pub struct RowFault {
    pub rule: String,
    pub path: String,
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("model `{model}`: {fault}")]
pub struct ModelFault {
    pub model: String,
    pub fault: String,
}

impl ModelCheck {
    /// Reads `<dir>/<name>/*.schema.json`.
    /// # Errors: the first file that is missing or no schema.
    pub fn load(dir: &Path, name: &str) -> Result<Self, ModelFault> {
        let fault = |fault: String| ModelFault {
            model: name.to_owned(),
            fault,
        };
        let folder = dir.join(name);
        let entries = std::fs::read_dir(&folder).map_err(|_| fault(format!("folder `{}` cannot be read", folder.display())))?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|_| fault("its folder cannot be listed".into()))?.path();
            let Some(file) = path
                .file_name()
                .and_then(|file| file.to_str())
                .filter(|file| file.ends_with(".schema.json"))
            else {
                continue;
            };
            let text = std::fs::read_to_string(&path).map_err(|_| fault(format!("file `{file}` cannot be read")))?;
            files.push((file.to_owned(), text));
        }
        if files.is_empty() {
            return Err(fault(format!("folder `{}` holds no `<table>.schema.json`", folder.display())));
        }
        Self::compile(name, &files)
    }

    /// Compiles the model from its schemas: `(file name, JSON text)`.
    /// # Errors: the first file that is no schema.
    pub fn compile(name: &str, files: &[(String, String)]) -> Result<Self, ModelFault> {
        let fault = |fault: String| ModelFault {
            model: name.to_owned(),
            fault,
        };
        let model = Model::from_schemas(name, files).map_err(|error| fault(error.to_string()))?;
        let mut tables = BTreeMap::new();
        for (_, table) in model.tables() {
            let validator = jsonschema::options()
                .with_format("x-partial-date", is_partial_date)
                .should_validate_formats(true)
                .offline()
                .build(&table.schema)
                .map_err(|_| fault(format!("`{}.schema.json` is no JSON Schema", table.name)))?;
            let check = TableCheck {
                key: table.columns[table.key].name.clone(),
                columns: table.columns.iter().map(|column| column.name.clone()).collect(),
                validator,
            };
            tables.insert(table.name.clone(), check);
        }
        Ok(Self { model, tables })
    }

    pub fn table(&self, name: &str) -> Option<&TableCheck> {
        self.tables.get(name)
    }
}

impl TableCheck {
    /// Whether `row` (a JSON object) is a row of this table under this key.
    /// # Errors: the first rule it breaks.
    pub fn check(&self, key: &str, row: &str) -> Result<(), RowFault> {
        let fault = |rule: &str, path: String| RowFault {
            rule: rule.to_owned(),
            path,
        };
        let Ok(Members(members)) = serde_json::from_str(row) else {
            return Err(fault("syntax", String::new()));
        };
        let row = Value::Object(members);
        if !self.validator.is_valid(&row) {
            return Err(self.first_fault(&row));
        }
        let same = match row.get(&self.key) {
            Some(Value::String(text)) => text == key,
            Some(Value::Number(number)) => number.to_string() == key,
            _ => false,
        };
        if same {
            Ok(())
        } else {
            Err(fault("key", format!("/{}", self.key)))
        }
    }

    fn first_fault(&self, row: &Value) -> RowFault {
        let Some(error) = self.validator.iter_errors(row).next() else {
            return RowFault {
                rule: "schema".into(),
                path: String::new(),
            };
        };
        let column = match error.kind() {
            ValidationErrorKind::Required { property } => property.as_str().unwrap_or_default().to_owned(),
            _ => {
                let path = error.instance_path().to_string();
                path.split('/').nth(1).unwrap_or_default().to_owned()
            }
        };
        // A member that is no column was named by the sender: its name is a value.
        let path = if self.columns.contains(&column) {
            format!("/{column}")
        } else {
            String::new()
        };
        RowFault {
            rule: error.kind().keyword().to_owned(),
            path,
        }
    }
}

/// A JSON object's members; a repeated member is refused instead of quietly replaced.
struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member is repeated"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(row: &str) -> Result<(), (String, String)> {
        let schema = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,
            "x-order":["k","p","n","d","c"],"x-key":"k","x-patient":"p","required":["k","p"],"properties":{"k":{"type":"string"},
            "p":{"type":"string","maxLength":3},"n":{"type":"number","maximum":9},"d":{"type":"string","format":"x-partial-date"},
            "c":{"type":"string","enum":["a","b"]}}}"#;
        let model = ModelCheck::compile("m", &[("t.schema.json".into(), schema.into())]).unwrap();
        let table = model.table("t").unwrap();
        table.check("k1", row).map_err(|fault| (fault.rule, fault.path))
    }

    #[test]
    fn a_row_that_fits_is_taken() {
        assert_eq!(check(r#"{"k":"k1","p":"p","n":1.50,"d":"2024-02","c":"a"}"#), Ok(()));
    }

    #[test]
    fn each_broken_rule_is_named_with_its_column_and_no_value() {
        let case = |row: &str, rule: &str, path: &str| assert_eq!(check(row), Err((rule.to_owned(), path.to_owned())), "{row}");
        case(r#"{"k":"k1"}"#, "required", "/p");
        case(r#"{"k":"k1","p":"long"}"#, "maxLength", "/p");
        case(r#"{"k":"k1","p":7}"#, "type", "/p");
        case(r#"{"k":"k1","p":{"p":"p"}}"#, "type", "/p");
        case(r#"{"k":"k1","p":"p","n":10}"#, "maximum", "/n");
        case(r#"{"k":"k1","p":"p","d":"2023-02-29"}"#, "format", "/d");
        case(r#"{"k":"k1","p":"p","c":"c"}"#, "enum", "/c");
        case(r#"{"k":"k1","p":"p","Jane Doe":1}"#, "additionalProperties", "");
        case(r#"{"k":"k2","p":"p"}"#, "key", "/k");
        case(r#"{"k":"k1","p":"p","p":"q"}"#, "syntax", "");
        case(r#"{"k":"k1","p":"p"},{"#, "syntax", "");
        case(r#"{"k":"k1","p":"p","n":1e999}"#, "syntax", "");
    }
}
