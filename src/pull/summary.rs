//! What a pull comes to: what is landed, what is missing, and what is proven of each type, whichever way it came.

use std::collections::BTreeMap;

use super::error::PullError;
use super::job::{Jobs, State};
use super::proof::Proof;
use super::settings::{Pulled, Request, Settings, Source, TypePulled};
use super::{crawl, known, offer, wish};
use crate::landing::{Kind, Landing, Segment};
use crate::platform::clock::Clock;

/// What run `jobs.run` gave, as far as it got.
/// # Errors: the database, the landing.
pub(super) fn summary(
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
    let searched = crawl::proof(landing.database(), request)?;
    let names = || counts.iter().map(|(name, _)| name.clone()).collect();
    let not_offered = offer::kept(landing.database(), jobs.run)?;
    let (asked, vendor) = match &settings.source {
        Source::Ehr(ehr) => (offer::narrowed(ehr, &not_offered).types, Some(&ehr.vendor)),
        Source::Files(_) => (Vec::new(), None),
    };
    let mut exported: Vec<String> = if asked.is_empty() { names() } else { asked.clone() };
    let mut since = vendor.map_or(request.since, |vendor| wish::since(vendor, &asked, request));
    if let Some(searched) = &searched {
        exported.retain(|name| !searched.types.contains_key(name));
        since = vendor.and_then(|vendor| wish::since(vendor, &exported, request));
    }
    let mut proof = Proof::of(jobs, &job, landing, &segments, &exported)?;
    for note in notes {
        proof.spoil("", note);
    }
    let mut transaction_time = job.transaction_time.unwrap_or(job.begun_at);
    if let Some(crawl::Proof { began, .. }) = &searched {
        // Of two moments the earlier leaves out nothing.
        transaction_time = job.transaction_time.unwrap_or(*began).min(*began);
    }
    // A source whose clock runs ahead would make the next `since` skip what changes until then.
    if transaction_time > crate::platform::clock::later(clock.now(), std::time::Duration::from_secs(300)) {
        let text = "the source's `transactionTime` lies in the future: its clock or ours is wrong";
        proof.spoil("", text.to_owned());
    }
    let is_exported = job.state == State::Done;
    let proven = |name: &String| {
        let holds = is_exported && proof.holds_for(name);
        let pulled = TypePulled {
            whole: holds && since.is_none() && request.until.is_none(),
            reached: holds.then(|| transaction_time.min(clock.now())),
        };
        (name.clone(), pulled)
    };
    let mut types: BTreeMap<String, TypePulled> = exported.iter().map(proven).collect();
    let is_done = is_exported && !crawl::is_open(landing.database(), jobs.run)?;
    let mut complete = is_done && proof.holds();
    if let Some(searched) = searched {
        complete &= searched.problems.is_empty();
        proof.problems.extend(searched.problems);
        // An EHR may answer a search for what it did not grant with nothing, as if there were none.
        let granted = |(name, pulled): (String, TypePulled)| {
            if proof.is_spoilt(&name) {
                (name, TypePulled::default())
            } else {
                (name, pulled)
            }
        };
        types.extend(searched.types.into_iter().map(granted));
    }
    if complete {
        known::sure(landing.database(), jobs.run)?;
    }
    let problems = proof.problems;
    Ok(Pulled {
        transaction_time,
        complete,
        problems,
        counts,
        segments,
        types,
        not_offered,
    })
}

fn counts(segments: &[Segment]) -> Vec<(String, u64)> {
    let mut counts = BTreeMap::new();
    for segment in segments.iter().filter(|segment| segment.kind == Kind::Resources) {
        *counts.entry(segment.resource_type.clone()).or_insert(0) += segment.lines;
    }
    counts.into_iter().collect()
}
