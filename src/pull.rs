//! Pulls what a source knows into the landing store: from a FHIR server by Bulk Data Access, by search, or by both, each type
//! its way; or from a folder of files.
//! Knows what was promised and what came; a pull that cannot prove it has everything says so. Calling again resumes.

use std::pin::Pin;

use jiff::Timestamp;

pub use self::error::PullError;
use self::job::{Jobs, State};
pub use self::job::{forget, transaction_time, unfinished};
pub use self::offer::kept as not_offered;
pub use self::origin_rule::Breach;
pub use self::outcome::type_named;
pub use self::scope::{beyond as scope_beyond, missing as scope_missing};
pub use self::settings::{
    Cohort, EhrSettings, ExportOptions, Level, Limits, Listener, Method, Progress, Pulled, QuietHours, Request, Settings, Source,
    TypePulled,
};
pub use self::tables::SCHEMA;
pub use self::vendor::{KickOff, Vendor, VendorFault};
use crate::landing::Landing;
use crate::platform::backend_services::ClientKey;
use crate::platform::clock::Clock;
use crate::platform::http::Client;

mod batch;
mod body;
mod bulk;
mod by_type;
mod capability;
mod crawl;
mod dial;
mod download;
mod error;
mod files;
mod job;
mod kick_off;
mod known;
mod lines;
mod manifest;
mod members;
mod offer;
mod origin_rule;
mod outcome;
mod own;
mod pace;
mod planner;
mod proof;
mod route;
mod scope;
mod settings;
mod status;
mod summary;
mod tables;
mod taking;
mod talk;
mod veil;
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
    if jobs.open(clock.now())?.state != State::Done || crawl::is_open(landing.database(), request.run)? {
        let work = async {
            match &settings.source {
                Source::Ehr(ehr) => route::pull(ehr, &settings.limits, &request, landing, (http, clock), key, listener).await?,
                Source::Files(folder) => notes = files::pull(folder, request, landing, clock, &settings.limits, listener).await?,
            }
            Ok(())
        };
        in_time(settings.limits.deadline, clock, Box::pin(work)).await?;
    }
    summary::summary(settings, &asked, jobs, landing, clock, notes)
}

/// Boxed, so that the compiler sees by itself that it may change threads.
type Work<'a> = Pin<Box<dyn Future<Output = Result<(), PullError>> + Send + 'a>>;

/// `work`, given up at the deadline wherever it stands: what is landed by then stays, and running downloads leave nothing.
async fn in_time(deadline: Option<Timestamp>, clock: &Clock, work: Work<'_>) -> Result<(), PullError> {
    let Some(deadline) = deadline else { return work.await };
    tokio::select! {
        biased;
        done = work => done,
        () = clock.passed(deadline) => Err(PullError::OutOfTime { deadline }),
    }
}
