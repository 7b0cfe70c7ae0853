//! The positive control of the leak guard: a person who does not exist, whose identifiers are put before the guard in every
//! spelling that people use. A guard that finds nothing in a night proves nothing unless it would have found these.
//! Run with the run's own keys and policy, so that it is the guard at work which is tried, and not another one.

use super::guard::{Guard, Subject};
use super::people::PersonRecord;
use super::policy::Policy;
use super::pseudonym::Keys;
use super::rule::Basis;
use crate::fhir::tree::{Limits, Tree};

/// What of one kind of identifier was put before the guard, and what it stopped.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Planted {
    pub kind: String,
    pub planted: u32,
    pub caught: u32,
}

/// What the guard did with what it must stop, and with what it must let through.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Control {
    pub kinds: Vec<Planted>,
    /// Codes and units as they leave every day.
    pub harmless: u32,
    pub passed: u32,
}

impl Control {
    pub fn planted(&self) -> u32 {
        self.kinds.iter().map(|kind| kind.planted).sum()
    }

    pub fn caught(&self) -> u32 {
        self.kinds.iter().map(|kind| kind.caught).sum()
    }

    /// At least 99 of 100 were stopped, and no more than one of the harmless.
    pub fn holds(&self) -> bool {
        self.planted() > 0 && self.caught() * 100 >= self.planted() * 99 && self.passed + 1 >= self.harmless
    }
}

/// Nobody: invented for this.
const PERSON: &str = r#"{"resourceType":"Patient","id":"canary-7f3a91e2-44d0",
    "identifier":[{"value":"CNRY-0048151623"},{"value":"219-09-4417"}],
    "name":[{"family":"Quartermaine","given":["Marisela","Ottoline"]}],
    "telecom":[{"system":"phone","value":"(617) 555-0172"},{"system":"email","value":"marisela.q@canary.example"}],
    "address":[{"line":["418 Lantern Mill Road"],"city":"Wexcombe","postalCode":"02179-4410"}],
    "contact":[{"name":{"family":"Quartermaine","given":["Thaddeus"]},"telecom":[{"value":"508-555-0143"}]}],
    "birthDate":"2011-02-27"}"#;

/// Her identifiers by kind, as people write them.
const SPELLINGS: [(&str, &[&str]); 8] = [
    (
        "names",
        &[
            "Marisela",
            "Quartermaine",
            "Ottoline",
            "Marisela Quartermaine",
            "Quartermaine, Marisela",
            "Quartermaine,M.",
            "MariselaQuartermaine",
            "marisela_quartermaine",
            "Thaddeus",
        ],
    ),
    (
        "record numbers",
        &["CNRY-0048151623", "CNRY0048151623", "0048151623", "48151623", "MRN 48151623"],
    ),
    ("social security numbers", &["219-09-4417", "219 09 4417", "219094417"]),
    (
        "phones",
        &[
            "(617) 555-0172",
            "617-555-0172",
            "617.555.0172",
            "6175550172",
            "+1 617 555 0172",
            "16175550172",
            "508-555-0143",
        ],
    ),
    ("mail addresses", &["marisela.q@canary.example", "Marisela.Q@CANARY.example"]),
    ("addresses", &["418 Lantern Mill Road", "418 Lantern", "Wexcombe", "02179-4410"]),
    (
        "birth date",
        &[
            "2011-02-27",
            "02/27/2011",
            "2/27/2011",
            "27.02.2011",
            "27/02/2011",
            "20110227",
            "Feb 27, 2011",
            "February 27th, 2011",
            "27 February 2011",
            "27-Feb-2011",
        ],
    ),
    (
        "ids of the EHR",
        &[
            "canary-7f3a91e2-44d0",
            "Patient/canary-7f3a91e2-44d0",
            "urn:x:canary-7f3a91e2-44d0",
            "CANARY7F3A91E244D0",
        ],
    ),
];

/// What an identifier stands in.
const CARRIERS: [(&str, &str); 5] = [("", ""), ("seen with ", " today"), ("(", ")"), ("note: ", ";"), ("\"", "\"")];

/// Codes, units and words of every day.
const HARMLESS: [&str; 24] = [
    "8480-6",
    "2054-5",
    "718-7",
    "K50.90",
    "K51.00",
    "34000006",
    "64766004",
    "849727",
    "1876356",
    "99213",
    "J1745",
    "0002-8215-01",
    "mg/dL",
    "10*3/uL",
    "mm[Hg]",
    "{score}",
    "final",
    "female",
    "http://loinc.org",
    "http://snomed.info/sct",
    "urn:oid:2.16.840.1.113883.6.238",
    "LA6576-8",
    "A1/a",
    "E1-L3-B2p",
];

impl Control {
    /// Tries the guard of these keys and this policy on what it must stop and on what it must not.
    pub(super) fn of(keys: &Keys, policy: &Policy) -> Self {
        let mut tree = Tree::new();
        let record = tree
            .parse(PERSON.as_bytes(), &Limits::default())
            .ok()
            .and_then(|root| PersonRecord::of(keys, root, [0; 32]).ok());
        let Some(record) = record else { return Self::default() };
        let subject = Subject {
            words: record.words(),
            birth: record.birth(),
        };
        let mut guard = Guard::new(keys.guard(), policy.basis() == Basis::SafeHarbor);
        let mut stops = |text: &str| guard.finding(text, Some(subject)).is_some();
        let mut kinds = Vec::new();
        for (kind, spellings) in SPELLINGS {
            let (mut planted, mut caught) = (0, 0);
            for spelling in spellings {
                for (before, after) in CARRIERS {
                    planted += 1;
                    caught += u32::from(stops(&format!("{before}{spelling}{after}")));
                }
                planted += 1;
                caught += u32::from(stops(&spelling.to_uppercase()));
            }
            let kind = kind.to_owned();
            kinds.push(Planted { kind, planted, caught });
        }
        let passed = HARMLESS.iter().filter(|text| !stops(text)).count();
        Self {
            kinds,
            harmless: count(HARMLESS.len()),
            passed: count(passed),
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
