//! What expressions answer, as data: one line of input, one expression, one JSON array.

use super::{Context, Element, Item, Names, Path, Start, write_json};
use crate::fhir::tree::{Limits, Tree};
use crate::fhir::types::TypeId;

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p1","active":true,"birthDate":"1974-12-25",
  "_birthDate":{"extension":[{"url":"http://x/time","valueDateTime":"1974-12-25T14:35:45-05:00"}]},
  "name":[{"use":"official","family":"Chalmers","given":["Peter","James"]},{"use":"usual","given":["Jim",null],"_given":[null,{"id":"g4"}]}],
  "contact":[{"name":{"family":"du Marché"}}],"deceasedBoolean":false,"multipleBirthInteger":2,
  "link":[{"other":{"reference":"http://ehr.example/fhir/Patient/p2/_history/3"}}]}"#;

const OBSERVATION: &str = r#"{"resourceType":"Observation","id":"o1","status":"final","effectivePeriod":{"start":"2024-03","end":"2024-04-01"},
  "valueQuantity":{"value":1.50,"unit":"mg","code":"mg"},"component":[{"valueQuantity":{"value":2}},{"valueString":"a"}]}"#;

fn answer(line: &str, expression: &str) -> Result<String, String> {
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("the line is JSON");
    let type_id = root.resource_type().and_then(TypeId::of);
    let typing = type_id.map(|type_id| vec![type_id]);
    let start = Start {
        focus: typing.clone(),
        resource: typing,
        strict: true,
    };
    let path = Path::compile(expression, &Names::default(), &start).map_err(|error| error.to_string())?;
    let context = Context::new(root, &[]);
    let focus = Item::Element(Element::resource(root));
    let found = path.evaluate(&context, focus).map_err(|fault| fault.rule.to_owned())?;
    let items: Vec<String> = found
        .as_slice()
        .iter()
        .map(|item| {
            let mut out = Vec::new();
            write_json(item, &mut out);
            String::from_utf8(out).expect("JSON is UTF-8")
        })
        .collect();
    Ok(items.join(" "))
}

fn check(line: &str, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(answer(line, expression).as_deref(), Ok(*expected), "{expression}");
    }
}

#[test]
fn elements_are_found_by_name_choice_and_index() {
    check(
        PATIENT,
        &[
            ("name.given", r#""Peter" "James" "Jim" null"#),
            ("Patient.name[0].family", r#""Chalmers""#),
            ("name.where(use = 'usual').given.first()", r#""Jim""#),
            ("name.given[3].id", r#""g4""#),
            ("birthDate.extension('http://x/time').value", r#""1974-12-25T14:35:45-05:00""#),
            ("deceased", "false"),
            ("deceased.ofType(boolean)", "false"),
            ("multipleBirth is integer", "true"),
            ("(multipleBirth as integer) + 1", "3"),
            ("name[7].family", ""),
            ("contact.name.family.length()", "9"),
        ],
    );
    check(
        OBSERVATION,
        &[
            ("value.unit", r#""mg""#),
            ("value.ofType(Quantity).value", "1.50"),
            ("component.value.ofType(string)", r#""a""#),
            ("effective.start", r#""2024-03""#),
        ],
    );
}

#[test]
fn operators_bind_and_short_cut_as_the_specification_says() {
    check(
        PATIENT,
        &[
            ("1 + 2 * 3 - 4 / 2", "5"),
            ("-2 + 3", "1"),
            ("1 | 2 | 1", "1 2"),
            ("7 div 2 + 7 mod 2", "4"),
            ("0.1 + 0.2 = 0.3", "true"),
            ("'a' & {} & 'b'", r#""ab""#),
            ("true or {}", "true"),
            ("false and (1 | 2)", "false"),
            ("{} implies true", "true"),
            ("1 / 0", ""),
            ("2 in (1 | 2)", "true"),
            ("name.given contains 'Jim'", "true"),
            ("'A b' ~ 'a  B'", "true"),
            ("1.0 = 1", "true"),
            ("@2024-03 < @2024-04-01", "true"),
            ("@2024-03 = @2024-03-01", ""),
            ("@2024-01-31 + 1 month", r#""2024-02-29""#),
            ("4 'mg' > 1 'ug'", "true"),
        ],
    );
}

#[test]
fn functions_answer_as_the_specification_says() {
    check(
        PATIENT,
        &[
            ("name.exists(family = 'Chalmers')", "true"),
            ("name.all(given.exists())", "true"),
            ("name.select(given.first() & '.')", r#""Peter." "Jim.""#),
            ("iif(active, 'yes', 'no')", r#""yes""#),
            ("name.given.join(', ')", r#""Peter, James, Jim""#),
            ("getResourceKey()", r#""Patient/p1""#),
            ("link.other.getReferenceKey(Patient)", r#""Patient/p2""#),
            ("link.other.getReferenceKey(Group)", ""),
            ("birthDate.lowBoundary()", r#""1974-12-25""#),
            ("(1 | 2 | 3).aggregate($this + $total, 0)", "6"),
            ("(1 | 2 | 3).where($index > 0).last()", "3"),
            ("'abc'.substring(1, 1).upper()", r#""B""#),
            ("'a1b22'.matches('[0-9]+b')", "true"),
            ("'a1b22'.replaceMatches('[0-9]+', 'x')", r#""axbx""#),
            ("'a,b'.split(',').count()", "2"),
            ("'1.50'.toDecimal()", "1.50"),
            ("'x'.convertsToInteger()", "false"),
            ("1.25.round(1)", "1.3"),
            ("descendants().ofType(HumanName).count()", "3"),
            ("%resource.id", r#""p1""#),
        ],
    );
    check(
        OBSERVATION,
        &[
            ("effective.ofType(Period).lowBoundary()", r#""2024-03-01T00:00:00.000+14:00""#),
            ("effective.ofType(Period).highBoundary()", r#""2024-04-01T23:59:59.999-12:00""#),
            ("value.ofType(Quantity).value.highBoundary()", "1.505"),
        ],
    );
}

#[test]
fn a_fault_has_its_place_and_no_value() {
    for (expression, message) in [
        ("name.famly", "`HumanName` has no element `famly` (line 1, column 6)"),
        (
            "name\n  .where(usage = 'x')",
            "`HumanName` has no element `usage` (line 2, column 10)",
        ),
        ("name.foo()", "`foo()` is not a function known here (line 1, column 6)"),
        ("name.where()", "`where()` takes 1 argument(s), not 0 (line 1, column 6)"),
        ("name.", "the expression ends too early (line 1, column 6)"),
        ("'abc", "the text is not closed (line 1, column 1)"),
        ("@@", "this is no date, dateTime or time (line 1, column 1)"),
        ("%nothing", "`%nothing` is not defined (line 1, column 1)"),
        ("(1", "`)` was expected here (line 1, column 3)"),
        ("1 2", "an operator or the end was expected here (line 1, column 3)"),
        (
            "'a'.matches('(')",
            "the pattern is no regular expression that we can run in linear time (line 1, column 5)",
        ),
        ("name.given.length()", "more than one item where one was expected"),
        ("name = 1 < name", "these two values have no order"),
    ] {
        match answer(PATIENT, expression) {
            Err(found) if expression.contains("<") => assert!(!found.contains("Chalmers"), "{found}"),
            found => assert_eq!(found, Err(message.to_owned()), "{expression}"),
        }
    }
}

#[test]
fn functions_that_ask_the_clock_are_refused_where_purity_is_asked() {
    let names = Names {
        constants: &[],
        pure: true,
        ..Names::default()
    };
    let fault = Path::compile("now()", &names, &Start::default()).expect_err("not pure");
    assert_eq!(
        fault.message,
        "`now()` is not allowed here: the same input must always give the same answer"
    );
}

#[test]
fn long_chains_work_and_deep_nests_are_refused_without_using_up_the_stack() {
    let chain = |operator: &str| vec!["1"; 1000].join(operator);
    assert_eq!(answer(PATIENT, &chain(" + ")).as_deref(), Ok("1000"));
    assert_eq!(answer(PATIENT, &vec!["active"; 1000].join(" and ")).as_deref(), Ok("true"));
    assert_eq!(
        answer(PATIENT, &format!("name{}", ".first()".repeat(1000))).map(|text| text.is_empty()),
        Ok(false)
    );
    assert_eq!(answer(PATIENT, &format!("{}1", "-".repeat(1000))).as_deref(), Ok("1"));
    for nest in [
        format!("{}1{}", "(".repeat(8000), ")".repeat(8000)),
        format!("{}1", "(".repeat(16_000)),
        format!("{}1{}", "iif(true, ".repeat(500), ")".repeat(500)),
        format!("active{}", " is boolean".repeat(500)),
        format!("{}0{}", "name[".repeat(500), "]".repeat(500)),
    ] {
        let fault = answer(PATIENT, &nest).expect_err("too deep");
        assert!(
            fault.starts_with("the expression nests deeper than 64"),
            "{fault} of {}",
            &nest[..20]
        );
    }
    let fault = answer(PATIENT, &"(".repeat(1_000_000)).expect_err("too long");
    assert!(fault.starts_with("the expression is longer than 16 KiB"), "{fault}");
    let nested = |depth: usize| format!("{}1{}", "iif(true, ".repeat(depth), ")".repeat(depth));
    assert_eq!(answer(PATIENT, &nested(31)).as_deref(), Ok("1"));
    assert!(answer(PATIENT, &nested(32)).is_err(), "each call is a path and a call: two levels");
    let mixed = format!("{}1{}", "(1 + 2 * (".repeat(19), "))".repeat(19));
    assert_eq!(answer(PATIENT, &mixed).map(|text| text.is_empty()), Ok(false));
}

#[test]
fn work_and_results_are_bounded() {
    let ten = "(1|2|3|4|5|6|7|8|9|10)";
    let many = format!("{ten}{}", ".select($this.combine(1|2|3|4|5|6|7|8|9))".repeat(6));
    let fault = answer(PATIENT, &many).expect_err("too many");
    assert!(fault.contains("100000 items") || fault.contains("1000000 steps"), "{fault}");
    let long = format!("'0123456789'{}", ".replace('', '0123456789')".repeat(8));
    assert_eq!(
        answer(PATIENT, &long),
        Err("the expression makes a text longer than 1 MiB".to_owned())
    );
    let doubled = format!("{ten}.aggregate($total & $total & $total & $total & 'abcdefgh', '0123456789')");
    let again = doubled.replace("'0123456789')", "'0123456789'.replace('', '0123456789'))");
    assert_eq!(
        answer(PATIENT, &again),
        Err("the expression makes a text longer than 1 MiB".to_owned())
    );
}
