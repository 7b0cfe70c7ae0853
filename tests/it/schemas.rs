//! Models are described once, in `model.toml`; the JSON Schemas beside it are what the description generates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn described_models() -> Vec<PathBuf> {
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut folders: Vec<_> = fs::read_dir(profiles)
        .expect("profiles/ is in the repository")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("model.toml").is_file())
        .collect();
    folders.sort();
    folders
}

fn schema(arguments: &[&str], folder: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_headwater"))
        .arg("schema")
        .args(arguments)
        .arg(folder)
        .output()
        .expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("what it says is UTF-8"))
}

#[test]
fn every_model_s_schemas_are_what_its_description_generates() {
    for folder in described_models() {
        let (same, said) = schema(&["--check"], &folder);
        assert!(same, "{said}");
    }
}

#[test]
fn a_description_is_written_as_schemas_and_a_changed_one_is_noticed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let description =
        "name = \"tiny\"\n[tables.person]\nabout = \"One row per person.\"\nkey = \"k\"\ncolumns = \"\"\"\nk id! The person.\n\"\"\"\n";
    fs::write(folder.path().join("model.toml"), description).expect("a temporary file");
    assert_eq!(schema(&[], folder.path()), (true, "1 tables, 1 schemas written anew\n".to_owned()));
    assert_eq!(
        schema(&["--check"], folder.path()),
        (true, "1 tables, 0 schemas written anew\n".to_owned())
    );
    let changed = description.replace("The person.", "The patient.");
    fs::write(folder.path().join("model.toml"), changed).expect("a temporary file");
    let (same, said) = schema(&["--check"], folder.path());
    assert!(!same && said.contains("person.schema.json: is not what model.toml says"), "{said}");
    fs::write(folder.path().join("model.toml"), description.replace("id!", "di!")).expect("a temporary file");
    let (same, said) = schema(&[], folder.path());
    assert!(!same && said.contains("model.toml:6: column `k`: `di` is no type"), "{said}");
}
