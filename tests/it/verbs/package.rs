//! `headwater check` on a package with planted faults: each is named with file, line and column, all in one go.

use std::fs;
use std::path::Path;

use super::{expect, text};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// Our own package in a folder of its own, so that it can be spoilt.
fn package() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for part in ["profiles", "mappings"] {
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(part), &dir.path().join(part));
    }
    dir
}

/// Replaces the first `old` of the file; where it stands: `line:column`, from 1.
fn spoil(file: &Path, old: &str, new: &str) -> String {
    let source = fs::read_to_string(file).unwrap();
    let at = source.find(old).unwrap_or_else(|| panic!("`{old}` is not in {}", file.display()));
    fs::write(file, source.replacen(old, new, 1)).unwrap();
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    format!("{}:{}", before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[test]
fn our_own_package_has_no_fault_and_runs_all_its_cases() {
    let dir = package();
    let said = expect(0, &["check", text(dir.path()), "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(answer["faults"], serde_json::json!([]));
    assert!(answer["models"][0]["cases"].as_u64().unwrap() > 50, "{answer}");
    assert_eq!(said.err, "");
}

#[test]
fn every_planted_fault_is_named_at_once_with_file_line_and_column() {
    let dir = package();
    let mappings = dir.path().join("mappings/ibd-registry");
    let file = |name: &str| mappings.join(name);
    let misspelt = spoil(&file("Patient.patient.json"), "birthDate\", \"type\"", "birthDat\", \"type\"");
    spoil(
        &file("Procedure.procedure.json"),
        "\"name\": \"procedure\"",
        "\"name\": \"procedures\"",
    );
    let policy = file("deidentification.toml");
    let table = spoil(&policy, "[table.patient]", "[table.patient]");
    spoil(&policy, "deceased = { rule", "# deceased = { rule");
    let rule = spoil(&policy, "state = { rule = \"state\"", "state = { rule = \"stat\"");
    let case = spoil(&file("Encounter.visit.cases.json"), "\"ambulatory\"", "\"on the moon\"");

    let said = expect(2, &["check", text(dir.path())]);
    let line_of = |place: &str| place.split(':').next().unwrap().to_owned();
    let wanted = [
        (format!("Patient.patient.json:{misspelt}: "), "`birthDat`"),
        ("Procedure.procedure.json:".to_owned(), "`procedures`, which is no table"),
        (
            format!("deidentification.toml:{}:", line_of(&table)),
            "`patient.deceased`: has no rule",
        ),
        (format!("deidentification.toml:{}:", line_of(&rule)), "`stat` is no rule"),
        (format!("Encounter.visit.cases.json:{case}: "), "\"on the moon\" was expected"),
    ];
    for (place, what) in &wanted {
        let found = said
            .err
            .lines()
            .any(|line| line.contains(&format!("{}/{place}", text(&mappings))) && line.contains(what));
        assert!(found, "{place} {what} is missing in\n{}", said.err);
    }
    assert_eq!(
        said.err.lines().count(),
        1 + wanted.len(),
        "the count, and one line each:\n{}",
        said.err
    );
    assert!(said.err.starts_with("5 faults:"), "{}", said.err);
}

#[test]
fn two_broken_schemas_are_both_named() {
    let dir = package();
    let schemas = dir.path().join("profiles/ibd-registry");
    spoil(&schemas.join("visit.schema.json"), "\"x-key\"", "\"x-kay\"");
    spoil(&schemas.join("patient.schema.json"), "{", "{{");
    let said = expect(2, &["check", text(dir.path())]);
    assert!(said.err.contains("visit.schema.json: has no `x-key`"), "{}", said.err);
    assert!(said.err.contains("patient.schema.json:1:2: is not JSON"), "{}", said.err);
    assert!(said.err.contains("no case was run"), "{}", said.err);
}
