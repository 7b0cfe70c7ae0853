//! The ways an EHR, a network or our own end fails; each is seen to have happened, and nothing is lost or landed twice.

use std::task::Poll;

use serde_json::{Value, json};

use super::ehr::{self, Answer, Ehr, gzip};
use super::*;
use headwater::pull::unfinished;

fn one_file() -> Value {
    json!({"output": [{"type": "Patient", "url": "{base}/files/1", "count": 2}]})
}

/// A file that is answered with `faults` in turn and then well is landed whole, once, and every fault has fired.
async fn check_recovers(faults: Vec<Answer>) {
    let ehr = Ehr::with_manifest(one_file()).await;
    let count = faults.len();
    ehr.on("GET /files/1", faults.into_iter().chain([Answer::new(200, TWO_PATIENTS).gzipped()]));
    let site = Site::new();
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(site.landed(&pulled), [("Patient".to_owned(), "resources", TWO_PATIENTS.to_owned())]);
    assert_eq!(ehr.asked("GET /files/1").len(), count + 1);
}

#[tokio::test]
async fn a_cut_download_is_fetched_again() {
    let good = || Answer::new(200, TWO_PATIENTS);
    check_recovers(vec![good().gzipped().shortened(1), good().gzipped().shortened(12)]).await;
    check_recovers(vec![good().cut_after(40), good().gzipped().cut_after(20)]).await;
    check_recovers(vec![good().shortened(5), good().shortened(TWO_PATIENTS.len() - 1)]).await;
}

#[tokio::test]
async fn a_busy_or_broken_server_is_asked_again() {
    let busy = Answer::new(429, "").with("retry-after", "7");
    check_recovers(vec![busy, Answer::new(503, ""), Answer::new(500, "<html>"), Answer::new(502, "")]).await;
}

#[tokio::test]
async fn a_sign_in_page_is_no_file() {
    check_recovers(vec![Answer::new(200, "<html>please sign in</html>\n")]).await;
}

#[tokio::test]
async fn a_download_that_only_drips_is_broken_off() {
    let ehr = Ehr::with_manifest(one_file()).await;
    let site = Site::new();
    let drip = Answer::new(200, TWO_PATIENTS).dripping(&site.clock);
    ehr.on("GET /files/1", [drip, Answer::new(200, TWO_PATIENTS)]);
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(ehr.asked("GET /files/1").len(), 2);
    assert!(site.elapsed() > Duration::from_secs(600), "it had its ten minutes");
}

#[tokio::test]
async fn a_wrong_count_is_fetched_again_and_then_taken_with_a_note() {
    check_recovers(vec![Answer::new(200, "{\"resourceType\":\"Patient\"}\n")]).await;

    let ehr = Ehr::with_manifest(one_file()).await;
    ehr.on("GET /files/1", [Answer::new(200, "{\"resourceType\":\"Patient\"}\n")]);
    let pulled = Site::new().pull(&ehr).await.unwrap();
    assert!(!pulled.complete);
    assert!(
        pulled.problems[0].contains("has 1 resources, the manifest says 2"),
        "{:?}",
        pulled.problems
    );
    assert_eq!(pulled.counts, [("Patient".to_owned(), 1)]);
    assert_eq!(ehr.asked("GET /files/1").len(), 2);
}

#[tokio::test]
async fn a_file_that_does_not_come_is_told_kept_open_and_landed_by_the_next_call() {
    let ehr = Ehr::with_manifest(one_file()).await;
    ehr.on("GET /files/1", [Answer::new(503, "")]);
    let site = Site::new();
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(!pulled.complete);
    assert_eq!(
        pulled.problems,
        ["file 1 of the export (resources, Patient): the server answers 503"]
    );
    assert_eq!(ehr.asked("GET /files/1").len(), 5, "as often as the limits say");
    assert!(ehr.asked("DELETE /poll/1").is_empty(), "the job is still needed");
    assert_eq!(unfinished(site.landing.database()).unwrap().map(|(run, _)| run), Some(1));

    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    let again = site.pull(&ehr).await.unwrap();
    assert!(again.complete, "{:?}", again.problems);
    assert_eq!(ehr.asked("GET /$export").len(), 1);
    assert_eq!(ehr.asked("DELETE /poll/1").len(), 1);
}

#[tokio::test]
async fn a_bomb_is_given_up_and_the_rest_landed() {
    let manifest = json!({"output": [{"type": "Patient", "url": "{base}/files/1"}, {"type": "Patient", "url": "{base}/files/2"}]});
    let ehr = Ehr::with_manifest(manifest).await;
    let bomb = gzip(&[&b"{\"a\":\""[..], &vec![b'x'; 8 << 20], b"\"}\n"].concat());
    ehr.on("GET /files/1", [Answer::new(200, bomb)]);
    ehr.on("GET /files/2", [Answer::new(200, TWO_PATIENTS)]);
    let pulled = Site::new().pull(&ehr).await.unwrap();
    assert!(!pulled.complete);
    assert!(pulled.problems[0].contains("200 times its size"), "{:?}", pulled.problems);
    assert_eq!(pulled.counts, [("Patient".to_owned(), 2)]);
    assert_eq!(ehr.asked("GET /files/1").len(), 1, "asking again would not help");
}

#[tokio::test]
async fn a_busy_export_is_asked_again_when_the_server_says() {
    let ehr = Ehr::with_manifest(json!({})).await;
    let accepted = Answer::new(202, "").with("content-location", "{base}/poll/1");
    let date = Answer::new(429, "")
        .with("retry-after", "Sun, 01 Mar 2026 03:00:00 GMT")
        .with("date", "Sun, 01 Mar 2026 02:50:00 GMT");
    let seconds = Answer::new(429, "").with("retry-after", "600");
    ehr.on("GET /$export", [seconds, date, accepted]);
    let site = Site::new();
    assert!(site.pull(&ehr).await.unwrap().complete);
    assert_eq!(ehr.asked("GET /$export").len(), 3);
    let waited = site.elapsed().as_secs();
    assert!((1200..1210).contains(&waited), "{waited} s");
}

#[tokio::test]
async fn a_server_that_never_gets_ready_is_left_for_later_and_then_resumed() {
    let ehr = Ehr::with_manifest(json!({})).await;
    let waiting = Answer::new(202, "").with("retry-after", "1000000000");
    ehr.on("GET /poll/1", [waiting]);
    let mut site = Site::new();
    site.limits.patience = Duration::from_secs(5 * 3600);
    let error = site.pull(&ehr).await.unwrap_err();
    assert!(matches!(error, PullError::NotReady { .. }) && error.is_transient(), "{error}");
    assert_eq!(ehr.asked("GET /poll/1").len(), 5, "once an hour, whatever it asks for");
    ehr.lists(json!({}));
    assert!(site.pull(&ehr).await.unwrap().complete);
    assert_eq!(ehr.asked("GET /$export").len(), 1, "the job was adopted");
    assert_eq!(site.elapsed().as_secs() / 3600, 5, "the wait it asked for outlasted the call");
}

#[tokio::test]
async fn a_refused_export_says_what_to_do_and_nothing_of_the_answer() {
    let body = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"forbidden","diagnostics":"CanaryName"}]}"#;
    for (status, hint) in [
        (403, "scope"),
        (404, "base address"),
        (501, "another level"),
        (400, "resource types"),
    ] {
        let ehr = Ehr::start().await;
        ehr.on("GET /$export", [Answer::new(status, body)]);
        let error = Site::new().pull(&ehr).await.unwrap_err();
        let text = words(&error);
        assert!(
            text.contains(&format!("answered {status} (forbidden)")) && text.contains(hint),
            "{text}"
        );
        assert!(!format!("{text}{error:?}").contains("CanaryName"));
        assert!(!error.is_transient());
        assert_eq!(ehr.asked("GET /$export").len(), 1);
    }
    let ehr = Ehr::start().await;
    ehr.on("GET /$export", [Answer::new(500, body)]);
    assert!(matches!(
        Site::new().pull(&ehr).await,
        Err(PullError::Unavailable { status: 500, .. })
    ));
    assert_eq!(ehr.asked("GET /$export").len(), 5, "a 500 for ever is not asked for ever");
}

#[tokio::test]
async fn a_failed_job_is_told_and_the_next_call_asks_anew() {
    let ehr = Ehr::with_manifest(json!({})).await;
    let failed = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"processing"}]}"#;
    let hiccup = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"timeout"}]}"#;
    ehr.on("GET /poll/1", [Answer::new(500, hiccup), Answer::new(500, failed)]);
    let site = Site::new();
    let error = site.pull(&ehr).await.unwrap_err();
    assert!(
        matches!(&error, PullError::JobFailed { status: 500, codes } if codes == " (processing)"),
        "{error}"
    );
    assert_eq!(ehr.asked("GET /poll/1").len(), 2, "the transient one was asked again");
    ehr.lists(json!({}));
    assert!(site.pull(&ehr).await.unwrap().complete);
    assert_eq!(ehr.asked("GET /$export").len(), 2);
}

#[tokio::test]
async fn expired_addresses_are_renewed_by_the_manifest_once() {
    for status in [403, 404, 410] {
        let ehr = Ehr::start().await;
        ehr.takes_export();
        let manifest = |file: u32| {
            let output = json!({"output": [{"type": "Patient", "url": format!("{{base}}/files/{file}")}]});
            Answer::new(200, ehr::full(output).to_string())
        };
        ehr.on("GET /poll/1", [manifest(1), manifest(2)]);
        ehr.on("GET /files/1", [Answer::new(status, "")]);
        ehr.on("GET /files/2", [Answer::new(200, TWO_PATIENTS)]);
        let pulled = Site::new().pull(&ehr).await.unwrap();
        assert!(pulled.complete, "{:?}", pulled.problems);
        assert_eq!((ehr.asked("GET /files/1").len(), ehr.asked("GET /poll/1").len()), (1, 2));

        ehr.on("GET /poll/1", [manifest(1)]);
        let pulled = Site::new().pull(&ehr).await.unwrap();
        assert!(!pulled.complete);
        assert!(pulled.problems[0].contains(&format!("answers {status}")), "{:?}", pulled.problems);
    }
}

#[tokio::test]
async fn a_token_that_ends_during_the_download_is_renewed() {
    let ehr = Ehr::with_manifest(one_file()).await;
    ehr.on("GET /files/1", [Answer::new(401, ""), Answer::new(200, TWO_PATIENTS)]);
    let site = Site::with_key(&ehr);
    assert!(site.pull(&ehr).await.unwrap().complete);
    let tokens: Vec<_> = ehr
        .asked("GET /files/1")
        .iter()
        .map(|seen| seen.header("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(tokens, ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn a_pull_cut_during_the_download_goes_on_with_what_is_missing() {
    let manifest = json!({"output": [
        {"type": "Patient", "url": "{base}/files/1", "count": 2},
        {"type": "Condition", "url": "{base}/files/2", "count": 1},
    ]});
    let ehr = Ehr::with_manifest(manifest).await;
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    ehr.on("GET /files/2", [Answer::hanging()]);
    let mut site = Site::new();
    site.limits.concurrency = 1;
    tokio::select! {
        result = site.pull(&ehr) => panic!("it ended: {result:?}"),
        () = ehr.hangs() => {}
    }
    assert_eq!(
        site.landing.segments(1).unwrap().len(),
        1,
        "the first file was landed before the cut"
    );
    ehr.on("GET /files/2", [Answer::new(200, "{\"resourceType\":\"Condition\"}\n")]);
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert_eq!(pulled.counts, [("Condition".to_owned(), 1), ("Patient".to_owned(), 2)]);
    assert_eq!((ehr.asked("GET /$export").len(), ehr.asked("GET /poll/1").len()), (1, 1));
    assert_eq!((ehr.asked("GET /files/1").len(), ehr.asked("GET /files/2").len()), (1, 2));
}

/// Lets `future` run for so many turns, then drops it.
async fn for_turns<T>(future: impl Future<Output = T>, turns: usize) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left = turns;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test]
async fn a_pull_cut_again_and_again_at_any_moment_ends_as_if_it_had_not_been() {
    let manifest = json!({
        "output": [
            {"type": "Patient", "url": "{base}/files/1", "count": 2},
            {"type": "Condition", "url": "{base}/files/2", "count": 1},
            {"type": "Patient", "url": "{base}/files/3"},
        ],
        "deleted": [{"type": "Bundle", "url": "{base}/files/4"}],
    });
    let mut cuts = 0;
    for turns in 1..12 {
        let ehr = Ehr::with_manifest(manifest.clone()).await;
        ehr.on(
            "GET /poll/1",
            [Answer::new(202, ""), Answer::new(200, ehr::full(manifest.clone()).to_string())],
        );
        ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS).gzipped()]);
        ehr.on("GET /files/2", [Answer::new(200, "{\"resourceType\":\"Condition\"}\n")]);
        ehr.on("GET /files/3", [Answer::new(200, TWO_PATIENTS)]);
        ehr.on("GET /files/4", [Answer::new(200, "{\"resourceType\":\"Bundle\"}\n")]);
        let site = Site::with_key(&ehr);
        let mut here = 0;
        let pulled = loop {
            // More turns after a while, or a cut before the first answer would be all that ever happens.
            match for_turns(site.pull(&ehr), turns + here / 5).await {
                Some(pulled) => break pulled.unwrap(),
                None => here += 1,
            }
        };
        cuts += here;
        assert!(pulled.complete, "{:?}", pulled.problems);
        // The two files of patients share a segment or not, as it came.
        let content: String = site.landed(&pulled).into_iter().map(|(.., content)| content).collect();
        let expected = [
            "{\"resourceType\":\"Bundle\"}\n",
            "{\"resourceType\":\"Condition\"}\n",
            TWO_PATIENTS,
            TWO_PATIENTS,
        ];
        assert_eq!(content, expected.concat(), "cut after {turns} turns");
    }
    assert!(cuts > 100, "{cuts} cuts");
}

#[tokio::test]
async fn a_pull_cut_while_waiting_adopts_its_job() {
    let ehr = Ehr::with_manifest(json!({})).await;
    ehr.on("GET /poll/1", [Answer::new(202, "").with("retry-after", "600"), Answer::hanging()]);
    let site = Site::new();
    tokio::select! {
        result = site.pull(&ehr) => panic!("it ended: {result:?}"),
        () = ehr.hangs() => {}
    }
    assert_eq!(unfinished(site.landing.database()).unwrap().map(|(run, _)| run), Some(1));
    ehr.lists(json!({}));
    assert!(site.pull(&ehr).await.unwrap().complete);
    assert_eq!((ehr.asked("GET /$export").len(), ehr.asked("GET /poll/1").len()), (1, 3));
}

#[tokio::test]
async fn a_lost_job_is_asked_for_anew_with_all_its_files() {
    let two = json!({"output": [{"type": "Patient", "url": "{base}/files/1"}, {"type": "Patient", "url": "{base}/files/2"}]});
    let ehr = Ehr::with_manifest(two.clone()).await;
    let listed = || Answer::new(200, ehr::full(two.clone()).to_string());
    ehr.on("GET /poll/1", [listed(), Answer::new(404, ""), listed()]);
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    ehr.on("GET /files/2", [Answer::new(410, ""), Answer::new(200, TWO_PATIENTS)]);
    let site = Site::new();
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert!(site.told().contains(&Progress::Restarted), "the fault fired");
    assert_eq!(
        pulled.counts,
        [("Patient".to_owned(), 4)],
        "the first job's segment is gone with it"
    );
    assert_eq!((ehr.asked("GET /$export").len(), ehr.asked("GET /files/1").len()), (2, 2));
    let files = std::fs::read_dir(site.dir.path().join("landing")).unwrap().count();
    assert_eq!(files, 2, "one segment and the lock");
}

#[tokio::test]
async fn a_job_lost_again_and_again_is_an_error() {
    let ehr = Ehr::start().await;
    ehr.takes_export();
    let error = Site::new().pull(&ehr).await.unwrap_err();
    assert!(matches!(error, PullError::LostAgain(3)), "{error}");
    assert_eq!(ehr.asked("GET /$export").len(), 3);
}

#[tokio::test]
async fn a_job_that_cannot_be_deleted_is_no_fault() {
    let ehr = Ehr::with_manifest(one_file()).await;
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    ehr.on("DELETE /poll/1", [Answer::new(500, "")]);
    assert!(Site::new().pull(&ehr).await.unwrap().complete);
    assert_eq!(ehr.asked("DELETE /poll/1").len(), 1);
}

#[tokio::test]
async fn a_status_address_elsewhere_sees_no_token() {
    let ehr = Ehr::start().await;
    let elsewhere = Ehr::start().await;
    let location = format!("{}poll/1", elsewhere.base());
    ehr.on("GET /$export", [Answer::new(202, "").with("content-location", location)]);
    let site = Site::with_key(&ehr);
    let error = site.pull(&ehr).await.unwrap_err();
    assert!(matches!(error, PullError::Breach(_)), "{error}");
    assert!(elsewhere.seen().is_empty());
}
