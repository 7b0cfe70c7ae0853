//! Where a node stands, in the words of FHIR: `Observation.component[1].valueQuantity`.
//! Slow, because only refusals ask. Never shows a value: a member name that does not look like an element's is `?`.

use std::fmt::Write;

use super::{Kind, Node};
use crate::fhir::types::TypeId;

/// The path from the resource `top` down to `node`.
pub(super) fn path(top: Node<'_, '_>, node: Node<'_, '_>) -> String {
    let mut at = top;
    let mut path = match at.resource_type().and_then(TypeId::of) {
        Some(kind) if kind.is_resource() => kind.as_str().to_owned(),
        _ => String::from("?"),
    };
    while at.at != node.at {
        // Children stand in order: the one that holds the node is the last that does not begin behind it.
        let Some((number, child)) = at.children().enumerate().take_while(|(_, child)| child.at <= node.at).last() else {
            return path;
        };
        if at.kind() == Kind::Array {
            let _ = write!(path, "[{number}]");
        } else {
            path.push('.');
            path.push_str(shown(child));
        }
        at = child;
    }
    path
}

fn shown<'a>(member: Node<'_, 'a>) -> &'a str {
    if member.name().is_known() {
        return member.name().as_str();
    }
    let text = member.name_text();
    let word = text.strip_prefix('_').unwrap_or(text);
    let like_an_element =
        word.len() <= 40 && word.starts_with(|c: char| c.is_ascii_lowercase()) && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    if like_an_element { text } else { "?" }
}
