//! An EHR, a network or a file that means harm. T1 to T14 and T24 are the cases of public advisories against FHIR servers and
//! clients. An error is not enough: no other host may have seen a token or an assertion, or been dialled where it must not be.

use serde_json::json;

use super::ehr::{Answer, Ehr, gzip};
use super::wire::{Authority, Count, Shown, listen};
use super::*;
use headwater::platform::http::{KnownHost, Lookup, Network, Url, WebOrigin};
use headwater::pull::{Breach, Method, Vendor};

const NAME: &str = "ehr.hospital.test";
/// Names that are not the EHR's, however they look.
const FOREIGN: &[&str] = &[
    "evil.test",
    "ehr.hospital.test.evil.test",
    "ehr.hospital.testx",
    "sub.ehr.hospital.test",
    "hospital.test",
    "ehr-hospital.test",
    "ehr.hospital.test.",
    "xn--hr-mia.hospital.test",
    "localhost",
    "127.0.0.1",
    "0.0.0.0",
    "127.0.0.2",
];

/// An EHR that is known by a name, behind TLS; and a stranger that answers by TLS to every foreign name and to addresses,
/// would give a token to anyone, and keeps all it hears.
struct Scene {
    ehr: Ehr,
    site: Site,
    base: Url,
    stranger: Ehr,
    port: u16,
    dialled: Count,
}

impl Scene {
    /// `watched`: the client knows its hosts, as a site's does; without, only the rule on addresses stands in the way.
    async fn new(watched: bool) -> Self {
        let authority = Authority::new();
        let (listener, own_port) = listen().await;
        let base = format!("https://{NAME}:{own_port}");
        let (ehr, address) = Ehr::known_as(Some(base.clone())).await;
        authority.front(listener, &[NAME], Shown::Good, address);
        ehr.takes_export();
        ehr.on("DELETE /poll/1", [Answer::new(202, "")]);

        let (listener, port) = listen().await;
        let (stranger, address) = Ehr::known_as(None).await;
        let dialled = authority.front(listener, FOREIGN, Shown::Good, address);
        stranger.on(
            "POST /token",
            [Answer::new(
                200,
                r#"{"access_token":"theirs","token_type":"bearer","expires_in":300}"#,
            )],
        );
        stranger.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);

        let mut site = Site::with_key(&ehr);
        let ca = site.dir.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let base: Url = base.parse().unwrap();
        let mut settings = HttpSettings {
            ca_file: Some(ca),
            lookup: Some(Lookup::new(|_| vec!["127.0.0.1".parse().unwrap()])),
            ..HttpSettings::default()
        };
        if watched {
            settings = settings.knowing([&base]);
        }
        site.http = http::client(&settings).unwrap();
        Self {
            ehr,
            site,
            base,
            stranger,
            port,
            dialled,
        }
    }

    fn settings(&self) -> EhrSettings {
        let mut settings = EhrSettings::new(self.base.clone(), "gateway-1");
        settings.method = Method::Bulk;
        settings
    }

    async fn pull(&self, run: i64) -> Result<Pulled, PullError> {
        self.site.pull_from(Source::Ehr(self.settings()), run, None).await
    }

    /// Nobody but the EHR saw a token or an assertion.
    fn nothing_leaked(&self, case: &str) {
        for seen in self.stranger.seen() {
            assert_eq!(seen.header("authorization"), None, "{case}: {}", seen.what);
            assert!(!seen.what.starts_with("POST"), "{case}: an assertion went to {}", seen.what);
        }
    }

    fn nobody_dialled(&self, case: &str) {
        assert_eq!(self.dialled.get(), 0, "{case}");
        assert!(self.stranger.seen().is_empty(), "{case}");
    }

    fn foreign(&self, host: &str) -> String {
        format!("https://{host}:{}/files/1", self.port)
    }

    /// Lists one file at `url` and pulls; the EHR was asked for the list, so the hostile address was read.
    async fn pull_listed(&self, url: &str, needs_token: bool) -> Result<Pulled, PullError> {
        let run = i64::try_from(self.ehr.asked("GET /poll/1").len()).unwrap() + 1;
        let output = json!([{"type": "Patient", "url": url}]);
        self.ehr.lists(json!({"requiresAccessToken": needs_token, "output": output}));
        let pulled = self.pull(run).await;
        assert!(!self.ehr.asked("GET /poll/1").is_empty(), "the fault fired");
        pulled
    }

    async fn check_file_refused(&self, url: &str) {
        for needs_token in [true, false] {
            let pulled = self.pull_listed(url, needs_token).await;
            assert!(!pulled.is_ok_and(|pulled| pulled.complete), "{url}");
        }
    }
}

/// Forms of an address that are meant to be taken for the EHR's, or for a harmless one. `{p}` is the stranger's port.
const FORMS: &[&str] = &[
    "https://ehr.hospital.test.evil.test:{p}/files/1",
    "https://ehr.hospital.test@evil.test:{p}/files/1",
    "https://ehr.hospital.test:443@evil.test:{p}/files/1",
    "https://ehr.hospital.test%40evil.test:{p}/files/1",
    "https://evil.test:{p}/ehr.hospital.test/files/1",
    "https://evil.test:{p}?ehr.hospital.test",
    "https://evil.test:{p}#ehr.hospital.test",
    "https://evil.test:{p}\\@ehr.hospital.test/files/1",
    "https:\\\\evil.test:{p}\\files\\1",
    "https:/\\evil.test:{p}/files/1",
    "https:evil.test:{p}/files/1",
    "//evil.test:{p}/files/1",
    "/\\evil.test:{p}/files/1",
    "\\\\evil.test:{p}/files/1",
    "https://EVIL.TEST:{p}/files/1",
    "https://ehr.hospital.test.:{p}/files/1",
    "https://ehr.hospital.testx:{p}/files/1",
    "https://sub.ehr.hospital.test:{p}/files/1",
    "https://hospital.test:{p}/files/1",
    "https://ehr-hospital.test:{p}/files/1",
    "https://ehr.hospital.test:{p}/files/1",
    "https://\u{0435}hr.hospital.test:{p}/files/1",
    "https://ehr\u{3002}hospital\u{3002}test\u{3002}evil\u{3002}test:{p}/files/1",
    "https://xn--hr-mia.hospital.test:{p}/files/1",
    "https://ehr.hospital.test\r\n.evil.test:{p}/files/1",
    "https://ehr.hospital.test\t.evil.test:{p}/files/1",
    "https://evil.test:{p}/files/1%0d%0aAuthorization:%20Bearer%20x",
    "http://ehr.hospital.test:{p}/files/1",
    "http://evil.test:{p}/files/1",
    "https://127.0.0.1:{p}/files/1",
    "https://127.1:{p}/files/1",
    "https://0x7f.1:{p}/files/1",
    "https://0177.0.0.1:{p}/files/1",
    "https://2130706433:{p}/files/1",
    "https://127.0.0.2:{p}/files/1",
    "https://localhost:{p}/files/1",
    "https://localhost.:{p}/files/1",
    "https://x.localhost:{p}/files/1",
    "https://0:{p}/files/1",
    "https://0.0.0.0:{p}/files/1",
    "https://[::1]:{p}/files/1",
    "https://[::]:{p}/files/1",
    "https://[::ffff:127.0.0.1]:{p}/files/1",
    "https://[::ffff:7f00:1]:{p}/files/1",
    "https://[::ffff:169.254.169.254]/latest/meta-data",
    "https://[64:ff9b::7f00:1]:{p}/files/1",
    "https://169.254.169.254/latest/meta-data",
    "https://0.1.2.3:{p}/files/1",
    "https://100.64.0.1:{p}/files/1",
    "https://224.0.0.1:{p}/files/1",
    "https://240.0.0.1:{p}/files/1",
    "https://255.255.255.255:{p}/files/1",
    "https://10.0.0.1:{p}/files/1",
    "https://user:pass@ehr.hospital.test:{p}/files/1",
    "ftp://evil.test:{p}/files/1",
    "file:///etc/passwd",
    "data:application/fhir+ndjson,%7B%7D",
    "javascript:alert(1)",
];

#[tokio::test]
async fn no_form_of_a_file_address_gets_the_token_to_a_stranger() {
    assert!(FORMS.len() >= 40);
    // Unwatched, so that what holds here is the rule on addresses alone.
    let scene = Scene::new(false).await;
    for form in FORMS {
        let url = form.replace("{p}", &scene.port.to_string());
        let pulled = scene.pull_listed(&url, true).await;
        assert!(!pulled.is_ok_and(|pulled| pulled.complete), "{form}");
        scene.nobody_dialled(form);
    }
    assert!(scene.ehr.asked("GET /poll/1").len() >= FORMS.len(), "each was listed, and read");
}

#[tokio::test]
async fn no_form_of_a_redirect_takes_the_token_along() {
    let scene = Scene::new(false).await;
    let statuses = [301, 302, 303, 307, 308];
    for (number, form) in FORMS.iter().enumerate() {
        let url = form.replace("{p}", &scene.port.to_string());
        // A header cannot hold what a JSON string can; an EHR that sends such a thing sends it percent-encoded or not at all.
        let Ok(_) = reqwest::header::HeaderValue::from_str(&url) else {
            continue;
        };
        let away = Answer::new(statuses[number % statuses.len()], "").with("location", url);
        scene.ehr.on("GET /files/9", [away]);
        let _ = scene.pull_listed(&format!("{}files/9", scene.base), true).await;
        scene.nothing_leaked(form);
    }
    let asked = scene.ehr.asked("GET /files/9");
    assert!(asked.len() > 40, "{} redirects were sent", asked.len());
    assert!(
        asked.iter().all(|seen| seen.header("authorization").is_some()),
        "the EHR itself had the token"
    );
    assert!(!scene.stranger.seen().is_empty(), "some redirects are followed, without the token");
}

#[tokio::test]
async fn no_form_of_a_status_address_or_next_link_takes_the_token_along() {
    let scene = Scene::new(false).await;
    for (number, form) in FORMS.iter().enumerate() {
        let url = form.replace("{p}", &scene.port.to_string());
        let run = i64::try_from(number).unwrap() + 1;
        let next = json!([{"relation": "next", "url": url}]);
        scene.ehr.lists(json!({"link": next}));
        assert!(scene.pull(run).await.is_err(), "{form}");
        scene.nobody_dialled(form);
        if reqwest::header::HeaderValue::from_str(&url).is_ok() {
            scene.ehr.on("GET /$export", [Answer::new(202, "").with("content-location", url)]);
            assert!(scene.pull(run + 1000).await.is_err(), "{form}");
            scene.nobody_dialled(form);
            scene.ehr.takes_export();
        }
    }
}

#[tokio::test]
async fn t1_a_hostile_smart_configuration_gets_no_assertion() {
    let scene = Scene::new(false).await;
    for form in FORMS {
        let endpoint = form.replace("{p}", &scene.port.to_string()).replace("/files/1", "/token");
        let configuration = json!({"token_endpoint": endpoint}).to_string();
        scene
            .ehr
            .on("GET /.well-known/smart-configuration", [Answer::new(200, configuration)]);
        let error = scene.pull(1).await.unwrap_err();
        assert!(!error.is_transient(), "{form}: {error}");
        scene.nobody_dialled(form);
    }
    assert!(scene.ehr.asked("GET /$export").is_empty(), "without a token nothing is asked");
    assert!(scene.ehr.asked("GET /.well-known/smart-configuration").len() >= FORMS.len());
}

#[tokio::test]
async fn t2_what_was_fetched_never_becomes_a_local_file() {
    let scene = Scene::new(true).await;
    let secret = scene.site.dir.path().join("secret.ndjson");
    std::fs::write(&secret, TWO_PATIENTS).unwrap();
    for url in [
        format!("file://{}", secret.display()),
        secret.display().to_string(),
        format!("file:{}", secret.display()),
    ] {
        let pulled = scene.pull_listed(&url, false).await;
        assert!(pulled.is_err() || pulled.unwrap().counts.is_empty(), "{url}");
    }
    scene.nobody_dialled("t2");
}

#[tokio::test]
async fn t3_a_host_that_begins_like_an_allowed_one_is_another() {
    let scene = Scene::new(false).await;
    let mut settings = scene.settings();
    settings.token_origins = vec![WebOrigin::parse("https://files.hospital.test").unwrap()];
    for host in ["files.hospital.test.evil.test", "ehr.hospital.test.evil.test", "ehr.hospital.testx"] {
        scene
            .ehr
            .lists(json!({"output": [{"type": "Patient", "url": scene.foreign(host)}]}));
        let run = i64::try_from(scene.ehr.asked("GET /poll/1").len()).unwrap() + 1;
        let pulled = scene.site.pull_from(Source::Ehr(settings.clone()), run, None).await.unwrap();
        assert!(pulled.problems[0].contains("token"), "{:?}", pulled.problems);
        scene.nobody_dialled(host);
    }
}

#[tokio::test]
async fn t4_a_host_before_an_at_sign_is_a_user_name() {
    let scene = Scene::new(true).await;
    scene
        .check_file_refused(&format!("https://{NAME}@evil.test:{}/files/1", scene.port))
        .await;
    scene
        .check_file_refused(&format!("https://x@{NAME}:{}/files/1", scene.base.port().unwrap()))
        .await;
    scene.nobody_dialled("t4");
}

#[tokio::test]
async fn t5_the_case_of_a_host_makes_no_other_host_and_opens_none() {
    let scene = Scene::new(true).await;
    scene.ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    let own = format!("HTTPS://EHR.Hospital.TEST:{}/files/1", scene.base.port().unwrap());
    assert!(scene.pull_listed(&own, true).await.unwrap().complete);
    assert!(scene.ehr.asked("GET /files/1")[0].header("authorization").is_some());
    scene.check_file_refused(&scene.foreign("EVIL.test")).await;
    scene.nobody_dialled("t5");
}

#[tokio::test]
async fn t6_special_addresses_are_refused_as_numbers_and_as_what_a_name_leads_to() {
    let scene = Scene::new(true).await;
    for address in [
        "0.0.0.0",
        "0.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ] {
        scene.check_file_refused(&scene.foreign(address)).await;
    }
    // Every name leads to 127.0.0.1 here, and `evil.test` is none that the site knows.
    let pulled = scene.pull_listed(&scene.foreign("evil.test"), false).await.unwrap();
    assert!(pulled.problems[0].contains("private network"), "{:?}", pulled.problems);
    scene.nobody_dialled("t6");
}

#[tokio::test]
async fn t7_an_ipv4_address_within_an_ipv6_one_is_no_hiding_place() {
    let scene = Scene::new(true).await;
    for address in [
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::7f00:1]",
        "[::1]",
    ] {
        scene.check_file_refused(&scene.foreign(address)).await;
    }
    scene.nobody_dialled("t7");
}

/// A scene whose names lead where `lookup` says.
async fn looked_up(known: Vec<KnownHost>, lookup: impl Fn(&str) -> Vec<std::net::IpAddr> + Send + Sync + 'static) -> Scene {
    let mut scene = Scene::new(true).await;
    let settings = HttpSettings {
        ca_file: Some(scene.site.dir.path().join("ca.pem")),
        known_hosts: Some(known),
        lookup: Some(Lookup::new(lookup)),
        ..HttpSettings::default()
    };
    scene.site.http = http::client(&settings).unwrap();
    scene
}

fn known(expected: &[&str]) -> Vec<KnownHost> {
    vec![KnownHost {
        name: NAME.to_owned(),
        expected: expected.iter().map(|network| Network::parse(network).unwrap()).collect(),
    }]
}

#[tokio::test]
async fn t8_a_name_without_an_address_is_refused_and_not_let_through() {
    let scene = looked_up(known(&[]), |name| {
        if name == NAME {
            vec!["127.0.0.1".parse().unwrap()]
        } else {
            Vec::new()
        }
    })
    .await;
    let pulled = scene.pull_listed(&scene.foreign("evil.test"), false).await.unwrap();
    assert!(pulled.problems[0].contains("not known here"), "{:?}", pulled.problems);
    scene.nobody_dialled("t8");
}

#[tokio::test]
async fn t9_an_empty_list_of_hosts_allows_none() {
    // No host is known: not even the EHR's own name may lead into a private network.
    let scene = looked_up(Vec::new(), |_| vec!["127.0.0.1".parse().unwrap()]).await;
    let error = scene.pull(1).await.unwrap_err();
    assert!(
        words(&error).contains("private network") && !error.is_transient(),
        "{}",
        words(&error)
    );
    assert!(scene.ehr.seen().is_empty());
    // No origin beside the base's may have the token: an empty list is the base alone.
    let scene = Scene::new(true).await;
    assert!(scene.settings().token_origins.is_empty());
    scene.check_file_refused(&scene.foreign("evil.test")).await;
    scene.nobody_dialled("t9");
}

#[tokio::test]
async fn t10_a_token_endpoint_is_held_to_the_rule_also_when_it_is_configured_or_redirects() {
    let scene = Scene::new(true).await;
    let mut settings = scene.settings();
    settings.token_url = Some(format!("https://evil.test:{}/token", scene.port).parse().unwrap());
    let error = scene.site.pull_from(Source::Ehr(settings), 1, None).await.unwrap_err();
    assert!(words(&error).contains("neither on the server's own origin"), "{}", words(&error));
    let away = Answer::new(307, "").with("location", format!("https://evil.test:{}/token", scene.port));
    scene.ehr.on("POST /token", [away]);
    let error = scene.pull(2).await.unwrap_err();
    assert!(words(&error).contains("redirects"), "{}", words(&error));
    assert_eq!(scene.ehr.asked("POST /token").len(), 1, "the fault fired");
    scene.nobody_dialled("t10");
}

#[tokio::test]
async fn t11_names_of_files_are_ours_whatever_the_manifest_calls_them() {
    let scene = Scene::new(true).await;
    scene.ehr.on("GET /files/..%2f..%2fid", [Answer::new(200, TWO_PATIENTS)]);
    let long = "x".repeat(4096);
    for name in ["../../x", "/etc/cron.d/x", "..%2fx", "CON", "a\u{0}b", long.as_str()] {
        let run = i64::try_from(scene.ehr.asked("GET /poll/1").len()).unwrap() + 1;
        let url = format!("{}files/..%2f..%2fid", scene.base);
        scene.ehr.lists(json!({"output": [{"type": name, "url": url}]}));
        let _ = scene.pull(run).await;
    }
    assert!(!scene.ehr.asked("GET /poll/1").is_empty(), "the fault fired");
    let beside: Vec<_> = std::fs::read_dir(scene.site.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    for name in &beside {
        let name = name.to_string_lossy();
        assert!(["ca.pem", "landing"].contains(&&*name) || name.starts_with("site.db"), "{name}");
    }
    for entry in std::fs::read_dir(scene.site.dir.path().join("landing")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn t12_a_token_for_more_than_was_asked_is_not_used_unless_that_is_allowed() {
    let scene = Scene::new(true).await;
    scene.ehr.lists(json!({}));
    let granted = |scope: &str| {
        let body = json!({"access_token": "wide", "token_type": "bearer", "expires_in": 300, "scope": scope});
        [Answer::new(200, body.to_string())]
    };
    let mut settings = scene.settings();
    settings.types = vec!["Patient".to_owned(), "Condition".to_owned()];
    for scope in [
        "system/*.*",
        "system/*.rs",
        "system/Patient.cruds system/Condition.rs",
        "system/Patient.rs user/*.rs",
    ] {
        scene.ehr.on("POST /token", granted(scope));
        let error = scene.site.pull_from(Source::Ehr(settings.clone()), 1, None).await.unwrap_err();
        assert!(
            matches!(error, PullError::WiderScope { .. }) && !error.is_transient(),
            "{scope}: {error}"
        );
    }
    assert!(scene.ehr.asked("GET /$export").is_empty(), "the wide token was never used");
    settings.accept_wider_scope = true;
    let pulled = scene.site.pull_from(Source::Ehr(settings), 1, None).await;
    assert!(pulled.is_ok(), "{pulled:?}");
    assert_eq!(scene.ehr.asked("GET /$export")[0].header("authorization"), Some("Bearer wide"));
}

#[tokio::test]
async fn t12_types_that_were_not_granted_are_told_and_not_proven() {
    let scene = Scene::new(true).await;
    scene.ehr.lists(json!({"output": [{"type": "Patient", "url": "{base}/files/1"}]}));
    scene.ehr.on("GET /files/1", [Answer::new(200, TWO_PATIENTS)]);
    let body = json!({"access_token": "narrow", "token_type": "bearer", "expires_in": 300, "scope": "system/Patient.rs"});
    scene.ehr.on("POST /token", [Answer::new(200, body.to_string())]);
    let mut settings = scene.settings();
    settings.types = vec!["Patient".to_owned(), "Condition".to_owned()];
    let source = Source::Ehr(settings);
    for _ in 0..2 {
        let pulled = scene.site.pull_from(source.clone(), 1, None).await.unwrap();
        assert!(!pulled.complete);
        assert!(
            pulled.problems.iter().any(|text| text.contains("Condition: not granted")),
            "{:?}",
            pulled.problems
        );
        assert_eq!(pulled.types["Condition"].reached, None);
        assert!(pulled.types["Patient"].whole, "what was granted is all there");
    }
}

#[tokio::test]
async fn t13_a_redirect_to_a_host_that_looks_like_ours_carries_no_token() {
    let scene = Scene::new(false).await;
    let away = Answer::new(302, "").with("location", scene.foreign("ehr.hospital.test.evil.test"));
    scene.ehr.on("GET /files/9", [away]);
    let pulled = scene.pull_listed(&format!("{}files/9", scene.base), true).await.unwrap();
    assert!(pulled.complete, "storage elsewhere is no fault: {:?}", pulled.problems);
    assert_eq!(scene.stranger.seen().len(), 1, "the redirect was followed");
    scene.nothing_leaked("t13");

    // The same, with a client that knows its hosts: a stranger's name that leads inward is not even dialled.
    let scene = Scene::new(true).await;
    let away = Answer::new(302, "").with("location", scene.foreign("ehr.hospital.test.evil.test"));
    scene.ehr.on("GET /files/9", [away]);
    assert!(!scene.pull_listed(&format!("{}files/9", scene.base), true).await.unwrap().complete);
    assert_eq!(
        scene.ehr.asked("GET /files/9").len(),
        1,
        "the fault fired, and asking again would not help"
    );
    scene.nobody_dialled("t13");
}

/// The registry's side fetches nothing at all: it has no client to do it with.
#[test]
fn t14_no_endpoint_fetches_an_address_its_caller_names() {
    fn texts(path: &Path, out: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                texts(&path, out);
            } else {
                out.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    texts(&src, &mut all);
    let serves = |path: &str| {
        ["receive", "registry", "console", "audit"]
            .iter()
            .any(|part| path.contains(&format!("/src/{part}")))
    };
    let serving: Vec<_> = all.iter().filter(|(path, _)| serves(path)).collect();
    assert!(serving.len() > 20, "the parts that serve are still called so");
    for (path, text) in serving {
        for word in ["reqwest::Client", "http::client", "http::Client", "TcpStream"] {
            assert!(!text.contains(word), "{path} holds `{word}`");
        }
    }
}

#[tokio::test]
async fn t24_a_manifest_that_names_another_host_gets_it_no_token() {
    let scene = Scene::new(false).await;
    let pulled = scene.pull_listed(&scene.foreign("evil.test"), true).await.unwrap();
    assert!(pulled.problems[0].contains("wants our token sent to"), "{:?}", pulled.problems);
    scene.nobody_dialled("t24");
    let pulled = scene.pull_listed(&scene.foreign("evil.test"), false).await.unwrap();
    assert!(pulled.complete, "files that want no token may lie anywhere: {:?}", pulled.problems);
    assert_eq!(scene.stranger.seen().len(), 1);
    scene.nothing_leaked("t24");
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_later_is_refused_when_it_is_dialled() {
    // The EHR's name is expected in one place, and after the first connections it leads to another (DNS rebinding).
    let turns = std::sync::atomic::AtomicUsize::new(0);
    let scene = looked_up(known(&["127.0.0.1/32"]), move |_| {
        let turn = turns.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        vec![if turn < 2 { "127.0.0.1" } else { "127.0.0.2" }.parse().unwrap()]
    })
    .await;
    // Each answer ends its connection, so each request looks the name up.
    let closing = Answer::new(200, json!({"token_endpoint": format!("{}token", scene.base)}).to_string()).with("connection", "close");
    scene.ehr.on("GET /.well-known/smart-configuration", [closing]);
    let token = json!({"access_token": "one", "token_type": "bearer", "expires_in": 300, "scope": "system/*.rs"});
    scene
        .ehr
        .on("POST /token", [Answer::new(200, token.to_string()).with("connection", "close")]);
    let error = scene.pull(1).await.unwrap_err();
    assert!(matches!(error, PullError::Breach(Breach::Inward(_))), "{}", words(&error));
    assert_eq!(scene.ehr.asked("POST /token").len(), 1, "it led to the right place at first");
    assert!(scene.ehr.asked("GET /$export").is_empty());
}

#[tokio::test]
async fn what_is_sent_by_post_is_not_sent_on_to_a_stranger() {
    let scene = Scene::new(false).await;
    let away = |status| Answer::new(status, "").with("location", scene.foreign("evil.test"));
    let mut settings = scene.settings();
    settings.vendor = Vendor::parse("post", "[kick_off]\nvalue = \"post\"\nsource = \"this test\"").unwrap();
    for status in [307, 308] {
        scene.ehr.on("POST /$export", [away(status)]);
        let source = Source::Ehr(settings.clone());
        let error = scene.site.pull_from(source, i64::from(status), None).await.unwrap_err();
        assert!(matches!(error, PullError::Breach(Breach::BodyElsewhere(_))), "{}", words(&error));
    }
    assert_eq!(scene.ehr.asked("POST /$export").len(), 2, "the fault fired");
    scene.nobody_dialled("post");
}

/// 10 GiB in 10 MiB, as a thousand gzip members; and other ways to make a small file a large one.
#[tokio::test]
async fn bombs_are_given_up_early_and_the_rest_is_landed() {
    let member = gzip(&vec![b' '; 10 << 20]);
    let thousand = member.repeat(1000);
    assert!(thousand.len() <= 11 << 20, "{}", thousand.len());
    let ehr = Ehr::with_manifest(json!({"output": [
        {"type": "Patient", "url": "{base}/files/bomb"},
        {"type": "Patient", "url": "{base}/files/zstd"},
        {"type": "Patient", "url": "{base}/files/br"},
        {"type": "Patient", "url": "{base}/files/good"},
    ]}))
    .await;
    ehr.on("GET /files/bomb", [Answer::new(200, thousand)]);
    ehr.on("GET /files/zstd", [Answer::new(200, TWO_PATIENTS).with("content-encoding", "zstd")]);
    ehr.on("GET /files/br", [Answer::new(200, TWO_PATIENTS).with("content-encoding", "br")]);
    ehr.on("GET /files/good", [Answer::new(200, TWO_PATIENTS)]);
    let site = Site::new();
    let pulled = site.pull(&ehr).await.unwrap();
    assert!(!pulled.complete);
    assert_eq!(pulled.counts, [("Patient".to_owned(), 2)]);
    let problems = pulled.problems.join("\n");
    assert!(
        problems.contains("200 times its size") && problems.contains("did not ask for"),
        "{problems}"
    );
    for file in ["bomb", "zstd", "br"] {
        assert_eq!(
            ehr.asked(&format!("GET /files/{file}")).len(),
            1,
            "asking for {file} again would not help"
        );
    }
    let landed: u64 = std::fs::read_dir(site.dir.path().join("landing"))
        .unwrap()
        .map(|e| e.unwrap().metadata().unwrap().len())
        .sum();
    assert!(landed < 1 << 20, "nothing of the bomb stays: {landed} bytes");
}

#[tokio::test]
async fn a_manifest_that_is_deep_or_endless_is_an_error_and_no_crash() {
    let ehr = Ehr::with_manifest(json!({})).await;
    let mut site = Site::new();
    site.limits.manifest_bytes = 4 << 20;
    ehr.on("GET /poll/1", [Answer::new(200, "[".repeat(1 << 20))]);
    assert!(matches!(site.pull(&ehr).await.unwrap_err(), PullError::Unexpected { .. }));
    ehr.on("GET /poll/1", [Answer::new(200, " ".repeat((4 << 20) + 1))]);
    let text = words(&site.pull(&ehr).await.unwrap_err());
    assert!(text.contains("longer than 4194304 bytes"), "{text}");
    assert_eq!(ehr.asked("GET /poll/1").len(), 2, "the faults fired");
}

#[tokio::test]
async fn a_line_without_end_is_cut_and_not_held() {
    let line = [
        &b"{\"resourceType\":\"Patient\",\"id\":\""[..],
        &vec![b'x'; 40 << 20],
        b"\"}\n",
        TWO_PATIENTS.as_bytes(),
    ]
    .concat();
    let ehr = Ehr::with_manifest(json!({"output": [{"type": "Patient", "url": "{base}/files/1"}]})).await;
    ehr.on("GET /files/1", [Answer::new(200, line)]);
    let site = Site::new();
    let pulled = site.pull(&ehr).await.unwrap();
    let longest = pulled
        .segments
        .iter()
        .flat_map(|segment| site.landing.read(segment).unwrap())
        .map(|frame| frame.unwrap().len())
        .max();
    assert!(longest.unwrap() <= 33 << 20, "{longest:?}");
    assert!(pulled.segments.iter().map(|segment| segment.lines).sum::<u64>() >= 2);
}
