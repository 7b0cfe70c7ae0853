//! What a mapping leaves out of the data: elements nobody reads, codes without a concept, columns and views that stay empty.
//! One pass; memory hangs on the variety of the data, not on its size, and is capped. Shows names, urls and codes, never a value.

mod elements;
mod found;
mod gather;
mod patients;

use std::path::Path;

use super::consent;
use super::each::each_block;
use super::error::GatewayError;
use super::folder::inputs;
use super::journal::Run;
use super::landed::{Newest, each_landed};
use super::lookups::gather as landed_lookups;
use super::offline::{OfflineError, lookups};
use super::site::{Rules, Site};
use crate::fhir::tree::{Limits, Node};
use gather::Gathering;

pub use found::{CodeGap, ColumnFill, Coverage, ElementKind, TypeFate, UnreadElement, ViewRows};
pub(super) use gather::shown_code;

/// Holds the folder's data against the rules. `progress` is told resources and bytes.
/// # Errors: no input, a file or vocabulary that cannot be read.
pub fn coverage(rules: &Rules, data: &Path, limits: &Limits, progress: &dyn Fn(u64, u64)) -> Result<Coverage, OfflineError> {
    let inputs = inputs(data)?;
    let lookups = lookups(rules, limits, &inputs)?;
    let mut all = Gathering::new(rules, &lookups, limits);
    let (mut done, mut bytes) = (0, 0);
    each_block(&inputs, limits.line_bytes, |input, block| {
        done += all.block(&input.resource_type, &block.bytes, &mut |_| true);
        bytes += block.bytes.len() as u64;
        progress(done, bytes);
        lookups.fault().map_or(Ok(()), |fault| Err(OfflineError::Vocabulary(fault)))
    })?;
    Ok(all.report())
}

/// Holds what a site has landed against its rules: the newest state of each resource. Nothing is pulled, written or sent.
/// `for_outside`: who may not leave, withdrawn, listed or without consent, is not counted either.
/// # Errors: a segment, a list or a vocabulary that cannot be read.
pub fn coverage_of_landed(site: &Site, for_outside: bool, progress: &dyn Fn(u64, u64)) -> Result<Coverage, GatewayError> {
    let (lookups, _) = landed_lookups(site)?;
    let leaves = match for_outside {
        true => Some(consent::decide(site, &Run::onlooker(site.tools.clock.now()))?.0),
        false => None,
    };
    let stays = |root: Node<'_, '_>| {
        let patient = leaves.as_ref().zip(consent::patient_of(root));
        patient.is_some_and(|(leaves, patient)| leaves.of(&site.mark(&patient)).why_not(consent::when(root)).is_some())
    };
    let mut all = Gathering::new(&site.rules, &lookups, &site.settings.limits);
    let mut newest = Newest::of(site)?;
    let (mut done, mut bytes) = (0, 0);
    each_landed(site, &mut newest, |newest, resource_type, block| {
        let mut fault = None;
        done += all.block(resource_type, block, &mut |root| {
            let is_newest = newest.is(root).unwrap_or_else(|error| {
                fault = Some(error);
                false
            });
            is_newest && !stays(root)
        });
        bytes += block.len() as u64;
        progress(done, bytes);
        if let Some(fault) = fault {
            return Err(fault);
        }
        lookups.fault().map_or(Ok(()), |fault| Err(GatewayError::Vocabulary(fault)))
    })?;
    let mut report = all.report();
    report.site.clone_from(&site.settings.name);
    Ok(report)
}
