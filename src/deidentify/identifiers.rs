//! The words of a Patient resource that must never leave: names, identifiers, phones, mails, addresses, ids; also those of
//! contacts and of merged records. Each becomes a keyed hash at once; no word is kept.
//! Basis: 45 CFR 164.514(b)(2)(i)(A)-(R). The birth date is no word: `guard` compares days, in any spelling.
//!
//! Minimal lengths, because short words are in every code: name words of three letters (two where the script is not
//! Latin), whole names of four, cities of four, identifiers of five characters (four with a letter), phones of seven digits.

use super::guard::{GuardKey, SHORTEST, WINDOW_WORDS};
use super::words::Words;
use crate::cdm::siphash::siphash;
use crate::fhir::tree::{Kind, Node};

/// The sorted keyed hashes of all identifying words of a Patient.
pub(super) fn of_patient(root: Node<'_, '_>, key: GuardKey) -> Vec<u64> {
    let mut found = Identifiers {
        key,
        hashes: Vec::with_capacity(40),
    };
    found.patient(root);
    found.hashes.sort_unstable();
    found.hashes.dedup();
    found.hashes
}

/// The type-free id of a reference: `Patient/p1`, an absolute address, `urn:uuid:…`.
fn id_of_reference(reference: &str) -> &str {
    let whole = reference.split("/_history/").next().unwrap_or(reference);
    whole.rsplit(['/', ':', '#']).next().unwrap_or(whole)
}

struct Identifiers {
    key: GuardKey,
    hashes: Vec<u64>,
}

impl Identifiers {
    fn patient(&mut self, root: Node<'_, '_>) {
        for child in root.children() {
            match child.name_text() {
                "id" => self.identifier(&child.text()),
                "identifier" => each(child, |identifier| text_of(identifier, "value", |value| self.identifier(value))),
                "name" => each(child, |name| self.name(name)),
                "telecom" => each(child, |telecom| text_of(telecom, "value", |value| self.telecom(value))),
                "address" => each(child, |address| self.address(address)),
                "contact" => each(child, |contact| self.contact(contact)),
                "link" => each(child, |link| {
                    for other in link.children().filter(|member| member.name_text() == "other") {
                        text_of(other, "reference", |reference| self.identifier(id_of_reference(reference)));
                    }
                }),
                "extension" => each(child, |extension| self.extension(extension)),
                _ => {}
            }
        }
    }

    fn contact(&mut self, contact: Node<'_, '_>) {
        for child in contact.children() {
            match child.name_text() {
                "name" => self.name(child),
                "telecom" => each(child, |telecom| text_of(telecom, "value", |value| self.telecom(value))),
                "address" => self.address(child),
                _ => {}
            }
        }
    }

    /// Two identifiers FHIR keeps in extensions: the mother's maiden name and the place of birth.
    fn extension(&mut self, extension: Node<'_, '_>) {
        let is_name = extension
            .children()
            .any(|member| member.name_text() == "url" && member.text().ends_with("mothersMaidenName"));
        if is_name {
            text_of(extension, "valueString", |name| self.name_text(name));
        }
        for address in extension.children().filter(|member| member.name_text() == "valueAddress") {
            self.address(address);
        }
    }

    fn name(&mut self, name: Node<'_, '_>) {
        let (mut given, mut family) = (Vec::new(), Vec::new());
        for child in name.children() {
            match child.name_text() {
                "family" => {
                    self.name_text(&child.text());
                    family = Words::of(&child.text()).folded;
                }
                "given" => each(child, |part| {
                    self.name_text(&part.text());
                    if given.is_empty() {
                        given = Words::of(&part.text()).folded;
                    }
                }),
                "text" => self.name_text(&child.text()),
                _ => {}
            }
        }
        if !given.is_empty() && !family.is_empty() {
            self.add_at_least(4, &[given.as_slice(), family.as_slice()].concat());
            self.add_at_least(4, &[family.as_slice(), given.as_slice()].concat());
            // As names are made for signing in: `jokonkwo`, `okonkwoj`.
            if let Some(initial) = given.get(..1).filter(|_| given.is_ascii() && family.len() >= 4) {
                self.add_at_least(5, &[initial, &family].concat());
                self.add_at_least(5, &[&family, initial].concat());
            }
        }
    }

    /// Each word of a name, and the whole.
    fn name_text(&mut self, text: &str) {
        let words = Words::of(text);
        for &(start, end) in &words.words {
            let word = words.slice(start, end);
            let is_long_enough = word.len() >= 3 || !word.is_ascii();
            if is_long_enough && word.iter().any(|byte| !byte.is_ascii_digit()) {
                self.add_at_least(SHORTEST, word);
            }
        }
        self.add_at_least(4, comparable(&words));
    }

    /// A record number, an account, an id: whole, and its digits where letters stand around them.
    fn identifier(&mut self, text: &str) {
        let words = Words::of(text);
        let whole = comparable(&words);
        if whole.len() >= 5 || (whole.len() == 4 && whole.iter().any(u8::is_ascii_alphabetic)) {
            self.add_at_least(4, whole);
        }
        if words.runs.len() <= 3 {
            for run in words.runs.iter().filter(|run| run.is_number) {
                let digits = words.run(*run);
                let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
                self.add_at_least(5, digits);
                self.add_at_least(5, &digits[zeros..]);
            }
        }
    }

    fn telecom(&mut self, text: &str) {
        if let Some((local, _)) = text.split_once('@') {
            self.add_at_least(5, comparable(&Words::of(text)));
            self.add_at_least(5, comparable(&Words::of(local)));
            return;
        }
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
        if digits.len() >= 7 && !text.contains("://") {
            self.add_at_least(7, &digits);
            self.add_at_least(7, &digits[digits.len() - 7..]);
            if digits.len() == 10 {
                // As dialled from elsewhere in North America, and without its separators no shape of a phone.
                self.add_at_least(11, &[b"1", digits.as_slice()].concat());
            }
            if digits.len() > 10 {
                self.add_at_least(10, &digits[digits.len() - 10..]);
                if digits.len() <= 13 {
                    // An extension dialled after the number.
                    self.add_at_least(10, &digits[..10]);
                }
            }
        } else {
            self.add_at_least(5, comparable(&Words::of(text)));
        }
    }

    fn address(&mut self, address: Node<'_, '_>) {
        for child in address.children() {
            match child.name_text() {
                "line" => each(child, |line| self.line(&line.text())),
                "text" => child.text().split([',', '\n']).for_each(|line| self.line(line)),
                "city" | "district" => self.add_at_least(4, comparable(&Words::of(&child.text()))),
                "postalCode" => {
                    let words = Words::of(&child.text());
                    self.add_at_least(5, comparable(&words));
                    if let Some(five) = words.folded.get(..5) {
                        self.add_at_least(5, five);
                    }
                }
                _ => {}
            }
        }
    }

    /// A street line by its first words, up to and with its number: `12 Elm`, `PO Box 77`.
    fn line(&mut self, text: &str) {
        let words = Words::of(text);
        let has_digit = |until: usize| words.slice(0, words.words[until].1).iter().any(u8::is_ascii_digit);
        let last = (1..words.words.len().min(WINDOW_WORDS)).find(|until| has_digit(*until));
        match last {
            Some(until) => self.add_at_least(5, words.slice(0, words.words[until].1)),
            None => self.add_at_least(6, comparable(&words)),
        }
    }

    fn add_at_least(&mut self, length: usize, word: &[u8]) {
        if word.len() >= length {
            self.hashes.push(siphash(self.key, word));
        }
    }
}

/// All words joined; of more words than the guard's window the last ones (a UUID behind its `urn:uuid:`).
fn comparable(words: &Words) -> &[u8] {
    let first = words.words.len().saturating_sub(WINDOW_WORDS);
    words.words.get(first).map_or(&[], |(start, _)| &words.folded[*start as usize..])
}

/// The node itself, or each item where it is an array: FHIR writes both, and we read what was landed.
fn each<'t, 'a>(node: Node<'t, 'a>, mut see: impl FnMut(Node<'t, 'a>)) {
    if node.kind() == Kind::Array {
        node.children().for_each(see);
    } else {
        see(node);
    }
}

/// The text of a member, where it has one.
fn text_of(node: Node<'_, '_>, name: &str, mut see: impl FnMut(&str)) {
    for member in node
        .children()
        .filter(|member| member.name_text() == name && member.kind() == Kind::String)
    {
        see(&member.text());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deidentify::guard::{Guard, Subject};
    use crate::fhir::tree::{Limits, Tree};

    const KEY: GuardKey = [3, 4];

    const PATIENT: &str = r#"{"resourceType":"Patient","id":"9d3f1c2a-77aa-4c1b-8e11-0a2b3c4d5e6f",
        "extension":[{"url":"http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName","valueString":"Quillfeather"},
                     {"url":"http://hl7.org/fhir/StructureDefinition/patient-birthPlace","valueAddress":{"city":"Nantasket"}}],
        "identifier":[{"value":"MRN-00041789"},{"value":"999-52-1234"},{"value":"17"}],
        "name":[{"family":"Zweibrück-Osei","given":["Amara","Li"],"text":"Amara Li Zweibrück-Osei"},{"family":"Wu","given":["Bo"]}],
        "telecom":[{"system":"phone","value":"+1 (617) 555-0142"},{"system":"email","value":"amara.zo@mail.example"},
                   {"system":"phone","value":"617-555-0199 x22"}],
        "address":[{"line":["48 Juniper Hollow Road","Apt 3"],"city":"Marshfield","district":"Plymouth County","postalCode":"02050-1234",
                    "state":"MA"},{"line":["PO Box 771"]}],
        "contact":[{"name":{"family":"Featherstone"},"telecom":[{"value":"508.555.0111"}],"address":{"city":"Duxbury"}}],
        "link":[{"other":{"reference":"Patient/old-record-88"},"type":"replaces"}],
        "birthDate":"2010-03-15","gender":"female"}"#;

    fn is_caught(text: &str) -> bool {
        let mut tree = Tree::new();
        let root = tree.parse(PATIENT.as_bytes(), &Limits::default()).expect("JSON");
        let words = of_patient(root, KEY);
        let subject = Subject {
            words: &words,
            birth: None,
        };
        Guard::new(KEY, false).finding(text, Some(subject)) == Some("leak guard: an identifier of its patient")
    }

    #[test]
    fn every_identifier_of_the_patient_is_caught_in_its_spellings() {
        for text in [
            "Amara",
            "AMARA",
            "zweibruck",
            "Zweibrück",
            "ZWEIBRÜCK OSEI",
            "zweibrückosei",
            "Osei, A.",
            "A. Zweibruck-Osei",
            "Zweibrück-Osei, Amara",
            "azweibruckosei",
            "zweibruckoseia",
            "amaraZweibruckOsei",
            "zweibruckosei amara",
            "wu bo",
            "BoWu",
            "quillfeather",
            "Nantasket",
            "MRN-00041789",
            "mrn00041789",
            "00041789",
            "41789",
            "MRN 41789",
            "999521234",
            "999-52-1234",
            "(617) 555-0142",
            "6175550142",
            "1-617-555-0142",
            "555-0142",
            "+16175550142",
            "617 555 0199",
            "amara.zo@mail.example",
            "amara.zo",
            "48 Juniper Hollow Road",
            "48 juniper",
            "48JUNIPER",
            "po box 771",
            "Marshfield",
            "PLYMOUTH COUNTY",
            "02050",
            "02050-1234",
            "Featherstone",
            "5085550111",
            "Duxbury",
            "old-record-88",
            "OLDRECORD88",
            "9d3f1c2a-77aa-4c1b-8e11-0a2b3c4d5e6f",
            "Patient/9d3f1c2a-77aa-4c1b-8e11-0a2b3c4d5e6f",
            "urn:uuid:9D3F1C2A-77AA-4C1B-8E11-0A2B3C4D5E6F",
            "9d3f1c2a77aa4c1b8e110a2b3c4d5e6f",
        ] {
            assert!(is_caught(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_identifier_passes() {
        for text in [
            "female",
            "MA",
            "8480-6",
            "2054-5",
            "K50.90",
            "41788",
            "Li",
            "li",
            "17",
            "555",
            "617",
            "Apt 3",
            "1234",
            "http://loinc.org",
            "county",
            "2010",
            "replaces",
            "9d3f1c2a",
            "77aa",
            "road",
            "849727",
            "mail.example",
        ] {
            assert!(!is_caught(text), "{text}");
        }
    }

    #[test]
    fn a_realistic_patient_needs_less_than_four_hundred_bytes() {
        let mut tree = Tree::new();
        let root = tree.parse(PATIENT.as_bytes(), &Limits::default()).expect("JSON");
        let hashes = of_patient(root, KEY).len();
        assert!((30..=50).contains(&hashes), "{hashes}");
    }
}
