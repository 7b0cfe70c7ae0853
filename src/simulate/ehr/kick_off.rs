//! What a kick-off asks for: level, `_type`, `_since`, `_outputFormat`, by query or by Parameters.
//! Basis: Bulk Data Access 2.0.0, Bulk Data Kick-off Request.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use super::access::Grant;
use super::asked::{Asked, Parameters};
use super::plan::{Wanted, Whose};
use super::reply::Refused;

const FORMATS: &[&str] = &["application/fhir+ndjson", "application/ndjson", "ndjson"];

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
        let value = value.map(|(_, value)| value.get("reference").unwrap_or(value));
        parameters.push((name.to_owned(), value.and_then(Value::as_str).ok_or_else(wrong)?.to_owned()));
    }
    Ok(parameters)
}

/// Reads the parameters, as strictly as the client's `Prefer` lets it.
pub(super) fn wanted(mut whose: Whose, parameters: &Parameters, asked: &Asked, grant: &Grant) -> Result<Wanted, Refused> {
    if !asked.prefers("respond-async") {
        return Err(Refused::invalid("an export needs the header `Prefer: respond-async`"));
    }
    let lenient = asked.prefers("handling=lenient");
    let (mut types, mut since, mut patients) = (None, None, HashSet::new());
    for (name, value) in parameters {
        match name.as_str() {
            "_type" => types.get_or_insert_with(BTreeSet::new).extend(kinds(value)?),
            "_since" => {
                let moment: Timestamp = value
                    .parse()
                    .map_err(|_| Refused::invalid("_since is no instant; is its `+` encoded as %2B?"))?;
                since = Some(moment);
            }
            "_outputFormat" if FORMATS.contains(&value.as_str()) => {}
            "_outputFormat" => return Err(Refused::invalid("_outputFormat: this server has application/fhir+ndjson only")),
            "patient" if !matches!(whose, Whose::Everyone) => {
                let id = value.rsplit('/').next().unwrap_or(value);
                patients.insert(id.to_owned());
            }
            _ if lenient => {}
            _ => {
                return Err(Refused::invalid(format!(
                    "the parameter `{name}` is not supported; with `Prefer: handling=lenient` it is ignored"
                )));
            }
        }
    }
    if !patients.is_empty() {
        if let Whose::Patients(members) = &whose
            && !patients.is_subset(members)
        {
            return Err(Refused::invalid("a `patient` is not in the group"));
        }
        whose = Whose::Patients(Arc::new(patients));
    }
    Ok(Wanted {
        whose,
        types: within(types, grant)?,
        since,
    })
}

fn kinds(list: &str) -> Result<Vec<String>, Refused> {
    let is_kind = |kind: &&str| kind.starts_with(|first: char| first.is_ascii_uppercase()) && kind.chars().all(|c| c.is_ascii_alphabetic());
    let kinds: Vec<&str> = list.split(',').map(str::trim).collect();
    if !kinds.iter().all(is_kind) {
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
