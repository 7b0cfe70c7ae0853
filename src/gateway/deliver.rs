//! Sends what is packaged, as often as it takes, and enters the registry's answer: ledger and watermark in one transaction.

use std::time::Duration;

use rusqlite::params;
use tracing::warn;

use crate::audit;
use crate::platform::database;
use crate::submit::{self, LinkSettings, Package, RegistryLink, SubmitError};

use super::error::GatewayError;
use super::journal::{self, Run};
use super::ledger::{self, LedgerError, Watermark};
use super::options::Event;
use super::report::Report;
use super::site::Site;
use super::withdrawals;
use super::{evidence, inherit, master, package, people};

/// Whether the registry decided against the model or the policy of this submission: it was not applied and its sequence is
/// free. Then, and only then, another one may be prepared in its place. Any other answer may come after it was applied, or
/// means that something is wrong with the package itself, which is for a person to see.
pub(super) fn is_turned_down(error: &GatewayError) -> bool {
    let GatewayError::Submit(SubmitError::Refused {
        doing: "submit",
        status: 422,
        diagnostics,
        ..
    }) = error
    else {
        return false;
    };
    ["model:", "policy:"].iter().any(|word| diagnostics.contains(word))
}

/// This site's way to its registry.
/// # Errors: an address that may not be dialled.
pub(super) fn link(site: &Site) -> Result<RegistryLink, SubmitError> {
    let registry = &site.settings.registry;
    let settings = LinkSettings {
        base: registry.base.clone(),
        site: site.settings.name.clone(),
        client_id: registry.client_id.clone(),
        longest_wait: Duration::from_secs(3600),
    };
    RegistryLink::new(
        settings,
        site.registry_key.clone(),
        site.tools.http.clone(),
        site.tools.clock.clone(),
    )
}

/// Sends what is packaged, verifies the receipt, and moves ledger and watermark in one transaction.
/// # Errors: the registry or the network; the package stays and the next run sends the same bytes.
pub(super) async fn deliver(site: &Site, run: &Run, progress: &(dyn Fn(Event) + Send + Sync)) -> Result<Report, GatewayError> {
    let outbox = site.places.outbox(run.id);
    let (mut report, next) = {
        let db = database::lock(&site.db);
        let report = journal::report(&db, run.id)?;
        let next: String = db
            .query_row("SELECT next_mark FROM submission WHERE id = ?1", [&report.submission], |row| {
                row.get(0)
            })
            .map_err(LedgerError::from)?;
        (report, next)
    };
    let next: Watermark = serde_json::from_str(&next).map_err(|_| GatewayError::Package)?;
    let package = Package::open(&outbox)?
        .filter(|package| Some(package.sha256()) == next.manifest_sha256)
        .ok_or(GatewayError::Package)?;
    progress(Event::Submit { chunks: report.chunks });
    let vkey = audit::Vkey::parse(&site.settings.registry.log_vkey).map_err(GatewayError::LogKey)?;
    let prove = |entry: &[u8], proof: &str| {
        audit::verify_proof(&vkey, entry, proof)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let link = link(site)?;
    let answer = submit::submit(&link, &package, &prove, &|_| ()).await?;
    for outcome in &answer.outcomes {
        *report.rejected.entry(format!("{}: {}", outcome.table, outcome.rule)).or_default() += 1;
    }
    report.counts.rejected = answer.receipt.rejected;
    report.counts.accepted = answer.receipt.accepted;
    report.leaf = Some(answer.receipt.index);
    if !report.counts.rows_balance() {
        return Err(GatewayError::Answer("released is not accepted + rejected"));
    }
    // What waited since before the rotation was made with the key before.
    let has_rotated = site.is_rotating() && report.key_fingerprint == site.keys.fingerprint();
    {
        let mut db = site.bulk()?;
        let tx = db.transaction().map_err(LedgerError::from)?;
        if inherit::left(&tx).map_err(LedgerError::from)? == 0 {
            withdrawals::acknowledge(&tx, report.submission.as_deref(), report.leaf, site.tools.clock.now()).map_err(LedgerError::from)?;
        }
        let rejected = answer.outcomes.iter().map(|row| (row.table.as_str(), row.key.as_str()));
        evidence::acknowledge(site, &tx, rejected)?;
        ledger::acknowledge(&tx, run.id, &answer.outcomes, &next)?;
        tx.execute(
            "UPDATE submission SET receipt = ?2 WHERE id = ?1",
            params![report.submission, answer.receipt.proof],
        )
        .map_err(LedgerError::from)?;
        report.outstanding = ledger::outstanding(&tx)?;
        master::bind(&tx, &report.key_fingerprint).map_err(LedgerError::from)?;
        if has_rotated {
            people::turn_over(&tx).map_err(LedgerError::from)?;
        }
        journal::note(&tx, run.id, "done", &report, Some(site.tools.clock.now())).map_err(LedgerError::from)?;
        tx.commit().map_err(LedgerError::from)?;
    }
    if has_rotated {
        site.has_rotated();
        if master::finish(&site.places, &site.settings.master).is_err() {
            warn!(
                run = run.id,
                "the new master key is in force; the old one could not be removed yet, the next run tries again"
            );
        }
    }
    // Ledger before outbox: a chunk too many is harmless, one too few would be missed. What stays here goes with the next run.
    if package::clear(&outbox).is_err() {
        warn!(run = run.id, "the outbox of run {} is delivered but could not be cleared", run.id);
    }
    Ok(report)
}
