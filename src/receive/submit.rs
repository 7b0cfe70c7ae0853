//! `$bulk-submit`: decides whether a submission is taken. Whole, signed by its site, next in its chain, of a model and a policy
//! this registry accepts. What is taken is applied later by `apply`; asking again gives the same answer.
//! A submission refused here is kept with its reason and stands in the log; its sequence is free for a corrected one.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::check::ModelCheck;
use super::drop::FileDrop;
use super::fault::Fault;
use super::settings::Accept;
use super::store::{self, Site, State, Store, int, stamp};
use crate::audit;
use crate::submission::{BulkSubmit, Leaf, Manifest, SubmissionId, sha256_hex, verify};

/// A model that is accepted, compiled, with the conditions under which it is.
pub(super) struct Accepted {
    pub(super) accept: Accept,
    pub(super) check: ModelCheck,
}

/// What deciding needs.
pub(super) struct Desk<'d> {
    pub(super) store: &'d Store,
    pub(super) files: &'d FileDrop,
    pub(super) models: &'d [Accepted],
    pub(super) log: &'d audit::Log,
    pub(super) base: &'d str,
    pub(super) now: Timestamp,
}

impl Desk<'_> {
    /// Takes a submission; `Ok` when it is taken, now or before.
    /// # Errors: `Refused` with the reason, `Incomplete` while parts are missing, `Busy` while another one is applied.
    pub(super) fn submit(&self, site: &Site, request: &BulkSubmit) -> Result<SubmissionId, Fault> {
        let id = own_id(site, &request.submission)?;
        if request.site != site.name {
            return Err(Fault::Forbidden("the submitter is not the site of this token"));
        }
        if request.manifest_url != format!("{}/drop/{id}/manifest", self.base) {
            return Err(Fault::Malformed(
                "parameter `manifestUrl` is not this submission's manifest in the registry's own drop; nothing else is fetched".into(),
            ));
        }
        match self.store.read(|connection| store::state(connection, &id.to_string()))? {
            Some(State::Applied | State::Received) => return Ok(id),
            Some(State::Refused(reason)) if is_final(&reason) => return Err(Fault::Refused(reason)),
            _ => {}
        }
        let incomplete = || Fault::Incomplete("the manifest is not in the drop; put it and submit again".into());
        let bytes = self.files.manifest(&id)?.ok_or_else(incomplete)?;
        let manifest = Manifest::read(&bytes).map_err(|fault| Fault::Refused(fault.to_string()))?;
        if manifest.submission != id.to_string() {
            return Err(Fault::Refused("manifest: is not this submission's".into()));
        }
        let card = Card {
            manifest: &manifest,
            bytes: &bytes,
            signature: &request.signature,
        };
        if let Err(reason) = self.decide(site, &card) {
            let refused = self.store.write(|tx| {
                // A racing request may have had it taken: then that answer stands.
                if !matches!(store::state(tx, &manifest.submission)?, None | Some(State::Refused(_))) {
                    return Ok(false);
                }
                refuse(tx, self.log, self.now, &card, &reason)?;
                Ok(true)
            })?;
            return if refused { Err(Fault::Refused(reason)) } else { Ok(id) };
        }
        self.find_chunks(&id, &manifest)?;
        self.store.write(|tx| self.take(tx, site, &card))?;
        Ok(id)
    }

    /// Whether the submission may be applied, as far as its manifest tells.
    fn decide(&self, site: &Site, card: &Card<'_>) -> Result<(), String> {
        let manifest = card.manifest;
        let key = site.manifest_key.as_deref().unwrap_or_default();
        if !verify(key, card.bytes, card.signature) {
            return Err("signature: is not by the site's enrolled manifest key over this manifest".into());
        }
        let chain = manifest.verify_chain(site.last_sequence, site.last_manifest_sha256.as_deref());
        chain.map_err(|fault| fault.to_string())?;
        let accepted = find(self.models, &manifest.model).ok_or_else(|| format!("model: `{}` is not accepted here", manifest.model))?;
        let Accept {
            policies,
            model_digests,
            policy_digests,
            ..
        } = &accepted.accept;
        let listed = |list: &Option<Vec<String>>, digest: &String| list.as_ref().is_none_or(|list| list.contains(digest));
        if !policies.contains(&manifest.policy) {
            return Err(format!(
                "policy: `{}` is not accepted here for model `{}`",
                manifest.policy, manifest.model
            ));
        }
        if !listed(model_digests, &manifest.model_digest) {
            return Err("model: this version (modelDigest) is not accepted here".into());
        }
        if !listed(policy_digests, &manifest.policy_digest) {
            return Err("policy: this version (policyDigest) is not accepted here".into());
        }
        match manifest.output.iter().find(|output| accepted.check.table(&output.table).is_none()) {
            Some(output) => Err(format!("model: `{}` has no table `{}`", manifest.model, output.table)),
            None => Ok(()),
        }
    }

    /// Whether every chunk is in the drop. Their digests were checked when they were put and are again when they are applied.
    fn find_chunks(&self, id: &SubmissionId, manifest: &Manifest) -> Result<(), Fault> {
        let mut missing = 0_usize;
        let mut first = None;
        for (at, output) in manifest.output.iter().enumerate() {
            if self.files.chunk_bytes(id, &output.sha256)? != Some(output.bytes) {
                missing += 1;
                first.get_or_insert(at);
            }
        }
        match first {
            Some(at) => Err(Fault::Incomplete(format!(
                "{missing} of {} chunks are not in the drop, the first is output[{at}]; put them and submit again",
                manifest.output.len()
            ))),
            None => Ok(()),
        }
    }

    /// Marks the submission received, if nothing changed since it was decided.
    fn take(&self, tx: &Transaction<'_>, site: &Site, card: &Card<'_>) -> Result<(), Fault> {
        let id = &card.manifest.submission;
        if matches!(store::state(tx, id)?, Some(State::Applied | State::Received)) {
            return Ok(());
        }
        if store::waiting(tx, &site.name)?.is_some() {
            return Err(Fault::Busy);
        }
        let now = store::site(tx, &site.name)?.ok_or(Fault::NotFound("the site is not there any more"))?;
        if now.last_sequence != site.last_sequence {
            return Err(Fault::Busy);
        }
        write_row(tx, self.now, card, "received", None)
    }
}

/// The submission's id, when it is one of this site's own.
/// # Errors: `NotFound` for what is no id, `Forbidden` for another site's.
pub(super) fn own_id(site: &Site, text: &str) -> Result<SubmissionId, Fault> {
    let id = SubmissionId::parse(text).ok_or(Fault::NotFound("this is no submission's id"))?;
    if id.site() == site.name {
        Ok(id)
    } else {
        Err(Fault::Forbidden("the submission belongs to another site"))
    }
}

/// The accepted model of this name.
pub(super) fn find<'m>(models: &'m [Accepted], name: &str) -> Option<&'m Accepted> {
    models.iter().find(|accepted| accepted.accept.model == name)
}

/// Whether the reason lies in the submission's own bytes: the same bytes can never be accepted.
fn is_final(reason: &str) -> bool {
    ["line:", "counts:"].iter().any(|word| reason.starts_with(word))
}

/// A submission as it is written down.
pub(super) struct Card<'c> {
    pub(super) manifest: &'c Manifest,
    pub(super) bytes: &'c [u8],
    pub(super) signature: &'c str,
}

/// Writes the refusal down and into the log; the same reason again changes nothing.
/// # Errors: the store's or the log's.
pub(super) fn refuse(tx: &Transaction<'_>, log: &audit::Log, now: Timestamp, card: &Card<'_>, reason: &str) -> Result<(), Fault> {
    let id = &card.manifest.submission;
    let before: Option<Option<String>> = tx
        .query_row("SELECT reason FROM submission WHERE id = ?1", [id], |row| row.get(0))
        .optional()?;
    write_row(tx, now, card, "refused", Some(reason))?;
    if before.flatten().as_deref() == Some(reason) {
        return Ok(());
    }
    let mut leaf = leaf(tx, now, card.manifest, "submission-refused")?;
    leaf.reason = Some(reason.to_owned());
    let appended = log.append(tx, &leaf.bytes())?;
    tx.execute(
        "UPDATE submission SET leaf_index = ?2 WHERE id = ?1",
        params![id, int(appended.index)],
    )?;
    tracing::warn!(site = card.manifest.site, submission = id, "refused submission `{id}`: {reason}");
    Ok(())
}

/// A submission's leaf with no counts yet.
pub(super) fn leaf(connection: &Connection, now: Timestamp, manifest: &Manifest, event: &str) -> Result<Leaf, Fault> {
    Ok(Leaf {
        event: event.to_owned(),
        seq: audit::size(connection)?,
        time: stamp(now),
        site: manifest.site.clone(),
        submission: manifest.submission.clone(),
        manifest: manifest.sha256(),
        transaction_time: manifest.transaction_time.clone(),
        model: manifest.model.clone(),
        policy: manifest.policy.clone(),
        model_digest: manifest.model_digest.clone(),
        policy_digest: manifest.policy_digest.clone(),
        mapping_digest: manifest.mapping_digest.clone(),
        accepted: 0,
        rejected: 0,
        upserts: 0,
        tombstones: 0,
        reason: None,
    })
}

fn write_row(tx: &Transaction<'_>, now: Timestamp, card: &Card<'_>, state: &str, reason: Option<&str>) -> Result<(), Fault> {
    let manifest = card.manifest;
    let totals = manifest.totals();
    tx.execute(
        "INSERT INTO submission (id, site, sequence, received_at, state, reason, manifest, manifest_sha256, signature, transaction_time,
            model, model_digest, policy, policy_digest, mapping_digest, key_fingerprint, pulled, mapped, excluded, refused, released)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, reason = coalesce(excluded.reason, reason),
            received_at = excluded.received_at, signature = excluded.signature",
        params![
            manifest.submission,
            manifest.site,
            int(manifest.sequence),
            stamp(now),
            state,
            reason,
            card.bytes,
            sha256_hex(card.bytes),
            card.signature,
            manifest.transaction_time,
            manifest.model,
            manifest.model_digest,
            manifest.policy,
            manifest.policy_digest,
            manifest.mapping_digest,
            manifest.key_fingerprint,
            int(totals.pulled),
            int(totals.mapped),
            int(totals.excluded),
            int(totals.refused),
            int(manifest.ledger.released),
        ],
    )?;
    Ok(())
}
