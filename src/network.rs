//! A network package: profiles, models, mappings and policy, loaded, cross-checked, compiled and digested.
//! From a folder laid out like this repository (`profiles/`, `mappings/`), or the one inside the binary.
//! Every fault is reported at once, with its file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use include_dir::{Dir, include_dir};

use crate::cdm::Model;
use crate::deidentify::Policy;
use crate::gateway::Rules;
use crate::map::Mapping;
use crate::platform::secret::{Sha256, hex};
use crate::validate::Profiles;

static PROFILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/profiles");
static MAPPINGS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/mappings");

/// Where a network package is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Package {
    /// The one inside the binary.
    BuiltIn,
    /// A folder with `profiles/` and `mappings/`.
    Folder(PathBuf),
}

/// One file of a package: its name within its folder, its text.
pub type File = (String, String);

/// What is wrong with a package; `faults` has one line each.
#[derive(Debug, thiserror::Error)]
#[error("the network package has {} fault(s):\n{}", faults.len(), faults.join("\n"))]
pub struct NetworkError {
    pub faults: Vec<String>,
}

/// A loaded package of one model, before a policy is chosen.
#[derive(Debug)]
pub struct Network {
    pub model: Arc<Model>,
    pub profiles: Arc<Profiles>,
    pub mapping: Arc<Mapping>,
    pub cases: Vec<File>,
    policy_text: String,
    digests: (String, String),
}

impl Package {
    /// The package in `folder`, or the one inside the binary.
    pub fn at(folder: Option<PathBuf>) -> Self {
        folder.map_or(Package::BuiltIn, Package::Folder)
    }

    /// The models this package has mappings for.
    pub fn models(&self) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Package::BuiltIn => MAPPINGS
                .dirs()
                .filter_map(|dir| Some(dir.path().file_name()?.to_str()?.to_owned()))
                .collect(),
            Package::Folder(folder) => fs::read_dir(folder.join("mappings"))
                .into_iter()
                .flatten()
                .filter_map(|entry| {
                    let entry = entry.ok()?;
                    entry.file_type().ok()?.is_dir().then(|| entry.file_name().into_string().ok())?
                })
                .collect(),
        };
        names.sort();
        names
    }

    /// The files directly in `path`, whose names end with `ending`, by name.
    fn files(&self, path: &str, ending: &str) -> Result<Vec<File>, String> {
        let mut files = Vec::new();
        match self {
            Package::BuiltIn => {
                let (root, rest) = path.split_once('/').unwrap_or((path, ""));
                let root = if root == "profiles" { &PROFILES } else { &MAPPINGS };
                let dir = root
                    .get_dir(rest)
                    .ok_or_else(|| format!("{path}: the built-in package has no such folder"))?;
                for file in dir.files() {
                    if let (Some(name), Some(text)) = (file.path().file_name().and_then(|n| n.to_str()), file.contents_utf8())
                        && name.ends_with(ending)
                    {
                        files.push((name.to_owned(), text.to_owned()));
                    }
                }
            }
            Package::Folder(folder) => {
                let dir = folder.join(path);
                for entry in fs::read_dir(&dir).map_err(|error| format!("{}: cannot be read ({})", dir.display(), error.kind()))? {
                    let entry = entry.map_err(|error| format!("{}: cannot be read ({})", dir.display(), error.kind()))?;
                    let Ok(name) = entry.file_name().into_string() else { continue };
                    if name.ends_with(ending) && entry.path().is_file() {
                        files.push((name.clone(), read(&entry.path())?));
                    }
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// The model's JSON Schemas, as the registry needs them.
    /// # Errors: a folder that cannot be read.
    pub fn schemas(&self, model: &str) -> Result<Vec<File>, String> {
        self.files(&format!("profiles/{model}"), ".schema.json")
    }

    /// Loads and compiles everything of `model`.
    /// # Errors: every fault of every file at once.
    pub fn load(&self, model: &str) -> Result<Network, NetworkError> {
        let known = self.models();
        if !known.iter().any(|name| name == model) {
            return Err(NetworkError {
                faults: vec![format!("no model `{model}`; this package has: {}", known.join(", "))],
            });
        }
        let mut faults = Vec::new();
        let mut take = |files: Result<Vec<File>, String>| {
            files.unwrap_or_else(|fault| {
                faults.push(fault);
                Vec::new()
            })
        };
        let folder = format!("mappings/{model}");
        let profile_files = take(self.files("profiles/fhir", ".json"));
        let schema_files = take(self.schemas(model));
        let all_mappings = take(self.files(&folder, ".json"));
        let concept_maps = take(self.files(&format!("{folder}/concepts"), ".json"));
        let policies = take(self.files(&folder, "deidentification.toml"));
        let (cases, views): (Vec<_>, Vec<_>) = all_mappings.into_iter().partition(|(name, _)| name.ends_with(".cases.json"));
        let profiles = Profiles::load(&profile_files)
            .map_err(|found| faults.extend(found.iter().map(ToString::to_string)))
            .ok();
        let model = Model::from_schemas(model, &schema_files)
            .map_err(|fault| faults.push(fault.to_string()))
            .ok()
            .map(Arc::new);
        let mapping = model.as_ref().and_then(|model| {
            Mapping::load(model.clone(), &views, &concept_maps)
                .map_err(|found| faults.extend(found.iter().map(ToString::to_string)))
                .ok()
        });
        let policy_text = policies.into_iter().next().map(|(_, text)| text);
        if policy_text.is_none() {
            faults.push(format!(
                "{folder}/deidentification.toml: is missing; without a rule for every column nothing may leave"
            ));
        }
        let (Some(profiles), Some(model), Some(mapping), Some(policy_text)) = (profiles, model, mapping, policy_text) else {
            return Err(NetworkError { faults });
        };
        if !faults.is_empty() {
            return Err(NetworkError { faults });
        }
        let digests = (digest(&[&schema_files]), digest(&[&profile_files, &views, &concept_maps]));
        Ok(Network {
            model,
            profiles: Arc::new(profiles),
            mapping: Arc::new(mapping),
            cases,
            policy_text,
            digests,
        })
    }
}

impl Network {
    /// The rules of a run: this package under the policy `name`.
    /// # Errors: a column without a rule, a rule that cannot be; all at once.
    pub fn under(&self, name: &str) -> Result<Rules, NetworkError> {
        let policy = Policy::compile(name, &self.policy_text, &self.model).map_err(|faults| NetworkError {
            faults: faults.iter().map(|fault| format!("deidentification.toml: {fault}")).collect(),
        })?;
        Ok(Rules {
            model: self.model.clone(),
            profiles: self.profiles.clone(),
            mapping: self.mapping.clone(),
            policy,
            model_digest: self.digests.0.clone(),
            mapping_digest: self.digests.1.clone(),
        })
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: cannot be read as UTF-8 text ({})", path.display(), error.kind()))
}

/// SHA-256 over names and texts, in order: the same files give the same digest wherever they were read from.
fn digest(groups: &[&Vec<File>]) -> String {
    let mut sha = Sha256::new();
    for (name, text) in groups.iter().copied().flatten() {
        for part in [name, text] {
            sha.update(&(part.len() as u64).to_le_bytes());
            sha.update(part.as_bytes());
        }
    }
    hex(&sha.finish())
}
