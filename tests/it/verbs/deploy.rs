//! The example files in `deploy/` load, commented lines and all, and name every key there is: they cannot rot.

use std::fs;
use std::path::{Path, PathBuf};

use headwater::config::{self, EhrConfig, Level};
use headwater::receive::{Accept, Settings};

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

/// The file with its commented-out settings switched on; prose stays a comment.
fn all_switched_on(text: &str) -> String {
    let setting = |line: &str| {
        let bare = line.strip_prefix("# ")?;
        let word = bare.split(" = ").next()?;
        let is_key = bare.contains(" = ") && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        (is_key || bare.starts_with('[')).then(|| bare.to_owned())
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
    assert!(matches!(
        &config.ehr,
        EhrConfig::Bulk {
            level: Level::Group(_),
            types: None,
            ..
        }
    ));
    let full = site(&all_switched_on(&text)).unwrap();
    assert!(full.package.is_some(), "a commented line was not switched on");
    assert!(
        matches!(&full.ehr, EhrConfig::Bulk { types: Some(types), extra_origins, .. } if !types.is_empty() && !extra_origins.is_empty())
    );
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
    for section in ["site", "ehr", "registry", "limits"] {
        let with_a_stranger = text.replacen(&format!("[{section}]"), &format!("[{section}]\nstranger = 1"), 1);
        let faults = site(&with_a_stranger).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        let known = faults[0].split("known here: ").nth(1).unwrap();
        let of_section = text.split(&format!("[{section}]")).nth(1).unwrap().split("\n[").next().unwrap();
        for key in known.split(", ") {
            keys += 1;
            assert!(
                of_section.lines().any(|line| line.starts_with(&format!("{key} = "))),
                "site.example.toml does not show {section}.{key}"
            );
        }
    }
    assert!(keys > 15, "only {keys} keys were looked for");
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
