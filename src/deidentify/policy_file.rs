//! Reads the TOML of a policy file and names every fault of it at once, each with its line.
//! Knows the file; what the rules mean is `rule`'s, what is made of them is `policy`'s.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::heading::Heading;
use super::method::{Maps, Method, PARAMETERS};
use super::placement::Plan;
use super::rule::{Basis, Rule};
use crate::cdm::{Model, Table, TableId};

/// One fault of a policy file: where and what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("line {line}: `{place}`: {fault}")]
pub struct PolicyFault {
    /// From 1; for what is missing, the line of its table, or 1.
    pub line: usize,
    /// `table.column`, `table` or `policy.name`.
    pub place: String,
    pub fault: String,
    /// From 1. Last, so that faults of one line sort by their words.
    pub column: usize,
}

/// What a policy file says, as far as it can be read, and every fault it has.
pub(super) struct PolicyFile {
    pub headings: BTreeMap<Basis, Heading>,
    pub tables: Plans,
    /// Per table, why none of its rows leaves.
    pub withheld: Vec<Option<String>>,
    pub faults: Vec<PolicyFault>,
}

impl PolicyFile {
    pub(super) fn has_no_policy(&mut self, name: &str) {
        let known: Vec<_> = self.headings.keys().map(|basis| basis.as_str()).collect();
        self.faults.push(PolicyFault {
            line: 1,
            column: 1,
            place: format!("policy.{name}"),
            fault: format!("is no policy of this file; it has: {}", known.join(", ")),
        });
    }
}

/// Reads a whole file against the model.
pub(super) fn read(text: &str, model: &Model, maps: Maps<'_>) -> PolicyFile {
    let mut reader = Reader {
        text,
        model,
        maps,
        surrogates: BTreeMap::new(),
        faults: Vec::new(),
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.fault(at, "file", format!("is not TOML: {}", error.message()));
    }
    let root = root.into_inner();
    let headings = reader.headings(&root);
    let (tables, withheld) = reader.tables(&root, &headings);
    PolicyFile {
        headings,
        tables,
        withheld,
        faults: reader.faults,
    }
}

/// Faults shown of one file: who mends them sees the others next.
const MAX_FAULTS: usize = 100;

/// Per column, the plan under each policy of the file.
pub(super) type Plans = Vec<Vec<BTreeMap<Basis, Plan>>>;

struct Reader<'r> {
    text: &'r str,
    model: &'r Model,
    maps: Maps<'r>,
    /// How the keys of each table are hidden under each basis, as the first column says.
    surrogates: BTreeMap<(Basis, TableId), Rule>,
    faults: Vec<PolicyFault>,
}

impl Reader<'_> {
    fn fault(&mut self, at: usize, place: &str, fault: impl Into<String>) {
        if self.faults.len() >= MAX_FAULTS {
            return;
        }
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        self.faults.push(PolicyFault {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count(),
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
            self.fault(
                0,
                "policy",
                "is missing: name at least one of safe-harbor, limited-data-set and expert",
            );
            return headings;
        };
        for (name, value) in policies {
            let place = format!("policy.{}", name.get_ref());
            let at = name.span().start;
            let Some(basis) = Basis::of(name.get_ref()) else {
                self.fault(at, &place, "is no policy we know: safe-harbor, limited-data-set, expert");
                continue;
            };
            let Some(entries) = value.get_ref().as_table() else {
                self.fault(at, &place, "is no table");
                continue;
            };
            let (heading, faults) = Heading::read(basis, at, entries);
            for (at, fault) in faults {
                self.fault(at, &place, fault);
            }
            headings.insert(basis, heading);
        }
        headings
    }

    fn tables(&mut self, root: &DeTable<'_>, headings: &BTreeMap<Basis, Heading>) -> (Plans, Vec<Option<String>>) {
        let model = self.model;
        let empty = DeTable::new();
        let written = root.get("table").and_then(|value| value.get_ref().as_table()).unwrap_or(&empty);
        for (name, _) in written {
            if model.find(name.get_ref()).is_none() {
                self.fault(name.span().start, name.get_ref(), "is no table of the model");
            }
        }
        let (mut plans, mut withheld) = (Plans::new(), Vec::new());
        for (_, table) in model.tables() {
            let entry = written.get_key_value(table.name.as_str());
            let columns = entry.and_then(|(_, value)| value.get_ref().as_table());
            let at = entry.map_or(0, |(name, _)| name.span().start);
            if columns.is_none() {
                self.fault(at, &table.name, "has no rules: every column needs one");
            }
            let reason = columns.and_then(|columns| self.withheld(table, at, columns));
            let is_withheld = reason.is_some();
            withheld.push(reason);
            if is_withheld {
                plans.push(Vec::new());
                continue;
            }
            plans.push(self.table(table, at, columns.unwrap_or(&empty), headings, columns.is_some()));
        }
        (plans, withheld)
    }

    /// `withhold = "reason"`: no row of the table leaves, so its columns need no rules.
    fn withheld(&mut self, table: &Table, at: usize, written: &DeTable<'_>) -> Option<String> {
        let (_, reason) = written.get_key_value("withhold")?;
        let text = reason.get_ref().as_str().unwrap_or_default().trim();
        if text.is_empty() {
            self.fault(at, &table.name, "`withhold` needs a reason, as text");
        }
        if written.len() > 1 {
            self.fault(at, &table.name, "is withheld: no row of it leaves, so no column may have a rule");
        }
        Some(text.to_owned())
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
            let (at, word, value) = (key.span().start, key.get_ref().as_ref(), value.get_ref());
            let basis = Basis::of(word);
            let bases: &[Basis] = match (word, &basis) {
                ("reason", _) => {
                    match value.as_str() {
                        Some(text) => reason = text,
                        None => self.fault(at, place, "`reason` is no text"),
                    }
                    continue;
                }
                // What `rule` is told stands beside it.
                (_, _) if PARAMETERS.contains(&word) && entries.contains_key("rule") => continue,
                ("rule", _) => &Basis::ALL,
                (_, Some(basis)) => std::slice::from_ref(basis),
                (_, None) => {
                    self.fault(
                        at,
                        place,
                        format!("`{word}` is not known here: rule, reason or the name of a policy"),
                    );
                    continue;
                }
            };
            let read = match (value.as_str(), value.as_table()) {
                (Some(text), _) if word == "rule" => Method::read(text, entries, self.maps),
                (Some(text), _) => Method::read(text, &DeTable::new(), self.maps),
                (None, Some(own)) if word != "rule" => self.own(own),
                _ => Err(format!("`{word}` is no text")),
            };
            let method = match read {
                Ok(method) => method,
                Err(fault) => {
                    self.fault(at, place, fault);
                    continue;
                }
            };
            for basis in bases {
                if rules.insert(*basis, method.clone()).is_some() {
                    self.fault(at, place, format!("has two rules under {}: `rule` stands alone", basis.as_str()));
                }
            }
        }
        if reason.trim().is_empty() {
            self.fault(span.start, place, "has no reason");
        }
        for basis in headings.keys() {
            let Some(method) = rules.remove(basis) else {
                self.fault(
                    span.start,
                    place,
                    format!("has no rule under {}: nothing leaves without one", basis.as_str()),
                );
                continue;
            };
            if let Some(fault) = method.fault(*basis, self.model, table, index) {
                self.fault(span.start, place, format!("under {}: {fault}", basis.as_str()));
            }
            let plan = Plan::of(method, reason.to_owned(), self.model, table, index);
            self.joins(*basis, &plan, span.start, place);
            plans.insert(*basis, plan);
        }
        plans
    }

    /// `{ rule = "…", … }` of one policy.
    fn own(&self, entries: &DeTable<'_>) -> Result<Method, String> {
        let stray = entries
            .keys()
            .find(|key| key.get_ref() != "rule" && !PARAMETERS.contains(&key.get_ref().as_ref()));
        if let Some(stray) = stray {
            return Err(format!("`{}` is not known here: rule, {}", stray.get_ref(), PARAMETERS.join(", ")));
        }
        let word = entries.get("rule").and_then(|word| word.get_ref().as_str());
        Method::read(word.ok_or("needs `rule`, as text")?, entries, self.maps)
    }

    /// One key is one surrogate wherever it stands, or rows could not be joined.
    fn joins(&mut self, basis: Basis, plan: &Plan, at: usize, place: &str) {
        let Some(table) = plan.key_of else { return };
        let first = *self.surrogates.entry((basis, table)).or_insert(plan.rule);
        if first != plan.rule && !plan.rule.joins(basis, first) {
            let name = &self.model.table(table).name;
            self.fault(
                at,
                place,
                format!(
                    "under {}: keys of `{name}` are hidden by `{}` elsewhere: rows could not be joined",
                    basis.as_str(),
                    first.as_str()
                ),
            );
        }
    }
}
