//! What codes are called: displays never leave a site, for a local one may hold a name; the registry makes them anew from
//! terminologies of its own, of FHIR packages (`CodeSystem.concept.display`) or of OMOP's vocabularies (`concept_name`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cdm::{Kind, Table};
use crate::cli::{Failure, vocabulary};
use crate::gateway::vocabulary::Athena;
use crate::map::vocabulary::Vocabulary;
use crate::network::FhirPackage;
use crate::receive::export::{Display, Said};

/// Terminologies that were read.
#[derive(Default)]
pub(super) struct Terminologies {
    /// Displays by code, by CodeSystem.
    systems: HashMap<String, HashMap<String, String>>,
    athena: Option<Athena>,
}

/// A column whose codes get their display, and the code system they are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    column: String,
    /// A CodeSystem's url, a `vocabulary_id` of OMOP; none: the codes are OMOP's concept ids.
    system: Option<String>,
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (column, system) = match text.split_once('=') {
            Some((column, system)) => (column, Some(system.to_owned())),
            None => (text, None),
        };
        if column.is_empty() || system.as_deref() == Some("") {
            return Err("is not COLUMN=SYSTEM".to_owned());
        }
        Ok(Self {
            column: column.to_owned(),
            system,
        })
    }
}

#[derive(Deserialize)]
struct CodeSystem {
    #[serde(rename = "resourceType")]
    resource_type: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    concept: Vec<Concept>,
}

#[derive(Deserialize)]
struct Concept {
    code: String,
    #[serde(default)]
    display: Option<String>,
    #[serde(default)]
    concept: Vec<Concept>,
}

impl Terminologies {
    /// The terminologies in `paths`: folders with Athena's CSV files, whose index is kept in `cache`, and FHIR packages. Of the
    /// latter the code systems that are `wanted`.
    /// # Errors: one that cannot be read.
    pub fn read(paths: &[PathBuf], wanted: &[Wanted], cache: &Path) -> Result<Self, Failure> {
        let mut all = Self::default();
        for path in paths {
            if path.join("CONCEPT.csv").is_file() {
                all.athena = Some(vocabulary::open(path, cache)?);
                continue;
            }
            let package = FhirPackage::read(path).map_err(Failure::usage)?;
            for (_, text) in &package.files {
                let Ok(system) = serde_json::from_str::<CodeSystem>(text) else {
                    continue;
                };
                let is_wanted = |wanted: &Wanted| wanted.system.as_deref() == Some(system.url.as_str());
                if system.resource_type == "CodeSystem" && wanted.iter().any(is_wanted) {
                    add(system.concept, all.systems.entry(system.url).or_default());
                }
            }
        }
        Ok(all)
    }

    /// What gives the display of each wanted column's codes.
    /// # Errors: a column that the table lacks, a code system that no terminology has.
    pub fn displays<'t>(&'t self, table: &Table, wanted: &[Wanted]) -> Result<Vec<Display<'t>>, Failure> {
        wanted.iter().map(|wanted| self.display(table, wanted)).collect()
    }

    fn display<'t>(&'t self, table: &Table, Wanted { column, system }: &Wanted) -> Result<Display<'t>, Failure> {
        let Some(found) = table.column(column) else {
            return Err(Failure::usage(format!(
                "--display {column}: table `{}` has no such column",
                table.name
            )));
        };
        let is_id = matches!(table.columns[found].kind, Kind::Integer | Kind::Key);
        let of: Said<'t> = match (system, &self.athena) {
            (Some(system), _) if self.systems.contains_key(system) => {
                let known = &self.systems[system];
                Box::new(|code| known.get(code).cloned())
            }
            (Some(system), Some(athena)) if !system.contains(':') => {
                let system = system.clone();
                Box::new(move |code| Some(athena.source(&system, code)?.name.to_string()))
            }
            (None, Some(athena)) if is_id => Box::new(|id| Some(athena.concept(id.parse().ok()?)?.name.to_string())),
            (None, None) if is_id => {
                return Err(Failure::usage(format!(
                    "--display {column}: name the folder with OMOP's CONCEPT.csv with --terminology"
                )));
            }
            (None, _) => {
                return Err(Failure::usage(format!(
                    "--display {column}: say of which code system: {column}=SYSTEM"
                )));
            }
            (Some(system), _) => {
                return Err(Failure::usage(format!(
                    "--display {column}={system}: no terminology has this code system; name a FHIR package with its CodeSystem, or for a \
                     `vocabulary_id` the folder with OMOP's CONCEPT.csv, with --terminology"
                )));
            }
        };
        Ok(Display {
            column: column.clone(),
            of,
        })
    }
}

fn add(concepts: Vec<Concept>, known: &mut HashMap<String, String>) {
    for concept in concepts {
        if let Some(display) = concept.display {
            known.insert(concept.code, display);
        }
        add(concept.concept, known);
    }
}
