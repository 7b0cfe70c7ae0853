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
            headers: self.headers(form)?,
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

    fn headers(&self, form: Form) -> Result<Vec<(HeaderName, String)>, PullError> {
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
        if let Some(name) = &self.vendor.client_id_header {
            let name = name
                .parse()
                .map_err(|_| HttpError::Address("the vendor's client id header is no header's name"))?;
            headers.push((name, self.settings.client_id.clone()));
        }
        Ok(headers)
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
mod tests {
    use super::*;

    fn settings(base: &str, level: Level) -> EhrSettings {
        let mut settings = EhrSettings::new(Url::parse(base).unwrap(), "client");
        settings.level = level;
        settings
    }

    fn ask(settings: &EhrSettings, request: &Request, form: Option<Form>) -> Ask {
        let wish = Wish::new(settings, request).unwrap();
        wish.ask(form.unwrap_or(wish.first_form())).unwrap()
    }

    #[test]
    fn the_address_asks_for_the_level_the_types_and_the_time() {
        let mut group = settings("https://ehr.test/fhir/r4/?x=1", Level::Group("a/../b c".to_owned()));
        group.types = vec!["Patient".to_owned(), "Observation".to_owned()];
        let mut request = Request::new(1);
        request.since = Some("2026-03-01T02:00:00.5Z".parse().unwrap());
        assert_eq!(
            ask(&group, &request, None).url.as_str(),
            "https://ehr.test/fhir/r4/Group/a%2F..%2Fb%20c/$export?_outputFormat=application%2Ffhir%2Bndjson\
             &_type=Patient%2CObservation&_since=2026-03-01T02%3A00%3A00.5Z"
        );
        let path = |base, level| ask(&settings(base, level), &Request::new(1), None).url.path().to_owned();
        assert_eq!(path("https://ehr.test", Level::Patient), "/Patient/$export");
        assert_eq!(path("https://ehr.test/r4", Level::System), "/r4/$export");
    }

    #[test]
    fn a_vendor_is_asked_in_its_own_way() {
        let mut odd = settings("https://ehr.test", Level::System);
        odd.types = ["Patient", "Observation", "Binary"].map(str::to_owned).to_vec();
        odd.export.elements = vec!["Patient.id".to_owned()];
        odd.vendor.repeated_type = true;
        odd.vendor.export_since = false;
        odd.vendor.export_elements = false;
        odd.vendor.lenient = true;
        odd.vendor.not_exported = vec!["Binary".to_owned()];
        odd.vendor.client_id_header = Some("Epic-Client-ID".to_owned());
        let mut request = Request::new(1);
        request.since = Some("2026-03-01T02:00:00Z".parse().unwrap());
        let asked = ask(&odd, &request, None);
        let query = asked.url.query().unwrap();
        assert_eq!(query, "_outputFormat=application%2Ffhir%2Bndjson&_type=Patient&_type=Observation");
        assert_eq!(asked.headers[1].1, "respond-async, handling=lenient");
        assert_eq!(asked.headers[2], (HeaderName::from_static("epic-client-id"), "client".to_owned()));
        let wish = Wish::new(&odd, &request).unwrap();
        assert_eq!((wish.since(), wish.not_exported().collect::<Vec<_>>()), (None, vec!["Binary"]));
    }

    #[test]
    fn all_parameters_stand_in_a_query_and_in_a_parameters_resource() {
        let mut all = settings("https://ehr.test", Level::Patient);
        all.types = vec!["Patient".to_owned(), "Observation".to_owned()];
        all.export.type_filters = vec!["Observation?category=laboratory&date=gt2020".to_owned()];
        all.export.elements = vec!["Patient.id".to_owned(), "code".to_owned()];
        all.export.include_associated_data = vec!["LatestProvenanceResources".to_owned()];
        all.export.organize_output_by = Some("Patient".to_owned());
        all.export.allow_partial_manifests = true;
        all.export.separate_status = true;
        let mut request = Request::new(1);
        request.until = Some("2026-03-02T00:00:00Z".parse().unwrap());
        let get = ask(&all, &request, None);
        assert_eq!(
            get.url.query().unwrap(),
            "_outputFormat=application%2Ffhir%2Bndjson&_type=Patient%2CObservation&_until=2026-03-02T00%3A00%3A00Z\
             &_typeFilter=Observation%3Fcategory%3Dlaboratory%26date%3Dgt2020&_elements=Patient.id%2Ccode\
             &includeAssociatedData=LatestProvenanceResources&organizeOutputBy=Patient&allowPartialManifests=true"
        );
        assert_eq!(get.headers[1].1, "respond-async, separate-export-status");

        request.patients = vec!["a".to_owned(), "Patient/b".to_owned()];
        let post = ask(&all, &request, None);
        assert_eq!((post.url.query(), post.left_out.len()), (None, 0));
        let body: Value = serde_json::from_str(&post.body.unwrap()).unwrap();
        let expected = json!({"resourceType": "Parameters", "parameter": [
            {"name": "_outputFormat", "valueString": "application/fhir+ndjson"},
            {"name": "_type", "valueString": "Patient"},
            {"name": "_type", "valueString": "Observation"},
            {"name": "patient", "valueReference": {"reference": "Patient/a"}},
            {"name": "patient", "valueReference": {"reference": "Patient/b"}},
            {"name": "_until", "valueInstant": "2026-03-02T00:00:00Z"},
            {"name": "_typeFilter", "valueString": "Observation?category=laboratory&date=gt2020"},
            {"name": "_elements", "valueString": "Patient.id"},
            {"name": "_elements", "valueString": "code"},
            {"name": "includeAssociatedData", "valueCode": "LatestProvenanceResources"},
            {"name": "organizeOutputBy", "valueCode": "Patient"},
            {"name": "allowPartialManifests", "valueBoolean": true},
        ]});
        assert_eq!(body, expected);
    }

    #[test]
    fn filters_a_vendor_does_not_take_are_left_out_by_whole_types() {
        let mut limited = settings("https://ehr.test", Level::System);
        limited.types = ["Patient", "Observation", "Condition"].map(str::to_owned).to_vec();
        limited.export.type_filters = [
            "Patient?active=true",
            "Observation?category=laboratory",
            "Observation?category=vital-signs",
            "Condition?category=problem-list-item",
            "Procedure?status=completed",
        ]
        .map(str::to_owned)
        .to_vec();
        limited.vendor.type_filters_per_type = 1;
        limited.vendor.no_type_filter = vec!["Patient".to_owned()];
        let request = Request::new(1);
        let sent = Wish::new(&limited, &request).unwrap().type_filters();
        assert_eq!(
            sent,
            ["Condition?category=problem-list-item"],
            "one of two alternatives would lose the other"
        );
    }

    #[test]
    fn a_type_filter_never_shapes_the_answer() {
        for (filter, ok) in [
            ("Observation?category=laboratory", true),
            ("Observation?_include=Observation:subject", false),
            ("Observation?_revinclude:iterate=Provenance:target", false),
            ("Observation?code=x&_sort=date", false),
            ("Observation?%5Fcount=5", false),
            ("Observation?_has:Provenance:target:agent=1", true),
            ("Observation", false),
            ("observation?code=x", false),
        ] {
            let mut settings = settings("https://ehr.test", Level::System);
            settings.export.type_filters = vec![filter.to_owned()];
            let request = Request::new(1);
            assert_eq!(Wish::new(&settings, &request).is_ok(), ok, "{filter}");
        }
    }

    #[test]
    fn a_refusal_leads_to_another_form_only_where_that_may_help() {
        let get = Form {
            verb: Verb::Get,
            extent: Extent::All,
        };
        let post = Form { verb: Verb::Post, ..get };
        let plain = Form {
            extent: Extent::Plain,
            ..get
        };
        let unsupported = Issues::parse(br#"{"resourceType":"OperationOutcome","issue":[{"code":"not-supported"}]}"#).unwrap();
        let none = Issues::default();
        let check = |kick_off, extras: bool, (status, issues): (u16, &Issues), tried: &[Form], expected| {
            let mut settings = settings("https://ehr.test", Level::System);
            settings.vendor.kick_off = kick_off;
            settings.export.allow_partial_manifests = extras;
            let request = Request::new(1);
            let wish = Wish::new(&settings, &request).unwrap();
            assert_eq!(wish.next_form(get, status, issues, tried), expected, "{status}");
        };
        check(KickOff::Either, false, (405, &none), &[get], Some(post));
        check(KickOff::Either, false, (501, &none), &[get], Some(post));
        check(KickOff::Either, false, (404, &unsupported), &[get], Some(post));
        check(KickOff::Either, false, (404, &none), &[get], None);
        check(KickOff::Either, false, (403, &none), &[get], None);
        check(KickOff::Either, false, (405, &none), &[get, post], None);
        check(KickOff::Get, false, (405, &none), &[get], None);
        check(KickOff::Either, false, (400, &none), &[get], None);
        check(KickOff::Either, true, (400, &none), &[get], Some(plain));
        check(KickOff::Either, true, (400, &none), &[get, plain], None);
    }
}
