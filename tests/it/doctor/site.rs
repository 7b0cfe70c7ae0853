//! `headwater doctor` and `headwater init` as a person meets them: by the real binary, over a whole house.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use headwater::platform::backend_services::ClientKey;
use headwater::simulate::ehr::Misconfiguration;
use serde_json::Value;

use crate::house::{HEADWATER, House, patients};

pub(super) fn headwater(args: &[&str]) -> Output {
    Command::new(HEADWATER)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

/// Exit code, diagnosis and all that was said.
pub(super) fn doctor(site: &Path) -> (Option<i32>, Option<String>, Value) {
    let output = headwater(&["doctor", "--json", "--site", text(site)]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let document: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}\n{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(document["exit"], output.status.code().unwrap(), "the document says the exit code");
    (output.status.code(), document["diagnosis"].as_str().map(str::to_owned), document)
}

fn edit(site: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(site).unwrap();
    assert!(text.contains(from), "`{from}` does not stand in\n{text}");
    std::fs::write(site, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_site_that_is_well_ends_with_0_and_says_what_to_run_next() {
    let data = patients(1, 3);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let (exit, diagnosis, document) = doctor(&site);
    assert_eq!((exit, diagnosis), (Some(0), None), "{document:#}");
    let said = headwater(&["doctor", "--site", text(&site)]);
    let out = String::from_utf8(said.stdout).unwrap();
    assert!(
        out.contains("✓ token ") && out.contains("✓ registry ") && out.contains("--rehearse"),
        "{out}"
    );
    assert!(!out.contains('✗') && !out.contains('\u{1b}'), "{out}");
    house.close();
}

#[test]
fn the_first_failing_step_is_told_with_who_can_mend_it_and_what_to_do() {
    let data = patients(1, 3);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    house.ehr().plant(Misconfiguration::KidNotInJwks);
    let said = headwater(&["doctor", "--site", text(&site)]);
    let out = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(2), "{out}");
    for part in [
        "✗ token ",
        "✗ token.key-unknown",
        "who can mend it  you",
        "next             ",
        "· reads ",
    ] {
        assert!(out.contains(part), "{part} is missing in\n{out}");
    }
    assert!(
        String::from_utf8(said.stderr).unwrap().contains("token.key-unknown"),
        "the last word on stderr"
    );
    assert!(house.ehr().fired_misconfiguration(Misconfiguration::KidNotInJwks) > 0);
    house.close();
}

#[test]
fn what_is_wrong_on_this_machine_is_found_before_anything_is_asked() {
    use std::os::unix::fs::PermissionsExt;
    let data = patients(1, 3);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let state = site.parent().unwrap().join("state");
    let good = std::fs::read_to_string(&site).unwrap();
    let asked = house.ehr().seen().len();

    assert_eq!(doctor(&site.with_file_name("nowhere.toml")).1.as_deref(), Some("config.missing"));
    edit(&site, "[ehr]", "[ehr]\ninsecure = true");
    let (exit, diagnosis, document) = doctor(&site);
    assert_eq!((exit, diagnosis.as_deref()), (Some(2), Some("config.faults")));
    assert!(document.to_string().contains("ca_file"), "{document}");
    std::fs::write(&site, &good).unwrap();
    edit(&site, "vendor = \"generic\"", "vendor = \"nix\"");
    assert_eq!(doctor(&site).1.as_deref(), Some("config.vendor"));
    std::fs::write(&site, &good).unwrap();
    edit(&site, "[site]", "[site]\npackage = \"/nowhere\"");
    assert_eq!(doctor(&site).1.as_deref(), Some("config.package"));
    std::fs::write(&site, &good).unwrap();
    edit(&site, "model = \"ibd-registry\"", "model = \"omop-5.4\"");
    assert_eq!(doctor(&site).1.as_deref(), Some("config.vocabulary"));
    edit(&site, "[site]", "[site]\nvocabulary = \"/nowhere\"");
    assert_eq!(doctor(&site).1.as_deref(), Some("config.vocabulary"));
    std::fs::write(&site, &good).unwrap();

    let key = state.join("keys/ehr.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(doctor(&site).1.as_deref(), Some("key.readable-by-others"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let pem = std::fs::read(&key).unwrap();
    std::fs::write(&key, "hush, no key").unwrap();
    let (_, diagnosis, document) = doctor(&site);
    assert_eq!(diagnosis.as_deref(), Some("key.unusable"));
    assert!(!document.to_string().contains("hush"), "{document}");
    std::fs::remove_file(&key).unwrap();
    assert_eq!(doctor(&site).1.as_deref(), Some("key.missing"));
    assert_eq!(house.ehr().seen().len(), asked, "nobody was asked");
    std::fs::write(&key, pem).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();

    // What would stop a run before it asks anybody, found beside the way to the EHR.
    let master = state.join("keys/pseudonym.key");
    let held = std::fs::read(&master).unwrap();
    std::fs::write(&master, "hush").unwrap();
    let (_, diagnosis, document) = doctor(&site);
    assert_eq!(diagnosis.as_deref(), Some("master.unusable"));
    assert!(!document.to_string().contains("hush"), "{document}");
    std::fs::remove_file(&master).unwrap();
    assert_eq!(doctor(&site).1.as_deref(), Some("master.missing"));
    headwater::platform::file::write_secret(&master, &held).unwrap();
    std::fs::write(
        &site,
        format!("{good}\n[consent]\nrequire = \"none\"\nexclude = [\"nowhere.txt\"]\n"),
    )
    .unwrap();
    assert_eq!(doctor(&site).1.as_deref(), Some("consent.list"));
    std::fs::write(&site, &good).unwrap();
    assert_eq!(doctor(&site).1, None);
    house.close();
}

#[test]
fn a_registry_that_is_away_is_waited_for_and_one_that_does_not_know_us_is_a_persons_turn() {
    let data = patients(1, 3);
    let mut house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let good = std::fs::read_to_string(&site).unwrap();
    let link = good.split("[registry]").nth(1).unwrap();
    let client = link.lines().find(|line| line.starts_with("client_id")).unwrap();
    let changed = link.replacen(client, "client_id = \"stranger\"", 1);
    std::fs::write(&site, good.replacen(link, &changed, 1)).unwrap();
    let (exit, diagnosis, document) = doctor(&site);
    assert_eq!(
        (exit, diagnosis.as_deref()),
        (Some(2), Some("registry.not-enrolled")),
        "{document:#}"
    );
    std::fs::write(&site, &good).unwrap();
    house.stop_registry();
    let (exit, diagnosis, document) = doctor(&site);
    assert_eq!(
        (exit, diagnosis.as_deref()),
        (Some(3), Some("registry.unreachable")),
        "{document:#}"
    );
    house.close();
}

#[test]
fn a_site_is_made_and_examined_before_it_is_enrolled_and_enrolled_later() {
    let data = patients(1, 3);
    let house = House::over(data.path());
    let dir = house.dir.path().join("south");
    let made = headwater(&[
        "init",
        text(&dir),
        "--ehr",
        house.ehr().base_url(),
        "--group",
        "all",
        "--vendor",
        "oracle",
        "--algorithm",
        "rs384",
        "--method",
        "bulk",
        "--no-registry",
    ]);
    let told = String::from_utf8(made.stderr).unwrap();
    assert!(made.status.success(), "{told}");
    for part in [
        "Oracle Health",
        "private_key_jwt, RS384, kid ",
        "system/Patient.rs",
        "system/Patient.read",
        "Group `all`",
    ] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    assert!(!told.contains("PRIVATE") && !told.contains("\"d\""), "{told}");
    let site = dir.join("site.toml");
    let key = ClientKey::from_file(&dir.join("state/keys/ehr.pem")).unwrap();
    let client = house.ehr().register(key.public_jwk()).unwrap();
    edit(&site, "client_id = \"headwater\"", &format!("client_id = \"{client}\""));
    let (exit, diagnosis, document) = doctor(&site);
    assert_eq!((exit, diagnosis.as_deref()), (Some(0), Some("registry.none")), "{document:#}");
    let sync = headwater(&["sync", "--site", text(&site)]);
    assert_eq!(sync.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&sync.stderr).contains("--enrol"), "it says how to enrol");

    let code = house.registry().registry().records().add_site("southern").unwrap();
    let enrol = ["init", text(&dir), "--registry", house.registry().base_url(), "--enrol", &code];
    let enrolled = headwater(&enrol);
    assert!(enrolled.status.success(), "{}", String::from_utf8_lossy(&enrolled.stderr));
    let file = std::fs::read_to_string(&site).unwrap();
    assert!(file.contains("name = \"southern\"") && file.contains(&client), "{file}");
    let (exit, diagnosis, document) = doctor(&site);
    assert_eq!((exit, diagnosis), (Some(0), None), "{document:#}");
    let again = headwater(&enrol);
    assert_eq!(again.status.code(), Some(2), "a site is made once");
    house.close();
}
