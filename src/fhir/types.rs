//! What every path of FHIR R4 is: children, one or many, which type. Built once from fhirbolt's tables
//! (`fhirbolt_shared::element_map::r4`, `type_hints::r4`).
//!
//! A type is a resource, a data type, a primitive, a backbone element named by its path (`Observation.component`) or
//! `Resource`, which stands for any resource. Where the tables know a primitive only as text, temporal elements have
//! their exact type (`temporal`), texts of a narrower kind theirs (`text`), choices the type their name says, and all others
//! are `string`.

mod build;
mod facts;
mod temporal;
mod text;

use super::name::Name;
use build::Types;
pub use facts::CodeSet;

/// A type: a resource, a data type, a primitive, or a backbone element (`Observation.component`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub u16);

/// One element of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    pub name: Name,
    pub type_id: TypeId,
    pub many: bool,
    /// The number, from 1, of the choice this element belongs to within its type; 0 for none.
    pub choice: u8,
    /// The number, from 1, of this element among those that must be there within its type; 0 if it need not be.
    /// The elements of one choice share theirs.
    pub required: u8,
    /// The number, from 1, of the codes that R4 allows here; 0 for any.
    codes: u16,
}

impl Child {
    /// The codes that a required binding of R4 allows here; none if it has none, or one that no list can hold.
    #[inline]
    pub fn codes(self) -> Option<&'static CodeSet> {
        let number = usize::from(self.codes).checked_sub(1)?;
        Types::get().sets.get(number)
    }
}

/// JSON form of a primitive, where the tables say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primitive {
    Boolean,
    /// integer, positiveInt, unsignedInt
    Integer,
    Decimal,
    /// every primitive written as a JSON string
    Text,
}

impl TypeId {
    /// `Resource`: any resource.
    pub const RESOURCE: TypeId = TypeId(0);

    /// The type of this name. `Resource`: any resource (contained, Bundle.entry.resource).
    pub fn of(name: &str) -> Option<TypeId> {
        Types::get().numbers.get(name).copied()
    }

    /// All types of R4, in no order that means something.
    pub fn all() -> impl Iterator<Item = TypeId> {
        (0..Types::get().entries.len()).map(|number| TypeId(number as u16))
    }

    /// `Observation`, `Quantity`, `Observation.component`, `dateTime`.
    pub fn as_str(self) -> &'static str {
        self.entry().name
    }

    /// One of the resource types, or `Resource` itself.
    pub fn is_resource(self) -> bool {
        self.entry().resource
    }

    /// `Some` for a primitive type.
    pub fn primitive(self) -> Option<Primitive> {
        self.entry().primitive
    }

    /// The element `name` of this type; for `_birthDate` the element `birthDate` must be a primitive.
    #[inline]
    pub fn child(self, name: Name) -> Option<Child> {
        Types::get().child(self, name)
    }

    /// All elements, in the order of the specification.
    pub fn children(self) -> &'static [Child] {
        &self.entry().children
    }

    /// The typed elements of the choice `value[x]`, asked for as `value`: `[valueQuantity, valueString, …]`; empty if
    /// `stem` is no choice of this type.
    pub fn choice(self, stem: &str) -> &'static [Child] {
        self.entry()
            .choices
            .iter()
            .find(|(name, _)| *name == stem)
            .map_or(&[], |(_, children)| children)
    }

    /// The stem of the choice that `child` belongs to: `value` for `valueQuantity`.
    pub fn stem(self, child: Child) -> Option<&'static str> {
        let choices = &self.entry().choices;
        choices.get(usize::from(child.choice).checked_sub(1)?).map(|(stem, _)| *stem)
    }

    /// One bit for each element that must be there, by `Child::required`.
    #[inline]
    pub fn required(self) -> u32 {
        self.entry().required
    }

    fn entry(self) -> &'static build::Entry {
        &Types::get().entries[usize::from(self.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(kind: &str, name: &str) -> Option<(&'static str, bool)> {
        let kind = TypeId::of(kind).expect("a type of R4");
        let child = kind.child(Name::of(name))?;
        assert_eq!(child.name, Name::of(name).element());
        Some((child.type_id.as_str(), child.many))
    }

    #[test]
    fn elements_have_the_type_the_specification_gives_them() {
        for (kind, name, expected) in [
            ("Observation", "id", Some(("id", false))),
            ("Observation", "meta", Some(("Meta", false))),
            ("Observation", "text", Some(("Narrative", false))),
            ("Observation", "implicitRules", Some(("uri", false))),
            ("Observation", "language", Some(("code", false))),
            ("Observation", "contained", Some(("Resource", true))),
            ("Observation", "extension", Some(("Extension", true))),
            ("Observation", "modifierExtension", Some(("Extension", true))),
            ("Observation", "component", Some(("Observation.component", true))),
            (
                "Observation.component",
                "referenceRange",
                Some(("Observation.referenceRange", true)),
            ),
            ("Observation", "valueQuantity", Some(("Quantity", false))),
            ("Observation", "effectiveDateTime", Some(("dateTime", false))),
            ("Observation", "effectiveInstant", Some(("instant", false))),
            ("Observation", "issued", Some(("instant", false))),
            ("Observation", "valueTime", Some(("time", false))),
            ("Observation", "valueInteger", Some(("integer", false))),
            ("Observation", "category", Some(("CodeableConcept", true))),
            ("Observation", "status", Some(("code", false))),
            ("Observation", "_status", Some(("code", false))),
            ("Observation", "_code", None),
            ("Observation", "birthDate", None),
            ("Observation", "resourceType", None),
            ("Patient", "birthDate", Some(("date", false))),
            ("Patient", "_birthDate", Some(("date", false))),
            ("Patient", "active", Some(("boolean", false))),
            ("HumanName", "given", Some(("string", true))),
            ("HumanName", "_given", Some(("string", true))),
            ("Quantity", "value", Some(("decimal", false))),
            ("Quantity", "id", Some(("string", false))),
            ("Timing.repeat", "timeOfDay", Some(("time", true))),
            ("ContactPoint", "rank", Some(("positiveInt", false))),
            ("Bundle", "total", Some(("unsignedInt", false))),
            ("Bundle.entry", "resource", Some(("Resource", false))),
            ("Bundle.entry", "link", Some(("Bundle.link", true))),
            ("Bundle", "timestamp", Some(("instant", false))),
            (
                "ValueSet.expansion.contains",
                "contains",
                Some(("ValueSet.expansion.contains", true)),
            ),
            ("Extension", "url", Some(("uri", false))),
            ("Extension", "valueAge", Some(("Age", false))),
            ("Narrative", "div", Some(("xhtml", false))),
            ("Parameters.parameter", "resource", Some(("Resource", false))),
            ("date", "extension", Some(("Extension", true))),
            ("date", "value", None),
            ("Resource", "id", Some(("id", false))),
        ] {
            assert_eq!(child(kind, name), expected, "{kind}.{name}");
        }
    }

    #[test]
    fn a_choice_gives_its_typed_elements() {
        let observation = TypeId::of("Observation").expect("a type");
        let names = |stem| observation.choice(stem).iter().map(|child| child.name.as_str()).collect::<Vec<_>>();
        assert_eq!(
            names("effective"),
            ["effectiveDateTime", "effectivePeriod", "effectiveTiming", "effectiveInstant"]
        );
        assert_eq!(names("value").len(), 11);
        assert!(names("status").is_empty() && names("code").is_empty() && names("").is_empty());
        let quantity = observation.child(Name::of("valueQuantity")).expect("an element");
        assert_eq!(observation.stem(quantity), Some("value"));
        let status = observation.child(Name::of("status")).expect("an element");
        assert_eq!(observation.stem(status), None);
        let request = TypeId::of("MedicationRequest").expect("a type");
        assert_eq!(request.choice("medication").len(), 2);
        assert_eq!(request.choice("reported").len(), 2);
    }

    #[test]
    fn elements_that_only_look_like_a_choice_are_none() {
        for (kind, stem) in [
            ("CarePlan", "instantiates"),
            ("Encounter", "reason"),
            ("PaymentReconciliation", "payment"),
            ("ChargeItem", "definition"),
            ("ServiceRequest", "location"),
        ] {
            assert!(TypeId::of(kind).expect("a type").choice(stem).is_empty(), "{kind}.{stem}");
        }
    }

    #[test]
    fn resources_data_types_and_primitives_are_told_apart() {
        for (name, resource, primitive) in [
            ("Patient", true, None),
            ("Bundle", true, None),
            ("Resource", true, None),
            ("Meta", false, None),
            ("Observation.component", false, None),
            ("dateTime", false, Some(Primitive::Text)),
            ("positiveInt", false, Some(Primitive::Integer)),
            ("decimal", false, Some(Primitive::Decimal)),
            ("boolean", false, Some(Primitive::Boolean)),
        ] {
            let kind = TypeId::of(name).expect("a type");
            assert_eq!((kind.as_str(), kind.is_resource(), kind.primitive()), (name, resource, primitive));
        }
        assert_eq!(TypeId::of("Patientt"), None);
    }

    #[test]
    fn every_child_of_every_type_is_found_by_its_name_and_no_other_name_is() {
        let types = &Types::get().entries;
        for (number, entry) in types.iter().enumerate() {
            let kind = TypeId(number as u16);
            for child in kind.children() {
                assert_eq!(kind.child(child.name), Some(*child), "{}.{}", entry.name, child.name.as_str());
                let primitive = child.type_id.primitive().is_some();
                assert_eq!(kind.child(child.name.companion()).is_some(), primitive);
            }
            let known = (0..4000).filter(|name| kind.child(Name(*name)).is_some()).count();
            let primitives = kind.children().iter().filter(|child| child.type_id.primitive().is_some()).count();
            assert_eq!(known, kind.children().len() + primitives, "{}", entry.name);
        }
    }
}
