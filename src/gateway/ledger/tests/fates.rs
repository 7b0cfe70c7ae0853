//! What becomes of resources and rows from night to night: repeats, refusals, deletions, new rules, rejections.

use super::*;

#[test]
fn a_row_leaves_once_again_when_it_changes_and_last_as_a_tombstone() {
    let mut night = Night::new();
    night.pull(&[&lab("o1", EARLY, &["a", "b"])]).all_accepted();
    assert_eq!(night.upserts_and_tombstones(), (2, 0));
    night.pull(&[&lab("o1", LATE, &["a", "b"])]).all_accepted();
    assert_eq!(night.upserts_and_tombstones(), (0, 0), "another version with the same rows");
    night.pull(&[&lab("o1", LATE, &["b", "c"])]).all_accepted();
    assert_eq!(night.upserts_and_tombstones(), (1, 1));
    night.delete("Observation", "o1");
    assert_eq!(night.all_accepted().types["Observation"].deleted, 1);
    assert_eq!(night.upserts_and_tombstones(), (0, 2));
    assert_eq!((night.held(), night.number("SELECT count(*) FROM source")), (0, 0));
}

#[test]
fn of_repeats_in_one_export_the_latest_counts_in_whatever_order_they_come() {
    let (old, new) = (lab("o1", EARLY, &["a"]), lab("o1", LATE, &["b"]));
    for (lines, why) in [
        ([&old, &new], "replaced by a newer version in the same export"),
        ([&new, &old], "repeated in one export, not newer"),
        ([&new, &new], "repeated in one export, not newer"),
    ] {
        let mut night = Night::new();
        let counts = night.pull(&[lines[0], lines[1]]).all_accepted();
        let types = &counts.types["Observation"];
        assert_eq!((types.pulled, types.mapped, types.excluded), (2, 1, 1));
        assert_eq!(counts.excluded.keys().collect::<Vec<_>>(), [why]);
        let newest = known(&night.db, &key("Observation", "o1")).unwrap().unwrap();
        assert_eq!(newest.content, content(&new));
        assert_eq!(night.upserts_and_tombstones(), (1, 0));
    }
}

#[test]
fn a_refused_version_gives_way_to_a_good_newer_one_and_leaves_the_quarantine() {
    let mut night = Night::new();
    night.pull(&[&spoilt("o1", EARLY), &lab("o1", LATE, &["a"])]).settle();
    assert_eq!(night.number("SELECT count(*) FROM quarantine"), 0);
    let counts = night.all_accepted();
    assert_eq!((counts.types["Observation"].refused, counts.types["Observation"].excluded), (0, 1));
    // The other way round the newest state is the bad one: that is what is told.
    night.pull(&[&lab("o2", EARLY, &["a"]), &spoilt("o2", LATE)]).settle();
    assert_eq!(night.number("SELECT count(*) FROM quarantine"), 1);
    assert_eq!(night.all_accepted().types["Observation"].refused, 1);
    assert_eq!(
        night.upserts_and_tombstones(),
        (0, 0),
        "the older version's rows are not sent either"
    );
}

#[test]
fn repeats_under_different_types_balance_type_by_type() {
    let mut night = Night::new();
    let entry = |resource_type: &str, version: &str, line| Entry {
        resource_type: resource_type.to_owned(),
        key: Some(key("Nothing", "1")),
        content: content(version),
        version: version.to_owned(),
        outcome: Outcome::Refused(Refusal::new(Step::Validate, "p", "r")),
        marks: Vec::new(),
        shares: Vec::new(),
        withheld: Vec::new(),
        remapped: false,
        origin: Origin {
            segment: SegmentId(1),
            line,
        },
    };
    night.enter_entry(&entry("Patient", EARLY, 1));
    night.enter_entry(&entry("Encounter", LATE, 2));
    night.enter_entry(&entry("Patient", EARLY, 3));
    let counts = night.all_accepted();
    let of = |name: &str| (counts.types[name].pulled, counts.types[name].excluded, counts.types[name].refused);
    assert_eq!((of("Patient"), of("Encounter")), ((2, 2, 0), (1, 0, 1)));
}

#[test]
fn lines_that_cannot_be_read_are_refused_each_for_itself() {
    let mut night = Night::new();
    night.pull(&["{", "{", "\u{feff}{}", &lab("o1", EARLY, &["a"])]);
    assert_eq!(night.number("SELECT count(*) FROM quarantine"), 3);
    let counts = night.all_accepted();
    let types = &counts.types["Observation"];
    assert_eq!((types.pulled, types.refused, types.unreadable, types.mapped), (4, 3, 3, 1));
    assert_eq!(counts.refused.values().sum::<u64>(), 3);
}

#[test]
fn what_is_deleted_and_in_the_same_export_is_there() {
    let mut night = Night::new();
    night.pull(&[&lab("o1", EARLY, &["a"]), &lab("o2", EARLY, &["a"])]).all_accepted();
    night
        .delete("Observation", "o1")
        .delete("Observation", "o2")
        .delete("Observation", "o2");
    let counts = night.pull(&[&lab("o1", LATE, &["a"])]).all_accepted();
    assert_eq!(counts.types["Observation"].deleted, 1, "only o2, and only once");
    assert_eq!(night.upserts_and_tombstones(), (0, 1));
    assert_eq!(night.held(), 1);
}

#[test]
fn a_refused_resource_keeps_its_rows_under_the_same_rules_and_loses_them_under_new_ones() {
    for (new_rules, expected) in [(false, (0, 0)), (true, (0, 1))] {
        let mut night = Night::new();
        night.pull(&[&lab("o1", EARLY, &["a"])]).all_accepted();
        night.new_rules = new_rules;
        let counts = night.pull(&[&spoilt("o1", LATE)]).all_accepted();
        assert_eq!(counts.types["Observation"].refused, 1);
        assert_eq!(night.upserts_and_tombstones(), expected, "new rules: {new_rules}");
    }
}

#[test]
fn an_excluded_resource_loses_its_rows() {
    let mut night = Night::new();
    night.pull(&[&lab("o1", EARLY, &["a"])]).all_accepted();
    let entered_in_error = lab("o1", LATE, &["a"]).replace("final", "entered-in-error");
    assert_eq!(night.pull(&[&entered_in_error]).all_accepted().types["Observation"].excluded, 1);
    assert_eq!(night.upserts_and_tombstones(), (0, 1));
}

#[test]
fn what_is_mapped_again_never_takes_the_place_of_what_was_pulled_or_is_gone() {
    let mut night = Night::new();
    night
        .pull(&[&lab("o1", EARLY, &["a"]), &lab("o2", EARLY, &["a"]), &lab("o3", EARLY, &["a"])])
        .all_accepted();
    night.new_rules = true;
    night.delete("Observation", "o2");
    night.pull(&[&lab("o1", EARLY, &["b"])]);
    for id in ["o1", "o2", "o3", "o3"] {
        night.enter(&lab(id, LATE, &["a"]), true);
    }
    let counts = night.all_accepted();
    let types = &counts.types["Observation"];
    assert_eq!((types.pulled, types.remapped, types.deleted, types.mapped), (1, 1, 1, 2));
    assert_eq!(night.upserts_and_tombstones(), (1, 2), "o1 has another row now, o2 none");
}

#[test]
fn what_a_full_export_does_not_show_is_gone_and_only_of_its_type() {
    let mut night = Night::new();
    night
        .pull(&[&lab("o1", EARLY, &["a"]), &lab("o2", EARLY, &["a"]), &condition("c1", "p1")])
        .all_accepted();
    night
        .pull(&[&lab("o1", EARLY, &["a"])])
        .settle()
        .on_page(|page, tx, counts| page.vanish(tx, "Observation", counts));
    assert_eq!(night.all_accepted().types["Observation"].deleted, 1);
    assert_eq!((night.upserts_and_tombstones(), night.held()), ((0, 1), 2));
}

#[test]
fn rows_that_new_rules_do_not_find_again_are_withdrawn() {
    let mut night = Night::new();
    night.pull(&[&lab("o1", EARLY, &["a"]), &condition("c1", "p1")]).all_accepted();
    night.new_rules = true;
    let mut stale = 0;
    night.enter(&lab("o1", EARLY, &["a"]), true);
    night.on_page(|page, tx, counts| {
        stale = page.withdraw_stale(tx, counts)?;
        Ok(())
    });
    assert_eq!(stale, 1);
    assert_eq!(night.all_accepted().types["Condition"].deleted, 1);
    assert_eq!((night.upserts_and_tombstones(), night.held()), ((0, 1), 1));
}

#[test]
fn two_resources_that_make_one_row_stop_the_run_before_anything_is_sent() {
    let mut night = Night::new();
    night.pull(&[&lab("o1", EARLY, &["a"])]);
    // The mapping loader lets no such key through; were one to come, nothing may be sent twice.
    night
        .db
        .execute_batch(
            "INSERT INTO pending_row (table_name, row_key, source, digest, mac, body)
             SELECT table_name, row_key, x'00', digest, mac, body FROM pending_row",
        )
        .unwrap();
    night.settle();
    let read = each_pending_row(&night.db, &night.by, |_| Ok::<_, LedgerError>(()));
    assert!(matches!(read, Err(LedgerError::TwoResources(table)) if table == "lab"));
}

#[test]
fn a_rejected_row_is_not_taken_for_held_and_is_shown_until_it_is_taken() {
    let mut night = Night::new();
    let first = lab("o1", EARLY, &["a", "b"]);
    night.pull(&[&first]).end(|body| body.contains("\"b\""));
    assert_eq!(night.held(), 1);
    assert_eq!(outstanding(&night.db).unwrap(), BTreeMap::from([("lab: enum".to_owned(), 1)]));
    let newest = known(&night.db, &key("Observation", "o1")).unwrap().unwrap();
    assert!(
        newest.rejected && !newest.settles(&content(&first)),
        "it is tried whenever it is seen"
    );

    // Seen again: the missing row is sent, and only that one.
    night.pull(&[&first]).end(|body| body.contains("\"b\""));
    assert_eq!(night.upserts_and_tombstones(), (1, 0));
    night.pull(&[&first]).all_accepted();
    assert_eq!((night.upserts_and_tombstones(), night.held()), ((1, 0), 2));
    assert!(outstanding(&night.db).unwrap().is_empty());
    assert!(
        known(&night.db, &key("Observation", "o1"))
            .unwrap()
            .unwrap()
            .settles(&content(&first))
    );
}

#[test]
fn a_rejected_row_that_is_not_made_any_more_is_forgotten() {
    for gone in [true, false] {
        let mut night = Night::new();
        night.pull(&[&lab("o1", EARLY, &["a", "b"])]).end(|body| body.contains("\"b\""));
        if gone {
            night.delete("Observation", "o1");
        } else {
            night.pull(&[&lab("o1", LATE, &["a"])]);
        }
        night.all_accepted();
        assert_eq!(
            night.upserts_and_tombstones(),
            (0, usize::from(gone)),
            "the registry never had the rejected row"
        );
        assert!(outstanding(&night.db).unwrap().is_empty());
    }
}

#[test]
fn an_answer_about_rows_that_were_not_sent_is_not_entered() {
    let mut night = Night::new();
    night.pull(&[&lab("o1", EARLY, &["a"])]).settle();
    let (table, row_key): (String, String) = night
        .db
        .query_row("SELECT table_name, row_key FROM pending_row", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let unknown = [outcome("lab", "other")];
    let twice = [outcome(&table, &row_key), outcome(&table, &row_key)];
    for outcomes in [&unknown[..], &twice[..]] {
        let tx = night.db.transaction().unwrap();
        assert!(matches!(acknowledge(&tx, 1, outcomes, &mark()), Err(LedgerError::NotSent(table)) if table == "lab"));
        drop(tx);
        assert_eq!(
            (night.held(), night.number("SELECT count(*) FROM pending_row")),
            (0, 1),
            "nothing was entered"
        );
    }
    assert_eq!(watermark(&night.db).unwrap(), None);
}

#[test]
fn a_refused_resource_is_looked_at_again_and_an_unchanged_good_one_is_not() {
    let mut night = Night::new();
    let (good, bad) = (lab("o1", EARLY, &["a"]), spoilt("o2", EARLY));
    night.pull(&[&good, &bad]).all_accepted();
    let settles = |night: &Night, id: &str, line: &str| known(&night.db, &key("Observation", id)).unwrap().unwrap().settles(&content(line));
    assert!(settles(&night, "o1", &good) && !settles(&night, "o1", &bad));
    assert!(!settles(&night, "o2", &bad));

    night.enter_entry(&Entry {
        resource_type: "Observation".to_owned(),
        key: Some(key("Observation", "o1")),
        content: content(&good),
        version: EARLY.to_owned(),
        outcome: Outcome::Unchanged(Fate::Mapped),
        marks: Vec::new(),
        shares: Vec::new(),
        withheld: Vec::new(),
        remapped: false,
        origin: Origin {
            segment: SegmentId(2),
            line: 1,
        },
    });
    let counts = night.all_accepted();
    assert_eq!((counts.types["Observation"].mapped, counts.types["Observation"].unchanged), (1, 1));
    assert_eq!((night.upserts_and_tombstones(), night.held()), ((0, 0), 1));
}

#[test]
fn a_row_changed_in_the_ledgers_file_does_not_leave() {
    for change in [
        "body = x'7b7d'",
        "body = NULL",
        "row_key = 'ffffffffffffffffffffffffffffffff'",
        "mac = zeroblob(32)",
    ] {
        let mut night = Night::new();
        night.pull(&[&lab("o1", EARLY, &["a"])]);
        night.db.execute(&format!("UPDATE pending_row SET {change}"), []).unwrap();
        let read = each_pending_row(&night.db, &night.by, |_| Ok::<_, LedgerError>(()));
        assert!(matches!(read, Err(LedgerError::Row(_))), "{change}");
    }
}

#[test]
fn discarded_work_leaves_what_is_acknowledged() {
    let mut night = Night::new();
    night.pull(&[&lab("o1", EARLY, &["a"])]).all_accepted();
    night.pull(&[&lab("o2", EARLY, &["a"])]).delete("Observation", "o1");
    let tx = night.db.transaction().unwrap();
    discard_pending(&tx).unwrap();
    tx.commit().unwrap();
    night.counts = Counts::default();
    assert_eq!(night.all_accepted(), Counts::default());
    assert_eq!(night.held(), 1);
    assert_eq!(watermark(&night.db).unwrap(), Some(mark()));
}

#[test]
fn a_ledger_from_before_rows_knew_their_run_is_brought_up_once_and_keeps_its_rows() {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(
        "CREATE TABLE released (source BLOB NOT NULL, table_name TEXT NOT NULL, row_key TEXT NOT NULL, digest BLOB NOT NULL,
            PRIMARY KEY (source, table_name, row_key)) STRICT, WITHOUT ROWID;
         INSERT INTO released VALUES (x'01', 't', 'k', x'02');",
    )
    .unwrap();
    for _ in 0..2 {
        db.execute_batch(SCHEMA).unwrap();
        upgrade(&db).unwrap();
    }
    let held: (String, Option<i64>) = db
        .query_row("SELECT row_key, run FROM released", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(held, ("k".to_owned(), None));
}
