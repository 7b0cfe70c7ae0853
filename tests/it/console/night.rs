//! Real nights on the console: what a gateway reports of its own run is what the registry's pages say of it.

use headwater::platform::http::{HttpSettings, client};
use serde_json::{Value, json};

use super::visit::Visit;
use crate::house::{House, patients, report, sync};

/// A number of the report of `headwater sync --json`.
fn of(report: &Value, path: &str) -> u64 {
    report
        .pointer(path)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{path} in {report}"))
}

/// The sum of all numbers of an object, or of one number of each of its objects.
fn sum(report: &Value, path: &str, number: Option<&str>) -> u64 {
    let values = report.pointer(path).and_then(Value::as_object).expect(path).values();
    values
        .map(|value| number.map_or(value, |number| &value[number]).as_u64().expect("a number"))
        .sum()
}

/// The run's ledger under the names that the pages use.
fn ledger(report: &Value) -> Vec<(&'static str, u64)> {
    let resources = ["pulled", "mapped", "excluded", "refused"].map(|name| (name, sum(report, "/counts/types", Some(name))));
    assert_eq!(
        sum(report, "/counts/types", Some("remapped")),
        0,
        "nothing was read again from the landing"
    );
    let (upserts, tombstones) = (sum(report, "/counts/upserts", None), sum(report, "/counts/tombstones", None));
    let rows = [
        ("released", upserts + tombstones),
        ("accepted", of(report, "/counts/accepted")),
        ("rejected", of(report, "/counts/rejected")),
    ];
    resources.into_iter().chain(rows).collect()
}

/// Makes the registry's own model stricter than the site's, so that it rejects rows which the site may release.
fn registry_knows_only_final_results(house: &mut House) {
    let port = house.stop_registry();
    house.open_registry_as(port, &["limited-data-set"], |name, text| {
        if name != "lab_result.schema.json" {
            return text.to_owned();
        }
        let strict = text.replace(r#""enum": ["final", "amended", "corrected"]"#, r#""enum": ["final"]"#);
        assert_ne!(text, strict, "the model has another form than this test expects");
        strict
    });
}

#[test]
fn a_browser_finds_on_every_page_what_the_gateway_reported_of_its_nights() {
    let data = patients(8, 29);
    let patient = std::fs::read_to_string(data.path().join("Patient.ndjson")).expect("patients were made");
    let patient: Value = serde_json::from_str(patient.lines().next().expect("a patient")).expect("JSON");
    let bad = json!({"resourceType": "Observation", "id": "of-no-status", "code": {"text": "x"},
        "subject": {"reference": format!("Patient/{}", patient["id"].as_str().expect("an id"))}});
    std::fs::write(data.path().join("Observation.bad.ndjson"), format!("{bad}\n")).expect("a file");

    let mut house = House::over(data.path());
    registry_knows_only_final_results(&mut house);
    let site = house.site("limited-data-set", None);
    let first = report(&sync(&site, &[]));
    house.runtime.block_on(house.ehr().advance_day()).expect("a day passes");
    let nights = [first, report(&sync(&site, &[]))];
    let ledgers = nights.each_ref().map(ledger);
    for (at, name) in ["pulled", "mapped", "excluded", "refused", "released", "accepted", "rejected"]
        .iter()
        .enumerate()
    {
        assert!(ledgers[0][at].1 > 0, "a night without `{name}` shows nothing: {:?}", ledgers[0]);
    }
    house.runtime.block_on(look(&house, &nights, &ledgers));

    // No page names a row: a key is one person's, even as a pseudonym.
    let keys: Vec<String> = house
        .rows()
        .into_iter()
        .map(|(_, _, key, _)| key)
        .filter(|key| key.len() >= 8)
        .collect();
    assert!(keys.len() > 100, "few rows have keys to look for");
    let pages = house.pages();
    assert!(
        pages.len() >= 7,
        "the first page, the site, two submissions with their receipts, the log"
    );
    for (path, page) in &pages {
        assert!(!keys.iter().any(|key| page.contains(key)), "{path} holds a row's key");
    }
    house.close();
}

async fn look(house: &House, nights: &[Value; 2], ledgers: &[Vec<(&'static str, u64)>; 2]) {
    let registry = house.registry();
    let http = client(&HttpSettings::default()).expect("a client");
    let code = registry.registry().records().add_operator("ann").expect("an operator").code;
    let Some(visit) = Visit::start(&http, registry.base_url()).await else {
        return;
    };
    // The link that `headwater demo` prints: one click, and the flow is there.
    visit.open(&format!("/sign-in?code={code}"), "night-link").await;
    visit.browser.click("main button").await;
    visit.browser.one("[data-site=north]").await;
    let all: Vec<(&str, u64)> = ledgers[0].iter().zip(&ledgers[1]).map(|(a, b)| (a.0, a.1 + b.1)).collect();
    let flows: Vec<String> = all.iter().map(|(name, _)| format!("flow-{name}")).collect();
    let flows: Vec<(&str, u64)> = flows.iter().zip(&all).map(|(name, (_, number))| (name.as_str(), *number)).collect();
    visit.numbers("#flow + .pair", &flows).await;
    assert_eq!(visit.browser.text("[data-freshness]").await, "fresh");

    visit.open("/console", "night-overview").await;
    let rows = house.rows().len() as u64;
    visit
        .numbers("main", &[("sites", 1), ("submissions-accepted", 2), ("rows", rows)])
        .await;

    visit.open("/console/sites/north", "night-site").await;
    for (night, ledger) in nights.iter().zip(ledgers) {
        let id = night["submission"].as_str().expect("a submission");
        visit.numbers(&format!("[data-submission=\"{id}\"]"), ledger).await;
    }
    for (night, ledger) in nights.iter().zip(ledgers) {
        let id = night["submission"].as_str().expect("a submission");
        visit
            .open(&format!("/console/submissions/{id}"), &format!("night-{}", of(night, "/sequence")))
            .await;
        visit.numbers("main", ledger).await;
        visit.numbers("main", &[("leaf", of(night, "/leaf"))]).await;
        let (upserts, tombstones) = (sum(night, "/counts/upserts", None), sum(night, "/counts/tombstones", None));
        visit.numbers("main", &[("upserts", upserts), ("tombstones", tombstones)]).await;
        assert_eq!(visit.browser.attribute("[data-balanced]", "data-balanced").await, "yes");
    }
    visit.open("/console/log", "night-log").await;
    assert_eq!(visit.browser.find("[data-event=submission-accepted]").await.len(), 2);
    visit.browser.quit().await;
}
