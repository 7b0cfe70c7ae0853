//! A tree as JSON text again, with one change.

use headwater::fhir::name::Name;
use headwater::fhir::tree::{Kind, Node};

/// What is written otherwise.
#[derive(Clone, Copy)]
pub enum Change<'c> {
    /// Every resource begins with its `resourceType`.
    TypeFirst,
    /// The node of this number (`Node::index`) is written by this.
    At(u32, &'c dyn Fn(Node<'_, '_>, &mut Vec<u8>)),
}

/// The text of `root` with the change made.
pub fn to_text(root: Node<'_, '_>, change: Change<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(root.size() + 64);
    write(root, change, &mut text);
    text
}

/// A member with its name, or an item or root without one.
fn write(node: Node<'_, '_>, change: Change<'_>, text: &mut Vec<u8>) {
    if let Change::At(index, how) = change
        && index == node.index()
    {
        return how(node, text);
    }
    name(node, node.name_text(), text);
    if !matches!(node.kind(), Kind::Object | Kind::Array) {
        return value(node, text);
    }
    let is_object = node.kind() == Kind::Object;
    text.push(if is_object { b'{' } else { b'[' });
    let is_first = |child: &Node<'_, '_>| matches!(change, Change::TypeFirst) && child.name() == Name::RESOURCE_TYPE;
    let first = node.children().filter(is_first);
    let rest = node.children().filter(|child| !is_first(child));
    for (number, child) in first.chain(rest).enumerate() {
        if number > 0 {
            text.push(b',');
        }
        write(child, change, text);
    }
    text.push(if is_object { b'}' } else { b']' });
}

/// `"name":` for a member, nothing for an item.
pub fn name(node: Node<'_, '_>, name: &str, text: &mut Vec<u8>) {
    if node.name() != Name::NONE {
        text.extend_from_slice(format!("\"{name}\":").as_bytes());
    }
}

/// The value as it stands.
pub fn value(node: Node<'_, '_>, text: &mut Vec<u8>) {
    let quote: &[u8] = if node.kind() == Kind::String { b"\"" } else { b"" };
    text.extend([quote, node.raw().as_bytes(), quote].concat());
}

#[cfg(test)]
mod tests {
    use headwater::fhir::tree::{Limits, Tree};

    use super::*;

    #[test]
    fn every_resource_begins_with_its_type_and_the_rest_stays() {
        let text = r#"{"id":"a","contained":[{"x":[1.0,"\n"],"resourceType":"B"}],"resourceType":"A"}"#;
        let expected = r#"{"resourceType":"A","id":"a","contained":[{"resourceType":"B","x":[1.0,"\n"]}]}"#;
        let mut tree = Tree::new();
        let root = tree.parse(text.as_bytes(), &Limits::default()).expect("JSON");
        assert_eq!(String::from_utf8_lossy(&to_text(root, Change::TypeFirst)), expected);
    }

    #[test]
    fn one_node_is_written_otherwise_and_no_other() {
        let mut tree = Tree::new();
        let root = tree.parse(br#"{"id":"a","x":["b",{"y":2}]}"#, &Limits::default()).expect("JSON");
        let item = root.children().nth(1).and_then(|list| list.children().next()).expect("an item");
        let changed = to_text(root, Change::At(item.index(), &|_, text| text.extend_from_slice(b"null")));
        assert_eq!(String::from_utf8_lossy(&changed), r#"{"id":"a","x":[null,{"y":2}]}"#);
    }
}
