//! What stands in a package's `profiles/fhir`: the profiles and Questionnaires that resources are held to, and the ValueSets and
//! CodeSystems that they name. One folder, told apart by what each file says it is.

use std::sync::Arc;

use serde::Deserialize;

use super::package::{File, Package};
use crate::fhir::path::Canonicals;
use crate::fhir::value_set::ValueSets;
use crate::validate::{Definition, Options, Profiles};

/// Profiles, and all that expressions may name by canonical.
#[derive(Debug, Default)]
pub struct Definitions {
    pub profiles: Profiles,
    pub canonicals: Canonicals,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "resourceType", default)]
    resource_type: String,
}

/// What was loaded, and what was not.
#[derive(Debug, Default)]
pub struct Loaded {
    pub definitions: Definitions,
    /// What cannot be used of the network's own files, and packages that are none.
    pub faults: Vec<String>,
    /// What of packages is not checked, because it cannot be: nobody here can mend it.
    pub unchecked: Vec<String>,
}

fn is_terminology((_, text): &File) -> bool {
    let kind: Result<Kind, _> = serde_json::from_str(text);
    kind.is_ok_and(|kind| matches!(kind.resource_type.as_str(), "ValueSet" | "CodeSystem"))
}

/// Packages hold more.
fn is_held_to(text: &str) -> bool {
    let kind: Result<Kind, _> = serde_json::from_str(text);
    kind.is_ok_and(|kind| matches!(kind.resource_type.as_str(), "StructureDefinition" | "Questionnaire"))
}

impl Definitions {
    /// A network's own files beside FHIR packages: what of its own cannot be checked is a fault, what of a package's cannot is
    /// said and left.
    pub fn with_packages(own: Vec<File>, packages: Vec<File>, options: &Options) -> Loaded {
        let (own_terms, own): (Vec<File>, Vec<File>) = own.into_iter().partition(is_terminology);
        let (terms, packages): (Vec<File>, Vec<File>) = packages.into_iter().partition(is_terminology);
        let (value_sets, found) = ValueSets::with_packages(&own_terms, terms);
        let mut faults: Vec<String> = found.iter().map(ToString::to_string).collect();
        let value_sets = Arc::new(value_sets);
        let of_packages = packages
            .iter()
            .filter(|(_, text)| is_held_to(text))
            .map(|(file, json)| (file, json, false));
        let all = own.iter().map(|(file, json)| (file, json, true)).chain(of_packages);
        let definitions: Vec<Definition<'_>> = all.map(|(file, json, own)| Definition { file, json, own }).collect();
        let (profiles, found) = Profiles::compile(&definitions, &value_sets, options);
        let (unchecked, hard): (Vec<_>, Vec<_>) = found.into_iter().partition(|fault| fault.unchecked);
        faults.extend(hard.iter().map(ToString::to_string));
        let canonicals = Canonicals {
            value_sets,
            profiles: profiles.by_canonical(),
        };
        Loaded {
            definitions: Self { profiles, canonicals },
            faults,
            unchecked: unchecked.iter().map(ToString::to_string).collect(),
        }
    }

    /// What can be used of `files`, and every fault of the rest.
    pub fn of(files: Vec<File>) -> (Self, Vec<String>) {
        let (terminology, profiles): (Vec<File>, Vec<File>) = files.into_iter().partition(is_terminology);
        let mut faults = Vec::new();
        let value_sets = ValueSets::load(&terminology).unwrap_or_else(|found| {
            faults.extend(found.iter().map(ToString::to_string));
            ValueSets::default()
        });
        let value_sets = Arc::new(value_sets);
        let profiles = Profiles::load_with(&profiles, &value_sets).unwrap_or_else(|found| {
            faults.extend(found.iter().map(ToString::to_string));
            Profiles::default()
        });
        let canonicals = Canonicals {
            value_sets,
            profiles: profiles.by_canonical(),
        };
        (Self { profiles, canonicals }, faults)
    }
}

impl Package {
    /// The package's profiles, ValueSets and CodeSystems.
    /// # Errors: every fault of every file.
    pub fn definitions(&self) -> Result<Definitions, Vec<String>> {
        let files = self.files("profiles/fhir", ".json").map_err(|fault| vec![fault])?;
        match Definitions::of(files) {
            (definitions, faults) if faults.is_empty() => Ok(definitions),
            (_, faults) => Err(faults),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::tree::{Limits, Tree};
    use crate::validate::check_all;

    #[test]
    fn a_profile_s_invariant_names_a_value_set_of_the_same_folder() {
        let set = r#"{"resourceType":"ValueSet","url":"http://x/v","compose":{"include":[{"system":"s","concept":[{"code":"1"}]}]}}"#;
        let profile = r#"{"resourceType":"StructureDefinition","url":"http://x/p","kind":"resource","derivation":"constraint","type":"Observation",
            "differential":{"element":[{"path":"Observation.code","constraint":[{"key":"x-1","severity":"error","expression":"memberOf('http://x/v')"}]}]}}"#;
        let files = vec![("p.json".to_owned(), profile.to_owned()), ("v.json".to_owned(), set.to_owned())];
        let (definitions, faults) = Definitions::of(files);
        assert!(faults.is_empty(), "{faults:?}");
        let mut tree = Tree::new();
        let mut check = |code: &str| {
            let line = format!(
                r#"{{"resourceType":"Observation","id":"o","status":"final","code":{{"coding":[{{"system":"s","code":"{code}"}}]}}}}"#
            );
            let root = tree.parse(line.as_bytes(), &Limits::default()).expect("JSON");
            let fits = definitions.canonicals.profiles[0].1.fits(root);
            let found: Vec<_> = check_all(&definitions.profiles, root)
                .iter()
                .map(|issue| format!("{} {}", issue.refusal.path, issue.refusal.rule))
                .collect();
            (fits, found)
        };
        assert_eq!(check("1"), (true, vec![]));
        assert_eq!(check("2"), (false, vec!["Observation.code invariant x-1".to_owned()]));
        let alone = Definitions::of(vec![("p.json".to_owned(), profile.to_owned())]).1;
        assert!(
            alone[0].contains("p.json") && alone[0].contains("no ValueSet `http://x/v`"),
            "{alone:?}"
        );
    }
}
