//! The cases of HL7's validator for R4, held against what HL7's own validator said of them: an error or none. And US Core 6.1.0
//! as HL7 ships it, whose own examples must be clean.
//!
//! What cannot be compared is left out by class and counted; of the rest each difference stands here with its reason, exactly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headwater::fhir::tree::{Limits, Tree};
use headwater::network::{Definitions, FhirPackage, File};
use headwater::validate::{Disposition, Options, Severity, check_all};
use serde_json::Value;

/// `base` or `profile`, the case, and why our verdict is another.
const DIFFERENCES: [(&str, &str); 5] = [
    (
        "base ab-list-slicing",
        "a link within a narrative that leads nowhere: narratives are never read or shown here",
    ),
    (
        "base contained-resource-bad-id-ignore",
        "an id that is no R4 id, which the case tells the Java validator to overlook; here it is an error",
    ),
    (
        "base ext-derived-circle",
        "house rules of HL7 for publishing a ValueSet, and a SNOMED CT property that only a server knows",
    ),
    (
        "base obs-mz",
        "a StructureDefinition as data: that its differential makes no snapshot is not checked",
    ),
    (
        "profile res-inv-example-good",
        "a target profile of another package, which is not loaded: Java refuses, we say that it is not checked",
    ),
];

fn shared() -> Option<PathBuf> {
    let shared =
        std::env::var_os("HEADWATER_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let found = shared.join("data/validator/manifest.json").is_file();
    if !found {
        println!("skipped: the cases are not there (set HEADWATER_SHARED)");
    }
    found.then_some(shared)
}

/// What the Java validator adds where a terminology server said so.
const BY_SERVER: &str = "operationoutcome-issue-server";

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// One check of one case.
struct Case {
    id: String,
    file: PathBuf,
    supporting: Vec<PathBuf>,
    /// The profile that is asked for, as a file or a canonical.
    profile: Option<String>,
    /// What the Java validator found wrong, without what a server decided.
    errors: Vec<String>,
    /// Of an answer to a Questionnaire: the items and answers where it found that.
    places: Vec<String>,
}

/// The checks that can be compared, and how many cannot, by class.
fn cases(folder: &Path) -> (Vec<Case>, BTreeMap<&'static str, usize>) {
    let manifest = read(&folder.join("manifest.json")).expect("the manifest");
    let rows = manifest
        .as_array()
        .or_else(|| manifest.as_object()?.values().next()?.as_array())
        .expect("a list");
    let (mut cases, mut left_out) = (Vec::new(), BTreeMap::new());
    for row in rows {
        let profile = &row["profile"];
        for (kind, of) in [("base", row), ("profile", profile)] {
            if kind == "profile" && profile.is_null() {
                continue;
            }
            match case(folder, kind, row, of) {
                Ok(case) => cases.push(case),
                Err(class) => *left_out.entry(class).or_default() += 1,
            }
        }
    }
    (cases, left_out)
}

fn case(folder: &Path, kind: &str, row: &Value, of: &Value) -> Result<Case, &'static str> {
    let name = row["file"].as_str().unwrap_or_default();
    let file = folder.join("files").join(name);
    if !name.ends_with(".json") {
        return Err("not JSON");
    }
    if !file.is_file() || !row["missing-files"].is_null() {
        return Err("files that the suite does not have");
    }
    let outcome = match &of["java"] {
        Value::String(path) => read(&folder.join("outcomes").join(path)),
        Value::Object(inline) => inline.get("outcome").cloned(),
        _ => None,
    };
    let outcome = outcome.ok_or("no outcome to compare with")?;
    let issues = outcome["issue"].as_array().cloned().unwrap_or_default();
    let errors: Vec<&Value> = issues
        .iter()
        .filter(|issue| issue["severity"] == "error" || issue["severity"] == "fatal")
        .collect();
    let said = |issue: &&&Value| !issue.to_string().contains(BY_SERVER) && !issue.to_string().contains("rong Display");
    let own: Vec<String> = errors
        .iter()
        .filter(said)
        .map(|issue| issue["details"]["text"].as_str().unwrap_or_default().to_owned())
        .collect();
    if own.is_empty() && !errors.is_empty() {
        return Err("decided by a terminology server");
    }
    let places = errors.iter().filter(said).filter_map(|issue| issue["expression"][0].as_str());
    let places = places.filter(|_| row["module"] == "questionnaire").map(place).collect();
    let mut supporting: Vec<String> = [&row["supporting"], &row["profiles"]].into_iter().flat_map(texts).collect();
    let mut profile = None;
    if kind == "profile" {
        supporting.extend(texts(&of["supporting"]));
        profile = of["source"].as_str().map(str::to_owned);
        if let Some(source) = profile.as_ref().filter(|source| !source.starts_with("http")) {
            supporting.push(source.clone());
        }
        if !of["packages"].is_null() {
            return Err("another package");
        }
    }
    let supporting: Vec<PathBuf> = supporting.iter().map(|name| folder.join("files").join(name)).collect();
    let is_ours = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|ending| ending == "json");
    if !supporting.iter().all(is_ours) {
        return Err("definitions that are not there, or not JSON");
    }
    Ok(Case {
        id: format!("{kind} {}", row["name"].as_str().unwrap_or_default()),
        file,
        supporting,
        profile,
        errors: own,
        places,
    })
}

/// The path of the item or answer that a path leads into: one says `valueCoding` where the other says `value.ofType(Coding)`.
fn place(path: &str) -> String {
    path[..path.rfind(']').map_or(path.len(), |end| end + 1)].to_owned()
}

/// R4's own definitions.
fn core(shared: &Path) -> Vec<File> {
    let names = ["structuredefinitions-compact.ndjson", "terminology-compact.ndjson"];
    let read = |name: &str| {
        FhirPackage::read(&shared.join("data/fhir-r4").join(name))
            .expect("R4's definitions")
            .files
    };
    names.into_iter().flat_map(read).collect()
}

/// The paths and rules of the errors that we find; what stops the check itself is said as one.
fn ours(core: &[File], case: &Case) -> Vec<String> {
    let mut files = core.to_vec();
    for path in &case.supporting {
        // A supporting file without a definition in it is an example of the suite.
        files.extend(FhirPackage::read(path).map(|package| package.files).unwrap_or_default());
    }
    let profile = case.profile.as_ref().map(|source| match source.starts_with("http") {
        true => source.clone(),
        false => {
            let path = case.supporting.last().expect("the profile's own file");
            read(path)
                .and_then(|profile| profile["url"].as_str().map(str::to_owned))
                .expect("a profile's url")
        }
    });
    let options = Options {
        asked: profile.into_iter().collect(),
        vital_signs: true,
        unknown_extensions: Some(Disposition::Refuse),
        ..Options::default()
    };
    let loaded = Definitions::with_packages(Vec::new(), files, &options);
    if let Some(fault) = loaded.faults.iter().find(|fault| fault.contains("is asked for")) {
        return vec![fault.clone()];
    }
    let text = std::fs::read(&case.file).expect("a file of the suite");
    let mut tree = Tree::new();
    let limits = Limits {
        line_bytes: 64 << 20,
        depth: 128,
    };
    match tree.parse(&text, &limits) {
        Err(error) => vec![error.rule.to_owned()],
        Ok(root) => check_all(&loaded.definitions.profiles, root)
            .into_iter()
            .filter(|issue| issue.severity == Severity::Error)
            .map(|issue| format!("{} {}", issue.refusal.path, issue.refusal.rule))
            .collect(),
    }
}

#[test]
fn our_verdict_is_that_of_the_hl7_validator_but_for_what_is_listed() {
    let Some(shared) = shared() else { return };
    let (cases, left_out) = cases(&shared.join("data/validator"));
    let core = core(&shared);
    let half = cases.len().div_ceil(2);
    let verdicts: Vec<(String, bool, String, bool)> = std::thread::scope(|scope| {
        let parts: Vec<_> = cases
            .chunks(half)
            .map(|part| {
                let core = &core;
                scope.spawn(move || {
                    let verdict = |case: &Case| {
                        let ours = ours(core, case);
                        let both = format!("HL7: {:?}; we: {:?}", case.errors.first(), ours.first());
                        let is_there = |found: &String| case.places.iter().any(|place| found.starts_with(place.as_str()));
                        let elsewhere = !case.places.is_empty() && !ours.iter().any(is_there);
                        (case.id.clone(), ours.is_empty() == case.errors.is_empty(), both, elsewhere)
                    };
                    part.iter().map(verdict).collect::<Vec<_>>()
                })
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("no panic")).collect()
    });
    let differing: Vec<_> = verdicts.iter().filter(|(_, same, ..)| !same).collect();
    let same = verdicts.len() - differing.len();
    println!("{same} of {} verdicts are the same; left out: {left_out:?}", verdicts.len());
    let elsewhere: Vec<&str> = verdicts
        .iter()
        .filter(|(.., elsewhere)| *elsewhere)
        .map(|(id, ..)| id.as_str())
        .collect();
    assert_eq!(elsewhere, [""; 0], "answers that are wrong are so at the same items");
    for (id, _, both, _) in &differing {
        println!("  {id}: {both}");
    }
    assert!(verdicts.len() >= 120, "only {} checks compared", verdicts.len());
    assert!(same * 100 >= verdicts.len() * 90, "{same} of {}", verdicts.len());
    let found: Vec<&str> = differing.iter().map(|(id, ..)| id.as_str()).collect();
    let listed: Vec<&str> = DIFFERENCES.iter().map(|(id, _)| *id).collect();
    assert_eq!(found, listed, "each difference, and no other, stands in the list with its reason");
}

#[test]
fn every_example_of_us_core_is_clean_by_the_package_as_hl7_ships_it() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("data/us-core");
    let package = FhirPackage::read(&folder.join("hl7.fhir.us.core-6.1.0.tgz")).expect("US Core");
    assert_eq!(package.shown(), "hl7.fhir.us.core#6.1.0");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder.join("examples"))
        .expect("the examples")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    paths.sort();
    // With R4's own definitions beside it, and without.
    for core in [Vec::new(), core(&shared)] {
        let options = Options {
            vital_signs: true,
            unknown_extensions: Some(Disposition::Refuse),
            ..Options::default()
        };
        let loaded = Definitions::with_packages(Vec::new(), [core, package.files.clone()].concat(), &options);
        assert_eq!(loaded.faults, [""; 0]);
        let mut alarms = Vec::new();
        let (mut clean, mut spoiled) = (0, 0);
        for path in &paths {
            let text = std::fs::read_to_string(path).expect("an example");
            let mut tree = Tree::new();
            let root = tree.parse(text.as_bytes(), &Limits::default()).expect("JSON");
            let errors: Vec<String> = check_all(&loaded.definitions.profiles, root)
                .into_iter()
                .filter(|issue| issue.severity == Severity::Error)
                .map(|issue| format!("{} {}", issue.refusal.path, issue.refusal.rule))
                .collect();
            clean += usize::from(errors.is_empty());
            alarms.extend(errors);
            // The same example without the elements that its profile requires is not clean: it was looked at.
            let mut without: Value = serde_json::from_str(&text).expect("JSON");
            for name in [
                "status",
                "code",
                "name",
                "subject",
                "patient",
                "intent",
                "vaccineCode",
                "type",
                "category",
                "class",
                "active",
            ] {
                if let Some(members) = without.as_object_mut() {
                    members.remove(name);
                }
            }
            let text = without.to_string();
            let mut tree = Tree::new();
            let root = tree.parse(text.as_bytes(), &Limits::default()).expect("JSON");
            let issues = check_all(&loaded.definitions.profiles, root);
            spoiled += usize::from(issues.iter().any(|issue| issue.severity == Severity::Error));
        }
        assert_eq!((clean, alarms), (183, Vec::new()));
        assert!(spoiled > 150, "only {spoiled} of the spoiled examples were refused");
    }
}
