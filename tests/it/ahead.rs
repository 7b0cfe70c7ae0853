//! What is landed is mapped while the rest is still being pulled, and nothing but wall time hangs on it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater::fhir::tree::Limits;
use headwater::gateway::{self, Event, Options, Places, RegistrySettings, Settings, Site, Tools};
use headwater::network::Package;
use headwater::platform::clock::Clock;
use headwater::platform::http::{HttpSettings, Url, client};
use headwater::pull::{self, EhrSettings, Level, Progress, Source};

use crate::house::{House, patients, report, sync};

/// The site of `file`, opened in this process.
fn opened(file: &Path) -> Arc<Site> {
    let table: toml::Table = std::fs::read_to_string(file).expect("a site's file").parse().expect("TOML");
    let text = |section: &str, key: &str| table[section][key].as_str().expect("a text").to_owned();
    let network = Package::BuiltIn.load("ibd-registry").expect("the built-in package");
    let rules = network.under(&text("site", "policy")).expect("a policy of it");
    let ehr = EhrSettings {
        level: Level::Group(text("ehr", "group")),
        types: rules.resource_types(),
        ..EhrSettings::new(Url::parse(&text("ehr", "base")).expect("an address"), text("ehr", "client_id"))
    };
    let settings = Settings {
        name: text("site", "name"),
        network: text("site", "network"),
        state: file.parent().expect("a folder").join("state"),
        threads: 2,
        limits: Limits::default(),
        vanish_percent: 20,
        max_patients: 1000,
        consent: headwater::gateway::ConsentSettings::default(),
        risk: headwater::gateway::RiskSettings::default(),
        master: headwater::gateway::MasterKey::default(),
        pull: pull::Settings {
            source: Source::Ehr(ehr),
            limits: pull::Limits::default(),
        },
        registry: RegistrySettings {
            base: text("registry", "base"),
            client_id: text("registry", "client_id"),
            log_vkey: text("registry", "log_vkey"),
        },
    };
    let tools = Tools {
        http: client(&HttpSettings::default()).expect("a client"),
        clock: Clock::system(),
    };
    Arc::new(Site::open(settings, rules, tools).expect("the site opens"))
}

#[test]
fn what_is_landed_is_mapped_while_the_rest_is_coming_and_the_rows_are_the_same() {
    let data = patients(4, 23);
    let house = House::over(data.path());
    let file = house.site("limited-data-set", None);
    let database = Places::of(&file.parent().expect("a folder").join("state")).database();
    let pending = move || -> i64 {
        let db = rusqlite::Connection::open(&database).expect("the ledger");
        db.query_row("SELECT count(*) FROM pending_source", [], |row| row.get(0))
            .unwrap_or(0)
    };
    let (may_begin, seen, ahead) = (AtomicBool::new(false), Mutex::new(Vec::new()), AtomicU64::new(0));
    let listener = |event: Event| match event {
        Event::Pull(Progress::PatientsLanded) => may_begin.store(true, Ordering::SeqCst),
        // The pull is held here, with files still to come, until something is mapped.
        Event::Pull(Progress::Downloading { done, total, .. }) if may_begin.load(Ordering::SeqCst) && done < total => {
            for _ in 0..2000 {
                if pending() > 0 {
                    seen.lock().expect("a list").push(done);
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Event::MappedAhead { resources } => ahead.store(resources, Ordering::SeqCst),
        _ => {}
    };
    let site = opened(&file);
    let done = house
        .runtime
        .block_on(gateway::run(&site, &Options::default(), &listener))
        .expect("a night");
    drop(site);
    assert!(
        !seen.lock().expect("a list").is_empty(),
        "something was mapped with files still to come"
    );
    assert!(ahead.load(Ordering::SeqCst) > 0);
    assert!(done.complete && done.balanced());
    let again = report(&sync(&file, &["--full"]));
    assert_eq!(
        again["counts"]["upserts"],
        serde_json::json!({}),
        "nothing of it differs from what is mapped in its turn"
    );
    let rows = house.rows();
    let keys = Places::of(&file.parent().expect("a folder").join("state")).keys();

    // A folder of files is landed whole before anything is mapped.
    let other = House::over(data.path());
    let state = other.dir.path().join("north/state");
    std::fs::create_dir_all(state.join("keys")).expect("a folder");
    for entry in std::fs::read_dir(keys).expect("keys") {
        let path = entry.expect("a key").path();
        std::fs::copy(&path, state.join("keys").join(path.file_name().expect("a name"))).expect("a copy");
    }
    let files = other.site_of_files("limited-data-set", data.path());
    report(&sync(&files, &[]));
    assert_eq!(other.rows(), rows);
    other.close();
    house.close();
}
