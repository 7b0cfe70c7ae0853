//! The command line as a newcomer meets it: help with an example everywhere, exit codes, what stands on stdout and what on stderr.
//! By the real binary, on synthetic data.

mod deploy;
mod package;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::house::{HEADWATER, House, patients};

/// What a command said, and how it ended.
struct Said {
    exit: Option<i32>,
    out: String,
    err: String,
}

/// Runs the binary with `input` on stdin. Neither of its outputs is a terminal, so no colour may stand in them.
fn run_with(args: &[&str], input: &[u8]) -> Said {
    let mut child = Command::new(HEADWATER)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads no stdin may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let said = Said {
        exit: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    };
    for stream in [&said.out, &said.err] {
        assert!(!stream.contains('\u{1b}'), "{args:?} coloured what is no terminal:\n{stream}");
        assert!(!stream.contains("panicked"), "{args:?}:\n{stream}");
    }
    said
}

fn run(args: &[&str]) -> Said {
    run_with(args, b"")
}

/// Runs the binary, expects this exit code.
fn expect(exit: i32, args: &[&str]) -> Said {
    let said = run(args);
    assert_eq!(said.exit, Some(exit), "{args:?}\nstdout: {}\nstderr: {}", said.out, said.err);
    said
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The verbs under this one, as its own help lists them.
fn verbs_of(help: &str) -> Vec<String> {
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    listed
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_verb_explains_itself_and_ends_with_an_example() {
    let mut asked: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = Vec::new();
    while let Some(verb) = asked.pop() {
        let args: Vec<&str> = verb.iter().map(String::as_str).chain(["--help"]).collect();
        let Said { out, err, .. } = expect(0, &args);
        let last = out.trim_end().rsplit("\n\n").next().unwrap();
        assert!(last.starts_with("Example: headwater "), "the help of {verb:?} ends with: {last}");
        assert_eq!(err, "", "{verb:?}: help is an answer");
        asked.extend(verbs_of(&out).into_iter().map(|next| [verb.clone(), vec![next]].concat()));
        seen.push(verb.join(" "));
    }
    for verb in [
        "demo",
        "map",
        "quarantine list",
        "doctor",
        "keys rotate",
        "serve",
        "registry site suspend",
        "registry export",
        "audit verify",
    ] {
        assert!(
            seen.iter().any(|seen| seen == verb),
            "{verb} was not found by walking the helps: {seen:?}"
        );
    }
}

#[test]
fn wrong_use_ends_with_2_and_says_what_is_wrong_on_stderr() {
    let dir = tempfile::tempdir().unwrap();
    let (empty, nowhere) = (text(dir.path()), text(&dir.path().join("nowhere")).to_owned());
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage:"),
        (&["nix"], "nix"),
        (&["demo", "--patients", "0"], "--patients"),
        (&["demo", "--model", "nix", "--exit"], "ibd-registry"),
        (&["demo", "--data", &nowhere, "--exit"], "--data"),
        (&["demo", "--data", empty, "--exit"], "ndjson"),
        (&["ehr", "--data", &nowhere], "nowhere"),
        (&["ehr", "--data", empty, "--fault", "nix"], "nix"),
        (&["generate", "--out", empty], "--patients"),
        (&["generate", "--patients", "0", "--out", &nowhere], "--patients"),
        (&["init", &nowhere, "--registry", "https://r.example", "--enrol", "x"], "--ehr"),
        (&["init", &nowhere, "--ehr", "https://e.example"], "--no-registry"),
        (
            &["init", &nowhere, "--ehr", "https://e.example", "--vendor", "nix", "--no-registry"],
            "epic",
        ),
        (&["keys", "list", "--site", &nowhere], "headwater init"),
        (&["keys", "rotate", "--overlap-hours", "1"], "--overlap-hours"),
        (&["serve", "--site", &nowhere], "headwater init"),
        (&["serve", "--listen", "everywhere"], "--listen"),
        (&["sync", "--site", &nowhere], "headwater init"),
        (&["sync", "--since", "yesterday"], "--since"),
        (&["sync", "--full", "--since", "2026-01-01T00:00:00Z"], "--since"),
        (&["quarantine", "list", "--site", &nowhere], "headwater init"),
        (&["check", empty], "profiles/<model>/"),
        (&["check", "--model", "nix"], "ibd-registry"),
        (&["view", &nowhere], "nowhere"),
        (&["fhirpath", "name"], "FILE.json"),
        (&["fhirpath", "name.(", "-"], "cannot read"),
        (&["fhirpath", "name", &nowhere], "nowhere"),
        (&["validate"], "FILE"),
        (&["validate", &nowhere], ".ndjson"),
        (&["map", "--data", empty, "--out", &nowhere], "<Type>*.ndjson"),
        (&["map", "--data", &nowhere, "--out", empty], "nowhere"),
        (&["map", "--data", empty, "--out", empty, "--threads", "0"], "--threads"),
        (&["map", "--data", empty, "--out", empty, "--deidentify", "safe-harbor"], "--keys"),
        (&["registry", "serve", "--dir", &nowhere], "registry init"),
        (&["registry", "site", "list", "--dir", &nowhere], "registry init"),
        (&["audit", "verify", "--log", &nowhere], "--log"),
        (&["audit", "verify", "--log", "http://registry.example/log"], "https"),
    ];
    for (args, named) in cases {
        let said = expect(2, args);
        assert_eq!(said.out, "", "{args:?}: nothing but an answer stands on stdout");
        assert!(said.err.contains(named), "{args:?} does not name `{named}`:\n{}", said.err);
    }
}

#[test]
fn a_map_is_the_same_bytes_for_any_number_of_threads() {
    let data = patients(12, 5);
    let out = tempfile::tempdir().unwrap();
    for format in ["ndjson", "csv"] {
        let tables = |threads: &str| -> BTreeMap<String, Vec<u8>> {
            let dir = out.path().join(format!("{format}-{threads}"));
            let args = ["map", "--data", text(data.path()), "--out", text(&dir), "--format", format];
            let said = expect(0, &[&args[..], &["--threads", threads]].concat());
            assert!(said.err.contains("STILL IDENTIFIED"), "{}", said.err);
            let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
            let named = |path: std::path::PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap());
            files.map(named).collect()
        };
        let one = tables("1");
        assert_eq!(one.len(), 26, "one file per table: {:?}", one.keys());
        assert!(one[&format!("lab_result.{format}")].len() > 10_000);
        for threads in ["2", "3"] {
            for (name, bytes) in tables(threads) {
                assert!(bytes == one[&name], "{name} differs with {threads} threads");
            }
        }
    }
}

/// Two columns against the alphabet, one of them often absent.
const VIEW: &str = r#"{"resourceType":"ViewDefinition","status":"active","resource":"Patient","select":[{"column":[
    {"name":"nickname","path":"name.where(use = 'nickname').given.first()","type":"string"},{"name":"id","path":"getResourceKey()","type":"string"}]}]}"#;

const LINES: &str = r#"{"resourceType":"Patient","id":"a","name":[{"use":"nickname","given":["Q, \"the\" first"]}]}
{"resourceType":"Patient","id":"b","name":[{"use":"official","given":["Bo"]}]}
{"resourceType":"Patient","id":"c","name":[{"use":"Zanzibar
{"resourceType":"Patient","id":"d"}
"#;

#[test]
fn a_view_keeps_its_column_order_and_writes_what_is_absent_as_null() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("view.json"), VIEW).unwrap();
    let good: String = LINES
        .lines()
        .filter(|line| !line.contains("Zanzibar"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(path("good.ndjson"), &good).unwrap();
    let mut gz = flate2::write::GzEncoder::new(std::fs::File::create(path("good.ndjson.gz")).unwrap(), flate2::Compression::fast());
    gz.write_all(good.as_bytes()).unwrap();
    gz.finish().unwrap();

    let (view, plain, packed) = (path("view.json"), path("good.ndjson"), path("good.ndjson.gz"));
    let (view, plain, packed) = (text(&view), text(&plain), text(&packed));
    let rows = [
        r#"{"nickname":"Q, \"the\" first","id":"Patient/a"}"#,
        r#"{"nickname":null,"id":"Patient/b"}"#,
        r#"{"nickname":null,"id":"Patient/d"}"#,
    ];
    let all = format!("{}\n", rows.join("\n"));
    assert_eq!(expect(0, &["view", view, plain]).out, all);
    assert_eq!(expect(0, &["view", view, packed]).out, all);
    assert_eq!(expect(0, &["view", view, plain, packed]).out, format!("{all}{all}"));
    assert_eq!(
        expect(0, &["view", view, plain, "--limit", "2"]).out,
        format!("{}\n{}\n", rows[0], rows[1])
    );
    assert_eq!(
        expect(0, &["view", view, plain, "--format", "csv"]).out,
        "nickname,id\r\n\"Q, \"\"the\"\" first\",Patient/a\r\n,Patient/b\r\n,Patient/d\r\n"
    );

    let said = run_with(&["view", view], LINES.as_bytes());
    assert_eq!((said.exit, said.out), (Some(3), all), "a broken line costs itself only");
    assert!(said.err.contains("stdin: line 3: "), "{}", said.err);
    assert!(!said.err.contains("Zanzibar"), "a broken line is named, not shown: {}", said.err);
}

#[test]
fn a_log_collector_gets_nothing_but_json_lines() {
    let dir = tempfile::tempdir().unwrap();
    let view = dir.path().join("view.json");
    std::fs::write(&view, VIEW).unwrap();
    let said = run_with(&["--log-json", "view", text(&view)], LINES.as_bytes());
    assert_eq!(said.exit, Some(3));
    assert_eq!(said.err.lines().count(), 2, "the broken line and the last word:\n{}", said.err);
    for line in said.err.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["fields"]["message"].is_string(), "{line}");
    }
}

#[test]
fn a_batch_answers_every_line_in_order_and_survives_bad_ones() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.json");
    std::fs::write(&file, r#"{"resourceType":"Patient","id":"a","name":[{"given":["Ada","Bea"]}]}"#).unwrap();
    let ask = |expression: &str| serde_json::json!({"expression": expression, "file": file}).to_string();
    let questions = [
        ask("name.given"),
        "no JSON".to_owned(),
        ask("name.given.where($this = 'C')"),
        ask("name.givn"),
        r#"{"expression":"1 + 1"}"#.to_owned(),
        r#"{"expression":"id","file":"nowhere.json"}"#.to_owned(),
        ask("id"),
    ];
    let said = run_with(&["fhirpath", "--batch"], format!("{}\n", questions.join("\n")).as_bytes());
    assert_eq!((said.exit, said.err.as_str()), (Some(0), ""));
    let answers: Vec<serde_json::Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), questions.len(), "{}", said.out);
    for (at, result) in [(0, r#"["Ada","Bea"]"#), (2, "[]"), (4, "[2]"), (6, r#"["a"]"#)] {
        assert_eq!(
            answers[at],
            serde_json::json!({"result": serde_json::from_str::<serde_json::Value>(result).unwrap()})
        );
    }
    for (at, named) in [(1, "not JSON"), (3, "`givn`"), (5, "nowhere.json")] {
        assert!(answers[at]["error"].as_str().unwrap().contains(named), "{}", answers[at]);
    }
    assert_eq!(expect(0, &["fhirpath", "name.given.count()", text(&file)]).out, "[2]\n");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let data = patients(40, 3);
    let observations = data.path().join("Observation.ndjson");
    let dir = tempfile::tempdir().unwrap();
    let view = dir.path().join("view.json");
    // More than a pipe holds, so that the command does meet the closed end.
    let wide = VIEW
        .replace("Patient", "Observation")
        .replace("name.where(use = 'nickname').given.first()", "status");
    std::fs::write(&view, wide).unwrap();
    for args in [
        vec!["view", text(&view), text(&observations)],
        vec!["validate", text(&observations)],
    ] {
        let mut child = Command::new(HEADWATER)
            .args(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        drop(out);
        assert!(line.starts_with('{'), "{line}");
        let ended = child.wait_with_output().unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {err}");
        assert!(!err.contains("panicked"), "{args:?}: {err}");
    }
}

#[test]
fn a_key_the_ehr_does_not_know_is_wrong_configuration() {
    let data = patients(1, 3);
    let house = House::over(data.path());
    let site = house.site("safe-harbor", None);
    let said = expect(0, &["quarantine", "list", "--site", text(&site)]);
    assert!(said.err.contains("no run has been made"), "{}", said.err);

    let good = std::fs::read_to_string(&site).unwrap();
    let client = good.lines().find(|line| line.starts_with("client_id")).unwrap();
    std::fs::write(&site, good.replacen(client, "client_id = \"stranger\"", 1)).unwrap();
    // No later night mends it: the operator must be told (exit 2), and by a service manager too.
    let said = expect(2, &["sync", "--site", text(&site)]);
    assert!(
        said.err.contains("`stranger`") && said.err.contains("register this key"),
        "{}",
        said.err
    );
    assert_eq!(said.out, "");

    house.close();
}

#[test]
fn validate_says_what_it_does_not_ask_without_fhir_s_own_definitions_and_asks_it_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Patient.json");
    // pat-1: a contact has a name, an address, a telecom or an organization.
    std::fs::write(&file, r#"{"resourceType":"Patient","id":"p","contact":[{"gender":"female"}]}"#).unwrap();
    let alone = expect(0, &["validate", text(&file)]);
    assert!(alone.err.contains("hl7.fhir.r4.core"), "{}", alone.err);
    let definition = r#"{"resourceType":"StructureDefinition","url":"http://hl7.org/fhir/StructureDefinition/Patient","kind":"resource",
        "type":"Patient","derivation":"specialization","snapshot":{"element":[{"path":"Patient"},{"path":"Patient.contact","constraint":[
        {"key":"pat-1","severity":"error","human":"h","expression":"name.exists() or telecom.exists() or address.exists() or organization.exists()"}]}]}}"#;
    let package = dir.path().join("core.json");
    std::fs::write(&package, definition).unwrap();
    let with = expect(3, &["validate", "--package", text(&package), text(&file)]);
    assert!(!with.err.contains("hl7.fhir.r4.core"), "{}", with.err);
    assert!(
        with.out.contains("invariant pat-1") && with.out.contains("Patient.contact[0]"),
        "{}",
        with.out
    );
}
