//! Reads the manifest of a finished export, in any of Bulk Data 1.0 to the 4.0 ballot. Knows no server and no token.

use jiff::Timestamp;
use serde_json::Value;

use super::error::PullError;
use crate::landing::Kind;
use crate::platform::http::Url;

const WHAT: &str = "the status request";

/// One page of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) transaction_time: Timestamp,
    /// Whether the files want the token. Required since 1.0; without it, as if true.
    pub(super) requires_token: bool,
    pub(super) files: Vec<Listed>,
    /// Files that go on where another ended (`continuesInFile`, 3.0). They are listed, too; if not, they are still wanted.
    pub(super) continued: Vec<Url>,
    pub(super) next: Option<Url>,
}

/// One file a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) kind: Kind,
    /// Empty when the manifest names none, or one that is no resource type's name.
    pub(super) resource_type: String,
    pub(super) url: Url,
    pub(super) expected: Option<u64>,
}

/// Parses one page, fetched from `at`: old servers write relative addresses.
/// # Errors: `Unexpected`, naming the part that is not as it should be.
pub(super) fn parse(body: &[u8], at: &Url) -> Result<Page, PullError> {
    let fault = |why| PullError::Unexpected { what: WHAT, why };
    let document: Value = serde_json::from_slice(body).map_err(|_| fault("the manifest is no JSON"))?;
    let time = document["transactionTime"]
        .as_str()
        .ok_or_else(|| fault("the manifest has no `transactionTime`"))?;
    let transaction_time = time.parse().map_err(|_| fault("`transactionTime` is no instant"))?;
    if document.get("output").is_some_and(|output| !output.is_array()) {
        return Err(fault("`output` is no list"));
    }
    let (mut files, mut continued) = (Vec::new(), Vec::new());
    for (member, kind) in [
        ("output", Kind::Resources),
        ("deleted", Kind::Deleted),
        ("error", Kind::Outcome),
        // The 4.0 ballot's name for `error`.
        ("outcome", Kind::Outcome),
    ] {
        for item in document[member].as_array().map(Vec::as_slice).unwrap_or_default() {
            let url = item["url"].as_str().ok_or_else(|| fault("a file has no `url`"))?;
            let url = at.join(url).map_err(|_| fault("a file's `url` is no address"))?;
            if let Some(more) = item["continuesInFile"].as_str() {
                continued.push(at.join(more).map_err(|_| fault("`continuesInFile` is no address"))?);
            }
            files.push(Listed {
                kind,
                resource_type: match kind {
                    Kind::Resources => item["type"]
                        .as_str()
                        .filter(|name| is_type_name(name))
                        .unwrap_or_default()
                        .to_owned(),
                    Kind::Deleted => "Bundle".to_owned(),
                    Kind::Outcome => "OperationOutcome".to_owned(),
                },
                url,
                expected: item["count"].as_u64(),
            });
        }
    }
    let mut next = None;
    for link in document["link"].as_array().map(Vec::as_slice).unwrap_or_default() {
        if link["relation"] == "next" {
            let url = link["url"].as_str().ok_or_else(|| fault("a link has no `url`"))?;
            let mut url = at.join(url).map_err(|_| fault("a link's `url` is no address"))?;
            // A fragment is never sent: `#pending` (4.0 ballot, `$bulk-publish`) is the page we are on.
            url.set_fragment(None);
            next = Some(url);
        }
    }
    Ok(Page {
        transaction_time,
        requires_token: document["requiresAccessToken"].as_bool().unwrap_or(true),
        files,
        continued,
        next,
    })
}

/// Whether `name` is shaped like the name of a resource type. Whether FHIR has it is `validate`'s question.
pub(super) fn is_type_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphabetic()) && name.starts_with(|c: char| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Url {
        Url::parse("https://ehr.example.org/fhir/poll/1").unwrap()
    }

    fn page(json: &str) -> Page {
        parse(json.as_bytes(), &at()).unwrap()
    }

    #[test]
    fn reads_a_manifest_of_version_2() {
        let page = page(
            r#"{"transactionTime":"2026-03-01T02:00:00.123+01:00","request":"x","requiresAccessToken":false,
            "output":[{"type":"Patient","url":"https://files.test/1","count":2},{"type":"Patient","url":"/files/2"}],
            "deleted":[{"type":"Bundle","url":"https://files.test/3","count":1}],
            "error":[{"type":"OperationOutcome","url":"https://files.test/4"}],"extension":{"x":1}}"#,
        );
        assert_eq!(page.transaction_time.to_string(), "2026-03-01T01:00:00.123Z");
        assert!(!page.requires_token);
        let files: Vec<_> = page
            .files
            .iter()
            .map(|f| (f.kind, f.resource_type.as_str(), f.url.as_str(), f.expected))
            .collect();
        assert_eq!(
            files,
            [
                (Kind::Resources, "Patient", "https://files.test/1", Some(2)),
                (Kind::Resources, "Patient", "https://ehr.example.org/files/2", None),
                (Kind::Deleted, "Bundle", "https://files.test/3", Some(1)),
                (Kind::Outcome, "OperationOutcome", "https://files.test/4", None),
            ]
        );
        assert_eq!(page.next, None);
    }

    #[test]
    fn reads_a_page_of_the_version_4_ballot() {
        let page = page(
            r#"{"manifestType":"x","transactionTime":"2026-03-01T02:00:00Z","requiresAccessToken":true,"outputFormat":"application/fhir+ndjson",
            "output":[{"url":"1","fileSize":9}],"outcome":[{"url":"2","countSeverity":[{"code":"error","count":1}]}],
            "link":[{"relation":"self","url":"x"},{"relation":"next","url":"?page=2"}],"extension":[]}"#,
        );
        assert_eq!(page.files[0].resource_type, "");
        assert_eq!(page.files[1].kind, Kind::Outcome);
        assert_eq!(page.next.unwrap().as_str(), "https://ehr.example.org/fhir/poll/1?page=2");
    }

    #[test]
    fn reads_a_manifest_organized_by_patient() {
        let page = page(
            r##"{"transactionTime":"2026-03-01T02:00:00Z","requiresAccessToken":true,"outputOrganizedBy":"Patient",
            "output":[{"url":"1","continuesInFile":"2"},{"url":"2"}],"link":[{"relation":"next","url":"#pending"}]}"##,
        );
        assert!(page.files.iter().all(|file| file.resource_type.is_empty()));
        assert_eq!(page.continued, [page.files[1].url.clone()]);
        assert_eq!(page.next.unwrap(), at());
    }

    #[test]
    fn reads_every_manifest_the_4_0_ballot_prints() {
        let root = std::env::var_os("HEADWATER_SHARED").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
            std::path::PathBuf::from,
        );
        let Ok(entries) = std::fs::read_dir(root.join("data/bulk-data/examples")) else {
            println!("skipped: the examples are not there (set HEADWATER_SHARED)");
            return;
        };
        let mut read = Vec::new();
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if name.contains("Manifest") {
                let page = parse(&std::fs::read(&path).unwrap(), &at()).unwrap();
                read.push((name, page.files.len(), page.next.is_some()));
            }
        }
        read.sort();
        let known = [
            ("BulkDataManifestByTypeExample", 5, false),
            ("BulkDataManifestMinimalExample", 1, false),
            ("BulkDataManifestOrganizedByPatientExample", 5, true),
            ("BulkPublishManifestIncrementalUpdateExample", 2, true),
            ("BulkPublishManifestMinimalExample", 2, false),
            ("BulkPublishManifestPagedExample", 1, true),
            ("BulkPublishManifestPagedNextPageExample", 2, false),
            ("BulkPublishManifestPendingRootExample", 1, true),
            ("BulkPublishManifestPendingStubExample", 0, true),
            ("BulkSubmitStatusManifestExample", 2, false),
        ];
        assert_eq!(read, known.map(|(name, files, next)| (name.to_owned(), files, next)));
    }

    #[test]
    fn a_manifest_of_version_1_without_output_is_empty_and_wants_the_token() {
        let page = page(r#"{"transactionTime":"2026-03-01T02:00:00Z","error":[]}"#);
        assert!(page.files.is_empty() && page.requires_token);
    }

    #[test]
    fn a_type_that_is_no_name_is_not_believed() {
        for name in ["../../x", "patient", "Pa tient", "", "P\\u0000", &"P".repeat(65)] {
            let page = page(&format!(
                r#"{{"transactionTime":"2026-03-01T02:00:00Z","output":[{{"type":"{name}","url":"1"}}]}}"#
            ));
            assert_eq!(page.files[0].resource_type, "", "{name}");
        }
    }

    #[test]
    fn what_is_no_manifest_is_refused_by_its_part() {
        for (json, part) in [
            ("{", "no JSON"),
            (r#"{"output":[]}"#, "no `transactionTime`"),
            (r#"{"transactionTime":"yesterday"}"#, "no instant"),
            (r#"{"transactionTime":"2026-03-01T02:00:00Z","output":{}}"#, "no list"),
            (
                r#"{"transactionTime":"2026-03-01T02:00:00Z","output":[{"type":"Patient"}]}"#,
                "no `url`",
            ),
            (
                r#"{"transactionTime":"2026-03-01T02:00:00Z","output":[{"url":"http://["}]}"#,
                "no address",
            ),
        ] {
            let text = parse(json.as_bytes(), &at()).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }
}
