//! The Parameters resources of `$bulk-submit` and `$bulk-submit-status`, built and read.
//! Only the parameters this contract needs are read; one that would change the meaning (`replacesManifestUrl`,
//! `fileRequestHeader`, `oauthMetadataUrl`, `fileEncryptionKey`) is refused rather than passed over.

use serde_json::{Value, json};

use super::{OUTPUT_FORMAT, SIGNATURE_URL, SITE_SYSTEM};

/// One `$bulk-submit` of a whole submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkSubmit {
    /// The site that submits.
    pub site: String,
    pub submission: String,
    /// The manifest's URL in the registry's own drop.
    pub manifest_url: String,
    /// The registry's FHIR base: what relative references are relative to.
    pub fhir_base_url: String,
    /// Over the manifest's bytes, base64.
    pub signature: String,
}

/// One `$bulk-submit-status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRequest {
    pub site: String,
    pub submission: String,
}

/// Why Parameters are not read: the parameter and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the body is no Parameters resource")]
    NoParameters,
    #[error("parameter `{0}` is missing")]
    Missing(&'static str),
    #[error("parameter `{0}` stands there more than once")]
    Repeated(&'static str),
    #[error("parameter `{name}` {fault}")]
    Wrong { name: &'static str, fault: &'static str },
    #[error("parameter `{0}` is not supported: files are put into this registry's own drop")]
    Unsupported(&'static str),
}

impl BulkSubmit {
    /// The Parameters resource to POST.
    pub fn to_parameters(&self) -> Value {
        json!({
            "resourceType": "Parameters",
            "parameter": [
                submitter(&self.site),
                {"name": "submissionId", "valueString": self.submission},
                {"name": "submissionStatus", "valueCoding": {"system": "http://hl7.org/fhir/event-status", "code": "completed"}},
                {"name": "manifestUrl", "valueUrl": self.manifest_url},
                {"name": "fhirBaseUrl", "valueUrl": self.fhir_base_url},
                {"name": "outputFormat", "valueString": OUTPUT_FORMAT},
                {"name": "metadata", "part": [
                    {"name": "parameterUrl", "valueUrl": SIGNATURE_URL},
                    {"name": "parameterValue", "valueString": self.signature}
                ]}
            ]
        })
    }

    /// Reads the Parameters resource.
    /// # Errors: the first parameter that is missing or not as it must be.
    pub fn read(parameters: &Value) -> Result<Self, Fault> {
        let list = parameter_list(parameters)?;
        for name in ["replacesManifestUrl", "fileRequestHeader", "oauthMetadataUrl", "fileEncryptionKey"] {
            if list.iter().any(|parameter| is_named(parameter, name)) {
                return Err(Fault::Unsupported(name));
            }
        }
        let (site, submission) = read_names(list)?;
        let wrong = |name, fault| Fault::Wrong { name, fault };
        let status = one(list, "submissionStatus")?
            .get("valueCoding")
            .and_then(|coding| coding.get("code"));
        if status.and_then(Value::as_str) != Some("completed") {
            return Err(wrong("submissionStatus", "must be `completed`: a submission is sent whole"));
        }
        if text(one(list, "outputFormat")?) != Some(OUTPUT_FORMAT) {
            return Err(wrong("outputFormat", "must be application/vnd.headwater.cdm+ndjson"));
        }
        let url = |name| text(one(list, name)?).map(str::to_owned).ok_or(wrong(name, "has no valueUrl"));
        Ok(Self {
            site,
            submission,
            manifest_url: url("manifestUrl")?,
            fhir_base_url: url("fhirBaseUrl")?,
            signature: signature(list)?,
        })
    }
}

impl StatusRequest {
    /// The Parameters resource to POST.
    pub fn to_parameters(&self) -> Value {
        json!({
            "resourceType": "Parameters",
            "parameter": [submitter(&self.site), {"name": "submissionId", "valueString": self.submission}]
        })
    }

    /// Reads the Parameters resource.
    /// # Errors: the first parameter that is missing or not as it must be.
    pub fn read(parameters: &Value) -> Result<Self, Fault> {
        let (site, submission) = read_names(parameter_list(parameters)?)?;
        Ok(Self { site, submission })
    }
}

fn submitter(site: &str) -> Value {
    json!({"name": "submitter", "valueIdentifier": {"system": SITE_SYSTEM, "value": site}})
}

fn parameter_list(parameters: &Value) -> Result<&Vec<Value>, Fault> {
    if parameters.get("resourceType").and_then(Value::as_str) != Some("Parameters") {
        return Err(Fault::NoParameters);
    }
    parameters.get("parameter").and_then(Value::as_array).ok_or(Fault::NoParameters)
}

fn is_named(parameter: &Value, name: &str) -> bool {
    parameter.get("name").and_then(Value::as_str) == Some(name)
}

/// The one parameter of this name.
fn one<'v>(list: &'v [Value], name: &'static str) -> Result<&'v Value, Fault> {
    let mut named = list.iter().filter(|parameter| is_named(parameter, name));
    let first = named.next().ok_or(Fault::Missing(name))?;
    if named.next().is_some() {
        return Err(Fault::Repeated(name));
    }
    Ok(first)
}

/// A parameter's text, whichever of the string types carries it.
fn text(parameter: &Value) -> Option<&str> {
    ["valueString", "valueUrl", "valueUri", "valueCode"]
        .iter()
        .find_map(|member| parameter.get(member))?
        .as_str()
}

fn read_names(list: &[Value]) -> Result<(String, String), Fault> {
    let identifier = one(list, "submitter")?.get("valueIdentifier");
    let member = |name| identifier.and_then(|identifier| identifier.get(name)).and_then(Value::as_str);
    if member("system") != Some(SITE_SYSTEM) {
        return Err(Fault::Wrong {
            name: "submitter",
            fault: "has no valueIdentifier of the sites' system",
        });
    }
    let site = member("value").ok_or(Fault::Missing("submitter"))?;
    let submission = text(one(list, "submissionId")?).ok_or(Fault::Missing("submissionId"))?;
    Ok((site.to_owned(), submission.to_owned()))
}

fn signature(list: &[Value]) -> Result<String, Fault> {
    let mut found = None;
    for parameter in list.iter().filter(|parameter| is_named(parameter, "metadata")) {
        let parts = parameter
            .get("part")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if one(parts, "parameterUrl").ok().and_then(text) == Some(SIGNATURE_URL) {
            let value = one(parts, "parameterValue").ok().and_then(text).ok_or(Fault::Missing("metadata"))?;
            if found.replace(value.to_owned()).is_some() {
                return Err(Fault::Repeated("metadata"));
            }
        }
    }
    found.ok_or(Fault::Missing("metadata"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit() -> BulkSubmit {
        BulkSubmit {
            site: "lake".into(),
            submission: "lake-00000001-abababababababab".into(),
            manifest_url: "http://r/drop/x/manifest".into(),
            fhir_base_url: "http://r/fhir".into(),
            signature: "c2ln".into(),
        }
    }

    #[test]
    fn what_is_built_is_read_back() {
        assert_eq!(BulkSubmit::read(&submit().to_parameters()), Ok(submit()));
        let status = StatusRequest {
            site: "lake".into(),
            submission: "x".into(),
        };
        assert_eq!(StatusRequest::read(&status.to_parameters()), Ok(status));
    }

    #[test]
    fn a_parameter_that_is_missing_twice_there_or_foreign_is_named() {
        let check = |change: &dyn Fn(&mut Vec<Value>), fault: Fault| {
            let mut parameters = submit().to_parameters();
            change(parameters["parameter"].as_array_mut().expect("built as an array"));
            assert_eq!(BulkSubmit::read(&parameters), Err(fault));
        };
        check(&|list| drop(list.remove(0)), Fault::Missing("submitter"));
        check(&|list| drop(list.remove(6)), Fault::Missing("metadata"));
        check(&|list| list.push(list[1].clone()), Fault::Repeated("submissionId"));
        check(&|list| list.push(list[6].clone()), Fault::Repeated("metadata"));
        check(
            &|list| list.push(json!({"name": "replacesManifestUrl", "valueUrl": "http://x"})),
            Fault::Unsupported("replacesManifestUrl"),
        );
        assert_eq!(BulkSubmit::read(&json!([])), Err(Fault::NoParameters));
    }
}
