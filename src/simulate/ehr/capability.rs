//! What the EHR says about itself: the CapabilityStatement.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::misconfiguration::Misconfiguration;
use super::reply::fhir_json;
use super::routes::{Ehr, nothing_here};
use super::shared::Shared;
use super::terms::{self, Compare};
use super::vendor::Level;

pub(super) async fn metadata(State(ehr): Ehr) -> Response {
    if ehr.planted.shows(Misconfiguration::Metadata404) {
        return nothing_here().await.into_response();
    }
    let version = if ehr.planted.shows(Misconfiguration::FhirStu3) {
        "3.0.2"
    } else {
        "4.0.1"
    };
    let world = ehr.world();
    // What it may have one day is offered, too: a server does not leave out a type for want of a resource.
    let mut kinds = world.kinds();
    for kind in terms::kinds() {
        kinds.insert(kind);
    }
    let kinds = kinds.into_iter().filter(|kind| ehr.offers(kind));
    let resources: Vec<Value> = kinds.map(|kind| resource(&ehr, kind)).collect();
    let mut statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-06-30",
        "kind": "instance",
        "software": { "name": "Headwater simulated EHR", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "Synthetic data, for demonstrations and tests", "url": ehr.base() },
        "fhirVersion": version,
        "format": ["json"],
        "instantiates": ["http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"],
        "rest": [{
            "mode": "server",
            "security": { "service": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                "code": "SMART-on-FHIR",
            }] }] },
            "resource": resources,
        }],
    });
    if ehr.temper.levels.contains(&Level::System) {
        statement["rest"][0]["operation"] = json!([export("export")]);
    }
    fhir_json(StatusCode::OK, &statement)
}

/// What can be asked of one type.
fn resource(ehr: &Shared, kind: &str) -> Value {
    let terms = || terms::of(kind).filter(|term| ehr.temper.last_updated || term.name != "_lastUpdated");
    let parameters: Vec<_> = terms()
        .map(|term| json!({ "name": term.name, "type": term.compare.name() }))
        .collect();
    let includes: Vec<_> = terms()
        .filter(|term| matches!(term.compare, Compare::Reference | Compare::Patient))
        .map(|term| format!("{kind}:{}", term.name))
        .collect();
    let mut resource = json!({
        "type": kind,
        "interaction": [{ "code": "read" }, { "code": "search-type" }],
        "versioning": "versioned",
        "searchParam": parameters,
    });
    if !includes.is_empty() {
        resource["searchInclude"] = json!(includes);
    }
    let mut operations = Vec::new();
    if kind == "Patient" {
        operations.push(json!({ "name": "everything", "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything" }));
        operations.extend(ehr.temper.levels.contains(&Level::Patient).then(|| export("patient-export")));
    }
    if kind == "Group" && ehr.temper.levels.contains(&Level::Group) && !ehr.planted.shows(Misconfiguration::NoGroupExport) {
        operations.push(export("group-export"));
    }
    if !operations.is_empty() {
        resource["operation"] = Value::from(operations);
    }
    resource
}

fn export(definition: &str) -> Value {
    json!({ "name": "export", "definition": format!("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{definition}") })
}
