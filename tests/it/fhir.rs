//! Real input that we did not write: every line of the shared Synthea files and every US Core example is a tree and
//! passes the structure check; a tenth of them is compared with what serde_json sees.
//!
//! The files stand below `HEADWATER_SHARED` (default: `../shared` beside the repository); where they are absent the test
//! says so and passes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use headwater::fhir::ndjson;
use headwater::fhir::tree::{Kind, Limits, Node, Tree};
use headwater::validate::{self, Profiles};
use serde_json::Value;

/// The folder of shared data, if it is there.
fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HEADWATER_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = root.join(folder);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no {}", folder.display());
    None
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder is readable")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

fn read(file: &Path) -> Vec<u8> {
    let bytes = fs::read(file).expect("the file is readable");
    if file.extension().is_none_or(|ending| ending != "gz") {
        return bytes;
    }
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice())
        .read_to_end(&mut text)
        .expect("the file is gzip");
    text
}

/// The tree shows what serde_json shows.
fn is_same(node: Node<'_, '_>, value: &Value) -> bool {
    match value {
        Value::Null => node.kind() == Kind::Null,
        Value::Bool(value) => node.kind() == Kind::Boolean && node.raw() == value.to_string(),
        Value::Number(value) => node.kind() == Kind::Number && node.raw().parse().ok() == value.as_f64(),
        Value::String(value) => node.kind() == Kind::String && node.text() == value.as_str(),
        Value::Array(values) => {
            node.kind() == Kind::Array
                && node.children().count() == values.len()
                && node.children().zip(values).all(|(item, value)| is_same(item, value))
        }
        Value::Object(members) => {
            node.kind() == Kind::Object
                && node.children().count() == members.len()
                && node
                    .children()
                    .all(|member| members.get(member.name_text()).is_some_and(|value| is_same(member, value)))
        }
    }
}

/// Faults by path and rule, with how many resources there were.
#[derive(Default)]
struct Seen {
    resources: usize,
    faults: BTreeMap<(String, String), usize>,
}

impl Seen {
    fn line(&mut self, tree: &mut Tree, line: &[u8]) {
        let root = tree.parse(line, &Limits::default()).expect("real input is JSON");
        self.resources += 1;
        // serde_json takes its time: every tenth line.
        if self.resources % 10 == 1 {
            assert!(
                is_same(root, &serde_json::from_slice(line).expect("real input is JSON")),
                "line {}",
                self.resources
            );
        }
        for issue in validate::check_all(&Profiles::default(), root) {
            let refusal = issue.refusal;
            let path = refusal.path.split(['[', ']']).filter(|part| part.parse::<u32>().is_err()).collect();
            *self.faults.entry((path, refusal.rule.into_owned())).or_default() += 1;
        }
    }
}

#[test]
fn every_synthea_resource_passes_the_structure_check() {
    for (folder, expected) in [("data/synthea/r4-100", 38_472), ("data/synthea/us-core-60", 0)] {
        let Some(folder) = shared(folder) else { return };
        let mut seen = Seen::default();
        let mut tree = Tree::new();
        for file in files(&folder) {
            let text = read(&file);
            for line in ndjson::split(&text, 1, Limits::default().line_bytes) {
                seen.line(&mut tree, line.bytes.expect("no line is too long"));
            }
        }
        println!("{}: {} resources", folder.display(), seen.resources);
        assert!(seen.resources >= expected.max(1));
        assert_eq!(seen.faults, BTreeMap::new());
    }
}

#[test]
fn every_us_core_example_passes_the_structure_check() {
    let Some(folder) = shared("data/us-core/examples") else { return };
    let mut seen = Seen::default();
    let mut tree = Tree::new();
    for file in files(&folder)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "json"))
    {
        seen.line(&mut tree, &read(&file));
    }
    assert_eq!(seen.resources, 183);
    assert_eq!(seen.faults, BTreeMap::new());
}
