//! Pulls by search: what comes, how often the EHR is asked, what is proven, and that an interruption changes nothing.

use std::collections::BTreeMap;

use headwater::pull::{Cohort, Level, Method, Request, TypePulled, forget, unfinished};
use headwater::simulate::ehr::{EhrSettings as Simulated, serve};
use headwater::simulate::{GeneratorSettings, generate};
use serde_json::{Value, json};

use super::crawl_ehr::{ALL, Said, Ward, patients, resource, said};
use super::*;

/// When the site's clock stands, which is before the ward's.
const BEGAN: &str = "2026-03-01T02:00:00Z";

fn whole(reached: &str) -> TypePulled {
    TypePulled {
        whole: true,
        reached: Some(reached.parse().unwrap()),
    }
}

#[tokio::test]
async fn a_crawl_and_an_export_of_the_same_patients_land_the_same() {
    let ward = Ward::of(patients(12)).await;
    let mut landed = Vec::new();
    for (method, level) in [
        (Method::Bulk, Level::System),
        (Method::Search, Level::Patient),
        (Method::Search, Level::System),
        (Method::Everything, Level::Patient),
    ] {
        let site = Site::new();
        let mut settings = ward.settings(&ALL);
        (settings.method, settings.level) = (method, level);
        let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
        assert!(pulled.complete, "{method:?} {:?}", pulled.problems);
        assert_eq!(unfinished(site.landing.database()).unwrap(), None, "{method:?}");
        landed.push((site.lines(&pulled), method));
    }
    assert_eq!(landed[0].0.len(), 8 + 12 * 6);
    for (lines, method) in &landed[1..] {
        assert_eq!(lines, &landed[0].0, "{method:?}");
    }
}

#[tokio::test]
async fn what_a_search_proves_is_told_type_by_type() {
    let ward = Ward::of(patients(3)).await;
    let site = Site::new();
    let pulled = site.ask(&ward.settings(&ALL), Request::new(1)).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    for name in ["Patient", "Observation", "Encounter", "MedicationRequest"] {
        // The newest change seen is a month before the run began.
        assert_eq!(pulled.types[name], whole("2026-02-01T00:00:00Z"), "{name}");
    }
    for name in ["Medication", "Practitioner", "PractitionerRole", "Location", "Organization"] {
        assert_eq!(pulled.types[name], TypePulled::default(), "{name} is only what was referred to");
    }
    assert_eq!(pulled.transaction_time, BEGAN.parse().unwrap());
    assert!(pulled.counts.contains(&("PractitionerRole".to_owned(), 1)));

    // The same run again asks nobody and gives the same.
    let before = ward.asked().len();
    let again = site.ask(&ward.settings(&ALL), Request::new(1)).await.unwrap();
    assert_eq!((again.segments, again.types), (pulled.segments, pulled.types));
    // It looks at the server's description; no patient's data is asked for.
    assert_eq!(ward.asked().len(), before);
}

#[tokio::test]
async fn a_type_without_any_change_seen_reached_the_beginning_by_the_earlier_clock() {
    for (date, reached) in [
        ("Sun, 01 Mar 2026 01:58:00 GMT", "2026-03-01T01:58:00Z"),
        ("Sun, 01 Mar 2026 09:00:00 GMT", BEGAN),
    ] {
        let ward = Ward::of(patients(1)).await;
        let metadata = r#"{"resourceType":"CapabilityStatement"}"#;
        ward.hook(move |_, what| {
            (what == "metadata").then(|| Said {
                headers: vec![("date", date.to_owned())],
                ..said(200, metadata)
            })
        });
        let site = Site::new();
        let pulled = site.ask(&ward.settings(&["Patient", "Goal"]), Request::new(1)).await.unwrap();
        assert_eq!(pulled.types["Goal"], whole(reached));
        assert_eq!(pulled.types["Patient"], whole("2026-02-01T00:00:00Z"));
        assert_eq!(pulled.transaction_time, reached.parse().unwrap());
    }
}

#[tokio::test]
async fn a_change_stamped_in_the_future_moves_nothing_beyond_the_beginning() {
    let ward = Ward::of(patients(1)).await;
    ward.change(|all| {
        for one in all.iter_mut() {
            one["meta"]["lastUpdated"] = json!("2031-01-01T00:00:00Z");
        }
    });
    let site = Site::new();
    let pulled = site
        .ask(&ward.settings(&["Patient", "Observation"]), Request::new(1))
        .await
        .unwrap();
    assert_eq!(pulled.types["Observation"], whole(BEGAN));
}

#[tokio::test]
async fn interrupted_at_any_request_it_goes_on_and_lands_the_same() {
    for level in [Level::Patient, Level::System] {
        let ward = Ward::of(patients(4)).await;
        let mut settings = ward.settings(&ALL);
        let step = if level == Level::System { 1 } else { 3 };
        settings.level = level;
        let undisturbed = Site::new();
        let expected = undisturbed.ask(&settings, Request::new(1)).await.unwrap();
        let (expected, requests) = (undisturbed.lines(&expected), ward.asked().len());
        assert!(requests > 15, "{requests}");
        for cut in (0..requests).step_by(step) {
            let ward = Ward::of(patients(4)).await;
            let mut settings = settings.clone();
            settings.base = ward.base();
            ward.hook(move |number, _| {
                (number == cut).then(|| Said {
                    hang: true,
                    ..said(200, "")
                })
            });
            let site = Site::new();
            tokio::select! {
                done = site.ask(&settings, Request::new(1)) => panic!("the fault did not fire at {cut}: {done:?}"),
                () = ward.hangs() => {}
            }
            ward.well();
            let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
            assert!(pulled.complete, "cut at {cut}: {:?}", pulled.problems);
            assert_eq!(site.lines(&pulled), expected, "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn an_ehr_that_goes_away_stops_the_run_and_the_next_call_goes_on() {
    let ward = Ward::of(patients(6)).await;
    let undisturbed = Site::new();
    let settings = ward.settings(&ALL);
    let expected = undisturbed.ask(&settings, Request::new(1)).await.unwrap();
    let requests = ward.asked().len();
    for from in [requests / 4, requests / 2, requests - 3] {
        let ward = Ward::of(patients(6)).await;
        let mut settings = settings.clone();
        settings.base = ward.base();
        ward.hook(move |number, _| (number >= from).then(|| said(503, "")));
        let site = Site::new();
        match site.ask(&settings, Request::new(1)).await {
            Err(error) => assert!(error.is_transient(), "{}", words(&error)),
            // So near to its end that there was not enough left to ask for to call the EHR down.
            Ok(pulled) => assert!(!pulled.complete && from == requests - 3, "down from {from}"),
        }
        assert!(unfinished(site.landing.database()).unwrap().is_some());
        ward.well();
        let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
        assert!(pulled.complete, "down from {from}: {:?}", pulled.problems);
        assert_eq!(site.lines(&pulled), undisturbed.lines(&expected), "down from {from}");
    }
}

#[tokio::test]
async fn a_thousand_patients_are_few_units_and_few_requests_at_a_time() {
    let people = (0..1000).map(|n| resource("Patient", &format!("p{n}"), json!({})));
    let one = resource("Observation", "o", json!({"subject": {"reference": "Patient/p7"}}));
    let ward = Ward::of(people.chain([one]).collect()).await;
    let site = Site::new();
    let mut settings = ward.settings(&["Patient", "Observation"]);
    settings.vendor.page_size = 500;
    let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(pulled.counts, [("Observation".to_owned(), 1), ("Patient".to_owned(), 1000)]);
    assert_eq!(ward.asked_for("Observation?patient="), 1000);
    assert_eq!(ward.asked_for("Patient/p"), 0, "the cohort's search gave the patients themselves");
    assert!(pulled.segments.len() <= 4, "{} segments", pulled.segments.len());
    assert!(ward.most_at_a_time() <= site.limits.concurrency, "{}", ward.most_at_a_time());
    let units = site.told().iter().filter(|told| matches!(told, Progress::Crawling { .. })).count();
    assert!((20..30).contains(&units), "{units} units of at most 50 patients");
}

#[tokio::test]
async fn only_changes_are_asked_for_except_of_patients_who_are_new() {
    let ward = Ward::of(patients(2)).await;
    let site = Site::new();
    let settings = ward.settings(&["Patient", "Observation"]);
    site.ask(&settings, Request::new(1)).await.unwrap();
    ward.change(|all| {
        let member = |id: &str| json!({"subject": {"reference": format!("Patient/{id}")}});
        all.push(resource("Patient", "new", json!({})));
        // Older than `since`, but of a patient nobody has asked about before.
        all.push(resource("Observation", "old-of-new", member("new")));
        let mut late = resource("Observation", "late", member("p0"));
        late["meta"]["lastUpdated"] = json!("2026-02-20T00:00:00Z");
        all.push(late);
    });
    let since = Request {
        since: Some("2026-02-10T00:00:00Z".parse().unwrap()),
        ..Request::new(2)
    };
    let pulled = site.ask(&settings, since).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(
        site.keys(&pulled),
        [
            "Observation/late",
            "Observation/old-of-new",
            "Patient/new",
            "Patient/p0",
            "Patient/p1"
        ]
    );
    assert_eq!(ward.asked_for("_lastUpdated=ge2026-02-10T00%3A00%3A00Z"), 2);
    let observation = &pulled.types["Observation"];
    assert_eq!(
        (observation.whole, observation.reached),
        (false, Some("2026-02-20T00:00:00Z".parse().unwrap()))
    );
    assert!(
        pulled.types["Patient"].whole,
        "patients are read as they are, whenever they changed"
    );
}

#[tokio::test]
async fn a_patient_who_was_away_or_only_backfilled_is_asked_for_whole() {
    let ward = Ward::of(patients(2)).await;
    let site = Site::new();
    let mut settings = ward.settings(&["Patient", "Observation"]);
    let moment = |text: &str| Some(text.parse().unwrap());
    let list = |ids: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), ids).unwrap();
        file
    };
    let (both, one) = (list("p0\np1\n"), list("p0\n"));
    for (run, cohort, request, asks_since) in [
        (1, &one, Request::new(1), 0),
        (
            2,
            &one,
            Request {
                patients: vec!["p1".to_owned()],
                until: moment("2026-01-02T00:00:00Z"),
                ..Request::new(2)
            },
            0,
        ),
        // p0 is known, p1 was seen by a backfill only.
        (
            3,
            &both,
            Request {
                since: moment("2026-02-10T00:00:00Z"),
                ..Request::new(3)
            },
            1,
        ),
        (
            4,
            &one,
            Request {
                since: moment("2026-02-10T00:00:00Z"),
                ..Request::new(4)
            },
            1,
        ),
        // p1 was away in run 4.
        (
            5,
            &both,
            Request {
                since: moment("2026-02-10T00:00:00Z"),
                ..Request::new(5)
            },
            1,
        ),
        (
            6,
            &both,
            Request {
                since: moment("2026-02-10T00:00:00Z"),
                ..Request::new(6)
            },
            2,
        ),
    ] {
        let before = ward.asked_for("_lastUpdated=ge");
        settings.cohort = Cohort::Listed(cohort.path().to_owned());
        let pulled = site.ask(&settings, request).await.unwrap();
        assert!(pulled.complete, "run {run}: {:?}", pulled.problems);
        assert_eq!(ward.asked_for("_lastUpdated=ge") - before, asks_since, "run {run}");
    }
}

#[tokio::test]
async fn a_forgotten_run_does_not_make_its_patients_known() {
    let ward = Ward::of(patients(1)).await;
    let site = Site::new();
    let settings = ward.settings(&["Patient", "Observation"]);
    site.ask(&settings, Request::new(1)).await.unwrap();
    site.landing.forget(1, |tx| forget(tx, 1)).unwrap();
    let since = Request {
        since: Some("2026-02-10T00:00:00Z".parse().unwrap()),
        ..Request::new(2)
    };
    let pulled = site.ask(&settings, since).await.unwrap();
    assert_eq!(site.keys(&pulled).len(), 4, "all of what the forgotten run had");
    assert_eq!(ward.asked_for("_lastUpdated"), 0);
}

#[tokio::test]
async fn a_backfill_names_patients_and_dates_and_leaves_the_watermark_alone() {
    let ward = Ward::of(patients(3)).await;
    ward.change(|all| {
        let mut late = resource("Observation", "late", json!({"subject": {"reference": "Patient/p1"}}));
        late["meta"]["lastUpdated"] = json!("2026-02-20T00:00:00Z");
        all.push(late);
    });
    let site = Site::new();
    let request = Request {
        patients: vec!["p1".to_owned()],
        until: Some("2026-02-10T00:00:00Z".parse().unwrap()),
        ..Request::new(1)
    };
    let mut settings = ward.settings(&["Patient", "Observation"]);
    settings.level = Level::System;
    let pulled = site.ask(&settings, request).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(
        site.keys(&pulled),
        ["Observation/o1-0", "Observation/o1-1", "Observation/o1-2", "Patient/p1"]
    );
    assert_eq!(ward.asked_for("_lastUpdated=lt2026-02-10T00%3A00%3A00Z"), 2, "two pages");
    for (name, pulled) in &pulled.types {
        assert_eq!(pulled, &TypePulled::default(), "{name}");
    }
}

#[tokio::test]
async fn everybody_is_searched_type_by_type_and_by_change() {
    let ward = Ward::of(patients(5)).await;
    let site = Site::new();
    let mut settings = ward.settings(&ALL);
    settings.level = Level::System;
    let first = site.ask(&settings, Request::new(1)).await.unwrap();
    assert_eq!(site.keys(&first).len(), 8 + 5 * 6);
    assert_eq!(ward.asked_for("patient="), 0);
    assert!(first.types["Practitioner"].whole, "it was searched for, not only referred to");
    let asked = ward.asked().len();
    let since = Request {
        since: Some("2026-02-10T00:00:00Z".parse().unwrap()),
        ..Request::new(2)
    };
    let second = site.ask(&settings, since).await.unwrap();
    assert_eq!(site.keys(&second), Vec::<String>::new());
    assert_eq!(
        ward.asked().len() - asked,
        1 + ALL.len(),
        "a search for each type, after the description"
    );
    assert_eq!(second.types["Observation"].reached, Some(BEGAN.parse().unwrap()));
    assert!(!second.types["Observation"].whole);
}

#[tokio::test]
async fn a_type_whose_search_of_everybody_is_refused_is_searched_by_patient() {
    let ward = Ward::of(patients(3)).await;
    ward.hook(|_, what| {
        let refused = (what.starts_with("Observation?") && !what.contains("patient=")) || what.starts_with("Location?_count");
        refused.then(|| said(400, super::crawl_ehr::outcome("error", "too-costly").to_string()))
    });
    let site = Site::new();
    let mut settings = ward.settings(&ALL);
    settings.level = Level::System;
    let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert!(ward.asked_for("Observation?patient=") >= 3);
    assert_eq!(site.keys(&pulled).len(), 8 + 3 * 6, "nothing is missing, and nothing came twice");
    assert!(pulled.types["Observation"].whole && pulled.types["Encounter"].whole);
    assert!(!pulled.types["Location"].whole, "it was read where others refer to it");
}

#[tokio::test]
async fn medications_come_along_where_the_server_offers_it() {
    let ward = Ward::of(patients(4)).await;
    ward.offers_includes();
    let site = Site::new();
    let pulled = site.ask(&ward.settings(&ALL), Request::new(1)).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert!(ward.asked_for("_include=MedicationRequest%3Amedication") >= 4);
    assert_eq!(
        ward.asked_for("Medication/") + ward.asked_for("Medication?"),
        0,
        "none had to be read"
    );
    assert_eq!(site.keys(&pulled).len(), 8 + 4 * 6, "a drug of two patients is landed once");
}

#[tokio::test]
async fn references_are_read_at_this_server_only_and_what_is_gone_is_no_failure() {
    let ward = Ward::of(patients(0)).await;
    let other = Ward::of(vec![resource("Practitioner", "stranger", json!({}))]).await;
    let here = format!("{}/Practitioner/doc-0", ward.base());
    let there = format!("{}/Practitioner/stranger", other.base());
    ward.change(|all| {
        all.push(resource(
            "Patient",
            "p",
            json!({"generalPractitioner": [{"reference": here}, {"reference": there},
            {"reference": "Practitioner/nobody"}, {"reference": "#contained"}, {"reference": "Practitioner?identifier=x"}]}),
        ));
        let subject = json!({"reference": "Patient/p"});
        let panel = json!({"subject": subject, "hasMember": [{"reference": "Observation/kept-back"}],
            "derivedFrom": [{"reference": "Observation/not-followed"}]});
        all.push(resource("Observation", "panel", panel));
        all.push(resource("Observation", "kept-back", json!({})));
        all.push(resource("Observation", "not-followed", json!({})));
    });
    let site = Site::new();
    let pulled = site
        .ask(&ward.settings(&["Patient", "Observation", "Practitioner"]), Request::new(1))
        .await
        .unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(
        site.keys(&pulled),
        ["Observation/kept-back", "Observation/panel", "Patient/p", "Practitioner/doc-0"]
    );
    assert!(ward.asked_for("nobody") >= 1, "the missing one was asked for");
    assert!(other.asked().is_empty());
    let mut settings = ward.settings(&["Patient", "Observation"]);
    settings.hydrate = false;
    let bare = Site::new();
    let pulled = bare.ask(&settings, Request::new(1)).await.unwrap();
    assert_eq!(bare.keys(&pulled), ["Observation/panel", "Patient/p"]);
}

#[tokio::test]
async fn attachments_come_as_binary_when_asked_for_and_from_this_server_only() {
    let ward = Ward::of(vec![
        resource("Patient", "p", json!({})),
        resource("Binary", "note", json!({"contentType": "text/plain", "data": "eA=="})),
    ])
    .await;
    let other = Ward::of(Vec::new()).await;
    let attachment = |url: &str| json!({"attachment": {"contentType": "text/plain", "url": url}});
    let content = [
        attachment("Binary/note"),
        attachment(&format!("{}/Binary/raw", ward.base())),
        attachment(&format!("{}/Binary/foreign", other.base())),
    ];
    ward.change(|all| {
        all.push(resource(
            "DocumentReference",
            "d",
            json!({"subject": {"reference": "Patient/p"}, "content": content}),
        ))
    });
    ward.hook(|_, what| {
        (what == "Binary/raw").then(|| Said {
            headers: vec![("content-type", "text/plain; charset=utf-8".to_owned())],
            ..said(200, "hello")
        })
    });
    for (attachments, expected) in [
        (false, &["DocumentReference/d", "Patient/p"][..]),
        (true, &["Binary/note", "Binary/raw", "DocumentReference/d", "Patient/p"][..]),
    ] {
        let site = Site::new();
        let mut settings = ward.settings(&["Patient", "DocumentReference"]);
        settings.attachments = attachments;
        let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
        assert!(pulled.complete, "{:?}", pulled.problems);
        assert_eq!(site.keys(&pulled), expected);
        let raw = r#"{"contentType":"text/plain","data":"aGVsbG8=","id":"raw","resourceType":"Binary"}"#;
        assert_eq!(site.lines(&pulled).iter().any(|line| line == raw), attachments);
    }
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn a_plan_asks_each_type_its_way_in_one_run() {
    let ward = Ward::of(patients(3)).await;
    // The ward's export gives every type; those the plan searches for must not be asked of it, or they would be landed twice.
    let site = Site::new();
    let mut settings = ward.settings(&["Patient", "Observation", "Encounter"]);
    (settings.method, settings.level) = (Method::Planned, Level::System);
    settings.vendor.not_exported = vec!["Encounter".to_owned()];
    ward.hook({
        let base = ward.base().to_string();
        move |_, what| {
            (what == "poll").then(|| {
                let output: Vec<Value> = ["Patient", "Observation"]
                    .iter()
                    .map(|kind| json!({"type": kind, "url": format!("{base}/files/{kind}")}))
                    .collect();
                let time = "2026-03-01T01:59:00Z";
                let manifest = json!({"transactionTime": time, "request": "x", "requiresAccessToken": true, "output": output, "error": []});
                said(200, manifest.to_string())
            })
        }
    });
    let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert!(
        ward.asked()
            .iter()
            .any(|what| what.contains("$export") && what.contains("_type=Patient%2COb")),
        "{:?}",
        ward.asked()
    );
    assert_eq!(ward.asked_for("Observation?"), 0);
    assert_eq!(site.keys(&pulled).len(), 3 + 9 + 3);
    assert!(pulled.types.values().all(|pulled| pulled.whole), "{:?}", pulled.types);
    assert_eq!(pulled.transaction_time.to_string(), "2026-03-01T01:59:00Z", "the earlier of both");
    let told = Progress::Planned {
        bulk: Some(vec!["Patient".to_owned(), "Observation".to_owned()]),
        search: Some(vec!["Encounter".to_owned()]),
    };
    assert!(site.told().contains(&told), "{:?}", site.told());
    assert_eq!(unfinished(site.landing.database()).unwrap(), None);
}

#[tokio::test]
async fn the_simulated_ehr_gives_the_same_by_export_by_search_and_by_everything() {
    let folder = tempfile::tempdir().unwrap();
    generate(&GeneratorSettings::new(12, 7), folder.path()).unwrap();
    let clock = Clock::manual(BEGAN.parse().unwrap());
    let mut landed = BTreeMap::new();
    let types = [
        "Patient",
        "AllergyIntolerance",
        "Condition",
        "Encounter",
        "MedicationAdministration",
        "MedicationDispense",
        "MedicationRequest",
        "MedicationStatement",
        "Observation",
        "Procedure",
        "Medication",
        "Practitioner",
        "Location",
        "Organization",
    ];
    for method in [Method::Bulk, Method::Search, Method::Everything] {
        let simulated = Simulated {
            clock: clock.clone(),
            ..Simulated::new(folder.path())
        };
        let ehr = serve(simulated).await.unwrap();
        let key = ClientKey::generate(Algorithm::Es384).unwrap();
        let client = ehr.register(key.public_jwk()).unwrap();
        let site = Site {
            key: Some(key),
            clock: clock.clone(),
            ..Site::new()
        };
        let mut settings = EhrSettings::new(ehr.base_url().parse().unwrap(), client);
        settings.types = types.iter().map(|name| (*name).to_owned()).collect();
        (settings.method, settings.level) = (method, Level::Patient);
        settings.vendor.page_size = 7;
        let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
        assert!(pulled.complete, "{method:?} {:?}", pulled.problems);
        // No segment of search may hold a byte that an export does not: digits, escapes and order stay.
        landed.insert(format!("{method:?}"), site.lines(&pulled));
    }
    assert!(landed["Bulk"].len() > 100, "{}", landed["Bulk"].len());
    for (method, lines) in &landed {
        let missing: Vec<_> = landed["Bulk"].iter().filter(|line| !lines.contains(line)).collect();
        let head = |line: &&String| line.chars().take(120).collect::<String>();
        assert!(
            lines == &landed["Bulk"],
            "{method}: {} lines, {} by bulk; missing {:?}",
            lines.len(),
            landed["Bulk"].len(),
            missing.iter().map(head).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn everything_refused_is_told_once_and_of_every_type() {
    let ward = Ward::of(patients(20)).await;
    ward.hook(|_, what| {
        what.contains("$everything")
            .then(|| said(501, super::crawl_ehr::outcome("error", "not-supported").to_string()))
    });
    let site = Site::new();
    let mut settings = ward.settings(&["Patient", "Observation"]);
    settings.method = Method::Everything;
    let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
    let asked = ward.asked_for("$everything");
    assert!((5..=5 + site.limits.concurrency).contains(&asked), "{asked} of 20 patients");
    let types: Vec<&String> = pulled.types.keys().collect();
    assert_eq!(types, ["Observation", "Patient"]);
    assert!(!pulled.complete && pulled.types.values().all(|pulled| *pulled == TypePulled::default()));
    assert!(pulled.problems.join("; ").contains("501 (not-supported)"), "{:?}", pulled.problems);
}
