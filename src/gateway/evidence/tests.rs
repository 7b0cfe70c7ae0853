//! What the checks hold back, and how the records lie.

use super::*;
use crate::deidentify::Planted;

fn good() -> Evidence {
    let kind = "names".to_owned();
    let control = Control {
        kinds: vec![Planted {
            kind,
            planted: 200,
            caught: 200,
        }],
        harmless: 10,
        passed: 10,
    };
    let mut counts = Counts::default();
    counts.upserts.insert("visit".to_owned(), 3);
    let mut evidence = Evidence {
        run: 7,
        control,
        counts,
        rows_read: 3,
        ..Evidence::default()
    };
    evidence.checks = checks(&evidence);
    evidence
}

/// The names of the checks that fail after a change.
fn failing(change: impl FnOnce(&mut Evidence)) -> Vec<String> {
    let mut evidence = good();
    change(&mut evidence);
    evidence.checks = checks(&evidence);
    evidence.failed().map(|check| check.name.clone()).collect()
}

#[test]
fn each_check_fails_for_its_own_reason_and_for_no_other() {
    assert_eq!(failing(|_| ()), [""; 0]);
    assert_eq!(
        failing(|it| it.control.kinds[0].caught = 197),
        ["the leak guard stops planted identifiers"]
    );
    assert_eq!(failing(|it| it.rows_read = 2), ["every row was read again as it leaves"]);
    let violation = Violation {
        table: "visit".to_owned(),
        column: "day".to_owned(),
        rule: "more of a date than its year".to_owned(),
        rows: 1,
    };
    assert_eq!(
        failing(|it| it.violations.push(violation)),
        ["no row holds what its policy does not release"]
    );
    let withheld = Withheld {
        table: "visit".to_owned(),
        reason: "free text".to_owned(),
        rows: 3,
    };
    assert_eq!(
        failing(|it| it.withheld.push(withheld)),
        ["nothing leaves of tables that are kept here"]
    );
    assert_eq!(
        failing(|it| it.counts.types.entry("Patient".to_owned()).or_default().pulled = 1),
        ["every resource is accounted for"]
    );
}

#[test]
fn a_record_is_written_whole_read_back_and_a_failed_check_is_told_by_its_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let evidence = good();
    let digest = write(dir.path(), &evidence).expect("every check holds");
    assert_eq!(digest.len(), 64);
    assert_eq!(read(dir.path(), 7).expect("read"), evidence);
    assert_eq!(runs(dir.path()), [7]);

    let mut bad = good();
    (bad.run, bad.rows_read) = (8, 2);
    bad.checks = checks(&bad);
    let error = write(dir.path(), &bad).expect_err("held back").to_string();
    assert!(error.contains("nothing was sent") && error.contains("2 of 3 rows"), "{error}");
    assert_eq!(read(dir.path(), 8).expect("written all the same"), bad);
    assert_eq!(runs(dir.path()), [8, 7]);
    assert!(read(dir.path(), 9).is_err());
}

#[test]
fn the_oldest_records_make_room() {
    let dir = tempfile::tempdir().expect("a folder");
    for run in 1..=KEPT as i64 + 3 {
        std::fs::create_dir_all(folder(dir.path(), run)).expect("a folder");
    }
    forget(dir.path());
    let left = runs(dir.path());
    assert_eq!((left.len(), left.first(), left.last()), (KEPT, Some(&(KEPT as i64 + 3)), Some(&4)));
}
