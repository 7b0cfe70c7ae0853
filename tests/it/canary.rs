//! The canary: patients whose every name, id, address, number and note carries a mark go through whole nights, good and bad.
//! No log line, error, temporary file, submission, database of the registry or page may hold a mark, plain or packed;
//! the site's state may hold them sealed only. A planted mark is found, so that finding none means something.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use headwater::simulate::{self, GeneratorSettings, Marks};

use crate::house::{HEADWATER, House, start_sync};

/// Everything that was looked at, with the marks that were found.
struct Search {
    marks: Vec<Vec<u8>>,
    found: Vec<String>,
    looked_at: usize,
}

impl Search {
    fn new(marks: &[String]) -> Self {
        // Short ids such as `1` are no marks: they stand in every text.
        let marks = marks
            .iter()
            .filter(|mark| mark.len() >= 6)
            .map(|mark| mark.to_lowercase().into_bytes())
            .collect();
        Self {
            marks,
            found: Vec::new(),
            looked_at: 0,
        }
    }

    fn look(&mut self, place: &str, bytes: &[u8]) {
        self.looked_at += 1;
        let lower = bytes.to_ascii_lowercase();
        if self.marks.iter().any(|mark| memchr::memmem::find(&lower, mark).is_some()) {
            self.found.push(place.to_owned());
        }
        // Chunks travel and lie compressed: look inside.
        if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
            && let Ok(plain) = zstd::decode_all(bytes)
        {
            self.look(&format!("{place} (unpacked)"), &plain);
        }
    }

    fn look_into(&mut self, folder: &Path) {
        for file in files(folder) {
            match std::fs::read(&file) {
                Ok(bytes) => self.look(&file.display().to_string(), &bytes),
                // SQLite took its log away meanwhile: what is not there holds nothing, and its name is looked at below.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => panic!("a file of this test cannot be read: {error}"),
            }
            self.look("a file's name", file.display().to_string().as_bytes());
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of this test") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found
}

/// Patients with marks, and beside them resources that every step refuses, marked too.
fn marked_data() -> (tempfile::TempDir, Vec<String>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let settings = GeneratorSettings {
        marks: Some(Marks::default()),
        ..GeneratorSettings::new(3, 23)
    };
    let mut marks = simulate::generate(&settings, dir.path()).expect("patients are made").marks;
    assert!(marks.len() > 20, "too few marks to mean anything");
    let planted = ["QzvBrokenName", "QzvBrokenDate", "QzvBrokenCode", "QzvBrokenNumber", "QzvBrokenId"];
    marks.extend(planted.map(str::to_owned));
    let bad = [
        r#"{"resourceType":"Observation","id":"QzvBrokenId-1","status":"final","subject":{"reference":"PATIENT"},"QzvBrokenName":[],"code":{"text":"QzvBrokenName"}}"#,
        r#"{"resourceType":"Observation","id":"QzvBrokenId-2","status":"final","subject":{"reference":"PATIENT"},"effectiveDateTime":"QzvBrokenDate","code":{"text":"x"}}"#,
        r#"{"resourceType":"Observation","id":"QzvBrokenId-3","status":"QzvBrokenCode","subject":{"reference":"PATIENT"},"valueInteger":"QzvBrokenNumber"}"#,
        r#"{"resourceType":"Observation","id":"QzvBrokenId-4","status":"final","subject":{"reference":"Patient/QzvBrokenId-nobody"},"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"1988-5"}]},"effectiveDateTime":"2024-01-02","valueQuantity":{"value":1,"unit":"QzvBrokenCode","system":"http://unitsofmeasure.org","code":"mg/L"}}"#,
        r#"{"resourceType":"Observation","id":"QzvBrokenId-5","status":"final","note":[{"text":"QzvBrokenName"#,
        r#"{"resourceType":"QzvBrokenName","id":"QzvBrokenId-6"}"#,
    ];
    // A Group's export holds what belongs to its patients.
    let patients = std::fs::read_to_string(dir.path().join("Patient.ndjson")).expect("patients were made");
    let first: serde_json::Value = serde_json::from_str(patients.lines().next().expect("a patient")).expect("JSON");
    let patient = format!("Patient/{}", first["id"].as_str().expect("an id"));
    let bad = bad.join("\n").replace("PATIENT", &patient) + "\n";
    std::fs::write(dir.path().join("Observation.bad.ndjson"), bad).expect("a file");
    (dir, marks)
}

fn pulls_by(site: &Path, method: &str) {
    let text = std::fs::read_to_string(site).expect("a site's file");
    let planned = "method = \"planned\"";
    assert!(text.contains(planned));
    std::fs::write(site, text.replace(planned, &format!("method = \"{method}\""))).expect("a file");
}

/// Every verb by which a person looks, withdraws, backs up and rotates: what it says and what it writes.
fn persons_verbs(house: &House, site: &Path, data: &Path, search: &mut Search) {
    let run = |args: &[&str], stdin: &str| {
        let mut child = Command::new(HEADWATER)
            .args(args)
            .arg("--site")
            .arg(site)
            .env("HEADWATER_LOG", "trace")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        child.stdin.take().expect("a pipe").write_all(stdin.as_bytes()).expect("it reads");
        child.wait_with_output().expect("it ends")
    };
    let mut tried = |args: &[&str], stdin: &str, exit: i32| {
        let output = run(args, stdin);
        assert_eq!(
            output.status.code(),
            Some(exit),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        search.look(&format!("stdout of {args:?}"), &output.stdout);
        search.look(&format!("stderr of {args:?}"), &output.stderr);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(tried(&["preview", "--patients", "3"], "", 0).contains("what was done"));
    assert!(tried(&["preview", "--patients", "3", "--json"], "", 0).contains("\"effect\":\"kept\""));
    tried(&["preview", "--show-identified"], "", 2);
    let rows = house.rows();
    let lab = rows.iter().find(|row| row.0 == "lab_result").expect("a row");
    let period = rows.iter().find(|row| row.0 == "observation_period");
    for row in std::iter::once(lab).chain(period) {
        assert!(tried(&["explain", &row.2], "", 0).contains("submission"));
        assert!(tried(&["explain", "--json", &row.2], "", 0).contains("\"madeOf\""));
    }
    tried(&["explain", "QzvBrokenId-nobody"], "", 2);

    let text = std::fs::read_to_string(data.join("Patient.ndjson")).expect("patients were made");
    let last: serde_json::Value = serde_json::from_str(text.lines().last().expect("a patient")).expect("JSON");
    let id = last["id"].as_str().expect("an id");
    tried(&["withdraw", "--reason", "a letter of QzvBrokenName"], id, 0);
    tried(&["withdraw", "-"], "QzvBrokenName of nobody", 2);
    tried(&["withdraw", "list"], "", 0);
    tried(&["withdraw", "list", "--json"], "", 0);
    let folder = site.parent().expect("a folder");
    let passphrase = folder.join("passphrase");
    headwater::platform::file::write_secret(&passphrase, b"a long passphrase of ours").expect("a file");
    let (passphrase, backup) = (passphrase.to_str().expect("a path"), folder.join("north.backup"));
    tried(
        &[
            "keys",
            "backup",
            "--out",
            backup.to_str().expect("a path"),
            "--passphrase-file",
            passphrase,
        ],
        "",
        0,
    );
    tried(
        &["keys", "restore", backup.to_str().expect("a path"), "--passphrase-file", passphrase],
        "",
        0,
    );
    tried(&["keys", "list"], "", 0);
    tried(&["keys", "rotate", "--master"], "", 0);
    tried(&["sync"], "", 0);
    // A list that names somebody, with a line nobody can read: told by its number.
    let listed = folder.join("excluded.txt");
    std::fs::write(&listed, format!("{id}\n")).expect("a file");
    let toml = std::fs::read_to_string(site).expect("a site's file");
    std::fs::write(
        site,
        format!("{toml}\n[consent]\nrequire = \"none\"\nexclude = [\"../excluded.txt\"]\n"),
    )
    .expect("a file");
    let outside = house.dir.path().join("excluded.txt");
    std::fs::rename(&listed, &outside).expect("a file that is the site's own");
    tried(&["sync"], "", 0);
    std::fs::write(&outside, format!("{id}\nQzvBrokenName {id}\n")).expect("a file");
    tried(&["sync"], "", 2);
    std::fs::remove_file(&outside).expect("it was there");
    std::fs::write(site, toml).expect("a file");
}

#[test]
fn no_mark_of_a_patient_leaves_the_site_or_stands_in_a_log() {
    let (data, marks) = marked_data();
    for (policy, method) in [
        ("limited-data-set", "bulk"),
        ("safe-harbor", "bulk"),
        ("limited-data-set", "search"),
    ] {
        let house = House::over(data.path());
        let site = house.site(policy, None);
        pulls_by(&site, method);
        let mut search = Search::new(&marks);

        let mut refused = 0;
        for night in 0..2 {
            let mut child = Command::new(HEADWATER);
            child.args(["sync", "--site"]).arg(&site).env("HEADWATER_LOG", "trace");
            let output = child.output().expect("the binary runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            refused += answer.matches("validate: ").count();
            search.look("stdout of sync", &output.stdout);
            search.look("stderr of sync", &output.stderr);
            if night == 0 {
                house.runtime.block_on(house.ehr().advance_day()).expect("a day passes");
            }
        }
        assert!(refused > 0, "the broken resources were refused, or nothing was tried");
        let list = Command::new(HEADWATER)
            .args(["quarantine", "list", "--run", "1", "--site"])
            .arg(&site)
            .output()
            .expect("the binary runs");
        assert!(list.status.success() && !list.stdout.is_empty());
        search.look("quarantine list", &list.stdout);
        search.look("stderr of quarantine", &list.stderr);

        persons_verbs(&house, &site, data.path(), &mut search);

        let rows = house.rows();
        assert!(rows.len() > 100, "rows were released, or nothing was tried");
        search.look("the registry's rows", format!("{rows:?}").as_bytes());
        search.look_into(&house.dir.path().join("registry"));
        search.look_into(site.parent().expect("a folder"));
        // Last: signing in is logged and published, and a file that is being written cannot be looked at.
        let pages = house.pages();
        assert!(
            pages.iter().any(|(_, page)| page.contains("data-submission")),
            "the pages were there to be looked at"
        );
        for (path, page) in &pages {
            search.look(&format!("the console's page {path}"), page.as_bytes());
        }

        assert!(search.found.is_empty(), "{policy}, {method}: a mark stands in {:#?}", search.found);
        assert!(search.looked_at > 30, "only {} things were looked at", search.looked_at);

        // Positive controls: the source is full of marks, and one planted in a log or inside a chunk is found.
        let mut control = Search::new(&marks);
        control.look_into(data.path());
        assert!(control.found.len() >= 5, "{:?}", control.found);
        let mut control = Search::new(&marks);
        control.look("a planted log line", format!("could not read {}", marks[0]).as_bytes());
        control.look("a planted chunk", &zstd::encode_all(marks[1].as_bytes(), 3).expect("memory"));
        for place in ["a planted log line", "a planted chunk (unpacked)"] {
            assert!(
                control.found.iter().any(|found| found == place),
                "{place} was not found: {:?}",
                control.found
            );
        }
        house.close();
    }
}

#[test]
fn the_offline_path_names_file_line_type_and_path_of_a_broken_line_and_no_value() {
    let (data, marks) = marked_data();
    let out = tempfile::tempdir().expect("a temporary folder");
    let run = Command::new(HEADWATER)
        .args(["map", "--data"])
        .arg(data.path())
        .arg("--out")
        .arg(out.path().join("rows"))
        .output()
        .expect("the binary runs");
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(told.contains("Observation.bad.ndjson line 1 (Observation)"), "{told}");
    assert!(told.contains("Observation.bad.ndjson line 5"), "{told}");
    let mut search = Search::new(&marks);
    search.look("stdout of map", &run.stdout);
    search.look("stderr of map", &run.stderr);
    assert!(search.found.is_empty(), "{told}");
}

#[test]
fn a_submission_still_waiting_in_the_outbox_holds_no_mark() {
    let (data, marks) = marked_data();
    let mut house = House::over(data.path());
    let site = house.site("limited-data-set", None);
    // The registry is gone: the run gets as far as the outbox.
    let registry = house.registry.take().expect("it runs");
    house.runtime.block_on(registry.stop()).expect("it ends well");
    let output = start_sync(&site, &[]).wait_with_output().expect("the run ends");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let outbox = site.parent().expect("a folder").join("state/outbox");
    assert!(files(&outbox).len() >= 3, "chunks, manifest and signature wait");
    let mut search = Search::new(&marks);
    search.look_into(&outbox);
    search.look("stderr of sync", &output.stderr);
    assert!(search.found.is_empty(), "{:#?}", search.found);
    house.close();
}
