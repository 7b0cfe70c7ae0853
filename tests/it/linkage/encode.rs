//! `headwater linkage` at two sites of one network: refused where anything is missing; else only whom the registry holds gets a
//! linkage key, the agent learns no surrogate and no name, and its groups come back as one token for one person.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use headwater::simulate::{self, GeneratorSettings, Marks};
use serde_json::{Value, json};

use super::project::{FILE, SECRET, schema};
use crate::house::{HEADWATER, House};

struct Desk {
    house: House,
    site: PathBuf,
}

impl Desk {
    /// A site over these patients; its registry has taken them.
    fn over(data: &Path, policy: &str) -> Self {
        let house = House::over(data);
        let site = house.site_of_files(policy, data);
        let desk = Self { house, site };
        std::fs::write(desk.path("schema.json"), schema()).unwrap();
        std::fs::write(desk.path("project.toml"), FILE).unwrap();
        desk.write_secret(SECRET, 0o600);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.house.dir.path().join(name)
    }

    fn write_secret(&self, text: &str, mode: u32) {
        let path = self.path("secret");
        std::fs::write(&path, format!("{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn opt_in(&self) {
        let text = std::fs::read_to_string(&self.site).unwrap();
        let section = format!("\n[linkage.twins-2026]\nsecret_file = {:?}\n", self.path("secret"));
        std::fs::write(&self.site, text + &section).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(HEADWATER).args(args).arg("--site").arg(&self.site).output().unwrap()
    }

    fn sync(&self) {
        let done = self.run(&["sync"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn encode(&self, out: &str) -> Output {
        let (project, out) = (self.path("project.toml"), self.path(out));
        self.run(&[
            "linkage",
            "encode",
            "--json",
            "--project",
            project.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
        ])
    }

    /// Why encoding was refused; nothing was written.
    fn refusal(&self) -> String {
        let done = self.encode("refused.ndjson");
        assert_eq!(done.status.code(), Some(2), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(!self.path("refused.ndjson").exists());
        String::from_utf8(done.stderr).unwrap()
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn patients(&self) -> BTreeSet<String> {
        let rows = self.house.rows().into_iter().filter(|(table, ..)| table == "patient");
        rows.map(|(_, _, key, _)| key).collect()
    }
}

fn data(patients: u64) -> (tempfile::TempDir, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let settings = GeneratorSettings {
        marks: Some(Marks::default()),
        ..GeneratorSettings::new(patients, 31)
    };
    let marks = simulate::generate(&settings, dir.path()).unwrap().marks;
    (dir, marks)
}

#[test]
fn without_opt_in_or_policy_or_a_good_secret_nothing_is_encoded() {
    let (data, _) = data(3);
    let desk = Desk::over(data.path(), "safe-harbor");
    desk.opt_in();
    assert!(desk.refusal().contains("`limited-data-set` only"));

    let desk = Desk::over(data.path(), "limited-data-set");
    assert!(desk.refusal().contains("takes no part"));
    desk.opt_in();
    assert!(
        desk.refusal().contains("nobody has a linkage key"),
        "no run yet: the registry holds nobody"
    );
    desk.sync();
    desk.write_secret(SECRET, 0o640);
    assert!(desk.refusal().contains("chmod 600"));
    desk.write_secret("too short", 0o600);
    assert!(desk.refusal().contains("shorter than 32 bytes"));
    let master = std::fs::read_to_string(desk.site.with_file_name("state").join("keys/pseudonym.key")).unwrap();
    desk.write_secret(master.trim(), 0o600);
    assert!(desk.refusal().contains("a key of this site"));
    desk.write_secret(SECRET, 0o600);
    std::fs::write(desk.path("project.toml"), FILE.replace("birthDate\"", "telecom.value.first()\"")).unwrap();
    assert!(desk.refusal().contains("reads `Patient.telecom"));
    std::fs::write(desk.path("project.toml"), FILE).unwrap();
    assert!(desk.encode("clks.ndjson").status.success());
}

#[test]
fn whom_the_registry_holds_gets_a_key_that_no_name_or_surrogate_stands_beside() {
    let (data, marks) = data(40);
    let file = data.path().join("Patient.ndjson");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut patients: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // One is refused by the profile, and one has a value that does not fit the schema's format.
    patients[0]["modifierExtension"] = json!([{ "url": "http://example.org/unknown", "valueBoolean": true }]);
    for name in patients[1]["name"].as_array_mut().unwrap() {
        name["family"] = json!("x");
    }
    let lines: Vec<String> = patients.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();

    let desk = Desk::over(data.path(), "limited-data-set");
    desk.opt_in();
    desk.sync();
    let done = desk.encode("clks.ndjson");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    let held = desk.patients();
    assert_eq!(held.len(), 39);
    assert_eq!(told["patients"], 39);
    assert_eq!(told["leftOut"]["not held by the registry"], 1);
    let out = desk.path("clks.ndjson");
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);

    let lines = desk.lines("clks.ndjson");
    assert_eq!(lines.len(), 39);
    let ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted(), "an order that says nothing of the patients");
    assert!(ids.iter().all(|id| id.len() == 32 && !held.contains(*id)));
    assert!(
        lines
            .iter()
            .all(|line| line["clk"].as_str().unwrap().len() == 172 && line.as_object().unwrap().len() == 2)
    );
    let written = std::fs::read_to_string(&out).unwrap().to_lowercase();
    let said = String::from_utf8_lossy(&done.stderr).to_lowercase();
    for mark in marks.iter().filter(|mark| mark.len() >= 6).map(|mark| mark.to_lowercase()) {
        assert!(!written.contains(&mark) && !said.contains(&mark));
    }
    // The same again, byte for byte; after a patient is gone, without the patient.
    assert!(desk.encode("again.ndjson").status.success());
    assert_eq!(std::fs::read(desk.path("again.ndjson")).unwrap(), std::fs::read(&out).unwrap());
    std::fs::write(&file, lines_without(&patients, 5)).unwrap();
    let done = desk.run(&["sync", "--full", "--accept-deletions"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(desk.encode("later.ndjson").status.success());
    assert_eq!(desk.lines("later.ndjson").len(), 38);

    // Who is put on a list or withdrawn has none from then on, whether or not a run has heard of it.
    let list = desk.path("list");
    std::fs::write(&list, format!("{}\n", patients[7]["id"].as_str().unwrap())).unwrap();
    let text = std::fs::read_to_string(&desk.site).unwrap();
    std::fs::write(&desk.site, format!("{text}\n[consent]\nrequire = \"none\"\nexclude = [{list:?}]\n")).unwrap();
    let withdrawn = desk.run(&["withdraw", patients[8]["id"].as_str().unwrap()]);
    assert!(withdrawn.status.success(), "{}", String::from_utf8_lossy(&withdrawn.stderr));
    let done = desk.encode("last.ndjson");
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        (&told["patients"], &told["leftOut"]["withdrawn, or on an exclusion list"]),
        (&json!(36), &json!(2))
    );
    assert_eq!(desk.lines("last.ndjson").len(), 36);
}

fn lines_without(patients: &[Value], at: usize) -> String {
    let kept = patients.iter().enumerate().filter(|(number, _)| *number != at);
    kept.map(|(_, patient)| format!("{patient}\n")).collect()
}

#[test]
fn an_agents_groups_come_back_as_one_token_for_one_person_at_two_sites() {
    let (data, _) = data(12);
    let desks = [
        Desk::over(data.path(), "limited-data-set"),
        Desk::over(data.path(), "limited-data-set"),
    ];
    let mut by_clk: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for desk in &desks {
        desk.opt_in();
        desk.sync();
        assert!(desk.encode("clks.ndjson").status.success());
        for line in desk.lines("clks.ndjson") {
            by_clk
                .entry(line["clk"].to_string())
                .or_default()
                .push(line["id"].as_str().unwrap().to_owned());
        }
    }
    // The same people at two sites: equal linkage keys, other ids. The agent needs nothing else to find them.
    assert!(by_clk.len() == 12 && by_clk.values().all(|ids| ids.len() == 2 && ids[0] != ids[1]));
    let answer: Vec<String> = by_clk
        .values()
        .enumerate()
        .flat_map(|(group, ids)| {
            ids.iter()
                .map(move |id| json!({ "id": id, "group": format!("g{group}") }).to_string())
        })
        .collect();
    let mut persons = Vec::new();
    for desk in &desks {
        std::fs::write(desk.path("answer.ndjson"), answer.join("\n")).unwrap();
        let (project, groups, out) = (desk.path("project.toml"), desk.path("answer.ndjson"), desk.path("persons.ndjson"));
        let mut args = vec!["linkage", "groups", "--project", project.to_str().unwrap()];
        args.extend(["--groups", groups.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        let done = desk.run(&args);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let lines = desk.lines("persons.ndjson");
        let keys: BTreeSet<String> = lines.iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect();
        assert_eq!(keys, desk.patients(), "the registry's own keys, each once");
        persons.push(
            lines
                .iter()
                .map(|line| line["person"].as_str().unwrap().to_owned())
                .collect::<BTreeSet<_>>(),
        );
        // A patient is one person.
        let twice = format!("{}\n{}", answer[0], answer[0].replace("g0", "g1"));
        std::fs::write(&groups, twice).unwrap();
        let done = desk.run(&args);
        assert!(String::from_utf8_lossy(&done.stderr).contains("line 2: an id is in two groups"));
        std::fs::write(&groups, json!({ "id": "0".repeat(32), "group": "g" }).to_string()).unwrap();
        std::fs::remove_file(&out).unwrap();
        let done = desk.run(&args);
        assert!(String::from_utf8_lossy(&done.stderr).contains("nobody of this site") && !out.exists());
    }
    assert_eq!(persons[0], persons[1]);
    assert!(
        persons[0].len() == 12
            && persons[0]
                .iter()
                .all(|token| !answer.iter().any(|line| line.contains(token.as_str())))
    );
}

#[test]
fn a_secret_is_made_once_for_its_owner_and_a_project_can_be_checked_alone() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    let run = |args: &[&str]| Command::new(HEADWATER).args(args).output().unwrap();
    let make = || run(&["linkage", "secret", "--out", secret.to_str().unwrap()]);
    assert!(make().status.success());
    let text = std::fs::read_to_string(&secret).unwrap();
    assert_eq!(text.trim().len(), 64);
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(make().status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), text);

    let project = dir.path().join("project.toml");
    std::fs::write(&project, FILE).unwrap();
    let check = || run(&["linkage", "check", "--project", project.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&check().stderr).contains("project.schema"));
    std::fs::write(dir.path().join("schema.json"), schema()).unwrap();
    let said = String::from_utf8(check().stdout).unwrap();
    assert!(
        said.contains("given, family, birth, sex, zip") && said.contains("Linkage Unit"),
        "{said}"
    );
}
