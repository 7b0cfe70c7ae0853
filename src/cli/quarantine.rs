//! `headwater quarantine list`: what a run refused, by which rule; where it lies, never what stands in it.

use std::path::PathBuf;

use super::{Failure, show};
use crate::config;
use crate::gateway::{Places, quarantine};
use crate::platform::database;

#[derive(clap::Args)]
#[command(after_help = "Example: headwater quarantine list --site site.toml")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List the refused resources of one run: place in the landing, type, step, path and rule
    #[command(after_help = "What stands in a resource is never shown; look it up at the EHR.\n\n\
                            Example: headwater quarantine list --site site.toml --run 12 --json")]
    List {
        /// The site's file
        #[arg(long, default_value = "site.toml")]
        site: PathBuf,
        /// The run's number; without it, the newest
        #[arg(long)]
        run: Option<i64>,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let Verb::List { site, run, json } = args.verb;
    let config = config::load(&site).map_err(|error| Failure::usage(error.to_string()))?;
    if !Places::of(&config.state).database().exists() {
        show::note("nothing is in quarantine: no run has been made yet");
        return Ok(());
    }
    let db = database::open(&Places::of(&config.state).database(), &[quarantine::SCHEMA]).map_err(|error| Failure::ours(&error))?;
    let newest = quarantine::newest(&db).map_err(|error| Failure::ours(&error))?;
    let run = run.or(newest).unwrap_or_default();
    let refused = quarantine::list(&db, run).map_err(|error| Failure::ours(&error))?;
    if json {
        for one in &refused {
            show::answer(&serde_json::to_string(one).unwrap_or_default());
        }
        return Ok(());
    }
    if refused.is_empty() {
        show::note(&match newest {
            None => "nothing is in quarantine: no run has refused anything".to_owned(),
            Some(newest) => format!("run {run} refused nothing; the newest run that did is {newest}"),
        });
        return Ok(());
    }
    let rows: Vec<Vec<String>> = refused
        .into_iter()
        .map(|one| {
            vec![
                one.resource_type,
                format!("{}:{}", one.segment, one.line),
                one.step,
                one.path,
                one.rule,
            ]
        })
        .collect();
    show::answer(&show::table(&["type", "segment:line", "step", "path", "rule"], &rows));
    Ok(())
}
