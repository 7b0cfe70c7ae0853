//! One run over one site: the only file that knows the order of the steps.
//!
//! ```text
//! pulling   pull lands every file of the export               (resumable: the export job and each file are journalled)
//! landed    transform fills the pending tables of the ledger  (thrown away and done again after a crash)
//! packaged  chunks and signed manifest are durable            (the same bytes are sent however often it takes)
//! done      receipt verified, ledger and watermark moved in one transaction
//! ```
//! Or it ends unsent: `rehearsed`, or `abandoned` for a fresh pull. Then what it landed is forgotten with it.
//! Each phase ends in one SQLite transaction; a crash between any two lines repeats at most one phase.

pub mod backup;
pub mod compare;
pub mod consent;
pub mod coverage;
pub mod desk;
pub mod doctor;
pub mod ehr_keys;
pub mod evidence;
pub mod ledger;
pub mod linkage;
pub mod looking;
pub mod offline;
pub mod preview;
pub mod quarantine;

mod about;
mod ahead;
mod blocks;
mod counts;
mod deliver;
mod derived;
mod each;
mod enter;
mod error;
pub mod explain;
mod feeds;
mod folder;
mod inherit;
mod journal;
mod landed;
mod lookups;
mod marks;
pub mod master;
mod options;
mod package;
mod people;
mod pipeline;
mod prepare;
mod report;
mod scope;
mod shares;
mod site;
mod steps;
mod transform;
mod validation;
mod version;
pub mod vocabulary;
mod withdraw;
mod withdrawals;

use std::sync::Arc;

use crate::landing::LandingError;
use crate::platform::database;
use crate::pull::{self, Pulled};

use ahead::{Ahead, Said};
use journal::{Phase, Run};

use consent::ConsentError;
pub use consent::{ConsentSettings, Require};
pub use counts::{Counts, DerivedCounts, Fate, TypeCounts};
pub use error::GatewayError;
pub use evidence::RiskSettings;
pub use feeds::Feeds;
pub use master::MasterKey;
pub use options::{Event, Options};
pub use report::{Report, Unmapped};
pub use site::{Places, RegistrySettings, Rules, Settings, Site, SiteError, Tools};
pub use validation::{FaultShown, Packaged, ProfileShown, Validated, ValidationSettings};

/// Where a run's steps are told.
type Listener<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// One run. If one was interrupted, that one first: it goes on with its own options, and only when it is not what was asked
/// for, what was asked for follows in a run of its own.
/// # Errors: see [`GatewayError`]; whatever it is, nothing is lost and the next run goes on.
pub async fn run(site: &Arc<Site>, options: &Options, progress: Listener<'_>) -> Result<Report, GatewayError> {
    consent::check(&site.settings.consent)?;
    journal::tidy(site)?;
    loop {
        let started = site.tools.clock.now();
        let seal = scope::Seal::by(&site.person_key);
        let run = journal::begin(&mut database::lock(&site.db), options, &site.asked_types(), &seal, started)?;
        let answers = run.answers(options);
        if run.resumed {
            let phase = run.phase.as_str();
            // A rehearsal must not deliver what waits for delivery, nor end a run that is not the one to be rehearsed.
            if options.rehearse && (run.phase == Phase::Packaged || !answers) {
                return Err(GatewayError::Unfinished { run: run.id, phase });
            }
            let then_anew = !answers;
            progress(Event::Resumed {
                run: run.id,
                phase,
                then_anew,
            });
        }
        match finish(site, &run, options, progress).await {
            Ok(mut report) if answers => {
                report.seconds = site.tools.clock.now().duration_since(started).as_secs_f64();
                return Ok(report);
            }
            Ok(_) => {}
            Err(error) => {
                let why = cannot_end(&run, &error).filter(|_| run.resumed && !options.rehearse);
                let Some(why) = why else { return Err(error) };
                journal::end_unsent(site, run.id, "abandoned", None)?;
                progress(Event::Abandoned { run: run.id, why });
            }
        }
    }
}

/// Why going on with this run would fail for ever: it is pulled anew instead. Nothing of it was sent.
fn cannot_end(run: &Run, error: &GatewayError) -> Option<&'static str> {
    match error {
        GatewayError::Brake { .. } => Some("it would withdraw too much; perhaps the EHR's export is whole again"),
        GatewayError::Consent(ConsentError::NotAll { .. } | ConsentError::Unreadable { .. }) => {
            Some("not every consent was there and readable; perhaps they are now")
        }
        GatewayError::Landing(LandingError::Damaged { run: of, .. }) if *of == run.id => Some("what it landed is damaged"),
        _ => None,
    }
}

/// The rest of a run, from the phase it is in.
async fn finish(site: &Arc<Site>, run: &Run, options: &Options, progress: Listener<'_>) -> Result<Report, GatewayError> {
    let mut run = run.clone();
    let mut done_ahead = None;
    if run.phase == Phase::Pulling {
        let pulled;
        (pulled, done_ahead) = pull(site, &run, progress).await?;
        // What the EHR did not give just now, it may give to the next run, which goes on with the same export. Only when
        // that has been tried is the night delivered with what there is.
        let unfinished = pull::unfinished(&site.db)?.is_some_and(|(open, _)| open == run.id);
        if unfinished && !run.resumed {
            return Err(GatewayError::NotAll { problems: pulled.problems });
        }
        let proven = withdraw::proven(site, &run, &pulled);
        journal::landed(
            &mut database::lock(&site.db),
            &mut run,
            pulled.transaction_time,
            proven,
            pulled.complete,
            pulled.problems,
        )?;
    }
    if run.phase == Phase::Packaged {
        match deliver::deliver(site, &run, progress).await {
            // It waited with the model, policy or mapping of then, which the registry does not take: now with those of today.
            Err(error) if deliver::is_turned_down(&error) || inherit::is_known_better(site, &error)? => {
                journal::back_to_landed(&database::lock(&site.db), &mut run)?;
            }
            done => return done,
        }
    }
    if !options.rehearse {
        inherit::take_over(site).await?;
    }
    let prepared = match blocking(site, &run, options, done_ahead, progress).await {
        Err(GatewayError::Consent(ConsentError::WithdrawnMeanwhile)) => blocking(site, &run, options, None, progress).await?,
        prepared => prepared?,
    };
    if prepared.rehearsed {
        return Ok(prepared);
    }
    deliver::deliver(site, &run, progress).await
}

/// Pulls, and maps ahead what is landed meanwhile.
async fn pull(site: &Arc<Site>, run: &Run, progress: Listener<'_>) -> Result<(Pulled, Option<Ahead>), GatewayError> {
    let request = pull::Request {
        run: run.id,
        since: run.since,
        since_by_type: run.scope.since_by_type.clone(),
        patients: run.scope.patients.clone(),
        until: run.scope.until,
    };
    let (tell, said) = std::sync::mpsc::channel();
    let work = tokio::task::spawn_blocking({
        let (site, run) = (site.clone(), run.clone());
        move || ahead::work(&site, &run, &said)
    });
    let show = |step| {
        // Nobody mapping ahead is no reason to stop.
        let _ = tell.send(Said::from(&step));
        progress(Event::Pull(step));
    };
    let (tools, settings) = (&site.tools, &site.settings.pull);
    let key = site.ehr_key.as_ref();
    let pulled = pull::pull(settings, request, &site.landing, &tools.http, &tools.clock, key, &show).await;
    drop(tell);
    // A fault of the work ahead is met again, and told, when the work is done in its turn.
    let ahead = work.await.ok().and_then(Result::ok).flatten();
    if let Some(ahead) = &ahead {
        let resources = ahead.sums.entered;
        progress(Event::MappedAhead { resources });
    }
    Ok((pulled?, ahead))
}

/// The transform on threads of its own, its progress brought back here.
async fn blocking(
    site: &Arc<Site>,
    run: &Run,
    options: &Options,
    ahead: Option<Ahead>,
    progress: Listener<'_>,
) -> Result<Report, GatewayError> {
    let (site, run, options) = (site.clone(), run.clone(), options.clone());
    let (events, mut inbox) = tokio::sync::mpsc::unbounded_channel();
    let work = tokio::task::spawn_blocking(move || {
        let show = |event| {
            // Nobody listening is no reason to stop.
            let _ = events.send(event);
        };
        prepare::prepare(&site, &run, &options, ahead, &show)
    });
    while let Some(event) = inbox.recv().await {
        progress(event);
    }
    work.await.map_err(|_| GatewayError::Worker)?
}
