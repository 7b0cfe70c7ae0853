//! Data Checks 2.x and 3.x: dates and measurements that can be, and how complete the rows are.

use std::collections::{BTreeMap, BTreeSet};

use headwater::cdm::Kind;

use super::rows::{Mart, is_any, is_missing, number, text};

/// The checks of this file.
pub const IDS: [&str; 15] = [
    "2.01", "2.02", "2.03", "2.04", "3.01", "3.02", "3.03", "3.04", "3.05", "3.09", "3.12", "3.16", "3.17", "3.18", "1.21",
];

pub fn run(mart: &mut Mart<'_>) {
    future(mart);
    extremes(mart);
    illogical(mart);
    per_encounter(mart);
    missing(mart);
    mapped(mart);
    addresses(mart);
}

/// 2.01
fn future(mart: &mut Mart<'_>) {
    for (_, table) in mart.model.tables() {
        for column in table.columns.iter().filter(|column| column.kind == Kind::Date) {
            let days: Vec<_> = mart.rows(&table.name).iter().filter_map(|row| text(row, &column.name)).collect();
            let later = days.iter().filter(|day| **day > mart.today.as_str()).count();
            mart.more_than("2.01", &format!("{}.{}", table.name, column.name), 5, later, days.len());
        }
    }
}

/// 2.02: beyond these lies the lowest or highest category.
fn extremes(mart: &mut Mart<'_>) {
    for (table, column, least, most) in [
        ("vital", "ht", 0.0, 95.0),
        ("vital", "wt", 0.0, 350.0),
        ("vital", "diastolic", 40.0, 120.0),
        ("vital", "systolic", 40.0, 210.0),
        ("dispensing", "dispense_sup", 1.0, 90.0),
    ] {
        let all: Vec<_> = mart.rows(table).iter().filter_map(|row| number(row, column)).collect();
        let beyond = all.iter().filter(|value| **value < least || **value > most).count();
        mart.more_than("2.02", &format!("{table}.{column}"), 10, beyond, all.len());
    }
    let year = |day: &str| day.get(..4).and_then(|year| year.parse::<i32>().ok());
    let this = year(&mart.today).expect("a year");
    let ages: Vec<_> = mart
        .rows("demographic")
        .iter()
        .filter_map(|row| Some(this - year(text(row, "birth_date")?)?))
        .collect();
    let beyond = ages.iter().filter(|age| !(0..=89).contains(*age)).count();
    mart.more_than("2.02", "demographic.birth_date", 10, beyond, ages.len());
}

/// 2.03: patients with a date before their birth, after their death, or an end before its beginning.
fn illogical(mart: &mut Mart<'_>) {
    let births = mart.by("demographic", "patid");
    let deaths = mart.by("death", "patid");
    let patients = births.len();
    for (table, first, last) in [
        ("encounter", "admit_date", "discharge_date"),
        ("diagnosis", "dx_date", ""),
        ("procedures", "px_date", ""),
        ("condition", "onset_date", "resolve_date"),
        ("vital", "measure_date", ""),
        ("prescribing", "rx_start_date", "rx_end_date"),
        ("dispensing", "dispense_date", ""),
        ("med_admin", "medadmin_start_date", "medadmin_stop_date"),
        ("lab_result_cm", "specimen_date", "result_date"),
        ("immunization", "vx_admin_date", ""),
        ("pro_cm", "pro_date", ""),
        ("obs_clin", "obsclin_start_date", "obsclin_stop_date"),
        ("obs_gen", "obsgen_start_date", "obsgen_stop_date"),
        ("external_meds", "ext_pat_start_date", "ext_pat_end_date"),
        ("pcornet_trial", "trial_enroll_date", "trial_end_date"),
        ("lds_address_history", "address_period_start", "address_period_end"),
        ("enrollment", "enr_start_date", "enr_end_date"),
    ] {
        let (mut unborn, mut dead, mut backwards) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for row in mart.rows(table) {
            let (Some(patient), Some(from)) = (text(row, "patid"), text(row, first)) else {
                continue;
            };
            if births
                .get(patient)
                .and_then(|person| text(person, "birth_date"))
                .is_some_and(|birth| from < birth)
            {
                unborn.insert(patient);
            }
            if deaths
                .get(patient)
                .and_then(|death| text(death, "death_date"))
                .is_some_and(|death| from > death)
            {
                dead.insert(patient);
            }
            if text(row, last).is_some_and(|to| to < from) {
                backwards.insert(patient);
            }
        }
        for (what, met) in [
            ("before birth", unborn),
            ("after death", dead),
            ("ends before it begins", backwards),
        ] {
            mart.more_than("2.03", &format!("{table}: {what}"), 5, met.len(), patients);
        }
    }
}

/// 2.04, 3.01, 3.02: encounters in a visit, diagnoses and procedures in an encounter.
fn per_encounter(mart: &mut Mart<'_>) {
    let encounters = mart.rows("encounter");
    let count = |table: &str, kind: &str| {
        let mut of: BTreeMap<&str, usize> = BTreeMap::new();
        for row in mart.rows(table).iter().filter(|row| !is_missing(row, kind)) {
            *of.entry(text(row, "encounterid").unwrap_or_default()).or_default() += 1;
        }
        of
    };
    let (diagnoses, procedures) = (count("diagnosis", "dx_type"), count("procedures", "px_type"));
    for (kind, wanted_diagnoses, wanted_procedures) in
        [("AV", 100, 75), ("TH", 100, 0), ("IP", 100, 100), ("ED", 100, 75), ("EI", 100, 100)]
    {
        let own: Vec<_> = encounters.iter().filter(|row| is_any(row, "enc_type", &[kind])).collect();
        let sum = |of: &BTreeMap<&str, usize>| -> usize { own.iter().filter_map(|row| of.get(text(row, "encounterid")?)).sum() };
        mart.less_than("3.01", kind, wanted_diagnoses, sum(&diagnoses), own.len());
        mart.less_than("3.02", kind, wanted_procedures, sum(&procedures), own.len());
        let visits: BTreeSet<_> = own.iter().map(|row| (text(row, "patid"), text(row, "admit_date"))).collect();
        if ["IP", "ED", "EI"].contains(&kind) && own.len() > 2 * visits.len() {
            mart.found("2.04", kind);
        }
    }
}

/// 3.03: fields that most rows should tell; `IP` where only stays are asked.
fn missing(mart: &mut Mart<'_>) {
    for (table, column, only) in [
        ("demographic", "birth_date", ""),
        ("demographic", "sex", ""),
        ("demographic", "race", ""),
        ("demographic", "hispanic", ""),
        ("encounter", "enc_type", ""),
        ("encounter", "providerid", ""),
        ("encounter", "facilityid", ""),
        ("encounter", "discharge_date", "IP"),
        ("encounter", "discharge_disposition", "IP"),
        ("encounter", "discharge_status", "IP"),
        ("encounter", "admitting_source", "IP"),
        ("encounter", "payer_type_primary", ""),
        ("diagnosis", "dx_date", ""),
        ("diagnosis", "dx_type", ""),
        ("diagnosis", "dx_source", ""),
        ("diagnosis", "dx_origin", ""),
        ("diagnosis", "enc_type", ""),
        ("diagnosis", "pdx", ""),
        ("procedures", "px_date", ""),
        ("procedures", "px_source", ""),
        ("procedures", "px_type", ""),
        ("prescribing", "rx_order_date", ""),
        ("prescribing", "rx_source", ""),
        ("prescribing", "rxnorm_cui", ""),
        ("med_admin", "medadmin_code", ""),
        ("med_admin", "medadmin_dose_admin", ""),
        ("lab_result_cm", "specimen_date", ""),
        ("lab_result_cm", "specimen_source", ""),
        ("lab_result_cm", "norm_modifier_low", ""),
        ("lab_result_cm", "result_loc", ""),
        ("vital", "vital_source", ""),
        ("immunization", "vx_admin_date", ""),
        ("obs_clin", "obsclin_code", ""),
        ("pro_cm", "pro_code", ""),
        ("lds_address_history", "address_zip5", ""),
        ("lds_address_history", "address_state", ""),
        ("provider", "provider_sex", ""),
        ("provider", "provider_specialty_primary", ""),
    ] {
        let rows: Vec<_> = mart
            .rows(table)
            .iter()
            .filter(|row| only.is_empty() || is_any(row, "enc_type", &[only, "EI"]))
            .collect();
        let empty = rows.iter().filter(|row| is_missing(row, column)).count();
        mart.more_than("3.03", &format!("{table}.{column}"), 10, empty, rows.len());
    }
}

/// 3.04, 3.05, 3.09, 3.12, 3.16, 3.17: patients with diagnoses and procedures, codes, results and units.
fn mapped(mart: &mut Mart<'_>) {
    let seen = mart.patients("encounter");
    for (check, table) in [("3.04", "diagnosis"), ("3.05", "procedures")] {
        let with = mart.patients(table).intersection(&seen).count();
        mart.less_than(check, table, 50, with, seen.len());
    }
    let labs = mart.rows("lab_result_cm");
    let coded = labs.iter().filter(|row| !is_missing(row, "lab_loinc")).count();
    mart.less_than("3.09", "lab_result_cm", 80, coded, labs.len());
    for (check, table, code, result, unit) in [
        ("3.12", "lab_result_cm", "lab_loinc", "result_num", "result_unit"),
        ("3.17", "obs_clin", "obsclin_code", "obsclin_result_num", "obsclin_result_unit"),
    ] {
        let rows = mart
            .rows(table)
            .iter()
            .filter(|row| !is_missing(row, code) && row.get(result).is_some());
        let rows: Vec<_> = rows.collect();
        let whole = rows.iter().filter(|row| !is_missing(row, unit)).count();
        mart.less_than(check, table, 80, whole, rows.len());
    }
    let all = mart.rows("obs_clin");
    let told = all.iter().filter(|row| {
        let result = row.get("obsclin_result_num").is_some() || !is_missing(row, "obsclin_result_qual");
        !is_missing(row, "obsclin_code") && (result || row.get("obsclin_result_snomed").is_some())
    });
    let told = told.count();
    mart.less_than("3.16", "obs_clin", 80, told, all.len());
}

/// 1.21, 3.18: what is known of addresses beyond the ZIP code.
fn addresses(mart: &mut Mart<'_>) {
    let rows = mart.rows("lds_address_history");
    for (column, digits) in [("state_fips", 2), ("county_fips", 5), ("ruca_zip", 2)] {
        let odd = |code: &str| code.len() != digits || !code.bytes().all(|byte| byte.is_ascii_digit());
        if rows.iter().filter_map(|row| text(row, column)).any(odd) {
            mart.found("1.21", column);
        }
    }
    let seen = mart.patients("encounter");
    for column in ["address_zip5", "county_fips"] {
        let current = rows
            .iter()
            .filter(|row| is_any(row, "current_address_flag", &["Y"]) && row.get(column).is_some());
        let with: BTreeSet<_> = current.filter_map(|row| text(row, "patid")).collect();
        let with = with.intersection(&seen).count();
        mart.less_than("3.18", column, 80, with, seen.len());
    }
}
