//! FHIR packages: the definitions that others publish. Read from a `.tgz` in the npm form that HL7 uses (`package/*.json`), from
//! such a package unpacked into a folder, from an NDJSON file with one definition a line, or from one definition as JSON.
//! Nothing is unpacked onto the disk, and a package takes what it may take and no more, whatever its author meant.
//! Basis: HL7 "FHIR NPM Packages"; POSIX ustar and pax.

mod archive;
mod definitions;
mod tar;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::package;
use definitions::{Kept, kept};

/// Bytes of one definition. The largest value sets that HL7 publishes have about 20 MiB.
const FILE_BYTES: usize = 64 << 20;
/// Files of one package: R4's own has about 5,000.
const FILES: usize = 100_000;
/// Bytes of all of them together.
const ALL_BYTES: u64 = 1 << 30;
/// Bytes that one byte of an archive may become, above the first MiB. Packages have 6 to 20; gzip can make 1,000.
const RATIO: u64 = 200;

/// A package's definitions: StructureDefinitions, ValueSets, CodeSystems and Questionnaires.
#[derive(Clone, Debug)]
pub struct FhirPackage {
    /// As its `package.json` says it, or its file's name.
    pub name: String,
    pub version: Option<String>,
    /// Each named `package#version/file`, with its JSON.
    pub files: Vec<package::File>,
}

impl FhirPackage {
    /// The package in `path`.
    /// # Errors: what is wrong with it, its path first.
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::parts(path).map_err(|fault| format!("package `{}`: {fault}", path.display()))
    }

    fn parts(path: &Path) -> Result<Self, String> {
        let unreadable = |error: std::io::Error| format!("cannot be read ({})", error.kind());
        let found = fs::metadata(path).map_err(unreadable)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if found.is_dir() {
            return Self::folder(path, name);
        }
        let file = File::open(path).map_err(unreadable)?;
        if name.ends_with(".tgz") || name.ends_with(".tar.gz") {
            return Self::of_archive(archive::read(file, found.len())?);
        }
        if found.len() > ALL_BYTES {
            return Err(format!("is larger than {} MiB", ALL_BYTES >> 20));
        }
        let mut text = String::new();
        file.take(ALL_BYTES).read_to_string(&mut text).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
            kind => format!("cannot be read ({kind})"),
        })?;
        if let Some(stem) = name.strip_suffix(".ndjson") {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let files = lines.map(|(at, line)| (format!("{name}:{}", at + 1), line.to_owned())).collect();
            return Self::of(stem.to_owned(), None, files);
        }
        match name.strip_suffix(".json") {
            Some(stem) => Self::of(stem.to_owned(), None, vec![(name.clone(), text)]),
            None => Err("must end in .tgz, .ndjson or .json, or be a folder".to_owned()),
        }
    }

    /// A package in a folder: its `package/` if it has one, as it does when it was unpacked.
    fn folder(path: &Path, name: String) -> Result<Self, String> {
        let inner = path.join("package");
        let folder = if inner.is_dir() { inner.as_path() } else { path };
        let unreadable = |error: std::io::Error| format!("cannot be read ({})", error.kind());
        let (mut files, mut bytes) = (Vec::new(), 0);
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let is_json = path.extension().is_some_and(|ending| ending == "json");
            if is_json && path.is_file() {
                paths.push(path);
            }
        }
        paths.sort();
        for path in paths {
            let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
                continue;
            };
            let size = fs::metadata(&path).map_err(unreadable)?.len();
            bytes += size;
            if size > FILE_BYTES as u64 || bytes > ALL_BYTES || files.len() >= FILES {
                return Err(too_large(&name));
            }
            let text = fs::read_to_string(&path).map_err(|error| format!("`{name}` cannot be read as UTF-8 text ({})", error.kind()))?;
            files.push((name, text));
        }
        if files.iter().any(|(name, _)| name == "package.json") {
            return Self::of_archive(files);
        }
        Self::of(name, None, files)
    }

    /// With its own `package.json`, which says name and version and that it is for R4.
    fn of_archive(files: Vec<package::File>) -> Result<Self, String> {
        let Some((_, text)) = files.iter().find(|(name, _)| name == "package.json") else {
            return Err("has no package/package.json: it is no FHIR package".to_owned());
        };
        let about = definitions::About::read(text)?;
        Self::of(about.name, about.version, files)
    }

    fn of(name: String, version: Option<String>, files: Vec<package::File>) -> Result<Self, String> {
        let shown = match &version {
            Some(version) => format!("{name}#{version}"),
            None => name.clone(),
        };
        let mut all = Vec::new();
        for (file, text) in files {
            if text.len() > FILE_BYTES {
                return Err(too_large(&file));
            }
            match kept(&text).map_err(|fault| format!("`{file}` {fault}"))? {
                Kept::No => {}
                Kept::Whole => all.push((format!("{shown}/{file}"), text)),
                Kept::Entries(entries) => {
                    let named = entries
                        .into_iter()
                        .map(|(number, text)| (format!("{shown}/{file}:entry {number}"), text));
                    all.extend(named);
                }
            }
        }
        if all.is_empty() {
            return Err("holds no StructureDefinition, ValueSet, CodeSystem or Questionnaire".to_owned());
        }
        let files = all;
        Ok(Self { name, version, files })
    }

    /// `hl7.fhir.us.core#6.1.0`.
    pub fn shown(&self) -> String {
        match &self.version {
            Some(version) => format!("{}#{version}", self.name),
            None => self.name.clone(),
        }
    }
}

fn too_large(name: &str) -> String {
    format!(
        "is too large at `{name}`: at most {FILES} files, {} MiB each, {} MiB together",
        FILE_BYTES >> 20,
        ALL_BYTES >> 20
    )
}

#[cfg(test)]
mod tests;
