//! Nights on which it is decided who may leave: by FHIR Consents, exclusion lists, flags, and a person's withdrawal.
//! The registry holds the rows of who may leave and of nobody else, whatever changes from night to night.

mod doubt;
mod keys;
mod looking;
mod refused;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use headwater::simulate::ehr::Fault;
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
        Self::of_model("ibd-registry", number, seed, policy)
    }

    fn of_model(model: &'static str, number: u64, seed: u64, policy: &str) -> Self {
        let data = patients(number, seed);
        let house = House::of(model, data.path(), |_| {});
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

#[test]
fn an_id_that_nothing_is_known_of_blocks_nobody_unless_a_person_says_so_and_is_told_as_a_number() {
    let scene = Scene::of(3, 79, "safe-harbor");
    let stranger = "nobody-here-71";
    let withdraw = |more: &[&str]| scene.run(&[&["withdraw", stranger], more].concat());
    assert_eq!(withdraw(&[]).status.code(), Some(2), "before the first night, too");
    scene.night(&[]);
    let refused = withdraw(&["--now"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(
        said(&refused).contains("knows no patient of this id") && said(&refused).contains("--block-unknown"),
        "{}",
        said(&refused)
    );
    assert!(!said(&refused).contains(stranger), "the id is not shown");
    assert!(said(&scene.run(&["withdraw", "list"])).contains("nobody was withdrawn"));
    // Of several, those who are known are blocked, and the others are told by their places.
    let both = scene.run_with(&["withdraw", "--json"], &format!("{}\n{stranger}\n", scene.ids[0]));
    assert_eq!(both.status.code(), Some(2), "{}", said(&both));
    assert!(said(&both).contains("1 of the 2 ids (in the order given: 2)"), "{}", said(&both));
    assert!(!said(&both).contains(stranger));
    scene.night(&[]);
    assert_eq!(scene.people().1, 2, "the first is gone");

    // Somebody who comes later is blocked before, if that was said.
    let blocked = withdraw(&["--block-unknown"]);
    assert!(blocked.status.success(), "{}", said(&blocked));
    assert!(withdraw(&[]).status.success(), "who is blocked is no stranger any more");
    let file = scene.data.path().join("Patient.ndjson");
    let text = std::fs::read_to_string(&file).expect("patients");
    let first = text.lines().nth(1).expect("a patient");
    let more = first.replace(&scene.ids[1], stranger);
    std::fs::write(&file, format!("{text}{more}\n")).expect("a file");
    balanced(&scene.night(&["--full"]));
    assert_eq!(scene.people().1, 2, "the newcomer does not leave");

    // An exclusion list that names a stranger says how many, not whom.
    let list = scene.house.dir.path().join("list");
    std::fs::write(&list, format!("{}\nmisspelt-id-3\n{stranger}\n", scene.ids[1])).expect("a file");
    scene.says(&format!("[consent]\nrequire = \"none\"\nexclude = [{list:?}]"));
    let output = sync(&scene.site, &[]);
    assert_eq!(report(&output)["strangers_listed"], 1, "{}", said(&output));
    let output = scene.run(&["sync"]);
    assert!(
        said(&output).contains("1 id of the exclusion lists excluded nobody"),
        "{}",
        said(&output)
    );
    assert!(!said(&output).contains("misspelt-id-3") && !said(&output).contains(stranger));
    assert_eq!(scene.people().1, 1);
    scene.house.close();
}

#[test]
fn consents_are_asked_for_at_an_ehr_and_a_night_without_them_sends_nothing() {
    let data = patients(3, 107);
    let text = std::fs::read_to_string(data.path().join("Patient.ndjson")).expect("patients");
    let first: Value = serde_json::from_str(text.lines().next().expect("a patient")).expect("JSON");
    let id = first["id"].as_str().expect("an id");
    let one = consent("c1", id, "2020-01-01", &json!({"type": "permit"}));
    std::fs::write(data.path().join("Consent.ndjson"), format!("{one}\n")).expect("a file");
    for method in ["planned", "bulk", "search"] {
        let house = House::over(data.path());
        let site = house.site("safe-harbor", None);
        let scene = Scene {
            data: tempfile::tempdir().expect("a folder"),
            house,
            site,
            ids: Vec::new(),
        };
        scene.replace("method = \"planned\"", &format!("method = \"{method}\""));
        scene.says("[consent]\nrequire = \"opt-in\"\nretrospective = true\nflags = [\"urn:site|no-research\"]");
        let night = scene.night(&[]);
        balanced(&night);
        assert_eq!(scene.people().1, 1, "{method}: {night}");
        assert_eq!(night["counts"]["types"]["Consent"]["pulled"], 1, "{method}");
        let same = scene.night(&[]);
        assert_eq!((sum(&same, "upserts"), sum(&same, "tombstones")), (0, 0), "{method}: {same}");
        scene.house.close();
    }
}

/// Kills nights on which a patient goes, and comes back, at many moments.
#[test]
fn a_night_of_a_withdrawal_killed_at_any_moment_ends_as_an_undisturbed_one() {
    use std::time::Duration;
    let scene = Scene::of(3, 137, "safe-harbor");
    scene.night(&[]);
    let all = scene.people().0;
    let mut fewer = None;
    for kill in 0..10_u64 {
        let goes = kill % 2 == 0;
        if goes {
            assert!(scene.run_with(&["withdraw"], &scene.ids[1]).status.success());
        } else {
            let number = (kill / 2 + 1).to_string();
            assert!(scene.run(&["withdraw", "undo", &number]).status.success());
        }
        let mut child = crate::house::start_sync(&scene.site, &[]);
        #[expect(clippy::disallowed_methods, reason = "the moment of the kill is the test")]
        std::thread::sleep(Duration::from_millis(30 + 40 * kill));
        child.kill().expect("a child can be killed");
        child.wait().expect("it is gone");
        // One that was killed while it pulled was decided of by the run that ends it; one that was packaged, by the next.
        scene.night(&[]);
        balanced(&scene.night(&[]));
        let now = scene.people().0;
        let expected = if goes { fewer.get_or_insert(now.clone()) } else { &all };
        assert!(now == *expected, "kill {kill}");
    }
    assert!(fewer.is_some_and(|fewer| fewer.len() < all.len() && fewer.iter().all(|row| all.contains(row))));
    scene.house.close();
}

#[test]
fn derived_rows_come_and_go_with_the_resources_of_who_may_leave() {
    for policy in ["limited-data-set", "safe-harbor"] {
        let scene = Scene::of_model("pcornet-7.0", 3, 127, policy);
        scene.night(&[]);
        let before = scene.house.rows();
        let derived = |rows: &Rows| {
            rows.iter()
                .filter(|row| row.0 == "enrollment")
                .map(|row| row.2.clone())
                .collect::<BTreeSet<_>>()
        };
        // What an accounting row of the night says is of the night.
        let lasting = |rows: &Rows| rows.iter().filter(|row| row.0 != "harvest").cloned().collect::<Rows>();
        let all = derived(&before);
        assert_eq!(all.len(), 3);
        assert!(scene.run_with(&["withdraw"], &scene.ids[0]).status.success());
        balanced(&scene.night(&[]));
        assert_eq!(derived(&scene.house.rows()).len(), 2, "{policy}");
        assert!(scene.run(&["withdraw", "undo", "1"]).status.success());
        balanced(&scene.night(&[]));
        assert!(
            lasting(&scene.house.rows()) == lasting(&before),
            "{policy}: the same rows come back"
        );
        assert!(scene.run(&["keys", "rotate", "--master"]).status.success());
        balanced(&scene.night(&[]));
        let turned = derived(&scene.house.rows());
        assert!(turned.len() == 3 && turned.is_disjoint(&all), "{policy}");
        scene.house.close();
    }
}

#[test]
fn a_night_on_which_consents_take_everybody_away_stops_for_a_person_and_a_changed_mind_brings_all_back() {
    let scene = Scene::of(12, 131, "safe-harbor");
    scene.night(&[]);
    let (all, people) = scene.people();
    assert_eq!(people, 12);
    let section = "\n[consent]\nrequire = \"opt-in\"\nretrospective = true\n";
    scene.says(section);
    scene.consents(&[consent("c1", &scene.ids[0], "2024-01-01", &json!({"type": "permit"}))]);
    let stopped = sync(&scene.site, &[]);
    assert_eq!(stopped.status.code(), Some(4), "{}", said(&stopped));
    assert!(said(&stopped).contains("11 of 12 patients"), "{}", said(&stopped));
    assert!(scene.people().0 == all, "nothing was sent");
    balanced(&scene.night(&["--accept-deletions"]));
    let (left, people) = scene.people();
    assert_eq!(people, 1);
    assert!(left.iter().all(|row| all.contains(row)));
    let same = scene.night(&["--full"]);
    assert_eq!((sum(&same, "upserts"), sum(&same, "tombstones")), (0, 0), "{same}");
    scene.replace(section, "");
    balanced(&scene.night(&[]));
    assert!(scene.people().0 == all, "the same rows under the same pseudonyms");
    scene.house.close();
}

#[test]
fn a_night_on_which_not_every_consent_comes_sends_nothing_and_the_next_one_asks_again() {
    let data = patients(2, 139);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let scene = Scene {
        data,
        house,
        site,
        ids: Vec::new(),
    };
    scene.says("[consent]\nrequire = \"opt-out\"");
    scene.replace("method = \"planned\"", "method = \"bulk\"");
    scene.house.ehr().order(Fault::ErrorFiles.into());
    let stopped = sync(&scene.site, &[]);
    assert_eq!(stopped.status.code(), Some(3), "{}", said(&stopped));
    assert!(said(&stopped).contains("did not give every Consent"), "{}", said(&stopped));
    assert!(scene.house.rows().is_empty() && scene.house.ehr().fired(Fault::ErrorFiles) == 1);
    balanced(&scene.night(&[]));
    assert_eq!(scene.people().1, 2);
    scene.house.close();
}
