//! Expected rows for FHIR resources, made by another project (`cases/README.md` beside them says how they are read).
//! A table that a case lists holds exactly those rows; other tables that the case's file speaks of are empty.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::rules;
use crate::models::mapped;

/// What we do otherwise, on purpose: (file, case, table.column, reason). A line that is no longer needed fails the test.
const OTHERWISE: [(&str, &str, &str, &str); 0] = [];

#[test]
fn every_golden_case_comes_out_as_its_authors_say() {
    let Some(shared) = crate::shared() else { return };
    let cache = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(&shared, cache.path());
    let (mut cases, mut failures) = (0, String::new());
    let mut otherwise: BTreeSet<_> = OTHERWISE.iter().map(|(file, case, place, _)| (*file, *case, *place)).collect();
    for (name, file) in files(&shared.join("data/omop/golden/cases")) {
        let about = name.split("--").nth(1).unwrap_or_default().replace('-', "_");
        let all: Vec<_> = file["cases"].as_array().expect("cases").iter().collect();
        let mut speaks_of: BTreeSet<String> = all.iter().flat_map(|case| tables_of(case)).collect();
        speaks_of.insert(about);
        for case in all {
            cases += 1;
            let data = tempfile::tempdir().expect("a temporary folder");
            write(data.path(), &file["fixtures"], &case["fhir"]);
            let (outcome, tables) = mapped(&rules, data.path(), 1);
            let desc = case["desc"].as_str().unwrap_or_default();
            let mut bound = BTreeMap::new();
            for table in &speaks_of {
                let expected: Vec<_> = case["omop"][table].as_array().map_or(Vec::new(), |rows| rows.iter().collect());
                let found = tables.get(table).map_or(&[][..], Vec::as_slice);
                for place in differences(table, &expected, found, &mut bound) {
                    let known = (name.as_str(), desc, place.as_str());
                    let listed = OTHERWISE.iter().find(|(f, c, p, _)| (*f, *c, *p) == known);
                    match listed {
                        Some((f, c, p, _)) => drop(otherwise.remove(&(*f, *c, *p))),
                        None => writeln!(failures, "{name}: {desc}: {place}").expect("a String takes it"),
                    }
                }
            }
            for refused in &outcome.refused {
                writeln!(failures, "{name}: {desc}: {}", refused.refusal).expect("a String takes it");
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(otherwise.is_empty(), "no longer otherwise: {otherwise:?}");
    assert!(cases >= 86, "only {cases} cases were found");
}

fn files(folder: &Path) -> Vec<(String, Value)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the golden cases")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a case file");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, serde_json::from_str(&text).expect("JSON"))
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn tables_of(case: &Value) -> Vec<String> {
    case["omop"].as_object().expect("tables").keys().cloned().collect()
}

/// One NDJSON file per type; on the same type and id the case's own resource wins.
fn write(folder: &Path, fixtures: &Value, own: &Value) {
    let mut all: BTreeMap<(String, String), &Value> = BTreeMap::new();
    for resource in [fixtures, own].into_iter().filter_map(Value::as_array).flatten() {
        let text = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
        all.insert((text("resourceType"), text("id")), resource);
    }
    let mut types: BTreeMap<&str, String> = BTreeMap::new();
    for ((resource_type, _), resource) in &all {
        writeln!(types.entry(resource_type).or_default(), "{resource}").expect("a String takes it");
    }
    for (resource_type, lines) in types {
        fs::write(folder.join(format!("{resource_type}.ndjson")), lines).expect("a temporary file");
    }
}

type Bound = BTreeMap<String, Value>;

/// `table` where the number of rows differs, `table.column` where a value does. Each expected row is held against the found
/// row that is most like it.
fn differences(table: &str, expected: &[&Value], found: &[Value], bound: &mut Bound) -> Vec<String> {
    let mut all = Vec::new();
    if expected.len() != found.len() {
        all.push(format!("{table}: {} rows instead of {}", found.len(), expected.len()));
    }
    let mut left: Vec<_> = found.iter().collect();
    for row in expected {
        let tried = left.iter().enumerate().map(|(at, found)| {
            let mut bound = bound.clone();
            (row_differences(table, row, found, &mut bound), at, bound)
        });
        let Some((differences, at, best)) = tried.min_by_key(|(differences, ..)| differences.len()) else {
            continue;
        };
        left.remove(at);
        *bound = best;
        all.extend(differences);
    }
    all
}

fn row_differences(table: &str, expected: &Value, found: &Value, bound: &mut Bound) -> Vec<String> {
    let empty = Map::new();
    let (expected, found) = (expected.as_object().unwrap_or(&empty), found.as_object().unwrap_or(&empty));
    let own_key = if table == "death" { String::new() } else { format!("{table}_id") };
    let columns: BTreeSet<_> = expected
        .keys()
        .filter(|name| !name.ends_with("__name"))
        .chain(found.keys())
        .collect();
    let mut all = Vec::new();
    for column in columns
        .into_iter()
        .filter(|column| **column != own_key || expected.contains_key(*column))
    {
        let (wanted, got) = (expected.get(column), found.get(column));
        let same = match wanted
            .and_then(Value::as_str)
            .filter(|text| text.starts_with("ref:") || text.starts_with("id:"))
        {
            Some(token) => got.is_some_and(|got| bound.entry(token.to_owned()).or_insert_with(|| got.clone()) == got),
            None => equal(wanted, got),
        };
        if !same {
            all.push(format!("{table}.{column}"));
        }
    }
    all
}

/// Numbers by value: 5 and 5.0 are one.
fn equal(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a.and_then(Value::as_f64), b.and_then(Value::as_f64)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
