//! What FHIR R4 says of its own elements besides their types: which must be there, and which codes a `code` may be.
//! Facts of the StructureDefinitions and ValueSets of FHIR 4.0.1, in `required.txt` and `codes.txt`.

use std::collections::HashMap;

/// The ValueSets of the required bindings stand below this.
const VALUE_SET: &str = "http://hl7.org/fhir/ValueSet/";

/// The codes of one ValueSet.
#[derive(Debug)]
pub struct CodeSet {
    name: &'static str,
    /// In order, to be searched by halves.
    codes: Box<[&'static str]>,
}

impl CodeSet {
    #[inline]
    pub fn has(&self, code: &str) -> bool {
        if self.codes.len() <= 8 {
            return self.codes.contains(&code);
        }
        self.codes.binary_search(&code).is_ok()
    }

    /// The set is the one of this canonical, in whatever version.
    pub fn is(&self, canonical: &str) -> bool {
        let url = canonical.split('|').next().unwrap_or(canonical);
        url.strip_prefix(VALUE_SET).unwrap_or(url) == self.name
    }
}

/// Both tables, as the types are built from them.
pub(super) struct Facts {
    /// By type, the elements that must be there.
    pub required: HashMap<&'static str, Vec<&'static str>>,
    pub sets: Vec<CodeSet>,
    /// By path, the number of its set.
    pub bound: HashMap<&'static str, u16>,
}

impl Facts {
    pub(super) fn read() -> Facts {
        let lines = |text: &'static str| text.lines().filter(|line| !line.starts_with('#'));
        let mut facts = Facts {
            required: HashMap::new(),
            sets: Vec::new(),
            bound: HashMap::new(),
        };
        for line in lines(include_str!("required.txt")) {
            let mut words = line.split(' ');
            if let Some(name) = words.next() {
                facts.required.insert(name, words.collect());
            }
        }
        for line in lines(include_str!("codes.txt")) {
            let mut parts = line.split(" | ");
            let (Some(name), Some(codes), Some(paths)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let mut codes: Vec<&'static str> = codes.split(' ').collect();
            codes.sort_unstable();
            let number = facts.sets.len() as u16;
            facts.bound.extend(paths.split(' ').map(|path| (path, number)));
            facts.sets.push(CodeSet {
                name,
                codes: codes.into_boxed_slice(),
            });
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::super::TypeId;
    use super::*;
    use crate::fhir::name::Name;

    #[test]
    fn every_fact_is_of_an_element_of_r4() {
        let facts = Facts::read();
        let is_known = |kind: &str, element: &str| {
            let Some(kind) = TypeId::of(kind) else { return false };
            match element.strip_suffix("[x]") {
                Some(stem) => !kind.choice(stem).is_empty(),
                None => kind.child(Name::of(element)).is_some(),
            }
        };
        let required = facts.required.iter();
        let required = required.flat_map(|(kind, elements)| elements.iter().map(move |element| (*kind, *element)));
        let bound = facts.bound.keys().filter_map(|path| path.rsplit_once('.'));
        let unknown: Vec<_> = required.chain(bound).filter(|(kind, element)| !is_known(kind, element)).collect();
        assert_eq!(unknown, []);
    }

    #[test]
    fn elements_say_whether_they_must_be_there_and_which_codes_they_may_be() {
        let of = |kind: &str, element: &str| {
            let child = TypeId::of(kind).and_then(|kind| kind.child(Name::of(element))).expect("an element");
            let first = child.codes().map(|codes| codes.codes[0]);
            (child.required > 0, first)
        };
        assert_eq!(of("Observation", "status"), (true, Some("amended")));
        assert_eq!(of("Observation", "code"), (true, None));
        assert_eq!(of("Observation", "subject"), (false, None));
        assert_eq!(of("MedicationRequest", "medicationReference"), (true, None));
        assert_eq!(of("Extension", "url"), (true, None));
        assert_eq!(of("Patient", "gender"), (false, Some("female")));
        let gender = TypeId::of("Patient")
            .and_then(|kind| kind.child(Name::of("gender")))
            .expect("an element");
        let codes = gender.codes().expect("a set");
        assert!(codes.has("other") && !codes.has("Other") && codes.is("http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1"));
        let medication = TypeId::of("MedicationRequest").expect("a type");
        let reference = medication.child(Name::of("medicationReference")).expect("an element");
        let concept = medication.child(Name::of("medicationCodeableConcept")).expect("an element");
        assert_eq!(reference.required, concept.required, "a choice is one element");
    }
}
