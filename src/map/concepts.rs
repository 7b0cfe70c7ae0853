//! Concept ids that a mapping's own files name (targets of ConceptMaps, constants of views and of `derived.toml`), held against a
//! vocabulary: there, standard and valid, of the domain its column takes, called what the file says. A wrong id in a map is a wrong
//! id in every row, and no row tells.
//! Basis: OMOP CDM 5.4, field list, fkDomain.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use super::fault::MappingFault;
use super::file::{Faults, items, member, read, text};
use super::mapping::{Mapping, WhenUnmapped};
use super::vocabulary::Vocabulary;
use crate::fhir::path::Literal;
use crate::fhir::tree::{Node, Tree};

/// Beginnings of the names of columns, without `_concept_id`, and the domain of what they hold.
const DOMAINS: [(&str, &str); 15] = [
    ("gender", "Gender"),
    ("race", "Race"),
    ("ethnicity", "Ethnicity"),
    ("visit", "Visit"),
    ("visit_detail", "Visit"),
    ("admitted_from", "Visit"),
    ("discharged_to", "Visit"),
    ("condition", "Condition"),
    ("condition_status", "Condition Status"),
    ("drug", "Drug"),
    ("device", "Device"),
    ("procedure", "Procedure"),
    ("measurement", "Measurement"),
    ("unit", "Unit"),
    ("route", "Route"),
];

/// The texts that a model's mapping was made of: `(file name, text)`.
#[derive(Clone, Copy, Debug)]
pub struct Files<'f> {
    pub views: &'f [(String, String)],
    pub concept_maps: &'f [(String, String)],
    /// `derived.toml`; empty where there is none.
    pub derived: &'f str,
}

/// What `vocabulary` says against the concept ids in `files`, by file and line.
pub fn check_concepts(mapping: &Mapping, files: &Files<'_>, vocabulary: &dyn Vocabulary) -> Vec<MappingFault> {
    let mut audit = Audit {
        vocabulary,
        found: Vec::new(),
    };
    let columns = audit.views(mapping, files.views);
    for (file, text) in files.concept_maps {
        audit.concept_map(file, text, &columns);
    }
    audit.derived(files.derived);
    audit.found.sort();
    audit.found.dedup();
    audit.found
}

struct Audit<'v> {
    vocabulary: &'v dyn Vocabulary,
    found: Vec<MappingFault>,
}

impl Audit<'_> {
    /// The constants of the views; gives back, by ConceptMap, the columns that its targets fill.
    fn views(&mut self, mapping: &Mapping, texts: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
        let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for view in &mapping.views {
            let text = texts.iter().find(|(file, _)| *file == view.file).map_or("", |(_, text)| text);
            let mut faults = Faults::new(&view.file, text);
            for (source, rule) in view.view.sources().iter().zip(&view.rules) {
                let column = &view.view.columns()[source.column].name;
                if !column.ends_with("_concept_id") {
                    continue;
                }
                for literal in source.constants() {
                    if let Literal::Integer(id) = literal {
                        self.concept(&mut faults, source.offset, &id.to_string(), None, column);
                    }
                }
                if let Some(tag) = source.tag("headwater/translate") {
                    columns.entry(tag.value.clone()).or_default().insert(column.clone());
                }
                let unmapped = rule.translation.as_ref().map(|translation| &translation.unmapped);
                if let (Some(WhenUnmapped::Literal(id)), Some(tag)) = (unmapped, source.tag("headwater/unmapped")) {
                    self.concept(&mut faults, tag.offset, id, None, column);
                }
            }
            self.found.append(&mut faults.all);
        }
        columns
    }

    fn concept_map(&mut self, file: &str, source: &str, columns: &BTreeMap<String, BTreeSet<String>>) {
        let mut tree = Tree::new();
        let Ok(root) = read(&mut tree, source) else { return };
        let Some(columns) = text(root, "url").and_then(|url| columns.get(&url)) else {
            return;
        };
        let mut faults = Faults::new(file, source);
        for group in items(root, "group") {
            let targets = items(group, "element").flat_map(|element| items(element, "target"));
            let counts = |target: &Node<'_, '_>| !matches!(text(*target, "equivalence").as_deref(), Some("unmatched" | "disjoint"));
            for target in targets.filter(counts).chain(member(group, "unmapped")) {
                let Some(id) = text(target, "code") else { continue };
                let display = text(target, "display");
                for column in columns {
                    self.concept(&mut faults, target.offset(), &id, display.as_deref(), column);
                }
            }
        }
        self.found.append(&mut faults.all);
    }

    fn derived(&mut self, source: &str) {
        let (root, _) = DeTable::parse_recoverable(source);
        let mut faults = Faults::new("derived.toml", source);
        for table in root.get_ref().values() {
            let columns = table.get_ref().as_table().and_then(|table| table.get("columns"));
            for (column, rule) in columns.and_then(|columns| columns.get_ref().as_table()).into_iter().flatten() {
                let constant = rule.get_ref().as_table().and_then(|rule| rule.get("constant"));
                let id = constant.and_then(|constant| Some((constant.span().start, constant.get_ref().as_integer()?)));
                if let (Some((at, id)), true) = (id, column.get_ref().ends_with("_concept_id")) {
                    self.concept(&mut faults, at, id.as_str(), None, column.get_ref());
                }
            }
        }
        self.found.append(&mut faults.all);
    }

    /// One id in one column. 0 stands for no concept and is right everywhere.
    fn concept(&self, faults: &mut Faults<'_>, at: usize, id: &str, display: Option<&str>, column: &str) {
        if id == "0" {
            return;
        }
        let Ok(number) = id.parse() else {
            faults.at(at, format!("`{id}` is no concept id, and `{column}` takes one"));
            return;
        };
        let Some(concept) = self.vocabulary.concept(number) else {
            faults.at(at, format!("concept {id} of `{column}` is not in this vocabulary"));
            return;
        };
        let name = &concept.name;
        let own = column.trim_end_matches("_concept_id");
        if !concept.standard && !own.ends_with("_source") {
            faults.at(
                at,
                format!("concept {id} of `{column}` ({name}) is not standard, or no longer valid"),
            );
        }
        let of_type = own.ends_with("_type").then_some("Type Concept");
        let wanted = of_type.or_else(|| DOMAINS.iter().find(|(begin, _)| *begin == own).map(|(_, domain)| *domain));
        if let Some(wanted) = wanted.filter(|wanted| *wanted != &*concept.domain) {
            let domain = &concept.domain;
            faults.at(
                at,
                format!("concept {id} ({name}) is of the domain {domain}, and `{column}` takes {wanted}"),
            );
        }
        if let Some(display) = display.filter(|display| !display.eq_ignore_ascii_case(name)) {
            faults.at(at, format!("concept {id} is called `{name}` in this vocabulary, not `{display}`"));
        }
    }
}

#[cfg(test)]
mod tests;
