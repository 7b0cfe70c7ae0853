//! The master key: its rotation, seen from the registry, at rest and killed at any moment; a key that is missing or another.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Scene, balanced, said};
use crate::house::{HEADWATER, report, sync};
use crate::nights::{sum, total};

fn keys(site: &Path) -> PathBuf {
    site.parent().expect("a folder").join("state/keys")
}

#[test]
fn a_rotation_of_the_master_key_withdraws_every_old_pseudonym_and_sends_new_ones_in_one_submission() {
    for policy in ["safe-harbor", "limited-data-set"] {
        let scene = Scene::of(3, 79, policy);
        let first = scene.night(&[]);
        let (before, people) = scene.people();
        assert!(total(&first, "pulled") > 50, "the brake has something to say");
        let withdrawn = scene.run_with(&["withdraw"], &scene.ids[0]);
        assert!(withdrawn.status.success());
        scene.night(&[]);
        let (before_rotation, _) = scene.people();
        let old = std::fs::read(keys(&scene.site).join("pseudonym.key")).expect("a key");
        let rotated = scene.run(&["keys", "rotate", "--master"]);
        assert!(rotated.status.success(), "{}", said(&rotated));
        assert_eq!(scene.run(&["keys", "rotate", "--master"]).status.code(), Some(2), "one at a time");
        let (passphrase, out) = (scene.house.dir.path().join("passphrase"), scene.house.dir.path().join("backup"));
        headwater::platform::file::write_secret(&passphrase, b"five words drawn by dice").expect("a file");
        let paths = [out.to_str().expect("a path"), passphrase.to_str().expect("a path")];
        let refused = scene.run(&["keys", "backup", "--out", paths[0], "--passphrase-file", paths[1]]);
        assert!(
            refused.status.code() == Some(2) && said(&refused).contains("rotation") && !out.exists(),
            "{}",
            said(&refused)
        );
        assert_eq!(
            std::fs::read(keys(&scene.site).join("pseudonym.key")).expect("a key"),
            old,
            "kept until the answer"
        );
        let rehearsed = scene.night(&["--rehearse"]);
        assert!(sum(&rehearsed, "upserts") > 0);
        assert!(scene.people().0 == before_rotation, "a rehearsal changes nothing");

        let night = scene.night(&[]);
        balanced(&night);
        let (after, left) = scene.people();
        assert_eq!(left, people - 1, "the withdrawn one stays away");
        assert_eq!(after.len(), before_rotation.len());
        let keys_before: BTreeSet<_> = before.iter().map(|row| &row.2).collect();
        assert!(after.iter().all(|row| !keys_before.contains(&row.2)), "no old pseudonym is left");
        assert_ne!(night["key_fingerprint"], first["key_fingerprint"]);
        assert_ne!(std::fs::read(keys(&scene.site).join("pseudonym.key")).expect("a key"), old);
        assert!(!keys(&scene.site).join("pseudonym.next.key").exists());
        for more in [&[][..], &["--full"]] {
            let same = scene.night(more);
            assert_eq!((sum(&same, "upserts"), sum(&same, "tombstones")), (0, 0), "{same}");
        }
        assert!(scene.people().0 == after);
        scene.house.close();
    }
}

#[test]
fn a_rotation_waits_for_the_registry_with_both_keys_and_ends_when_it_answers() {
    let mut scene = Scene::of(2, 83, "safe-harbor");
    // What is packaged under the old key before the rotation begins is sent under it.
    let port = scene.house.stop_registry();
    assert_eq!(sync(&scene.site, &[]).status.code(), Some(3));
    assert!(scene.run(&["keys", "rotate", "--master"]).status.success());
    scene
        .house
        .open_registry_as(port, &["safe-harbor", "limited-data-set"], |_, text| text.to_owned());
    balanced(&scene.night(&[]));
    let (before, _) = scene.people();
    assert!(!before.is_empty() && keys(&scene.site).join("pseudonym.next.key").exists());
    let port = scene.house.stop_registry();
    assert_eq!(sync(&scene.site, &[]).status.code(), Some(3));
    assert!(
        keys(&scene.site).join("pseudonym.next.key").exists(),
        "both keys are there while nobody has answered"
    );
    scene
        .house
        .open_registry_as(port, &["safe-harbor", "limited-data-set"], |_, text| text.to_owned());
    assert!(scene.people().0 == before, "wholly old");
    balanced(&scene.night(&[]));
    let (after, _) = scene.people();
    assert!(
        after.len() == before.len() && after.iter().all(|row| !before.iter().any(|old| old.2 == row.2)),
        "wholly new"
    );
    assert!(!keys(&scene.site).join("pseudonym.next.key").exists());
    let same = scene.night(&["--full"]);
    assert_eq!((sum(&same, "upserts"), sum(&same, "tombstones")), (0, 0), "{same}");
    scene.house.close();
}

#[test]
fn a_run_with_a_missing_or_another_master_key_is_refused_and_none_is_made() {
    let scene = Scene::of(1, 89, "safe-harbor");
    scene.night(&[]);
    let path = keys(&scene.site).join("pseudonym.key");
    let key = std::fs::read(&path).expect("a key");
    std::fs::remove_file(&path).expect("it was there");
    let missing = sync(&scene.site, &[]);
    assert_eq!(missing.status.code(), Some(2), "{}", said(&missing));
    assert!(said(&missing).contains("restore it from the backup") && !path.exists());
    headwater::platform::file::write_secret(&path, "a1".repeat(32).as_bytes()).expect("a key");
    let changed = sync(&scene.site, &[]);
    assert_eq!(changed.status.code(), Some(4), "{}", said(&changed));
    assert!(said(&changed).contains("is not the one the registry's rows were made with"));
    std::fs::remove_file(&path).expect("it was there");
    headwater::platform::file::write_secret(&path, &key).expect("a key");

    // The same key as a credential of the service manager.
    let credentials = tempfile::tempdir().expect("a folder");
    std::fs::copy(&path, credentials.path().join("headwater-master")).expect("a copy");
    std::fs::remove_file(&path).expect("it was there");
    scene.says("[keys]\nmaster_credential = \"headwater-master\"");
    let none = sync(&scene.site, &[]);
    assert_eq!(none.status.code(), Some(2), "{}", said(&none));
    assert!(said(&none).contains("CREDENTIALS_DIRECTORY"));
    let run = |more: &[&str]| {
        let mut sync = Command::new(HEADWATER);
        sync.args(["sync", "--json", "--site"]).arg(&scene.site).args(more);
        sync.env("CREDENTIALS_DIRECTORY", credentials.path())
            .output()
            .expect("the binary runs")
    };
    let same = report(&run(&["--full"]));
    assert_eq!((sum(&same, "upserts"), sum(&same, "tombstones")), (0, 0), "{same}");
    // A backup holds it, wherever it is kept.
    let (passphrase, backup) = (credentials.path().join("passphrase"), scene.house.dir.path().join("north.backup"));
    headwater::platform::file::write_secret(&passphrase, b"five words drawn by dice").expect("a file");
    let mut made = Command::new(HEADWATER);
    made.args(["keys", "backup", "--out"])
        .arg(&backup)
        .arg("--passphrase-file")
        .arg(&passphrase);
    let made = made
        .arg("--site")
        .arg(&scene.site)
        .env("CREDENTIALS_DIRECTORY", credentials.path())
        .output();
    let made = made.expect("the binary runs");
    assert!(made.status.success(), "{}", said(&made));
    let paths = [backup.to_str().expect("a path"), passphrase.to_str().expect("a path")];
    let restored = scene.run(&["keys", "restore", paths[0], "--passphrase-file", paths[1]]);
    assert!(
        restored.status.success() && said(&restored).contains("systemd-creds"),
        "{}",
        said(&restored)
    );
    assert_eq!(std::fs::read(&path).expect("the key is back"), key);
    std::fs::remove_file(&path).expect("it was there");
    // A new credential takes its place, and stays in force when the section names it alone.
    let (before, _) = scene.people();
    headwater::platform::file::write_secret(&credentials.path().join("second"), "b2".repeat(32).as_bytes()).expect("a key");
    scene.replace(
        "master_credential = \"headwater-master\"",
        "master_credential = \"headwater-master\"\nnext_credential = \"second\"",
    );
    balanced(&report(&run(&[])));
    let (after, _) = scene.people();
    assert!(after.len() == before.len() && after.iter().all(|row| !before.iter().any(|old| old.2 == row.2)));
    balanced(&report(&run(&[])));
    scene.replace(
        "master_credential = \"headwater-master\"\nnext_credential = \"second\"",
        "master_credential = \"second\"",
    );
    let same = report(&run(&["--full"]));
    assert_eq!((sum(&same, "upserts"), sum(&same, "tombstones")), (0, 0), "{same}");
    assert!(scene.people().0 == after);
    scene.house.close();
}

/// Kills a sync that rotates at many moments: the registry is wholly old or wholly new, and one more sync ends it.
#[test]
fn a_rotation_killed_at_any_moment_leaves_the_registry_wholly_old_or_wholly_new() {
    use std::time::Duration;
    let scene = Scene::of(3, 109, "safe-harbor");
    scene.night(&[]);
    let mut before = scene.people().0;
    let mut old_was_seen = 0;
    for kill in 0..12_u64 {
        assert!(scene.run(&["keys", "rotate", "--master"]).status.success());
        let mut child = crate::house::start_sync(&scene.site, &[]);
        #[expect(clippy::disallowed_methods, reason = "the moment of the kill is the test")]
        std::thread::sleep(Duration::from_millis(20 + 45 * kill));
        child.kill().expect("a child can be killed");
        child.wait().expect("it is gone");
        let now = scene.people().0;
        let is_old = now == before;
        let is_new = now.len() == before.len() && now.iter().all(|row| !before.iter().any(|old| old.2 == row.2));
        assert!(is_old || is_new, "kill {kill}: half of the rows are old");
        old_was_seen += u32::from(is_old);
        balanced(&scene.night(&[]));
        let after = scene.people().0;
        assert!(
            after.len() == before.len() && after.iter().all(|row| !before.iter().any(|old| old.2 == row.2)),
            "kill {kill}"
        );
        let same = scene.night(&[]);
        assert_eq!((sum(&same, "upserts"), sum(&same, "tombstones")), (0, 0), "kill {kill}: {same}");
        assert!(!keys(&scene.site).join("pseudonym.next.key").exists());
        before = after;
    }
    assert!(old_was_seen > 0, "every kill came too late to mean anything");
    scene.house.close();
}
