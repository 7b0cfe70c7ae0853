//! Which codes of one column few patients have, over all sites: what a network decides a roll-up by. The registry alone can count
//! this, for a code that is rare at one site need not be rare. Codes that are common are told; the rare ones only as a number.
//! Basis: 45 CFR 164.514(b)(1); the CMS cell size suppression policy, by which a count of 1 to 10 is not shown.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::cdm::Table;
use crate::platform::secret::Sha256;

/// The codes of one column, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codes {
    /// Those that as many patients have as asked for, or more: each with its patients, in the order of the codes.
    pub common: Vec<(String, u64)>,
    /// How many others there are.
    pub rare: u64,
    /// Patients who have a code here.
    pub patients: u64,
    /// Patients who have one of the rare ones.
    pub with_rare: u64,
    /// Patients whose codes, taken together, nobody else has.
    pub unique_sets: u64,
}

/// The codes in `column` of `table`, whose rows are each about the patient in `patient`. Rare is what fewer than `below` have.
/// # Errors: the store's.
pub fn codes(db: &Connection, table: &Table, (column, patient): (&str, &str), below: u64) -> rusqlite::Result<Codes> {
    let members = [column, patient].map(|name| format!("$.\"{name}\""));
    // Each code of each patient once, patient by patient: what is held in memory grows with codes and patients, not with rows.
    let mut select = db.prepare(
        "SELECT DISTINCT site, CAST(json_extract(body, ?2) AS TEXT) AS patient, CAST(json_extract(body, ?1) AS TEXT) AS code
            FROM cdm_row WHERE table_name = ?3 AND code IS NOT NULL AND patient IS NOT NULL ORDER BY 1, 2, 3",
    )?;
    let mut rows = select.query(params![members[0], members[1], table.name])?;
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let mut by_code: Vec<u64> = Vec::new();
    let mut of_patients: Vec<Vec<u32>> = Vec::new();
    let mut last: Option<(String, String)> = None;
    while let Some(row) = rows.next()? {
        let (site, patient, code): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let next = by_code.len() as u32;
        let number = *numbers.entry(code).or_insert(next);
        if number == next {
            by_code.push(0);
        }
        by_code[number as usize] += 1;
        let who = Some((site, patient));
        if last != who {
            of_patients.push(Vec::new());
            last = who;
        }
        if let Some(own) = of_patients.last_mut() {
            own.push(number);
        }
    }
    let is_rare = |number: &u32| by_code[*number as usize] < below;
    let mut sets: HashMap<[u8; 32], u64> = HashMap::new();
    for own in &of_patients {
        let mut sha = Sha256::new();
        let mut own = own.clone();
        own.sort_unstable();
        own.iter().for_each(|number| sha.update(&number.to_be_bytes()));
        *sets.entry(sha.finish()).or_default() += 1;
    }
    let mut common: Vec<(String, u64)> = numbers
        .iter()
        .filter(|(_, number)| !is_rare(number))
        .map(|(code, number)| (code.clone(), by_code[*number as usize]))
        .collect();
    common.sort();
    Ok(Codes {
        rare: (numbers.len() - common.len()) as u64,
        common,
        patients: of_patients.len() as u64,
        with_rare: of_patients.iter().filter(|own| own.iter().any(is_rare)).count() as u64,
        unique_sets: sets.values().filter(|patients| **patients == 1).count() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdm::{Model, TableId};

    fn counted(rows: &[(&str, &str, &str)], below: u64) -> Codes {
        let schema = r#"{"additionalProperties":false,"x-order":["k","p","c"],"x-key":"k","x-patient":"p","required":["k","p"],"properties":{
            "k":{"type":"string"},"p":{"type":"string"},"c":{"type":"string"}}}"#;
        let model = Model::from_schemas("m", &[("t.schema.json".into(), schema.into())]).expect("a schema");
        let db = Connection::open_in_memory().expect("memory");
        db.execute_batch("CREATE TABLE cdm_row (table_name TEXT, site TEXT, row_key TEXT, body TEXT)")
            .expect("a table");
        for (key, (site, patient, code)) in rows.iter().enumerate() {
            let body = format!(r#"{{"k":"{key}","p":"{patient}","c":{code}}}"#);
            let values = params!["t", site, key.to_string(), body];
            db.execute("INSERT INTO cdm_row VALUES (?1, ?2, ?3, ?4)", values).expect("a row");
        }
        codes(&db, model.table(TableId(0)), ("c", "p"), below).expect("counted")
    }

    #[test]
    fn a_code_is_common_by_its_patients_over_all_sites_and_not_by_its_rows() {
        let rows = [
            ("north", "p1", r#""A""#),
            ("north", "p1", r#""A""#),
            ("north", "p1", r#""B""#),
            ("north", "p1", r#""B""#),
            // The same key at another site is another patient.
            ("south", "p1", r#""A""#),
            ("south", "p2", r#""A""#),
            ("south", "p2", "null"),
            ("south", "p3", "null"),
        ];
        let found = counted(&rows, 3);
        assert_eq!(found.common, [("A".to_owned(), 3)]);
        assert_eq!((found.rare, found.patients, found.with_rare, found.unique_sets), (1, 3, 1, 1));
        let found = counted(&rows, 4);
        assert_eq!((found.common.len(), found.rare, found.with_rare), (0, 2, 3));
        let numbers = [("north", "p1", "201826"), ("north", "p2", "201826")];
        assert_eq!(counted(&numbers, 2).common, [("201826".to_owned(), 2)]);
        assert_eq!(counted(&[], 2), Codes::default());
    }
}
