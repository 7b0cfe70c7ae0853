//! Pulls by Bulk Data Access: kick off, wait, read the manifest, download, clean up. Every step is written down before the
//! next, so this loop begins wherever the last one was cut. Built to Bulk Data 2.0.0; takes manifests of 1.0 to the 4.0 ballot.

use std::collections::{HashMap, HashSet};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tracing::{info, warn};

use super::batch::{Key, key_of};
use super::dial::Dial;
use super::download::{Downloads, Fate, auth};
use super::error::PullError;
use super::job::{self, File, Job, Jobs, Note, State};
use super::kick_off;
use super::settings::{EhrSettings, Limits, Listener, Progress, Request};
use super::status::{self, Listing, Polled};
use super::talk::Talk;
use super::wish;
use crate::landing::{Kind, Landing};
use crate::platform::backend_services::ClientKey;
use crate::platform::clock::Clock;
use crate::platform::http::Client;

/// So often may the server lose one run's job.
const RESTARTS: u32 = 2;

/// One EHR, one run.
pub(super) struct Bulk<'a> {
    talk: Talk<'a>,
}

/// What downloading came to.
enum Settled {
    All,
    NotAll,
    Gone,
}

impl<'a> Bulk<'a> {
    /// Ready to dial: the token endpoint is found, but not yet asked.
    /// # Errors: the base or the token endpoint is not usable or not reached.
    pub(super) async fn new(
        settings: &'a EhrSettings,
        limits: &'a Limits,
        request: Request,
        landing: &'a Landing,
        (http, clock): (&'a Client, &'a Clock),
        key: Option<&ClientKey>,
        listener: Listener<'a>,
    ) -> Result<Self, PullError> {
        Ok(Self {
            talk: Talk {
                settings,
                limits,
                landing,
                dial: Dial::open(settings, limits, http, clock, key).await?,
                jobs: Jobs {
                    database: landing.database(),
                    run: request.run,
                },
                request,
                listener,
            },
        })
    }

    /// Goes on until every listed file is landed, given up or left for later.
    /// # Errors: nothing more can be done now. The same run resumes.
    pub(super) async fn run(&self) -> Result<(), PullError> {
        let talk = &self.talk;
        loop {
            let job = talk.jobs.open(talk.dial.clock.now())?;
            match job.state {
                State::Kicking => {
                    kick_off::kick_off(talk, &job).await?;
                    note_grants(talk.jobs, &talk.dial, &talk.settings.types)?;
                }
                State::Polling => match status::poll(talk, &job).await? {
                    Polled::Listed(listing) => self.listed(&listing)?,
                    Polled::Gone => self.restart(&job)?,
                    Polled::Stuck => return self.cancel(&job).await,
                },
                State::Listed => match self.download(&job).await? {
                    Settled::All => {
                        // Cleaned up first: after a crash between the two it is done again, which is harmless.
                        self.clean_up(&job).await?;
                        note_grants(talk.jobs, &talk.dial, &talk.settings.types)?;
                        talk.jobs.done()?;
                    }
                    Settled::NotAll => return Ok(()),
                    Settled::Gone => self.restart(&job)?,
                },
                State::Done => return Ok(()),
            }
        }
    }

    fn listed(&self, listing: &Listing) -> Result<(), PullError> {
        let (talk, files) = (&self.talk, &listing.files);
        let is_whole = wish::since(&talk.settings.vendor, &talk.settings.types, &talk.request).is_none();
        if is_whole && !files.iter().any(|file| file.kind == Kind::Resources) {
            // A Group with nobody in it is exported like this, too, and rightly: whoever would delete everything for it asks.
            let text = "the EHR exports everything, and that is no file at all: is nobody there, or may this client not see them?";
            talk.jobs.note(&Note::Told(text.to_owned()))?;
        }
        talk.jobs.listed(listing.transaction_time, listing.needs_token, files)?;
        let (run, files) = (talk.request.run, files.len());
        info!(run, files, "export of run {run} is ready");
        (talk.listener)(Progress::Listed { files });
        Ok(())
    }

    async fn download(&self, job: &Job) -> Result<Settled, PullError> {
        let talk = &self.talk;
        let mut downloads = Downloads::new(talk, job.needs_token);
        let mut expired = self.download_each(&downloads, talk.jobs.open_files()?).await?;
        for name in downloads.take_changed() {
            self.reopen(&name)?;
        }
        let reopened = talk.jobs.without_address()?;
        if !(expired.is_empty() && reopened.is_empty()) {
            // Addresses end sooner than the job: the same manifest again, with fresh ones, once.
            let fresh = match status::poll(talk, job).await? {
                Polled::Gone => return Ok(Settled::Gone),
                Polled::Listed(listing) if Some(listing.transaction_time) == job.transaction_time => {
                    let Listing { files, needs_token, .. } = listing;
                    talk.jobs.renewed(needs_token, &files)?.then_some(needs_token)
                }
                Polled::Listed(_) | Polled::Stuck => None,
            };
            if let Some(needs_token) = fresh {
                let again: HashSet<i64> = expired.iter().map(|(file, _)| file.seq).chain(reopened.iter().copied()).collect();
                let mut files = talk.jobs.open_files()?;
                files.retain(|file| again.contains(&file.seq));
                downloads.auth = auth(needs_token);
                expired = self.download_each(&downloads, files).await?;
            }
            for (file, status) in expired {
                let problem = format!("the server answers {status}, also after its manifest was read again");
                talk.jobs.failed(file.seq, &problem)?;
            }
            for seq in talk.jobs.without_address()? {
                talk.jobs.failed(
                    seq,
                    "it was other content when it was asked for again, and its address is not given any more",
                )?;
            }
            for name in downloads.take_changed() {
                self.reopen(&name)?;
            }
        }
        let (total, settled) = talk.jobs.file_counts()?;
        Ok(if total == settled { Settled::All } else { Settled::NotAll })
    }

    /// Downloads `files`, some at a time; gives back those whose address has expired.
    async fn download_each(&self, downloads: &Downloads<'_>, files: Vec<File>) -> Result<Vec<(File, u16)>, PullError> {
        let done = self.each(downloads, files).await;
        // Whatever stopped it: what is fetched is kept.
        let batches = downloads.batches.clone();
        blocking(move || batches.flush_all()).await?;
        done
    }

    async fn each(&self, downloads: &Downloads<'_>, mut files: Vec<File>) -> Result<Vec<(File, u16)>, PullError> {
        let talk = &self.talk;
        // Patients first: whoever maps what is landed while the rest is coming needs all of them.
        files.sort_by_key(|file| !may_hold_patients(file));
        let (total, settled) = talk.jobs.file_counts()?;
        let before = downloads.batches.landed();
        let mut alone = 0;
        let mut patients = files.iter().filter(|file| may_hold_patients(file)).count();
        if patients == 0 {
            (talk.listener)(Progress::PatientsLanded);
        }
        let mut to_come: HashMap<Key, usize> = HashMap::new();
        for file in &files {
            *to_come.entry(key_of(file)).or_default() += 1;
        }
        let at_a_time = talk.limits.concurrency.min(talk.settings.vendor.concurrency).max(1);
        let mut waiting = files.into_iter();
        let mut under_way = FuturesUnordered::new();
        let mut expired = Vec::new();
        loop {
            // Made one by one as there is room: twenty thousand files are twenty thousand rows, not as many futures.
            while under_way.len() < at_a_time
                && let Some(file) = waiting.next()
            {
                under_way.push(land(downloads, file).boxed());
            }
            let Some((fate, file)) = under_way.next().await else { break };
            let fate = fate?;
            let left = to_come.get_mut(&key_of(&file)).map_or(0, |left| {
                *left -= 1;
                *left
            });
            if left == 0 {
                let (batches, key) = (downloads.batches.clone(), key_of(&file));
                blocking(move || batches.flush(&key)).await?;
            }
            match fate {
                Fate::Landed | Fate::Held => {
                    alone += usize::from(fate == Fate::Landed);
                    if may_hold_patients(&file) {
                        patients -= 1;
                        if patients == 0 {
                            (talk.listener)(Progress::PatientsLanded);
                        }
                    }
                }
                Fate::Expired(status) => {
                    expired.push((file, status));
                    continue;
                }
                Fate::GivenUp(problem) => {
                    talk.jobs.failed(file.seq, &problem)?;
                    alone += 1;
                }
                Fate::Later(problem) => {
                    talk.jobs.postponed(file.seq, &problem)?;
                    continue;
                }
            }
            let done = settled + alone + downloads.batches.landed() - before;
            let bytes = downloads.bytes.load(std::sync::atomic::Ordering::Relaxed);
            (talk.listener)(Progress::Downloading { done, total, bytes });
        }
        Ok(expired)
    }

    /// A file of this type was other content when it was asked for again: the type's files may be of two states of the EHR,
    /// so all of them are fetched again, once; if it happens again, the type is not all there.
    fn reopen(&self, name: &str) -> Result<(), PullError> {
        let (talk, run) = (&self.talk, self.talk.request.run);
        // A file without a type may have added to every type's segments.
        let name = if talk.jobs.listed_types()?.contains("") { "" } else { name };
        if talk.jobs.files_of(name)? < 2 {
            return Ok(());
        }
        let what = if name.is_empty() { "the export" } else { name };
        let told = Note::Told(format!(
            "{what} changed at the EHR while it was fetched: all its files were fetched again"
        ));
        if talk.jobs.notes()?.contains(&told) {
            let text = format!("{what} changed at the EHR again while it was fetched again: its files do not belong together");
            talk.jobs.note(&Note::Spoils(name.to_owned(), text))?;
            return Ok(());
        }
        warn!(
            run,
            resource_type = name,
            "{what} changed at the EHR while it was fetched: fetching all its files again"
        );
        (talk.listener)(Progress::Restarted);
        // A run's search lands segments, too, of other types.
        let is_exported = |of: &String| talk.settings.types.is_empty() || of.is_empty() || talk.settings.types.contains(of);
        let is_meant = |of: &String| if name.is_empty() { is_exported(of) } else { of == name };
        let mut segments = talk.landing.segments(run)?;
        segments.retain(|segment| segment.kind == Kind::Resources && is_meant(&segment.resource_type));
        talk.landing.forget_segments(segments, |tx| {
            job::reopen(tx, run, name)?;
            job::noted(tx, run, &told)
        })?;
        Ok(())
    }

    /// Tells the server we are done. It may forget the job; so may we.
    async fn clean_up(&self, job: &Job) -> Result<(), PullError> {
        if let Some(url) = &job.poll_url {
            self.talk.drop_job(url).await?;
        }
        Ok(())
    }

    /// Gives the job up that does not end. What there is of it is nothing, and the run says so.
    async fn cancel(&self, job: &Job) -> Result<(), PullError> {
        let days = self.talk.limits.job_patience.as_secs() / (24 * 3600);
        let text = format!("the EHR did not finish its export within {days} days: it was cancelled; ask its owner why it does not end");
        // Told before it is cancelled: a crash in between asks once more, and cancels then.
        self.talk.jobs.note(&Note::Spoils(String::new(), text))?;
        self.clean_up(job).await?;
        Ok(self.talk.jobs.done()?)
    }

    fn restart(&self, job: &Job) -> Result<(), PullError> {
        let (talk, run) = (&self.talk, self.talk.request.run);
        if job.restarts >= RESTARTS {
            return Err(PullError::LostAgain(job.restarts + 1));
        }
        warn!(run, "the EHR lost the export job of run {run}; asking again from the start");
        let now = talk.dial.clock.now();
        talk.landing.forget(run, |tx| job::restart(tx, run, now))?;
        (talk.listener)(Progress::Restarted);
        Ok(())
    }
}

/// What the EHR did not grant it leaves out, and says no word of it: we do.
/// # Errors: the database.
pub(super) fn note_grants(jobs: Jobs<'_>, dial: &Dial<'_>, types: &[String]) -> Result<(), PullError> {
    for (name, why) in dial.not_granted(types) {
        let text = if name.is_empty() {
            why.to_owned()
        } else {
            format!("{name}: {why}")
        };
        jobs.note(&Note::Spoils(name, text))?;
    }
    Ok(())
}

async fn land(downloads: &Downloads<'_>, file: File) -> (Result<Fate, PullError>, File) {
    (downloads.land(&file).await, file)
}

/// A file without a type may hold anything.
fn may_hold_patients(file: &File) -> bool {
    file.listed.kind == Kind::Resources && matches!(file.listed.resource_type.as_str(), "Patient" | "")
}

/// Runs `work` where it may wait for the disk.
async fn blocking(work: impl FnOnce() -> Result<(), super::body::NotTaken> + Send + 'static) -> Result<(), PullError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| PullError::Interrupted)?;
    done.map_err(|error| match error {
        super::body::NotTaken::Landing(error) => error.into(),
        // What is held was taken already; only the disk and the database can still refuse it.
        _ => PullError::Interrupted,
    })
}
