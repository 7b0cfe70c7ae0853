//! `registry.toml`: where the registry listens, keeps its data and finds its models, and what it accepts.
//! Every fault is named at once, with its key's path. Secrets are files in `keys`, never in here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::submission::{is_model_name, is_sha256_hex, is_word};

/// The registry's settings. Paths are as they are opened: relative ones were joined to the file's folder.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `listen`: address and port. Default 127.0.0.1:8480.
    pub listen: SocketAddr,
    /// `base_url`: the address sites use, without a slash at its end. Default: http:// and the address listened on.
    pub base_url: Option<String>,
    /// `data`: database, drop and log. Default `data`.
    pub data: PathBuf,
    /// `keys`: the log's key. Default `keys`.
    pub keys: PathBuf,
    /// `models`: one folder of JSON Schemas per model. Default `profiles`.
    pub models: PathBuf,
    /// `log_origin`: the log's name for ever, e.g. `registry.example.org/log`. Required.
    pub log_origin: String,
    /// `[[accept]]`: what submissions may hold. At least one.
    pub accept: Vec<Accept>,
}

/// One model and the policies under which its rows are accepted. What is not listed is refused.
#[derive(Clone, Debug, Default)]
pub struct Accept {
    pub model: String,
    /// At least one.
    pub policies: Vec<String>,
    /// `model_digests`: when given, only these versions of the model.
    pub model_digests: Option<Vec<String>>,
    /// `policy_digests`: when given, only these versions of the policies.
    pub policy_digests: Option<Vec<String>>,
}

/// One fault of the file: the key's path and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {fault}")]
pub struct SettingsFault {
    pub key: String,
    pub fault: String,
}

impl Settings {
    /// The settings of a registry that lives in `dir`, accepts `accept` and finds its models in `models`.
    pub fn in_dir(dir: &Path, models: &Path, log_origin: &str, accept: Vec<Accept>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8480)),
            base_url: None,
            data: dir.join("data"),
            keys: dir.join("keys"),
            models: models.to_owned(),
            log_origin: log_origin.to_owned(),
            accept,
        }
    }

    /// Reads `<dir>/registry.toml`.
    /// # Errors: every fault of the file.
    pub fn load(dir: &Path) -> Result<Self, Vec<SettingsFault>> {
        let path = dir.join("registry.toml");
        let text = std::fs::read_to_string(&path).map_err(|_| {
            vec![SettingsFault {
                key: path.display().to_string(),
                fault: "cannot be read; `headwater registry init` writes it".into(),
            }]
        })?;
        Self::read(dir, &text)
    }

    /// Reads the settings from TOML; relative paths are relative to `dir`.
    /// # Errors: every fault, with its key's path.
    pub fn read(dir: &Path, text: &str) -> Result<Self, Vec<SettingsFault>> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error
                .span()
                .map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            vec![SettingsFault {
                key: "registry.toml".into(),
                fault: format!("is not TOML at line {line}: {}", error.message()),
            }]
        })?;
        let mut faults = Vec::new();
        let mut keys = Keys {
            table,
            path: String::new(),
            faults: &mut faults,
        };
        let listen = keys.text("listen").unwrap_or_else(|| "127.0.0.1:8480".into());
        let listen = listen.parse().unwrap_or_else(|_| {
            keys.fault("listen", "is not an address and a port, such as 127.0.0.1:8480");
            SocketAddr::from(([127, 0, 0, 1], 8480))
        });
        let base_url = keys.text("base_url");
        if base_url.as_deref().is_some_and(|url| !is_base_url(url)) {
            keys.fault(
                "base_url",
                "is not http:// or https:// with a host, without query and without a slash at its end",
            );
        }
        let mut folder = |name: &str, default: &str| dir.join(keys.text(name).unwrap_or_else(|| default.to_owned()));
        let (data, key_dir, models) = (folder("data", "data"), folder("keys", "keys"), folder("models", "profiles"));
        let log_origin = keys.text("log_origin").unwrap_or_default();
        if log_origin.is_empty() || log_origin.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
            keys.fault(
                "log_origin",
                "is missing, or holds white space or `+`; it is the log's name for ever",
            );
        }
        let accept = read_accept(&mut keys);
        keys.nothing_left();
        if faults.is_empty() {
            Ok(Self {
                listen,
                base_url,
                data,
                keys: key_dir,
                models,
                log_origin,
                accept,
            })
        } else {
            Err(faults)
        }
    }
}

fn read_accept(keys: &mut Keys<'_>) -> Vec<Accept> {
    let items = match keys.table.remove("accept") {
        Some(Value::Array(items)) if !items.is_empty() => items,
        _ => {
            keys.fault("accept", "is missing: without [[accept]] every submission would be refused");
            return Vec::new();
        }
    };
    let mut accept: Vec<Accept> = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        let path = format!("accept[{at}]");
        let Value::Table(table) = item else {
            keys.fault(&path, "is no table");
            continue;
        };
        let mut keys = Keys {
            table,
            path: format!("{path}."),
            faults: keys.faults,
        };
        let model = keys.text("model").unwrap_or_default();
        if !is_model_name(&model) {
            keys.fault(
                "model",
                "is missing or no name of lower-case letters, digits, `_`, `-` and single dots",
            );
        } else if accept.iter().any(|earlier| earlier.model == model) {
            keys.fault("model", "is listed a second time");
        }
        let policies = keys.texts("policies").unwrap_or_default();
        if policies.is_empty() || !policies.iter().all(|policy| is_word(policy)) {
            keys.fault("policies", "is missing, empty or holds what is no name");
        }
        let mut digests = |name| {
            let digests = keys.texts(name);
            if digests.iter().flatten().any(|digest| !is_sha256_hex(digest)) {
                keys.fault(name, "holds what is no SHA-256 in lower-case hex");
            }
            digests
        };
        let (model_digests, policy_digests) = (digests("model_digests"), digests("policy_digests"));
        keys.nothing_left();
        accept.push(Accept {
            model,
            policies,
            model_digests,
            policy_digests,
        });
    }
    accept
}

/// `http(s)://host[:port][/path]`.
fn is_base_url(url: &str) -> bool {
    let Ok(uri) = url.parse::<axum::http::Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && uri.query().is_none()
        && !url.contains('#')
        && !url.ends_with('/')
}

/// The keys of one table that are not read yet.
struct Keys<'f> {
    table: Table,
    path: String,
    faults: &'f mut Vec<SettingsFault>,
}

impl Keys<'_> {
    fn fault(&mut self, key: &str, fault: &str) {
        self.faults.push(SettingsFault {
            key: format!("{}{key}", self.path),
            fault: fault.to_owned(),
        });
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.table.remove(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.fault(key, "is no text");
                None
            }
        }
    }

    fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let texts = match self.table.remove(key)? {
            Value::Array(items) => items.into_iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        if texts.is_none() {
            self.fault(key, "is no list of texts");
        }
        texts
    }

    fn nothing_left(&mut self) {
        let unknown: Vec<String> = self.table.keys().cloned().collect();
        for key in unknown {
            self.fault(&key, "is no setting; check its spelling");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let faults = Settings::read(Path::new("/r"), text).expect_err("must have faults");
        faults.into_iter().map(|fault| fault.key).collect()
    }

    #[test]
    fn a_short_file_is_filled_with_the_defaults() {
        let text = "log_origin = \"r.example/log\"\n[[accept]]\nmodel = \"m\"\npolicies = [\"safe-harbor\"]\n";
        let settings = Settings::read(Path::new("/r"), text).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8480");
        assert_eq!(settings.data, Path::new("/r/data"));
        assert_eq!(settings.models, Path::new("/r/profiles"));
        assert_eq!(settings.accept[0].model_digests, None);
    }

    #[test]
    fn every_fault_is_named_at_once_with_its_path() {
        let text = "listen = \"here\"\nbase_url = \"ftp://x\"\nlog_origin = \"a b\"\nlisten_to = 1\n\
            [[accept]]\nmodel = \"M\"\npolicies = []\nmodel_digests = [\"x\"]\nfoo = 1\n";
        let wanted = [
            "listen",
            "base_url",
            "log_origin",
            "accept[0].model",
            "accept[0].policies",
            "accept[0].model_digests",
            "accept[0].foo",
            "listen_to",
        ];
        assert_eq!(faults(text), wanted);
    }

    #[test]
    fn a_registry_that_would_accept_nothing_does_not_start() {
        assert_eq!(faults("log_origin = \"r\"\n"), ["accept"]);
        assert_eq!(faults("log_origin = \"r\"\naccept = []\n"), ["accept"]);
        assert_eq!(faults("= 1"), ["registry.toml"]);
    }

    #[test]
    fn a_base_url_is_an_origin_with_perhaps_a_path() {
        for good in ["http://127.0.0.1:8480", "https://r.example/hub"] {
            assert!(is_base_url(good), "{good}");
        }
        for bad in [
            "r.example",
            "https://r.example/",
            "https://u@r.example",
            "https://r.example?x",
            "https://r/#x",
            "file:///x",
        ] {
            assert!(!is_base_url(bad), "{bad}");
        }
    }
}
