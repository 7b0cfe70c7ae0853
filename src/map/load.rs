//! Mapping files to `Mapping`: every column is checked against its table and every tag against what it needs. All faults
//! of all files at once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cdm::{Model, Table};
use crate::fhir::path::{Names, Path, Start};
use crate::fhir::types::TypeId;

use super::fault::MappingFault;
use super::file::Faults;
use super::mapping::{Mapping, Rule, TableView, Translation, WhenUnmapped};
use super::resolve::Resolve;
use super::translate::ConceptMap;
use super::view::{Reading, Source, Tag, View};

/// Tags of ours; any other that begins with `headwater/` is a mistake.
const TAGS: [&str; 9] = [
    "headwater/key",
    "headwater/translate",
    "headwater/coding",
    "headwater/system",
    "headwater/unmapped",
    "headwater/resolve",
    "headwater/reference",
    "headwater/target",
    "headwater/date",
];

pub(super) fn load(model: Arc<Model>, views: &[(String, String)], concept_maps: &[(String, String)]) -> Result<Mapping, Vec<MappingFault>> {
    let mut all = Vec::new();
    let mut maps = HashMap::new();
    for (file, text) in concept_maps {
        match ConceptMap::load(file, text) {
            Ok((url, map)) => {
                if maps.insert(url.clone(), Arc::new(map)).is_some() {
                    Faults::new(file, text).into_one(&mut all, format!("a ConceptMap with the url `{url}` is already there"));
                }
            }
            Err(faults) => all.extend(faults),
        }
    }
    let mut mapping = Mapping {
        model: Arc::clone(&model),
        views: Vec::new(),
        by_type: HashMap::new(),
        resolves: Vec::new(),
    };
    for (file, text) in views {
        let view = match View::compile(text, file, Reading::Mapping) {
            Ok(view) => view,
            Err(faults) => {
                all.extend(faults);
                continue;
            }
        };
        let mut faults = Faults::new(file, text);
        let loaded = Loader {
            faults: &mut faults,
            maps: &maps,
            resolves: &mut mapping.resolves,
        }
        .view(&model, file, view);
        all.extend(faults.all);
        if let Some(view) = loaded {
            let place = mapping.views.len();
            mapping.by_type.entry(view.view.resource().to_owned()).or_default().push(place);
            mapping.views.push(view);
        }
    }
    if all.is_empty() { Ok(mapping) } else { Err(all) }
}

impl Faults<'_> {
    fn into_one(mut self, all: &mut Vec<MappingFault>, message: String) {
        self.at(0, message);
        all.append(&mut self.all);
    }
}

struct Loader<'l, 'f> {
    faults: &'l mut Faults<'f>,
    maps: &'l HashMap<String, Arc<ConceptMap>>,
    resolves: &'l mut Vec<Resolve>,
}

impl Loader<'_, '_> {
    fn view(&mut self, model: &Model, file: &str, view: View) -> Option<TableView> {
        let Some(id) = model.find(view.name()) else {
            self.faults.at(
                0,
                format!("`name` is `{}`, which is no table of the model `{}`", view.name(), model.name),
            );
            return None;
        };
        let table = model.table(id);
        let mut filled_by = vec![None; table.columns.len()];
        for (at, column) in view.columns().iter().enumerate() {
            let offset = view
                .sources()
                .iter()
                .find(|source| source.column == at)
                .map_or(0, |source| source.offset);
            match table.column(&column.name) {
                Some(place) => filled_by[place] = Some(at),
                None => self
                    .faults
                    .at(offset, format!("table `{}` has no column `{}`", table.name, column.name)),
            }
            if column.collection {
                self.faults.at(
                    offset,
                    format!("column `{}` cannot be a collection: a table's cell holds one value", column.name),
                );
            }
        }
        for (column, filled) in table.columns.iter().zip(&filled_by) {
            if column.required && filled.is_none() {
                self.faults.at(
                    0,
                    format!(
                        "column `{}` of table `{}` is required, but the view does not fill it",
                        column.name, table.name
                    ),
                );
            }
        }
        let rules = view.sources().iter().map(|source| self.rule(source, &view, table)).collect();
        Some(TableView {
            file: file.to_owned(),
            table: id,
            filled_by,
            rules,
            view,
        })
    }

    fn rule(&mut self, source: &Source, view: &View, table: &Table) -> Rule {
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
        let date = match source.tag("headwater/date") {
            Some(tag) if tag.value != "date" => {
                self.faults.at(tag.offset, "`headwater/date` must be `date`");
                false
            }
            tag => tag.is_some(),
        };
        Rule {
            translation: self.translation(source),
            resolve: self.resolve(source),
            date,
            key,
        }
    }

    fn key(&mut self, tag: &Tag, table: &Table) -> Vec<usize> {
        let mut columns = Vec::new();
        for name in tag.value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match table.column(name) {
                Some(column) if column != table.key => columns.push(column),
                _ => self.faults.at(
                    tag.offset,
                    format!("`headwater/key` names `{name}`, which is no other column of table `{}`", table.name),
                ),
            }
        }
        columns
    }

    fn translation(&mut self, source: &Source) -> Option<Translation> {
        let Some(tag) = source.tag("headwater/translate") else {
            for name in ["headwater/coding", "headwater/system", "headwater/unmapped"] {
                if let Some(tag) = source.tag(name) {
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
        let unmapped = match source.tag("headwater/unmapped") {
            None => WhenUnmapped::Null,
            Some(tag) => match tag.value.as_str() {
                "null" => WhenUnmapped::Null,
                "refuse" => WhenUnmapped::Refuse,
                "source" => WhenUnmapped::Source,
                _ => {
                    self.faults
                        .at(tag.offset, "`headwater/unmapped` must be `null`, `refuse` or `source`");
                    WhenUnmapped::Null
                }
            },
        };
        Some(Translation {
            map: Arc::clone(map?),
            system,
            coding: source.has_coding(),
            unmapped,
        })
    }

    fn resolve(&mut self, source: &Source) -> Option<usize> {
        let (resolve, reference, target) = (
            source.tag("headwater/resolve"),
            source.tag("headwater/reference"),
            source.tag("headwater/target"),
        );
        let (Some(resolve), Some(_), Some(target)) = (resolve, reference, target) else {
            if let Some(tag) = resolve.or(reference).or(target) {
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
        let same = |known: &Resolve| known.resource == resolve.value && known.target == target.value;
        if let Some(at) = self.resolves.iter().position(same) {
            return Some(at);
        }
        let names = Names {
            constants: &[],
            pure: true,
        };
        let start = Start {
            focus: Some(vec![type_id]),
            resource: Some(vec![type_id]),
            strict: true,
        };
        match Path::compile(&target.value, &names, &start) {
            Ok(path) => self.resolves.push(Resolve {
                resource: resolve.value.clone(),
                target: target.value.clone(),
                path,
            }),
            Err(error) => {
                self.faults.at(
                    target.offset,
                    format!(
                        "`{}` is not usable FHIRPath at line {} column {}: {}",
                        target.value, error.line, error.column, error.message
                    ),
                );
                return None;
            }
        }
        Some(self.resolves.len() - 1)
    }
}
