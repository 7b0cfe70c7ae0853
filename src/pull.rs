//! Pulls what a source knows into the landing store: from a FHIR server by Bulk Data Access, or from a folder of files.
//! Knows what was promised and what came; a pull that cannot prove it has everything says so. Calling again resumes.

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use self::error::PullError;
use self::job::{Jobs, State};
pub use self::job::{SCHEMA, forget, transaction_time, unfinished};
pub use self::origin_rule::Breach;
use self::proof::Proof;
pub use self::settings::{
    Cohort, EhrSettings, ExportOptions, Level, Limits, Listener, Method, Progress, Pulled, QuietHours, Request, Settings, Source,
    TypePulled,
};
pub use self::vendor::{Vendor, VendorFault};
use crate::landing::{Kind, Landing, Segment};
use crate::platform::backend_services::ClientKey;
use crate::platform::clock::Clock;
use crate::platform::http::Client;

mod batch;
mod body;
mod bulk;
mod by_type;
mod dial;
mod download;
mod error;
mod files;
mod job;
mod kick_off;
mod lines;
mod manifest;
mod origin_rule;
mod outcome;
mod own;
mod pace;
mod proof;
mod scope;
mod settings;
mod status;
mod taking;
mod talk;
mod vendor;
mod wish;

/// Pulls run `request.run`, or goes on with it, or gives its result again.
///
/// `landing`'s database has `SCHEMA` applied. Without `key` no token is asked for. Give up the future at any point: what is
/// landed stays, nothing is landed twice.
/// # Errors: nothing more can be done now; `PullError::is_transient` says whether the same call may go on later.
pub async fn pull(
    settings: &Settings,
    request: Request,
    landing: &Landing,
    http: &Client,
    clock: &Clock,
    key: Option<&ClientKey>,
    listener: Listener<'_>,
) -> Result<Pulled, PullError> {
    let jobs = Jobs {
        database: landing.database(),
        run: request.run,
    };
    let mut notes = Vec::new();
    let asked = request.clone();
    if jobs.open(clock.now())?.state != State::Done {
        let work = async {
            match &settings.source {
                Source::Ehr(bulk) => {
                    let ready = bulk::Bulk::new(bulk, &settings.limits, request, landing, (http, clock), key, listener).await?;
                    ready.run().await?;
                }
                Source::Files(folder) => notes = files::pull(folder, request, landing, clock, &settings.limits, listener).await?,
            }
            Ok(())
        };
        in_time(settings.limits.deadline, clock, work).await?;
    }
    summary(settings, &asked, jobs, landing, clock, notes)
}

/// `work`, given up at the deadline wherever it stands: what is landed by then stays, and running downloads leave nothing.
async fn in_time(deadline: Option<Timestamp>, clock: &Clock, work: impl Future<Output = Result<(), PullError>>) -> Result<(), PullError> {
    let Some(deadline) = deadline else { return work.await };
    tokio::select! {
        biased;
        done = work => done,
        () = clock.passed(deadline) => Err(PullError::OutOfTime { deadline }),
    }
}

fn summary(
    settings: &Settings,
    request: &Request,
    jobs: Jobs<'_>,
    landing: &Landing,
    clock: &Clock,
    notes: Vec<String>,
) -> Result<Pulled, PullError> {
    let job = jobs.open(clock.now())?;
    let segments = landing.segments(jobs.run)?;
    let counts = counts(&segments);
    let (types, since) = match &settings.source {
        Source::Ehr(ehr) if !ehr.types.is_empty() => (ehr.types.clone(), wish::since(ehr, request)),
        Source::Ehr(ehr) => (names(&counts), wish::since(ehr, request)),
        Source::Files(_) => (names(&counts), request.since),
    };
    let mut proof = Proof::of(jobs, &job, landing, &segments, &types)?;
    for note in notes {
        proof.spoil("", note);
    }
    let transaction_time = job.transaction_time.unwrap_or(job.begun_at);
    // A source whose clock runs ahead would make the next `since` skip what changes until then.
    if transaction_time > crate::platform::clock::later(clock.now(), std::time::Duration::from_secs(300)) {
        let text = "the source's `transactionTime` lies in the future: its clock or ours is wrong";
        proof.spoil("", text.to_owned());
    }
    let proven = |name: &str| TypePulled {
        whole: proof.holds_for(name) && job.state == State::Done && since.is_none() && request.until.is_none(),
        reached: (proof.holds_for(name) && job.state == State::Done).then(|| transaction_time.min(clock.now())),
    };
    Ok(Pulled {
        transaction_time,
        complete: job.state == State::Done && proof.holds(),
        types: types.iter().map(|name| (name.clone(), proven(name))).collect(),
        problems: proof.problems,
        counts,
        segments,
    })
}

fn names(counts: &[(String, u64)]) -> Vec<String> {
    counts.iter().map(|(name, _)| name.clone()).collect()
}

fn counts(segments: &[Segment]) -> Vec<(String, u64)> {
    let mut counts = BTreeMap::new();
    for segment in segments.iter().filter(|segment| segment.kind == Kind::Resources) {
        *counts.entry(segment.resource_type.clone()).or_insert(0) += segment.lines;
    }
    counts.into_iter().collect()
}
