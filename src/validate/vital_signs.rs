//! Which of R4's vital signs profiles an Observation is held to by its code, whatever it names itself: R4 requires it of these
//! codes. Besides R4's own codes there are those that mean the same or less, as HL7's validator lists them. LOINC goes before
//! SNOMED CT; of several signs the first counts.
//! FHIR R4, "Vital Signs Profile": "must be used"; the further codes by the Java validator of HL7, 6.x.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::fhir::name::Name;
use crate::fhir::tree::{Kind, Node};

const LOINC: &str = "http://loinc.org";
const SNOMED: &str = "http://snomed.info/sct";

/// Name of the profile; codes of LOINC, R4's own first; codes of SNOMED CT.
const SIGNS: [(&str, &str, &str); 10] = [
    ("vitalspanel", "85353-1", "46680005"),
    (
        "resprate",
        "9279-1 11291-2 19840-8 33438-3 76170-0 76171-8 76172-6 76270-8",
        "86290005 271306003 271625008",
    ),
    (
        "heartrate",
        "8867-4 11328-2 40443-4 55425-3 60978-4 68999-2 69000-8 73795-7 73799-9 76476-1 76477-9 8886-4 8889-8 8890-6 8891-4 8892-2 8893-0",
        "249043002 251670001 399017001 429525003 429614003 444981005",
    ),
    (
        "oxygensat",
        "2708-6 19224-5 20564-1 2709-4 2710-2 2713-6 51733-4 59408-5 59417-6 89276-0 97549-0",
        "431314004 442476006",
    ),
    (
        "bodytemp",
        "8310-5 60834-9 60835-6 60836-4 60838-0 60955-2 61009-7 75539-7 75987-8 76010-8 76011-6 76278-1 8309-7 8328-7 8329-5 8330-3 8331-1 \
         8332-9 8333-7 8334-5 91371-5 98657-0 98663-8",
        "386725007 1222808002 276885007 300076005 307047009 364246006 415882003 415929009 415945006 415974002 431598003 698831002 698832009 \
         708499008",
    ),
    (
        "bodyheight",
        "8302-2 3137-7 3138-5 8306-3 8308-9",
        "50373000 1153637007 1162392001 1162417005 1162418000 1162419008 1230278008",
    ),
    ("headcircum", "9843-4 8287-5", "363812007 1269262007 169876006 363811000"),
    (
        "bodyweight",
        "29463-7 3141-9 3142-7 75292-3 79348-9 8350-1 8351-9",
        "735395000 1162415002 1162416001 424927000 425024002 784399000",
    ),
    ("bmi", "39156-5 89270-3", "60621009"),
    (
        "bp",
        "85354-9 35094-2 55284-4 76534-7 8459-0 8480-6",
        "251076008 163033001 163035008 271649006 271650006 386534000 386536003 399304008 407554009 407556006 716579001",
    ),
];

/// The canonicals of the profiles, in their order.
pub(super) fn canonicals() -> impl Iterator<Item = String> {
    SIGNS
        .iter()
        .map(|(name, ..)| format!("http://hl7.org/fhir/StructureDefinition/{name}"))
}

/// Which of the profiles an Observation's code asks for.
pub(super) fn of(observation: Node<'_, '_>) -> Option<usize> {
    let codings = observation
        .get(Name::CODE)?
        .get(Name::CODING)
        .filter(|list| list.kind() == Kind::Array)?;
    let (mut loinc, mut snomed) = (None, None);
    for coding in codings.children() {
        let text = |name| coding.get(name).filter(|text| text.kind() == Kind::String);
        let (Some(system), Some(code)) = (text(Name::SYSTEM), text(Name::CODE)) else {
            continue;
        };
        let Some((of, number)) = table().get(code.raw()) else { continue };
        if system.raw() == *of {
            let least = if *of == LOINC { &mut loinc } else { &mut snomed };
            *least = Some(least.map_or(*number, |known: usize| known.min(*number)));
        }
    }
    loinc.or(snomed)
}

/// System and number of the profile, by code: no code is of both systems.
fn table() -> &'static HashMap<&'static str, (&'static str, usize)> {
    static TABLE: OnceLock<HashMap<&'static str, (&'static str, usize)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = HashMap::new();
        for (number, (_, loinc, snomed)) in SIGNS.iter().enumerate() {
            table.extend(loinc.split_whitespace().map(|code| (code, (LOINC, number))));
            table.extend(snomed.split_whitespace().map(|code| (code, (SNOMED, number))));
        }
        table
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::value_set::{Membership, ValueSets};

    #[test]
    fn every_code_may_be_one_and_stands_for_one_sign() {
        let sets = ValueSets::default();
        let mut seen = Vec::new();
        for (_, loinc, snomed) in SIGNS {
            for (system, codes) in [(LOINC, loinc), (SNOMED, snomed)] {
                for code in codes.split_whitespace() {
                    assert_ne!(sets.code(system, code), Membership::Out, "{code}");
                    seen.push(code);
                }
            }
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((seen.len(), table().len()), (count, count));
    }
}
