//! How fast lines are read, in one thread and from memory: our span tree beside simd-json's tape of the same bytes.
//! Ratios are the result; the figures are this machine's.
//!
//! Input: the files named by `HEADWATER_BENCH` (`:` between them, `.gz` or plain), or the Synthea files below
//! `HEADWATER_SHARED`, or lines made here. `cargo bench --bench throughput -- parse|validate|view|map` runs one part.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints what it measured by the machine's clock"
)]

#[path = "throughput/map.rs"]
mod map;
#[path = "throughput/validate.rs"]
mod profiles;
#[path = "throughput/view.rs"]
mod view;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headwater::fhir::tree::{Limits, Tree};
use headwater::validate::{self, Profiles};

fn main() {
    let corpus = Corpus::load();
    println!("{}: {:.1} MB, {} lines", corpus.name, corpus.megabytes(), corpus.lines.len());
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|asked| asked == part);
    if wanted("parse") {
        // The first is what the others are compared with.
        corpus.race(&mut [
            Runner::new("simd-json tape", tape_parse()),
            Runner::new("span tree", tree_parse()),
            Runner::new("span tree and structure check", validate(Profiles::default())),
        ]);
    }
    if wanted("validate") {
        let mut runners = vec![
            Runner::new("simd-json tape", tape_parse()),
            Runner::new("structure check", validate(Profiles::default())),
            Runner::new("our own profiles", validate(profiles::own())),
        ];
        if let Some(us_core) = profiles::us_core() {
            runners.push(Runner::new("US Core 6.1.0", validate(us_core)));
        }
        corpus.race(&mut runners);
    }
    if wanted("view") {
        observations(&corpus);
    }
    if wanted("map") {
        map_files(&corpus);
    }
}

fn observations(corpus: &Corpus) {
    let observations = corpus.only("Observation");
    println!(
        "Observations: {:.1} MB, {} lines",
        observations.megabytes(),
        observations.lines.len()
    );
    observations.race(&mut [
        Runner::new("simd-json tape", tape_parse()),
        Runner::new("six-column view to NDJSON", view::six_columns()),
    ]);
}

/// `headwater map`, files to files, with one thread and with two, and de-identified.
fn map_files(corpus: &Corpus) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    map::write_folder(&corpus.lines, folder.path());
    let vocabulary = map::vocabulary_of(&corpus.lines);
    let mut tape = [Runner::new("simd-json tape", tape_parse())];
    corpus.race(&mut tape);
    for model in map::models() {
        println!("map to {model}, files to files:");
        let policies = ["limited-data-set", "safe-harbor"];
        let ways = [(1, None), (2, None), (1, Some(policies[0])), (1, Some(policies[1]))];
        let Some([one, two, limited, safe]) = map::best_passes(&model, folder.path(), &vocabulary, ways) else {
            println!("  skipped: it needs more than the resources");
            continue;
        };
        let speed = |time: Duration| corpus.megabytes() / time.as_secs_f64();
        let of_tape = |time: Duration| tape[0].best.as_secs_f64() / time.as_secs_f64();
        println!(
            "  one thread   {:>6.0} MB/s  {:.2} of the tape; by processor time {:.0} MB/s, {:.2}",
            speed(one.wall),
            of_tape(one.wall),
            speed(one.processor),
            of_tape(one.processor)
        );
        println!(
            "  two threads  {:>6.0} MB/s  {:.2} times one, for {:.2} times the processor time",
            speed(two.wall),
            one.wall.as_secs_f64() / two.wall.as_secs_f64(),
            two.processor.as_secs_f64() / one.processor.as_secs_f64()
        );
        for (policy, best) in policies.iter().zip([limited, safe]) {
            println!(
                "  de-identified under {policy}, one thread: {:.0} % of it is de-identification",
                100.0 * (1.0 - one.thread.as_secs_f64() / best.thread.as_secs_f64())
            );
        }
    }
}

type Step = Box<dyn FnMut(&[u8]) -> usize>;

/// One way to read a line: gives how much it saw, so that nothing is optimised away.
struct Runner {
    name: &'static str,
    step: Step,
    best: Duration,
}

impl Runner {
    fn new(name: &'static str, step: impl FnMut(&[u8]) -> usize + 'static) -> Runner {
        let step = Box::new(step);
        let best = Duration::MAX;
        Runner { name, step, best }
    }

    fn pass(&mut self, lines: &[Vec<u8>]) {
        let start = Instant::now();
        for line in lines {
            assert!(std::hint::black_box((self.step)(line)) > 0, "{} reads every line", self.name);
        }
        self.best = self.best.min(start.elapsed());
    }
}

/// Parses each line into the same tree.
fn tree_parse() -> impl FnMut(&[u8]) -> usize {
    let mut tree = Tree::new();
    let limits = Limits::default();
    move |line| tree.parse(line, &limits).map_or(0, |root| root.children().count())
}

/// Parses each line and holds it to FHIR R4 and to profiles; a refused line has been read, too.
fn validate(profiles: Profiles) -> impl FnMut(&[u8]) -> usize {
    let mut tree = Tree::new();
    let limits = Limits::default();
    move |line| {
        let parsed = tree.parse(line, &limits);
        parsed.map_or(0, |root| 1 + usize::from(validate::validate(&profiles, root).is_ok()))
    }
}

/// Parses a copy of each line (simd-json writes into its input) with buffers that are kept.
fn tape_parse() -> impl FnMut(&[u8]) -> usize {
    let mut copy = Vec::new();
    let mut buffers = simd_json::Buffers::default();
    let mut kept = simd_json::Tape::null();
    move |line| {
        copy.clear();
        copy.extend_from_slice(line);
        let mut tape = std::mem::replace(&mut kept, simd_json::Tape::null()).reset();
        let parsed = simd_json::fill_tape(&mut copy, &mut buffers, &mut tape);
        let nodes = parsed.map_or(0, |()| tape.0.len());
        kept = tape.reset();
        nodes
    }
}

/// Lines in memory.
struct Corpus {
    name: String,
    lines: Vec<Vec<u8>>,
}

impl Corpus {
    fn load() -> Corpus {
        let files = named_files();
        let mut lines = Vec::new();
        for file in &files {
            let text = read(file);
            lines.extend(
                text.split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .map(<[u8]>::to_vec),
            );
        }
        if lines.is_empty() {
            return Corpus {
                name: "made here".to_owned(),
                lines: (0..20_000).map(made_line).collect(),
            };
        }
        Corpus {
            name: format!("{} files", files.len()),
            lines,
        }
    }

    /// The lines of one resource type.
    fn only(&self, type_name: &str) -> Corpus {
        let start = format!("{{\"resourceType\":\"{type_name}\"");
        Corpus {
            name: type_name.to_owned(),
            lines: self
                .lines
                .iter()
                .filter(|line| line.starts_with(start.as_bytes()))
                .cloned()
                .collect(),
        }
    }

    fn megabytes(&self) -> f64 {
        self.lines.iter().map(Vec::len).sum::<usize>() as f64 / 1e6
    }

    /// Prints MB/s of each runner's best pass, and its ratio to the first. They take turns, so that a noisy machine is
    /// noisy for all.
    fn race(&self, runners: &mut [Runner]) {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10) {
            for runner in runners.iter_mut() {
                runner.pass(&self.lines);
            }
        }
        let first = runners[0].best.as_secs_f64();
        for runner in runners {
            let seconds = runner.best.as_secs_f64();
            println!(
                "{:<32} {:>6.0} MB/s  {:.2}",
                runner.name,
                self.megabytes() / seconds,
                first / seconds
            );
        }
    }
}

fn named_files() -> Vec<PathBuf> {
    if let Ok(names) = std::env::var("HEADWATER_BENCH") {
        return names.split(':').map(PathBuf::from).collect();
    }
    let shared = std::env::var("HEADWATER_SHARED").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared").to_owned());
    let folder = Path::new(&shared).join("data/synthea/r4-100");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    files.sort();
    files
}

fn read(file: &Path) -> Vec<u8> {
    let bytes = std::fs::read(file).expect("the bench's input is readable");
    if file.extension().is_none_or(|ending| ending != "gz") {
        return bytes;
    }
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice())
        .read_to_end(&mut text)
        .expect("the bench's input is gzip");
    text
}

fn made_line(number: usize) -> Vec<u8> {
    format!(
        concat!(
            r#"{{"resourceType":"Observation","id":"o{0}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],"#,
            r#""code":{{"coding":[{{"system":"http://loinc.org","code":"2093-3","display":"Cholesterol [Mass/volume] in Serum or Plasma"}}]}},"subject":{{"reference":"Patient/p{1}"}},"#,
            r#""effectiveDateTime":"2024-03-{2:02}T08:30:00-05:00","valueQuantity":{{"value":{3}.{4},"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}}}"#
        ),
        number,
        number % 500,
        1 + number % 28,
        100 + number % 90,
        number % 10
    )
    .into_bytes()
}
