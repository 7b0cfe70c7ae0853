//! The evidence of real nights: written before anything leaves, told apart from a changed one, and a page on which a privacy officer
//! finds an answer to each of her questions.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::house::{HEADWATER, House, patients, report, sync};

/// What she asks, by the place on the page where the answer stands.
const QUESTIONS: [&str; 13] = [
    "checks",
    "what-left",
    "law",
    "recognised",
    "stopped",
    "guard",
    "read-again",
    "key",
    "new",
    "stays",
    "refused",
    "verify",
    "next",
];

fn evidence(site: &Path, more: &[&str]) -> Output {
    let site = site.to_str().expect("a path of ours");
    let output = Command::new(HEADWATER).arg("evidence").args(more).args(["--site", site]).output();
    output.expect("the binary runs")
}

fn json(site: &Path, more: &[&str]) -> Value {
    let output = evidence(site, &[more, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn folder(site: &Path, run: i64) -> PathBuf {
    site.parent().expect("a folder").join("state/evidence").join(run.to_string())
}

fn total(record: &Value, list: &str, number: &str) -> u64 {
    record[list]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one[number].as_u64())
        .sum()
}

#[test]
fn every_night_leaves_its_evidence_and_the_page_answers_each_question() {
    for policy in ["safe-harbor", "limited-data-set"] {
        let data = patients(3, 31);
        let house = House::over(data.path());
        let site = house.site(policy, None);
        // A rehearsal proves as much, and remembers nothing.
        let rehearsed = report(&sync(&site, &["--rehearse"]));
        let first = json(&site, &[]);
        assert_eq!((&first["run"], &first["rehearsed"]), (&rehearsed["run"], &Value::Bool(true)));
        let new = |record: &Value| record["new_elements"].as_array().map_or(0, Vec::len);
        assert!(new(&first) > 50, "{} elements", new(&first));

        let night = report(&sync(&site, &[]));
        let run = night["run"].as_i64().expect("a number");
        let record = json(&site, &[]);
        let page = std::fs::read_to_string(folder(&site, run).join("evidence.html")).expect("the page");
        assert_eq!(record["run"], night["run"]);
        assert_eq!(new(&record), new(&first), "all is new until it was delivered once");
        assert_eq!(
            record["sha256"], night["evidence"],
            "the ledger notes the digest of what was written"
        );
        assert_eq!(
            (&record["sent"]["phase"], &record["sent"]["submission"]),
            (&"done".into(), &night["submission"])
        );
        assert_eq!(record["key_fingerprint"], night["key_fingerprint"]);
        assert_eq!(record["policy"]["name"], policy);
        let released: u64 = ["upserts", "tombstones"]
            .iter()
            .flat_map(|rows| night["counts"][rows].as_object().expect("an object").values())
            .filter_map(Value::as_u64)
            .sum();
        assert!(released > 100 && record["rows_read"] == released, "{released} rows");
        assert!(total(&record, "columns", "cells") > released, "rules are counted, column by column");
        assert!(record["control"]["kinds"].as_array().map_or(0, Vec::len) >= 8);
        assert!(
            record["checks"]
                .as_array()
                .expect("a list")
                .iter()
                .all(|check| check["passed"] == true)
        );
        for id in QUESTIONS {
            assert!(page.contains(&format!("href=\"#{id}\"")), "{id} stands in the list of answers");
            let section = page.split(&format!("<section id=\"{id}\">")).nth(1).expect("an answer");
            let answer = section
                .split("<p>")
                .nth(1)
                .and_then(|rest| rest.split("</p>").next())
                .unwrap_or_default();
            assert!(answer.trim().len() > 7, "{id}: {answer}");
        }
        for said in [
            policy,
            "45 CFR 164.514",
            record["key_fingerprint"].as_str().expect("text"),
            "which has acknowledged them",
        ] {
            assert!(page.contains(said), "{said}");
        }
        assert!(
            !page.contains("<script") && !page.contains("http-equiv"),
            "nothing runs and nothing is fetched"
        );

        // A second night with nothing new: nothing is new in its evidence, and the first one's stays.
        let second = report(&sync(&site, &["--full"]));
        let record = json(&site, &[]);
        assert_eq!((new(&record), &record["run"]), (0, &second["run"]));
        let list = String::from_utf8(evidence(&site, &["--list"]).stdout).expect("UTF-8");
        assert_eq!(list.matches("every check held").count(), 3, "{list}");

        // Whoever changes a record afterwards is found out.
        let path = folder(&site, run).join("evidence.json");
        let text = std::fs::read_to_string(&path).expect("the record");
        std::fs::write(&path, text.replacen("\"rows_read\": ", "\"rows_read\":  ", 1)).expect("changed");
        let told = String::from_utf8(evidence(&site, &[&run.to_string()]).stdout).expect("UTF-8");
        assert!(told.contains("the record was changed after the run"), "{told}");
        house.close();
    }
}

#[test]
fn a_site_without_evidence_and_a_run_without_it_are_told_what_to_do() {
    let data = patients(1, 5);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let said = |output: Output| {
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert!(said(evidence(&site, &[])).contains("headwater sync --rehearse"));
    report(&sync(&site, &["--rehearse"]));
    assert!(said(evidence(&site, &["99"])).contains("--list"));
    house.close();
}

#[test]
fn what_cannot_be_proven_does_not_leave() {
    let data = patients(1, 6);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let state = site.parent().expect("a folder").join("state");
    // A file where the folder of the evidence should be: as a disk that takes no more.
    std::fs::write(state.join("evidence"), b"").expect("a file");
    let refused = sync(&site, &[]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nothing was sent"));
    assert!(house.rows().is_empty());
    std::fs::remove_file(state.join("evidence")).expect("removed");
    report(&sync(&site, &[]));
    assert!(!house.rows().is_empty(), "and the next run goes on");
    house.close();
}

fn risk(site: &Path, run: i64) -> headwater::gateway::evidence::Evidence {
    let all = site.parent().expect("a folder").join("state/evidence");
    headwater::gateway::evidence::read(&all, run).expect("evidence")
}

#[test]
fn a_group_that_is_too_small_stops_the_submission_where_the_site_says_so_and_is_told_where_not() {
    let data = patients(3, 5);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let text = std::fs::read_to_string(&site).expect("a site's file");
    std::fs::write(&site, format!("{text}\n[risk]\nk = 5\nsmaller = \"block\"\n")).expect("a file");
    let stopped = sync(&site, &[]);
    let said = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert_eq!(stopped.status.code(), Some(4), "{said}");
    assert!(said.contains("every patient is one of 5 or more who are alike"), "{said}");
    assert_eq!(house.rows().len(), 0, "nothing left");

    // A person decided: the same night goes on, and the evidence says who is in it and that somebody answers for it.
    let night = report(&sync(&site, &["--accept-risk"]));
    assert_eq!(night["run"], 1, "the night that was held back");
    let first = risk(&site, 1);
    let check = first.checks.iter().find(|check| check.name.contains("5 or more who are alike"));
    assert!(
        check.is_some_and(|check| !check.passed && check.accepted && check.found.contains("--accept-risk")),
        "{check:?}"
    );
    let page = std::fs::read_to_string(folder(&site, 1).join("evidence.html")).expect("the page");
    let is_claimed = ["Every check held", "Yes, all"].iter().any(|words| page.contains(words));
    assert!(
        !is_claimed && page.contains("No: 1 of 6 did not hold, and a person let the rows leave"),
        "it did not hold"
    );
    let said = String::from_utf8_lossy(&evidence(&site, &["1"]).stdout).into_owned();
    assert!(said.contains("ACCEPTED every patient is one of 5"), "{said}");
    let first = first.risk.expect("figures");
    assert!(first.accepted && first.released_below_k == 3);
    std::fs::write(&site, format!("{text}\n[risk]\nk = 5\n")).expect("a file");
    assert_eq!((first.release.patients, first.cumulative.patients, first.not_known), (3, 3, 0));
    assert!(!first.cumulative.holds() && first.cumulative.below_k == 3);
    let _ = report(&sync(&site, &["--full"]));
    let second = risk(&site, 2).risk.expect("figures");
    assert_eq!(
        (second.release.patients, second.cumulative),
        (0, first.cumulative),
        "the registry still holds all"
    );

    // With the block in force, what withdraws a patient leaves all the same: nobody is put into a group by going.
    std::fs::write(&site, format!("{text}\n[risk]\nk = 5\nsmaller = \"block\"\n")).expect("a file");
    let ids = house.dir.path().join("who.txt");
    let patient = std::fs::read_to_string(data.path().join("Patient.ndjson")).expect("the patients");
    let patient: Value = serde_json::from_str(patient.lines().next().expect("a patient")).expect("JSON");
    std::fs::write(&ids, patient["id"].as_str().expect("an id")).expect("a file");
    let withdrawn = Command::new(HEADWATER)
        .args(["withdraw", "--now", "--reason", "by letter", "--file"])
        .arg(&ids)
        .arg("--site")
        .arg(&site)
        .output()
        .expect("the binary runs");
    assert!(withdrawn.status.success(), "{}", String::from_utf8_lossy(&withdrawn.stderr));
    let patients = house.rows().iter().filter(|(table, ..)| table == "patient").count();
    assert_eq!(patients, 2, "the withdrawal left");

    std::fs::write(&site, format!("{text}\n[risk]\nquasi_identifiers = [\"lab_result.code\"]\n")).expect("a file");
    let wrong = sync(&site, &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("risk.quasi_identifiers"));
    let tightened = "[deidentify.tighten]\n\"patient.zip3\" = \"drop\"\n[risk]\nquasi_identifiers = [\"patient.zip3\"]";
    std::fs::write(&site, format!("{text}\n{tightened}\n")).expect("a file");
    let wrong = sync(&site, &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("`patient.zip3` does not leave under this policy"));
    house.close();
}
