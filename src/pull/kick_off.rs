//! The words of the export request: its address, what a refusal of it means, what its answer's heads say.
//! Bulk Data 2.0.0, "Bulk Data Kick-off Request".

use jiff::Timestamp;
use reqwest::header::{CONTENT_LOCATION, HeaderMap};

use super::error::PullError;
use super::settings::{EhrSettings, Level};
use crate::platform::http::{HttpError, Url};

/// The address that asks for this export.
/// # Errors: the base cannot have a path.
pub(super) fn url(settings: &EhrSettings, since: Option<Timestamp>) -> Result<Url, PullError> {
    let mut url = settings.base.clone();
    url.set_query(None);
    url.set_fragment(None);
    {
        let mut path = url
            .path_segments_mut()
            .map_err(|()| HttpError::Address("the base cannot have a path"))?;
        path.pop_if_empty();
        match &settings.level {
            Level::System => {}
            Level::Patient => {
                path.push("Patient");
            }
            Level::Group(id) => {
                path.extend(["Group", id]);
            }
        }
        path.push("$export");
    }
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("_outputFormat", "application/fhir+ndjson");
        if !settings.types.is_empty() {
            // One list: some servers do not take the parameter twice (Cerner).
            query.append_pair("_type", &settings.types.join(","));
        }
        if let Some(since) = since {
            query.append_pair("_since", &since.to_string());
        }
    }
    Ok(url)
}

/// Where the job's status is asked.
/// # Errors: `Unexpected` without a usable `Content-Location`.
pub(super) fn content_location(headers: &HeaderMap, at: &Url) -> Result<Url, PullError> {
    let fault = |why| PullError::Unexpected {
        what: "the export request",
        why,
    };
    let location = headers
        .get(CONTENT_LOCATION)
        .ok_or_else(|| fault("202 without `Content-Location`"))?;
    let location = location.to_str().ok().and_then(|location| at.join(location).ok());
    location.ok_or_else(|| fault("`Content-Location` is no address"))
}

/// The server's own word on its progress, printable and short.
pub(super) fn x_progress(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-progress")?.as_bytes();
    let printable = value.iter().map(|b| char::from(*b)).filter(|c| matches!(c, ' '..='~'));
    let text: String = printable.take(100).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// What to do about a refusal.
pub(super) fn hint(status: u16, level: &Level) -> &'static str {
    match (status, level) {
        (401, _) => "it does not accept the token it gave; tell its owner",
        (403, _) => "the client lacks a scope or the right to export; ask the EHR's owner for it",
        (404, Level::Group(_)) => "check the base address, the id of the Group, and whether this client may see it",
        (404, _) => "check the base address; it may offer the export of a Group only",
        (409, _) => "it says this very export is there already; wait until that ends",
        (400 | 422, _) => "it does not take these parameters; check the resource types",
        (405 | 501, _) => "it does not offer this kind of export; try another level (Group, Patient, system)",
        _ => "see the EHR's log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(base: &str, level: Level) -> EhrSettings {
        let mut settings = EhrSettings::new(Url::parse(base).unwrap(), "client");
        settings.level = level;
        settings
    }

    #[test]
    fn the_address_asks_for_the_level_the_types_and_the_time() {
        let mut group = settings("https://ehr.test/fhir/r4/?x=1", Level::Group("a/../b c".to_owned()));
        group.types = vec!["Patient".to_owned(), "Observation".to_owned()];
        let since = "2026-03-01T02:00:00.5Z".parse().unwrap();
        assert_eq!(
            url(&group, Some(since)).unwrap().as_str(),
            "https://ehr.test/fhir/r4/Group/a%2F..%2Fb%20c/$export?_outputFormat=application%2Ffhir%2Bndjson\
             &_type=Patient%2CObservation&_since=2026-03-01T02%3A00%3A00.5Z"
        );
        assert_eq!(
            url(&settings("https://ehr.test", Level::Patient), None).unwrap().path(),
            "/Patient/$export"
        );
        assert_eq!(
            url(&settings("https://ehr.test/r4", Level::System), None).unwrap().path(),
            "/r4/$export"
        );
    }

    #[test]
    fn progress_is_made_printable_and_short() {
        let check = |value: &[u8], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("x-progress", reqwest::header::HeaderValue::from_bytes(value).unwrap());
            assert_eq!(x_progress(&headers).as_deref(), expected);
        };
        check(b"50% done", Some("50% done"));
        check(b"a\tb\xFFc", Some("abc"));
        check(b"  ", None);
        check(&[b'x'; 200], Some("x".repeat(100).as_str()));
    }
}
