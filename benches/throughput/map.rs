//! The whole offline path, files to files: read, validate against the network's profiles, map to every table of the
//! `ibd-registry` model, write. With one thread and with two, beside simd-json merely reading the same bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use headwater::fhir::tree::Limits;
use headwater::gateway::offline::{Format, Job, map_folder};
use headwater::network::Package;

/// Lines grouped into one file per resource type, as an export would give them.
pub(crate) fn write_folder(lines: &[Vec<u8>], folder: &Path) {
    let mut types: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for line in lines {
        let text = std::str::from_utf8(line).expect("NDJSON is UTF-8");
        let resource_type = text.split('"').nth(3).unwrap_or("Resource");
        let file = types.entry(resource_type.to_owned()).or_default();
        file.extend_from_slice(line);
        file.push(b'\n');
    }
    for (name, bytes) in types {
        let mut file = std::fs::File::create(folder.join(format!("{name}.ndjson"))).expect("a temporary file");
        file.write_all(&bytes).expect("a temporary file");
    }
}

/// The best of a few passes over the folder, as wall time.
pub(crate) fn best_pass(folder: &Path, threads: usize) -> Duration {
    let network = Package::BuiltIn.load("ibd-registry").expect("the built-in package loads");
    let rules = network.under("safe-harbor").expect("the built-in policy compiles");
    let out = tempfile::tempdir().expect("a temporary folder");
    let job = Job {
        data: folder,
        out: out.path(),
        threads,
        limits: Limits::default(),
        format: Format::Ndjson,
        today: jiff::Timestamp::UNIX_EPOCH,
    };
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let outcome = map_folder(&rules, &job, None, &|_, _| ()).expect("the folder can be mapped");
        best = best.min(start.elapsed());
        assert!(outcome.counts.resources_balance());
    }
    best
}
