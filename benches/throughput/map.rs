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

/// The best of a few passes over the folder: wall time, and processor time of all threads.
pub(crate) struct Best {
    pub wall: Duration,
    pub processor: Duration,
}

/// Models that the built-in package has.
pub(crate) fn models() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let entries = std::fs::read_dir(folder).expect("the mappings are beside the code");
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// `None` when the model cannot be mapped without more than the folder (a vocabulary that the site obtains).
pub(crate) fn best_pass(model: &str, folder: &Path, threads: usize) -> Option<Best> {
    let network = Package::BuiltIn.load(model).ok()?;
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
    let mut best = Best {
        wall: Duration::MAX,
        processor: Duration::MAX,
    };
    for _ in 0..PASSES {
        let (start, spent) = (Instant::now(), processor());
        let outcome = map_folder(&rules, &job, None, &|_, _| ()).ok()?;
        best.wall = best.wall.min(start.elapsed());
        best.processor = best.processor.min(processor() - spent);
        assert!(outcome.counts.resources_balance());
    }
    Some(best)
}

const PASSES: usize = 9;

/// Processor time of this process so far, user and system, all threads; to a hundredth of a second. Linux's `/proc`.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in brackets, may hold spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(10 * ticks)
}
