//! A resource against the types of FHIR R4: elements that exist, one or many, the right JSON for each type, formats. With them,
//! where they are asked, FHIR's own rules: elements that must be there, codes of required bindings, what holds of every
//! element (`rules`). And where each profile comes in: definitions of extensions, profiles that a resource names or is held to.
//! One pass over the nodes in the order of the text; nothing is allocated while all is well.
//! FHIR 4.0.1, "JSON Representation of Resources".

use std::sync::OnceLock;

use super::format::Format;
use super::issues::{Issues, Source, Stop};
use super::profile::{Here, Item, Profiles, Shared, Walk};
use super::questionnaire;
use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};
use crate::fhir::types::{Child, TypeId};

/// How far a check goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Resources within the resource too.
    Whole,
    /// Not into the resources of a Bundle's entries.
    Envelope,
}

/// Elements within elements: far more than any resource has, far less than the stack holds.
const DEPTH: usize = 256;

/// No type of R4 has more choices.
const CHOICES: usize = 8;

/// Profiles that one resource names: whoever writes more is not followed to the end.
const NAMED: usize = 32;

pub(super) fn check<'t, 'a>(profiles: &Profiles, node: Node<'t, 'a>, issues: &mut Issues<'t, 'a, '_>, reach: Reach) -> Result<(), Stop> {
    let shared = Shared::new(profiles.inner(), node);
    let mut check = Check {
        profiles,
        base: profiles.inner().base(),
        walk: Walk::new(&shared, issues, Here::top(node)),
        formats: Format::table(),
        reach,
        known: known(),
        at: At {
            kind: TypeId::RESOURCE,
            parent: TypeId::RESOURCE,
            name: Name::NONE,
        },
        entering: Name::NONE,
        depth: 0,
    };
    let result = check.resource(node, true);
    check.walk.finish()?;
    result
}

/// Types that the check itself asks for.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub extension: TypeId,
    pub reference: TypeId,
    pub bundle: TypeId,
    pub entry: TypeId,
    pub narrative: TypeId,
    pub questionnaire: TypeId,
    pub response: TypeId,
    pub observation: TypeId,
}

/// Where an object stands: the type it is of, and the element of which type it is.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub kind: TypeId,
    pub parent: TypeId,
    pub name: Name,
}

fn known() -> Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    *KNOWN.get_or_init(|| Known {
        extension: TypeId::of("Extension").unwrap_or(TypeId::RESOURCE),
        reference: TypeId::of("Reference").unwrap_or(TypeId::RESOURCE),
        bundle: TypeId::of("Bundle").unwrap_or(TypeId::RESOURCE),
        entry: TypeId::of("Bundle.entry").unwrap_or(TypeId::RESOURCE),
        narrative: TypeId::of("Narrative").unwrap_or(TypeId::RESOURCE),
        questionnaire: TypeId::of("Questionnaire").unwrap_or(TypeId::RESOURCE),
        response: TypeId::of("QuestionnaireResponse").unwrap_or(TypeId::RESOURCE),
        observation: TypeId::of("Observation").unwrap_or(TypeId::RESOURCE),
    })
}

pub(super) struct Check<'w, 'p, 't, 'a, 'c> {
    profiles: &'p Profiles,
    /// The source of FHIR's own rules, where they are asked.
    pub(super) base: Option<Source<'static>>,
    pub(super) walk: Walk<'w, 'p, 't, 'a, 'c>,
    formats: &'static [Format],
    reach: Reach,
    pub(super) known: Known,
    /// The object whose members are looked at.
    at: At,
    /// The element of it that is.
    entering: Name,
    depth: usize,
}

impl<'t, 'a> Check<'_, '_, 't, 'a, '_> {
    /// A resource, and the profiles that apply to it: those it names; and at the top those that its type is held to.
    fn resource(&mut self, node: Node<'t, 'a>, top: bool) -> Result<(), Stop> {
        if node.kind() != Kind::Object {
            return self.walk.issues.at(node, "type object", Source::STRUCTURE);
        }
        let kind = node.resource_type().and_then(TypeId::of);
        let Some(kind) = kind.filter(|kind| kind.is_resource() && *kind != TypeId::RESOURCE) else {
            return self.walk.issues.below(node, "resourceType", "resource type", Source::STRUCTURE);
        };
        self.object(node, kind, true)?;
        if let Some(source) = self.base {
            self.contained(node, source)?;
        }
        if kind == self.known.response {
            questionnaire::hold(&mut self.walk, node, self.base)?;
        } else if let Some(source) = self.base.filter(|_| kind == self.known.questionnaire) {
            questionnaire::sound(&mut self.walk, node, source)?;
        }
        self.apply(node, kind, top)
    }

    fn apply(&mut self, node: Node<'t, 'a>, kind: TypeId, top: bool) -> Result<(), Stop> {
        let inner = self.profiles.inner();
        if self.profiles.is_empty() {
            return Ok(());
        }
        if top {
            for number in inner.always(kind) {
                self.walk.resource(number, node)?;
            }
        }
        let named = node.get(Name::of("meta")).and_then(|meta| meta.get(Name::of("profile")));
        let named = named.filter(|list| list.kind() == Kind::Array);
        let mut done = [u32::MAX; NAMED];
        let mut count = 0;
        for canonical in named.into_iter().flat_map(Node::children).take(NAMED) {
            if canonical.kind() != Kind::String {
                continue;
            }
            let Some(number) = inner.find(&canonical.text()) else { continue };
            let is_held = top && inner.always(kind).any(|held| held == number);
            if is_held || done[..count].contains(&number) {
                continue;
            }
            done[count] = number;
            count += 1;
            self.walk.resource(number, node)?;
        }
        if kind == self.known.observation
            && let Some(number) = inner.vital_sign(node)
            && !done[..count].contains(&number)
            && !(top && inner.always(kind).any(|held| held == number))
        {
            self.walk.resource(number, node)?;
        }
        Ok(())
    }

    /// A resource within a resource.
    fn nested(&mut self, node: Node<'t, 'a>) -> Result<(), Stop> {
        let inside = self.walk.inside(node);
        let before = std::mem::replace(&mut self.walk.here, inside);
        self.depth += 1;
        let result = self.resource(node, false);
        self.depth -= 1;
        self.walk.here = before;
        result
    }

    /// The members of an object against the elements of its type.
    fn object(&mut self, node: Node<'t, 'a>, kind: TypeId, resource: bool) -> Result<(), Stop> {
        if self.depth >= DEPTH {
            return self.walk.issues.at(node, "too deep", Source::STRUCTURE);
        }
        self.depth += 1;
        let above = self.at;
        self.at = At {
            kind,
            parent: above.kind,
            name: self.entering,
        };
        let mut chosen = [Name::NONE; CHOICES + 1];
        let (mut members, mut seen) = (0, 1u32);
        for member in node.children() {
            members += 1;
            let name = member.name();
            if resource && name == Name::RESOURCE_TYPE {
                continue;
            }
            let Some(child) = kind.child(name) else {
                self.walk.issues.at(member, "unknown element", Source::STRUCTURE)?;
                continue;
            };
            seen |= 1 << child.required;
            if child.choice != 0 {
                // `valueString` and `_valueString` are one element.
                let place = &mut chosen[usize::from(child.choice)];
                if *place != Name::NONE && *place != child.name {
                    self.walk.issues.at(member, "more than one of a choice", Source::STRUCTURE)?;
                }
                *place = child.name;
            }
            if name == Name::MODIFIER_EXTENSION {
                self.modifiers(member)?;
            }
            self.entering = child.name;
            if name.is_companion() {
                self.companion(member, child)?;
            } else {
                self.element(node, member, child)?;
            }
        }
        if members == 0 {
            self.walk.issues.at(node, "empty object", Source::STRUCTURE)?;
        }
        let missing = kind.required() & !seen;
        if missing != 0 {
            self.missing(node, kind, missing)?;
        }
        self.at = above;
        if kind == self.known.extension {
            self.extension(node, above)?;
        } else if let Some(source) = self.base {
            self.of_kind(node, kind, source)?;
        }
        if let Some((checks, list)) = self.profiles.inner().base_rules().of(kind) {
            let item = Item {
                node: Some(node),
                under: None,
                kind: Some(kind),
                name: node.name(),
            };
            let profile = &self.profiles.inner().base_rules().profile;
            self.walk.item(profile, checks, *list, item)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// The value of an element: one, or an array of many.
    #[inline]
    fn element(&mut self, parent: Node<'t, 'a>, member: Node<'t, 'a>, child: Child) -> Result<(), Stop> {
        let format = self.formats[usize::from(child.type_id.0)];
        match (member.kind(), child.many) {
            (Kind::Null, _) => self.walk.issues.at(member, "null", Source::STRUCTURE),
            (Kind::Array, false) => self.walk.issues.at(member, "one, not many", Source::STRUCTURE),
            (Kind::Array, true) => {
                let mut nulls = false;
                for item in member.children() {
                    if item.kind() == Kind::Null {
                        nulls = true;
                    } else {
                        self.value(item, child, format)?;
                    }
                }
                if nulls {
                    self.nulls(parent, member, child)?;
                }
                if member.children().next().is_none() {
                    self.walk.issues.at(member, "empty array", Source::STRUCTURE)
                } else {
                    Ok(())
                }
            }
            (_, true) => self.walk.issues.at(member, "many, not one", Source::STRUCTURE),
            (_, false) => self.value(member, child, format),
        }
    }

    #[inline]
    fn value(&mut self, node: Node<'t, 'a>, child: Child, format: Format) -> Result<(), Stop> {
        if let Some(rule) = format.fault(node) {
            return self.walk.issues.at(node, rule, Source::STRUCTURE);
        }
        match format {
            Format::Object => self.object(node, child.type_id, false),
            Format::Resource if self.reach == Reach::Envelope && node.name() == Name::RESOURCE => Ok(()),
            Format::Resource => self.nested(node),
            _ => match (child.codes(), self.base) {
                (Some(codes), Some(source)) if !codes.has(&node.text()) => self.walk.issues.at(node, "required binding", source),
                _ => Ok(()),
            },
        }
    }

    /// `_birthDate`: the id and extensions of a primitive, or an array of them.
    fn companion(&mut self, member: Node<'t, 'a>, child: Child) -> Result<(), Stop> {
        match (member.kind(), child.many) {
            (Kind::Object, false) => self.object(member, child.type_id, false),
            (Kind::Array, true) => {
                let mut any = false;
                for item in member.children() {
                    match item.kind() {
                        Kind::Null => {}
                        Kind::Object => {
                            any = true;
                            self.object(item, child.type_id, false)?;
                        }
                        _ => self.walk.issues.at(item, "type object", Source::STRUCTURE)?,
                    }
                }
                if any {
                    Ok(())
                } else {
                    self.walk.issues.at(member, "empty array", Source::STRUCTURE)
                }
            }
            (Kind::Array, false) => self.walk.issues.at(member, "one, not many", Source::STRUCTURE),
            (Kind::Object, true) => self.walk.issues.at(member, "many, not one", Source::STRUCTURE),
            _ => self.walk.issues.at(member, "type object", Source::STRUCTURE),
        }
    }

    /// A `null` in an array of primitives stands for a value that has only an id or extensions, at the same place of the
    /// companion's array.
    #[cold]
    fn nulls(&mut self, parent: Node<'t, 'a>, member: Node<'t, 'a>, child: Child) -> Result<(), Stop> {
        let companion = parent
            .get(child.name.companion())
            .filter(|companion| companion.kind() == Kind::Array);
        let companion = companion.filter(|_| child.type_id.primitive().is_some());
        let mut beside = companion.into_iter().flat_map(Node::children);
        for item in member.children() {
            let paired = beside.next().is_some_and(|other| other.kind() == Kind::Object);
            if item.kind() == Kind::Null && !paired {
                self.walk.issues.at(item, "null", Source::STRUCTURE)?;
            }
        }
        Ok(())
    }

    /// What changes the meaning of its element must be known, or the element would be misread.
    #[cold]
    fn modifiers(&mut self, member: Node<'t, 'a>) -> Result<(), Stop> {
        for item in member.children() {
            let url = item.get(Name::URL).filter(|url| url.kind() == Kind::String);
            if !url.is_some_and(|url| self.profiles.allows_modifier(&url.text())) {
                self.walk.issues.at(item, "unknown modifierExtension", Source::STRUCTURE)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_has_more_choices_than_there_is_room_for() {
        let most = TypeId::all()
            .flat_map(|kind| kind.children().iter().map(|child| usize::from(child.choice)))
            .max();
        assert!((1..=CHOICES).contains(&most.unwrap_or(0)));
    }
}
