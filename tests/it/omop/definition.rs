//! The CDM's own definition of its fields: names, order, what is required, types, lengths, foreign keys.

use std::collections::BTreeMap;

use headwater::cdm::Kind;
use headwater::network::Package;

#[test]
fn every_table_has_the_columns_that_the_cdm_defines() {
    let Some(shared) = crate::shared() else { return };
    let text = std::fs::read_to_string(shared.join("data/omop/cdm/OMOP_CDMv5.4_Field_Level.csv")).expect("the CDM's fields");
    let mut fields: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for record in records(text.trim_start_matches('\u{feff}')) {
        fields.entry(record[0].to_lowercase()).or_default().push(record);
    }
    let network = Package::BuiltIn.load("omop-5.4").expect("the built-in model loads");
    let mut tables = 0;
    for (_, table) in network.model.tables() {
        let defined = fields
            .get(&table.name)
            .unwrap_or_else(|| panic!("{} is a table of the CDM", table.name));
        let names: Vec<_> = defined.iter().map(|field| field[1].as_str()).collect();
        let ours: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(ours, names, "{}", table.name);
        for (column, field) in table.columns.iter().zip(defined) {
            let place = format!("{}.{}", table.name, column.name);
            assert_eq!(column.required, field[2] == "Yes", "{place}");
            let kind = match field[3].to_lowercase().as_str() {
                "integer" => vec![Kind::Integer, Kind::Key],
                "float" => vec![Kind::Decimal],
                "date" => vec![Kind::Date],
                "datetime" => vec![Kind::DateTime],
                text if text.starts_with("varchar") => {
                    let length = text.trim_start_matches("varchar(").trim_end_matches(')');
                    assert_eq!(column.max_length, length.parse().ok(), "{place}");
                    vec![Kind::Text]
                }
                other => panic!("{place}: {other}"),
            };
            assert!(kind.contains(&column.kind), "{place}: {:?}", column.kind);
            let target = field[9].to_lowercase();
            if field[8] == "Yes" && network.model.find(&target).is_some() {
                assert_eq!(column.references.as_deref(), Some(target.as_str()), "{place}");
            }
        }
        tables += 1;
    }
    assert_eq!(tables, 18);
}

/// The records of a CSV (RFC 4180) without its head, as `[table, field, isRequired, datatype, …]` in the order of the file's
/// columns cdmTableName, cdmFieldName, isRequired, cdmDatatype, userGuidance, etlConventions, isPrimaryKey, (…), isForeignKey,
/// fkTableName.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut all = vec![vec![String::new()]];
    let mut quoted = false;
    for character in text.chars() {
        let record = all.last_mut().expect("there is always one");
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(String::new()),
            '\n' if !quoted => all.push(vec![String::new()]),
            '\r' if !quoted => {}
            other => record.last_mut().expect("there is always one").push(other),
        }
    }
    let head = all.remove(0);
    let place = |name: &str| head.iter().position(|column| column == name).expect("a column of the definition");
    let wanted = [
        "cdmTableName",
        "cdmFieldName",
        "isRequired",
        "cdmDatatype",
        "userGuidance",
        "etlConventions",
        "isPrimaryKey",
        "isPrimaryKey",
        "isForeignKey",
        "fkTableName",
    ]
    .map(place);
    let whole = all.into_iter().filter(|record| record.len() == head.len());
    whole.map(|record| wanted.iter().map(|at| record[*at].clone()).collect()).collect()
}
