//! The registry's own model, mapping and policy, as they are shipped: they load together, and every case comes out as it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater::cdm::Model;
use headwater::map::Mapping;
use headwater::map::cases::run_cases;
use headwater::network::Package;
use headwater::simulate::{GeneratorSettings, generate};

use crate::models::sound;

/// `(file name, text)` of the folder's files whose names end in `ending`, in the order of names.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("a folder of the repository")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        (name, fs::read_to_string(path).expect("a text of the repository"))
    };
    paths.iter().map(read).collect()
}

fn model() -> Model {
    Model::from_schemas("ibd-registry", &files("profiles/ibd-registry", ".schema.json")).expect("the registry's schemas")
}

fn mapping() -> Mapping {
    let mut views = files("mappings/ibd-registry", ".json");
    views.retain(|(name, _)| !name.ends_with(".cases.json"));
    let concepts = files("mappings/ibd-registry/concepts", ".json");
    match Mapping::load(Arc::new(model()), &views, &concepts) {
        Ok(mapping) => mapping,
        Err(faults) => panic!("{faults:#?}"),
    }
}

#[test]
fn every_case_of_the_registry_mapping_comes_out_as_it_says() {
    let mapping = mapping();
    let mut failures = Vec::new();
    for (file, text) in files("mappings/ibd-registry", ".cases.json") {
        let report = run_cases(&mapping, None, &file, &text);
        failures.extend(report.failures.iter().map(ToString::to_string));
        assert!(report.cases >= 4, "{file} has too few cases to say what the view does");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_model_in_the_binary_is_without_fault_and_every_case_of_it_comes_out() {
    let models = Package::BuiltIn.models();
    assert!(models.len() >= 3, "{models:?}");
    for model in models {
        let checked = Package::BuiltIn.check(&model);
        assert!(checked.faults.is_empty(), "{}", checked.faults.join("\n"));
        assert!(checked.cases > 40, "{model}: only {} cases", checked.cases);
        for (view, _) in files(&format!("mappings/{model}"), ".json") {
            if let Some(name) = view.strip_suffix(".json").filter(|name| !name.ends_with(".cases")) {
                let cases = format!("mappings/{model}/{name}.cases.json");
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&cases).is_file(), "{cases} is missing");
            }
        }
    }
}

#[test]
fn the_schemas_that_a_registry_checks_by_accept_the_rows_of_every_case() {
    let model = model();
    let mut rows = 0;
    for (file, text) in files("mappings/ibd-registry", ".cases.json") {
        let cases: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        for case in cases["cases"].as_array().expect("cases") {
            let Some(tables) = case["rows"].as_object() else { continue };
            for (table, expected) in tables {
                let table = model.table(model.find(table).expect("a table of the model"));
                let validator = jsonschema::validator_for(&table.schema).expect("a schema");
                for row in expected.as_array().expect("rows") {
                    assert!(validator.is_valid(row), "{file}: {}: {row}", case["name"]);
                    rows += 1;
                }
            }
        }
    }
    assert!(rows > 50, "only {rows} rows were looked at");
}

#[test]
fn the_synthetic_clinic_fills_every_table_of_the_registry() {
    let data = tempfile::tempdir().expect("a temporary folder");
    generate(&GeneratorSettings::new(40, 7), data.path()).expect("patients are made");
    let network = Package::BuiltIn.load("ibd-registry").expect("the built-in model loads");
    let rules = network.under("safe-harbor").expect("the policy compiles");
    let tables = sound(&rules, data.path(), 0);
    let empty: Vec<_> = model()
        .tables()
        .map(|(_, table)| table.name.clone())
        .filter(|name| tables[name].is_empty())
        .collect();
    assert!(empty.is_empty(), "{empty:?} have no row");
}

#[test]
fn patients_of_two_other_generators_make_valid_rows_with_whole_foreign_keys() {
    let Some(shared) = crate::shared() else { return };
    let network = Package::BuiltIn.load("ibd-registry").expect("the built-in model loads");
    let rules = network.under("safe-harbor").expect("the policy compiles");
    for (folder, filled) in [("r4-100", 12), ("us-core-60", 16)] {
        sound(&rules, &shared.join("data/synthea").join(folder), filled);
    }
}
