//! Whether an item is of a type: FHIR's hierarchy where a mapping may ask for it, and the System types of values.

use super::ast::TypeName;
use super::value::Item;
use crate::fhir::types::TypeId;

/// Whether a FHIR type is `name` or a specialisation of it.
pub(super) fn is_subtype(type_id: TypeId, name: &str) -> bool {
    let own = type_id.as_str();
    if own == name {
        return true;
    }
    match name {
        "Element" => !type_id.is_resource(),
        "BackboneElement" => own.contains('.'),
        "Resource" => type_id.is_resource(),
        "DomainResource" => type_id.is_resource() && !matches!(own, "Bundle" | "Binary" | "Parameters"),
        "string" => matches!(own, "code" | "id" | "markdown"),
        "uri" => matches!(own, "url" | "canonical" | "oid" | "uuid"),
        "integer" => matches!(own, "positiveInt" | "unsignedInt"),
        "Quantity" => matches!(own, "Age" | "Count" | "Distance" | "Duration" | "MoneyQuantity" | "SimpleQuantity"),
        _ => false,
    }
}

/// Whether `as` and `ofType` keep an element of this type: a primitive only if it is of the very type, as the R4 suite has it
/// (`gender.is(string)` is true, `gender.ofType(string)` is empty).
pub(super) fn is_kept_as(type_id: TypeId, name: &str) -> bool {
    match type_id.primitive() {
        Some(_) => type_id.as_str() == name || name == "Element",
        None => is_subtype(type_id, name),
    }
}

/// `as`, `ofType`.
pub(super) fn is_kept(item: &Item<'_, '_>, asked: &TypeName) -> bool {
    match item {
        Item::Element(element) if asked.namespace.as_deref() != Some("System") => match element.type_id {
            Some(type_id) => is_kept_as(type_id, &asked.name),
            None => is_of_type(item, asked),
        },
        _ => is_of_type(item, asked),
    }
}

/// `is`.
pub(super) fn is_of_type(item: &Item<'_, '_>, asked: &TypeName) -> bool {
    let namespace = asked.namespace.as_deref();
    match item {
        Item::Element(element) => {
            if namespace == Some("System") {
                return false;
            }
            match element.type_id {
                Some(type_id) => is_subtype(type_id, &asked.name),
                None => element
                    .value()
                    .is_some_and(|value| value.system_type().eq_ignore_ascii_case(&asked.name) && !matches!(value, Item::Element(_))),
            }
        }
        value => namespace != Some("FHIR") && value.system_type() == asked.name,
    }
}

/// `conformsTo` for the specification's own definitions of types; `None` for any other profile: none is loaded here.
pub(super) fn conforms_to(item: &Item<'_, '_>, profile: &Item<'_, '_>) -> Option<bool> {
    let url = profile.to_text()?;
    let name = base_type(&url)?;
    match item {
        Item::Element(element) => Some(is_subtype(element.type_id?, name)),
        _ => Some(false),
    }
}

/// The type that a canonical of the specification's own definitions names.
pub(super) fn base_type(canonical: &str) -> Option<&str> {
    let name = canonical.strip_prefix("http://hl7.org/fhir/StructureDefinition/")?;
    TypeId::of(name)?;
    Some(name)
}

/// Whether a type of this name can be asked for at all.
pub(super) fn is_known(asked: &TypeName) -> bool {
    const SYSTEM: [&str; 8] = ["Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity"];
    const ABSTRACT: [&str; 5] = ["Element", "BackboneElement", "Resource", "DomainResource", "SimpleQuantity"];
    let system = SYSTEM.contains(&asked.name.as_str());
    let fhir = TypeId::of(&asked.name).is_some() || ABSTRACT.contains(&asked.name.as_str());
    match asked.namespace.as_deref() {
        Some("System") => system,
        Some("FHIR") => fhir,
        Some(_) => false,
        None => system || fhir,
    }
}
