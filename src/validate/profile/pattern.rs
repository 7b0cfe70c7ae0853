//! Values that an element must have (`fixed[x]`) or contain (`pattern[x]`).
//! FHIR R4 ElementDefinition: a fixed value is exact, in all members; a pattern holds each of its members, and of an array
//! each item somewhere.

use serde_json::Value;

use crate::fhir::decimal::Decimal;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};

#[derive(Clone, Debug, PartialEq)]
pub(in crate::validate) struct Pattern {
    pub exact: bool,
    value: Wanted,
}

/// A JSON value, its names known.
#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    Array(Vec<Wanted>),
    Object(Vec<(Name, String, Wanted)>),
}

impl Pattern {
    pub fn of(value: &Value, exact: bool) -> Pattern {
        let value = Wanted::of(value);
        Pattern { exact, value }
    }

    /// A text, exactly.
    pub fn text(text: &str) -> Pattern {
        Pattern {
            exact: true,
            value: Wanted::Text(text.to_owned()),
        }
    }

    /// The node has, or contains, the value.
    pub fn matches(&self, node: Node<'_, '_>) -> bool {
        matches(node, &self.value, self.exact)
    }

    /// The text, if the value is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Wanted::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How much there is to compare.
    pub fn weight(&self) -> u64 {
        self.value.weight()
    }

    /// What the value says of its member `label`, which may be a choice (`value` or `value[x]` for `valueCode`).
    pub fn member(&self, label: &str, out: &mut Vec<Pattern>) {
        self.value.member(label, &mut |value| {
            out.push(Pattern {
                exact: self.exact,
                value: value.clone(),
            });
        });
    }
}

impl Wanted {
    fn of(value: &Value) -> Wanted {
        match value {
            Value::Null => Wanted::Null,
            Value::Bool(value) => Wanted::Boolean(*value),
            Value::Number(number) => Wanted::Number(number.to_string()),
            Value::String(text) => Wanted::Text(text.clone()),
            Value::Array(values) => Wanted::Array(values.iter().map(Wanted::of).collect()),
            Value::Object(members) => Wanted::Object(
                members
                    .iter()
                    .map(|(name, value)| (Name::of(name), name.clone(), Wanted::of(value)))
                    .collect(),
            ),
        }
    }

    fn weight(&self) -> u64 {
        match self {
            Wanted::Array(values) => values.iter().map(Wanted::weight).sum::<u64>() + 1,
            Wanted::Object(members) => members.iter().map(|(_, _, value)| value.weight()).sum::<u64>() + 1,
            _ => 1,
        }
    }

    fn member(&self, label: &str, visit: &mut dyn FnMut(&Wanted)) {
        let stem = label.strip_suffix("[x]").unwrap_or(label);
        match self {
            Wanted::Array(values) => values.iter().for_each(|value| value.member(label, visit)),
            Wanted::Object(members) => {
                for (_, name, value) in members {
                    let rest = name.strip_prefix(stem);
                    let choice = |rest: &str| rest.starts_with(|letter: char| letter.is_ascii_uppercase());
                    if rest.is_some_and(|rest| rest.is_empty() || choice(rest)) {
                        match value {
                            Wanted::Array(values) => values.iter().for_each(&mut *visit),
                            value => visit(value),
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

fn matches(node: Node<'_, '_>, wanted: &Wanted, exact: bool) -> bool {
    match (node.kind(), wanted) {
        (Kind::Null, Wanted::Null) => true,
        (Kind::Boolean, Wanted::Boolean(value)) => (node.raw() == "true") == *value,
        (Kind::Number, Wanted::Number(number)) => is_same_number(node.raw(), number),
        (Kind::String, Wanted::Text(text)) => node.is_text(text),
        (Kind::Array, Wanted::Array(values)) if exact => {
            node.children().count() == values.len() && node.children().zip(values).all(|(item, value)| matches(item, value, exact))
        }
        (Kind::Array, Wanted::Array(values)) => values.iter().all(|value| node.children().any(|item| matches(item, value, exact))),
        (Kind::Object, Wanted::Object(members)) => {
            let found = |name: Name, text: &str, value: &Wanted| {
                node.children()
                    .any(|member| is_named(member, name, text) && matches(member, value, exact))
            };
            members.iter().all(|(name, text, value)| found(*name, text, value)) && (!exact || node.children().count() == members.len())
        }
        _ => false,
    }
}

fn is_same_number(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    match (Decimal::parse(one), Decimal::parse(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

fn is_named(member: Node<'_, '_>, name: Name, text: &str) -> bool {
    match name {
        Name::UNKNOWN => member.name() == Name::UNKNOWN && member.name_text() == text,
        known => member.name() == known,
    }
}
