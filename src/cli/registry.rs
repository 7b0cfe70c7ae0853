//! `headwater registry`: makes and runs a registry, and its operator's commands, which also work while it serves.

mod codes;
mod displays;
mod export;
mod serve;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Exit, Failure, show};
use crate::cdm::TableId;
use crate::network::Package;
use crate::platform::clock::Clock;
use crate::receive::check::ModelCheck;
use crate::receive::{Fault, OpenError, Records, Settings, read};
use crate::registry::{InitError, NewRegistry};

#[derive(clap::Args)]
#[command(after_help = "Example: headwater registry init ./registry && headwater registry serve --dir ./registry")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Make a registry's folder: settings, schemas, the log's key, the empty store
    Init(Init),
    /// Serve: what sites submit to, the log, the console
    Serve(serve::Args),
    /// Let sites in, list them, shut them out
    #[command(subcommand, after_help = "Example: headwater registry site add lakeside --dir ./registry")]
    Site(Site),
    /// Let people see the console
    #[command(subcommand, after_help = "Example: headwater registry operator add ann --dir ./registry")]
    Operator(Operator),
    /// Write one table's rows of all sites
    Export(export::Args),
    /// Tell how many codes of a column few patients have, and make a roll-up of it
    Codes(codes::Args),
}

#[derive(clap::Args)]
#[command(after_help = "Example: headwater registry init ./registry --base-url https://registry.example.org")]
struct Init {
    /// The registry's folder; made if it is not there
    dir: PathBuf,
    /// A model to accept; may be repeated. Default: every model of the network package
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// A de-identification policy to accept; may be repeated
    #[arg(long, value_name = "NAME", default_values = ["safe-harbor", "limited-data-set"])]
    policy: Vec<String>,
    /// A network package's folder instead of the one inside the binary
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8480")]
    listen: SocketAddr,
    /// The address sites will use, when it is not the one listened on
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
}

#[derive(clap::Subcommand)]
enum Site {
    /// Add a site, or let one enrol again: prints a one-time enrolment code, good for 15 minutes
    #[command(after_help = "Example: headwater registry site add lakeside --dir ./registry")]
    Add {
        /// The site's name: lower-case letters, digits, hyphens
        name: String,
        /// The registry's folder
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
    /// List the sites: what they sent, how fresh it is
    #[command(after_help = "Example: headwater registry site list --dir ./registry --json")]
    List {
        /// The registry's folder
        #[arg(long, default_value = ".")]
        dir: PathBuf,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Shut a site out from its next request on; its rows stay
    #[command(after_help = "Example: headwater registry site suspend lakeside --dir ./registry")]
    Suspend {
        /// The site's name
        name: String,
        /// Let it in again
        #[arg(long)]
        resume: bool,
        /// The registry's folder
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
}

#[derive(clap::Subcommand)]
enum Operator {
    /// Add an operator, or renew one's key: prints the key, once, and a one-time sign-in link
    #[command(after_help = "Example: headwater registry operator add ann --dir ./registry")]
    Add {
        /// The operator's name
        name: String,
        /// The registry's folder
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::Init(args) => init(args),
        Verb::Serve(args) => serve::run(args),
        Verb::Site(site) => run_site(site),
        Verb::Operator(Operator::Add { name, dir }) => add_operator(&name, &dir),
        Verb::Export(args) => export::run(args),
        Verb::Codes(args) => codes::run(args),
    }
}

fn init(args: Init) -> Result<(), Failure> {
    let package = Package::at(args.package);
    let names = if args.model.is_empty() { package.models() } else { args.model };
    let mut models = Vec::new();
    for name in names {
        let schemas = package.schemas(&name).map_err(Failure::usage)?;
        models.push((name, schemas));
    }
    let new = NewRegistry {
        listen: args.listen,
        base_url: args.base_url,
        models,
        policies: args.policy,
    };
    let settings = crate::registry::init(&args.dir, &new, Clock::system()).map_err(|error| match &error {
        InitError::Exists(_) | InitError::Settings(_) => Failure::usage(error.to_string()),
        _ => Failure::ours(&error),
    })?;
    let dir = args.dir.display();
    show::answer(&args.dir.join("registry.toml").display().to_string());
    show::note(&format!(
        "the log `{}` has its key in {}: back it up, it cannot be made again",
        settings.log_origin,
        settings.keys.display()
    ));
    show::note(&format!(
        "next: headwater registry operator add NAME --dir {dir}; headwater registry serve --dir {dir}"
    ));
    Ok(())
}

fn run_site(site: Site) -> Result<(), Failure> {
    match site {
        Site::Add { name, dir } => {
            let settings = load(&dir)?;
            let code = records(&settings)?.add_site(&name).map_err(failed)?;
            show::answer(&code);
            show::note(&format!(
                "give this code to `{name}`: it is good once, for 15 minutes: headwater init DIR --registry {} --enrol CODE …",
                base_url(&settings)
            ));
            Ok(())
        }
        Site::List { dir, json } => list_sites(&dir, json),
        Site::Suspend { name, resume, dir } => {
            records(&load(&dir)?)?.suspend_site(&name, !resume).map_err(failed)?;
            show::note(&format!(
                "site `{name}` is {} from its next request on",
                if resume { "let in again" } else { "shut out" }
            ));
            Ok(())
        }
    }
}

fn list_sites(dir: &Path, json: bool) -> Result<(), Failure> {
    let records = records(&load(dir)?)?;
    let sites = records.store.read(read::overview).map_err(failed)?;
    if json {
        for site in &sites {
            let line = serde_json::json!({
                "site": site.name, "enrolledAt": site.enrolled_at, "suspended": site.suspended, "submissions": site.submissions,
                "refused": site.refused, "waiting": site.waiting, "lastReceivedAt": site.last_received_at,
                "lastAppliedAt": site.last_applied_at, "lastTransactionTime": site.last_transaction_time, "rows": site.rows,
                "accepted": site.accepted, "rejected": site.rejected
            });
            show::answer(&line.to_string());
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = sites
        .into_iter()
        .map(|site| {
            let state = match (&site.enrolled_at, site.suspended) {
                (_, true) => "suspended",
                (None, _) => "not enrolled",
                (Some(_), _) => "enrolled",
            };
            vec![
                site.name,
                state.to_owned(),
                show::thousands(site.submissions),
                show::thousands(site.rows),
                show::thousands(site.rejected),
                site.last_applied_at.unwrap_or_else(|| "never".to_owned()),
            ]
        })
        .collect();
    show::answer(&show::table(
        &["site", "state", "submissions", "rows", "rejected", "last applied"],
        &rows,
    ));
    Ok(())
}

fn add_operator(name: &str, dir: &Path) -> Result<(), Failure> {
    let settings = load(dir)?;
    let given = records(&settings)?.add_operator(name).map_err(failed)?;
    show::answer(&format!("key   {}", given.key));
    show::answer(&format!("link  {}/sign-in?code={}", base_url(&settings), given.code));
    show::note(&format!(
        "the link signs `{name}` in once, within 15 minutes; the key as often as needed and is shown only now"
    ));
    Ok(())
}

/// The settings of the registry in `dir`, or every fault of them.
fn load(dir: &Path) -> Result<Settings, Failure> {
    Settings::load(dir).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::usage(format!("{}:\n  {}", dir.join("registry.toml").display(), lines.join("\n  ")))
    })
}

/// The first accepted model that has the table, or the one that is asked for.
fn model_of(settings: &Settings, asked: Option<&str>, table: &str) -> Result<(ModelCheck, TableId), Failure> {
    let accepted = settings
        .accept
        .iter()
        .filter(|accept| asked.is_none_or(|asked| asked == accept.model));
    for accept in accepted {
        let check = ModelCheck::load(&settings.models, &accept.model).map_err(|error| Failure::usage(error.to_string()))?;
        if let Some(found) = check.model.find(table) {
            return Ok((check, found));
        }
    }
    Err(Failure::usage(format!("no accepted model has a table `{table}`")))
}

fn records(settings: &Settings) -> Result<Records, Failure> {
    Records::open(settings, Clock::system()).map_err(|error: OpenError| Failure::ours(&error))
}

/// The address sites and operators use.
fn base_url(settings: &Settings) -> String {
    settings.base_url.clone().unwrap_or_else(|| format!("http://{}", settings.listen))
}

/// A command's fault: wrong use, or ours.
fn failed(fault: Fault) -> Failure {
    let exit = if fault.is_ours() { Exit::Ours } else { Exit::Usage };
    Failure::new(exit, Failure::ours(&fault).message)
}
