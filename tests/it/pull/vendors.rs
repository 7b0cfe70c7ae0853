//! Every vendor's profile against that vendor's temper in the simulated EHR: with the profile everything comes, on the first
//! day and the second, and no token goes to another origin; the plain reading of the standards would not do.

use std::collections::BTreeMap;

use axum::routing::get;
use axum::{Json, Router};
use headwater::network::Package;
use headwater::platform::backend_services::{Algorithm, ClientKey};
use headwater::platform::clock::Clock;
use headwater::pull::{EhrSettings, Level, Method, Pulled, Request, Source, Vendor as Profile};
use headwater::simulate::ehr::{Ehr, EhrSettings as Simulated, RegistrationError, Vendor, serve};
use headwater::simulate::{GeneratorSettings, generate};
use serde_json::{Value, json};

use super::Site;

const TYPES: [&str; 6] = ["Patient", "Condition", "Encounter", "Observation", "Procedure", "Practitioner"];

/// Resources by type and id, without what an EHR notes about its own record.
type Content = BTreeMap<(String, String), Value>;

struct Case {
    site: Site,
    ehr: Ehr,
    settings: EhrSettings,
}

impl Case {
    async fn of(data: &std::path::Path, vendor: Vendor, profile: Profile) -> Self {
        let clock = Clock::manual("2026-08-01T02:00:00Z".parse().unwrap());
        let mut simulated = Simulated::new(data);
        (simulated.vendor, simulated.clock) = (vendor, clock.clone());
        let ehr = serve(simulated).await.unwrap();
        let key = ClientKey::generate(Algorithm::Rs384).unwrap();
        let client = match ehr.register(key.public_jwk()) {
            Err(RegistrationError::UrlOnly) => by_address(&ehr, key.public_jwk()).await,
            done => done.unwrap(),
        };
        let settings = EhrSettings {
            types: TYPES.map(str::to_owned).to_vec(),
            level: Level::Group("all".to_owned()),
            vendor: profile,
            ..EhrSettings::new(ehr.base_url().parse().unwrap(), client)
        };
        let site = Site {
            key: Some(key),
            clock,
            ..Site::new()
        };
        Self { site, ehr, settings }
    }

    async fn pull(&self, run: i64) -> (Pulled, Content) {
        let pulled = self.site.pull_as(Source::Ehr(self.settings.clone()), Request::new(run)).await;
        let pulled = pulled.unwrap_or_else(|error| panic!("{}: {}", self.settings.vendor.name, super::words(&error)));
        let mut content = Content::new();
        for (_, kind, lines) in self.site.landed(&pulled) {
            for line in lines.lines().filter(|_| kind == "resources") {
                let mut resource: Value = serde_json::from_str(line).unwrap();
                // A crawl lands the record of a patient who is another one as a deletion.
                if resource["link"][0]["type"] == "replaced-by" {
                    continue;
                }
                let meta = resource["meta"].as_object_mut().unwrap();
                meta.retain(|name, _| !matches!(name.as_str(), "lastUpdated" | "versionId"));
                let text = |name: &str| resource[name].as_str().unwrap().to_owned();
                content.insert((text("resourceType"), text("id")), resource);
            }
        }
        (pulled, content)
    }
}

/// Registers the address of a JWK Set.
async fn by_address(ehr: &Ehr, jwk: Value) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let set = Json(json!({ "keys": [jwk] }));
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/jwks.json", get(|| async move { set }))).await });
    let asked = json!({ "jwks_uri": format!("http://{at}/jwks.json") });
    let http = headwater::platform::http::client(&headwater::platform::http::HttpSettings::default()).unwrap();
    let answer = http.post(ehr.registration_url()).json(&asked).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    answer["client_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_its_vendors_profile_each_ehr_gives_everything_on_two_days() {
    let data = tempfile::tempdir().unwrap();
    generate(&GeneratorSettings::new(5, 83), data.path()).unwrap();
    let plain = Case::of(data.path(), Vendor::Generic, Profile::default()).await;
    let mut expected = vec![plain.pull(1).await.1];
    plain.ehr.advance_day().await.unwrap();
    expected.push(plain.pull(2).await.1);
    assert_ne!(expected[0], expected[1]);
    for vendor in Vendor::ALL {
        let profile = Package::BuiltIn.vendor(vendor.name()).unwrap();
        let case = Case::of(data.path(), vendor, profile).await;
        // Soarian refuses the same whole export on a second day: its nights ask for what changed since.
        let days = if vendor == Vendor::Soarian { 1 } else { 2 };
        for (day, expected) in expected.iter().take(days).enumerate() {
            let (pulled, content) = case.pull(i64::try_from(day).unwrap() + 1).await;
            let name = vendor.name();
            assert!(pulled.complete, "{name}, day {day}: {:?}", pulled.problems);
            let missing: Vec<_> = expected
                .iter()
                .filter(|(key, value)| content.get(*key) != Some(*value))
                .map(|(key, _)| key)
                .collect();
            assert!(
                missing.is_empty(),
                "{name}, day {day}: {} of {} differ: {:?}",
                missing.len(),
                expected.len(),
                &missing[..3.min(missing.len())]
            );
            assert!(
                content.keys().all(|key| expected.contains_key(key)),
                "{name}, day {day}: what is gone does not come"
            );
            if day == 0 {
                case.ehr.advance_day().await.unwrap();
            }
        }
        let leaked = case.ehr.seen().iter().any(|seen| seen.elsewhere && seen.with_token);
        assert!(!leaked, "{}: a token went to another origin", vendor.name());
        case.ehr.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_profile_an_epic_does_not_give_everything_as_asked() {
    let data = tempfile::tempdir().unwrap();
    generate(&GeneratorSettings::new(2, 83), data.path()).unwrap();
    let case = Case::of(data.path(), Vendor::Epic, Profile::default()).await;
    let settings = EhrSettings {
        method: Method::Bulk,
        ..case.settings.clone()
    };
    let request = Request {
        since: Some("2026-07-01T00:00:00Z".parse().unwrap()),
        ..Request::new(1)
    };
    let plain = case.site.pull_as(Source::Ehr(settings.clone()), request.clone()).await;
    let profiled = EhrSettings {
        vendor: Package::BuiltIn.vendor("epic").unwrap(),
        ..settings
    };
    let whole = case
        .site
        .pull_as(Source::Ehr(profiled), Request { run: 2, ..request })
        .await
        .unwrap();
    assert!(
        whole.complete && whole.types["Patient"].whole,
        "the profile knows that `_since` is not taken: {:?}",
        whole.problems
    );
    assert!(plain.is_err() || !plain.unwrap().types["Patient"].whole);
}
