//! Reads the `[consent]` section: who may leave. Without it everybody may.

use std::path::Path;

use super::reader::{Reader, Section};
use crate::gateway::{ConsentSettings, Require};

/// The section, or what holds without it.
pub(super) fn read(reader: &mut Reader, root: &Section<'_>, base: &Path) -> ConsentSettings {
    let Some(section) = reader.optional_section(root, "consent") else {
        return ConsentSettings::default();
    };
    let consent = &section;
    reader.only(
        consent,
        &[
            "require",
            "scopes",
            "categories",
            "codes",
            "purposes",
            "actors",
            "retrospective",
            "exclude",
            "patient_tags",
            "flags",
        ],
    );
    let require = match reader.one_of(consent, "require", &["none", "opt-out", "opt-in"]).as_str() {
        "opt-in" => Require::OptIn,
        "opt-out" => Require::OptOut,
        _ => Require::None,
    };
    let mut list = |key: &str, default: &[&str]| {
        let given = reader.list(consent, key);
        given.unwrap_or_else(|| default.iter().map(|code| (*code).to_owned()).collect())
    };
    let settings = ConsentSettings {
        require,
        scopes: list("scopes", &["research"]),
        categories: list("categories", &[]),
        codes: list("codes", &[]),
        purposes: list("purposes", &["HRESCH"]),
        actors: list("actors", &[]),
        exclude: list("exclude", &[]).iter().map(|path| base.join(path)).collect(),
        patient_tags: list("patient_tags", &[]),
        flags: list("flags", &[]),
        retrospective: reader.switch(consent, "retrospective", false),
    };
    if require == Require::None {
        for key in ["scopes", "categories", "codes", "purposes", "actors", "retrospective"] {
            if consent.table.contains_key(key) {
                reader.fault(
                    consent,
                    key,
                    "is about FHIR Consents, which are not looked at while `require` is \"none\"",
                );
            }
        }
    } else if settings.scopes.is_empty() {
        reader.fault(consent, "scopes", "is empty: then no consent would speak of this network");
    }
    settings
}
