//! A unit as somebody wrote it, read once: its UCUM spelling and what it measures. Knows no analyte.
//!
//! Reading: UCUM lets an equivalent and an osmole be a mole. For calcium that is wrong by the factor two, so neither is taken for
//! the other here; `units.toml` says for which analyte it may be.

use std::collections::HashMap;
use std::sync::Arc;

use crate::fhir::decimal::Decimal;
use crate::fhir::ucum::{Unit, normal};

/// Different spellings remembered; then it begins again.
const MOST: usize = 4_096;

/// What is counted where the amount of substance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Particles {
    Any,
    Charges,
    Osmotic,
}

/// A unit that was read.
#[derive(Debug)]
pub(in crate::map) struct Written {
    /// In UCUM's spelling.
    pub code: Box<str>,
    unit: Unit,
    particles: Particles,
}

impl Written {
    /// `None` where the text is no unit that we know.
    pub(in crate::map) fn read(text: &str) -> Option<Self> {
        let code = normal(text)?;
        Some(Self {
            unit: Unit::parse(&code)?,
            particles: particles(&code),
            code: code.into(),
        })
    }

    /// Both measure the same kind of thing, so that a number of one is a number of the other.
    pub(in crate::map) fn is_like(&self, other: &Self) -> bool {
        self.unit.is_like(&other.unit) && self.particles == other.particles
    }

    /// A bare number: `1`, `{score}`.
    pub(in crate::map) fn is_one(&self) -> bool {
        let one = Decimal::from(1);
        Unit::parse("1").and_then(|bare| self.unit.convert(one, &bare)) == Some(one)
    }

    /// `number` of this unit as a number of `other`; `None` when they are not alike or there is no room for the digits.
    pub(in crate::map) fn convert(&self, number: Decimal, other: &Self) -> Option<Decimal> {
        self.is_like(other).then(|| self.unit.convert(number, &other.unit)).flatten()
    }
}

fn particles(code: &str) -> Particles {
    let ends = |symbol: &str| {
        let parts = code.split(['/', '.', '(', ')']).map(|part| part.split('{').next().unwrap_or(part));
        let mut words = parts.map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-'));
        words.any(|word| word.ends_with(symbol))
    };
    match (ends("eq"), ends("osm")) {
        (true, _) => Particles::Charges,
        (_, true) => Particles::Osmotic,
        _ => Particles::Any,
    }
}

/// One thread's memory of units: each spelling is read once. Bounded, so that free text in their place cannot fill the memory.
#[derive(Debug, Default)]
pub(in crate::map) struct UnitCache {
    known: HashMap<Box<str>, Option<Arc<Written>>>,
}

impl UnitCache {
    pub(in crate::map) fn read(&mut self, text: &str) -> Option<Arc<Written>> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let read = Written::read(text).map(Arc::new);
        self.known.insert(text.into(), read.clone());
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equivalent_is_no_mole_and_no_osmole_but_like_its_own_kind() {
        let read = |text| Written::read(text).unwrap();
        assert!(read("meq/L").is_like(&read("mEq/L")) && read("meq/L").is_like(&read("eq/dL")));
        assert!(!read("meq/L").is_like(&read("mmol/L")));
        assert!(!read("mosm/kg").is_like(&read("mmol/kg")));
        assert!(read("mmol/L").is_like(&read("umol/mL")));
    }

    #[test]
    fn a_bare_number_has_size_one() {
        assert!(Written::read("{score}").unwrap().is_one());
        assert!(!Written::read("%").unwrap().is_one());
        assert!(!Written::read("mm").unwrap().is_one());
    }

    #[test]
    fn free_text_cannot_fill_the_memory() {
        let mut cache = UnitCache::default();
        (0..10_000).for_each(|number| assert!(cache.read(&format!("no unit {number}")).is_none()));
        assert!(cache.known.len() <= MOST);
    }
}
