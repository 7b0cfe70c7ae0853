//! The command line: verbs, exit codes, what stands on stdout and stderr. One file per verb below.
//! Progress bars and tables live here and nowhere lower.

mod audit;
mod check;
mod coverage;
mod demo;
mod diff;
mod docs;
mod doctor;
mod ehr;
mod evidence;
mod explain;
mod fhirpath;
mod generate;
mod init;
mod keys;
mod linkage;
mod map;
mod page;
mod preview;
mod progress;
mod quarantine;
mod registry;
mod report;
mod schema;
mod serve;
mod show;
mod source;
mod sync;
mod validate;
mod view;
mod vocabulary;
mod withdraw;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 1: our own error.
    Ours = 1,
    /// 2: wrong use or wrong configuration.
    Usage = 2,
    /// 3: the other side did not give everything; the next run goes on.
    Partial = 3,
    /// 4: a safety brake stopped it; a person must decide.
    Brake = 4,
}

/// Why a verb did not end with 0: the exit code and one message for a person.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// Wrong use or wrong configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Our own error, with its chain of causes.
    pub fn ours(error: &dyn std::error::Error) -> Self {
        Self::new(Exit::Ours, chain(error))
    }
}

/// An error with its causes, joined by colons.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}

/// Patient data from an EHR to a learning health network's registry, every record accounted for
#[derive(Parser)]
#[command(name = "headwater", version, max_term_width = 120)]
#[command(
    after_help = "Answers stand on stdout, everything else on stderr. HEADWATER_LOG=debug says more.\n\
                        Exit codes: 0 done and balanced · 1 our own error · 2 wrong use or configuration · \
                        3 partial, the next run goes on · 4 stopped: a person must decide\n\n\
                        Example: headwater demo --exit"
)]
struct Cli {
    /// Write everything on stderr as JSON lines, for a log collector
    #[arg(long, global = true, display_order = 900)]
    log_json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a simulated EHR, a registry and a site on loopback, sync twice and show what happened
    Demo(demo::Args),
    /// Serve a folder of NDJSON as a simulated EHR (SMART Backend Services, Bulk Data)
    Ehr(ehr::Args),
    /// Write synthetic FHIR R4 patients as NDJSON
    Generate(generate::Args),
    /// Make a site: keys, site.toml, enrolment at the registry
    Init(init::Args),
    /// Find out why a connection does not work, and who can mend it
    Doctor(doctor::Args),
    /// What a run proved of what it released
    Evidence(evidence::Args),
    /// The keys of this site: list, rotate, publish, back up, restore
    Keys(keys::Args),
    /// Serve this site's public keys, for the EHR to read
    Serve(serve::Args),
    /// Pull, map, de-identify and submit once
    Sync(sync::Args),
    /// What would leave of some patients, row by row, and what each rule did to it
    Preview(preview::Args),
    /// From a released row back to its resource, mapping line and rules; from a submission to its receipt
    Explain(explain::Args),
    /// Look at the resources a run refused
    Quarantine(quarantine::Args),
    /// Withdraw a patient: their rows go from the registry, and none leaves again
    Withdraw(withdraw::Args),
    /// Linkage keys of patients for an agent that is not the registry: opt-in, limited data set only
    Linkage(linkage::Args),
    /// Load profiles, mappings and policy, cross-check them, run all cases
    Check(check::Args),
    /// What of the data a mapping leaves out: elements, codes, columns, views
    Coverage(coverage::Args),
    /// What another mapping makes of the same data: rows added, dropped, changed
    Diff(diff::Args),
    /// Write the data dictionary of a model: column, source, rule, de-identification, terminology
    Docs(docs::Args),
    /// Write a model's JSON Schemas from its description, model.toml
    Schema(schema::Args),
    /// Run one SQL-on-FHIR ViewDefinition over NDJSON: one row per line out
    View(view::Args),
    /// Evaluate a FHIRPath expression on one resource
    Fhirpath(fhirpath::Args),
    /// Validate JSON or NDJSON resources
    Validate(validate::Args),
    /// Validate and map a folder of NDJSON into one file per table
    Map(map::Args),
    /// Make and run a registry
    Registry(registry::Args),
    /// Verify a transparency log
    Audit(audit::Args),
}

/// Runs the command line; the exit codes are those of [`Exit`].
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    show::notes_as_json(cli.log_json);
    // The demo tells its own story; the parts' lines would only come between.
    let quiet = matches!(cli.verb, Verb::Demo(_)) || std::io::stderr().is_terminal();
    log_to_stderr(cli.log_json, if quiet { "warn" } else { "headwater=info,warn" });
    let done = match cli.verb {
        Verb::Demo(args) => demo::run(args),
        Verb::Ehr(args) => ehr::run(args),
        Verb::Generate(args) => generate::run(args),
        Verb::Init(args) => init::run(args),
        Verb::Doctor(args) => doctor::run(args),
        Verb::Evidence(args) => evidence::run(args),
        Verb::Keys(args) => keys::run(args),
        Verb::Serve(args) => serve::run(args),
        Verb::Sync(args) => sync::run(args),
        Verb::Preview(args) => preview::run(args),
        Verb::Explain(args) => explain::run(args),
        Verb::Quarantine(args) => quarantine::run(args),
        Verb::Withdraw(args) => withdraw::run(args),
        Verb::Linkage(args) => linkage::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Coverage(args) => coverage::run(args),
        Verb::Diff(args) => diff::run(args),
        Verb::Docs(args) => docs::run(args),
        Verb::Schema(args) => schema::run(args),
        Verb::View(args) => view::run(args),
        Verb::Fhirpath(args) => fhirpath::run(args),
        Verb::Validate(args) => validate::run(args),
        Verb::Map(args) => map::run(args),
        Verb::Registry(args) => registry::run(args),
        Verb::Audit(args) => audit::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            show::failed(failure.exit as u8, &failure.message);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn log_to_stderr(json: bool, unless_asked: &str) {
    let asked = if json { "headwater=info,warn" } else { unless_asked };
    let filter = EnvFilter::try_from_env("HEADWATER_LOG").unwrap_or_else(|_| EnvFilter::new(asked));
    // Whether anyone still reads the log does not change what is done.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    if json {
        builder.json().init();
    } else {
        builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init();
    }
}

/// Comes back when a person (Ctrl-C) or the system (SIGTERM) asks to stop.
async fn asked_to_stop() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| Failure::ours(&error))?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done.map_err(|error| Failure::ours(&error)),
        _ = terminate.recv() => Ok(()),
    }
}

/// The runtime a verb that talks to the network runs on.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::ours(&error))
}
