//! The Groups of patients that the settings name, and `all`, as resources.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::super::edit::instant;
use super::super::error::SimulateError;
use super::index::Snapshot;
use super::misconfiguration::Misconfiguration;
use super::shared::Shared;
use super::wanted::Whose;

/// Everybody's Group.
const ALL: &str = "all";

/// Whose resources a Group's export holds; None if this client is shown no such Group.
pub(super) fn members(ehr: &Shared, id: &str) -> Option<Whose> {
    if ehr.planted.shows(Misconfiguration::GroupNotVisible) {
        return None;
    }
    match ehr.settings.groups.get(id) {
        Some(members) => Some(Whose::Patients(Arc::new(members.iter().cloned().collect::<HashSet<_>>()))),
        None => (id == ALL).then_some(Whose::EveryPatient),
    }
}

/// Every Group as a resource: id and text.
pub(super) fn resources(ehr: &Shared, snapshot: &Snapshot) -> Result<Vec<(String, String)>, SimulateError> {
    if ehr.planted.shows(Misconfiguration::GroupNotVisible) {
        return Ok(Vec::new());
    }
    let mut groups = Vec::new();
    for (id, members) in &ehr.settings.groups {
        groups.push((id.clone(), resource(id, members.iter().map(String::as_str), ehr.loaded)));
    }
    if !ehr.settings.groups.contains_key(ALL) {
        let patients = snapshot.index()?.kind("Patient");
        let mut everyone: Vec<_> = patients.into_iter().flat_map(super::index::Kind::patients).collect();
        everyone.sort_unstable();
        groups.push((ALL.to_owned(), resource(ALL, everyone.into_iter(), ehr.loaded)));
    }
    Ok(groups)
}

fn resource<'m>(id: &str, members: impl Iterator<Item = &'m str>, at: Timestamp) -> String {
    let members: Vec<_> = members
        .map(|member| json!({ "entity": { "reference": format!("Patient/{member}") } }))
        .collect();
    let group = json!({
        "resourceType": "Group",
        "id": id,
        "meta": { "versionId": "1", "lastUpdated": instant(at) },
        "active": true,
        "type": "person",
        "actual": true,
        "name": id,
        "quantity": members.len(),
        "member": members,
    });
    group.to_string()
}
