//! OperationOutcome, the resource that says what is wrong with another: only what we say in it. FHIR 4.0.1.

use serde::Serialize;

/// The issues of one resource, at least one.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationOutcome {
    resource_type: &'static str,
    pub issue: Vec<Issue>,
}

impl OperationOutcome {
    pub fn new(issue: Vec<Issue>) -> Self {
        Self {
            resource_type: "OperationOutcome",
            issue,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Issue {
    pub severity: Severity,
    pub code: Code,
    pub details: Details,
    /// Where the resource came from, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<String>,
    /// Element paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expression: Vec<String>,
}

/// Text for a person.
#[derive(Clone, Debug, Serialize)]
pub struct Details {
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
    Information,
}

/// The part of FHIR's issue types that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    Structure,
    Required,
    Value,
    Extension,
    TooLong,
    Informational,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_has_the_names_of_fhir_and_nothing_empty() {
        let issue = Issue {
            severity: Severity::Error,
            code: Code::TooLong,
            details: Details { text: "rule".to_owned() },
            diagnostics: None,
            expression: Vec::new(),
        };
        let line = serde_json::to_string(&OperationOutcome::new(vec![issue])).expect("an outcome is JSON");
        assert_eq!(
            line,
            r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"too-long","details":{"text":"rule"}}]}"#
        );
    }
}
