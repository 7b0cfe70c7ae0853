//! A linkage project: a file that all its sites share. It names the project, the agent that gets the linkage keys, the schema, and
//! for each feature of the schema what of a Patient feeds it.
//!
//! ```toml
//! [project]
//! name = "twins-2026"
//! agent = "Linkage Unit of the State University"
//! schema = "schema.json"                    # clkhash linkage schema, version 3, beside this file
//! [feature.family]
//! path = "name.where(use = 'official').family.first()"
//! case = "lower"                            # or `upper`; without it letters stay as they are
//! accents = false                           # letters without their accents
//! ```
//!
//! Default deny: a feature may read names, birth date, sex and postal code, and nothing else of a Patient. What an expression reads is
//! held against that list when the project is loaded, whatever the feature is called.

use toml::{Table, Value};

use jiff::civil::Date;

use super::bloom::Clk;
use super::encoder::Encoder;
use super::fault::{Fault, Faults, Unfit};
use super::format::Format;
use super::schema::Schema;
use crate::deidentify::words;
use crate::fhir::path::{Context, Item, Names, Path, Place, Reads, Start};
use crate::fhir::tree::Node;
use crate::fhir::types::TypeId;
use crate::platform::secret::Secret;

/// The least a project's secret holds: no fewer bytes than a hash key.
pub const SECRET_BYTES: usize = 32;
/// Fewer different bytes than this were never drawn at random.
const DIFFERENT_BYTES: usize = 8;

/// What may be gone through to get at a value.
const PARTS: &[&str] = &["Patient.name", "Patient.name.period", "Patient.address", "Patient.address.period"];
/// What may be looked at: names, birth date, sex, postal code, and which of several names or addresses holds.
const VALUES: &[&str] = &[
    "Patient.name.use",
    "Patient.name.family",
    "Patient.name.given",
    "Patient.name.suffix",
    "Patient.name.period.start",
    "Patient.name.period.end",
    "Patient.birthDate",
    "Patient.gender",
    "Patient.address.use",
    "Patient.address.type",
    "Patient.address.postalCode",
    "Patient.address.period.start",
    "Patient.address.period.end",
];

/// A project, checked and ready.
#[derive(Debug)]
pub struct Project {
    name: String,
    agent: String,
    schema: Schema,
    /// One for each feature of the schema; none of one that is ignored.
    sources: Vec<Option<Source>>,
}

/// Where a feature's value stands.
#[derive(Debug)]
struct Source {
    path: Path,
    case: Option<Case>,
    accents: bool,
}

#[derive(Clone, Copy, Debug)]
enum Case {
    Upper,
    Lower,
}

impl Project {
    /// The project of a file's text; `read` gives the text of the schema that it names.
    /// # Errors: every fault at once, with its place.
    pub fn parse(toml: &str, read: impl FnOnce(&str) -> Result<String, String>) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let table = toml.parse::<Table>().unwrap_or_else(|error| {
            let line = error.span().map_or(0, |span| toml[..span.start].matches('\n').count() + 1);
            faults.add(format!("line {line}"), format!("is not TOML: {}", error.message()));
            Table::new()
        });
        if !faults.0.is_empty() {
            return Err(faults.0);
        }
        only(&table, &["project", "feature"], "", &mut faults);
        let project = section(&table, "project", "", &mut faults);
        only(project, &["name", "agent", "schema"], "project.", &mut faults);
        let name = text(project, "name", "project.", &mut faults);
        let agent = text(project, "agent", "project.", &mut faults);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if name.len() > 64 || !name.bytes().all(fits) {
            faults.add(
                "project.name",
                "must be letters, digits, `-`, `.` and `_`, 64 at most: linkage ids hang on it",
            );
        }
        let file = text(project, "schema", "project.", &mut faults);
        let schema = (!file.is_empty())
            .then(|| read(&file))
            .and_then(|read| match read.map(|text| Schema::parse(&text)) {
                Ok(Ok(schema)) => Some(schema),
                Ok(Err(found)) => {
                    faults.0.extend(found);
                    None
                }
                Err(what) => {
                    faults.add("project.schema", what);
                    None
                }
            });
        let features = section(&table, "feature", "", &mut faults);
        let sources = schema
            .as_ref()
            .map(|schema| sources(schema, features, &mut faults))
            .unwrap_or_default();
        match schema {
            Some(schema) if faults.0.is_empty() => Ok(Self {
                name,
                agent,
                schema,
                sources,
            }),
            _ => Err(faults.0),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who gets the linkage keys.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The project's encoder, under the secret that its sites share.
    pub fn encoder(&self, secret: &Secret) -> Encoder {
        Encoder::new(self.schema.clone(), secret)
    }

    /// The linkage key of a Patient.
    /// # Errors: the feature whose value does not fit, or whose expression has no answer; a patient of whom nothing is known.
    pub fn encode(&self, encoder: &Encoder, patient: Node<'_, '_>) -> Result<Clk, Unfit> {
        let mut values = Vec::with_capacity(self.sources.len());
        let mut is_known = false;
        for (feature, source) in self.schema.features.iter().zip(&self.sources) {
            let (Some(source), Some(hashing)) = (source, &feature.hashing) else {
                values.push(String::new());
                continue;
            };
            let value = source.value(patient, &hashing.format).map_err(|rule| Unfit {
                feature: feature.identifier.clone(),
                rule,
            })?;
            is_known |= !value.is_empty();
            values.push(match &hashing.missing {
                Some(missing) if value.is_empty() => missing.sentinel.clone(),
                _ => value,
            });
        }
        if !is_known {
            return Err(Unfit {
                feature: "(all)".to_owned(),
                rule: "something to link by",
            });
        }
        encoder.encode(&values.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

impl Source {
    /// The value in the form the feature wants; empty where there is none. Several values stand side by side with a blank between.
    fn value(&self, patient: Node<'_, '_>, format: &Format) -> Result<String, &'static str> {
        let context = Context::new(patient, &[]);
        let found = self
            .path
            .evaluate(&context, Item::Element(context.resource))
            .map_err(|_| "an expression with an answer")?;
        let mut value = String::new();
        for item in found.as_slice() {
            let text = item.to_text().ok_or("an expression that gives texts")?.into_line();
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(&text);
        }
        if let Format::Date(format) = format {
            return Ok(match value.parse::<Date>() {
                Ok(date) if value.len() == 10 => format.write(date),
                // A year, or a year and a month, is no birth date to compare.
                _ if value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && value.len() <= 7 => String::new(),
                _ => value,
            });
        }
        if !self.accents {
            value = without_accents(&value);
        }
        Ok(match self.case {
            Some(Case::Upper) => value.to_uppercase(),
            Some(Case::Lower) => value.to_lowercase(),
            None => value,
        })
    }
}

/// Letters without their accents, in their own case.
fn without_accents(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut plain = Vec::new();
    for letter in text.chars().filter(|letter| !words::is_combining(*letter)) {
        if letter.is_ascii() {
            out.push(letter);
            continue;
        }
        plain.clear();
        words::fold(letter, &mut plain);
        let plain = String::from_utf8_lossy(&plain);
        out.push_str(&if letter.is_uppercase() {
            plain.to_uppercase()
        } else {
            plain.into_owned()
        });
    }
    out
}

fn sources(schema: &Schema, features: &Table, faults: &mut Faults) -> Vec<Option<Source>> {
    for name in features.keys().filter(|name| !schema.used().any(|used| used == *name)) {
        faults.add(format!("feature.{name}"), "is no feature that the schema uses");
    }
    let read = |feature: &super::feature::Feature| {
        feature.hashing.as_ref()?;
        let place = format!("feature.{}.", feature.identifier);
        let Some(Value::Table(table)) = features.get(&feature.identifier) else {
            let what = "is missing: a feature of the schema is fed from a patient's names, birth date, sex or postal code, or is `ignored`";
            faults.add(place.trim_end_matches('.'), what);
            return None;
        };
        source(table, &place, faults)
    };
    schema.features.iter().map(read).collect()
}

fn source(table: &Table, place: &str, faults: &mut Faults) -> Option<Source> {
    only(table, &["path", "case", "accents"], place, faults);
    let expression = text(table, "path", place, faults);
    let case = match table.get("case").map(Value::as_str) {
        None => None,
        Some(Some("upper")) => Some(Case::Upper),
        Some(Some("lower")) => Some(Case::Lower),
        Some(_) => {
            faults.add(format!("{place}case"), "must be upper or lower");
            None
        }
    };
    let accents = match table.get("accents") {
        None => true,
        Some(Value::Boolean(accents)) => *accents,
        Some(_) => {
            faults.add(format!("{place}accents"), "must be true or false");
            true
        }
    };
    if expression.is_empty() {
        return None;
    }
    match compile(&expression) {
        Ok(path) => Some(Source { path, case, accents }),
        Err(what) => {
            faults.add(format!("{place}path"), what);
            None
        }
    }
}

/// The expression, if it reads of a Patient only what may be linked by.
fn compile(expression: &str) -> Result<Path, String> {
    let type_id = TypeId::of("Patient").ok_or("R4 has no Patient")?;
    let names = Names {
        pure: true,
        ..Names::default()
    };
    let start = Start {
        focus: Some(vec![type_id]),
        resource: Some(vec![type_id]),
        strict: true,
    };
    let path = Path::compile(expression, &names, &start).map_err(|error| {
        format!(
            "is not usable FHIRPath at line {} column {}: {}",
            error.line, error.column, error.message
        )
    })?;
    let root = Place {
        path: "Patient".to_owned(),
        type_id,
    };
    let mut reads = Reads::default();
    let given = reads.add(&path, &root, std::slice::from_ref(&root));
    reads.take_whole(given);
    let beyond = reads.touched().find(|place| !PARTS.contains(place) && !VALUES.contains(place));
    let beyond = beyond.or_else(|| reads.whole().find(|place| !VALUES.contains(place)));
    if let Some(place) = beyond {
        return Err(format!(
            "reads `{place}`: linkage may read names, birth date, sex and postal code, and nothing else"
        ));
    }
    if !reads.touched().any(|place| VALUES.contains(&place)) {
        return Err("reads nothing of the patient".to_owned());
    }
    Ok(path)
}

/// Whether a secret can guard a project's linkage keys.
/// # Errors: what is wrong with it.
pub fn check_secret(secret: &Secret) -> Result<(), &'static str> {
    let bytes = secret.expose();
    if bytes.len() < SECRET_BYTES {
        return Err("it is shorter than 32 bytes");
    }
    let mut seen = [false; 256];
    bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    if seen.iter().filter(|seen| **seen).count() < DIFFERENT_BYTES {
        return Err("it was not drawn at random: it repeats a few signs");
    }
    Ok(())
}

fn section<'t>(parent: &'t Table, key: &str, place: &str, faults: &mut Faults) -> &'t Table {
    static EMPTY: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::new);
    match parent.get(key) {
        Some(Value::Table(table)) => table,
        Some(_) => {
            faults.add(format!("{place}{key}"), "must be a section");
            &EMPTY
        }
        None => {
            faults.add(format!("{place}{key}"), "is missing; add a section of this name");
            &EMPTY
        }
    }
}

fn text(table: &Table, key: &str, place: &str, faults: &mut Faults) -> String {
    match table.get(key) {
        Some(Value::String(text)) if !text.trim().is_empty() => text.clone(),
        Some(_) => {
            faults.add(format!("{place}{key}"), "must be a text that is not empty");
            String::new()
        }
        None => {
            // A section that is missing was reported already.
            if !table.is_empty() {
                faults.add(format!("{place}{key}"), "is missing");
            }
            String::new()
        }
    }
}

fn only(table: &Table, known: &[&str], place: &str, faults: &mut Faults) {
    for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
        faults.add(
            format!("{place}{key}"),
            format!("is not a setting; known here: {}", known.join(", ")),
        );
    }
}
