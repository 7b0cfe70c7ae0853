//! Which run begins, goes on or answers, over an empty ledger.

use super::*;

fn db() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(ledger::SCHEMA).unwrap();
    db.execute_batch(inherit::SCHEMA).unwrap();
    db
}

/// No scope of these tests names a patient.
fn open(db: &mut Connection, options: &Options, now: Timestamp) -> Run {
    begin(
        db,
        options,
        &["Condition".to_owned(), "Patient".to_owned()],
        &scope::Seal::plain(),
        now,
    )
    .unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2026-03-02T02:00:00Z";

fn with_mark(since: &str) -> Connection {
    let db = db();
    db.execute("INSERT INTO watermark VALUES (1, ?1, '', x'', 1, NULL)", [since])
        .unwrap();
    db
}

#[test]
fn a_new_run_is_full_without_a_watermark_and_goes_on_from_it_otherwise() {
    let since = |mut db: Connection, options: Options| open(&mut db, &options, at(NOW)).since;
    let full = Options {
        full: true,
        ..Options::default()
    };
    let later = Options {
        since: Some(at("2026-02-01T00:00:00Z")),
        ..Options::default()
    };
    assert_eq!(since(db(), Options::default()), None);
    // An incomplete first run leaves a ledger, but no moment up to which everything is known.
    assert_eq!(since(with_mark(""), Options::default()), None);
    assert_eq!(
        since(with_mark("2026-03-01T02:00:00Z"), Options::default()),
        Some(at("2026-03-01T02:00:00Z"))
    );
    assert_eq!(since(with_mark("2026-03-01T02:00:00Z"), full), None);
    assert_eq!(since(with_mark("2026-03-01T02:00:00Z"), later), Some(at("2026-02-01T00:00:00Z")));
}

#[test]
fn each_type_goes_on_from_its_own_watermark_and_a_new_type_is_asked_for_whole() {
    let mut db = with_mark("2026-03-01T02:00:00Z");
    db.execute(
        "INSERT INTO type_watermark VALUES ('Patient', '2026-03-01T01:00:00Z'), ('Device', '2026-03-01T00:00:00Z')",
        [],
    )
    .unwrap();
    let run = open(&mut db, &Options::default(), at(NOW));
    assert!(!run.full);
    assert_eq!(run.since_of("Patient"), Some(at("2026-03-01T01:00:00Z")));
    assert_eq!(run.since_of("Condition"), None);
    assert_eq!(run.scope.since_by_type.len(), 2, "what is not asked for is not in the scope");
    // An interrupted run goes on with the scope it was begun with.
    let again = open(&mut db, &Options::default(), at(NOW));
    assert!(again.resumed);
    assert_eq!(again.scope, run.scope);
}

#[test]
fn a_backfill_keeps_its_patients_and_dates_and_is_no_full_run() {
    let mut db = with_mark("2026-03-01T02:00:00Z");
    let options = Options {
        patients: vec!["p1".to_owned()],
        since: Some(at("2020-01-01T00:00:00Z")),
        until: Some(at("2021-01-01T00:00:00Z")),
        ..Options::default()
    };
    let run = open(&mut db, &options, at(NOW));
    let kind: String = db.query_row("SELECT kind FROM run", [], |row| row.get(0)).unwrap();
    assert_eq!((kind.as_str(), run.full), ("backfill", false));
    let again = open(&mut db, &Options::default(), at(NOW));
    assert_eq!(again.scope, run.scope);
    assert!(again.answers(&options) && !again.answers(&Options::default()));
}

#[test]
fn an_interrupted_run_goes_on_as_it_was_begun_in_every_phase_and_an_ended_one_does_not() {
    let mut db = with_mark("2026-03-01T02:00:00Z");
    let begun = open(&mut db, &Options::default(), at(NOW));
    assert!(!begun.resumed);
    let problems = vec!["a file was late".to_owned()];
    landed(&mut db, &mut begun.clone(), at(NOW), BTreeMap::new(), true, problems.clone()).unwrap();
    for (phase, expected) in [
        ("pulling", Phase::Pulling),
        ("landed", Phase::Landed),
        ("packaged", Phase::Packaged),
    ] {
        db.execute("UPDATE run SET phase = ?1", [phase]).unwrap();
        let again = open(&mut db, &Options::default(), at("2026-03-03T02:00:00Z"));
        assert!(again.resumed);
        assert_eq!((again.id, again.phase, again.since), (begun.id, expected, begun.since));
        assert_eq!(
            (again.transaction_time, again.complete, &again.problems),
            (Some(at(NOW)), true, &problems)
        );
        assert_eq!(
            again.day(),
            jiff::civil::date(2026, 3, 2),
            "the day of the data, not of the second try"
        );
    }
    for phase in ["done", "rehearsed", "abandoned"] {
        db.execute("UPDATE run SET phase = ?1", [phase]).unwrap();
        let next = open(&mut db, &Options::default(), at(NOW));
        assert!(!next.resumed && next.id > begun.id, "{phase}");
    }
}

#[test]
fn a_resumed_run_knows_whether_it_is_the_one_that_was_asked_for() {
    let mut db = with_mark("2026-03-01T02:00:00Z");
    let incremental = open(&mut db, &Options::default(), at(NOW));
    let full = Run {
        full: true,
        since: None,
        ..incremental.clone()
    };
    let options = |full, since: Option<&str>| Options {
        full,
        since: since.map(at),
        ..Options::default()
    };
    for (run, options, expected) in [
        (&incremental, options(false, None), true),
        (&incremental, options(true, None), false),
        (&incremental, options(false, Some("2026-03-01T02:00:00Z")), true),
        (&incremental, options(false, Some("2026-02-01T02:00:00Z")), false),
        (&full, options(false, None), true),
        (&full, options(true, None), true),
        (&full, options(false, Some("2026-03-01T02:00:00Z")), false),
    ] {
        assert_eq!(run.answers(&options), expected, "full {} asked {options:?}", run.full);
    }
}

#[test]
fn only_a_packaged_run_goes_back_to_what_is_landed() {
    let mut db = db();
    let mut run = open(&mut db, &Options::default(), at(NOW));
    for (phase, expected) in [("packaged", "landed"), ("done", "done")] {
        db.execute("UPDATE run SET phase = ?1", [phase]).unwrap();
        back_to_landed(&db, &mut run).unwrap();
        let now: String = db.query_row("SELECT phase FROM run", [], |row| row.get(0)).unwrap();
        assert_eq!(now, expected);
    }
}

#[test]
fn a_report_that_was_noted_is_read_again() {
    let mut db = db();
    let run = open(&mut db, &Options::default(), at(NOW));
    assert_eq!(report(&db, run.id).unwrap(), Report::default());
    let noted = Report {
        run: run.id,
        submission: Some("north-00000001-0123456789abcdef".to_owned()),
        ..Report::default()
    };
    note(&db, run.id, "packaged", &noted, None).unwrap();
    assert_eq!(report(&db, run.id).unwrap(), noted);
}
