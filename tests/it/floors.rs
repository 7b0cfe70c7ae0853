//! Holds the code to the map in `src/lib.rs`: who may import whom, that a folder never imports its face, and file size.
//! Reads source text only: comments, strings and test modules are taken out, then every `crate::part` is an arrow.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use Allowed::{Downwards, Only};

/// What a part may import of ours, besides itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    /// Every part of a lower floor.
    Downwards,
    Only(&'static [&'static str]),
}

/// The floors, from the top. The table in `src/lib.rs` says the same in words; a test compares them.
const FLOORS: [(u8, &str, Allowed); 20] = [
    (8, "main", Downwards),
    (8, "cli", Downwards),
    (7, "config", Downwards),
    (7, "network", Downwards),
    (7, "simulate", Downwards),
    (
        6,
        "gateway",
        Only(&[
            "pull",
            "landing",
            "validate",
            "map",
            "deidentify",
            "submit",
            "audit",
            "origin",
            "refusal",
            "fhir",
            "cdm",
            "submission",
            "platform",
        ]),
    ),
    (6, "registry", Only(&["receive", "console", "audit", "platform"])),
    (5, "submit", Only(&["deidentify", "submission", "cdm", "platform"])),
    (5, "console", Only(&["receive", "audit", "submission", "platform"])),
    (4, "deidentify", Only(&["map", "fhir", "cdm", "refusal", "platform"])),
    (4, "receive", Only(&["submission", "cdm", "audit", "platform"])),
    (3, "map", Only(&["validate", "fhir", "cdm", "refusal"])),
    (2, "validate", Only(&["fhir", "origin", "refusal"])),
    (2, "pull", Only(&["fhir", "origin", "landing", "platform"])),
    (2, "landing", Only(&["platform", "origin"])),
    (2, "audit", Only(&["platform", "origin"])),
    (1, "submission", Only(&["cdm"])),
    (1, "refusal", Only(&["origin"])),
    (0, "fhir", Only(&[])),
    (0, "cdm", Only(&[])),
];

/// Floor 0, continued: the table has one line for all four.
const GROUND: [&str; 2] = ["origin", "platform"];

/// The command line is a face by nature: its verbs answer with the face's own exit codes.
const FACES_OPEN_TO_THEIR_FOLDER: [&str; 1] = ["cli"];

const LONG_LINES: usize = 400;
const TOO_LONG_LINES: usize = 700;

fn floors() -> BTreeMap<&'static str, (u8, Allowed)> {
    let ground = GROUND.map(|part| (part, (0, Only(&[]))));
    FLOORS
        .iter()
        .map(|(floor, part, allowed)| (*part, (*floor, *allowed)))
        .chain(ground)
        .collect()
}

/// A source file: its path below `src`, with `/`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// `map/view.rs` is the module `[map, view]`; `lib.rs` is `[]`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.trim_end_matches(".rs");
        if path == "lib" { Vec::new() } else { path.split('/').collect() }
    }
}

#[test]
fn no_part_imports_a_floor_it_may_not() {
    let faults = arrows_upwards(&sources());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_folder_imports_its_face() {
    let faults = folders_that_import_their_face(&sources());
    assert!(
        faults.is_empty(),
        "move the item into a file of its own and re-export it: {faults:#?}"
    );
}

#[test]
fn no_file_holds_several_ideas() {
    let mut too_long = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > TOO_LONG_LINES {
            too_long.push(format!("src/{}: {lines} lines", source.path));
        } else if lines > LONG_LINES {
            println!("src/{}: {lines} lines; what second thing lives there?", source.path);
        }
    }
    assert!(too_long.is_empty(), "longer than {TOO_LONG_LINES} lines:\n{}", too_long.join("\n"));
}

#[test]
fn the_map_in_lib_rs_is_the_table_of_this_test() {
    let lib = std::fs::read_to_string(source_dir().join("lib.rs")).expect("src/lib.rs");
    let written = table_of_comment(&lib);
    let ours: BTreeMap<String, (u8, Option<Vec<String>>)> = floors()
        .into_iter()
        .map(|(part, (floor, allowed))| {
            let allowed = match allowed {
                Downwards => None,
                Only(parts) => Some(parts.iter().map(|part| (*part).to_owned()).collect()),
            };
            (part.to_owned(), (floor, allowed))
        })
        .collect();
    assert_eq!(written, ours);
}

#[test]
fn every_module_of_the_crate_stands_under_its_floor() {
    let lib = std::fs::read_to_string(source_dir().join("lib.rs")).expect("src/lib.rs");
    let (mut floor, mut seen) = (None, BTreeSet::new());
    for line in lib.lines() {
        if let Some(number) = line.strip_prefix("// Floor ") {
            floor = number.trim().parse::<u8>().ok();
        }
        if let Some(part) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            assert_eq!(
                floors().get(part).map(|(floor, _)| *floor),
                floor,
                "`{part}` stands under the wrong floor"
            );
            seen.insert(part.to_owned());
        }
    }
    let all: BTreeSet<String> = floors().into_keys().filter(|part| *part != "main").map(str::to_owned).collect();
    assert_eq!(seen, all);
}

/// Positive control: what the checker must see, and what it must not.
#[test]
fn the_checker_sees_an_arrow_upwards_however_it_is_written() {
    for text in [
        "use crate::gateway::Run;",
        "use crate::{cdm::Cell, gateway::{self, Run}};",
        "use crate::{\n    cdm,\n    gateway,\n};",
        "fn f() { crate::gateway::run() }",
        "use super::super::gateway;",
        "pub(crate) use crate :: gateway :: Run;",
        "type A<'a> = &'a crate::gateway::B; const C: char = '\"';",
        "const S: &str = r#\"a\"#; use crate::gateway::S;",
    ] {
        let faults = arrows_upwards(&tree(&[("map/view.rs", text)]));
        assert_eq!(
            faults,
            ["src/map/view.rs imports `gateway`: `map` (floor 3) may import validate, fhir, cdm, refusal"],
            "{text}"
        );
    }
}

#[test]
fn the_checker_passes_what_is_no_arrow() {
    for text in [
        "// use crate::gateway::Run;",
        "/* use /* nested */ crate::gateway::Run; */",
        "const S: &str = \"use crate::gateway::Run;\";",
        "const S: &str = r##\"crate::gateway \"# \"##;",
        "#[cfg(test)]\nmod tests { use crate::gateway::Run; fn f() { if true {} } }",
        "#[cfg(test)]\n#[allow(unused)]\nuse crate::{gateway, cli};",
        "use crate::map::column; use crate::validate::Conformant; use super::column;",
        "pub(crate) struct Gateway;",
        "use other::crate_::gateway;",
    ] {
        let faults = arrows_upwards(&tree(&[("map/view.rs", text)]));
        assert!(faults.is_empty(), "{text}: {faults:?}");
    }
}

#[test]
fn the_checker_skips_a_module_that_is_there_for_tests_only() {
    let files = [
        ("map.rs", "mod view;\n#[cfg(test)]\nmod tests;"),
        ("map/tests.rs", "use crate::gateway::Run; use super::map;"),
    ];
    assert!(arrows_upwards(&tree(&files)).is_empty());
    assert!(folders_that_import_their_face(&tree(&files)).is_empty());
}

#[test]
fn the_checker_knows_that_nothing_imports_settings_and_simulation() {
    for (file, part) in [
        ("network.rs", "config"),
        ("network.rs", "simulate"),
        ("gateway.rs", "registry"),
        ("registry.rs", "gateway"),
    ] {
        let faults = arrows_upwards(&tree(&[(file, &format!("use crate::{part}::X;"))]));
        assert_eq!(faults.len(), 1, "{file} -> {part}");
    }
    assert!(arrows_upwards(&tree(&[("cli/demo.rs", "use crate::{config, simulate, gateway, registry};")])).is_empty());
    assert_eq!(
        arrows_upwards(&tree(&[("cli.rs", "use crate::attic::X;")])),
        ["src/cli.rs imports `attic`: no such part stands on the map in src/lib.rs"]
    );
}

#[test]
fn the_checker_sees_a_folder_that_imports_its_face() {
    let face = "pub mod view; pub use view::View; pub struct Mapped; pub fn map() { struct Inner; } pub(crate) const N: u8 = 1;";
    let check = |text: &str| folders_that_import_their_face(&tree(&[("map.rs", face), ("map/view.rs", text), ("map/column.rs", "")]));
    for text in [
        "use super::Mapped;",
        "use crate::map::{column, Mapped};",
        "fn f() { super::map() }",
        "use super::{column::C, N};",
    ] {
        assert_eq!(check(text).len(), 1, "{text}");
    }
    for text in [
        "use super::column::C;",
        "use crate::map::column;",
        "use super::View;",
        "mod tests { fn f() { Inner } }",
    ] {
        assert!(check(text).is_empty(), "{text}");
    }
}

fn tree(files: &[(&str, &str)]) -> Vec<Source> {
    let source = |(path, text): &(&str, &str)| Source {
        path: (*path).to_owned(),
        text: (*text).to_owned(),
    };
    files.iter().map(source).collect()
}

fn source_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("a directory of ours") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = source_dir();
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    assert!(paths.len() > 20, "the sources were found");
    paths
        .into_iter()
        .map(|path| Source {
            text: std::fs::read_to_string(&path).expect("UTF-8 source"),
            path: path.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/"),
        })
        .collect()
}

/// Each import of a part that the table does not allow, as a sentence.
fn arrows_upwards(sources: &[Source]) -> Vec<String> {
    let floors = floors();
    let tests = test_files(sources);
    let mut faults = BTreeSet::new();
    for source in sources.iter().filter(|source| !tests.contains(&source.path)) {
        let module = source.module();
        // `lib.rs` names every part; `main.rs` is a crate of its own.
        let Some(part) = module.first().filter(|part| **part != "main") else {
            continue;
        };
        for path in paths_of(&code_of(&source.text)) {
            let Some(imported) = absolute(&path, &module).and_then(|path| path.into_iter().next()) else {
                continue;
            };
            let path = &source.path;
            let Some((imported_floor, _)) = floors.get(imported.as_str()) else {
                faults.insert(format!(
                    "src/{path} imports `{imported}`: no such part stands on the map in src/lib.rs"
                ));
                continue;
            };
            let Some((floor, allowed)) = floors.get(part) else {
                faults.insert(format!("src/{path}: `{part}` does not stand on the map in src/lib.rs"));
                continue;
            };
            let (may, words) = match allowed {
                Downwards => (imported_floor < floor, "every lower floor".to_owned()),
                Only([]) => (false, "nothing of ours".to_owned()),
                Only(parts) => (parts.contains(&imported.as_str()), parts.join(", ")),
            };
            if imported != *part && !may {
                faults.insert(format!(
                    "src/{path} imports `{imported}`: `{part}` (floor {floor}) may import {words}"
                ));
            }
        }
    }
    faults.into_iter().collect()
}

/// Each file of a part's folder that names an item defined in the part's face.
fn folders_that_import_their_face(sources: &[Source]) -> Vec<String> {
    let tests = test_files(sources);
    let mut faults = BTreeSet::new();
    for source in sources.iter().filter(|source| !tests.contains(&source.path)) {
        let module = source.module();
        let [part, _, ..] = module.as_slice() else { continue };
        if FACES_OPEN_TO_THEIR_FOLDER.contains(part) {
            continue;
        }
        let Some(face) = sources.iter().find(|face| face.path == format!("{part}.rs")) else {
            continue;
        };
        let items = items_of(&code_of(&face.text));
        for path in paths_of(&code_of(&source.text)) {
            if let Some([to, item, ..]) = absolute(&path, &module).as_deref()
                && to == part
                && items.contains(item)
            {
                faults.insert(face_fault(&source.path, item));
            }
        }
    }
    faults.into_iter().collect()
}

fn face_fault(file: &str, item: &str) -> String {
    let part = file.split('/').next().unwrap_or("");
    format!("src/{file} imports `{item}` of its own face src/{part}.rs")
}

/// Files that only `#[cfg(test)] mod name;` brings in.
fn test_files(sources: &[Source]) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for source in sources {
        let mut text = without_comments_and_strings(&source.text);
        while let Some(at) = text.find("#[cfg(test)]") {
            text = text[at + 12..].to_owned();
            let item: Vec<&str> = text.trim_start().splitn(3, |c: char| c.is_whitespace() || c == ';').collect();
            if let ["mod", name, ..] = item.as_slice() {
                let folder = source.path.trim_end_matches(".rs");
                files.insert(if folder == "lib" {
                    format!("{name}.rs")
                } else {
                    format!("{folder}/{name}.rs")
                });
            }
        }
    }
    files
}

/// A path of a source file from the crate's root: `crate::a::b` and enough `super::`; `None` for any other.
fn absolute(path: &[String], module: &[&str]) -> Option<Vec<String>> {
    let ups = path.iter().take_while(|word| *word == "super").count();
    match path.first().map(String::as_str) {
        Some("crate") => Some(path[1..].to_vec()),
        Some("super") if ups <= module.len() => {
            let base = module[..module.len() - ups].iter().map(|word| (*word).to_owned());
            Some(base.chain(path[ups..].iter().cloned()).collect())
        }
        _ => None,
    }
    .filter(|path| !path.is_empty())
}

/// Every path that begins with `crate` or `super`, with groups written out.
fn paths_of(code: &str) -> Vec<Vec<String>> {
    let words = words_of(code);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let starts = matches!(words[at].as_str(), "crate" | "super") && (at == 0 || words[at - 1] != "::");
        if starts && words.get(at + 1).is_some_and(|next| next == "::") {
            at = follow(&words, at, &mut Vec::new(), &mut paths);
        } else {
            at += 1;
        }
    }
    paths
}

/// Reads one path or group from `at` behind `prefix`; gives the place after it.
fn follow(words: &[String], mut at: usize, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    loop {
        match words.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while words.get(at).is_some_and(|word| word != "}") {
                    if words[at] == "," {
                        at += 1;
                    } else {
                        at = follow(words, at, prefix, paths);
                    }
                }
                at += 1;
                break;
            }
            Some(word) if is_word(word) => {
                if word != "self" {
                    prefix.push(word.to_owned());
                }
                at += 1;
                // `Cell as Other` renames, and does not go on.
                while words.get(at).is_some_and(|next| next == "as") {
                    at += 2;
                }
                if words.get(at).is_none_or(|next| next != "::") {
                    paths.push(prefix.clone());
                    break;
                }
                at += 1;
            }
            _ => {
                paths.push(prefix.clone());
                at += 1;
                break;
            }
        }
    }
    prefix.truncate(depth);
    at
}

fn is_word(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::`, and single other signs.
fn words_of(code: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut characters = code.chars().peekable();
    while let Some(character) = characters.next() {
        if character.is_whitespace() {
            continue;
        }
        let mut word = String::from(character);
        if character.is_alphanumeric() || character == '_' {
            while let Some(next) = characters.next_if(|next| next.is_alphanumeric() || *next == '_') {
                word.push(next);
            }
        } else if character == ':' && characters.next_if_eq(&':').is_some() {
            word.push(':');
        }
        words.push(word);
    }
    words
}

/// Names of the items that a file defines at its top: functions, types, constants; not modules and re-exports.
fn items_of(code: &str) -> BTreeSet<String> {
    let mut depth = 0usize;
    let words = words_of(code);
    let mut items = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" if depth == 0 => {
                items.extend(words.get(at + 1).filter(|name| is_word(name)).cloned());
            }
            _ => {}
        }
    }
    items
}

/// The source without comments, the content of literals, and items marked `#[cfg(test)]`.
fn code_of(text: &str) -> String {
    let mut code = without_comments_and_strings(text);
    while let Some(at) = code.find("#[cfg(test)]") {
        let end = end_of_item(&code, at + 12);
        code.replace_range(at..end, "");
    }
    code
}

/// Where the item that begins at `from` ends: at its `;`, or at the brace that closes its body.
fn end_of_item(code: &str, from: usize) -> usize {
    let mut depth = 0usize;
    let mut is_use = None;
    for (at, character) in code[from..].char_indices() {
        if is_use.is_none() && depth == 0 && character.is_alphabetic() {
            is_use = Some(code[from + at..].starts_with("use "));
        }
        match character {
            '[' | '(' | '{' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && is_use != Some(true) {
                    return from + at + 1;
                }
            }
            ';' if depth == 0 => return from + at + 1,
            _ => {}
        }
    }
    code.len()
}

fn without_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let before = out.chars().next_back().filter(|c| c.is_alphanumeric() || *c == '_');
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if character == '"' {
            quoted(rest)
        } else if character == 'r' && before.is_none_or(|c| c == 'b') && raw_string(rest).is_some() {
            raw_string(rest).unwrap_or(1)
        } else if character == '\'' {
            character_literal(rest).unwrap_or(0)
        } else {
            0
        };
        if skip > 0 {
            out.push(' ');
            rest = &rest[skip..];
        } else {
            out.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    out
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if std::mem::take(&mut escaped) => {}
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"…"` or `r#"…"#`, if that is what stands here.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let body = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let at = body.find(&end)?;
    Some(1 + hashes + 1 + at + end.len())
}

/// The length of `'x'` or `'\n'`; a lifetime is none.
fn character_literal(text: &str) -> Option<usize> {
    let inner = &text[1..];
    let first = inner.chars().next()?;
    let end = if first == '\\' {
        2 + inner[2..].find('\'')?
    } else {
        first.len_utf8()
    };
    inner[end..].starts_with('\'').then_some(end + 2)
}

/// The table of `lib.rs`'s head comment: part -> floor and what it may import (`None`: downwards).
fn table_of_comment(lib: &str) -> BTreeMap<String, (u8, Option<Vec<String>>)> {
    let mut table = BTreeMap::new();
    for line in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let columns: Vec<&str> = line.trim_end().trim_end_matches('|').splitn(3, '|').map(str::trim).collect();
        let [floor, parts, allowed] = columns.as_slice() else { continue };
        let Ok(floor) = floor.parse::<u8>() else { continue };
        if parts.contains("->") {
            // `submission` -> cdm; `refusal` -> origin
            for arrow in parts.split(';') {
                let (part, allowed) = arrow.split_once("->").expect("an arrow");
                table.insert(part.trim().trim_matches('`').to_owned(), (floor, Some(list(allowed))));
            }
            continue;
        }
        for part in parts.split_whitespace() {
            let allowed = match *allowed {
                "nothing of ours" => Some(Vec::new()),
                words if words.starts_with("downwards") => None,
                words => Some(list(words)),
            };
            table.insert(part.trim_matches('`').to_owned(), (floor, allowed));
        }
    }
    table
}

/// `map (for `Mapped`), receive's read side, cdm` as map, receive, cdm.
fn list(words: &str) -> Vec<String> {
    let first_word = |part: &str| part.trim().split(|c: char| !c.is_alphanumeric()).next().unwrap_or("").to_owned();
    words.split(',').map(first_word).collect()
}
