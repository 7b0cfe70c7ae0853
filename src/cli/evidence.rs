//! `headwater evidence`: what a run proved of what it released, for the one who answers for it.

mod page;
mod profiles;
mod risk;
mod text;

use std::path::{Path, PathBuf};

use super::{Exit, Failure, chain, show};
use crate::config;
use crate::gateway::evidence::{self, Evidence, Sent};
use crate::gateway::{GatewayError, Places, Report};
use crate::platform::file;

#[derive(clap::Args)]
#[command(
    after_help = "A run writes its evidence before anything leaves; a check that fails holds the submission back (exit code 4). The page lies \
                  beside the record, in state/evidence/<run>/, and has no patient value.\n\n\
                  Example: headwater evidence --site site.toml --html evidence.html"
)]
pub(super) struct Args {
    /// The run; without it, the newest that has evidence
    #[arg(value_name = "RUN")]
    run: Option<i64>,
    /// The site's file
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    site: PathBuf,
    /// Which runs there are
    #[arg(long, conflicts_with_all = ["run", "html"])]
    list: bool,
    /// Write the page to this file, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the record as one JSON object, with what became of the submission
    #[arg(long)]
    json: bool,
}

/// A run's evidence, with what its ledger knows of it.
struct Record {
    evidence: Evidence,
    sent: Option<Sent>,
    digest: String,
}

impl Record {
    fn read(places: &Places, run: i64) -> Result<Self, Failure> {
        let all = places.evidence();
        let failure = |error: evidence::EvidenceError| Failure::usage(chain(&error));
        Ok(Self {
            evidence: evidence::read(&all, run).map_err(failure)?,
            sent: evidence::sent(&places.database(), run),
            digest: evidence::digest(&all, run).map_err(failure)?,
        })
    }

    /// The record is the one that was written before the rows left; `None` where the ledger does not say.
    fn is_as_written(&self) -> Option<bool> {
        let written = self.sent.as_ref().map(|sent| sent.evidence.as_str())?;
        (!written.is_empty()).then(|| written == self.digest)
    }

    /// The registry took it.
    fn has_left(&self) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.phase == "done")
    }

    /// Nothing left: a check failed.
    fn is_held_back(&self) -> bool {
        self.evidence.failed().next().is_some()
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let config = config::load(&args.site).map_err(|error| Failure::usage(error.to_string()))?;
    let places = Places::of(&config.state);
    let runs = evidence::runs(&places.evidence());
    if args.list {
        return list(&places, &runs, args.json);
    }
    let newest = || {
        let none = "no run of this site has written evidence yet: `headwater sync --rehearse` makes one and sends nothing";
        runs.first().copied().ok_or_else(|| Failure::usage(none))
    };
    let run = args.run.map_or_else(newest, Ok)?;
    if !runs.contains(&run) {
        return Err(Failure::usage(format!(
            "run {run} has no evidence here; `headwater evidence --list` shows which have"
        )));
    }
    let record = Record::read(&places, run)?;
    if let Some(path) = &args.html {
        file::write_durable(path, page::page(&record).into_string().as_bytes()).map_err(|error| Failure::usage(chain(&error)))?;
        show::note(&format!("written: {}", path.display()));
    }
    if args.json {
        let mut json = serde_json::to_value(&record.evidence).unwrap_or_default();
        json["sent"] = serde_json::to_value(&record.sent).unwrap_or_default();
        json["sha256"] = record.digest.clone().into();
        show::answer(&json.to_string());
    } else {
        show::answer(&text::text(&record));
    }
    match record.is_as_written() {
        Some(false) => Err(Failure::new(
            Exit::Brake,
            format!("the record of run {run} was changed after the run: restore state/ from its backup, and find out who changed it"),
        )),
        _ => Ok(()),
    }
}

fn list(places: &Places, runs: &[i64], json: bool) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for run in runs {
        let Ok(record) = Record::read(places, *run) else {
            let what = "its record is not there, or not whole: restore state/ from its backup".to_owned();
            rows.push(vec![run.to_string(), String::new(), String::new(), String::new(), what]);
            continue;
        };
        let verdict = text::verdict(&record).to_owned();
        let made = record.evidence.made_at.get(..16).unwrap_or_default().replace('T', " ");
        let rows_left = show::thousands(record.evidence.counts.released());
        rows.push(vec![run.to_string(), made, record.evidence.policy.name, rows_left, verdict]);
    }
    show::answer(&if json {
        serde_json::json!(runs).to_string()
    } else {
        show::table(&["run", "made (UTC)", "policy", "rows", "verdict"], &rows)
    });
    Ok(())
}

/// The page beside the record of a run that ended, or was held back by it. A page that cannot be written is said and no more:
/// the record is there.
pub(super) fn page_of_run(places: &Places, done: &Result<Report, GatewayError>) {
    let run = match done {
        Ok(report) if !report.evidence.is_empty() => report.run,
        Err(GatewayError::Evidence { path, .. }) => {
            let run = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse().ok());
            let Some(run) = run else { return };
            run
        }
        _ => return,
    };
    let page = |run: i64| evidence::folder(&places.evidence(), run).join("evidence.html");
    let write = |run: i64| {
        let html = page::page(&Record::read(places, run)?).into_string();
        file::write_durable(&page(run), html.as_bytes()).map_err(|error| Failure::usage(chain(&error)))
    };
    // The run before it, too, which may have ended just now.
    if let Some(before) = evidence::runs(&places.evidence()).into_iter().find(|other| *other < run) {
        let _ = write(before);
    }
    let path = page(run);
    match write(run) {
        Ok(()) => {
            if let Some(words) = Record::read(places, run).ok().and_then(|record| text::small_groups(&record)) {
                show::note(&words);
            }
            show::note(&format!("evidence of this run: {}", path.display()));
        }
        Err(_) => show::note("the page of this run's evidence could not be written; `headwater evidence` shows the record"),
    }
}
