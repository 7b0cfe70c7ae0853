//! Synthetic patients of two generators: every row valid by its schema, every foreign key whole, the same for any threads.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::quality::{ON_PURPOSE, failures};
use super::{mapped, rules};

#[test]
fn synthea_s_patients_make_valid_rows_with_whole_foreign_keys() {
    let Some(shared) = crate::shared() else { return };
    let cache = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(&shared, cache.path());
    for (folder, filled) in [("r4-100", 10), ("us-core-60", 11)] {
        let data = shared.join("data/synthea").join(folder);
        let (outcome, tables) = mapped(&rules, &data, 2);
        assert!(outcome.counts.resources_balance());
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
        let mut keys: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for (_, table) in rules.model.tables() {
            let key = &table.columns[table.key].name;
            let own: Vec<_> = tables[&table.name].iter().filter_map(|row| row[key].as_i64()).collect();
            let set: BTreeSet<_> = own.iter().copied().collect();
            assert_eq!(own.len(), set.len(), "{folder}: two rows of {} have one key", table.name);
            keys.insert(&table.name, set);
        }
        for (_, table) in rules.model.tables() {
            let validator = jsonschema::validator_for(&table.schema).expect("a schema");
            let mut dangling: BTreeMap<&str, u64> = BTreeMap::new();
            for row in &tables[&table.name] {
                assert!(validator.is_valid(row), "{folder}: a row of {} does not fit its schema", table.name);
                for column in &table.columns {
                    let Some(target) = column.references.as_deref() else { continue };
                    let key = row.get(&column.name).and_then(Value::as_i64);
                    if key.is_some_and(|key| !keys[target].contains(&key)) {
                        *dangling.entry(&column.name).or_default() += 1;
                    }
                }
            }
            assert!(dangling.is_empty(), "{folder}: keys of {} lead nowhere: {dangling:?}", table.name);
        }
        assert_eq!(
            failures(&shared, &tables),
            ON_PURPOSE,
            "{folder}: the Data Quality Dashboard complains otherwise"
        );
        let with_rows = tables.values().filter(|rows| !rows.is_empty()).count();
        assert!(with_rows >= filled, "{folder}: only {with_rows} tables have rows");
    }
}

#[test]
fn the_same_rows_come_out_for_any_number_of_threads() {
    let Some(shared) = crate::shared() else { return };
    let cache = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(&shared, cache.path());
    let data = shared.join("data/synthea/r4-100");
    assert_eq!(mapped(&rules, &data, 1).1, mapped(&rules, &data, 4).1);
}
