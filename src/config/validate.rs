//! Reads the `[validate]` section: which FHIR packages resources are held to, and what a fault by a profile means.

use std::path::Path;

use super::reader::{Reader, Section};
use crate::gateway::ValidationSettings;
use crate::validate::Disposition;

/// The section, or what holds without it: the network's own profiles, and nothing else.
pub(super) fn read(reader: &mut Reader, root: &Section<'_>, base: &Path) -> ValidationSettings {
    let Some(section) = reader.optional_section(root, "validate") else {
        return ValidationSettings::default();
    };
    reader.only(&section, &["packages", "every", "profiles", "fhir"]);
    let words = Disposition::WORDS.map(|(word, _)| word);
    let mut profiles = Vec::new();
    if let Some(named) = reader.optional_section(&section, "profiles") {
        for profile in named.table.keys() {
            let word = reader.one_of(&named, profile, &words);
            profiles.extend(Disposition::of(&word).map(|means| (profile.clone(), means)));
        }
    }
    let packages = reader.list(&section, "packages").unwrap_or_default();
    let fhir = reader.optional_one_of(&section, "fhir", &words);
    ValidationSettings {
        packages: packages.iter().map(|path| base.join(path)).collect(),
        every: reader.list(&section, "every").unwrap_or_default(),
        profiles,
        fhir: fhir.and_then(|word| Disposition::of(&word)),
    }
}
