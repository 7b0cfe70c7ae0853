//! Nights on which something of the site changes: its rules, its files, what the registry takes; and nights with bad lines.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::house::{HEADWATER, House, Rows, copy, patients, report, sync};
use crate::nights::{sum, total};

fn replace(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).expect("a file of ours");
    assert!(text.contains(from), "`{from}` stands in {}", file.display());
    std::fs::write(file, text.replace(from, to)).expect("a file");
}

fn released(report: &Value) -> (u64, u64) {
    (sum(report, "upserts"), sum(report, "tombstones"))
}

/// Files of these patients, and a house with a site over them.
fn files(number: u64, seed: u64, policy: &str) -> (TempDir, House, PathBuf) {
    let data = patients(number, seed);
    let house = House::over(data.path());
    let site = house.site_of_files(policy, data.path());
    (data, house, site)
}

fn file_of(data: &Path, resource_type: &str) -> PathBuf {
    std::fs::read_dir(data)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(&format!("{resource_type}.")))
        })
        .expect("a file of this type")
}

fn rows_of(house: &House, table: &str) -> usize {
    house.rows().iter().filter(|row| row.0 == table).count()
}

/// The registry's rows about persons. Those of `site` are about nobody: they say the same under every policy, by the same keys.
fn of_persons(mut rows: Rows) -> Rows {
    rows.retain(|row| row.0 != "site");
    rows
}

#[test]
fn another_policy_maps_everything_again_and_withdraws_every_row_of_the_old_one() {
    let data = patients(3, 41);
    let house = House::over(data.path());
    let site = house.site("limited-data-set", None);
    let first = report(&sync(&site, &[]));
    let before = house.rows();
    replace(&site, "limited-data-set", "safe-harbor");
    let second = report(&sync(&site, &[]));
    let after = house.rows();
    assert_eq!(total(&second, "pulled"), 0, "nothing is pulled again for it");
    assert_eq!(total(&second, "remapped"), total(&first, "pulled"));
    let (before, after) = (of_persons(before), of_persons(after));
    assert_eq!(sum(&second, "tombstones"), before.len() as u64);
    assert_eq!(sum(&second, "upserts"), after.len() as u64);
    let keys: BTreeSet<_> = before.iter().map(|row| &row.2).collect();
    assert!(
        !after.is_empty() && after.iter().all(|row| !keys.contains(&row.2)),
        "no old pseudonym is left"
    );
    assert_eq!(released(&report(&sync(&site, &["--full"]))), (0, 0));
    house.close();
}

#[test]
fn another_mapping_sends_what_it_changes_and_withdraws_what_it_excludes() {
    let data = patients(3, 43);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    report(&sync(&site, &[]));
    let (before, immunizations) = (house.rows(), rows_of(&house, "immunization"));
    assert!(immunizations > 0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = house.dir.path().join("package");
    copy(&root.join("profiles"), &package.join("profiles"));
    copy(&root.join("mappings"), &package.join("mappings"));
    replace(
        &package.join("mappings/ibd-registry/Immunization.immunization.json"),
        "status = 'completed'",
        "status = 'not-done'",
    );
    replace(&site, "[site]\n", "[site]\npackage = \"../package\"\n");
    let second = report(&sync(&site, &[]));
    assert_eq!(released(&second), (0, immunizations as u64), "{second}");
    let kept: Vec<_> = before.into_iter().filter(|row| row.0 != "immunization").collect();
    assert!(house.rows() == kept);
    house.close();
}

#[test]
fn what_a_full_export_does_not_show_does_not_come_back_when_the_rules_change_the_same_night() {
    let (data, house, site) = files(3, 47, "limited-data-set");
    report(&sync(&site, &[]));
    assert!(rows_of(&house, "immunization") > 0);
    std::fs::remove_file(file_of(data.path(), "Immunization")).expect("it was there");
    replace(&site, "limited-data-set", "safe-harbor");
    let second = report(&sync(&site, &["--full", "--accept-deletions"]));
    assert_eq!(rows_of(&house, "immunization"), 0, "{second}");
    assert_eq!(sum(&second, "upserts"), of_persons(house.rows()).len() as u64);
    house.close();
}

#[test]
fn the_brake_stops_a_night_that_loses_a_type_and_lets_go_when_a_person_says_so_or_the_export_is_whole_again() {
    let (data, house, site) = files(6, 53, "safe-harbor");
    report(&sync(&site, &[]));
    let before = house.rows();
    let observations = file_of(data.path(), "Observation");
    let aside = house.dir.path().join("aside");
    std::fs::rename(&observations, &aside).expect("a move");
    for _ in 0..2 {
        let braked = sync(&site, &["--full"]);
        let words = String::from_utf8_lossy(&braked.stderr).into_owned();
        assert_eq!(braked.status.code(), Some(4), "{words}");
        assert!(
            words.contains("Observation resources") && words.contains("--accept-deletions"),
            "{words}"
        );
        assert!(house.rows() == before);
    }
    // The export is whole again: the braked run does not stand in the way.
    std::fs::rename(&aside, &observations).expect("a move");
    assert_eq!(released(&report(&sync(&site, &["--full"]))), (0, 0));
    assert!(house.rows() == before);

    std::fs::rename(&observations, &aside).expect("a move");
    assert_eq!(sync(&site, &["--full"]).status.code(), Some(4));
    let accepted = report(&sync(&site, &["--accept-deletions"]));
    assert!(sum(&accepted, "tombstones") > 0);
    assert_eq!(rows_of(&house, "lab_result"), 0);
    assert_eq!(house.rows().len() as u64 + sum(&accepted, "tombstones"), before.len() as u64);
    house.close();
}

#[test]
fn what_a_rehearsal_pulled_is_pulled_again_by_the_run_after_it() {
    let (data, house, site) = files(2, 59, "safe-harbor");
    report(&sync(&site, &[]));
    let immunizations = file_of(data.path(), "Immunization");
    replace(&immunizations, "\"status\":\"completed\"", "\"status\":\"not-done\"");
    let rehearsed = report(&sync(&site, &["--rehearse"]));
    assert!(sum(&rehearsed, "tombstones") > 0, "{rehearsed}");
    assert!(rows_of(&house, "immunization") > 0);
    let real = report(&sync(&site, &[]));
    assert_eq!(released(&real), released(&rehearsed));
    assert_eq!(rows_of(&house, "immunization"), 0);
    house.close();
}

/// The patient table takes only `F` for the sex at birth.
fn strict(name: &str, text: &str) -> String {
    if name != "patient.schema.json" {
        return text.to_owned();
    }
    let mut schema: Value = serde_json::from_str(text).expect("a schema of ours");
    schema["properties"]["sex_at_birth"]["enum"] = serde_json::json!(["F"]);
    schema.to_string()
}

#[test]
fn rows_the_registry_rejects_are_counted_told_and_tried_again_until_they_are_taken() {
    let (_data, mut house, site) = files(8, 61, "safe-harbor");
    let port = house.stop_registry();
    house.open_registry_as(port, &["safe-harbor"], strict);
    let first = report(&sync(&site, &[]));
    let rejected = first["counts"]["rejected"].as_u64().expect("a number");
    assert!((1..8).contains(&rejected), "some patients and not all: {first}");
    assert_eq!(
        sum(&first, "upserts"),
        first["counts"]["accepted"].as_u64().expect("a number") + rejected
    );
    assert_eq!(first["rejected"], serde_json::json!({ "patient: enum": rejected }));
    assert_eq!(first["outstanding"], first["rejected"]);
    assert_eq!(rows_of(&house, "patient") as u64, 8 - rejected);

    // A quiet night tells of them, and sends nothing.
    let quiet = report(&sync(&site, &[]));
    assert_eq!((released(&quiet), &quiet["outstanding"]), ((0, 0), &first["outstanding"]));
    // Seen again, they are tried again, they alone; first in vain.
    let again = report(&sync(&site, &["--full"]));
    assert_eq!((released(&again), &again["outstanding"]), ((rejected, 0), &first["outstanding"]));
    house.stop_registry();
    house.open_registry_as(port, &["safe-harbor"], |_, text| text.to_owned());
    let taken = report(&sync(&site, &["--full"]));
    assert_eq!((released(&taken), &taken["outstanding"]), ((rejected, 0), &serde_json::json!({})));
    assert_eq!(rows_of(&house, "patient"), 8);
    assert_eq!(released(&report(&sync(&site, &["--full"]))), (0, 0));
    house.close();
}

/// Bad lines, each with the rule that refuses it. `SECRETVALUE` stands where a patient's value would.
fn bad_lines() -> Vec<(Vec<u8>, &'static str)> {
    let of = |text: &str| text.as_bytes().to_vec();
    let whole = r#"{"resourceType":"Observation","id":"bad","status":"final","code":{"text":"SECRETVALUE"}"#;
    let deep = format!("{whole},\"extension\":{}{}}}", "[".repeat(100), "]".repeat(100));
    let long = format!("{whole},\"note\":[{{\"text\":\"{}\"}}]}}", "SECRETVALUE ".repeat(100_000));
    vec![
        (of(whole), "read"),
        (of("SECRETVALUE"), "read"),
        (of("{}"), "read"),
        (of("[]"), "read"),
        ([b"\xEF\xBB\xBF", whole.as_bytes(), b"}"].concat(), "read"),
        ([whole.as_bytes(), b",\"note\":[{\"text\":\"\xFF\xFE\"}]}"].concat(), "read"),
        ([whole.as_bytes(), b",\"note\":[{\"text\":\"\x00\"}]}"].concat(), "read"),
        (of(&format!("{whole},\"id\":\"SECRETVALUE\"}}")), "read"),
        (of(&deep), "read"),
        (of(&long), "read"),
        (
            of(r#"{"resourceType":"Observation","status":"final","code":{"text":"SECRETVALUE"}}"#),
            "read",
        ),
        (of(r#"{"resourceType":"Observation","id":["SECRETVALUE"]}"#), "read"),
        (of(r#"{"resourceType":"SECRETVALUE","id":"b1"}"#), "validate"),
        (
            of(r#"{"resourceType":"Observation","id":"b2","status":"final","code":{"text":"x"},"SECRETVALUE":1}"#),
            "validate",
        ),
        (
            of(r#"{"resourceType":"Observation","id":"b3","status":"final","code":{"text":"x"},"effectiveDateTime":"2024-02-30"}"#),
            "validate",
        ),
    ]
}

#[test]
fn bad_lines_are_refused_one_by_one_with_their_place_and_the_run_goes_on() {
    let data = patients(2, 67);
    let clean = House::over(data.path());
    let undisturbed = report(&sync(&clean.site_of_files("safe-harbor", data.path()), &[]));

    let (bad, observations) = (bad_lines(), file_of(data.path(), "Observation"));
    let mut bytes = std::fs::read(&observations).expect("a file of ours");
    let good = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    // Blank lines are none; the last good line ends as on another system.
    bytes.pop();
    bytes.extend_from_slice(b"\r\n\n \t \n");
    for (line, _) in &bad {
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
    }
    std::fs::write(&observations, &bytes).expect("a file");
    let house = House::over(data.path());
    let site = house.site_of_files("safe-harbor", data.path());
    let text = std::fs::read_to_string(&site).expect("site.toml");
    std::fs::write(&site, format!("{text}\n[limits]\nline_mib = 1\n")).expect("a file");
    let output = sync(&site, &[]);
    let night = report(&output);
    assert_eq!(total(&night, "refused"), bad.len() as u64, "{night}");
    assert_eq!(total(&night, "pulled"), total(&undisturbed, "pulled") + bad.len() as u64);
    assert_eq!(total(&night, "mapped"), total(&undisturbed, "mapped"));
    assert_eq!(night["counts"]["upserts"], undisturbed["counts"]["upserts"]);
    let told: u64 = night["counts"]["refused"]
        .as_object()
        .expect("reasons")
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(told, bad.len() as u64);

    let listed = Command::new(HEADWATER)
        .args(["quarantine", "list", "--json", "--site"])
        .arg(&site)
        .output()
        .expect("the binary runs");
    let listed_text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let lines: Vec<Value> = listed_text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line["line"].as_u64().expect("a number"), line["step"].as_str().expect("a step")))
        .collect();
    let expected: Vec<_> = (good as u64 + 3..).zip(bad.iter().map(|(_, step)| *step)).collect();
    assert_eq!(found, expected, "{listed_text}");
    assert!(
        lines
            .iter()
            .all(|line| line["path"] != "" && line["rule"] != "" && line["resource_type"] == "Observation")
    );
    for text in [&output.stdout, &output.stderr, &listed.stdout, &listed.stderr] {
        assert!(!String::from_utf8_lossy(text).contains("SECRETVALUE"));
    }

    // A full pull in which a line cannot be read takes nothing of that type for gone; one without bad lines does.
    let kept: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').skip(1).collect();
    std::fs::write(&observations, kept.concat()).expect("a file");
    let unsure = report(&sync(&site, &["--full"]));
    assert_eq!(released(&unsure), (0, 0));
    assert!(unsure["problems"].to_string().contains("Observation"), "{unsure}");
    std::fs::write(&observations, kept[..good - 1].concat()).expect("a file");
    let sure = report(&sync(&site, &["--full"]));
    let refused_with_id = bad.iter().filter(|(_, step)| *step == "validate").count();
    assert_eq!(
        total(&sure, "deleted"),
        1 + refused_with_id as u64,
        "the good one, and the bad ones that had an id"
    );
    clean.close();
    house.close();
}

#[test]
fn bundles_beside_ndjson_are_a_source_too_and_a_deletion_with_an_odd_address_is_refused() {
    let (data, house, site) = files(2, 71, "safe-harbor");
    let first = report(&sync(&site, &[]));
    let immunizations = std::fs::read_to_string(file_of(data.path(), "Immunization")).expect("a file of ours");
    let ids: Vec<String> = immunizations
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("a resource")["id"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    let before = rows_of(&house, "immunization");
    assert!(before >= 2);
    let added = immunizations.lines().next().expect("one").replace(&ids[0], "added-by-bundle");
    let bundle = format!(
        r#"{{"resourceType":"Bundle","type":"transaction","entry":[
            {{"resource":{added}}},
            {{"request":{{"method":"DELETE","url":"http://ehr.example.org/fhir/Immunization/{}/_history/2"}}}},
            {{"request":{{"method":"DELETE","url":"Immunization/never-seen"}}}},
            {{"request":{{"method":"DELETE","url":"Patient?name=SECRETVALUE/SECRETVALUE/1"}}}}]}}"#,
        ids[1]
    );
    std::fs::write(data.path().join("changes.json"), bundle).expect("a file");
    let output = sync(&site, &[]);
    let second = report(&output);
    assert_eq!(released(&second), (1, 1), "{second}");
    assert_eq!(
        (total(&second, "pulled"), total(&second, "mapped"), total(&second, "refused")),
        (2, 1, 1)
    );
    assert_eq!(second["counts"]["types"]["Immunization"]["deleted"], 2);
    assert_eq!(rows_of(&house, "immunization"), before);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("SECRETVALUE"));
    assert_eq!(first["counts"]["rejected"], 0);
    house.close();
}
