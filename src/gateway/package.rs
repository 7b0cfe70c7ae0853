//! Pending rows to a signed package in the outbox. From the moment it is noted, these bytes are what is sent.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::deidentify::Deidentified;
use crate::submission::{Ledger as WireLedger, Manifest, Tally};
use crate::submit::{self, Package};

use super::consent::{ConsentError, Leave};
use super::error::GatewayError;
use super::evidence::{self, Gleaned};
use super::journal::{self, Run};
use super::ledger::{self, LedgerError, Watermark};
use super::options::Event;
use super::report::Report;
use super::transform::Plan;
use super::withdrawals;

/// Chunks into the outbox, manifest sealed and signed beside them, then noted: from there on these bytes are what is sent.
/// `next` comes with the previous manifest's digest and leaves with this one's.
pub(super) fn package(
    plan: &Plan<'_>,
    run: &Run,
    writer: &mut Connection,
    (mut next, gleaned): (Watermark, (&Gleaned, bool)),
    report: &mut Report,
    progress: &dyn Fn(Event),
) -> Result<(), GatewayError> {
    let site = plan.site;
    let outbox = site.places.outbox(run.id);
    clear(&outbox)?;
    let mut packer = submit::Packer::new(&outbox)?;
    let mut proof = plan.deidentifier.proof();
    ledger::each_pending_row(writer, &plan.deidentifier, |row: Deidentified| {
        row.prove(&mut proof);
        Ok::<_, GatewayError>(packer.push(&row)?)
    })?;
    let packed = packer.finish()?;
    if packed.released != report.counts.released() {
        return Err(GatewayError::Unbalanced("packaged rows are not the rows released"));
    }
    let evidence = evidence::gather(plan, run, writer, report, gleaned, proof)?;
    report.evidence = evidence::write(&site.places.evidence(), &evidence)?;
    progress(Event::Package { rows: packed.released });
    let resources = report.counts.types.iter().map(|(name, t)| {
        // What was read again from the landing was pulled in an earlier run.
        let tally = Tally {
            pulled: t.pulled + t.remapped,
            mapped: t.mapped,
            excluded: t.excluded,
            refused: t.refused,
        };
        (name.clone(), tally)
    });
    let policy = &site.rules.policy;
    let manifest = Manifest {
        format: String::new(),
        site: site.settings.name.clone(),
        submission: String::new(),
        sequence: next.sequence,
        previous: next.manifest_sha256.take(),
        transaction_time: run.transaction_time.map(|time| time.to_string()).unwrap_or_default(),
        model: site.rules.model.name.clone(),
        model_digest: site.rules.model_digest.clone(),
        mapping_digest: site.rules.mapping_digest.clone(),
        policy: policy.name().to_owned(),
        policy_digest: policy.digest_hex(),
        key_fingerprint: site.keys.fingerprint().to_owned(),
        security: evidence.labels.iter().map(evidence::Label::coding).collect(),
        ledger: WireLedger {
            resources: resources.collect(),
            released: packed.released,
        },
        output: packed.output,
    };
    let package = Package::seal(&outbox, manifest, &site.manifest_key)?;
    report.submission = Some(package.manifest().submission.clone());
    report.sequence = next.sequence;
    report.chunks = package.manifest().output.len();
    next.manifest_sha256 = Some(package.sha256());
    writer.pragma_update(None, "synchronous", "FULL").map_err(LedgerError::from)?;
    let tx = writer.transaction().map_err(LedgerError::from)?;
    // The last moment at which a withdrawal still holds this submission back.
    if withdrawals::blocked(&tx)?
        .iter()
        .any(|mark| !matches!(plan.leaves.of(mark), Leave::Nothing(_)))
    {
        return Err(ConsentError::WithdrawnMeanwhile.into());
    }
    let mark = serde_json::to_string(&next).unwrap_or_default();
    tx.execute(
        "INSERT OR REPLACE INTO submission (id, run, sequence, manifest_sha256, next_mark) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![report.submission, run.id, next.sequence.cast_signed(), package.sha256(), mark],
    )
    .map_err(LedgerError::from)?;
    evidence::remember(&tx, run.id, &evidence.new_elements).map_err(LedgerError::from)?;
    journal::note(&tx, run.id, "packaged", report, None).map_err(LedgerError::from)?;
    tx.commit().map_err(LedgerError::from)?;
    Ok(())
}

/// Removes what an earlier attempt left in the outbox.
/// # Errors: the disk.
pub(super) fn clear(outbox: &Path) -> Result<(), GatewayError> {
    match std::fs::remove_dir_all(outbox) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(GatewayError::Outbox(error)),
        _ => Ok(()),
    }
}
