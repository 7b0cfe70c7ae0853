//! The simulated EHR over real HTTP: what it serves.

use std::collections::BTreeSet;
use std::io::Read;

use headwater::simulate::ehr::{Call, EhrSettings, Fault, Misconfiguration, Vendor, serve};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use scene::{START, Scene};

mod access;
mod bulk;
mod faults;
mod files;
mod misconfigured;
mod scene;
mod search;
mod vendors;

#[tokio::test]
async fn a_system_export_gives_every_line_as_it_is() {
    let scene = Scene::new(|_| {}).await;
    let export = scene.export("/$export").await;
    let total: u64 = scene.counts.values().sum();
    assert_eq!(export.resources.len() as u64, total);
    for (key, line) in &export.resources {
        let kind = key.split('/').next().unwrap();
        assert!(
            scene.read(kind).lines().any(|original| original == line),
            "{kind}: a line was altered"
        );
    }
    assert_eq!(export.manifest["request"], scene.url("/$export"));
    assert_eq!(export.manifest["requiresAccessToken"], true);
    assert_eq!(export.manifest["error"], json!([]));
    assert!(export.manifest.get("deleted").is_none());
}

#[tokio::test]
async fn a_patient_export_leaves_out_what_no_patient_has_to_do_with() {
    let scene = Scene::new(|_| {}).await;
    let everything = scene.export("/$export").await;
    let export = scene.export("/Patient/$export").await;
    assert!(everything.kinds().contains("ResearchStudy"));
    assert!(!export.kinds().contains("ResearchStudy"));
    for kind in ["Patient", "Observation", "Practitioner", "Organization", "Location", "Medication"] {
        assert!(export.kinds().contains(kind), "{kind} is missing");
    }
    // Only the drugs that somebody was given by reference travel along.
    let medications = export.resources.keys().filter(|key| key.starts_with("Medication/")).count();
    assert!(medications > 0 && medications < 22, "{medications}");
}

#[tokio::test]
async fn a_group_export_holds_the_group_and_nobody_else() {
    let scene = Scene::new(|_| {}).await;
    let (members, all) = (scene.patient_ids()[..1].to_vec(), scene.patient_ids());
    let scene = Scene::new(|settings| {
        settings.groups.insert("one".to_owned(), members.clone());
    })
    .await;
    let export = scene.export("/Group/one/$export").await;
    assert_eq!(export.resources.keys().filter(|key| key.starts_with("Patient/")).count(), 1);
    for line in export.resources.values() {
        assert!(
            !line.contains(&all[1]) && !line.contains(&all[2]),
            "another patient's resource came along"
        );
    }
    let own: usize = scene.read("Observation").lines().filter(|line| line.contains(&members[0])).count();
    assert_eq!(export.resources.keys().filter(|key| key.starts_with("Observation/")).count(), own);
    let everyone = scene.export("/Group/all/$export").await;
    assert_eq!(everyone.resources.len(), scene.export("/Patient/$export").await.resources.len());
}

#[tokio::test]
async fn types_and_scopes_narrow_an_export() {
    let scene = Scene::new(|_| {}).await;
    let export = scene.export("/$export?_type=Patient,Condition&_type=Encounter").await;
    assert_eq!(
        export.kinds().into_iter().collect::<Vec<_>>(),
        ["Condition", "Encounter", "Patient"]
    );
    let token = scene.token_for("system/Patient.rs").await;
    let poll = scene.begin("/$export", &token).await;
    let manifest = scene.manifest(&poll, &token).await;
    assert_eq!(manifest["output"].as_array().unwrap().len(), 1);
    let refused = scene.ask(Method::GET, &scene.url("/$export?_type=Observation"), &token).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_export_since_the_last_holds_the_day_and_nothing_else() {
    let scene = Scene::with(8, |_| {}).await;
    let mut export = scene.export("/$export").await;
    let mut held = export.resources;
    for level in ["/$export", "/Patient/$export", "/Group/all/$export"] {
        let since = export.manifest["transactionTime"].as_str().unwrap().to_owned();
        let nothing = scene.export(&format!("{level}?_since={since}")).await;
        assert_eq!((nothing.resources.len(), nothing.deleted.len()), (0, 0));
        let day = scene.ehr.advance_day().await.unwrap();
        export = scene.export(&format!("{level}?_since={since}")).await;
        let changed: BTreeSet<_> = day.edited.iter().chain(&day.added).cloned().collect();
        assert_eq!(export.resources.keys().cloned().collect::<BTreeSet<_>>(), changed);
        assert_eq!(export.deleted, day.deleted.iter().cloned().collect());
        assert!(!export.deleted.is_empty() && day.merged.is_some());
        // Whoever applies the changes holds what a full export gives.
        held.extend(export.resources.clone());
        held.retain(|key, _| !export.deleted.contains(key));
        assert_eq!(held, scene.export("/$export").await.resources);
        for line in export.resources.values() {
            let resource: Value = serde_json::from_str(line).unwrap();
            let updated: jiff::Timestamp = resource["meta"]["lastUpdated"].as_str().unwrap().parse().unwrap();
            assert!(updated > since.parse().unwrap() && updated <= export.since().parse().unwrap());
        }
    }
}

#[tokio::test]
async fn a_running_export_does_not_see_the_day_that_passes() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export?_type=Observation", &token).await;
    scene.ehr.advance_day().await.unwrap();
    let manifest = scene.manifest(&poll, &token).await;
    let text = scene
        .ask(Method::GET, manifest["output"][0]["url"].as_str().unwrap(), &token)
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(text, scene.read("Observation"));
}

#[tokio::test]
async fn files_are_split_and_gzip_is_the_same_data() {
    let scene = Scene::new(|settings| settings.file_lines = 50).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export?_type=Observation", &token).await;
    let manifest = scene.manifest(&poll, &token).await;
    let files = manifest["output"].as_array().unwrap();
    assert_eq!(files.len() as u64, scene.counts["Observation"].div_ceil(50));
    let mut all = String::new();
    for file in files {
        let request = scene.http.get(file["url"].as_str().unwrap()).bearer_auth(&token);
        let response = request.header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], "gzip");
        let bytes = response.bytes().await.unwrap();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut all).unwrap();
    }
    assert_eq!(all, scene.read("Observation"));
}

#[tokio::test]
async fn a_kick_off_by_post_means_the_same() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    let body = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "_type", "valueString": "Patient" },
        { "name": "patient", "valueReference": { "reference": format!("Patient/{}", scene.patient_ids()[1]) } },
    ]});
    let request = scene
        .http
        .post(scene.url("/Patient/$export"))
        .bearer_auth(&token)
        .header("prefer", "respond-async");
    let response = request.json(&body).send().await.unwrap();
    let poll = response.headers()["content-location"].to_str().unwrap();
    assert_eq!(scene.manifest(poll, &token).await["output"][0]["count"], 1);
}

#[tokio::test]
async fn data_without_dates_counts_as_updated_when_the_server_began() {
    let scene = Scene::new(|_| {}).await;
    let observations = scene.read("Observation");
    let lines = observations.lines().map(|line| {
        let mut resource: Value = serde_json::from_str(line).unwrap();
        resource["meta"].as_object_mut().unwrap().remove("lastUpdated");
        format!("{resource}\n")
    });
    let lines: String = lines.collect();
    let undated = tempfile::tempdir().unwrap();
    headwater::platform::file::write_durable(&undated.path().join("Observation.ndjson"), lines.as_bytes()).unwrap();
    let scene = Scene::new(|settings| settings.data = undated.path().to_owned()).await;
    let before = scene.export("/$export?_since=2026-07-01T02:59:59Z").await;
    assert_eq!(before.resources.len(), lines.lines().count());
    assert_eq!(scene.export(&format!("/$export?_since={START}")).await.resources.len(), 0);
}

#[tokio::test]
async fn a_kick_off_that_is_not_understood_is_refused() {
    let scene = Scene::new(|_| {}).await;
    let token = scene.token().await;
    for (path, expected) in [
        ("/$export?_since=yesterday", StatusCode::BAD_REQUEST),
        ("/$export?_type=patient", StatusCode::BAD_REQUEST),
        ("/$export?_outputFormat=text/csv", StatusCode::BAD_REQUEST),
        ("/$export?_typeFilter=Patient%3F", StatusCode::BAD_REQUEST),
        ("/$export?_typeFilter=Patient%3F_sort%3Dname", StatusCode::BAD_REQUEST),
        ("/$export?_typeFilter=Patient%3Fcolour%3Dred", StatusCode::BAD_REQUEST),
        (
            "/$export?_type=Condition&_typeFilter=Patient%3Factive%3Dtrue",
            StatusCode::BAD_REQUEST,
        ),
        ("/$export?_elements=Patient.name.family", StatusCode::BAD_REQUEST),
        ("/$export?organizeOutputBy=Encounter", StatusCode::BAD_REQUEST),
        ("/$export?includeAssociatedData=Everything", StatusCode::BAD_REQUEST),
        ("/$export?_colour=red", StatusCode::BAD_REQUEST),
        ("/Patient/$export?patient=Patient/1", StatusCode::BAD_REQUEST),
        ("/$export?patient=Patient/1", StatusCode::BAD_REQUEST),
        ("/Group/none/$export", StatusCode::NOT_FOUND),
        ("/Nothing", StatusCode::NOT_FOUND),
        ("/$export?_outputFormat=ndjson", StatusCode::ACCEPTED),
        ("/%24export", StatusCode::ACCEPTED),
    ] {
        let response = scene.ask(Method::GET, &scene.url(path), &token).await;
        assert_eq!(response.status(), expected, "{path}");
        if expected != StatusCode::ACCEPTED {
            assert_eq!(
                response.json::<Value>().await.unwrap()["resourceType"],
                "OperationOutcome",
                "{path}"
            );
        }
    }
    let plain = scene.http.get(scene.url("/$export")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(plain.status(), StatusCode::BAD_REQUEST);
    let lenient = scene.http.get(scene.url("/$export?_colour=x")).bearer_auth(&token);
    let lenient = lenient.header("prefer", "respond-async, handling=lenient").send().await.unwrap();
    assert_eq!(lenient.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn polls_wait_and_a_cancelled_job_is_gone() {
    let scene = Scene::new(|settings| (settings.polls_before_ready, settings.retry_after_s) = (3, 0)).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export?_type=Patient", &token).await;
    let first = scene.ask(Method::GET, &poll, &token).await;
    assert_eq!(
        (first.status(), &first.headers()["x-progress"]),
        (StatusCode::ACCEPTED, &"working, 0 of 3".parse().unwrap())
    );
    assert_eq!(first.headers()["retry-after"], "0");
    scene.manifest(&poll, &token).await;
    assert!(scene.ehr.calls(Call::Poll) >= 4);
    assert_eq!(scene.ask(Method::DELETE, &poll, &token).await.status(), StatusCode::ACCEPTED);
    assert_eq!(scene.ask(Method::GET, &poll, &token).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        (
            scene.ehr.calls(Call::Cancel),
            scene.ehr.calls(Call::KickOff),
            scene.ehr.calls(Call::Token)
        ),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn one_job_a_client_if_the_settings_say_so() {
    let scene = Scene::new(|settings| settings.one_job_per_client = true).await;
    let token = scene.token().await;
    let poll = scene.begin("/$export", &token).await;
    let second = scene.ask(Method::GET, &scene.url("/$export"), &token).await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    scene.ask(Method::DELETE, &poll, &token).await;
    scene.begin("/$export", &token).await;
}

#[tokio::test]
async fn a_restart_forgets_the_jobs_and_knows_a_client_again_by_its_key() {
    let scene = Scene::new(|_| {}).await;
    let poll = scene.begin("/$export", &scene.token().await).await;
    let listen = scene
        .ehr
        .base_url()
        .trim_start_matches("http://")
        .trim_end_matches("/fhir")
        .parse()
        .unwrap();
    let Scene {
        ehr,
        http,
        key,
        client,
        clock,
        folder,
        counts,
        assertions,
    } = scene;
    ehr.shutdown().await;
    let ehr = serve(EhrSettings {
        listen,
        clock: clock.clone(),
        ..EhrSettings::new(folder.path())
    })
    .await
    .unwrap();
    assert_eq!(ehr.register(key.public.clone()).unwrap(), client);
    let scene = Scene {
        ehr,
        http,
        key,
        client,
        clock,
        folder,
        counts,
        assertions,
    };
    let token = scene.token().await;
    assert_eq!(scene.ask(Method::GET, &poll, &token).await.status(), StatusCode::NOT_FOUND);
}

#[test]
fn the_command_lists_every_name_it_takes_and_refuses_others() {
    let run = |arguments: &[&str]| {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_headwater"))
            .arg("ehr")
            .args(arguments)
            .output();
        ran.unwrap()
    };
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let faults = Fault::ALL.map(Fault::name);
    let misconfigurations = Misconfiguration::ALL.map(Misconfiguration::name);
    for name in faults.iter().chain(&misconfigurations).chain(&Vendor::ALL.map(Vendor::name)) {
        assert!(help.contains(&format!("\n  {name} ")), "{name} is not in the help");
    }
    for (option, value) in [
        ("--fault", "bad-luck"),
        ("--misconfigured", "read-500,bad-luck"),
        ("--vendor", "nobody"),
        ("--manifest", "5"),
        ("--kick-off", "never"),
    ] {
        let refused = run(&["--data", ".", option, value]);
        assert_eq!(refused.status.code(), Some(2), "{option} {value}");
    }
}
