//! A profile as it is run: lists of rules by element name, each with what its element must be. Built by `lower`, walked by
//! `walk`. Only what says more than FHIR's own types is kept, so that most elements of a resource have no rule at all.

use super::invariant::Invariant;
use super::pattern::Pattern;
use crate::fhir::name::Name;
use crate::fhir::types::TypeId;
use crate::fhir::value_set::ValueSet;
use crate::validate::issues::Severity;

/// One StructureDefinition, compiled.
#[derive(Debug)]
pub(in crate::validate) struct Profile {
    pub number: u32,
    /// What an issue names: the file of a network's own profile, the canonical of a package's.
    pub name: String,
    pub url: Option<String>,
    /// What it is a profile of.
    pub kind: TypeId,
    /// What a fault means where a resource is held to it for its own sake. Where another profile leads here, that one says it.
    pub severity: Severity,
    /// Of the resource or element itself.
    pub checks: Checks,
    /// Of its elements.
    pub root: ListId,
    pub lists: Vec<List>,
    /// The elements that must be supported, by their number.
    pub support: Vec<String>,
    /// Of an extension: where it may stand; anywhere, if none is known.
    pub contexts: Vec<Context>,
}

/// An element that an extension is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::validate) enum Context {
    /// An element or resource of this type.
    Of(TypeId),
    /// Any resource.
    Resource,
    /// The element of this name in this type.
    Child(TypeId, Vec<Name>),
    /// An extension.
    Extension,
}

impl Profile {
    /// Whether the extension may stand in an object of this type, which is the element `name` of `parent`.
    pub fn may_stand(&self, kind: TypeId, parent: TypeId, name: Name) -> bool {
        self.contexts.is_empty()
            || self.contexts.iter().any(|context| match context {
                Context::Of(of) => is_a(kind, *of),
                Context::Resource => kind.is_resource(),
                Context::Child(of, names) => *of == parent && names.contains(&name),
                Context::Extension => kind.as_str() == "Extension",
            })
    }
}

/// The type is the other, or made of it. The tables do not tell all narrower texts from `string`.
fn is_a(kind: TypeId, other: TypeId) -> bool {
    const QUANTITIES: [&str; 7] = [
        "Age",
        "Count",
        "Distance",
        "Duration",
        "MoneyQuantity",
        "SimpleQuantity",
        "Quantity",
    ];
    let is_quantity = |kind: TypeId| QUANTITIES.contains(&kind.as_str());
    kind == other
        || (kind.primitive().is_some() && kind.primitive() == other.primitive())
        || (other.as_str() == "Quantity" && is_quantity(kind))
}

/// Which list of its profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::validate) struct ListId(pub u32);

impl ListId {
    /// The list without a rule.
    pub const NONE: ListId = ListId(0);
}

/// The rules of the elements in one object.
#[derive(Debug, Default)]
pub(in crate::validate) struct List {
    /// Which rule is for which name.
    pub names: Vec<Name>,
    pub places: Vec<Place>,
    pub rules: Vec<Rule>,
}

/// A list has at most as many rules as a `u128` has bits.
pub(super) const MOST_RULES: usize = 128;

#[derive(Clone, Copy, Debug)]
pub(in crate::validate) struct Place {
    pub rule: u8,
    /// A type of the choice that is not allowed.
    pub refused: bool,
}

impl List {
    #[inline]
    pub fn find(&self, name: Name) -> Option<Place> {
        self.names.iter().position(|known| *known == name).map(|at| self.places[at])
    }
}

/// What one element must be.
#[derive(Debug)]
pub(in crate::validate) struct Rule {
    /// As the profile writes it: `code`, `value[x]`.
    pub label: String,
    pub min: u32,
    pub max: u32,
    /// Its number among the elements that must be supported.
    pub support: Option<u32>,
    pub checks: Checks,
    pub children: ListId,
    pub slicing: Option<Box<Slicing>>,
}

impl Rule {
    /// Only whether it is there is asked.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.children == ListId::NONE && self.slicing.is_none() && self.checks.is_empty()
    }
}

/// What each item of an element must be.
#[derive(Debug, Default)]
pub(in crate::validate) struct Checks {
    pub patterns: Vec<Pattern>,
    /// Resource types, where any resource may stand.
    pub types: Vec<TypeId>,
    pub bindings: Vec<Binding>,
    pub targets: Option<Box<Targets>>,
    pub invariants: Vec<Invariant>,
    pub profiles: Vec<Profiled>,
    pub limits: Option<Box<Limits>>,
}

impl Checks {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
            && self.types.is_empty()
            && self.bindings.is_empty()
            && self.targets.is_none()
            && self.invariants.is_empty()
            && self.profiles.is_empty()
            && self.limits.is_none()
    }
}

/// Codes that an element must, or should, be of.
#[derive(Debug)]
pub(in crate::validate) struct Binding {
    pub codes: ValueSet,
    /// A code of another set is wrong, not only odd.
    pub required: bool,
}

/// Where a reference may go.
#[derive(Debug)]
pub(in crate::validate) struct Targets {
    /// Type, and the profile that the resource must fit where it can be seen.
    pub allowed: Vec<(TypeId, Option<u32>)>,
    /// `contained`, `bundled`, `referenced`: any, if empty.
    pub aggregation: Vec<Aggregation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::validate) enum Aggregation {
    Contained,
    Referenced,
    Bundled,
}

/// Items of this type must fit one of these profiles.
#[derive(Debug)]
pub(in crate::validate) struct Profiled {
    pub kind: TypeId,
    pub any: Vec<u32>,
}

/// How long, how little, how much.
#[derive(Debug, Default)]
pub(in crate::validate) struct Limits {
    pub length: Option<usize>,
    pub least: Option<Bound>,
    pub most: Option<Bound>,
}

/// A value to compare with.
#[derive(Debug)]
pub(in crate::validate) enum Bound {
    Number(crate::fhir::decimal::Decimal),
    Moment(crate::fhir::path::Temporal),
    /// Number and UCUM unit.
    Quantity(crate::fhir::decimal::Decimal, String),
}

/// How the items of an element are told apart.
#[derive(Debug)]
pub(in crate::validate) struct Slicing {
    pub closed: bool,
    /// What fits no slice stands behind all that does.
    pub at_end: bool,
    pub ordered: bool,
    pub slices: Vec<Slice>,
    /// `@default`: what fits no other.
    pub default: Option<usize>,
}

#[derive(Debug)]
pub(in crate::validate) struct Slice {
    pub name: String,
    /// Its place in the counts of the whole slicing, slices of slices included.
    pub slot: usize,
    pub min: u32,
    pub max: u32,
    pub support: Option<u32>,
    /// All must hold of an item of this slice.
    pub tests: Vec<Test>,
    pub checks: Checks,
    pub children: ListId,
    pub slicing: Option<Box<Slicing>>,
}

impl Slicing {
    /// Slices, slices of slices included.
    pub fn slots(&self) -> usize {
        let own = self.slices.iter().map(|slice| {
            let inner = slice.slicing.as_deref().map_or(0, Slicing::slots);
            inner.max(slice.slot + 1)
        });
        own.max().unwrap_or(0)
    }
}

/// One discriminator of one slice.
#[derive(Debug)]
pub(in crate::validate) struct Test {
    pub way: Vec<Step>,
    pub expect: Expect,
}

/// A step of a discriminator's path.
#[derive(Clone, Debug)]
pub(in crate::validate) enum Step {
    /// Elements of one of these names.
    Child(Vec<Name>),
    /// `extension('url')`
    Extension(String),
    /// `resolve()`
    Resolve,
    /// `ofType(Quantity)`
    OfType(TypeId),
}

/// What must be found at the end of the path, of one item there at least.
#[derive(Debug)]
pub(in crate::validate) enum Expect {
    /// One of these values.
    Values(Vec<Pattern>),
    Codes(ValueSet),
    /// An element that meets these.
    Meets(Box<Checks>, ListId),
    Exists(bool),
    Types(Vec<TypeId>),
    /// A choice made for one of these names.
    Names(Vec<Name>),
    Profiles(Vec<u32>),
}
