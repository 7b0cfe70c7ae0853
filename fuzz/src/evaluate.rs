//! An expression on a resource. `=`, the expression, a line end, a resource: taken as they are, with a resource of ours where
//! none follows. Any other input picks a resource with its first byte and an expression with the rest.

use headwater::fhir::path::{Context, Element, Found, Item, Literal, Names, Path, Start, Temporal, write_json};
use headwater::fhir::tree::{Limits, Node, Tree};
use headwater::fhir::types::TypeId;

use super::grammar::Choices;

const OBSERVATION: &str = r#"{"resourceType":"Observation","id":"o","meta":{"lastUpdated":"2020-02-29T23:59:60.123456789Z"},"extension":[{"url":"a",
"extension":[{"url":"b","valueDecimal":1.10}]}],"status":"final","_status":{"id":"s"},"code":{"coding":[{"system":"http://loinc.org","code":"1-8",
"display":"ſtraße"},{"system":"b"}],"text":"x\nA"},"subject":{"reference":"Patient/p"},"effectiveDateTime":"2020-02","valueQuantity":{"value":
-0.00000000000000000012345,"unit":"mg","system":"http://unitsofmeasure.org","code":"mg"},"component":[{"code":{"text":"aaaaaaaaaaaaaaaaaaaa"},
"valueInteger":2147483647},{"code":{},"valueString":"2020-01-01"},{"valueTime":"23:59"},{"valueSampledData":{"origin":{"value":1e9},"data":"1 2 E"}}]}"#;

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","active":true,"name":[{"family":"Ünal","given":["a","b",null],"_given":[null,{"id":"x"},
{"extension":[{"url":"u"}]}]},{"family":"B","period":{"start":"2020-01-01T00:00:00+14:00","end":"2021"}}],"_birthDate":{"extension":[{"url":"z",
"valueCode":"unknown"}]},"deceasedBoolean":false,"telecom":[{"value":"1"},{"value":"01"},{"value":"1.0"}],"contained":[{"resourceType":"Organization",
"name":"o"},{"resourceType":"Nothing"}],"identifier":[],"photo":[{"data":"/9j/"}],"multipleBirthInteger":-1}"#;

/// What an expression is asked of: two as hospitals have them, one deep, one wide, one that is no resource.
pub fn resource(number: usize) -> String {
    match number % 6 {
        0 => OBSERVATION.to_owned(),
        1 => PATIENT.to_owned(),
        2 => {
            let (open, close) = (r#"{"linkId":"a","item":["#.repeat(28), "]}".repeat(28));
            format!(r#"{{"resourceType":"QuestionnaireResponse","item":[{open}{{"linkId":"b"}}{close}]}}"#)
        }
        3 => {
            let codings: Vec<_> = (0..300).map(|n| format!(r#"{{"code":"{n}"}}"#)).collect();
            format!(
                r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{}]}}}}"#,
                codings.join(",")
            )
        }
        4 => format!(
            r#"{{"resourceType":"Observation","status":"{}","valueString":"{}"}}"#,
            "a".repeat(20_000),
            r"\u00e9\n".repeat(500)
        ),
        _ => r#"[{"resourceType":7,"":0,"_":null,"a":[[],[{}],{"_a":1}]},1e-60,"",null]"#.to_owned(),
    }
}

pub fn run(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    if first == b'=' {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let expression = String::from_utf8_lossy(&rest[..end]);
        match rest.get(end + 1..).filter(|text| !text.is_empty()) {
            Some(text) => on(&expression, text),
            None => (0..6).for_each(|number| on(&expression, resource(number).as_bytes())),
        }
        return;
    }
    on(&Choices::new(rest).expression(), resource(usize::from(first)).as_bytes());
}

fn on(expression: &str, text: &[u8]) {
    let mut tree = Tree::new();
    let Ok(root) = tree.parse(text, &Limits::default()) else { return };
    let type_id = root.resource_type().and_then(TypeId::of);
    let names = ["system".to_owned(), "limit".to_owned()];
    let constants = [Literal::Text("http://loinc.org".to_owned()), Literal::Integer(i64::MIN)];
    let typing = type_id.map(|type_id| vec![type_id]);
    let names = Names {
        constants: &names,
        pure: false,
        ..Names::default()
    };
    let start = Start {
        focus: typing.clone(),
        resource: typing,
        strict: false,
    };
    let Ok(path) = Path::compile(expression, &names, &start) else {
        return;
    };
    let mut context = Context::new(root, &constants);
    context.now = Temporal::date_time("2026-01-02T03:04:05.678Z");
    let focus = Item::Element(Element {
        node: Some(root),
        under: None,
        type_id,
    });
    let answer = path.evaluate(&context, focus);
    let Ok(found) = answer else { return };
    assert!(
        context.steps() <= 1_000_000,
        "an answer after more steps than there are: {expression}"
    );
    assert!(found.len() <= 100_000, "{} items: {expression}", found.len());
    let mut out = Vec::new();
    for item in found.as_slice() {
        out.clear();
        write_json(item, &mut out);
        assert!(
            serde_json_like(&out),
            "`{}` is no JSON: {expression}",
            String::from_utf8_lossy(&out)
        );
    }
    straight_way_agrees(&path, root, &context, found.as_slice(), expression);
}

/// Printed items are JSON again. Our own reader is strict, and is what is at hand.
fn serde_json_like(text: &[u8]) -> bool {
    let limits = Limits {
        line_bytes: 64 << 20,
        depth: 64,
    };
    Tree::new().parse(text, &limits).is_ok()
}

/// Where the straight way has an answer it is the evaluator's.
fn straight_way_agrees(path: &Path, root: Node<'_, '_>, context: &Context<'_, '_>, found: &[Item<'_, '_>], expression: &str) {
    let Some(fast) = path.fast() else { return };
    let Ok(one) = fast.one(root, context.given()) else { return };
    let agrees = match (&one, found) {
        (Found::Nothing, []) => true,
        (Found::Node(node), [Item::Element(element)]) => element.node.map(Node::index) == Some(node.index()) || element.node.is_none(),
        (Found::Key(key), [Item::Text(text)]) => **key == **text,
        (Found::Boolean(value), [Item::Boolean(own)]) => value == own,
        (Found::Literal(literal), [item]) => {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            write_json(&Item::from(*literal), &mut a);
            write_json(item, &mut b);
            a == b
        }
        (Found::Many, [_, _, ..]) => true,
        _ => false,
    };
    assert!(agrees, "the straight way and the evaluator differ: {expression}");
}
