//! `memberOf` and `conformsTo` on real elements, and what is refused before any is seen.

use super::super::{Context, Names, Path, Start};
use super::*;
use crate::fhir::path::Element;
use crate::fhir::tree::{Limits, Tree};

/// A profile that wants an id.
#[derive(Debug)]
struct Identified;

impl Fits for Identified {
    fn fits(&self, resource: Node<'_, '_>) -> bool {
        resource.get(Name::ID).is_some()
    }
}

fn known() -> Canonicals {
    let set =
        r#"{"resourceType":"ValueSet","url":"http://x/v","version":"2","compose":{"include":[{"system":"s","concept":[{"code":"1"}]}]}}"#;
    let sets = ValueSets::load(&[("v.json".to_owned(), set.to_owned())]).expect("a ValueSet");
    Canonicals {
        value_sets: Arc::new(sets),
        profiles: vec![("http://x/identified".to_owned(), Arc::new(Identified))],
    }
}

fn compiled(expression: &str, known: Option<&Canonicals>) -> Result<Path, String> {
    let names = Names {
        pure: true,
        canonicals: known,
        ..Names::default()
    };
    Path::compile(expression, &names, &Start::default()).map_err(|error| error.message)
}

fn answer(expression: &str, resource: &str) -> String {
    let path = compiled(expression, Some(&known())).expect("an expression");
    let mut tree = Tree::new();
    let root = tree.parse(resource.as_bytes(), &Limits::default()).expect("JSON");
    let found = path.evaluate(&Context::new(root, &[]), Item::Element(Element::resource(root)));
    match found {
        Err(fault) => fault.rule.to_owned(),
        Ok(found) => match found.as_slice() {
            [] => "empty".to_owned(),
            [Item::Boolean(value)] => value.to_string(),
            _ => "something else".to_owned(),
        },
    }
}

#[test]
fn codes_codings_and_concepts_belong_by_system_and_code() {
    let resource = r#"{"resourceType":"Observation","status":"1","bodySite":{"text":"only words"},
        "code":{"coding":[{"system":"t","code":"1"},{"system":"s","code":"1"}]},"category":[{"coding":[{"code":"1"}]}],"_issued":{"id":"x"}}"#;
    for (expression, expected) in [
        ("status.memberOf('http://x/v')", "true"),
        ("'2'.memberOf('http://x/v|2')", "false"),
        ("code.memberOf('http://x/v')", "true"),
        ("code.coding.first().memberOf('http://x/v')", "false"),
        ("code.coding.last().memberOf('http://x/v')", "true"),
        ("code.coding.where(memberOf('http://x/v')).exists()", "true"),
        // Without a system nobody knows which code it is.
        ("category.first().memberOf('http://x/v')", "false"),
        ("bodySite.memberOf('http://x/v')", "false"),
        ("method.memberOf('http://x/v')", "empty"),
        ("issued.memberOf('http://x/v')", "empty"),
        ("1.memberOf('http://x/v')", "`memberOf()` asks of a code, Coding or CodeableConcept"),
        ("code.coding.memberOf('http://x/v')", "more than one item where one was expected"),
    ] {
        assert_eq!(answer(expression, resource), expected, "{expression}");
    }
}

#[test]
fn a_resource_conforms_to_a_type_or_to_a_profile_of_the_package() {
    let resource = r#"{"resourceType":"Patient","id":"p"}"#;
    for (expression, expected) in [
        ("conformsTo('http://hl7.org/fhir/StructureDefinition/Patient')", "true"),
        ("conformsTo('http://hl7.org/fhir/StructureDefinition/Person')", "false"),
        ("conformsTo('http://x/identified')", "true"),
        ("name.conformsTo('http://x/identified')", "empty"),
        ("id.conformsTo('http://x/identified')", "false"),
    ] {
        assert_eq!(answer(expression, resource), expected, "{expression}");
    }
    assert_eq!(
        answer("conformsTo('http://x/identified')", r#"{"resourceType":"Patient"}"#),
        "false"
    );
}

#[test]
fn what_is_not_known_is_an_error_before_any_resource_is_seen() {
    let known = known();
    for (expression, known, words) in [
        (
            "code.memberOf('http://x/none')",
            Some(&known),
            "no ValueSet `http://x/none` is known here",
        ),
        ("code.memberOf('http://x/v|3')", Some(&known), "no ValueSet `http://x/v|3`"),
        ("code.memberOf('http://x/v')", None, "no ValueSet `http://x/v`"),
        ("code.memberOf(url)", Some(&known), "by a text that stands here"),
        (
            "code.memberOf(%`vs-none`)",
            Some(&known),
            "no ValueSet `http://hl7.org/fhir/ValueSet/none`",
        ),
        (
            "conformsTo('http://x/none')",
            Some(&known),
            "no profile `http://x/none` is known here",
        ),
        (
            "conformsTo('http://hl7.org/fhir/StructureDefinition/Nothing')",
            Some(&known),
            "no profile",
        ),
    ] {
        let error = compiled(expression, known).expect_err("an error");
        assert!(error.contains(words), "{expression}: {error}");
    }
}
