//! `headwater init`: makes a site: keys, enrolment at the registry, `site.toml`, and the text to give to the EHR's team.

use std::path::{Path, PathBuf};

use super::{Exit, Failure, chain, runtime, show};
use crate::gateway::Places;
use crate::platform::backend_services::ClientKey;
use crate::platform::signing::SigningKey;
use crate::platform::{file, http};
use crate::submit::{self, Enrolled, SubmitError};

#[derive(clap::Args)]
#[command(
    after_help = "Example: headwater init ./north --ehr https://ehr.example.org/fhir --client-id headwater \\\n         \
                        --group ibd --registry https://registry.example.org --enrol CODE"
)]
pub(super) struct Args {
    /// The site's folder: site.toml and state/ are made in it
    dir: PathBuf,
    /// Base address of the EHR's FHIR server
    #[arg(long, value_name = "URL", required_unless_present = "files", conflicts_with = "files")]
    ehr: Option<String>,
    /// A folder of NDJSON or Bundles instead of an EHR
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    /// The client id the EHR gave this gateway
    #[arg(long, value_name = "ID", default_value = "headwater")]
    client_id: String,
    /// Export this Group; without it, every patient
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// Base address of the registry
    #[arg(long, value_name = "URL")]
    registry: String,
    /// The one-time enrolment code from the registry's operator
    #[arg(long, value_name = "CODE")]
    enrol: String,
    /// The network the site belongs to; pseudonyms of two networks never meet
    #[arg(long, value_name = "NAME", default_value = "pedibd")]
    network: String,
    /// How data are de-identified: limited-data-set (needs a data use agreement) or safe-harbor
    #[arg(long, default_value = "safe-harbor", value_parser = ["safe-harbor", "limited-data-set"])]
    policy: String,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let file = args.dir.join("site.toml");
    if file.exists() {
        return Err(Failure::usage(format!(
            "{} is there already; a site is made once. Remove it only if no run has been made with its keys",
            file.display()
        )));
    }
    let ehr = match (&args.ehr, &args.files) {
        (Some(base), _) => Ehr::Bulk {
            base,
            client_id: &args.client_id,
            group: args.group.as_deref(),
        },
        (None, Some(folder)) => {
            let folder = folder
                .canonicalize()
                .map_err(|error| Failure::usage(format!("--files {}: cannot be read ({})", folder.display(), error.kind())))?;
            Ehr::Files(folder)
        }
        (None, None) => return Err(Failure::usage("name the EHR with --ehr URL, or a folder with --files DIR")),
    };
    let client = http::client(&http::HttpSettings::default()).map_err(|error| Failure::ours(&error))?;
    let made = runtime()?.block_on(make(
        &client,
        &args.dir,
        &ehr,
        &args.registry,
        &args.enrol,
        &args.network,
        &args.policy,
    ))?;
    show::answer(&file.display().to_string());
    show::note(&format!(
        "site `{}` is enrolled; its keys are in {} (back them up, they cannot be made again)",
        made.enrolled.site,
        made.places.keys().display()
    ));
    if let Ehr::Bulk { client_id, .. } = ehr {
        show::note(&registration_text(client_id, &made.ehr_jwk));
    }
    show::note(&format!("next: headwater sync --site {} --rehearse", file.display()));
    Ok(())
}

/// What to give to the EHR's team.
pub(super) fn registration_text(client_id: &str, jwk: &serde_json::Value) -> String {
    format!(
        "register at the EHR: a SMART Backend Services client (confidential, asymmetric) with\n  \
         client id  {client_id}   (if the EHR gives another one, write it to ehr.client_id in site.toml)\n  \
         scopes     system/*.rs, or one system/<Type>.rs per type that is exported\n  \
         JWK Set    {}",
        serde_json::json!({ "keys": [jwk] })
    )
}

/// Where the new site's data come from.
pub(super) enum Ehr<'a> {
    Bulk {
        base: &'a str,
        client_id: &'a str,
        group: Option<&'a str>,
    },
    Files(PathBuf),
}

/// What was made.
pub(super) struct Made {
    pub enrolled: Enrolled,
    pub places: Places,
    pub ehr_jwk: serde_json::Value,
}

/// Keys, then enrolment, then the file: a failed enrolment leaves keys that the next try uses.
pub(super) async fn make(
    client: &reqwest::Client,
    dir: &Path,
    ehr: &Ehr<'_>,
    registry: &str,
    code: &str,
    network: &str,
    policy: &str,
) -> Result<Made, Failure> {
    file::create_dir_private(dir).map_err(|error| Failure::ours(&error))?;
    let places = Places::of(&dir.join("state"));
    places.make_keys().map_err(|error| Failure::ours(&error))?;
    let ehr_jwk = ClientKey::from_file(&places.ehr_key())
        .map_err(|error| Failure::ours(&error))?
        .public_jwk();
    let registry_key = ClientKey::from_file(&places.registry_key()).map_err(|error| Failure::ours(&error))?;
    let manifest_key = SigningKey::from_seed_file(&places.manifest_key()).map_err(|error| Failure::ours(&error))?;
    let enrolled = submit::enrol(client, registry, code, &registry_key, &manifest_key)
        .await
        .map_err(|error| match error {
            SubmitError::Retry { why, .. } => Failure::new(
                Exit::Partial,
                format!("could not enrol at the registry {registry}: {why}; the keys are made and kept, run the same again"),
            ),
            error => Failure::usage(chain(&error)),
        })?;
    let toml = site_toml(&enrolled, ehr, registry, network, policy);
    file::write_durable(&dir.join("site.toml"), toml.as_bytes()).map_err(|error| Failure::ours(&error))?;
    Ok(Made { enrolled, places, ehr_jwk })
}

fn site_toml(enrolled: &Enrolled, ehr: &Ehr<'_>, registry: &str, network: &str, policy: &str) -> String {
    let text = |value: &str| toml::Value::from(value).to_string();
    let source = match ehr {
        Ehr::Files(folder) => format!("kind = \"files\"\nfolder = {}\n", text(&folder.display().to_string())),
        Ehr::Bulk { base, client_id, group } => {
            let level = group.map_or(
                "level = \"patient\"        # or \"system\", or \"group\" with group = \"id\"\n".to_owned(),
                |group| format!("level = \"group\"\ngroup = {}\n", text(group)),
            );
            format!("kind = \"bulk\"\nbase = {}\nclient_id = {}\n{level}", text(base), text(client_id))
        }
    };
    format!(
        "# A Headwater site. Secrets are not in this file: the keys are in state/keys, readable by their owner only.\n\
         [site]\nname = {}\nnetwork = {}\nmodel = {}\npolicy = {}\nstate = \"state\"\n# threads = 2\n\n\
         [ehr]\n{source}\n\
         [registry]\nbase = {}\nclient_id = {}\n# the verifier key of the registry's log, pinned at enrolment\nlog_vkey = {}\n",
        text(&enrolled.site),
        text(network),
        text(&enrolled.model),
        text(policy),
        text(registry),
        text(&enrolled.client_id),
        text(&enrolled.log_vkey),
    )
}
