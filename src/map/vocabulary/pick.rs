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
    pub taken: Arc<[String]>,
    /// Its number among the codes that several views of one resource type ask for.
    pub shared: Option<usize>,
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
    /// Which of the code's standard concepts.
    pub standard: Option<usize>,
}

impl Picked<'_> {
    pub(in crate::map) fn concept(&self) -> Option<&Concept> {
        self.coded.as_ref()?.resolved.standard.get(self.standard?)
    }
}

impl Lookup {
    /// The codes in the order of preference, without those that no preference names.
    fn ordered<'c, 'a>(&self, codes: &'c [Coded<'a>]) -> impl Iterator<Item = &'c Coded<'a>> {
        let rank = |coded: &Coded<'_>| {
            let own = coded.resolved.vocabulary.as_deref();
            let named = self.prefer.iter().position(|wanted| wanted.is_some() && wanted.as_deref() == own);
            named.or_else(|| self.prefer.iter().position(Option::is_none))
        };
        let ranks = self.prefer.len().max(1);
        (0..ranks).flat_map(move |wanted| {
            let all = self.prefer.is_empty();
            codes.iter().filter(move |coded| all || rank(coded) == Some(wanted))
        })
    }

    /// The first code with a concept that no view of these codes takes.
    pub(in crate::map) fn without_view<'c, 'a>(&self, codes: &'c [Coded<'a>]) -> Option<&'c Coded<'a>> {
        if !self.counts || self.taken.is_empty() {
            return None;
        }
        let lost = |concept: &Concept| self.taken.iter().all(|domain| **domain != *concept.domain);
        codes.iter().find(|coded| coded.resolved.standard.iter().any(lost))
    }

    /// The concepts that count, in order, each once; without any, perhaps one pick without a concept.
    pub(in crate::map) fn pick<'a>(&self, codes: &[Coded<'a>], picked: &mut Vec<Picked<'a>>) {
        let mut nothing_standard = true;
        let mut best: Option<&Coded<'a>> = None;
        for coded in self.ordered(codes) {
            nothing_standard &= coded.resolved.standard.is_empty();
            // The code that at least has a concept of its own says most.
            if best.is_none_or(|best| best.resolved.source.is_none() && coded.resolved.source.is_some()) {
                best = Some(coded);
            }
            for (at, concept) in coded.resolved.standard.iter().enumerate() {
                let counts = self.domains.is_empty() || self.domains.iter().any(|domain| **domain == *concept.domain);
                let known = |other: &Picked<'_>| other.concept().is_some_and(|other| other.id == concept.id);
                if !counts || picked.iter().any(known) {
                    continue;
                }
                picked.push(Picked {
                    coded: Some(coded.clone()),
                    standard: Some(at),
                });
                if self.rows != Some(RowsOf::Each) {
                    return;
                }
            }
        }
        if picked.is_empty() && (self.rows.is_none() || (self.none && nothing_standard)) {
            picked.push(Picked {
                coded: best.cloned(),
                standard: None,
            });
        }
    }
}
