//! The tags of a vocabulary lookup: `headwater/vocabulary` and what narrows it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::super::mapping::{Mapping, Rule};
use super::super::view::{Source, View};
use super::super::vocabulary::{Facet, Lookup, RowsOf};
use super::{Loader, SYSTEMS};

impl Loader<'_, '_> {
    pub(super) fn lookup(&mut self, source: &Source) -> Option<Lookup> {
        let Some(tag) = source.tag("headwater/vocabulary") else {
            for name in ["headwater/prefer", "headwater/domain", "headwater/rows", "headwater/empty"] {
                if let Some(tag) = source.tag(name) {
                    self.faults
                        .at(tag.offset, format!("`{name}` is of no use without `headwater/vocabulary`"));
                }
            }
            return None;
        };
        if let Some(both) = source.tag("headwater/translate") {
            self.faults.at(
                both.offset,
                "a column is translated by a ConceptMap or looked up in a vocabulary, not both",
            );
        }
        if !self.maps.contains_key(SYSTEMS) {
            self.faults.at(
                tag.offset,
                format!("`headwater/vocabulary` needs the ConceptMap `{SYSTEMS}`, which names the vocabulary of each code system"),
            );
        }
        let facet = self.word(source, "headwater/vocabulary", &Facet::WORDS)?;
        let system = source.tag("headwater/system").map(|tag| tag.value.clone());
        if !source.has_coding() && system.is_none() && source.tag("headwater/coding").is_none() {
            self.faults.at(
                tag.offset,
                "`headwater/vocabulary` needs `headwater/coding`, or `headwater/system` for the path's own code",
            );
        }
        let rows = self.word(source, "headwater/rows", &[("each", RowsOf::Each), ("first", RowsOf::First)]);
        if let Some(tag) = source.tag("headwater/rows").filter(|_| facet != Facet::Standard) {
            self.faults
                .at(tag.offset, "`headwater/rows` belongs to the column of the `standard` concept");
        }
        let empty = self.word(source, "headwater/empty", &[("null", false), ("null-unmapped", true)]);
        let list = |name: &str| -> Vec<String> {
            let tag = source.tag(name).map_or("", |tag| tag.value.as_str());
            tag.split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let (mut domains, prefer) = (list("headwater/domain"), list("headwater/prefer"));
        let none = domains.iter().any(|domain| domain == "none");
        domains.retain(|domain| domain != "none");
        if domains.is_empty() && none {
            self.faults.at(
                tag.offset,
                "`headwater/domain` names `none` alone: name the domains whose rows this view takes, too",
            );
        }
        let from = source.tag("headwater/coding").map_or("", |tag| tag.value.trim());
        // What begins at the resource is the same everywhere; the rest hangs on the `forEach` it stands in.
        let within = if from.starts_with('%') { "" } else { source.within.as_str() };
        let from = format!("{within}{from}");
        Some(Lookup {
            facet,
            from,
            system,
            prefer: prefer.into_iter().map(|word| (word != "*").then_some(word)).collect(),
            domains,
            none,
            rows,
            null_when_empty: empty.is_some(),
            null_when_unmapped: empty == Some(true),
            counts: facet == Facet::Standard,
            taken: Arc::default(),
            shared: None,
        })
    }

    /// The column of the view whose concepts make its rows.
    pub(super) fn driver(&mut self, view: &View, rules: &[Rule]) -> Option<usize> {
        let mut driver = None;
        for (source, rule) in view.sources().iter().zip(rules) {
            if rule.lookup.as_ref().is_none_or(|lookup| lookup.rows.is_none()) {
                continue;
            }
            match driver {
                Some(column) if column != source.column => {
                    let offset = source.tag("headwater/rows").map_or(source.offset, |tag| tag.offset);
                    self.faults.at(offset, "only one column of a view can make its rows");
                }
                _ => driver = Some(source.column),
            }
        }
        driver
    }
}

/// What several views of one resource type that look up the same codes have in common.
struct Shared {
    /// The view that counts.
    view: usize,
    rank: (bool, usize, usize),
    /// Domains that one of them takes; `None`: all.
    domains: Option<BTreeSet<String>>,
}

/// Several views may share the codes of one resource type out by domain: a code without any standard concept, or with one whose
/// domain none of them takes, is counted once. By the view that takes codes without a concept, else by the one of most
/// domains, else of most columns, else by the first.
pub(super) fn share_counting(mapping: &mut Mapping) {
    let mut shared: HashMap<(String, String), Shared> = HashMap::new();
    for (at, view) in mapping.views.iter().enumerate() {
        for lookup in drivers(&view.rules) {
            let domains = lookup.domains.len();
            let rank = (
                lookup.none,
                if domains == 0 { usize::MAX } else { domains },
                view.view.columns().len(),
            );
            let own = Shared {
                view: at,
                rank,
                domains: (domains > 0).then(|| lookup.domains.iter().cloned().collect()),
            };
            match shared.get_mut(&(view.view.resource().to_owned(), lookup.from.clone())) {
                Some(known) => known.join(own),
                None => {
                    shared.insert((view.view.resource().to_owned(), lookup.from.clone()), own);
                }
            }
        }
    }
    let taken = |shared: &Shared| shared.domains.iter().flatten().cloned().collect::<Arc<[String]>>();
    let shared: HashMap<_, _> = shared
        .into_iter()
        .map(|(codes, shared)| (codes, (shared.view, taken(&shared))))
        .collect();
    for (at, view) in mapping.views.iter_mut().enumerate() {
        let resource = view.view.resource().to_owned();
        for lookup in view.rules.iter_mut().filter_map(|rule| rule.lookup.as_mut()) {
            let codes = (resource.clone(), lookup.from.clone());
            let Some((counting, taken)) = shared.get(&codes).filter(|_| lookup.rows.is_some()) else {
                continue;
            };
            lookup.counts = *counting == at;
            lookup.taken = Arc::clone(taken);
        }
    }
}

/// The lookups that make rows.
fn drivers(rules: &[Rule]) -> impl Iterator<Item = &Lookup> {
    let lookups = rules.iter().filter_map(|rule| rule.lookup.as_ref());
    lookups.filter(|lookup| lookup.rows.is_some())
}

impl Shared {
    fn join(&mut self, other: Shared) {
        if other.rank > self.rank {
            (self.view, self.rank) = (other.view, other.rank);
        }
        self.domains = match (self.domains.take(), other.domains) {
            (Some(mut all), Some(more)) => {
                all.extend(more);
                Some(all)
            }
            _ => None,
        };
    }
}
