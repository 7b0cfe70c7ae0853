//! The text of a new `site.toml`. Knows the names of the keys, which `config` reads.

use std::path::PathBuf;

use crate::config::SiteConfig;
use crate::platform::backend_services::Algorithm;
use crate::platform::http::HttpSettings;
use crate::submit::Enrolled;

/// The site that is to be made.
pub(in crate::cli) struct Plan {
    pub(in crate::cli) source: Source,
    pub(in crate::cli) network: String,
    pub(in crate::cli) policy: String,
    /// The model of a site that is not enrolled; the registry names it at enrolment.
    pub(in crate::cli) model: String,
    /// The folder with Athena's CSV files.
    pub(in crate::cli) vocabulary: Option<PathBuf>,
    pub(in crate::cli) http: HttpSettings,
}

/// Where the new site's data come from.
pub(in crate::cli) enum Source {
    Fhir(Fhir),
    Files(PathBuf),
}

/// A FHIR server.
pub(in crate::cli) struct Fhir {
    pub(in crate::cli) base: String,
    pub(in crate::cli) client_id: String,
    pub(in crate::cli) group: Option<String>,
    pub(in crate::cli) vendor: String,
    pub(in crate::cli) method: String,
    pub(in crate::cli) jwks_url: Option<String>,
    pub(in crate::cli) algorithm: Algorithm,
}

impl Fhir {
    /// Every patient of this server, asked as it is good at.
    pub(in crate::cli) fn new(base: &str, client_id: &str) -> Self {
        Self {
            base: base.to_owned(),
            client_id: client_id.to_owned(),
            group: None,
            vendor: "generic".to_owned(),
            method: "planned".to_owned(),
            jwks_url: None,
            algorithm: Algorithm::Es384,
        }
    }
}

fn quoted(value: &str) -> String {
    toml::Value::from(value).to_string()
}

/// The file; `named` is the name of a site that no registry has named yet.
pub(super) fn text(plan: &Plan, link: Option<(&Enrolled, &str)>, named: &str) -> String {
    let (name, model) = link.map_or((named, plan.model.as_str()), |(enrolled, _)| (&enrolled.site, &enrolled.model));
    let mut text = format!(
        "# A Headwater site. Secrets are not in this file: the keys are in state/keys, readable by their owner only.\n\
         [site]\nname = {}\nnetwork = {}\nmodel = {}\npolicy = {}\nstate = \"state\"\n# threads = 2\n\n[ehr]\n",
        quoted(name),
        quoted(&plan.network),
        quoted(model),
        quoted(&plan.policy),
    );
    if let Some(folder) = &plan.vocabulary {
        let line = format!("vocabulary = {}\n", quoted(&folder.display().to_string()));
        text = text.replacen("policy = ", &format!("{line}policy = "), 1);
    }
    match &plan.source {
        Source::Files(folder) => text.push_str(&format!("kind = \"files\"\nfolder = {}\n", quoted(&folder.display().to_string()))),
        Source::Fhir(fhir) => {
            text.push_str(&format!(
                "kind = \"fhir\"\nbase = {}\nclient_id = {}\nvendor = {}\nmethod = {}\n",
                quoted(&fhir.base),
                quoted(&fhir.client_id),
                quoted(&fhir.vendor),
                quoted(&fhir.method)
            ));
            text.push_str(&fhir.group.as_deref().map_or(
                "level = \"patient\"        # or \"system\", or \"group\" with group = \"id\"\n".to_owned(),
                |group| format!("level = \"group\"\ngroup = {}\n", quoted(group)),
            ));
            if let Some(url) = &fhir.jwks_url {
                text.push_str(&format!("jwks_url = {}\n", quoted(url)));
            }
        }
    }
    if plan.http.ca_file.is_some() || plan.http.proxy.is_some() {
        text.push_str("\n[http]\n");
    }
    if let Some(path) = &plan.http.ca_file {
        text.push_str(&format!("ca_file = {}\n", quoted(&path.display().to_string())));
    }
    if let Some(proxy) = &plan.http.proxy {
        text.push_str(&format!("proxy = {}\n", quoted(proxy)));
    }
    if let Some((enrolled, registry)) = link {
        text.push_str(&section(enrolled, registry));
    }
    text
}

fn section(enrolled: &Enrolled, registry: &str) -> String {
    format!(
        "\n[registry]\nbase = {}\nclient_id = {}\n# the verifier key of the registry's log, pinned at enrolment\nlog_vkey = {}\n",
        quoted(registry),
        quoted(&enrolled.client_id),
        quoted(&enrolled.log_vkey),
    )
}

/// The file of a site that is enrolled now: a new section, and the registry's own words for name and model. All else stays.
pub(super) fn enrolled(old: &str, config: &SiteConfig, enrolled: &Enrolled, registry: &str) -> String {
    let set = |text: &str, key: &str, from: &str, to: &str| {
        let line = |value: &str| format!("{key} = {}", quoted(value));
        text.replacen(&line(from), &line(to), 1)
    };
    let text = set(old, "name", &config.name, &enrolled.site);
    let text = set(&text, "model", &config.model, &enrolled.model);
    format!("{}\n{}", text.trim_end(), section(enrolled, registry))
}
