//! What every path of FHIR R4 is: children, one or many, which type. Built once from fhirbolt's tables
//! (`fhirbolt_shared::element_map::r4`, `type_hints::r4`).

use super::name::Name;

/// A type: a resource, a data type, a primitive, or a backbone element (`Observation.component`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub u16);

/// One element of a type.
#[derive(Clone, Copy, Debug)]
pub struct Child {
    pub name: Name,
    pub type_id: TypeId,
    pub many: bool,
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
    /// `Resource`: any resource (contained, Bundle.entry.resource).
    pub fn of(name: &str) -> Option<TypeId> {
        let _ = name;
        todo!("fhir base")
    }
    /// `Observation`, `Quantity`, `Observation.component`, `dateTime`.
    pub fn as_str(self) -> &'static str {
        todo!("fhir base")
    }
    pub fn is_resource(self) -> bool {
        todo!("fhir base")
    }
    /// `Some` for a primitive type.
    pub fn primitive(self) -> Option<Primitive> {
        todo!("fhir base")
    }
    /// The element `name` of this type; for `_birthDate` the element `birthDate` must be a primitive.
    pub fn child(self, name: Name) -> Option<Child> {
        let _ = name;
        todo!("fhir base")
    }
    /// All elements, in the order of the specification.
    pub fn children(self) -> &'static [Child] {
        todo!("fhir base")
    }
    /// The typed elements of the choice `value[x]`, asked for as `value`: `[valueQuantity, valueString, …]`; empty if
    /// `stem` is no choice of this type.
    pub fn choice(self, stem: &str) -> &'static [Child] {
        let _ = stem;
        todo!("fhir base")
    }
}
