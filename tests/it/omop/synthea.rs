//! Synthetic patients of two generators: every row valid by its schema, every foreign key whole, the same for any threads.

use super::quality::{ON_PURPOSE, failures};
use super::rules;
use crate::models::{hold_rows, mapped};

#[test]
fn synthea_s_patients_make_valid_rows_with_whole_foreign_keys() {
    let Some(shared) = crate::shared() else { return };
    let cache = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(&shared, cache.path());
    for (folder, filled) in [("r4-100", 10), ("us-core-60", 11)] {
        let (outcome, tables) = mapped(&rules, &shared.join("data/synthea").join(folder), 2);
        assert!(outcome.counts.resources_balance());
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
        hold_rows(&rules, &tables);
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
