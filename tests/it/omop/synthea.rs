//! Synthetic patients of two generators: every row valid by its schema, every foreign key whole, the same for any threads.

use super::quality::{ON_PURPOSE, failures};
use super::rules;
use crate::models::{mapped, sound};

#[test]
fn synthea_s_patients_make_valid_rows_with_whole_foreign_keys() {
    let Some(shared) = crate::shared() else { return };
    let cache = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(&shared, cache.path());
    for (folder, filled) in [("r4-100", 10), ("us-core-60", 11)] {
        let tables = sound(&rules, &shared.join("data/synthea").join(folder), filled);
        assert_eq!(
            failures(&shared, &tables),
            ON_PURPOSE,
            "{folder}: the Data Quality Dashboard complains otherwise"
        );
    }
}

#[test]
fn the_same_rows_come_out_for_any_number_of_threads() {
    let Some(shared) = crate::shared() else { return };
    let cache = tempfile::tempdir().expect("a temporary folder");
    let rules = rules(&shared, cache.path());
    // Some types are enough, and the rest would take long without optimisation.
    let data = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(shared.join("data/synthea/r4-100"))
        .expect("the patients")
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if ["Patient", "Encounter", "Condition", "Immunization", "Procedure"]
            .iter()
            .any(|kind| name.starts_with(kind))
        {
            std::fs::copy(entry.path(), data.path().join(name)).expect("a temporary file");
        }
    }
    let (one, four) = (mapped(&rules, data.path(), 1).1, mapped(&rules, data.path(), 4).1);
    assert!(one["visit_occurrence"].len() > 1000);
    assert_eq!(one, four);
}
