//! Reads `site.toml`: gathers each part's settings and reports every fault at once, with the key's path.
//! Secrets never stand in the file: it names where they lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Table;

use crate::gateway::{ConsentSettings, MasterKey, RiskSettings, ValidationSettings};
use crate::platform::file;
use crate::platform::http::{HttpSettings, Url};

mod consent;
mod ehr;
mod hours;
mod reader;
mod validate;

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
    /// The folder with Athena's CSV files, for a model that looks codes up.
    pub vocabulary: Option<PathBuf>,
    pub policy: String,
    /// The site's own stricter rules, as `(table.column, rule)`, or `(table, "withhold")`.
    pub tighten: Vec<(String, String)>,
    pub threads: usize,
    pub ehr: EhrConfig,
    /// `None`: the site is not enrolled yet. It can be examined, but not run.
    pub registry: Option<RegistryLinkConfig>,
    /// How this machine reaches the EHR and the registry.
    pub http: HttpSettings,
    pub limits: Limits,
    /// What resources are held to besides the network's own profiles.
    pub validation: ValidationSettings,
    /// Who may leave.
    pub consent: ConsentSettings,
    /// How many patients must be alike in what leaves of them.
    pub risk: RiskSettings,
    /// Where the master key is kept.
    pub master: MasterKey,
    /// The linkage projects this site takes part in, by name, and where the secret of each lies. None: nobody's linkage keys are made.
    pub linkage: BTreeMap<String, PathBuf>,
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
    reader.only(
        &root,
        &[
            "site",
            "ehr",
            "registry",
            "http",
            "limits",
            "validate",
            "consent",
            "risk",
            "keys",
            "linkage",
            "deidentify",
        ],
    );
    let site = reader.section(&root, "site");
    let ehr = reader.section(&root, "ehr");
    let consent = consent::read(&mut reader, &root, base);
    let config = SiteConfig {
        name: reader.text(&site, "name"),
        network: reader.text(&site, "network"),
        state: base.join(reader.optional_text(&site, "state").unwrap_or_else(|| "state".into())),
        package: reader.optional_text(&site, "package").map(|path| base.join(path)),
        model: reader.optional_text(&site, "model").unwrap_or_else(|| "ibd-registry".into()),
        vocabulary: reader.optional_text(&site, "vocabulary").map(|path| base.join(path)),
        policy: reader.one_of(&site, "policy", &["safe-harbor", "limited-data-set", "expert"]),
        tighten: tighten(&mut reader, &root),
        threads: reader.number(&site, "threads", 1..=256, 2),
        ehr: ehr::read(&mut reader, &ehr, base).also_asking(&consent.types()),
        registry: reader
            .optional_section(&root, "registry")
            .map(|registry| link(&mut reader, &registry)),
        http: http(&mut reader, &root, base),
        limits: limits(&mut reader, &root),
        validation: validate::read(&mut reader, &root, base),
        consent,
        risk: risk(&mut reader, &root),
        master: master(&mut reader, &root),
        linkage: linkage(&mut reader, &root, base),
    };
    reader.only(
        &site,
        &["name", "network", "state", "package", "model", "vocabulary", "policy", "threads"],
    );
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

/// `[deidentify.tighten]`: columns, or whole tables, for which the site lets less leave than its network.
fn tighten(reader: &mut Reader, root: &Section<'_>) -> Vec<(String, String)> {
    let Some(deidentify) = reader.optional_section(root, "deidentify") else {
        return Vec::new();
    };
    reader.only(&deidentify, &["tighten"]);
    let Some(tighten) = reader.optional_section(&deidentify, "tighten") else {
        return Vec::new();
    };
    let places: Vec<String> = tighten.table.keys().cloned().collect();
    places
        .into_iter()
        .map(|place| {
            if tighten.table.get(&place).is_some_and(|value| value.is_table()) {
                let what = format!("must be quoted whole: \"{place}.COLUMN\" = \"drop\"");
                reader.fault(&tighten, &place, what);
                return (place, String::new());
            }
            let rule = reader.text(&tighten, &place);
            (place, rule)
        })
        .collect()
}

/// `[linkage.PROJECT]`, one section for each project.
fn linkage(reader: &mut Reader, root: &Section<'_>, base: &Path) -> BTreeMap<String, PathBuf> {
    let Some(linkage) = reader.optional_section(root, "linkage") else {
        return BTreeMap::new();
    };
    let mut projects = BTreeMap::new();
    for name in linkage.table.keys() {
        if let Some(project) = reader.optional_section(&linkage, name) {
            reader.only(&project, &["secret_file"]);
            projects.insert(name.clone(), base.join(reader.text(&project, "secret_file")));
        }
    }
    projects
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

/// `[keys]`: a credential of the service manager, or, without the section, the file that `init` makes.
fn master(reader: &mut Reader, root: &Section<'_>) -> MasterKey {
    let Some(keys) = reader.optional_section(root, "keys") else {
        return MasterKey::File;
    };
    reader.only(&keys, &["master_credential", "next_credential"]);
    let mut name = |key: &str| {
        let name = reader.optional_text(&keys, key)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !name.bytes().all(fits) || name.starts_with('.') {
            reader.fault(
                &keys,
                key,
                "must be the name of a credential (letters, digits, `-`, `_`, `.`), not a path",
            );
        }
        Some(name)
    };
    match (name("master_credential"), name("next_credential")) {
        (Some(name), next) => MasterKey::Credential { name, next },
        (None, Some(_)) => {
            reader.fault(
                &keys,
                "next_credential",
                "stands without `master_credential`, whose place it is to take",
            );
            MasterKey::File
        }
        (None, None) => MasterKey::File,
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

/// `[risk]`: what makes a patient recognisable, and whether too small a group stops the submission.
fn risk(reader: &mut Reader, root: &Section<'_>) -> RiskSettings {
    let default = RiskSettings::default();
    let Some(risk) = reader.optional_section(root, "risk") else {
        return default;
    };
    reader.only(&risk, &["k", "smaller", "quasi_identifiers"]);
    RiskSettings {
        k: reader.number(&risk, "k", 2..=1000, 11) as u64,
        blocks: reader.optional_one_of(&risk, "smaller", &["warn", "block"]).as_deref() == Some("block"),
        quasi_identifiers: reader.list(&risk, "quasi_identifiers").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
