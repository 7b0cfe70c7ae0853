//! What an OperationOutcome may say through us: its issue codes. Its texts can hold a patient's values and go nowhere.

use serde_json::Value;

use crate::landing::{Kind, Landing, LandingError, Segment};

/// Codes of FHIR R4's IssueType that mean "try again": `transient` and what stands below it.
const TRANSIENT: [&str; 7] = [
    "transient",
    "lock-error",
    "no-store",
    "exception",
    "timeout",
    "incomplete",
    "throttled",
];

/// The issues of an OperationOutcome: severity and code, both made harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Issues(Vec<(Severity, String)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Information,
    Warning,
    Error,
}

impl Issues {
    /// `None` when `body` is no OperationOutcome.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(body).ok()?;
        if document["resourceType"] != "OperationOutcome" {
            return None;
        }
        let issues = document["issue"].as_array().map(Vec::as_slice).unwrap_or_default();
        Some(Self(issues.iter().map(issue).collect()))
    }

    /// ` (code, code)`, or nothing.
    pub(super) fn in_brackets(&self) -> String {
        let mut codes: Vec<&str> = self.0.iter().map(|(_, code)| code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.truncate(5);
        if codes.is_empty() {
            return String::new();
        }
        format!(" ({})", codes.join(", "))
    }

    /// Whether every issue is of a kind that may pass by itself. Without issues nothing is known: then too.
    pub(super) fn are_transient(&self) -> bool {
        self.0.iter().all(|(_, code)| TRANSIENT.contains(&code.as_str()))
    }

    /// The worst severity; an outcome without issues counts as an error.
    pub(super) fn severity(&self) -> Severity {
        self.0.iter().map(|(severity, _)| *severity).max().unwrap_or(Severity::Error)
    }
}

/// What the source itself reported as errors in its outcome files: one sentence with counts and codes, or nothing.
/// Warnings and information are landed too, but make no run partial.
/// # Errors: a segment cannot be read.
pub(super) fn problem(landing: &Landing, segments: &[Segment]) -> Result<Option<String>, LandingError> {
    let mut errors = 0u64;
    let mut all = Issues::default();
    let mut frame = Vec::new();
    for segment in segments.iter().filter(|segment| segment.kind == Kind::Outcome) {
        let mut reader = landing.read(segment)?;
        while reader.next_into(&mut frame)? {
            for line in frame.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
                let issues = Issues::parse(line).unwrap_or_default();
                if issues.severity() == Severity::Error {
                    errors += 1;
                    // A few codes tell enough; a million lines need not be held.
                    if all.0.len() < 100 {
                        all.0.extend(issues.0);
                    }
                }
            }
        }
    }
    let codes = all.in_brackets();
    Ok((errors > 0).then(|| format!("the source reports {errors} errors of its own{codes}: it did not give everything")))
}

fn issue(issue: &Value) -> (Severity, String) {
    let severity = match issue["severity"].as_str() {
        Some("information" | "success") => Severity::Information,
        Some("warning") => Severity::Warning,
        _ => Severity::Error,
    };
    let code = issue["code"].as_str().unwrap_or_default();
    let harmless = (1..=30).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    (severity, if harmless { code.to_owned() } else { "no code".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_come_through_an_outcome() {
        let body = br#"{"resourceType":"OperationOutcome","issue":[
            {"severity":"error","code":"throttled","diagnostics":"hush"},
            {"severity":"warning","code":"Hush Jane Doe"}]}"#;
        let issues = Issues::parse(body).unwrap();
        assert_eq!(issues.in_brackets(), " (no code, throttled)");
        assert_eq!(issues.severity(), Severity::Error);
        assert!(!issues.are_transient());
    }

    #[test]
    fn transient_codes_and_mild_severities_are_known() {
        let parse = |severity: &str, code: &str| {
            let body = format!(r#"{{"resourceType":"OperationOutcome","issue":[{{"severity":"{severity}","code":"{code}"}}]}}"#);
            Issues::parse(body.as_bytes()).unwrap()
        };
        assert!(parse("error", "timeout").are_transient());
        assert!(!parse("error", "not-found").are_transient());
        assert_eq!(parse("information", "informational").severity(), Severity::Information);
        assert_eq!(parse("warning", "x").severity(), Severity::Warning);
        assert_eq!(
            Issues::parse(br#"{"resourceType":"OperationOutcome"}"#).unwrap().severity(),
            Severity::Error
        );
        assert_eq!(Issues::parse(b"<html>"), None);
        assert_eq!(Issues::parse(br#"{"resourceType":"Patient"}"#), None);
    }
}
