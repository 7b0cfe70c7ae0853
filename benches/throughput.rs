//! How fast lines are read, in one thread and from memory: our span tree beside simd-json's tape of the same bytes.
//! Ratios are the result; the figures are this machine's.
//!
//! Input: the files named by `HEADWATER_BENCH` (`:` between them, `.gz` or plain), or the Synthea files below
//! `HEADWATER_SHARED`, or lines made here.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench measures time and prints")]

#[path = "throughput/view.rs"]
mod view;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headwater::fhir::tree::{Limits, Tree};

fn main() {
    let corpus = Corpus::load();
    println!("{}: {:.1} MB, {} lines", corpus.name, corpus.megabytes(), corpus.lines.len());
    let tape = corpus.measure("simd-json tape", tape_parse());
    let tree = corpus.measure("span tree", tree_parse());
    println!("span tree / simd-json tape = {:.2}", tree / tape);

    let observations = corpus.only("Observation");
    println!(
        "Observations: {:.1} MB, {} lines",
        observations.megabytes(),
        observations.lines.len()
    );
    let tape = observations.measure("simd-json tape", tape_parse());
    let rows = observations.measure("six-column view", view::six_columns());
    println!("six-column view / simd-json tape = {:.2}", rows / tape);
}

/// Parses each line into the same tree.
fn tree_parse() -> impl FnMut(&[u8]) -> usize {
    let mut tree = Tree::new();
    let limits = Limits::default();
    move |line| tree.parse(line, &limits).map_or(0, |root| root.children().count())
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

    /// MB/s of the best of several passes over all lines.
    fn measure(&self, name: &str, mut step: impl FnMut(&[u8]) -> usize) -> f64 {
        let mut best = Duration::MAX;
        let begin = Instant::now();
        let mut passes = 0;
        while passes < 3 || begin.elapsed() < Duration::from_secs(3) {
            let start = Instant::now();
            let seen: usize = self
                .lines
                .iter()
                .map(|line| {
                    let nodes = step(line);
                    assert!(nodes > 0, "{name} reads every line");
                    nodes
                })
                .sum();
            best = best.min(start.elapsed());
            std::hint::black_box(seen);
            passes += 1;
        }
        let speed = self.megabytes() / best.as_secs_f64();
        println!("{name}: {speed:.0} MB/s (best of {passes})");
        speed
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
