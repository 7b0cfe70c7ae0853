//! The registry's own model, mapping and policy, as they are shipped: they load together, and every case comes out as it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater::cdm::Model;
use headwater::map::Mapping;
use headwater::map::cases::run_cases;
use headwater::network::Package;
use headwater::simulate::{GeneratorSettings, generate};

use crate::models::{hold_rows, released, sound};

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

#[test]
fn what_leaves_fits_its_schemas_and_joins_under_every_policy_of_every_model() {
    let (data, keys) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    generate(&GeneratorSettings::new(12, 11), data.path()).expect("patients are made");
    let master = headwater::platform::secret::Secret::new(vec![7; 32]);
    headwater::deidentify::Keys::create_file(&keys.path().join("pseudonym.key"), &master).expect("a key");
    for model in ["ibd-registry", "omop-5.4", "pcornet-7.0"] {
        for policy in ["safe-harbor", "limited-data-set"] {
            let mut network = Package::BuiltIn.load(model).expect("the built-in package loads");
            network.vocabulary = network.case_vocabulary.clone();
            let rules = network.under(policy).expect("the policy compiles");
            let (outcome, tables) = released(&rules, data.path(), keys.path());
            assert!(outcome.refused.is_empty(), "{model} {policy}: {:?}", outcome.refused);
            hold_rows(&rules, &tables, true);
            let with_rows = tables.values().filter(|rows| !rows.is_empty()).count();
            assert!(with_rows >= 6, "{model} {policy}: {with_rows} tables with rows");
        }
    }
}

#[test]
fn a_site_may_tighten_the_policy_of_every_model_and_never_loosen_it() {
    for (model, place, looser) in [
        ("ibd-registry", "patient.zip3", "zip5"),
        ("omop-5.4", "measurement.value_as_number", "year"),
        ("pcornet-7.0", "lds_address_history.address_zip5", "zip9"),
    ] {
        let network = Package::BuiltIn.load(model).expect("the built-in package loads");
        let pair = |rule: &str| vec![(place.to_owned(), rule.to_owned())];
        let plain = network.under("limited-data-set").expect("the policy compiles").policy;
        let strict = network
            .under_stricter("limited-data-set", &pair("drop"))
            .expect("less may leave")
            .policy;
        assert_ne!(
            plain.digest(),
            strict.digest(),
            "{model}: it is another policy, and everything is mapped again"
        );
        let rule = |policy: &headwater::deidentify::Policy| {
            let found = policy.columns().find(|(table, column, ..)| place == format!("{table}.{column}"));
            found
                .map(|(_, _, rule, _)| rule.as_str().to_owned())
                .expect("a column of the model")
        };
        assert_eq!(rule(&strict), "drop");
        let fault = network
            .under_stricter("limited-data-set", &pair(looser))
            .expect_err("refused")
            .to_string();
        assert!(
            fault.contains("deidentify.tighten") && fault.contains("stricter"),
            "{model}: {fault}"
        );
        let fault = network
            .under_stricter("limited-data-set", &[("patient.nothing".to_owned(), "drop".to_owned())])
            .expect_err("refused");
        assert!(fault.to_string().contains("no column"), "{fault}");
    }
}

#[test]
fn default_deny_holds_for_every_column_of_every_model() {
    use headwater::deidentify::Policy;
    for model in ["ibd-registry", "omop-5.4", "pcornet-7.0"] {
        let network = Package::BuiltIn.load(model).expect("the built-in package loads");
        let text =
            std::fs::read_to_string(format!("{}/mappings/{model}/deidentification.toml", env!("CARGO_MANIFEST_DIR"))).expect("the policy");
        let faults = |text: &str| {
            let faults = Policy::compile("safe-harbor", text, &network.model).err().into_iter().flatten();
            faults.map(|fault| fault.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(faults(&text), [""; 0], "{model}");
        let lines: Vec<&str> = text.lines().collect();
        let (mut table, mut tried) = (String::new(), 0);
        for (at, line) in lines.iter().enumerate() {
            if let Some(name) = line.strip_prefix("[table.") {
                name.trim_end_matches(']').clone_into(&mut table);
            }
            let Some((column, rule)) = line.split_once(" = {").filter(|_| !table.is_empty()) else {
                continue;
            };
            let column = column.trim();
            let place = format!("{table}.{column}");
            let with = |replaced: Option<&str>| {
                let mut changed = lines.clone();
                match replaced {
                    Some(replaced) => changed[at] = replaced,
                    None => drop(changed.remove(at)),
                }
                faults(&changed.join("\n"))
            };
            let named = |found: &[String]| found.iter().any(|fault| fault.contains(&place));
            // The line taken away, its word misspelt, its reason left out: none of them loads, and each is named.
            assert!(named(&with(None)), "{model}: {place} has no rule");
            assert!(
                named(&with(Some(&format!("{column} = {{ rule = \"pass\", reason = \"r\" }}")))),
                "{model}: {place}"
            );
            let without_reason = rule.split("reason").next().unwrap_or_default().trim_end_matches([' ', ',']);
            assert!(
                named(&with(Some(&format!("{column} = {{{without_reason} }}")))),
                "{model}: {place} without its reason"
            );
            tried += 1;
        }
        let columns: usize = network.model.tables().map(|(_, table)| table.columns.len()).sum();
        println!("{model}: {tried} of {columns} columns");
        assert!(tried > columns / 2, "{model}: {tried} of {columns}");
    }
}
