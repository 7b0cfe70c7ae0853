//! What resources are held to besides their network's own profiles, and what a run found of it: profile by profile, in numbers
//! and paths, never a value. Knows no folder and no rule; `validate` counts, `network` loads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::site::Rules;
use crate::validate::{Disposition, FaultReport, Severity, Tally};

/// What is asked of resources, as a network's or a site's file says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidationSettings {
    /// FHIR packages: each a `.tgz` as HL7 publishes it, or such a package unpacked.
    pub packages: Vec<PathBuf>,
    /// Canonicals of profiles that every resource of their type is held to, whether or not it names them.
    pub every: Vec<String>,
    /// What a fault means, by the profile's canonical or file. Without a word a network's own profile refuses and a package's warns.
    pub profiles: Vec<(String, Disposition)>,
    /// What a fault by FHIR's own rules means: codes of required bindings, invariants of types. None: they are not asked.
    pub fhir: Option<Disposition>,
}

/// A FHIR package that resources were held to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packaged {
    /// `hl7.fhir.us.core#6.1.0`
    pub name: String,
    /// SHA-256 over its definitions.
    pub digest: String,
}

/// What a run found, of the resources that it looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validated {
    pub packages: Vec<Packaged>,
    /// Rules of the packages that cannot be checked here: how many, and the first of them with the reason.
    pub unchecked: u64,
    pub unchecked_shown: Vec<String>,
    pub profiles: Vec<ProfileShown>,
    /// The most frequent first.
    pub faults: Vec<FaultShown>,
    /// Faults of other kinds than those.
    pub more: u64,
}

/// What was found of one profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileShown {
    /// Its canonical, or its file.
    pub profile: String,
    /// Resources that were held to it.
    pub resources: u64,
    /// Faults, by what they mean.
    pub refused: u64,
    pub warned: u64,
    pub counted: u64,
    /// The elements that must be supported.
    pub must_support: Vec<ElementShown>,
}

/// How often an element that must be supported is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElementShown {
    pub path: String,
    /// Resources that have it.
    pub present: u64,
}

/// One kind of fault that refused nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultShown {
    /// None: a rule of FHIR's own.
    pub profile: Option<String>,
    /// `warn` or `count`.
    pub means: String,
    pub path: String,
    pub rule: String,
    pub count: u64,
}

/// Faults and rules that are shown one by one.
const SHOWN: usize = 200;

impl Validated {
    /// What `tally` says under these rules.
    pub(super) fn of(rules: &Rules, tally: &Tally) -> Self {
        let report = rules.profiles.report(tally);
        let of = |profile: &str, severity| {
            let meant = |fault: &&FaultReport| fault.severity == severity && fault.profile.as_deref() == Some(profile);
            report.faults.iter().filter(meant).map(|fault| fault.count).sum()
        };
        let profiles = report.profiles.iter().map(|seen| ProfileShown {
            profile: seen.profile.clone(),
            resources: seen.resources,
            refused: of(&seen.profile, Severity::Error),
            warned: of(&seen.profile, Severity::Warning),
            counted: of(&seen.profile, Severity::Counted),
            must_support: seen
                .must_support
                .iter()
                .map(|(path, present)| ElementShown {
                    path: path.clone(),
                    present: *present,
                })
                .collect(),
        });
        let word = |severity| match severity {
            Severity::Error => None,
            Severity::Warning => Some(Disposition::Warn.as_str()),
            Severity::Counted => Some(Disposition::Count.as_str()),
        };
        let mut faults: Vec<FaultShown> = report
            .faults
            .iter()
            .filter_map(|fault| {
                Some(FaultShown {
                    profile: fault.profile.clone(),
                    means: word(fault.severity)?.to_owned(),
                    path: fault.path.clone(),
                    rule: fault.rule.clone(),
                    count: fault.count,
                })
            })
            .collect();
        faults.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.path, &a.rule).cmp(&(&b.path, &b.rule))));
        let beyond = faults.split_off(faults.len().min(SHOWN));
        Self {
            packages: rules.packages.clone(),
            unchecked: rules.unchecked.len() as u64,
            unchecked_shown: rules.unchecked.iter().take(SHOWN).cloned().collect(),
            profiles: profiles.collect(),
            faults,
            more: report.more + beyond.iter().map(|fault| fault.count).sum::<u64>(),
        }
    }

    /// Faults that somebody should look at: path, rule and profile, and how often.
    pub(super) fn warned(&self) -> BTreeMap<String, u64> {
        let warnings = self.faults.iter().filter(|fault| fault.means == Disposition::Warn.as_str());
        let named = |fault: &FaultShown| {
            let profile = fault.profile.as_deref().unwrap_or("FHIR R4");
            (format!("{}: {}, by {profile}", fault.path, fault.rule), fault.count)
        };
        warnings.map(named).collect()
    }
}
