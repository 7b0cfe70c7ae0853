//! Reads `site.toml`: gathers each part's settings and reports every fault at once, with the key's path.
//! Secrets never stand in the file: it names where they lie.

use std::path::{Path, PathBuf};

use toml::Table;

use crate::platform::file;
use crate::platform::http::{HttpSettings, Url};

mod ehr;
mod hours;
mod reader;

pub use ehr::{EhrConfig, FhirConfig, VendorFile};
pub use hours::FinishBy;

use reader::{Reader, Section};

/// A site, as its file describes it. Paths are absolute.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    pub name: String,
    pub network: String,
    pub state: PathBuf,
    /// `None`: the network package inside the binary.
    pub package: Option<PathBuf>,
    pub model: String,
    pub policy: String,
    pub threads: usize,
    pub ehr: EhrConfig,
    /// `None`: the site is not enrolled yet. It can be examined, but not run.
    pub registry: Option<RegistryLinkConfig>,
    /// How this machine reaches the EHR and the registry.
    pub http: HttpSettings,
    pub limits: Limits,
}

impl SiteConfig {
    /// How a run reaches the EHR and the registry: what the file says, watching every name that is not in it.
    pub fn watchful_http(&self) -> HttpSettings {
        let ehr = match &self.ehr {
            EhrConfig::Fhir(ehr) => ehr.named_addresses(),
            EhrConfig::Files { .. } => Vec::new(),
        };
        let registry = self.registry.as_ref().and_then(|link| Url::parse(&link.base).ok());
        let mut http = self.http.clone().knowing(ehr.iter().chain(registry.as_ref()));
        if let (EhrConfig::Fhir(ehr), Some(hosts)) = (&self.ehr, &mut http.known_hosts) {
            ehr.expect(hosts);
        }
        http
    }
}

/// Which registry this site submits to, and how it knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryLinkConfig {
    pub base: String,
    pub client_id: String,
    /// The verifier key of the registry's log, pinned at enrolment.
    pub log_vkey: String,
}

/// Bounds on input and work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest NDJSON line, in MiB.
    pub line_mib: usize,
    /// Deepest nesting of one resource.
    pub depth: usize,
    /// Above this share of known resources vanishing at once a person must decide (exit 4), in per cent.
    pub vanish_percent: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_mib: 16,
            depth: 64,
            vanish_percent: 20,
        }
    }
}

/// Everything that is wrong with the file, one line each.
#[derive(Debug, thiserror::Error)]
#[error("{file} has {} fault(s):\n{}", faults.len(), faults.join("\n"))]
pub struct ConfigError {
    pub file: String,
    pub faults: Vec<String>,
}

/// The site described by `file`; relative paths are relative to its folder.
/// # Errors: every fault at once, each with the key's path.
pub fn load(file: &Path) -> Result<SiteConfig, ConfigError> {
    let fail = |faults| ConfigError {
        file: file.display().to_string(),
        faults,
    };
    let text = std::fs::read_to_string(file).map_err(|error| {
        fail(vec![format!(
            "cannot be read ({}); run `headwater init DIR` to make one, or name it with --site",
            error.kind()
        )])
    })?;
    let base = file
        .parent()
        .unwrap_or(Path::new("."))
        .canonicalize()
        .unwrap_or_else(|_| PathBuf::from("."));
    parse(&text, &base).map_err(fail)
}

fn parse(text: &str, base: &Path) -> Result<SiteConfig, Vec<String>> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        vec![format!("line {line}: is not TOML: {}", error.message())]
    })?;
    let mut reader = Reader::default();
    let root = Section::root(&table);
    reader.only(&root, &["site", "ehr", "registry", "http", "limits"]);
    let site = reader.section(&root, "site");
    let ehr = reader.section(&root, "ehr");
    let config = SiteConfig {
        name: reader.text(&site, "name"),
        network: reader.text(&site, "network"),
        state: base.join(reader.optional_text(&site, "state").unwrap_or_else(|| "state".into())),
        package: reader.optional_text(&site, "package").map(|path| base.join(path)),
        model: reader.optional_text(&site, "model").unwrap_or_else(|| "ibd-registry".into()),
        policy: reader.one_of(&site, "policy", &["safe-harbor", "limited-data-set"]),
        threads: reader.number(&site, "threads", 1..=256, 2),
        ehr: ehr::read(&mut reader, &ehr, base),
        registry: reader
            .optional_section(&root, "registry")
            .map(|registry| link(&mut reader, &registry)),
        http: http(&mut reader, &root, base),
        limits: limits(&mut reader, &root),
    };
    reader.only(&site, &["name", "network", "state", "package", "model", "policy", "threads"]);
    if reader.faults.is_empty() { Ok(config) } else { Err(reader.faults) }
}

fn link(reader: &mut Reader, registry: &Section<'_>) -> RegistryLinkConfig {
    reader.only(registry, &["base", "client_id", "log_vkey"]);
    RegistryLinkConfig {
        base: reader.url_text(registry, "base"),
        client_id: reader.text(registry, "client_id"),
        log_vkey: reader.text(registry, "log_vkey"),
    }
}

fn http(reader: &mut Reader, root: &Section<'_>, base: &Path) -> HttpSettings {
    let Some(http) = reader.optional_section(root, "http") else {
        return HttpSettings::default();
    };
    reader.only(&http, &["ca_file", "proxy", "proxy_file"]);
    let mut proxy = reader.optional_text(&http, "proxy");
    if proxy.as_deref().is_some_and(|proxy| proxy.contains('@')) {
        let what = "holds a user name or password, and secrets never stand in this file: write the whole address to a file only this \
                    user can read, and name that as `proxy_file`";
        reader.fault(&http, "proxy", what);
    }
    if let Some(path) = reader.optional_text(&http, "proxy_file") {
        if proxy.is_some() {
            reader.fault(&http, "proxy_file", "stands beside `proxy`; name one of the two");
        }
        match file::read_secret(&base.join(path)) {
            Ok(secret) => proxy = std::str::from_utf8(secret.expose()).ok().map(|text| text.trim().to_owned()),
            Err(error) => reader.fault(&http, "proxy_file", error),
        }
    }
    HttpSettings {
        ca_file: reader.optional_text(&http, "ca_file").map(|path| base.join(path)),
        proxy,
        ..HttpSettings::default()
    }
}

fn limits(reader: &mut Reader, root: &Section<'_>) -> Limits {
    let default = Limits::default();
    let Some(limits) = reader.optional_section(root, "limits") else {
        return default;
    };
    reader.only(&limits, &["line_mib", "depth", "vanish_percent"]);
    Limits {
        line_mib: reader.number(&limits, "line_mib", 1..=256, default.line_mib),
        depth: reader.number(&limits, "depth", 8..=256, default.depth),
        vanish_percent: u8::try_from(reader.number(&limits, "vanish_percent", 0..=100, default.vanish_percent.into())).unwrap_or(100),
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!((settings.hydrate, settings.attachments), (false, true));
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
}
