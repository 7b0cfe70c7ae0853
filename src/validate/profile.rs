//! A network's own profiles: StructureDefinitions (kind resource, derivation constraint) whose differential says what must
//! be there. Every profile of a resource's type applies; `meta.profile` is not asked.
//!
//! Understood: `min`, `max`, `type` of a choice, `targetProfile` of a reference, `fixed[x]`, `pattern[x]`, and
//! modifier extensions that are allowed, and invariants of severity `error` (`invariant`). What is not understood (slicing,
//! required bindings) is a fault when the profile is loaded, not something passed over. Knows nothing of folders: files come as text.

mod compile;
mod invariant;

use std::sync::Arc;

use serde_json::Value;

use self::invariant::{At, Invariant};
use super::issues::{Issues, Stop};
use super::tally::{Report, Tally};
use crate::fhir::name::Name;
use crate::fhir::path::{Canonicals, Fits};
use crate::fhir::reference::Reference;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::TypeId;
use crate::fhir::value_set::ValueSets;

/// Why a profile, or one rule of it, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile `{file}`{}{element}: {message}", if element.is_empty() { "" } else { " at " })]
pub struct ProfileFault {
    pub file: String,
    /// The path of the element, or empty.
    pub element: String,
    pub message: String,
    /// The profile is used all the same; only this rule of it is not checked. Said of packages, which nobody here can mend.
    pub unchecked: bool,
}

/// One StructureDefinition.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'f> {
    /// What a fault names.
    pub file: &'f str,
    pub json: &'f str,
    /// A network's own: every resource of its type is held to it, and what of it cannot be checked is a fault. The others
    /// come from packages: they apply where `meta.profile` names them, where another profile does, or where they are
    /// asked for.
    pub own: bool,
}

/// What a fault by a profile means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disposition {
    /// The resource is refused.
    #[default]
    Refuse,
    /// The resource goes on, with a warning.
    Warn,
    /// The resource goes on, and the fault is counted.
    Count,
}

/// Which profiles apply, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Canonicals of profiles that every resource of their type is held to, besides those it names itself.
    pub asked: Vec<String>,
    /// What a fault means, by the profile's canonical (`url` or `url|version`) or file; of all others it refuses.
    pub dispositions: Vec<(String, Disposition)>,
    /// What a fault by FHIR's own rules means: elements that must be there, codes of required bindings, invariants of
    /// FHIR's types. JSON that is no FHIR (unknown elements, wrong types) always refuses.
    pub base: Disposition,
}

/// All profiles of a network, compiled. The default has none: then only the structure is checked.
#[derive(Debug, Default)]
pub struct Profiles {
    /// Few types have profiles.
    by_type: Vec<(TypeId, Vec<Arc<Profile>>)>,
    modifiers: Vec<String>,
}

/// One profile.
#[derive(Debug)]
struct Profile {
    file: String,
    /// Its canonical, if it has one.
    url: Option<String>,
    kind: TypeId,
    /// Of the resource itself.
    invariants: Vec<Invariant>,
    elements: Vec<Rule>,
}

impl Fits for Profile {
    fn fits(&self, resource: Node<'_, '_>) -> bool {
        let mut issues = Issues::verdict(resource);
        resource.resource_type().and_then(TypeId::of) == Some(self.kind) && self.check(resource, &mut issues).is_ok()
    }
}

/// What one element must be.
#[derive(Debug)]
struct Rule {
    /// As the profile writes it: `code`, `value[x]`.
    label: String,
    /// The elements that count: one, or the allowed types of a choice.
    names: Vec<Name>,
    /// The types of the choice that are not allowed.
    refused: Vec<Name>,
    min: u32,
    max: u32,
    patterns: Vec<Pattern>,
    /// Resource types a reference may have; any, if empty.
    targets: Vec<&'static str>,
    invariants: Vec<Invariant>,
    elements: Vec<Rule>,
}

/// A value the element must have, or contain.
#[derive(Debug)]
struct Pattern {
    exact: bool,
    value: Value,
}

impl Profiles {
    /// The profiles in `files`, each a name and its JSON text.
    /// # Errors: every fault of every file.
    pub fn load(files: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Profiles, Vec<ProfileFault>> {
        Self::load_with(files, &Arc::default())
    }

    /// The same, with the ValueSets that invariants may name.
    /// # Errors: every fault of every file.
    pub fn load_with(files: &[(impl AsRef<str>, impl AsRef<str>)], value_sets: &Arc<ValueSets>) -> Result<Profiles, Vec<ProfileFault>> {
        let canonicals = Canonicals {
            value_sets: Arc::clone(value_sets),
            profiles: Vec::new(),
        };
        let mut profiles = Profiles::default();
        let mut faults = Vec::new();
        for (file, json) in files {
            compile::compile(file.as_ref(), json.as_ref(), &canonicals, &mut profiles, &mut faults);
        }
        if faults.is_empty() { Ok(profiles) } else { Err(faults) }
    }

    /// The same profiles, with one more modifier extension that does not refuse its resource.
    #[must_use]
    pub fn allow_modifier(mut self, url: impl Into<String>) -> Self {
        self.modifiers.push(url.into());
        self
    }

    /// The profiles of `definitions` that can be used, and every fault of the others.
    pub fn compile(definitions: &[Definition<'_>], value_sets: &Arc<ValueSets>, options: &Options) -> (Profiles, Vec<ProfileFault>) {
        let _ = options;
        let canonicals = Canonicals {
            value_sets: Arc::clone(value_sets),
            profiles: Vec::new(),
        };
        let mut profiles = Profiles::default();
        let mut faults = Vec::new();
        for one in definitions {
            compile::compile(one.file, one.json, &canonicals, &mut profiles, &mut faults);
        }
        (profiles, faults)
    }

    /// What a tally made with these profiles says.
    pub fn report(&self, tally: &Tally) -> Report {
        tally.report(|_| String::new(), |_| &[])
    }

    /// How many profiles are loaded.
    pub fn len(&self) -> usize {
        self.by_type.iter().map(|(_, profiles)| profiles.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.by_type.is_empty()
    }

    /// The profiles by their canonical url, for expressions that ask `conformsTo`.
    pub fn by_canonical(&self) -> Vec<(String, Arc<dyn Fits>)> {
        let all = self.by_type.iter().flat_map(|(_, profiles)| profiles);
        all.filter_map(|profile| Some((profile.url.clone()?, Arc::clone(profile) as Arc<dyn Fits>)))
            .collect()
    }

    pub(super) fn allows_modifier(&self, url: &str) -> bool {
        self.modifiers.iter().any(|allowed| allowed == url)
    }
}

/// The resource against every profile of its type.
pub(super) fn check<'t, 'a>(profiles: &Profiles, node: Node<'t, 'a>, issues: &mut Issues<'t, 'a, '_>) -> Result<(), Stop> {
    if profiles.is_empty() {
        return Ok(());
    }
    let Some(kind) = node.resource_type().and_then(TypeId::of) else {
        return Ok(());
    };
    let of_type = profiles.by_type.iter().find(|(of, _)| *of == kind);
    for profile in of_type.into_iter().flat_map(|(_, profiles)| profiles) {
        profile.check(node, issues)?;
    }
    Ok(())
}

impl Profile {
    fn check<'t, 'a>(&self, node: Node<'t, 'a>, issues: &mut Issues<'t, 'a, '_>) -> Result<(), Stop> {
        let at = At {
            resource: node,
            file: &self.file,
        };
        at.invariants(&self.invariants, node, issues)?;
        elements(&self.elements, node, &at, issues)
    }
}

fn elements<'t, 'a>(rules: &[Rule], node: Node<'t, 'a>, at: &At<'_, 't, 'a>, issues: &mut Issues<'t, 'a, '_>) -> Result<(), Stop> {
    let file = at.source();
    for rule in rules {
        let (mut values, mut companions) = (0, 0);
        for member in node.children() {
            let name = member.name();
            if rule.refused.contains(&name.element()) {
                issues.at(member, "type not allowed", file)?;
            }
            if !rule.names.contains(&name.element()) {
                continue;
            }
            if name.is_companion() {
                companions += if member.kind() == Kind::Array {
                    member.children().count()
                } else {
                    1
                };
            } else if member.kind() == Kind::Array {
                for item in member.children() {
                    values += 1;
                    rule.item(item, at, issues)?;
                }
            } else {
                values += 1;
                rule.item(member, at, issues)?;
            }
        }
        // A primitive that has only extensions is there: they say why its value is not.
        let count = values.max(companions);
        if count < rule.min as usize {
            let word = if rule.min == 1 {
                "required".into()
            } else {
                format!("at least {}", rule.min)
            };
            issues.below(node, &rule.label, word, file)?;
        }
        if count > rule.max as usize {
            let word = if rule.max == 0 {
                "not allowed".into()
            } else {
                format!("at most {}", rule.max)
            };
            issues.below(node, &rule.label, word, file)?;
        }
    }
    Ok(())
}

impl Rule {
    fn item<'t, 'a>(&self, item: Node<'t, 'a>, at: &At<'_, 't, 'a>, issues: &mut Issues<'t, 'a, '_>) -> Result<(), Stop> {
        let file = at.source();
        for pattern in &self.patterns {
            if !matches(item, &pattern.value, pattern.exact) {
                issues.at(item, if pattern.exact { "fixed value" } else { "pattern" }, file)?;
            }
        }
        if !self.targets.is_empty() && !self.is_target(item) {
            issues.at(item, "reference type", file)?;
        }
        at.invariants(&self.invariants, item, issues)?;
        if self.elements.is_empty() || item.kind() != Kind::Object {
            return Ok(());
        }
        elements(&self.elements, item, at, issues)
    }

    /// A reference whose text does not say a type may be to anything.
    fn is_target(&self, item: Node<'_, '_>) -> bool {
        let Some(reference) = item.get(Name::REFERENCE) else {
            return true;
        };
        let text = reference.text();
        match Reference::parse(&text).and_then(|reference| reference.type_name) {
            Some(kind) => self.targets.contains(&kind),
            None => true,
        }
    }
}

/// The node is the value, or holds all of it.
fn matches(node: Node<'_, '_>, value: &Value, exact: bool) -> bool {
    match (node.kind(), value) {
        (Kind::Null, Value::Null) => true,
        (Kind::Boolean, Value::Bool(value)) => (node.raw() == "true") == *value,
        (Kind::Number, Value::Number(value)) => node.raw().parse().ok() == value.as_f64(),
        (Kind::String, Value::String(value)) => node.text() == value.as_str(),
        (Kind::Array, Value::Array(values)) if exact => {
            let items: Vec<_> = node.children().collect();
            items.len() == values.len() && items.into_iter().zip(values).all(|(item, value)| matches(item, value, exact))
        }
        (Kind::Array, Value::Array(values)) => values.iter().all(|value| node.children().any(|item| matches(item, value, exact))),
        (Kind::Object, Value::Object(members)) => {
            let found = |name: &str, value| {
                node.children()
                    .any(|member| is_named(member, name) && matches(member, value, exact))
            };
            members.iter().all(|(name, value)| found(name, value)) && (!exact || node.children().count() == members.len())
        }
        _ => false,
    }
}

fn is_named(member: Node<'_, '_>, name: &str) -> bool {
    match member.name() {
        Name::UNKNOWN => member.name_text() == name,
        known => known.as_str() == name,
    }
}
