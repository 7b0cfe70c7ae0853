//! The other sides misbehave: the EHR cuts, miscounts and refuses, the registry is away or says no. Whatever happens, the
//! registry's rows are those of an undisturbed run, and each test sees that its trouble really came.

use std::path::Path;

use headwater::simulate::ehr::Fault;

use crate::house::{House, Rows, copy, patients, report, sync};
use crate::nights::sum;

fn undisturbed(data: &Path, policy: &str) -> (House, std::path::PathBuf, Rows) {
    let house = House::over(data);
    let site = house.site(policy, None);
    report(&sync(&site, &[]));
    let rows = house.rows();
    assert!(rows.len() > 50);
    (house, site, rows)
}

#[test]
fn an_ehr_that_cuts_miscounts_and_refuses_gives_the_rows_of_an_undisturbed_run() {
    let data = patients(2, 23);
    let (house, site, expected) = undisturbed(data.path(), "limited-data-set");
    let keys = site.parent().expect("a folder").join("state/keys");
    // At the same time: what takes long is the waiting that the EHR asks for.
    std::thread::scope(|scope| {
        for (fault, exits) in [
            (Fault::TruncateFile, &[0][..]),
            // What is wrongly counted twice is taken and told; the next run asks again and finds it counted well.
            (Fault::WrongCount, &[3, 0]),
            (Fault::Poll503, &[0]),
            // A client that is refused is a person's turn; when the EHR knows it again, the run goes on.
            (Fault::Token401, &[2, 0]),
            (Fault::Bearer401, &[0]),
            (Fault::ExpireFileUrl, &[0]),
            (Fault::Kickoff429, &[0]),
        ] {
            let (data, keys, expected) = (data.path(), &keys, &expected);
            scope.spawn(move || disturbed(data, keys, fault, exits, expected));
        }
    });
    house.close();
}

/// Syncs as often as `exits` says, each run with its exit code, at an EHR that misbehaves once.
fn disturbed(data: &Path, keys: &Path, fault: Fault, exits: &[i32], expected: &Rows) {
    let house = House::over(data);
    let site = house.site("limited-data-set", Some(keys));
    house.ehr().order(fault.into());
    for exit in exits {
        let run = sync(&site, &[]);
        assert_eq!(
            run.status.code(),
            Some(*exit),
            "{}: {}",
            fault.name(),
            String::from_utf8_lossy(&run.stderr)
        );
    }
    assert!(house.ehr().fired(fault) >= 1, "{} never came", fault.name());
    assert!(
        house.rows() == *expected,
        "{}: other rows than in the undisturbed run",
        fault.name()
    );
    house.close();
}

/// The receipt of each submission, as the site keeps it.
fn receipts(site: &Path) -> Vec<(String, Option<String>)> {
    let db = rusqlite::Connection::open(site.parent().expect("a folder").join("state/gateway.db")).expect("the site's database");
    let mut statement = db.prepare("SELECT id, receipt FROM submission ORDER BY sequence").expect("a table");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("a query");
    rows.collect::<Result<_, _>>().expect("rows")
}

#[test]
fn a_run_that_waits_for_the_registry_is_delivered_once_with_one_receipt_and_keeps_its_own_options() {
    let data = patients(2, 29);
    let mut house = House::over(data.path());
    let site = house.site("limited-data-set", None);
    let port = house.stop_registry();
    let away = sync(&site, &[]);
    assert_eq!(away.status.code(), Some(3), "{}", String::from_utf8_lossy(&away.stderr));

    // A rehearsal delivers nothing, also not what waits.
    house.open_registry_as(port, &["limited-data-set"], |_, text| text.to_owned());
    let rehearsal = sync(&site, &["--rehearse"]);
    let words = String::from_utf8_lossy(&rehearsal.stderr).into_owned();
    assert!(
        !rehearsal.status.success() && words.contains("run 1 was interrupted (packaged)"),
        "{words}"
    );
    assert!(house.rows().is_empty());

    // The state as it is before the receipt: what a crash right after the registry's commit leaves behind.
    let state = site.parent().expect("a folder").join("state");
    let before = house.dir.path().join("before");
    copy(&state, &before);
    let delivered = report(&sync(&site, &[]));
    assert_eq!(delivered["run"], 1);
    let (rows, receipt) = (house.rows(), receipts(&site));
    assert_eq!(rows.len() as u64, sum(&delivered, "upserts"));
    assert!(receipt[0].1.is_some());
    std::fs::remove_dir_all(&state).expect("it was there");
    copy(&before, &state);

    // The same package again gives the same receipt and changes nothing; what was asked for follows in a run of its own.
    let since = "2020-01-01T00:00:00Z";
    let output = sync(&site, &["--since", since]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("run 1 goes on") && words.contains("a run of its own"), "{words}");
    let second = report(&output);
    assert_eq!((&second["run"], &second["kind"]), (&2.into(), &"incremental".into()));
    assert_eq!((sum(&second, "upserts"), sum(&second, "tombstones")), (0, 0));
    assert_eq!(receipts(&site)[0], receipt[0]);
    assert!(house.rows() == rows);
    let registry = rusqlite::Connection::open(house.dir.path().join("registry/data/registry.db")).expect("the registry's database");
    let number = |sql: &str| registry.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    assert_eq!(number("SELECT count(*) FROM submission WHERE sequence = 1"), 1);
    assert_eq!(number("SELECT count(*) FROM submission"), 2);
    house.close();
}

#[test]
fn a_package_that_the_registry_turns_down_is_made_anew_under_the_policy_it_takes() {
    let data = patients(1, 31);
    let mut house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let port = house.stop_registry();
    house.open_registry_as(port, &["limited-data-set"], |_, text| text.to_owned());
    for _ in 0..2 {
        let refused = sync(&site, &[]);
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(4), "{words}");
        assert!(words.contains("policy: `safe-harbor` is not accepted"), "{words}");
    }
    let text = std::fs::read_to_string(&site).expect("site.toml");
    std::fs::write(&site, text.replace("safe-harbor", "limited-data-set")).expect("a file");
    let taken = report(&sync(&site, &[]));
    assert_eq!((&taken["policy"], &taken["sequence"]), (&"limited-data-set".into(), &1.into()));
    assert_eq!(house.rows().len() as u64, sum(&taken, "upserts"));
    house.close();
}

#[test]
fn a_configuration_that_cannot_be_used_tells_all_its_faults_at_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("site.toml");
    let text = "[site]\nnetwork = \"n\"\npolicy = \"none\"\nthreads = 0\ncolour = 1\n\
                [ehr]\nkind = \"carrier-pigeon\"\n[registry]\nbase = \"not a url\"\nclient_id = 7\n";
    std::fs::write(&file, text).expect("a file");
    let output = sync(&file, &[]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}");
    for key in [
        "site.name",
        "site.policy",
        "site.threads",
        "site.colour",
        "ehr.kind",
        "registry.base",
        "registry.client_id",
        "registry.log_vkey",
    ] {
        assert!(words.contains(key), "`{key}` is not told: {words}");
    }
    assert!(output.stdout.is_empty());
    assert!(!dir.path().join("state").exists(), "nothing was begun");
}
