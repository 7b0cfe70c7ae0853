//! The verb from files to outcomes.

#![allow(
    clippy::disallowed_methods,
    reason = "a test writes its own input, and nothing hangs on its durability"
)]

use std::io::Write;

use super::*;

fn args(files: &[PathBuf], profile_dir: &[PathBuf]) -> Args {
    Args {
        package: Vec::new(),
        profile: Vec::new(),
        unchecked: false,
        unknown_extensions: false,
        profile_dir: profile_dir.to_vec(),
        line_limit: 2000,
        depth_limit: 64,
        files: files.to_vec(),
    }
}

fn report_of(args: &Args) -> Result<(Counts, Vec<serde_json::Value>), Failure> {
    let mut out = Vec::new();
    let counts = report(args, &mut out)?;
    for line in ndjson::split(&out, 1, usize::MAX) {
        let mut tree = Tree::new();
        let root = tree
            .parse(line.bytes.expect("no limit"), &Limits::default())
            .expect("an outcome is JSON");
        assert_eq!(
            validate::check_all(&Profiles::default(), root),
            [],
            "an outcome is a resource of R4"
        );
    }
    let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok((
        counts,
        lines
            .map(|line| serde_json::from_slice(line).expect("an outcome is JSON"))
            .collect(),
    ))
}

/// Severity, code, rule and path of each first issue.
fn first_issues(outcomes: &[serde_json::Value]) -> Vec<String> {
    let text = |issue: &serde_json::Value, at: &str| issue.pointer(at).and_then(|value| value.as_str()).unwrap_or("-").to_owned();
    let issue = |outcome: &serde_json::Value| outcome["issue"][0].clone();
    let parts = |issue: serde_json::Value| {
        ["/severity", "/code", "/details/text", "/expression/0"]
            .map(|at| text(&issue, at))
            .join(" | ")
    };
    outcomes.iter().map(issue).map(parts).collect()
}

#[test]
fn every_line_of_a_file_has_its_outcome() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("Patient.ndjson.gz");
    let mut gzip = flate2::write::GzEncoder::new(File::create(&file).expect("a file"), flate2::Compression::fast());
    let long = format!("{{\"resourceType\":\"Patient\",\"id\":\"{}\"}}", "x".repeat(3000));
    writeln!(
        gzip,
        "{{\"resourceType\":\"Patient\"}}\n\n{{\"resourceType\":\"Patient\",\"birthDate\":\"CANARY\"}}\n{{\"id\":CANARY}}\n{long}"
    )
    .expect("written");
    gzip.finish().expect("written");
    let (counts, outcomes) = report_of(&args(&[file], &[])).expect("a report");
    assert_eq!(counts, Counts { resources: 4, faulty: 3 });
    assert_eq!(
        first_issues(&outcomes),
        [
            "information | informational | no fault | -",
            "error | value | date | Patient.birthDate",
            "error | structure | no value | -",
            "error | too-long | line too long | -",
        ]
    );
    assert!(
        outcomes[1]["issue"][0]["diagnostics"]
            .as_str()
            .expect("a place")
            .ends_with("Patient.ndjson.gz line 3")
    );
    assert!(!format!("{outcomes:?}").contains("CANARY"));
}

#[test]
fn a_bundle_over_many_lines_is_checked_resource_by_resource() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bundle.json");
    let bundle = "{\"resourceType\":\"Bundle\",\n\"type\":[],\n\"entry\":[{\"resource\":{\"resourceType\":\"Patient\"}},{\"resource\":\n{\"resourceType\":\"Patient\",\"x\":1}}]}\n";
    std::fs::write(&file, bundle).expect("written");
    let (counts, outcomes) = report_of(&args(&[file], &[])).expect("a report");
    assert_eq!(counts, Counts { resources: 3, faulty: 2 });
    assert_eq!(
        first_issues(&outcomes),
        [
            "error | structure | one, not many | Bundle.type",
            "information | informational | no fault | -",
            "error | structure | unknown element | Patient.x",
        ]
    );
}

#[test]
fn profiles_of_a_folder_apply() {
    let folder = tempfile::tempdir().expect("a folder");
    let profile = r#"{"resourceType":"StructureDefinition","kind":"resource","derivation":"constraint","type":"Patient","differential":{"element":[{"path":"Patient.birthDate","min":1}]}}"#;
    std::fs::create_dir(folder.path().join("profiles")).expect("a folder");
    std::fs::write(folder.path().join("profiles/Patient.json"), profile).expect("written");
    let file = folder.path().join("p.json");
    std::fs::write(&file, r#"{"resourceType":"Patient"}"#).expect("written");
    let (_, outcomes) = report_of(&args(&[file], &[folder.path().join("profiles")])).expect("a report");
    assert_eq!(first_issues(&outcomes), ["error | required | required | Patient.birthDate"]);
    assert!(
        outcomes[0]["issue"][0]["diagnostics"]
            .as_str()
            .expect("a place")
            .ends_with("Patient.json")
    );
}

#[test]
fn a_package_brings_questionnaires_vital_signs_and_extensions() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("definitions.ndjson");
    let definitions = [
        r#"{"resourceType":"Questionnaire","url":"http://x/q","status":"active","item":[{"linkId":"a","type":"integer","required":true}]}"#,
        r#"{"resourceType":"StructureDefinition","url":"http://hl7.org/fhir/StructureDefinition/bodytemp","kind":"resource","derivation":"constraint","type":"Observation","differential":{"element":[{"path":"Observation.effective[x]","min":1}]}}"#,
    ];
    std::fs::write(&package, definitions.join("\n")).expect("written");
    let file = folder.path().join("r.ndjson");
    let resources = [
        r#"{"resourceType":"QuestionnaireResponse","questionnaire":"http://x/q","status":"completed"}"#,
        r#"{"resourceType":"QuestionnaireResponse","questionnaire":"http://x/q","status":"completed","item":[{"linkId":"a","answer":[{"valueString":"CANARY"}]}]}"#,
        r#"{"resourceType":"QuestionnaireResponse","questionnaire":"http://x/other","status":"completed"}"#,
        r#"{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8310-5"}]}}"#,
        r#"{"resourceType":"Patient","extension":[{"url":"http://x/e","valueString":"CANARY"}]}"#,
    ];
    std::fs::write(&file, resources.join("\n")).expect("written");
    let mut args = args(&[file], &[]);
    args.package = vec![package];
    args.unknown_extensions = true;
    let (counts, outcomes) = report_of(&args).expect("a report");
    assert_eq!(counts, Counts { resources: 5, faulty: 3 });
    assert_eq!(
        first_issues(&outcomes),
        [
            "error | required | required item `a` | QuestionnaireResponse.item",
            "error | value | type of the answer | QuestionnaireResponse.item[0].answer[0].valueString",
            "information | informational | questionnaire not known here: its answers are not checked | QuestionnaireResponse.questionnaire",
            "error | required | required | Observation.effective[x]",
            "warning | extension | unknown extension | Patient.extension[0]",
        ]
    );
    assert!(!format!("{outcomes:?}").contains("CANARY"));
}

#[test]
fn wrong_use_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad = folder.path().join("bad.json");
    std::fs::write(&bad, "{").expect("written");
    for (files, profiles, expected) in [
        (
            vec![PathBuf::from("a.txt"), PathBuf::from("b.xml")],
            vec![],
            "`a.txt`, `b.xml`: a file must end in",
        ),
        (
            vec![PathBuf::from("nowhere/a.json")],
            vec![],
            "cannot read `nowhere/a.json`: entity not found",
        ),
        (vec![bad.clone()], vec![folder.path().to_owned()], "no JSON at line 1 column 1"),
        (vec![bad.clone()], vec![PathBuf::from("nowhere")], "cannot read `nowhere`"),
    ] {
        let failure = report_of(&args(&files, &profiles)).map(|_| ()).expect_err("a failure");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains(expected), "{}", failure.message);
    }
}

#[test]
fn a_profile_that_was_asked_for_and_held_nothing_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = "http://example.org/sd/named-patient";
    let profile = format!(
        r#"{{"resourceType":"StructureDefinition","url":"{url}","name":"NamedPatient","status":"active","kind":"resource",
        "abstract":false,"type":"Patient","baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation":"constraint","differential":{{"element":[{{"id":"Patient.name","path":"Patient.name","min":1}}]}}}}"#
    );
    let (limits, tree) = (Limits::default(), Tree::new());
    let definitions = [("p.json".to_owned(), profile)];
    let loaded = Definitions::with_packages(definitions.to_vec(), Vec::new(), &Options::default());
    assert_eq!(loaded.faults, Vec::<String>::new());
    let mut out = Vec::new();
    let mut report = Report {
        profiles: loaded.definitions.profiles,
        limits,
        tree,
        counts: Counts::default(),
        types: BTreeSet::new(),
        out: &mut out,
    };
    let read = |report: &mut Report<'_, Vec<u8>>, name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("a file");
        report.file(&file).expect("read");
    };
    read(
        &mut report,
        "a.json",
        r#"{"resourceType":"Encounter","status":"finished","class":{"code":"AMB"}}"#,
    );
    let asked = [url.to_owned()];
    let idle = report.idle(&asked);
    assert!(
        matches!(&idle[..], [line] if line.contains(url) && line.contains("it is for Patient") && line.contains("1 resource")),
        "{idle:?}"
    );
    read(
        &mut report,
        "b.json",
        r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient"}}]}"#,
    );
    assert_eq!(report.idle(&asked), Vec::<String>::new(), "one of a Bundle's entries is held to it");
}
