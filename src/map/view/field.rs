//! One value of a view's row: a piece of the line where that is enough, a value where something was computed.
//! Writing a piece of the line copies its bytes; nothing is read and printed again.

use std::borrow::Cow;

use crate::cdm::{Cell, csv};
use crate::fhir::path::{Item, Text};
use crate::fhir::tree::{Kind, Node};

#[derive(Clone, Default)]
pub enum Field<'t, 'a> {
    #[default]
    Null,
    Node(Node<'t, 'a>),
    Cell(Cell<'a>),
    List(Vec<Field<'t, 'a>>),
}

/// Never shows a value.
impl std::fmt::Debug for Field<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Field::Null => "Null",
            Field::Node(_) => "Node",
            Field::Cell(_) => "Cell",
            Field::List(_) => "List",
        })
    }
}

impl<'t, 'a> Field<'t, 'a> {
    /// A computed item as a field; an element without a value is null.
    pub fn of(item: Item<'t, 'a>) -> Self {
        match item {
            Item::Element(element) => element.value_node().map_or(Field::Null, Field::Node),
            Item::Boolean(value) => Field::Cell(Cell::Boolean(value)),
            Item::Integer(number) => Field::Cell(Cell::Integer(number)),
            Item::Decimal(number) => Field::Cell(Cell::Decimal(number.to_string().into())),
            Item::Text(text) => Field::Cell(Cell::Text(text.into_line())),
            Item::Quantity(..) | Item::Temporal(_) | Item::TypeInfo(..) => match item.to_text() {
                Some(text) => Field::Cell(Cell::Text(text.into_line())),
                None => Field::Null,
            },
        }
    }

    /// One more: nothing becomes the one, the one a list. Null adds nothing.
    pub(super) fn push(&mut self, one: Field<'t, 'a>) {
        if one.is_null() {
            return;
        }
        *self = match std::mem::take(self) {
            Field::Null => one,
            Field::List(mut all) => {
                all.push(one);
                Field::List(all)
            }
            first => Field::List(vec![first, one]),
        };
    }

    /// The elements, whether it is one or a list.
    pub fn elements(&self) -> &[Field<'t, 'a>] {
        match self {
            Field::Null => &[],
            Field::List(all) => all,
            one => std::slice::from_ref(one),
        }
    }

    /// Bytes it writes, more or less.
    pub(super) fn size(&self) -> usize {
        match self {
            Field::Node(node) => node.size(),
            Field::Cell(Cell::Text(text) | Cell::Decimal(text)) => text.len(),
            Field::List(fields) => fields.iter().map(|field| 1 + field.size()).sum(),
            Field::Null | Field::Cell(_) => 0,
        }
    }

    #[inline]
    pub fn is_null(&self) -> bool {
        matches!(self, Field::Null)
    }

    /// The field as a cell; `None` for a list or a complex element.
    pub fn cell(&self) -> Option<Cell<'a>> {
        Some(match self {
            Field::Null => Cell::Null,
            Field::Cell(cell) => cell.clone(),
            Field::Node(node) => match node.kind() {
                Kind::Null => Cell::Null,
                Kind::Boolean => Cell::Boolean(node.raw() == "true"),
                Kind::Number => Cell::Decimal(Cow::Borrowed(node.raw())),
                Kind::String => Cell::Text(node.text()),
                Kind::Array | Kind::Object => return None,
            },
            Field::List(_) => return None,
        })
    }

    /// Appends the field as JSON.
    #[inline]
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Field::Null => out.extend_from_slice(b"null"),
            Field::Node(node) if node.kind() == Kind::String => {
                let raw = node.raw().as_bytes();
                out.reserve(raw.len() + 2);
                out.push(b'"');
                out.extend_from_slice(raw);
                out.push(b'"');
            }
            Field::Node(node) => out.extend_from_slice(node.raw().as_bytes()),
            Field::Cell(cell) => cell.write_json(out),
            Field::List(fields) => {
                out.push(b'[');
                for (at, field) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    field.write_json(out);
                }
                out.push(b']');
            }
        }
    }
}

/// A text as a field.
pub(super) fn text_field<'t, 'a>(text: Text<'t, 'a>) -> Field<'t, 'a> {
    Field::Cell(Cell::Text(text.into_line()))
}

/// Appends one field of a CSV line (RFC 4180). Text that a spreadsheet would run as a formula gets a `'` before it.
pub fn write_csv_field(field: &Field<'_, '_>, out: &mut Vec<u8>) {
    let text: Cow<'_, str> = match field {
        Field::Null => return,
        Field::Node(node) if node.kind() == Kind::Number => {
            out.extend_from_slice(node.raw().as_bytes());
            return;
        }
        Field::Node(node) => node.text(),
        Field::Cell(Cell::Text(text)) => Cow::Borrowed(text),
        other => {
            let mut json = Vec::new();
            other.write_json(&mut json);
            if matches!(other, Field::Cell(_)) {
                out.extend_from_slice(&json);
                return;
            }
            Cow::Owned(String::from_utf8_lossy(&json).into_owned())
        }
    };
    csv::write_text(&text, out);
}
