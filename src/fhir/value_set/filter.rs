//! One `filter` of an include, asked of a code of a CodeSystem that is loaded. Basis: FHIR R4 ValueSet, "Filter Operators".
//! Regular expressions run in linear time.

use regex::{Regex, RegexBuilder};

use super::code_system::CodeSystem;
use super::json::text;
use super::membership::Membership;
use crate::fhir::tree::Node;

/// Longest pattern, in bytes, and the size of its program.
const PATTERN_BYTES: usize = 1 << 10;
const PROGRAM_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Filter {
    pub(super) property: String,
    pub(super) value: String,
    pub(super) operator: Operator,
}

#[derive(Debug)]
pub(super) enum Operator {
    Equal,
    IsA,
    DescendentOf,
    IsNotA,
    Generalizes,
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Matches(Box<Regex>),
    NotUnderstood,
}

impl Filter {
    pub(super) fn read(node: Node<'_, '_>) -> Self {
        let part = |name| text(node, name).unwrap_or_default();
        let (property, value) = (part("property"), part("value"));
        let list = || value.split(',').map(|one| one.trim().to_owned()).collect();
        let operator = match part("op").as_str() {
            "=" => Operator::Equal,
            "is-a" => Operator::IsA,
            "descendent-of" => Operator::DescendentOf,
            "is-not-a" => Operator::IsNotA,
            "generalizes" => Operator::Generalizes,
            "in" => Operator::In(list()),
            "not-in" => Operator::NotIn(list()),
            "exists" if matches!(value.as_str(), "true" | "false") => Operator::Exists,
            "regex" => pattern(&value).map_or(Operator::NotUnderstood, |regex| Operator::Matches(Box::new(regex))),
            _ => Operator::NotUnderstood,
        };
        Self { property, value, operator }
    }

    pub(super) fn is_understood(&self) -> bool {
        !matches!(self.operator, Operator::NotUnderstood)
    }

    /// Whether the filter lets a code of `system` through.
    pub(super) fn over(&self, system: &CodeSystem, code: &str) -> Membership {
        let Some(concept) = system.concept(code) else {
            return Membership::Unknown;
        };
        let is_self = |other: &str| system.spelled(code) == system.spelled(other);
        let is_a = |above: &str| is_self(above) || system.is_below(code, above);
        // What the code has under the name of the property.
        let values: Vec<&str> = match self.property.as_str() {
            "concept" | "code" => vec![code],
            "display" => concept.display.as_deref().into_iter().collect(),
            "parent" => concept.parents.iter().map(String::as_str).collect(),
            name => {
                let own = concept.properties.iter().filter(|(own, _)| own == name);
                own.map(|(_, value)| value.as_str()).collect()
            }
        };
        match &self.operator {
            Operator::IsA => is_a(&self.value).into(),
            Operator::DescendentOf => (!is_self(&self.value) && system.is_below(code, &self.value)).into(),
            Operator::IsNotA => (!is_a(&self.value)).into(),
            Operator::Generalizes => (is_self(&self.value) || system.is_below(&self.value, code)).into(),
            Operator::Equal if self.property == "child" => system.is_child(&self.value, code).into(),
            Operator::Equal => values.contains(&self.value.as_str()).into(),
            Operator::In(list) => values.iter().any(|value| list.iter().any(|one| one == value)).into(),
            Operator::NotIn(list) => (!values.iter().any(|value| list.iter().any(|one| one == value))).into(),
            Operator::Exists => {
                let is_there = match self.property.as_str() {
                    "child" => system.has_below(code),
                    _ => !values.is_empty(),
                };
                (is_there == (self.value == "true")).into()
            }
            Operator::Matches(regex) => values.iter().any(|value| regex.is_match(value)).into(),
            Operator::NotUnderstood => Membership::Unknown,
        }
    }
}

/// The pattern, to match a whole value.
fn pattern(source: &str) -> Option<Regex> {
    if source.len() > PATTERN_BYTES {
        return None;
    }
    let mut builder = RegexBuilder::new(&format!("^(?:{source})$"));
    builder.size_limit(PROGRAM_BYTES).build().ok()
}
