//! FHIR's issue type for each of our rules: FHIR R4, value set issue-type.

use crate::fhir::outcome::Code;

/// FHIR's issue type for one of our rules.
pub(super) fn of(rule: &str) -> Code {
    match rule {
        "required" | "resource type" => Code::Required,
        "unknown modifierExtension" | "unknown extension" | "an extension of other elements" => Code::Extension,
        "too deep" => Code::TooLong,
        "date"
        | "dateTime"
        | "instant"
        | "time"
        | "id"
        | "uri"
        | "code"
        | "positive"
        | "not negative"
        | "integer of 32 bits"
        | "fixed value"
        | "pattern"
        | "reference type"
        | "type of the answer"
        | "answer option"
        | "answer value set"
        | "less than allowed"
        | "more than allowed"
        | "longer than allowed"
        | "shorter than allowed"
        | "pattern of the answer"
        | "decimal places"
        | "unit of the limit"
        | "unit not allowed"
        | "media type"
        | "attachment size" => Code::Value,
        _ if rule.starts_with("at least") || rule.starts_with("required item") => Code::Required,
        _ if rule.starts_with("questionnaire not known") => Code::Informational,
        _ => Code::Structure,
    }
}
