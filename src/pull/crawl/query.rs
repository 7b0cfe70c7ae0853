//! The addresses of searches: which parameter of a type names the patient, what a search leaves out or brings along.
//! FHIR 4.0.1: compartmentdefinition-patient, "Search"; SMART Fetch's searches show what vendors take in practice.

use jiff::Timestamp;

use super::super::capability::Capability;
use super::super::vendor::Vendor;
use crate::platform::http::{HttpError, Url};

/// Types that are no patient's own, and come where a patient's resources refer to them.
pub(crate) const REFERENCED: [&str; 5] = ["Location", "Medication", "Organization", "Practitioner", "PractitionerRole"];

/// Types with a search parameter `patient` (R4 search-parameters.json), Device among them, which is in no compartment.
const WITH_PATIENT: [&str; 63] = [
    "Account",
    "AllergyIntolerance",
    "Appointment",
    "AppointmentResponse",
    "AuditEvent",
    "Basic",
    "BodyStructure",
    "CarePlan",
    "CareTeam",
    "ChargeItem",
    "Claim",
    "ClaimResponse",
    "ClinicalImpression",
    "Communication",
    "CommunicationRequest",
    "Composition",
    "Condition",
    "Consent",
    "Coverage",
    "CoverageEligibilityRequest",
    "CoverageEligibilityResponse",
    "DetectedIssue",
    "Device",
    "DeviceRequest",
    "DeviceUseStatement",
    "DiagnosticReport",
    "DocumentManifest",
    "DocumentReference",
    "Encounter",
    "EnrollmentRequest",
    "EpisodeOfCare",
    "ExplanationOfBenefit",
    "FamilyMemberHistory",
    "Flag",
    "Goal",
    "ImagingStudy",
    "Immunization",
    "ImmunizationEvaluation",
    "ImmunizationRecommendation",
    "Invoice",
    "List",
    "MeasureReport",
    "Media",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
    "MolecularSequence",
    "NutritionOrder",
    "Observation",
    "Person",
    "Procedure",
    "Provenance",
    "QuestionnaireResponse",
    "RelatedPerson",
    "RequestGroup",
    "ResearchSubject",
    "RiskAssessment",
    "ServiceRequest",
    "Specimen",
    "SupplyDelivery",
    "Task",
    "VisionPrescription",
];

/// Types of the patient compartment without one.
const OTHERWISE: [(&str, &str); 4] = [
    ("AdverseEvent", "subject"),
    ("Group", "member"),
    ("Schedule", "actor"),
    ("SupplyRequest", "subject"),
];

/// What servers take instead of `patient`, where they name their parameters and it is not among them.
const INSTEAD: [&str; 7] = ["patient", "subject", "beneficiary", "actor", "individual", "member", "participant"];

/// `_include`s worth their bytes: each patient has medications of his own, but all have the same few locations.
const INCLUDES: [(&str, &str); 4] = [
    ("MedicationAdministration", "MedicationAdministration:medication"),
    ("MedicationDispense", "MedicationDispense:medication"),
    ("MedicationRequest", "MedicationRequest:medication"),
    ("MedicationStatement", "MedicationStatement:medication"),
];

/// Every type that is a patient's, by some parameter.
pub(crate) fn types_of_patients() -> impl Iterator<Item = &'static str> {
    WITH_PATIENT.into_iter().chain(OTHERWISE.map(|(name, _)| name))
}

/// The parameter by which `name` is searched for a patient; `None` when it is no patient's.
pub(super) fn parameter(name: &str, capability: &Capability) -> Option<&'static str> {
    let usual = if WITH_PATIENT.contains(&name) {
        "patient"
    } else {
        OTHERWISE.iter().find(|(other, _)| *other == name)?.1
    };
    Some(capability.parameter(name, &INSTEAD).unwrap_or(usual))
}

/// The base with these segments after it, and without query.
/// # Errors: the base cannot have a path.
pub(super) fn address(base: &Url, segments: &[&str]) -> Result<Url, HttpError> {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut()
        .map_err(|()| HttpError::Address("the base cannot have a path"))?
        .pop_if_empty()
        .extend(segments);
    Ok(url)
}

/// What a search leaves out, by when it changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

/// The search of `name`, for one patient or for all.
/// # Errors: the base cannot have a path.
pub(super) fn search(
    base: &Url,
    name: &str,
    patient: Option<(&str, &str)>,
    window: Window,
    vendor: &Vendor,
    include: Option<&str>,
) -> Result<Url, HttpError> {
    let mut url = address(base, &[name])?;
    {
        let mut query = url.query_pairs_mut();
        match patient {
            Some(("patient", id)) => {
                query.append_pair("patient", id);
            }
            Some((parameter, id)) => {
                query.append_pair(parameter, &format!("Patient/{id}"));
            }
            None => {}
        }
        if let Some(more) = vendor.search_parameters.get(name) {
            for (key, value) in more.split('&').filter_map(|pair| pair.split_once('=')) {
                query.append_pair(key, value);
            }
        }
        if let Some(since) = window.since {
            query.append_pair("_lastUpdated", &format!("ge{since}"));
        }
        if let Some(until) = window.until {
            query.append_pair("_lastUpdated", &format!("lt{until}"));
        }
        if let Some(include) = include {
            query.append_pair("_include", include);
        }
        query.append_pair("_count", &vendor.page_size.to_string());
    }
    Ok(url)
}

/// `Patient/[id]/$everything`, FHIR R4 "Operation $everything on Patient".
/// # Errors: the base cannot have a path.
pub(super) fn everything(base: &Url, id: &str, types: &[String], window: Window, vendor: &Vendor) -> Result<Url, HttpError> {
    let mut url = address(base, &["Patient", id, "$everything"])?;
    {
        let mut query = url.query_pairs_mut();
        if !types.is_empty() {
            query.append_pair("_type", &types.join(","));
        }
        if let Some(since) = window.since {
            query.append_pair("_since", &since.to_string());
        }
        query.append_pair("_count", &vendor.page_size.to_string());
    }
    Ok(url)
}

/// What `name` brings along, where the server offers it and `wanted` says that it is wanted.
pub(super) fn include(name: &str, capability: &Capability, wanted: bool) -> Option<&'static str> {
    let (_, include) = INCLUDES.iter().find(|(of, _)| *of == name)?;
    (wanted && capability.includes(name, include)).then_some(*include)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("https://ehr.test/fhir/r4/").unwrap()
    }

    #[test]
    fn a_search_names_the_patient_the_window_and_the_page_size() {
        let window = Window {
            since: Some("2026-03-01T02:00:00Z".parse().unwrap()),
            until: Some("2026-03-02T02:00:00Z".parse().unwrap()),
        };
        let mut vendor = Vendor::default();
        vendor
            .search_parameters
            .insert("Observation".to_owned(), "category=laboratory,vital-signs".to_owned());
        let url = search(&base(), "Observation", Some(("patient", "p&1")), window, &vendor, None).unwrap();
        assert_eq!(
            url.as_str(),
            "https://ehr.test/fhir/r4/Observation?patient=p%261&category=laboratory%2Cvital-signs\
             &_lastUpdated=ge2026-03-01T02%3A00%3A00Z&_lastUpdated=lt2026-03-02T02%3A00%3A00Z&_count=200"
        );
        let include = Some("MedicationRequest:medication");
        let url = search(
            &base(),
            "MedicationRequest",
            Some(("subject", "p1")),
            Window::default(),
            &vendor,
            include,
        )
        .unwrap();
        assert_eq!(
            url.query(),
            Some("subject=Patient%2Fp1&_include=MedicationRequest%3Amedication&_count=200")
        );
    }

    #[test]
    fn everything_is_asked_with_types_and_since() {
        let window = Window {
            since: Some("2026-03-01T02:00:00Z".parse().unwrap()),
            until: None,
        };
        let url = everything(
            &base(),
            "p/1",
            &["Patient".to_owned(), "Goal".to_owned()],
            window,
            &Vendor::default(),
        )
        .unwrap();
        assert_eq!(
            url.as_str(),
            "https://ehr.test/fhir/r4/Patient/p%2F1/$everything?_type=Patient%2CGoal&_since=2026-03-01T02%3A00%3A00Z&_count=200"
        );
    }

    #[test]
    fn the_parameter_is_the_servers_where_it_names_its_own() {
        let body = br#"{"resourceType":"CapabilityStatement","rest":[{"mode":"server","resource":[
            {"type":"Encounter","searchParam":[{"name":"date"},{"name":"subject"}]},
            {"type":"Goal","searchParam":[{"name":"subject"},{"name":"patient"}]}]}]}"#;
        let capability = Capability::parse(body).unwrap();
        assert_eq!(parameter("Encounter", &capability), Some("subject"));
        assert_eq!(parameter("Goal", &capability), Some("patient"));
        assert_eq!(parameter("Condition", &capability), Some("patient"));
        assert_eq!(parameter("AdverseEvent", &capability), Some("subject"));
        assert_eq!(parameter("Practitioner", &capability), None);
        assert_eq!(parameter("Patient", &capability), None);
    }
}
