//! The tags, one by one, and the faults that loading finds.

use std::sync::Arc;

use super::mapping::Mapping;
use super::row::Work;
use super::run::{Made, run};
use super::{Fate, Mapped, map};
use crate::cdm::{Model, Rows};
use crate::fhir::tree::{Limits, Tree};
use crate::validate::{self, Profiles};

const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"x-order":["k","code","n","d","drug"],"x-key":"k","required":["k"],
    "properties":{"k":{"type":"string"},"code":{"type":"string"},"n":{"type":"number"},"d":{"type":"string","format":"x-partial-date"},
    "drug":{"type":"string"}}}"#;

const CONCEPTS: &str = r#"{"resourceType":"ConceptMap","url":"http://x/map","group":[
    {"source":"http://loinc.org","element":[{"code":"1-8","target":[{"code":"one","equivalence":"equal"}]}]},
    {"source":"http://fixed","unmapped":{"mode":"fixed","code":"other"}}]}"#;

fn load(columns: &str) -> Result<Mapping, Vec<String>> {
    let model = Model::from_schemas("m", &[("t.schema.json".into(), SCHEMA.into())]).expect("a schema of ours");
    let view = format!(r#"{{"resource":"Observation","name":"t","select":[{{"forEach":"code.coding","column":[{columns}]}}]}}"#);
    let files = |name: &str, text: &str| vec![(name.to_owned(), text.to_owned())];
    Mapping::load(Arc::new(model), &files("Observation.t.json", &view), &files("c.json", CONCEPTS))
        .map_err(|faults| faults.into_iter().map(|fault| fault.message).collect())
}

const KEY: &str = r#"{"name":"k","path":"%resource.getResourceKey()","tag":[{"name":"headwater/key","value":"code"}]}"#;

/// Rows as JSON lines, or `path: rule` of the refusal; and how many unmapped codes were counted.
fn mapped(columns: &str, line: &str, landed: &[&str]) -> (Result<Vec<String>, String>, usize) {
    let mapping = load(&format!("{KEY},{columns}")).expect("the mapping loads");
    let mut builder = mapping.lookups();
    for resource in landed {
        let mut tree = Tree::new();
        builder.add_node(tree.parse(resource.as_bytes(), &Limits::default()).expect("JSON"));
    }
    let lookups = builder.finish();
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("the line is JSON");
    let (mut rows, mut work) = (Rows::new(), Work::default());
    let result = run(&mapping, &lookups, root, &mut rows, &mut work)
        .map(|made| {
            assert_eq!(matches!(made, Made::Rows), !rows.is_empty());
            let json = |(table, cells)| {
                let mut out = Vec::new();
                mapping.model().table(table).write_json(cells, &mut out);
                String::from_utf8(out).expect("JSON is UTF-8")
            };
            rows.iter().map(json).collect()
        })
        .map_err(|refusal| format!("{}: {}", refusal.path, refusal.rule));
    (result, work.stats.unmapped().len())
}

fn line(codings: &str, more: &str) -> String {
    format!(r#"{{"resourceType":"Observation","id":"o1","code":{{"coding":[{codings}]}}{more}}}"#)
}

fn coding(system: &str, code: &str) -> String {
    format!(r#"{{"system":"{system}","code":"{code}"}}"#)
}

fn translated(unmapped: &str) -> String {
    format!(
        r#"{{"name":"code","path":"code","tag":[{{"name":"headwater/translate","value":"http://x/map"}},
            {{"name":"headwater/coding","value":"$this"}},{{"name":"headwater/unmapped","value":"{unmapped}"}}]}}"#
    )
}

mod unit;
mod vocabulary;

#[test]
fn a_code_is_translated_by_its_system_and_becomes_part_of_the_key() {
    let (rows, unmapped) = mapped(&translated("null"), &line(&coding("http://loinc.org", "1-8"), ""), &[]);
    assert_eq!(rows, Ok(vec![r#"{"k":"Observation/o1#one","code":"one"}"#.to_owned()]));
    assert_eq!(unmapped, 0);
    let (rows, _) = mapped(&translated("null"), &line(&coding("http://fixed", "z"), ""), &[]);
    assert_eq!(rows, Ok(vec![r#"{"k":"Observation/o1#other","code":"other"}"#.to_owned()]));
}

#[test]
fn an_unmapped_code_is_counted_and_left_out_or_kept_or_refused() {
    let local = line(&coding("http://local", "L"), "");
    assert_eq!(
        mapped(&translated("null"), &local, &[]),
        (Ok(vec![r#"{"k":"Observation/o1#"}"#.to_owned()]), 1)
    );
    let kept = r#"{"k":"Observation/o1#L","code":"L"}"#.to_owned();
    assert_eq!(mapped(&translated("source"), &local, &[]), (Ok(vec![kept]), 1));
    assert_eq!(mapped(&translated("refuse"), &local, &[]), (Err("t.code: unmapped".to_owned()), 1));
}

#[test]
fn the_path_s_own_code_is_translated_in_the_system_that_the_tag_says() {
    let column = r#"{"name":"code","path":"code","tag":[{"name":"headwater/translate","value":"http://x/map"},
        {"name":"headwater/system","value":"http://loinc.org"}]}"#;
    let (rows, _) = mapped(column, &line(&coding("http://elsewhere", "1-8"), ""), &[]);
    assert_eq!(rows, Ok(vec![r#"{"k":"Observation/o1#one","code":"one"}"#.to_owned()]));
}

#[test]
fn two_rows_with_one_key_are_refused() {
    let twice = format!("{},{}", coding("http://loinc.org", "1-8"), coding("http://loinc.org", "1-8"));
    let (rows, _) = mapped(&translated("null"), &line(&twice, ""), &[]);
    assert_eq!(rows, Err("t.k: duplicate key".to_owned()));
}

#[test]
fn rows_of_one_key_are_numbered_where_the_key_says_so() {
    let key = r#"{"name":"k","path":"%resource.getResourceKey()","tag":[{"name":"headwater/key","value":"code,%repeat"}]}"#;
    let mapping = load(&format!("{key},{}", translated("source"))).expect("the mapping loads");
    let codes = ["a", "b", "a", "a"].map(|code| coding("s", code)).join(",");
    for _ in 0..2 {
        let line = line(&codes, "");
        let mut tree = Tree::new();
        let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
        let lookups = mapping.lookups().finish();
        let (mut rows, mut work) = (Rows::new(), Work::default());
        assert!(run(&mapping, &lookups, root, &mut rows, &mut work).is_ok());
        let keys: Vec<_> = rows
            .iter()
            .map(|(_, cells)| cells[0].as_text().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(
            keys,
            ["Observation/o1#a", "Observation/o1#b", "Observation/o1#a#2", "Observation/o1#a#3"]
        );
    }
}

#[test]
fn a_date_is_cut_in_its_own_zone_and_keeps_its_precision() {
    let column = r#"{"name":"d","path":"%resource.effective.ofType(dateTime)","tag":[{"name":"headwater/date","value":"date"}]}"#;
    for (given, cut) in [
        ("2024-03-05T23:30:00-05:00", "2024-03-05"),
        ("2024-03", "2024-03"),
        ("2024", "2024"),
    ] {
        let (rows, _) = mapped(column, &line(&coding("s", "c"), &format!(r#","effectiveDateTime":"{given}""#)), &[]);
        assert_eq!(rows, Ok(vec![format!(r#"{{"k":"Observation/o1#","d":"{cut}"}}"#)]));
    }
}

#[test]
fn a_number_keeps_its_digits_and_a_value_of_another_kind_is_refused_without_being_shown() {
    let column = r#"{"name":"n","path":"%resource.value"}"#;
    let (rows, _) = mapped(column, &line(&coding("s", "c"), r#","valueInteger":7"#), &[]);
    assert_eq!(rows, Ok(vec![r#"{"k":"Observation/o1#","n":7}"#.to_owned()]));
    let (rows, _) = mapped(column, &line(&coding("s", "c"), r#","valueString":"secret""#), &[]);
    assert_eq!(rows, Err("t.n: type".to_owned()));
    let (rows, _) = mapped(column, &line(&coding("s", "c"), r#","valueQuantity":{"value":1}"#), &[]);
    assert_eq!(rows, Err("t.n: not a single primitive value".to_owned()));
}

#[test]
fn a_reference_is_followed_when_the_column_s_own_path_gives_nothing() {
    let column = r#"{"name":"drug","path":"%resource.method.text","tag":[{"name":"headwater/resolve","value":"Device"},
        {"name":"headwater/reference","value":"%resource.device"},{"name":"headwater/target","value":"distinctIdentifier"}]}"#;
    let device = r#"{"resourceType":"Device","id":"d1","distinctIdentifier":"D-1"}"#;
    let referring = line(&coding("s", "c"), r#","device":{"reference":"http://ehr/Device/d1"}"#);
    let row = |drug: &str| Ok(vec![format!(r#"{{"k":"Observation/o1#","drug":"{drug}"}}"#)]);
    assert_eq!(mapped(column, &referring, &[device]).0, row("D-1"));
    assert_eq!(mapped(column, &referring, &[]).0, Ok(vec![r#"{"k":"Observation/o1#"}"#.to_owned()]));
    let own = line(&coding("s", "c"), r#","device":{"reference":"Device/d1"},"method":{"text":"own"}"#);
    assert_eq!(mapped(column, &own, &[device]).0, row("own"));
}

#[test]
fn a_resource_that_points_at_this_one_is_found_by_its_newest_state_and_the_first_by_key_counts() {
    let column = r#"{"name":"drug","path":"{}","tag":[{"name":"headwater/resolve","value":"DiagnosticReport"},{"name":"headwater/by","value":"result"},
        {"name":"headwater/reference","value":"%resource.getResourceKey()"},{"name":"headwater/target","value":"conclusion"}]}"#;
    let report = |id: &str, about: &str, words: &str| {
        format!(
            r#"{{"resourceType":"DiagnosticReport","id":"{id}","result":[{{"reference":"Observation/{about}"}}],"conclusion":"{words}"}}"#
        )
    };
    let found = |landed: &[String]| {
        let landed: Vec<_> = landed.iter().map(String::as_str).collect();
        mapped(column, &line(&coding("s", "c"), ""), &landed).0.expect("a row").remove(0)
    };
    let row = |words: &str| format!(r#"{{"k":"Observation/o1#","drug":"{words}"}}"#);
    let none = r#"{"k":"Observation/o1#"}"#;
    let (one, two) = (report("r1", "o1", "one"), report("r2", "o1", "two"));
    assert_eq!(found(&[two.clone(), one.clone()]), row("one"));
    assert_eq!(found(&[one.clone(), two.clone()]), row("one"));
    assert_eq!(found(&[one.clone(), report("r1", "other", "one"), two]), row("two"));
    assert_eq!(found(&[report("r1", "other", "one")]), none);
    let silent = r#"{"resourceType":"DiagnosticReport","id":"r1","result":[{"reference":"Observation/o1"}]}"#;
    assert_eq!(found(&[one, silent.to_owned()]), none);
    let faults = load(&format!(
        "{KEY},{}",
        column.replace("%resource.getResourceKey()", "%resource.device")
    ))
    .expect_err("a fault");
    assert!(
        faults
            .iter()
            .any(|fault| fault.contains("`headwater/reference` is `getResourceKey()`")),
        "{faults:?}"
    );
}

#[test]
fn loading_names_every_fault() {
    let fault = |columns: &str, message: &str| {
        let faults = load(columns).expect_err("a fault");
        assert_eq!(faults, [message]);
    };
    fault(
        r#"{"name":"code","path":"code"}"#,
        "column `k` of table `t` is required, but the view does not fill it",
    );
    fault(
        r#"{"name":"k","path":"code"}"#,
        "`k` is the key of table `t` and needs the tag `headwater/key`",
    );
    fault(
        r#"{"name":"k","path":"code","tag":[{"name":"headwater/key","value":""}]}"#,
        "the key column `k` needs the path `getResourceKey()`, so that no two resources make one row",
    );
    let with_key = |column: &str, message: &str| fault(&format!("{KEY},{column}"), message);
    with_key(r#"{"name":"z","path":"code"}"#, "table `t` has no column `z`");
    with_key(
        r#"{"name":"code","path":"code","collection":true}"#,
        "column `code` cannot be a collection: a table's cell holds one value",
    );
    let tagged = |tags: &str, message: &str| with_key(&format!(r#"{{"name":"code","path":"code","tag":[{tags}]}}"#), message);
    tagged(
        r#"{"name":"headwater/translate","value":"http://x/none"},{"name":"headwater/system","value":"s"}"#,
        "the ConceptMap `http://x/none` is missing",
    );
    tagged(
        r#"{"name":"headwater/transalte","value":"x"}"#,
        "`headwater/transalte` is no tag known here",
    );
    tagged(
        r#"{"name":"headwater/system","value":"x"}"#,
        "`headwater/system` is of no use without `headwater/translate`",
    );
    tagged(
        r#"{"name":"headwater/resolve","value":"Device"}"#,
        "`headwater/resolve`, `headwater/reference` and `headwater/target` belong together; one is missing",
    );
    tagged(
        r#"{"name":"headwater/key","value":""}"#,
        "`code` is not the key column of table `t`",
    );
    tagged(
        r#"{"name":"headwater/resolve","value":"Device"},{"name":"headwater/reference","value":"%resource.device"},{"name":"headwater/target","value":"modle"}"#,
        "`modle` is not usable FHIRPath at line 1 column 1: `Device` has no element `modle`",
    );
}

#[test]
fn a_case_that_does_not_come_out_names_column_and_both_values() {
    let mapping = load(&format!("{KEY},{}", translated("null"))).expect("the mapping loads");
    let resource = line(&coding("http://loinc.org", "1-8"), "");
    let cases = |row: &str| {
        let text = format!(r#"{{"cases":[{{"name":"one","resource":{resource},"rows":{{"t":[{row}]}}}}]}}"#);
        let report = super::cases::run_cases(&mapping, None, "Observation.t.cases.json", &text);
        assert_eq!(report.cases, 1);
        report.failures.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(cases(r#"{"k":"Observation/o1#one","code":"one"}"#).is_empty());
    assert_eq!(
        cases(r#"{"k":"Observation/o1#one","code":"two"}"#),
        [r#"Observation.t.cases.json:1:186: one: t.code: "two" was expected, but "one" came out"#]
    );
    assert_eq!(
        cases(r#"{"k":"Observation/o2"}"#),
        ["Observation.t.cases.json:1:153: one: t: no row has the key `Observation/o2`"]
    );
}

#[test]
fn a_conformant_resource_is_mapped_and_one_that_no_view_wants_is_excluded() {
    let mapping = load(&format!("{KEY},{}", translated("null"))).expect("the mapping loads");
    let lookups = mapping.lookups().finish();
    let fate = |line: &str| {
        let mut tree = Tree::new();
        let root = tree.parse(line.as_bytes(), &Limits::default()).expect("the line is JSON");
        let resource = validate::validate(&Profiles::default(), root).expect("the resource conforms");
        let mut mapped = Mapped::new();
        let fate = map(&mapping, &lookups, resource, &mut mapped);
        (fate, mapped.rows().len(), mapped.stats().unmapped().len())
    };
    let observation =
        |coding: &str| format!(r#"{{"resourceType":"Observation","id":"o1","status":"final","code":{{"coding":[{coding}]}}}}"#);
    assert_eq!(fate(&observation(&coding("http://loinc.org", "1-8"))), (Ok(Fate::Mapped), 1, 0));
    assert_eq!(fate(&observation(&coding("http://local", "L"))), (Ok(Fate::Mapped), 1, 1));
    let no_code = r#"{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"}}"#;
    assert_eq!(fate(no_code), (Ok(Fate::Excluded("outside what the mappings ask for")), 0, 0));
    let patient = r#"{"resourceType":"Patient","id":"p1"}"#;
    assert_eq!(fate(patient), (Ok(Fate::Excluded("of a type that no mapping reads")), 0, 0));
    let twice = format!("{0},{0}", coding("http://loinc.org", "1-8"));
    let (refused, rows, _) = fate(&observation(&twice));
    let refusal = refused.expect_err("two rows with one key");
    assert_eq!(
        (refusal.rule.as_ref(), refusal.source.as_deref(), rows),
        ("duplicate key", Some("Observation.t.json"), 0)
    );
}
