//! The constants of a view: their names, and their values as literals of its expressions.

use crate::fhir::decimal::Decimal;
use crate::fhir::path::{Literal, Temporal};
use crate::fhir::tree::{Kind, Node};

use super::super::file::{items, text};
use super::compile::Compiler;
use super::limits::{MAX_CONSTANTS, MAX_NAME, MAX_VALUE};

impl Compiler<'_, '_> {
    pub(super) fn constants(&mut self, root: Node<'_, '_>) -> Vec<Literal> {
        let mut values = Vec::new();
        for constant in items(root, "constant") {
            let Some(name) = text(constant, "name").filter(|name| is_name(name)) else {
                self.faults.at(
                    constant.offset(),
                    "a constant needs a `name` of letters, digits and `_`, beginning with a letter",
                );
                continue;
            };
            let mut found = constant.children().filter(|child| child.name_text().starts_with("value"));
            let (Some(value), None) = (found.next(), found.next()) else {
                self.faults
                    .at(constant.offset(), format!("constant `{name}` needs exactly one `value[x]`"));
                continue;
            };
            let Some(literal) = literal(value) else {
                self.faults.at(
                    value.offset(),
                    format!("constant `{name}` has no value of the type that `{}` says", value.name_text()),
                );
                continue;
            };
            if self.constants.len() >= MAX_CONSTANTS {
                self.faults
                    .at(constant.offset(), format!("the view has more than {MAX_CONSTANTS} constants"));
                break;
            }
            if value.size() > MAX_VALUE {
                self.faults
                    .at(value.offset(), format!("constant `{name}` is longer than {MAX_VALUE} bytes"));
                continue;
            }
            if self.constants.contains(&name) {
                self.faults.at(constant.offset(), format!("constant `{name}` is defined twice"));
                continue;
            }
            self.constants.push(name);
            values.push(literal);
        }
        values
    }
}

/// `^[A-Za-z][A-Za-z0-9_]*$`, of a length that a database takes.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn literal(value: Node<'_, '_>) -> Option<Literal> {
    let type_name = value.name_text().strip_prefix("value")?;
    let text = value.text();
    let temporal = |temporal: Option<Temporal>| temporal.map(Literal::Temporal);
    match (type_name, value.kind()) {
        ("Boolean", Kind::Boolean) => Some(Literal::Boolean(value.raw() == "true")),
        ("Integer" | "PositiveInt" | "UnsignedInt", Kind::Number) | ("Integer64", Kind::Number | Kind::String) => {
            text.parse().ok().map(Literal::Integer)
        }
        ("Decimal", Kind::Number) => Decimal::parse(&text).map(Literal::Decimal),
        ("Date", Kind::String) => temporal(Temporal::date(&text)),
        ("DateTime" | "Instant", Kind::String) => temporal(Temporal::date_time(&text)),
        ("Time", Kind::String) => temporal(Temporal::time(&text)),
        ("Base64Binary" | "Canonical" | "Code" | "Id" | "Markdown" | "Oid" | "String" | "Uri" | "Url" | "Uuid", Kind::String) => {
            Some(Literal::Text(text.into_owned()))
        }
        _ => None,
    }
}
