//! Two opinions of one resource: ours, by the structure of FHIR R4 and by FHIR's own rules; and that of fhirbolt's Element reader
//! in its strict mode. Neither shows a value: what somebody objects to is a rule, and fhirbolt's words are taken for what they mean.

use std::collections::BTreeSet;

use fhirbolt::FhirReleases;
use fhirbolt::element::Element;
use fhirbolt::json;
use fhirbolt::serde::{DeserializationConfig, DeserializationMode};
use headwater::fhir::tree::{Limits, Node, Tree};
use headwater::validate::{Options, Profiles, Severity, check_all};

use crate::rewrite::{self, Change};
use crate::values;

/// What the two say of one resource.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both accept it, and read the same values.
    Accepted,
    /// Both refuse it: why we do, and why fhirbolt does.
    Refused(String),
    /// They differ.
    Differ(BTreeSet<Difference>),
}

/// One thing that only one of them objects to, or that they read otherwise.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Has its reason in `reasons`.
    pub class: String,
    /// The element, without numbers; empty where it is the whole resource.
    pub path: String,
}

impl Difference {
    fn of(class: String) -> Difference {
        let path = String::new();
        Difference { class, path }
    }
}

/// What is asked of us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Whether it is FHIR's JSON: what fhirbolt looks at.
    Structure,
    /// And whether FHIR's own rules hold.
    Rules,
}

/// Ours.
pub struct Opinion {
    structure: Profiles,
    rules: Profiles,
}

impl Opinion {
    pub fn new() -> Opinion {
        let (rules, faults) = Profiles::compile(&[], &Default::default(), &Options::default());
        assert!(faults.is_empty(), "FHIR's own rules can be used");
        let structure = Profiles::default();
        Opinion { structure, rules }
    }

    /// The rules that a resource breaks. Those of FHIR are asked only of what can be read.
    fn faults(&self, root: Node<'_, '_>, asked: Asked) -> BTreeSet<Difference> {
        let faults = |profiles: &Profiles, of: &str| -> BTreeSet<Difference> {
            let issues = check_all(profiles, root);
            let errors = issues.iter().filter(|issue| issue.severity == Severity::Error);
            let fault = errors.map(|issue| Difference {
                class: format!("we refuse, {of}: {}", issue.refusal.rule),
                path: without_numbers(&issue.refusal.path),
            });
            fault.collect()
        };
        let structure = faults(&self.structure, "structure");
        if structure.is_empty() && asked == Asked::Rules {
            return faults(&self.rules, "rule");
        }
        structure
    }

    /// Both opinions of the resource in `text`.
    pub fn beside_fhirbolts(&self, tree: &mut Tree, text: &[u8], asked: Asked) -> Verdict {
        let theirs = fhirbolts(text);
        let root = match tree.parse(text, &Limits::default()) {
            Ok(root) => root,
            Err(error) => {
                return match theirs {
                    Err(reason) => Verdict::Refused(format!("JSON: {}; fhirbolt: {reason}", error.rule)),
                    Ok(_) => Verdict::Differ([Difference::of(format!("we refuse, JSON: {}", error.rule))].into()),
                };
            }
        };
        let faults = self.faults(root, asked);
        let mut differences = BTreeSet::new();
        let written = match theirs {
            Err(reason) if !faults.is_empty() => {
                let rules: BTreeSet<&str> = faults.iter().map(|fault| fault.class.trim_start_matches("we refuse, ")).collect();
                let rules: Vec<&str> = rules.into_iter().collect();
                return Verdict::Refused(format!("{}; fhirbolt: {reason}", rules.join(", ")));
            }
            Err(reason) => match fhirbolts(&rewrite::to_text(root, Change::TypeFirst)) {
                Ok(written) => {
                    differences.insert(Difference::of("fhirbolt refuses: resourceType is not the first member".to_owned()));
                    written
                }
                Err(_) => return Verdict::Differ([Difference::of(format!("fhirbolt refuses: {reason}"))].into()),
            },
            Ok(_) if !faults.is_empty() => return Verdict::Differ(faults),
            Ok(written) => written,
        };
        let otherwise = values::differences(root, &written).into_iter();
        differences.extend(otherwise.map(|what| Difference::of(format!("read otherwise: {what}"))));
        if differences.is_empty() {
            Verdict::Accepted
        } else {
            Verdict::Differ(differences)
        }
    }
}

/// What fhirbolt writes of what it read, or why it did not read it.
fn fhirbolts(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    type R4 = Element<{ FhirReleases::R4 }>;
    const WORDS: [&str; 5] = [
        "unknown field",
        "invalid type: null",
        "invalid type",
        "invalid value",
        "missing field",
    ];
    let strict = DeserializationConfig {
        mode: DeserializationMode::Strict,
    };
    let element: R4 = json::from_slice(text, Some(strict)).map_err(|error| {
        let words = error.to_string();
        let meant = WORDS.into_iter().find(|meant| words.starts_with(meant));
        meant.unwrap_or(if error.is_data() { "something else" } else { "JSON" })
    })?;
    json::to_vec(&element, None).map_err(|_| "what it read, it cannot write")
}

/// `Patient.name[1].given` as `Patient.name.given`.
pub fn without_numbers(path: &str) -> String {
    let mut inside = false;
    let kept = path.chars().filter(|letter| {
        inside = *letter == '[' || inside && *letter != ']';
        !inside && *letter != ']'
    });
    kept.collect()
}
