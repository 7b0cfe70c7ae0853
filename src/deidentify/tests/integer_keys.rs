//! Models whose keys are integers and whose dates are whole: surrogates stay integers and join, dates keep their form.

use super::*;
use proptest::prelude::*;

const RULES: &str = r#"
[policy.safe-harbor]
claims = "c"
version = "1"
[policy.limited-data-set]
claims = "c"
version = "1"
[table.note]
withhold = "free text"
[table.person]
person_id = { rule = "pseudonym", reason = "r" }
year_of_birth = { rule = "birth-year", reason = "r" }
[table.visit]
visit_id = { rule = "pseudonym", reason = "r" }
person_id = { rule = "pseudonym", reason = "r" }
start_date = { safe-harbor = "year", limited-data-set = "shift", reason = "r" }
start_datetime = { safe-harbor = "year", limited-data-set = "shift", reason = "r" }
"#;

fn model() -> Arc<Model> {
    let schema = |name: &str, body: &str| (format!("{name}.schema.json"), format!(r#"{{"additionalProperties":false,{body}}}"#));
    let files = [
        schema(
            "note",
            r#""x-key":"note_id","required":["note_id"],"x-order":["note_id"],"properties":{"note_id":{"type":"integer"}}"#,
        ),
        schema(
            "person",
            r#""x-key":"person_id","x-patient":"person_id","required":["person_id","year_of_birth"],
            "x-order":["person_id","year_of_birth"],"properties":{"person_id":{"type":"integer"},"year_of_birth":{"type":"integer"}}"#,
        ),
        schema(
            "visit",
            r#""x-key":"visit_id","x-patient":"person_id","required":["visit_id","person_id","start_date"],
            "x-order":["visit_id","person_id","start_date","start_datetime"],"properties":{"visit_id":{"type":"integer"},
            "person_id":{"type":"integer","x-references":"person"},"start_date":{"type":"string","format":"date"},
            "start_datetime":{"type":"string","format":"x-datetime"}}"#,
        ),
    ];
    Arc::new(Model::from_schemas("m", &files).expect("schemas of ours"))
}

fn with(policy: &str) -> Deidentifier {
    let model = model();
    let keys = Keys::derive(&Secret::new(vec![1; 32]), "ibd", "a");
    let mut people = PeopleBuilder::new(&keys, 10);
    for (at, json) in PATIENTS.iter().enumerate() {
        let mut tree = Tree::new();
        let root = tree.parse(json.as_bytes(), &Limits::default()).expect("JSON");
        people.add(root, [40 + at as u8; 32]).expect("a patient");
    }
    let policy = Policy::compile(policy, RULES, &model).expect("a good policy");
    Deidentifier::new(model, policy, keys, people.finish(), date(2024, 6, 14)).expect("one model")
}

fn visit(patient: &str) -> Vec<Cell<'_>> {
    vec![text("Encounter/e1"), text(patient), text("2024-02-01"), text("2024-02-01T10:20:30")]
}

#[test]
fn an_integer_key_becomes_one_integer_wherever_it_stands_and_its_row_is_released_under_it() {
    for policy in ["safe-harbor", "limited-data-set"] {
        let with = with(policy);
        let person = vec![text("Patient/p-one"), Cell::Integer(2010)];
        let rows = run(&with, &[("person", person), ("visit", visit("Patient/p-one"))]).expect("released");
        let (person, visit) = (body(&rows[0]), body(&rows[1]));
        let key = person["person_id"].as_i64().expect("an integer");
        assert!(key > 0 && key != crate::cdm::key_number("Patient/p-one"));
        assert_eq!(visit["person_id"], person["person_id"]);
        assert_eq!(rows[0].key(), key.to_string());
        assert!(with.tombstone("person", rows[0].key()).is_ok());
        assert!(with.tombstone("person", "0123456789abcdef0123456789abcdef").is_err());
    }
}

#[test]
fn a_whole_date_shows_the_first_day_of_its_year_or_moves_with_its_time_of_day() {
    let days = |policy: &str| {
        let rows = run(&with(policy), &[("visit", visit("Patient/p-one"))]).expect("released");
        let row = body(&rows[0]);
        let text = |name: &str| row[name].as_str().expect("text").to_owned();
        (text("start_date"), text("start_datetime"))
    };
    assert_eq!(days("safe-harbor"), ("2024-01-01".to_owned(), "2024-01-01T00:00:00".to_owned()));
    let (day, moment) = days("limited-data-set");
    assert_ne!(day, "2024-02-01");
    assert_eq!(moment, format!("{day}T10:20:30"));
}

#[test]
fn a_birth_year_that_a_row_must_have_is_one_category_from_ninety_on() {
    let year = |policy: &str, key: &str, year: i64| {
        let rows = run(&with(policy), &[("person", vec![text(key), Cell::Integer(year)])]).expect("released");
        body(&rows[0])["year_of_birth"].clone()
    };
    assert_eq!(year("safe-harbor", "Patient/p-one", 2010), 2010);
    // Born on 1934-06-15: 89 on the day of the run.
    assert_eq!(year("safe-harbor", "Patient/p-old", 1934), 1934);
    assert_eq!(year("safe-harbor", "Patient/p-old", 1925), 1934);
}

#[test]
fn no_row_of_a_withheld_table_leaves_and_each_is_told() {
    let with = with("safe-harbor");
    let rows = [("note", vec![text("DocumentReference/d1")]), ("visit", visit("Patient/p-one"))];
    assert_eq!(run(&with, &rows).expect("released").len(), 1);
    let told: Vec<&str> = with.kept_of(&gathered(&with, &rows)).map(AsRef::as_ref).collect();
    assert_eq!(told, ["note"]);
}

#[test]
fn a_column_of_integers_without_a_rule_cannot_be_loaded_and_an_integer_key_is_never_kept() {
    let model = model();
    let lines: Vec<&str> = RULES.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("reason = \"r\"")) {
        let column = line.split(' ').next().expect("a name");
        let without: Vec<&str> = lines
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at)
            .map(|(_, line)| *line)
            .collect();
        let faults = Policy::compile("safe-harbor", &without.join("\n"), &model).expect_err("a column without a rule");
        assert!(faults.iter().all(|fault| fault.place.ends_with(column)), "{faults:?}");
    }
    for rule in ["keep", "code", "year", "shift"] {
        let kept = RULES.replace("visit_id = { rule = \"pseudonym\"", &format!("visit_id = {{ rule = \"{rule}\""));
        assert!(Policy::compile("limited-data-set", &kept, &model).is_err(), "{rule}");
    }
}

proptest! {
    #[test]
    fn a_key_is_one_positive_number_for_one_text_and_its_foreign_keys_are_the_same(a in "[A-Za-z0-9.-]{1,64}", b in "[A-Za-z0-9.-]{1,64}") {
        let with = with("limited-data-set");
        let (first, second) = (format!("Encounter/{a}"), format!("Encounter/{b}"));
        let keyed = |key: &str| {
            let mut cells = visit("Patient/p-one");
            cells[0] = Cell::Text(key.to_owned().into());
            let rows = [("person", vec![text("Patient/p-one"), Cell::Integer(2010)]), ("visit", cells)];
            let rows = run(&with, &rows).expect("released");
            let (person, visit) = (body(&rows[0]), body(&rows[1]));
            assert_eq!(person["person_id"], visit["person_id"]);
            assert_eq!(visit["visit_id"].to_string(), rows[1].key());
            visit["visit_id"].as_i64().expect("an integer")
        };
        prop_assert!(keyed(&first) > 0);
        prop_assert_eq!(keyed(&first), keyed(&first));
        prop_assert_eq!(a == b, keyed(&first) == keyed(&second));
    }
}
