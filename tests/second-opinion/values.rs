//! Whether two JSON texts hold the same values: the same members in whatever order, the same items in the same order, texts by
//! their characters, numbers by their digits.

use std::collections::BTreeSet;

use headwater::fhir::tree::{Kind, Limits, Node, Tree};

/// What `written` holds otherwise than `read`, by kind.
pub fn differences(read: Node<'_, '_>, written: &[u8]) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let mut tree = Tree::new();
    match tree.parse(written, &Limits::default()) {
        Ok(root) => compare(read, root, &mut found),
        Err(_) => {
            found.insert("what it writes is no JSON");
        }
    }
    found
}

fn compare(one: Node<'_, '_>, other: Node<'_, '_>, found: &mut BTreeSet<&'static str>) {
    match (one.kind(), other.kind()) {
        (Kind::Object, Kind::Object) => {
            for member in one.children() {
                match other.children().find(|beside| beside.name_text() == member.name_text()) {
                    Some(beside) => compare(member, beside, found),
                    None => _ = found.insert("a member is lost"),
                }
            }
            if other.children().count() > one.children().count() {
                found.insert("a member is added");
            }
        }
        (Kind::Array, Kind::Array) => {
            for (item, beside) in one.children().zip(other.children()) {
                compare(item, beside, found);
            }
            if one.children().count() != other.children().count() {
                found.insert("another number of items");
            }
        }
        (Kind::String, Kind::String) if one.text() != other.text() => _ = found.insert("another text"),
        (Kind::Number, Kind::Number) if one.raw() != other.raw() => {
            let value = |node: Node<'_, '_>| node.raw().parse::<f64>().ok();
            found.insert(if value(one) == value(other) {
                "the same number in other digits"
            } else {
                "another number"
            });
        }
        (Kind::Boolean, Kind::Boolean) if one.raw() != other.raw() => _ = found.insert("the other boolean"),
        (one, other) if one != other => _ = found.insert("another kind of value"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(one: &str, other: &str, expected: &[&str]) {
        let mut tree = Tree::new();
        let root = tree.parse(one.as_bytes(), &Limits::default()).expect("JSON");
        let found: Vec<&str> = differences(root, other.as_bytes()).into_iter().collect();
        assert_eq!(found, expected, "{one} and {other}");
    }

    #[test]
    fn the_same_values_are_the_same_however_they_are_written() {
        check(
            r#"{"a":"\u00e9\/","b":[1.50,true,null]}"#,
            "{ \"b\": [1.50, true, null], \"a\": \"é/\" }",
            &[],
        );
    }

    #[test]
    fn every_other_value_is_seen() {
        check(r#"{"a":"x"}"#, r#"{"a":"y"}"#, &["another text"]);
        check(r#"{"a":1.50}"#, r#"{"a":1.5}"#, &["the same number in other digits"]);
        check(r#"{"a":1.50}"#, r#"{"a":1.51}"#, &["another number"]);
        check(r#"{"a":true}"#, r#"{"a":false}"#, &["the other boolean"]);
        check(r#"{"a":1}"#, r#"{"a":"1"}"#, &["another kind of value"]);
        check(r#"{"a":1,"b":2}"#, r#"{"a":1}"#, &["a member is lost"]);
        check(r#"{"a":1}"#, r#"{"a":1,"b":2}"#, &["a member is added"]);
        check(r#"{"a":[1,2]}"#, r#"{"a":[1]}"#, &["another number of items"]);
        check(r#"{"a":[{"b":[1]}]}"#, r#"{"a":[{"b":[2]}]}"#, &["another number"]);
        check("{}", "{", &["what it writes is no JSON"]);
    }
}
