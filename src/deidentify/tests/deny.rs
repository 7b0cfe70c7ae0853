//! Default deny over models and rows that nobody thought of: what a policy does not name is not loaded, what it drops does not
//! leave, and under Safe Harbor no cell holds a day or a time.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// What a column of a random model holds, the rules that fit it under Safe Harbor, and a cell.
const KINDS: [(&str, &[&str]); 10] = [
    (r#"{"type":"string"}"#, &["drop"]),
    (r#"{"type":"string","maxLength":20}"#, &["drop", "code", "zip3", "state"]),
    (r#"{"type":"string","enum":["yes","no"]}"#, &["drop", "keep", "code"]),
    (r#"{"type":"integer"}"#, &["drop", "keep", "age"]),
    (r#"{"type":"number"}"#, &["drop", "keep", "age"]),
    (r#"{"type":"boolean"}"#, &["drop", "keep"]),
    (
        r#"{"type":"string","format":"x-partial-date"}"#,
        &["drop", "year", "birth-date", "birth-year"],
    ),
    (r#"{"type":"string","format":"date"}"#, &["drop", "year", "birth-date"]),
    (r#"{"type":"string","format":"x-datetime"}"#, &["drop", "year", "birth-date"]),
    (r#"{"type":"string","format":"x-time"}"#, &["drop"]),
];

#[derive(Clone, Debug)]
struct Column {
    kind: usize,
    rule: &'static str,
}

fn columns() -> impl Strategy<Value = Vec<Column>> {
    let column = (0..KINDS.len()).prop_flat_map(|kind| proptest::sample::select(KINDS[kind].1).prop_map(move |rule| Column { kind, rule }));
    proptest::collection::vec(column, 1..12)
}

fn model_of(columns: &[Column]) -> Arc<Model> {
    let mut properties = Map::new();
    let mut order = vec!["k".to_owned(), "p".to_owned()];
    properties.insert("k".into(), json!({"type": "string"}));
    properties.insert("p".into(), json!({"type": "string"}));
    for (at, column) in columns.iter().enumerate() {
        order.push(format!("c{at}"));
        properties.insert(format!("c{at}"), serde_json::from_str(KINDS[column.kind].0).expect("JSON"));
    }
    let schema = json!({"additionalProperties": false, "x-key": "k", "x-patient": "p", "required": ["k", "p"], "x-order": order,
        "properties": properties});
    // Whose key `p` is stands in a table of its own.
    let patient = json!({"additionalProperties": false, "x-key": "p", "x-patient": "p", "required": ["p"], "x-order": ["p"],
        "properties": {"p": {"type": "string"}}});
    let mut schema = schema;
    schema["properties"]["p"]["x-references"] = json!("patient");
    let files = [
        ("t.schema.json".to_owned(), schema.to_string()),
        ("patient.schema.json".to_owned(), patient.to_string()),
    ];
    Arc::new(Model::from_schemas("m", &files).expect("a schema"))
}

const KEY: &str = r#"{ rule = "pseudonym", reason = "r" }"#;

/// The lines of the policy, one column each.
fn lines(columns: &[Column]) -> Vec<String> {
    let mut lines = vec![
        "[policy.safe-harbor]\nclaims = \"c\"\nversion = \"1\"\n[table.patient]".to_owned(),
        format!("p = {KEY}"),
        "[table.t]".to_owned(),
        format!("k = {KEY}"),
        format!("p = {KEY}"),
    ];
    for (at, column) in columns.iter().enumerate() {
        lines.push(format!("c{at} = {{ rule = \"{}\", reason = \"r\" }}", column.rule));
    }
    lines
}

fn compile(lines: &[String], model: &Model) -> Result<Policy, Vec<PolicyFault>> {
    Policy::compile("safe-harbor", &lines.join("\n"), model)
}

/// A cell of this kind, from a day and a number.
fn cell(kind: usize, (year, month, day): (i16, i8, i8), number: i64) -> Cell<'static> {
    let day = format!("{year:04}-{month:02}-{day:02}");
    let text = |text: String| Cell::Text(text.into());
    match kind {
        0 => text(format!("seen on {day} at 10:30")),
        1 => text(["02139", "Vermont", "8480-6", "10:30"][usize::try_from(number.rem_euclid(4)).unwrap_or(0)].to_owned()),
        2 => text("yes".to_owned()),
        3 => Cell::Integer(number),
        4 => Cell::Decimal(format!("{number}.5").into()),
        5 => Cell::Boolean(true),
        6 | 7 => text(day),
        8 => text(format!("{day}T10:30:00")),
        _ => text("10:30".to_owned()),
    }
}

/// Whether a released text says more of a moment than its year, whose first day stands for it where only a whole date fits.
pub(super) fn is_a_moment(text: &str) -> bool {
    let padded = |end: &str| text.len() == 4 + end.len() && text.ends_with(end);
    let digits = |from: usize, to: usize| {
        text.get(from..to)
            .is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_date = text.len() >= 7 && digits(0, 4) && text.get(4..5) == Some("-") && digits(5, 7);
    is_date && !padded("-01-01") && !padded("-01-01T00:00:00")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_line_less_a_column_more_or_an_unknown_word_is_not_loaded(columns in columns(), at in any::<proptest::sample::Index>(), word in "[a-z]{1,12}") {
        let (model, lines) = (model_of(&columns), lines(&columns));
        prop_assert!(compile(&lines, &model).is_ok(), "{:?}", compile(&lines, &model).err());
        let at = 3 + at.index(lines.len() - 3);
        let mut less = lines.clone();
        less.remove(at);
        prop_assert!(compile(&less, &model).is_err());
        let mut more = columns.clone();
        more.push(Column { kind: 0, rule: "drop" });
        prop_assert!(compile(&lines, &model_of(&more)).is_err());
        if Rule::of(&word).is_none() {
            let mut unknown = lines.clone();
            unknown[at] = format!("{} = {{ rule = \"{word}\", reason = \"r\" }}", lines[at].split(' ').next().unwrap_or_default());
            prop_assert!(compile(&unknown, &model).is_err());
        }
    }

    #[test]
    fn what_is_dropped_does_not_leave_and_no_cell_holds_a_moment(
        columns in columns(), day in (1935i16..2023, 1i8..=12, 1i8..=28), number in 0i64..120
    ) {
        let model = model_of(&columns);
        let policy = compile(&lines(&columns), &model).expect("a policy");
        let keys = Keys::derive(&Secret::new(vec![3; 32]), "n", "s");
        let mut people = PeopleBuilder::new(&keys, 1);
        let mut tree = Tree::new();
        people.add(tree.parse(br#"{"resourceType":"Patient","id":"p-1"}"#, &Limits::default()).expect("JSON"), [1; 32]).expect("room");
        let with = Deidentifier::new(model, policy, keys, people.finish(), date(2024, 6, 14)).expect("one model");
        let mut cells = vec![text("Observation/o-1"), text("Patient/p-1")];
        cells.extend(columns.iter().map(|column| cell(column.kind, day, number)));
        let released = run(&with, &[("t", cells)]);
        // `state` of what is no state and `zip3` of what is no ZIP are answers, not refusals; a code may be one.
        let rows = match released {
            Ok(rows) => rows,
            Err(refusal) => return Err(TestCaseError::fail(refusal.to_string())),
        };
        let row = body(&rows[0]);
        let members: &Map<String, Value> = row.as_object().expect("an object");
        let planned: Vec<&str> = with.policy().columns().filter(|(table, ..)| *table == "t").map(|(_, column, ..)| column).collect();
        for (name, value) in members {
            prop_assert!(planned.contains(&name.as_str()), "{name} has no rule");
            let rule = name.strip_prefix('c').and_then(|at| at.parse::<usize>().ok()).map(|at| columns[at].rule);
            prop_assert_ne!(rule, Some("drop"), "{} left", name);
            let text = value.as_str().unwrap_or_default();
            prop_assert!(!is_a_moment(text), "{name} holds a moment");
        }
    }
}

#[test]
fn the_test_sees_a_moment_where_there_is_one() {
    for text in ["2019-07-21", "2019-07", "2019-01-02", "2019-01-01T10:30:00", "2019-07-21T00:00:00"] {
        assert!(is_a_moment(text), "{text}");
    }
    for text in ["2019", "2019-01-01", "2019-01-01T00:00:00", "8480-6", "2054-5"] {
        assert!(!is_a_moment(text), "{text}");
    }
}
