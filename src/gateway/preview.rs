//! What would leave, resource by resource and cell by cell, of some patients: over what is landed, or in a rehearsal. Sends nothing.

use std::collections::BTreeSet;

use super::consent;
use super::error::GatewayError;
use super::landed::{Newest, each_line};
use super::looking::{self, Seen, look};
use super::site::Site;
use super::steps::Bench;
use super::transform::Plan;

/// Whether anything is landed that could be looked at.
/// # Errors: the landing.
pub fn is_anything_landed(site: &Site) -> Result<bool, GatewayError> {
    Ok(!site.landing.all_segments()?.is_empty())
}

/// Calls `each` with the newest landed state of every resource of the first `patients` patients who may leave, and with what is
/// nobody's.
/// # Errors: see [`GatewayError`].
pub fn preview(site: &Site, patients: usize, each: &mut dyn FnMut(Seen)) -> Result<(), GatewayError> {
    of_plan(&looking::plan(site)?, patients, each)
}

/// The same by the plan of a run.
/// # Errors: a segment that cannot be read; the database.
pub(super) fn of_plan(plan: &Plan<'_>, patients: usize, each: &mut dyn FnMut(Seen)) -> Result<(), GatewayError> {
    let site = plan.site;
    let chosen = first(plan, patients)?;
    let (mut newest, mut bench) = (Newest::of(site)?, Bench::default());
    let mut room = Bench::default();
    each_line(site, &mut newest, |newest, origin, run, line| {
        let Ok(root) = room.read(line, &site.settings.limits) else {
            return Ok(());
        };
        let is_chosen = consent::patient_of(root).is_none_or(|patient| chosen.contains(&patient));
        if is_chosen && newest.is(root)? {
            each(look(plan, &mut bench, (origin, run), root));
        }
        Ok(())
    })
}

/// The first patients by their ids, of those who may leave; where nobody may, of all.
fn first(plan: &Plan<'_>, number: usize) -> Result<BTreeSet<String>, GatewayError> {
    let site = plan.site;
    let (mut newest, mut bench) = (Newest::of(site)?, Bench::default());
    let (mut leaving, mut staying) = (BTreeSet::new(), BTreeSet::new());
    each_line(site, &mut newest, |newest, _, _, line| {
        let Ok(root) = bench.read(line, &site.settings.limits) else {
            return Ok(());
        };
        if root.resource_type() == Some("Patient") && newest.is(root)? {
            let patient = consent::patient_of(root);
            let first = if plan.stays(root, patient.as_deref()).is_none() {
                &mut leaving
            } else {
                &mut staying
            };
            first.extend(patient);
            if first.len() > number {
                first.pop_last();
            }
        }
        Ok(())
    })?;
    Ok(if leaving.is_empty() { staying } else { leaving })
}
