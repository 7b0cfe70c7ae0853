//! What the official suite does not ask: faults with their place, limits, digits, mapping's strictness.

use super::{Reading, View};

mod straight;
use crate::fhir::tree::{Limits, Tree};

fn rows(view: &str, line: &str) -> Result<Vec<String>, String> {
    let view = View::compile(view, "v.json", Reading::Mapping).map_err(|faults| faults[0].to_string())?;
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("the line is JSON");
    let mut rows = Vec::new();
    view.rows(root, |row| {
        let mut out = Vec::new();
        for (at, field) in row.fields.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            field.write_json(&mut out);
        }
        rows.push(String::from_utf8(out).expect("JSON is UTF-8"));
        Ok(())
    })
    .map_err(|fault| fault.to_string())?;
    Ok(rows)
}

#[test]
fn digits_and_escapes_of_the_line_are_copied_as_they_stand() {
    let view = r#"{"resource":"Observation","select":[{"column":[
        {"name":"n","path":"value.ofType(Quantity).value"},{"name":"u","path":"value.ofType(Quantity).unit"}]}]}"#;
    let line = r#"{"resourceType":"Observation","valueQuantity":{"value":1.500,"unit":"\u00b5g\/L"}}"#;
    assert_eq!(rows(view, line), Ok(vec![r#"1.500 "\u00b5g\/L""#.to_owned()]));
}

#[test]
fn a_straight_path_and_the_same_path_by_evaluation_agree() {
    let line = r#"{"resourceType":"Patient","id":"a","name":[{"family":"x","given":["g",null],"_given":[null,{"id":"i"}]},{"given":["h"]}],
        "_birthDate":{"id":"b"},"link":[{"other":{"reference":"Patient/b"}},{"other":{"reference":"RelatedPerson/c"}}]}"#;
    for path in [
        "name.given",
        "name.family",
        "name.given.first()",
        "name[0].given",
        "birthDate",
        "link.other.getReferenceKey(Patient)",
        "id",
    ] {
        let view = |path: &str| format!(r#"{{"resource":"Patient","select":[{{"column":[{{"name":"c","path":"{path}"}}]}}]}}"#);
        let straight = rows(&view(path), line);
        let evaluated = rows(&view(&format!("iif(true, {path})")), line);
        assert_eq!(straight, evaluated, "{path}");
    }
}

#[test]
fn a_wide_view_takes_the_room_of_a_narrow_one_that_looked_at_codings() {
    let narrow = r#"{"resource":"Patient","select":[{"column":[
        {"name":"c","path":"gender","tag":[{"name":"headwater/coding","value":"maritalStatus"}]}]}]}"#;
    let wide = r#"{"resource":"Patient","select":[{"column":[
        {"name":"a","path":"gender"},{"name":"b","path":"birthDate"},{"name":"c","path":"id"},{"name":"d","path":"language"}]}]}"#;
    let compile = |view: &str| View::compile(view, "v.json", Reading::Mapping).expect("the view compiles");
    let views = [compile(narrow), compile(wide), compile(narrow)];
    let (mut tree, mut room, mut widths) = (Tree::new(), super::Room::default(), Vec::new());
    let line = br#"{"resourceType":"Patient","id":"p","gender":"other","birthDate":"2000-01-01"}"#;
    let root = tree.parse(line, &Limits::default()).expect("the line is JSON");
    for view in &views {
        view.rows_in(&mut room, root, |row| {
            widths.push((row.fields.len(), row.codings.len()));
            Ok(())
        })
        .expect("a row");
    }
    assert_eq!(widths, [(1, 1), (4, 0), (1, 1)]);
}

#[test]
fn a_fault_is_named_with_line_and_column_in_the_file() {
    let check = |view: &str, expected: &str| {
        assert_eq!(rows(view, "{}").expect_err("a fault"), expected);
    };
    check("{\n \"resource\": \"Patient\"\n}", "v.json:1:1: `select` is missing or empty");
    check(
        "{\"resource\":\"Patient\",\n\"select\":[{\"column\":[{\"name\":\"a\",\"path\":\"name.famly\"}]}]}",
        "v.json:2:47: `name.famly` is not usable FHIRPath at line 1 column 6: `HumanName` has no element `famly`",
    );
    check(
        r#"{"resource":"Patient","select":[{"column":[{"name":"1a","path":"id"}]}]}"#,
        "v.json:1:44: a column needs a `name` of letters, digits and `_`, beginning with a letter",
    );
    check(
        r#"{"resource":"Patient","select":[{"column":[{"name":"a","path":"today()"}]}]}"#,
        "v.json:1:64: `today()` is not usable FHIRPath at line 1 column 1: `today()` is not allowed here: the same input must always give the same answer",
    );
    check("{\"resource\":", "v.json:1:13: is not JSON: line ends too early");
}

#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let view =
        r#"{"resource":"Patient","select":[{"column":[{"name":"a","path":"x"},{"name":"a","path":"id"},{"name":"b"}]},{"forEach":1}]}"#;
    assert_eq!(View::compile(view, "v.json", Reading::Mapping).expect_err("faults").len(), 4);
}

#[test]
fn lists_that_multiply_are_stopped_at_the_limit() {
    let each = |name: &str| format!(r#"{{"forEach":"name","column":[{{"name":"{name}","path":"family"}}]}}"#);
    let view = format!(
        r#"{{"resource":"Patient","select":[{},{},{},{},{}]}}"#,
        each("a"),
        each("b"),
        each("c"),
        each("d"),
        each("e")
    );
    let line = |count: usize| {
        format!(
            r#"{{"resourceType":"Patient","name":[{}]}}"#,
            vec![r#"{"family":"x"}"#; count].join(",")
        )
    };
    assert_eq!(rows(&view, &line(10)).map(|rows| rows.len()), Ok(100_000));
    assert_eq!(rows(&view, &line(11)), Err("more than 100000 rows at `select`".to_owned()));
}
