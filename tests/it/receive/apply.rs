//! What becomes of a submission: rows, rejects, receipt; once, whatever is repeated or breaks off.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use headwater::audit::{Vkey, verify_dir, verify_proof};
use headwater::receive::{Fault, read};
use headwater::submission::{Outcome, Receipt, StatusManifest};

use super::{House, lines, row};

#[tokio::test]
async fn a_submission_becomes_rows_a_receipt_and_a_leaf_of_a_log_that_verifies() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let (one, two) = (row("a", "1.50"), row("b", "2"));
    let first = kit.parcel(&[("person", &[("a", Some(&one)), ("b", Some(&two))])]);
    house.deliver(&mut kit, &first).await;
    assert_eq!(house.rows()["person lake a"], one, "digits and bytes stay");

    let asked = house.ask_status(&kit, &first).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED);
    let place = format!("http://registry.test/fhir/submit-status/{}", first.id());
    assert_eq!(asked.headers["content-location"], place.as_str());
    let status: StatusManifest = serde_json::from_slice(&house.status(&kit, &first).await.body).unwrap();
    assert_eq!(status.submission_id, first.id());
    assert!(status.outcome.is_empty());

    let path = status.output[0].url.strip_prefix("http://registry.test").unwrap();
    let receipt = Receipt::read(&house.get(&kit, path).await.text()).unwrap();
    assert_eq!((receipt.accepted, receipt.rejected), (2, 0));
    assert_eq!(receipt.leaf.manifest, first.manifest.sha256());
    let vkey = Vkey::parse(&house.registry.log_vkey()).unwrap();
    assert_eq!(verify_proof(&vkey, &receipt.entry, &receipt.proof).unwrap().index, receipt.index);
    let verified = verify_dir(&vkey, house.registry.log_dir(), None).unwrap();
    assert_eq!(verified.entries, receipt.index + 1);

    let second = kit.parcel(&[(
        "person",
        &[("a", None), ("never there", None), ("b", Some(&one.replace("\"a\"", "\"b\"")))],
    )]);
    house.deliver(&mut kit, &second).await;
    assert_eq!(house.rows().keys().collect::<Vec<_>>(), ["person lake b"]);
    let counted = house.registry.store().read(read::rows).unwrap();
    assert_eq!(counted, [("lake".to_owned(), "person".to_owned(), 1)]);
}

#[tokio::test]
async fn a_row_that_does_not_fit_comes_home_with_its_rule_and_the_others_stay() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let rows = [
        ("a", row("a", "1")),
        ("b", row("b", "101")),
        ("c", row("z", "1")),
        ("d", r#"{"id":"d"}"#.to_owned()),
        ("e", r#"{"id":"e","who":"p","unit":"Jane Doe"}"#.to_owned()),
        ("a", row("a", "2")),
    ];
    let changes: Vec<_> = rows.iter().map(|(key, row)| (*key, Some(row.as_str()))).collect();
    let parcel = kit.parcel(&[("person", &changes)]);
    house.deliver(&mut kit, &parcel).await;
    assert_eq!(house.rows().keys().collect::<Vec<_>>(), ["person lake a"]);
    assert_eq!(house.rows()["person lake a"], rows[0].1);

    let status: StatusManifest = serde_json::from_slice(&house.status(&kit, &parcel).await.body).unwrap();
    assert_eq!(status.outcome[0].count_severity[0].count, 5);
    let path = status.outcome[0].url.strip_prefix("http://registry.test").unwrap();
    let text = house.get(&kit, path).await.text();
    assert!(!text.contains("Jane"), "no value comes back");
    let outcomes: Vec<_> = text.lines().map(|line| Outcome::read(line).unwrap()).collect();
    let seen: Vec<_> = outcomes
        .iter()
        .map(|o| (o.key.as_str(), o.rule.as_str(), o.path.as_str()))
        .collect();
    let wanted = [
        ("b", "maximum", "/n"),
        ("c", "key", "/id"),
        ("d", "required", "/who"),
        ("e", "enum", "/unit"),
        ("a", "duplicate", ""),
    ];
    assert_eq!(seen, wanted);
    let submission = house.registry.store().read(|c| read::submission(c, parcel.id())).unwrap().unwrap();
    assert_eq!((submission.accepted, submission.rejected, submission.released), (1, 5, 6));
}

#[tokio::test]
async fn more_outcomes_than_one_page_holds_all_arrive() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let keys: Vec<String> = (0..4500).map(|at| format!("k{at}")).collect();
    let changes: Vec<_> = keys.iter().map(|key| (key.as_str(), Some("{}"))).collect();
    let parcel = kit.parcel(&[("visit", &changes)]);
    house.deliver(&mut kit, &parcel).await;
    let text = house.get(&kit, &format!("/fhir/submissions/{}/outcome", parcel.id())).await.text();
    let back: Vec<String> = text.lines().map(|line| Outcome::read(line).unwrap().key).collect();
    assert_eq!(back, keys);
}

#[tokio::test]
async fn twenty_requests_at_once_and_any_repetition_are_one_submission() {
    let house = House::new();
    let kit = house.join("lake").await;
    let one = row("a", "1");
    let parcel = kit.parcel(&[("person", &[("a", Some(&one))])]);
    let all = |_| async {
        house.put_all(&kit, &parcel).await;
        house.submit(&kit, &parcel).await
    };
    let answers = futures_util::future::join_all((0..20).map(all)).await;
    for answer in &answers {
        assert_eq!(
            (answer.status, &answer.body),
            (StatusCode::OK, &answers[0].body),
            "{}",
            answer.text()
        );
    }
    house.registry.apply_received().unwrap();
    let receipt = format!("/fhir/submissions/{}/receipt", parcel.id());
    let first = house.get(&kit, &receipt).await;
    assert_eq!(first.status, StatusCode::OK);
    let (leaves, rows) = (house.number("SELECT count(*) FROM log_entry"), house.rows());

    let house = house.restart();
    let again = |_| async {
        house.put_all(&kit, &parcel).await;
        let head = house
            .call(
                Method::HEAD,
                &parcel.chunk_path(&parcel.chunks[0].0),
                Some(&kit.token),
                "",
                Body::empty(),
            )
            .await;
        assert_eq!(head.status, StatusCode::OK, "a chunk that was applied need not be sent again");
        house.submit(&kit, &parcel).await
    };
    for answer in futures_util::future::join_all((0..20).map(again)).await {
        assert_eq!((answer.status, answer.body), (StatusCode::OK, answers[0].body.clone()));
    }
    house.registry.apply_received().unwrap();
    assert_eq!(house.get(&kit, &receipt).await.body, first.body);
    assert_eq!(house.number("SELECT count(*) FROM log_entry"), leaves);
    assert_eq!(house.number("SELECT count(*) FROM submission"), 1);
    assert_eq!(house.rows(), rows);
}

#[tokio::test]
async fn a_submission_broken_off_before_its_commit_is_applied_after_a_restart() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let one = row("a", "1");
    let first = kit.parcel(&[("person", &[("a", Some(&one))])]);
    house.deliver(&mut kit, &first).await;
    let two = row("a", "2");
    let parcel = kit.parcel(&[
        ("person", &[("a", Some(&two)), ("b", None)]),
        ("visit", &[("b", Some(&row("b", "3")))]),
    ]);
    house.put_all(&kit, &parcel).await;
    house.submit(&kit, &parcel).await;
    let (rows, leaves) = (house.rows(), house.number("SELECT count(*) FROM log_entry"));
    house.registry.stop();
    assert!(matches!(house.registry.apply_received(), Err(Fault::Stopping)));
    assert_eq!((house.rows(), house.number("SELECT count(*) FROM log_entry")), (rows, leaves));
    let waiting = house.status(&kit, &parcel).await;
    assert_eq!(waiting.status, StatusCode::ACCEPTED);
    assert_eq!(waiting.headers["retry-after"], "0", "a young submission is done in a moment");
    house.clock.advance(std::time::Duration::from_secs(3));
    let waiting = house.status(&kit, &parcel).await;
    assert_eq!(waiting.headers["retry-after"], "1");
    assert_eq!(waiting.headers["x-progress"], "waiting for its turn");

    let house = house.restart();
    house.registry.apply_received().unwrap();
    assert_eq!(house.status(&kit, &parcel).await.status, StatusCode::OK);
    assert_eq!(house.rows()["person lake a"], two);
    assert_eq!(house.number("SELECT count(*) FROM log_entry"), leaves + 1);
}

#[tokio::test]
async fn a_gap_a_replay_and_a_fork_are_refused_and_the_right_one_still_fits() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let one = row("a", "1");
    let changes: &[(&str, &[super::Change<'_>])] = &[("person", &[("a", Some(&one))])];
    let first = kit.parcel(changes);
    let other_first = kit.parcel_with(changes, |manifest| manifest.transaction_time = "2026-02-01T00:00:00Z".into());
    house.deliver(&mut kit, &first).await;
    let refused = async |parcel: &super::Parcel, word: &str| {
        house.put_all(&kit, parcel).await;
        let answer = house.submit(&kit, parcel).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            answer.json()["issue"][0]["diagnostics"].as_str().unwrap().starts_with(word),
            "{}",
            answer.text()
        );
        assert_eq!(house.status(&kit, parcel).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    };
    refused(&other_first, "sequence:").await;
    refused(&kit.parcel_with(changes, |manifest| manifest.sequence = 3), "sequence:").await;
    refused(
        &kit.parcel_with(changes, |manifest| manifest.previous = Some("9".repeat(64))),
        "previous:",
    )
    .await;
    let leaves = house.number("SELECT count(*) FROM log_entry");
    refused(&other_first, "sequence:").await;
    assert_eq!(
        house.number("SELECT count(*) FROM log_entry"),
        leaves,
        "the same refusal is logged once"
    );
    let second = kit.parcel(changes);
    house.deliver(&mut kit, &second).await;
}

#[tokio::test]
async fn what_contradicts_its_manifest_is_refused_whole() {
    let house = House::new();
    let kit = house.join("lake").await;
    let good = lines("person", &[("a", Some(&row("a", "1"))), ("b", None)]);
    let check = async |plain: &[(&str, Vec<u8>, u64, u64)], reason: &str| {
        let parcel = kit.parcel_of(plain, |_| {});
        house.put_all(&kit, &parcel).await;
        assert_eq!(house.submit(&kit, &parcel).await.status, StatusCode::OK);
        house.registry.apply_received().unwrap();
        let answer = house.status(&kit, &parcel).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        let text = answer.json()["issue"][0]["diagnostics"].as_str().unwrap().to_owned();
        assert!(text.starts_with(reason), "{text}");
        assert!(house.rows().is_empty());
        assert_eq!(house.number("SELECT count(*) FROM outcome"), 0);
    };
    check(&[("person", good.clone(), 2, 0)], "counts: output[0]").await;
    check(&[("person", good.clone(), 1, 2)], "counts: output[0]").await;
    check(&[("visit", good.clone(), 1, 1)], "line: output[0] line 1 is of another table").await;
    check(&[("person", b"{}\n".to_vec(), 1, 0)], "line: output[0] line 1 has no `table`").await;
    check(
        &[("person", good[..good.len() - 1].to_vec(), 1, 1)],
        "line: output[0] line 2 is too long or has no newline",
    )
    .await;
    let long = headwater::platform::random::hex(600 << 10).into_bytes();
    check(&[("person", long, 1, 0)], "line: output[0] line 1 is too long").await;
    let bomb = lines("person", &[("x", None)]).repeat(26_000);
    check(&[("person", bomb, 0, 26_000)], "line: output[0] unpacks to more bytes").await;
    let leaves = "SELECT count(*) FROM log_entry WHERE entry LIKE '%submission-refused%'";
    assert_eq!(house.number(leaves), 7);
}

#[tokio::test]
async fn a_chunk_may_unpack_to_a_mebibyte_however_small_it_is() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let plain = lines("person", &[("x", None)]).repeat(24_000);
    assert!((900_000..1 << 20).contains(&plain.len()));
    let parcel = kit.parcel_of(&[("person", plain, 0, 24_000)], |_| {});
    assert!(parcel.chunks[0].1.len() < 2000);
    house.deliver(&mut kit, &parcel).await;
}

#[tokio::test]
async fn only_an_accepted_model_policy_and_table_gets_in() {
    let house = House::new();
    let kit = house.join("lake").await;
    let one = row("a", "1");
    let changes: &[(&str, &[super::Change<'_>])] = &[("person", &[("a", Some(&one))])];
    let check = async |parcel: super::Parcel, reason: &str| {
        house.put_all(&kit, &parcel).await;
        let answer = house.submit(&kit, &parcel).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.text().contains(reason), "{}", answer.text());
    };
    check(
        kit.parcel_with(changes, |m| m.model = "other".into()),
        "model: `other` is not accepted",
    )
    .await;
    check(
        kit.parcel_with(changes, |m| m.policy = "none".into()),
        "policy: `none` is not accepted",
    )
    .await;
    check(kit.parcel(&[("secret", &[("a", Some(&one))])]), "model: `m` has no table `secret`").await;
    assert!(house.rows().is_empty());
}

#[tokio::test]
async fn what_is_missing_is_asked_for_and_nothing_is_refused_for_ever() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let parcel = kit.parcel(&[
        ("person", &[("a", Some(&row("a", "1")))]),
        ("visit", &[("b", Some(&row("b", "1")))]),
    ]);
    let missing = async |what: &str| {
        let answer = house.submit(&kit, &parcel).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert!(answer.text().contains(what), "{}", answer.text());
    };
    missing("the manifest is not in the drop").await;
    house.put(&kit, &parcel.manifest_path(), &parcel.manifest.bytes()).await;
    missing("2 of 2 chunks are not in the drop").await;
    house.put(&kit, &parcel.chunk_path(&parcel.chunks[0].0), &parcel.chunks[0].1).await;
    missing("1 of 2 chunks are not in the drop, the first is output[1]").await;
    house.deliver(&mut kit, &parcel).await;
}

#[tokio::test]
async fn a_fault_of_the_disk_at_one_site_keeps_no_other_site_waiting() {
    let house = House::new();
    let lake = house.join("lake").await;
    let river = house.join("river").await;
    for kit in [&lake, &river] {
        let parcel = kit.parcel(&[("person", &[("a", Some(&row("a", "1")))])]);
        house.put_all(kit, &parcel).await;
        assert_eq!(house.submit(kit, &parcel).await.status, StatusCode::OK);
    }
    let parcel = lake.parcel(&[("person", &[("a", Some(&row("a", "1")))])]);
    let (sha256, bytes) = &parcel.chunks[0];
    let file = house.chunk_file(&parcel, sha256);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let fault = house.registry.apply_received().unwrap_err();
    assert!(fault.is_ours(), "{fault}");
    assert_eq!(
        house.status(&lake, &parcel).await.status,
        StatusCode::ACCEPTED,
        "it waits, it is not refused"
    );
    assert_eq!(house.rows().keys().collect::<Vec<_>>(), ["person river a"]);
    std::fs::remove_dir(&file).unwrap();
    assert_eq!(house.put(&lake, &parcel.chunk_path(sha256), bytes).await, StatusCode::OK);
    house.registry.apply_received().unwrap();
    assert_eq!(house.rows().len(), 2);
}

#[tokio::test]
async fn one_submission_of_a_site_at_a_time() {
    let house = House::new();
    let mut kit = house.join("lake").await;
    let first = kit.parcel(&[("person", &[("a", Some(&row("a", "1")))])]);
    let other = kit.parcel(&[("person", &[("a", Some(&row("a", "2")))])]);
    house.put_all(&kit, &first).await;
    house.put_all(&kit, &other).await;
    assert_eq!(house.submit(&kit, &first).await.status, StatusCode::OK);
    let busy = house.submit(&kit, &other).await;
    assert_eq!(busy.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(busy.headers["retry-after"], "2");
    house.deliver(&mut kit, &first).await;
    assert_eq!(
        house.submit(&kit, &other).await.status,
        StatusCode::CONFLICT,
        "its place is taken and its files are gone"
    );
}
