//! A folder of FHIR NDJSON: which files are in it, of which type, and how each is read.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

/// Why a folder cannot be mapped.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("no FHIR NDJSON in {0}: expected files named <Type>*.ndjson or <Type>*.ndjson.gz")]
    NoInput(PathBuf),
    #[error("{path}: {what}")]
    Io {
        path: PathBuf,
        what: &'static str,
        source: std::io::Error,
    },
}

/// An input file and the resource type its name says.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) resource_type: String,
}

/// `<Type>*.ndjson[.gz]` of a folder, by name.
pub(super) fn inputs(folder: &Path) -> Result<Vec<Input>, FolderError> {
    let unreadable = |source| FolderError::Io {
        path: folder.to_owned(),
        what: "cannot be read; name a folder of files `<Type>*.ndjson[.gz]`",
        source,
    };
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let Some(stem) = name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".ndjson") else {
            continue;
        };
        let resource_type: String = stem.chars().take_while(char::is_ascii_alphabetic).collect();
        inputs.push(Input { path, resource_type });
    }
    if inputs.is_empty() {
        return Err(FolderError::NoInput(folder.to_owned()));
    }
    inputs.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(inputs)
}

pub(super) fn reader(path: &Path) -> Result<Box<dyn Read + Send>, FolderError> {
    let file = File::open(path).map_err(|source| FolderError::Io {
        path: path.to_owned(),
        what: "cannot be opened",
        source,
    })?;
    if path.extension().is_some_and(|ending| ending == "gz") {
        Ok(Box::new(MultiGzDecoder::new(file)))
    } else {
        Ok(Box::new(file))
    }
}
