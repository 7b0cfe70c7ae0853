//! Members of a definition by name. Definitions are read once and are small: names are compared as text.

use crate::fhir::tree::{Kind, Limits, Node};

/// Limits on one file.
pub(super) const LIMITS: Limits = Limits {
    line_bytes: 64 << 20,
    depth: 64,
};

pub(super) fn member<'t, 'a>(node: Node<'t, 'a>, name: &str) -> Option<Node<'t, 'a>> {
    node.children().find(|child| child.name_text() == name)
}

pub(super) fn items<'t, 'a>(node: Node<'t, 'a>, name: &str) -> impl Iterator<Item = Node<'t, 'a>> + use<'t, 'a> {
    let list = member(node, name).filter(|list| list.kind() == Kind::Array);
    list.into_iter().flat_map(Node::children)
}

pub(super) fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    let value = member(node, name).filter(|value| value.kind() == Kind::String)?;
    Some(value.text().into_owned())
}

/// The member of a choice, whatever its type: `valueCode`, `valueBoolean`; as text.
pub(super) fn choice(node: Node<'_, '_>, name: &str) -> Option<String> {
    let value = node.children().find(|child| child.name_text().starts_with(name))?;
    match value.kind() {
        Kind::String => Some(value.text().into_owned()),
        Kind::Boolean | Kind::Number => Some(value.raw().to_owned()),
        // A Coding is told by its code.
        Kind::Object => text(value, "code"),
        Kind::Null | Kind::Array => None,
    }
}
