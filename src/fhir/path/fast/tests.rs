//! Shapes of expressions that have a straight way, and those that must not have one.

use super::Fast;
use crate::fhir::path::{Names, Path, Start};
use crate::fhir::types::TypeId;

fn fast(type_name: &str, expression: &str) -> Option<Fast> {
    let typing = TypeId::of(type_name).map(|type_id| vec![type_id]);
    let constants = ["system".to_owned()];
    let names = Names {
        constants: &constants,
        pure: true,
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
    ] {
        assert!(fast(type_name, expression).is_some(), "{expression}");
    }
}

#[test]
fn what_needs_more_than_a_walk_is_left_to_the_evaluator() {
    for (type_name, expression) in [
        ("Patient", "birthDate = '2020'"),
        ("Patient", "birthDate.extension('x')"),
        ("Patient", "name.given.count() > 1"),
        ("Patient", "%resource.name"),
        ("Patient", "name.given | name.family"),
        ("Patient", "name.where($index = 0)"),
        ("Patient", "'a' = gender"),
        ("Patient", "name[1]"),
        ("Observation", "value.unit"),
        ("Observation", "contained.id"),
        ("Observation", "value = 'a'"),
    ] {
        assert!(fast(type_name, expression).is_none(), "{expression}");
    }
}
