//! The straight ways and the merged columns give what the evaluator gives alone: every built-in mapping, over ordinary
//! resources and over the same ones made odd.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fhir::tree::{Limits, Tree};
use crate::map::view::{Each, Part, Reading, Select, View};

impl View {
    /// Leaves everything to the evaluator.
    fn evaluated(mut self) -> Self {
        self.wheres.iter_mut().for_each(|condition| condition.path.without_fast());
        for source in &mut self.sources {
            source.same = None;
            let extra = [&mut source.coding, &mut source.aside];
            extra
                .into_iter()
                .flatten()
                .chain([&mut source.path])
                .for_each(|path| path.without_fast());
        }
        self.select.evaluated();
        self
    }
}

impl Select {
    fn evaluated(&mut self) {
        match &mut self.each {
            Each::Once => {}
            Each::Items(path) | Each::ItemsOrNull(path) => path.without_fast(),
            Each::Repeat(paths) => paths.iter_mut().for_each(|path| path.without_fast()),
        }
        for part in &mut self.parts {
            match part {
                Part::Columns(columns) => columns.merged = None,
                Part::Select(select) => select.evaluated(),
                Part::Union(branches) => branches.iter_mut().for_each(Select::evaluated),
            }
        }
    }
}

/// All rows, with what the further paths gave, or the fault.
fn rows(view: &View, line: &str) -> Result<Vec<String>, String> {
    let mut tree = Tree::new();
    let Ok(root) = tree.parse(line.as_bytes(), &Limits::default()) else {
        return Ok(Vec::new());
    };
    let mut rows = Vec::new();
    view.rows(root, |row| {
        let mut out = Vec::new();
        for field in row.fields.iter().chain(&row.codings).chain(&row.asides) {
            field.write_json(&mut out);
            out.push(b' ');
        }
        rows.push(format!("{} {:?}", String::from_utf8_lossy(&out), row.by));
        Ok(())
    })
    .map_err(|fault| fault.to_string())?;
    Ok(rows)
}

fn views() -> Vec<(String, View, View)> {
    let mut views = Vec::new();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings"), ".json") {
        let text = std::fs::read_to_string(&file).expect("a mapping file");
        let name = file.display().to_string();
        if name.ends_with(".cases.json") || !text.contains("ViewDefinition\"") {
            continue;
        }
        let compile = || View::compile(&text, &name, Reading::Mapping).expect("a built-in mapping compiles");
        views.push((name.clone(), compile(), compile().evaluated()));
    }
    assert!(!views.is_empty());
    views
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The resources of all cases.
fn made() -> Vec<Value> {
    let mut all = Vec::new();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings"), ".cases.json") {
        let cases: Value = serde_json::from_str(&std::fs::read_to_string(file).expect("a file of cases")).expect("cases are JSON");
        for case in cases["cases"].as_array().into_iter().flatten() {
            all.push(case["resource"].clone());
        }
    }
    all
}

/// The resource changed in one place, in every way that the straight ways know to be odd.
fn odd(resource: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    let mut pointers = Vec::new();
    members(resource, String::new(), &mut pointers);
    for pointer in pointers {
        let (holder, name) = pointer.rsplit_once('/').expect("a pointer has a slash");
        let mut put = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
            let mut other = resource.clone();
            if let Some(Value::Object(members)) = other.pointer_mut(holder) {
                change(members);
                all.push(other);
            }
        };
        let companion = format!("_{name}");
        let with_extension = json!({"extension": [{"url": "http://x", "valueCode": "y"}]});
        put(&|members| drop(members.remove(name)));
        put(&|members| drop(members.insert(name.to_owned(), Value::Null)));
        put(&|members| drop(members.insert(name.to_owned(), json!([]))));
        put(&|members| drop(members.insert(companion.clone(), with_extension.clone())));
        put(&|members| {
            members.remove(name);
            members.insert(companion.clone(), with_extension.clone());
        });
        put(&|members| {
            let value = members[name].clone();
            members.insert(name.to_owned(), json!([value, value, null]));
        });
        put(&|members| drop(members.insert(name.to_owned(), json!("2020-01-01"))));
        put(&|members| drop(members.insert(name.to_owned(), json!(true))));
    }
    all
}

fn members(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(members_of) => {
            for (name, value) in members_of {
                let pointer = format!("{at}/{name}");
                members(value, pointer.clone(), out);
                out.push(pointer);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                members(item, format!("{at}/{number}"), out);
            }
        }
        _ => {}
    }
}

#[test]
fn every_mapping_gives_the_same_rows_straight_and_by_evaluation() {
    let views = views();
    let mut compared = 0;
    let mut check = |line: &str, faults_too: bool| {
        for (name, straight, evaluated) in &views {
            if !line.contains(&format!("\"{}\"", straight.resource())) {
                continue;
            }
            let expected = rows(evaluated, line);
            // What is wrong behind the first item wanted is a fault to the evaluator only.
            if expected.is_ok() || faults_too {
                assert_eq!(rows(straight, line), expected, "{name}: {line}");
                compared += 1;
            }
        }
    };
    for (number, resource) in made().iter().enumerate() {
        check(&resource.to_string(), true);
        // Cases of one view are much alike: every fifth says what all would.
        if number % 5 == 0 {
            odd(resource).iter().for_each(|other| check(&other.to_string(), false));
        }
    }
    let shared = std::env::var("HEADWATER_SHARED").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared").to_owned());
    let synthea = files(&Path::new(&shared).join("data/synthea"), ".ndjson.gz");
    if synthea.is_empty() {
        println!("skipped: no Synthea files below HEADWATER_SHARED");
    }
    for file in synthea {
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(std::fs::File::open(file).expect("a file"))
            .read_to_string(&mut text)
            .expect("a gzip file of text");
        for line in text.lines().step_by(23) {
            check(line, true);
        }
    }
    assert!(compared > 1000, "only {compared} were compared");
}
