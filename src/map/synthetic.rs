//! A real resource made synthetic, so that it may stand in a case: its structure and codes stay, everything that could be a
//! patient's is invented. Default deny: only what is named here as a code, a system, a unit or a status is kept.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

/// Members whose text is a word of FHIR or of a terminology.
const WORDS: [&str; 18] = [
    "resourceType",
    "code",
    "system",
    "unit",
    "comparator",
    "status",
    "intent",
    "use",
    "gender",
    "criticality",
    "contentType",
    "valueCode",
    "linkId",
    "periodUnit",
    "durationUnit",
    "fhirVersion",
    "mode",
    "priority",
];

/// Members that are left out: narrative, technical marks, what only a machine of the source can read.
const DROPPED: [&str; 6] = ["text", "meta", "implicitRules", "data", "photo", "signature"];

/// Systems of identifiers that are the same everywhere.
const KNOWN_IDENTIFIERS: &str = "http://hl7.org/fhir/sid/";

/// The resource with invented values: the same source value becomes the same invented one.
pub fn synthetic(resource: &Value) -> Value {
    let mut maker = Maker::default();
    maker.collect(resource);
    maker.value("", "", resource)
}

#[derive(Default)]
struct Maker {
    /// Every date met, by its day; invented days keep their order.
    days: BTreeMap<String, usize>,
    keys: BTreeMap<String, usize>,
    texts: BTreeMap<String, usize>,
    numbers: BTreeMap<String, usize>,
}

impl Maker {
    /// Gathers all days first: only then is their order known.
    fn collect(&mut self, value: &Value) {
        match value {
            Value::String(text) if is_date(text) => {
                self.days.insert(text.get(..10).unwrap_or(text).to_owned(), 0);
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Object(members) => members.values().for_each(|member| self.collect(member)),
            _ => {}
        }
        for (at, place) in self.days.values_mut().enumerate() {
            *place = at;
        }
    }

    /// `name` is the member's name, `parent` that of the object around it.
    fn value(&mut self, parent: &str, name: &str, value: &Value) -> Value {
        match value {
            Value::Object(members) => Value::Object(self.object(name, members)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(parent, name, item)).collect()),
            Value::String(text) => Value::String(self.text(parent, name, text)),
            Value::Number(number) => self.number(number),
            other => other.clone(),
        }
    }

    fn object(&mut self, name: &str, members: &Map<String, Value>) -> Map<String, Value> {
        let mut made = Map::new();
        for (member, value) in members {
            let narrative = member != "text" || value.is_object();
            if DROPPED.contains(&member.as_str()) && narrative {
                continue;
            }
            if matches!(member.as_str(), "extension" | "modifierExtension") {
                let known: Vec<_> = value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|extension| is_known(extension))
                    .collect();
                let known: Vec<_> = known.into_iter().map(|extension| self.value(name, member, extension)).collect();
                if !known.is_empty() {
                    made.insert(member.clone(), Value::Array(known));
                }
                continue;
            }
            made.insert(member.clone(), self.value(name, member, value));
        }
        made
    }

    fn text(&mut self, parent: &str, name: &str, text: &str) -> String {
        let member = name.trim_start_matches('_');
        if is_date(text) {
            return self.date(text);
        }
        let is_word = text.len() <= 256 && !text.chars().any(char::is_whitespace);
        match member {
            "system" if parent == "identifier" && !text.starts_with(KNOWN_IDENTIFIERS) => "urn:oid:2.999.1".to_owned(),
            "system" if is_word && parent != "telecom" => text.to_owned(),
            "url" if matches!(parent, "extension" | "modifierExtension") => text.to_owned(),
            "id" => format!("id-{}", numbered(&mut self.keys, text)),
            "reference" => self.reference(text),
            "birthDate" => "2012-01-01".to_owned(),
            // A year alone stands where a date may stand, and only there.
            member if is_year(text) && (member.ends_with("Date") || member.ends_with("DateTime")) => "2020".to_owned(),
            member if WORDS.contains(&member) && is_word && text.len() <= 64 => text.to_owned(),
            _ => format!("text {}", numbered(&mut self.texts, text)),
        }
    }

    /// `Type/id` with an invented id; contained ones and all others likewise.
    fn reference(&mut self, text: &str) -> String {
        let mut parts = text.rsplit('/');
        let (id, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let id = id.trim_start_matches('#');
        let number = numbered(&mut self.keys, id);
        let is_type = crate::fhir::types::TypeId::of(kind).is_some_and(crate::fhir::types::TypeId::is_resource);
        match (text.starts_with('#'), is_type) {
            (true, _) => format!("#id-{number}"),
            (false, true) => format!("{kind}/id-{number}"),
            (false, false) => format!("urn:uuid:00000000-0000-4000-8000-{number:012}"),
        }
    }

    /// Of the same precision, in the same order as the others, at ten o'clock in the zone it named.
    fn date(&self, text: &str) -> String {
        let place = self.days.get(text.get(..10).unwrap_or(text)).copied().unwrap_or(0);
        let day = format!("2020-{:02}-{:02}", place / 28 % 12 + 1, place % 28 + 1);
        match text.split_once('T') {
            None => day[..text.len().min(10)].to_owned(),
            Some((_, time)) if time.ends_with('Z') => format!("{day}T10:00:00Z"),
            Some((_, time)) if time.contains(['+', '-']) => format!("{day}T10:00:00-05:00"),
            Some(_) => format!("{day}T10:00:00"),
        }
    }

    /// A small number with as many decimals.
    fn number(&mut self, number: &Number) -> Value {
        let digits = number.to_string();
        let place = numbered(&mut self.numbers, &digits);
        match digits.split_once('.') {
            None => Value::from(place),
            Some((_, decimals)) => {
                let decimals = "5".repeat(decimals.len().min(6));
                format!("{place}.{decimals}").parse().map_or(Value::from(place), Value::Number)
            }
        }
    }
}

/// The place of `text` among those met, from 1.
fn numbered(known: &mut BTreeMap<String, usize>, text: &str) -> usize {
    let next = known.len() + 1;
    *known.entry(text.to_owned()).or_insert(next)
}

/// YYYY, with month and day, with a time behind.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    match bytes.len() {
        7 => digits(0..4) && bytes[4] == b'-' && digits(5..7),
        10.. => {
            digits(0..4)
                && bytes[4] == b'-'
                && digits(5..7)
                && bytes[7] == b'-'
                && digits(8..10)
                && (bytes.len() == 10 || bytes[10] == b'T')
        }
        _ => false,
    }
}

fn is_year(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An extension that HL7 defines; any other may hold anything.
fn is_known(extension: &Value) -> bool {
    let url = extension.get("url").and_then(Value::as_str).unwrap_or_default();
    url.starts_with("http://hl7.org/fhir/") || !url.contains(['/', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = r#"{"resourceType":"Patient","id":"Zq81-hosp","meta":{"lastUpdated":"2024-03-05T23:30:00-05:00"},
        "text":{"status":"generated","div":"<div>Amara Okonkwo</div>"},
        "extension":[{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex","valueCode":"F"},
          {"url":"https://hospital.example/vip","valueString":"Okonkwo"}],
        "identifier":[{"system":"https://hospital.example/mrn","value":"4478812"},{"system":"http://hl7.org/fhir/sid/us-ssn","value":"123-45-6789"}],
        "name":[{"use":"official","family":"Okonkwo","given":["Amara"]}],"telecom":[{"system":"phone","value":"617-555-0142"}],
        "birthDate":"2010-03-15","deceasedDateTime":"2024-03-04T11:22:33.456+01:00","gender":"female",
        "address":[{"line":["12 Elm Street"],"city":"Springfield","postalCode":"02139"}],
        "generalPractitioner":[{"reference":"https://ehr.hospital.example/fhir/Practitioner/dr-house","display":"Dr House"}],
        "contact":[{"relationship":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0131","code":"N"}],"text":"mother Ngozi"}]}],
        "multipleBirthInteger":3}"#;

    #[test]
    fn nothing_that_could_be_the_patient_s_is_left() {
        let made = synthetic(&serde_json::from_str(REAL).expect("JSON")).to_string();
        for canary in [
            "Zq81",
            "Okonkwo",
            "Amara",
            "4478812",
            "123-45",
            "617-555",
            "2010-03",
            "2024-03",
            "11:22",
            "Elm",
            "Springfield",
            "02139",
            "hospital",
            "house",
            "House",
            "Ngozi",
            "vip",
            "23:30",
        ] {
            assert!(!made.contains(canary), "{canary} in {made}");
        }
    }

    #[test]
    fn structure_codes_and_the_order_of_days_stay() {
        let made = synthetic(&serde_json::from_str(REAL).expect("JSON"));
        assert_eq!(made["resourceType"], "Patient");
        assert_eq!(made["gender"], "female");
        assert_eq!(made["extension"][0]["valueCode"], "F");
        assert_eq!(made["extension"].as_array().map(Vec::len), Some(1));
        assert_eq!(made["contact"][0]["relationship"][0]["coding"][0]["code"], "N");
        assert_eq!(made["generalPractitioner"][0]["reference"], "Practitioner/id-1");
        assert_eq!(made["deceasedDateTime"], "2020-01-02T10:00:00-05:00");
        assert_eq!(made["name"][0]["given"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_year_stays_a_year_and_a_uri_is_no_word() {
        let made = synthetic(
            &serde_json::json!({"resourceType":"Patient","deceasedDateTime":"1987","birthDate":"1931",
            "extension":[{"url":"http://hl7.org/fhir/StructureDefinition/x","valueUri":"https://hospital.example/4478812"}]}),
        );
        assert_eq!(made["deceasedDateTime"], "2020");
        assert_eq!(made["extension"][0]["valueUri"], "text 1");
        assert!(!made.to_string().contains("1931"));
    }

    #[test]
    fn a_code_that_is_no_code_is_text() {
        let made = synthetic(
            &serde_json::json!({"resourceType":"Observation","code":{"coding":[{"system":"urn:x","code":"seen with mother"}]},
            "valueQuantity":{"value":91.84,"unit":"mg/dL"}}),
        );
        assert_eq!(made["code"]["coding"][0]["code"], "text 1");
        assert_eq!(made["valueQuantity"]["unit"], "mg/dL");
        assert_eq!(made["valueQuantity"]["value"].to_string(), "1.55");
    }
}
