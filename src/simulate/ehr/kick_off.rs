//! What a kick-off asks for, by query or by Parameters, as strictly as the server's version of the standard, its vendor
//! and the client's `Prefer` let it. Basis: Bulk Data Access 1.0.0 to 4.0.0-ballot, Bulk Data Kick-off Request.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use axum::extract::Query as Form;
use axum::http::{Method, StatusCode, Uri};
use jiff::Timestamp;
use serde_json::Value;

use super::access::Grant;
use super::asked::{Asked, Parameters};
use super::misconfiguration::{MISSING_TYPE, Misconfiguration};
use super::query::Query;
use super::reply::Refused;
use super::shape::Elements;
use super::shared::Shared;
use super::wanted::{Associated, Wanted, Whose};

const FORMATS: &[&str] = &["application/fhir+ndjson", "application/ndjson", "ndjson"];

/// Parameters younger than version 1 of the standard.
const SINCE_VERSION: &[(&str, u8)] = &[
    ("_elements", 2),
    ("patient", 2),
    ("includeAssociatedData", 2),
    ("_typeFilter", 2),
    ("_until", 3),
    ("organizeOutputBy", 3),
    ("allowPartialManifests", 3),
];

/// Search parameters that a `_typeFilter` may not have.
const RESULT_PARAMETERS: &[&str] = &["_include", "_sort", "_count", "_summary", "_total", "_format", "_elements"];

/// The parameters of a POST: a Parameters resource, its values as text.
pub(super) fn from_resource(body: &[u8]) -> Result<Parameters, Refused> {
    let wrong = || Refused::invalid("the body is no Parameters resource");
    let resource: Value = serde_json::from_slice(body).map_err(|_| wrong())?;
    if resource.get("resourceType").and_then(Value::as_str) != Some("Parameters") {
        return Err(wrong());
    }
    let mut parameters = Vec::new();
    for parameter in resource.get("parameter").and_then(Value::as_array).into_iter().flatten() {
        let name = parameter.get("name").and_then(Value::as_str).ok_or_else(wrong)?;
        let value = parameter
            .as_object()
            .and_then(|members| members.iter().find(|(name, _)| name.starts_with("value")));
        let value = match value.map(|(_, value)| value.get("reference").unwrap_or(value)) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(truth)) => truth.to_string(),
            _ => return Err(wrong()),
        };
        parameters.push((name.to_owned(), value));
    }
    Ok(parameters)
}

/// A kick-off while it is read.
struct Reading<'k> {
    ehr: &'k Shared,
    asked: &'k Asked,
    lenient: bool,
    types: Option<BTreeSet<String>>,
    patients: HashSet<String>,
    wanted: Wanted,
}

/// Reads the parameters, as strictly as the client's `Prefer` lets it.
pub(super) fn wanted(ehr: &Shared, whose: Whose, parameters: &Parameters, asked: &Asked, grant: &Grant) -> Result<Wanted, Refused> {
    if !asked.prefers("respond-async") {
        return Err(Refused::invalid("an export needs the header `Prefer: respond-async`"));
    }
    let mut reading = Reading {
        ehr,
        asked,
        lenient: asked.prefers("handling=lenient"),
        types: None,
        patients: HashSet::new(),
        wanted: Wanted::of(whose),
    };
    for (name, value) in parameters {
        if !reading.take(name, value)? {
            if !reading.lenient {
                return Err(Refused::invalid(format!(
                    "the parameter `{name}` is not supported; with `Prefer: handling=lenient` it is ignored"
                )));
            }
            reading.wanted.ignored.push(name.clone());
        }
    }
    reading.finish(grant)
}

impl Reading<'_> {
    /// True if the parameter is one that this server has.
    fn take(&mut self, name: &str, value: &str) -> Result<bool, Refused> {
        let young = SINCE_VERSION
            .iter()
            .any(|(young, since)| *young == name && *since > self.ehr.settings.manifest_version);
        if young || self.ehr.temper.lacks.contains(&name) {
            return Ok(false);
        }
        let instant = || -> Result<Timestamp, Refused> {
            value
                .parse()
                .map_err(|_| Refused::invalid(format!("{name} is no instant; is its `+` encoded as %2B?")))
        };
        match name {
            "_type" if self.types.is_some() && !self.ehr.temper.repeated_type => {
                return Err(Refused::invalid("_type may be given once, as a list separated by commas"));
            }
            "_type" => self.types.get_or_insert_default().extend(kinds(value)?),
            "_since" => self.wanted.since = Some(instant()?),
            "_until" => self.wanted.until = Some(instant()?),
            "_typeFilter" => self.take_filters(value)?,
            "_elements" => self.wanted.elements.extend(Elements::read(value)?),
            "_outputFormat" if FORMATS.contains(&value) => {}
            "_outputFormat" => return Err(Refused::invalid("_outputFormat: this server has application/fhir+ndjson only")),
            "patient" if matches!(self.wanted.whose, Whose::Everyone) => return Ok(false),
            "patient" if self.asked.method != Method::POST => {
                return Err(Refused::invalid(
                    "`patient` may be given by POST only, so that it stands in no log of addresses",
                ));
            }
            "patient" => {
                self.patients.insert(value.rsplit('/').next().unwrap_or(value).to_owned());
            }
            "includeAssociatedData" => {
                for wanted in value.split(',') {
                    self.wanted.associated = Some(match wanted {
                        "LatestProvenanceResources" => Associated::Latest,
                        "RelevantProvenanceResources" => Associated::Relevant,
                        _ => return Err(Refused::invalid("includeAssociatedData: this server has Provenance only")),
                    });
                }
            }
            "organizeOutputBy" if value == "Patient" => self.wanted.by_patient = true,
            "organizeOutputBy" => return Err(Refused::invalid("organizeOutputBy: this server organizes by Patient only")),
            "allowPartialManifests" => {
                self.wanted.partial = value
                    .parse()
                    .map_err(|_| Refused::invalid("allowPartialManifests is true or false"))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Searches such as `Observation?category=laboratory`, separated by commas before a type.
    fn take_filters(&mut self, value: &str) -> Result<(), Refused> {
        let mut filters: Vec<String> = Vec::new();
        for part in value.split(',') {
            match filters.last_mut() {
                Some(last) if !is_search(part) => {
                    last.push(',');
                    last.push_str(part);
                }
                _ => filters.push(part.to_owned()),
            }
        }
        for filter in filters {
            let odd = || Refused::invalid("_typeFilter is a search of a type, such as `Observation?category=laboratory`");
            let (kind, search) = filter.split_once('?').filter(|_| is_search(&filter)).ok_or_else(odd)?;
            let search: Uri = format!("/?{}", search.replace(' ', "%20")).parse().map_err(|_| odd())?;
            let Form(parameters) = Form::<Parameters>::try_from_uri(&search).map_err(|_| odd())?;
            if parameters.is_empty() {
                return Err(odd());
            }
            if parameters
                .iter()
                .any(|(name, _)| RESULT_PARAMETERS.contains(&name.split(':').next().unwrap_or(name)))
            {
                return Err(Refused::invalid("_typeFilter may filter only, not sort, count or include"));
            }
            if self.ehr.temper.unfiltered.contains(&kind) {
                return Err(Refused::invalid(format!("_typeFilter is not supported for {kind}")));
            }
            let lacks: &[&str] = if self.ehr.temper.last_updated { &[] } else { &["_lastUpdated"] };
            let query = Query::read(kind, &parameters, lacks, self.lenient)?;
            self.wanted.ignored.extend(query.ignored.iter().cloned());
            let of_kind = self.wanted.filters.entry(kind.to_owned()).or_default();
            of_kind.push(query);
            if of_kind.len() > self.ehr.temper.filters_per_type {
                return Err(Refused::invalid("only one _typeFilter of a type is supported"));
            }
        }
        Ok(())
    }

    fn finish(mut self, grant: &Grant) -> Result<Wanted, Refused> {
        if let Some(types) = &self.types {
            let planted = &self.ehr.planted;
            let is_missing = |one| types.contains(MISSING_TYPE) && planted.shows(one);
            if is_missing(Misconfiguration::TypeNotOffered) || is_missing(Misconfiguration::TypeNotExported) {
                return Err(Refused::invalid(format!("_type: {MISSING_TYPE} is not supported")));
            }
            let companions = self.ehr.temper.companions;
            if !companions.is_empty() && types.iter().all(|kind| companions.contains(&kind.as_str())) {
                return Err(Refused::invalid("_type must name a clinical type, too"));
            }
            if self.wanted.filters.keys().any(|kind| !types.contains(kind)) {
                return Err(Refused::invalid("_typeFilter names a type that _type does not"));
            }
        }
        if !self.patients.is_empty() {
            if let Whose::Patients(members) = &self.wanted.whose
                && !self.patients.is_subset(members)
            {
                return Err(Refused::invalid("a `patient` is not in the group"));
            }
            self.wanted.whose = Whose::Patients(Arc::new(self.patients));
        }
        self.wanted.types = within(self.types, grant)?;
        self.wanted.never = self.ehr.temper.not_exported;
        self.wanted.last_updated = self.ehr.temper.last_updated;
        Ok(self.wanted)
    }
}

fn is_search(text: &str) -> bool {
    text.split_once('?').is_some_and(|(kind, _)| is_kind(kind))
}

fn is_kind(kind: &str) -> bool {
    kind.starts_with(|first: char| first.is_ascii_uppercase()) && kind.chars().all(|c| c.is_ascii_alphabetic())
}

fn kinds(list: &str) -> Result<Vec<String>, Refused> {
    let kinds: Vec<&str> = list.split(',').map(str::trim).collect();
    if !kinds.iter().all(|kind| is_kind(kind)) {
        return Err(Refused::invalid("_type is a list of resource types, separated by commas"));
    }
    Ok(kinds.into_iter().map(str::to_owned).collect())
}

/// Asked for by name, a type outside the token's scopes is refused; asked for by silence, it is left out.
fn within(types: Option<BTreeSet<String>>, grant: &Grant) -> Result<Option<BTreeSet<String>>, Refused> {
    let Some(allowed) = &grant.types else { return Ok(types) };
    match types {
        None => Ok(Some(allowed.clone())),
        Some(types) if types.is_subset(allowed) => Ok(Some(types)),
        Some(_) => Err(Refused::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "_type names a type that the token's scopes do not let read",
        )),
    }
}
