//! The whole offline path, files to files: read, validate against the network's profiles, map to every table of each
//! model, write. With one thread and with two, beside simd-json merely reading the same bytes. A model that looks codes
//! up gets a vocabulary made of the input's own codes, each standard, so that every one of them makes its row.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater::fhir::name::Name;
use headwater::fhir::tree::{Kind, Limits, Node, Tree};
use headwater::gateway::offline::{Format, Job, map_folder};
use headwater::map::vocabulary::{MemoryVocabulary, Vocabulary};
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

/// The best of a few passes over the folder: wall time, processor time of all threads, and of the one that began it, to the nanosecond.
pub(crate) struct Best {
    pub wall: Duration,
    pub processor: Duration,
    pub thread: Duration,
}

/// Models that the built-in package has.
pub(crate) fn models() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let entries = std::fs::read_dir(folder).expect("the mappings are beside the code");
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Every code of the lines as a standard concept, of the domain in which its type of resource belongs.
pub(crate) fn vocabulary_of(lines: &[Vec<u8>]) -> Arc<dyn Vocabulary> {
    let (mut tree, limits, mut codes) = (Tree::new(), Limits::default(), BTreeSet::new());
    for line in lines {
        let Ok(root) = tree.parse(line, &limits) else { continue };
        let domain = match root.resource_type() {
            Some("Observation" | "DiagnosticReport") => "Measurement",
            Some("MedicationRequest" | "Immunization") => "Drug",
            Some("Condition") => "Condition",
            Some("Procedure") => "Procedure",
            Some("Encounter") => "Visit",
            Some("AllergyIntolerance") => "Observation",
            _ => continue,
        };
        gather(root, domain, &mut codes);
    }
    let mut concepts =
        "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\tinvalid_reason\n".to_owned();
    for ((vocabulary, code, domain), id) in codes.iter().zip(2_000_000_000u32..) {
        writeln!(concepts, "{id}\t{code}\t{domain}\t{vocabulary}\tx\tS\t{code}\t").expect("a text takes all");
    }
    let relationships = "concept_id_1\tconcept_id_2\trelationship_id\tinvalid_reason\n";
    Arc::new(MemoryVocabulary::parse(&concepts, relationships, "bench").expect("the bench's own vocabulary is sound"))
}

fn gather(node: Node<'_, '_>, domain: &'static str, codes: &mut BTreeSet<(&'static str, String, &'static str)>) {
    let text = |name| node.get(name).filter(|text| text.kind() == Kind::String).map(Node::text);
    if let (Some(system), Some(code)) = (text(Name::SYSTEM), text(Name::CODE)) {
        let known = match &*system {
            "http://loinc.org" => Some(("LOINC", domain)),
            "http://snomed.info/sct" => Some(("SNOMED", domain)),
            "http://www.nlm.nih.gov/research/umls/rxnorm" => Some(("RxNorm", domain)),
            "http://hl7.org/fhir/sid/cvx" => Some(("CVX", domain)),
            "http://unitsofmeasure.org" => Some(("UCUM", "Unit")),
            _ => None,
        };
        codes.extend(known.map(|(vocabulary, domain)| (vocabulary, code.into_owned(), domain)));
    }
    node.children().for_each(|child| gather(child, domain, codes));
}

/// How a folder is mapped: by so many threads, and de-identified under a policy or not.
pub(crate) type Way = (usize, Option<&'static str>);

/// The best of a few rounds of each way, one after the other in each round; `None` when the model cannot be mapped.
pub(crate) fn best_passes<const N: usize>(
    model: &str,
    folder: &Path,
    vocabulary: &Arc<dyn Vocabulary>,
    ways: [Way; N],
) -> Option<[Best; N]> {
    let mut network = Package::BuiltIn.load(model).ok()?;
    network.vocabulary = Some(Arc::clone(vocabulary));
    let under = |policy: Option<&str>| {
        network
            .under(policy.unwrap_or("safe-harbor"))
            .expect("the built-in policy compiles")
    };
    let rules = ways.map(|(_, policy)| under(policy));
    let (out, keys) = (folder_of_ours(), folder_of_ours());
    write_key(keys.path());
    let mut best = ways.map(|_| Best {
        wall: Duration::MAX,
        processor: Duration::MAX,
        thread: Duration::MAX,
    });
    for _ in 0..PASSES {
        for ((best, (threads, policy)), rules) in best.iter_mut().zip(ways).zip(&rules) {
            let job = Job {
                data: folder,
                out: out.path(),
                threads,
                limits: Limits::default(),
                format: Format::Ndjson,
                today: jiff::Timestamp::UNIX_EPOCH,
            };
            let (start, spent, ran) = (Instant::now(), processor(), thread());
            let outcome = map_folder(rules, &job, policy.map(|_| keys.path()), &|_, _| ()).ok()?;
            best.wall = best.wall.min(start.elapsed());
            best.processor = best.processor.min(processor() - spent);
            best.thread = best.thread.min(thread() - ran);
            assert!(outcome.counts.resources_balance());
        }
    }
    Some(best)
}

fn folder_of_ours() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A master key for the bench.
fn write_key(folder: &Path) {
    let mut file = std::fs::File::options();
    let file = file.write(true).create(true).mode(0o600).open(folder.join("pseudonym.key"));
    let key = "7".repeat(64);
    file.and_then(|mut file| file.write_all(key.as_bytes())).expect("a temporary file");
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

/// Processor time of this thread. Linux's `/proc`.
fn thread() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split_whitespace().next().and_then(|ran| ran.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
