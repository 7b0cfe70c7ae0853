//! The tree against serde_json: the same texts accepted, the same values seen; our own limits apart.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

fn rule(line: &[u8]) -> &'static str {
    match Tree::new().parse(line, &Limits::default()) {
        Ok(_) => "accepted",
        Err(error) => error.rule,
    }
}

/// The tree as serde_json's value; numbers go through their digits.
fn value(node: Node<'_, '_>) -> Value {
    match node.kind() {
        Kind::Null => Value::Null,
        Kind::Boolean => Value::Bool(node.raw() == "true"),
        Kind::Number => serde_json::from_str(node.raw()).expect("a number of ours is a number of serde_json"),
        Kind::String => Value::String(node.text().into_owned()),
        Kind::Array => Value::Array(node.children().map(value).collect()),
        Kind::Object => {
            let mut members = Map::new();
            for child in node.children() {
                let name: String = serde_json::from_str(&format!("\"{}\"", child.name_text())).expect("a name is a string");
                assert_eq!(Name::of(&name), child.name());
                assert!(members.insert(name, value(child)).is_none(), "duplicate members are refused");
            }
            Value::Object(members)
        }
    }
}

/// serde_json and we must agree on `text`, but for our limits and duplicate members.
fn agree(text: &[u8]) -> Result<(), TestCaseError> {
    let theirs: Result<Value, _> = serde_json::from_slice(text);
    let mut tree = Tree::new();
    match (tree.parse(text, &Limits::default()), theirs) {
        (Ok(root), Ok(theirs)) => prop_assert_eq!(value(root), theirs),
        (Err(_), Err(_)) => {}
        (Err(error), Ok(_)) => prop_assert!(
            matches!(error.rule, "duplicate member" | "number too long"),
            "only we refuse: {}",
            error.rule
        ),
        // serde_json refuses numbers that no f64 holds; their digits are fine with us.
        (Ok(_), Err(error)) => prop_assert!(error.to_string().starts_with("number out of range"), "only they refuse: {error}"),
    }
    Ok(())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::String),
        "[\"\\\\\u{0}-\u{20}/a]{0,6}".prop_map(Value::String),
    ];
    let name = prop_oneof![
        Just("code".to_owned()),
        Just("_value".to_owned()),
        Just("medicationCodeableConcept".to_owned()),
        "[a-z_]{0,12}",
        ".{0,9}",
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_json_value_is_read_back_compact_and_pretty(written in json()) {
        for text in [written.to_string(), serde_json::to_string_pretty(&written).expect("a value is JSON")] {
            let mut tree = Tree::new();
            let root = tree.parse(text.as_bytes(), &Limits::default()).expect("serde_json writes JSON");
            prop_assert_eq!(root.raw().len() + 2 * usize::from(root.kind() == Kind::String), text.len());
            prop_assert_eq!(value(root), serde_json::from_str::<Value>(&text).expect("serde_json reads what it wrote"));
        }
    }

    #[test]
    fn changed_json_is_refused_exactly_when_serde_json_refuses_it(
        written in json(), pretty in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<u8>(), "[\\[\\]{}:,\"\\\\ \t\r0-9eE+\\-.truefalsn]"), 1..4),
    ) {
        let mut text = if pretty { serde_json::to_string_pretty(&written).expect("a value is JSON") } else { written.to_string() }.into_bytes();
        for (place, kind, byte, telling) in changes {
            let at = place.index(text.len() + 1);
            match kind {
                0 if at < text.len() => text[at] = byte,
                1 if at < text.len() => { text.remove(at); }
                2 => text.truncate(at),
                _ => text.insert(at, telling.as_bytes()[0]),
            }
        }
        agree(&text)?;
    }

    #[test]
    fn any_bytes_are_refused_exactly_when_serde_json_refuses_them(text in prop::collection::vec(any::<u8>(), 0..40)) {
        agree(&text)?;
    }

    #[test]
    fn any_row_of_telling_characters_is_refused_exactly_when_serde_json_refuses_it(text in "[\\[\\]{}:,\"\\\\ \t\u{1}0-9eE+\\-.u]{0,12}") {
        agree(text.as_bytes())?;
    }

    #[test]
    fn what_a_tree_read_before_does_not_change_the_names_it_reads(lines in prop::collection::vec(
        prop::collection::vec(prop::sample::select(&["code", "_code", "cod", "codee", "status", "_status", "effectiveDateTime", "effectiveDateTimf", "x"][..]), 0..5), 1..8,
    )) {
        let mut tree = Tree::new();
        for names in lines {
            let mut members: Vec<&str> = Vec::new();
            for name in names {
                if !members.contains(&name) {
                    members.push(name);
                }
            }
            let line = format!("{{{}}}", members.iter().map(|name| format!("\"{name}\":1")).collect::<Vec<_>>().join(","));
            let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
            prop_assert_eq!(root.children().map(|child| child.name_text()).collect::<Vec<_>>(), members.clone());
            prop_assert_eq!(root.children().map(|child| child.name()).collect::<Vec<_>>(), members.into_iter().map(Name::of).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_number_keeps_its_digits(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?") {
        let mut tree = Tree::new();
        let root = tree.parse(text.as_bytes(), &Limits::default()).expect("the grammar of a number");
        prop_assert_eq!(root.raw(), text.as_str());
    }
}

#[test]
fn a_member_name_may_stand_once_however_it_is_written() {
    for (line, expected) in [
        (r#"{"code":1,"code":2}"#, "duplicate member"),
        (r#"{"code":{"code":{"code":1}},"id":2}"#, "accepted"),
        (r#"{"code":1,"_code":2}"#, "accepted"),
        (r#"{"foo":1,"bar":2}"#, "accepted"),
        (r#"{"foo":1,"bar":2,"foo":3}"#, "duplicate member"),
        (r#"{"foo":1,"fo\u006f":3}"#, "duplicate member"),
        (r#"{"co\u0064e":1,"code":3}"#, "duplicate member"),
        (r#"{"a\"b":1,"a\\":3,"b":{"a\"b":0}}"#, "accepted"),
        (r#"{"":1,"":3}"#, "duplicate member"),
        (r#"[{"code":1},{"code":1}]"#, "accepted"),
    ] {
        assert_eq!(rule(line.as_bytes()), expected, "{line}");
    }
    let second = Tree::new().parse(br#"{"code":1,"code":2}"#, &Limits::default()).map(|_| ());
    assert_eq!(second.map_err(|error| error.offset), Err(17));
}

#[test]
fn an_object_has_at_most_256_members_of_at_most_256_bytes() {
    let object = |count: usize, name: &str| {
        let members: Vec<String> = (0..count).map(|number| format!("\"{name}{number}\":{number}")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(rule(object(256, "name").as_bytes()), "accepted");
    assert_eq!(rule(object(257, "name").as_bytes()), "too many members");
    assert_eq!(rule(object(100_000, "name").as_bytes()), "too many members");
    let twice = object(200, "name").replacen("\"name7\"", "\"name9\"", 1);
    assert_eq!(rule(twice.as_bytes()), "duplicate member");
    assert_eq!(rule(object(1, &"a".repeat(255)).as_bytes()), "accepted");
    assert_eq!(rule(object(1, &"a".repeat(256)).as_bytes()), "member name too long");
    assert_eq!(rule(format!("{{\"a\"{}:1}}", " ".repeat(200)).as_bytes()), "accepted");
    let far = format!("{{\"a\"{}:1}}", " ".repeat(300));
    assert_eq!(rule(far.as_bytes()), "too much space before a colon");
}

#[test]
fn limits_hold_on_either_side() {
    let parse = |line: &str, limits: Limits| Tree::new().parse(line.as_bytes(), &limits).map(|_| ()).map_err(|error| error.rule);
    let depth = |depth| Limits {
        depth,
        ..Limits::default()
    };
    assert_eq!(parse("[[[1]]]", depth(3)), Ok(()));
    assert_eq!(parse("[[[[]]]]", depth(3)), Err("too deep"));
    assert_eq!(parse(r#"{"a":{"b":{"c":{}}}}"#, depth(3)), Err("too deep"));
    let bytes = |line_bytes| Limits {
        line_bytes,
        ..Limits::default()
    };
    assert_eq!(parse("[1,2]", bytes(5)), Ok(()));
    assert_eq!(parse("[1,2]", bytes(4)), Err("line too long"));
    assert_eq!(parse(&"1".repeat(NUMBER_BYTES), Limits::default()), Ok(()));
    assert_eq!(parse(&"1".repeat(NUMBER_BYTES + 1), Limits::default()), Err("number too long"));
    // Far deeper than any stack: refused, not overflown.
    assert_eq!(parse(&"[".repeat(1 << 20), Limits::default()), Err("too deep"));
    assert_eq!(parse(&"[".repeat(1 << 20), depth(usize::MAX)), Err("line ends too early"));
}

#[test]
fn every_fault_has_its_rule() {
    for (line, expected) in [
        (&b""[..], "line ends too early"),
        (b"  ", "line ends too early"),
        ("\u{feff}{}".as_bytes(), "byte order mark"),
        (b"{} {}", "text behind the value"),
        (b"{}x", "text behind the value"),
        (b"\"\xff\"", "not UTF-8"),
        (b"\"\xed\xa0\x80\"", "not UTF-8"),
        (b"\"a\tb\"", "control character"),
        (b"\"a\x00b and sixteen bytes more\"", "control character"),
        (br#""\ud800""#, "bad escape"),
        (br#""\q""#, "bad escape"),
        (b"\"abc", "line ends too early"),
        (b"{\"a\":1,}", "no member name"),
        (b"{\"a\"1}", "no colon"),
        (b"[1 2]", "no comma or closing bracket"),
        (b"{\"a\":1 \"b\":2}", "no comma or closing brace"),
        (b"{\"a\":1]", "no comma or closing brace"),
        (b"[1,]", "no value"),
        (b"nul", "no value"),
        (b"NaN", "no value"),
        (b"01", "text behind the value"),
        (b"-", "bad number"),
        (b"1.", "bad number"),
        (b"1e", "bad number"),
        (b"+1", "no value"),
        (b".5", "no value"),
        (b"\x0b1", "no value"),
    ] {
        assert_eq!(rule(line), expected, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn a_path_reads_as_fhir_and_hides_names_that_might_be_values() {
    let line = r#"{"resourceType":"Observation","component":[{},{"valueQuantity":{"value":1.50}}],"favoriteColor":{"code":1},"Müller 1980":{"id":2},"_birthDate":{"id":"x"}}"#;
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
    let mut paths = Vec::new();
    let mut todo = vec![root];
    while let Some(node) = todo.pop() {
        if !matches!(node.kind(), Kind::Array | Kind::Object) {
            paths.push(node.path());
        }
        todo.extend(node.children());
    }
    paths.sort();
    assert_eq!(
        paths,
        [
            "Observation.?.id",
            "Observation._birthDate.id",
            "Observation.component[1].valueQuantity.value",
            "Observation.favoriteColor.code",
            "Observation.resourceType",
        ]
    );
}

#[test]
fn a_node_tells_its_text_and_its_place() {
    let line = r#" { "status" : "fi\nnal" , "valueQuantity":{"value": 58.50} } "#;
    let mut tree = Tree::new();
    let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
    let status = root.get(Name::of("status")).expect("a status");
    assert_eq!(
        (status.name_text(), status.raw(), status.text().as_ref()),
        ("status", r"fi\nnal", "fi\nnal")
    );
    assert_eq!(&line[status.offset()..][..10], r#""fi\nnal" "#);
    let quantity = root.get(Name::of("valueQuantity")).expect("a quantity");
    assert_eq!(quantity.raw(), r#"{"value": 58.50}"#);
    assert_eq!(quantity.children().map(|child| child.raw()).collect::<Vec<_>>(), ["58.50"]);
    assert!(quantity.index() > status.index());
    assert_eq!(root.name(), Name::NONE);
    assert_eq!(root.name_text(), "");
    assert_eq!(std::mem::size_of::<Raw>(), 16);
}
