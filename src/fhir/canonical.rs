//! The content of a resource in one spelling, so that two servers, or one server on two days, can be seen to say the same:
//! members in the order of their names, no white space between tokens, escapes only where JSON needs them, digits as they
//! stand. Left out is what a server notes about its own record: `meta.versionId`, `meta.lastUpdated` and `meta.source`.
//! Basis: FHIR R4, "JSON Representation, Canonical JSON"; unlike there, `text` and the rest of `meta` stay, for a profile, a
//! tag or a security label shapes what becomes of a resource. Knows no digest: `gateway` and tests hash what stands here.

use super::name::Name;
use super::tree::{Kind, Node};

/// Members of `meta` that tell of the record and not of the patient.
const OF_THE_RECORD: [&str; 3] = ["versionId", "lastUpdated", "source"];

/// Appends the canonical text of the resource at `root` to `out`.
pub fn write(root: Node<'_, '_>, out: &mut Vec<u8>) {
    object(root, out, |name, member| {
        if name != "meta" || member.kind() != Kind::Object {
            return Member::AsItIs;
        }
        if member.children().all(|child| is_of_the_record(name_of(child))) {
            Member::LeftOut
        } else {
            Member::Meta
        }
    });
}

/// What becomes of a member.
enum Member {
    AsItIs,
    LeftOut,
    /// An object without what is of the record.
    Meta,
}

fn value(node: Node<'_, '_>, out: &mut Vec<u8>) {
    match node.kind() {
        Kind::Object => object(node, out, |_, _| Member::AsItIs),
        Kind::Array => {
            out.push(b'[');
            for (number, item) in node.children().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                value(item, out);
            }
            out.push(b']');
        }
        Kind::String => string(node, out),
        Kind::Null | Kind::Boolean | Kind::Number => out.extend_from_slice(node.raw().as_bytes()),
    }
}

fn object(node: Node<'_, '_>, out: &mut Vec<u8>, becomes: fn(&str, Node<'_, '_>) -> Member) {
    let mut members: Vec<(&str, Node<'_, '_>)> = node.children().map(|member| (name_of(member), member)).collect();
    // Servers write members in one order as a rule: then this is one pass.
    members.sort_by_key(|(name, _)| *name);
    out.push(b'{');
    let mut is_first = true;
    for (name, member) in members {
        let becomes = becomes(name, member);
        if matches!(becomes, Member::LeftOut) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match becomes {
            Member::Meta => object(
                member,
                out,
                |name, _| {
                    if is_of_the_record(name) { Member::LeftOut } else { Member::AsItIs }
                },
            ),
            _ => value(member, out),
        }
    }
    out.push(b'}');
}

/// A name that FHIR does not know stands as it is written, escapes and all: two spellings of it are two contents.
fn name_of<'a>(member: Node<'_, 'a>) -> &'a str {
    match member.name() {
        Name::UNKNOWN => member.name_text(),
        known => known.as_str(),
    }
}

fn is_of_the_record(name: &str) -> bool {
    OF_THE_RECORD.contains(&name)
}

fn string(node: Node<'_, '_>, out: &mut Vec<u8>) {
    out.push(b'"');
    if node.is_escaped() {
        for character in node.text().chars() {
            match character {
                '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
                '\0'..='\x1f' => out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes()),
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    } else {
        out.extend_from_slice(node.raw().as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Limits, Tree};
    use super::*;

    fn canonical(text: &str) -> String {
        let mut out = Vec::new();
        write(Tree::new().parse(text.as_bytes(), &Limits::default()).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_content_has_one_text_however_it_is_written() {
        let expected = r#"{"id":"a","name":[{"family":"é\"/","x":1.50}],"resourceType":"Patient"}"#;
        for text in [
            r#"{"resourceType":"Patient","id":"a","name":[{"family":"é\"/","x":1.50}]}"#,
            "{ \"name\" : [ { \"x\" : 1.50 ,\t\"family\" : \"\\u00e9\\u0022\\/\" } ],\r\n \"id\":\"\\u0061\", \"resourceType\":\"Patient\" }",
            r#"{"resourceType":"Patient","id":"a","meta":{"versionId":"7","lastUpdated":"2026-01-01T00:00:00Z","source":"x"},"name":[{"family":"é\"/","x":1.50}]}"#,
            r#"{"resourceType":"Patient","id":"a","meta":{},"name":[{"family":"é\"/","x":1.50}]}"#,
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn another_content_has_another_text() {
        let one = r#"{"id":"a","x":1.50,"meta":{"tag":[{"code":"t"}]},"y":["b","c"],"contained":[{"meta":{"versionId":"1"}}]}"#;
        for (what, with) in [
            ("1.50", "1.5"),
            ("\"t\"", "\"u\""),
            (r#"["b","c"]"#, r#"["c","b"]"#),
            ("\"a\"", "\"A\""),
            // What is contained has no record of its own.
            (r#""versionId":"1""#, r#""versionId":"2""#),
        ] {
            let other = one.replace(what, with);
            assert_ne!(other, one);
            assert_ne!(canonical(&other), canonical(one), "{what}");
        }
    }

    #[test]
    fn a_control_character_stays_an_escape_and_no_text_can_look_like_another() {
        assert_eq!(canonical("{\"x\":\"a\\n\\\\n\"}"), "{\"x\":\"a\\u000a\\\\n\"}");
        assert_ne!(canonical(r#"{"x":"a\",\"y\":\"b"}"#), canonical(r#"{"x":"a","y":"b"}"#));
    }
}
