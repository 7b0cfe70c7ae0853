//! What a person at the site may look at: what would leave, and where a released row came from.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::{Scene, said};
use crate::house::HEADWATER;

#[test]
fn what_leaves_is_shown_cell_by_cell_and_a_released_row_leads_back_to_its_resource_and_receipt() {
    let scene = Scene::of(2, 103, "safe-harbor");
    let line = |output: Output| -> Vec<Value> {
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    // Before anything is landed: a rehearsal, which keeps and sends nothing.
    let early = line(scene.run(&["preview", "--json", "--patients", "1"]));
    assert!(scene.house.rows().is_empty());
    let night = scene.night(&[]);
    let later = line(scene.run(&["preview", "--json", "--patients", "1"]));
    assert_eq!(early.len(), later.len());
    let all = line(scene.run(&["preview", "--json", "--patients", "9"]));
    let held = scene.house.rows();
    let rows: Vec<&Value> = all.iter().flat_map(|seen| seen["rows"].as_array().expect("rows")).collect();
    let columns: Vec<&Value> = rows.iter().flat_map(|row| row["columns"].as_array().expect("columns")).collect();
    assert!(all.iter().all(|seen| seen.get("id").is_none()) && columns.iter().all(|cell| cell.get("identified").is_none()));
    for cell in columns
        .iter()
        .filter(|cell| cell["rule"] == "birth-date" && cell["released"] != "null")
    {
        let effect = cell["effect"].as_str().expect("text");
        assert!(effect == "kept" || effect.starts_with("year only"), "{effect}");
    }
    for effect in ["kept", "year only", "another name, the same wherever it stands"] {
        assert!(columns.iter().any(|cell| cell["effect"] == effect), "{effect}");
    }
    assert!(columns.iter().all(|cell| cell["rule"] != "" && cell["reason"] != ""));
    // What was shown is what was sent, cell by cell.
    for row in &rows {
        let sent = held
            .iter()
            .find(|held| held.0 == row["table"] && held.2 == row["key"])
            .expect("it was sent");
        let sent: Value = serde_json::from_str(&sent.3).expect("JSON");
        for cell in row["columns"].as_array().expect("columns") {
            let shown: Value = serde_json::from_str(cell["released"].as_str().expect("JSON in JSON")).expect("JSON");
            assert_eq!(
                sent.get(cell["column"].as_str().expect("a name")).cloned().unwrap_or_default(),
                shown
            );
        }
    }
    assert!(said(&scene.run(&["preview"])).contains("nothing was sent"));
    assert_eq!(scene.run(&["preview", "--show-identified"]).status.code(), Some(2));

    let lab = held.iter().find(|row| row.0 == "lab_result").expect("a row");
    let [explained] = &line(scene.run(&["explain", "--json", &lab.2]))[..] else {
        panic!("one row")
    };
    assert_eq!(
        (&explained["table"], &explained["sent"]["submission"]),
        (&json!("lab_result"), &night["submission"])
    );
    assert_eq!(explained["sent"]["leaf"], night["leaf"]);
    let made_of = explained["madeOf"].as_array().expect("resources");
    assert!(made_of.len() == 1 && made_of[0]["resourceType"] == "Observation" && made_of[0].get("id").is_none());
    assert_eq!(made_of[0]["rows"][0]["key"], json!(lab.2));
    let mapping = explained["mapping"].as_array().expect("lines");
    assert!(
        mapping
            .iter()
            .any(|line| line["column"] == "specimen_date" && line["file"].as_str().is_some_and(|file| file.starts_with("Observation.")))
    );
    let text = said(&scene.run(&["explain", &lab.2]));
    assert!(text.contains("Observation (landed in run ") && text.contains("leaf"), "{text}");
    let of_submission = line(scene.run(&["explain", "--json", night["submission"].as_str().expect("an id")]));
    assert!(
        of_submission[0]["receipt"]
            .as_str()
            .is_some_and(|receipt| receipt.starts_with("c2sp.org/tlog-proof"))
    );
    assert_eq!(scene.run(&["explain", "0123"]).status.code(), Some(2));

    // At a terminal of the site the resource is named, and what it says only when a person asks for it.
    let at_a_terminal = |args: &str| {
        let command = format!("{HEADWATER} {args} --site {}", scene.site.display());
        Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .stdin(Stdio::null())
            .output()
    };
    match at_a_terminal(&format!("explain {}", lab.2)) {
        Err(_) => println!("skipped: no `script` to make a terminal with"),
        Ok(output) => {
            let observations = std::fs::read_to_string(scene.data.path().join("Observation.ndjson")).expect("observations");
            let is_id = |text: &str| {
                let id = text
                    .split("Observation/")
                    .nth(1)
                    .and_then(|rest| rest.split(' ').next())
                    .expect("an id");
                observations.contains(&format!("\"id\":\"{id}\""))
            };
            assert!(is_id(&said(&output)), "{}", said(&output));
            let patients = std::fs::read_to_string(scene.data.path().join("Patient.ndjson")).expect("patients");
            let first: Value = serde_json::from_str(patients.lines().next().expect("a patient")).expect("JSON");
            let born = first["birthDate"].as_str().expect("a date");
            let plain = said(&at_a_terminal("preview --patients 9").expect("it ran"));
            assert!(!plain.contains(born) && !plain.contains("Patient/"));
            let identified = said(&at_a_terminal("preview --patients 9 --show-identified").expect("it ran"));
            assert!(identified.contains("Patient/") && identified.contains(&born[..4]));
        }
    }
    scene.house.close();
}
