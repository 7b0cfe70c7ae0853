//! Profiles: StructureDefinitions of resources and data types, compiled into rules that run on the borrowed tree.
//!
//! Checked: numbers of elements and slices, types, `fixed[x]` and `pattern[x]`, slicing by value, pattern, type, exists and
//! profile, bindings to the ValueSets that are given, invariants, where references go, profiles of data types, extensions
//! against their definitions, lengths and limits. What must be supported is counted. What of a definition cannot be checked is
//! a fault of a network's own file and a note on a package's. Knows nothing of folders: definitions come as text.
//!
//! `draft` and `facts` read a definition, `lower`, `checks` and `discriminator` make `rule`s of it, `walk`, `slices` and
//! `target` hold a resource to them.

mod base;
mod binding;
mod checks;
mod compile;
mod discriminator;
mod draft;
mod facts;
mod invariant;
mod item;
mod limits;
mod lower;
mod pattern;
mod rule;
mod share;
mod slices;
mod target;
mod walk;

use std::collections::HashMap;
use std::sync::Arc;

use self::base::Base;
use self::checks::Index;
pub(super) use self::invariant::{Asked, Invariant, Known};
use self::rule::Profile;
pub(super) use self::share::{Here, Item, Shared};
pub(super) use self::target::Resolved;
pub(super) use self::walk::Walk;
use super::issues::{Issues, Severity, Source};
use super::questionnaire::Forms;
use super::tally::{Report, Tally};
use super::vital_signs;
use crate::fhir::path::Fits;
use crate::fhir::tree::Node;
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

/// One StructureDefinition or Questionnaire.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// The resource goes on, and the fault is counted.
    Count,
    /// The resource goes on, with a warning.
    Warn,
    /// The resource is refused.
    #[default]
    Refuse,
}

impl Disposition {
    /// All of them, by the words that files say them in; the strictest first.
    pub const WORDS: [(&str, Disposition); 3] = [
        ("refuse", Disposition::Refuse),
        ("warn", Disposition::Warn),
        ("count", Disposition::Count),
    ];

    pub fn of(word: &str) -> Option<Self> {
        let found = Self::WORDS.iter().find(|(known, _)| *known == word);
        found.map(|(_, disposition)| *disposition)
    }

    pub fn as_str(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, disposition)| *disposition == self);
        found.map_or("", |(word, _)| word)
    }

    pub(super) fn severity(self) -> Severity {
        match self {
            Disposition::Refuse => Severity::Error,
            Disposition::Warn => Severity::Warning,
            Disposition::Count => Severity::Counted,
        }
    }
}

/// Which profiles apply, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Canonicals of profiles that every resource of their type is held to, besides those it names itself.
    pub asked: Vec<String>,
    /// What a fault means, by the canonical (`url` or `url|version`) or file of the profile or Questionnaire. It holds for all
    /// that the profile leads to, profiles of its extensions and types included.
    pub dispositions: Vec<(String, Disposition)>,
    /// What it means by a package's profile or Questionnaire that is not among them; by a network's own it refuses.
    pub packaged: Disposition,
    /// What a fault by FHIR's own rules means: elements that must be there, codes of required bindings, invariants of
    /// FHIR's types. None: they are not asked. JSON that is no FHIR (unknown elements, wrong types) always refuses.
    pub base: Option<Disposition>,
    /// An Observation with the code of a vital sign is held to R4's profile of it, where that is loaded, though it does not
    /// name it.
    pub vital_signs: bool,
    /// What an extension means that nothing loaded defines; none: it is left alone. Of those of hl7.org nobody is told: HL7
    /// publishes more of them than R4 has.
    pub unknown_extensions: Option<Disposition>,
}

impl Options {
    /// What a fault by the definition of this file, url and version means; `own`: it is the network's.
    pub(super) fn disposition(&self, file: &str, url: &Option<String>, version: &Option<String>, own: bool) -> Disposition {
        let versioned = url.as_ref().zip(version.as_ref()).map(|(url, version)| format!("{url}|{version}"));
        let is_meant = |meant: &str| url.as_deref() == Some(meant) || versioned.as_deref() == Some(meant) || file == meant;
        let found = self.dispositions.iter().rev().find(|(meant, _)| is_meant(meant));
        let otherwise = if own { Disposition::Refuse } else { self.packaged };
        found.map_or(otherwise, |(_, disposition)| *disposition)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            asked: Vec::new(),
            dispositions: Vec::new(),
            packaged: Disposition::Refuse,
            base: Some(Disposition::Refuse),
            vital_signs: false,
            unknown_extensions: None,
        }
    }
}

/// All profiles that resources are held to, compiled. The default has none: then only the structure is checked.
#[derive(Debug, Default)]
pub struct Profiles {
    inner: Arc<Inner>,
    modifiers: Vec<String>,
}

/// Extension definitions by url.
type Extensions = HashMap<String, u32>;

/// No profile's number: that of FHIR's own types.
const TYPES: u32 = u32::MAX;

/// The compiled definitions.
#[derive(Debug, Default)]
pub(super) struct Inner {
    /// By number; none where a definition could not be used.
    all: Vec<Option<Profile>>,
    /// Which hold every resource of a type.
    always: Vec<(TypeId, u32)>,
    index: Index,
    extensions: Extensions,
    base: Base,
    base_severity: Option<Severity>,
    /// The Questionnaires that responses are held to.
    forms: Forms,
    /// R4's profiles of vital signs, in the order of their table, where they are asked.
    vital_signs: Vec<Option<u32>>,
    unknown_extensions: Option<Severity>,
}

impl Inner {
    #[inline]
    pub(super) fn profile(&self, number: u32) -> Option<&Profile> {
        self.all.get(number as usize)?.as_ref()
    }

    /// The profile of a canonical.
    pub(super) fn find(&self, canonical: &str) -> Option<u32> {
        self.index.find(canonical)
    }

    /// The definition of the extension `url`.
    #[inline]
    pub(super) fn extension(&self, url: &str) -> Option<u32> {
        if self.extensions.is_empty() {
            return None;
        }
        self.extensions.get(url).copied()
    }

    /// The profiles that every resource of this type is held to.
    pub(super) fn always(&self, kind: TypeId) -> impl Iterator<Item = u32> {
        self.always.iter().filter(move |(of, _)| *of == kind).map(|(_, number)| *number)
    }

    /// The source of FHIR's own rules; none if they are not asked.
    #[inline]
    pub(super) fn base(&self) -> Option<Source<'static>> {
        self.base_severity.map(|severity| Source {
            number: None,
            name: None,
            severity,
        })
    }

    /// The profile that an Observation is held to by its code.
    pub(super) fn vital_sign(&self, observation: Node<'_, '_>) -> Option<u32> {
        if self.vital_signs.is_empty() {
            return None;
        }
        *self.vital_signs.get(vital_signs::of(observation)?)?
    }

    /// The source of the rule that every extension has a definition; none if that is not asked.
    #[inline]
    pub(super) fn unknown_extensions(&self) -> Option<Source<'static>> {
        self.unknown_extensions.map(|severity| Source {
            number: None,
            name: None,
            severity,
        })
    }

    pub(super) fn forms(&self) -> &Forms {
        &self.forms
    }

    pub(super) fn base_rules(&self) -> &Base {
        &self.base
    }
}

impl Profiles {
    /// The profiles in `files`, a network's own, each a name and its JSON text. FHIR's own rules are not asked: the network says
    /// what it needs.
    /// # Errors: every fault of every file.
    pub fn load(files: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Profiles, Vec<ProfileFault>> {
        Self::load_with(files, &Arc::default())
    }

    /// The same, with the ValueSets that bindings and invariants may name.
    /// # Errors: every fault of every file.
    pub fn load_with(files: &[(impl AsRef<str>, impl AsRef<str>)], value_sets: &Arc<ValueSets>) -> Result<Profiles, Vec<ProfileFault>> {
        let own = files.iter().map(|(file, json)| Definition {
            file: file.as_ref(),
            json: json.as_ref(),
            own: true,
        });
        let definitions: Vec<Definition<'_>> = own.collect();
        let options = Options {
            base: None,
            ..Options::default()
        };
        let (profiles, faults) = Self::compile(&definitions, value_sets, &options);
        if faults.is_empty() { Ok(profiles) } else { Err(faults) }
    }

    /// The profiles of `definitions` that can be used, and every fault of the others. A fault that is only `unchecked` leaves its
    /// profile in use.
    pub fn compile(definitions: &[Definition<'_>], value_sets: &Arc<ValueSets>, options: &Options) -> (Profiles, Vec<ProfileFault>) {
        let (inner, modifiers, faults) = compile::compile(definitions, value_sets, options);
        let inner = Arc::new(inner);
        (Profiles { inner, modifiers }, faults)
    }

    /// What a tally made with these profiles says.
    pub fn report(&self, tally: &Tally) -> Report {
        let of_form = |number| self.inner.forms.name(number).map(str::to_owned);
        let name = |number| {
            self.inner
                .profile(number)
                .map(|profile| profile.name.clone())
                .or_else(|| of_form(number))
        };
        let elements = |number| self.inner.profile(number).map(|profile| profile.support.as_slice());
        tally.report(|number| name(number).unwrap_or_default(), |number| elements(number).unwrap_or(&[]))
    }

    /// The same profiles, with one more modifier extension that does not refuse its resource.
    #[must_use]
    pub fn allow_modifier(mut self, url: impl Into<String>) -> Self {
        self.modifiers.push(url.into());
        self
    }

    /// How many Questionnaires are loaded.
    pub fn questionnaires(&self) -> usize {
        self.inner.forms.len()
    }

    /// Whether a Questionnaire is loaded that this canonical or file means.
    pub fn has_questionnaire(&self, meant: &str) -> bool {
        self.inner.forms.is_meant(meant)
    }

    /// Whether a profile is loaded that this canonical (`url` or `url|version`) or file means.
    pub fn knows(&self, meant: &str) -> bool {
        self.inner.find(meant).is_some_and(|number| self.inner.profile(number).is_some())
            || self.inner.all.iter().flatten().any(|profile| profile.name == meant)
    }

    /// Whether FHIR's own definitions of its types are loaded, and with them the invariants that hold of every resource.
    pub fn has_types(&self) -> bool {
        self.inner.base.is_there()
    }

    /// How many profiles are loaded.
    pub fn len(&self) -> usize {
        self.inner.all.iter().flatten().count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The profiles by their canonical url, for expressions that ask `conformsTo`.
    pub fn by_canonical(&self) -> Vec<(String, Arc<dyn Fits>)> {
        let all = self.inner.all.iter().flatten().filter(|profile| profile.kind.is_resource());
        all.filter_map(|profile| {
            let fits = Fitting {
                inner: Arc::clone(&self.inner),
                number: profile.number,
            };
            Some((profile.url.clone()?, Arc::new(fits) as Arc<dyn Fits>))
        })
        .collect()
    }

    /// The type of resource that a profile is for, by its canonical url.
    pub fn type_of(&self, canonical: &str) -> Option<&'static str> {
        let number = self.inner.index.find(canonical)?;
        self.inner.index.kinds.get(number as usize).map(|kind| kind.as_str())
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(super) fn allows_modifier(&self, url: &str) -> bool {
        self.modifiers.iter().any(|allowed| allowed == url)
    }
}

/// One profile, for whoever asks whether a resource fits it.
struct Fitting {
    inner: Arc<Inner>,
    number: u32,
}

impl std::fmt::Debug for Fitting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "profile {}", self.number)
    }
}

impl Fits for Fitting {
    fn fits(&self, resource: Node<'_, '_>) -> bool {
        let Some(profile) = self.inner.profile(self.number) else {
            return false;
        };
        let kind = resource.resource_type().and_then(TypeId::of);
        let shared = Shared::new(&self.inner, resource);
        let mut issues = Issues::verdict(resource);
        let mut walk = Walk::new(&shared, &mut issues, Here::top(resource));
        kind == Some(profile.kind) && walk.profile(self.number, Item::resource(resource)).is_ok()
    }
}
