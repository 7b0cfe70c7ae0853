//! Reads `site.toml`: gathers each part's settings and reports every fault at once, with the key's path.
//! Secrets never stand in the file: it names where they lie.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// A site, as its file describes it. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub registry: RegistryLinkConfig,
    pub limits: Limits,
}

/// Where the patients' data come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EhrConfig {
    Bulk {
        base: String,
        client_id: String,
        level: Level,
        types: Option<Vec<String>>,
        extra_origins: Vec<String>,
        parallel: usize,
    },
    Files {
        folder: PathBuf,
    },
}

/// At which level `$export` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Level {
    System,
    Patient,
    Group(String),
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
    let mut reader = Reader { faults: Vec::new() };
    let root = Section {
        path: String::new(),
        table: &table,
    };
    reader.only(&root, &["site", "ehr", "registry", "limits"]);
    let site = reader.section(&root, "site");
    let ehr = reader.section(&root, "ehr");
    let registry = reader.section(&root, "registry");
    let config = SiteConfig {
        name: reader.text(&site, "name"),
        network: reader.text(&site, "network"),
        state: base.join(reader.optional_text(&site, "state").unwrap_or_else(|| "state".into())),
        package: reader.optional_text(&site, "package").map(|path| base.join(path)),
        model: reader.optional_text(&site, "model").unwrap_or_else(|| "ibd-registry".into()),
        policy: reader.one_of(&site, "policy", &["safe-harbor", "limited-data-set"]),
        threads: reader.number(&site, "threads", 1..=256, 2),
        ehr: reader.ehr(&ehr, base),
        registry: RegistryLinkConfig {
            base: reader.url(&registry, "base"),
            client_id: reader.text(&registry, "client_id"),
            log_vkey: reader.text(&registry, "log_vkey"),
        },
        limits: reader.limits(&root),
    };
    reader.only(&site, &["name", "network", "state", "package", "model", "policy", "threads"]);
    reader.only(&registry, &["base", "client_id", "log_vkey"]);
    if reader.faults.is_empty() { Ok(config) } else { Err(reader.faults) }
}

struct Section<'a> {
    path: String,
    table: &'a Table,
}

struct Reader {
    faults: Vec<String>,
}

impl Reader {
    fn fault(&mut self, section: &Section<'_>, key: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{}{key}: {what}", section.path));
    }

    fn section<'a>(&mut self, parent: &Section<'a>, key: &str) -> Section<'a> {
        static EMPTY: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::new);
        let table = match parent.table.get(key) {
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.fault(parent, key, "must be a section");
                &EMPTY
            }
            None => {
                self.fault(parent, key, format!("is missing; add a [{key}] section"));
                &EMPTY
            }
        };
        Section {
            path: format!("{}{key}.", parent.path),
            table,
        }
    }

    fn only(&mut self, section: &Section<'_>, known: &[&str]) {
        // A section that is missing was reported already.
        for key in section.table.keys().filter(|key| !known.contains(&key.as_str())) {
            self.fault(section, key, format!("is not a setting; known here: {}", known.join(", ")));
        }
    }

    fn optional_text(&mut self, section: &Section<'_>, key: &str) -> Option<String> {
        match section.table.get(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            _ => {
                self.fault(section, key, "must be a text that is not empty");
                None
            }
        }
    }

    fn text(&mut self, section: &Section<'_>, key: &str) -> String {
        if !section.table.contains_key(key) {
            self.fault(section, key, "is missing");
        }
        self.optional_text(section, key).unwrap_or_default()
    }

    fn url(&mut self, section: &Section<'_>, key: &str) -> String {
        let text = self.text(section, key);
        if !text.is_empty() && !reqwest::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host()) {
            self.fault(section, key, "must be an absolute https address");
        }
        text
    }

    fn one_of(&mut self, section: &Section<'_>, key: &str, known: &[&str]) -> String {
        let text = self.text(section, key);
        if !text.is_empty() && !known.contains(&text.as_str()) {
            self.fault(section, key, format!("must be one of: {}", known.join(", ")));
        }
        text
    }

    fn number(&mut self, section: &Section<'_>, key: &str, range: std::ops::RangeInclusive<usize>, default: usize) -> usize {
        match section.table.get(key) {
            None => default,
            Some(Value::Integer(number)) if usize::try_from(*number).is_ok_and(|number| range.contains(&number)) => {
                usize::try_from(*number).unwrap_or(default)
            }
            Some(_) => {
                self.fault(
                    section,
                    key,
                    format!("must be a whole number from {} to {}", range.start(), range.end()),
                );
                default
            }
        }
    }

    fn list(&mut self, section: &Section<'_>, key: &str) -> Option<Vec<String>> {
        let value = section.table.get(key)?;
        let list: Option<Vec<String>> = value
            .as_array()
            .and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        match list {
            Some(list) if !list.is_empty() => Some(list),
            // An empty allow-list allows nothing; it is never read as "everything".
            _ => {
                self.fault(section, key, "must be a list of texts that is not empty");
                None
            }
        }
    }

    fn ehr(&mut self, ehr: &Section<'_>, base: &Path) -> EhrConfig {
        match self.one_of(ehr, "kind", &["bulk", "files"]).as_str() {
            "files" => {
                self.only(ehr, &["kind", "folder"]);
                EhrConfig::Files {
                    folder: base.join(self.text(ehr, "folder")),
                }
            }
            _ => {
                self.only(
                    ehr,
                    &["kind", "base", "client_id", "level", "group", "types", "extra_origins", "parallel"],
                );
                let level = match ehr.table.get("level").and_then(Value::as_str) {
                    Some("system") => Level::System,
                    Some("patient") => Level::Patient,
                    Some("group") => Level::Group(self.text(ehr, "group")),
                    _ => {
                        self.fault(ehr, "level", "must be one of: group, patient, system");
                        Level::System
                    }
                };
                EhrConfig::Bulk {
                    base: self.url(ehr, "base"),
                    client_id: self.text(ehr, "client_id"),
                    level,
                    types: self.list(ehr, "types"),
                    extra_origins: self.list(ehr, "extra_origins").unwrap_or_default(),
                    parallel: self.number(ehr, "parallel", 1..=32, 4),
                }
            }
        }
    }

    fn limits(&mut self, root: &Section<'_>) -> Limits {
        let default = Limits::default();
        if !root.table.contains_key("limits") {
            return default;
        }
        let limits = self.section(root, "limits");
        self.only(&limits, &["line_mib", "depth", "vanish_percent"]);
        Limits {
            line_mib: self.number(&limits, "line_mib", 1..=256, default.line_mib),
            depth: self.number(&limits, "depth", 8..=256, default.depth),
            vanish_percent: u8::try_from(self.number(&limits, "vanish_percent", 0..=100, default.vanish_percent.into())).unwrap_or(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(matches!(config.ehr, EhrConfig::Bulk { level: Level::Group(ref group), types: None, .. } if group == "all"));
    }

    #[test]
    fn every_fault_is_named_at_once_with_its_key() {
        let bad = GOOD
            .replace("name = \"north\"", "name = 7\ncolour = \"red\"")
            .replace("limited-data-set", "everything")
            .replace("level = \"group\"", "level = \"ward\"\ntypes = []")
            .replace("https://registry.example.org", "registry")
            + "[limits]\ndepth = 1\n";
        let faults = parse(&bad, Path::new("/site")).expect_err("the file has faults");
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
        let faults = parse("", Path::new("/site")).expect_err("nothing is there");
        for key in ["site:", "ehr:", "registry:"] {
            assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key} is missing in {faults:?}");
        }
    }
}
