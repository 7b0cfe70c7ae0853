//! Which concept a column takes: codes in order of preference, standard concepts of the domains that count, one row for each
//! where the view asks for that. Knows no table.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Concept, Resolved};

/// What a column says of the code that was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::map) enum Facet {
    /// The standard concept's id; 0 when there is none.
    Standard,
    /// The source concept's id; 0 when there is none.
    Source,
    Code,
    /// The coding's display, else its code.
    Display,
    /// The standard concept's name.
    Name,
    Domain,
    /// The `vocabulary_id` of the source code.
    Vocabulary,
}

impl Facet {
    pub(in crate::map) const WORDS: [(&'static str, Facet); 7] = [
        ("standard", Facet::Standard),
        ("source", Facet::Source),
        ("code", Facet::Code),
        ("display", Facet::Display),
        ("name", Facet::Name),
        ("domain", Facet::Domain),
        ("vocabulary", Facet::Vocabulary),
    ];
}

/// How many rows a column's concepts make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::map) enum RowsOf {
    /// One for each different standard concept.
    Each,
    First,
}

/// What a `headwater/vocabulary` column asks for.
#[derive(Debug)]
pub(in crate::map) struct Lookup {
    pub facet: Facet,
    /// Where the codes come from: columns that say the same speak of the same code.
    pub from: String,
    /// The system of a code that the column's own path gives.
    pub system: Option<String>,
    /// `vocabulary_id`s in order; `None` stands for all others.
    pub prefer: Vec<Option<String>>,
    /// Domains that count; empty: all.
    pub domains: Vec<String>,
    /// What has no standard concept at all counts too.
    pub none: bool,
    pub rows: Option<RowsOf>,
    /// NULL instead of 0 when there was no code.
    pub null_when_empty: bool,
    /// NULL instead of 0 also when the code has no concept.
    pub null_when_unmapped: bool,
    /// Whether a code without a standard concept is counted here, and not by another view of the same codes.
    pub counts: bool,
    /// Where it counts and makes rows: the domains that some view of the same codes takes; empty: all.
    pub taken: Vec<String>,
}

/// One code met, and what it means.
#[derive(Clone)]
pub(in crate::map) struct Coded<'a> {
    pub system: Cow<'a, str>,
    pub code: Cow<'a, str>,
    pub display: Option<Cow<'a, str>>,
    pub resolved: Arc<Resolved>,
}

/// The code and the concept that a row speaks of.
#[derive(Clone, Default)]
pub(in crate::map) struct Picked<'a> {
    pub coded: Option<Coded<'a>>,
    pub concept: Option<Concept>,
}

impl Lookup {
    /// Puts the codes into the order of preference and takes those away that no preference names.
    fn order(&self, codes: &mut Vec<Coded<'_>>) {
        let rank = |coded: &Coded<'_>| {
            let own = coded.resolved.vocabulary.as_deref();
            let named = self.prefer.iter().position(|wanted| wanted.is_some() && wanted.as_deref() == own);
            named.or_else(|| self.prefer.iter().position(Option::is_none))
        };
        if self.prefer.is_empty() {
            return;
        }
        codes.retain(|coded| rank(coded).is_some());
        codes.sort_by_key(rank);
    }

    /// The first concept that no view of these codes takes, with its code.
    pub(in crate::map) fn without_view<'c, 'a>(&self, codes: &'c [Coded<'a>]) -> Option<(&'c Coded<'a>, &'c Concept)> {
        if !self.counts || self.taken.is_empty() {
            return None;
        }
        let concepts = codes
            .iter()
            .flat_map(|coded| coded.resolved.standard.iter().map(move |concept| (coded, concept)));
        let mut lost = concepts.filter(|(_, concept)| self.taken.iter().all(|domain| **domain != *concept.domain));
        lost.next()
    }

    /// The concepts that count, in order, each once; without any, perhaps one pick without a concept.
    pub(in crate::map) fn pick<'a>(&self, codes: &mut Vec<Coded<'a>>, picked: &mut Vec<Picked<'a>>) {
        self.order(codes);
        for coded in codes.iter() {
            for concept in &coded.resolved.standard {
                let counts = self.domains.is_empty() || self.domains.iter().any(|domain| **domain == *concept.domain);
                let known = picked
                    .iter()
                    .any(|other| other.concept.as_ref().is_some_and(|other| other.id == concept.id));
                if !counts || known {
                    continue;
                }
                picked.push(Picked {
                    coded: Some(coded.clone()),
                    concept: Some(concept.clone()),
                });
                if self.rows != Some(RowsOf::Each) {
                    return;
                }
            }
        }
        let nothing_standard = codes.iter().all(|coded| coded.resolved.standard.is_empty());
        if picked.is_empty() && (self.rows.is_none() || (self.none && nothing_standard)) {
            // The code that at least has a concept of its own says most.
            let best = codes.iter().position(|coded| coded.resolved.source.is_some()).unwrap_or(0);
            let coded = (best < codes.len()).then(|| codes.swap_remove(best));
            picked.push(Picked { coded, concept: None });
        }
    }
}
