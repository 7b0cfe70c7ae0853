use super::*;

fn model() -> Model {
    let visit = r#"{"additionalProperties":false,"x-key":"id","x-patient":"person","x-order":["id","person","start","end"],"required":["id"],
        "properties":{"id":{"type":"integer"},"person":{"type":"integer"},"start":{"type":"string","format":"date"},"end":{"type":"string","format":"date"}}}"#;
    let period = r#"{"additionalProperties":false,"x-key":"id","x-order":["id","first","last","kind"],"required":["id","first"],
        "properties":{"id":{"type":"integer"},"first":{"type":"string","format":"date"},"last":{"type":"string","format":"date"},"kind":{"type":"integer"}}}"#;
    let source = r#"{"additionalProperties":false,"x-key":"name","x-order":["name","made","words"],"required":["name","words"],
        "properties":{"name":{"type":"string"},"made":{"type":"string","format":"date"},"words":{"type":"string"}}}"#;
    let files = [("period", period), ("source", source), ("visit", visit)];
    let files = files.map(|(name, text)| (format!("{name}.schema.json"), text.to_owned()));
    Model::from_schemas("m", &files).expect("schemas of ours")
}

const DERIVED: &str = r#"[period]
from = "visit"
by = "person"
[period.columns]
id = { by = true }
first = { min = "start" }
last = { max = "end" }
kind = { constant = 7 }
[source]
rows = "one"
[source.columns]
name = { constant = "n" }
made = { run = "date" }
words = { run = "vocabulary", else = "none" }
"#;

fn visit<'a>(person: &'a str, start: &'a str, end: Option<&'a str>) -> Vec<Cell<'a>> {
    let end = end.map_or(Cell::Null, |end| Cell::Text(end.into()));
    vec![
        Cell::Text("Encounter/e".into()),
        Cell::Text(person.into()),
        Cell::Text(start.into()),
        end,
    ]
}

fn rows(derivations: &Derivations, model: &Model, gathered: &Gathered) -> Vec<String> {
    let facts = RunFacts {
        date: "2026-01-02".to_owned(),
        ..RunFacts::default()
    };
    let mut all = Vec::new();
    let done = derivations.rows(model, gathered, &facts, |row| {
        all.push(match row {
            Ok(row) => row.rows().iter().map(|(_, cells)| format!("{cells:?}")).collect(),
            Err((place, rule)) => format!("{place}: {rule}"),
        });
        Ok::<_, ()>(())
    });
    assert_eq!(done, Ok(()));
    all
}

#[test]
fn a_group_s_row_has_the_least_and_the_greatest_whatever_the_order_and_the_parts() {
    let model = model();
    let derivations = Derivations::load("derived.toml", DERIVED, &model).expect("no fault");
    let table = model.find("visit").expect("a table");
    assert!(derivations.gathers(table) && !derivations.gathers(model.find("period").expect("a table")));
    let visits = [
        visit("Patient/b", "2020-05-01", Some("2020-05-02")),
        visit("Patient/a", "2021-01-01", None),
        visit("Patient/b", "2019-12-31", Some("2019-12-31")),
    ];
    let mut whole = Gathered::default();
    visits.iter().for_each(|cells| derivations.gather(table, cells, &mut whole));
    let mut parts = Gathered::default();
    for cells in visits.iter().rev() {
        let mut part = Gathered::default();
        derivations.gather(table, cells, &mut part);
        derivations.merge(&mut parts, part);
    }
    let expected = [
        r#"[Text("Patient/a"), Text("2021-01-01"), Null, Integer(7)]"#,
        r#"[Text("Patient/b"), Text("2019-12-31"), Text("2020-05-02"), Integer(7)]"#,
        r#"[Text("n"), Text("2026-01-02"), Text("none")]"#,
    ];
    assert_eq!(rows(&derivations, &model, &whole), expected);
    assert_eq!(rows(&derivations, &model, &parts), expected);
}

#[test]
fn a_row_that_does_not_fit_its_table_is_told_without_its_values() {
    let model = model();
    let derivations = Derivations::load("derived.toml", DERIVED, &model).expect("no fault");
    let mut gathered = Gathered::default();
    let nothing = [
        Cell::Text("Encounter/e".into()),
        Cell::Text("Patient/a".into()),
        Cell::Null,
        Cell::Null,
    ];
    derivations.gather(model.find("visit").expect("a table"), &nothing, &mut gathered);
    assert_eq!(rows(&derivations, &model, &gathered)[0], "period.first: required");
}

#[test]
fn every_fault_is_told_with_its_line() {
    let broken = DERIVED
        .replace("\"start\"", "\"begin\"")
        .replace("constant = 7", "constant = \"x\"")
        .replace("run = \"date\"", "run = \"day\"")
        .replace("name = { constant = \"n\" }\n", "")
        + "[other]\nrows = \"one\"\n";
    let faults = Derivations::load("derived.toml", &broken, &model()).expect_err("faults");
    let shown: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.line, fault.message)).collect();
    for expected in [
        "6: `first`: `begin` is no column of the table that is gathered",
        "8: `kind`: the constant does not fit the column",
        "12: `made`: `run` must be `date`, `vocabulary`, `mapping`, `version` or `date-management`",
        "9: column `name` of table `source` is required, but nothing fills it",
        "14: `other` is no table of the model",
    ] {
        assert!(shown.iter().any(|shown| shown == expected), "{expected} in {shown:#?}");
    }
}

#[test]
fn what_would_never_fit_its_column_is_a_fault_of_the_file_and_not_of_every_row() {
    for (old, new, fault) in [
        (
            "min = \"start\"",
            "min = \"id\"",
            "`first`: `id` holds something else than this column",
        ),
        ("constant = 7", "by = true", "`kind`: `by` fills a key or a text"),
        (
            "run = \"date\"",
            "run = \"version\"",
            "`made`: this fact of the run does not fit the column",
        ),
        (
            "by = true",
            "max = \"person\"",
            "`id`: `person` has no least or greatest value: an integer, a whole date or a time of day has",
        ),
        (
            "constant = 7",
            "constant = 7, often = 2",
            "`often` is not known here: by, min, max, constant, run, else",
        ),
    ] {
        let faults = Derivations::load("derived.toml", &DERIVED.replacen(old, new, 1), &model()).expect_err("a fault");
        let shown: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(shown, [fault]);
    }
}

#[test]
fn shares_that_waited_as_bytes_make_the_same_rows_in_any_order() {
    let model = model();
    let derivations = Derivations::load("derived.toml", DERIVED, &model).expect("no fault");
    let (visits, periods) = (model.find("visit").expect("a table"), model.find("period").expect("a table"));
    let resources = [
        vec![
            visit("Patient/b\"\u{e9}", "2020-05-01", Some("2020-05-02")),
            visit("Patient/a", "2021-01-01", None),
        ],
        vec![
            visit("Patient/a", "2019-01-01", Some("2022-01-01")),
            visit("Patient/a", "2018-01-01", None),
        ],
        vec![visit("Patient/b\"\u{e9}", "2019-12-31", Some("2019-12-31"))],
    ];
    let mut whole = Gathered::default();
    resources
        .iter()
        .flatten()
        .for_each(|cells| derivations.gather(visits, cells, &mut whole));
    let mut waited: Vec<(String, Vec<u8>)> = Vec::new();
    for resource in &resources {
        let mut of_one = Gathered::default();
        resource.iter().for_each(|cells| derivations.gather(visits, cells, &mut of_one));
        for (table, group, share) in derivations.shares(&of_one) {
            assert_eq!(table, periods);
            waited.push((group.to_owned(), share));
        }
    }
    assert_eq!(waited.len(), 4, "a resource gives one share to a group");
    for group in ["Patient/a", "Patient/b\"\u{e9}"] {
        let mut backward = Gathered::default();
        for (_, share) in waited.iter().rev().filter(|(of, _)| of == group) {
            derivations.add(periods, share, &mut backward).expect("a share");
        }
        let expected = rows(&derivations, &model, &whole);
        let made = rows(&derivations, &model, &backward);
        assert_eq!(made.len(), 2, "its own row and the run's");
        assert!(made.iter().all(|row| expected.contains(row)), "{made:?} of {expected:?}");
    }
}

#[test]
fn bytes_that_are_no_share_of_the_table_are_refused() {
    let model = model();
    let derivations = Derivations::load("derived.toml", DERIVED, &model).expect("no fault");
    let (visits, periods) = (model.find("visit").expect("a table"), model.find("period").expect("a table"));
    let mut gathered = Gathered::default();
    for share in [
        &b""[..],
        b"{}",
        b"[]",
        b"[1,null,null,null,null]",
        br#"["g",null]"#,
        br#"["g",null,true,null,null]"#,
    ] {
        assert_eq!(derivations.add(periods, share, &mut gathered), Err(NotAShare));
    }
    assert_eq!(
        derivations.add(visits, br#"["g",null,null,null,null]"#, &mut gathered),
        Err(NotAShare)
    );
}
