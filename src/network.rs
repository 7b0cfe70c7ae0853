//! A network package: profiles, models, mappings and policy, loaded, cross-checked, compiled and digested.
//! From a folder laid out like this repository (`profiles/`, `mappings/`), or the one inside the binary.
//! Every fault is reported at once, with its file.

mod definitions;
mod dictionary;
mod fhir_package;
mod package;
mod untested;
mod validation;

use std::sync::Arc;

use crate::cdm::Model;
use crate::deidentify::{Basis, Policy, PolicyFault};
use crate::gateway::{Packaged, Rules, ValidationSettings};
use crate::map::derive::Derivations;
use crate::map::vocabulary::{MemoryVocabulary, Vocabulary};
use crate::map::{self, Mapping, MappingFault, Parts};
use crate::validate::Profiles;

pub use definitions::{Definitions, Loaded};
pub use dictionary::{ColumnEntry, Dictionary, MapEntry, TableEntry, Texts};
pub use fhir_package::FhirPackage;
use package::digest;
pub use package::{File, Package};
pub use untested::Untested;
pub use validation::near;

/// What is wrong with a package; `faults` has one line each.
#[derive(Debug, thiserror::Error)]
#[error("{} fault(s) in the network package, or in what the site says of it:\n{}", faults.len(), faults.join("\n"))]
pub struct NetworkError {
    pub faults: Vec<String>,
}

/// A loaded package of one model, before a policy is chosen.
#[derive(Debug)]
pub struct Network {
    pub model: Arc<Model>,
    pub profiles: Arc<Profiles>,
    pub packages: Vec<Packaged>,
    /// Rules of these FHIR packages that cannot be checked here.
    pub unchecked: Vec<String>,
    pub mapping: Arc<Mapping>,
    pub derivations: Arc<Derivations>,
    pub cases: Vec<File>,
    /// ViewDefinitions, ConceptMaps and `derived.toml` as they were read.
    pub texts: Texts,
    /// The small vocabulary that cases look codes up in.
    pub case_vocabulary: Option<Arc<dyn Vocabulary>>,
    /// What a run looks codes up in; set by whoever has one.
    pub vocabulary: Option<Arc<dyn Vocabulary>>,
    policy_text: String,
    digests: (String, String),
}

/// What checking a package found, in numbers and in words.
#[derive(Debug, Default)]
pub struct Checked {
    pub tables: usize,
    pub columns: usize,
    pub cases: usize,
    /// Cases that did not come out as they say.
    pub failed: usize,
    /// One line each, its file first.
    pub faults: Vec<String>,
}

/// A package that may have faults; what of it can be used.
struct Draft {
    faults: Vec<String>,
    network: Option<Network>,
    broken_views: Vec<String>,
}

impl Package {
    /// Loads and compiles everything of `model`.
    /// # Errors: every fault of every file at once.
    pub fn load(&self, model: &str) -> Result<Network, NetworkError> {
        Self::whole(self.draft(model, None)?)
    }

    /// The same for a site, which brings the FHIR packages of its own and may be stricter than its network.
    /// # Errors: those of `load`; packages that cannot be read, profiles that nobody has, a word that is laxer than the network's.
    pub fn load_for(&self, model: &str, site: &ValidationSettings) -> Result<Network, NetworkError> {
        Self::whole(self.draft(model, Some(site))?)
    }

    fn whole(draft: Draft) -> Result<Network, NetworkError> {
        let Draft { faults, network, .. } = draft;
        match network {
            Some(network) if faults.is_empty() => Ok(network),
            _ => Err(NetworkError { faults }),
        }
    }

    /// Loads everything of `model` and runs every case that can be run, whatever else is wrong.
    pub fn check(&self, model: &str) -> Checked {
        let mut checked = Checked::default();
        let draft = match self.draft(model, None) {
            Ok(draft) => draft,
            Err(error) => {
                checked.faults = error.faults;
                return checked;
            }
        };
        checked.faults = draft.faults;
        let Some(network) = draft.network else {
            checked.faults.push("no case was run: mend the above first".to_owned());
            return checked;
        };
        checked.tables = network.model.tables().count();
        checked.columns = network.model.tables().map(|(_, table)| table.columns.len()).sum();
        for (file, text) in &network.cases {
            if draft.broken_views.contains(&file.replace(".cases.json", ".json")) {
                continue;
            }
            let report = map::cases::run_cases(&network.mapping, network.case_vocabulary.as_ref(), file, text);
            checked.cases += report.cases;
            checked.failed += report.failures.len();
            let folder = self.shown(&format!("mappings/{model}"));
            checked
                .faults
                .extend(report.failures.iter().map(|failure| format!("{folder}/{failure}")));
        }
        checked
    }

    fn draft(&self, name: &str, site: Option<&ValidationSettings>) -> Result<Draft, NetworkError> {
        let known = self.models();
        if !known.iter().any(|known| known == name) {
            let fault = match known.is_empty() {
                true => format!(
                    "{}: holds no model; a package is a folder with profiles/ and mappings/",
                    self.shown("mappings")
                ),
                false => format!("no model `{name}`; this package has: {}", known.join(", ")),
            };
            return Err(NetworkError { faults: vec![fault] });
        }
        let mut faults = Vec::new();
        let mut take = |files: Result<Vec<File>, String>| {
            files.unwrap_or_else(|fault| {
                faults.push(fault);
                Vec::new()
            })
        };
        let folder = format!("mappings/{name}");
        let folder_name = folder.clone();
        let profile_files = take(self.files("profiles/fhir", ".json"));
        let schema_files = take(self.schemas(name));
        let all_mappings = take(self.files(&folder, ".json"));
        let concept_maps = take(self.files(&format!("{folder}/concepts"), ".json"));
        let policies = take(self.files(&folder, "deidentification.toml"));
        let derived = take(self.files(&folder, "derived.toml"));
        let units = take(self.files(&folder, "units.toml"));
        let (cases, views): (Vec<_>, Vec<_>) = all_mappings.into_iter().partition(|(name, _)| name.ends_with(".cases.json"));
        let held = self.held(profile_files.clone(), site);
        let Definitions { profiles, canonicals } = held.definitions;
        faults.extend(held.faults);
        let schemas = self.shown(&format!("profiles/{name}"));
        let model = Model::from_schemas(name, &schema_files)
            .map_err(|found| faults.extend(found.faults.iter().map(|fault| format!("{schemas}/{fault}"))))
            .ok()
            .map(Arc::new);
        let folder = self.shown(&folder);
        let mut broken_views = Vec::new();
        let mapping = model.as_ref().and_then(|model| {
            let parts = Parts {
                views: &views,
                concept_maps: &concept_maps,
                units: units.first(),
                canonicals: Some(&canonicals),
            };
            Mapping::of(model.clone(), &parts)
                .map_err(|found| {
                    for fault in found {
                        let inner = if concept_maps.iter().any(|(name, _)| *name == fault.file) {
                            "/concepts"
                        } else {
                            ""
                        };
                        faults.push(format!("{folder}{inner}/{fault}"));
                        broken_views.push(fault.file);
                    }
                })
                .ok()
                // The views that have no fault, so that their cases still run.
                .or_else(|| {
                    let good: Vec<File> = views.iter().filter(|(name, _)| !broken_views.contains(name)).cloned().collect();
                    Mapping::of(model.clone(), &Parts { views: &good, ..parts }).ok()
                })
        });
        let derivations = model.as_ref().map(|model| {
            let text = derived.first().map_or("", |(_, text)| text.as_str());
            Derivations::load("derived.toml", text, model).unwrap_or_else(|found| {
                faults.extend(found.iter().map(|fault| format!("{folder}/{fault}")));
                Derivations::default()
            })
        });
        // Checked whatever else is wrong, so that nobody mends one file only to be sent to the next.
        let policy_text = policies.into_iter().next().map(|(_, text)| text);
        match (&policy_text, &model) {
            (None, _) => faults.push(format!(
                "{folder}/deidentification.toml: is missing; without a rule for every column nothing may leave"
            )),
            (Some(text), Some(model)) => faults.extend(policy_faults(&folder, text, (model, &concept_maps))),
            (Some(_), None) => {}
        }
        let case_vocabulary = self.case_vocabulary(&folder_name).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        let digests = (
            digest(&[&schema_files]),
            digest(&[&profile_files, &views, &concept_maps, &derived, &units, &held.texts]),
        );
        let network = model.zip(mapping).map(|(model, mapping)| Network {
            model,
            profiles: Arc::new(profiles),
            packages: held.packages,
            unchecked: held.unchecked,
            mapping: Arc::new(mapping),
            derivations: Arc::new(derivations.unwrap_or_default()),
            cases,
            texts: Texts {
                views,
                concept_maps,
                derived: derived.into_iter().next().map_or_else(String::new, |(_, text)| text),
            },
            case_vocabulary,
            vocabulary: None,
            policy_text: policy_text.unwrap_or_default(),
            digests,
        });
        Ok(Draft {
            faults,
            network,
            broken_views,
        })
    }

    /// The vocabulary in `vocabulary/` of a model's mappings, if there is one.
    /// # Errors: a file that is not Athena's form.
    fn case_vocabulary(&self, folder: &str) -> Result<Option<Arc<dyn Vocabulary>>, String> {
        let files = self.files(&format!("{folder}/vocabulary"), ".csv").unwrap_or_default();
        if files.is_empty() {
            return Ok(None);
        }
        let text = |wanted: &str| files.iter().find(|(name, _)| name == wanted).map_or("", |(_, text)| text.as_str());
        let (concepts, relationships) = (text("CONCEPT.csv"), text("CONCEPT_RELATIONSHIP.csv"));
        let vocabulary = MemoryVocabulary::parse(concepts, relationships, "cases")
            .map_err(|fault| format!("{}/{fault}", self.shown(&format!("{folder}/vocabulary"))))?;
        Ok(Some(Arc::new(vocabulary)))
    }
}

/// The faults of the policy file under every policy, each once.
fn policy_faults(folder: &str, text: &str, (model, maps): (&Model, &[File])) -> Vec<String> {
    let mut faults: Vec<_> = Basis::ALL
        .into_iter()
        .filter_map(|basis| Policy::compile_with(basis.as_str(), text, model, maps).err())
        .flatten()
        // A file may leave one of the two policies out; whoever asks for that one is told.
        .filter(|fault| !fault.fault.starts_with("is no policy of this file"))
        .collect();
    faults.sort();
    faults.dedup();
    // A rule that could not be read is not missed a second time.
    let unread: Vec<String> = faults
        .iter()
        .filter(|fault| fault.fault.ends_with("is no rule"))
        .map(|fault| fault.place.clone())
        .collect();
    faults.retain(|fault| !(fault.fault.starts_with("has no rule under") && unread.contains(&fault.place)));
    let shown = |fault: &PolicyFault| {
        let PolicyFault {
            line,
            column,
            place,
            fault,
        } = fault;
        format!("{folder}/deidentification.toml:{line}:{column}: `{place}`: {fault}")
    };
    faults.iter().map(shown).collect()
}

impl Network {
    /// Tells two mappings apart, the vocabulary they look up in included: after a new release everything is mapped again.
    fn mapping_digest(&self) -> String {
        match &self.vocabulary {
            Some(vocabulary) => digest(&[&vec![(self.digests.1.clone(), vocabulary.digest().to_owned())]]),
            None => self.digests.1.clone(),
        }
    }

    /// The data dictionary under every policy of the package.
    pub fn dictionary(&self) -> Dictionary {
        let policies: Vec<Policy> = Basis::ALL
            .into_iter()
            .filter_map(|basis| Policy::compile_with(basis.as_str(), &self.policy_text, &self.model, &self.texts.concept_maps).ok())
            .collect();
        Dictionary::of(&self.model, &self.texts, &policies)
    }

    /// What `vocabulary` says against the concept ids that the mapping's files name, with file and line.
    pub fn foreign_concepts(&self, vocabulary: &dyn Vocabulary) -> Vec<MappingFault> {
        let Texts {
            views,
            concept_maps,
            derived,
        } = &self.texts;
        let files = map::Files {
            views,
            concept_maps,
            derived,
        };
        map::check_concepts(&self.mapping, &files, vocabulary)
    }

    /// Columns that a view fills and none of its cases does.
    pub fn untested(&self) -> Vec<Untested> {
        untested::untested(&self.texts.views, &self.cases)
    }

    /// The rules of a run: this package under the policy `name`.
    /// # Errors: a column without a rule, a rule that cannot be; all at once.
    pub fn under(&self, name: &str) -> Result<Rules, NetworkError> {
        self.under_stricter(name, &[])
    }

    /// The same with a site's own stricter rules, as `(table.column, rule)`.
    /// # Errors: those of `under`; a rule that gives away more than the policy's.
    pub fn under_stricter(&self, name: &str, stricter: &[(String, String)]) -> Result<Rules, NetworkError> {
        let maps = &self.texts.concept_maps;
        let policy = Policy::compile_with(name, &self.policy_text, &self.model, maps).map_err(|faults| NetworkError {
            faults: faults.iter().map(|fault| format!("deidentification.toml: {fault}")).collect(),
        })?;
        let stricter: Vec<(&str, &str)> = stricter.iter().map(|(place, rule)| (place.as_str(), rule.as_str())).collect();
        let policy = match stricter.as_slice() {
            [] => policy,
            stricter => policy.tighten_with(&self.model, stricter, maps).map_err(|faults| NetworkError {
                faults: faults
                    .iter()
                    .map(|fault| format!("site.toml: `deidentify.tighten.\"{}\"`: {}", fault.place, fault.fault))
                    .collect(),
            })?,
        };
        Ok(Rules {
            model: self.model.clone(),
            profiles: self.profiles.clone(),
            mapping: self.mapping.clone(),
            derivations: self.derivations.clone(),
            vocabulary: self.vocabulary.clone(),
            policy,
            packages: self.packages.clone(),
            unchecked: self.unchecked.clone(),
            model_digest: self.digests.0.clone(),
            mapping_digest: self.mapping_digest(),
        })
    }
}
