//! What one ElementDefinition says, read and merged: a later word on the same element narrows an earlier one.

use serde_json::Value;

use super::draft::{items, text, texts};
use super::pattern::Pattern;
use super::rule::Aggregation;
use crate::fhir::types::TypeId;

/// Where FHIR's own definitions stand: the last part of a canonical there names a type.
pub(super) const CORE: &str = "http://hl7.org/fhir/StructureDefinition/";

/// The value set that codes must be of where an extensible binding would let them go.
const MOST: &str = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet";

#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub min: Option<u32>,
    /// `u32::MAX` for `*`.
    pub max: Option<u32>,
    pub types: Vec<TypeRef>,
    pub patterns: Vec<Pattern>,
    pub binding: Option<Bound>,
    pub constraints: Vec<Value>,
    pub must_support: bool,
    /// `#Observation.referenceRange`
    pub content: Option<String>,
    pub max_length: Option<usize>,
    pub least: Option<Value>,
    pub most: Option<Value>,
    pub slicing: Option<Sliced>,
}

#[derive(Clone, Debug)]
pub(super) struct TypeRef {
    pub code: String,
    pub profiles: Vec<String>,
    pub targets: Vec<String>,
    pub aggregation: Vec<Aggregation>,
}

#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub strength: Strength,
    pub set: Option<String>,
    pub most: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    Required,
    Extensible,
    /// Preferred or example: nothing is checked.
    Free,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sliced {
    /// Type and path.
    pub discriminators: Vec<(String, String)>,
    pub closed: bool,
    pub at_end: bool,
    pub ordered: bool,
}

impl Facts {
    /// R4 4.0.1 binds the units of what belongs to a vital sign (`Observation.component.value[x]`) as required, where litres a minute
    /// of oxygen have no place. HL7's own validator takes it for extensible.
    pub fn correct(&mut self) {
        let is_units = |set: &String| set.split('|').next() == Some("http://hl7.org/fhir/ValueSet/ucum-vitals-common");
        if let Some(binding) = &mut self.binding
            && binding.set.as_ref().is_some_and(is_units)
        {
            binding.strength = Strength::Extensible;
        }
    }

    /// Reads one ElementDefinition; `fault` is told what it says that cannot be.
    pub fn read(element: &Value, fault: &mut impl FnMut(String)) -> Facts {
        let mut facts = Facts::default();
        let Some(members) = element.as_object() else {
            fault("an element must be an object".to_owned());
            return facts;
        };
        for (key, value) in members {
            match key.as_str() {
                "min" => match value.as_u64().and_then(|min| u32::try_from(min).ok()) {
                    Some(min) => facts.min = Some(min),
                    None => fault("`min` must be a whole number".to_owned()),
                },
                "max" => match value.as_str() {
                    Some("*") => facts.max = Some(u32::MAX),
                    max => match max.and_then(|max| max.parse().ok()) {
                        Some(max) => facts.max = Some(max),
                        None => fault("`max` must be `*` or a whole number in quotes".to_owned()),
                    },
                },
                "type" => facts.types = items(element, "type").map(TypeRef::read).collect(),
                "binding" => facts.binding = Some(Bound::read(value)),
                "constraint" => facts.constraints = items(element, "constraint").cloned().collect(),
                "mustSupport" => facts.must_support = value.as_bool() == Some(true),
                "contentReference" => facts.content = value.as_str().map(str::to_owned),
                "maxLength" => facts.max_length = value.as_u64().and_then(|most| usize::try_from(most).ok()),
                "slicing" => facts.slicing = Some(Sliced::read(value)),
                key if key.starts_with("fixed") => facts.patterns.push(Pattern::of(value, true)),
                key if key.starts_with("pattern") => facts.patterns.push(Pattern::of(value, false)),
                key if key.starts_with("minValue") => facts.least = Some(value.clone()),
                key if key.starts_with("maxValue") => facts.most = Some(value.clone()),
                _ => {}
            }
        }
        if let (Some(min), Some(max)) = (facts.min, facts.max)
            && min > max
        {
            fault("`min` is more than `max`".to_owned());
        }
        facts
    }

    /// A later word on the same element.
    pub fn merge(&mut self, later: Facts) {
        self.min = later.min.or(self.min);
        self.max = later.max.or(self.max);
        if !later.types.is_empty() {
            self.types = later.types;
        }
        for pattern in later.patterns {
            if !self.patterns.contains(&pattern) {
                self.patterns.push(pattern);
            }
        }
        self.binding = later.binding.or(self.binding.take());
        for constraint in later.constraints {
            let key = text(&constraint, "key");
            if key.is_none() || !self.constraints.iter().any(|known| text(known, "key") == key) {
                self.constraints.push(constraint);
            }
        }
        self.must_support |= later.must_support;
        self.content = later.content.or(self.content.take());
        self.max_length = later.max_length.or(self.max_length);
        self.least = later.least.or(self.least.take());
        self.most = later.most.or(self.most.take());
        self.slicing = match (self.slicing.take(), later.slicing) {
            (Some(old), Some(mut new)) => {
                if new.discriminators.is_empty() {
                    new.discriminators = old.discriminators;
                }
                Some(new)
            }
            (old, new) => new.or(old),
        };
    }

    /// Of `all` types, those that are named here; all, if none is named.
    pub fn narrow(&self, all: &[TypeId]) -> Vec<TypeId> {
        if self.types.is_empty() {
            return all.to_vec();
        }
        if all == [TypeId::RESOURCE] {
            let named = self.types.iter().filter_map(|one| TypeId::of(&one.code));
            let named: Vec<TypeId> = named.filter(|kind| kind.is_resource()).collect();
            return if named.is_empty() { all.to_vec() } else { named };
        }
        let is_named = |kind: &&TypeId| self.types.iter().any(|one| one.code == kind.as_str());
        let named: Vec<TypeId> = all.iter().filter(is_named).copied().collect();
        // Backbone elements have `BackboneElement` for their type, and the tables know some texts only as `string`.
        if named.is_empty() { all.to_vec() } else { named }
    }
}

impl TypeRef {
    fn read(value: &Value) -> TypeRef {
        let owned = |key| texts(value, key).map(str::to_owned).collect();
        TypeRef {
            code: text(value, "code").unwrap_or_default().to_owned(),
            profiles: owned("profile"),
            targets: owned("targetProfile"),
            aggregation: texts(value, "aggregation")
                .filter_map(|word| match word {
                    "contained" => Some(Aggregation::Contained),
                    "referenced" => Some(Aggregation::Referenced),
                    "bundled" => Some(Aggregation::Bundled),
                    _ => None,
                })
                .collect(),
        }
    }
}

impl Bound {
    fn read(value: &Value) -> Bound {
        let most = items(value, "extension").find(|extension| text(extension, "url") == Some(MOST));
        Bound {
            strength: match text(value, "strength") {
                Some("required") => Strength::Required,
                Some("extensible") => Strength::Extensible,
                _ => Strength::Free,
            },
            set: text(value, "valueSet").map(str::to_owned),
            most: most
                .and_then(|most| text(most, "valueCanonical").or_else(|| text(most, "valueUri")))
                .map(str::to_owned),
        }
    }
}

impl Sliced {
    fn read(value: &Value) -> Sliced {
        Sliced {
            discriminators: items(value, "discriminator")
                .map(|one| {
                    let own = |key| text(one, key).unwrap_or_default().to_owned();
                    (own("type"), own("path"))
                })
                .collect(),
            closed: text(value, "rules") == Some("closed"),
            at_end: text(value, "rules") == Some("openAtEnd"),
            ordered: value.get("ordered").and_then(Value::as_bool) == Some(true),
        }
    }

    /// Extensions are told apart by their url.
    pub fn by_url() -> Sliced {
        Sliced {
            discriminators: vec![("value".to_owned(), "url".to_owned())],
            ..Sliced::default()
        }
    }

    /// Choices are told apart by their type.
    pub fn by_type() -> Sliced {
        Sliced {
            discriminators: vec![("type".to_owned(), "$this".to_owned())],
            ..Sliced::default()
        }
    }
}
