//! The example files in `deploy/` load, commented lines and all, and name every key there is: they cannot rot.

use std::fs;
use std::path::{Path, PathBuf};

use headwater::config::{self, EhrConfig, FhirConfig};
use headwater::gateway::Require;
use headwater::pull::{ExportOptions, Level, Vendor};
use headwater::receive::{Accept, Settings};

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

fn fhir(config: &config::SiteConfig) -> &FhirConfig {
    match &config.ehr {
        EhrConfig::Fhir(ehr) => ehr,
        EhrConfig::Files { .. } => panic!("the example names a server"),
    }
}

/// The file with its commented-out settings switched on; prose stays a comment.
fn all_switched_on(text: &str) -> String {
    let setting = |line: &str| {
        let bare = line.strip_prefix("# ")?;
        let word = bare.split(" = ").next()?;
        let is_key = bare.contains(" = ") && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        // It stands instead of `proxy`, and is a file that must be there.
        let instead = word == "proxy_file";
        ((is_key && !instead) || bare.starts_with('[')).then(|| bare.to_owned())
    };
    let lines: Vec<String> = text.lines().map(|line| setting(line).unwrap_or_else(|| line.to_owned())).collect();
    lines.join("\n")
}

fn site(text: &str) -> Result<config::SiteConfig, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let file: PathBuf = dir.path().join("site.toml");
    fs::write(&file, text).unwrap();
    config::load(&file).map_err(|error| error.faults)
}

#[test]
fn the_sites_example_loads_as_it_stands_and_with_every_key_switched_on() {
    let text = example("site.example.toml");
    let config = site(&text).unwrap();
    let full = site(&all_switched_on(&text)).unwrap();
    assert!(full.package.is_some(), "a commented line was not switched on");
    assert!(full.http.ca_file.is_some() && full.http.proxy.is_some());
    let (plain, all) = (fhir(&config), fhir(&full));
    assert!(plain.types.is_none() && all.types.is_some() && all.finish_by.is_some());
    let (plain, all) = [plain, all].map(|ehr| ehr.settings(Vendor::default(), &[])).into();
    assert!(matches!((&plain.level, &all.level), (Level::Group(_), Level::Group(_))));
    assert!(plain.token_origins.is_empty() && !all.token_origins.is_empty());
    assert!(plain.export == ExportOptions::default() && all.export != plain.export);
    assert_eq!(
        (all.method, all.hydrate, all.attachments),
        (plain.method, plain.hydrate, plain.attachments)
    );
    assert!(full.consent.require == Require::OptIn && !full.consent.retrospective && full.consent.exclude.len() == 1);
    assert!(full.master != config.master, "a credential stands in for the file");
    // The defaults it shows are the defaults there are.
    assert_eq!(
        (&full.limits, full.threads, &full.model, full.state.file_name()),
        (&config.limits, config.threads, &config.model, config.state.file_name())
    );
}

#[test]
fn the_sites_example_names_every_key_there_is() {
    let text = all_switched_on(&example("site.example.toml"));
    let mut keys = 0;
    for section in [
        "site",
        "ehr",
        "ehr.export",
        "registry",
        "http",
        "limits",
        "validate",
        "risk",
        "consent",
        "keys",
    ] {
        let with_a_stranger = text.replacen(&format!("[{section}]"), &format!("[{section}]\nstranger = 1"), 1);
        let faults = site(&with_a_stranger).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        let known = faults[0].split("known here: ").nth(1).unwrap();
        let of_section = text.split(&format!("[{section}]")).nth(1).unwrap().split("\n[").next().unwrap();
        for key in known.split(", ") {
            keys += 1;
            let is_section = text.contains(&format!("[{section}.{key}]"));
            assert!(
                is_section
                    || of_section
                        .lines()
                        .any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = "))),
                "site.example.toml does not show {section}.{key}"
            );
        }
    }
    assert!(keys > 40, "only {keys} keys were looked for");
}

#[test]
fn the_registrys_example_loads_and_names_every_key_there_is() {
    let text = example("registry.example.toml");
    let read = |text: &str| Settings::read(Path::new("/r"), text).unwrap();
    let plain = read(&text);
    let full = all_switched_on(&text);
    // Without `..`: a new setting does not compile here until it stands in the example too.
    let Settings {
        listen,
        base_url,
        data,
        keys,
        models,
        log_origin,
        accept,
    } = read(&full);
    assert_eq!(
        (listen, &data, &keys, &models, &log_origin),
        (plain.listen, &plain.data, &plain.keys, &plain.models, &plain.log_origin)
    );
    assert!(base_url.is_some() && plain.base_url.is_none());
    let Accept {
        model,
        policies,
        model_digests,
        policy_digests,
    } = &accept[0];
    assert_eq!((model.as_str(), policies.len()), ("ibd-registry", 2));
    assert!(model_digests.is_some() && policy_digests.is_some());
    for key in ["listen", "base_url", "log_origin", "data", "keys", "models"] {
        assert!(
            full.lines().any(|line| line.starts_with(&format!("{key} = "))),
            "{key} is not shown"
        );
    }
}
