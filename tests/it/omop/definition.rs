//! The CDM's own definition of its fields: names, order, what is required, types, lengths, foreign keys.

use std::collections::BTreeMap;

use headwater::cdm::Kind;
use headwater::network::Package;

use crate::models::records;

#[test]
fn every_table_has_the_columns_that_the_cdm_defines() {
    let Some(shared) = crate::shared() else { return };
    let wanted = [
        "cdmTableName",
        "cdmFieldName",
        "isRequired",
        "cdmDatatype",
        "isForeignKey",
        "fkTableName",
    ];
    let records = records(&shared.join("data/omop/cdm/OMOP_CDMv5.4_Field_Level.csv"), &wanted);
    let mut fields: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for record in records {
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
            let target = field[5].to_lowercase();
            if field[4] == "Yes" && network.model.find(&target).is_some() {
                assert_eq!(column.references.as_deref(), Some(target.as_str()), "{place}");
            }
        }
        tables += 1;
    }
    assert_eq!(tables, 18);
}
