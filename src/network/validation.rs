//! What resources are held to beside a network's own profiles: FHIR packages that a site names, and what a fault by each profile
//! means. The network says it in its `profiles/fhir/validation.toml`, a site in `[validate]`, and a site may be stricter than
//! its network and never laxer.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::definitions::{Definitions, Loaded};
use super::fhir_package::FhirPackage;
use super::package::{File, Package, digest};
use crate::gateway::{Packaged, ValidationSettings};
use crate::validate::{Disposition, Options, Profiles};

/// Where a network says it.
pub(super) const FILE: &str = "validation.toml";

/// `validation.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Said {
    every: Vec<String>,
    fhir: Option<Disposition>,
    profiles: BTreeMap<String, Disposition>,
}

/// What was loaded, and what there is to say of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub definitions: Definitions,
    pub packages: Vec<Packaged>,
    /// Rules of packages that cannot be checked.
    pub unchecked: Vec<String>,
    pub faults: Vec<String>,
    /// All of it that makes another result, for a digest; empty where the network's own profiles are all there is.
    pub texts: Vec<File>,
}

impl Package {
    /// The definitions in `own`, a network's, beside what the site brings. None: no site is asked, and what the network says of
    /// packages waits for one.
    pub(super) fn held(&self, own: Vec<File>, site: Option<&ValidationSettings>) -> Held {
        let mut held = Held::default();
        let said = self.files("profiles/fhir", FILE).unwrap_or_default();
        let folder = self.shown("profiles/fhir");
        let network = match said.first().map(|(_, text)| toml::from_str::<Said>(text)) {
            None => Said::default(),
            Some(Ok(said)) => said,
            Some(Err(error)) => {
                held.faults.push(format!("{folder}/{FILE}: {}", error.message()));
                Said::default()
            }
        };
        let none = ValidationSettings::default();
        let brought = site.unwrap_or(&none);
        let mut packaged = Vec::new();
        for path in &brought.packages {
            match FhirPackage::read(path) {
                Ok(package) => {
                    held.packages.push(Packaged {
                        name: package.shown(),
                        digest: digest(&[&package.files]),
                    });
                    packaged.extend(package.files);
                }
                Err(fault) => held.faults.push(format!("site.toml: validate.packages: {fault}")),
            }
        }
        let options = options(&network, brought);
        let own_names: Vec<Vec<String>> = own.iter().map(names).collect();
        held.faults.extend(laxer(&network, brought, &own_names));
        held.texts = said;
        if *brought != none {
            let packages = held.packages.iter().map(|package| (package.name.clone(), package.digest.clone()));
            held.texts.extend(packages);
            held.texts.push(("site.toml: validate".to_owned(), in_words(brought)));
        }
        let loaded = if brought.packages.is_empty() && brought.fhir.is_none() && network.fhir.is_none() && options.dispositions.is_empty() {
            // Nothing but the network's own, which refuse.
            Definitions::of(own)
        } else {
            let Loaded {
                definitions,
                faults,
                unchecked,
            } = Definitions::with_packages(own, packaged, &options);
            held.unchecked = unchecked;
            // Of a profile that is asked for and not there, more is said below.
            let faults = faults
                .into_iter()
                .filter(|fault| !fault.contains("is asked for, but no such profile"));
            (definitions, faults.collect())
        };
        held.definitions = loaded.0;
        held.faults.extend(loaded.1);
        if site.is_some() {
            // A package that cannot be read is fault enough.
            if held.packages.len() == brought.packages.len() {
                held.faults.extend(unknown(&network, brought, &held.definitions.profiles, &folder));
            }
        }
        held
    }
}

/// Both words as one.
fn options(network: &Said, site: &ValidationSettings) -> Options {
    let mut asked: Vec<String> = network.every.iter().chain(&site.every).cloned().collect();
    asked.sort();
    asked.dedup();
    let of_network = network.profiles.iter().map(|(profile, means)| (profile.clone(), *means));
    Options {
        asked,
        // The last one is the word that holds.
        dispositions: of_network.chain(site.profiles.iter().cloned()).collect(),
        packaged: Disposition::Warn,
        base: network.fhir.max(site.fhir),
        // R4 says itself that these profiles must be used.
        vital_signs: network.fhir.max(site.fhir).is_some(),
        unknown_extensions: None,
    }
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    url: Option<String>,
}

/// How a definition is called: by its file and its url.
fn names((file, text): &File) -> Vec<String> {
    let named: Option<Named> = serde_json::from_str(text).ok();
    [Some(file.clone()), named.and_then(|named| named.url)]
        .into_iter()
        .flatten()
        .collect()
}

fn url(canonical: &str) -> &str {
    canonical.split('|').next().unwrap_or(canonical)
}

/// What the site says, a line each.
fn in_words(site: &ValidationSettings) -> String {
    let every = site.every.iter().map(|profile| format!("every {profile}\n"));
    let profiles = site
        .profiles
        .iter()
        .map(|(profile, means)| format!("{profile} {}\n", means.as_str()));
    let fhir = site.fhir.iter().map(|means| format!("fhir {}\n", means.as_str()));
    every.chain(profiles).chain(fhir).collect()
}

/// Where the site would let through what its network does not. `own`: how each of the network's own definitions is called.
fn laxer(network: &Said, site: &ValidationSettings, own: &[Vec<String>]) -> Vec<String> {
    let word = |profile: &str| {
        let profile = url(profile);
        let called = own.iter().find(|names| names.iter().any(|name| name == profile));
        let is_meant = |named: &str| named == profile || called.is_some_and(|names| names.iter().any(|name| name == named));
        let said = network.profiles.iter().find(|(named, _)| is_meant(url(named)));
        said.map(|(_, means)| *means).or(called.map(|_| Disposition::Refuse))
    };
    let looser = |(profile, means): &(String, Disposition)| {
        let says = word(profile).filter(|says| means < says)?;
        Some(format!(
            "site.toml: validate.profiles.\"{profile}\": is `{}`, and the network says `{}`: a site may be stricter, never laxer",
            means.as_str(),
            says.as_str()
        ))
    };
    let mut faults: Vec<String> = site.profiles.iter().filter_map(looser).collect();
    if let (Some(says), Some(means)) = (network.fhir, site.fhir)
        && means < says
    {
        faults.push(format!(
            "site.toml: validate.fhir: is `{}`, and the network says `{}`: a site may be stricter, never laxer",
            means.as_str(),
            says.as_str()
        ));
    }
    faults
}

/// Profiles that are named and not there.
fn unknown(network: &Said, site: &ValidationSettings, profiles: &Profiles, folder: &str) -> Vec<String> {
    let known: Vec<String> = profiles.by_canonical().into_iter().map(|(url, _)| url).collect();
    let missing = |named: &str| !profiles.knows(named);
    let of_site = |key: &str, named: &str| {
        format!(
            "site.toml: validate.{key}: `{named}`: no profile of the network or of a package named there has this url{}",
            near(named, &known)
        )
    };
    let of_network = |named: &str| {
        format!(
            "{folder}/{FILE}: `{named}`: no FHIR package has this profile; name the one that has it in site.toml, as `packages` under [validate]"
        )
    };
    let every = site
        .every
        .iter()
        .filter(|named| missing(named))
        .map(|named| of_site("every", named));
    // What a fault means is said of Questionnaires, too; every response is held to the one that it names.
    let unheard = |named: &str| missing(named) && !profiles.has_questionnaire(named);
    let means = site.profiles.iter().filter(|(named, _)| unheard(named));
    let means = means.map(|(named, _)| of_site("profiles", named));
    let of_profiles = network.profiles.keys().filter(|named| unheard(named));
    let network = network.every.iter().filter(|named| missing(named)).chain(of_profiles);
    every.chain(means).chain(network.map(|named| of_network(named))).collect()
}

/// What is called like `asked`, as the end of a sentence; empty if nothing is.
pub fn near(asked: &str, known: &[String]) -> String {
    let last = |url: &str| url.rsplit('/').next().unwrap_or(url).to_lowercase();
    let wanted = last(url(asked));
    let words: Vec<&str> = wanted.split('-').filter(|word| word.len() > 2).collect();
    let alike = |known: &&String| words.iter().filter(|word| last(known).contains(**word)).count();
    let mut near: Vec<&String> = known.iter().filter(|known| alike(known) > 0).collect();
    near.sort_by_key(|known| (std::cmp::Reverse(alike(known)), known.len(), (*known).clone()));
    near.truncate(3);
    if near.is_empty() {
        return String::new();
    }
    let near: Vec<String> = near.iter().map(|known| format!("`{known}`")).collect();
    format!("; near it: {}", near.join(", "))
}
