//! A data set as an EHR sees it: a folder of NDJSON files that nobody touches, and over it the changes of later days.
//! Files are read as streams; only the changes are held in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;

use super::error::SimulateError;
use super::span;

/// A folder of `<Type>*.ndjson[.gz]` files and what changed since.
#[derive(Clone)]
pub struct World {
    files: Arc<BTreeMap<String, Vec<PathBuf>>>,
    changes: BTreeMap<String, BTreeMap<String, Change>>,
    /// How many days have passed over the folder.
    pub(super) days: usize,
}

/// What became of one resource.
#[derive(Clone)]
pub(super) enum Change {
    Edited { line: Arc<str>, at: Timestamp },
    Added { line: Arc<str>, at: Timestamp },
    Deleted { at: Timestamp, patient: Option<String> },
}

/// A place in one type's lines: file and offset of a line in it (after decompression), or a number among the added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) at: u64,
}

/// One resource as it stands now.
pub(super) struct Entry<'l> {
    pub(super) line: &'l [u8],
    pub(super) place: Place,
    /// When a change made it what it is; None for a line of the folder.
    pub(super) changed: Option<Timestamp>,
}

impl Entry<'_> {
    /// The line as text; None if it is not UTF-8.
    pub(super) fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.line).ok()
    }
}

impl World {
    /// Lists the folder's files; the type is the letters a file's name begins with.
    pub fn open(folder: &Path) -> Result<Self, SimulateError> {
        let mut files: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let entries = std::fs::read_dir(folder).map_err(|error| SimulateError::file("read folder", folder, error))?;
        for entry in entries {
            let path = entry.map_err(|error| SimulateError::file("read folder", folder, error))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let kind: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
            if (name.ends_with(".ndjson") || name.ends_with(".ndjson.gz")) && kind.starts_with(|first: char| first.is_ascii_uppercase()) {
                files.entry(kind).or_default().push(path);
            }
        }
        if files.is_empty() {
            return Err(SimulateError::NoFiles(folder.to_owned()));
        }
        files.values_mut().for_each(|paths| paths.sort());
        Ok(Self {
            files: Arc::new(files),
            changes: BTreeMap::new(),
            days: 0,
        })
    }

    /// Resource types, sorted.
    pub fn kinds(&self) -> BTreeSet<&str> {
        self.files.keys().chain(self.changes.keys()).map(String::as_str).collect()
    }

    /// Calls `visit` with every line of a type as it stands now, in the folder's order, the added ones last.
    pub fn for_each_line(&self, kind: &str, visit: &mut dyn FnMut(&[u8])) -> Result<(), SimulateError> {
        self.scan(kind, Place::default(), &mut |entry| {
            visit(entry.line);
            ControlFlow::Continue(())
        })
    }

    /// Visits a type's resources from a place on, until told to stop.
    pub(super) fn scan(&self, kind: &str, from: Place, visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>) -> Result<(), SimulateError> {
        let none = BTreeMap::new();
        let changes = self.changes.get(kind).unwrap_or(&none);
        let paths = self.files.get(kind).map_or(&[][..], Vec::as_slice);
        let mut line = Vec::new();
        for (file, path) in paths.iter().enumerate().skip(from.file) {
            let mut at = if file == from.file { from.at } else { 0 };
            let mut reader = open(path, at).map_err(|error| SimulateError::file("read", path, error))?;
            loop {
                line.clear();
                let length = reader
                    .read_until(b'\n', &mut line)
                    .map_err(|error| SimulateError::file("read", path, error))?;
                if length == 0 {
                    break;
                }
                let place = Place { file, at };
                at += length as u64;
                while line.last().is_some_and(u8::is_ascii_whitespace) {
                    line.pop();
                }
                if line.is_empty() {
                    continue;
                }
                let change = if changes.is_empty() {
                    None
                } else {
                    id(&line).and_then(|id| changes.get(id))
                };
                let entry = match change {
                    None | Some(Change::Added { .. }) => Entry {
                        line: &line,
                        place,
                        changed: None,
                    },
                    Some(Change::Deleted { .. }) => continue,
                    Some(Change::Edited { line, at }) => Entry {
                        line: line.as_bytes(),
                        place,
                        changed: Some(*at),
                    },
                };
                if visit(entry).is_break() {
                    return Ok(());
                }
            }
        }
        let skip = if from.file >= paths.len() {
            usize::try_from(from.at).unwrap_or(usize::MAX)
        } else {
            0
        };
        let added = changes.values().filter_map(|change| match change {
            Change::Added { line, at } => Some((line, *at)),
            Change::Edited { .. } | Change::Deleted { .. } => None,
        });
        for (number, (line, at)) in added.enumerate().skip(skip) {
            let place = Place {
                file: paths.len(),
                at: number as u64,
            };
            if visit(Entry {
                line: line.as_bytes(),
                place,
                changed: Some(at),
            })
            .is_break()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Deleted resources of a type: id, when, and whose they were.
    pub(super) fn deleted(&self, kind: &str) -> impl Iterator<Item = (&str, Timestamp, Option<&str>)> {
        self.changes
            .get(kind)
            .into_iter()
            .flatten()
            .filter_map(|(id, change)| match change {
                Change::Deleted { at, patient } => Some((id.as_str(), *at, patient.as_deref())),
                Change::Edited { .. } | Change::Added { .. } => None,
            })
    }

    /// Puts a change in place; what was added in an earlier day stays an addition to the folder.
    pub(super) fn change(&mut self, kind: &str, id: &str, change: Change) {
        let changes = self.changes.entry(kind.to_owned()).or_default();
        let change = match (changes.get(id), change) {
            (Some(Change::Added { .. }), Change::Edited { line, at }) => Change::Added { line, at },
            (_, change) => change,
        };
        changes.insert(id.to_owned(), change);
    }
}

/// The `id` of a line.
pub(super) fn id(line: &[u8]) -> Option<&str> {
    span::get_plain(std::str::from_utf8(line).ok()?, "id")
}

/// Elements that lead from a resource to its patient.
const TO_PATIENT: &[&str] = &["subject", "patient", "individual", "beneficiary", "for"];

/// The id of the patient whose compartment a resource is in.
pub(super) fn patient<'l>(kind: &str, line: &'l str) -> Option<&'l str> {
    if kind == "Patient" {
        return span::get_plain(line, "id");
    }
    for (name, value) in span::members(line) {
        if TO_PATIENT.contains(&name)
            && let Some(patient) = span::get_plain(value, "reference").and_then(|reference| target(reference, "Patient"))
        {
            return Some(patient);
        }
        // Provenance names its targets, a patient's Provenance the patient among them.
        if kind == "Provenance" && name == "target" {
            let targets = span::items(value);
            return targets
                .iter()
                .find_map(|item| span::get_plain(item, "reference").filter(|reference| reference.contains("Patient/")))
                .and_then(|reference| target(reference, "Patient"));
        }
    }
    None
}

/// The id in a reference to a type: `Type/id`, `http…/Type/id[/_history/v]` or `urn:uuid:id`.
pub(super) fn target<'r>(reference: &'r str, kind: &str) -> Option<&'r str> {
    if let Some(id) = reference.strip_prefix("urn:uuid:") {
        return Some(id);
    }
    let reference = reference.split("/_history/").next().unwrap_or(reference);
    let (before, id) = reference.rsplit_once('/')?;
    (before == kind || before.strip_suffix(kind).is_some_and(|base| base.ends_with('/'))).then_some(id)
}

/// The file from an offset on, decompressed where its name says it is gzip.
fn open(path: &Path, at: u64) -> std::io::Result<Box<dyn BufRead>> {
    let mut file = File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut reader = BufReader::with_capacity(64 * 1024, MultiGzDecoder::new(BufReader::new(file)));
        std::io::copy(&mut Read::take(&mut reader, at), &mut std::io::sink())?;
        return Ok(Box::new(reader));
    }
    file.seek(SeekFrom::Start(at))?;
    Ok(Box::new(BufReader::with_capacity(64 * 1024, file)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(world: &World, kind: &str) -> Vec<String> {
        let mut lines = Vec::new();
        world
            .for_each_line(kind, &mut |line| lines.push(String::from_utf8(line.to_vec()).unwrap()))
            .unwrap();
        lines
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| File::create(folder.path().join(name)).unwrap().write_all(bytes).unwrap();
        write("Observation.1.ndjson", b"{\"id\":\"a\"}\n\n{\"id\":\"b\"}\r\n");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"{\"id\":\"c\"}\n{\"id\":\"d\"}").unwrap();
        write("Observation.2.ndjson.gz", &gzip.finish().unwrap());
        write("ObservationDefinition.ndjson", b"{\"id\":\"z\"}\n");
        write("log.ndjson", b"{}\n");
        write("notes.txt", b"");
        folder
    }

    #[test]
    fn reads_plain_and_gzip_files_of_a_type_in_order() {
        let folder = folder();
        let world = World::open(folder.path()).unwrap();
        assert_eq!(
            world.kinds().into_iter().collect::<Vec<_>>(),
            ["Observation", "ObservationDefinition"]
        );
        assert_eq!(
            lines(&world, "Observation"),
            [r#"{"id":"a"}"#, r#"{"id":"b"}"#, r#"{"id":"c"}"#, r#"{"id":"d"}"#]
        );
    }

    #[test]
    fn a_scan_can_begin_at_any_place_it_has_told() {
        let folder = folder();
        let mut world = World::open(folder.path()).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        world.change("Observation", "b", Change::Deleted { at: now, patient: None });
        world.change(
            "Observation",
            "c",
            Change::Edited {
                line: r#"{"id":"c","v":2}"#.into(),
                at: now,
            },
        );
        world.change(
            "Observation",
            "e",
            Change::Added {
                line: r#"{"id":"e"}"#.into(),
                at: now,
            },
        );
        world.change(
            "Observation",
            "f",
            Change::Added {
                line: r#"{"id":"f"}"#.into(),
                at: now,
            },
        );
        let all = lines(&world, "Observation");
        assert_eq!(all.join(""), r#"{"id":"a"}{"id":"c","v":2}{"id":"d"}{"id":"e"}{"id":"f"}"#);
        let mut places = Vec::new();
        let mut note = |entry: Entry<'_>| {
            places.push(entry.place);
            ControlFlow::Continue(())
        };
        world.scan("Observation", Place::default(), &mut note).unwrap();
        for (skipped, place) in places.iter().enumerate() {
            let mut rest = Vec::new();
            let mut keep = |entry: Entry<'_>| {
                rest.push(entry.text().unwrap().to_owned());
                ControlFlow::Continue(())
            };
            world.scan("Observation", *place, &mut keep).unwrap();
            assert_eq!(rest, all[skipped..]);
        }
    }

    #[test]
    fn finds_the_patient_behind_every_kind_of_reference() {
        for reference in [
            "Patient/p1",
            "urn:uuid:p1",
            "http://ehr.example/fhir/Patient/p1",
            "https://x/Patient/p1/_history/2",
        ] {
            let line = format!(r#"{{"resourceType":"Observation","id":"o","subject":{{"reference":"{reference}"}}}}"#);
            assert_eq!(patient("Observation", &line), Some("p1"));
        }
        assert_eq!(patient("Observation", r#"{"subject":{"reference":"Group/p1"}}"#), None);
        assert_eq!(patient("Patient", r#"{"id":"p1"}"#), Some("p1"));
    }

    #[test]
    fn a_folder_without_resources_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(World::open(empty.path()), Err(SimulateError::NoFiles(_))));
    }
}
