//! What holds for the rows of every model: they fit their schemas, their keys are unique and lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use headwater::fhir::tree::Limits;
use headwater::gateway::Rules;
use headwater::gateway::offline::{Format, Job, Outcome, map_folder};
use serde_json::Value;

/// Rows by table.
pub type Tables = BTreeMap<String, Vec<Value>>;

/// The rows of every table that the folder's resources make.
pub fn mapped(rules: &Rules, data: &Path, threads: usize) -> (Outcome, Tables) {
    rows_of(rules, data, threads, None)
}

/// The same, as they may leave under the keys of a folder.
pub fn released(rules: &Rules, data: &Path, keys: &Path) -> (Outcome, Tables) {
    rows_of(rules, data, 2, Some(keys))
}

fn rows_of(rules: &Rules, data: &Path, threads: usize, keys: Option<&Path>) -> (Outcome, Tables) {
    let out = tempfile::tempdir().expect("a temporary folder");
    let job = Job {
        data,
        out: out.path(),
        threads,
        limits: Limits::default(),
        format: Format::Ndjson,
        today: jiff::Timestamp::UNIX_EPOCH,
    };
    let outcome = map_folder(rules, &job, keys, &|_, _| ()).expect("the folder can be mapped");
    let rows = |name: &str| {
        let text = fs::read_to_string(out.path().join(format!("{name}.ndjson"))).expect("a table");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a row is JSON"))
            .collect()
    };
    let tables = rules.model.tables().map(|(_, table)| (table.name.clone(), rows(&table.name)));
    (outcome, tables.collect())
}

/// Holds every row to its JSON Schema and every foreign key to the rows it leads to, but for tables that the policy keeps.
pub fn hold_rows(rules: &Rules, tables: &Tables, is_released: bool) {
    let mut keys: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (_, table) in rules.model.tables() {
        let key = &table.columns[table.key].name;
        let own: BTreeSet<_> = tables[&table.name].iter().map(|row| row[key].to_string()).collect();
        assert_eq!(own.len(), tables[&table.name].len(), "two rows of {} have one key", table.name);
        keys.insert(&table.name, own);
    }
    for (_, table) in rules.model.tables() {
        let validator = jsonschema::validator_for(&table.schema).expect("a schema");
        let mut dangling: BTreeMap<&str, u64> = BTreeMap::new();
        for row in &tables[&table.name] {
            let fault = validator.iter_errors(row).next().map(|error| error.instance_path().to_string());
            assert_eq!(fault, None, "a row of {} does not fit its schema", table.name);
            for column in &table.columns {
                let (Some(target), Some(key)) = (column.references.as_deref(), row.get(&column.name)) else {
                    continue;
                };
                let is_kept = is_released && rules.policy.withheld().any(|(table, _)| table == target);
                if !is_kept && !keys[target].contains(&key.to_string()) {
                    *dangling.entry(&column.name).or_default() += 1;
                }
            }
        }
        assert!(dangling.is_empty(), "keys of {} lead nowhere: {dangling:?}", table.name);
    }
}

/// The rows of a folder of which nothing may be refused, held to their schemas and keys; at least `filled` tables have some.
pub fn sound(rules: &Rules, data: &Path, filled: usize) -> Tables {
    let (outcome, tables) = mapped(rules, data, 2);
    assert!(outcome.counts.resources_balance());
    assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
    hold_rows(rules, &tables, false);
    let with_rows = tables.values().filter(|rows| !rows.is_empty()).count();
    assert!(with_rows >= filled, "{}: only {with_rows} tables have rows", data.display());
    tables
}

/// The named fields of each record of a CSV (RFC 4180).
pub fn records(path: &Path, wanted: &[&str]) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).expect("a definition");
    let mut all = vec![vec![String::new()]];
    let mut quoted = false;
    for character in text.trim_start_matches('\u{feff}').chars() {
        let record = all.last_mut().expect("there is always one");
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(String::new()),
            '\n' if !quoted => all.push(vec![String::new()]),
            '\r' => {}
            other => record.last_mut().expect("there is always one").push(other),
        }
    }
    let head = all.remove(0);
    let places: Vec<_> = wanted
        .iter()
        .map(|name| head.iter().position(|column| column == name).expect("a column"))
        .collect();
    let whole = all.into_iter().filter(|record| record.len() == head.len());
    whole.map(|record| places.iter().map(|at| record[*at].clone()).collect()).collect()
}
