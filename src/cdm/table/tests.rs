//! A table's schema and its rows: what fits, and which column breaks which rule.

use super::*;

fn model() -> Model {
    let schema = r#"{"type":"object","additionalProperties":false,"x-order":["k","p","n","d","c"],"x-key":"k","x-patient":"p",
        "required":["k","p"],"properties":{"k":{"type":"string"},"p":{"type":"string"},
        "n":{"type":"number","minimum":0,"maximum":9},"d":{"type":"string","format":"x-partial-date"},
        "c":{"type":"string","enum":["a","b"]}}}"#;
    Model::from_schemas("m", &[("t.schema.json".into(), schema.into())]).expect("a schema of ours")
}

fn check(cells: [Cell<'_>; 5]) -> Result<(), (usize, &'static str)> {
    let model = model();
    model.table(TableId(0)).check(&cells)
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(text.into())
}

#[test]
fn a_row_that_fits_is_accepted_and_written_without_its_empty_columns() {
    let cells = [text("k1"), text("p1"), Cell::Decimal("1.50".into()), Cell::Null, text("a")];
    assert_eq!(check(cells.clone()), Ok(()));
    let mut out = Vec::new();
    model().table(TableId(0)).write_json(&cells, &mut out);
    assert_eq!(
        String::from_utf8(out).expect("JSON is UTF-8"),
        r#"{"k":"k1","p":"p1","n":1.50,"c":"a"}"#
    );
}

#[test]
fn an_integer_key_is_text_inside_and_a_number_outside() {
    let schema = r#"{"type":"object","additionalProperties":false,"x-order":["id","n","at"],"x-key":"id","required":["id"],
        "properties":{"id":{"type":"integer"},"n":{"type":"integer"},"at":{"type":"string","format":"x-datetime"}}}"#;
    let model = Model::from_schemas("m", &[("t.schema.json".into(), schema.into())]).expect("a schema of ours");
    let table = model.table(TableId(0));
    let row = [text("Patient/p1"), Cell::Integer(3), text("2024-02-29T10:00:00")];
    assert_eq!(table.check(&row), Ok(()));
    let mut out = Vec::new();
    table.write_json(&row, &mut out);
    let number = key_number("Patient/p1");
    assert_eq!(
        String::from_utf8(out).expect("JSON is UTF-8"),
        format!(r#"{{"id":{number},"n":3,"at":"2024-02-29T10:00:00"}}"#)
    );
    assert_eq!(table.columns[0].outward(&row[0]), Cell::Integer(number));
    assert_eq!(table.check(&[Cell::Integer(number), Cell::Null, Cell::Null]), Ok(()));
    assert_eq!(table.check(&[text(""), Cell::Null, Cell::Null]), Err((0, "type")));
    assert_eq!(table.check(&[Cell::Integer(0), Cell::Null, Cell::Null]), Err((0, "type")));
    assert_eq!(table.check(&[text("k"), text("3"), Cell::Null]), Err((1, "type")));
    assert_eq!(table.check(&[text("k"), Cell::Null, text("2024-02-29")]), Err((2, "format")));
}

#[test]
fn a_row_without_any_of_the_columns_it_needs_one_of_is_refused() {
    let schema = r#"{"type":"object","additionalProperties":false,"x-order":["k","a","b"],"x-key":"k","required":["k"],
        "properties":{"k":{"type":"string"},"a":{"type":"boolean"},"b":{"type":"boolean"}},"anyOf":ANY}"#;
    let model = |any: &str| Model::from_schemas("m", &[("t.schema.json".into(), schema.replace("ANY", any))]);
    let with = model(r#"[{"required":["a"]},{"required":["b"]}]"#).expect("a schema of ours");
    let table = with.table(TableId(0));
    assert_eq!(table.check(&[text("k"), Cell::Null, Cell::Boolean(false)]), Ok(()));
    assert_eq!(table.check(&[text("k"), Cell::Null, Cell::Null]), Err((1, "anyOf")));
    for other in [r#"[{"required":["a","b"]}]"#, r#"[{"required":["c"]}]"#, r#"[{"minProperties":2}]"#] {
        assert!(model(other).is_err(), "{other}");
    }
}

#[test]
fn each_broken_rule_is_named_with_its_column() {
    let base = || [text("k"), text("p"), Cell::Null, Cell::Null, Cell::Null];
    let with = |at: usize, cell| {
        let mut cells = base();
        cells[at] = cell;
        cells
    };
    assert_eq!(check(with(1, Cell::Null)), Err((1, "required")));
    assert_eq!(check(with(2, text("1"))), Err((2, "type")));
    assert_eq!(check(with(2, Cell::Integer(10))), Err((2, "maximum")));
    assert_eq!(check(with(2, Cell::Decimal("-0.1".into()))), Err((2, "minimum")));
    assert_eq!(check(with(3, text("2023-02-29"))), Err((3, "format")));
    assert_eq!(check(with(4, text("c"))), Err((4, "enum")));
}
