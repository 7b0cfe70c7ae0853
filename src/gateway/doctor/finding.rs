//! What the doctor says: one finding per step, with a name for the program, a sentence for the person, who can mend it, and
//! what to do next. The first finding that fails is the diagnosis. Holds no value of a patient, no token, no address's query.

use std::fmt;

use serde::Serialize;

/// How a step came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Ok,
    /// It works, and a person should know something.
    Warn,
    Fail,
    /// It could not be tried, or need not.
    Skipped,
}

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mender {
    /// Whoever runs this gateway.
    You,
    HospitalNetwork,
    EhrTeam,
    Vendor,
    RegistryOperator,
}

impl fmt::Display for Mender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::You => "you",
            Self::HospitalNetwork => "the hospital's network team",
            Self::EhrTeam => "the EHR's team",
            Self::Vendor => "the EHR's vendor",
            Self::RegistryOperator => "the registry's operator",
        })
    }
}

/// One leaf of the decision tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `step.what`, such as `tls.expired`; it does not change between releases.
    pub id: &'static str,
    pub outcome: Outcome,
    /// What it means, in one plain sentence.
    pub means: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<Mender>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether it may pass by itself.
    pub transient: bool,
}

impl Finding {
    /// All is well.
    pub fn ok(id: &'static str, means: impl Into<String>) -> Self {
        Self {
            id,
            outcome: Outcome::Ok,
            means: means.into(),
            who: None,
            next: None,
            transient: false,
        }
    }

    /// It was not tried.
    pub fn skipped(id: &'static str, why: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Skipped,
            ..Self::ok(id, why)
        }
    }

    /// It works, but.
    pub fn warn(id: &'static str, means: impl Into<String>, who: Mender, next: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Warn,
            who: Some(who),
            next: Some(next.into()),
            ..Self::ok(id, means)
        }
    }

    /// It does not work, and `who` can mend it.
    pub fn fail(id: &'static str, means: impl Into<String>, who: Mender, next: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Fail,
            ..Self::warn(id, means, who, next)
        }
    }

    /// The same, which may pass by itself.
    pub fn for_now(self) -> Self {
        Self { transient: true, ..self }
    }

    /// The step of the tree it belongs to.
    pub fn step(&self) -> &'static str {
        self.id.split('.').next().unwrap_or(self.id)
    }
}

/// What it all comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing fails.
    Fine,
    /// A person must mend something, here or there.
    Mend,
    /// It may pass by itself.
    Later,
}

/// All findings, in the order of the steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// The first finding that fails; if none does, the first a person should know.
    pub fn leaf(&self) -> Option<&Finding> {
        let first = |outcome| self.findings.iter().find(|finding| finding.outcome == outcome);
        first(Outcome::Fail).or_else(|| first(Outcome::Warn))
    }

    /// What a person must mend goes before what may pass.
    pub fn verdict(&self) -> Verdict {
        let fails = || self.findings.iter().filter(|finding| finding.outcome == Outcome::Fail);
        if fails().any(|finding| !finding.transient) {
            Verdict::Mend
        } else if fails().next().is_some() {
            Verdict::Later
        } else {
            Verdict::Fine
        }
    }
}

/// Hears each finding as it is made.
pub type Listener<'a> = &'a (dyn Fn(&Finding) + Send + Sync);

/// Gathers findings on the way.
pub(super) struct Notes<'a> {
    pub(super) diagnosis: Diagnosis,
    listener: Listener<'a>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(listener: Listener<'a>) -> Self {
        Self {
            diagnosis: Diagnosis::default(),
            listener,
        }
    }

    /// Notes a finding; whether the steps that build on it can be tried.
    pub(super) fn note(&mut self, finding: Finding) -> bool {
        (self.listener)(&finding);
        let goes_on = finding.outcome != Outcome::Fail;
        self.diagnosis.findings.push(finding);
        goes_on
    }

    /// Notes that these steps were not tried.
    pub(super) fn skip(&mut self, ids: &[&'static str], why: &str) {
        for id in ids {
            self.note(Finding::skipped(id, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_the_diagnosis_and_what_must_be_mended_goes_before_what_passes() {
        let warn = Finding::warn("scope.wide", "m", Mender::EhrTeam, "n");
        let later = Finding::fail("reads.unavailable", "m", Mender::EhrTeam, "n").for_now();
        let mend = Finding::fail("registry.refused", "m", Mender::You, "n");
        let check = |findings: &[&Finding], leaf: Option<&str>, verdict| {
            let diagnosis = Diagnosis {
                findings: findings.iter().map(|finding| (*finding).clone()).collect(),
            };
            assert_eq!((diagnosis.leaf().map(|leaf| leaf.id), diagnosis.verdict()), (leaf, verdict));
        };
        check(&[], None, Verdict::Fine);
        check(&[&warn], Some("scope.wide"), Verdict::Fine);
        check(&[&warn, &later], Some("reads.unavailable"), Verdict::Later);
        check(&[&warn, &later, &mend], Some("reads.unavailable"), Verdict::Mend);
        assert_eq!(mend.step(), "registry");
    }
}
