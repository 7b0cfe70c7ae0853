#![allow(clippy::disallowed_methods, reason = "tests write the files that Athena would")]

use super::*;
use crate::map::vocabulary::MemoryVocabulary;

const CONCEPTS: &str = "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\tvalid_start_date\tvalid_end_date\tinvalid_reason
2000000001\tOne\tCondition\tA\tx\tS\t1\t19700101\t20991231\t
2000000002\tOne, old\tCondition\tA\tx\tS\t1\t19700101\t20001231\tU
2000000003\tTwo\tMeasurement\tB\tx\t\t2\t19700101\t20991231\t
2000000004\tGone\tCondition\tB\tx\tS\t3\t19700101\t20001231\tD
";
const RELATIONSHIPS: &str = "concept_id_1\tconcept_id_2\trelationship_id\tvalid_start_date\tvalid_end_date\tinvalid_reason
2000000003\t2000000001\tMaps to\t19700101\t20991231\t
2000000003\t2000000004\tMaps to\t19700101\t20991231\t
2000000003\t2000000002\tMaps to\t19700101\t20001231\tD
2000000001\t2000000003\tMapped from\t19700101\t20991231\t
";
const VOCABULARIES: &str = "vocabulary_id\tvocabulary_name\tvocabulary_reference\tvocabulary_version\tvocabulary_concept_id
A\tA\t\tA of 2020\t0
None\tOMOP Standardized Vocabularies\t\tv5.0 30-AUG-24\t0
";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in FILES.iter().zip([CONCEPTS, RELATIONSHIPS, VOCABULARIES]) {
        fs::write(folder.path().join(name), text).expect("a temporary file");
    }
    folder
}

fn open(folder: &Path, cache: &Path) -> Result<Athena, VocabularyError> {
    Athena::open(folder, cache, &mut |_, _| ())
}

#[test]
fn the_index_answers_as_the_vocabulary_in_memory_does() {
    let (folder, cache) = (folder(), tempfile::tempdir().expect("a temporary folder"));
    let athena = open(folder.path(), cache.path()).expect("the index");
    let memory = MemoryVocabulary::parse(CONCEPTS, RELATIONSHIPS, "m").expect("the same files");
    for (vocabulary, code) in [("A", "1"), ("B", "2"), ("B", "3"), ("A", "2"), ("C", "1")] {
        let (theirs, ours) = (memory.source(vocabulary, code), athena.source(vocabulary, code));
        assert_eq!(ours, theirs, "{vocabulary} {code}");
        if let Some(concept) = ours {
            assert_eq!(athena.standard(&concept), memory.standard(&concept), "{vocabulary} {code}");
        }
    }
    for id in [2_000_000_001, 2_000_000_003, 2_000_000_004, 7] {
        assert_eq!(athena.concept(id), memory.concept(id), "{id}");
    }
    assert_eq!(athena.source("A", "1").map(|concept| concept.id), Some(2_000_000_001));
    assert_eq!((athena.release(), athena.concepts(), athena.fault()), ("v5.0 30-AUG-24", 4, None));
}

#[test]
fn an_index_is_found_again_and_a_changed_file_gives_another() {
    let (folder, cache) = (folder(), tempfile::tempdir().expect("a temporary folder"));
    let first = open(folder.path(), cache.path()).expect("the index").digest().to_owned();
    let is_index = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|ending| ending == "index");
    let count = || fs::read_dir(cache.path()).expect("the folder").flatten().filter(is_index).count();
    assert_eq!(open(folder.path(), cache.path()).expect("the index").digest(), first);
    assert_eq!(count(), 1);
    fs::write(folder.path().join(FILES[1]), RELATIONSHIPS.replace("Mapped from", "Is a")).expect("a temporary file");
    assert_ne!(open(folder.path(), cache.path()).expect("the index").digest(), first);
    assert_eq!(count(), 2);
}

#[test]
fn what_a_crash_left_is_swept_away_and_never_opened() {
    let (folder, cache) = (folder(), tempfile::tempdir().expect("a temporary folder"));
    let left = cache.path().join("vocabulary-0.building");
    fs::write(&left, "half of an index").expect("a temporary file");
    let athena = open(folder.path(), cache.path()).expect("the index");
    assert_eq!(athena.concepts(), 4);
    assert!(!left.exists());
}

#[test]
fn what_is_not_athena_s_is_named_with_its_line() {
    let (folder, cache) = (folder(), tempfile::tempdir().expect("a temporary folder"));
    let fault = |name: &str, text: &str| {
        let path = folder.path().join(name);
        let before = fs::read_to_string(&path).expect("a file");
        fs::write(&path, text).expect("a temporary file");
        let error = open(folder.path(), cache.path()).expect_err("a fault").to_string();
        fs::write(&path, before).expect("a temporary file");
        error
    };
    assert!(fault(FILES[0], "concept_id,concept_name\n").contains("has no column `concept_id`"));
    assert!(fault(FILES[0], &CONCEPTS.replace("2000000003\t", "x\t")).contains("line 4: `concept_id` is no number"));
    assert!(fault(FILES[1], &RELATIONSHIPS.replace("\tMaps to", "")).contains("line 2"));
    fs::remove_file(folder.path().join(FILES[1])).expect("a temporary file");
    let missing = open(folder.path(), cache.path()).expect_err("a fault").to_string();
    assert!(missing.contains("CONCEPT_RELATIONSHIP.csv: is not there; download"), "{missing}");
}

/// As large as a real release: 2 million concepts, 3 million relationships. Writes some 250 MB into a temporary folder.
#[test]
#[ignore = "takes minutes; `cargo test --lib a_release_of_two_million -- --ignored --nocapture` prints its figures"]
fn a_release_of_two_million_concepts_opens_in_less_than_a_second_and_is_read_in_little_memory() {
    use std::io::{BufWriter, Write};
    use std::time::Instant;

    const CODES: u32 = 2_000_000;
    const FIRST: u32 = 2_000_000_000;
    let (folder, cache) = (folder(), tempfile::tempdir().expect("a temporary folder"));
    let write = |name: &str, head: &str, lines: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>| {
        let mut file = BufWriter::new(fs::File::create(folder.path().join(name)).expect("a temporary file"));
        writeln!(file, "{head}")
            .and_then(|()| lines(&mut file))
            .and_then(|()| file.flush())
            .expect("a temporary file");
    };
    let head = |text: &'static str| text.lines().next().expect("a head");
    write(FILES[0], head(CONCEPTS), &mut |file| {
        (0..CODES).try_for_each(|code| {
            let (vocabulary, standard) = if code % 2 == 0 { ("A", "S") } else { ("B", "") };
            let id = FIRST + code;
            writeln!(
                file,
                "{id}\tA concept with a name of usual length, {code}\tCondition\t{vocabulary}\tx\t{standard}\t{code}\t19700101\t20991231\t"
            )
        })
    });
    write(FILES[1], head(RELATIONSHIPS), &mut |file| {
        (0..CODES).try_for_each(|code| {
            let (id, to) = (FIRST + code, FIRST + code / 2 * 2);
            writeln!(file, "{id}\t{to}\tMaps to\t19700101\t20991231\t")?;
            if code % 2 == 0 {
                writeln!(file, "{id}\t{}\tMapped from\t19700101\t20991231\t", id + 1)?;
            }
            Ok(())
        })
    });
    let begun = Instant::now();
    drop(open(folder.path(), cache.path()).expect("the index"));
    let compiled = begun.elapsed();
    let before = resident_mib();
    let begun = Instant::now();
    let athena = open(folder.path(), cache.path()).expect("the index");
    let opened = begun.elapsed();
    let begun = Instant::now();
    for step in 0..100_000_u32 {
        let code = (step.wrapping_mul(7_919) % CODES) | 1;
        let source = athena.source("B", &code.to_string()).expect("a concept");
        assert_eq!(athena.standard(&source)[0].id, FIRST + code - 1);
    }
    let each = begun.elapsed() / 100_000;
    let more = resident_mib().saturating_sub(before);
    let index = fs::read_dir(cache.path()).expect("the folder").flatten();
    let bytes: u64 = index.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    eprintln!(
        "compiled in {compiled:.1?} to {} MB, opened in {opened:.1?}, {each:.1?} a code not asked before, {more} MiB more resident",
        bytes / 1_000_000
    );
    assert!(opened.as_secs_f64() < 1.0, "{opened:?}");
    assert_eq!(athena.concepts(), u64::from(CODES));
}

/// What the process holds in memory now, shared pages of mapped files included; 0 where the kernel does not say.
fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    let kib = line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
