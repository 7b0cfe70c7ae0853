//! Pulls what a source knows into the landing store: from a FHIR server by Bulk Data Access, or from a folder of files.
//! Knows what was promised and what came; a pull that cannot prove it has everything says so. Calling again resumes.

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use self::error::PullError;
use self::job::{Jobs, State};
pub use self::job::{SCHEMA, forget, unfinished};
pub use self::origin_rule::Breach;
pub use self::settings::{
    Cohort, EhrSettings, ExportOptions, Level, Limits, Listener, Method, Progress, Pulled, QuietHours, Request, Settings, Source,
    TypePulled,
};
pub use self::vendor::{Vendor, VendorFault};
use crate::landing::{Kind, Landing, Segment};
use crate::platform::backend_services::ClientKey;
use crate::platform::clock::Clock;
use crate::platform::http::Client;

mod body;
mod bulk;
mod by_type;
mod dial;
mod download;
mod error;
mod files;
mod job;
mod kick_off;
mod manifest;
mod origin_rule;
mod outcome;
mod pace;
mod scope;
mod settings;
mod vendor;

/// At most so many problems of files are told one by one.
const PROBLEMS: usize = 20;

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
    mut problems: Vec<String>,
) -> Result<Pulled, PullError> {
    let job = jobs.open(clock.now())?;
    let mut of_files = jobs.problems()?;
    if of_files.len() > PROBLEMS {
        let more = of_files.len() - PROBLEMS;
        of_files.truncate(PROBLEMS);
        of_files.push(format!("and {more} files more with problems"));
    }
    problems.append(&mut of_files);
    let segments = landing.segments(jobs.run)?;
    problems.extend(outcome::problem(landing, &segments)?);
    let transaction_time = job.transaction_time.unwrap_or(job.begun_at);
    // A source whose clock runs ahead would make the next `since` skip what changes until then.
    if transaction_time > crate::platform::clock::later(clock.now(), std::time::Duration::from_secs(300)) {
        problems.push("the source's `transactionTime` lies in the future: its clock or ours is wrong".to_owned());
    }
    let counts = counts(&segments);
    let complete = job.state == State::Done && problems.is_empty();
    let types = match &settings.source {
        Source::Ehr(ehr) if !ehr.types.is_empty() => ehr.types.clone(),
        _ => counts.iter().map(|(name, _)| name.clone()).collect(),
    };
    let proven = TypePulled {
        whole: complete && request.earliest(&types).is_none(),
        reached: complete.then_some(transaction_time),
    };
    Ok(Pulled {
        transaction_time,
        complete,
        problems,
        counts,
        segments,
        types: types.into_iter().map(|name| (name, proven.clone())).collect(),
    })
}

fn counts(segments: &[Segment]) -> Vec<(String, u64)> {
    let mut counts = BTreeMap::new();
    for segment in segments.iter().filter(|segment| segment.kind == Kind::Resources) {
        *counts.entry(segment.resource_type.clone()).or_insert(0) += segment.lines;
    }
    counts.into_iter().collect()
}
