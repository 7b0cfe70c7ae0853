//! What an export is asked for, form by form and vendor by vendor.

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
    let mut request = Request::new(1);
    request.since = Some("2026-03-01T02:00:00Z".parse().unwrap());
    let asked = ask(&odd, &request, None);
    let query = asked.url.query().unwrap();
    assert_eq!(query, "_outputFormat=application%2Ffhir%2Bndjson&_type=Patient&_type=Observation");
    assert_eq!(asked.headers[1].1, "respond-async, handling=lenient");
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
