//! What a site asks for before a patient's rows may leave: the `[consent]` section, without its file's words.

use std::path::PathBuf;

/// Whether a patient must have said something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Require {
    /// Consents are not looked at.
    #[default]
    None,
    /// Everybody's rows leave but those of who said no.
    OptOut,
    /// Nobody's rows leave but those of who said yes. Nobody having said yes means that nothing leaves.
    OptIn,
}

/// Who may leave. Codes are written `system|code`, or `code` for any system.
#[derive(Clone, Debug, Default)]
pub struct ConsentSettings {
    pub require: Require,
    /// `Consent.scope` of the consents that speak of this network.
    pub scopes: Vec<String>,
    /// `Consent.category`; empty: of any.
    pub categories: Vec<String>,
    /// `provision.code` of the provisions that speak of this network; one without codes always does.
    pub codes: Vec<String>,
    /// `provision.purpose` that is ours; a provision without purposes always speaks of us.
    pub purposes: Vec<String>,
    /// `provision.actor.reference` that is us. A permission for others only is none.
    pub actors: Vec<String>,
    /// Whether a permission also opens what happened before it was given. A consent's own `dataPeriod` beats this.
    pub retrospective: bool,
    /// Files of patients who may not leave: one FHIR id a line.
    pub exclude: Vec<PathBuf>,
    /// Codes of `Patient.meta.security` and `Patient.meta.tag` that keep a patient here.
    pub patient_tags: Vec<String>,
    /// Codes of active Flag resources that keep their patient here.
    pub flags: Vec<String>,
}

impl ConsentSettings {
    /// The types that must be pulled to decide, beyond what the mappings read.
    pub fn types(&self) -> Vec<&'static str> {
        let consents = (self.require != Require::None).then_some("Consent");
        let flags = (!self.flags.is_empty()).then_some("Flag");
        consents.into_iter().chain(flags).collect()
    }
}
