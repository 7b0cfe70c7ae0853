//! Bulk Data of the simulated EHR beyond level, type and `_since`: filters, forms, manifests of four generations.

use std::collections::{BTreeMap, BTreeSet};

use headwater::platform::file::write_durable;
use headwater::simulate::ehr::KickOffBy;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::scene::{START, Scene};

fn resource(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[tokio::test]
async fn a_type_filter_gives_what_the_same_search_finds() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    for (path, search) in [
        ("Observation%3Fcategory%3Dlaboratory", "Observation?category=laboratory"),
        ("Observation%3Fcode%3D8302-2,29463-7", "Observation?code=8302-2,29463-7"),
        ("Observation%3Fdate%3Dge2026-01-01", "Observation?date=ge2026-01-01"),
    ] {
        let export = scene.export(&format!("/$export?_type=Observation&_typeFilter={path}")).await;
        let found = scene.ask(Method::GET, &scene.url(&format!("/{search}&_count=1000")), &token).await;
        let found: Value = found.json().await.unwrap();
        let ids: BTreeSet<_> = found["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["resource"]["id"].as_str().unwrap())
            .collect();
        let exported: BTreeSet<_> = export
            .resources
            .keys()
            .map(|key| key.strip_prefix("Observation/").unwrap())
            .collect();
        assert!(!ids.is_empty() && (ids.len() as u64) < scene.counts["Observation"], "{search}");
        assert_eq!(exported, ids, "{search}");
    }
    // Filters of a type are alternatives; a type without one is whole.
    let two = "_typeFilter=Observation%3Fcode%3D8302-2&_typeFilter=Observation%3Fcode%3D29463-7";
    let either = scene.export(&format!("/$export?_type=Observation,Condition&{two}")).await;
    let list = scene
        .export("/$export?_type=Observation&_typeFilter=Observation%3Fcode%3D8302-2,29463-7")
        .await;
    let observations = either.resources.iter().filter(|(key, _)| key.starts_with("Observation/"));
    assert_eq!(observations.count(), list.resources.len());
    assert!(either.kinds().contains("Condition"));
}

#[tokio::test]
async fn since_and_until_leave_the_day_between_them() {
    let scene = Scene::new(|_| {}).await;
    scene.clock.advance(std::time::Duration::from_secs(60));
    let day = scene.ehr.advance_day().await.unwrap();
    scene.clock.advance(std::time::Duration::from_secs(60));
    scene.ehr.advance_day().await.unwrap();
    let first = scene.export(&format!("/$export?_since={START}&_until=2026-07-01T03:01:30Z")).await;
    for key in first.resources.keys() {
        assert!(day.edited.contains(key) || day.added.contains(key));
    }
    let second = scene.export("/$export?_since=2026-07-01T03:01:30Z").await;
    let both = scene.export(&format!("/$export?_since={START}")).await;
    assert!(!first.resources.is_empty() && !second.resources.is_empty());
    assert_eq!(first.resources.len() + second.resources.len(), both.resources.len());
}

#[tokio::test]
async fn elements_that_were_asked_for_come_tagged_as_a_subset() {
    let scene = Scene::new(|_| {}).await;
    let export = scene.export("/$export?_type=Patient,Condition&_elements=Patient.birthDate").await;
    for (key, line) in &export.resources {
        let whole = scene.read(key.split('/').next().unwrap()).lines().any(|original| original == line);
        assert_eq!(whole, key.starts_with("Condition/"));
        if !whole {
            let resource = resource(line);
            let members: Vec<_> = resource.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, ["birthDate", "id", "meta", "resourceType"]);
            assert_eq!(resource["meta"]["tag"][0]["code"], "SUBSETTED");
        }
    }
}

#[tokio::test]
async fn output_by_patient_has_blocks_with_headers_and_the_same_resources() {
    let scene = Scene::new(|settings| settings.file_lines = 120).await;
    let token = scene.token().await;
    let plain = scene.export("/Patient/$export").await;
    let poll = scene.begin("/Patient/$export?organizeOutputBy=Patient", &token).await;
    let manifest = scene.manifest(&poll, &token).await;
    assert_eq!(manifest["outputOrganizedBy"], "Patient");
    let files = manifest["output"].as_array().unwrap();
    assert!(files.len() > 1);
    let (mut blocks, mut resources) = (Vec::new(), BTreeMap::new());
    for file in files {
        assert!(file.get("type").is_none());
        for line in scene.file(file, &token).await.lines() {
            let resource = resource(line);
            if resource["resourceType"] == "Parameters" {
                assert_eq!(resource["parameter"][0]["name"], "header");
                blocks.push(resource["parameter"][0]["valueReference"]["reference"].as_str().unwrap().to_owned());
                continue;
            }
            if resource["resourceType"] == "Observation" {
                assert_eq!(resource["subject"]["reference"].as_str(), blocks.last().map(String::as_str));
            }
            let key = format!(
                "{}/{}",
                resource["resourceType"].as_str().unwrap(),
                resource["id"].as_str().unwrap()
            );
            resources.insert(key, line.to_owned());
        }
    }
    let mut patients: Vec<_> = scene.patient_ids().iter().map(|id| format!("Patient/{id}")).collect();
    patients.sort();
    assert_eq!(blocks, patients);
    assert_eq!(resources, plain.resources);
}

#[tokio::test]
async fn pages_of_a_manifest_appear_while_the_job_runs() {
    let scene = Scene::new(|settings| (settings.polls_before_ready, settings.manifest_files) = (60, 3)).await;
    let token = scene.token().await;
    let whole = scene.export("/$export").await;
    let poll = scene.begin("/$export?allowPartialManifests=true", &token).await;
    let mut seen = Vec::new();
    let first = loop {
        let answer = scene.ask(Method::GET, &poll, &token).await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        let manifest = (!text.is_empty()).then(|| resource(&text));
        let next = manifest.as_ref().is_some_and(|manifest| manifest.get("link").is_some());
        seen.push((status.as_u16(), manifest.is_some(), next));
        if status == StatusCode::OK {
            break manifest.unwrap();
        }
    };
    // The first poll has no page yet; from which one on there are some, depends on how busy this machine is.
    assert_eq!(seen[0], (202, false, false), "{seen:?}");
    assert!(
        seen.contains(&(202, true, true)) && seen.last() == Some(&(200, true, true)),
        "{seen:?}"
    );
    let (mut page, mut resources) = (first, BTreeMap::new());
    loop {
        assert!(page["output"].as_array().unwrap().len() <= 3);
        let next = page["link"][0]["url"].as_str().map(str::to_owned);
        resources.extend(scene.download(page, &token).await.resources);
        let Some(next) = next else { break };
        page = scene.ask(Method::GET, &next, &token).await.json().await.unwrap();
    }
    assert_eq!(resources, whole.resources);
    assert!(whole.manifest.get("link").is_none(), "pages come to who allows them only");
}

#[tokio::test]
async fn the_state_of_a_job_is_told_apart_from_the_answers_if_preferred() {
    for (version, applied) in [(3, true), (2, false)] {
        let scene = Scene::new(|settings| settings.manifest_version = version).await;
        let token = scene.token().await;
        let request = scene.http.get(scene.url("/$export")).bearer_auth(&token);
        let begun = request
            .header("prefer", "respond-async, separate-export-status")
            .send()
            .await
            .unwrap();
        assert_eq!(begun.headers().contains_key("preference-applied"), applied);
        let poll = begun.headers()["content-location"].to_str().unwrap().to_owned();
        let state = |answer: &Response| {
            answer
                .headers()
                .get("x-export-status")
                .map(|state| state.to_str().unwrap().to_owned())
        };
        let first = scene.ask(Method::GET, &poll, &token).await;
        assert_eq!(first.status().as_u16(), if applied { 200 } else { 202 });
        assert_eq!(state(&first), applied.then(|| "202".to_owned()));
        let last = loop {
            let answer = scene.ask(Method::GET, &poll, &token).await;
            if answer.headers().contains_key("expires") {
                break answer;
            }
        };
        assert_eq!((last.status(), state(&last)), (StatusCode::OK, applied.then(|| "200".to_owned())));
    }
}

#[tokio::test]
async fn manifests_of_all_generations_name_what_theirs_names() {
    for (version, names) in [
        (1, vec!["error", "output", "request", "requiresAccessToken", "transactionTime"]),
        (
            2,
            vec!["deleted", "error", "output", "request", "requiresAccessToken", "transactionTime"],
        ),
        (
            3,
            vec![
                "deleted",
                "error",
                "extension",
                "output",
                "request",
                "requiresAccessToken",
                "transactionTime",
            ],
        ),
        (
            4,
            vec![
                "deleted",
                "extension",
                "manifestType",
                "outcome",
                "output",
                "outputFormat",
                "requiresAccessToken",
                "transactionTime",
            ],
        ),
    ] {
        let scene = Scene::new(|settings| settings.manifest_version = version).await;
        scene.ehr.advance_day().await.unwrap();
        let export = scene.export(&format!("/$export?_since={START}")).await;
        let manifest = export.manifest.as_object().unwrap();
        assert_eq!(manifest.keys().map(String::as_str).collect::<Vec<_>>(), names, "version {version}");
        if version > 2 {
            assert_eq!(manifest["extension"].is_array(), version == 4);
        }
        if version > 1 {
            assert_eq!(manifest["deleted"][0].get("type").is_some(), version < 4);
        }
        let token = scene.token().await;
        for (parameter, since) in [
            ("_until=2026-07-01T00:00:00Z", 3),
            ("_elements=id", 2),
            ("allowPartialManifests=true", 3),
        ] {
            let answer = scene.ask(Method::GET, &scene.url(&format!("/$export?{parameter}")), &token).await;
            assert_eq!(answer.status().is_success(), version >= since, "version {version}: {parameter}");
        }
    }
}

#[tokio::test]
async fn a_kick_off_the_other_way_is_405_and_says_which_way_there_is() {
    for (by, allowed, refused) in [
        (KickOffBy::GetOnly, Method::GET, Method::POST),
        (KickOffBy::PostOnly, Method::POST, Method::GET),
    ] {
        let scene = Scene::new(|settings| settings.kick_off = by).await;
        let token = scene.token().await;
        let get = scene.ask(Method::GET, &scene.url("/$export"), &token).await;
        let post = scene.post("/$export", &token, json!([])).await;
        let (good, bad) = if refused == Method::POST { (get, post) } else { (post, get) };
        assert_eq!(good.status(), StatusCode::ACCEPTED);
        assert_eq!(
            (bad.status(), bad.headers()["allow"].to_str().unwrap()),
            (StatusCode::METHOD_NOT_ALLOWED, allowed.as_str())
        );
    }
}

#[tokio::test]
async fn a_kick_off_by_parameters_takes_texts_references_and_truths() {
    let scene = Scene::new(|settings| settings.manifest_files = 1).await;
    let token = scene.token().await;
    let begun = scene
        .post(
            "/Group/all/$export",
            &token,
            json!([
                { "name": "_type", "valueString": "Patient" },
                { "name": "_type", "valueString": "Observation" },
                { "name": "_typeFilter", "valueString": "Observation?code=8302-2" },
                { "name": "patient", "valueReference": { "reference": format!("Patient/{}", scene.patient_ids()[0]) } },
                { "name": "allowPartialManifests", "valueBoolean": true },
            ]),
        )
        .await;
    let poll = begun.headers()["content-location"].to_str().unwrap();
    let manifest = scene.manifest(poll, &token).await;
    assert_eq!(manifest["link"][0]["relation"], "next");
    let observations = scene.download(manifest, &token).await;
    assert!(!observations.resources.is_empty());
    assert!(
        observations
            .resources
            .values()
            .all(|line| line.contains("8302-2") && line.contains(&scene.patient_ids()[0]))
    );
}

#[tokio::test]
async fn what_was_ignored_stands_in_a_file_of_outcomes() {
    for version in [3, 4] {
        let scene = Scene::new(|settings| settings.manifest_version = version).await;
        let token = scene.token().await;
        let request = scene.http.get(scene.url("/$export?_type=Patient&_colour=red")).bearer_auth(&token);
        let begun = request.header("prefer", "respond-async, handling=lenient").send().await.unwrap();
        let manifest = scene.manifest(begun.headers()["content-location"].to_str().unwrap(), &token).await;
        let outcomes = &manifest[if version == 4 { "outcome" } else { "error" }];
        assert_eq!(outcomes[0]["count"], 1);
        let outcome = resource(scene.file(&outcomes[0], &token).await.trim_end());
        assert_eq!(outcome["issue"][0]["severity"], "information");
        assert!(outcome["issue"][0]["diagnostics"].as_str().unwrap().contains("_colour"));
    }
}

#[tokio::test]
async fn provenance_of_what_was_asked_for_travels_along() {
    let source = Scene::new(|_| {}).await;
    let patients = source.patient_ids();
    let condition = |patient: &str| {
        let conditions = source.read("Condition");
        let line = conditions.lines().find(|line| line.contains(patient)).unwrap();
        format!("Condition/{}", resource(line)["id"].as_str().unwrap())
    };
    let line = |id: &str, target: &str, recorded: &str| {
        let target = json!([{ "reference": target }]);
        format!(
            "{}\n",
            json!({ "resourceType": "Provenance", "id": id, "target": target, "recorded": recorded })
        )
    };
    let lines = [
        line("old", &condition(&patients[0]), "2026-01-01T00:00:00Z"),
        line("new", &condition(&patients[0]), "2026-02-01T00:00:00Z"),
        line("of-another", &condition(&patients[1]), "2026-01-01T00:00:00Z"),
        line("of-no-condition", &format!("Patient/{}", patients[0]), "2026-01-01T00:00:00Z"),
    ];
    write_durable(&source.folder.path().join("Provenance.ndjson"), lines.concat().as_bytes()).unwrap();
    let scene = Scene::new(|settings| {
        settings.data = source.folder.path().to_owned();
        settings.groups.insert("one".to_owned(), patients[..1].to_vec());
    })
    .await;
    let relevant = "&includeAssociatedData=RelevantProvenanceResources";
    for (level, asked, expected) in [
        ("/$export", "", vec![]),
        ("/$export", relevant, vec!["new", "of-another", "old"]),
        ("/Group/one/$export", relevant, vec!["new", "old"]),
        (
            "/Group/one/$export",
            "&includeAssociatedData=LatestProvenanceResources",
            vec!["new"],
        ),
    ] {
        let export = scene.export(&format!("{level}?_type=Condition{asked}")).await;
        let ids: Vec<_> = export.resources.keys().filter_map(|key| key.strip_prefix("Provenance/")).collect();
        assert_eq!(ids, expected, "{level} {asked}");
    }
}
