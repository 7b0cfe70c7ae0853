//! The doctor names the right cause. Each misconfiguration is planted in the simulated EHR, or on the way to it, and the
//! diagnosis must be its leaf and no other; the EHR must have seen that it mattered.

mod keys;
mod site;
mod tls;

use std::sync::Arc;

use headwater::gateway::Feeds;
use headwater::gateway::doctor::{Diagnosis, Finding, Mender, Outcome, Subject, Verdict, examine};
use headwater::platform::backend_services::{Algorithm, ClientKey};
use headwater::platform::clock::Clock;
use headwater::platform::http::{HttpSettings, Url};
use headwater::pull::{EhrSettings, Level, Method};
use headwater::simulate::ehr::{self, Ehr, Misconfiguration};

use crate::house::patients;

/// A simulated EHR and a site that it knows.
struct Scene {
    ehr: Ehr,
    settings: EhrSettings,
    key: ClientKey,
    _data: tempfile::TempDir,
}

async fn scene() -> Scene {
    scene_with(Algorithm::Es384).await
}

async fn scene_with(algorithm: Algorithm) -> Scene {
    let data = patients(1, 11);
    let ehr = ehr::serve(ehr::EhrSettings::new(data.path())).await.expect("the EHR serves");
    let key = ClientKey::generate(algorithm).expect("a key");
    let client = ehr.register(key.public_jwk()).expect("the EHR takes the key");
    let mut settings = EhrSettings::new(Url::parse(ehr.base_url()).unwrap(), client);
    settings.level = Level::Group("all".to_owned());
    settings.method = Method::Bulk;
    settings.types = ["Condition", "Observation", "Patient"].map(str::to_owned).to_vec();
    Scene {
        ehr,
        settings,
        key,
        _data: data,
    }
}

impl Scene {
    async fn examine(&self) -> Diagnosis {
        diagnose(&self.settings, &self.key, HttpSettings::default(), true).await
    }
}

async fn diagnose(settings: &EhrSettings, key: &ClientKey, http: HttpSettings, try_export: bool) -> Diagnosis {
    let subject = Subject {
        ehr: Some((settings.clone(), key.clone())),
        feeds: Feeds::of([("Condition", "diagnosis"), ("Condition", "finding"), ("Observation", "finding")]),
        registry: None,
        http,
        try_export,
    };
    let heard = Arc::new(std::sync::Mutex::new(0));
    let counter = heard.clone();
    let diagnosis = examine(&subject, &Clock::system(), &move |_: &Finding| *counter.lock().unwrap() += 1).await;
    assert_eq!(
        *heard.lock().unwrap(),
        diagnosis.findings.len(),
        "every finding is told as it is made"
    );
    for finding in &diagnosis.findings {
        let must_act = matches!(finding.outcome, Outcome::Fail | Outcome::Warn);
        assert_eq!(finding.who.is_some() && finding.next.is_some(), must_act, "{finding:?}");
        let text = format!("{finding:?}");
        assert!(
            !text.contains("eyJ") && !text.contains("Bearer") && !text.contains("_count"),
            "{text}"
        );
    }
    diagnosis
}

fn check(diagnosis: &Diagnosis, leaf: &str, verdict: Verdict, case: &str) {
    let found = diagnosis.leaf().map(|leaf| leaf.id);
    assert_eq!(
        (found, diagnosis.verdict()),
        (Some(leaf), verdict),
        "{case}: {:#?}",
        diagnosis.findings
    );
}

#[tokio::test]
async fn every_step_is_well_at_an_ehr_that_is_set_up_well() {
    let scene = scene().await;
    let diagnosis = scene.examine().await;
    for finding in &diagnosis.findings {
        let expected = if finding.id == "registry.none" {
            Outcome::Warn
        } else {
            finding.outcome
        };
        assert!(expected == finding.outcome && finding.outcome != Outcome::Fail, "{finding:?}");
    }
    let ids: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.id).collect();
    assert_eq!(
        ids,
        [
            "address.ok",
            "dns.ok",
            "tcp.ok",
            "tls.loopback",
            "clock.ok",
            "fhir.ok",
            "offer.ok",
            "types.ok",
            "discovery.ok",
            "token-endpoint.ok",
            "auth.ok",
            "jwks.not-hosted",
            "token.ok",
            "scope.ok",
            "group.ok",
            "reads.ok",
            "export.ok",
            "registry.none",
        ]
    );
    check(&diagnosis, "registry.none", Verdict::Fine, "well");
    let seen = scene.ehr.seen();
    let kicked = seen.iter().filter(|seen| seen.path.ends_with("$export")).count();
    let taken_back = seen.iter().filter(|seen| seen.method == "DELETE" && seen.status == 202).count();
    assert_eq!((kicked, taken_back), (1, 1), "the export is taken back");
}

#[tokio::test]
async fn each_planted_misconfiguration_is_named_by_its_own_leaf() {
    use Misconfiguration as M;
    let mend = Verdict::Mend;
    let cases = [
        (M::NoDiscovery, "discovery.not-found", mend),
        (M::DiscoveryNotJson, "discovery.not-json", mend),
        (M::NoTokenEndpoint, "discovery.no-token-endpoint", mend),
        (M::ForeignTokenEndpoint, "token-endpoint.foreign", mend),
        (M::TokenEndpoint404, "token-endpoint.not-found", mend),
        (M::TokenEndpointRedirects, "token-endpoint.redirects", mend),
        (M::WrongAudience, "token.audience", mend),
        (M::UnknownClient, "token.unknown-client", mend),
        (M::KidNotInJwks, "token.key-unknown", mend),
        (M::JwksUrlUnreachable, "token.jwks-not-fetched", mend),
        (M::Rs384Only, "auth.algorithm", mend),
        (M::NotActivated, "token.not-activated", mend),
        (M::SandboxClient, "token.wrong-environment", mend),
        (M::OpaqueRefusal, "token.opaque", mend),
        (M::ClockAhead, "clock.behind", Verdict::Fine),
        (M::ClockBehind, "clock.ahead", Verdict::Fine),
        (M::NarrowScope, "scope.narrow", mend),
        (M::WideScope, "scope.wide", mend),
        (M::GroupNotVisible, "group.not-visible", mend),
        (M::NoGroupExport, "export.not-offered", mend),
        (M::TypeNotOffered, "types.not-offered", Verdict::Fine),
        (M::TypeNotExported, "export.type-refused", mend),
        (M::TypeForbidden, "reads.forbidden", mend),
        (M::FhirStu3, "fhir.wrong-version", mend),
        (M::Metadata404, "fhir.not-found", mend),
        (M::Read500, "group.unavailable", Verdict::Later),
    ];
    let scene = scene().await;
    for (planted, leaf, verdict) in cases {
        scene.ehr.plant(planted);
        check(&scene.examine().await, leaf, verdict, planted.name());
        assert!(scene.ehr.fired_misconfiguration(planted) > 0, "{} never showed", planted.name());
        scene.ehr.mend(planted);
    }
    // Nothing of it stays: what was mended is well.
    check(&scene.examine().await, "registry.none", Verdict::Fine, "mended");
    // No assertion and no token went to another address, whatever the server named.
    let elsewhere: Vec<_> = scene.ehr.seen().into_iter().filter(|seen| seen.elsewhere).collect();
    assert_eq!(elsewhere, [], "something was sent elsewhere");
}

#[tokio::test]
async fn an_rsa_key_at_a_server_of_elliptic_curves_is_told_the_other_algorithm() {
    let scene = scene_with(Algorithm::Rs384).await;
    check(&scene.examine().await, "registry.none", Verdict::Fine, "RS384 is taken");
    scene.ehr.plant(Misconfiguration::Es384Only);
    let diagnosis = scene.examine().await;
    check(&diagnosis, "auth.algorithm", Verdict::Mend, "ES384 only");
    let next = diagnosis.leaf().and_then(|leaf| leaf.next.clone()).unwrap();
    assert!(next.contains("--algorithm es384"), "{next}");
    assert!(scene.ehr.fired_misconfiguration(Misconfiguration::Es384Only) > 0);
}

#[tokio::test]
async fn types_that_may_not_be_read_are_named_one_by_one() {
    let mut scene = scene().await;
    scene.ehr.plant(Misconfiguration::TypeForbidden);
    let diagnosis = scene.examine().await;
    let leaf = diagnosis.leaf().unwrap();
    assert!(
        leaf.means.contains("Observation") && !leaf.means.contains("Condition"),
        "{}",
        leaf.means
    );
    assert_eq!(leaf.who, Some(Mender::EhrTeam));
    scene.ehr.mend(Misconfiguration::TypeForbidden);

    scene.ehr.plant(Misconfiguration::NarrowScope);
    let narrow = scene.examine().await;
    let means = &narrow.leaf().unwrap().means;
    assert!(means.ends_with(": Condition, Observation"), "{means}");
    scene.ehr.mend(Misconfiguration::NarrowScope);

    scene.settings.level = Level::Patient;
    scene.ehr.plant(Misconfiguration::Read500);
    let broken = scene.examine().await;
    check(&broken, "reads.unavailable", Verdict::Later, "every read fails");
}

#[tokio::test]
async fn what_the_server_does_not_offer_is_told_with_the_tables_that_stay_empty() {
    let mut scene = scene().await;
    scene.ehr.plant(Misconfiguration::TypeNotOffered);
    let diagnosis = scene.examine().await;
    let leaf = diagnosis.leaf().unwrap();
    assert_eq!((leaf.id, leaf.who), ("types.not-offered", Some(Mender::EhrTeam)));
    assert!(
        leaf.means.contains("Condition") && leaf.means.ends_with(": diagnosis"),
        "{}",
        leaf.means
    );
    assert!(leaf.next.as_deref().unwrap().contains("ask_unlisted"));
    // Neither its scope nor its reads nor its export is missed.
    let ids: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.id).collect();
    for id in ["scope.ok", "reads.ok", "export.ok"] {
        assert!(ids.contains(&id), "{ids:?}");
    }
    scene.settings.types = vec!["Condition".to_owned()];
    check(&scene.examine().await, "types.none", Verdict::Mend, "nothing is left");
}

#[tokio::test]
async fn a_vendor_that_exports_groups_only_is_not_asked_for_every_patient() {
    let mut scene = scene().await;
    scene.settings.vendor.title = "Example Vendor".to_owned();
    scene.settings.vendor.export_levels = vec!["group".to_owned()];
    scene.settings.level = Level::Patient;
    check(&scene.examine().await, "offer.level", Verdict::Mend, "patient level");
}

#[tokio::test]
async fn the_way_to_the_server_is_told_apart() {
    let scene = scene().await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = scene.settings.base.port().unwrap();
    // A label of more than 63 letters is no name anywhere: nobody is asked for it.
    let nobody = format!("https://{}.example/fhir", "n".repeat(64));
    let proxy = |address: String| HttpSettings {
        proxy: Some(address),
        ..HttpSettings::default()
    };
    let plain = HttpSettings::default;
    let cases = [
        (format!("http://{dead}/fhir"), plain(), "tcp.refused"),
        (nobody, plain(), "dns.unknown-host"),
        ("http://ehr.example.org/fhir".to_owned(), plain(), "address.plain-http"),
        ("https://kim:hush@ehr.example.org/fhir".to_owned(), plain(), "address.unusable"),
        (format!("https://127.0.0.1:{port}/fhir"), plain(), "tls.not-tls"),
        (format!("http://127.0.0.1:{port}/nowhere"), plain(), "fhir.not-found"),
        (
            "https://ehr.example.org/fhir".to_owned(),
            proxy(format!("http://{dead}")),
            "proxy.unreachable",
        ),
        // A server that is no proxy does not connect anybody.
        (
            "https://ehr.example.org/fhir".to_owned(),
            proxy(format!("http://127.0.0.1:{port}")),
            "proxy.refuses",
        ),
        (
            "https://ehr.example.org/fhir".to_owned(),
            proxy("http://".to_owned()),
            "proxy.unusable",
        ),
        (
            "https://ehr.example.org/fhir".to_owned(),
            HttpSettings {
                ca_file: Some("/nowhere/ca.pem".into()),
                ..HttpSettings::default()
            },
            "http.ca-file",
        ),
    ];
    for (base, http, leaf) in cases {
        let mut settings = scene.settings.clone();
        settings.base = Url::parse(&base).unwrap();
        let diagnosis = diagnose(&settings, &scene.key, http, false).await;
        check(&diagnosis, leaf, Verdict::Mend, &base);
        assert!(!format!("{diagnosis:?}").contains("hush"), "{base}");
    }
}
