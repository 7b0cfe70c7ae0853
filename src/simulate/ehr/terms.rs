//! The search parameters this EHR has: name, how its values compare, where it looks, and for which types.
//! Basis: FHIR R4 (4.0.1) SearchParameter registry; US Core 7 names most of them.

/// How a parameter's values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Token,
    Reference,
    /// A reference to the patient whose compartment the resource is in.
    Patient,
    Date,
    Text,
    /// The whole of a uri.
    Uri,
}

impl Compare {
    /// SearchParamType.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Reference | Self::Patient => "reference",
            Self::Date => "date",
            Self::Text => "string",
            Self::Uri => "uri",
        }
    }
}

/// One search parameter.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) name: &'static str,
    pub(super) compare: Compare,
    /// Elements, separated by spaces; the members of each by dots.
    pub(super) paths: &'static str,
    /// Types, separated by spaces; empty for every type.
    types: &'static str,
}

const fn term(name: &'static str, compare: Compare, paths: &'static str, types: &'static str) -> Term {
    Term {
        name,
        compare,
        paths,
        types,
    }
}

use Compare::{Date, Patient, Reference, Text, Token, Uri};

static TERMS: [Term; 62] = [
    term("_id", Token, "id", ""),
    term("_lastUpdated", Date, "meta.lastUpdated", ""),
    term("_profile", Uri, "meta.profile", ""),
    term("_tag", Token, "meta.tag", ""),
    term(
        "identifier",
        Token,
        "identifier",
        "AllergyIntolerance CarePlan CareTeam Condition Coverage Device DiagnosticReport DocumentReference Encounter EpisodeOfCare Goal Group Immunization Location Medication MedicationDispense MedicationRequest Observation Organization Patient Practitioner PractitionerRole Procedure RelatedPerson ResearchStudy ResearchSubject ServiceRequest Specimen",
    ),
    term(
        "patient",
        Patient,
        "",
        "AllergyIntolerance CarePlan CareTeam ClinicalImpression Condition Consent Coverage Device DiagnosticReport DocumentReference Encounter EpisodeOfCare FamilyMemberHistory Flag Goal ImagingStudy Immunization List Media MedicationAdministration MedicationDispense MedicationRequest MedicationStatement NutritionOrder Observation Procedure Provenance QuestionnaireResponse RelatedPerson ResearchSubject RiskAssessment ServiceRequest Specimen Task",
    ),
    term(
        "subject",
        Patient,
        "",
        "AdverseEvent CarePlan CareTeam ClinicalImpression Condition DiagnosticReport DocumentReference Encounter Flag Goal ImagingStudy List Media MedicationAdministration MedicationDispense MedicationRequest MedicationStatement Observation Procedure QuestionnaireResponse RiskAssessment ServiceRequest Specimen Task",
    ),
    term("individual", Patient, "", "ResearchSubject"),
    term("beneficiary", Patient, "", "Coverage"),
    term(
        "code",
        Token,
        "code",
        "AllergyIntolerance Condition DiagnosticReport Group Medication Observation Procedure ServiceRequest",
    ),
    term(
        "code",
        Token,
        "medicationCodeableConcept",
        "MedicationAdministration MedicationDispense MedicationRequest MedicationStatement",
    ),
    term(
        "category",
        Token,
        "category",
        "AllergyIntolerance CarePlan CareTeam Condition DiagnosticReport DocumentReference Goal MedicationRequest MedicationStatement Observation Procedure ServiceRequest",
    ),
    term("clinical-status", Token, "clinicalStatus", "AllergyIntolerance Condition"),
    term("verification-status", Token, "verificationStatus", "AllergyIntolerance Condition"),
    term(
        "status",
        Token,
        "status",
        "CarePlan CareTeam Coverage DiagnosticReport DocumentReference Encounter EpisodeOfCare Immunization Location Medication MedicationAdministration MedicationDispense MedicationRequest MedicationStatement Observation Procedure QuestionnaireResponse ResearchStudy ResearchSubject ServiceRequest Specimen Task",
    ),
    term("lifecycle-status", Token, "lifecycleStatus", "Goal"),
    term("intent", Token, "intent", "CarePlan MedicationRequest ServiceRequest Task"),
    term("class", Token, "class", "Encounter"),
    term(
        "type",
        Token,
        "type",
        "AllergyIntolerance Coverage Device DocumentReference Encounter EpisodeOfCare Group Location Organization Specimen",
    ),
    term("vaccine-code", Token, "vaccineCode", "Immunization"),
    term("gender", Token, "gender", "Patient Practitioner RelatedPerson"),
    term("active", Token, "active", "Organization Patient Practitioner PractitionerRole"),
    term("role", Token, "code", "PractitionerRole"),
    term("specialty", Token, "specialty", "PractitionerRole"),
    term(
        "date",
        Date,
        "effectiveDateTime effectivePeriod effectiveInstant",
        "DiagnosticReport Observation",
    ),
    term(
        "date",
        Date,
        "period",
        "CarePlan CareTeam Encounter EpisodeOfCare ResearchStudy ResearchSubject",
    ),
    term("date", Date, "performedDateTime performedPeriod", "Procedure"),
    term("date", Date, "occurrenceDateTime", "Immunization"),
    term("date", Date, "date", "DocumentReference FamilyMemberHistory"),
    term("date", Date, "recordedDate", "AllergyIntolerance"),
    term("recorded-date", Date, "recordedDate", "Condition"),
    term("recorded", Date, "recorded", "Provenance"),
    term("onset-date", Date, "onsetDateTime onsetPeriod", "Condition"),
    term("abatement-date", Date, "abatementDateTime abatementPeriod", "Condition"),
    term("issued", Date, "issued", "DiagnosticReport"),
    term("period", Date, "context.period", "DocumentReference"),
    term("authoredon", Date, "authoredOn", "MedicationRequest"),
    term("authored", Date, "authoredOn", "ServiceRequest"),
    term("authored", Date, "authored", "QuestionnaireResponse"),
    term(
        "effective-time",
        Date,
        "effectiveDateTime effectivePeriod",
        "MedicationAdministration",
    ),
    term("effective", Date, "effectiveDateTime effectivePeriod", "MedicationStatement"),
    term("whenhandedover", Date, "whenHandedOver", "MedicationDispense"),
    term("birthdate", Date, "birthDate", "Patient RelatedPerson"),
    term(
        "name",
        Text,
        "name",
        "Group Location Organization Patient Practitioner RelatedPerson",
    ),
    term("title", Text, "title", "ResearchStudy"),
    term("family", Text, "name.family", "Patient Practitioner"),
    term("given", Text, "name.given", "Patient Practitioner"),
    term(
        "encounter",
        Reference,
        "encounter",
        "Condition DiagnosticReport MedicationRequest Observation Procedure ServiceRequest",
    ),
    term("encounter", Reference, "context.encounter", "DocumentReference"),
    term("context", Reference, "context", "MedicationAdministration MedicationDispense"),
    term(
        "medication",
        Reference,
        "medicationReference",
        "MedicationAdministration MedicationDispense MedicationRequest MedicationStatement",
    ),
    term("requester", Reference, "requester", "MedicationRequest ServiceRequest"),
    term("performer", Reference, "performer", "DiagnosticReport Observation ServiceRequest"),
    term("performer", Reference, "performer.actor", "Immunization Procedure"),
    term("participant", Reference, "participant.individual", "Encounter"),
    term("location", Reference, "location.location", "Encounter"),
    term("service-provider", Reference, "serviceProvider", "Encounter"),
    term("has-member", Reference, "hasMember", "Observation"),
    term("result", Reference, "result", "DiagnosticReport"),
    term("organization", Reference, "managingOrganization", "EpisodeOfCare Location Patient"),
    term("member", Reference, "member.entity", "Group"),
    term("target", Reference, "target", "Provenance"),
];

/// The types that have parameters of their own.
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    TERMS.iter().flat_map(|term| term.types.split_ascii_whitespace())
}

/// The parameters of a type.
pub(super) fn of(kind: &str) -> impl Iterator<Item = &'static Term> {
    TERMS
        .iter()
        .filter(move |term| term.types.is_empty() || term.types.split(' ').any(|name| name == kind))
}

/// The parameter of that name.
pub(super) fn find(kind: &str, name: &str) -> Option<&'static Term> {
    of(kind).find(|term| term.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_one_parameter_of_a_name() {
        let types: std::collections::BTreeSet<_> = TERMS.iter().flat_map(|term| term.types.split(' ')).collect();
        for kind in types {
            let mut names: Vec<_> = of(kind).map(|term| term.name).collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "{kind}");
        }
        assert_eq!(find("Immunization", "date").unwrap().paths, "occurrenceDateTime");
        assert!(find("Location", "patient").is_none());
    }
}
