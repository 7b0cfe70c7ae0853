//! A vocabulary held in memory, from Athena's CSV texts: for cases and tests. A real release belongs into an index on disk.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Concept, Vocabulary};

/// A small vocabulary.
#[derive(Debug, Default)]
pub struct MemoryVocabulary {
    concepts: HashMap<u32, Concept>,
    codes: HashMap<(String, String), (bool, u32)>,
    maps_to: HashMap<u32, Vec<u32>>,
    digest: String,
}

impl MemoryVocabulary {
    /// From the texts of CONCEPT.csv and CONCEPT_RELATIONSHIP.csv. `digest` tells it apart from others.
    /// # Errors: the file, line and what is wrong.
    pub fn parse(concepts: &str, relationships: &str, digest: &str) -> Result<Self, String> {
        let mut vocabulary = Self {
            digest: digest.to_owned(),
            ..Self::default()
        };
        each_line("CONCEPT.csv", concepts, ConceptLine::COLUMNS, |fields| {
            let line = ConceptLine::of(fields).ok_or("`concept_id` is no number")?;
            let key = (line.vocabulary.to_owned(), line.code.to_owned());
            let known = vocabulary.codes.get(&key).copied();
            // A valid concept before one that is not, then the older.
            if known.is_none_or(|(valid, id)| (!valid, id) > (!line.valid, line.id)) {
                vocabulary.codes.insert(key, (line.valid, line.id));
            }
            vocabulary.concepts.insert(line.id, line.concept());
            Ok(())
        })?;
        let columns = RelationshipLine::COLUMNS;
        each_line("CONCEPT_RELATIONSHIP.csv", relationships, columns, |fields| {
            let line = RelationshipLine::of(fields).ok_or("a concept id is no number")?;
            if line.counts {
                vocabulary.maps_to.entry(line.from).or_default().push(line.to);
            }
            Ok(())
        })?;
        vocabulary.maps_to.values_mut().for_each(|targets| targets.sort_unstable());
        Ok(vocabulary)
    }
}

impl Vocabulary for MemoryVocabulary {
    fn source(&self, vocabulary: &str, code: &str) -> Option<Concept> {
        let (_, id) = self.codes.get(&(vocabulary.to_owned(), code.to_owned()))?;
        self.concepts.get(id).cloned()
    }

    fn concept(&self, id: u32) -> Option<Concept> {
        self.concepts.get(&id).cloned()
    }

    fn standard(&self, concept: &Concept) -> Vec<Concept> {
        match self.maps_to.get(&concept.id) {
            Some(targets) => {
                let known = targets.iter().filter_map(|id| self.concepts.get(id));
                known.filter(|target| target.standard).cloned().collect()
            }
            None if concept.standard => vec![concept.clone()],
            None => Vec::new(),
        }
    }

    fn release(&self) -> &str {
        ""
    }

    fn digest(&self) -> &str {
        &self.digest
    }
}

/// One line of CONCEPT.csv, as far as it is needed.
pub struct ConceptLine<'l> {
    pub id: u32,
    pub name: &'l str,
    pub domain: &'l str,
    pub vocabulary: &'l str,
    pub code: &'l str,
    pub standard: bool,
    /// Not replaced, not deleted.
    pub valid: bool,
}

impl<'l> ConceptLine<'l> {
    pub const COLUMNS: &'static [&'static str] = &[
        "concept_id",
        "concept_name",
        "domain_id",
        "vocabulary_id",
        "standard_concept",
        "concept_code",
        "invalid_reason",
    ];

    /// From the fields of `COLUMNS`.
    pub fn of(fields: &[&'l str]) -> Option<Self> {
        let [id, name, domain, vocabulary, standard, code, invalid] = *fields else {
            return None;
        };
        let valid = invalid.is_empty();
        Some(Self {
            id: id.parse().ok()?,
            name,
            domain,
            vocabulary,
            code,
            standard: standard == "S" && valid,
            valid,
        })
    }

    pub fn concept(&self) -> Concept {
        Concept {
            id: self.id,
            domain: Arc::from(self.domain),
            name: Arc::from(self.name),
            standard: self.standard,
        }
    }
}

/// One line of CONCEPT_RELATIONSHIP.csv.
pub struct RelationshipLine {
    pub from: u32,
    pub to: u32,
    /// A valid "Maps to".
    pub counts: bool,
}

impl RelationshipLine {
    pub const COLUMNS: &'static [&'static str] = &["concept_id_1", "concept_id_2", "relationship_id", "invalid_reason"];

    /// From the fields of `COLUMNS`.
    pub fn of(fields: &[&str]) -> Option<Self> {
        let [from, to, relationship, invalid] = *fields else { return None };
        Some(Self {
            from: from.parse().ok()?,
            to: to.parse().ok()?,
            counts: relationship == "Maps to" && invalid.is_empty(),
        })
    }
}

/// Calls `take` with the wanted columns of each line of a tab-separated file with a head.
/// # Errors: the file, its line and what is wrong; a wanted column that the head does not name.
fn each_line<'t>(
    file: &str,
    text: &'t str,
    wanted: &[&str],
    mut take: impl FnMut(&[&'t str]) -> Result<(), &'static str>,
) -> Result<(), String> {
    let mut lines = text.lines();
    let places = places(file, lines.next().unwrap_or_default(), wanted)?;
    for (at, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
        let all: Vec<_> = line.split('\t').collect();
        let fields: Option<Vec<_>> = places.iter().map(|place| all.get(*place).copied()).collect();
        let done = fields.ok_or("has too few columns").and_then(|fields| take(&fields));
        done.map_err(|fault| format!("{file}:{}: {fault}", at + 2))?;
    }
    Ok(())
}

/// Where the wanted columns stand, by the head of the file.
/// # Errors: a column the head does not name.
pub fn places(file: &str, head: &str, wanted: &[&str]) -> Result<Vec<usize>, String> {
    let names: Vec<_> = head.split('\t').map(|name| name.trim().to_ascii_lowercase()).collect();
    let place = |wanted: &&str| {
        let found = names.iter().position(|name| name == wanted);
        found.ok_or_else(|| {
            format!("{file}: has no column `{wanted}`; Athena's files are tab-separated and begin with their columns' names")
        })
    };
    wanted.iter().map(place).collect()
}
