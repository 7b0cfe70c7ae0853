//! Every fault of the simulated EHR, one after the other: it happens, and then either everything is there or the pull says
//! that it is not; the next pull has it all; and no token ever reaches the other origin. No fault may be silent.

use std::collections::BTreeMap;

use headwater::platform::backend_services::{Algorithm, ClientKey};
use headwater::platform::clock::Clock;
use headwater::pull::{EhrSettings, Level, Method, PullError, Pulled, Request, Source};
use headwater::simulate::ehr::{EhrSettings as Simulated, Fault, FaultOrder, serve};
use headwater::simulate::{GeneratorSettings, generate};

use super::Site;

const BEGAN: &str = "2026-08-01T02:00:00Z";
const TYPES: [&str; 5] = ["Patient", "Condition", "Encounter", "Observation", "Procedure"];

/// What one pull can prove nothing about, and who does.
fn is_for_others(fault: Fault) -> bool {
    match fault {
        // The data themselves change: nights tell (`nights::`, `crawl_nights::`).
        Fault::DayPasses | Fault::DeletionsUntold => true,
        // An EHR that says it has nothing cannot be told from one that has nothing: the brake tells (`crawl_nights::`).
        Fault::EmptyOutput | Fault::EmptySearch => true,
        // It needs a job of an earlier pull (`kick_off::`).
        Fault::SecondKickoff => true,
        // A manual clock does not pass while a real connection is silent: `network::` has a stalled line.
        Fault::Stall => true,
        _ => false,
    }
}

/// Those that only a search meets.
fn is_of_searches(fault: Fault) -> bool {
    matches!(fault, Fault::Search429 | Fault::Search500 | Fault::Search503 | Fault::SearchCut)
}

struct Case {
    site: Site,
    ehr: headwater::simulate::ehr::Ehr,
    settings: EhrSettings,
}

impl Case {
    async fn of(data: &std::path::Path, method: Method) -> Self {
        let clock = Clock::manual(BEGAN.parse().unwrap());
        let mut simulated = Simulated::new(data);
        simulated.clock = clock.clone();
        let ehr = serve(simulated).await.unwrap();
        let key = ClientKey::generate(Algorithm::Es384).unwrap();
        let client = ehr.register(key.public_jwk()).unwrap();
        let mut settings = EhrSettings::new(ehr.base_url().parse().unwrap(), client);
        settings.types = TYPES.map(str::to_owned).to_vec();
        (settings.method, settings.level) = (method, Level::Patient);
        settings.vendor.page_size = 7;
        let site = Site {
            key: Some(key),
            clock,
            ..Site::new()
        };
        Self { site, ehr, settings }
    }

    /// Run `run`, gone on with as a nightly schedule does when it says that it can go on.
    async fn night(&self, run: i64) -> Result<Pulled, PullError> {
        let mut last = None;
        for _ in 0..4 {
            match self.site.pull_as(Source::Ehr(self.settings.clone()), Request::new(run)).await {
                Err(error) if error.is_transient() => last = Some(error),
                done => return done,
            }
        }
        Err(last.unwrap())
    }

    /// Every resource landed, as it stands, by type and id.
    fn landed(&self, pulled: &Pulled) -> BTreeMap<(String, String), String> {
        let mut all = BTreeMap::new();
        for (_, kind, content) in self.site.landed(pulled) {
            for line in content.lines().filter(|_| kind == "resources") {
                let resource: serde_json::Value = serde_json::from_str(line).unwrap();
                let text = |name: &str| resource[name].as_str().unwrap().to_owned();
                all.insert((text("resourceType"), text("id")), line.to_owned());
            }
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_an_ehr_is_silent_and_the_next_night_has_everything() {
    let data = tempfile::tempdir().unwrap();
    generate(&GeneratorSettings::new(3, 77), data.path()).unwrap();
    let mut golden = BTreeMap::new();
    for method in [Method::Bulk, Method::Search] {
        let case = Case::of(data.path(), method).await;
        let pulled = case.night(1).await.unwrap();
        assert!(pulled.complete, "{:?}", pulled.problems);
        golden.insert(format!("{method:?}"), case.landed(&pulled));
        case.ehr.shutdown().await;
    }
    assert_eq!(golden["Bulk"], golden["Search"]);
    let golden = &golden["Bulk"];
    assert!(golden.len() > 100);
    let mut faults = Vec::new();
    for fault in Fault::ALL.into_iter().filter(|fault| !is_for_others(*fault)) {
        let method = if is_of_searches(fault) { Method::Search } else { Method::Bulk };
        let name = fault.name();
        let case = Case::of(data.path(), method).await;
        case.ehr.order(FaultOrder { fault, times: 1 });
        let first = case.night(1).await;
        let fired = case.ehr.fired(fault);
        let silent = first.as_ref().is_ok_and(|pulled| pulled.complete && case.landed(pulled) != *golden);
        // What the first night could not give, the next ones do.
        let mut last = first;
        for run in 2..5 {
            last = case.night(run).await;
            if last.as_ref().is_ok_and(|pulled| pulled.complete) {
                break;
            }
        }
        let whole = last.as_ref().is_ok_and(|pulled| pulled.complete && case.landed(pulled) == *golden);
        let leaked = case.ehr.seen().iter().any(|seen| seen.elsewhere && seen.with_token);
        if fired == 0 || silent || !whole || leaked {
            let why = match &last {
                Ok(pulled) => format!("{:?}", pulled.problems),
                Err(error) => super::words(error),
            };
            faults.push(format!(
                "{name}: fired {fired}, silent {silent}, whole in the end {whole}, token leaked {leaked}: {why}"
            ));
        }
        case.ehr.shutdown().await;
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
