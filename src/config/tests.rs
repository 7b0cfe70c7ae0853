//! Site files, whole and faulty, and what is read of them.

use super::*;
use crate::pull::{Cohort, Level, Method, Vendor};

const GOOD: &str = r#"
[site]
name = "north"
network = "pedibd"
policy = "limited-data-set"
[ehr]
kind = "bulk"
base = "https://ehr.example.org/fhir"
client_id = "headwater"
level = "group"
group = "all"
[registry]
base = "https://registry.example.org"
client_id = "north-1"
log_vkey = "registry+00000000+AAAA"
"#;

#[test]
fn a_good_file_is_read_with_its_defaults() {
    let config = parse(GOOD, Path::new("/site")).expect("the file is good");
    assert_eq!(config.state, Path::new("/site/state"));
    assert_eq!(
        (config.model.as_str(), config.threads, &config.limits),
        ("ibd-registry", 2, &Limits::default())
    );
    let EhrConfig::Fhir(ehr) = &config.ehr else {
        panic!("it names a server")
    };
    let settings = ehr.settings(Vendor::default(), &["Patient".to_owned()]);
    assert_eq!(
        (&settings.level, settings.method, &settings.types[..]),
        (&Level::Group("all".into()), Method::Bulk, &["Patient".to_owned()][..])
    );
}

#[test]
fn every_fault_is_named_at_once_with_its_key() {
    let bad = GOOD
        .replace("name = \"north\"", "name = 7\ncolour = \"red\"")
        .replace("limited-data-set", "everything")
        .replace("level = \"group\"", "level = \"ward\"\ntypes = []")
        .replace("https://registry.example.org", "registry")
        + "[limits]\ndepth = 1\n";
    let faults = parse(&bad, Path::new("/site")).map(|_| ()).expect_err("the file has faults");
    for key in [
        "site.name:",
        "site.colour:",
        "site.policy:",
        "ehr.level:",
        "ehr.types:",
        "registry.base:",
        "limits.depth:",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key} is missing in {faults:?}");
    }
    assert_eq!(faults.len(), 7, "{faults:?}");
}

#[test]
fn an_empty_file_says_which_sections_it_needs() {
    let faults = parse("", Path::new("/site")).map(|_| ()).expect_err("nothing is there");
    for key in ["site:", "ehr:"] {
        assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key} is missing in {faults:?}");
    }
}

fn ehr(text: &str) -> Result<Box<FhirConfig>, Vec<String>> {
    let text = format!("[site]\nname = \"n\"\nnetwork = \"p\"\npolicy = \"safe-harbor\"\n[ehr]\n{text}");
    match parse(&text, Path::new("/site"))?.ehr {
        EhrConfig::Fhir(ehr) => Ok(ehr),
        EhrConfig::Files { .. } => panic!("it names a server"),
    }
}

const FULL: &str = r#"
kind = "fhir"
base = "https://ehr.example.org/fhir"
client_id = "headwater"
method = "search"
vendor = "epic"
cohort = { list = "patients.txt" }
types = ["Patient"]
hydrate = false
attachments = true
scope = "system/*.read"
sign_in = "none"
token_url = "https://login.example.org/token"
jwks_url = "https://site.example.org/.well-known/jwks.json"
extra_origins = ["https://login.example.org"]
parallel = 2
tokens_per_minute = 10
quiet = ["07:00-19:00", "23:30-00:15"]
time_zone = "Europe/Berlin"
finish_by = "05:00"
job_patience_days = 3
[ehr.export]
type_filters = ["Observation?category=laboratory"]
elements = ["Observation.code"]
include_associated_data = ["LatestProvenanceResources"]
organize_output_by = "Patient"
allow_partial_manifests = true
lenient = true
separate_status = true
"#;

#[test]
fn every_setting_of_an_ehr_arrives() {
    let config = ehr(FULL).expect("the file is good");
    let settings = config.settings(Vendor::default(), &["Condition".to_owned()]);
    assert_eq!((settings.method, &settings.level), (Method::Search, &Level::Patient));
    assert_eq!(settings.cohort, Cohort::Listed("/site/patients.txt".into()));
    assert_eq!(
        settings.types,
        ["Patient"],
        "what the file names goes before what the mappings read"
    );
    assert_eq!((settings.hydrate, settings.attachments, settings.signs_in), (false, true, false));
    assert_eq!(settings.effective_scope(), "system/*.read");
    assert_eq!(settings.token_origins.len(), 1);
    assert_eq!(settings.export.elements, ["Observation.code"]);
    assert!(settings.export.lenient && settings.export.separate_status && settings.export.allow_partial_manifests);
    // Midsummer in Berlin: two hours ahead of UTC. Five in the morning is passed at six.
    let now = "2026-07-01T04:00:00Z".parse().expect("an instant");
    let limits = config.limits(&Vendor::default(), now);
    assert_eq!((limits.concurrency, limits.tokens_per_minute, limits.quiet.len()), (2, 10, 2));
    assert_eq!(limits.deadline, Some("2026-07-02T03:00:00Z".parse().expect("an instant")));
    assert_eq!(limits.job_patience, std::time::Duration::from_secs(3 * 24 * 3600));
}

#[test]
fn every_address_in_the_file_is_known_and_no_other() {
    let config = parse(
        &format!("{GOOD}[http]\nproxy = \"http://proxy.example.org:8080\"\n"),
        Path::new("/site"),
    )
    .expect("a good file");
    let known = config.watchful_http().known_hosts.expect("names are watched");
    let names: Vec<&str> = known.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["ehr.example.org", "registry.example.org"]);
    let named = ehr(FULL).expect("the file is good").named_addresses();
    let hosts: Vec<&str> = named.iter().filter_map(Url::host_str).collect();
    assert_eq!(
        hosts,
        ["ehr.example.org", "login.example.org", "site.example.org", "login.example.org"]
    );
}

#[test]
fn a_vendor_bears_no_more_than_it_says() {
    let config = ehr(FULL).expect("the file is good");
    let vendor = Vendor {
        concurrency: 1,
        tokens_per_minute: 5,
        ..Vendor::default()
    };
    let limits = config.limits(&vendor, "2026-07-01T04:00:00Z".parse().expect("an instant"));
    assert_eq!((limits.concurrency, limits.tokens_per_minute), (1, 5));
}

#[test]
fn every_fault_of_an_ehr_is_named_with_its_path() {
    let bad = FULL
        .replace("search", "post")
        .replace("{ list = \"patients.txt\" }", "{ list = \"a\", search = \"b\" }")
        .replace("07:00-19:00", "7-19h")
        .replace("Europe/Berlin", "Berlin/Europe")
        .replace("05:00", "dawn")
        .replace("https://login.example.org\"]", "https://login.example.org/path\"]")
        .replace("parallel = 2", "parallel = 0")
        .replace("lenient = true", "lenient = \"yes\"\ncolour = 1");
    let faults = ehr(&bad).map(|_| ()).expect_err("the file has faults");
    for key in [
        "ehr.method:",
        "ehr.cohort:",
        "ehr.quiet:",
        "ehr.time_zone:",
        "ehr.finish_by:",
        "ehr.extra_origins:",
        "ehr.parallel:",
        "ehr.export.lenient:",
        "ehr.export.colour:",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key} is missing in {faults:?}");
    }
    assert_eq!(faults.len(), 9, "{faults:?}");
}

#[test]
fn there_is_no_switch_to_leave_certificates_unchecked() {
    for key in [
        "insecure",
        "verify_tls",
        "tls_verification",
        "accept_invalid_certs",
        "allow_self_signed",
    ] {
        for section in ["[ehr]", "[site]", "[registry]"] {
            let text = GOOD.replacen(section, &format!("{section}\n{key} = true"), 1);
            let faults = parse(&text, Path::new("/site")).map(|_| ()).expect_err("it must be refused");
            assert!(
                faults.len() == 1 && faults[0].contains(key) && faults[0].contains("ca_file"),
                "{section} {faults:?}"
            );
        }
    }
}

#[test]
fn a_proxys_password_never_stands_in_the_file() {
    let text = format!("{GOOD}[http]\nproxy = \"http://kim:hush@proxy.example.org:8080\"\n");
    let faults = parse(&text, Path::new("/site")).map(|_| ()).expect_err("it must be refused");
    assert!(
        faults.len() == 1 && faults[0].starts_with("http.proxy:") && !faults[0].contains("hush"),
        "{faults:?}"
    );
}

#[test]
fn a_site_can_be_described_before_it_is_enrolled() {
    let text = GOOD.split("[registry]").next().expect("the part before");
    assert!(parse(text, Path::new("/site")).expect("the file is good").registry.is_none());
}

#[test]
fn who_may_leave_is_read_with_its_defaults_and_asks_for_what_it_hangs_on() {
    use crate::gateway::Require;
    let config = parse(GOOD, Path::new("/site")).expect("the file is good");
    assert_eq!((config.consent.require, &config.master), (Require::None, &MasterKey::File));
    let with = |section: &str| parse(&format!("{GOOD}\n{section}"), Path::new("/site"));
    let section =
        "[consent]\nrequire = \"opt-in\"\nflags = [\"urn:x|no\"]\nexclude = [\"lists/a.txt\"]\n[keys]\nmaster_credential = \"m\"\n";
    let config = with(section).expect("the file is good");
    assert_eq!((config.consent.require, config.consent.retrospective), (Require::OptIn, false));
    assert_eq!(config.consent.scopes, ["research"]);
    assert_eq!(config.consent.exclude, [Path::new("/site/lists/a.txt")]);
    assert_ne!(config.master, MasterKey::File);
    let EhrConfig::Fhir(ehr) = &config.ehr else {
        panic!("it names a server")
    };
    let asked = ehr.settings(Vendor::default(), &["Patient".to_owned()]).types;
    assert_eq!(asked, ["Patient", "Consent", "Flag"]);
}

#[test]
fn a_section_of_consent_or_keys_that_would_mean_something_else_is_refused() {
    for (section, fault) in [
        ("[consent]\nretrospective = true\n", "consent.require: is missing"),
        ("[consent]\nrequire = \"maybe\"\n", "consent.require: must be one of"),
        ("[consent]\nrequire = \"opt-in\"\nscopes = []\n", "consent.scopes:"),
        (
            "[consent]\nrequire = \"none\"\ncodes = [\"x\"]\n",
            "consent.codes: is about FHIR Consents",
        ),
        (
            "[consent]\nrequire = \"opt-in\"\nexcluded = [\"x\"]\n",
            "consent.excluded: is not a setting",
        ),
        (
            "[keys]\nmaster_credential = \"../key\"\n",
            "keys.master_credential: must be the name",
        ),
        ("[keys]\nnext_credential = \"b\"\n", "keys.next_credential: stands without"),
    ] {
        let faults = parse(&format!("{GOOD}\n{section}"), Path::new("/site"))
            .map(|_| ())
            .expect_err("refused");
        assert!(faults.iter().any(|found| found.starts_with(fault)), "{fault}: {faults:?}");
    }
}

#[test]
fn a_site_says_its_stricter_rules_by_column_and_nothing_else_there() {
    let with = |more: &str| parse(&format!("{GOOD}{more}"), Path::new("/site"));
    let config = with("[deidentify.tighten]\n\"patient.zip3\" = \"drop\"\nnote = \"withhold\"\n").expect("a good file");
    let mut found = config.tighten;
    found.sort();
    let pair = |place: &str, rule: &str| (place.to_owned(), rule.to_owned());
    assert_eq!(found, [pair("note", "withhold"), pair("patient.zip3", "drop")]);
    assert!(parse(GOOD, Path::new("/site")).expect("the file is good").tighten.is_empty());
    for (more, place) in [
        ("[deidentify]\nloosen = 1\n", "deidentify.loosen"),
        ("[deidentify.tighten]\n\"patient.zip3\" = 3\n", "patient.zip3"),
    ] {
        let faults = with(more).expect_err("refused").join("\n");
        assert!(faults.contains(place), "{faults}");
    }
}
