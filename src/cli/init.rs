//! `headwater init`: makes a site: keys, enrolment at the registry, `site.toml`, and the text to give to the EHR's team.
//! A site may be made, and examined by the doctor, before it has a registry; it is enrolled by a second call.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::{Exit, Failure, chain, runtime, show, source};
use crate::config::{self, EhrConfig};
use crate::gateway::{Places, ehr_keys};
use crate::network::Package;
use crate::platform::backend_services::{Algorithm, ClientKey};
use crate::platform::file;
use crate::platform::http::{self, HttpSettings};
use crate::platform::signing::SigningKey;
use crate::submit::{self, Enrolled, SubmitError};

mod registration;
mod site_file;

pub(super) use site_file::{Fhir, Plan, Source};

#[derive(clap::Args)]
#[command(
    after_help = "On a terminal it asks for what is missing. Without a code from a registry yet: --no-registry, and later\n\
                        headwater init DIR --registry URL --enrol CODE.\n\n\
                        Example: headwater init ./north --ehr https://ehr.example.org/fhir --client-id headwater \\\n         \
                        --group ibd --registry https://registry.example.org --enrol CODE"
)]
pub(super) struct Args {
    /// The site's folder: site.toml and state/ are made in it
    dir: PathBuf,
    /// Base address of the EHR's FHIR server
    #[arg(long, value_name = "URL", conflicts_with = "files")]
    ehr: Option<String>,
    /// A folder of NDJSON or Bundles instead of an EHR
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    /// The client id the EHR gave this gateway
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Ask for this Group; without it, for every patient
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// Whose EHR it is: a vendor profile such as epic, oracle, athena
    #[arg(long, value_name = "NAME")]
    vendor: Option<String>,
    /// How the EHR is asked; planned takes what the server is good at
    #[arg(long, value_name = "NAME", default_value = "planned", value_parser = ["planned", "bulk", "search", "everything"])]
    method: String,
    /// How this site signs in at the EHR; every SMART server takes one of the two
    #[arg(long, value_name = "NAME", default_value = "es384", value_parser = ["es384", "rs384"])]
    algorithm: String,
    /// The https address at which the EHR finds this site's public keys (see `headwater serve`)
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// PEM certificates of the hospital's own certificate authority
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The proxy that leads to the EHR and the registry: http://host:port
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Base address of the registry
    #[arg(long, value_name = "URL", requires = "enrol")]
    registry: Option<String>,
    /// The one-time enrolment code from the registry's operator
    #[arg(long, value_name = "CODE", requires = "registry")]
    enrol: Option<String>,
    /// Make the site without a registry; it can be examined, and enrolled later
    #[arg(long, conflicts_with = "registry")]
    no_registry: bool,
    /// The network the site belongs to; pseudonyms of two networks never meet
    #[arg(long, value_name = "NAME", default_value = "pedibd")]
    network: String,
    /// The folder with Athena's CSV files, for a model that looks codes up in OMOP's vocabularies
    #[arg(long, value_name = "DIR")]
    vocabulary: Option<PathBuf>,
    /// The registry's data model, for a site without a registry yet
    #[arg(long, value_name = "NAME", default_value = "ibd-registry")]
    model: String,
    /// How data are de-identified: limited-data-set (needs a data use agreement) or safe-harbor
    #[arg(long, default_value = "safe-harbor", value_parser = ["safe-harbor", "limited-data-set"])]
    policy: String,
}

pub(super) fn run(mut args: Args) -> Result<(), Failure> {
    let file = args.dir.join("site.toml");
    if file.exists() {
        return enrol_later(&args, &file);
    }
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        ask(&mut args, show::ask);
    }
    let plan = plan(&args)?;
    let enrolment = args.registry.as_deref().zip(args.enrol.as_deref());
    if enrolment.is_none() && !args.no_registry {
        return Err(Failure::usage(
            "name the registry with --registry URL --enrol CODE; without a code yet: --no-registry",
        ));
    }
    let client = http::client(&plan.http).map_err(|error| Failure::usage(chain(&error)))?;
    let made = runtime()?.block_on(make(&client, &args.dir, &plan, enrolment))?;
    show::answer(&file.display().to_string());
    let state = match &made.enrolled {
        Some(enrolled) => format!("site `{}` is enrolled", enrolled.site),
        None => "the site is made, and not enrolled yet".to_owned(),
    };
    show::note(&format!(
        "{state}; its keys are in {} (back them up with `headwater keys backup`: they cannot be made again)",
        made.places.keys().display()
    ));
    tell_registration(&file)?;
    show::note(&format!("\nnext: headwater doctor --site {}", file.display()));
    Ok(())
}

/// Asks for what a person at a terminal did not say: a question, and what an empty answer means.
fn ask(args: &mut Args, mut question: impl FnMut(&str, &str) -> Option<String>) {
    let mut optional = |words: &str| question(words, "").filter(|answer| !answer.is_empty());
    if args.ehr.is_none() && args.files.is_none() {
        args.ehr = optional("base address of the EHR's FHIR server (R4)");
        if args.ehr.is_none() {
            return;
        }
    }
    if args.ehr.is_some() && args.group.is_none() {
        args.group = optional("id of the Group of patients; empty for every patient");
    }
    if args.registry.is_none() && !args.no_registry {
        args.registry = optional("base address of the registry; empty to enrol later");
        match &args.registry {
            Some(_) => args.enrol = optional("enrolment code from the registry's operator"),
            None => args.no_registry = true,
        }
    }
    if args.ehr.is_some() {
        if args.vendor.is_none() {
            let known = Package::BuiltIn.vendors().join(", ");
            args.vendor = question(&format!("whose EHR is it ({known})"), "generic");
        }
        if args.client_id.is_none() {
            args.client_id = question("client id the EHR gave this gateway, if it did already", "headwater");
        }
    }
}

fn plan(args: &Args) -> Result<Plan, Failure> {
    let source = match (&args.ehr, &args.files) {
        (Some(base), _) => {
            let vendor = args.vendor.as_deref().unwrap_or("generic");
            if !vendor.ends_with(".toml") {
                Package::BuiltIn
                    .vendor(vendor)
                    .map_err(|error| Failure::usage(format!("--vendor: {error}")))?;
            }
            Source::Fhir(Fhir {
                group: args.group.clone(),
                vendor: vendor.to_owned(),
                method: args.method.clone(),
                jwks_url: args.jwks_url.clone(),
                algorithm: if args.algorithm == "rs384" {
                    Algorithm::Rs384
                } else {
                    Algorithm::Es384
                },
                ..Fhir::new(base, args.client_id.as_deref().unwrap_or("headwater"))
            })
        }
        (None, Some(folder)) => Source::Files(absolute("--files", folder)?),
        (None, None) => return Err(Failure::usage("name the EHR with --ehr URL, or a folder with --files DIR")),
    };
    Ok(Plan {
        source,
        network: args.network.clone(),
        policy: args.policy.clone(),
        model: args.model.clone(),
        vocabulary: args.vocabulary.as_deref().map(|path| absolute("--vocabulary", path)).transpose()?,
        http: HttpSettings {
            ca_file: args.ca_file.as_deref().map(|path| absolute("--ca-file", path)).transpose()?,
            proxy: args.proxy.clone(),
            ..HttpSettings::default()
        },
    })
}

fn absolute(flag: &str, path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize()
        .map_err(|error| Failure::usage(format!("{flag} {}: cannot be read ({})", path.display(), error.kind())))
}

/// What to give to the EHR's team, by what the site's own file says.
fn tell_registration(file: &Path) -> Result<(), Failure> {
    let config = config::load(file).map_err(|error| Failure::usage(error.to_string()))?;
    let EhrConfig::Fhir(ehr) = &config.ehr else {
        return Ok(());
    };
    let package = Package::at(config.package.clone());
    let network = package.load(&config.model).map_err(|error| Failure::usage(error.to_string()))?;
    let rules = network.under(&config.policy).map_err(|error| Failure::usage(error.to_string()))?;
    let vendor = source::vendor(&package, ehr).map_err(Failure::usage)?;
    let settings = ehr.settings(vendor, &rules.resource_types());
    let places = Places::of(&config.state);
    let key = ClientKey::from_file(&places.ehr_key()).map_err(|error| Failure::ours(&error))?;
    let set = ehr_keys::jwk_set(&places).map_err(|error| Failure::ours(&error))?;
    show::note(&format!("\n{}", registration::text(&settings, &key, &set)));
    Ok(())
}

/// What was made.
pub(super) struct Made {
    pub enrolled: Option<Enrolled>,
    pub places: Places,
}

/// Keys, then enrolment (registry and code), then the file: a failed enrolment leaves keys that the next try uses.
pub(super) async fn make(client: &http::Client, dir: &Path, plan: &Plan, enrolment: Option<(&str, &str)>) -> Result<Made, Failure> {
    file::create_dir_private(dir).map_err(|error| Failure::ours(&error))?;
    let places = Places::of(&dir.join("state"));
    let algorithm = match &plan.source {
        Source::Fhir(fhir) => fhir.algorithm,
        Source::Files(_) => Algorithm::Es384,
    };
    places.make_keys_for(algorithm).map_err(|error| Failure::ours(&error))?;
    ehr_keys::publish(&places).map_err(|error| Failure::ours(&error))?;
    let enrolled = match enrolment {
        Some((registry, code)) => Some(enrol(client, &places, registry, code).await?),
        None => None,
    };
    let named = dir.canonicalize().ok();
    let named = named
        .as_deref()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str())
        .unwrap_or("site");
    let link = enrolled.as_ref().zip(enrolment.map(|(registry, _)| registry));
    let toml = site_file::text(plan, link, named);
    file::write_durable(&dir.join("site.toml"), toml.as_bytes()).map_err(|error| Failure::ours(&error))?;
    Ok(Made { enrolled, places })
}

async fn enrol(client: &http::Client, places: &Places, registry: &str, code: &str) -> Result<Enrolled, Failure> {
    let registry_key = ClientKey::from_file(&places.registry_key()).map_err(|error| Failure::ours(&error))?;
    let manifest_key = SigningKey::from_seed_file(&places.manifest_key()).map_err(|error| Failure::ours(&error))?;
    submit::enrol(client, registry, code, &registry_key, &manifest_key)
        .await
        .map_err(|error| match error {
            SubmitError::Retry { why, .. } => Failure::new(
                Exit::Partial,
                format!("could not enrol at the registry {registry}: {why}; the keys are made and kept, run the same again"),
            ),
            error => Failure::usage(chain(&error)),
        })
}

/// Enrols a site that was made without a registry; its file gets the section that was missing.
fn enrol_later(args: &Args, file: &Path) -> Result<(), Failure> {
    let there = || {
        Failure::usage(format!(
            "{} is there already; a site is made once. Remove it only if no run has been made with its keys",
            file.display()
        ))
    };
    let (Some(registry), Some(code)) = (&args.registry, &args.enrol) else {
        return Err(there());
    };
    let config = config::load(file).map_err(|error| Failure::usage(error.to_string()))?;
    if config.registry.is_some() || args.ehr.is_some() || args.files.is_some() {
        return Err(there());
    }
    let client = http::client(&config.http).map_err(|error| Failure::usage(chain(&error)))?;
    let enrolled = runtime()?.block_on(enrol(&client, &Places::of(&config.state), registry, code))?;
    let old = std::fs::read_to_string(file).map_err(|error| Failure::ours(&error))?;
    let text = site_file::enrolled(&old, &config, &enrolled, registry);
    file::write_durable(file, text.as_bytes()).map_err(|error| Failure::ours(&error))?;
    show::answer(&file.display().to_string());
    show::note(&format!(
        "site `{}` is enrolled; next: headwater doctor --site {}",
        enrolled.site,
        file.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// The arguments after the questions, and the questions that were asked.
    fn check(line: &[&str], answers: &[&str]) -> (Args, Vec<String>) {
        let mut args = Line::parse_from([&["init", "./north"], line].concat()).args;
        let (mut answers, mut asked) = (answers.iter(), Vec::new());
        ask(&mut args, |question, default| {
            asked.push(question.to_owned());
            let answer = answers.next()?;
            Some(if answer.is_empty() { default } else { answer }.to_owned())
        });
        (args, asked)
    }

    #[test]
    fn a_person_is_asked_for_what_is_missing_and_for_nothing_else() {
        let (args, asked) = check(&[], &["https://ehr.example.org/fhir", "", "", "epic", ""]);
        assert_eq!(asked.len(), 5, "{asked:?}");
        assert_eq!((args.ehr.as_deref(), args.group), (Some("https://ehr.example.org/fhir"), None));
        assert_eq!(
            (args.vendor.as_deref(), args.client_id.as_deref()),
            (Some("epic"), Some("headwater"))
        );
        assert!(args.no_registry, "no registry was named");

        let full = [
            "--ehr",
            "https://e.example",
            "--group",
            "g",
            "--vendor",
            "oracle",
            "--client-id",
            "c",
            "--no-registry",
        ];
        assert_eq!(check(&full, &[]).1, Vec::<String>::new());
        let (args, asked) = check(&["--files", "/data"], &["https://r.example", "code"]);
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert_eq!(
            (args.registry.as_deref(), args.enrol.as_deref()),
            (Some("https://r.example"), Some("code"))
        );
    }

    #[test]
    fn a_person_who_leaves_is_not_asked_on() {
        let (args, asked) = check(&[], &[]);
        assert_eq!((asked.len(), args.ehr), (1, None));
    }
}
