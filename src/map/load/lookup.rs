//! The tags of a vocabulary lookup: `headwater/vocabulary` and what narrows it.

use std::collections::HashMap;

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
        let from = source
            .tag("headwater/coding")
            .map_or_else(String::new, |tag| tag.value.trim().to_owned());
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

/// Several views may share the codes of one resource type out by domain: a code without any standard concept is then counted
/// once, by the view that takes such codes, or by the first.
pub(super) fn share_counting(mapping: &mut Mapping) {
    let mut counting: HashMap<(String, String), (usize, bool)> = HashMap::new();
    let drivers = |mapping: &Mapping| -> Vec<(usize, usize, (String, String), bool)> {
        let mut all = Vec::new();
        for (at, view) in mapping.views.iter().enumerate() {
            for (place, rule) in view.rules.iter().enumerate() {
                if let Some(lookup) = rule.lookup.as_ref().filter(|lookup| lookup.rows.is_some()) {
                    let codes = (view.view.resource().to_owned(), lookup.from.clone());
                    all.push((at, place, codes, lookup.none));
                }
            }
        }
        all
    };
    for (at, _, codes, none) in drivers(mapping) {
        let best = counting.entry(codes).or_insert((at, none));
        if none && !best.1 {
            *best = (at, none);
        }
    }
    for (at, place, codes, _) in drivers(mapping) {
        let counts = counting.get(&codes).is_some_and(|(best, _)| *best == at);
        if let Some(lookup) = &mut mapping.views[at].rules[place].lookup {
            lookup.counts = counts;
        }
    }
}
