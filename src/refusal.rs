//! The data's fault: which step refused a resource, at which path, by which rule. Never a value of the patient.
//! A refusal is counted, shown to the site and kept in its quarantine; it never travels to the registry.

use std::borrow::Cow;
use std::fmt;

/// The step that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The line is no JSON, or breaks a limit.
    Read,
    Validate,
    Map,
    Deidentify,
}

impl Step {
    pub const fn as_str(self) -> &'static str {
        match self {
            Step::Read => "read",
            Step::Validate => "validate",
            Step::Map => "map",
            Step::Deidentify => "deidentify",
        }
    }
}

/// Why one resource is not used: path and rule, never a value.
///
/// `path` is an element path (`Observation.component[1].valueQuantity`) or, after mapping, `table.column`.
/// `rule` is a short stable word or sentence of ours (`unknown element`, `required`, `type decimal`, an invariant's key).
/// `source` names the profile or mapping file whose rule it is, when there is one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    pub step: Step,
    pub path: String,
    pub rule: Cow<'static, str>,
    pub source: Option<Cow<'static, str>>,
}

impl Refusal {
    pub fn new(step: Step, path: impl Into<String>, rule: impl Into<Cow<'static, str>>) -> Self {
        Self {
            step,
            path: path.into(),
            rule: rule.into(),
            source: None,
        }
    }

    /// The same refusal, naming the profile or mapping file that holds the rule.
    #[must_use]
    pub fn by(mut self, source: impl Into<Cow<'static, str>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} at `{}`", self.step.as_str(), self.rule, self.path)?;
        if let Some(source) = &self.source {
            write!(f, " (by {source})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}
