//! The generator's output: one NDJSON file per resource type in one folder, written as a stream.
//! The data is synthetic, so the files are plain; a half-written folder is the caller's to remove.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::SimulateError;
use super::json::Json;

/// One buffered file per resource type.
pub(super) struct Files {
    folder: PathBuf,
    open: BTreeMap<&'static str, (BufWriter<File>, u64)>,
    line: Vec<u8>,
}

impl Files {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            open: BTreeMap::new(),
            line: Vec::new(),
        }
    }

    /// Appends one resource to the file of its type.
    pub(super) fn write(&mut self, kind: &'static str, resource: &Json) -> Result<(), SimulateError> {
        self.line.clear();
        resource.write(&mut self.line);
        self.line.push(b'\n');
        let path = self.folder.join(format!("{kind}.ndjson"));
        let (file, lines) = match self.open.entry(kind) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let file = File::create(&path).map_err(|error| SimulateError::file("create", &path, error))?;
                place.insert((BufWriter::with_capacity(64 * 1024, file), 0))
            }
        };
        *lines += 1;
        file.write_all(&self.line)
            .map_err(|error| SimulateError::file("write", &path, error))
    }

    /// Writes what is still buffered; the number of resources by type.
    pub(super) fn finish(self) -> Result<BTreeMap<String, u64>, SimulateError> {
        let mut counts = BTreeMap::new();
        for (kind, (mut file, lines)) in self.open {
            file.flush()
                .map_err(|error| SimulateError::file("write", &self.folder.join(format!("{kind}.ndjson")), error))?;
            counts.insert(kind.to_owned(), lines);
        }
        Ok(counts)
    }
}
