//! The offline path: a folder of NDJSON in, one file per table out, still identified. What mapping authors and benches use:
//! the same validate and map as the nightly run, without landing, ledger or network.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cdm::{Cell, Model, Table, TableId, csv};
use crate::deidentify::{self, Deidentified, Deidentifier, Keys, PeopleBuilder, PersonRecord, patient_key};
use crate::fhir::tree::{Limits, Node};
use crate::map::derive::{Gathered, RunFacts};
use crate::map::{self, Lookups, MapStats, Mapped};
use crate::platform::{file, secret};
use crate::refusal::{Refusal, Step};
use crate::validate;

use super::blocks::{Block, Blocks};
use super::counts::{Counts, TypeCounts};
use super::folder::{FolderError, Input, inputs, reader};
use super::pipeline;
use super::report::{Unmapped, UnmappedCode, unmapped, unmapped_codes};
use super::site::Rules;
use super::steps::{Bench, lines, map_resource};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Ndjson,
    Csv,
}

/// What to map, and where to.
#[derive(Debug)]
pub struct Job<'a> {
    pub data: &'a Path,
    pub out: &'a Path,
    pub threads: usize,
    pub limits: Limits,
    pub format: Format,
    /// The day ages are reckoned at.
    pub today: jiff::Timestamp,
}

/// Why the offline path stopped.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{path}: {what}")]
    Io {
        path: PathBuf,
        what: &'static str,
        source: std::io::Error,
    },
    #[error("the output folder could not be made")]
    File(#[from] file::FileError),
    #[error("the vocabulary could not be read ({0}); nothing mapped since counts, so the run stopped")]
    Vocabulary(String),
    #[error("{0}")]
    Setup(String),
}

/// A refused line, for the person who maps: file, line, type, path and rule; never a value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RefusedLine {
    pub file: String,
    pub line: u64,
    pub resource_type: String,
    pub refusal: String,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub counts: Counts,
    /// Codes without a concept, by table and column.
    pub unmapped: Vec<Unmapped>,
    /// Those codes, the most frequent first.
    pub unmapped_codes: Vec<UnmappedCode>,
    /// Further codes that were met after there was no room to keep different ones.
    pub unmapped_beyond: u64,
    /// The vocabulary's release; empty without one.
    pub vocabulary: String,
    pub rows: BTreeMap<String, u64>,
    /// Bytes of NDJSON read, unpacked.
    pub bytes: u64,
    /// The first refusals, at most [`SHOWN`].
    pub refused: Vec<RefusedLine>,
}

/// How many refusals are kept to be shown; all are counted.
pub const SHOWN: usize = 100;

/// What one block gave.
#[derive(Default)]
struct Part {
    tables: Vec<Vec<u8>>,
    rows: Vec<u64>,
    types: BTreeMap<String, TypeCounts>,
    excluded: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
    withheld: BTreeMap<Arc<str>, u64>,
    lines: Vec<RefusedLine>,
    stats: MapStats,
    gathered: Gathered,
    bytes: u64,
}

/// Maps every resource of the folder, and de-identifies the rows where `keys` names the folder of a `pseudonym.key`.
/// The same bytes come out for any number of threads.
/// # Errors: no input, a file that cannot be read or written.
pub fn map_folder(
    rules: &Rules,
    job: &Job<'_>,
    keys: Option<&Path>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Outcome, OfflineError> {
    let inputs = inputs(job.data)?;
    let lookups = lookups(rules, &job.limits, &inputs)?;
    let deidentifier = keys.map(|keys| deidentifier(rules, job, &inputs, keys)).transpose()?;
    file::create_dir_private(job.out)?;
    let mut writers = Vec::new();
    for (_, table) in rules.model.tables() {
        let ending = if job.format == Format::Csv { "csv" } else { "ndjson" };
        let path = job.out.join(format!("{}.{ending}", table.name));
        // Identified unless de-identified: for the owner's eyes.
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| OfflineError::Io {
                path: path.clone(),
                what: "cannot be written",
                source,
            })?;
        let mut writer = BufWriter::with_capacity(1 << 18, file);
        if job.format == Format::Csv {
            let head: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
            writeln!(writer, "{}", head.join(",")).map_err(|source| OfflineError::Io {
                path: path.clone(),
                what: "cannot be written",
                source,
            })?;
        }
        writers.push((path, writer));
    }
    let mut outcome = Outcome::default();
    let mut files = inputs.iter();
    let mut open: Option<(&Input, Blocks<Box<dyn Read + Send>>)> = None;
    let next = || loop {
        if let Some((input, blocks)) = &mut open {
            let read = blocks.next().map_err(|source| OfflineError::Io {
                path: input.path.clone(),
                what: "cannot be read to its end",
                source,
            })?;
            if let Some(block) = read {
                return Ok(Some((*input, block)));
            }
        }
        match files.next() {
            Some(input) => open = Some((input, Blocks::new(reader(&input.path)?, job.limits.line_bytes))),
            None => return Ok(None),
        }
    };
    let worker = || {
        let mut bench = Bench::default();
        let (lookups, deidentifier) = (&lookups, deidentifier.as_ref());
        Ok::<_, OfflineError>(move |(input, block): (&Input, Block)| {
            let part = map_block(rules, job, lookups, deidentifier, &mut bench, input, &block);
            match lookups.fault() {
                Some(fault) => Err(OfflineError::Vocabulary(fault)),
                None => Ok::<_, OfflineError>(part),
            }
        })
    };
    let mut stats = MapStats::default();
    let mut gathered = Gathered::default();
    let put = |mut part: Part| {
        for ((path, writer), bytes) in writers.iter_mut().zip(&part.tables) {
            writer.write_all(bytes).map_err(|source| OfflineError::Io {
                path: path.clone(),
                what: "cannot be written",
                source,
            })?;
        }
        stats.merge(std::mem::take(&mut part.stats));
        rules.derivations.merge(&mut gathered, std::mem::take(&mut part.gathered));
        outcome.add(part, &rules.model);
        progress(outcome.counts.total(|t| t.pulled), outcome.bytes);
        Ok(())
    };
    pipeline::run(job.threads, next, worker, put)?;
    let part = derived(rules, job, deidentifier.as_ref(), &gathered);
    for ((path, writer), bytes) in writers.iter_mut().zip(&part.tables) {
        writer.write_all(bytes).map_err(|source| OfflineError::Io {
            path: path.clone(),
            what: "cannot be written",
            source,
        })?;
    }
    outcome.add(part, &rules.model);
    for (path, mut writer) in writers {
        writer.flush().map_err(|source| OfflineError::Io {
            path,
            what: "cannot be written",
            source,
        })?;
    }
    outcome.unmapped = unmapped(&rules.model, &stats);
    outcome.unmapped_codes = unmapped_codes(&rules.model, &stats);
    outcome.unmapped_beyond = stats.beyond();
    outcome.vocabulary = rules
        .vocabulary
        .as_ref()
        .map_or_else(String::new, |known| known.release().to_owned());
    Ok(outcome)
}

fn map_block(
    rules: &Rules,
    job: &Job<'_>,
    lookups: &Lookups,
    deidentifier: Option<&Deidentifier>,
    bench: &mut Bench,
    input: &Input,
    block: &Block,
) -> Part {
    let mut part = Part {
        bytes: block.bytes.len() as u64,
        ..Part::of(rules)
    };
    let mut mapped = Mapped::with_cache(std::mem::take(&mut bench.codes));
    let mut released = Vec::new();
    for (line_number, line) in lines(block.first_line, &block.bytes) {
        let mut resource_type = input.resource_type.as_str();
        let done = bench.read(line, &job.limits).and_then(|root| {
            resource_type = root.resource_type().unwrap_or(resource_type);
            let fate = map_resource(rules, lookups, root, &mut mapped)?;
            if let (map::Fate::Mapped, Some(deidentifier)) = (fate, deidentifier) {
                released.clear();
                deidentify::deidentify(deidentifier, &mapped, &mut released)?;
            }
            Ok(fate)
        });
        if !part.types.contains_key(resource_type) {
            part.types.entry(shown_type(resource_type)).or_default();
        }
        let known = if part.types.contains_key(resource_type) {
            resource_type
        } else {
            UNKNOWN
        };
        let Some(types) = part.types.get_mut(known) else { continue };
        types.pulled += 1;
        match done {
            Ok(map::Fate::Mapped) => {
                types.mapped += 1;
                if let Some(deidentifier) = deidentifier {
                    part.release(rules, deidentifier, &mapped, &released);
                } else {
                    write_rows(&rules.model, job.format, &mapped, &mut part);
                }
                gather(rules, &mapped, &mut part.gathered);
            }
            Ok(map::Fate::Excluded(why)) => {
                types.excluded += 1;
                *part.excluded.entry(why.to_owned()).or_default() += 1;
            }
            Err(refusal) => part.refuse(input, line_number, known, &refusal),
        }
    }
    if let Some(line) = block.overlong {
        part.types.entry(input.resource_type.clone()).or_default().pulled += 1;
        part.refuse(
            input,
            line,
            &input.resource_type.clone(),
            &Refusal::new(Step::Read, "line", "line over the limit"),
        );
    }
    part.stats = mapped.take_stats();
    bench.codes = mapped.into_cache();
    part
}

const UNKNOWN: &str = "(unknown)";

/// A resource type is a word of FHIR; anything else in its place might be a value and is not shown.
fn shown_type(text: &str) -> String {
    if crate::fhir::types::TypeId::of(text).is_some_and(crate::fhir::types::TypeId::is_resource) {
        text.to_owned()
    } else {
        UNKNOWN.to_owned()
    }
}

/// What the derived tables need of a resource's rows.
fn gather(rules: &Rules, mapped: &Mapped<'_>, gathered: &mut Gathered) {
    if rules.derivations.is_empty() {
        return;
    }
    for (table, cells) in mapped.rows().iter() {
        if rules.derivations.gathers(table) {
            rules.derivations.gather(table, cells, gathered);
        }
    }
}

/// The rows of the tables that no single resource fills.
fn derived(rules: &Rules, job: &Job<'_>, deidentifier: Option<&Deidentifier>, gathered: &Gathered) -> Part {
    let mut part = Part::of(rules);
    let release = rules.vocabulary.as_ref().map_or("", |vocabulary| vocabulary.release());
    let facts = RunFacts {
        date: job.today.strftime("%Y-%m-%d").to_string(),
        vocabulary: release.to_owned(),
        mapping: rules.mapping_digest.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        date_management: if deidentifier.is_some() { "03" } else { "01" }.to_owned(),
    };
    let mut released = Vec::new();
    let done = rules.derivations.rows(&rules.model, gathered, &facts, |row| {
        let row = row.map_err(|(place, rule)| Refusal::new(Step::Map, place, rule));
        let done = row.and_then(|row| match deidentifier {
            None => {
                write_rows(&rules.model, job.format, row, &mut part);
                Ok(())
            }
            Some(deidentifier) => {
                released.clear();
                deidentify::deidentify(deidentifier, row, &mut released)?;
                part.release(rules, deidentifier, row, &released);
                Ok(())
            }
        });
        if let Err(refusal) = done {
            part.refuse_row(&refusal);
        }
        Ok::<_, std::convert::Infallible>(())
    });
    match done {
        Ok(()) => part,
    }
}

fn write_rows(model: &Model, format: Format, mapped: &Mapped<'_>, part: &mut Part) {
    for (id, cells) in mapped.rows().iter() {
        let table = usize::from(id.0);
        let out = &mut part.tables[table];
        match format {
            Format::Ndjson => model.table(id).write_json(cells, out),
            Format::Csv => write_csv(model.table(id), cells, out),
        }
        out.push(b'\n');
        part.rows[table] += 1;
    }
}

/// One CSV record.
fn write_csv(table: &Table, cells: &[Cell<'_>], out: &mut Vec<u8>) {
    for (at, (column, cell)) in table.columns.iter().zip(cells).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match column.outward(cell) {
            Cell::Null => {}
            Cell::Text(text) => csv::write_text(&text, out),
            other => other.write_json(out),
        }
    }
}

impl Part {
    fn of(rules: &Rules) -> Self {
        let tables = rules.model.tables().count();
        Self {
            tables: vec![Vec::new(); tables],
            rows: vec![0; tables],
            ..Self::default()
        }
    }

    /// A resource's rows as they may leave; those that may not are counted.
    fn release(&mut self, rules: &Rules, by: &Deidentifier, mapped: &Mapped<'_>, released: &[Deidentified]) {
        for table in by.withheld(mapped) {
            *self.withheld.entry(table.clone()).or_default() += 1;
        }
        for row in released {
            if let Some(TableId(table)) = rules.model.find(row.table()) {
                let out = &mut self.tables[usize::from(table)];
                out.extend_from_slice(row.body().unwrap_or_default());
                out.push(b'\n');
                self.rows[usize::from(table)] += 1;
            }
        }
    }

    /// A derived row, which no resource's fate counts.
    fn refuse_row(&mut self, refusal: &Refusal) {
        let rule = format!("derived row: {} {}", refusal.path, refusal.rule);
        *self.refused.entry(rule).or_default() += 1;
    }

    fn refuse(&mut self, input: &Input, line: u64, resource_type: &str, refusal: &Refusal) {
        self.types.entry(resource_type.to_owned()).or_default().refused += 1;
        *self
            .refused
            .entry(format!("{}: {}", refusal.step.as_str(), refusal.rule))
            .or_default() += 1;
        if self.lines.len() < SHOWN {
            self.lines.push(RefusedLine {
                file: input
                    .path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                line,
                resource_type: resource_type.to_owned(),
                refusal: refusal.to_string(),
            });
        }
    }
}

impl Outcome {
    fn add(&mut self, part: Part, model: &Model) {
        for (name, types) in part.types {
            let sum = self.counts.types.entry(name).or_default();
            sum.pulled += types.pulled;
            sum.mapped += types.mapped;
            sum.excluded += types.excluded;
            sum.refused += types.refused;
        }
        for (from, to) in [(part.excluded, &mut self.counts.excluded), (part.refused, &mut self.counts.refused)] {
            for (why, number) in from {
                *to.entry(why).or_default() += number;
            }
        }
        for (table, number) in part.withheld {
            self.counts.withhold(&table, number);
        }
        for ((_, table), number) in model.tables().zip(part.rows) {
            *self.rows.entry(table.name.clone()).or_default() += number;
        }
        self.bytes += part.bytes;
        let room = SHOWN.saturating_sub(self.refused.len());
        self.refused.extend(part.lines.into_iter().take(room));
    }
}

/// What mappings look up in other resources, gathered before the first row is mapped.
pub(super) fn lookups(rules: &Rules, limits: &Limits, inputs: &[Input]) -> Result<Lookups, OfflineError> {
    let mut builder = rules.lookups();
    let types = rules.mapping.lookup_types();
    each_of(limits, inputs, &types, &mut |root| {
        if let Ok(conformant) = validate::validate(&rules.profiles, root) {
            builder.add(conformant);
        }
    })?;
    Ok(builder.finish())
}

/// De-identification without a site: surrogates hang on the key alone, so that the same folder gives the same rows.
fn deidentifier(rules: &Rules, job: &Job<'_>, inputs: &[Input], keys: &Path) -> Result<Deidentifier, OfflineError> {
    let setup = |error: &dyn std::error::Error| OfflineError::Setup(error.to_string());
    let path = keys.join("pseudonym.key");
    let master = file::read_secret(&path).map_err(|error| setup(&error))?;
    let keys = Keys::from_file(&path, "offline", "offline").map_err(|error| setup(&error))?;
    let crosswalk = secret::hkdf(&master, "headwater|offline|crosswalk");
    let mut people = PeopleBuilder::new(&keys, usize::MAX);
    let mut failed = None;
    each_of(&job.limits, inputs, &["Patient"], &mut |root| {
        let Some(patient) = patient_key(root) else { return };
        // A patient that cannot be taken in is refused, and counted, when it is mapped.
        if let Ok(record) = PersonRecord::of(&keys, root, secret::hmac_sha256(&crosswalk, patient.as_bytes()))
            && let Err(error) = people.insert(record)
        {
            failed = Some(error.to_string());
        }
    })?;
    if let Some(error) = failed {
        return Err(OfflineError::Setup(error));
    }
    let today = jiff::Timestamp::UNIX_EPOCH.max(job.today).to_zoned(jiff::tz::TimeZone::UTC).date();
    Deidentifier::new(rules.model.clone(), rules.policy.clone(), keys, people.finish(), today).map_err(|error| setup(&error))
}

/// Calls `each` with every readable resource in the files of these types.
fn each_of(limits: &Limits, inputs: &[Input], types: &[&str], each: &mut dyn FnMut(Node<'_, '_>)) -> Result<(), OfflineError> {
    let mut bench = Bench::default();
    for input in inputs.iter().filter(|input| types.contains(&input.resource_type.as_str())) {
        let mut blocks = Blocks::new(reader(&input.path)?, limits.line_bytes);
        let unreadable = |source| OfflineError::Io {
            path: input.path.clone(),
            what: "cannot be read to its end",
            source,
        };
        while let Some(block) = blocks.next().map_err(unreadable)? {
            for (_, line) in lines(block.first_line, &block.bytes) {
                if let Ok(root) = bench.read(line, limits) {
                    each(root);
                }
            }
        }
    }
    Ok(())
}
