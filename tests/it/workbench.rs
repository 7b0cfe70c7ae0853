//! The workbench of who writes a mapping: coverage, diff and docs by the real binary, on synthetic data.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::house::{HEADWATER, House, patients, report, sync};

/// Stands in every place of the data where a patient's value may be.
const CANARY: &str = "Zzcanary";

fn run(args: &[&str]) -> Output {
    let output = Command::new(HEADWATER).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn json(args: &[&str]) -> Value {
    serde_json::from_slice(&run(args).stdout).unwrap()
}

/// Two patients; only one of them has an element that no mapping reads.
fn data(folder: &Path) {
    let lines = format!(
        "{}\n{}\n",
        serde_json::json!({ "resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "2010-02-03",
            "photo": [{ "title": CANARY }], CANARY: "x" }),
        serde_json::json!({ "resourceType": "Patient", "id": "p2", "gender": "male", "birthDate": "2011-02-03" })
    );
    std::fs::write(folder.join("Patient.ndjson"), lines).unwrap();
    let account = serde_json::json!({ "resourceType": "Account", "id": "a1", "status": "active", "name": CANARY });
    std::fs::write(folder.join("Account.ndjson"), format!("{account}\n")).unwrap();
}

#[test]
fn coverage_tells_what_nobody_reads_and_shows_no_value() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let page = folder.path().join("page.html");
    let args = [
        "coverage",
        "--data",
        folder.path().to_str().unwrap(),
        "--json",
        "--html",
        page.to_str().unwrap(),
    ];
    let output = run(&args);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let unread = found["unread"].as_array().unwrap();
    let photo = unread.iter().find(|one| one["path"] == "Patient.photo");
    if let Some(photo) = photo {
        assert_eq!((&photo["resources"], &photo["percent"]), (&1.into(), &50.0.into()));
    } else {
        // A resource that does not conform is not less read.
        panic!("{found}");
    }
    assert!(!unread.iter().any(|one| one["path"] == "Patient.birthDate"));
    assert_eq!(found["resources"]["Account"]["known"], false);
    let all = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        std::fs::read_to_string(&page).unwrap()
    );
    assert!(!all.contains(CANARY) && !all.contains("2010-02-03"), "{all}");
    assert!(!all.contains("<script"));
}

#[test]
fn a_package_does_not_differ_from_itself_and_an_edited_one_does_by_column() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let data = folder.path().to_str().unwrap();
    let same = json(&["diff", "--data", data, "--json", "built-in", "built-in"]);
    assert_eq!(same["tables"]["patient"]["changed"], 0, "{same}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = tempfile::tempdir().unwrap();
    for part in ["profiles", "mappings"] {
        let copied = Command::new("cp")
            .arg("-r")
            .arg(root.join(part))
            .arg(package.path())
            .status()
            .unwrap();
        assert!(copied.success());
    }
    let view = package.path().join("mappings/ibd-registry/Patient.patient.json");
    let mut text: Value = serde_json::from_str(&std::fs::read_to_string(&view).unwrap()).unwrap();
    text["where"] = serde_json::json!([{ "path": "gender = 'female'" }]);
    std::fs::write(&view, text.to_string()).unwrap();
    let found = json(&["diff", "--data", data, "--json", "built-in", package.path().to_str().unwrap()]);
    assert_eq!(found["tables"]["patient"]["dropped"], 1, "{found}");
    assert_eq!(
        found["tables"]["patient"]["same"].as_u64().unwrap() + found["tables"]["patient"]["changed"].as_u64().unwrap(),
        same["tables"]["patient"]["same"].as_u64().unwrap() - 1
    );
    assert!(found["tables"]["patient"].get("keys").is_none());
}

#[test]
fn the_dictionary_names_every_column_with_its_source_and_what_may_leave() {
    let found = json(&["docs", "--json"]);
    let tables = found["tables"].as_array().unwrap();
    let patient = tables.iter().find(|table| table["name"] == "patient").unwrap();
    for column in patient["columns"].as_array().unwrap() {
        assert_eq!(column["deidentification"].as_array().unwrap().len(), 2, "{column}");
        assert!(
            column["sources"][0]["path"].as_str().is_some_and(|path| !path.is_empty()),
            "{column}"
        );
    }
    for format in ["html", "markdown"] {
        let text = String::from_utf8(run(&["docs", "--format", format]).stdout).unwrap();
        assert!(text.contains("birth_date") && text.contains("safe-harbor") && !text.contains("<script"));
    }
}

#[test]
fn the_dictionary_tells_how_full_each_column_was_and_what_its_values_mean() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let seen = folder.path().join("seen.json");
    let coverage = run(&[
        "coverage",
        "--model",
        "pcornet-7.0",
        "--data",
        folder.path().to_str().unwrap(),
        "--json",
    ]);
    std::fs::write(&seen, &coverage.stdout).unwrap();
    let told = ["docs", "--model", "pcornet-7.0", "--coverage", seen.to_str().unwrap()];
    let found = json(&[&told[..], &["--json"]].concat());
    let tables = found["tables"].as_array().unwrap();
    let demographic = tables.iter().find(|table| table["name"] == "demographic").unwrap();
    let column = |name: &str| {
        demographic["columns"]
            .as_array()
            .unwrap()
            .iter()
            .find(|column| column["name"] == name)
            .unwrap()
    };
    assert_eq!(
        column("patid")["observed"],
        serde_json::json!({ "filled": 11, "rows": 11, "codesWithoutConcept": 0 }),
        "a dictionary is shown around: one is shown as at most eleven"
    );
    assert_eq!(column("birth_time")["observed"]["filled"], 0);
    assert!(
        column("sex")["values"]
            .as_array()
            .unwrap()
            .iter()
            .any(|value| value["code"] == "F" && value["meaning"] == "female")
    );
    for format in ["html", "markdown"] {
        let text = String::from_utf8(run(&[&told[..], &["--format", format]].concat()).stdout).unwrap();
        assert!(
            text.contains("filled in 11 of 11 rows (100 %)") && text.contains("female"),
            "{format}"
        );
        // On a narrow screen each line of the table is a list of its cells, which says what each is.
        let columns: usize = tables.iter().map(|table| table["columns"].as_array().unwrap().len()).sum();
        let labels = ["Type", "Source", "De-identification", "Observed", "Comments"];
        for label in labels.into_iter().filter(|_| format == "html") {
            assert_eq!(text.matches(&format!("data-label=\"{label}\"")).count(), columns, "{label}");
        }
    }
    let other = Command::new(HEADWATER)
        .args(["docs", "--model", "ibd-registry", "--coverage", seen.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(2));
}

#[test]
fn coverage_for_outside_does_not_count_who_may_not_leave() {
    let data = patients(12, 73);
    let house = House::over(data.path());
    let site = house.site_of_files("safe-harbor", data.path());
    report(&sync(&site, &[]));
    let of = |more: &[&str]| json(&[&["coverage", "--json", "--site", site.to_str().unwrap()], more].concat());
    let text = std::fs::read_to_string(data.path().join("Patient.ndjson")).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let counted = |report: &Value| [&report["patients"], &report["resources"]["Patient"]["read"]].map(|count| count.as_u64().unwrap());
    assert_eq!(counted(&of(&["--share"])), [22, 22], "12, rounded up");
    let withdrawn = run(&["withdraw", first["id"].as_str().unwrap(), "--site", site.to_str().unwrap()]);
    assert!(withdrawn.status.success());
    assert_eq!(counted(&of(&["--share"])), [11, 11], "11 at once, before a run has heard of it");
    assert_eq!(counted(&of(&[])), [12, 12], "the site's own report tells of all that is landed");
    house.close();
}

#[test]
fn coverage_of_a_site_counts_the_newest_of_what_it_landed_and_says_who_may_see_it() {
    let data = patients(3, 71);
    let house = House::over(data.path());
    let site = house.site_of_files("safe-harbor", data.path());
    report(&sync(&site, &[]));
    let of = |more: &[&str]| json(&[&["coverage", "--json", "--site", site.to_str().unwrap()], more].concat());
    let first = of(&[]);
    assert_eq!(first["site"], "north");
    // Landed once more, one patient changed: each resource counts once, and nobody is counted twice.
    let file = data.path().join("Patient.ndjson");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replacen("\"active\":true", "\"active\":false", 1);
    assert_ne!(text, changed, "the patients are active");
    std::fs::write(&file, changed).unwrap();
    report(&sync(&site, &["--full"]));
    let again = of(&[]);
    assert_eq!((&again["resources"], &again["patients"]), (&first["resources"], &first["patients"]));
    assert_eq!(again["columns"], first["columns"]);

    let folder = site.parent().unwrap().to_str().unwrap();
    let text = String::from_utf8(run(&["coverage", "--site", folder]).stdout).unwrap();
    assert!(text.contains("stays at the site"), "{text}");
    // Three patients are fewer than eleven: none of what they alone have is told outside.
    let shared = of(&["--share"]);
    assert_eq!(shared["patients"], 11);
    assert!(
        shared["codes"].as_array().unwrap().is_empty() && !again["unread"].as_array().unwrap().is_empty(),
        "{shared}"
    );
    assert!(
        shared["unread"].as_array().unwrap().iter().all(|one| one["patients"] == 0),
        "{shared}"
    );
    house.close();
}
