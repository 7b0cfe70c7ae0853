//! Checks of OHDSI's Data Quality Dashboard, by its own list of fields and limits, on the rows of synthetic patients: concepts
//! of the right domain, standard and valid ones, ends not before their begin, nothing before birth or long after death.
//! Knows the concepts of the golden cases' vocabulary only; what is not in it is not judged.

use crate::models::records;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Fields that fail on purpose: the golden cases ask for these concepts, which OHDSI has since made non-standard (README.md of
/// the mappings says how a network changes them).
pub(super) const ON_PURPOSE: [&str; 3] = [
    "care_site.place_of_service_concept_id: standard",
    "drug_exposure.drug_type_concept_id: standard",
    "observation_period.period_type_concept_id: standard",
];

const COLUMNS: [&str; 12] = [
    "cdmTableName",
    "cdmFieldName",
    "fkDomain",
    "fkDomainThreshold",
    "isStandardValidConcept",
    "isStandardValidConceptThreshold",
    "plausibleStartBeforeEndFieldName",
    "plausibleStartBeforeEndThreshold",
    "plausibleAfterBirth",
    "plausibleAfterBirthThreshold",
    "plausibleBeforeDeath",
    "plausibleBeforeDeathThreshold",
];

struct Concept {
    domain: String,
    is_standard: bool,
}

/// `table.field: check` for every check that more rows fail than its limit allows.
pub(super) fn failures(shared: &Path, tables: &BTreeMap<String, Vec<Value>>) -> Vec<String> {
    let concepts = concepts(&shared.join("data/omop/golden/vocabulary/CONCEPT.csv"));
    let births = days(&tables["person"], "birth_datetime");
    let deaths = days(&tables["death"], "death_date");
    let mut failures = Vec::new();
    for record in records(&shared.join("data/omop/dqd/OMOP_CDMv5.4_Field_Level.csv"), &COLUMNS) {
        let (table, field) = (record[0].to_lowercase(), record[1].to_lowercase());
        let Some(rows) = tables.get(&table).filter(|rows| !rows.is_empty()) else {
            continue;
        };
        let mut check = |name: &str, limit: &str, fails: &dyn Fn(&Value) -> bool| {
            let failed = rows.iter().filter(|row| fails(row)).count();
            let limit: f64 = limit.parse().unwrap_or(0.0);
            if failed as f64 * 100.0 > limit * rows.len() as f64 {
                failures.push(format!("{table}.{field}: {name}"));
            }
        };
        let concept = |row: &Value| concepts.get(&row[&field].as_i64()?);
        if !record[2].is_empty() {
            check("domain", &record[3], &|row| {
                concept(row).is_some_and(|concept| concept.domain != record[2])
            });
        }
        if record[4] == "Yes" {
            check("standard", &record[5], &|row| {
                concept(row).is_some_and(|concept| !concept.is_standard)
            });
        }
        let end = record[6].to_lowercase();
        if !end.is_empty() {
            check("start before end", &record[7], &|row| {
                let both = row[&field].as_str().zip(row[&end].as_str());
                both.is_some_and(|(start, end)| start > end)
            });
        }
        let person = |row: &Value| row["person_id"].as_i64();
        if record[8] == "Yes" {
            check("after birth", &record[9], &|row| {
                let birth = person(row).and_then(|person| births.get(&person).copied());
                day(&row[&field]).zip(birth).is_some_and(|(day, birth)| day < birth)
            });
        }
        if record[10] == "Yes" {
            check("before death", &record[11], &|row| {
                let death = person(row).and_then(|person| deaths.get(&person).copied());
                let last = death.and_then(|death| death.checked_add(jiff::Span::new().days(60)).ok());
                day(&row[&field]).zip(last).is_some_and(|(day, last)| day > last)
            });
        }
    }
    failures
}

/// Of the golden cases' vocabulary, by id.
fn concepts(file: &Path) -> HashMap<i64, Concept> {
    let text = fs::read_to_string(file).expect("the concepts");
    let rows = text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    rows.filter_map(|row| {
        let concept = Concept {
            domain: (*row.get(2)?).to_owned(),
            is_standard: *row.get(5)? == "S" && row.get(9).is_none_or(|reason| reason.is_empty()),
        };
        Some((row.first()?.parse().ok()?, concept))
    })
    .collect()
}

/// A day of each person.
fn days(rows: &[Value], field: &str) -> HashMap<i64, jiff::civil::Date> {
    rows.iter()
        .filter_map(|row| Some((row["person_id"].as_i64()?, day(&row[field])?)))
        .collect()
}

fn day(value: &Value) -> Option<jiff::civil::Date> {
    value.as_str()?.get(..10)?.parse().ok()
}
