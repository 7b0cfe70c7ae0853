//! A QuestionnaireResponse against its Questionnaire, as far as the Questionnaire is given: among the definitions that were
//! loaded, or contained in the response. One that is not known here is no fault; it is told that its answers were not checked.
//!
//! `form` reads a Questionnaire into questions, `value` and `limits` are what they allow; `walk` goes through a response,
//! `enable` says which questions are asked of it, `answer` holds one answer to its question. Faults name a rule and, of a
//! Questionnaire that was loaded, the question's `linkId`: never an answer.
//! Basis: FHIR R4 Questionnaire and QuestionnaireResponse; HL7 Structured Data Capture for its extensions. Where they leave it
//! open, HL7's own validator is followed: all that is asked must be answered unless the status is `in-progress`.

mod answer;
mod enable;
mod form;
mod limits;
mod sound;
mod value;
mod walk;

use std::sync::Arc;

use serde::Deserialize;

use self::form::{Form, Head, Origin, Reading, sets_of};
use self::walk::Hold;
use super::issues::{Severity, Source, Stop};
use super::profile::{Definition, Options, ProfileFault, Walk};
use super::versions::Versions;
use crate::fhir::name::Name;
use crate::fhir::path::Canonicals;
use crate::fhir::tree::{Kind, Limits, Node, Tree};
use crate::fhir::value_set::ValueSets;

pub(super) use self::sound::sound;

/// Limits on one Questionnaire.
const LIMITS: Limits = Limits {
    line_bytes: 64 << 20,
    depth: 64,
};

/// The Questionnaires of one load, by canonical.
#[derive(Debug, Default)]
pub(super) struct Forms {
    all: Vec<Form>,
    versions: Versions,
    sets: Arc<ValueSets>,
    /// The number of the first in a tally, behind those of the profiles.
    first: u32,
}

#[derive(Deserialize)]
struct Kinded {
    #[serde(rename = "resourceType", default)]
    resource_type: String,
}

/// The definition is a Questionnaire.
pub(super) fn is_form(json: &str) -> bool {
    json.contains("\"Questionnaire\"") && serde_json::from_str::<Kinded>(json).is_ok_and(|kinded| kinded.resource_type == "Questionnaire")
}

impl Forms {
    /// The Questionnaires of `definitions`, which are all of them. What of one cannot be checked is said. In a tally their numbers
    /// begin at `first`.
    pub(super) fn read(
        first: u32,
        definitions: &[&Definition<'_>],
        canonicals: &Canonicals,
        options: &Options,
        faults: &mut Vec<ProfileFault>,
    ) -> Forms {
        let mut forms = Forms {
            first,
            sets: Arc::clone(&canonicals.value_sets),
            ..Forms::default()
        };
        let mut tree = Tree::new();
        for definition in definitions {
            let mut fault = |element: String, message: String| {
                faults.push(ProfileFault {
                    file: definition.file.to_owned(),
                    element,
                    message,
                    unchecked: !definition.own,
                });
            };
            let root = match tree.parse(definition.json.as_bytes(), &LIMITS) {
                Ok(root) => root,
                Err(error) => {
                    fault(String::new(), format!("is not JSON: {} at byte {}", error.rule, error.offset));
                    continue;
                }
            };
            let head = Head::of(root);
            let Some(url) = head.url.clone() else {
                fault(String::new(), "needs a `url`: a QuestionnaireResponse names it by that".to_owned());
                continue;
            };
            let name = if definition.own { definition.file.to_owned() } else { url.clone() };
            let own = sets_of(root);
            let reading = Reading {
                sets: &|canonical| match canonical.starts_with('#') {
                    true => own.find(canonical),
                    false => canonicals.value_sets.find(canonical),
                },
                canonicals: Some(canonicals),
            };
            let means = options.disposition(definition.file, &head.url, &head.version, definition.own);
            let from = Origin {
                loaded: Some((first + forms.all.len() as u32, name)),
                severity: means.severity(),
            };
            let (form, notes) = reading.form(root, from);
            notes.into_iter().for_each(|(element, message)| fault(element, message));
            forms.versions.add(&url, head.version, forms.all.len() as u32);
            forms.all.push(form);
        }
        forms
    }

    /// One is loaded that this canonical or file means.
    pub(super) fn is_meant(&self, meant: &str) -> bool {
        self.find(meant).is_some() || self.all.iter().any(|form| form.source().name == Some(meant))
    }

    /// The name of the one that has this number in a tally.
    pub(super) fn name(&self, number: u32) -> Option<&str> {
        let at = number.checked_sub(self.first)?;
        self.all.get(at as usize)?.source().name
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The Questionnaire of `url` or `url|version`; of several versions the last that was loaded, where none is named.
    fn find(&self, canonical: &str) -> Option<&Form> {
        let number = self.versions.find(canonical)?;
        self.all.get(number as usize)
    }
}

/// Holds a QuestionnaireResponse to the Questionnaire that it names. `base` is the source of FHIR's own rules: without it a
/// Questionnaire that the response itself brings is not asked.
pub(super) fn hold<'t, 'a>(walk: &mut Walk<'_, '_, 't, 'a, '_>, response: Node<'t, 'a>, base: Option<Source<'static>>) -> Result<(), Stop> {
    let named = response.get(Name::of("questionnaire")).filter(|named| named.kind() == Kind::String);
    let Some(named) = named else { return Ok(()) };
    let canonical = named.text();
    let forms = walk.shared.inner.forms();
    if let Some(id) = canonical.strip_prefix('#') {
        let Some(source) = base else { return Ok(()) };
        let found = walk.contained(id).filter(|found| found.resource_type() == Some("Questionnaire"));
        let Some(found) = found else { return unknown(walk, named, base) };
        // It is read anew for each response.
        walk.spend(found.size() as u64)?;
        let own = sets_of(walk.here.container);
        let reading = Reading {
            sets: &|canonical| match canonical.starts_with('#') {
                true => own.find(canonical),
                false => forms.sets.find(canonical),
            },
            canonicals: None,
        };
        let from = Origin {
            loaded: None,
            severity: source.severity,
        };
        let (form, _) = reading.form(found, from);
        return Hold::new(walk, &form, response).whole();
    }
    match forms.find(&canonical) {
        Some(form) => {
            if let (Some(tally), Some(number)) = (walk.issues.tally.as_deref_mut(), form.source().number) {
                tally.resource(number, 0);
            }
            Hold::new(walk, form, response).whole()
        }
        None => unknown(walk, named, base),
    }
}

/// Tells that nothing was checked.
#[cold]
fn unknown<'t, 'a>(walk: &mut Walk<'_, '_, 't, 'a, '_>, named: Node<'t, 'a>, base: Option<Source<'static>>) -> Result<(), Stop> {
    let Some(source) = base else { return Ok(()) };
    let source = Source {
        severity: Severity::Counted,
        ..source
    };
    walk.issues
        .at(named, "questionnaire not known here: its answers are not checked", source)
}
