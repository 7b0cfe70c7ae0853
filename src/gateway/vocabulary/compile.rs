//! Athena's CSV files to the index: concepts by id, ids by vocabulary and code, and the valid "Maps to" rows.
//! One pass over each file; lines are read one by one, so that memory does not grow with the files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use rusqlite::{Connection, params};

use super::{FILES, VocabularyError};
use crate::map::vocabulary::{ConceptLine, RelationshipLine, places};
use crate::platform::database;
use crate::platform::index_file;
use crate::platform::secret::{Sha256, hex};

const SCHEMA: &str = "
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE concept (id INTEGER PRIMARY KEY, domain INTEGER NOT NULL, standard INTEGER NOT NULL, name TEXT NOT NULL) STRICT;
CREATE TABLE code (
    vocabulary INTEGER NOT NULL, code TEXT NOT NULL, concept INTEGER NOT NULL, valid INTEGER NOT NULL,
    PRIMARY KEY (vocabulary, code)
) STRICT, WITHOUT ROWID;
CREATE TABLE maps_to (source INTEGER NOT NULL, target INTEGER NOT NULL, PRIMARY KEY (source, target)) STRICT, WITHOUT ROWID;
";

/// Of several concepts with one code: a valid one, then the older.
const CODE: &str = "INSERT INTO code VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET concept = excluded.concept, \
    valid = excluded.valid WHERE (1 - excluded.valid, excluded.concept) < (1 - valid, concept)";

/// Every how many lines progress is told.
const TOLD: u64 = 100_000;

/// Builds the index of the files in `folder` at `path`.
/// # Errors: a file that is not Athena's, with its line; the index cannot be written.
pub(super) fn compile(folder: &Path, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), VocabularyError> {
    let size = |name: &str| folder.join(name).metadata().map_or(0, |about| about.len());
    let mut reading = Reading {
        folder,
        done: 0,
        all: FILES.iter().map(|name| size(name)).sum(),
        progress,
        digest: Sha256::new(),
    };
    index_file::build(path, |index| fill(index, &mut reading))
}

fn fill(index: &mut Connection, reading: &mut Reading<'_>) -> Result<(), VocabularyError> {
    let explained = |error: rusqlite::Error| VocabularyError::Index(database::explain(Path::new("vocabulary index"), error));
    let transaction = index.transaction().map_err(explained)?;
    transaction.execute_batch(SCHEMA).map_err(explained)?;
    let mut concepts = 0u64;
    {
        let mut words = HashMap::new();
        let mut word = |text: &str| -> rusqlite::Result<i64> {
            if let Some(id) = words.get(text) {
                return Ok(*id);
            }
            transaction.prepare_cached("INSERT INTO word (text) VALUES (?1)")?.execute([text])?;
            let id = transaction.last_insert_rowid();
            words.insert(text.to_owned(), id);
            Ok(id)
        };
        let mut insert = transaction
            .prepare("INSERT INTO concept VALUES (?1, ?2, ?3, ?4)")
            .map_err(explained)?;
        let mut code = transaction.prepare(CODE).map_err(explained)?;
        reading.lines(FILES[0], ConceptLine::COLUMNS, |fields| {
            let line = ConceptLine::of(fields).ok_or("`concept_id` is no number")?;
            let mut enter = || -> rusqlite::Result<()> {
                insert.execute(params![line.id, word(line.domain)?, line.standard, line.name])?;
                code.execute(params![word(line.vocabulary)?, line.code, line.id, line.valid])?;
                Ok(())
            };
            enter().map_err(|_| "stands twice, or the index could not be written")?;
            concepts += 1;
            Ok(())
        })?;
        let mut maps = transaction
            .prepare("INSERT OR IGNORE INTO maps_to VALUES (?1, ?2)")
            .map_err(explained)?;
        reading.lines(FILES[1], RelationshipLine::COLUMNS, |fields| {
            let line = RelationshipLine::of(fields).ok_or("a concept id is no number")?;
            if line.counts {
                maps.execute([line.from, line.to]).map_err(|_| "the index could not be written")?;
            }
            Ok(())
        })?;
    }
    let mut release = String::new();
    if reading.folder.join(FILES[2]).exists() {
        // Athena writes the release of the whole download beside the vocabulary `None`.
        reading.lines(FILES[2], &["vocabulary_id", "vocabulary_version"], |fields| {
            if let ["None", version] = fields {
                (*version).clone_into(&mut release);
            }
            Ok(())
        })?;
    }
    let digest = hex(&std::mem::take(&mut reading.digest).finish());
    for (name, value) in [("release", release), ("digest", digest), ("concepts", concepts.to_string())] {
        transaction
            .execute("INSERT INTO about VALUES (?1, ?2)", [name, &value])
            .map_err(explained)?;
    }
    transaction.commit().map_err(explained)
}

struct Reading<'r> {
    folder: &'r Path,
    done: u64,
    all: u64,
    progress: &'r mut dyn FnMut(u64, u64),
    digest: Sha256,
}

impl Reading<'_> {
    /// Calls `take` with the wanted columns of each line.
    /// # Errors: the file and line, and what is wrong.
    fn lines(
        &mut self,
        name: &str,
        wanted: &[&str],
        mut take: impl FnMut(&[&str]) -> Result<(), &'static str>,
    ) -> Result<(), VocabularyError> {
        let path = self.folder.join(name);
        let unusable = |what: String| VocabularyError::Unusable { path: path.clone(), what };
        let unreadable = |error: std::io::Error| unusable(format!("cannot be read as UTF-8 text ({})", error.kind()));
        let mut file = BufReader::with_capacity(1 << 20, File::open(&path).map_err(unreadable)?);
        let mut line = String::new();
        let mut columns = None;
        for number in 1u64.. {
            line.clear();
            let read = file.read_line(&mut line).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            self.digest.update(line.as_bytes());
            self.done += read as u64;
            if number % TOLD == 0 {
                (self.progress)(self.done, self.all);
            }
            let text = line.trim_end_matches(['\n', '\r']);
            let Some(columns) = &columns else {
                columns = Some(places(name, text, wanted).map_err(unusable)?);
                continue;
            };
            if text.is_empty() {
                continue;
            }
            let fields = pick(text, columns).ok_or("has too few columns");
            let done = fields.and_then(|fields| take(&fields));
            done.map_err(|fault| unusable(format!("line {number}: {fault}")))?;
        }
        (self.progress)(self.done, self.all);
        Ok(())
    }
}

fn pick<'l>(line: &'l str, places: &[usize]) -> Option<Vec<&'l str>> {
    let all: Vec<_> = line.split('\t').collect();
    places.iter().map(|place| all.get(*place).copied()).collect()
}
