//! One changed byte anywhere in a submission: refused, and nothing changes in the rows. Also files that lie about themselves.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater::platform::file::write_durable;

use super::{House, row};

#[tokio::test]
async fn a_changed_byte_of_a_chunk_is_refused_on_the_way_and_on_the_disk() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let first = kit.parcel(&[("person", &[("a", Some(&row("a", "1")))])]);
    house.deliver(&mut kit, &first).await;
    let rows = house.rows();
    let parcel = kit.parcel(&[("person", &[("a", Some(&row("a", "2"))), ("b", None)])]);
    let (sha256, bytes) = &parcel.chunks[0];
    house.put_all(&kit, &parcel).await;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let sent = house.put(&kit, &parcel.chunk_path(sha256), &changed).await;
        assert_eq!(sent, StatusCode::UNPROCESSABLE_ENTITY, "byte {at}");

        assert_eq!(house.put(&kit, &parcel.chunk_path(sha256), bytes).await, StatusCode::OK);
        write_durable(&house.chunk_file(&parcel, sha256), &changed).unwrap();
        assert_eq!(house.submit(&kit, &parcel).await.status, StatusCode::OK);
        house.registry.apply_received().unwrap();
        let answer = house.status(&kit, &parcel).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "byte {at}");
        assert!(answer.text().contains("chunk: output[0]"), "byte {at}: {}", answer.text());
        assert_eq!(house.rows(), rows, "byte {at}");
    }
    house.deliver(&mut kit, &parcel).await;
    assert_ne!(house.rows(), rows);
}

#[tokio::test]
async fn a_changed_byte_of_the_manifest_is_refused() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let parcel = kit.parcel(&[("person", &[("a", Some(&row("a", "1")))])]);
    let bytes = parcel.manifest.bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let sent = house.put(&kit, &parcel.manifest_path(), &changed).await;
        assert_eq!(sent, StatusCode::BAD_REQUEST, "byte {at}");
    }
    house.put_all(&kit, &parcel).await;
    let mut changed = bytes.clone();
    changed[10] ^= 1;
    assert_eq!(house.put(&kit, &parcel.manifest_path(), &changed).await, StatusCode::CONFLICT);
    house.deliver(&mut kit, &parcel).await;
}

#[tokio::test]
async fn a_manifest_changed_and_named_anew_fails_by_its_signature() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let changes: &[(&str, &[super::Change<'_>])] = &[("person", &[("a", None)])];
    let parcel = kit.parcel(changes);
    let forge: [fn(&mut headwater::submission::Manifest); 4] = [
        |m| m.transaction_time = "2026-03-02T00:00:00Z".into(),
        |m| m.policy_digest = "4".repeat(64),
        |m| m.output.clear(),
        |m| m.key_fingerprint = "fedcba9876543210".into(),
    ];
    for (at, change) in forge.into_iter().enumerate() {
        let mut forged = kit.parcel_with(changes, |manifest| {
            change(manifest);
            manifest.ledger.released = manifest.output.iter().map(|output| output.rows).sum();
        });
        assert_ne!(forged.id(), parcel.id());
        forged.signature.clone_from(&parcel.signature);
        house.put_all(&kit, &forged).await;
        let answer = house.submit(&kit, &forged).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.text().contains("signature:"), "change {at}: {}", answer.text());
    }
    assert_eq!(house.number("SELECT count(*) FROM submission WHERE state = 'refused'"), 4);
    house.deliver(&mut kit, &parcel).await;
}

#[tokio::test]
async fn a_changed_byte_of_the_signature_is_refused_and_the_right_one_then_taken() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let parcel = kit.parcel(&[("person", &[("a", Some(&row("a", "1")))])]);
    house.put_all(&kit, &parcel).await;
    let signature = STANDARD.decode(&parcel.signature).unwrap();
    for at in 0..signature.len() {
        let mut changed = signature.clone();
        changed[at] ^= 1 << (at % 8);
        let mut forged = parcel.clone();
        forged.signature = STANDARD.encode(changed);
        let answer = house.submit(&kit, &forged).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "byte {at}");
        house.registry.apply_received().unwrap();
        assert!(house.rows().is_empty(), "byte {at}");
    }
    let refusals = "SELECT count(*) FROM log_entry WHERE entry LIKE '%submission-refused%'";
    assert_eq!(house.number(refusals), 1, "the log grows by the first one only");
    house.deliver(&mut kit, &parcel).await;
    assert_eq!(house.rows().len(), 1);
}

#[tokio::test]
async fn the_registry_fetches_nothing_that_a_caller_names() {
    let house = House::new();
    let kit = house.join("lake").await;
    let parcel = kit.parcel(&[("person", &[("a", None)])]);
    house.put_all(&kit, &parcel).await;
    let own = format!("http://registry.test{}", parcel.manifest_path());
    for url in [
        "http://127.0.0.1:1/manifest".to_owned(),
        "file:///etc/passwd".to_owned(),
        format!("{own}?x=1"),
        format!("{own}/../../../manifest"),
        own.replace("registry.test", "registry.test.evil.test"),
        own.replace("http://", "http://registry.test@evil.test/"),
        own.replace("registry.test", "REGISTRY.TEST"),
        own.to_uppercase(),
    ] {
        let parameters = headwater::submission::BulkSubmit {
            site: kit.name.clone(),
            submission: parcel.id().to_owned(),
            manifest_url: url.clone(),
            fhir_base_url: "http://registry.test/fhir".into(),
            signature: parcel.signature.clone(),
        };
        let answer = house.submit_parameters(&kit, &parameters.to_parameters()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{url}");
    }
    assert_eq!(house.number("SELECT count(*) FROM submission"), 0);
}
