//! Shapes of expressions that have a straight way, and those that must not have one.

use super::Fast;
use crate::fhir::path::function::{Arguments, Function};
use crate::fhir::path::{Context, Item, Names, Path, Start};
use crate::fhir::tree::{Limits, Tree};
use crate::fhir::types::TypeId;

fn fast(type_name: &str, expression: &str) -> Option<Fast> {
    let typing = TypeId::of(type_name).map(|type_id| vec![type_id]);
    let constants = ["system".to_owned()];
    let names = Names {
        constants: &constants,
        pure: true,
        ..Names::default()
    };
    let start = Start {
        focus: typing.clone(),
        resource: typing,
        strict: true,
    };
    Path::compile(expression, &names, &start).expect("a sound expression").fast
}

#[test]
fn the_everyday_shapes_of_a_mapping_have_a_straight_way() {
    for (type_name, expression) in [
        ("Observation", "subject.reference"),
        ("Observation", "value.ofType(Quantity).value"),
        ("Observation", "code.coding.where(system = 'x').first().code"),
        ("Observation", "code.coding.where(system = %system and code != 'y').code"),
        (
            "Observation",
            "category.coding.where(code = 'laboratory').exists() or code.coding.exists(code = 'a')",
        ),
        ("Observation", "status = 'final' or status = 'amended' or status = 'corrected'"),
        (
            "Observation",
            "(effective.ofType(dateTime) | effective.ofType(Period).start).first()",
        ),
        (
            "Observation",
            "(effective.ofType(dateTime) | effective.ofType(Period).start).exists()",
        ),
        ("Observation", "iif(value.exists(), 'yes', iif(dataAbsentReason.empty(), {}, 'no'))"),
        (
            "Observation",
            "where(value.exists() and code.coding.where(code.startsWith('a') or code.matches('^b$')).exists())",
        ),
        ("Observation", "component.where(value.ofType(Quantity).value.exists())"),
        ("Patient", "extension('http://x').extension('y').value.ofType(Coding).code.first()"),
        ("Patient", "deceased.ofType(dateTime).exists() or deceased.ofType(boolean)"),
        ("Patient", "(name.exists()).not()"),
        ("Patient", "active = true"),
        ("Patient", "Patient.name[0].family"),
        ("Patient", "getResourceKey()"),
        ("Observation", "subject.getReferenceKey(Patient)"),
        ("Observation", "subject.getReferenceKey(Patient).exists()"),
        ("Observation", "performer.getReferenceKey(Practitioner).first()"),
        (
            "Observation",
            "iif(effective.ofType(dateTime).exists(), effective.ofType(dateTime), effective.ofType(instant)).toString().length() >= 10",
        ),
        ("Observation", "performer.all(getReferenceKey(Patient).exists())"),
        ("Condition", "asserter | recorder"),
        ("Condition", "(asserter | recorder).getReferenceKey(Practitioner).first()"),
        ("Condition", "bodySite.combine(evidence.code)"),
    ] {
        let fast = fast(type_name, expression);
        assert!(fast.is_some(), "{expression}");
        assert!(!format!("{fast:?}").contains("Ask"), "{expression} asks the evaluator");
    }
}

#[test]
fn what_is_only_sometimes_there_asks_the_evaluator_only_then() {
    for (type_name, expression) in [
        ("Patient", "birthDate.extension('x')"),
        ("Patient", "name.where($index = 0)"),
        ("Patient", "name[1]"),
        ("Observation", "contained.where('#' & id = 'x').ofType(Patient).name"),
        ("Observation", "referenceRange.first().low.value.toString()"),
        ("Observation", "iif(value.exists(), 'yes', 1 + 1)"),
        ("Observation", "status = 'final' or value > 3"),
    ] {
        let fast = fast(type_name, expression);
        assert!(format!("{fast:?}").contains("Ask"), "{expression}");
    }
}

#[test]
fn a_function_that_is_said_to_give_nothing_from_nothing_does() {
    let mut tree = Tree::new();
    let root = tree.parse(br#"{"resourceType":"Patient"}"#, &Limits::default()).expect("JSON");
    let mut asked = 0;
    for name in FUNCTIONS {
        let function = Function::of(name).expect("a function");
        if !function.gives_nothing_from_nothing() {
            continue;
        }
        let argument = match function.arguments() {
            Arguments::Type => "Patient",
            Arguments::EachItem => "true",
            Arguments::Values if matches!(name, "skip" | "take" | "substring") => "1",
            Arguments::Values => "'1'",
        };
        let mut arguments = vec![argument; function.arity().0];
        if name == "trace" {
            arguments[0] = "'1'";
        }
        let expression = format!("{{}}.{name}({})", arguments.join(", "));
        let path = Path::compile(&expression, &Names::default(), &Start::default()).expect("a sound expression");
        let found = path.evaluate(&Context::new(root, &[]), Item::Boolean(true)).expect("an answer");
        assert!(found.is_empty(), "{expression}");
        asked += 1;
    }
    assert!(asked > 40, "only {asked}");
}

const FUNCTIONS: [&str; 47] = [
    "where",
    "first",
    "last",
    "tail",
    "skip",
    "take",
    "single",
    "distinct",
    "exclude",
    "intersect",
    "sort",
    "trace",
    "select",
    "repeat",
    "ofType",
    "as",
    "children",
    "extension",
    "getReferenceKey",
    "lowBoundary",
    "highBoundary",
    "toBoolean",
    "toInteger",
    "toDecimal",
    "toString",
    "indexOf",
    "substring",
    "startsWith",
    "endsWith",
    "contains",
    "upper",
    "lower",
    "replace",
    "matches",
    "replaceMatches",
    "length",
    "split",
    "trim",
    "encode",
    "decode",
    "abs",
    "ceiling",
    "floor",
    "round",
    "truncate",
    "exists",
    "count",
];

#[test]
fn what_needs_more_than_a_walk_is_left_to_the_evaluator() {
    for (type_name, expression) in [
        ("Patient", "birthDate = '2020'"),
        ("Patient", "name.given.count() > 1"),
        ("Patient", "%resource.name"),
        ("Patient", "'a' = gender"),
        ("Observation", "value = 'a'"),
    ] {
        assert!(fast(type_name, expression).is_none(), "{expression}");
    }
}
