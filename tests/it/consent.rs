//! Nights on which it is decided who may leave: by FHIR Consents, exclusion lists, flags, and a person's withdrawal.
//! The registry holds the rows of who may leave and of nobody else, whatever changes from night to night.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::house::{HEADWATER, House, Rows, patients, report, sync};
use crate::nights::{sum, total};

/// Patients as files, and a house with a site over them.
pub struct Scene {
    pub data: TempDir,
    pub house: House,
    pub site: PathBuf,
    /// Ids of the patients, in the order of the file.
    pub ids: Vec<String>,
}

impl Scene {
    pub fn of(number: u64, seed: u64, policy: &str) -> Self {
        let data = patients(number, seed);
        let house = House::over(data.path());
        let site = house.site_of_files(policy, data.path());
        let text = std::fs::read_to_string(data.path().join("Patient.ndjson")).expect("patients were made");
        let id = |line: &str| {
            serde_json::from_str::<Value>(line).expect("JSON")["id"]
                .as_str()
                .expect("an id")
                .to_owned()
        };
        let ids = text.lines().map(id).collect();
        Self { data, house, site, ids }
    }

    /// Adds a section to the site's file.
    pub fn says(&self, section: &str) {
        let text = std::fs::read_to_string(&self.site).expect("the site's file");
        std::fs::write(&self.site, format!("{text}\n{section}\n")).expect("a file");
    }

    pub fn replace(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.site).expect("the site's file");
        assert!(text.contains(from), "{from}");
        std::fs::write(&self.site, text.replace(from, to)).expect("a file");
    }

    /// The Consents that the EHR has from now on.
    fn consents(&self, consents: &[Value]) {
        let lines: String = consents.iter().map(|consent| format!("{consent}\n")).collect();
        std::fs::write(self.data.path().join("Consent.ndjson"), lines).expect("a file");
    }

    pub fn night(&self, more: &[&str]) -> Value {
        report(&sync(&self.site, more))
    }

    /// The registry's rows about persons, and how many persons they are about.
    pub fn people(&self) -> (Rows, usize) {
        let rows: Rows = self.house.rows().into_iter().filter(|row| row.0 != "site").collect();
        let keys: BTreeSet<String> = rows
            .iter()
            .filter_map(|row| {
                serde_json::from_str::<Value>(&row.3).expect("JSON")["patient_key"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect();
        (rows, keys.len())
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, "")
    }

    pub fn run_with(&self, args: &[&str], stdin: &str) -> Output {
        use std::io::Write;
        let mut child = Command::new(HEADWATER)
            .args(args)
            .arg("--site")
            .arg(&self.site)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        child.stdin.take().expect("a pipe").write_all(stdin.as_bytes()).expect("it reads");
        child.wait_with_output().expect("it ends")
    }
}

pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn consent(id: &str, patient: &str, given: &str, provision: &Value) -> Value {
    json!({"resourceType": "Consent", "id": id, "status": "active", "scope": {"coding": [{"code": "research"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "57016-8"}]}],
        "patient": {"reference": format!("Patient/{patient}")}, "dateTime": given, "provision": provision})
}

fn balanced(report: &Value) {
    let entered = total(report, "pulled") + total(report, "remapped");
    assert_eq!(
        entered,
        total(report, "mapped") + total(report, "excluded") + total(report, "refused"),
        "{report}"
    );
    let released = sum(report, "upserts") + sum(report, "tombstones");
    let answered = report["counts"]["accepted"].as_u64().expect("a number") + report["counts"]["rejected"].as_u64().expect("a number");
    assert_eq!(released, answered, "{report}");
}

fn excluded(report: &Value) -> u64 {
    let all = report["counts"]["excluded"].as_object().expect("reasons");
    all.iter()
        .filter(|(why, _)| why.starts_with("consent"))
        .map(|(_, n)| n.as_u64().expect("a number"))
        .sum()
}

#[test]
fn where_a_consent_is_required_nobody_leaves_without_one_and_each_answer_counts_from_the_next_night_on() {
    let scene = Scene::of(3, 61, "limited-data-set");
    scene.says("[consent]\nrequire = \"opt-in\"\nretrospective = true");
    scene.consents(&[]);
    let nobody = scene.night(&[]);
    balanced(&nobody);
    assert_eq!(scene.people().1, 0, "an empty set means nobody");
    assert!(
        excluded(&nobody) > 100 && nobody["counts"]["excluded"]["consent: none is on file"].as_u64() > Some(100),
        "{nobody}"
    );

    let yes = json!({"type": "permit"});
    let [one, two, three] = [0, 1, 2].map(|at| scene.ids[at].as_str());
    scene.consents(&[consent("c1", one, "2024-01-01", &yes)]);
    let first = scene.night(&[]);
    balanced(&first);
    let (of_one, people) = scene.people();
    assert!(people == 1 && of_one.len() > 20, "{people} {first}");
    assert_eq!(sum(&first, "tombstones"), 0);

    scene.consents(&[
        consent("c1", one, "2024-01-01", &yes),
        consent("c2", two, "2024-01-01", &yes),
        consent("c3", three, "2024-01-01", &json!({"type": "deny"})),
    ]);
    balanced(&scene.night(&[]));
    assert_eq!(scene.people().1, 2);

    // The first takes it back, by a later statement: only the second's rows are left, and the first's are withdrawn.
    scene.consents(&[
        consent("c1", one, "2024-01-01", &yes),
        consent("c4", one, "2025-01-01", &json!({"type": "deny"})),
        consent("c2", two, "2024-01-01", &yes),
    ]);
    let back = scene.night(&[]);
    balanced(&back);
    assert_eq!(sum(&back, "tombstones"), of_one.len() as u64, "{back}");
    let (left, people) = scene.people();
    assert_eq!(people, 1);
    assert!(of_one.iter().all(|row| !left.iter().any(|left| left.2 == row.2)));

    // A full pull and an unchanged night find it so; a new yes brings the same rows back.
    for more in [&["--full"][..], &[]] {
        let same = scene.night(more);
        balanced(&same);
        assert_eq!((sum(&same, "upserts"), sum(&same, "tombstones")), (0, 0), "{same}");
    }
    scene.consents(&[consent("c5", one, "2026-01-01", &yes), consent("c2", two, "2024-01-01", &yes)]);
    balanced(&scene.night(&["--full"]));
    let (again, people) = scene.people();
    assert_eq!(people, 2);
    assert!(
        of_one.iter().all(|row| again.contains(row)),
        "the same rows under the same pseudonyms"
    );
    // Everybody's consents are gone from a full export: nobody leaves.
    scene.consents(&[]);
    balanced(&scene.night(&["--full"]));
    assert_eq!(scene.people().1, 0);
    scene.house.close();
}

#[test]
fn a_consent_opens_what_happens_from_its_day_on() {
    let scene = Scene::of(2, 67, "limited-data-set");
    scene.replace("policy = \"limited-data-set\"", "policy = \"safe-harbor\"");
    scene.says("[consent]\nrequire = \"opt-in\"");
    let permit = json!({"type": "permit", "period": {"start": "2023-01-01"}});
    scene.consents(&[consent("c1", &scene.ids[0], "2022-06-01", &permit)]);
    let first = scene.night(&[]);
    balanced(&first);
    let (rows, people) = scene.people();
    assert_eq!(people, 1);
    let years: BTreeSet<i64> = rows
        .iter()
        .filter(|row| row.0 == "lab_result")
        .filter_map(|row| {
            serde_json::from_str::<Value>(&row.3).expect("JSON")["specimen_date"]
                .as_str()
                .and_then(|date| date[..4].parse().ok())
        })
        .collect();
    assert!(!years.is_empty() && years.iter().all(|year| *year >= 2023), "{years:?}");
    assert!(
        first["counts"]["excluded"]["consent: not given for this time"].as_u64() > Some(0),
        "{first}"
    );
    // The consent is widened to all data: what was kept leaves, from what is landed.
    let all = json!({"type": "permit", "dataPeriod": {"start": "1900-01-01"}});
    scene.consents(&[consent("c1", &scene.ids[0], "2022-06-01", &all)]);
    let more = scene.night(&[]);
    balanced(&more);
    assert!(sum(&more, "upserts") > 0 && sum(&more, "tombstones") == 0, "{more}");
    assert!(rows.iter().all(|row| scene.house.rows().contains(row)));
    scene.house.close();
}

#[test]
fn lists_and_tags_keep_patients_here_and_a_list_that_cannot_be_read_stops_the_night() {
    let scene = Scene::of(3, 71, "safe-harbor");
    let list = scene.site.parent().expect("a folder").join("excluded.txt");
    scene.says("[consent]\nrequire = \"none\"\nexclude = [\"excluded.txt\"]\npatient_tags = [\"urn:site|no-research\"]");
    let stopped = sync(&scene.site, &[]);
    assert_eq!(stopped.status.code(), Some(2), "{}", said(&stopped));
    assert!(said(&stopped).contains("excluded.txt"), "{}", said(&stopped));
    std::fs::write(&list, "# by letter\n").expect("a file");
    balanced(&scene.night(&[]));
    let (all, people) = scene.people();
    assert_eq!(people, 3);
    std::fs::write(&list, format!("# by letter\n{}\n", scene.ids[0])).expect("a file");
    let fewer = scene.night(&[]);
    balanced(&fewer);
    assert_eq!(scene.people().1, 2);
    assert!(sum(&fewer, "tombstones") > 10 && fewer["counts"]["excluded"]["consent: on an exclusion list"].as_u64() > Some(10));
    std::fs::write(&list, "Jane Doe\n").expect("a file");
    let stopped = sync(&scene.site, &[]);
    assert_eq!(stopped.status.code(), Some(2));
    assert!(
        said(&stopped).contains("line 1") && !said(&stopped).contains("Jane"),
        "{}",
        said(&stopped)
    );
    assert_eq!(scene.people().1, 2, "nothing was sent");
    std::fs::write(&list, "").expect("a file");
    let file = scene.data.path().join("Patient.ndjson");
    let text = std::fs::read_to_string(&file).expect("patients");
    let tagged: String = text
        .lines()
        .map(|line| {
            let mut patient: Value = serde_json::from_str(line).expect("JSON");
            if patient["id"] == json!(scene.ids[1]) {
                patient["meta"]["tag"] = json!([{"system": "urn:site", "code": "no-research"}]);
            }
            format!("{patient}\n")
        })
        .collect();
    std::fs::write(&file, tagged).expect("a file");
    balanced(&scene.night(&[]));
    assert_eq!(scene.people().1, 2, "one came back, one stays");
    std::fs::write(&file, text).expect("a file");
    balanced(&scene.night(&["--full"]));
    assert!(scene.people().0 == all);
    scene.house.close();
}

#[test]
fn a_withdrawn_patient_is_gone_at_the_registry_and_stays_so_until_a_person_takes_it_back() {
    let scene = Scene::of(3, 73, "safe-harbor");
    scene.night(&[]);
    let (all, _) = scene.people();
    let id = scene.ids[1].clone();
    let asked = scene.run_with(&["withdraw", "--reason", "asked by letter", "--json"], &format!("{id}\n"));
    assert!(asked.status.success(), "{}", said(&asked));
    assert!(!said(&asked).contains(&id), "the id is not shown");
    let asked: Value = serde_json::from_slice(&asked.stdout).expect("JSON");
    let rows = asked["rows"].as_u64().expect("a number");
    assert!(rows > 10 && asked["isNew"] == true, "{asked}");
    let again: Value = serde_json::from_slice(&scene.run(&["withdraw", "--json", &id]).stdout).expect("JSON");
    assert_eq!((&again["withdrawal"], &again["isNew"]), (&asked["withdrawal"], &json!(false)));

    let night = scene.night(&[]);
    balanced(&night);
    assert_eq!(sum(&night, "tombstones"), rows, "{night}");
    assert_eq!(scene.people().1, 2);
    let status: Value = serde_json::from_slice(&scene.run(&["withdraw", "status", "1", "--json"]).stdout).expect("JSON");
    assert_eq!(status["state"], "done", "{status}");
    assert_eq!((&status["rows"], &status["submission"]), (&json!(rows), &night["submission"]));
    assert!(
        status["receipt"]
            .as_str()
            .is_some_and(|receipt| receipt.starts_with("c2sp.org/tlog-proof"))
    );
    assert_eq!(status["reason"], "asked by letter");
    let list = scene.run(&["withdraw", "list"]);
    assert!(said(&list).contains("done") && !said(&list).contains(&id) && !said(&list).contains("letter"));

    for more in [&["--full"][..], &[]] {
        balanced(&scene.night(more));
        assert_eq!(scene.people().1, 2);
    }
    let undone = scene.run(&["withdraw", "undo", "1"]);
    assert!(undone.status.success(), "{}", said(&undone));
    assert_eq!(scene.run(&["withdraw", "undo", "1"]).status.code(), Some(2));
    balanced(&scene.night(&[]));
    assert!(scene.people().0 == all, "the same rows under the same pseudonyms");
    let now = scene.run(&["withdraw", "--now", &id]);
    assert!(now.status.success() && said(&now).contains("is acknowledged"), "{}", said(&now));
    assert_eq!(scene.people().1, 2);
    for bad in ["Jane Doe", "", "\n\n"] {
        let refused = scene.run_with(&["withdraw", "-"], bad);
        assert_eq!(refused.status.code(), Some(2));
        assert!(!said(&refused).contains("Jane"));
    }
    scene.house.close();
}

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
    scene.night(&[]);
    let (before, _) = scene.people();
    assert!(scene.run(&["keys", "rotate", "--master"]).status.success());
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
