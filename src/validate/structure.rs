//! A resource against the types of FHIR R4: elements that exist, one or many, the right JSON for each type, formats.
//! One pass over the nodes in the order of the text; nothing is allocated while all is well.
//!
//! Minimum cardinalities are the profiles' business, but for `Extension.url`, without which an extension says nothing.
//! FHIR 4.0.1, "JSON Representation of Resources".

use super::format::Format;
use super::issues::{Issues, Source, Stop};
use super::profile::Profiles;
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

pub(super) fn check<'t, 'a>(profiles: &Profiles, node: Node<'t, 'a>, issues: &mut Issues<'t, 'a, '_>, reach: Reach) -> Result<(), Stop> {
    let formats = Format::table();
    Check {
        profiles,
        issues,
        formats,
        reach,
        extension: TypeId::of("Extension").unwrap_or(TypeId::RESOURCE),
        depth: 0,
    }
    .resource(node)
}

struct Check<'p, 't, 'a, 'c> {
    profiles: &'p Profiles,
    issues: &'p mut Issues<'t, 'a, 'c>,
    formats: &'static [Format],
    reach: Reach,
    extension: TypeId,
    depth: usize,
}

impl<'t, 'a> Check<'_, 't, 'a, '_> {
    fn resource(&mut self, node: Node<'t, 'a>) -> Result<(), Stop> {
        if node.kind() != Kind::Object {
            return self.issues.at(node, "type object", Source::STRUCTURE);
        }
        match node.resource_type().and_then(TypeId::of) {
            Some(kind) if kind.is_resource() && kind != TypeId::RESOURCE => self.object(node, kind, true),
            _ => self.issues.below(node, "resourceType", "resource type", Source::STRUCTURE),
        }
    }

    /// The members of an object against the elements of its type.
    fn object(&mut self, node: Node<'t, 'a>, kind: TypeId, resource: bool) -> Result<(), Stop> {
        if self.depth >= DEPTH {
            return self.issues.at(node, "too deep", Source::STRUCTURE);
        }
        self.depth += 1;
        let mut chosen = [Name::NONE; CHOICES + 1];
        let (mut members, mut has_url) = (0, false);
        for member in node.children() {
            members += 1;
            let name = member.name();
            has_url |= name == Name::URL;
            if resource && name == Name::RESOURCE_TYPE {
                continue;
            }
            let Some(child) = kind.child(name) else {
                self.issues.at(member, "unknown element", Source::STRUCTURE)?;
                continue;
            };
            if child.choice != 0 {
                // `valueString` and `_valueString` are one element.
                let place = &mut chosen[usize::from(child.choice)];
                if *place != Name::NONE && *place != child.name {
                    self.issues.at(member, "more than one of a choice", Source::STRUCTURE)?;
                }
                *place = child.name;
            }
            if name == Name::MODIFIER_EXTENSION {
                self.modifiers(member)?;
            }
            if name.is_companion() {
                self.companion(member, child)?;
            } else {
                self.element(node, member, child)?;
            }
        }
        if members == 0 {
            self.issues.at(node, "empty object", Source::STRUCTURE)?;
        }
        if kind == self.extension && !has_url {
            self.issues.below(node, "url", "required", Source::STRUCTURE)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// The value of an element: one, or an array of many.
    #[inline]
    fn element(&mut self, parent: Node<'t, 'a>, member: Node<'t, 'a>, child: Child) -> Result<(), Stop> {
        let format = self.formats[usize::from(child.type_id.0)];
        match (member.kind(), child.many) {
            (Kind::Null, _) => self.issues.at(member, "null", Source::STRUCTURE),
            (Kind::Array, false) => self.issues.at(member, "one, not many", Source::STRUCTURE),
            (Kind::Array, true) => {
                let mut nulls = false;
                for item in member.children() {
                    if item.kind() == Kind::Null {
                        nulls = true;
                    } else {
                        self.value(item, child.type_id, format)?;
                    }
                }
                if nulls {
                    self.nulls(parent, member, child)?;
                }
                if member.children().next().is_none() {
                    self.issues.at(member, "empty array", Source::STRUCTURE)
                } else {
                    Ok(())
                }
            }
            (_, true) => self.issues.at(member, "many, not one", Source::STRUCTURE),
            (_, false) => self.value(member, child.type_id, format),
        }
    }

    #[inline]
    fn value(&mut self, node: Node<'t, 'a>, kind: TypeId, format: Format) -> Result<(), Stop> {
        if let Some(rule) = format.fault(node) {
            return self.issues.at(node, rule, Source::STRUCTURE);
        }
        match format {
            Format::Object => self.object(node, kind, false),
            Format::Resource if self.reach == Reach::Envelope && node.name() == Name::RESOURCE => Ok(()),
            Format::Resource => {
                self.depth += 1;
                let result = self.resource(node);
                self.depth -= 1;
                result
            }
            _ => Ok(()),
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
                        _ => self.issues.at(item, "type object", Source::STRUCTURE)?,
                    }
                }
                if any {
                    Ok(())
                } else {
                    self.issues.at(member, "empty array", Source::STRUCTURE)
                }
            }
            (Kind::Array, false) => self.issues.at(member, "one, not many", Source::STRUCTURE),
            (Kind::Object, true) => self.issues.at(member, "many, not one", Source::STRUCTURE),
            _ => self.issues.at(member, "type object", Source::STRUCTURE),
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
                self.issues.at(item, "null", Source::STRUCTURE)?;
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
                self.issues.at(item, "unknown modifierExtension", Source::STRUCTURE)?;
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
