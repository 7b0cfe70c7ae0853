//! Exclusion lists: files of patients who may not leave, one FHIR id a line; `#` begins a remark. A list that cannot be read,
//! or a line of it that cannot be understood, stops the run: it may name somebody. Faults name the line, never what stands in it.

use std::path::Path;

use crate::platform::file::{self, FileError};

/// A list may be this long.
const BYTES: u64 = 64 << 20;

/// Why a list of patients cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("the list of patients {path} could not be read; nothing leaves before it can be")]
    File {
        path: String,
        #[source]
        source: FileError,
    },
    #[error("the list of patients {path} is not UTF-8 text; nothing leaves before it can be read")]
    Text { path: String },
    #[error("the list of patients {path}: line {line} is no FHIR id; write the logical id of one Patient a line")]
    Line { path: String, line: usize },
}

/// The patients of a list, as `Patient/id`.
/// # Errors: it cannot be read, or not all of it understood.
pub fn patients(path: &Path) -> Result<Vec<String>, ListError> {
    let shown = || path.display().to_string();
    let bytes = file::read(path, BYTES).map_err(|source| ListError::File { path: shown(), source })?;
    let text = String::from_utf8(bytes).map_err(|_| ListError::Text { path: shown() })?;
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let text = text.split('#').next().unwrap_or_default().trim();
        if !text.is_empty() {
            found.push(key_of(text).ok_or_else(|| ListError::Line { path: shown(), line })?);
        }
    }
    Ok(found)
}

/// `Patient/id` of an id that a person wrote, with or without `Patient/` before it.
pub fn key_of(text: &str) -> Option<String> {
    let id = text.strip_prefix("Patient/").unwrap_or(text);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    // FHIR 4.0.1, "id": 64 of these; some servers write longer ones.
    ((1..=256).contains(&id.len()) && id.bytes().all(fits)).then(|| format!("Patient/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("list");
        file::write_durable(&path, text).expect("a file");
        patients(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "LIST"))
    }

    #[test]
    fn a_list_is_read_line_by_line() {
        let text = "p1\n\n  Patient/p-2 # by letter\r\n# nobody\np3";
        assert_eq!(
            read(text.as_bytes()),
            Ok(vec!["Patient/p1".into(), "Patient/p-2".into(), "Patient/p3".into()])
        );
        assert_eq!(read(b""), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_understood_is_named_by_its_line_and_not_shown() {
        for (text, fault) in [
            (&b"p1\nJane Doe\n"[..], "line 2 is no FHIR id"),
            (b"Patient/\n", "line 1 is no FHIR id"),
            (b"p1\n\xff\n", "is not UTF-8"),
        ] {
            let error = read(text).expect_err("refused");
            assert!(error.contains(fault) && !error.contains("Jane"), "{error}");
        }
        let missing = patients(Path::new("/nowhere/list")).expect_err("refused").to_string();
        assert!(missing.contains("could not be read"), "{missing}");
    }
}
