//! Whole nights, by the real binary over real HTTP: the ledger balances, the second night sends what changed,
//! a killed run goes on, a second gateway is kept out.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use headwater::platform::clock::Clock;
use serde_json::Value;

use crate::house::{House, patients, report, start_sync, sync};

pub fn total(report: &Value, number: &str) -> u64 {
    report["counts"]["types"]
        .as_object()
        .expect("types")
        .values()
        .map(|t| t[number].as_u64().expect("a number"))
        .sum()
}

pub fn sum(report: &Value, side: &str) -> u64 {
    report["counts"][side]
        .as_object()
        .expect("tables")
        .values()
        .map(|n| n.as_u64().expect("a number"))
        .sum()
}

#[test]
fn the_second_night_sends_upserts_and_tombstones_only_for_what_changed() {
    let data = patients(6, 11);
    let house = House::over(data.path());
    let site = house.site("limited-data-set", None);

    let first = report(&sync(&site, &[]));
    assert_eq!(
        total(&first, "pulled"),
        total(&first, "mapped") + total(&first, "excluded") + total(&first, "refused")
    );
    assert!(total(&first, "mapped") > 100, "{first}");
    assert_eq!(total(&first, "refused"), 0, "{first}");
    assert_eq!(sum(&first, "upserts"), first["counts"]["accepted"].as_u64().expect("a number"));
    assert_eq!((sum(&first, "tombstones"), &first["counts"]["rejected"]), (0, &0.into()));
    assert_eq!(house.rows().len() as u64, sum(&first, "upserts"));

    let unchanged = report(&sync(&site, &[]));
    assert_eq!(
        (sum(&unchanged, "upserts"), sum(&unchanged, "tombstones")),
        (0, 0),
        "a night without changes releases nothing"
    );

    let before = house.rows();
    let day = house.runtime.block_on(house.ehr().advance_day()).expect("a day passes");
    let second = report(&sync(&site, &[]));
    // What the mappings do not read is not asked for: the other types of the day's changes are not in the export.
    let asked = first["counts"]["types"].as_object().expect("types");
    let of_asked = |changes: &[String]| {
        changes
            .iter()
            .filter(|id| id.split('/').next().is_some_and(|t| asked.contains_key(t)))
            .count()
    };
    assert_eq!(total(&second, "pulled"), (of_asked(&day.edited) + of_asked(&day.added)) as u64);
    assert_eq!(total(&second, "deleted"), of_asked(&day.deleted) as u64);
    assert!(sum(&second, "upserts") > 0 && sum(&second, "tombstones") > 0, "{second}");

    // Pulling everything again finds the same state: nothing more to send.
    let after = house.rows();
    assert_ne!(before, after);
    let full = report(&sync(&site, &["--full"]));
    assert_eq!((sum(&full, "upserts"), sum(&full, "tombstones")), (0, 0), "{full}");
    assert_eq!(house.rows(), after);
    house.close();
}

#[test]
fn a_rehearsal_goes_the_whole_way_and_delivers_nothing() {
    let data = patients(2, 3);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let rehearsed = report(&sync(&site, &["--rehearse"]));
    assert!(sum(&rehearsed, "upserts") > 0);
    assert!(house.rows().is_empty());
    let real = report(&sync(&site, &[]));
    assert_eq!(real["counts"]["upserts"], rehearsed["counts"]["upserts"]);
    house.close();
}

#[test]
fn a_second_gateway_on_the_same_state_is_refused_with_a_clear_message() {
    let data = patients(1, 5);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let state = site.parent().expect("a folder").join("state");
    let held = headwater::platform::file::Lock::acquire(&state.join("gateway.lock")).expect("nobody else is there");
    let output = sync(&site, &[]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains("second gateway"), "{message}");
    drop(held);
    report(&sync(&site, &[]));
    house.close();
}

#[test]
fn a_sync_killed_at_any_moment_ends_as_an_undisturbed_one() {
    killed("ibd-registry", 20, |_| ());
}

#[test]
fn a_crawl_killed_at_any_moment_ends_as_an_undisturbed_one() {
    killed("ibd-registry", 12, |site| crate::crawl_nights::ask(site, "method = \"search\""));
}

/// Kills a sync of a model at `kills` seeded moments, each in a house of its own, and lets one more sync end it. `prepare` changes a site's file.
pub fn killed(model: &'static str, kills: u64, prepare: impl Fn(&std::path::Path)) {
    let data = patients(4, 17);
    let undisturbed = House::of(model, data.path(), |_| {});
    let site = undisturbed.site("limited-data-set", None);
    prepare(&site);
    let clock = Clock::system();
    let started = clock.now();
    report(&sync(&site, &[]));
    let length = Duration::try_from(clock.now().duration_since(started)).expect("time goes on");
    let expected = undisturbed.rows();
    let keys = site.parent().expect("a folder").join("state/keys");
    assert!(expected.len() > 100);

    let mut done = 0;
    let mut phases = std::collections::BTreeSet::new();
    for kill in 0..kills {
        let house = House::of(model, data.path(), |_| {});
        let site = house.site("limited-data-set", Some(&keys));
        prepare(&site);
        // Moments spread evenly over the run, each moved by a seeded part of its share.
        let share = length / u32::try_from(kills).expect("small");
        let jitter = share.mul_f64(((kill * 7919) % 101) as f64 / 101.0);
        let mut moment = share * u32::try_from(kill).expect("small") + jitter;
        loop {
            let mut child = start_sync(&site, &[]);
            #[expect(clippy::disallowed_methods, reason = "the moment of the kill is the test")]
            std::thread::sleep(moment);
            child.kill().expect("a child can be killed");
            let status = child.wait_with_output().expect("it is gone").status;
            if status.signal() == Some(9) {
                break;
            }
            // It was done before the moment came: this was no kill. Begin a new night's run and be quicker.
            assert!(status.success());
            moment = moment.mul_f64(0.7);
        }
        done += 1;
        let db = rusqlite::Connection::open(site.parent().expect("a folder").join("state/gateway.db")).expect("a database");
        let phase: Result<String, _> = db.query_row("SELECT phase FROM run ORDER BY id DESC LIMIT 1", [], |row| row.get(0));
        phases.insert(phase.unwrap_or_else(|_| "before the first run".to_owned()));
        drop(db);
        report(&sync(&site, &[]));
        assert_eq!(house.rows(), expected, "kill {kill} at {moment:?} of {length:?}");
        house.close();
    }
    assert_eq!(done, kills);
    assert!(phases.len() >= 2, "the kills met only these phases: {phases:?}");
    undisturbed.close();
}
