//! An item as JSON: elements as they stand in the line, values as FHIR writes them.

use super::value::Item;
use crate::fhir::tree::Kind;

/// Appends `item`. A primitive without a value is `null`; a quantity is `{"value":…,"unit":"…"}`.
pub fn write_json(item: &Item<'_, '_>, out: &mut Vec<u8>) {
    let quoted = |text: &str, out: &mut Vec<u8>| {
        // The standard escapes of JSON; serde_json cannot fail on a str.
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    };
    match item {
        Item::Element(element) => match element.value_node() {
            None => out.extend_from_slice(b"null"),
            Some(node) if node.kind() == Kind::String => {
                out.push(b'"');
                out.extend_from_slice(node.raw().as_bytes());
                out.push(b'"');
            }
            Some(node) => out.extend_from_slice(node.raw().as_bytes()),
        },
        Item::Boolean(_) | Item::Integer(_) | Item::Decimal(_) => {
            if let Some(text) = item.to_text() {
                out.extend_from_slice(text.as_bytes());
            }
        }
        Item::Text(text) => quoted(text, out),
        Item::Temporal(moment) => quoted(&moment.to_string(), out),
        Item::Quantity(number, unit) => {
            out.extend_from_slice(format!("{{\"value\":{number},\"unit\":").as_bytes());
            quoted(unit, out);
            out.push(b'}');
        }
        Item::TypeInfo(namespace, name) => {
            out.extend_from_slice(b"{\"namespace\":");
            quoted(namespace, out);
            out.extend_from_slice(b",\"name\":");
            quoted(name, out);
            out.push(b'}');
        }
    }
}
