//! Pulls the same patients from an EHR we did not write (sekmet-fhir, PyPI) and from our simulated one: what is landed must
//! be the same. Runs where a Python has `sekmet`: `HEADWATER_SEKMET` names that Python (default `python3`), and
//! `HEADWATER_REQUIRE_SEKMET=1` makes it a fault where it is missing.
//!
//! sekmet checks assertions by the real clock, so these tests live by it; a poll may wait a second.

mod sekmet;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use headwater::landing::{self, Kind, Landing};
use headwater::platform::backend_services::{Algorithm, ClientKey};
use headwater::platform::clock::Clock;
use headwater::platform::http::{self, Client, HttpSettings};
use headwater::platform::{database, secret::Secret};
use headwater::pull::{self, EhrSettings, Level, Limits, Method, Pulled, Request, Settings, Source};
use headwater::simulate::ehr::{self, Call, Ehr};
use headwater::simulate::{GeneratorSettings, generate};
use serde_json::{Value, json};

use self::sekmet::{Sekmet, text};

/// What a gateway needs, and no more: reading.
const READ: &str = "system/*.rs";
/// Types sekmet says nothing of in its CapabilityStatement: it exports them, but knows no parameter to search them by.
const NOT_SEARCHED: [&str; 3] = ["QuestionnaireResponse", "ResearchStudy", "ResearchSubject"];
/// Types of the patient compartment that both servers know as such.
const OF_PATIENTS: [&str; 6] = ["Patient", "Condition", "Encounter", "MedicationRequest", "Observation", "Procedure"];

/// Resources by type and id, without what a server sets by itself.
type Content = BTreeMap<(String, String), Value>;

/// A hospital's side.
struct Site {
    _dir: tempfile::TempDir,
    landing: Landing,
    http: Client,
    key: ClientKey,
}

impl Site {
    fn new(algorithm: Algorithm) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = database::open(&dir.path().join("site.db"), &[landing::SCHEMA, pull::SCHEMA]).unwrap();
        Self {
            landing: Landing::open(&dir.path().join("landing"), Secret::random(32), Arc::new(Mutex::new(database))).unwrap(),
            _dir: dir,
            http: http::client(&HttpSettings::default()).unwrap(),
            key: ClientKey::generate(algorithm).unwrap(),
        }
    }

    /// The id under which its key is registered.
    fn client(&self) -> String {
        self.key.algorithm().to_string()
    }

    /// Everything `source` gives, and the pull's own word on it.
    async fn pull(&self, source: EhrSettings, request: Request) -> (Content, Pulled) {
        let pulled = self.try_pull(source, request).await;
        assert!(pulled.complete, "{:?}", pulled.problems);
        (self.landed(&pulled), pulled)
    }

    /// The pull's own word, whether it got everything or not.
    async fn try_pull(&self, source: EhrSettings, request: Request) -> Pulled {
        let settings = Settings {
            source: Source::Ehr(source),
            limits: Limits::default(),
        };
        let (clock, key) = (Clock::system(), Some(&self.key));
        pull::pull(&settings, request, &self.landing, &self.http, &clock, key, &|_| {})
            .await
            .unwrap()
    }

    fn landed(&self, pulled: &Pulled) -> Content {
        let segments = pulled.segments.iter().filter(|segment| segment.kind == Kind::Resources);
        let frames = segments.flat_map(|segment| self.landing.read(segment).unwrap().map(Result::unwrap));
        let text = String::from_utf8(frames.collect::<Vec<_>>().concat()).unwrap();
        content(text.lines())
    }
}

/// Every resource once. Numbers are compared by value: sekmet drops the zeros at a decimal's end, which FHIR forbids.
fn content<'a>(lines: impl Iterator<Item = &'a str>) -> Content {
    let mut content = Content::new();
    for line in lines {
        let mut resource: Value = serde_json::from_str(line).unwrap();
        let meta = resource["meta"].as_object_mut().unwrap();
        for set_by_server in ["versionId", "lastUpdated"] {
            meta.remove(set_by_server);
        }
        let key = (text(&resource, "resourceType").to_owned(), text(&resource, "id").to_owned());
        assert!(content.insert(key, resource).is_none(), "a resource was landed twice");
    }
    content
}

/// Patients in a folder, and what is in it.
struct Patients {
    folder: tempfile::TempDir,
    content: Content,
}

impl Patients {
    fn generate(number: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let generated = generate(&GeneratorSettings::new(number, 11), folder.path()).unwrap();
        let files = generated.counts.keys().map(|kind| read(folder.path(), kind));
        let content = content(files.collect::<String>().lines());
        assert_eq!(content.len() as u64, generated.counts.values().sum::<u64>());
        Self { folder, content }
    }

    fn ids(&self) -> Vec<String> {
        let patients = self.content.keys().filter(|(kind, _)| kind == "Patient");
        patients.map(|(_, id)| id.clone()).collect()
    }

    fn types(&self) -> BTreeSet<String> {
        self.content.keys().map(|(kind, _)| kind.clone()).collect()
    }

    /// They in an EHR of ours that knows `key`; its settings for a pull.
    async fn simulated(&self, key: &ClientKey, group: &[String]) -> (Ehr, EhrSettings) {
        let mut settings = ehr::EhrSettings::new(self.folder.path());
        settings.groups = BTreeMap::from([("some".to_owned(), group.to_vec())]);
        let ehr = ehr::serve(settings).await.unwrap();
        let client = ehr.register(key.public_jwk()).unwrap();
        let source = by_bulk(EhrSettings::new(ehr.base_url().parse().unwrap(), client));
        (ehr, source)
    }

    /// They in a sekmet that knows these sites, each by its algorithm; its settings for a pull by any of them.
    async fn in_sekmet(&self, sites: &[&Site]) -> Option<(Sekmet, impl Fn(&Site) -> EhrSettings + use<>)> {
        let clients: Vec<_> = sites.iter().map(|site| (site.client(), site.key.public_jwks(), READ)).collect();
        let sekmet = Sekmet::start(&clients)?;
        sekmet.load(self.folder.path()).await;
        let base = sekmet.base.clone();
        let source = move |site: &Site| EhrSettings {
            // It wants the wildcard for `$export` and for its status, whatever types are asked for.
            scope: Some(READ.to_owned()),
            ..by_bulk(EhrSettings::new(base.clone(), site.client()))
        };
        Some((sekmet, source))
    }
}

fn read(folder: &Path, kind: &str) -> String {
    std::fs::read_to_string(folder.join(format!("{kind}.ndjson"))).unwrap()
}

fn by_search(settings: EhrSettings) -> EhrSettings {
    EhrSettings {
        method: Method::Search,
        ..settings
    }
}

fn by_bulk(settings: EhrSettings) -> EhrSettings {
    EhrSettings {
        method: Method::Bulk,
        ..settings
    }
}

#[tokio::test]
async fn a_bulk_export_of_an_ehr_we_did_not_write_lands_what_the_simulated_one_gives() {
    let patients = Patients::generate(3);
    let sites = [Site::new(Algorithm::Es384), Site::new(Algorithm::Rs384)];
    let Some((_sekmet, source)) = patients.in_sekmet(&sites.each_ref()).await else {
        return;
    };
    for there in &sites {
        let (from_there, pulled) = there.pull(source(there), Request::new(1)).await;
        let ours = Site::new(there.key.algorithm());
        let (_ehr, source) = patients.simulated(&ours.key, &[]).await;
        let (from_ours, _) = ours.pull(source, Request::new(1)).await;
        assert!(from_ours == patients.content, "the simulated EHR gives what it was given");
        same(&from_there, &from_ours);
        let counted: u64 = pulled.counts.iter().map(|(_, count)| count).sum();
        assert_eq!(counted, from_there.len() as u64);
    }
}

#[tokio::test]
async fn a_group_of_an_ehr_we_did_not_write_is_the_same_members_and_nobody_else() {
    let patients = Patients::generate(4);
    let members = &patients.ids()[1..3];
    let there = Site::new(Algorithm::Es384);
    let Some((sekmet, source)) = patients.in_sekmet(&[&there]).await else {
        return;
    };
    let entities: Vec<Value> = members
        .iter()
        .map(|id| json!({"entity": {"reference": format!("Patient/{id}")}}))
        .collect();
    let group = json!({"resourceType": "Group", "id": "some", "type": "person", "actual": true, "member": entities});
    sekmet.put(&[group]).await;
    let of_the_group = |source| EhrSettings {
        level: Level::Group("some".to_owned()),
        types: OF_PATIENTS.map(str::to_owned).to_vec(),
        ..source
    };
    let (from_there, _) = there.pull(of_the_group(source(&there)), Request::new(1)).await;

    let ours = Site::new(Algorithm::Es384);
    let (_ehr, source) = patients.simulated(&ours.key, members).await;
    let (from_ours, _) = ours.pull(of_the_group(source), Request::new(1)).await;

    let found = from_there.keys().filter(|(kind, _)| kind == "Patient");
    assert_eq!(found.map(|(_, id)| id.clone()).collect::<Vec<_>>(), members);
    same(&from_there, &from_ours);
}

#[tokio::test]
async fn the_second_pull_of_an_ehr_we_did_not_write_is_what_changed_since_the_first() {
    let patients = Patients::generate(2);
    let there = Site::new(Algorithm::Es384);
    let Some((sekmet, source)) = patients.in_sekmet(&[&there]).await else {
        return;
    };
    let (_, first) = there.pull(source(&there), Request::new(1)).await;
    let mut changed = patients
        .content
        .values()
        .find(|resource| resource["resourceType"] == "Condition")
        .unwrap()
        .clone();
    changed["note"] = json!([{"text": "seen again"}]);
    sekmet.put(&[changed.clone()]).await;
    let request = Request {
        since: Some(first.transaction_time),
        ..Request::new(2)
    };
    let (second, _) = there.pull(source(&there), request).await;
    assert_eq!(second.into_values().collect::<Vec<_>>(), [changed]);
}

#[tokio::test]
async fn a_crawl_of_an_ehr_we_did_not_write_lands_what_its_export_gives() {
    let patients = Patients::generate(3);
    let there = Site::new(Algorithm::Es384);
    let Some((_sekmet, source)) = patients.in_sekmet(&[&there]).await else {
        return;
    };
    let searched = |source| EhrSettings {
        types: patients
            .types()
            .into_iter()
            .filter(|kind| !NOT_SEARCHED.contains(&kind.as_str()))
            .collect(),
        ..source
    };
    let (exported, _) = there.pull(searched(source(&there)), Request::new(1)).await;
    let (found, pulled) = there.pull(searched(by_search(source(&there))), Request::new(2)).await;
    assert!(exported.len() > 100, "there is something to compare");
    same(&found, &exported);
    assert!(
        pulled.types.values().all(|kind| kind.whole),
        "all of every type is proven: {:?}",
        pulled.types
    );

    let ours = Site::new(Algorithm::Es384);
    let (ehr, source) = patients.simulated(&ours.key, &[]).await;
    let (from_ours, _) = ours.pull(searched(by_search(source)), Request::new(1)).await;
    assert_eq!(ehr.calls(Call::KickOff), 0, "it was asked by search");
    same(&found, &from_ours);
}

#[tokio::test]
async fn a_crawl_patient_by_patient_of_an_ehr_we_did_not_write_lands_the_cohort_and_what_it_refers_to() {
    let patients = Patients::generate(4);
    let some = patients.ids()[1..3].to_vec();
    let there = Site::new(Algorithm::Es384);
    let Some((_sekmet, source)) = patients.in_sekmet(&[&there]).await else {
        return;
    };
    let of_some = |run| Request {
        patients: some.clone(),
        ..Request::new(run)
    };
    let with_medications = |source| EhrSettings {
        types: OF_PATIENTS.into_iter().chain(["Medication"]).map(str::to_owned).collect(),
        ..by_search(source)
    };
    let (found, _) = there.pull(with_medications(source(&there)), of_some(1)).await;
    let ours = Site::new(Algorithm::Es384);
    let (_ehr, source) = patients.simulated(&ours.key, &[]).await;
    let (from_ours, _) = ours.pull(with_medications(source), of_some(1)).await;
    same(&found, &from_ours);
    let patients = found.keys().filter(|(kind, _)| kind == "Patient");
    assert_eq!(patients.map(|(_, id)| id.clone()).collect::<Vec<_>>(), some);
    assert!(found.keys().any(|(kind, _)| kind == "Medication"), "what is referred to is read");
}

/// sekmet knows no parameter of ResearchSubject, and answers a search by an unknown one with everybody's, as FHIR lets it.
#[tokio::test]
async fn an_ehr_that_does_not_know_the_patient_parameter_gives_nobody_elses_resources() {
    let patients = Patients::generate(3);
    let there = Site::new(Algorithm::Es384);
    let Some((_sekmet, source)) = patients.in_sekmet(&[&there]).await else {
        return;
    };
    let one = format!("Patient/{}", patients.ids()[0]);
    let others = |content: &Content| {
        let individuals = content
            .values()
            .filter_map(|resource| resource["individual"]["reference"].as_str().map(str::to_owned));
        individuals.filter(|individual| *individual != one).count()
    };
    assert_eq!(others(&patients.content), 2, "there are others");
    let source = EhrSettings {
        types: ["Patient", "ResearchSubject"].map(str::to_owned).to_vec(),
        // Its CapabilityStatement does not list the type; a site that knows better may ask all the same.
        ask_unlisted: true,
        ..by_search(source(&there))
    };
    let request = Request {
        patients: vec![patients.ids()[0].clone()],
        ..Request::new(1)
    };
    let pulled = there.try_pull(source, request).await;
    assert_eq!(others(&there.landed(&pulled)), 0);
    assert!(!pulled.complete, "and says that it could not ask");
}

/// Fails with types and ids, not with a wall of JSON: the patients are invented, the log is still to be read.
fn same(there: &Content, ours: &Content) {
    let missing: Vec<_> = ours.keys().filter(|key| !there.contains_key(*key)).collect();
    let extra: Vec<_> = there.keys().filter(|key| !ours.contains_key(*key)).collect();
    let different: Vec<_> = ours
        .iter()
        .filter(|(key, value)| there.get(*key).is_some_and(|other| other != *value))
        .collect();
    assert!(missing.is_empty(), "not given by sekmet: {missing:?}");
    assert!(extra.is_empty(), "given by sekmet only: {extra:?}");
    assert!(different.is_empty(), "not the same: {different:?}");
}
