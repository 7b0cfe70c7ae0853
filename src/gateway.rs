//! One run over one site: the only file that knows the order of the steps.
//!
//! ```text
//! pulling   pull lands every file of the export               (resumable: the export job and each file are journalled)
//! landed    transform fills the pending tables of the ledger  (thrown away and done again after a crash)
//! packaged  chunks and signed manifest are durable            (the same bytes are sent however often it takes)
//! done      receipt verified, ledger and watermark moved in one transaction
//! ```
//! Each phase ends in one SQLite transaction; a crash between any two lines repeats at most one phase.

pub mod ledger;
pub mod offline;
pub mod quarantine;

mod blocks;
mod people;
mod pipeline;
mod release;
mod report;
mod run;
mod site;
mod transform;

use std::sync::Arc;

use jiff::Timestamp;

use crate::platform::database;
use crate::pull::{self, Pulled};
use crate::submit;

use run::{Phase, Run};

pub use ledger::{Counts, Fate};
pub use report::{Report, Unmapped};
pub use site::{Places, RegistrySettings, Rules, Settings, Site, SiteError, Tools};

/// What one run is asked to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Pull everything, not only what changed.
    pub full: bool,
    /// Pull what changed since then, whatever the watermark says.
    pub since: Option<Timestamp>,
    /// Go the whole way and deliver nothing.
    pub rehearse: bool,
    /// A person has looked: let a run through that would withdraw an unusual share of all resources.
    pub accept_deletions: bool,
}

/// What is going on, for whoever shows it.
#[derive(Clone, Debug)]
pub enum Event {
    Resumed { run: i64, phase: &'static str },
    Pull(pull::Progress),
    Transform { resources: u64 },
    Package { rows: u64 },
    Submit { chunks: usize },
}

/// Why a run did not end.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("pulling from the EHR stopped")]
    Pull(#[from] pull::PullError),
    #[error(
        "the EHR did not give every file of its export: nothing was sent, what came is landed, the next run asks for the rest\n  {}",
        problems.join("\n  ")
    )]
    NotAll { problems: Vec<String> },
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    #[error("the site's database could not be used")]
    Database(#[from] database::DatabaseError),
    #[error("a landed segment could not be read")]
    Landing(#[from] crate::landing::LandingError),
    #[error("submitting to the registry stopped; what was prepared is kept and sent by the next run")]
    Submit(#[from] submit::SubmitError),
    #[error("the patients' crosswalk could not be used")]
    People(#[from] people::PeopleError),
    #[error(
        "{gone} of {known} resources known here would be withdrawn at once (more than {percent} %): nothing was sent. \
         If that is right, run again with --accept-deletions; if not, ask the EHR's team what changed in the export"
    )]
    Brake { gone: u64, known: u64, percent: u8 },
    #[error("the ledger does not balance ({0}): nothing was sent; this is our fault, please report it with the counts above")]
    Unbalanced(&'static str),
    #[error("registry.log_vkey in site.toml is no verifier key; take it from the enrolment")]
    LogKey(#[source] crate::audit::AuditError),
    #[error("the outbox could not be cleared")]
    Outbox(#[source] std::io::Error),
    #[error("the packaged submission in the outbox is not the one the ledger noted; restore the state directory from its backup")]
    Package,
    #[error("de-identification could not be set up")]
    Deidentify(#[from] crate::deidentify::DeidentifyError),
    #[error("the worker of this run stopped unexpectedly")]
    Worker,
}

/// One run, or the rest of one that was interrupted.
/// # Errors: see [`GatewayError`]; whatever it is, nothing is lost and the next run goes on.
pub async fn run(site: &Arc<Site>, options: &Options, progress: &(dyn Fn(Event) + Send + Sync)) -> Result<Report, GatewayError> {
    let started = site.tools.clock.now();
    let mut run = run::begin(&mut database::lock(&site.db), options, started)?;
    if run.resumed {
        progress(Event::Resumed {
            run: run.id,
            phase: run.phase.as_str(),
        });
    }
    if run.phase == Phase::Pulling {
        let pulled = pull(site, &run, progress).await?;
        // What the EHR did not give just now, it may give to the next run, which goes on with the same export. Only when
        // that has been tried is the night delivered with what there is.
        let unfinished = pull::unfinished(&site.db)?.is_some_and(|(open, _)| open == run.id);
        if unfinished && !run.resumed {
            return Err(GatewayError::NotAll { problems: pulled.problems });
        }
        run::landed(
            &database::lock(&site.db),
            &mut run,
            pulled.transaction_time,
            pulled.complete,
            pulled.problems,
        )?;
    }
    if run.phase == Phase::Landed {
        let prepared = blocking(site, &run, options, progress).await?;
        if prepared.rehearsed {
            return Ok(prepared);
        }
        run.phase = Phase::Packaged;
    }
    let mut report = release::deliver(site, &run, progress).await?;
    report.seconds = site.tools.clock.now().duration_since(started).as_secs_f64();
    Ok(report)
}

async fn pull(site: &Arc<Site>, run: &Run, progress: &(dyn Fn(Event) + Send + Sync)) -> Result<Pulled, GatewayError> {
    let request = pull::Request {
        run: run.id,
        since: run.since,
    };
    let show = |step| progress(Event::Pull(step));
    let (tools, settings) = (&site.tools, &site.settings.pull);
    Ok(pull::pull(
        settings,
        request,
        &site.landing,
        &tools.http,
        &tools.clock,
        site.ehr_key.as_ref(),
        &show,
    )
    .await?)
}

/// The transform on threads of its own, its progress brought back here.
async fn blocking(
    site: &Arc<Site>,
    run: &Run,
    options: &Options,
    progress: &(dyn Fn(Event) + Send + Sync),
) -> Result<Report, GatewayError> {
    let (site, run, options) = (site.clone(), run.clone(), options.clone());
    let (events, mut inbox) = tokio::sync::mpsc::unbounded_channel();
    let work = tokio::task::spawn_blocking(move || {
        let show = |event| {
            // Nobody listening is no reason to stop.
            let _ = events.send(event);
        };
        release::prepare(&site, &run, &options, &show)
    });
    while let Some(event) = inbox.recv().await {
        progress(event);
    }
    work.await.map_err(|_| GatewayError::Worker)?
}
