//! The operator's commands as typed: what stands on stdout, and the exit code.

use std::path::Path;
use std::process::{Command, Output};

use headwater::platform::file::write_durable;

fn registry(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.arg("registry").args(words);
    if words[0] == "init" {
        command.arg(dir);
    } else {
        command.arg("--dir").arg(dir);
    }
    command.output().unwrap()
}

/// Runs the command, expects this exit code; its stdout and stderr.
fn check(dir: &Path, words: &[&str], exit: i32) -> (String, String) {
    let output = registry(dir, words);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(exit), "{words:?}: {err}");
    (out, err)
}

#[test]
fn a_registry_is_made_and_tended_by_its_commands() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("r");
    check(&dir, &["init"], 0);
    check(&dir, &["init"], 2);
    let (code, told) = check(&dir, &["site", "add", "lakeside"], 0);
    assert_eq!(code.trim_end().len(), 40);
    assert!(!told.contains(code.trim_end()), "the code stands on stdout only");
    check(&dir, &["site", "add", "Lake Side"], 2);
    check(&dir, &["site", "suspend", "lakeside"], 0);
    check(&dir, &["site", "suspend", "riverside"], 2);
    let (sites, _) = check(&dir, &["site", "list", "--json"], 0);
    let site: serde_json::Value = serde_json::from_str(&sites).unwrap();
    assert_eq!((site["site"].as_str(), site["suspended"].as_bool()), (Some("lakeside"), Some(true)));
    let (given, told) = check(&dir, &["operator", "add", "ann"], 0);
    assert!(given.starts_with("key ") && given.contains("/sign-in?code="), "{given}");
    assert!(!told.contains("code="), "secrets stand on stdout only");
}

#[test]
fn an_export_names_its_columns_and_what_it_cannot_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("r");
    check(&dir, &["init", "--model", "ibd-registry"], 0);
    let (csv, _) = check(&dir, &["export", "--table", "lab_result", "--format", "csv"], 0);
    assert!(csv.starts_with("site,lab_key,patient_key,"), "{csv}");
    assert_eq!(check(&dir, &["export", "--table", "lab_result", "--format", "ndjson"], 0).0, "");
    let (_, told) = check(&dir, &["export", "--table", "lab_result", "--format", "parquet"], 2);
    assert!(told.contains("not in this version"), "{told}");
    let (_, told) = check(&dir, &["export", "--table", "secret", "--format", "csv"], 2);
    assert!(told.contains("`secret`"), "{told}");
}

#[test]
fn every_fault_of_the_settings_is_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let text = b"listen = 1\nlog_origin = \"\"\n[[accept]]\nmodel = \"ibd-registry\"\n";
    write_durable(&dir.path().join("registry.toml"), text).unwrap();
    let (_, told) = check(dir.path(), &["serve"], 2);
    for key in ["`listen`", "`log_origin`", "`accept[0].policies`"] {
        assert!(told.contains(key), "{key}: {told}");
    }
    check(&dir.path().join("nowhere"), &["serve"], 2);
}
