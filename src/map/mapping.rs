//! A model's mapping, loaded: views by resource type, the rule of each column, and the ConceptMaps they use.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cdm::{Model, TableId};
use crate::fhir::path::{Canonicals, Place, Reads};
use crate::fhir::types::TypeId;

use super::date::DateForm;
use super::fault::MappingFault;
use super::load;
use super::resolve::{LookupsBuilder, Resolve};
use super::translate::ConceptMap;
use super::unit::UnitRule;
use super::view::View;
use super::vocabulary::Lookup;

/// All views of one model, compiled and checked against its tables.
#[derive(Debug)]
pub struct Mapping {
    pub(super) model: Arc<Model>,
    pub(super) views: Vec<TableView>,
    /// Places in `views`, by resource type.
    pub(super) by_type: HashMap<String, Vec<usize>>,
    pub(super) resolves: Vec<Resolve>,
    /// Code systems' URLs to `vocabulary_id`s; there when a view looks codes up.
    pub(super) systems: Option<Arc<ConceptMap>>,
}

/// One view that fills one table.
#[derive(Debug)]
pub(super) struct TableView {
    pub file: String,
    pub table: TableId,
    pub view: View,
    /// Per column of the table, the view's column that fills it.
    pub filled_by: Vec<Option<usize>>,
    /// Per `View::sources`.
    pub rules: Vec<Rule>,
    /// The view's column whose concepts make the rows.
    pub driver: Option<usize>,
}

/// What is done with the value of one `column`.
#[derive(Debug, Default)]
pub(super) struct Rule {
    pub translation: Option<Translation>,
    pub lookup: Option<Lookup>,
    pub unit: Option<Box<UnitRule>>,
    /// Place in `Mapping::resolves`.
    pub resolve: Option<usize>,
    pub date: Option<DateForm>,
    /// Characters kept of a text.
    pub truncate: Option<usize>,
    pub key: Option<KeyRule>,
}

/// What follows the resource's key.
#[derive(Debug)]
pub(super) struct KeyRule {
    /// The table's columns whose texts do.
    pub columns: Vec<usize>,
    /// The second row of one key is told by `#2`, the third by `#3`, in the order of the resource.
    pub repeats: bool,
}

#[derive(Debug)]
pub(super) struct Translation {
    pub map: Arc<ConceptMap>,
    /// The system of a code that the column's own path gives.
    pub system: Option<String>,
    /// The codes come from `headwater/coding`.
    pub coding: bool,
    pub unmapped: WhenUnmapped,
}

/// What becomes of a code that the map does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum WhenUnmapped {
    #[default]
    Null,
    Refuse,
    /// Keep what the column's own path gave.
    Source,
    Literal(String),
}

/// What a mapping is made of: `(file name, text)` each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'p> {
    pub views: &'p [(String, String)],
    pub concept_maps: &'p [(String, String)],
    /// `units.toml`, if there is one.
    pub units: Option<&'p (String, String)>,
    /// The ValueSets and profiles that expressions may name.
    pub canonicals: Option<&'p Canonicals>,
}

impl Mapping {
    /// The mapping that ViewDefinitions and ConceptMaps alone make.
    /// # Errors: every fault of every file, with line and column.
    pub fn load(model: Arc<Model>, views: &[(String, String)], concept_maps: &[(String, String)]) -> Result<Mapping, Vec<MappingFault>> {
        let parts = Parts {
            views,
            concept_maps,
            ..Parts::default()
        };
        Self::of(model, &parts)
    }

    /// The mapping that the files make.
    /// # Errors: every fault of every file, with line and column.
    pub fn of(model: Arc<Model>, parts: &Parts<'_>) -> Result<Mapping, Vec<MappingFault>> {
        load::load(model, parts)
    }

    /// Some column looks codes up in a vocabulary: mapping without one would give 0 everywhere.
    pub fn needs_vocabulary(&self) -> bool {
        self.views.iter().any(|view| view.rules.iter().any(|rule| rule.lookup.is_some()))
    }

    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Types of resources that some view reads.
    pub fn resource_types(&self) -> Vec<&str> {
        let mut types: Vec<_> = self.by_type.keys().map(String::as_str).collect();
        types.sort_unstable();
        types
    }

    /// Which types of resources fill which table, one pair for each view.
    pub fn feeds(&self) -> impl Iterator<Item = (&str, TableId)> {
        let of_type = self.by_type.iter();
        of_type.flat_map(move |(name, views)| views.iter().map(move |view| (name.as_str(), self.views[*view].table)))
    }

    /// Types of resources that must be fed to `lookups` before the first `map`.
    pub fn lookup_types(&self) -> Vec<&str> {
        let mut types: Vec<_> = self.resolves.iter().map(|resolve| resolve.resource.as_str()).collect();
        types.sort_unstable();
        types.dedup();
        types
    }

    /// Types of resources whose views look something up, and so cannot be mapped before all that is looked up is there.
    pub fn looking_types(&self) -> Vec<&str> {
        let looks_up = |views: &&usize| self.views[**views].rules.iter().any(|rule| rule.resolve.is_some());
        let types = self.by_type.iter().filter(|(_, views)| views.iter().any(|view| looks_up(&view)));
        types.map(|(name, _)| name.as_str()).collect()
    }

    /// The elements that some view, or a lookup behind a reference, reads.
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        for view in &self.views {
            view.view.reads(&mut reads);
        }
        for resolve in &self.resolves {
            let Some(type_id) = TypeId::of(&resolve.resource) else { continue };
            let root = Place {
                path: resolve.resource.clone(),
                type_id,
            };
            for path in std::iter::once(&resolve.path).chain(resolve.by.as_ref().map(|(_, by)| by)) {
                let given = reads.add(path, &root, std::slice::from_ref(&root));
                reads.take_whole(given);
            }
        }
        reads
    }

    /// Begins the pass that gathers what references lead to.
    pub fn lookups(&self) -> LookupsBuilder<'_> {
        LookupsBuilder::new(&self.resolves)
    }

    /// File, view and table of each mapping file, in the order they were given.
    pub fn views(&self) -> impl Iterator<Item = (&str, &View, TableId)> {
        self.views.iter().map(|view| (view.file.as_str(), &view.view, view.table))
    }

    /// Whether some view fills this column of the table.
    pub fn fills(&self, table: TableId, column: &str) -> bool {
        let mut views = self.views.iter().filter(|view| view.table == table);
        views.any(|view| view.view.columns().iter().any(|filled| filled.name == column))
    }
}
