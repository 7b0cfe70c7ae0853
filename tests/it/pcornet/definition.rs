//! The model against the CDM's own definition: the columns, the value sets, and a reason for every field that nothing fills.

use std::collections::{BTreeMap, BTreeSet};

use headwater::network::Package;

use crate::models::records;

const TELEHEALTH: &str = "OS and IC stand in the definition's words, TH in the Data Checks; the list of codes lacks them";

/// Value sets where ours is not the definition's: (table.column, why).
const OTHERWISE: [(&str, &str); 10] = [
    ("encounter.enc_type", TELEHEALTH),
    ("diagnosis.enc_type", TELEHEALTH),
    ("procedures.enc_type", TELEHEALTH),
    ("demographic.race", "the definition writes `04.15` for 04 and 05"),
    ("prescribing.rx_frequency", "the definition writes `04.15` for 04 and 05"),
    ("vital.tobacco", "the definition writes `04.15` for 04 and 05"),
    (
        "lab_result_cm.result_qual",
        "the definition's codes have their meanings between them",
    ),
    ("obs_clin.obsclin_abn_ind", "the definition refers to the specification"),
    (
        "lds_address_history.address_use",
        "the definition repeats the codes of CONDITION_SOURCE; its words name home, work and so on",
    ),
    ("obs_gen.obsgen_abn_ind", "the definition refers to the specification"),
];

#[test]
fn every_table_has_the_columns_and_the_value_sets_that_the_cdm_defines() {
    let Some(shared) = crate::shared() else { return };
    let folder = shared.join("data/pcornet/v7.0");
    let network = Package::BuiltIn.load("pcornet-7.0").expect("the built-in model loads");
    let mut not_null: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for record in records(&folder.join("constraints/not_nulls.csv"), &["table", "field"]) {
        not_null
            .entry(record[0].to_lowercase())
            .or_default()
            .insert(record[1].to_lowercase());
    }
    let mut otherwise: BTreeSet<&str> = OTHERWISE.iter().map(|(place, _)| *place).collect();
    let mut differences = Vec::new();
    for (_, table) in network.model.tables() {
        let fields = records(&folder.join(format!("definitions/{}.csv", table.name)), &["field", "value_set"]);
        let names: Vec<_> = fields.iter().map(|field| field[0].to_lowercase()).collect();
        let ours: Vec<_> = table.columns.iter().map(|column| column.name.clone()).collect();
        assert_eq!(ours, names, "{}", table.name);
        let required: BTreeSet<_> = table
            .columns
            .iter()
            .filter(|column| column.required)
            .map(|column| column.name.clone())
            .collect();
        let missing: Vec<_> = not_null
            .get(&table.name)
            .into_iter()
            .flatten()
            .filter(|field| !required.contains(*field))
            .collect();
        assert!(missing.is_empty(), "{}: not required: {missing:?}", table.name);
        for (column, field) in table.columns.iter().zip(&fields) {
            let Some(own) = &column.values else { continue };
            let defined: BTreeSet<_> = field[1]
                .split([';', ' ', '\n'])
                .filter(|code| !code.is_empty())
                .map(|code| code.split('=').next().unwrap_or(code))
                .collect();
            let own: BTreeSet<_> = own.iter().map(String::as_str).collect();
            let place = format!("{}.{}", table.name, column.name);
            if !defined.is_empty() && own != defined && !otherwise.remove(place.as_str()) {
                differences.push(format!("{place}: ours {own:?}, defined {defined:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(otherwise.is_empty(), "no longer otherwise: {otherwise:?}");
}

/// The places in backticks of the README's table "Not filled, and why": `table.column` or `table`, where `*` is any ending.
fn not_filled() -> Vec<String> {
    let readme = include_str!("../../../mappings/pcornet-7.0/README.md");
    let (_, section) = readme.split_once("## Not filled, and why").expect("the README has the section");
    let section = section.split("\n## ").next().expect("a text");
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

fn is_of(pattern: &str, table: &str, column: &str) -> bool {
    let place = if pattern.contains('.') {
        format!("{table}.{column}")
    } else {
        table.to_owned()
    };
    match pattern.strip_suffix('*') {
        Some(beginning) => place.starts_with(beginning),
        None => place == pattern,
    }
}

#[test]
fn every_field_of_the_cdm_is_filled_or_has_its_reason_in_the_readme() {
    let Some(shared) = crate::shared() else { return };
    let folder = shared.join("data/pcornet/v7.0");
    let network = Package::BuiltIn.load("pcornet-7.0").expect("the built-in model loads");
    let dictionary = network.dictionary();
    let filled: BTreeSet<_> = dictionary
        .tables
        .iter()
        .flat_map(|table| table.columns.iter().map(move |column| (table, column)))
        .filter(|(_, column)| !column.sources.is_empty())
        .map(|(table, column)| (table.name.clone(), column.name.clone()))
        .collect();
    let listed = not_filled();
    let (mut used, mut silent, mut tables) = (BTreeSet::new(), Vec::new(), 0);
    for entry in std::fs::read_dir(folder.join("definitions")).expect("the definitions") {
        let path = entry.expect("a file").path();
        let table = path.file_stem().and_then(|stem| stem.to_str()).expect("a table's name").to_owned();
        tables += 1;
        for field in records(&path, &["field"]) {
            let column = field[0].to_lowercase();
            let reasons: Vec<_> = listed.iter().filter(|pattern| is_of(pattern, &table, &column)).collect();
            if filled.contains(&(table.clone(), column.clone())) {
                assert!(reasons.is_empty(), "{table}.{column} is filled, and the README says it is not");
            } else if reasons.is_empty() {
                silent.push(format!("{table}.{column}"));
            }
            used.extend(reasons);
        }
    }
    assert_eq!(tables, 28);
    assert!(silent.is_empty(), "filled by nothing, and the README does not say why: {silent:#?}");
    let idle: Vec<_> = listed.iter().filter(|pattern| !used.contains(pattern)).collect();
    assert!(idle.is_empty(), "the README gives a reason for what is no field: {idle:?}");
}
