//! What a server says of itself in its CapabilityStatement: exports and their levels, searchable types and parameters.
//! A server that does not show one is unknown, not empty. FHIR R4 "capabilities"; Bulk Data 2.0.0, "Server Capability Documentation".

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{ACCEPT, DATE};
use serde_json::Value;

use super::dial::{Auth, Dial, Patience, is_transient};
use super::error::PullError;
use super::manifest::is_type_name;
use super::settings::Limits;
use crate::platform::http::{self, Url};

/// A CapabilityStatement of a large server with every profile is a few MiB.
const MAX_BYTES: usize = 64 << 20;
const WHAT: &str = "the CapabilityStatement";

/// One type, as the server describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OfType {
    pub(super) search: bool,
    pub(super) parameters: BTreeSet<String>,
    pub(super) includes: BTreeSet<String>,
}

/// A server, as it describes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Capability {
    /// `system`, `patient`, `group`: the levels at which `$export` is offered.
    pub(super) exports: BTreeSet<&'static str>,
    pub(super) types: BTreeMap<String, OfType>,
}

impl Capability {
    /// `None` when `body` is no CapabilityStatement.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(body).ok()?;
        if document["resourceType"] != "CapabilityStatement" {
            return None;
        }
        let mut found = Self::default();
        for rest in items(&document["rest"]).filter(|rest| rest["mode"] != "client") {
            found.operations(&rest["operation"], None);
            for resource in items(&rest["resource"]) {
                let Some(name) = resource["type"].as_str().filter(|name| is_type_name(name)) else {
                    continue;
                };
                found.operations(&resource["operation"], Some(name));
                let of_type = found.types.entry(name.to_owned()).or_default();
                let mut codes = items(&resource["interaction"]).map(|interaction| &interaction["code"]);
                of_type.search |= codes.any(|code| code == "search-type");
                of_type
                    .parameters
                    .extend(texts(items(&resource["searchParam"]).map(|one| &one["name"])));
                of_type.includes.extend(texts(items(&resource["searchInclude"])));
            }
        }
        Some(found)
    }

    /// Servers write `export`, `$export`, `group-export`, or only the definition's address.
    fn operations(&mut self, operations: &Value, of: Option<&str>) {
        for operation in items(operations) {
            let name = operation["name"].as_str().unwrap_or_default().trim_start_matches('$');
            let definition = operation["definition"].as_str().unwrap_or_default();
            let definition = definition
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .split('|')
                .next()
                .unwrap_or_default();
            let word = if name == "export" && definition.ends_with("-export") {
                definition
            } else {
                name
            };
            let level = match (word, of) {
                ("patient-export", _) | ("export", Some("Patient")) => "patient",
                ("group-export", _) | ("export", Some("Group")) => "group",
                ("export" | "system-export", None) => "system",
                _ => continue,
            };
            self.exports.insert(level);
        }
    }

    /// Whether a search of `name` is offered, as far as the server says anything of types.
    pub(super) fn searches(&self, name: &str) -> bool {
        self.types.is_empty() || self.types.get(name).is_some_and(|of_type| of_type.search)
    }

    /// Whether a search of `name` can bring along `include`, e.g. `MedicationRequest:medication`.
    pub(super) fn includes(&self, name: &str, include: &str) -> bool {
        let includes = self.types.get(name).map(|of_type| &of_type.includes);
        includes.is_some_and(|includes| includes.contains(include) || includes.contains("*"))
    }

    /// The first of `candidates` that the server takes in searches of `name`; `None` when it does not say, or takes none.
    pub(super) fn parameter<'c>(&self, name: &str, candidates: &[&'c str]) -> Option<&'c str> {
        let parameters = &self.types.get(name)?.parameters;
        candidates.iter().find(|candidate| parameters.contains(**candidate)).copied()
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn texts<'v>(values: impl Iterator<Item = &'v Value>) -> impl Iterator<Item = String> {
    values.filter_map(Value::as_str).map(str::to_owned)
}

/// The server's CapabilityStatement, when it shows one, and what its clock says.
/// # Errors: it is not reached.
pub(super) async fn ask(dial: &Dial<'_>, base: &Url, limits: &Limits) -> Result<(Option<Capability>, Option<Timestamp>), PullError> {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut()
        .map_err(|()| http::HttpError::Address("the base cannot have a path"))?
        .pop_if_empty()
        .push("metadata");
    let mut patience = Patience::new(dial.clock, limits);
    // It is open to everyone (FHIR R4 "capabilities"); a server that thinks otherwise is asked with the token.
    let mut auth = Auth::Without;
    loop {
        let asked = match dial.send(Method::GET, &url, &[(ACCEPT, "application/fhir+json")], auth).await {
            Ok(response) => {
                let status = response.status().as_u16();
                let date = response.headers().get(DATE).and_then(|value| value.to_str().ok());
                let date = date.and_then(http::http_date);
                let asked = dial.asked_wait(response.headers());
                if status == 200 {
                    match http::read_body(response, MAX_BYTES).await {
                        Ok(body) => return Ok((Capability::parse(&body), date)),
                        Err(http::HttpError::TooLong { .. }) => return Ok((None, date)),
                        Err(error) => patience.failed(WHAT, 0).map_err(|_| error)?,
                    }
                } else if matches!(status, 401 | 403) && auth == Auth::Without && dial.tokens.is_some() {
                    auth = Auth::WithToken;
                    continue;
                } else if !is_transient(status) || patience.failed(WHAT, status).is_err() {
                    return Ok((None, date));
                }
                asked
            }
            Err(error @ (PullError::Http(_) | PullError::Token(_))) if error.is_transient() => {
                patience.failed(WHAT, 0).map_err(|_| error).map(|()| None)?
            }
            Err(error) => return Err(error),
        };
        dial.clock.sleep_until(patience.next(asked)?).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_found_however_they_are_written() {
        let check = |operations: &str, resource: &str, expected: &[&'static str]| {
            let body = format!(
                r#"{{"resourceType":"CapabilityStatement","rest":[{{"mode":"server","operation":[{operations}],"resource":[{resource}]}}]}}"#
            );
            let found = Capability::parse(body.as_bytes()).unwrap().exports;
            assert_eq!(found, expected.iter().copied().collect(), "{operations} {resource}");
        };
        let defined =
            |name: &str| format!(r#"{{"name":"{name}","definition":"http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{name}"}}"#);
        check("", "", &[]);
        check(r#"{"name":"export","definition":"x"}"#, "", &["system"]);
        check(r#"{"name":"$export","definition":"x"}"#, "", &["system"]);
        check(&defined("group-export"), "", &["group"]);
        check(
            r#"{"name":"export","definition":"http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export|2.0.0"}"#,
            "",
            &["patient"],
        );
        check(
            "",
            r#"{"type":"Group","operation":[{"name":"export","definition":"x"}]}"#,
            &["group"],
        );
        check(
            "",
            r#"{"type":"Patient","operation":[{"name":"everything","definition":"x"}]}"#,
            &[],
        );
    }

    #[test]
    fn types_are_searchable_with_the_parameters_they_name() {
        let body = br#"{"resourceType":"CapabilityStatement","rest":[{"mode":"server","resource":[
            {"type":"Encounter","interaction":[{"code":"read"},{"code":"search-type"}],"searchParam":[{"name":"subject"}]},
            {"type":"MedicationRequest","interaction":[{"code":"search-type"}],"searchInclude":["MedicationRequest:medication"]},
            {"type":"Device","interaction":[{"code":"read"}]},{"type":"not a type"}]}]}"#;
        let capability = Capability::parse(body).unwrap();
        assert!(capability.searches("Encounter") && !capability.searches("Device") && !capability.searches("Goal"));
        assert_eq!(capability.parameter("Encounter", &["patient", "subject"]), Some("subject"));
        assert_eq!(capability.parameter("MedicationRequest", &["patient"]), None);
        assert!(capability.includes("MedicationRequest", "MedicationRequest:medication"));
        assert!(!capability.includes("Encounter", "Encounter:location"));
        assert_eq!(capability.types.len(), 3);
        assert!(Capability::default().searches("Goal"), "who says nothing may offer anything");
    }

    #[test]
    fn what_is_no_capability_statement_is_unknown() {
        for body in [&b"<html>"[..], br#"{"resourceType":"OperationOutcome"}"#, b""] {
            assert_eq!(Capability::parse(body), None);
        }
    }
}
