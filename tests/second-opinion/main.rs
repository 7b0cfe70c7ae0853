//! A second opinion of resources: fhirbolt's Element reader, which others wrote, beside our own structure check. Over all the
//! reference data, and over changes of it that no data has, each difference between the two stands in `expected/` and its class
//! has a reason in `reasons`: a new difference fails, and one that is gone fails as well.
//!
//! The reference data stands below `HEADWATER_SHARED` (default: `../shared` beside the repository); where it is absent the tests
//! say that they are skipped. With `HEADWATER_WRITE_DIFFERENCES=1` they write what they find into `expected/`.

#![allow(
    clippy::disallowed_methods,
    reason = "what the tests write is no patient's and need not survive a crash"
)]

mod changes;
mod data;
mod opinion;
mod reasons;
mod rewrite;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use changes::CHANGES;
use headwater::fhir::tree::{Limits, Node, Tree};
use opinion::{Asked, Opinion, Verdict, without_numbers};
use reasons::REASONS;
use rewrite::{Change, to_text};

/// Threads that read files.
const THREADS: usize = 2;
/// Of each file so many resources are changed, and only those of so many bytes: what comes after is more of the same.
const CHANGED: usize = 25;
const CHANGED_BYTES: usize = 16 << 10;

fn reference_data() -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let data = std::env::var_os("HEADWATER_SHARED").map_or(project, PathBuf::from).join("data");
    if data.is_dir() {
        return Some(data);
    }
    println!("skipped: no reference data (set HEADWATER_SHARED)");
    None
}

/// What was found, by what is told apart, and how often.
type Found = BTreeMap<String, usize>;

/// How many resources were looked at, and what came of it.
#[derive(Default)]
struct Count {
    resources: usize,
    accepted: usize,
    refused: usize,
    differ: usize,
}

impl Count {
    fn add(&mut self, verdict: &Verdict) {
        self.resources += 1;
        *match verdict {
            Verdict::Accepted => &mut self.accepted,
            Verdict::Refused(_) => &mut self.refused,
            Verdict::Differ(_) => &mut self.differ,
        } += 1;
    }

    fn line(&self, of: &str) -> String {
        let Count {
            resources,
            accepted,
            refused,
            differ,
        } = self;
        format!("{of}\t{resources} compared: both accept {accepted}, both refuse {refused}, differ {differ}\n")
    }
}

#[test]
fn each_difference_over_all_data_has_its_reason() {
    let Some(data) = reference_data() else { return };
    let files = data::files(&data).expect("the data can be listed");
    let opinion = Opinion::new();
    let next = AtomicUsize::new(0);
    let all: Mutex<(BTreeMap<String, Count>, Found)> = Mutex::default();
    let read = || {
        let mut tree = Tree::new();
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            for document in data::documents(&data, file).expect("a file can be read") {
                let (mut count, mut found) = (Count::default(), Found::new());
                for text in document.resources() {
                    let verdict = opinion.beside_fhirbolts(&mut tree, text, Asked::Rules);
                    count.add(&verdict);
                    match verdict {
                        Verdict::Accepted => {}
                        Verdict::Refused(why) => *found.entry(format!("{}\tboth refuse, {why}\t", document.name)).or_default() += 1,
                        Verdict::Differ(differences) => {
                            for difference in differences {
                                let line = format!("{}\t{}\t{}", document.name, difference.class, difference.path);
                                *found.entry(line).or_default() += 1;
                            }
                        }
                    }
                }
                let folder = document.name.split('/').next().unwrap_or_default().to_owned();
                let mut all = all.lock().expect("no thread has failed");
                let sum = all.0.entry(folder).or_default();
                sum.resources += count.resources;
                sum.accepted += count.accepted;
                sum.refused += count.refused;
                sum.differ += count.differ;
                all.1.extend(found);
            }
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| _ = scope.spawn(read)));
    let (counts, found) = all.into_inner().expect("no thread has failed");
    let counts = counts.iter().filter(|(_, count)| count.resources > 0);
    let head: String = counts.map(|(folder, count)| count.line(folder)).collect();
    hold("data.txt", &head, "file, class, element, resources", &found);
}

#[test]
fn each_difference_over_changes_of_sound_resources_has_its_reason() {
    let Some(data) = reference_data() else { return };
    let opinion = Opinion::new();
    let (mut tree, mut other) = (Tree::new(), Tree::new());
    let mut seen = HashSet::new();
    let (mut count, mut found) = (Count::default(), Found::new());
    for file in data::files(&data).expect("the data can be listed") {
        for document in data::documents(&data, &file).expect("a file can be read") {
            for text in document.resources().take(CHANGED).filter(|text| text.len() <= CHANGED_BYTES) {
                let Ok(root) = tree.parse(text, &Limits::default()) else { continue };
                if opinion.beside_fhirbolts(&mut other, text, Asked::Rules) != Verdict::Accepted {
                    continue;
                }
                every(root, &mut |node| {
                    let path = without_numbers(&node.path());
                    for (number, (what, applies, write)) in CHANGES.iter().enumerate() {
                        // Of one element, one of its kind is enough.
                        if !applies(node) || !seen.insert((path.clone(), node.kind() as u8, number)) {
                            continue;
                        }
                        let changed = to_text(root, Change::At(node.index(), write));
                        let verdict = opinion.beside_fhirbolts(&mut other, &changed, Asked::Structure);
                        count.add(&verdict);
                        if let Verdict::Differ(differences) = verdict {
                            let classes: BTreeSet<String> = differences.into_iter().map(|difference| difference.class).collect();
                            for class in classes {
                                // Where we have nothing to object to, it matters what we let pass.
                                let element = if class.starts_with("we refuse") { "" } else { node.name().as_str() };
                                *found.entry(format!("{what}\t{class}\t{element}")).or_default() += 1;
                            }
                        }
                    }
                });
            }
        }
    }
    hold(
        "changes.txt",
        &count.line("all"),
        "change, class, element if we accept it, changed resources",
        &found,
    );
}

/// Every node below `node`.
fn every<'t, 'a>(node: Node<'t, 'a>, look: &mut impl FnMut(Node<'t, 'a>)) {
    for child in node.children() {
        look(child);
        every(child, look);
    }
}

/// What was found is what is expected, to the line, and every class of it has a reason.
fn hold(file: &str, head: &str, columns: &str, found: &Found) {
    println!("{head}");
    let without: BTreeSet<&str> = classes(found).filter(|class| reason(class).is_none()).collect();
    let lines = found.iter().map(|(line, count)| format!("{}\t{count}\n", line.trim_end()));
    let text = format!("{head}# {columns}\n{}", lines.collect::<String>());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("expected").join(file);
    if std::env::var_os("HEADWATER_WRITE_DIFFERENCES").is_some() {
        std::fs::write(&path, &text).expect("`expected/` can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let lines = |text: &str| -> BTreeSet<String> { text.lines().map(str::to_owned).collect() };
    let (found, expected) = (lines(&text), lines(&expected));
    let new: Vec<&String> = found.difference(&expected).collect();
    let gone: Vec<&String> = expected.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "{file}: new: {new:#?}\ngone: {gone:#?}");
    assert!(without.is_empty(), "{file}: classes without a reason: {without:#?}");
}

/// The classes of the differences in lines of `expected/`.
fn classes(found: &Found) -> impl Iterator<Item = &str> {
    let classes = found.keys().filter_map(|line| line.split('\t').nth(1));
    classes.filter(|class| !class.starts_with("both refuse"))
}

fn reason(class: &str) -> Option<&'static str> {
    let found = REASONS.iter().find(|(classes, _)| classes.contains(&class));
    found.map(|(_, reason)| *reason)
}

#[test]
fn no_reason_is_left_over() {
    let mut expected = Found::new();
    for text in [include_str!("expected/data.txt"), include_str!("expected/changes.txt")] {
        let lines = text.lines().skip_while(|line| !line.starts_with('#')).skip(1);
        expected.extend(lines.map(|line| (line.to_owned(), 1)));
    }
    let used: BTreeSet<&str> = classes(&expected).collect();
    let all: Vec<&str> = REASONS.iter().flat_map(|(classes, _)| classes.iter().copied()).collect();
    let left: Vec<&&str> = all.iter().filter(|class| !used.contains(*class)).collect();
    assert!(left.is_empty(), "reasons for what does not differ: {left:#?}");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "one class, one reason");
}
