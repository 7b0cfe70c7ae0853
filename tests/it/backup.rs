//! A site's keys in a sealed file: what it takes to build the site anew on an empty disk, so that every patient keeps their
//! pseudonym, the registry sees no row twice, and who was withdrawn stays away.

use std::path::{Path, PathBuf};

use headwater::gateway::Places;
use headwater::platform::file::write_secret;
use serde_json::{Value, json};

use crate::consent::{Scene, said};
use crate::house::{copy, sync};
use crate::nights::sum;

fn passphrase(scene: &Scene, text: &str) -> PathBuf {
    let path = scene.house.dir.path().join(format!("passphrase-{}", text.len()));
    write_secret(&path, format!("{text}\n").as_bytes()).expect("a file");
    path
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

fn released(report: &Value) -> (u64, u64) {
    (sum(report, "upserts"), sum(report, "tombstones"))
}

#[test]
fn a_site_that_is_built_anew_from_its_backup_goes_on_as_if_nothing_had_happened() {
    for policy in ["safe-harbor", "limited-data-set"] {
        let scene = Scene::of(4, 97, policy);
        scene.night(&[]);
        assert!(
            scene
                .run_with(&["withdraw", "--reason", "by letter"], &scene.ids[2])
                .status
                .success()
        );
        scene.night(&[]);
        let (before, people) = scene.people();
        assert_eq!(people, 3);
        let (right, wrong) = (
            passphrase(&scene, "correct horse battery"),
            passphrase(&scene, "correct horse batter"),
        );
        let file = scene.house.dir.path().join("north.backup");
        let short = passphrase(&scene, "short");
        let refused = scene.run(&["keys", "backup", "--out", shown(&file), "--passphrase-file", shown(&short)]);
        assert!(refused.status.code() == Some(2) && !file.exists(), "{}", said(&refused));
        let made = scene.run(&[
            "keys",
            "backup",
            "--json",
            "--out",
            shown(&file),
            "--passphrase-file",
            shown(&right),
        ]);
        assert!(made.status.success(), "{}", said(&made));
        let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        assert_eq!((&made["patients"], &made["withdrawals"]), (&json!(4), &json!(1)), "{made}");
        let again = scene.run(&["keys", "backup", "--out", shown(&file), "--passphrase-file", shown(&right)]);
        assert_eq!(again.status.code(), Some(2), "a backup takes no other's place");

        // The disk is lost.
        let state = scene.site.parent().expect("a folder").join("state");
        std::fs::rename(&state, scene.house.dir.path().join("lost")).expect("a folder");
        let restore = |file: &Path, passphrase: &Path| scene.run(&["keys", "restore", shown(file), "--passphrase-file", shown(passphrase)]);
        let bytes = std::fs::read(&file).expect("a backup");
        let damaged = |name: &str, bytes: &[u8]| {
            let path = scene.house.dir.path().join(name);
            std::fs::write(&path, bytes).expect("a file");
            path
        };
        let mut changed = bytes.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        for (file, passphrase, word) in [
            (file.clone(), &wrong, "the passphrase is not"),
            (damaged("cut", &bytes[..bytes.len() - 9]), &right, "ends too soon"),
            (damaged("changed", &changed), &right, "is damaged"),
            (damaged("other", b"a letter"), &right, "no backup of Headwater"),
        ] {
            let refused = restore(&file, passphrase);
            assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
            assert!(said(&refused).contains(word), "{word}: {}", said(&refused));
            assert!(!state.join("keys/pseudonym.key").exists(), "nothing was restored");
        }
        let restored = restore(&file, &right);
        assert!(restored.status.success(), "{}", said(&restored));
        assert!(restore(&file, &right).status.success(), "it may be repeated");

        // Meanwhile something is gone at the EHR, and something is there.
        let of_type = scene.data.path().join("Immunization.ndjson");
        let text = std::fs::read_to_string(&of_type).expect("immunizations");
        let first = text.lines().next().expect("one").to_owned();
        std::fs::write(&of_type, text.replace(&format!("{first}\n"), "")).expect("a file");
        let night = scene.night(&[]);
        assert_eq!(night["kind"], "full");
        assert_eq!(night["counts"]["rejected"], 0);
        let (after, people) = scene.people();
        assert_eq!(people, 3, "who was withdrawn stays away");
        assert!(
            after.iter().all(|row| before.contains(row)),
            "the same rows under the same pseudonyms"
        );
        let gone = before.len() - after.len();
        assert!(gone <= 1);
        assert_eq!(
            released(&night),
            (0, gone as u64),
            "what the registry has is not sent again: {night}"
        );
        std::fs::write(&of_type, &text).expect("a file");
        scene.night(&[]);
        assert!(scene.people().0 == before);
        let list = scene.run(&["withdraw", "status", "1", "--json"]);
        let list: Value = serde_json::from_slice(&list.stdout).expect("JSON");
        assert_eq!((&list["state"], &list["reason"]), (&json!("done"), &json!("by letter")));
        scene.house.close();
    }
}

#[test]
fn a_restored_site_whose_registry_is_away_waits_and_then_goes_on_with_its_chain() {
    let mut scene = Scene::of(2, 113, "safe-harbor");
    scene.night(&[]);
    scene.night(&[]);
    let before = scene.people().0;
    let right = passphrase(&scene, "correct horse battery");
    let file = scene.house.dir.path().join("north.backup");
    assert!(
        scene
            .run(&["keys", "backup", "--out", shown(&file), "--passphrase-file", shown(&right)])
            .status
            .success()
    );
    let state = scene.site.parent().expect("a folder").join("state");
    std::fs::rename(&state, scene.house.dir.path().join("lost")).expect("a folder");
    assert!(
        scene
            .run(&["keys", "restore", shown(&file), "--passphrase-file", shown(&right)])
            .status
            .success()
    );
    let port = scene.house.stop_registry();
    assert_eq!(sync(&scene.site, &[]).status.code(), Some(3));
    scene
        .house
        .open_registry_as(port, &["safe-harbor", "limited-data-set"], |_, text| text.to_owned());
    let night = scene.night(&[]);
    assert_eq!(released(&night), (0, 0), "{night}");
    assert_eq!(night["sequence"], 3);
    assert!(scene.people().0 == before);
    scene.house.close();
}

#[test]
fn a_restore_takes_no_other_keys_place_and_other_keys_never_double_the_registrys_patients() {
    let scene = Scene::of(2, 101, "safe-harbor");
    scene.night(&[]);
    let before = scene.people().0;
    let right = passphrase(&scene, "correct horse battery");
    let file = scene.house.dir.path().join("north.backup");
    let nowhere = scene.house.dir.path().join("nodir/north.backup");
    let refused = scene.run(&["keys", "backup", "--out", shown(&nowhere), "--passphrase-file", shown(&right)]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("make it first") && !nowhere.exists(), "{}", said(&refused));
    let made = scene.run(&["keys", "backup", "--out", shown(&file), "--passphrase-file", shown(&right)]);
    assert!(made.status.success(), "{}", said(&made));
    // A new ledger with another master key: the registry's rows were not made with it.
    let state = scene.site.parent().expect("a folder").join("state");
    let lost = scene.house.dir.path().join("lost");
    std::fs::rename(&state, &lost).expect("a folder");
    copy(&lost.join("keys"), &state.join("keys"));
    std::fs::remove_file(state.join("keys/pseudonym.key")).expect("a key");
    Places::of(&state).make_keys().expect("a new key");
    let other = sync(&scene.site, &[]);
    assert_eq!(other.status.code(), Some(4), "{}", said(&other));
    assert!(said(&other).contains("second pseudonym"), "{}", said(&other));
    assert!(scene.people().0 == before, "nothing was sent");
    // The doctor says it before a run does, and what to do.
    let doctor = scene.run(&["doctor"]);
    let told = said(&doctor);
    assert_eq!(doctor.status.code(), Some(2), "{told}");
    assert!(
        told.contains("✗ registry-rows.other-key") && told.contains("headwater keys restore"),
        "{told}"
    );
    let refused = scene.run(&["keys", "restore", shown(&file), "--passphrase-file", shown(&right)]);
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    assert!(said(&refused).contains("another key `pseudonym.key`"), "{}", said(&refused));
    // Of another site: pseudonyms hang on its name.
    std::fs::rename(&state, scene.house.dir.path().join("other")).expect("a folder");
    scene.replace("network = \"pedibd\"", "network = \"other\"");
    let refused = scene.run(&["keys", "restore", shown(&file), "--passphrase-file", shown(&right)]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    scene.replace("network = \"other\"", "network = \"pedibd\"");
    assert!(
        scene
            .run(&["keys", "restore", shown(&file), "--passphrase-file", shown(&right)])
            .status
            .success()
    );
    let doctor = scene.run(&["doctor", "--json"]);
    let told = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.status.success() && told.contains("registry-rows.ok"), "{told}");
    let night = scene.night(&[]);
    assert_eq!(released(&night), (0, 0), "{night}");
    let listed = scene.run(&["keys", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(listed["keys"][0]["key"], night["key_fingerprint"], "{listed}");
    scene.house.close();
}

#[test]
fn a_new_ledger_over_an_ehr_that_lost_much_stops_for_a_person_before_it_withdraws_the_rest() {
    let scene = Scene::of(3, 149, "limited-data-set");
    scene.night(&[]);
    let before = scene.people().0;
    let right = passphrase(&scene, "correct horse battery");
    let file = scene.house.dir.path().join("north.backup");
    let backup = ["keys", "backup", "--out", shown(&file), "--passphrase-file", shown(&right)];
    assert!(scene.run(&backup).status.success());
    let state = scene.site.parent().expect("a folder").join("state");
    std::fs::rename(&state, scene.house.dir.path().join("lost")).expect("a folder");
    assert!(
        scene
            .run(&["keys", "restore", shown(&file), "--passphrase-file", shown(&right)])
            .status
            .success()
    );
    std::fs::write(scene.data.path().join("Observation.ndjson"), "").expect("a file");
    let stopped = sync(&scene.site, &[]);
    assert_eq!(stopped.status.code(), Some(4), "{}", said(&stopped));
    assert!(said(&stopped).contains("rows at the registry"), "{}", said(&stopped));
    assert!(scene.people().0 == before, "nothing was sent");
    let night = scene.night(&["--accept-deletions"]);
    let left = scene.people().0;
    assert!(!left.is_empty() && left.len() < before.len() && left.iter().all(|row| before.contains(row)));
    assert_eq!(released(&night), (0, (before.len() - left.len()) as u64), "{night}");
    scene.house.close();
}
