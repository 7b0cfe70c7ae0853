//! A package's way to a real registry, with trouble on the way.

#![allow(clippy::disallowed_methods, reason = "tests write the files they need")]

use headwater::platform::backend_services::{Algorithm, ClientKey};
use headwater::platform::signing::SigningKey;
use headwater::submit::{Acknowledged, SubmitError, enrol};

use crate::world::{World, labs, plain, tally};

fn rows() -> [crate::world::Rows; 2] {
    [plain("patient", "patient_key", 10), labs(20, 3, 2)]
}

#[tokio::test]
async fn a_package_is_delivered_and_its_proven_receipt_and_outcomes_come_back() {
    let world = World::start().await;
    let mut site = world.enrol("lakeside").await;
    let package = site.package(&rows(), &[("Patient", tally(10, 0, 1)), ("Observation", tally(25, 4, 0))]);
    let done = site.deliver(&package).await.unwrap();
    assert_eq!((done.receipt.accepted, done.receipt.rejected), (32, 3));
    let rejected: Vec<_> = done
        .outcomes
        .iter()
        .map(|o| (o.table.as_str(), o.rule.as_str(), o.path.as_str()))
        .collect();
    assert_eq!(rejected, [("lab_result", "enum", "/test"); 3]);
}

#[tokio::test]
async fn the_same_package_again_sends_no_chunk_and_gets_the_same_receipt() {
    let world = World::start().await;
    let mut site = world.enrol("lakeside").await;
    let package = site.package(&rows(), &[]);
    let first = site.deliver(&package).await.unwrap();
    assert_eq!(world.seen("PUT").len(), 3);
    let again = site.deliver(&package).await.unwrap();
    assert_eq!(again.receipt, first.receipt);
    assert_eq!(world.seen("PUT /drop/").iter().filter(|line| line.contains("/chunks/")).count(), 0);
}

#[tokio::test]
async fn what_was_sent_before_the_line_broke_is_not_sent_again() {
    let world = World::start().await;
    let mut site = world.enrol("lakeside").await;
    let package = site.package(&rows(), &[]);
    world.trouble("/manifest", 503, 4);
    let broken = site.deliver(&package).await.unwrap_err();
    assert!(broken.may_be_retried(), "{broken}");
    assert!(broken.to_string().contains("put the manifest"), "{broken}");
    world.seen("");
    site.deliver(&package).await.unwrap();
    assert_eq!(world.seen("PUT"), [format!("PUT /drop/{}/manifest", package.manifest().submission)]);
}

#[tokio::test]
async fn a_chunk_that_was_spoilt_or_lost_on_the_way_is_sent_again_by_the_next_run() {
    let world = World::start().await;
    let mut site = world.enrol("lakeside").await;
    let package = site.package(&rows(), &[]);
    for status in [422, 204] {
        world.trouble("PUT", status, 1);
        let error = site.deliver(&package).await.unwrap_err();
        assert!(error.may_be_retried(), "{status}: {error}");
    }
    world.seen("");
    site.deliver(&package).await.unwrap();
    assert_eq!(world.seen("PUT").iter().filter(|line| line.contains("/chunks/")).count(), 1);
}

#[tokio::test]
async fn trouble_that_passes_is_outlasted_at_every_step() {
    let world = World::start().await;
    let mut site = world.enrol("lakeside").await;
    for (part, status) in [
        ("/oauth/token", 503),
        ("HEAD", 502),
        ("/chunks/", 429),
        ("PUT", 401),
        ("/manifest", 500),
        ("$bulk-submit", 503),
        ("$bulk-submit-status", 503),
        ("/receipt", 504),
        ("/outcome", 503),
    ] {
        world.trouble(part, status, 1);
    }
    let package = site.package(&rows(), &[]);
    site.deliver(&package).await.unwrap();
    assert!(world.wire.lock().unwrap().trouble.is_empty(), "all of it happened");
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_registry_committed_is_asked_for_again_and_is_the_same() {
    let undisturbed = World::start().await;
    let mut site = undisturbed.enrol("lakeside").await;
    let expected = site.deliver(&site.package(&rows(), &[])).await.unwrap();

    let world = World::start().await;
    let mut site = world.enrol("lakeside").await;
    let package = site.package(&rows(), &[]);
    world.lose(&[
        "/chunks/",
        "/manifest",
        "POST /fhir/$bulk-submit",
        "$bulk-submit-status",
        "/receipt",
        "/outcome",
    ]);
    let done = site.deliver(&package).await.unwrap();
    assert!(world.wire.lock().unwrap().lost.is_empty(), "all of it happened");
    let numbers = |done: &Acknowledged| (done.receipt.index, done.receipt.accepted, done.receipt.rejected);
    assert_eq!(numbers(&done), numbers(&expected), "one leaf in the log, one set of rows");
    let again = site.deliver(&package).await.unwrap();
    assert_eq!(again.receipt, done.receipt);
}

#[tokio::test]
async fn what_the_registry_refuses_is_told_with_its_reason_and_not_tried_again() {
    let world = World::start().await;
    let mut site = world.enrol("lakeside").await;
    site.policy = "own-policy";
    let package = site.package(&rows(), &[]);
    let refused = site.deliver(&package).await.unwrap_err();
    assert!(!refused.may_be_retried());
    let SubmitError::Refused { diagnostics, .. } = refused else {
        panic!("{refused}")
    };
    assert!(diagnostics.contains("policy"), "{diagnostics}");
    assert_eq!(world.seen("POST /fhir/$bulk-submit").len(), 1);
    site.policy = "safe-harbor";
    let corrected = site.package(&rows(), &[]);
    site.deliver(&corrected).await.unwrap();
}

#[tokio::test]
async fn a_site_enrols_with_its_own_code_and_keys_only() {
    let world = World::start().await;
    let code = world.registry.records().add_site("lakeside").unwrap();
    let (key, other) = (
        ClientKey::generate(Algorithm::Es384).unwrap(),
        ClientKey::generate(Algorithm::Es384).unwrap(),
    );
    let manifest_key = SigningKey::generate();
    let try_in = |code: &str, key: &ClientKey| {
        let (code, key) = (code.to_owned(), key.clone());
        let (world, manifest_key) = (&world, &manifest_key);
        async move { enrol(&world.http, &world.base, &code, &key, manifest_key).await }
    };
    let wrong = try_in("0123", &key).await.unwrap_err();
    assert!(
        matches!(&wrong, SubmitError::Refused { diagnostics, .. } if diagnostics.contains("enrolment code")),
        "{wrong}"
    );
    world.trouble("/enrol", 503, 1);
    assert!(try_in(&code, &key).await.unwrap_err().may_be_retried());
    let enrolled = try_in(&code, &key).await.unwrap();
    assert_eq!((enrolled.site.as_str(), enrolled.log_vkey), ("lakeside", world.registry.log_vkey()));
    assert!(try_in(&code, &key).await.is_ok(), "the answer may have been lost");
    assert!(try_in(&code, &other).await.is_err(), "a code is for one pair of keys");
    let plain = enrol(&world.http, "http://registry.example", &code, &key, &manifest_key)
        .await
        .unwrap_err();
    assert!(matches!(plain, SubmitError::Link(_)), "{plain}");
}

#[tokio::test]
async fn a_receipt_that_is_not_proven_is_not_believed() {
    let world = World::start().await;
    let site = world.enrol("lakeside").await;
    let package = site.package(&rows(), &[]);
    let prove = |_: &[u8], _: &str| Err("another key signed it".to_owned());
    let refused = headwater::submit::submit(&site.link, &package, &prove, &|_| {}).await.unwrap_err();
    assert!(
        matches!(&refused, SubmitError::Untrusted(why) if why.contains("another key signed it")),
        "{refused}"
    );
    assert!(!refused.may_be_retried());
}

#[tokio::test]
async fn a_chunk_that_rotted_in_the_outbox_is_found_before_it_is_sent() {
    let world = World::start().await;
    let mut site = world.enrol("lakeside").await;
    let package = site.package(&rows(), &[]);
    let chunk = &package.manifest().output[0];
    let folder = world.dir.path().join("outbox-lakeside/1-safe-harbor");
    let mut bytes = std::fs::read(folder.join(&chunk.sha256)).unwrap();
    bytes[10] ^= 1;
    std::fs::write(folder.join(&chunk.sha256), bytes).unwrap();
    let refused = site.deliver(&package).await.unwrap_err();
    assert!(matches!(&refused, SubmitError::Spoilt(name) if *name == chunk.sha256), "{refused}");
    assert!(world.seen("PUT").is_empty());
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_a_reason_to_try_again() {
    let world = World::start().await;
    let mut site = world.enrol("lakeside").await;
    let package = site.package(&rows(), &[]);
    world.trouble("smart-configuration", 503, 5);
    let error = site.deliver(&package).await.unwrap_err();
    assert!(error.may_be_retried() && error.to_string().contains("answered 503"), "{error}");
    // One trouble is left; it passes.
    site.deliver(&package).await.unwrap();
}
