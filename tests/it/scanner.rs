//! The independent scanner (`tests/tools/scan_all.py`) over a few thousand rows of every model and policy: it finds nothing in what was released,
//! and what was planted where policy and guard are off. Runs where a Python has what the scanner needs (`pip install
//! presidio-analyzer pyahocorasick`): `HEADWATER_SCANNER` names that Python (default `python3`), and `HEADWATER_REQUIRE_SCANNER=1` makes it a
//! fault where they are missing.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::house::HEADWATER;

/// The Python that can scan.
fn python() -> Option<String> {
    let python = std::env::var("HEADWATER_SCANNER").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import ahocorasick, presidio_analyzer"]).output();
    if found.is_ok_and(|found| found.status.success()) {
        return Some(python);
    }
    assert!(
        std::env::var("HEADWATER_REQUIRE_SCANNER").is_err(),
        "HEADWATER_SCANNER names no Python with ahocorasick and presidio_analyzer"
    );
    println!("skipped: no Python with ahocorasick and presidio_analyzer (set HEADWATER_SCANNER)");
    None
}

fn tool(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools").join(name)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn the_scanner_finds_nothing_in_released_rows_and_what_was_planted_where_policy_and_guard_are_off() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    command.arg(tool("scan_all.py")).arg("--headwater").arg(HEADWATER);
    command
        .arg("--work")
        .arg(dir.path().join("work"))
        .args(["--patients", "40", "--planted", "15"]);
    if let Some(shared) = crate::shared() {
        command.arg("--vocabulary").arg(shared.join("data/omop/golden/vocabulary"));
    }
    let done = command.output().unwrap();
    let report = json(&done);
    let found: Vec<&Value> = report["scans"].as_array().unwrap().iter().map(|scan| &scan["found"]).collect();
    assert_eq!(report["found"], 0, "{found:?}");
    assert_eq!(report["canariesInReleasedRows"], 0);
    assert!(report["rows"].as_u64().unwrap() > 10_000, "{}", report["rows"]);
    let control = &report["control"];
    assert!(
        control["carried"].as_u64().unwrap() > 100 && control["share"].as_f64().unwrap() >= 0.99,
        "{control}"
    );
    for scan in report["scans"].as_array().unwrap() {
        assert!(
            scan["rowsWithTheirPatient"].as_u64().unwrap() * 10 > scan["rows"].as_u64().unwrap() * 9,
            "most rows are held against their own patient"
        );
    }
    assert_eq!(done.status.code(), Some(0));
}

/// A row for each kind of leak, and the scanner must tell each: else its silence above says nothing.
#[test]
fn the_scanner_tells_every_kind_of_leak_in_a_row_that_was_otherwise_released() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (source, rows, identified) = (dir.path().join("source"), dir.path().join("rows"), dir.path().join("identified"));
    for folder in [&source, &rows, &identified] {
        std::fs::create_dir(folder).unwrap();
    }
    let patient = r#"{"resourceType":"Patient","id":"a81bc81b-dead-4e5d-abff-90865d1e13b1","name":[{"family":"Okonkwo-Šimůnek","given":["Dev"]}],"birthDate":"2011-04-05","identifier":[{"system":"x","value":"00-7741-93"}],"telecom":[{"system":"phone","value":"(513) 555-2368"},{"system":"email","value":"dev.ok@mail.example.org"}],"address":[{"line":["12 Quarry Lane"],"city":"Cody","postalCode":"82414"}]}"#;
    std::fs::write(source.join("Patient.ndjson"), format!("{patient}\n")).unwrap();
    let leaks = [
        ("simunek", "a name without its accents"),
        ("xOKONKWO SIMUNEKx", "a name glued to letters"),
        ("seen by Dev", "a short given name of the row's own patient"),
        ("0007741-93", "a number with its signs elsewhere"),
        ("id00774193.", "a number within a word"),
        ("513.555.2368", "a phone"),
        ("DEV.OK@MAIL.EXAMPLE.ORG", "a mail"),
        ("12 quarry lane", "an address"),
        ("Cody", "a town"),
        ("82414", "a postal code"),
        ("a81bc81b-dead-4e5d-abff-90865d1e13b1", "an id"),
        ("a81bc81bdead4e5dabff90865d1e13b1", "an id in the form of a surrogate"),
        ("April 5, 2011", "the birth date"),
        ("05APR2011", "the birth date in one word"),
        ("2011-04-05", "a full date"),
        ("7/9/2015", "another full date"),
        ("someone@elsewhere.org", "a stranger's mail"),
        ("212-555-2368", "a stranger's phone"),
        ("219-42-1766", "a stranger's social security number"),
        ("38520000023237", "a stranger's payment card"),
        ("198.51.100.7", "a machine"),
        ("www.elsewhere.org/p/7", "a page"),
    ];
    let row = |text: &str| {
        let keys = r#""visit_key":"0f8e7d6c5b4a39281706f5e4d3c2b1a0","patient_key":"00112233445566778899aabbccddeeff""#;
        format!("{{{keys},\"note\":{text:?}}}\n")
    };
    let before = "{\"visit_key\":\"x\",\"patient_key\":\"Patient/a81bc81b-dead-4e5d-abff-90865d1e13b1\",\"note\":\"x\"}\n";
    // A table for each leak, so that the report says which was told.
    for (number, (text, _)) in leaks.iter().enumerate() {
        std::fs::write(rows.join(format!("leak{number}.ndjson")), row(text)).unwrap();
        std::fs::write(identified.join(format!("leak{number}.ndjson")), before).unwrap();
    }
    let clean = [
        "K50.10",
        "2011",
        "2011-01-01",
        "mg/dL",
        "moderate",
        "5",
        "8480-6",
        "Device",
        "codylike",
    ];
    std::fs::write(rows.join("clean.ndjson"), clean.map(row).concat()).unwrap();
    std::fs::write(identified.join("clean.ndjson"), before.repeat(clean.len())).unwrap();
    // The number of a random key may have the form of a card's; a number beside it may not.
    let published = dir.path().join("published");
    std::fs::create_dir(&published).unwrap();
    let schema = r#"{"x-key":"visit_id","properties":{"visit_id":{"type":"integer"},"count":{"type":"integer"}}}"#;
    for (table, key, count) in [("clean_key", 38_520_000_023_237_u64, 1), ("leak_beside", 1, 38_520_000_023_237_u64)] {
        std::fs::write(published.join(format!("{table}.schema.json")), schema).unwrap();
        std::fs::write(
            rows.join(format!("{table}.ndjson")),
            format!("{{\"visit_id\":{key},\"count\":{count}}}\n"),
        )
        .unwrap();
    }
    let mut command = Command::new(&python);
    command
        .arg(tool("scan.py"))
        .arg("--published")
        .arg(&published)
        .arg("--source")
        .arg(&source)
        .arg("--rows")
        .arg(&rows)
        .arg("--identified")
        .arg(&identified);
    let done = command.args(["--policy", "safe-harbor"]).output().unwrap();
    assert_eq!(done.status.code(), Some(4));
    let report = json(&done);
    let told: Vec<&String> = report["found"].as_object().unwrap().keys().collect();
    for (number, (text, what)) in leaks.iter().enumerate() {
        assert!(told.iter().any(|place| place.starts_with(&format!("leak{number}.note:"))), "{what}");
        assert!(!String::from_utf8_lossy(&done.stdout).contains(text), "a report holds no value");
    }
    assert!(told.iter().any(|place| place.starts_with("leak_beside.count: ")), "{told:?}");
    let false_alarms: Vec<_> = told.iter().filter(|place| place.starts_with("clean")).collect();
    assert!(false_alarms.is_empty(), "{false_alarms:?}");
}
