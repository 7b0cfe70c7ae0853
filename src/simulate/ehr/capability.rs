//! What the EHR says about itself: the CapabilityStatement.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::misconfiguration::Misconfiguration;
use super::reply::fhir_json;
use super::routes::{Ehr, nothing_here};

pub(super) async fn metadata(State(ehr): Ehr) -> Response {
    if ehr.planted.shows(Misconfiguration::Metadata404) {
        return nothing_here().await.into_response();
    }
    let version = if ehr.planted.shows(Misconfiguration::FhirStu3) {
        "3.0.2"
    } else {
        "4.0.1"
    };
    let export = |definition: &str| json!({ "name": "export", "definition": format!("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{definition}") });
    let statement = json!({
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
            "resource": [
                { "type": "Patient", "operation": [export("patient-export")] },
                { "type": "Group", "operation": [export("group-export")] },
            ],
            "operation": [export("export")],
        }],
    });
    fhir_json(StatusCode::OK, &statement)
}
