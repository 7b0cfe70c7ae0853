//! Mapping files made to use up stack, time or memory. Each is refused with its file and what is wrong, or runs and ends: as a
//! process of its own, whose time and memory are watched, and on a small stack.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use headwater::fhir::tree::{Limits, Tree};
use headwater::map::view::{Reading, View};

use crate::hostile_expressions::{STACK, resource};
use crate::hostile_views::{End, list, views};

/// What one process may take on a busy machine, unoptimised; a release build on a quiet one is held to a second by hand.
const LONGEST: Duration = Duration::from_secs(60);
/// What a hostile file may need beyond what a sound one of its kind needs.
const MEMORY_KIB: u64 = 64 << 10;

/// Exit code, what it said, time and the highest memory that was seen.
fn watched(command: &mut Command) -> (Option<i32>, String, Duration, u64) {
    let begun = Instant::now();
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(said.reopen().unwrap()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let code = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let own = text
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(own.unwrap_or(0));
        if let Some(code) = child.try_wait().unwrap() {
            break code.code();
        }
        if begun.elapsed() > LONGEST {
            child.kill().unwrap();
            panic!("did not end");
        }
        thread::sleep(Duration::from_millis(2));
    };
    (code, fs::read_to_string(said.path()).unwrap(), begun.elapsed(), peak)
}

#[test]
fn a_hostile_view_is_refused_or_stopped_in_time_and_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.ndjson");
    fs::write(&data, resource()).unwrap();
    let all = views();
    assert!(all.len() >= 35);
    let sound = {
        let file = folder.path().join("sound.json");
        fs::write(
            &file,
            r#"{"name":"v","resource":"Patient","select":[{"column":[{"name":"a","path":"id"}]}]}"#,
        )
        .unwrap();
        let (code, said, _, peak) = watched(Command::new(env!("CARGO_BIN_EXE_headwater")).arg("view").arg(&file).arg(&data));
        assert_eq!(code, Some(0), "a sound view: {said}");
        peak
    };
    let mut wrong = Vec::new();
    for (name, text, end) in all {
        let file = folder.path().join("view.json");
        fs::write(&file, &text).unwrap();
        let (code, said, took, peak) = watched(Command::new(env!("CARGO_BIN_EXE_headwater")).arg("view").arg(&file).arg(&data));
        let found = match code {
            Some(0) => Some(End::Rows),
            Some(2) if said.contains("view.json") => Some(End::Refused),
            Some(3) if said.contains("line 1") => Some(End::Stopped),
            _ => None,
        };
        println!("{name}: {found:?}, {took:?}, {} MiB", peak >> 10);
        let said: String = said.chars().take(400).collect();
        if found != Some(end) {
            wrong.push(format!("{name}: exit {code:?}, not {end:?}: {said}"));
        }
        if peak > sound + MEMORY_KIB {
            wrong.push(format!("{name}: {} MiB, a sound one {}", peak >> 10, sound >> 10));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_hostile_view_needs_no_more_than_a_small_stack() {
    let line = resource();
    let work = move || {
        for (_, text, _) in views() {
            for reading in [Reading::Standard, Reading::Mapping] {
                let Ok(view) = View::compile(&text, "view.json", reading) else {
                    continue;
                };
                let mut tree = Tree::new();
                let root = tree.parse(line.as_bytes(), &Limits::default()).unwrap();
                let mut rows = 0;
                let done = view.rows(root, |_| {
                    rows += 1;
                    Ok(())
                });
                assert!(done.is_err() || rows <= 100_000);
            }
        }
    };
    thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap();
}

/// A package like the registry's own, with `text` as the file `name` of its mappings.
fn package(folder: &Path, name: &str, text: &[u8]) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for part in [
        "profiles/fhir",
        "profiles/ibd-registry",
        "mappings/ibd-registry",
        "mappings/ibd-registry/concepts",
    ] {
        fs::create_dir_all(folder.join(part)).unwrap();
        for entry in fs::read_dir(root.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, folder.join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    fs::write(folder.join("mappings/ibd-registry").join(name), text).unwrap();
}

#[test]
fn a_hostile_package_is_refused_in_time_and_little_memory_and_names_the_file() {
    let map = |elements: String| format!(r#"{{"resourceType":"ConceptMap","url":"u","group":[{{"source":"a","element":[{elements}]}}]}}"#);
    let element = |code: &str, target: &str| format!(r#"{{"code":"{code}","target":[{{"code":"{target}"}}]}}"#);
    let column = |rest: &str| {
        format!(
            r#"{{"name":"visit","resource":"Encounter","select":[{{"column":[{{"name":"visit_id","path":"getResourceKey()","tag":[{{"name":"headwater/key","value":""}}{rest}]}}]}}]}}"#
        )
    };
    let domains = format!(
        r#",{{"name":"headwater/vocabulary","value":"concept"}},{{"name":"headwater/domain","value":"{}"}}"#,
        "d,".repeat(1_000_000)
    );
    let files: Vec<(&str, Vec<u8>)> = vec![
        (
            "concepts/large.json",
            map(list(1_000_000, |n| element(&n.to_string(), "x"))).into_bytes(),
        ),
        ("concepts/twice.json", map(list(60_000, |_| element("a", "b"))).into_bytes()),
        ("concepts/none.json", map(list(300_000, |_| "{}".to_owned())).into_bytes()),
        (
            "concepts/numbers.json",
            format!("[{}]", list(2_000_000, |_| "0".to_owned())).into_bytes(),
        ),
        (
            "concepts/bytes.json",
            b"{\"resourceType\":\"ConceptMap\",\"url\":\"\xff\xfe\"}".to_vec(),
        ),
        ("Encounter.visit.2.json", column(&domains).into_bytes()),
        (
            "Encounter.visit.cases.json",
            format!(r#"{{"cases":[{}]}}"#, list(200_000, |_| r#"{"resource":{}}"#.to_owned())).into_bytes(),
        ),
        (
            "Encounter.visit.cases.json",
            format!(
                r#"{{"cases":[{{"resource":{{"resourceType":"Encounter"}},"rows":{{"visit":[{}]}}}}]}}"#,
                list(1_000_000, |_| "{}".to_owned())
            )
            .into_bytes(),
        ),
        ("deidentification.toml", "[table.visit]\n".repeat(200_000).into_bytes()),
        (
            "deidentification.toml",
            (0..100_000)
                .map(|n| format!("[table.t{n}]\nx = 1\n"))
                .collect::<String>()
                .into_bytes(),
        ),
        ("deidentification.toml", format!("a = {}", "[".repeat(1_000_000)).into_bytes()),
        (
            "derived.toml",
            (0..100_000).map(|n| format!("[t{n}]\n")).collect::<String>().into_bytes(),
        ),
        ("derived.toml", format!("a{} = 1", ".a".repeat(1_000_000)).into_bytes()),
        ("derived.toml", format!("a = {}", "{a = ".repeat(500_000)).into_bytes()),
    ];
    let sound = {
        let folder = tempfile::tempdir().unwrap();
        package(folder.path(), "concepts/sound.json", map(element("a", "b")).as_bytes());
        let (code, said, _, peak) = watched(Command::new(env!("CARGO_BIN_EXE_headwater")).arg("check").arg(folder.path()));
        assert_eq!(code, Some(0), "a sound package: {said}");
        peak
    };
    let mut wrong = Vec::new();
    for (name, text) in files {
        let folder = tempfile::tempdir().unwrap();
        package(folder.path(), name, &text);
        let (code, said, took, peak) = watched(Command::new(env!("CARGO_BIN_EXE_headwater")).arg("check").arg(folder.path()));
        println!("{name}: exit {code:?}, {took:?}, {} MiB, {} bytes said", peak >> 10, said.len());
        let shown: String = said.chars().take(300).collect();
        if code != Some(2) || !said.contains(name) || said.len() > 256 << 10 {
            wrong.push(format!("{name}: exit {code:?}, {} bytes: {shown}", said.len()));
        }
        if peak > sound + MEMORY_KIB {
            wrong.push(format!("{name}: {} MiB, a sound one {}", peak >> 10, sound >> 10));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
