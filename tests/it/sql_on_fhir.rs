//! The official SQL-on-FHIR v2 suite: every test of every file, and the report in the form the specification asks for
//! (`target/test_report.json`). Bar: all 123 shareable tests; aim: all 134.

use std::collections::BTreeMap;
use std::path::PathBuf;

use headwater::fhir::tree::{Limits, Tree};
use headwater::map::view::{Reading, View};
use headwater::platform::file::write_durable;
use serde_json::{Value, json};

fn shared() -> PathBuf {
    std::env::var_os("HEADWATER_SHARED").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from)
}

/// The rows of one test, or why there are none.
fn rows(view: &Value, resources: &[Value]) -> Result<Vec<Value>, String> {
    let view = View::compile(&view.to_string(), "view", Reading::Standard).map_err(|faults| faults[0].to_string())?;
    let mut rows = Vec::new();
    for resource in resources {
        let line = resource.to_string();
        let mut tree = Tree::new();
        let root = tree.parse(line.as_bytes(), &Limits::default()).map_err(|error| error.to_string())?;
        view.rows(root, |row| {
            let mut object = Vec::from(*b"{");
            for (at, (column, field)) in view.columns().iter().zip(&row.fields).enumerate() {
                if at > 0 {
                    object.push(b',');
                }
                object.extend_from_slice(json!(column.name).to_string().as_bytes());
                object.push(b':');
                field.write_json(&mut object);
            }
            object.push(b'}');
            rows.push(serde_json::from_slice(&object).expect("a row is JSON"));
            Ok(())
        })
        .map_err(|fault| fault.to_string())?;
    }
    Ok(rows)
}

/// Equal as the suite means it: rows in any order, numbers by value.
fn same_rows(found: &[Value], expected: &[Value]) -> bool {
    let mut free: Vec<&Value> = expected.iter().collect();
    found.len() == expected.len()
        && found.iter().all(|row| {
            let place = free.iter().position(|other| same(row, other));
            place.map(|place| free.swap_remove(place)).is_some()
        })
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b))),
        _ => a == b,
    }
}

fn run(test: &Value, resources: &[Value]) -> Result<(), String> {
    let result = rows(&test["view"], resources);
    if test["expectError"] == json!(true) {
        return match result {
            Ok(_) => Err("the view should have been refused".into()),
            Err(_) => Ok(()),
        };
    }
    let rows = result?;
    if let Some(expected) = test["expect"].as_array()
        && !same_rows(&rows, expected)
    {
        return Err(format!("expected {} but got {}", test["expect"], Value::from(rows)));
    }
    if let Some(expected) = test["expectCount"].as_u64()
        && rows.len() as u64 != expected
    {
        return Err(format!("expected {expected} rows but got {}", rows.len()));
    }
    if let Some(expected) = test.get("expectColumns") {
        let view = View::compile(&test["view"].to_string(), "view", Reading::Standard).map_err(|faults| faults[0].to_string())?;
        let columns: Vec<_> = view.columns().iter().map(|column| column.name.clone()).collect();
        if json!(columns) != *expected {
            return Err(format!("expected columns {expected} but got {columns:?}"));
        }
    }
    Ok(())
}

#[test]
fn the_official_suite_passes() {
    let folder = shared().join("data/sof-tests");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: the suite is not there (set HEADWATER_SHARED)");
        return;
    };
    let mut files: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "json") && !path.to_string_lossy().ends_with(".schema.json"));
    files.sort();
    let mut report = BTreeMap::new();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut failed = Vec::new();
    for path in files {
        let suite: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file of the suite")).expect("the suite is JSON");
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let resources = suite["resources"].as_array().expect("resources");
        let mut tests = Vec::new();
        for test in suite["tests"].as_array().expect("tests") {
            let result = run(test, resources);
            let shareable = test["tags"].as_array().is_some_and(|tags| tags.contains(&json!("shareable")));
            let count = counts
                .entry(if shareable { "shareable" } else { "experimental" }.into())
                .or_default();
            count.1 += 1;
            tests.push(match &result {
                Ok(()) => {
                    count.0 += 1;
                    json!({"name": test["title"], "result": {"passed": true}})
                }
                Err(error) => {
                    failed.push(format!("{name}: {}: {error}", test["title"]));
                    json!({"name": test["title"], "result": {"passed": false, "error": error}})
                }
            });
        }
        report.insert(name, json!({ "tests": tests }));
    }
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::create_dir_all(&target).expect("the target folder");
    let text = serde_json::to_vec_pretty(&report).expect("a report is JSON");
    write_durable(&target.join("test_report.json"), &text).expect("the report");
    println!("SQL on FHIR: {counts:?}");
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(counts.values().map(|count| count.1).sum::<usize>(), 134, "the suite is not whole");
}
