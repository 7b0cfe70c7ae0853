//! Whose data a crawl asks for. Nobody is nobody; who cannot be told is counted, and never named.

use std::path::Path;

use headwater::pull::{Cohort, Level, Request};
use serde_json::json;

use super::crawl_ehr::{Ward, outcome, patients, resource, said};
use super::*;

const TYPES: [&str; 2] = ["Patient", "Observation"];

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

async fn of(ward: &Ward, cohort: Cohort) -> (Site, Result<Pulled, PullError>) {
    let site = Site::new();
    let mut settings = ward.settings(&TYPES);
    settings.cohort = cohort;
    let pulled = site.ask(&settings, Request::new(1)).await;
    (site, pulled)
}

fn people(site: &Site, pulled: &Pulled) -> Vec<String> {
    site.keys(pulled).into_iter().filter(|key| key.starts_with("Patient/")).collect()
}

#[tokio::test]
async fn a_file_lists_ids_and_identifiers() {
    let ward = Ward::of(patients(6)).await;
    let list = file("# the study\np0\nPatient/p1\n\nurn:mrn|m3\np0\n");
    let (site, pulled) = of(&ward, Cohort::Listed(list.path().to_owned())).await;
    let pulled = pulled.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(people(&site, &pulled), ["Patient/p0", "Patient/p1", "Patient/p3"]);
    assert!(pulled.types["Observation"].whole);
    assert_eq!(ward.asked_for("Observation?patient=p0"), 2, "two pages, once");
    assert_eq!(ward.asked_for("Patient/_search"), 1);
    assert!(
        !ward.asked().iter().any(|what| what.contains("m3")),
        "a record number stands in no address"
    );
}

#[tokio::test]
async fn an_identifier_of_nobody_or_of_several_is_counted_without_its_value() {
    let ward = Ward::of(patients(3)).await;
    ward.change(|all| {
        let twice = json!({"identifier": [{"system": "urn:mrn", "value": "m2"}]});
        all.push(resource("Patient", "twin", twice));
    });
    let list = file("urn:mrn|m0\nurn:mrn|m2\nurn:mrn|m77\nurn:mrn|m78\n");
    let (site, pulled) = of(&ward, Cohort::Listed(list.path().to_owned())).await;
    let pulled = pulled.unwrap();
    assert!(!pulled.complete);
    assert_eq!(people(&site, &pulled), ["Patient/p0"], "of several patients none is taken");
    assert!(!pulled.types["Observation"].whole && pulled.types["Observation"].reached.is_none());
    let told = pulled.problems.join("; ");
    assert!(
        told.contains("no patient the EHR knows (2 times)") && told.contains("several patients"),
        "{told}"
    );
    assert!(!told.contains("m2") && !told.contains("m7"), "{told}");
}

#[tokio::test]
async fn an_empty_cohort_is_an_error_and_never_everyone() {
    let ward = Ward::of(patients(3)).await;
    ward.change(|all| all.push(resource("Group", "g", json!({"type": "person", "actual": true}))));
    let list = file("# nobody yet\n");
    let codes = file(r#"{"resourceType":"ValueSet","compose":{"include":[{"system":"s","concept":[{"code":"c"}]}]}}"#);
    for (cohort, level) in [
        (Cohort::Listed(list.path().to_owned()), Level::System),
        (Cohort::Found("Patient?identifier=urn:mrn|m99".to_owned()), Level::System),
        (Cohort::Found("no search".to_owned()), Level::System),
        (Cohort::Diagnosed(codes.path().to_owned()), Level::System),
        (Cohort::Level, Level::Group("g".to_owned())),
    ] {
        let site = Site::new();
        let mut settings = ward.settings(&TYPES);
        (settings.cohort, settings.level) = (cohort.clone(), level);
        let error = site.ask(&settings, Request::new(1)).await.unwrap_err();
        assert!(matches!(error, PullError::Nobody(_)), "{cohort:?} {}", words(&error));
        assert!(words(&error).contains("never means every patient"));
        assert!(site.landing.segments(1).unwrap().is_empty());
    }
    assert_eq!(ward.asked_for("Observation"), 0);
    let (_, missing) = of(&ward, Cohort::Listed(Path::new("/no/such/list").to_owned())).await;
    let text = words(&missing.unwrap_err());
    assert!(text.contains("/no/such/list") && text.contains("check the path"), "{text}");
}

#[tokio::test]
async fn a_group_is_its_active_members_of_today() {
    let ward = Ward::of(patients(6)).await;
    let member = |reference: &str, more: serde_json::Value| {
        let mut member = json!({"entity": {"reference": reference}});
        for (name, value) in more.as_object().unwrap() {
            member[name] = value.clone();
        }
        member
    };
    let absolute = format!("{}/Patient/p1", ward.base());
    ward.change(|all| {
        let members = [
            member("Patient/p0", json!({})),
            member(&absolute, json!({"inactive": false})),
            member("Patient/p2", json!({"inactive": true})),
            member("Patient/p3", json!({"period": {"end": "2026-02-28"}})),
            member("Patient/p4", json!({"period": {"start": "2026-03-02"}})),
        ];
        all.push(resource("Group", "g", json!({"type": "person", "actual": true, "member": members})));
    });
    let site = Site::new();
    let mut settings = ward.settings(&TYPES);
    settings.level = Level::Group("g".to_owned());
    let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(people(&site, &pulled), ["Patient/p0", "Patient/p1"]);

    // A member who is no Patient here: the others come, but nothing is proven.
    ward.change(|all| {
        let group = all.last_mut().unwrap();
        group["member"]
            .as_array_mut()
            .unwrap()
            .push(json!({"entity": {"reference": "Group/other"}}));
    });
    let pulled = site.ask(&settings, Request::new(2)).await.unwrap();
    assert!(!pulled.complete && !pulled.types["Patient"].whole);
    assert_eq!(people(&site, &pulled), ["Patient/p0", "Patient/p1"]);
}

#[tokio::test]
async fn a_group_that_is_not_shown_is_asked_for_by_its_members() {
    let ward = Ward::of(patients(2)).await;
    ward.hook(|_, what| {
        what.starts_with("Group/")
            .then(|| said(403, outcome("error", "forbidden").to_string()))
    });
    let site = Site::new();
    let mut settings = ward.settings(&TYPES);
    settings.level = Level::Group("g".to_owned());
    let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
    assert_eq!(ward.asked_for("Patient?_has%3AGroup%3Amember%3A_id=g"), 1);
    assert_eq!(people(&site, &pulled).len(), 2);

    ward.hook(|_, what| {
        (what.starts_with("Group/") || what.contains("_has")).then(|| said(403, outcome("error", "forbidden").to_string()))
    });
    let text = words(&Site::new().ask(&settings, Request::new(1)).await.unwrap_err());
    assert!(text.contains("403 (forbidden)") && text.contains("Group"), "{text}");
}

#[tokio::test]
async fn a_search_finds_patients_or_the_subjects_of_what_it_finds() {
    let ward = Ward::of(patients(5)).await;
    let coded = |id: &str, patient: &str, code: &str| {
        let code = json!({"coding": [{"system": "s", "code": code}]});
        resource("Condition", id, json!({"subject": {"reference": patient}, "code": code}))
    };
    ward.change(|all| {
        all.extend([
            coded("c1", "Patient/p1", "k50"),
            coded("c2", "Patient/p3", "k50"),
            coded("c3", "Patient/p3", "k50"),
            coded("c4", "Patient/p4", "i10"),
        ]);
    });
    let (site, pulled) = of(&ward, Cohort::Found("Condition?code=k50".to_owned())).await;
    assert_eq!(people(&site, &pulled.unwrap()), ["Patient/p1", "Patient/p3"]);
    let (site, pulled) = of(&ward, Cohort::Found("Patient?identifier=urn:mrn|m2".to_owned())).await;
    assert_eq!(people(&site, &pulled.unwrap()), ["Patient/p2"]);
}

#[tokio::test]
async fn a_value_set_chooses_by_the_newest_landed_condition() {
    let ward = Ward::of(patients(5)).await;
    let coded = |id: &str, patient: &str, system: &str, code: &str| {
        let code = json!({"coding": [{"system": system, "code": code}]});
        resource("Condition", id, json!({"subject": {"reference": patient}, "code": code}))
    };
    ward.change(|all| {
        let mut doubtful = coded("c4", "Patient/p4", "s", "k50");
        doubtful["verificationStatus"] = json!({"coding": [{"code": "refuted"}]});
        all.extend([
            coded("c0", "Patient/p0", "s", "k50"),
            coded("c1", "Patient/p1", "s", "k51"),
            coded("c2", "Patient/p2", "s", "i10"),
            coded("c3", "Patient/p3", "other", "k50"),
            doubtful,
        ]);
    });
    let site = Site::new();
    site.ask(&ward.settings(&["Condition"]), Request::new(1)).await.unwrap();
    // The diagnosis of p1 is taken back later.
    ward.change(|all| all.retain(|one| one["id"] != "c1"));
    ward.change(|all| {
        let mut changed = coded("c1", "Patient/p1", "s", "z00");
        changed["meta"]["versionId"] = json!("2");
        all.push(changed);
    });
    site.ask(&ward.settings(&["Condition"]), Request::new(2)).await.unwrap();
    let codes = file(r#"{"resourceType":"ValueSet","compose":{"include":[{"system":"s","concept":[{"code":"k50"},{"code":"k51"}]}]}}"#);
    let mut settings = ward.settings(&TYPES);
    settings.cohort = Cohort::Diagnosed(codes.path().to_owned());
    let pulled = site.ask(&settings, Request::new(3)).await.unwrap();
    assert_eq!(people(&site, &pulled), ["Patient/p0"]);
}

#[tokio::test]
async fn the_site_s_database_holds_no_patient_s_id_in_clear() {
    let ward = Ward::of(vec![
        resource("Patient", "zz-very-own-id", json!({})),
        resource(
            "Observation",
            "o",
            json!({"subject": {"reference": "Patient/zz-very-own-id"}, "performer": [{"reference": "Practitioner/zz-very-own-id"}]}),
        ),
    ])
    .await;
    ward.hook(|number, what| (what.starts_with("Observation") && number < 20).then(|| said(503, "")));
    let site = Site::new();
    let settings = ward.settings(&["Patient", "Observation", "Practitioner"]);
    assert!(
        !site.ask(&settings, Request::new(1)).await.is_ok_and(|pulled| pulled.complete),
        "it is under way"
    );
    let files = std::fs::read_dir(site.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut looked = 0;
    for path in files.filter(|path| path.is_file()) {
        looked += 1;
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(14).any(|window| window == b"zz-very-own-id"), "{}", path.display());
    }
    assert!(looked >= 2, "the database and its log");
}
