//! The whole part over a small model: every rule under both policies, and what is refused.

use std::sync::Arc;

use jiff::civil::date;

use super::*;
use crate::cdm::Cell;
use crate::fhir::tree::{Limits, Tree};
use crate::platform::secret::Secret;

const POLICY: &str = r#"
[policy.safe-harbor]
claims = "45 CFR 164.514(b)(2)"
version = "1"
[policy.limited-data-set]
claims = "45 CFR 164.514(e)"
version = "1"
[table.patient]
patient_key = { rule = "pseudonym", reason = "r" }
birth_date = { rule = "birth-date", reason = "r" }
birth_year = { rule = "birth-year", reason = "r" }
age = { rule = "age", reason = "r" }
zip = { safe-harbor = "zip3", limited-data-set = "zip5", reason = "r" }
state = { rule = "state", reason = "r" }
sex = { rule = "keep", reason = "r" }
[table.visit]
visit_key = { rule = "pseudonym", reason = "r" }
patient_key = { rule = "pseudonym", reason = "r" }
day = { safe-harbor = "year", limited-data-set = "shift", reason = "r" }
[table.lab]
lab_key = { rule = "pseudonym", reason = "r" }
patient_key = { rule = "pseudonym", reason = "r" }
visit_key = { rule = "pseudonym", reason = "r" }
code = { rule = "code", reason = "r" }
value = { rule = "keep", reason = "r" }
count = { rule = "keep", reason = "r" }
unit = { rule = "keep", reason = "r" }
note = { rule = "drop", reason = "r" }
[table.site]
site_key = { rule = "pseudonym", reason = "r" }
address = { rule = "code", reason = "r" }
"#;

fn model() -> Arc<Model> {
    let schema = |name: &str, body: &str| (format!("{name}.schema.json"), format!(r#"{{"additionalProperties":false,{body}}}"#));
    let files = [
        schema(
            "patient",
            r#""x-key":"patient_key","x-patient":"patient_key","required":["patient_key"],
            "x-order":["patient_key","birth_date","birth_year","age","zip","state","sex"],"properties":{
            "patient_key":{"type":"string"},"birth_date":{"type":"string","format":"x-partial-date"},"birth_year":{"type":"integer"},
            "age":{"type":"integer"},"zip":{"type":"string","maxLength":10},"state":{"type":"string","maxLength":40},
            "sex":{"type":"string","enum":["F","M"]}}"#,
        ),
        schema(
            "visit",
            r#""x-key":"visit_key","x-patient":"patient_key","required":["visit_key","patient_key","day"],
            "x-order":["visit_key","patient_key","day"],"properties":{"visit_key":{"type":"string"},
            "patient_key":{"type":"string","x-references":"patient"},"day":{"type":"string","format":"x-partial-date"}}"#,
        ),
        schema(
            "lab",
            r#""x-key":"lab_key","x-patient":"patient_key","required":["lab_key","patient_key","code"],
            "x-order":["lab_key","patient_key","visit_key","code","value","count","unit","note"],"properties":{
            "lab_key":{"type":"string"},"patient_key":{"type":"string","x-references":"patient"},
            "visit_key":{"type":"string","x-references":"visit"},"code":{"type":"string","maxLength":64},
            "value":{"type":"number"},"count":{"type":"integer"},"unit":{"type":"string","pattern":"^[A-Za-z0-9/%]{1,20}$"},
            "note":{"type":"string"}}"#,
        ),
        schema(
            "site",
            r#""x-key":"site_key","required":["site_key"],"x-order":["site_key","address"],
            "properties":{"site_key":{"type":"string"},"address":{"type":"string","maxLength":64}}"#,
        ),
    ];
    Arc::new(Model::from_schemas("m", &files).expect("schemas of ours"))
}

/// Two patients: p-one is a child; p-old was born on 1934-06-15.
const PATIENTS: [&str; 2] = [
    r#"{"resourceType":"Patient","id":"p-one","name":[{"family":"Okonkwo","given":["Amara"]}],"birthDate":"2010-03-15",
       "identifier":[{"value":"4478812"}],"telecom":[{"value":"617-555-0142"}]}"#,
    r#"{"resourceType":"Patient","id":"p-old","name":[{"family":"Featherstone"}],"birthDate":"1934-06-15"}"#,
];

fn with_keys(policy: &str, today: Date, master: u8, network: &str, site: &str) -> Deidentifier {
    let model = model();
    let keys = Keys::derive(&Secret::new(vec![master; 32]), network, site);
    let mut people = PeopleBuilder::new(&keys, 10);
    for (at, json) in PATIENTS.iter().enumerate() {
        let mut tree = Tree::new();
        let root = tree.parse(json.as_bytes(), &Limits::default()).expect("JSON");
        people.add(root, [40 + at as u8; 32]).expect("a patient");
    }
    let policy = Policy::compile(policy, POLICY, &model).expect("a good policy");
    Deidentifier::new(model, policy, keys, people.finish(), today).expect("one model")
}

fn with(policy: &str) -> Deidentifier {
    with_keys(policy, date(2024, 6, 14), 1, "ibd", "a")
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(text.into())
}

fn patient<'a>(key: &'a str, birth: &'a str) -> Vec<Cell<'a>> {
    let year = birth[..4].parse().expect("a year");
    vec![
        text(key),
        text(birth),
        Cell::Integer(year),
        Cell::Integer(104),
        text("03601-1234"),
        text("Vermont"),
        text("F"),
    ]
}

fn lab<'a>(patient: &'a str, code: &'a str) -> Vec<Cell<'a>> {
    vec![
        text("Observation/o1#8480-6"),
        text(patient),
        text("Encounter/e1"),
        text(code),
        Cell::Decimal("1.50".into()),
        Cell::Integer(7),
        text("mg/dL"),
        text("Seen Amara Okonkwo today"),
    ]
}

fn run(with: &Deidentifier, rows: &[(&str, Vec<Cell<'_>>)]) -> Result<Vec<Deidentified>, Refusal> {
    let mut out = Vec::new();
    with.worker().release(&gathered(with, rows), &mut out, &mut RuleHits::new())?;
    Ok(out)
}

fn gathered<'a>(with: &Deidentifier, rows: &[(&str, Vec<Cell<'a>>)]) -> Rows<'a> {
    let mut all = Rows::new();
    for (table, cells) in rows {
        all.begin(with.means.model.find(table).expect("a table"));
        cells.iter().for_each(|cell| all.push(cell.clone()));
    }
    all
}

fn body(row: &Deidentified) -> serde_json::Value {
    serde_json::from_slice(row.body().expect("a row")).expect("JSON")
}

fn one(with: &Deidentifier, table: &str, cells: Vec<Cell<'_>>) -> serde_json::Value {
    body(&run(with, &[(table, cells)]).expect("released")[0])
}

fn refusal(with: &Deidentifier, table: &str, cells: Vec<Cell<'_>>) -> String {
    run(with, &[(table, cells)]).expect_err("refused").to_string()
}

mod attack;
mod deny;
mod evidence;
mod hipaa;
mod integer_keys;
mod methods;
mod moments;
mod rules;
mod shipped;
mod years;
