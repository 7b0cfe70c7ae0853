//! Makes a registry's folder: `registry.toml`, the models' schemas, the log's key, the empty store. What is there is never replaced.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::platform::clock::Clock;
use crate::platform::file::{FileError, create_dir_private, write_durable};
use crate::platform::random;
use crate::receive::{self, OpenError, Records, Settings};

/// What a new registry is to be.
#[derive(Clone, Debug)]
pub struct NewRegistry {
    pub listen: SocketAddr,
    /// The address sites will use; `None`: the address listened on.
    pub base_url: Option<String>,
    /// Each model accepted: its name and its schema files, `(file name, JSON text)`.
    pub models: Vec<(String, Vec<(String, String)>)>,
    /// The policies accepted, for every model.
    pub policies: Vec<String>,
}

/// Why no registry was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("`{0}` is there already; a registry is made once")]
    Exists(String),
    #[error("what was asked for is no registry: {0}")]
    Settings(String),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("folder `{path}` cannot be made")]
    Folder {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Makes the registry in `dir`; its settings.
/// # Errors: one is there, a name is none, the folder cannot be written.
pub fn init(dir: &Path, new: &NewRegistry, clock: Clock) -> Result<Settings, InitError> {
    let file = dir.join("registry.toml");
    if file.exists() {
        return Err(InitError::Exists(file.display().to_string()));
    }
    let text = toml_text(new);
    let settings = Settings::read(dir, &text).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        InitError::Settings(faults.join("; "))
    })?;
    if !dir.is_dir() {
        create_dir_private(dir)?;
    }
    for (model, schemas) in &new.models {
        let folder = settings.models.join(model);
        fs::create_dir_all(&folder).map_err(|source| InitError::Folder {
            path: folder.display().to_string(),
            source,
        })?;
        for (name, schema) in schemas {
            write_durable(&folder.join(name), schema.as_bytes())?;
        }
    }
    receive::prepare(&settings)?;
    Records::open(&settings, clock)?;
    // Last: a folder with this file is a registry.
    write_durable(&file, text.as_bytes())?;
    Ok(settings)
}

fn toml_text(new: &NewRegistry) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = String::from("# The registry's settings; every key is explained in the operator's book. Secrets are files in `keys`.\n");
    text.push_str(&format!("listen = {}\n", quoted(&new.listen.to_string())));
    text.push_str("# The address sites and operators use, when it is not the one listened on (behind a proxy that ends TLS):\n");
    match &new.base_url {
        Some(url) => text.push_str(&format!("base_url = {}\n", quoted(url))),
        None => text.push_str("# base_url = \"https://registry.example.org\"\n"),
    }
    let host = new.base_url.as_deref().and_then(|url| url.parse::<axum::http::Uri>().ok());
    let host = host.and_then(|uri| uri.host().map(str::to_owned));
    let host = host.unwrap_or_else(|| format!("registry-{}", random::hex(4)));
    text.push_str("# The log's name for ever: sites have pinned it.\n");
    text.push_str(&format!("log_origin = {}\n", quoted(&format!("{host}/log"))));
    text.push_str("data = \"data\"\nkeys = \"keys\"\nmodels = \"profiles\"\n");
    let policies: Vec<String> = new.policies.iter().map(|policy| quoted(policy)).collect();
    for (model, _) in &new.models {
        text.push_str(&format!(
            "\n# What is not listed is refused. `model_digests` and `policy_digests` may narrow it to versions.\n[[accept]]\nmodel = {}\npolicies = [{}]\n",
            quoted(model),
            policies.join(", ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> NewRegistry {
        let schema = r#"{"type":"object","additionalProperties":false,"x-order":["k"],"x-key":"k","properties":{"k":{"type":"string"}}}"#;
        NewRegistry {
            listen: "127.0.0.1:0".parse().unwrap(),
            base_url: Some("https://r.example/hub".into()),
            models: vec![("m".into(), vec![("t.schema.json".into(), schema.into())])],
            policies: vec!["safe-harbor".into()],
        }
    }

    #[test]
    fn a_new_registry_opens_and_is_not_made_twice() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new");
        let clock = Clock::system();
        init(&dir, &new(), clock.clone()).unwrap();
        let settings = Settings::load(&dir).unwrap();
        assert_eq!(settings.log_origin, "r.example/log");
        crate::receive::Registry::open(&settings, "https://r.example/hub", clock.clone()).unwrap();
        assert!(matches!(init(&dir, &new(), clock), Err(InitError::Exists(_))));
    }

    #[test]
    fn the_logs_key_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        init(dir.path(), &new(), Clock::system()).unwrap();
        let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode("keys"), mode("keys/log.seed"), mode("data/registry.db")),
            (0o700, 0o600, 0o600)
        );
    }

    #[test]
    fn a_registry_of_no_policy_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let mut none = new();
        none.policies.clear();
        let error = init(dir.path(), &none, Clock::system()).unwrap_err();
        assert!(error.to_string().contains("accept[0].policies"), "{error}");
        assert!(!dir.path().join("registry.toml").exists());
    }
}
