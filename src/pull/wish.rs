//! What one run wishes of an EHR's export, and the forms in which it can be asked for: by GET or POST, with all parameters
//! or with few. Knows the vendor's quirks, sends nothing. Bulk Data 2.0.0 and 3.0.0, "Query Parameters"; 4.0 ballot: POST only.

use jiff::Timestamp;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use serde_json::{Value, json};

use super::error::PullError;
use super::manifest::is_type_name;
use super::outcome::Issues;
use super::settings::{EhrSettings, Level, Request};
use super::vendor::{KickOff, Vendor};
use crate::platform::http::{HttpError, Url};
use crate::platform::secret::{hex, sha256};

/// Search parameters that shape an answer instead of choosing what is in it: "SHALL NOT be used" in a `_typeFilter`.
const SHAPING: [&str; 13] = [
    "_include",
    "_revinclude",
    "_sort",
    "_count",
    "_summary",
    "_elements",
    "_contained",
    "_containedType",
    "_total",
    "_format",
    "_pretty",
    "_score",
    "_maxresults",
];
/// The preference for the job's state in a header of its own (3.0).
pub(super) const SEPARATE: &str = "separate-export-status";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
}

/// How much of the wish is put into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    All,
    /// Only what every server must know, and the patients: what comes is more than was wished, never less.
    Plain,
}

/// One way to ask for the same export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) verb: Verb,
    extent: Extent,
}

/// One export request, ready to send.
pub(super) struct Ask {
    pub(super) url: Url,
    /// Of a POST: a Parameters resource.
    pub(super) body: Option<String>,
    pub(super) headers: Vec<(HeaderName, String)>,
    /// What was wished and is not asked for. Told, since more comes than was wished.
    pub(super) left_out: Vec<&'static str>,
}

/// What one run wishes of an EHR's export.
pub(super) struct Wish<'a> {
    settings: &'a EhrSettings,
    request: &'a Request,
    vendor: &'a Vendor,
    /// The types that come by export.
    types: Vec<&'a str>,
}

/// A parameter and its value, in the order in which they are asked.
type Parameter = (&'static str, Value);

impl<'a> Wish<'a> {
    /// # Errors: a type filter is none.
    pub(super) fn new(settings: &'a EhrSettings, request: &'a Request) -> Result<Self, PullError> {
        for (place, filter) in (1..).zip(&settings.export.type_filters) {
            check_filter(filter).map_err(|why| PullError::TypeFilter { place, why })?;
        }
        let vendor = &settings.vendor;
        let types = settings.types.iter().map(String::as_str);
        Ok(Self {
            settings,
            request,
            vendor,
            types: types.filter(|name| !vendor.not_exported.iter().any(|not| not == name)).collect(),
        })
    }

    /// Asked types that this vendor never exports.
    pub(super) fn not_exported(&self) -> impl Iterator<Item = &'a str> {
        let types = self.settings.types.iter().map(String::as_str);
        types.filter(|name| !self.types.contains(name))
    }

    /// Whether only types are asked for that this vendor exports together with a clinical type only.
    pub(super) fn lacks_clinical_type(&self) -> bool {
        !self.types.is_empty()
            && self
                .types
                .iter()
                .all(|name| self.vendor.with_clinical_only.iter().any(|with| with == name))
    }

    /// The form to begin with.
    pub(super) fn first_form(&self) -> Form {
        let verb = match self.vendor.kick_off {
            KickOff::Get => Verb::Get,
            KickOff::Post => Verb::Post,
            // `patient` is a parameter of POST only.
            KickOff::Either if self.asks_for_patients() => Verb::Post,
            KickOff::Either => Verb::Get,
        };
        Form { verb, extent: Extent::All }
    }

    /// What to try after `form` was refused; `None` when the refusal means something else, or all was tried.
    pub(super) fn next_form(&self, form: Form, status: u16, issues: &Issues, tried: &[Form]) -> Option<Form> {
        let unsupported = issues.name("not-supported");
        let other = match form.verb {
            Verb::Get => Verb::Post,
            Verb::Post => Verb::Get,
        };
        let refuses_verb = matches!(status, 405 | 501) || (matches!(status, 400 | 404) && unsupported);
        let by_other = (refuses_verb && self.vendor.kick_off == KickOff::Either).then_some(Form { verb: other, ..form });
        let refuses_words = matches!(status, 400 | 422) || unsupported;
        let plainer = (refuses_words && self.has_extras()).then_some(Form {
            extent: Extent::Plain,
            ..form
        });
        [by_other, plainer].into_iter().flatten().find(|form| !tried.contains(form))
    }

    /// `_since` as it is asked for; `None`: everything comes.
    pub(super) fn since(&self) -> Option<Timestamp> {
        since(self.vendor, &self.settings.types, self.request)
    }

    /// The request in this form.
    /// # Errors: the base cannot have a path; a client id or header name of the profile is none.
    pub(super) fn ask(&self, form: Form) -> Result<Ask, PullError> {
        let mut url = self.address()?;
        let mut left_out = Vec::new();
        let mut parameters = self.parameters(form, &mut left_out);
        let body = match form.verb {
            Verb::Get => {
                let mut query = url.query_pairs_mut();
                for (name, value) in &parameters {
                    query.append_pair(name, &text_of(value));
                }
                drop(query);
                None
            }
            Verb::Post => {
                let each = parameters.drain(..).map(|(name, value)| parameter(name, value));
                Some(json!({"resourceType": "Parameters", "parameter": each.collect::<Vec<_>>()}).to_string())
            }
        };
        Ok(Ask {
            headers: self.headers(form),
            url,
            body,
            left_out,
        })
    }

    /// What tells this wish from another: the same wish twice is the same job to a server that refuses duplicates.
    pub(super) fn fingerprint(&self) -> Result<String, PullError> {
        let form = Form {
            verb: Verb::Post,
            extent: Extent::All,
        };
        let words = self.parameters(form, &mut Vec::new());
        let words: String = words.iter().map(|(name, value)| format!("\n{name}={}", text_of(value))).collect();
        Ok(hex(&sha256(format!("{}{words}", self.address()?).as_bytes())))
    }

    fn asks_for_patients(&self) -> bool {
        !self.request.patients.is_empty() && self.vendor.export_patient
    }

    fn has_extras(&self) -> bool {
        let options = &self.settings.export;
        self.request.until.is_some()
            || !options.type_filters.is_empty()
            || !options.elements.is_empty()
            || !options.include_associated_data.is_empty()
            || options.organize_output_by.is_some()
            || options.allow_partial_manifests
    }

    fn address(&self) -> Result<Url, PullError> {
        let mut url = self.settings.base.clone();
        url.set_query(None);
        url.set_fragment(None);
        {
            let mut path = url
                .path_segments_mut()
                .map_err(|()| HttpError::Address("the base cannot have a path"))?;
            path.pop_if_empty();
            match &self.settings.level {
                Level::System => {}
                Level::Patient => {
                    path.push("Patient");
                }
                Level::Group(id) => {
                    path.extend(["Group", id]);
                }
            }
            path.push("$export");
        }
        Ok(url)
    }

    fn headers(&self, form: Form) -> Vec<(HeaderName, String)> {
        let options = &self.settings.export;
        let mut prefer = "respond-async".to_owned();
        if options.lenient || self.vendor.lenient {
            prefer.push_str(", handling=lenient");
        }
        if options.separate_status {
            prefer.push_str(", ");
            prefer.push_str(SEPARATE);
        }
        let mut headers = vec![
            (ACCEPT, "application/fhir+json".to_owned()),
            (HeaderName::from_static("prefer"), prefer),
        ];
        if form.verb == Verb::Post {
            headers.push((CONTENT_TYPE, "application/fhir+json".to_owned()));
        }
        headers
    }

    fn parameters(&self, form: Form, left_out: &mut Vec<&'static str>) -> Vec<Parameter> {
        let (options, vendor) = (&self.settings.export, self.vendor);
        let is_post = form.verb == Verb::Post;
        let mut asked: Vec<Parameter> = vec![("_outputFormat", "application/fhir+ndjson".into())];
        let types = self.types.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        // By GET one list, since Cerner takes no repeated parameter; by POST repeated, since the 4.0 ballot takes no list.
        list("_type", &types, is_post || vendor.repeated_type, &mut asked);
        if let Some(since) = self.since() {
            asked.push(("_since", since.to_string().into()));
        }
        if is_post && self.asks_for_patients() {
            for id in &self.request.patients {
                let reference = if id.contains('/') { id.clone() } else { format!("Patient/{id}") };
                asked.push(("patient", json!({ "reference": reference })));
            }
        } else if !self.request.patients.is_empty() {
            left_out.push("`patient` is not asked for, since the EHR does not take it: more patients come than were asked for");
        }
        if form.extent == Extent::Plain {
            left_out.push("the EHR refused the export's optional parameters: without them more comes than was asked for");
            return asked;
        }
        if let Some(until) = self.request.until {
            asked.push(("_until", until.to_string().into()));
        }
        asked.extend(self.type_filters().into_iter().map(|filter| ("_typeFilter", filter.into())));
        if vendor.export_elements {
            list("_elements", &options.elements, is_post, &mut asked);
        }
        list("includeAssociatedData", &options.include_associated_data, is_post, &mut asked);
        if let Some(by) = &options.organize_output_by {
            asked.push(("organizeOutputBy", by.clone().into()));
        }
        if options.allow_partial_manifests {
            asked.push(("allowPartialManifests", true.into()));
        }
        asked
    }

    /// The filters the vendor takes. Filters of one type are alternatives: sending some of them would lose data, so a type
    /// with more than the vendor takes is asked for whole.
    fn type_filters(&self) -> Vec<String> {
        let filters = &self.settings.export.type_filters;
        let of = |filter: &str| filter.split_once('?').map_or("", |(name, _)| name).to_owned();
        let is_sent = |filter: &&String| {
            let name = of(filter);
            let of_type = filters.iter().filter(|other| of(other) == name).count();
            of_type <= self.vendor.type_filters_per_type
                && !self.vendor.no_type_filter.contains(&name)
                && (self.types.is_empty() || self.types.contains(&name.as_str()))
        };
        filters.iter().filter(is_sent).cloned().collect()
    }
}

/// `_since` as this EHR is asked for it; `None`: everything comes, also when less would do.
pub(super) fn since(vendor: &Vendor, types: &[String], request: &Request) -> Option<Timestamp> {
    request.earliest(types).filter(|_| vendor.export_since)
}

fn list(name: &'static str, values: &[String], is_repeated: bool, asked: &mut Vec<Parameter>) {
    if is_repeated {
        asked.extend(values.iter().map(|value| (name, value.clone().into())));
    } else if !values.is_empty() {
        asked.push((name, values.join(",").into()));
    }
}

/// A value as it stands in a query.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One parameter of a Parameters resource, typed as the OperationDefinition of `$export` says.
fn parameter(name: &'static str, value: Value) -> Value {
    let member = match name {
        "_since" | "_until" => "valueInstant",
        "patient" => "valueReference",
        "includeAssociatedData" | "organizeOutputBy" => "valueCode",
        "allowPartialManifests" => "valueBoolean",
        _ => "valueString",
    };
    json!({"name": name, member: value})
}

fn check_filter(filter: &str) -> Result<(), &'static str> {
    let (name, query) = filter.split_once('?').ok_or("is no search: write it as `Type?name=value`")?;
    if !is_type_name(name) {
        return Err("does not begin with a resource type: write it as `Type?name=value`");
    }
    let parsed = Url::parse(&format!("x:/?{query}")).map_err(|_| "is no search: write it as `Type?name=value`")?;
    for (name, _) in parsed.query_pairs() {
        let plain = name.split(':').next().unwrap_or_default();
        if SHAPING.iter().any(|shaping| plain.eq_ignore_ascii_case(shaping)) {
            return Err(
                "holds a parameter that shapes an answer (`_include`, `_sort` and the like): an export must not have it, take it out",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
