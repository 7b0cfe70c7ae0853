//! Data Checks 1.x: keys, value sets, orphans, shapes of codes, the right table.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

use super::rows::{Mart, is_any, text};

/// The checks of this file.
pub const IDS: [&str; 15] = [
    "1.02", "1.05", "1.06", "1.07", "1.08", "1.09", "1.10", "1.11", "1.12", "1.13", "1.16", "1.17", "1.18", "1.20", "1.22",
];

/// LOINC codes whose values have columns in VITAL.
const VITALS: [&str; 6] = ["8302-2", "29463-7", "39156-5", "8480-6", "8462-4", "72166-2"];

/// LOINC panels that the generators of our data use, and common ones: LOINC's own list is not ours to keep.
const PANELS: [&str; 12] = [
    "24321-2", "24323-8", "24356-8", "24357-6", "51990-0", "57698-3", "57021-8", "58410-2", "85354-9", "93025-5", "94531-1", "65750-2",
];

pub fn run(mart: &mut Mart<'_>, keys: &BTreeMap<String, Vec<String>>) {
    filled(mart);
    keyed(mart, keys);
    valued(mart);
    orphans(mart);
    shapes(mart);
    places(mart);
}

/// 1.02: the tables that a data mart with an EHR cannot lack.
fn filled(mart: &mut Mart<'_>) {
    for table in ["demographic", "enrollment", "encounter", "diagnosis", "procedures", "harvest"] {
        if mart.rows(table).is_empty() {
            mart.found("1.02", table);
        }
    }
}

/// 1.05: the CDM's own primary keys, which may be of several columns.
fn keyed(mart: &mut Mart<'_>, keys: &BTreeMap<String, Vec<String>>) {
    for (table, rows) in mart.tables {
        let columns = &keys[table];
        let mut met = BTreeSet::new();
        let of = |row: &Value| columns.iter().map(|column| row.get(column).cloned()).collect::<Vec<_>>();
        if rows.iter().any(|row| !met.insert(format!("{:?}", of(row)))) {
            mart.found("1.05", table);
        }
    }
}

/// 1.06 and 1.07: value sets, and cells that may not be empty.
fn valued(mart: &mut Mart<'_>) {
    for (_, table) in mart.model.tables() {
        for row in mart.rows(&table.name) {
            for column in &table.columns {
                let place = || format!("{}.{}", table.name, column.name);
                let cell = text(row, &column.name);
                if let (Some(values), Some(cell)) = (&column.values, cell)
                    && !values.iter().any(|value| value == cell)
                {
                    mart.found("1.06", place());
                }
                if column.required && row.get(&column.name).is_none() {
                    mart.found("1.07", place());
                }
            }
        }
    }
}

/// 1.08, 1.09, 1.10, 1.11, 1.12: rows that lead nowhere, or to somebody else's.
fn orphans(mart: &mut Mart<'_>) {
    let patients = mart.patients("demographic");
    let encounters = mart.by("encounter", "encounterid");
    let providers: BTreeSet<_> = mart.rows("provider").iter().filter_map(|row| text(row, "providerid")).collect();
    for (_, table) in mart.model.tables() {
        let rows = mart.rows(&table.name);
        if rows.iter().filter_map(|row| text(row, "patid")).any(|key| !patients.contains(key)) {
            mart.found("1.08", &*table.name);
        }
        let own: Vec<_> = rows
            .iter()
            .filter_map(|row| Some((row, text(row, "encounterid")?)))
            .filter(|_| table.name != "encounter")
            .collect();
        let lost = own.iter().filter(|(_, key)| !encounters.contains_key(key)).count();
        mart.more_than("1.09", &table.name, 5, lost, own.len());
        let met: Vec<_> = own.iter().filter_map(|(row, key)| Some((*row, *encounters.get(key)?))).collect();
        for column in ["admit_date", "enc_type"] {
            let other = met
                .iter()
                .any(|(row, encounter)| row.get(column).is_some() && row.get(column) != encounter.get(column));
            if other {
                mart.found("1.10", format!("{}.{column}", table.name));
            }
        }
        let others = met.iter().filter(|(row, encounter)| row["patid"] != encounter["patid"]).count();
        mart.more_than("1.11", &table.name, 5, others, met.len());
        for column in table
            .columns
            .iter()
            .filter(|column| column.references.as_deref() == Some("provider"))
        {
            if rows
                .iter()
                .filter_map(|row| text(row, &column.name))
                .any(|key| !providers.contains(key))
            {
                mart.found("1.12", format!("{}.{}", table.name, column.name));
            }
        }
    }
}

/// 1.13: what each code system's codes look like.
fn shapes(mart: &mut Mart<'_>) {
    const ICD10: &str = "^[A-TV-Z][0-9][0-9A-Z]([.]?[0-9A-Z]{1,4})?$";
    const ICD9: &str = "^([0-9]{3}|V[0-9]{2}|E[0-9]{3})([.]?[0-9]{1,2})?$";
    const SNOMED: &str = "^[0-9]{6,18}$";
    const LOINC: &str = "^[0-9]{1,7}-[0-9]$";
    const RXCUI: &str = "^[0-9]{2,7}$";
    const NDC: &str = "^[0-9]{11}$";
    const CPT: &str = "^[0-9A-Z][0-9]{3}[0-9A-Z]$";
    for (table, column, kind, of, shape) in [
        ("diagnosis", "dx", "dx_type", "10", ICD10),
        ("diagnosis", "dx", "dx_type", "09", ICD9),
        ("diagnosis", "dx", "dx_type", "SM", SNOMED),
        ("condition", "condition", "condition_type", "10", ICD10),
        ("condition", "condition", "condition_type", "SM", SNOMED),
        ("procedures", "px", "px_type", "CH", CPT),
        ("procedures", "px", "px_type", "10", "^[0-9A-HJ-NP-Z]{7}$"),
        ("procedures", "px", "px_type", "LC", LOINC),
        ("lab_result_cm", "lab_loinc", "", "", LOINC),
        ("lab_result_cm", "lab_px", "lab_px_type", "CH", CPT),
        ("obs_clin", "obsclin_code", "obsclin_type", "LC", LOINC),
        ("obs_clin", "obsclin_code", "obsclin_type", "SM", SNOMED),
        ("pro_cm", "pro_code", "pro_type", "LC", LOINC),
        ("prescribing", "rxnorm_cui", "", "", RXCUI),
        ("external_meds", "rxnorm_cui", "", "", RXCUI),
        ("med_admin", "medadmin_code", "medadmin_type", "RX", RXCUI),
        ("med_admin", "medadmin_code", "medadmin_type", "ND", NDC),
        ("dispensing", "ndc", "", "", NDC),
        ("immunization", "vx_code", "vx_code_type", "CX", "^[0-9]{2,3}$"),
    ] {
        let shape = Regex::new(shape).expect("a pattern");
        let rows = mart.rows(table).iter().filter(|row| kind.is_empty() || is_any(row, kind, &[of]));
        let codes: Vec<_> = rows.filter_map(|row| text(row, column)).collect();
        let odd = codes.iter().filter(|code| !shape.is_match(code)).count();
        mart.more_than("1.13", &format!("{table}.{column} {of}"), 5, odd, codes.len());
    }
}

/// 1.16, 1.17, 1.18, 1.20, 1.22: the right table, ZIP codes, refresh dates, panels, current addresses.
fn places(mart: &mut Mart<'_>) {
    for (table, column) in [("lab_result_cm", "lab_loinc"), ("obs_clin", "obsclin_code"), ("pro_cm", "pro_code")] {
        let rows = mart.rows(table);
        if rows.iter().any(|row| is_any(row, column, &VITALS)) {
            mart.found("1.16", table);
        }
        let panels = rows.iter().filter(|row| is_any(row, column, &PANELS)).count();
        mart.more_than("1.20", table, 5, panels, rows.len());
    }
    for (table, column, digits) in [
        ("lds_address_history", "address_zip5", 5),
        ("lds_address_history", "address_zip9", 9),
        ("encounter", "facility_location", 5),
    ] {
        let odd = |zip: &str| zip.len() != digits || !zip.bytes().all(|byte| byte.is_ascii_digit());
        if mart.rows(table).iter().filter_map(|row| text(row, column)).any(odd) {
            mart.found("1.17", format!("{table}.{column}"));
        }
    }
    for harvest in mart.rows("harvest") {
        for (_, table) in mart.model.tables() {
            // The CDM has no refresh date for the other two.
            if ["harvest", "external_meds"].contains(&table.name.as_str()) {
                continue;
            }
            let name = table.name.replace("address_history", "address_hx");
            if harvest.get(format!("refresh_{name}_date")).is_none() {
                mart.found("1.18", &*table.name);
            }
        }
    }
    let current = mart
        .rows("lds_address_history")
        .iter()
        .filter(|row| is_any(row, "current_address_flag", &["Y"]));
    let mut met = BTreeSet::new();
    let twice = current.filter_map(|row| text(row, "patid")).any(|patient| !met.insert(patient));
    if twice {
        mart.found("1.22", "lds_address_history");
    }
}
