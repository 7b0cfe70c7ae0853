//! The files a network package is made of, from bytes. The first byte says which loader takes the rest; what it loads is also
//! run, on a few resources.

use std::sync::{Arc, OnceLock};

use headwater::cdm::{Cell, Model, Rows, describe};
use headwater::deidentify::Policy;
use headwater::fhir::tree::{Limits, Tree};
use headwater::map::cases::run_cases;
use headwater::map::derive::Derivations;
use headwater::map::view::{Reading, View};
use headwater::map::{Mapping, MappingFault};
use headwater::network::{Network, Package};
use headwater::validate::Profiles;

const MODEL: &str = "omop-5.4";

/// Loaded once: what the bytes are loaded against.
fn network() -> &'static Network {
    static LOADED: OnceLock<Network> = OnceLock::new();
    LOADED.get_or_init(|| Package::BuiltIn.load(MODEL).expect("the built-in package is sound"))
}

pub fn run(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match b"vmtcdpfsw"
        .iter()
        .position(|word| *word == first)
        .unwrap_or(usize::from(first) % 9)
    {
        0 => view(&text),
        1 => mapping(&[("Observation.measurement.json", &text)], &[]),
        2 => mapping(&[("v.json", VIEW)], &[("map.json", &text)]),
        3 => cases(&text),
        4 => drop(sound(Derivations::load("derived.toml", &text, &network().model), &text)),
        5 => policy(&text),
        6 => drop(Profiles::load(&[("profile.json", &*text)])),
        7 => schema(&text),
        _ => drop(describe::schemas(&text)),
    }
}

/// A view whose column is translated by whatever map comes.
const VIEW: &str = r#"{"resourceType":"ViewDefinition","name":"note","resource":"Observation","select":[{"column":[{"name":"note_id",
"path":"getResourceKey()","tag":[{"name":"headwater/key","value":""},{"name":"headwater/translate","value":"u"},
{"name":"headwater/coding","value":"code"}]}]}]}"#;

/// Every fault has a place in its file.
fn sound<T>(loaded: Result<T, Vec<MappingFault>>, text: &str) -> Option<T> {
    let lines = text.matches('\n').count() + 1;
    match loaded {
        Ok(loaded) => Some(loaded),
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a fault");
            for fault in &faults {
                assert!(fault.line >= 1 && fault.column >= 1, "{fault}");
                assert!(fault.line <= lines.max(20), "{fault}");
            }
            None
        }
    }
}

fn view(text: &str) {
    for reading in [Reading::Standard, Reading::Mapping] {
        if let Some(view) = sound(View::compile(text, "view.json", reading), text) {
            for number in 0..6 {
                rows(&view, &super::evaluate::resource(number));
            }
        }
    }
}

fn rows(view: &View, resource: &str) {
    let mut tree = Tree::new();
    let root = tree.parse(resource.as_bytes(), &Limits::default()).expect("a resource of ours");
    let (mut count, mut bytes) = (0usize, Vec::new());
    let _ = view.rows(root, |row| {
        count += 1;
        bytes.clear();
        row.fields.iter().for_each(|field| field.write_json(&mut bytes));
        Ok(())
    });
    assert!(count <= 100_000, "{count} rows of one resource");
}

fn mapping(views: &[(&str, &str)], maps: &[(&str, &str)]) {
    let owned = |files: &[(&str, &str)]| {
        files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect::<Vec<_>>()
    };
    let text: String = views.iter().chain(maps).map(|(_, text)| *text).collect();
    let Some(mapping) = sound(Mapping::load(Arc::clone(&network().model), &owned(views), &owned(maps)), &text) else {
        return;
    };
    drop(mapping.reads());
    run_cases(
        &mapping,
        network().case_vocabulary.as_ref(),
        "Observation.measurement.cases.json",
        CASES,
    );
}

const CASES: &str = r#"{"cases":[{"resource":{"resourceType":"Observation","id":"o","status":"final","code":{"coding":[{"system":"u","code":"c"}]}},"rows":{"measurement":[{"value_as_number":1}]}}]}"#;

fn cases(text: &str) {
    let report = run_cases(
        &network().mapping,
        network().case_vocabulary.as_ref(),
        "Observation.measurement.cases.json",
        text,
    );
    for failure in &report.failures {
        assert!(failure.at.0 >= 1 && failure.at.1 >= 1, "{failure}");
    }
}

fn policy(text: &str) {
    for name in ["safe-harbor", "limited-data-set", text.get(..3).unwrap_or_default()] {
        if let Err(faults) = Policy::compile(name, text, &network().model) {
            assert!(!faults.is_empty(), "refused without a fault");
        }
    }
}

/// A table as a JSON Schema, and an empty row checked against it.
fn schema(text: &str) {
    let files = [("table.schema.json".to_owned(), text.to_owned())];
    let Ok(model) = Model::from_schemas("m", &files) else { return };
    for (id, table) in model.tables() {
        let mut rows = Rows::new();
        rows.begin(id);
        let cells = vec![Cell::Null; table.columns.len()];
        let _ = table.check(&cells);
    }
}
