//! The ways a network fails between us and the EHR: what stands between them is in `wire`, and counts what it did.
//! After each fault the same bytes are landed as without it, once.

use serde_json::json;

use super::ehr::{Answer, Ehr};
use super::wire::{Authority, Count, Fault, Shown, listen, proxy, raw, wire};
use super::*;
use headwater::platform::http::{FailureKind, HttpError, Lookup, Url};

const NAME: &str = "ehr.hospital.test";

/// 64 KiB of patients.
fn patients() -> String {
    let line = |number: usize| format!("{{\"resourceType\":\"Patient\",\"id\":\"{number:0>30}\"}}\n");
    let text: String = (0..1024).map(line).collect();
    assert_eq!(text.len() & !0xffff, 0x1_0000 & !0xffff, "about 64 KiB: {}", text.len());
    text
}

/// An EHR whose file `/files/1` comes over a wire with `fault`.
async fn behind_wire(fault: Fault, file: Answer) -> (Ehr, Count) {
    let (listener, port) = listen().await;
    let (ehr, address) = Ehr::known_as(Some(format!("http://127.0.0.1:{port}"))).await;
    let fired = wire(listener, address, "GET /files/1 ", fault);
    ehr.takes_export();
    ehr.lists(json!({"output": [{"type": "Patient", "url": "{base}/files/1", "count": 1024}]}));
    ehr.on("DELETE /poll/1", [Answer::new(202, "")]);
    ehr.on("GET /files/1", [file]);
    (ehr, fired)
}

fn landed_is(site: &Site, pulled: &Pulled, expected: &str, case: &str) {
    assert!(pulled.complete, "{case}: {:?}", pulled.problems);
    assert_eq!(pulled.segments.len(), 1, "{case}");
    assert!(site.content(&pulled.segments[0]) == expected, "{case}: other bytes");
}

#[tokio::test]
async fn a_connection_reset_at_any_byte_of_a_file_changes_nothing_of_what_is_landed() {
    let text = patients();
    for gzipped in [false, true] {
        let mut digests = Vec::new();
        for after in [0, 1, 16, 100, 150, 200, 1000, 1023, 1024, 4096, 30_000, 50_000, 60_000, 64_000] {
            let file = Answer::new(200, text.clone());
            let file = if gzipped { file.gzipped() } else { file };
            // The compressed file is shorter; what is beyond its end is no fault.
            let after = if gzipped { after / 32 } else { after };
            let (ehr, fired) = behind_wire(Fault::Reset { after, times: 2 }, file).await;
            let site = Site::new();
            let pulled = site.pull(&ehr).await.unwrap();
            assert_eq!(fired.get(), 2, "reset twice after {after} bytes");
            landed_is(&site, &pulled, &text, &format!("reset after {after} bytes"));
            digests.push(pulled.segments[0].sha256.clone());
        }
        digests.dedup();
        assert_eq!(digests.len(), 1, "the same digest, wherever it broke");
    }
}

#[tokio::test]
async fn a_connection_that_stalls_is_given_up_after_the_read_time_limit_and_asked_again() {
    let text = patients();
    for after in [0, 10_000] {
        let (ehr, fired) = behind_wire(Fault::Stall { after, times: 1 }, Answer::new(200, text.clone())).await;
        let mut site = Site::new();
        let settings = HttpSettings {
            read_timeout: Duration::from_millis(200),
            ..HttpSettings::default()
        };
        site.http = http::client(&settings).unwrap();
        let pulled = site.pull(&ehr).await.unwrap();
        assert_eq!(fired.get(), 1);
        landed_is(&site, &pulled, &text, "stalled");
        assert_eq!(ehr.asked("GET /files/1").len(), 2);
    }
}

#[tokio::test]
async fn a_line_of_a_kib_a_second_is_left_at_the_deadline_and_the_next_run_goes_on() {
    let text = patients();
    let site_clock = Site::new();
    let crawl = Fault::Crawl(site_clock.clock.clone());
    let (ehr, fired) = behind_wire(crawl, Answer::new(200, text.clone())).await;
    let mut site = site_clock;
    site.limits.deadline = Some("2026-03-01T02:00:30Z".parse().unwrap());
    let error = site.pull(&ehr).await.unwrap_err();
    assert!(matches!(error, PullError::OutOfTime { .. }) && error.is_transient(), "{error}");
    assert!((20..=40).contains(&fired.get()), "it crawled for {} s", fired.get());
    assert!(site.landing.segments(1).unwrap().is_empty(), "half a file is no file");

    site.limits.deadline = None;
    let pulled = site.pull(&ehr).await.unwrap();
    landed_is(&site, &pulled, &text, "after the deadline");
    assert_eq!(ehr.asked("GET /$export").len(), 1, "the job went on");
}

/// An EHR by name, behind a certificate of this kind for these names; the client that trusts its authority, or not.
async fn behind_tls(names: &[&str], shown: Shown, trusts: bool) -> (Ehr, Site, Url, Count) {
    let authority = Authority::new();
    let (listener, port) = listen().await;
    let base = format!("https://{NAME}:{port}");
    let (ehr, address) = Ehr::known_as(Some(base.clone())).await;
    let connections = authority.front(listener, names, shown, address);
    ehr.takes_export();
    ehr.lists(json!({"output": [{"type": "Patient", "url": "{base}/files/1"}]}));
    ehr.on("DELETE /poll/1", [Answer::new(202, "")]);
    ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    let mut site = Site::with_key(&ehr);
    let ca = site.dir.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let base: Url = base.parse().unwrap();
    let settings = HttpSettings {
        ca_file: trusts.then_some(ca),
        lookup: Some(Lookup::new(|_| vec!["127.0.0.1".parse().unwrap()])),
        ..HttpSettings::default()
    };
    site.http = http::client(&settings.knowing([&base])).unwrap();
    (ehr, site, base, connections)
}

fn kind_of(error: &PullError) -> Option<FailureKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return error.kind();
        }
        cause = error.source();
    }
    None
}

async fn pull_from(site: &Site, base: &Url) -> Result<Pulled, PullError> {
    site.pull_from(Source::Ehr(EhrSettings::new(base.clone(), "gateway-1")), 1, None)
        .await
}

#[tokio::test]
async fn a_hospitals_own_authority_is_trusted_when_its_file_is_named_and_only_then() {
    let (ehr, site, base, connections) = behind_tls(&[NAME], Shown::Good, true).await;
    let pulled = pull_from(&site, &base).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert!(connections.get() > 0 && !ehr.asked("POST /token").is_empty());
}

async fn check_tls(names: &[&str], shown: Shown, trusts: bool, expected: FailureKind, words_of: &str) {
    let (ehr, site, base, connections) = behind_tls(names, shown, trusts).await;
    let error = pull_from(&site, &base).await.unwrap_err();
    assert_eq!(kind_of(&error), Some(expected), "{}", words(&error));
    assert!(words(&error).contains(words_of), "{}", words(&error));
    assert!(!error.is_transient(), "no later run mends it");
    assert_eq!(connections.get(), 1, "the fault fired, and once is enough");
    assert!(ehr.seen().is_empty(), "nothing was said to it");
}

#[tokio::test]
async fn certificates_that_are_not_right_are_refused_and_told_apart() {
    check_tls(&[NAME], Shown::Good, false, FailureKind::TlsUntrusted, "ca_file").await;
    check_tls(&[NAME], Shown::SelfSigned, true, FailureKind::TlsUntrusted, "not trusted").await;
    check_tls(&[NAME], Shown::Expired, true, FailureKind::TlsExpired, "expired").await;
    check_tls(&[NAME], Shown::NotYet, true, FailureKind::TlsExpired, "not valid yet").await;
    check_tls(
        &["other.hospital.test"],
        Shown::Good,
        true,
        FailureKind::TlsName,
        "another host name",
    )
    .await;
}

/// A ServerHello that chooses TLS 1.1; an alert that says so; a port that speaks no TLS.
const OLD_HELLO: &[u8] = b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02\
    0123456789abcdef0123456789abcdef\x00\x00\x2f\x00";
const OLD_ALERT: &[u8] = b"\x15\x03\x02\x00\x02\x02\x46";
const NO_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_server_without_tls_of_today_is_refused() {
    for bytes in [OLD_HELLO, OLD_ALERT, NO_TLS] {
        let (port, connections) = raw(bytes).await;
        let base: Url = format!("https://127.0.0.1:{port}").parse().unwrap();
        let error = pull_from(&Site::new(), &base).await.unwrap_err();
        assert_eq!(kind_of(&error), Some(FailureKind::TlsProtocol), "{}", words(&error));
        assert!(words(&error).contains("TLS 1.2") && !error.is_transient(), "{}", words(&error));
        assert_eq!(connections.get(), 1);
    }
}

#[tokio::test]
async fn a_proxy_is_used_for_everything_and_looks_names_up_itself() {
    let (ehr, mut site, base, _) = behind_tls(&[NAME], Shown::Good, true).await;
    let (address, tunnels) = proxy(None).await;
    let asked = std::sync::Arc::new(Mutex::new(Vec::new()));
    let told = asked.clone();
    let settings = HttpSettings {
        ca_file: Some(site.dir.path().join("ca.pem")),
        proxy: Some(address),
        lookup: Some(Lookup::new(move |name| {
            told.lock().unwrap().push(name.to_owned());
            Vec::new()
        })),
        ..HttpSettings::default()
    };
    site.http = http::client(&settings.knowing([&base])).unwrap();
    let pulled = pull_from(&site, &base).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    assert!(tunnels.get() >= 1 && !ehr.asked("GET /files/1").is_empty());
    assert!(asked.lock().unwrap().is_empty(), "nothing was dialled by name: {asked:?}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_as_the_cause() {
    for refusal in [
        "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
    ] {
        let (ehr, mut site, base, _) = behind_tls(&[NAME], Shown::Good, true).await;
        let (address, tunnels) = proxy(Some(refusal)).await;
        let settings = HttpSettings {
            proxy: Some(address),
            ..HttpSettings::default()
        };
        site.http = http::client(&settings.knowing([&base])).unwrap();
        let error = pull_from(&site, &base).await.unwrap_err();
        assert_eq!(kind_of(&error), Some(FailureKind::Proxy), "{}", words(&error));
        assert!(tunnels.get() > 0 && ehr.seen().is_empty());
    }
}

#[tokio::test]
async fn a_name_that_is_not_found_for_a_while_is_waited_for_and_a_name_that_moves_is_followed() {
    let (ehr, mut site, base, connections) = behind_tls(&[NAME], Shown::Good, true).await;
    let turns = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = turns.clone();
    let settings = HttpSettings {
        ca_file: Some(site.dir.path().join("ca.pem")),
        lookup: Some(Lookup::new(move |_| {
            match counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 | 1 => Vec::new(),
                _ => vec!["127.0.0.1".parse().unwrap()],
            }
        })),
        ..HttpSettings::default()
    };
    site.http = http::client(&settings.knowing([&base])).unwrap();
    let pulled = pull_from(&site, &base).await.unwrap();
    assert!(pulled.complete, "{:?}", pulled.problems);
    let looked_up = turns.load(std::sync::atomic::Ordering::SeqCst);
    assert!(looked_up > 2, "it failed twice");
    assert!(site.elapsed() > Duration::from_secs(2), "and was waited for");
    assert_eq!(connections.get(), looked_up - 2, "each connection keeps the address it was made to");
    assert!(!ehr.asked("GET /files/1").is_empty());
}

#[tokio::test]
async fn a_name_that_is_never_found_is_told() {
    let (_, mut site, base, connections) = behind_tls(&[NAME], Shown::Good, true).await;
    let settings = HttpSettings {
        lookup: Some(Lookup::new(|_| Vec::new())),
        ..HttpSettings::default()
    };
    site.http = http::client(&settings.knowing([&base])).unwrap();
    let error = pull_from(&site, &base).await.unwrap_err();
    assert_eq!(kind_of(&error), Some(FailureKind::Dns), "{}", words(&error));
    assert!(
        error.is_transient() && words(&error).contains("not known here"),
        "{}",
        words(&error)
    );
    assert_eq!(connections.get(), 0);
}
