//! The OMOP model against outside truth: the golden cases of another project, the CDM's own definition, real patients.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use headwater::fhir::tree::Limits;
use headwater::gateway::Rules;
use headwater::gateway::offline::{Format, Job, Outcome, map_folder};
use headwater::gateway::vocabulary::Athena;
use headwater::network::Package;
use serde_json::Value;

mod definition;
mod golden;
mod quality;
mod synthea;

/// The model's rules with the golden cases' vocabulary; its index is kept in `cache`.
fn rules(shared: &Path, cache: &Path) -> Rules {
    let mut network = Package::BuiltIn.load("omop-5.4").expect("the built-in model loads");
    let folder = shared.join("data/omop/golden/vocabulary");
    let athena = Athena::open(&folder, cache, &mut |_, _| ()).expect("the vocabulary opens");
    network.vocabulary = Some(Arc::new(athena));
    network.under("safe-harbor").expect("the policy compiles")
}

/// The rows of every table that the folder's resources make.
fn mapped(rules: &Rules, data: &Path, threads: usize) -> (Outcome, BTreeMap<String, Vec<Value>>) {
    let out = tempfile::tempdir().expect("a temporary folder");
    let job = Job {
        data,
        out: out.path(),
        threads,
        limits: Limits::default(),
        format: Format::Ndjson,
        today: jiff::Timestamp::UNIX_EPOCH,
    };
    let outcome = map_folder(rules, &job, None, &|_, _| ()).expect("the folder can be mapped");
    let rows = |name: &str| {
        let text = fs::read_to_string(out.path().join(format!("{name}.ndjson"))).expect("a table");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a row is JSON"))
            .collect()
    };
    let tables = rules.model.tables().map(|(_, table)| (table.name.clone(), rows(&table.name)));
    (outcome, tables.collect())
}

/// The records of a CSV (RFC 4180) without its head; of each the fields of `columns`, in their order.
fn records(text: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let mut all = vec![vec![String::new()]];
    let mut quoted = false;
    for character in text.trim_start_matches('\u{feff}').chars() {
        let record = all.last_mut().expect("there is always one");
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(String::new()),
            '\n' if !quoted => all.push(vec![String::new()]),
            '\r' if !quoted => {}
            other => record.last_mut().expect("there is always one").push(other),
        }
    }
    let head = all.remove(0);
    let place = |name: &&str| head.iter().position(|column| column == name).expect("a column of the file");
    let places: Vec<_> = columns.iter().map(place).collect();
    let whole = all.into_iter().filter(|record| record.len() == head.len());
    whole.map(|record| places.iter().map(|at| record[*at].clone()).collect()).collect()
}
