//! Field names as numbers: every member name of FHIR R4 (from fhirbolt's tables) is interned once; comparing two names is
//! comparing two u16. A name FHIR does not know is `Name::UNKNOWN` and is compared by its text (`Node::name_text`).

/// An interned member name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub u16);

impl Name {
    /// No name: the root, or an item of an array.
    pub const NONE: Name = Name(0);
    /// A member name that FHIR R4 does not have.
    pub const UNKNOWN: Name = Name(1);

    /// The interned name of `text`, or `Name::UNKNOWN`. `_birthDate` and `birthDate` are different names.
    pub fn of(text: &str) -> Name {
        let _ = text;
        todo!("fhir base")
    }

    /// The text of a known name; empty for `NONE` and `UNKNOWN`.
    pub fn as_str(self) -> &'static str {
        todo!("fhir base")
    }
}
