//! `headwater sync`: one run of one site.

use std::path::PathBuf;
use std::sync::Arc;

use super::show::{self, Stage, thousands};
use super::{Exit, Failure, chain, report, runtime};
use crate::config::{self, EhrConfig, Level, SiteConfig};
use crate::fhir::tree::Limits;
use crate::gateway::{self, Event, GatewayError, Options, RegistrySettings, Report, Settings, Site, SiteError, Tools};
use crate::network::Package;
use crate::platform::clock::Clock;
use crate::platform::http::{self, Url, WebOrigin};
use crate::pull;

#[derive(clap::Args)]
#[command(after_help = "Example: headwater sync --site /etc/headwater/site.toml")]
pub(super) struct Args {
    /// The site's file
    #[arg(long, default_value = "site.toml")]
    site: PathBuf,
    /// Pull everything, not only what changed since the last complete run
    #[arg(long, conflicts_with = "since")]
    full: bool,
    /// Pull what changed since this instant (RFC 3339), whatever the watermark says
    #[arg(long, value_name = "INSTANT")]
    since: Option<jiff::Timestamp>,
    /// Go the whole way and deliver nothing
    #[arg(long)]
    rehearse: bool,
    /// A person has looked: let a run through that withdraws an unusual share of all resources
    #[arg(long)]
    accept_deletions: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let config = config::load(&args.site).map_err(|error| Failure::usage(error.to_string()))?;
    let options = Options {
        full: args.full,
        since: args.since,
        rehearse: args.rehearse,
        accept_deletions: args.accept_deletions,
    };
    let clock = Clock::system();
    let tools = Tools {
        http: http::client(&http::HttpSettings::default()).map_err(|error| Failure::ours(&error))?,
        clock,
    };
    let site = Arc::new(open(&config, tools)?);
    let report = runtime()?.block_on(one_run(&site, &options))?;
    show::answer(&if args.json {
        serde_json::to_string(&report).unwrap_or_default()
    } else {
        report::text(&report)
    });
    verdict(&report)
}

/// Opens the site that `config` describes, under its network's rules.
pub(super) fn open(config: &SiteConfig, tools: Tools) -> Result<Site, Failure> {
    let network = Package::at(config.package.clone())
        .load(&config.model)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let rules = network.under(&config.policy).map_err(|error| Failure::usage(error.to_string()))?;
    let source = match &config.ehr {
        EhrConfig::Files { folder } => pull::Source::Files(folder.clone()),
        EhrConfig::Bulk {
            base,
            client_id,
            level,
            types,
            extra_origins,
            ..
        } => pull::Source::Bulk(pull::BulkSettings {
            level: match level {
                Level::System => pull::Level::System,
                Level::Patient => pull::Level::Patient,
                Level::Group(id) => pull::Level::Group(id.clone()),
            },
            types: types.clone().unwrap_or_else(|| rules.resource_types()),
            token_origins: extra_origins
                .iter()
                .map(|origin| url("ehr.extra_origins", origin).map(|url| WebOrigin::of(&url)))
                .collect::<Result<_, _>>()?,
            ..pull::BulkSettings::new(url("ehr.base", base)?, client_id)
        }),
    };
    let concurrency = if let EhrConfig::Bulk { parallel, .. } = &config.ehr {
        *parallel
    } else {
        1
    };
    let limits = Limits {
        line_bytes: config.limits.line_mib << 20,
        depth: config.limits.depth,
    };
    let settings = Settings {
        name: config.name.clone(),
        network: config.network.clone(),
        state: config.state.clone(),
        threads: config.threads,
        limits,
        vanish_percent: config.limits.vanish_percent,
        max_patients: 500_000,
        pull: pull::Settings {
            source,
            limits: pull::Limits {
                concurrency,
                ..pull::Limits::default()
            },
        },
        registry: RegistrySettings {
            base: config.registry.base.clone(),
            client_id: config.registry.client_id.clone(),
            log_vkey: config.registry.log_vkey.clone(),
        },
    };
    Site::open(settings, rules, tools).map_err(|error| match error {
        SiteError::Busy(_) => Failure::new(Exit::Brake, chain(&error)),
        _ => Failure::ours(&error),
    })
}

/// One run with its progress shown: a spinner on a terminal, a line a stage in a log.
pub(super) async fn one_run(site: &Arc<Site>, options: &Options) -> Result<Report, Failure> {
    let stage = std::sync::Mutex::new(None::<(&'static str, Stage, String)>);
    let show = |event: Event| {
        let (name, message) = words(&event);
        let mut stage = stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if stage.as_ref().is_none_or(|(at, _, _)| *at != name) {
            if let Some((_, old, last)) = stage.take() {
                old.end(&last);
            }
            *stage = Some((name, Stage::begin(name), String::new()));
        }
        if let Some((_, bar, last)) = stage.as_mut() {
            bar.now(message.clone());
            *last = message;
        }
    };
    let done = gateway::run(site, options, &show).await;
    if let Some((_, old, last)) = stage.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        old.end(&last);
    }
    done.map_err(|error| {
        let exit = match &error {
            GatewayError::Brake { .. } => Exit::Brake,
            GatewayError::Pull(_) | GatewayError::NotAll { .. } => Exit::Partial,
            GatewayError::Submit(error) if error.may_be_retried() => Exit::Partial,
            _ => Exit::Ours,
        };
        Failure::new(exit, chain(&error))
    })
}

fn words(event: &Event) -> (&'static str, String) {
    match event {
        Event::Resumed { run, phase, then_anew } => {
            let then = if *then_anew {
                "; what you asked for follows it, in a run of its own"
            } else {
                ""
            };
            ("resume", format!("run {run} goes on where it stopped: {phase}{then}"))
        }
        Event::Abandoned { run, why } => ("abandon", format!("run {run} is given up and pulled anew: {why}")),
        Event::Pull(progress) => ("pull", pulling(progress)),
        Event::Transform { resources } => (
            "transform",
            format!("{} resources validated, mapped, de-identified", thousands(*resources)),
        ),
        Event::Package { rows } => ("package", format!("{} rows to release", thousands(*rows))),
        Event::Submit { chunks } => ("submit", format!("{} chunk(s) to the registry", thousands(*chunks as u64))),
    }
}

fn pulling(progress: &pull::Progress) -> String {
    use pull::Progress;
    match progress {
        Progress::KickedOff => "the EHR took the export job".into(),
        Progress::JobWaiting {
            x_progress: Some(words),
            next_poll,
        } => format!("the EHR is exporting ({words}); asked again at {next_poll:.0}"),
        Progress::JobWaiting {
            x_progress: None,
            next_poll,
        } => format!("the EHR is exporting; asked again at {next_poll:.0}"),
        Progress::Retrying { what, next } => format!("{what}; tried again at {next:.0}"),
        Progress::Listed { files } => format!("{files} file(s) to fetch"),
        Progress::Downloading { done, total, bytes } => format!("{done} of {total} files landed, {:.1} MB", *bytes as f64 / 1e6),
        Progress::Restarted => "the EHR lost the export job; asked again from the start".into(),
    }
}

/// The exit code a report deserves.
pub(super) fn verdict(report: &Report) -> Result<(), Failure> {
    if !report.balanced() {
        return Err(Failure::new(
            Exit::Ours,
            "the ledger does not balance; please report this with the table above",
        ));
    }
    if !report.complete {
        return Err(Failure::new(
            Exit::Partial,
            "the EHR did not give everything: what came was delivered, the watermark stays, the next run asks again",
        ));
    }
    Ok(())
}

fn url(key: &str, text: &str) -> Result<Url, Failure> {
    Url::parse(text).map_err(|_| Failure::usage(format!("{key}: is no address")))
}
