//! Why the simulation could not do it: its files, never what stands in them.

use std::path::{Path, PathBuf};

/// Why the simulation could not do it.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    #[error("`{}` holds no file `<Type>.ndjson` or `<Type>.ndjson.gz`: name a folder of FHIR resources", .0.display())]
    NoFiles(PathBuf),
    #[error("could not {what} `{}`", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl SimulateError {
    pub(super) fn file(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File {
            what,
            path: path.to_owned(),
            source,
        }
    }
}
