//! Mapping files to `Mapping`: every column is checked against its table and every tag against what it needs. All faults
//! of all files at once. What a column's tags say is read in `rule`, `lookup` and `unit`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cdm::Model;
use crate::fhir::path::Canonicals;

use super::fault::MappingFault;
use super::file::Faults;
use super::mapping::{Mapping, Parts, TableView};
use super::resolve::Resolve;
use super::translate::ConceptMap;
use super::unit::Analytes;
use super::view::View;
use super::vocabulary::Facet;

mod lookup;
mod rule;
mod unit;

/// The ConceptMap that names the OMOP vocabulary of each code system.
const SYSTEMS: &str = "https://headwater.example/fhir/ConceptMap/omop-vocabulary";

pub(super) fn load(model: Arc<Model>, parts: &Parts<'_>) -> Result<Mapping, Vec<MappingFault>> {
    let mut all = Vec::new();
    let mut maps = HashMap::new();
    for (file, text) in parts.concept_maps {
        match ConceptMap::load(file, text) {
            Ok((url, map)) => {
                if maps.insert(url.clone(), Arc::new(map)).is_some() {
                    Faults::new(file, text).into_one(&mut all, format!("a ConceptMap with the url `{url}` is already there"));
                }
            }
            Err(faults) => all.extend(faults),
        }
    }
    let analytes = match parts.units {
        None => Analytes::default(),
        Some((file, text)) => Analytes::load(file, text).unwrap_or_else(|faults| {
            all.extend(faults);
            Analytes::default()
        }),
    };
    let analytes = Arc::new(analytes);
    let mut mapping = Mapping {
        model: Arc::clone(&model),
        views: Vec::new(),
        by_type: HashMap::new(),
        resolves: Vec::new(),
        systems: maps.get(SYSTEMS).cloned(),
    };
    for (file, text) in parts.views {
        let view = match View::of_mapping(text, file, parts.canonicals) {
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
            analytes: &analytes,
            canonicals: parts.canonicals,
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
    lookup::share_counting(&mut mapping);
    share_looks(&mut mapping);
    if all.is_empty() { Ok(mapping) } else { Err(all) }
}

/// Views of one resource type ask their common conditions and look up their common codes once.
fn share_looks(mapping: &mut Mapping) {
    let mut conditions: HashMap<String, Vec<String>> = HashMap::new();
    let mut codes: HashMap<String, Vec<(String, Option<usize>)>> = HashMap::new();
    for TableView { view, rules, .. } in &mut mapping.views {
        view.share_conditions(conditions.entry(view.resource().to_owned()).or_default());
        let known = codes.entry(view.resource().to_owned()).or_default();
        let mut gates = Vec::new();
        for (place, rule) in rules.iter_mut().enumerate() {
            let Some(lookup) = rule.lookup.as_mut().filter(|lookup| lookup.rows.is_some()) else {
                continue;
            };
            gates.push(place);
            let source = &view.sources()[place];
            // In a `forEach` the same path means another element each time.
            let everywhere_the_same = source.within.is_empty() && !lookup.from.contains('%');
            if lookup.facet == Facet::Standard && everywhere_the_same && source.has_coding() && lookup.system.is_none() {
                let own = (lookup.from.clone(), rule.resolve);
                let place = known.iter().position(|other| *other == own);
                lookup.shared = Some(place.unwrap_or_else(|| {
                    known.push(own);
                    known.len() - 1
                }));
            }
        }
        view.set_gates(&gates);
    }
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
    analytes: &'l Arc<Analytes>,
    canonicals: Option<&'l Canonicals>,
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
        let rules: Vec<_> = view.sources().iter().map(|source| self.rule(source, &view, table)).collect();
        let driver = self.driver(&view, &rules);
        Some(TableView {
            file: file.to_owned(),
            table: id,
            filled_by,
            rules,
            driver,
            view,
        })
    }
}
