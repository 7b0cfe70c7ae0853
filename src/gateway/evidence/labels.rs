//! Which security labels of HL7 say of a release what its rules did to it. The rows themselves have no place for a label, so they
//! stand here and in the manifest. Basis: FHIR R4 security labels, code system v3-ObservationValue (SECALTINTOBV, security alteration integrity).

use serde::{Deserialize, Serialize};

use super::ColumnShown;
use crate::submission::{Coding, LABELS as SYSTEM};

/// A label, and the rules that it speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub system: String,
    pub code: String,
    pub display: String,
    pub rules: Vec<String>,
}

impl Label {
    /// As a manifest tells it.
    pub(in crate::gateway) fn coding(&self) -> Coding {
        Coding {
            system: self.system.clone(),
            code: self.code.clone(),
        }
    }
}

const LABELS: [(&str, &str, &[&str]); 4] = [
    ("PSEUDED", "pseudonymized", &["pseudonym", "surrogate"]),
    ("REDACTED", "redacted", &["drop", "redact"]),
    (
        "ABSTRED",
        "abstracted",
        &[
            "year",
            "month",
            "birth-date",
            "birth-year",
            "age",
            "age-band",
            "zip3",
            "zip5",
            "zip9",
            "state",
            "roll-up",
        ],
    ),
    ("MASKED", "masked", &["shift", "perturb"]),
];

/// The labels that hold for these columns; every release was mapped from its source, too.
pub(super) fn of(columns: &[ColumnShown]) -> Vec<Label> {
    let label = |code: &str, display: &str, rules: Vec<String>| Label {
        system: SYSTEM.to_owned(),
        code: code.to_owned(),
        display: display.to_owned(),
        rules,
    };
    let mut labels = vec![label("MAPPED", "mapped", Vec::new())];
    for (code, display, of) in LABELS {
        let mut rules: Vec<String> = columns
            .iter()
            .map(|column| &column.rule)
            .filter(|rule| of.iter().any(|word| rule.split(' ').next() == Some(word)))
            .cloned()
            .collect();
        rules.sort();
        rules.dedup();
        if !rules.is_empty() {
            labels.push(label(code, display, rules));
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_in_use_choose_the_labels() {
        let column = |rule: &str| ColumnShown {
            table: "t".to_owned(),
            column: "c".to_owned(),
            rule: rule.to_owned(),
            reason: String::new(),
            cells: 0,
            data_absent_reason: None,
        };
        let found: Vec<_> = of(&[column("keep"), column("year"), column("pseudonym"), column("year")])
            .into_iter()
            .map(|label| (label.code, label.rules))
            .collect();
        let rules = |rule: &str| vec![rule.to_owned()];
        assert_eq!(
            found,
            [
                ("MAPPED".to_owned(), vec![]),
                ("PSEUDED".to_owned(), rules("pseudonym")),
                ("ABSTRED".to_owned(), rules("year"))
            ]
        );
    }
}
