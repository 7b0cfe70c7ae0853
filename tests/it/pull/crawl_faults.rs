//! An EHR's tempers in a search: each fault is seen to have fired, and what it spoils is not called whole.

use std::sync::atomic::{AtomicUsize, Ordering};

use headwater::pull::{Request, TypePulled, unfinished};
use serde_json::{Value, json};

use super::crawl_ehr::{Said, Ward, outcome, patients, resource, said};
use super::*;

const TYPES: [&str; 2] = ["Patient", "Observation"];

fn page(entries: &[Value], total: Option<u64>, next: Option<&str>) -> String {
    let entries: Vec<Value> = entries.iter().map(|one| json!({"resource": one})).collect();
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "entry": entries});
    if let Some(total) = total {
        bundle["total"] = json!(total);
    }
    if let Some(next) = next {
        bundle["link"] = json!([{"relation": "next", "url": next}]);
    }
    bundle.to_string()
}

/// Pulls from a ward whose searches for the Observations of `p1` are answered by `hook`; the rest must be untouched by it.
async fn spoilt(hook: impl Fn(&str) -> Option<Said> + Send + 'static) -> (Site, Pulled, Ward) {
    let ward = Ward::of(patients(3)).await;
    ward.hook(move |_, what| what.contains("patient=p1").then(|| hook(what)).flatten());
    let site = Site::with_small_pages(&ward);
    let pulled = site.ask(&ward.settings(&TYPES), Request::new(1)).await.unwrap();
    assert!(!pulled.complete);
    assert_eq!(pulled.types["Observation"], TypePulled::default());
    assert!(pulled.types["Patient"].whole, "the fault is of another type");
    for other in ["Observation/o0-0", "Observation/o2-2"] {
        assert!(site.keys(&pulled).contains(&other.to_owned()), "{other} is another patient's");
    }
    (site, pulled, ward)
}

impl Site {
    /// A site that goes through at most 30 pages of one search.
    fn with_small_pages(_: &Ward) -> Self {
        let mut site = Self::new();
        site.limits.pages = 30;
        site
    }
}

#[tokio::test]
async fn next_links_in_a_circle_end_the_search_and_spoil_its_type() {
    let (_, pulled, ward) = spoilt(|what| {
        let base = "Observation?patient=p1&page=";
        Some(said(
            200,
            page(&[], None, Some(&format!("{base}{}", if what.contains("page=1") { 2 } else { 1 }))),
        ))
    })
    .await;
    assert!(
        pulled.problems.iter().any(|problem| problem.contains("round in a circle")),
        "{:?}",
        pulled.problems
    );
    assert_eq!(ward.asked_for("patient=p1"), 3, "the first, and each of the two once");
}

#[tokio::test]
async fn pages_without_end_stop_at_the_limit() {
    let number = AtomicUsize::new(0);
    let (site, pulled, ward) = spoilt(move |_| {
        let next = format!("Observation?patient=p1&page={}", number.fetch_add(1, Ordering::Relaxed));
        Some(said(200, page(&[], None, Some(&next))))
    })
    .await;
    assert!(
        pulled.problems.iter().any(|problem| problem.contains("more pages than the limit")),
        "{:?}",
        pulled.problems
    );
    assert_eq!(ward.asked_for("patient=p1"), site.limits.pages);
}

#[tokio::test]
async fn a_next_link_to_another_host_is_not_followed_and_sees_no_token() {
    let foreign = Ward::of(patients(3)).await;
    let ward = Ward::of(patients(3)).await;
    let away = format!("{}/Observation?patient=p1", foreign.base());
    ward.hook(move |_, what| {
        let one = resource("Observation", "o1-0", json!({"subject": {"reference": "Patient/p1"}}));
        what.contains("Observation?patient=p1")
            .then(|| said(200, page(&[one], None, Some(&away))))
    });
    let site = Site {
        key: Some(ClientKey::generate(Algorithm::Es384).unwrap()),
        ..Site::new()
    };
    let pulled = site.ask(&ward.settings(&TYPES), Request::new(1)).await.unwrap();
    assert_eq!(ward.asked_for("Observation?patient=p1"), 1, "the fault fired");
    assert!(foreign.asked().is_empty() && foreign.tokens().is_empty());
    let searches = ward
        .asked()
        .into_iter()
        .zip(ward.tokens())
        .filter(|(what, _)| what.contains("patient="));
    assert!(
        searches
            .into_iter()
            .all(|(_, token)| token.as_deref() == Some("Bearer secret-token"))
    );
    assert_eq!(pulled.types["Observation"], TypePulled::default());
    assert!(
        pulled.problems.iter().any(|problem| problem.contains("another host")),
        "{:?}",
        pulled.problems
    );
}

#[tokio::test]
async fn an_error_among_the_entries_is_landed_as_outcome_and_spoils_the_type() {
    let (site, pulled, _) = spoilt(|what| {
        let one = resource("Observation", "o1-0", json!({"subject": {"reference": "Patient/p1"}}));
        let page = page(&[one, outcome("error", "incomplete")], None, None);
        what.starts_with("Observation").then(|| said(200, page))
    })
    .await;
    let landed = site.landed(&pulled);
    assert!(
        landed
            .iter()
            .any(|(name, kind, _)| (name.as_str(), *kind) == ("OperationOutcome", "outcome"))
    );
    assert!(site.keys(&pulled).contains(&"Observation/o1-0".to_owned()), "what came is kept");
    let told = pulled.problems.join("; ");
    assert!(told.contains("incomplete") && !told.contains("Hush"), "{told}");
}

#[tokio::test]
async fn a_warning_among_the_entries_spoils_nothing() {
    let ward = Ward::of(patients(1)).await;
    ward.hook(|_, what| {
        let page = page(&[outcome("warning", "informational")], None, None);
        what.starts_with("Observation").then(|| said(200, page))
    });
    let site = Site::new();
    let pulled = site.ask(&ward.settings(&TYPES), Request::new(1)).await.unwrap();
    assert!(pulled.complete && pulled.types["Observation"].whole, "{:?}", pulled.problems);
    assert_eq!(
        pulled
            .segments
            .iter()
            .filter(|segment| segment.kind == landing::Kind::Outcome)
            .count(),
        1
    );
}

#[tokio::test]
async fn what_the_ehr_counts_but_does_not_give_is_not_absent() {
    let (_, pulled, _) = spoilt(|_| Some(said(200, page(&[], Some(3), None)))).await;
    assert!(
        pulled.problems.iter().any(|problem| problem.contains("counts more than it gives")),
        "{:?}",
        pulled.problems
    );
}

#[tokio::test]
async fn an_answer_that_is_no_bundle_spoils_its_type_only() {
    for body in [
        "<html>sign in</html>".to_owned(),
        "{\"resourceType\":".to_owned(),
        outcome("error", "exception").to_string(),
    ] {
        let (_, pulled, _) = spoilt(move |_| Some(said(200, body.clone()))).await;
        assert!(
            pulled
                .problems
                .iter()
                .any(|problem| problem.contains("not what a FHIR search gives")),
            "{:?}",
            pulled.problems
        );
    }
}

#[tokio::test]
async fn a_type_that_is_refused_is_asked_for_a_few_times_and_told_with_what_to_do() {
    let ward = Ward::of(patients(20)).await;
    ward.hook(|_, what| {
        what.starts_with("Observation")
            .then(|| said(403, outcome("error", "forbidden").to_string()))
    });
    let site = Site::new();
    let mut settings = ward.settings(&["Patient", "Observation", "Encounter"]);
    settings.vendor.page_size = 100;
    let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
    assert!(!pulled.complete && pulled.types["Encounter"].whole);
    assert_eq!(pulled.types["Observation"], TypePulled::default());
    let asked = ward.asked_for("Observation?");
    assert!((5..=5 + site.limits.concurrency).contains(&asked), "{asked} of 20 patients");
    let told = pulled.problems.join("; ");
    assert!(told.contains("403 (forbidden)") && told.contains("scope"), "{told}");
    assert_eq!(unfinished(site.landing.database()).unwrap(), None, "it will be the same again");
}

#[tokio::test]
async fn a_patient_whose_search_fails_is_put_off_once_and_then_given_up() {
    let ward = Ward::of(patients(3)).await;
    ward.hook(|_, what| what.contains("Observation?patient=p1").then(|| said(500, "")));
    let site = Site::new();
    let settings = ward.settings(&TYPES);
    let first = site.ask(&settings, Request::new(1)).await.unwrap();
    assert!(!first.complete);
    assert_eq!(
        unfinished(site.landing.database()).unwrap().map(|(run, _)| run),
        Some(1),
        "for the next call"
    );
    let asked = ward.asked_for("Observation?patient=p0");
    let second = site.ask(&settings, Request::new(1)).await.unwrap();
    assert_eq!(
        ward.asked_for("Observation?patient=p0"),
        asked,
        "the others are not asked for again"
    );
    assert_eq!(unfinished(site.landing.database()).unwrap(), None);
    assert!(!second.complete && !second.types["Observation"].whole && second.types["Patient"].whole);
    assert_eq!(ward.asked_for("Observation?patient=p1"), 2 * site.limits.attempts as usize);
    assert_eq!(site.keys(&second).len(), 3 + 6);

    // It heals in between: the same run has everything.
    let ward = Ward::of(patients(3)).await;
    ward.hook(|_, what| what.contains("Observation?patient=p1").then(|| said(500, "")));
    let (site, settings) = (Site::new(), ward.settings(&TYPES));
    assert!(!site.ask(&settings, Request::new(1)).await.unwrap().complete);
    ward.well();
    let healed = site.ask(&settings, Request::new(1)).await.unwrap();
    assert!(healed.complete && healed.types["Observation"].whole, "{:?}", healed.problems);
    assert_eq!(site.keys(&healed).len(), 3 + 9);
}

#[tokio::test]
async fn being_asked_to_wait_is_waited_for() {
    let ward = Ward::of(patients(1)).await;
    let times = AtomicUsize::new(0);
    ward.hook(move |_, what| {
        let busy = what.starts_with("Observation") && times.fetch_add(1, Ordering::Relaxed) < 8;
        busy.then(|| Said {
            headers: vec![("retry-after", "60".to_owned())],
            ..said(429, "")
        })
    });
    let site = Site::new();
    let pulled = site.ask(&ward.settings(&TYPES), Request::new(1)).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(
        ward.asked_for("Observation?"),
        8 + 2,
        "more often than tries are allowed, and two pages"
    );
    assert_eq!(site.elapsed(), Duration::from_secs(8 * 60));
}

#[tokio::test]
async fn a_merged_patient_goes_on_under_the_new_id_and_is_not_searched_twice() {
    let ward = Ward::of(patients(2)).await;
    ward.change(|all| {
        let link = |to: &str| json!({"active": false, "link": [{"type": "replaced-by", "other": {"reference": to}}]});
        all.push(resource("Patient", "old", link("Patient/p1")));
        all.push(resource("Patient", "moved", link("Patient/elsewhere")));
        all.push(resource("Patient", "elsewhere", json!({})));
        all.push(resource(
            "Observation",
            "of-elsewhere",
            json!({"subject": {"reference": "Patient/elsewhere"}}),
        ));
        // As an EHR does that resolves the old id by itself.
        all.push(resource("Observation", "of-old", json!({"subject": {"reference": "Patient/old"}})));
    });
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), "old\np1\nmoved\n").unwrap();
    let everybody = headwater::pull::Level::System;
    for (listed, level) in [(false, None), (true, None), (false, Some(everybody))] {
        let site = Site::new();
        let mut settings = ward.settings(&TYPES);
        let by_patient = level.is_none();
        settings.level = level.unwrap_or(headwater::pull::Level::Patient);
        if listed {
            settings.cohort = headwater::pull::Cohort::Listed(list.path().to_owned());
        }
        let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
        assert!(pulled.complete, "{:?}", pulled.problems);
        let keys = site.keys(&pulled);
        assert!(!keys.contains(&"Patient/old".to_owned()) && !keys.contains(&"Patient/moved".to_owned()));
        assert_eq!(keys.contains(&"Observation/of-old".to_owned()), !by_patient);
        for kept in ["Patient/p1", "Patient/elsewhere", "Observation/of-elsewhere", "Observation/o1-0"] {
            assert_eq!(keys.iter().filter(|key| *key == kept).count(), 1, "{kept} {listed}");
        }
        let deletions = site.deletions(&pulled).concat();
        assert!(
            deletions.contains("\"url\":\"Patient/old\"") && deletions.contains("\"url\":\"Patient/moved\""),
            "{deletions}"
        );
        assert!(pulled.types["Patient"].whole);
        assert_eq!(ward.asked_for("patient=old"), 0);
    }
}

#[tokio::test]
async fn a_deleted_patient_is_a_deletion_and_an_unknown_one_proves_nothing() {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), "p0\np1\n").unwrap();
    for (status, complete) in [(410, true), (404, false)] {
        let ward = Ward::of(patients(2)).await;
        ward.hook(move |_, what| (what == "Patient/p1").then(|| said(status, outcome("error", "deleted").to_string())));
        let site = Site::new();
        let mut settings = ward.settings(&TYPES);
        settings.cohort = headwater::pull::Cohort::Listed(list.path().to_owned());
        let pulled = site.ask(&settings, Request::new(1)).await.unwrap();
        assert_eq!(pulled.complete, complete, "{status} {:?}", pulled.problems);
        assert_eq!(pulled.types["Observation"].whole, complete, "{status}");
        assert_eq!(pulled.types["Observation"].reached.is_some(), complete, "{status}");
        assert_eq!(site.deletions(&pulled).concat().contains("Patient/p1"), complete, "{status}");
        assert_eq!(ward.asked_for("patient=p1"), 0);
        let told = pulled.problems.join("; ");
        assert!(!told.contains("p1") && told.contains("not known") != complete, "{told}");
    }
}

#[tokio::test]
async fn a_deletion_shows_by_its_absence_from_a_whole_type() {
    let ward = Ward::of(patients(2)).await;
    let (site, settings) = (Site::new(), ward.settings(&TYPES));
    let before = site.ask(&settings, Request::new(1)).await.unwrap();
    ward.change(|all| all.retain(|one| one["id"] != "o1-1"));
    let after = site.ask(&settings, Request::new(2)).await.unwrap();
    assert!(before.types["Observation"].whole && after.types["Observation"].whole);
    let missing: Vec<String> = site
        .keys(&before)
        .into_iter()
        .filter(|key| !site.keys(&after).contains(key))
        .collect();
    assert_eq!(missing, ["Observation/o1-1"]);
}

#[tokio::test]
async fn resources_repeated_by_shifting_pages_are_landed_once() {
    let ward = Ward::of(patients(1)).await;
    let of = |id: &str| resource("Observation", id, json!({"subject": {"reference": "Patient/p0"}}));
    let pages = [
        page(&[of("a"), of("b")], Some(3), Some("Observation?patient=p0&page=2")),
        page(&[of("b"), of("c")], Some(3), None),
    ];
    ward.hook(move |_, what| {
        let at = usize::from(what.contains("page=2"));
        what.starts_with("Observation").then(|| said(200, pages[at].clone()))
    });
    let site = Site::new();
    let pulled = site.ask(&ward.settings(&TYPES), Request::new(1)).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(
        site.keys(&pulled),
        ["Observation/a", "Observation/b", "Observation/c", "Patient/p0"]
    );
    assert_eq!(ward.asked_for("page=2"), 1);

    // Shifted the other way one is missing, and the EHR's own count says so.
    let ward = Ward::of(patients(1)).await;
    let pages = [
        page(&[of("a"), of("b")], Some(3), Some("Observation?patient=p0&page=2")),
        page(&[of("b")], Some(3), None),
    ];
    ward.hook(move |_, what| {
        let at = usize::from(what.contains("page=2"));
        what.starts_with("Observation").then(|| said(200, pages[at].clone()))
    });
    let pulled = Site::new().ask(&ward.settings(&TYPES), Request::new(1)).await.unwrap();
    assert!(!pulled.types["Observation"].whole);
}

#[tokio::test]
async fn last_updated_refused_is_left_out_and_the_type_comes_whole() {
    let ward = Ward::of(patients(2)).await;
    let (site, settings) = (Site::new(), ward.settings(&TYPES));
    site.ask(&settings, Request::new(1)).await.unwrap();
    ward.hook(|_, what| {
        what.contains("_lastUpdated")
            .then(|| said(400, outcome("error", "not-supported").to_string()))
    });
    let since = Request {
        since: Some("2026-02-10T00:00:00Z".parse().unwrap()),
        ..Request::new(2)
    };
    let pulled = site.ask(&settings, since).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert!(ward.asked_for("_lastUpdated") >= 1, "the fault fired");
    assert_eq!(site.keys(&pulled).len(), 2 + 6);
    assert!(
        !pulled.types["Observation"].whole,
        "a since was asked for; the next full run proves it"
    );
}

#[tokio::test]
async fn an_epic_is_searched_without_last_updated_with_categories_and_episodes_by_reference() {
    let profile = std::fs::read_to_string("profiles/vendors/epic.toml").unwrap();
    let ward = Ward::of(patients(2)).await;
    ward.change(|all| {
        let encounter = all.iter_mut().find(|one| one["id"] == "e0").unwrap();
        encounter["episodeOfCare"] = json!([{"reference": "EpisodeOfCare/episode"}]);
        all.push(resource(
            "EpisodeOfCare",
            "episode",
            json!({"patient": {"reference": "Patient/p0"}}),
        ));
    });
    ward.hook(|_, what| {
        let odd = what.contains("_lastUpdated")
            || what.starts_with("EpisodeOfCare?patient")
            || (what.starts_with("Observation?") && !what.contains("category="));
        odd.then(|| said(400, outcome("error", "required").to_string()))
    });
    let site = Site::new();
    let mut settings = ward.settings(&["Patient", "Observation", "Encounter", "EpisodeOfCare"]);
    settings.method = headwater::pull::Method::Planned;
    settings.vendor = headwater::pull::Vendor::parse("epic", &profile).unwrap();
    let since = Request {
        since: Some("2026-02-10T00:00:00Z".parse().unwrap()),
        ..Request::new(1)
    };
    let pulled = site.ask(&settings, since).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(site.keys(&pulled).len(), 2 + 6 + 2 + 1);
    assert!(
        pulled.types["Encounter"].whole,
        "the type is pulled whole each time, whatever `since` says"
    );
    assert!(!pulled.types["Observation"].whole, "only some categories were asked for");
    assert_eq!(pulled.types["EpisodeOfCare"], TypePulled::default());
}
