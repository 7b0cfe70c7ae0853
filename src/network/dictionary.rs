//! The data dictionary of a model: each column, where it comes from, what is done with it and what of it may leave.
//! Reads the mapping files as people wrote them, so that the words are theirs. How a rule is told is in `words`.

mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::cdm::{Column, Kind, Model, Table};
use crate::deidentify::Policy;

/// The mapping files as people wrote them: `(file name, JSON)`.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    pub views: Vec<(String, String)>,
    pub concept_maps: Vec<(String, String)>,
    /// `derived.toml`; empty where there is none.
    pub derived: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dictionary {
    pub model: String,
    pub tables: Vec<TableEntry>,
    pub concept_maps: Vec<MapEntry>,
    /// The policies: name, the paragraph claimed, version.
    pub policies: Vec<(String, String, String)>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableEntry {
    pub name: String,
    pub about: String,
    pub views: Vec<ViewEntry>,
    /// What it is derived from, where no single resource fills it.
    pub derived: Option<String>,
    /// Policy and reason, where none of its rows leaves.
    pub withheld: BTreeMap<String, String>,
    pub columns: Vec<ColumnEntry>,
}

/// One mapping file of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ViewEntry {
    pub file: String,
    pub resource: String,
    pub about: String,
    /// What a resource must meet.
    pub conditions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnEntry {
    pub name: String,
    pub kind: String,
    pub required: bool,
    /// `key`, `patient`, or the table whose key it holds.
    pub role: Option<String>,
    pub values: Vec<ValueEntry>,
    pub description: String,
    pub sources: Vec<SourceEntry>,
    pub deidentification: Vec<DeidentificationEntry>,
}

/// One value that a column may hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueEntry {
    pub code: String,
    /// Empty where the model does not say it.
    pub meaning: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceEntry {
    pub file: String,
    pub resource: String,
    /// The path, each list it is asked of before it.
    pub path: String,
    /// The transformation in words, one sentence each.
    pub rules: Vec<String>,
    pub comment: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeidentificationEntry {
    pub policy: String,
    pub rule: String,
    pub reason: String,
}

/// One ConceptMap.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MapEntry {
    pub file: String,
    pub url: String,
    pub title: String,
    /// Source system, code, target code (empty: none).
    pub pairs: Vec<(String, String, String)>,
}

/// One `column` of a view's file.
pub(super) struct Fill {
    pub column: String,
    pub path: String,
    pub tags: Vec<(String, String)>,
    pub description: String,
}

impl Dictionary {
    pub(super) fn of(model: &Model, texts: &Texts, policies: &[Policy]) -> Self {
        let views: Vec<(&str, Value)> = texts
            .views
            .iter()
            .filter_map(|(file, text)| Some((file.as_str(), serde_json::from_str(text).ok()?)))
            .collect();
        let derived: toml::Table = texts.derived.parse().unwrap_or_default();
        let tables = model.tables().map(|(_, table)| TableEntry::of(table, &views, &derived, policies));
        Self {
            model: model.name.clone(),
            tables: tables.collect(),
            concept_maps: texts
                .concept_maps
                .iter()
                .filter_map(|(file, text)| MapEntry::of(file, text))
                .collect(),
            policies: policies
                .iter()
                .map(|policy| (policy.name().to_owned(), policy.claims().to_owned(), policy.version().to_owned()))
                .collect(),
        }
    }
}

impl TableEntry {
    fn of(table: &Table, views: &[(&str, Value)], derived: &toml::Table, policies: &[Policy]) -> Self {
        let own: Vec<_> = views.iter().filter(|(_, view)| view["name"] == table.name.as_str()).collect();
        let made = derived.get(&table.name).and_then(toml::Value::as_table);
        let mut sources: BTreeMap<String, Vec<SourceEntry>> = BTreeMap::new();
        for (file, view) in &own {
            let mut told = BTreeSet::new();
            for fill in view_fills(view) {
                let rules: Vec<String> = words::rules(&fill.tags);
                // Branches often say the same of a column.
                if !told.insert((fill.column.clone(), fill.path.clone(), rules.clone())) {
                    continue;
                }
                sources.entry(fill.column).or_default().push(SourceEntry {
                    file: (*file).to_owned(),
                    resource: view["resource"].as_str().unwrap_or_default().to_owned(),
                    path: fill.path,
                    rules,
                    comment: fill.description,
                });
            }
        }
        for (column, rule) in made.and_then(|made| made.get("columns")?.as_table()).into_iter().flatten() {
            sources.entry(column.clone()).or_default().push(SourceEntry {
                file: "derived.toml".to_owned(),
                resource: made.and_then(|made| made.get("from")?.as_str()).unwrap_or("the run").to_owned(),
                path: rule.to_string(),
                rules: Vec::new(),
                comment: String::new(),
            });
        }
        let entry = |(at, column): (usize, &Column)| ColumnEntry {
            name: column.name.clone(),
            kind: kind(column),
            required: column.required,
            role: match &column.references {
                _ if at == table.key => Some("key".to_owned()),
                Some(other) => Some(format!("key of {other}")),
                None if table.patient == Some(at) => Some("patient".to_owned()),
                None => None,
            },
            values: values(column, &table.schema["properties"][&column.name]["x-meanings"]),
            description: column.description.clone(),
            sources: sources.get(&column.name).cloned().unwrap_or_default(),
            deidentification: policies
                .iter()
                .filter_map(|policy| leaves(policy, &table.name, &column.name))
                .collect(),
        };
        let withheld = policies.iter().filter_map(|policy| {
            let (_, reason) = policy.withheld().find(|(name, _)| *name == table.name)?;
            Some((policy.name().to_owned(), reason.to_owned()))
        });
        Self {
            name: table.name.clone(),
            about: table.schema["description"].as_str().unwrap_or_default().to_owned(),
            views: own.iter().map(|(file, view)| ViewEntry::of(file, view)).collect(),
            derived: made.map(|made| match (made.get("from"), made.get("by")) {
                (Some(from), Some(by)) => format!("one row for each value of {from}.{by}").replace('"', ""),
                _ => "one row for each run".to_owned(),
            }),
            withheld: withheld.collect(),
            columns: table.columns.iter().enumerate().map(entry).collect(),
        }
    }
}

impl ViewEntry {
    fn of(file: &str, view: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let conditions = view["where"].as_array().into_iter().flatten();
        Self {
            file: file.to_owned(),
            resource: text(&view["resource"]),
            about: text(&view["description"]),
            conditions: conditions.map(|condition| text(&condition["path"])).collect(),
        }
    }
}

impl MapEntry {
    fn of(file: &str, text: &str) -> Option<Self> {
        let map: Value = serde_json::from_str(text).ok()?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut pairs = Vec::new();
        for group in map["group"].as_array().into_iter().flatten() {
            for element in group["element"].as_array().into_iter().flatten() {
                pairs.push((word(&group["source"]), word(&element["code"]), word(&element["target"][0]["code"])));
            }
        }
        Some(Self {
            file: file.to_owned(),
            url: word(&map["url"]),
            title: word(&map["title"]),
            pairs,
        })
    }
}

/// The column's values with what the model's schema says they mean.
fn values(column: &Column, meanings: &Value) -> Vec<ValueEntry> {
    let codes = column.values.iter().flatten();
    codes
        .map(|code| ValueEntry {
            code: code.clone(),
            meaning: meanings[code].as_str().unwrap_or_default().to_owned(),
        })
        .collect()
}

fn leaves(policy: &Policy, table: &str, column: &str) -> Option<DeidentificationEntry> {
    let (_, _, rule, reason) = policy.columns().find(|(t, c, ..)| *t == table && *c == column)?;
    Some(DeidentificationEntry {
        policy: policy.name().to_owned(),
        rule: rule.as_str().to_owned(),
        reason: reason.to_owned(),
    })
}

/// The type in words: `text, at most 50`, `integer, 0 to 9`.
fn kind(column: &Column) -> String {
    let name = match column.kind {
        Kind::Boolean => "boolean",
        Kind::Integer => "integer",
        Kind::Decimal => "decimal",
        Kind::Text => "text",
        Kind::PartialDate => "date, may be partial",
        Kind::Date => "date",
        Kind::DateTime => "date and time",
        Kind::Time => "time",
        Kind::Key => "integer key",
    };
    let mut out = name.to_owned();
    if let Some(length) = column.max_length {
        out.push_str(&format!(", at most {length}"));
    }
    match (column.minimum, column.maximum) {
        (Some(least), Some(most)) => out.push_str(&format!(", {least} to {most}")),
        (Some(least), None) => out.push_str(&format!(", from {least}")),
        (None, Some(most)) => out.push_str(&format!(", up to {most}")),
        (None, None) => {}
    }
    out
}

/// Every `column` of a view, in order; its path begins with the lists it is asked of.
pub(super) fn view_fills(view: &Value) -> Vec<Fill> {
    let mut fills = Vec::new();
    selects(&view["select"], "", &mut fills);
    fills
}

fn selects(list: &Value, before: &str, fills: &mut Vec<Fill>) {
    for select in list.as_array().into_iter().flatten() {
        let each = ["forEach", "forEachOrNull"].iter().find_map(|way| select[*way].as_str());
        let repeat = select["repeat"].as_array().map(|paths| {
            let paths: Vec<_> = paths.iter().filter_map(Value::as_str).collect();
            format!("repeat({})", paths.join(", "))
        });
        let each = each.map(str::to_owned).or(repeat);
        let before = each.map_or_else(|| before.to_owned(), |each| format!("{before}{each} → "));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for column in select["column"].as_array().into_iter().flatten() {
            let tags = ["tag", "tags"].into_iter().filter_map(|name| column[name].as_array()).flatten();
            fills.push(Fill {
                column: text(&column["name"]),
                path: format!("{before}{}", text(&column["path"])),
                tags: tags.map(|tag| (text(&tag["name"]), text(&tag["value"]))).collect(),
                description: text(&column["description"]),
            });
        }
        selects(&select["select"], &before, fills);
        selects(&select["unionAll"], &before, fills);
    }
}
