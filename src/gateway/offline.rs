//! The offline path: a folder of NDJSON in, one file per table out, still identified. What mapping authors and benches use:
//! the same validate and map as the nightly run, without landing, ledger or network.

mod outcome;
mod part;

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::deidentify::{Deidentifier, Keys, PeopleBuilder, PersonRecord, RuleHits, patient_key};
use crate::fhir::tree::{Limits, Node};
use crate::map::derive::Gathered;
use crate::map::{self, Lookups, MapStats, Mapped};
use crate::platform::{file, secret};
use crate::refusal::{Refusal, Step};
use crate::validate;

use super::blocks::{Block, Blocks};
use super::derived;
use super::folder::{FolderError, Input, inputs, reader};
use super::pipeline;
use super::report::{unmapped, unmapped_codes};
use super::site::Rules;
use super::steps::{Bench, lines, map_resource};
use part::Part;

pub use outcome::{Outcome, RefusedLine, SHOWN};
pub use part::Format;

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
    let mut writers = writers(rules, job)?;
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
        append(&mut writers, &part)?;
        stats.merge(std::mem::take(&mut part.stats));
        rules.derivations.merge(&mut gathered, std::mem::take(&mut part.gathered));
        outcome.add(part, &rules.model);
        progress(outcome.counts.total(|t| t.pulled), outcome.bytes);
        Ok(())
    };
    pipeline::run(job.threads, next, worker, put)?;
    let part = derived_rows(rules, job, deidentifier.as_ref(), &gathered);
    append(&mut writers, &part)?;
    outcome.add(part, &rules.model);
    for (path, writer) in &mut writers {
        writer.flush().map_err(|source| unwritten(path, source))?;
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

/// Each table's file, in the order of tables.
type Writers = Vec<(PathBuf, BufWriter<File>)>;

fn unwritten(path: &Path, source: std::io::Error) -> OfflineError {
    OfflineError::Io {
        path: path.to_owned(),
        what: "cannot be written",
        source,
    }
}

fn writers(rules: &Rules, job: &Job<'_>) -> Result<Writers, OfflineError> {
    let mut writers = Vec::new();
    for (_, table) in rules.model.tables() {
        let ending = if job.format == Format::Csv { "csv" } else { "ndjson" };
        let path = job.out.join(format!("{}.{ending}", table.name));
        // Identified unless de-identified: for the owner's eyes.
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let mut writer = BufWriter::with_capacity(1 << 18, file.map_err(|source| unwritten(&path, source))?);
        if job.format == Format::Csv {
            let head: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
            writeln!(writer, "{}", head.join(",")).map_err(|source| unwritten(&path, source))?;
        }
        writers.push((path, writer));
    }
    Ok(writers)
}

fn append(writers: &mut Writers, part: &Part) -> Result<(), OfflineError> {
    for ((path, writer), bytes) in writers.iter_mut().zip(&part.tables) {
        writer.write_all(bytes).map_err(|source| unwritten(path, source))?;
    }
    Ok(())
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
    let (mut released, mut hits) = (Vec::new(), RuleHits::new());
    let mut worker = deidentifier.map(Deidentifier::worker);
    for (line_number, line) in lines(block.first_line, &block.bytes) {
        let mut resource_type = input.resource_type.as_str();
        let done = bench.read(line, &job.limits).and_then(|root| {
            resource_type = root.resource_type().unwrap_or(resource_type);
            let fate = map_resource(rules, lookups, root, &mut mapped)?;
            if let (map::Fate::Mapped, Some(worker)) = (fate, &mut worker) {
                released.clear();
                worker.deidentify(&mapped, &mut released, &mut hits)?;
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
                    part.write(&rules.model, job.format, &mapped);
                }
                derived::gather(rules, &mapped, &mut part.gathered);
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

/// The rows of the tables that no single resource fills.
fn derived_rows(rules: &Rules, job: &Job<'_>, deidentifier: Option<&Deidentifier>, gathered: &Gathered) -> Part {
    let mut part = Part::of(rules);
    let date = job.today.strftime("%Y-%m-%d").to_string();
    let facts = derived::facts(rules, date, deidentifier.is_some());
    let mut released = Vec::new();
    let done = rules.derivations.rows(&rules.model, gathered, &facts, |row| {
        let row = row.map_err(|(place, rule)| Refusal::new(Step::Map, place, rule));
        let done = row.and_then(|row| match deidentifier {
            None => {
                part.write(&rules.model, job.format, row);
                Ok(())
            }
            Some(deidentifier) => {
                released.clear();
                deidentifier.worker().deidentify(row, &mut released, &mut RuleHits::new())?;
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
