//! Maps what is landed while the rest is still being pulled: an EHR takes hours where the work takes minutes, so the work
//! is done in its shadow. What is done ahead stands in the pending tables like all pending work; `prepare` goes on from
//! there if nothing it rests on has changed since, and else does everything anew. Only wall time hangs on it, never a result.
//!
//! It rests on: the patients (whose records de-identify everything, so it begins when all of them are landed), who may leave
//! (where that hangs on what is still to come, nothing is done ahead), the day of the data, and whether the rules are new. Types whose mappings look something up in other resources wait for the end.

use std::collections::BTreeSet;
use std::sync::mpsc::Receiver;

use jiff::civil::Date;

use crate::landing::{Kind, Segment};
use crate::origin::SegmentId;
use crate::platform::database;
use crate::pull::{self, Progress};

use super::consent::{self, Leave, Leaves};
use super::error::GatewayError;
use super::journal::Run;
use super::ledger;
use super::site::Site;
use super::transform::{Plan, Sums, transform};
use super::{about, people, prepare};

/// What a pull tells whoever maps ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// All patients are landed.
    Patients,
    /// What was landed is thrown away.
    Restarted,
    /// Something more may be landed.
    More,
}

impl From<&Progress> for Said {
    fn from(progress: &Progress) -> Self {
        match progress {
            Progress::PatientsLanded => Said::Patients,
            Progress::Restarted => Said::Restarted,
            _ => Said::More,
        }
    }
}

/// What was done ahead, and on what it rests.
pub(super) struct Ahead {
    pub(super) sums: Sums,
    done: BTreeSet<SegmentId>,
    patients: Vec<SegmentId>,
    day: Date,
    new_rules: bool,
    leaves: Leaves,
}

impl Ahead {
    /// Whether it still stands at the end of the pull.
    pub(super) fn stands(&self, run: &Run, segments: &[Segment], new_rules: bool, leaves: &Leaves) -> bool {
        let landed: BTreeSet<_> = segments.iter().map(|segment| segment.id).collect();
        self.patients == of_patients(segments)
            && self.done.is_subset(&landed)
            && self.day == run.day()
            && self.new_rules == new_rules
            && self.leaves.same_as(leaves)
    }

    /// The segments that are still to be done.
    pub(super) fn rest(&self, segments: &[Segment]) -> Vec<Segment> {
        segments
            .iter()
            .filter(|segment| !self.done.contains(&segment.id))
            .cloned()
            .collect()
    }
}

/// Maps what is landed, as long as the pull says more; `None` when nothing could be done ahead or it was in vain.
/// # Errors: those of the transform; the run then does it in its turn and tells.
pub(super) fn work(site: &Site, run: &Run, said: &Receiver<Said>) -> Result<Option<Ahead>, GatewayError> {
    // Who may leave hangs on what is not landed yet.
    let consent = &site.settings.consent;
    if !consent.types().is_empty() || !consent.patient_tags.is_empty() {
        return Ok(None);
    }
    loop {
        match said.recv() {
            Ok(Said::Patients) => break,
            Ok(_) => {}
            Err(_) => return Ok(None),
        }
    }
    let segments = site.landing.segments(run.id)?;
    let Some(time) = pull::transaction_time(&site.db, run.id)? else {
        return Ok(None);
    };
    let run = Run {
        transaction_time: Some(time),
        ..run.clone()
    };
    let people = people::refresh(site, &segments)?;
    let mark = ledger::watermark(&database::lock(&site.db))?;
    let rules = site.rules_digest();
    // Whether lookups changed shows at the end only; if so, this was in vain.
    let new_rules = mark.as_ref().is_some_and(|mark| mark.rules != rules);
    let mut leaves = consent::decide(site, &run)?.0;
    about::compare(&database::lock(&site.db), &mut leaves, Leave::is_asked_for)?;
    let lookups = site.rules.lookups().finish();
    let plan = Plan::new(site, &run, people, (lookups, leaves), mark.as_ref(), new_rules)?;
    prepare::clear(site, run.id)?;
    let mut writer = prepare::writer(site)?;
    let mut ahead = Ahead {
        sums: Sums::default(),
        done: BTreeSet::new(),
        patients: of_patients(&segments),
        day: run.day(),
        new_rules,
        leaves: plan.leaves.clone(),
    };
    let waiting = site.rules.mapping.looking_types();
    loop {
        let landed = site.landing.segments(run.id)?;
        let is_ready = |segment: &Segment| {
            segment.kind == Kind::Resources && !segment.resource_type.is_empty() && !waiting.contains(&segment.resource_type.as_str())
        };
        let ready: Vec<Segment> = ahead.rest(&landed).into_iter().filter(is_ready).collect();
        transform(&plan, &mut writer, &ready, false, &mut ahead.sums, &|_| ())?;
        ahead.done.extend(ready.iter().map(|segment| segment.id));
        match said.recv() {
            Ok(Said::Restarted) => return Ok(None),
            Ok(_) => {}
            Err(_) => return Ok(Some(ahead)),
        }
        while let Ok(more) = said.try_recv() {
            if more == Said::Restarted {
                return Ok(None);
            }
        }
    }
}

fn of_patients(segments: &[Segment]) -> Vec<SegmentId> {
    let patients = segments
        .iter()
        .filter(|segment| segment.kind == Kind::Resources && segment.resource_type == "Patient");
    patients.map(|segment| segment.id).collect()
}
