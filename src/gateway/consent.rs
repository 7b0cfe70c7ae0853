//! Who may leave, and from when: decided once a run, of each patient, by withdrawals, exclusion lists, flags and FHIR Consents,
//! in this order. The answer holds for every row of the patient; what may not leave is excluded and counted, resource by
//! resource, and what was released before is withdrawn.
//!
//! An empty set means nobody: where a consent is required and none is there, nothing leaves. What cannot be read stops the run.

mod fault;
mod landed;
mod leave;
mod lists;
mod settings;
mod statement;
mod subject;

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use super::about;
use super::error::GatewayError;
use super::journal::Run;
use super::site::Site;
use super::withdrawals;
use crate::platform::database;

pub use fault::ConsentError;
pub(super) use leave::{LISTED, Leave, Leaves, Mark, WITHDRAWN, When};
pub use lists::{ListError, key_of, patients};
pub use settings::{ConsentSettings, Require};
pub(super) use subject::{of as patient_of, when};

use landed::Said;
use leave::{FLAGGED, NONE};

/// Reads every list once, before hours of pulling end at one that cannot be read.
/// # Errors: a list that cannot be read.
pub(super) fn check(settings: &ConsentSettings) -> Result<(), ConsentError> {
    settings.exclude.iter().try_for_each(|path| lists::patients(path).map(drop))?;
    Ok(())
}

/// Decides of everybody, as of the data of `run`; with what there is to tell.
/// # Errors: a list that cannot be read; consents that are not all there; the landing, the database.
pub(super) fn decide(site: &Site, run: &Run) -> Result<(Leaves, Vec<String>), GatewayError> {
    let settings = &site.settings.consent;
    let mut problems = Vec::new();
    for of in settings.types() {
        let is_there = run.scope.is_backfill() || run.proven.get(of).is_some_and(|proven| proven.reached.is_some());
        if !is_there {
            return Err(ConsentError::NotAll { of }.into());
        }
    }
    let mut leaves = Leaves::of_all(match settings.require {
        Require::OptIn => Leave::Nothing(NONE),
        Require::OptOut | Require::None => Leave::All,
    });
    let (said, nobodys) = landed::said(site, run)?;
    if nobodys > 0 {
        problems.push(format!(
            "{nobodys} Consent resources name no patient of this server: they decide nothing"
        ));
    }
    let (mut statements, mut kept): (HashMap<String, Vec<_>>, HashSet<String>) = Default::default();
    for (patient, said) in said {
        match said {
            Said::Consent(statement) => statements.entry(patient).or_default().push(statement),
            Said::Kept => {
                kept.insert(patient);
            }
        }
    }
    let doubtful = statements.values().flatten().filter(|statement| statement.is_doubtful).count();
    if doubtful > 0 {
        problems.push(format!(
            "{doubtful} Consent resources have a status, type or provision that FHIR does not know: each counts as a denial; \
             `headwater validate` names the faults"
        ));
    }
    for (patient, statements) in statements {
        leaves.say(site.mark(&patient), landed::leave(statements, settings.require));
    }
    for patient in kept {
        leaves.say(site.mark(&patient), Leave::Nothing(FLAGGED));
    }
    for path in &settings.exclude {
        for patient in lists::patients(path).map_err(ConsentError::from)? {
            leaves.say(site.mark(&patient), Leave::Nothing(LISTED));
        }
    }
    for mark in withdrawals::blocked(&database::lock(&site.db))? {
        leaves.say(mark, Leave::Nothing(WITHDRAWN));
    }
    Ok((leaves, problems))
}

/// Ids of the exclusion lists that no resource here is about, when a run's resources are in: each excludes nobody, and may be
/// misspelt.
/// # Errors: a list that cannot be read; the database.
pub(super) fn strangers_listed(site: &Site, db: &Connection) -> Result<u64, GatewayError> {
    let mut listed = HashSet::new();
    for path in &site.settings.consent.exclude {
        let patients = lists::patients(path).map_err(ConsentError::from)?;
        listed.extend(patients.iter().map(|patient| site.mark(patient)));
    }
    Ok(about::strangers(db, listed)?.len() as u64)
}

/// Whom a list or a withdrawal blocks as they stand now, before a run has heard of it.
/// # Errors: a list that cannot be read; the database.
pub(super) fn blocked(site: &Site) -> Result<HashSet<Mark>, GatewayError> {
    let mut marks: HashSet<Mark> = withdrawals::blocked(&database::lock(&site.db))?.into_iter().collect();
    for path in &site.settings.consent.exclude {
        marks.extend(
            lists::patients(path)
                .map_err(ConsentError::from)?
                .iter()
                .map(|patient| site.mark(patient)),
        );
    }
    Ok(marks)
}
