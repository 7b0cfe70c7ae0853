//! Reads `deidentification.toml`: one rule and one reason for every column of every table, or it is not loaded.
//! Knows which rules a file names; `rule` knows where each may stand, the face applies them.
//!
//! ```toml
//! [policy.safe-harbor]
//! claims = "45 CFR 164.514(b)(2)"
//! version = "1"
//! [table.lab_result]
//! lab_key       = { rule = "pseudonym", reason = "…" }
//! specimen_date = { safe-harbor = "year", limited-data-set = "shift", reason = "…" }
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::geography::CENSUS;
use super::rule::{Basis, Rule};
use crate::cdm::{Kind, Model, Table, TableId};
use crate::platform::secret::{hex, sha256};

/// The days a date may move at most, where the policy does not say.
const MAX_SHIFT_DAYS: u16 = 182;
/// The most a policy may ask for: ten years.
const LONGEST_SHIFT_DAYS: i64 = 3650;

/// One fault of a policy file: where and what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("line {line}: `{place}`: {fault}")]
pub struct PolicyFault {
    /// From 1; for what is missing, the line of its table, or 1.
    pub line: usize,
    /// `table.column`, `table` or `policy.name`.
    pub place: String,
    pub fault: String,
}

/// What happens to one column.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub rule: Rule,
    pub reason: String,
    /// For a pseudonym: the table whose key the column holds.
    pub key_of: Option<TableId>,
    /// Whether the rule itself does not guarantee that no identifier is in the text.
    pub guarded: bool,
}

/// One policy, whole and checked against the model.
#[derive(Clone, Debug)]
pub struct Policy {
    basis: Basis,
    claims: String,
    version: String,
    max_shift_days: u16,
    tables: Vec<Vec<Plan>>,
    names: Vec<(String, Vec<String>)>,
    digest: [u8; 32],
}

impl Policy {
    /// The policy `name` (`safe-harbor` or `limited-data-set`) of the file's text, for `model`.
    /// # Errors: every fault of the file at once, in the order of lines; those of its other policies too.
    pub fn compile(name: &str, toml: &str, model: &Model) -> Result<Self, Vec<PolicyFault>> {
        let mut reader = Reader {
            text: toml,
            model,
            faults: Vec::new(),
        };
        let (root, errors) = DeTable::parse_recoverable(toml);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            reader.fault(at, "file", format!("is not TOML: {}", error.message()));
        }
        let root = root.into_inner();
        let headings = reader.headings(&root);
        let tables = reader.tables(&root, &headings);
        let wanted = Basis::of(name).and_then(|basis| headings.get(&basis).map(|heading| (basis, heading)));
        if wanted.is_none() {
            let known: Vec<_> = headings.keys().map(|basis| basis.as_str()).collect();
            reader.fault(
                0,
                &format!("policy.{name}"),
                format!("is no policy of this file; it has: {}", known.join(", ")),
            );
        }
        let Reader { mut faults, .. } = reader;
        if let (Some((basis, heading)), true) = (wanted, faults.is_empty()) {
            let tables = tables
                .into_iter()
                .map(|columns| columns.into_iter().filter_map(|mut plans| plans.remove(&basis)).collect());
            let mut policy = Self {
                basis,
                claims: heading.claims.clone(),
                version: heading.version.clone(),
                max_shift_days: heading.max_shift_days,
                tables: tables.collect(),
                names: model
                    .tables()
                    .map(|(_, table)| (table.name.clone(), table.columns.iter().map(|column| column.name.clone()).collect()))
                    .collect(),
                digest: [0; 32],
            };
            policy.digest = sha256(policy.canonical().as_bytes());
            return Ok(policy);
        }
        faults.sort();
        faults.dedup();
        Err(faults)
    }

    /// The same policy with a site's own stricter rules, as `(table.column, rule)`.
    /// # Errors: an unknown place or rule, or a rule that gives away more than the policy's; all at once.
    pub fn tighten(&self, model: &Model, stricter: &[(&str, &str)]) -> Result<Self, Vec<PolicyFault>> {
        let mut policy = self.clone();
        let mut faults = Vec::new();
        for (line, (place, word)) in stricter.iter().enumerate() {
            if let Err(fault) = policy.tighten_one(model, place, word) {
                faults.push(PolicyFault {
                    line: line + 1,
                    place: (*place).to_owned(),
                    fault,
                });
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        policy.digest = sha256(policy.canonical().as_bytes());
        Ok(policy)
    }

    fn tighten_one(&mut self, model: &Model, place: &str, word: &str) -> Result<(), String> {
        let found = place
            .split_once('.')
            .and_then(|(table, column)| model.find(table).and_then(|id| model.table(id).column(column).map(|at| (id, at))));
        let (id, at) = found.ok_or("is no column of the model")?;
        let rule = Rule::of(word).ok_or_else(|| format!("`{word}` is no rule"))?;
        let plan = self
            .tables
            .get_mut(usize::from(id.0))
            .and_then(|columns| columns.get_mut(at))
            .ok_or("is no column of the policy's model")?;
        if !plan.rule.may_become(rule) {
            return Err(format!(
                "`{word}` is not stricter than `{}`: a site may tighten a policy, never loosen it",
                plan.rule.as_str()
            ));
        }
        if let Some(fault) = rule.fault(self.basis, model.table(id), at) {
            return Err(fault);
        }
        let reason = format!("tightened by the site; before: {}", plan.reason);
        *plan = plan_of(rule, reason, model, model.table(id), at);
        Ok(())
    }

    /// `safe-harbor` or `limited-data-set`.
    pub fn name(&self) -> &'static str {
        self.basis.as_str()
    }

    /// The paragraph of law the policy is written for.
    pub fn claims(&self) -> &str {
        &self.claims
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn max_shift_days(&self) -> u16 {
        self.max_shift_days
    }

    /// SHA-256 of the canonical form: basis, version, shift, facts and every rule; not the reasons.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// `digest` as hex, as the manifest carries it.
    pub fn digest_hex(&self) -> String {
        hex(&self.digest)
    }

    /// Every column with its rule and reason, as `(table, column, rule, reason)`, in the model's order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &str, Rule, &str)> {
        self.names.iter().zip(&self.tables).flat_map(|((table, columns), plans)| {
            columns
                .iter()
                .zip(plans)
                .map(|(column, plan)| (table.as_str(), column.as_str(), plan.rule, plan.reason.as_str()))
        })
    }

    /// Every column as `(table index, column index, (table, column), rule)`.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, usize, (&str, &str), Rule)> {
        self.names
            .iter()
            .zip(&self.tables)
            .enumerate()
            .flat_map(|(at, ((table, columns), plans))| {
                columns
                    .iter()
                    .zip(plans)
                    .enumerate()
                    .map(move |(index, (column, plan))| (at, index, (table.as_str(), column.as_str()), plan.rule))
            })
    }

    pub(super) fn digest_bytes(&self) -> &[u8] {
        &self.digest
    }

    pub(super) fn basis(&self) -> Basis {
        self.basis
    }

    pub(super) fn plans(&self, table: TableId) -> &[Plan] {
        self.tables.get(usize::from(table.0)).map_or(&[], Vec::as_slice)
    }

    /// Whether the policy was compiled for this model: same tables, same columns, same order.
    pub(super) fn fits(&self, model: &Model) -> bool {
        model.tables().count() == self.names.len()
            && model
                .tables()
                .zip(&self.names)
                .all(|((_, table), (name, columns))| table.name == *name && table.columns.iter().map(|column| &column.name).eq(columns))
    }

    fn canonical(&self) -> String {
        let mut text = format!(
            "headwater-policy/1\n{}\n{:?}\n{:?}\nmax_shift_days {}\n{CENSUS}\n",
            self.name(),
            self.claims,
            self.version,
            self.max_shift_days
        );
        for (table, column, rule, _) in self.columns() {
            text.push_str(&format!("{table}.{column} {}\n", rule.as_str()));
        }
        text
    }
}

struct Heading {
    claims: String,
    version: String,
    max_shift_days: u16,
}

/// Per column, the plan under each policy of the file.
type Plans = Vec<Vec<BTreeMap<Basis, Plan>>>;

struct Reader<'r> {
    text: &'r str,
    model: &'r Model,
    faults: Vec<PolicyFault>,
}

impl Reader<'_> {
    fn fault(&mut self, at: usize, place: &str, fault: impl Into<String>) {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        self.faults.push(PolicyFault {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            place: place.to_owned(),
            fault: fault.into(),
        });
    }

    /// The file's policies; also complains of everything at the top that is neither `policy` nor `table`.
    fn headings(&mut self, root: &DeTable<'_>) -> BTreeMap<Basis, Heading> {
        for key in root.keys() {
            if !matches!(key.get_ref().as_ref(), "policy" | "table") {
                self.fault(
                    key.span().start,
                    key.get_ref(),
                    "is not known: a policy file has `policy` and `table` only",
                );
            }
        }
        let mut headings = BTreeMap::new();
        let Some(policies) = root.get("policy").and_then(|value| value.get_ref().as_table()) else {
            self.fault(0, "policy", "is missing: name at least one of safe-harbor and limited-data-set");
            return headings;
        };
        for (name, value) in policies {
            let place = format!("policy.{}", name.get_ref());
            let at = name.span().start;
            let Some(basis) = Basis::of(name.get_ref()) else {
                self.fault(at, &place, "is no policy we know: safe-harbor, limited-data-set");
                continue;
            };
            let Some(entries) = value.get_ref().as_table() else {
                self.fault(at, &place, "is no table");
                continue;
            };
            headings.insert(basis, self.heading(&place, at, entries));
        }
        headings
    }

    fn heading(&mut self, place: &str, at: usize, entries: &DeTable<'_>) -> Heading {
        let mut heading = Heading {
            claims: String::new(),
            version: String::new(),
            max_shift_days: MAX_SHIFT_DAYS,
        };
        for (key, value) in entries {
            let at = key.span().start;
            let text = value.get_ref().as_str();
            match (key.get_ref().as_ref(), text) {
                ("claims", Some(text)) => text.clone_into(&mut heading.claims),
                ("version", Some(text)) => text.clone_into(&mut heading.version),
                ("max_shift_days", None) => match days(value.get_ref()) {
                    Some(days) => heading.max_shift_days = days,
                    None => self.fault(
                        at,
                        place,
                        format!("`max_shift_days` is a whole number from 1 to {LONGEST_SHIFT_DAYS}"),
                    ),
                },
                (word, _) => self.fault(at, place, format!("`{word}` is not known here, or is no text")),
            }
        }
        for (word, text) in [("claims", &heading.claims), ("version", &heading.version)] {
            if text.trim().is_empty() {
                self.fault(at, place, format!("needs `{word}`"));
            }
        }
        heading
    }

    fn tables(&mut self, root: &DeTable<'_>, headings: &BTreeMap<Basis, Heading>) -> Plans {
        let model = self.model;
        let empty = DeTable::new();
        let written = root.get("table").and_then(|value| value.get_ref().as_table()).unwrap_or(&empty);
        for (name, _) in written {
            if model.find(name.get_ref()).is_none() {
                self.fault(name.span().start, name.get_ref(), "is no table of the model");
            }
        }
        let mut plans = Plans::new();
        for (_, table) in model.tables() {
            let entry = written.get_key_value(table.name.as_str());
            let columns = entry.and_then(|(_, value)| value.get_ref().as_table());
            let at = entry.map_or(0, |(name, _)| name.span().start);
            if columns.is_none() {
                self.fault(at, &table.name, "has no rules: every column needs one");
            }
            plans.push(self.table(table, at, columns.unwrap_or(&empty), headings, columns.is_some()));
        }
        plans
    }

    fn table(
        &mut self,
        table: &Table,
        at: usize,
        written: &DeTable<'_>,
        headings: &BTreeMap<Basis, Heading>,
        complain: bool,
    ) -> Vec<BTreeMap<Basis, Plan>> {
        for (name, _) in written {
            if table.column(name.get_ref()).is_none() {
                self.fault(
                    name.span().start,
                    &format!("{}.{}", table.name, name.get_ref()),
                    "is no column of the model",
                );
            }
        }
        let mut plans = Vec::with_capacity(table.columns.len());
        for (index, column) in table.columns.iter().enumerate() {
            let place = format!("{}.{}", table.name, column.name);
            match written.get_key_value(column.name.as_str()) {
                Some((name, value)) => plans.push(self.column(table, index, &place, name.span(), value.get_ref(), headings)),
                None => {
                    if complain {
                        self.fault(at, &place, "has no rule: nothing leaves without one");
                    }
                    plans.push(BTreeMap::new());
                }
            }
        }
        plans
    }

    fn column(
        &mut self,
        table: &Table,
        index: usize,
        place: &str,
        span: Range<usize>,
        value: &DeValue<'_>,
        headings: &BTreeMap<Basis, Heading>,
    ) -> BTreeMap<Basis, Plan> {
        let mut plans = BTreeMap::new();
        let Some(entries) = value.as_table() else {
            self.fault(span.start, place, "is no `{ rule = …, reason = … }`");
            return plans;
        };
        let (mut rules, mut reason) = (BTreeMap::new(), "");
        for (key, value) in entries {
            let at = key.span().start;
            let word = key.get_ref().as_ref();
            let Some(text) = value.get_ref().as_str() else {
                self.fault(at, place, format!("`{word}` is no text"));
                continue;
            };
            let bases: &[Basis] = match (word, Basis::of(word)) {
                ("reason", _) => {
                    reason = text;
                    continue;
                }
                ("rule", _) => &Basis::ALL,
                (_, Some(Basis::SafeHarbor)) => &[Basis::SafeHarbor],
                (_, Some(Basis::LimitedDataSet)) => &[Basis::LimitedDataSet],
                (_, None) => {
                    self.fault(
                        at,
                        place,
                        format!("`{word}` is not known here: rule, reason or the name of a policy"),
                    );
                    continue;
                }
            };
            let Some(rule) = Rule::of(text) else {
                self.fault(at, place, format!("`{text}` is no rule"));
                continue;
            };
            for basis in bases {
                if rules.insert(*basis, rule).is_some() {
                    self.fault(at, place, format!("has two rules under {}: `rule` stands alone", basis.as_str()));
                }
            }
        }
        if reason.trim().is_empty() {
            self.fault(span.start, place, "has no reason");
        }
        for basis in headings.keys() {
            let Some(rule) = rules.get(basis) else {
                self.fault(
                    span.start,
                    place,
                    format!("has no rule under {}: nothing leaves without one", basis.as_str()),
                );
                continue;
            };
            if let Some(fault) = rule.fault(*basis, table, index) {
                self.fault(span.start, place, format!("under {}: {fault}", basis.as_str()));
            }
            plans.insert(*basis, plan_of(*rule, reason.to_owned(), self.model, table, index));
        }
        plans
    }
}

fn days(value: &DeValue<'_>) -> Option<u16> {
    let number = value.as_integer().filter(|number| number.radix() == 10)?;
    let days: i64 = number.as_str().parse().ok()?;
    (1..=LONGEST_SHIFT_DAYS).contains(&days).then(|| u16::try_from(days).ok())?
}

fn plan_of(rule: Rule, reason: String, model: &Model, table: &Table, at: usize) -> Plan {
    let column = &table.columns[at];
    let guarded = match rule {
        Rule::Code => column.values.is_none(),
        Rule::Keep => column.kind != Kind::Boolean && column.values.is_none(),
        _ => false,
    };
    // A key that is another table's key as well (one row per patient) stays that table's key: rows must still join.
    let key_table = column.references.as_deref().unwrap_or(&table.name);
    Plan {
        rule,
        reason,
        key_of: (rule == Rule::Pseudonym).then(|| model.find(key_table)).flatten(),
        guarded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let schema = |body: &str| format!(r#"{{"type":"object","additionalProperties":false,{body}}}"#);
        let patient = schema(
            r#""x-key":"patient_key","x-patient":"patient_key","x-order":["patient_key","birth_date","sex"],"required":["patient_key"],
            "properties":{"patient_key":{"type":"string","maxLength":64},"birth_date":{"type":"string","format":"x-partial-date"},
            "sex":{"type":"string","enum":["F","M"]}}"#,
        );
        let lab = schema(
            r#""x-key":"lab_key","x-patient":"patient_key","x-order":["lab_key","patient_key","day","loinc","note","value"],
            "required":["lab_key","patient_key","loinc"],"properties":{"lab_key":{"type":"string","maxLength":64},
            "patient_key":{"type":"string","x-references":"patient"},"day":{"type":"string","format":"x-partial-date"},
            "loinc":{"type":"string","maxLength":10},"note":{"type":"string"},"value":{"type":"number"}}"#,
        );
        let files = [("patient.schema.json".to_owned(), patient), ("lab.schema.json".to_owned(), lab)];
        Model::from_schemas("m", &files).expect("schemas of ours")
    }

    const GOOD: &str = r#"
[policy.safe-harbor]
claims = "45 CFR 164.514(b)(2)"
version = "1"
[policy.limited-data-set]
claims = "45 CFR 164.514(e)"
version = "1"
max_shift_days = 90
[table.patient]
patient_key = { rule = "pseudonym", reason = "r" }
birth_date = { rule = "birth-date", reason = "r" }
sex = { rule = "keep", reason = "r" }
[table.lab]
lab_key = { rule = "pseudonym", reason = "r" }
patient_key = { rule = "pseudonym", reason = "r" }
day = { safe-harbor = "year", limited-data-set = "shift", reason = "r" }
loinc = { rule = "code", reason = "r" }
note = { rule = "drop", reason = "free text" }
value = { rule = "keep", reason = "r" }
"#;

    fn faults(text: &str) -> Vec<String> {
        match Policy::compile("safe-harbor", text, &model()) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        }
    }

    /// The faults of the good file with one line changed.
    fn changed(from: &str, to: &str) -> Vec<String> {
        assert!(GOOD.contains(from), "the test changes something: {from}");
        faults(&GOOD.replace(from, to))
    }

    #[test]
    fn both_policies_of_a_whole_file_compile_and_differ() {
        let compile = |name| Policy::compile(name, GOOD, &model()).expect("a good file");
        let (strict, limited) = (compile("safe-harbor"), compile("limited-data-set"));
        assert_eq!((strict.max_shift_days(), limited.max_shift_days()), (182, 90));
        assert_ne!(strict.digest(), limited.digest());
        let rule = |policy: &Policy, wanted: &str| policy.columns().find(|(_, column, _, _)| *column == wanted).map(|found| found.2);
        assert_eq!(rule(&strict, "day"), Some(Rule::Year));
        assert_eq!(rule(&limited, "day"), Some(Rule::Shift));
        assert_eq!(strict.columns().count(), 9);
    }

    #[test]
    fn a_column_without_rule_or_reason_is_not_loaded() {
        assert_eq!(
            changed(r#"value = { rule = "keep", reason = "r" }"#, ""),
            ["line 13: `lab.value`: has no rule: nothing leaves without one"]
        );
        assert_eq!(
            changed(r#""drop", reason = "free text""#, r#""drop""#),
            ["line 18: `lab.note`: has no reason"]
        );
        assert_eq!(
            changed(r#"reason = "free text""#, r#"reason = "  ""#),
            ["line 18: `lab.note`: has no reason"]
        );
        assert_eq!(
            changed(r#"limited-data-set = "shift", "#, ""),
            ["line 16: `lab.day`: has no rule under limited-data-set: nothing leaves without one"]
        );
    }

    #[test]
    fn what_the_model_does_not_have_is_named() {
        assert_eq!(
            changed("note =", "remark ="),
            [
                "line 13: `lab.note`: has no rule: nothing leaves without one",
                "line 18: `lab.remark`: is no column of the model",
            ]
        );
        assert_eq!(
            changed("[table.patient]", "[table.person]"),
            [
                "line 1: `patient`: has no rules: every column needs one",
                "line 9: `person`: is no table of the model",
            ]
        );
        assert_eq!(
            changed(r#""code""#, r#""codes""#).first().map(String::as_str),
            Some("line 17: `lab.loinc`: `codes` is no rule")
        );
    }

    #[test]
    fn all_faults_come_at_once_in_the_order_of_lines() {
        let text = GOOD
            .replace(r#"version = "1""#, "")
            .replace(r#""birth-date""#, r#""keep""#)
            .replace(r#""free text""#, r#""""#)
            .replace("[table.lab]", "oops = 1\n[table.lab]");
        let lines: Vec<String> = faults(&text).iter().map(|fault| fault.split(':').take(2).collect()).collect();
        assert_eq!(
            lines,
            [
                "line 2 `policy.safe-harbor`",
                "line 5 `policy.limited-data-set`",
                "line 11 `patient.birth_date`",
                "line 11 `patient.birth_date`",
                "line 13 `patient.oops`",
                "line 19 `lab.note`",
            ]
        );
    }

    #[test]
    fn rules_stand_only_where_they_make_sense() {
        let column = r#"note = { rule = "drop", reason = "free text" }"#;
        let with = |rule: &str| changed(column, &format!(r#"note = {{ rule = "{rule}", reason = "r" }}"#)).join("\n");
        assert!(with("keep").contains("would let free text out"));
        assert!(with("code").contains("`maxLength` of at most 64"));
        assert!(with("pseudonym").contains("needs `x-references`"));
        assert!(with("shift").contains("is for date columns") || with("shift").contains("a shifted date is still a full date"));
        assert!(with("age").contains("is for integer or decimal columns, this one is text"));
        assert_eq!(with("state"), "", "text may be a state");
        assert!(with("zip5").contains("never five digits"));
        assert!(
            changed(r#"loinc = { rule = "code""#, r#"loinc = { rule = "drop""#)
                .join("")
                .contains("would refuse every row")
        );
        assert!(
            changed(r#"lab_key = { rule = "pseudonym""#, r#"lab_key = { rule = "code""#)
                .join("")
                .contains("only `pseudonym`")
        );
        assert!(
            changed(r#"safe-harbor = "year""#, r#"safe-harbor = "shift""#)
                .join("")
                .contains("still a full date")
        );
        assert!(
            changed(r#"safe-harbor = "year""#, r#"safe-harbor = "keep""#)
                .join("")
                .contains("never kept whole")
        );
    }

    #[test]
    fn a_policy_name_or_key_or_number_that_is_unknown_is_a_fault() {
        assert!(
            changed("[policy.safe-harbor]", "[policy.best-effort]")
                .join("")
                .contains("is no policy we know")
        );
        assert!(
            changed("max_shift_days = 90", "max_shift_days = 0")
                .join("")
                .contains("from 1 to 3650")
        );
        assert!(
            changed("max_shift_days = 90", "max_shift = 90")
                .join("")
                .contains("`max_shift` is not known here")
        );
        assert!(
            changed(r#"rule = "code""#, r#"rule = "code", safe-harbor = "drop""#)
                .join("")
                .contains("two rules")
        );
        assert!(changed("[policy.safe-harbor]", "[polices]").join("").contains("is not known"));
        assert!(faults("[policy").join("").contains("is not TOML"));
        assert!(!faults("").is_empty(), "an empty file allows nothing");
        let other = Policy::compile("identified", GOOD, &model()).expect_err("refused");
        assert_eq!(other[0].fault, "is no policy of this file; it has: safe-harbor, limited-data-set");
    }

    #[test]
    fn a_required_birth_column_cannot_be_emptied_so_it_is_not_loaded() {
        let schema = r#"{"additionalProperties":false,"x-key":"k","x-patient":"k","x-order":["k","y"],"required":["k","y"],
            "properties":{"k":{"type":"string"},"y":{"type":"integer"}}}"#;
        let model = Model::from_schemas("m", &[("p.schema.json".into(), schema.into())]).expect("a schema");
        let text = r#"
[policy.safe-harbor]
claims = "c"
version = "1"
[table.p]
k = { rule = "pseudonym", reason = "r" }
y = { rule = "birth-year", reason = "r" }"#;
        let faults = Policy::compile("safe-harbor", text, &model).expect_err("refused");
        assert!(faults[0].fault.contains("must be empty for a patient over 89"));
        let limited = text.replace("safe-harbor", "limited-data-set");
        assert!(Policy::compile("limited-data-set", &limited, &model).is_ok());
    }

    #[test]
    fn a_site_tightens_and_the_digest_says_so() {
        let model = model();
        let policy = Policy::compile("limited-data-set", GOOD, &model).expect("good");
        let tight = policy
            .tighten(&model, &[("lab.day", "year"), ("lab.value", "drop")])
            .expect("stricter");
        assert_ne!(tight.digest(), policy.digest());
        assert!(tight.columns().any(|(_, column, rule, _)| column == "day" && rule == Rule::Year));
        assert_eq!(policy.tighten(&model, &[]).expect("the same").digest(), policy.digest());
        let faults = tight
            .tighten(
                &model,
                &[
                    ("lab.day", "shift"),
                    ("lab.nothing", "drop"),
                    ("lab.value", "hide"),
                    ("lab.loinc", "drop"),
                ],
            )
            .expect_err("looser or unknown");
        assert_eq!(faults.len(), 4);
        assert!(faults[0].fault.contains("never loosen"));
    }

    #[test]
    fn reasons_do_not_change_the_digest_and_rules_do() {
        let digest = |text: &str| Policy::compile("safe-harbor", text, &model()).expect("good").digest();
        assert_eq!(digest(GOOD), digest(&GOOD.replace("free text", "a better reason")));
        assert_ne!(
            digest(GOOD),
            digest(&GOOD.replace(r#"value = { rule = "keep""#, r#"value = { rule = "drop""#))
        );
        assert_ne!(digest(GOOD), digest(&GOOD.replacen(r#"version = "1""#, r#"version = "2""#, 1)));
    }
}
