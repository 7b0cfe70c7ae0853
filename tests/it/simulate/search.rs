//! Searches and reads of the simulated EHR: the same resources as an export, page by page, and strict.

use std::collections::BTreeMap;

use headwater::simulate::ehr::{Call, Fault};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::scene::{START, Scene};

/// What all pages of a search hold.
#[derive(Default)]
struct Found {
    /// Texts of the matches by `Type/id`.
    matches: BTreeMap<String, Value>,
    included: Vec<String>,
    outcomes: usize,
    pages: usize,
    total: u64,
    text: String,
}

async fn get(scene: &Scene, token: &str, url: &str) -> Value {
    let answer = scene.ask(Method::GET, url, token).await;
    assert_eq!(answer.status(), StatusCode::OK, "{url}");
    answer.json().await.unwrap()
}

fn key(resource: &Value) -> String {
    format!(
        "{}/{}",
        resource["resourceType"].as_str().unwrap(),
        resource["id"].as_str().unwrap()
    )
}

fn link<'b>(bundle: &'b Value, relation: &str) -> Option<&'b str> {
    let links = bundle["link"].as_array().unwrap();
    links.iter().find(|link| link["relation"] == relation)?["url"].as_str()
}

async fn search(scene: &Scene, token: &str, path: &str) -> Found {
    let mut found = Found::default();
    let mut next = Some(scene.url(path));
    while let Some(url) = next {
        let text = scene.ask(Method::GET, &url, token).await.text().await.unwrap();
        let bundle: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(bundle["type"], "searchset", "{url}");
        found.text.push_str(&text);
        found.pages += 1;
        found.total = bundle["total"].as_u64().unwrap();
        for entry in bundle["entry"].as_array().unwrap_or(&Vec::new()) {
            let resource = &entry["resource"];
            match entry["search"]["mode"].as_str().unwrap() {
                "match" => {
                    assert_eq!(entry["fullUrl"], scene.url(&format!("/{}", key(resource))));
                    assert!(
                        found.matches.insert(key(resource), resource.clone()).is_none(),
                        "a match came twice"
                    );
                }
                "include" => found.included.push(key(resource)),
                _ => found.outcomes += 1,
            }
        }
        next = link(&bundle, "next").map(str::to_owned);
    }
    found
}

#[tokio::test]
async fn a_crawl_finds_the_bytes_of_an_export() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    scene.ehr.advance_day().await.unwrap();
    let export = scene.export("/Patient/$export").await;
    let mut crawled = BTreeMap::new();
    let mut text = String::new();
    for patient in scene.patient_ids() {
        for kind in export.kinds() {
            let parameter = match kind {
                "Patient" => "_id",
                "Practitioner" | "Organization" | "Location" | "Medication" => continue,
                _ => "patient",
            };
            let found = search(&scene, &token, &format!("/{kind}?{parameter}={patient}&_count=7")).await;
            assert_eq!(found.total as usize, found.matches.len());
            assert_eq!(found.pages, found.matches.len().div_ceil(7).max(1));
            crawled.extend(found.matches);
            text.push_str(&found.text);
        }
    }
    let patients_own = export.resources.iter().filter(|(key, _)| {
        !["Practitioner/", "Organization/", "Location/", "Medication/"]
            .iter()
            .any(|kind| key.starts_with(kind))
    });
    let mut expected = 0;
    for (key, line) in patients_own {
        assert!(crawled.contains_key(key), "{key} was not found");
        assert!(text.contains(line.as_str()), "the bytes differ");
        expected += 1;
    }
    assert_eq!(crawled.len(), expected);
    assert!(scene.ehr.calls(Call::Search) > 50);
}

#[tokio::test]
async fn parameters_narrow_and_include_brings_what_is_referred_to() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    let labs = search(&scene, &token, "/Observation?category=laboratory&_count=1000").await;
    let everything = search(&scene, &token, "/Observation?_count=1000").await;
    assert_eq!(everything.total, scene.counts["Observation"]);
    assert!(labs.total > 0 && labs.total < everything.total);
    assert!(
        labs.matches
            .values()
            .all(|lab| lab["category"].to_string().contains("\"laboratory\""))
    );
    let orders = search(
        &scene,
        &token,
        "/MedicationRequest?_include=MedicationRequest:medication&_include=MedicationRequest:patient:Patient",
    )
    .await;
    assert!(orders.included.iter().any(|key| key.starts_with("Medication/")));
    assert!(orders.included.iter().any(|key| key.starts_with("Patient/")));
    let narrow = scene.token_for("system/MedicationRequest.rs").await;
    let alone = search(&scene, &narrow, "/MedicationRequest?_include=MedicationRequest:medication").await;
    assert_eq!((alone.included.len(), alone.outcomes), (0, 1));
    assert_eq!(alone.matches, orders.matches);
    let patient: Value = serde_json::from_str(scene.read("Patient").lines().next().unwrap()).unwrap();
    let (system, number) = (&patient["identifier"][0]["system"], &patient["identifier"][0]["value"]);
    for (system, expected) in [(system.as_str().unwrap(), 1), ("urn:other", 0)] {
        let found = search(
            &scene,
            &token,
            &format!("/Patient?identifier={system}|{}", number.as_str().unwrap()),
        )
        .await;
        assert_eq!(found.total, expected);
    }
}

#[tokio::test]
async fn a_search_by_change_finds_the_day_and_nothing_else() {
    let scene = Scene::with(8, |_| {}).await;
    let token = scene.token().await;
    let day = scene.ehr.advance_day().await.unwrap();
    // To the millisecond: greater than a whole second means after all of it.
    let start = START.replace('Z', ".000Z");
    let mut changed = Vec::new();
    for kind in scene.counts.keys() {
        changed.extend(
            search(&scene, &token, &format!("/{kind}?_lastUpdated=gt{start}"))
                .await
                .matches
                .into_keys(),
        );
        let before = search(&scene, &token, &format!("/{kind}?_lastUpdated=le{start}&_summary=count")).await;
        let all = search(&scene, &token, &format!("/{kind}?_summary=count")).await;
        assert!(before.total <= all.total && before.matches.is_empty());
    }
    let mut expected: Vec<_> = day.edited.iter().chain(&day.added).cloned().collect();
    expected.sort();
    changed.sort();
    assert!(changed == expected, "{} changed, {} were found", expected.len(), changed.len());
    let newest = get(&scene, &token, &scene.url("/Observation?_sort=-_lastUpdated&_count=1")).await;
    assert!(expected.contains(&key(&newest["entry"][0]["resource"])));
}

#[tokio::test]
async fn a_read_gives_the_line_a_deleted_resource_is_gone_and_a_group_names_its_members() {
    let patients = Scene::new(|_| {}).await.patient_ids();
    let scene = Scene::new(|settings| {
        settings.groups.insert("two".to_owned(), patients[..2].to_vec());
    })
    .await;
    let token = scene.token().await;
    let line = scene.read("Patient").lines().next().unwrap().to_owned();
    let read = scene
        .ask(Method::GET, &scene.url(&format!("/Patient/{}", patients[0])), &token)
        .await;
    assert_eq!(read.headers()["etag"], "W/\"1\"");
    assert_eq!(read.text().await.unwrap(), line);
    let day = scene.ehr.advance_day().await.unwrap();
    for (path, status) in [
        (day.deleted[0].as_str(), 410),
        ("Patient/nobody", 404),
        ("Spell/1", 404),
        ("Group/none", 404),
    ] {
        let answer = scene.ask(Method::GET, &scene.url(&format!("/{path}")), &token).await;
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.json::<Value>().await.unwrap()["resourceType"], "OperationOutcome");
    }
    let group = get(&scene, &token, &scene.url("/Group/two")).await;
    let members: Vec<_> = group["member"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["entity"]["reference"].as_str().unwrap())
        .collect();
    assert_eq!(members, [format!("Patient/{}", patients[0]), format!("Patient/{}", patients[1])]);
    let groups = search(&scene, &token, &format!("/Group?member=Patient/{}", patients[2])).await;
    assert_eq!(groups.matches.into_keys().collect::<Vec<_>>(), ["Group/all"]);
}

#[tokio::test]
async fn everything_of_a_patient_is_what_a_group_of_one_exports() {
    let patient = Scene::new(|_| {}).await.patient_ids()[1].clone();
    let scene = Scene::new(|settings| {
        settings.groups.insert("one".to_owned(), vec![patient.clone()]);
    })
    .await;
    let token = scene.token().await;
    let export = scene.export("/Group/one/$export").await;
    let found = search(&scene, &token, &format!("/Patient/{patient}/$everything?_count=30")).await;
    assert!(found.pages > 3);
    assert_eq!(
        found.matches.keys().collect::<Vec<_>>(),
        export.resources.keys().collect::<Vec<_>>()
    );
    let some = search(&scene, &token, &format!("/Patient/{patient}/$everything?_type=Condition")).await;
    assert!(some.total > 0 && some.matches.keys().all(|key| key.starts_with("Condition/")));
}

#[tokio::test]
async fn a_search_that_is_not_understood_is_refused_unless_the_client_is_lenient() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    for (path, status) in [
        ("/Observation?colour=red", 400),
        ("/Observation?code:in=x", 400),
        ("/Observation?_lastUpdated=yesterday", 400),
        ("/Observation?_include=Observation:colour", 400),
        ("/Location?patient=x", 400),
        ("/Spell?patient=x", 404),
    ] {
        assert_eq!(
            scene.ask(Method::GET, &scene.url(path), &token).await.status().as_u16(),
            status,
            "{path}"
        );
    }
    let url = scene.url("/Observation?colour=red&status=final&_count=2");
    let lenient = scene.http.get(url).bearer_auth(&token).header("prefer", "handling=lenient");
    let bundle: Value = lenient.send().await.unwrap().json().await.unwrap();
    assert_eq!(link(&bundle, "self").unwrap(), scene.url("/Observation?status=final&_count=2"));
    assert_eq!(bundle["entry"].as_array().unwrap().last().unwrap()["search"]["mode"], "outcome");
    let posted = scene.http.post(scene.url("/Observation/_search")).bearer_auth(&token);
    let posted: Value = posted
        .form(&[("status", "final"), ("_count", "2")])
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!((&posted["total"], posted["entry"].as_array().unwrap().len()), (&bundle["total"], 2));
    assert_eq!(
        scene.http.get(scene.url("/Observation")).send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn the_capability_statement_names_what_the_server_does() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    let statement = get(&scene, &token, &scene.url("/metadata")).await;
    for resource in statement["rest"][0]["resource"].as_array().unwrap() {
        let kind = resource["type"].as_str().unwrap();
        for parameter in resource["searchParam"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let value = if parameter["type"] == "date" { "ge2020" } else { "x" };
            get(&scene, &token, &scene.url(&format!("/{kind}?{name}={value}&_summary=count"))).await;
        }
        for include in resource["searchInclude"].as_array().unwrap_or(&Vec::new()) {
            get(
                &scene,
                &token,
                &scene.url(&format!("/{kind}?_count=1&_include={}", include.as_str().unwrap())),
            )
            .await;
        }
    }
    let types: Vec<_> = statement["rest"][0]["resource"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["type"])
        .collect();
    // Also what it has none of, as servers do.
    for kind in scene.counts.keys().map(String::as_str).chain(["Group", "MedicationDispense"]) {
        assert!(types.contains(&&Value::from(kind)), "{kind}");
    }
}

#[tokio::test]
async fn searches_fail_on_order() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    let url = scene.url("/Observation?_count=20");
    for (fault, status) in [(Fault::Search429, 429), (Fault::Search500, 500), (Fault::Search503, 503)] {
        scene.ehr.order(fault.into());
        let refused = scene.ask(Method::GET, &url, &token).await;
        assert_eq!((refused.status().as_u16(), scene.ehr.fired(fault)), (status, 1));
        assert_eq!(refused.headers().contains_key("retry-after"), status != 500);
        get(&scene, &token, &url).await;
    }
    scene.ehr.order(Fault::Bearer401.into());
    assert_eq!(scene.ask(Method::GET, &url, &token).await.status(), StatusCode::UNAUTHORIZED);
    scene.ehr.order(Fault::SearchCut.into());
    assert!(scene.ask(Method::GET, &url, &token).await.text().await.is_err());
    assert_eq!((scene.ehr.fired(Fault::Bearer401), scene.ehr.fired(Fault::SearchCut)), (1, 1));
    scene.ehr.order(Fault::EmptySearch.into());
    assert_eq!(get(&scene, &token, &url).await["total"], 0);
    scene.ehr.order(Fault::NextElsewhere.into());
    let bundle = get(&scene, &token, &url).await;
    assert!(link(&bundle, "next").unwrap().starts_with(scene.ehr.elsewhere_url()));
    scene.ehr.order("next-loops=2".parse().unwrap());
    let next = link(&get(&scene, &token, &url).await, "next").unwrap().to_owned();
    assert_eq!(link(&get(&scene, &token, &next).await, "next").unwrap(), next);
    scene.ehr.order(Fault::NextEndless.into());
    let mut next = link(&get(&scene, &token, &url).await, "next").unwrap().to_owned();
    for _ in 0..scene.counts["Observation"] / 20 + 5 {
        next = link(&get(&scene, &token, &next).await, "next").unwrap().to_owned();
    }
    assert!(get(&scene, &token, &next).await.get("entry").is_none());
}
