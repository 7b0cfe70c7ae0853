//! The registry as a process: it serves on a port, applies by itself, stops when asked, and outlives being killed.

use std::process::{Command, Stdio};

use axum::body::Body;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use futures_util::stream;
use headwater::audit::{Vkey, verify_dir};
use headwater::platform::file::write_durable;
use headwater::platform::http::{HttpSettings, client};
use headwater::registry::{RegistryConfig, serve};

use super::{Change, House, row, settings};

#[tokio::test]
async fn a_served_registry_applies_by_itself_and_stops_when_asked() {
    let house = House::new();
    let kit = house.join("lake").await;
    let parcel = kit.parcel(&[("person", &[("a", Some(&row("a", "1")))])]);
    house.put_all(&kit, &parcel).await;
    house.submit(&kit, &parcel).await;
    let (dir, clock) = house.shut();

    let config = RegistryConfig {
        settings: settings(dir.path()),
        clock: clock.clone(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serving = serve(config.clone(), listener).await.unwrap();
    let http = client(&HttpSettings::default()).unwrap();
    let url = format!("{}/fhir/submit-status/{}", serving.base_url(), parcel.id());
    let mut status = StatusCode::ACCEPTED;
    while status == StatusCode::ACCEPTED {
        status = http.get(&url).bearer_auth(&kit.token).send().await.unwrap().status();
    }
    assert_eq!(status, StatusCode::OK);
    let second = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = serve(config, second).await.err().expect("one process per data folder").to_string();
    assert!(refused.contains("registry.lock"), "{refused}");
    serving.stop().await.unwrap();
    assert!(http.get(&url).send().await.is_err(), "nobody listens any more");
    assert_eq!(House::open(dir, clock).rows().len(), 1);
}

#[tokio::test]
async fn a_registry_killed_while_it_applies_has_applied_nothing_and_does_so_at_its_next_start() {
    const ROWS: usize = 120_000;
    let house = House::new();
    let kit = house.join("lake").await;
    let rows: Vec<(String, String)> = (0..ROWS).map(|at| (format!("k{at:09}"), row(&format!("k{at:09}"), "1"))).collect();
    let changes: Vec<Change<'_>> = rows.iter().map(|(key, row)| (key.as_str(), Some(row.as_str()))).collect();
    let parcel = kit.parcel(&[("person", &changes[..ROWS / 2]), ("person", &changes[ROWS / 2..])]);
    house.put_all(&kit, &parcel).await;
    assert_eq!(house.submit(&kit, &parcel).await.status, StatusCode::OK);
    let (dir, clock) = house.shut();

    let toml = "log_origin = \"registry.test/log\"\nlisten = \"127.0.0.1:0\"\n[[accept]]\nmodel = \"m\"\npolicies = [\"safe-harbor\"]\n";
    write_durable(&dir.path().join("registry.toml"), toml.as_bytes()).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_headwater"))
        .args(["registry", "serve", "--dir"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The transaction spills into the write-ahead log long before it commits.
    let spilled = dir.path().join("data/registry.db-wal");
    while std::fs::metadata(&spilled).map_or(0, |file| file.len()) < 2 << 20 {
        assert!(process.try_wait().unwrap().is_none(), "the registry ended by itself");
        std::thread::yield_now();
    }
    process.kill().unwrap();
    process.wait().unwrap();

    let house = House::open(dir, clock);
    assert_eq!(house.rows().len(), 0);
    assert_eq!(house.number("SELECT count(*) FROM submission WHERE state = 'received'"), 1);
    house.registry.apply_received().unwrap();
    assert_eq!(house.rows().len(), ROWS);
    let vkey = Vkey::parse(&house.registry.log_vkey()).unwrap();
    let verified = verify_dir(&vkey, house.registry.log_dir(), None).unwrap();
    assert_eq!(verified.entries, 3, "added, enrolled, accepted: each once");
}

#[tokio::test]
async fn a_chunk_that_breaks_off_on_the_way_leaves_nothing() {
    let house = House::new();
    let kit = house.join("lake").await;
    let parcel = kit.parcel(&[("person", &[("a", Some(&row("a", "1")))])]);
    let (sha256, bytes) = &parcel.chunks[0];
    // Even when every byte had arrived: a body that broke off is not a body that ended.
    let pieces = [Ok(Bytes::from(bytes.clone())), Err(std::io::Error::other("the line broke"))];
    let body = Body::from_stream(stream::iter(pieces));
    let answer = house
        .call(Method::PUT, &parcel.chunk_path(sha256), Some(&kit.token), "", body)
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let chunks = house.chunk_file(&parcel, sha256);
    assert_eq!(std::fs::read_dir(chunks.parent().unwrap()).unwrap().count(), 0);
}
