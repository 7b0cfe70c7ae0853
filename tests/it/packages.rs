//! Nights at a site that names a FHIR package: what a fault by one of its profiles means, what the evidence says of it, and what of
//! `[validate]` is refused before anything is pulled.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::house::{HEADWATER, House, patients, report, sync};

const ANYONE: &str = "http://example.org/fhir/StructureDefinition/pictured-patient";

fn profile(id: &str, elements: &Value) -> Value {
    json!({
        "resourceType": "StructureDefinition", "id": id, "url": format!("http://example.org/fhir/StructureDefinition/{id}"),
        "version": "1.2.0", "name": "Test", "status": "active", "kind": "resource", "abstract": false, "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient", "derivation": "constraint",
        "differential": { "element": elements },
    })
}

/// A package as it lies in a folder when it was unpacked: its patients have a photo, and must support a birth date.
fn package(folder: &Path, elements: &Value) {
    let inner = folder.join("package");
    std::fs::create_dir_all(&inner).expect("a folder");
    let write = |name: &str, json: &Value| std::fs::write(inner.join(name), json.to_string()).expect("a file");
    write(
        "package.json",
        &json!({"name": "org.example.pictures", "version": "1.2.0", "fhirVersions": ["4.0.1"]}),
    );
    write("StructureDefinition-pictured-patient.json", &profile("pictured-patient", elements));
    write("StructureDefinition-other.json", &profile("other-patient", elements));
}

fn pictured() -> Value {
    json!([
        {"id": "Patient", "path": "Patient"},
        {"id": "Patient.photo", "path": "Patient.photo", "min": 1, "mustSupport": true},
        {"id": "Patient.birthDate", "path": "Patient.birthDate", "mustSupport": true},
    ])
}

/// The site's file with another `[validate]`.
fn validating(site: &Path, before: &str, section: &str) {
    std::fs::write(site, format!("{before}\n[validate]\n{section}\n")).expect("a file");
}

fn evidence(site: &Path) -> Value {
    let site = site.to_str().expect("a path of ours");
    let output = Command::new(HEADWATER)
        .args(["evidence", "--json", "--site", site])
        .output()
        .expect("the binary runs");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn of_profile<'r>(record: &'r Value, profile: &str) -> Option<&'r Value> {
    let profiles = record["validation"]["profiles"].as_array().expect("a list");
    profiles.iter().find(|seen| seen["profile"] == profile)
}

#[test]
fn a_night_says_what_a_package_s_profiles_found_and_refuses_by_those_that_refuse() {
    const PATIENTS: u64 = 4;
    let data = patients(PATIENTS, 77);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let before = std::fs::read_to_string(&site).expect("the site's file");
    package(&site.parent().expect("a folder").join("pictures"), &pictured());
    let alone = report(&sync(&site, &[]));
    let record = evidence(&site);
    assert_eq!((&record["validation"]["packages"], &alone["warned"]), (&json!([]), &json!({})));
    let digest = record["mapping_digest"].clone();

    // Named, and asked of nobody: its own profiles are for those who say that they are one.
    validating(&site, &before, "packages = [\"pictures\"]");
    let night = report(&sync(&site, &[]));
    let record = evidence(&site);
    assert_eq!(record["validation"]["packages"][0]["name"], "org.example.pictures#1.2.0");
    assert_ne!(record["mapping_digest"], digest, "what resources are held to is part of the rules");
    assert_eq!((of_profile(&record, ANYONE), &night["warned"]), (None, &json!({})));
    assert_eq!(night["counts"]["types"]["Patient"]["mapped"], PATIENTS);

    // Asked of everybody: without another word it warns.
    validating(&site, &before, &format!("packages = [\"pictures\"]\nevery = [\"{ANYONE}\"]"));
    let night = report(&sync(&site, &[]));
    let record = evidence(&site);
    let seen = of_profile(&record, ANYONE).expect("patients were held to it");
    let numbers = ["resources", "refused", "warned", "counted"].map(|number| seen[number].as_u64().expect("a number"));
    assert_eq!(numbers, [PATIENTS, 0, PATIENTS, 0]);
    let supported = json!([{"path": "Patient.photo", "present": 0}, {"path": "Patient.birthDate", "present": PATIENTS}]);
    assert_eq!(seen["must_support"], supported);
    let warned = format!("Patient.photo: required, by {ANYONE}");
    assert_eq!(night["warned"], json!({ warned: PATIENTS }));
    assert_eq!(night["counts"]["types"]["Patient"]["refused"], 0);
    let page = site
        .parent()
        .expect("a folder")
        .join(format!("state/evidence/{}/evidence.html", record["run"]));
    let page = std::fs::read_to_string(page).expect("the page");
    assert!(
        page.contains("id=\"profiles\"")
            && page.contains("org.example.pictures#1.2.0")
            && page.contains(ANYONE)
            && page.contains(">pictured-patient<")
    );

    // Counted: nobody is bothered.
    let asked = format!("packages = [\"pictures\"]\nevery = [\"{ANYONE}\"]\n[validate.profiles]\n\"{ANYONE}\"");
    validating(&site, &before, &format!("{asked} = \"count\""));
    let night = report(&sync(&site, &[]));
    let record = evidence(&site);
    let seen = of_profile(&record, ANYONE).expect("patients were held to it");
    assert_eq!(
        (&seen["warned"], &seen["counted"], &night["warned"]),
        (&json!(0), &json!(PATIENTS), &json!({}))
    );

    // Refused: of what was made by rules that no longer hold, nothing stays with the registry.
    validating(&site, &before, &format!("{asked} = \"refuse\""));
    let rows = house.rows().len();
    let night = report(&sync(&site, &[]));
    let record = evidence(&site);
    assert_eq!(night["counts"]["types"]["Patient"]["refused"], PATIENTS);
    let refused = record["refused"].as_array().expect("a list");
    assert!(
        refused
            .iter()
            .any(|one| one["path"] == "Patient.photo" && one["rule"] == "required" && one["resources"] == PATIENTS),
        "{refused:?}"
    );
    assert_eq!(
        house.rows().len(),
        rows - PATIENTS as usize,
        "a row for each of them, told as a problem"
    );
    house.close();
}

#[test]
fn what_cannot_hold_of_packages_and_profiles_is_said_before_anything_is_pulled() {
    let data = patients(1, 78);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let before = std::fs::read_to_string(&site).expect("the site's file");
    package(&site.parent().expect("a folder").join("pictures"), &pictured());
    let named = "packages = [\"pictures\"]\n";
    let of_network = "Observation.json";
    for (section, words) in [
        ("packages = [\"nowhere.tgz\"]".to_owned(), "nowhere.tgz"),
        (
            format!("{named}every = [\"http://example.org/fhir/StructureDefinition/pictured-patiend\"]"),
            "near it",
        ),
        (
            format!("{named}[validate.profiles]\n\"http://nobody\" = \"warn\""),
            "no profile of the network or of a package",
        ),
        (
            format!("[validate.profiles]\n\"{of_network}\" = \"warn\""),
            "a site may be stricter, never laxer",
        ),
        (
            format!("{named}[validate.profiles]\n\"{ANYONE}\" = \"ignore\""),
            "must be one of: refuse, warn, count",
        ),
        (format!("{named}package = \"x\""), "is not a setting"),
    ] {
        validating(&site, &before, &section);
        let output = sync(&site, &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{section}\n{said}");
        assert!(said.contains(words) && said.contains("validate"), "{section}\n{said}");
    }
    // Its own definitions may need what this reader cannot do: told by the doctor, and no reason to stop.
    let element = json!([{"id": "Patient", "path": "Patient", "constraint": [{"key": "x-1", "severity": "error", "human": "h", "expression": "unheardOf()"}]}]);
    package(&site.parent().expect("a folder").join("pictures"), &element);
    validating(&site, &before, named);
    report(&sync(&site, &[]));
    assert_eq!(evidence(&site)["validation"]["unchecked"], 2);
    let output = Command::new(HEADWATER)
        .args(["doctor", "--json", "--site"])
        .arg(&site)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("profiles.ok") && said.contains("2 rules of the packages cannot be checked here"),
        "{said}"
    );
    house.close();
}

#[test]
fn a_package_s_questionnaires_hold_the_responses_that_name_them() {
    const URL: &str = "https://headwater.example/fhir/Questionnaire/promis-";
    const SCALES: [&str; 3] = ["anxiety", "fatigue", "pain-interference"];
    let data = patients(20, 80);
    let lines = std::fs::read_to_string(data.path().join("QuestionnaireResponse.ndjson")).expect("responses");
    let (sheets, remarks) = (lines.lines().filter(|line| line.contains(URL)), "\"remark\"");
    let (all, remarked) = sheets.fold((0, 0), |(all, remarked), line| {
        (all + 1, remarked + u64::from(line.contains(remarks)))
    });
    assert!(all > 3 && remarked > 0, "{all} responses, {remarked} remarks");
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let before = std::fs::read_to_string(&site).expect("the site's file");
    let alone = report(&sync(&site, &["--rehearse"]));
    // No T-score is so low, and nobody asks for a remark.
    let questionnaires = SCALES.map(|scale| {
        let limit = json!([{"url": "http://hl7.org/fhir/StructureDefinition/maxValue", "valueDecimal": 1}]);
        json!({
            "resourceType": "Questionnaire", "url": format!("{URL}{scale}"), "version": "1.0", "status": "active",
            "item": [{"linkId": "raw-score", "type": "integer", "required": true}, {"linkId": "t-score", "type": "decimal", "extension": limit}],
        })
        .to_string()
    });
    let package = site.parent().expect("a folder").join("promis.ndjson");
    std::fs::write(package, questionnaires.join("\n")).expect("a file");
    validating(&site, &before, "packages = [\"promis.ndjson\"]");
    let night = report(&sync(&site, &["--rehearse"]));
    let record = evidence(&site);
    let held =
        SCALES.map(|scale| of_profile(&record, &format!("{URL}{scale}")).map_or(0, |seen| seen["resources"].as_u64().expect("a number")));
    assert_eq!(held.iter().sum::<u64>(), all);
    let warned = |rule: &str| -> u64 {
        let named = |words: &str| words.contains(rule) && words.contains(URL);
        let found = night["warned"]
            .as_object()
            .expect("faults")
            .iter()
            .filter(|(words, _)| named(words));
        found.map(|(_, count)| count.as_u64().expect("a number")).sum()
    };
    assert_eq!(
        (warned("answer.valueDecimal: more than allowed"), warned("item: unknown linkId")),
        (all, remarked)
    );
    // A package warns without another word; one word more, and they are refused.
    assert_eq!(night["counts"], alone["counts"]);
    let refusing = format!(
        "packages = [\"promis.ndjson\"]\n[validate.profiles]\n\"{URL}{}\" = \"refuse\"",
        SCALES[0]
    );
    validating(&site, &before, &refusing);
    let night = report(&sync(&site, &["--rehearse"]));
    assert_eq!(night["counts"]["types"]["QuestionnaireResponse"]["refused"], held[0]);
    house.close();
}

#[test]
fn a_network_says_what_a_fault_means_and_a_site_can_only_be_stricter() {
    let data = patients(2, 79);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let dir = site.parent().expect("a folder");
    package(&dir.join("pictures"), &pictured());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in ["profiles", "mappings"] {
        crate::house::copy(&root.join(part), &dir.join("network").join(part));
    }
    let said = format!("every = [\"{ANYONE}\"]\n[profiles]\n\"{ANYONE}\" = \"refuse\"\n");
    std::fs::write(dir.join("network/profiles/fhir/validation.toml"), said).expect("a file");
    let text = std::fs::read_to_string(&site).expect("the site's file");
    let text = text.replacen("[site]\n", "[site]\npackage = \"network\"\n", 1);
    std::fs::write(&site, &text).expect("a file");
    let output = sync(&site, &[]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(
        words.contains("validation.toml") && words.contains("`packages` under [validate]"),
        "{words}"
    );
    validating(
        &site,
        &text,
        &format!("packages = [\"pictures\"]\n[validate.profiles]\n\"{ANYONE}|1.2.0\" = \"warn\""),
    );
    let output = sync(&site, &[]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && words.contains("never laxer"), "{words}");
    validating(&site, &text, "packages = [\"pictures\"]");
    let night = report(&sync(&site, &[]));
    assert_eq!(night["counts"]["types"]["Patient"]["refused"], 2);
    // Where no site is asked, the network's word waits for one.
    let check = Command::new(HEADWATER)
        .arg("check")
        .arg(dir.join("network"))
        .output()
        .expect("the binary runs");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    house.close();
}

/// What HL7 ships, on the patients of another hand: it names profiles in `meta.profile`, and what is not as US Core says is told.
#[test]
fn us_core_as_hl7_ships_it_speaks_of_every_resource_that_names_its_profiles() {
    let shared = std::env::var_os("HEADWATER_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), Into::into);
    let us_core = shared.join("data/us-core/hl7.fhir.us.core-6.1.0.tgz");
    if !us_core.is_file() {
        println!("skipped: US Core is not there (set HEADWATER_SHARED)");
        return;
    }
    let data = tempfile::tempdir().expect("a temporary folder");
    for kind in ["Patient", "Encounter", "Condition", "Immunization", "Procedure"] {
        let name = format!("{kind}.ndjson.gz");
        std::fs::copy(shared.join("data/synthea/us-core-60").join(&name), data.path().join(&name)).expect("a file");
    }
    let house = House::over(data.path());
    let site = house.site_of_files("safe-harbor", data.path());
    let before = std::fs::read_to_string(&site).expect("the site's file");
    let alone = report(&sync(&site, &["--rehearse"]));
    let us_core = us_core.canonicalize().expect("a path");
    validating(&site, &before, &format!("packages = [{us_core:?}]\nfhir = \"count\""));
    let night = report(&sync(&site, &["--rehearse"]));
    let record = evidence(&site);
    assert_eq!(record["validation"]["packages"][0]["name"], "hl7.fhir.us.core#6.1.0");
    let profiles = record["validation"]["profiles"].as_array().expect("a list");
    let held = |profile: &str| {
        let url = format!("http://hl7.org/fhir/us/core/StructureDefinition/{profile}");
        profiles
            .iter()
            .find(|seen| seen["profile"] == url.as_str())
            .map(|seen| seen["resources"].clone())
    };
    for (profile, kind) in [
        ("us-core-patient", "Patient"),
        ("us-core-encounter", "Encounter"),
        ("us-core-immunization", "Immunization"),
    ] {
        assert_eq!(held(profile).as_ref(), Some(&night["counts"]["types"][kind]["pulled"]), "{profile}");
    }
    // A package warns without another word: it changes nobody's fate.
    assert_eq!(night["counts"], alone["counts"]);
    house.close();
}
