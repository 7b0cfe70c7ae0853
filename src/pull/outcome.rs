//! What an OperationOutcome may say through us: its issue codes. Its texts can hold a patient's values and go nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::fhir::types::TypeId;
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

/// The issues of an OperationOutcome: severity and code, both made harmless; and which resource types its texts name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Issues(Vec<(Severity, String)>, BTreeSet<&'static str>);

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
        Some(Self(issues.iter().map(issue).collect(), issues.iter().flat_map(types_in).collect()))
    }

    /// The only one of `asked` that is named anywhere. Of two nobody knows which one is meant: servers list what they know, too.
    pub(super) fn names_one_of(&self, asked: &[String]) -> Option<String> {
        let mut named = asked.iter().filter(|name| self.1.contains(name.as_str()));
        let first = named.next()?;
        named.next().is_none().then(|| first.clone())
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

    /// Whether an issue has this code.
    pub(super) fn name(&self, code: &str) -> bool {
        self.0.iter().any(|(_, named)| named == code)
    }

    /// Whether this, beside an accepted request, tells of something that was not understood.
    pub(super) fn tells_of_ignored(&self) -> bool {
        !self.0.is_empty() && (self.severity() >= Severity::Warning || self.name("not-supported"))
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

/// The only type of `asked` that the refusal `body` names. Nothing else of it comes through.
pub fn type_named(body: &[u8], asked: &[String]) -> Option<String> {
    Issues::parse(body)?.names_one_of(asked)
}

/// What the source itself reported in its outcome files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reported {
    /// One sentence on its errors, with counts and codes.
    pub(super) errors: Option<String>,
    /// The types the errors name, when each names one; `None` when any type may be touched.
    pub(super) types: Option<BTreeSet<String>>,
    /// One sentence on its warnings. They are landed, too, but make no run partial.
    pub(super) warnings: Option<String>,
}

/// Reads every outcome file of the run.
/// # Errors: a segment cannot be read.
pub(super) fn reported(landing: &Landing, segments: &[Segment]) -> Result<Reported, LandingError> {
    let mut tally = Tally {
        types: Some(BTreeSet::new()),
        ..Tally::default()
    };
    let mut frame = Vec::new();
    for segment in segments.iter().filter(|segment| segment.kind == Kind::Outcome) {
        let mut reader = landing.read(segment)?;
        while reader.next_into(&mut frame)? {
            for line in frame.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
                tally.add(line);
            }
        }
    }
    let Tally { errors, warnings, types } = tally;
    Ok(Reported {
        errors: (errors.lines > 0).then(|| {
            format!(
                "the source reports {} errors of its own{errors}: it did not give everything",
                errors.lines
            )
        }),
        types,
        warnings: (warnings.lines > 0).then(|| format!("the source gives {} warnings about its export{warnings}", warnings.lines)),
    })
}

/// What the lines of outcome files say, so far.
#[derive(Default)]
struct Tally {
    errors: Codes,
    warnings: Codes,
    types: Option<BTreeSet<String>>,
}

impl Tally {
    fn add(&mut self, line: &[u8]) {
        let issues = Issues::parse(line).unwrap_or_default();
        match issues.severity() {
            Severity::Error => {
                self.errors.add(&issues);
                let named = type_of(line);
                self.types = self.types.take().zip(named).map(|(mut types, named)| {
                    types.insert(named);
                    types
                });
            }
            Severity::Warning => self.warnings.add(&issues),
            Severity::Information if issues.name("not-supported") => self.warnings.add(&issues),
            Severity::Information => {}
        }
    }
}

/// How many lines, and how many of them name each code.
#[derive(Default)]
struct Codes {
    lines: u64,
    codes: BTreeMap<String, u64>,
}

impl Codes {
    fn add(&mut self, issues: &Issues) {
        self.lines += 1;
        let mut codes: Vec<&String> = issues.0.iter().map(|(_, code)| code).collect();
        codes.sort_unstable();
        codes.dedup();
        for code in codes {
            // A few codes tell enough; a million need not be held.
            if self.codes.len() < 100 || self.codes.contains_key(code) {
                *self.codes.entry(code.clone()).or_default() += 1;
            }
        }
    }
}

impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut codes: Vec<_> = self.codes.iter().collect();
        codes.sort_by_key(|(code, count)| (std::cmp::Reverse(**count), *code));
        let shown: Vec<String> = codes.iter().take(5).map(|(code, count)| format!("{count} {code}")).collect();
        if shown.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", shown.join(", "))
    }
}

/// The one resource type all issues of an OperationOutcome name in `expression` (R4; `location` before), as in
/// `Observation.code`: then only that type lacks something.
fn type_of(line: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(line).ok()?;
    let mut named = document["issue"].as_array()?.iter().map(|issue| {
        let path = issue["expression"][0].as_str().or(issue["location"][0].as_str())?;
        let name = path.split(['.', '/', '[']).next()?;
        TypeId::of(name).filter(|found| found.is_resource()).map(TypeId::as_str)
    });
    let first = named.next()??;
    named.all(|other| other == Some(first)).then(|| first.to_owned())
}

/// The resource types that an issue names by a word of their own: in its place, its words or its diagnostics.
fn types_in(issue: &Value) -> impl Iterator<Item = &'static str> {
    let places = ["expression", "location"]
        .into_iter()
        .filter_map(|member| issue[member].as_array())
        .flatten();
    let texts = places
        .chain([&issue["details"]["text"], &issue["diagnostics"]])
        .filter_map(Value::as_str);
    let words = texts.flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric()));
    words.filter_map(|word| TypeId::of(word).filter(|found| found.is_resource()).map(TypeId::as_str))
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
    fn an_error_is_tied_to_a_type_only_when_every_issue_names_it() {
        let check = |issues: &str, expected: Option<&str>| {
            let line = format!(r#"{{"resourceType":"OperationOutcome","issue":[{issues}]}}"#);
            assert_eq!(type_of(line.as_bytes()).as_deref(), expected, "{issues}");
        };
        check(r#"{"expression":["Observation.code"]}"#, Some("Observation"));
        check(
            r#"{"location":["Observation/x"]},{"expression":["Observation"]}"#,
            Some("Observation"),
        );
        check(r#"{"expression":["Observation.code"]},{"expression":["Patient"]}"#, None);
        check(r#"{"expression":["Observation.code"]},{"code":"processing"}"#, None);
        check(r#"{"expression":["Jane Doe"]}"#, None);
        check(r#"{"expression":["Period.start"]}"#, None);
        check("", None);
    }

    #[test]
    fn a_refusal_names_a_type_when_it_names_one_of_those_asked_for_and_no_other() {
        let asked = ["Condition", "Coverage", "Patient"].map(str::to_owned);
        let check = |issues: &str, expected: Option<&str>| {
            let body = format!(r#"{{"resourceType":"OperationOutcome","issue":[{issues}]}}"#);
            let issues = Issues::parse(body.as_bytes()).unwrap();
            assert_eq!(issues.names_one_of(&asked).as_deref(), expected, "{body}");
            assert!(!format!("{issues:?}").contains("Hushson"), "{issues:?}");
        };
        check(r#"{"diagnostics":"Unknown type 'Coverage' for Hushson"}"#, Some("Coverage"));
        check(
            r#"{"details":{"text":"_type: Coverage is not supported. Coverage!"}}"#,
            Some("Coverage"),
        );
        check(r#"{"expression":["Coverage"]},{"diagnostics":"see Device"}"#, Some("Coverage"));
        check(r#"{"diagnostics":"Coverage is none of: Condition, Patient"}"#, None);
        check(r#"{"diagnostics":"Device is not supported"}"#, None);
        check(r#"{"diagnostics":"CoverageHushson, Coverages"}"#, None);
        check("", None);
        assert_eq!(
            type_named(
                br#"{"resourceType":"OperationOutcome","issue":[{"diagnostics":"no Coverage"}]}"#,
                &asked
            )
            .as_deref(),
            Some("Coverage")
        );
        assert_eq!(type_named(b"Coverage", &asked), None);
    }

    #[test]
    fn codes_are_told_with_their_counts_the_most_frequent_first() {
        let mut tally = Tally::default();
        for code in ["timeout", "not-found", "not-found"] {
            let line = format!(r#"{{"resourceType":"OperationOutcome","issue":[{{"severity":"error","code":"{code}"}}]}}"#);
            tally.add(line.as_bytes());
        }
        assert_eq!(tally.errors.to_string(), " (2 not-found, 1 timeout)");
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
