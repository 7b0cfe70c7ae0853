//! What each item of an element must be, made from what its definition says; and where faults of a definition go.

use std::collections::HashMap;

use serde_json::Value;

use super::ProfileFault;
use super::discriminator::Others;
use super::draft::text;
use super::facts::{Bound, CORE, Facts, Strength};
use super::invariant::{Asked, Invariant, Known};
use super::rule::{self, Binding, Checks, Limits, Profiled, Targets};
use crate::fhir::decimal::Decimal;
use crate::fhir::path::{Canonicals, Temporal};
use crate::fhir::types::{Child, TypeId};
use crate::validate::versions::Versions;

/// The profiles of one load, by canonical.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub versions: Versions,
    /// By number.
    pub kinds: Vec<TypeId>,
}

impl Index {
    /// The profile of `url` or `url|version`.
    pub fn find(&self, canonical: &str) -> Option<u32> {
        self.versions.find(canonical)
    }
}

impl Others for Index {
    fn find(&self, canonical: &str) -> Option<(u32, TypeId)> {
        let number = Index::find(self, canonical)?;
        Some((number, *self.kinds.get(number as usize)?))
    }
}

/// Makes checks for one definition.
pub(super) struct Maker<'r> {
    pub file: &'r str,
    /// A network's own: what cannot be checked is a fault.
    pub own: bool,
    /// The definition of a type, not of a profile: R4's tables say its numbers and codes already.
    pub of_type: bool,
    /// R4's own rules refuse by themselves, so that a profile need not say them again.
    pub repeats_base: bool,
    /// Nothing is said or counted: it was, or will be, elsewhere.
    pub quiet: bool,
    pub resource: Option<TypeId>,
    pub others: &'r Index,
    pub canonicals: &'r Canonicals,
    /// Expressions by the key of an invariant that the types' own definitions bring.
    pub of_types: &'r HashMap<String, String>,
    pub known: &'r mut Known,
    pub faults: &'r mut Vec<ProfileFault>,
}

impl Maker<'_> {
    /// What cannot be checked, and nobody here can mend it.
    fn note(&mut self, element: &str, message: String) {
        let before = self.faults.len();
        self.fault(element, message);
        if let Some(fault) = self.faults.get_mut(before) {
            fault.unchecked = true;
        }
    }

    /// What cannot be checked: a fault of a network's own file, a note on a package's.
    pub fn fault(&mut self, element: &str, message: impl Into<String>) {
        let message = message.into();
        let is_known =
            |fault: &ProfileFault| fault.file == self.file && fault.message == message && (!self.own || fault.element == element);
        // From the end: what is said again was said lately.
        if self.quiet || self.faults.iter().rev().take(64).any(is_known) {
            return;
        }
        self.faults.push(ProfileFault {
            file: self.file.to_owned(),
            element: element.to_owned(),
            message,
            unchecked: !self.own,
        });
    }

    /// What each item must be; `base` is the element of R4 where it is known.
    pub fn checks(&mut self, facts: &Facts, kinds: &[TypeId], base: Option<Child>, path: &str) -> Checks {
        let any_resource = base.is_some_and(|base| base.type_id == TypeId::RESOURCE);
        let types = if any_resource && kinds != [TypeId::RESOURCE] {
            kinds.to_vec()
        } else {
            Vec::new()
        };
        Checks {
            patterns: facts.patterns.clone(),
            types,
            bindings: self.bindings(facts.binding.as_ref(), base, path),
            targets: self.targets(facts, path).map(Box::new),
            invariants: self.invariants(&facts.constraints, kinds, path),
            profiles: self.profiles(facts, path),
            limits: self.limits(facts, path).map(Box::new),
        }
    }

    fn bindings(&mut self, bound: Option<&Bound>, base: Option<Child>, path: &str) -> Vec<Binding> {
        let mut found = Vec::new();
        let Some(bound) = bound else { return found };
        let mut add = |set: Option<&str>, required: bool, maker: &mut Self| {
            let Some(set) = set else { return };
            let said = base.and_then(Child::codes).is_some_and(|codes| codes.is(set));
            if said && (maker.repeats_base || maker.of_type) {
                return;
            }
            match maker.canonicals.value_sets.find(set) {
                Some(codes) => {
                    for reason in codes.undecided() {
                        maker.note(path, format!("some codes of `{set}` cannot be decided here: {reason}"));
                    }
                    found.push(Binding { codes, required });
                }
                None if said => {}
                None => maker.fault(
                    path,
                    format!("the codes of `{set}` are not known here, so its binding is not checked"),
                ),
            }
        };
        if bound.strength == Strength::Required && bound.set.is_none() {
            self.fault(path, "a required binding names its codes by a `valueSet`");
        }
        match bound.strength {
            Strength::Required => add(bound.set.as_deref(), true, self),
            Strength::Extensible => add(bound.set.as_deref(), false, self),
            Strength::Free => {}
        }
        add(bound.most.as_deref(), true, self);
        found
    }

    fn targets(&mut self, facts: &Facts, path: &str) -> Option<Targets> {
        let mut allowed = Vec::new();
        let mut aggregation = Vec::new();
        let references = facts.types.iter().filter(|one| one.code == "Reference");
        let mut any = false;
        for one in references {
            any |= one.targets.is_empty();
            aggregation.extend(one.aggregation.iter().copied());
            for target in &one.targets {
                match target.strip_prefix(CORE).and_then(TypeId::of).filter(|kind| kind.is_resource()) {
                    Some(kind) => {
                        any |= kind == TypeId::RESOURCE;
                        allowed.push((kind, None));
                    }
                    None => match Others::find(self.others, target) {
                        Some((number, kind)) => allowed.push((kind, Some(number))),
                        None => {
                            any = true;
                            self.fault(path, format!("the target profile `{target}` is not loaded, so it is not checked"));
                        }
                    },
                }
            }
        }
        if any {
            allowed.clear();
        }
        (!allowed.is_empty() || !aggregation.is_empty()).then_some(Targets { allowed, aggregation })
    }

    fn invariants(&mut self, constraints: &[Value], kinds: &[TypeId], path: &str) -> Vec<Invariant> {
        let mut found = Vec::new();
        for constraint in constraints {
            if Invariant::is_well_known(constraint, self.own) {
                continue;
            }
            let of_type = text(constraint, "key").and_then(|key| self.of_types.get(key));
            if !self.of_type && self.repeats_base && of_type.map(String::as_str) == text(constraint, "expression") && of_type.is_some() {
                continue;
            }
            let asked = Asked {
                resource: self.resource,
                kinds,
                strict: self.own,
            };
            match Invariant::read(constraint, &asked, self.canonicals, self.known) {
                Ok(invariant) => found.push(invariant),
                Err(message) => self.fault(path, message),
            }
        }
        found
    }

    fn profiles(&mut self, facts: &Facts, path: &str) -> Vec<Profiled> {
        let mut found = Vec::new();
        for one in facts.types.iter().filter(|one| !one.profiles.is_empty()) {
            // An extension is held to its definition wherever it stands.
            let Some(kind) = TypeId::of(&one.code).filter(|kind| kind.as_str() != "Extension") else {
                continue;
            };
            let mut any = Vec::new();
            for canonical in &one.profiles {
                match self.others.find(canonical) {
                    Some(number) => any.push(number),
                    None => {
                        self.fault(path, format!("the profile `{canonical}` is not loaded, so it is not checked"));
                        any.clear();
                        break;
                    }
                }
            }
            if !any.is_empty() {
                found.push(Profiled { kind, any });
            }
        }
        found
    }

    fn limits(&mut self, facts: &Facts, path: &str) -> Option<Limits> {
        let mut read = |value: &Option<Value>| {
            let bound = value.as_ref().map(bound);
            if bound.as_ref().is_some_and(Option::is_none) {
                self.fault(
                    path,
                    "`minValue` and `maxValue` are checked of numbers, moments and quantities only",
                );
            }
            bound.flatten()
        };
        let limits = Limits {
            length: facts.max_length,
            least: read(&facts.least),
            most: read(&facts.most),
        };
        (limits.length.is_some() || limits.least.is_some() || limits.most.is_some()).then_some(limits)
    }
}

/// What `minValue` or `maxValue` says.
fn bound(value: &Value) -> Option<rule::Bound> {
    match value {
        Value::Number(number) => Decimal::parse(&number.to_string()).map(rule::Bound::Number),
        Value::String(text) => Temporal::date_time(text)
            .or_else(|| Temporal::date(text))
            .or_else(|| Temporal::time(text))
            .map(rule::Bound::Moment),
        Value::Object(_) => {
            let number = value.get("value").filter(|number| number.is_number())?;
            Some(rule::Bound::Quantity(
                Decimal::parse(&number.to_string())?,
                text(value, "code").unwrap_or("1").to_owned(),
            ))
        }
        _ => None,
    }
}
