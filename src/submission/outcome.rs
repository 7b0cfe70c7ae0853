//! What the registry answers besides the receipt: one OperationOutcome per rejected row, and the status manifest.
//! An outcome names the row by table and key, the rule by its schema keyword and the place by its path; never a value.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::RULE_SYSTEM;

const SOURCE_RESOURCE: &str = "http://hl7.org/fhir/StructureDefinition/operationoutcome-sourceResource";
const MANIFEST_TYPE: &str = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkSubmitStatusManifest";

/// One rejected row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    pub table: String,
    pub key: String,
    /// The rule broken: a JSON Schema keyword (`required`, `enum`, …) or one of `key`, `duplicate`, `syntax`.
    pub rule: String,
    /// The column, as a JSON pointer into the row; empty for the row itself.
    pub path: String,
}

impl Outcome {
    /// The OperationOutcome, one line without newline.
    pub fn to_line(&self) -> String {
        json!({
            "resourceType": "OperationOutcome",
            "extension": [{"url": SOURCE_RESOURCE, "valueReference": {"reference": format!("{}/{}", self.table, self.key)}}],
            "issue": [{
                "severity": "error",
                "code": issue_code(&self.rule),
                "details": {
                    "coding": [{"system": RULE_SYSTEM, "code": self.rule}],
                    "text": format!("the row breaks the rule `{}` of table `{}`", self.rule, self.table)
                },
                "expression": [format!("{}{}", self.table, self.path.replace('/', "."))]
            }]
        })
        .to_string()
    }

    /// Reads an outcome line; `None` when it is none.
    pub fn read(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let reference = value.pointer("/extension/0/valueReference/reference")?.as_str()?;
        let (table, key) = reference.split_once('/')?;
        let issue = value.pointer("/issue/0")?;
        let expression = issue.pointer("/expression/0")?.as_str()?;
        Some(Self {
            table: table.to_owned(),
            key: key.to_owned(),
            rule: issue.pointer("/details/coding/0/code")?.as_str()?.to_owned(),
            path: expression.strip_prefix(table)?.replace('.', "/"),
        })
    }
}

/// The FHIR issue type that comes nearest to the rule.
fn issue_code(rule: &str) -> &'static str {
    match rule {
        "required" => "required",
        "syntax" | "type" | "additionalProperties" => "structure",
        "duplicate" => "duplicate",
        "enum" | "const" => "code-invalid",
        _ => "value",
    }
}

/// The answer of a finished submission's status URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusManifest {
    pub submission_id: String,
    pub manifest_type: String,
    pub transaction_time: String,
    pub requires_access_token: bool,
    /// The receipt.
    pub output: Vec<StatusItem>,
    /// The outcomes, one NDJSON file; none when every row was accepted.
    pub outcome: Vec<StatusItem>,
}

/// One file of the status manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusItem {
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    pub url: String,
    pub manifest_url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub count_severity: Vec<CountSeverity>,
}

/// How many issues of one severity a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountSeverity {
    pub code: String,
    pub count: u64,
}

impl StatusManifest {
    /// The status of an applied submission at the registry `base`, with `rejected` outcomes.
    pub fn applied(base: &str, submission: &str, transaction_time: &str, rejected: u64) -> Self {
        let manifest_url = format!("{base}/drop/{submission}/manifest");
        let item = |kind: Option<&str>, name: &str, count_severity| StatusItem {
            kind: kind.map(str::to_owned),
            url: format!("{base}/fhir/submissions/{submission}/{name}"),
            manifest_url: manifest_url.clone(),
            count_severity,
        };
        let errors = CountSeverity {
            code: "error".into(),
            count: rejected,
        };
        Self {
            submission_id: submission.to_owned(),
            manifest_type: MANIFEST_TYPE.to_owned(),
            transaction_time: transaction_time.to_owned(),
            requires_access_token: true,
            output: vec![item(Some("Binary"), "receipt", Vec::new())],
            outcome: if rejected == 0 {
                Vec::new()
            } else {
                vec![item(None, "outcome", vec![errors])]
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_reads_back_as_it_was_written() {
        let check = |key: &str, rule: &str, path: &str| {
            let outcome = Outcome {
                table: "lab_result".into(),
                key: key.into(),
                rule: rule.into(),
                path: path.into(),
            };
            assert_eq!(Outcome::read(&outcome.to_line()), Some(outcome));
        };
        check("k/1", "enum", "/unit");
        check("k.\"2\"", "additionalProperties", "");
        assert_eq!(Outcome::read("{}"), None);
    }

    #[test]
    fn the_status_manifest_names_the_receipt_and_only_outcomes_that_are_there() {
        let none = StatusManifest::applied("http://r", "s", "t", 0);
        assert_eq!(none.output[0].url, "http://r/fhir/submissions/s/receipt");
        assert!(none.outcome.is_empty());
        let some = StatusManifest::applied("http://r", "s", "t", 3);
        assert_eq!(some.outcome[0].count_severity[0].count, 3);
    }
}
