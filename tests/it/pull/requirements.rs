//! The tables that say which test shows which promise: each named test is there, and no row of the standard is left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of `tests/requirements/<name>`, without its head and its remarks.
fn rows(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("tests/requirements").join(name)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Whether `module::name` is a test: of `tests/it`, or beside the code in `src`.
fn is_test(path: &str) -> bool {
    let (module, name) = path.rsplit_once("::").unwrap();
    let file = module.replace("::", "/");
    let places: [PathBuf; 3] = [
        root().join(format!("tests/it/{file}.rs")),
        root().join(format!("src/{file}.rs")),
        root().join(format!("src/{file}/tests.rs")),
    ];
    places.iter().any(|place| {
        let text = fs::read_to_string(place).unwrap_or_default();
        let Some(at) = text.find(&format!("fn {name}(")) else {
            return false;
        };
        // The nearest attribute above it makes it a test.
        let above = text[..at].trim_end_matches("async ").trim_end();
        above.ends_with("#[test]") || above.ends_with("#[tokio::test]")
    })
}

fn check(name: &str, tests_at: usize) {
    let rows = rows(name);
    assert!(!rows.is_empty());
    for row in rows {
        assert_eq!(row.len(), tests_at + 1, "{name}: {row:?}");
        for test in row[tests_at].split(' ') {
            assert!(is_test(test), "{name}, row {}: there is no test `{test}`", row[0]);
        }
    }
}

#[test]
fn every_requirement_of_a_client_names_tests_that_are_there() {
    check("bulk_data_client.tsv", 3);
}

#[test]
fn every_fault_names_tests_that_are_there() {
    check("faults.tsv", 2);
}

#[test]
fn every_fault_of_an_ehr_the_network_and_the_clock_has_its_row() {
    let found: BTreeSet<u32> = rows("faults.tsv").iter().map(|row| row[0].parse().unwrap()).collect();
    let expected: BTreeSet<u32> = (1..=22).chain([36, 43]).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    assert!(is_test("pull::requirements::a_test_that_is_not_there_is_noticed"));
    assert!(!is_test("pull::requirements::a_test_that_is_not_there"));
    assert!(!is_test("pull::requirements::is_test"));
    assert!(!is_test("pull::nowhere::a_test_that_is_not_there_is_noticed"));
}

/// Fields of one line of CSV, quotes taken off. Lines within quotes are joined before.
fn fields(record: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for c in record.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            _ => field.push(c),
        }
    }
    fields.push(field);
    fields
}

#[test]
fn every_shall_row_of_the_standards_table_is_in_ours_and_no_other() {
    let shared = std::env::var_os("HEADWATER_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let table = shared.join("data/bulk-data/requirements/bulk_data_v200_client_requirements_coverage.csv");
    let Ok(text) = fs::read_to_string(table) else {
        println!("skipped: the table is not there (set HEADWATER_SHARED)");
        return;
    };
    let mut records: Vec<String> = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        match records.last_mut() {
            // An odd number of quotes so far: the record goes on.
            Some(last) if last.matches('"').count() % 2 == 1 => {
                last.push('\n');
                last.push_str(line);
            }
            _ => records.push(line.to_owned()),
        }
    }
    let records: Vec<Vec<String>> = records.iter().map(|record| fields(record)).collect();
    let column = |name: &str| records[0].iter().position(|column| column == name).unwrap();
    let (set, id, conformance, actors) = (column("Req Set"), column("ID"), column("Conformance"), column("Actors"));
    let wanted: BTreeSet<(String, String)> = records[1..]
        .iter()
        .filter(|row| row[actors] == "Client" && matches!(row[conformance].as_str(), "SHALL" | "SHALL NOT"))
        .map(|row| (format!("{}@{}", row[set], row[id]), row[conformance].clone()))
        .collect();
    let ours: BTreeSet<(String, String)> = rows("bulk_data_client.tsv")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    assert_eq!(wanted.len(), 52);
    assert_eq!(ours, wanted);
}
