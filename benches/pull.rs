//! What a pull costs beside a plain parallel download of the same files: wall time, the client's processor time, its memory.
//! Ratios are the result; the figures are this machine's. `cargo bench --bench pull [-- CASE…]`; never part of the tests.
//!
//! The server is this process. Each client is a process of its own, so that its processor time and its peak memory are its
//! alone; the clients take turns, so that a noisy machine is noisy for all.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints what it measured by the machine's clock"
)]

#[path = "pull/client.rs"]
mod client;
#[path = "pull/server.rs"]
mod server;

use std::process::{Command, Stdio};

use client::{Kind, Spent};
use server::{Case, Content};

/// Of every number below, the middle one of so many rounds is told.
const ROUNDS: usize = 5;
/// A paced round takes long, and is the steadier for it.
const PACED_ROUNDS: usize = 3;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let threads = tokio::runtime::Runtime::new().expect("a runtime");
    if let [kind, base] = &words[..]
        && let Some(kind) = Kind::named(kind)
    {
        let spent = threads.block_on(client::run(kind, base));
        println!("{}", spent.to_line());
        return;
    }
    let cases: Vec<Case> = cases()
        .into_iter()
        .filter(|case| words.is_empty() || words.iter().any(|word| word == case.name))
        .collect();
    let bases = threads.block_on(server::start(&cases));
    for (case, base) in cases.iter().zip(bases) {
        measure(case, &base);
    }
}

fn cases() -> Vec<Case> {
    let plain = Content::generate();
    let zipped = plain.gzipped();
    let line = plain.first_line();
    let case = |name, what, files, repeats, content: &Content, paced| Case {
        name,
        what,
        files,
        repeats,
        content: content.clone(),
        paced,
    };
    vec![
        case("files", "25 files of 10 MB", 25, 1, &plain, false),
        case("files-paced", "the same at 20 MB/s, 20 ms away", 25, 1, &plain, true),
        case("gzip", "the same, sent as gzip", 25, 1, &zipped, false),
        case("tiny", "20,000 files of one line", 20_000, 1, &line, false),
        case("tiny-paced", "the same at 20 MB/s, 20 ms away", 20_000, 1, &line, true),
        case("one", "one file of 2 GB", 1, 200, &plain, false),
    ]
}

/// Lets the clients take turns, and prints the middle of what each spent, and of its ratio to the first in the same round.
fn measure(case: &Case, base: &str) {
    println!("{}: {} ({:.0} MB)", case.name, case.what, case.plain_bytes() as f64 / 1e6);
    // Two gigabytes of plain text on the disk would measure the disk.
    let kinds: &[Kind] = if case.plain_bytes() > 1 << 30 {
        &[Kind::Discard, Kind::Pull]
    } else {
        &[Kind::Discard, Kind::Disk, Kind::Pull]
    };
    let rounds = if case.paced { PACED_ROUNDS } else { ROUNDS };
    let mut spent: Vec<Vec<Spent>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (kind, spent) in kinds.iter().zip(&mut spent) {
            let seen = in_a_process(*kind, base);
            assert_eq!(seen.bytes, case.bytes_for(*kind), "{} took everything", kind.name());
            spent.push(seen);
        }
    }
    for (kind, mine) in kinds.iter().zip(&spent) {
        let ratio = |of: fn(&Spent) -> f64| middle(mine.iter().zip(&spent[0]).map(|(mine, first)| of(mine) / of(first)));
        println!(
            "  {:<36} {:>7.2} s  {:>5.2}   {:>6.2} CPU s  {:>5.2}   {:>4.0} MiB",
            kind.name(),
            middle(mine.iter().map(|spent| spent.wall)),
            ratio(|spent| spent.wall),
            middle(mine.iter().map(|spent| spent.cpu)),
            ratio(|spent| spent.cpu),
            mine.iter().map(|spent| spent.peak_mib).fold(0.0, f64::max),
        );
    }
}

fn in_a_process(kind: Kind, base: &str) -> Spent {
    let me = std::env::current_exe().expect("this program has a file");
    let output = Command::new(me)
        .args([kind.word(), base])
        .stderr(Stdio::inherit())
        .output()
        .expect("this program runs");
    let text = String::from_utf8(output.stdout).expect("a client prints text");
    Spent::of_line(text.trim()).unwrap_or_else(|| panic!("{} failed", kind.name()))
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
