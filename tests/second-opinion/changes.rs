//! Faults that no data has: kinds of change to one element of a sound resource. Most make it wrong, some leave it right; which, the
//! two opinions say.

use headwater::fhir::tree::{Kind, Node};

use crate::rewrite::{name, value};

/// What a change is called, what it can be made to, and what is written in the element's place.
type Made = (&'static str, fn(Node<'_, '_>) -> bool, fn(Node<'_, '_>, &mut Vec<u8>));

pub const CHANGES: [Made; 26] = [
    ("another name", is_member, |node, text| {
        name(node, &format!("{}X", node.name_text()), text);
        value(node, text);
    }),
    ("twice", is_member, |node, text| {
        plain(node, text);
        text.push(b',');
        plain(node, text);
    }),
    ("in an array", any, |node, text| around(node, ["[", "]"], text)),
    ("in an object", any, |node, text| around(node, ["{\"value\":", "}"], text)),
    ("twice in an array", is_no_array, |node, text| {
        around(node, ["[", ","], text);
        value(node, text);
        text.push(b']');
    }),
    ("its first item", is_array, |node, text| {
        name(node, node.name_text(), text);
        value(node.children().next().unwrap_or(node), text);
    }),
    ("null", any, |node, text| put(node, "null", text)),
    ("an array of null", any, |node, text| put(node, "[null]", text)),
    ("an empty array", any, |node, text| put(node, "[]", text)),
    ("an empty object", any, |node, text| put(node, "{}", text)),
    ("an empty text", any, |node, text| put(node, "\"\"", text)),
    ("a text", any, |node, text| put(node, "\"x\"", text)),
    ("a text of a number", any, |node, text| put(node, "\"1\"", text)),
    ("a text of a boolean", any, |node, text| put(node, "\"true\"", text)),
    ("a text with spaces at its ends", any, |node, text| put(node, "\" x  y \"", text)),
    ("a day that is none", any, |node, text| put(node, "\"2020-13-45\"", text)),
    ("a boolean", any, |node, text| put(node, "true", text)),
    ("a whole number", any, |node, text| put(node, "1", text)),
    ("a negative number", any, |node, text| put(node, "-1", text)),
    ("a number of more than 32 bits", any, |node, text| put(node, "99999999999", text)),
    ("a number of more than 64 bits", any, |node, text| {
        put(node, "99999999999999999999", text)
    }),
    ("a number with an exponent", any, |node, text| put(node, "1.0e2", text)),
    ("a companion with an id", has_room, |node, text| {
        beside(node, "{\"id\":\"a\"}", text)
    }),
    ("a companion with an unknown element", has_room, |node, text| {
        beside(node, "{\"unknown\":\"a\"}", text)
    }),
    ("a companion in an array", has_room, |node, text| {
        beside(node, "[{\"id\":\"a\"}]", text)
    }),
    ("null beside a companion", has_room, |node, text| {
        put(node, "null,", text);
        text.extend_from_slice(format!("\"_{}\":{{\"id\":\"a\"}}", node.name_text()).as_bytes());
    }),
];

fn any(_: Node<'_, '_>) -> bool {
    true
}

fn is_member(node: Node<'_, '_>) -> bool {
    !node.name_text().is_empty()
}

/// A member that is no companion and, by the looks of the text before and after it, has none.
fn has_room(node: Node<'_, '_>) -> bool {
    let companion = format!("\"_{}\"", node.name_text());
    is_member(node) && !node.name().is_companion() && !node.root().raw().contains(&companion)
}

fn is_array(node: Node<'_, '_>) -> bool {
    node.kind() == Kind::Array
}

fn is_no_array(node: Node<'_, '_>) -> bool {
    !is_array(node)
}

fn plain(node: Node<'_, '_>, text: &mut Vec<u8>) {
    around(node, ["", ""], text);
}

fn around(node: Node<'_, '_>, [before, after]: [&str; 2], text: &mut Vec<u8>) {
    name(node, node.name_text(), text);
    text.extend_from_slice(before.as_bytes());
    value(node, text);
    text.extend_from_slice(after.as_bytes());
}

fn put(node: Node<'_, '_>, instead: &str, text: &mut Vec<u8>) {
    name(node, node.name_text(), text);
    text.extend_from_slice(instead.as_bytes());
}

/// The member, and the companion that primitives may have.
fn beside(node: Node<'_, '_>, companion: &str, text: &mut Vec<u8>) {
    plain(node, text);
    text.extend_from_slice(format!(",\"_{}\":{companion}", node.name_text()).as_bytes());
}
