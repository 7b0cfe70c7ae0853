//! The PCORnet model against outside truth: the CDM's own definition, and real patients of two generators.

use std::collections::{BTreeMap, BTreeSet};

use headwater::network::Package;
use headwater::platform::clock::Clock;
use serde_json::Value;

use crate::models::{Tables, hold_rows, mapped, records};

#[test]
fn synthea_s_patients_make_valid_rows_with_whole_foreign_keys() {
    let Some(shared) = crate::shared() else { return };
    let network = Package::BuiltIn.load("pcornet-7.0").expect("the built-in model loads");
    let rules = network.under("safe-harbor").expect("the policy compiles");
    for (folder, filled) in [("r4-100", 11), ("us-core-60", 14)] {
        let (outcome, tables) = mapped(&rules, &shared.join("data/synthea").join(folder), 2);
        assert!(outcome.counts.resources_balance());
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
        hold_rows(&rules, &tables);
        hold_data_checks(&tables);
        let with_rows = tables.values().filter(|rows| !rows.is_empty()).count();
        assert!(with_rows >= filled, "{folder}: only {with_rows} tables have rows");
    }
}

/// The Data Checks (v20) that rows alone can answer: 1.13 shape of codes, 1.16 wrong table, 2.01 future dates, 2.03 order of dates,
/// and the CDM's own rule that a visit is nowhere admitted from.
fn hold_data_checks(tables: &Tables) {
    let text = |row: &Value, column: &str| row[column].as_str().map(str::to_owned);
    let today = Clock::system().now().strftime("%Y-%m-%d").to_string();
    for (table, first, last) in [
        ("encounter", "admit_date", "discharge_date"),
        ("condition", "onset_date", "resolve_date"),
        ("prescribing", "rx_start_date", "rx_end_date"),
        ("med_admin", "medadmin_start_date", "medadmin_stop_date"),
        ("lab_result_cm", "specimen_date", "result_date"),
        ("obs_clin", "obsclin_start_date", "obsclin_stop_date"),
        ("enrollment", "enr_start_date", "enr_end_date"),
    ] {
        for row in &tables[table] {
            let (first, last) = (text(row, first), text(row, last));
            assert!(first.as_ref().is_none_or(|day| *day <= today), "2.01: a future date in {table}");
            let ordered = first.zip(last).is_none_or(|(first, last)| first <= last);
            assert!(ordered, "2.03: a row of {table} ends before it begins");
        }
    }
    for row in &tables["encounter"] {
        let visit = ["AV", "OA", "TH", "OS"].contains(&row["enc_type"].as_str().expect("every encounter has a kind"));
        assert!(!visit || row.get("admitting_source").is_none(), "a visit is admitted from nowhere");
        assert!(!visit || row.get("discharge_status").is_none(), "nobody is discharged from a visit");
    }
    for row in &tables["lab_result_cm"] {
        let code = text(row, "lab_loinc").unwrap_or_default();
        assert!(!VITALS.contains(&code.as_str()), "1.16: {code} is no laboratory result");
        assert!(
            row.get("result_num").is_some() || row.get("result_qual").is_some(),
            "3.12: a result says something"
        );
    }
    for row in tables["diagnosis"].iter().filter(|row| row["dx_type"] == "SM") {
        let code = text(row, "dx").expect("a diagnosis has a code");
        assert!(
            code.len() >= 6 && code.bytes().all(|byte| byte.is_ascii_digit()),
            "1.13: no SNOMED CT code"
        );
    }
}

/// LOINC codes whose values have columns in VITAL.
const VITALS: [&str; 6] = ["8302-2", "29463-7", "39156-5", "8480-6", "8462-4", "72166-2"];

const TELEHEALTH: &str = "OS and IC stand in the definition's words, TH in the Data Checks; the list of codes lacks them";

/// Value sets where ours is not the definition's: (table.column, why).
const OTHERWISE: [(&str, &str); 8] = [
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
