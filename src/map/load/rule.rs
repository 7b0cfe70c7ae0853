//! One `column` of a view to the rule of its cells: key, translation, lookup behind a reference, date, length.

use std::sync::Arc;

use crate::cdm::Table;
use crate::fhir::path::{Names, Path, Start};
use crate::fhir::types::TypeId;

use super::super::date::DateForm;
use super::super::mapping::{KeyRule, Rule, Translation, WhenUnmapped};
use super::super::resolve::Resolve;
use super::super::view::{Source, Tag, View};
use super::Loader;

/// Tags of ours; any other that begins with `headwater/` is a mistake.
const TAGS: [&str; 19] = [
    "headwater/key",
    "headwater/translate",
    "headwater/coding",
    "headwater/system",
    "headwater/unmapped",
    "headwater/resolve",
    "headwater/reference",
    "headwater/target",
    "headwater/by",
    "headwater/date",
    "headwater/truncate",
    "headwater/vocabulary",
    "headwater/prefer",
    "headwater/domain",
    "headwater/rows",
    "headwater/empty",
    "headwater/unit",
    "headwater/quantity",
    "headwater/comparator",
];

/// Stands in `headwater/key` for the number of a row among those of one key.
const REPEAT: &str = "%repeat";

impl Loader<'_, '_> {
    pub(super) fn rule(&mut self, source: &Source, view: &View, table: &Table) -> Rule {
        for tag in &source.tags {
            if tag.name.starts_with("headwater/") && !TAGS.contains(&tag.name.as_str()) {
                self.faults.at(tag.offset, format!("`{}` is no tag known here", tag.name));
            }
        }
        let name = &view.columns()[source.column].name;
        let is_key = table.column(name) == Some(table.key);
        let key = match source.tag("headwater/key") {
            // Two resources must never claim one row: the ledger relies on it.
            Some(tag) if is_key && !source.own_key => {
                self.faults.at(
                    tag.offset,
                    format!("the key column `{name}` needs the path `getResourceKey()`, so that no two resources make one row"),
                );
                None
            }
            Some(tag) if is_key => Some(self.key(tag, table)),
            Some(tag) => {
                self.faults
                    .at(tag.offset, format!("`{name}` is not the key column of table `{}`", table.name));
                None
            }
            None if is_key => {
                self.faults.at(
                    source.offset,
                    format!("`{name}` is the key of table `{}` and needs the tag `headwater/key`", table.name),
                );
                None
            }
            None => None,
        };
        let lookup = self.lookup(source);
        let unit = self.unit(source, view, table.column(name).map(|place| &table.columns[place]));
        Rule {
            translation: if lookup.is_some() { None } else { self.translation(source) },
            lookup,
            unit,
            resolve: self.resolve(source),
            date: self.word(source, "headwater/date", &DateForm::WORDS),
            truncate: self.truncate(source),
            key,
        }
    }

    /// The value of a tag that is one of a few words.
    pub(super) fn word<T: Copy>(&mut self, source: &Source, tag: &str, words: &[(&str, T)]) -> Option<T> {
        let tag = source.tag(tag)?;
        let found = words.iter().find(|(word, _)| *word == tag.value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.faults
                .at(tag.offset, format!("`{}` must be one of {}", tag.name, known.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    fn truncate(&mut self, source: &Source) -> Option<usize> {
        let tag = source.tag("headwater/truncate")?;
        let length = tag.value.parse().ok().filter(|length| *length > 0);
        if length.is_none() {
            self.faults
                .at(tag.offset, "`headwater/truncate` must be a number of characters, from 1");
        }
        length
    }

    fn key(&mut self, tag: &Tag, table: &Table) -> KeyRule {
        let (mut columns, mut repeats) = (Vec::new(), false);
        for name in tag.value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match table.column(name) {
                Some(column) if column != table.key => columns.push(column),
                None if name == REPEAT => repeats = true,
                _ => self.faults.at(
                    tag.offset,
                    format!("`headwater/key` names `{name}`, which is no other column of table `{}`", table.name),
                ),
            }
        }
        KeyRule { columns, repeats }
    }

    fn translation(&mut self, source: &Source) -> Option<Translation> {
        let Some(tag) = source.tag("headwater/translate") else {
            for name in ["headwater/coding", "headwater/system", "headwater/unmapped"] {
                let for_unit = name != "headwater/system" && source.tag("headwater/unit").is_some();
                if let Some(tag) = source.tag(name).filter(|_| !for_unit) {
                    self.faults
                        .at(tag.offset, format!("`{name}` is of no use without `headwater/translate`"));
                }
            }
            return None;
        };
        let map = self.maps.get(&tag.value);
        if map.is_none() {
            self.faults.at(tag.offset, format!("the ConceptMap `{}` is missing", tag.value));
        }
        let system = source.tag("headwater/system").map(|tag| tag.value.clone());
        if !source.has_coding() && system.is_none() && source.tag("headwater/coding").is_none() {
            self.faults.at(
                tag.offset,
                "`headwater/translate` needs `headwater/coding`, or `headwater/system` for the path's own code",
            );
        }
        let unmapped = self.when_unmapped(source);
        Some(Translation {
            map: Arc::clone(map?),
            system,
            coding: source.has_coding(),
            unmapped,
        })
    }

    /// `headwater/unmapped`
    pub(super) fn when_unmapped(&mut self, source: &Source) -> WhenUnmapped {
        let Some(tag) = source.tag("headwater/unmapped") else {
            return WhenUnmapped::Null;
        };
        match tag.value.as_str() {
            "null" => WhenUnmapped::Null,
            "refuse" => WhenUnmapped::Refuse,
            "source" => WhenUnmapped::Source,
            other => match other.strip_prefix('=') {
                Some(literal) => WhenUnmapped::Literal(literal.to_owned()),
                None => {
                    self.faults.at(
                        tag.offset,
                        "`headwater/unmapped` must be `null`, `refuse`, `source` or `=` and a value",
                    );
                    WhenUnmapped::Null
                }
            },
        }
    }

    fn resolve(&mut self, source: &Source) -> Option<usize> {
        let (resolve, reference, target) = (
            source.tag("headwater/resolve"),
            source.tag("headwater/reference"),
            source.tag("headwater/target"),
        );
        let (Some(resolve), Some(_), Some(target)) = (resolve, reference, target) else {
            if let Some(tag) = resolve.or(reference).or(target).or(source.tag("headwater/by")) {
                self.faults.at(
                    tag.offset,
                    "`headwater/resolve`, `headwater/reference` and `headwater/target` belong together; one is missing",
                );
            }
            return None;
        };
        let Some(type_id) = TypeId::of(&resolve.value).filter(|type_id| type_id.is_resource()) else {
            self.faults
                .at(resolve.offset, format!("`{}` is no resource type of FHIR R4", resolve.value));
            return None;
        };
        let by = source.tag("headwater/by");
        let whose = reference.is_some_and(|tag| matches!(tag.value.trim(), "getResourceKey()" | "%resource.getResourceKey()"));
        if let Some(by) = by.filter(|_| !whose) {
            let message =
                "with `headwater/by` a resource that points at this one is looked for, so `headwater/reference` is `getResourceKey()`";
            self.faults.at(by.offset, message);
            return None;
        }
        let same = |known: &Resolve| {
            let known_by = known.by.as_ref().map(|(text, _)| text.as_str());
            known.resource == resolve.value && known.target == target.value && known_by == by.map(|tag| tag.value.as_str())
        };
        if let Some(at) = self.resolves.iter().position(same) {
            return Some(at);
        }
        let names = Names {
            constants: &[],
            pure: true,
            canonicals: self.canonicals,
        };
        let start = Start {
            focus: Some(vec![type_id]),
            resource: Some(vec![type_id]),
            strict: true,
        };
        let mut path = |tag: &Tag| match Path::compile(&tag.value, &names, &start) {
            Ok(path) => Some(path),
            Err(error) => {
                self.faults.at(
                    tag.offset,
                    format!(
                        "`{}` is not usable FHIRPath at line {} column {}: {}",
                        tag.value, error.line, error.column, error.message
                    ),
                );
                None
            }
        };
        let by = match by {
            Some(tag) => Some((tag.value.clone(), path(tag)?)),
            None => None,
        };
        let resolve = Resolve {
            resource: resolve.value.clone(),
            target: target.value.clone(),
            path: path(target)?,
            by,
        };
        self.resolves.push(resolve);
        Some(self.resolves.len() - 1)
    }
}
