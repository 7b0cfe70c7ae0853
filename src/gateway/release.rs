//! From landed segments to acknowledged rows: transform into the ledger's pending tables, package, sign, submit, acknowledge.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use crate::audit;
use crate::cdm::{Model, TableId};
use crate::deidentify::{Deidentified, Deidentifier};
use crate::landing::{FrameReader, Kind, Segment};
use crate::map::{self, Lookups, MapStats, Mapped};
use crate::origin::Origin;
use crate::platform::database;
use crate::platform::secret::{hmac_sha256, sha256};
use crate::submission::{Ledger as WireLedger, Manifest, Tally};
use crate::submit::{self, LinkSettings, Package, RegistryLink};
use crate::validate;

use super::ledger::{self, Counts, Entry, LedgerError, Outcome, Sealed, SourceKey, Watermark};
use super::run::{self, Run};
use super::transform::{self, Bench, Head};
use super::{Event, GatewayError, Options, Report, Site, Unmapped, people, pipeline};

/// Below this many known resources the brake does not act: a small site may well lose its only patient.
const BRAKE_FROM: u64 = 50;

/// One frame of a segment on its way to a worker.
struct Frame {
    segment: crate::origin::SegmentId,
    resource_type: String,
    first_line: u64,
    bytes: Vec<u8>,
    remapped: bool,
}

/// What all workers share.
struct Plan<'s> {
    site: &'s Site,
    lookups: Lookups,
    deidentifier: Deidentifier,
    /// Resources whose bytes are as acknowledged need no second look.
    skip_unchanged: bool,
}

/// Fills the pending tables from the run's segments, packages what changed and signs it.
/// # Errors: see [`GatewayError`]; the pending work is thrown away by the next attempt.
pub(super) fn prepare(site: &Site, run: &Run, options: &Options, progress: &dyn Fn(Event)) -> Result<Report, GatewayError> {
    let rules = site.rules_digest();
    let mark = {
        let mut db = database::lock(&site.db);
        let tx = db.transaction().map_err(LedgerError::from)?;
        ledger::discard_pending(&tx, run.id)?;
        tx.commit().map_err(LedgerError::from)?;
        ledger::watermark(&db)?
    };
    let segments = site.landing.segments(run.id)?;
    let people = people::refresh(site, &segments)?;
    let (lookups, lookups_digest) = lookups(site)?;
    let remap = mark
        .as_ref()
        .is_some_and(|mark| mark.rules != rules || mark.lookups != lookups_digest);
    let plan = Plan {
        site,
        lookups,
        deidentifier: Deidentifier::new(
            site.rules.model.clone(),
            site.rules.policy.clone(),
            site.keys.clone(),
            people,
            run.day(),
        )?,
        skip_unchanged: mark.is_some() && !remap,
    };
    let mut writer = database::open(&site.places.database(), &[])?;
    // Pending work may be lost in a power cut and is then done again; what is acknowledged is written elsewhere, in full.
    writer.pragma_update(None, "synchronous", "NORMAL").map_err(LedgerError::from)?;
    let mut counts = Counts::default();
    let mut stats = MapStats::default();
    transform(&plan, run, &mut writer, &segments, false, &mut counts, &mut stats, progress)?;
    deleted(&plan, &mut writer, &segments, &mut counts)?;
    if remap {
        let earlier: Vec<Segment> = site
            .landing
            .all_segments()?
            .into_iter()
            .filter(|segment| segment.run < run.id)
            .collect();
        transform(&plan, run, &mut writer, &earlier, true, &mut counts, &mut stats, progress)?;
    }
    withdraw_vanished(&plan, run, options, &mut writer, &segments, &mut counts)?;
    ledger::tally(&writer, &mut counts)?;
    if !counts.resources_balance() {
        return Err(GatewayError::Unbalanced("pulled is not mapped + excluded + refused"));
    }
    let mut report = Report {
        run: run.id,
        kind: if run.full { "full" } else { "incremental" }.to_owned(),
        complete: run.complete,
        rehearsed: options.rehearse,
        unmapped: unmapped(&site.rules.model, &stats),
        problems: run.problems.clone(),
        policy: site.rules.policy.name().to_owned(),
        key_fingerprint: site.keys.fingerprint().to_owned(),
        counts,
        ..Report::default()
    };
    if options.rehearse {
        let tx = writer.transaction().map_err(LedgerError::from)?;
        ledger::discard_pending(&tx, run.id)?;
        run::note(&tx, run.id, "rehearsed", &report, Some(site.tools.clock.now()))?;
        tx.commit().map_err(LedgerError::from)?;
        return Ok(report);
    }
    let next = Watermark {
        since: next_since(run, mark.as_ref()),
        rules,
        lookups: lookups_digest,
        sequence: mark.as_ref().map_or(0, |mark| mark.sequence) + 1,
        manifest_sha256: mark.and_then(|mark| mark.manifest_sha256),
    };
    package(&plan, run, &mut writer, next, &mut report, progress)?;
    Ok(report)
}

#[expect(clippy::too_many_arguments, reason = "the run's one big step; a struct would only rename them")]
fn transform(
    plan: &Plan<'_>,
    run: &Run,
    writer: &mut Connection,
    segments: &[Segment],
    remapped: bool,
    counts: &mut Counts,
    stats: &mut MapStats,
    progress: &dyn Fn(Event),
) -> Result<(), GatewayError> {
    let site = plan.site;
    let mut files = segments.iter().filter(|segment| segment.kind == Kind::Resources);
    let mut open: Option<(&Segment, FrameReader)> = None;
    let next = || loop {
        if let Some((segment, frames)) = &mut open {
            let mut bytes = Vec::new();
            if frames.next_into(&mut bytes)? {
                let first_line = frames.first_line();
                return Ok(Some(Frame {
                    segment: segment.id,
                    resource_type: segment.resource_type.clone(),
                    first_line,
                    bytes,
                    remapped,
                }));
            }
        }
        match files.next() {
            Some(segment) => open = Some((segment, site.landing.read(segment)?)),
            None => return Ok(None),
        }
    };
    let worker = || {
        let known = Connection::open_with_flags(site.places.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(LedgerError::from)?;
        let mut bench = Bench::default();
        Ok(move |frame: Frame| work(plan, &known, &mut bench, &frame))
    };
    let entered = AtomicU64::new(0);
    let put = |(entries, seen): (Vec<Entry>, MapStats)| {
        let tx = writer.transaction().map_err(LedgerError::from)?;
        for entry in &entries {
            ledger::enter(&tx, &plan.deidentifier, run.id, entry, counts)?;
        }
        tx.commit().map_err(LedgerError::from)?;
        stats.merge(seen);
        entered.fetch_add(entries.len() as u64, Ordering::Relaxed);
        Ok::<_, GatewayError>(())
    };
    let done = pipeline::run(site.settings.threads, next, worker, put);
    progress(Event::Transform {
        resources: entered.load(Ordering::Relaxed),
    });
    done
}

/// Every line of a frame, to its fate.
fn work(plan: &Plan<'_>, known: &Connection, bench: &mut Bench, frame: &Frame) -> Result<(Vec<Entry>, MapStats), GatewayError> {
    let site = plan.site;
    let mut entries = Vec::new();
    let (mut mapped, mut released) = (Mapped::default(), Vec::new());
    for (at, line) in (0u64..).zip(frame.bytes.split(|&byte| byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let mut entry = Entry {
            resource_type: frame.resource_type.clone(),
            key: None,
            content: first16(&sha256(line)),
            version: String::new(),
            outcome: Outcome::Excluded("not looked at"),
            remapped: frame.remapped,
            origin: Origin {
                segment: frame.segment,
                line: frame.first_line + at,
            },
        };
        let read = bench.read(line, &site.settings.limits).and_then(|root| Ok((root, Head::of(root)?)));
        let (root, head) = match read {
            Ok(read) => read,
            Err(refusal) => {
                if !frame.remapped {
                    entry.outcome = Outcome::Refused(refusal);
                    entries.push(entry);
                }
                continue;
            }
        };
        let key = source_key(site, head.resource_type, &head.id);
        entry.key = Some(key);
        entry.version = head.last_updated.into_owned();
        if head.resource_type != frame.resource_type && crate::fhir::types::TypeId::of(head.resource_type).is_some() {
            entry.resource_type = head.resource_type.to_owned();
        }
        if frame.remapped || plan.skip_unchanged {
            let newest = ledger::known(known, &key)?;
            match newest {
                // Mapped again is only the newest state of a resource, and only if it is still there.
                Some((content, _)) if frame.remapped && content != entry.content => continue,
                None if frame.remapped => continue,
                Some((content, fate)) if plan.skip_unchanged && content == entry.content => {
                    entry.outcome = Outcome::Unchanged(fate);
                    entries.push(entry);
                    continue;
                }
                _ => {}
            }
        }
        released.clear();
        let fate = transform::release(&site.rules, &plan.lookups, &plan.deidentifier, root, &mut mapped, &mut released);
        entry.outcome = match fate {
            Ok(map::Fate::Mapped) => Outcome::Mapped(released.drain(..).map(|row| Sealed::new(row, &plan.deidentifier)).collect()),
            Ok(map::Fate::Excluded(why)) => Outcome::Excluded(why),
            Err(refusal) => Outcome::Refused(refusal),
        };
        entries.push(entry);
    }
    Ok((entries, mapped.take_stats()))
}

/// The keyed hash under which the ledger knows a resource.
pub(super) fn source_key(site: &Site, resource_type: &str, id: &str) -> SourceKey {
    first16(&hmac_sha256(&site.source_key, format!("{resource_type}/{id}").as_bytes()))
}

fn first16(digest: &[u8; 32]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&digest[..16]);
    out
}

/// Tombstones for what the EHR says it deleted: Bundles of `DELETE Type/id` (Bulk Data 2.0, "Response - Complete Status").
fn deleted(plan: &Plan<'_>, writer: &mut Connection, segments: &[Segment], counts: &mut Counts) -> Result<(), GatewayError> {
    let site = plan.site;
    let mut bench = Bench::default();
    let mut bytes = Vec::new();
    for segment in segments.iter().filter(|segment| segment.kind == Kind::Deleted) {
        let tx = writer.transaction().map_err(LedgerError::from)?;
        let mut frames = site.landing.read(segment)?;
        while frames.next_into(&mut bytes)? {
            for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                let Ok(root) = bench.read(line, &site.settings.limits) else {
                    continue;
                };
                for url in transform::deleted_urls(root) {
                    if let Some((resource_type, id)) = url.rsplit_once('/').map(|(path, id)| (path.rsplit('/').next().unwrap_or(path), id))
                    {
                        ledger::enter_deleted(&tx, &plan.deidentifier, resource_type, &source_key(site, resource_type, id), counts)?;
                    }
                }
            }
        }
        tx.commit().map_err(LedgerError::from)?;
    }
    Ok(())
}

/// After a complete full pull, what is known and was not shown is gone. A brake stops a night that would withdraw too much.
fn withdraw_vanished(
    plan: &Plan<'_>,
    run: &Run,
    options: &Options,
    writer: &mut Connection,
    segments: &[Segment],
    counts: &mut Counts,
) -> Result<(), GatewayError> {
    let tx = writer.transaction().map_err(LedgerError::from)?;
    if run.full && run.complete {
        let mut types: Vec<String> = segments.iter().map(|segment| segment.resource_type.clone()).collect();
        types.sort();
        types.dedup();
        ledger::enter_vanished(&tx, &plan.deidentifier, &types, counts)?;
    }
    let gone = counts.total(|types| types.deleted);
    let known: u64 = tx
        .query_row("SELECT count(*) FROM source", [], |row| row.get::<_, i64>(0))
        .map_err(LedgerError::from)?
        .unsigned_abs();
    let percent = plan.site.settings.vanish_percent;
    if known >= BRAKE_FROM && gone * 100 > known * u64::from(percent) && !options.accept_deletions {
        return Err(GatewayError::Brake { gone, known, percent });
    }
    tx.commit().map_err(LedgerError::from)?;
    Ok(())
}

/// What mappings look up in other resources: the newest landed state of the declared types, and a digest of it.
fn lookups(site: &Site) -> Result<(Lookups, Vec<u8>), GatewayError> {
    let rules = &site.rules;
    let mut builder = rules.mapping.lookups();
    let types = rules.mapping.lookup_types();
    let mut newest: BTreeMap<SourceKey, [u8; 16]> = BTreeMap::new();
    let (mut bench, mut bytes) = (Bench::default(), Vec::new());
    let segments = site.landing.all_segments()?;
    for segment in segments
        .iter()
        .filter(|s| s.kind == Kind::Resources && types.contains(&s.resource_type.as_str()))
    {
        let mut frames = site.landing.read(segment)?;
        while frames.next_into(&mut bytes)? {
            for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                let Ok(root) = bench.read(line, &site.settings.limits) else {
                    continue;
                };
                let (Ok(head), Ok(conformant)) = (Head::of(root), validate::validate(&rules.profiles, root)) else {
                    continue;
                };
                newest.insert(source_key(site, head.resource_type, &head.id), first16(&sha256(line)));
                builder.add(conformant);
            }
        }
    }
    let mut all = Vec::with_capacity(newest.len() * 32);
    for (key, content) in newest {
        all.extend_from_slice(&key);
        all.extend_from_slice(&content);
    }
    Ok((builder.finish(), sha256(&all).to_vec()))
}

/// Codes without a concept, by table and column; the codes themselves are not told.
pub(super) fn unmapped(model: &Model, stats: &MapStats) -> Vec<Unmapped> {
    let mut sums: BTreeMap<(TableId, usize), (u64, u64)> = BTreeMap::new();
    for (code, times) in stats.unmapped() {
        let sum = sums.entry((code.table, code.column)).or_default();
        *sum = (sum.0 + 1, sum.1 + times);
    }
    let named = |((table, column), (codes, count)): ((TableId, usize), (u64, u64))| {
        let table = model.table(table);
        Unmapped {
            table: table.name.clone(),
            column: table.columns[column].name.clone(),
            codes,
            count,
        }
    };
    sums.into_iter().map(named).collect()
}

/// Chunks into the outbox, manifest sealed and signed beside them, then noted: from there on these bytes are what is sent.
/// `next` comes with the previous manifest's digest and leaves with this one's.
fn package(
    plan: &Plan<'_>,
    run: &Run,
    writer: &mut Connection,
    mut next: Watermark,
    report: &mut Report,
    progress: &dyn Fn(Event),
) -> Result<(), GatewayError> {
    let site = plan.site;
    let outbox = site.places.outbox(run.id);
    clear(&outbox)?;
    let mut packer = submit::Packer::new(&outbox)?;
    ledger::each_pending_row(writer, &plan.deidentifier, |row: Deidentified| {
        Ok::<_, GatewayError>(packer.push(&row)?)
    })?;
    let packed = packer.finish()?;
    if packed.released != report.counts.released() {
        return Err(GatewayError::Unbalanced("packaged rows are not the rows released"));
    }
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
    let mark = serde_json::to_string(&next).unwrap_or_default();
    tx.execute(
        "INSERT OR REPLACE INTO submission (id, run, sequence, manifest_sha256, next_mark) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![report.submission, run.id, next.sequence.cast_signed(), package.sha256(), mark],
    )
    .map_err(LedgerError::from)?;
    run::note(&tx, run.id, "packaged", report, None)?;
    tx.commit().map_err(LedgerError::from)?;
    Ok(())
}

/// Removes what an earlier attempt left in the outbox.
fn clear(outbox: &Path) -> Result<(), GatewayError> {
    match std::fs::remove_dir_all(outbox) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(GatewayError::Outbox(error)),
        _ => Ok(()),
    }
}

/// The watermark moves to the export's transaction time, never back, and only if the EHR gave everything.
fn next_since(run: &Run, mark: Option<&Watermark>) -> String {
    let before = mark.and_then(|mark| mark.since.parse::<jiff::Timestamp>().ok());
    let reached = run.transaction_time.filter(|_| run.complete);
    before.max(reached).map(|time| time.to_string()).unwrap_or_default()
}

/// Sends what is packaged, verifies the receipt, and moves ledger and watermark in one transaction.
/// # Errors: the registry or the network; the package stays and the next run sends the same bytes.
pub(super) async fn deliver(site: &Site, run: &Run, progress: &(dyn Fn(Event) + Send + Sync)) -> Result<Report, GatewayError> {
    let outbox = site.places.outbox(run.id);
    let (mut report, next) = {
        let db = database::lock(&site.db);
        let next: String = db
            .query_row("SELECT next_mark FROM submission WHERE run = ?1", [run.id], |row| row.get(0))
            .map_err(LedgerError::from)?;
        (run::report(&db, run.id)?, next)
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
    let registry = &site.settings.registry;
    let link = LinkSettings {
        base: registry.base.clone(),
        site: site.settings.name.clone(),
        client_id: registry.client_id.clone(),
        longest_wait: Duration::from_secs(3600),
    };
    let link = RegistryLink::new(link, site.registry_key.clone(), site.tools.http.clone(), site.tools.clock.clone())?;
    let answer = submit::submit(&link, &package, &prove, &|_| ()).await?;
    for outcome in &answer.outcomes {
        *report.rejected.entry(format!("{}: {}", outcome.table, outcome.rule)).or_default() += 1;
    }
    report.counts.rejected = answer.receipt.rejected;
    report.counts.accepted = answer.receipt.accepted;
    report.leaf = Some(answer.receipt.index);
    if !report.counts.rows_balance() {
        return Err(GatewayError::Unbalanced("released is not accepted + rejected"));
    }
    {
        let mut db = database::lock(&site.db);
        let tx = db.transaction().map_err(LedgerError::from)?;
        ledger::acknowledge(&tx, run.id, &answer.outcomes, &next)?;
        tx.execute(
            "UPDATE submission SET receipt = ?2 WHERE id = ?1",
            params![report.submission, answer.receipt.proof],
        )
        .map_err(LedgerError::from)?;
        run::note(&tx, run.id, "done", &report, Some(site.tools.clock.now()))?;
        tx.commit().map_err(LedgerError::from)?;
    }
    // Ledger before outbox: a chunk too many is harmless, one too few would be missed.
    clear(&outbox)?;
    Ok(report)
}
