//! The PCORnet model against outside truth: the CDM's own definition, its Data Checks, and real patients of two generators.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use headwater::network::Package;
use headwater::platform::clock::Clock;

use crate::models::{records, sound};

mod definition;
mod plausible;
mod rows;
mod structure;

use rows::{Finding, Mart};

/// What of the Data Checks the rows of both folders do not pass, and why: the data's own, or told in the model's README as not filled.
const BOTH: &[(&str, &str, &str)] = &[
    ("3.01", "AV", "the generator makes fewer diagnoses than visits"),
    ("3.01", "IP", "the generator makes fewer diagnoses than visits"),
    ("3.02", "AV", "the generator makes fewer procedures than visits"),
    ("3.02", "ED", "the generator makes fewer procedures than visits"),
    ("3.02", "IP", "the generator makes fewer procedures than visits"),
    ("3.03", "diagnosis.enc_type", "the README: a copy from ENCOUNTER"),
    ("3.03", "diagnosis.pdx", "the README: not told by a Condition"),
    (
        "3.03",
        "encounter.admitting_source",
        "the generator does not say whence and whither a stay goes",
    ),
    (
        "3.03",
        "encounter.discharge_disposition",
        "the generator does not say whence and whither a stay goes",
    ),
    (
        "3.03",
        "encounter.discharge_status",
        "the generator does not say whence and whither a stay goes",
    ),
    ("3.03", "encounter.payer_type_primary", "the README: Claim is not read"),
    (
        "3.03",
        "lab_result_cm.norm_modifier_low",
        "the generator's results have no reference range",
    ),
    ("3.03", "lab_result_cm.specimen_source", "the README: needs LOINC's system axis"),
    (
        "3.03",
        "procedures.px_type",
        "the generator's procedures are SNOMED CT, for which PX_TYPE has OT",
    ),
    (
        "3.03",
        "provider.provider_specialty_primary",
        "the generator's practitioners have no qualification",
    ),
    ("3.18", "county_fips", "the README: needs a geocoder"),
];
/// And those of r4-100 alone.
const R4_100: &[(&str, &str, &str)] = &[
    ("3.01", "ED", "the generator makes fewer diagnoses than visits"),
    ("3.03", "demographic.hispanic", "the generator's patients have no US Core ethnicity"),
    ("3.03", "demographic.race", "the generator's patients have no US Core race"),
    (
        "3.03",
        "lds_address_history.address_zip5",
        "half of the generator's addresses have no ZIP code",
    ),
    ("3.18", "address_zip5", "half of the generator's addresses have no ZIP code"),
];
/// And those of us-core-60 alone.
const US_CORE_60: &[(&str, &str, &str)] = &[
    (
        "3.03",
        "lds_address_history.address_zip5",
        "the generator writes 00000 for every ZIP code it does not know",
    ),
    (
        "3.03",
        "med_admin.medadmin_dose_admin",
        "the generator's administrations have no dose",
    ),
    ("3.03", "provider.provider_sex", "the generator's practitioners have no gender"),
    (
        "3.18",
        "address_zip5",
        "the generator writes 00000 for every ZIP code it does not know",
    ),
];

#[test]
fn synthea_s_patients_make_rows_that_pass_the_data_checks_but_for_what_is_listed() {
    let Some(shared) = crate::shared() else { return };
    let network = Package::BuiltIn.load("pcornet-7.0").expect("the built-in model loads");
    let rules = network.under("safe-harbor").expect("the policy compiles");
    let keys = primary_keys(&shared);
    let (mut new, mut mended) = (BTreeSet::new(), BTreeSet::new());
    for (folder, filled, listed) in [("r4-100", 14, R4_100), ("us-core-60", 17, US_CORE_60)] {
        let tables = sound(&rules, &shared.join("data/synthea").join(folder), filled);
        let mut mart = Mart {
            model: &rules.model,
            tables: &tables,
            today: Clock::system().now().strftime("%Y-%m-%d").to_string(),
            found: BTreeSet::new(),
        };
        structure::run(&mut mart, &keys);
        plausible::run(&mut mart);
        let expected: BTreeSet<Finding> = BOTH
            .iter()
            .chain(listed)
            .map(|(check, place, _)| (*check, (*place).to_owned()))
            .collect();
        new.extend(mart.found.difference(&expected).map(|found| (folder, found.clone())));
        mended.extend(expected.difference(&mart.found).map(|found| (folder, found.clone())));
        // The CDM's own rule: a visit is nowhere admitted from.
        for row in &tables["encounter"] {
            let visit = rows::is_any(row, "enc_type", &["AV", "OA", "TH", "OS"]);
            assert!(!visit || row.get("admitting_source").is_none(), "a visit is admitted from nowhere");
            assert!(!visit || row.get("discharge_status").is_none(), "nobody is discharged from a visit");
        }
    }
    assert!(new.is_empty(), "checks fail that are not listed: {new:#?}");
    assert!(mended.is_empty(), "checks pass that are listed as failing: {mended:#?}");
}

/// The CDM's primary keys, by table.
fn primary_keys(shared: &Path) -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in records(&shared.join("data/pcornet/v7.0/constraints/primary_keys.csv"), &["table", "field"]) {
        keys.entry(record[0].to_lowercase()).or_default().push(record[1].to_lowercase());
    }
    keys
}

/// Data Checks that rows alone cannot answer.
const NOT_RUN: [(&str, &str); 15] = [
    ("1.01", "the tables are the model's, and a test holds them to the definition"),
    ("1.03", "the columns are the model's, and a test holds them to the definition"),
    ("1.04", "types and lengths are the JSON Schemas', to which every row is held"),
    ("1.14", "HASH_TOKEN is made by a vendor's program, not here"),
    ("1.15", "a column of one name has one type in model.toml, or is a key"),
    ("1.19", "HASH_TOKEN is made by a vendor's program, not here"),
    ("2.08", "months of a generator's patients say nothing of a site's volume"),
    ("2.09", "asks for the last five years; the patients' years are the generator's"),
    ("3.07", "asks for the last months; the patients' months are the generator's"),
    ("3.08", "needs RxNorm's term types"),
    ("3.11", "asks for the last months; the patients' months are the generator's"),
    ("3.15", "needs RxNorm's term types"),
    ("4.01", "needs two refreshes"),
    ("4.02", "needs two refreshes"),
    ("4.03", "needs two refreshes"),
];

#[test]
fn every_data_check_is_run_or_has_a_reason() {
    let Some(shared) = crate::shared() else { return };
    let all = records(
        &shared.join("data/pcornet/data-checks/pcornet-data-checks-v20.csv"),
        &["data_check"],
    );
    let all: BTreeSet<String> = all.into_iter().flatten().collect();
    let run = structure::IDS.iter().chain(&plausible::IDS).copied();
    let listed: Vec<_> = run.chain(NOT_RUN.iter().map(|(check, _)| *check)).collect();
    let listed_once: BTreeSet<String> = listed.iter().map(|check| (*check).to_owned()).collect();
    assert_eq!(listed.len(), listed_once.len(), "a check is listed twice");
    assert_eq!(listed_once, all);
}
