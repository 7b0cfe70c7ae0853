//! `headwater sync`: one run of one site.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::progress::words;
use super::show::{self, Stage};
use super::{Exit, Failure, chain, evidence, keys, report, runtime, source, vocabulary};
use crate::config::{self, EhrConfig, SiteConfig};
use crate::fhir::tree::Limits;
use crate::gateway::consent::ConsentError;
use crate::gateway::evidence::RiskColumns;
use crate::gateway::{
    self, Event, GatewayError, MasterKey, Options, Places, RegistrySettings, Report, Settings, Site, SiteError, Tools, ehr_keys,
};
use crate::network::Package;
use crate::platform::clock::Clock;
use crate::platform::file;
use crate::platform::http;
use crate::pull::PullError;
use crate::submit::SubmitError;

/// A file of patients may be this long.
const PATIENTS_BYTES: u64 = 64 << 20;

#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 done and balanced · 1 our own error · 2 wrong configuration, here or at the EHR or registry · \
                        3 partial, the next run goes on · 4 stopped: a person must decide\n\n\
                        Example: headwater sync --site /var/lib/headwater/site.toml"
)]
pub(super) struct Args {
    /// The site's file
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    site: PathBuf,
    /// Pull everything, not only what changed since the last complete run
    #[arg(long, conflicts_with = "since")]
    full: bool,
    /// Pull what changed since this instant (RFC 3339), whatever the watermark says
    #[arg(long, value_name = "INSTANT")]
    since: Option<jiff::Timestamp>,
    /// Backfill: pull only the patients of this file, one id per line, whatever the watermarks say; they stay
    #[arg(long, value_name = "FILE", conflicts_with = "full")]
    patients: Option<PathBuf>,
    /// Backfill: pull only what changed before this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT", conflicts_with = "full")]
    until: Option<jiff::Timestamp>,
    /// Go the whole way and deliver nothing
    #[arg(long)]
    rehearse: bool,
    /// A person has looked: let a run through that withdraws an unusual share of all resources (see exit code 4)
    #[arg(long)]
    accept_deletions: bool,
    /// A person has looked: let patients leave who stand in a group that `risk` in site.toml holds back (see exit code 4); the evidence says so
    #[arg(long)]
    accept_risk: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let config = config::load(&args.site).map_err(|error| Failure::usage(error.to_string()))?;
    let options = Options {
        full: args.full,
        since: args.since,
        patients: args.patients.as_deref().map(patients).transpose()?.unwrap_or_default(),
        until: args.until,
        rehearse: args.rehearse,
        accept_deletions: args.accept_deletions,
        accept_risk: args.accept_risk,
        preview: None,
    };
    let report = go(&config, &options)?;
    show::answer(&if args.json {
        serde_json::to_string(&report).unwrap_or_default()
    } else {
        report::text(&report)
    });
    if report.counts.total(|t| t.refused) > 0 {
        show::note(&format!(
            "what was refused, where it lies and by which rule: headwater quarantine list --site {}",
            args.site.display()
        ));
    }
    verdict(&report)
}

/// One run of the site of this file, for another verb.
pub(super) fn once(site: &Path, options: &Options) -> Result<Report, Failure> {
    let config = config::load(site).map_err(|error| Failure::usage(error.to_string()))?;
    go(&config, options)
}

fn go(config: &SiteConfig, options: &Options) -> Result<Report, Failure> {
    let site = opened(config)?;
    runtime()?.block_on(one_run(&site, options))
}

/// The site, opened for a run: with its key at the EHR as it is today.
pub(super) fn opened(config: &SiteConfig) -> Result<Arc<Site>, Failure> {
    let tools = Tools {
        http: http::client(&config.watchful_http()).map_err(|error| Failure::usage(chain(&error)))?,
        clock: Clock::system(),
    };
    next_key(config, tools.clock.now())?;
    if config.master == MasterKey::File && file::is_in_memory(&config.state) {
        show::note(
            "warning: the state directory is in memory, and the master key goes with it at the next start of this machine: every patient \
             would be a stranger then. Move it to a disk, or make a backup now (`headwater keys backup`)",
        );
    }
    Ok(Arc::new(open(config, tools)?))
}

/// Takes the step of a key rotation whose time has come. Only where the EHR reads our keys from an address of ours: a set that
/// was given to a person may not be registered yet, and that person says so with `headwater keys rotate --activate`.
fn next_key(config: &SiteConfig, now: Timestamp) -> Result<(), Failure> {
    let EhrConfig::Fhir(ehr) = &config.ehr else {
        return Ok(());
    };
    if ehr.jwks_url().is_some()
        && let Some(step) = ehr_keys::advance(&Places::of(&config.state), now).map_err(|error| Failure::ours(&error))?
    {
        show::note(&keys::words(&step));
    }
    Ok(())
}

/// The ids in a file of patients, one per line; `#` begins a remark. A fault names the line and never what stands in it.
fn patients(file: &Path) -> Result<Vec<String>, Failure> {
    let shown = file.display();
    let text = file::read(file, PATIENTS_BYTES).map_err(|error| Failure::usage(chain(&error)))?;
    let text = String::from_utf8(text).map_err(|_| Failure::usage(format!("--patients {shown}: is not UTF-8 text")))?;
    let mut ids = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let id = line.split('#').next().unwrap_or_default().trim();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if id.len() > 64 || !id.bytes().all(fits) {
            return Err(Failure::usage(format!(
                "--patients {shown}: line {number} is no FHIR id; write the logical id of one Patient per line, without `Patient/`"
            )));
        }
        if !id.is_empty() {
            ids.push(id.to_owned());
        }
    }
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Err(Failure::usage(format!(
            "--patients {shown}: names nobody, so nobody would be pulled"
        )));
    }
    Ok(ids)
}

/// Opens the site that `config` describes, under its network's rules.
pub(super) fn open(config: &SiteConfig, tools: Tools) -> Result<Site, Failure> {
    let package = Package::at(config.package.clone());
    let mut network = package
        .load_for(&config.model, &config.validation)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let cache = config.state.join("vocabulary");
    vocabulary::attach(&mut network, config.vocabulary.as_deref(), &cache, "`vocabulary` under [site]")?;
    let rules = network
        .under_stricter(&config.policy, &config.tighten)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let Some(registry) = &config.registry else {
        return Err(Failure::usage(
            "this site is not enrolled yet: ask the registry's operator for a code, then run `headwater init DIR --registry URL --enrol CODE`",
        ));
    };
    RiskColumns::of(&rules.model, &rules.policy, &config.risk)
        .map_err(|fault| Failure::usage(format!("risk.quasi_identifiers in site.toml: {fault}")))?;
    let pull = source::pull_settings(config, &package, &rules.resource_types(), tools.clock.now())?;
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
        consent: config.consent.clone(),
        risk: config.risk.clone(),
        master: config.master.clone(),
        pull,
        registry: RegistrySettings {
            base: registry.base.clone(),
            client_id: registry.client_id.clone(),
            log_vkey: registry.log_vkey.clone(),
        },
    };
    Site::open(settings, rules, tools).map_err(|error| not_opened(&error))
}

/// What a site that cannot be opened means for whoever asked.
pub(super) fn not_opened(error: &SiteError) -> Failure {
    match error {
        SiteError::Busy(_) => Failure::new(Exit::Brake, chain(error)),
        SiteError::Master(why) if why.is_a_decision() => Failure::new(Exit::Brake, chain(error)),
        SiteError::Master(_) | SiteError::Key(_) => Failure::usage(chain(error)),
        _ => Failure::ours(error),
    }
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
    evidence::page_of_run(&site.places, &done);
    done.map_err(|error| Failure::new(exit_of(&error), chain(&error)))
}

/// Whose turn it is: nobody's (the next run goes on), the operator's, or ours.
pub(super) fn exit_of(error: &GatewayError) -> Exit {
    match error {
        GatewayError::Brake { .. } | GatewayError::OtherKey { .. } | GatewayError::Evidence { .. } => Exit::Brake,
        GatewayError::Consent(ConsentError::NotAll { .. } | ConsentError::Unreadable { .. } | ConsentError::WithdrawnMeanwhile) => {
            Exit::Partial
        }
        GatewayError::Consent(ConsentError::List(_)) => Exit::Usage,
        GatewayError::NotAll { .. } => Exit::Partial,
        GatewayError::Pull(error) => match error {
            error if error.is_transient() => Exit::Partial,
            // A key that is not registered, a scope that is missing, a host that may not be asked, a cohort of nobody: no later
            // run mends it.
            PullError::Token(_)
            | PullError::Http(_)
            | PullError::Breach(_)
            | PullError::Refused { .. }
            | PullError::WiderScope { .. }
            | PullError::NotOffered(_)
            | PullError::TypeFilter { .. }
            | PullError::Nobody(_)
            | PullError::CohortFile { .. }
            | PullError::Folder(_) => Exit::Usage,
            PullError::Landing(_) | PullError::Database(_) | PullError::Interrupted => Exit::Ours,
            _ => Exit::Partial,
        },
        GatewayError::Submit(error) => match error {
            error if error.may_be_retried() => Exit::Partial,
            SubmitError::Link(_) | SubmitError::Refused { status: 401 | 403, .. } => Exit::Usage,
            SubmitError::Refused { .. } | SubmitError::Untrusted(_) | SubmitError::Receipt(_) => Exit::Brake,
            _ => Exit::Ours,
        },
        GatewayError::LogKey(_) | GatewayError::Risk(_) => Exit::Usage,
        _ => Exit::Ours,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_says_whose_turn_it_is() {
        let submit = |error| GatewayError::Submit(error);
        let refused = |status| {
            submit(SubmitError::Refused {
                doing: "submit",
                status,
                code: "forbidden".into(),
                diagnostics: String::new(),
            })
        };
        let cases = [
            (
                submit(SubmitError::Retry {
                    doing: "submit",
                    why: String::new(),
                    after: None,
                }),
                Exit::Partial,
            ),
            (refused(401), Exit::Usage),
            (refused(409), Exit::Brake),
            (submit(SubmitError::Untrusted(String::new())), Exit::Brake),
            (submit(SubmitError::Spoilt(String::new())), Exit::Ours),
            (GatewayError::NotAll { problems: Vec::new() }, Exit::Partial),
            (
                GatewayError::Brake {
                    gone: 9,
                    known: 10,
                    what: "resources".into(),
                    percent: 20,
                },
                Exit::Brake,
            ),
            (
                GatewayError::Pull(PullError::Unavailable {
                    what: "the export",
                    status: 503,
                }),
                Exit::Partial,
            ),
            (
                GatewayError::Pull(PullError::Refused {
                    status: 403,
                    codes: String::new(),
                    named_type: None,
                    hint: "",
                }),
                Exit::Usage,
            ),
            (GatewayError::Pull(PullError::Folder("in".into())), Exit::Usage),
            (GatewayError::Pull(PullError::Interrupted), Exit::Ours),
            (GatewayError::Worker, Exit::Ours),
        ];
        for (error, exit) in cases {
            assert_eq!(exit_of(&error), exit, "{error}");
        }
    }
}
