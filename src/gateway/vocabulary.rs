//! A site's OMOP vocabularies: Athena's CSV files, compiled once into an index that is mapped into memory, so that millions
//! of concepts open at once and cost shared pages only. A changed file gives another index; a half-built one is never found.
//! Athena's files are the site's own (several vocabularies need a licence): none travel with the gateway.

mod compile;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use rusqlite::{Connection, OptionalExtension, Row};

use crate::map::vocabulary::{Concept, Vocabulary};
use crate::platform::database::{self, DatabaseError};
use crate::platform::file::{self, FileError, Lock, LockError};
use crate::platform::index_file;
use crate::platform::secret::{Sha256, hex};

/// Changes whenever the index's tables do.
const FORM: &str = "headwater-vocabulary/1";

/// The files an index is made of; the last may be missing.
const FILES: [&str; 3] = ["CONCEPT.csv", "CONCEPT_RELATIONSHIP.csv", "VOCABULARY.csv"];

/// Why a vocabulary cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    #[error(
        "{0}: is not there; download the vocabularies from Athena and unpack CONCEPT.csv and CONCEPT_RELATIONSHIP.csv into this folder"
    )]
    Missing(PathBuf),
    #[error("{path}: {what}")]
    Unusable { path: PathBuf, what: String },
    #[error("the vocabulary's index could not be built")]
    Index(#[from] DatabaseError),
    #[error("the vocabulary's index has no place")]
    Place(#[from] FileError),
    #[error(transparent)]
    Busy(#[from] LockError),
}

/// One release of vocabularies, open for reading.
pub struct Athena {
    index: Mutex<Connection>,
    release: String,
    digest: String,
    concepts: u64,
    fault: OnceLock<String>,
}

impl std::fmt::Debug for Athena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Athena({}, {} concepts)", self.release, self.concepts)
    }
}

impl Athena {
    /// The vocabularies whose CSV files stand in `folder`. Their index is kept in `cache` and built if it is not there yet;
    /// `progress` is told the bytes read and all bytes.
    /// # Errors: a file is missing or is not Athena's; the index cannot be written.
    pub fn open(folder: &Path, cache: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Self, VocabularyError> {
        let path = cache.join(format!("vocabulary-{}.index", stamp(folder)?));
        if !path.exists() {
            file::create_dir_private(cache)?;
            let _alone = Lock::acquire(&cache.join("vocabulary.lock"))?;
            index_file::sweep(cache)?;
            // Another process may have built it meanwhile.
            if !path.exists() {
                compile::compile(folder, &path, progress)?;
            }
        }
        let index = index_file::open(&path)?;
        let about = |name: &str| {
            let text = "SELECT value FROM about WHERE name = ?1";
            let found = index.query_row(text, [name], |row| row.get::<_, String>(0));
            found.map_err(|error| database::explain_on(&index, error))
        };
        let (release, digest, concepts) = (about("release")?, about("digest")?, about("concepts")?);
        Ok(Self {
            release,
            digest,
            concepts: concepts.parse().unwrap_or(0),
            index: Mutex::new(index),
            fault: OnceLock::new(),
        })
    }

    /// How many concepts it has.
    pub fn concepts(&self) -> u64 {
        self.concepts
    }

    /// What `work` finds; after a fault nothing, and the fault is remembered.
    fn ask<T: Default>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
        match database::read(&self.index, work) {
            Ok(found) => found,
            Err(error) => {
                let _ = self.fault.set(error.to_string());
                T::default()
            }
        }
    }
}

/// The columns of `concept` that make a `Concept`, with its domain as a word.
const CONCEPT: &str = "SELECT concept.id, word.text, concept.name, concept.standard FROM";

fn concept(row: &Row<'_>) -> rusqlite::Result<Concept> {
    Ok(Concept {
        id: row.get(0)?,
        domain: Arc::from(row.get_ref(1)?.as_str()?),
        name: Arc::from(row.get_ref(2)?.as_str()?),
        standard: row.get(3)?,
    })
}

impl Vocabulary for Athena {
    fn source(&self, vocabulary: &str, code: &str) -> Option<Concept> {
        self.ask(|index| {
            let text = format!(
                "{CONCEPT} code JOIN concept ON concept.id = code.concept JOIN word ON word.id = concept.domain \
                 WHERE code.vocabulary = (SELECT id FROM word WHERE text = ?1) AND code.code = ?2"
            );
            index.prepare_cached(&text)?.query_row([vocabulary, code], concept).optional()
        })
    }

    fn concept(&self, id: u32) -> Option<Concept> {
        self.ask(|index| {
            let text = format!("{CONCEPT} concept JOIN word ON word.id = concept.domain WHERE concept.id = ?1");
            index.prepare_cached(&text)?.query_row([id], concept).optional()
        })
    }

    fn standard(&self, asked: &Concept) -> Vec<Concept> {
        let (maps, targets) = self.ask(|index| {
            let maps = "SELECT count(*) FROM maps_to WHERE source = ?1";
            let maps: i64 = index.prepare_cached(maps)?.query_row([asked.id], |row| row.get(0))?;
            let text = format!(
                "{CONCEPT} maps_to JOIN concept ON concept.id = maps_to.target JOIN word ON word.id = concept.domain \
                 WHERE maps_to.source = ?1 AND concept.standard ORDER BY concept.id"
            );
            let mut statement = index.prepare_cached(&text)?;
            let targets = statement.query_map([asked.id], concept)?.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((maps, targets))
        });
        if maps == 0 && asked.standard {
            vec![asked.clone()]
        } else {
            targets
        }
    }

    fn release(&self) -> &str {
        &self.release
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn fault(&self) -> Option<String> {
        self.fault.get().cloned()
    }
}

/// Tells two states of the folder apart without reading the files: names, sizes, times.
fn stamp(folder: &Path) -> Result<String, VocabularyError> {
    let mut sha = Sha256::new();
    sha.update(FORM.as_bytes());
    for (at, name) in FILES.iter().enumerate() {
        let path = folder.join(name);
        let Ok(about) = fs::metadata(&path) else {
            if at < 2 {
                return Err(VocabularyError::Missing(path));
            }
            continue;
        };
        let changed = about
            .modified()
            .ok()
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        sha.update(name.as_bytes());
        sha.update(&about.len().to_le_bytes());
        sha.update(&changed.unwrap_or_default().as_nanos().to_le_bytes());
    }
    Ok(hex(&sha.finish()[..16]))
}

#[cfg(test)]
mod tests;
