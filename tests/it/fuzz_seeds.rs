//! Every seed of the fuzz targets, through the very code that libFuzzer calls: what once broke something stays mended.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// How many seeds there were.
fn run_all(target: &str, run: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    for seed in &seeds {
        println!("{}", seed.display());
        run(&fs::read(seed).unwrap());
    }
    seeds.len()
}

#[test]
fn no_seed_breaks_the_parser_of_expressions() {
    assert!(run_all("expression", targets::expression::run) >= 15);
}

#[test]
fn no_seed_breaks_the_evaluator() {
    assert!(run_all("evaluate", targets::evaluate::run) >= 25);
}

#[test]
fn no_seed_breaks_a_loader_of_mapping_files() {
    assert!(run_all("mapping", targets::mapping::run) >= 14);
}
