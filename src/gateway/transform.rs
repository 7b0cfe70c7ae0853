//! Landed segments, line by line, into the ledger's pending tables: frames are read in order, worked on by several threads
//! and entered in the order they were read, so that the result does not depend on the number of threads.

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::deidentify::{Deidentifier, People, patients_of};
use crate::fhir::canonical;
use crate::fhir::tree::Node;
use crate::landing::{FrameReader, Kind, Segment};
use crate::map::derive::Gathered;
use crate::map::{self, Lookups, MapStats, Mapped};
use crate::origin::{Origin, SegmentId};
use crate::platform::secret::{hmac_sha256, sha256};

use super::consent::{self, Leaves, Mark};
use super::counts::Counts;
use super::enter::{Entry, Outcome, Page, Sealed};
use super::error::GatewayError;
use super::evidence::Gleaned;
use super::journal::Run;
use super::ledger::{self, LedgerError, SourceKey, Watermark};
use super::options::Event;
use super::site::Site;
use super::steps::{self, Bench, Head};
use super::{about, derived, pipeline, shares, version};

/// What all workers share.
pub(super) struct Plan<'s> {
    pub site: &'s Site,
    pub run: i64,
    pub lookups: Lookups,
    pub deidentifier: Deidentifier,
    /// The registry's rows were made by other rules or lookups: everything is mapped again.
    pub new_rules: bool,
    /// Resources whose content is as acknowledged need no second look.
    pub skip_unchanged: bool,
    /// Who may leave.
    pub leaves: Leaves,
}

impl<'s> Plan<'s> {
    /// The plan of `run` by today's rules. `mark`: what the registry holds, and by which rules; `new_rules`: not by these.
    /// # Errors: the policy does not fit the model.
    pub(super) fn new(
        site: &'s Site,
        run: &Run,
        people: People,
        (lookups, leaves): (Lookups, Leaves),
        mark: Option<&Watermark>,
        new_rules: bool,
    ) -> Result<Self, GatewayError> {
        let rules = &site.rules;
        let deidentifier = Deidentifier::new(rules.model.clone(), rules.policy.clone(), site.keys.clone(), people, run.day())?;
        Ok(Self {
            site,
            run: run.id,
            lookups,
            deidentifier,
            new_rules,
            skip_unchanged: mark.is_some() && !new_rules,
            leaves,
        })
    }

    /// Why a resource of this patient (`Patient/id`) may not leave.
    pub(super) fn stays(&self, root: Node<'_, '_>, patient: Option<&str>) -> Option<&'static str> {
        stays(
            self,
            root,
            &patient.map(|patient| self.site.mark(patient)).into_iter().collect::<Vec<_>>(),
        )
    }

    pub(super) fn page(&self) -> Page<'_> {
        Page {
            run: self.run,
            by: &self.deidentifier,
            new_rules: self.new_rules,
        }
    }
}

/// What a transform counts.
#[derive(Default)]
pub(super) struct Sums {
    pub counts: Counts,
    pub stats: MapStats,
    /// Resources entered, for whoever watches.
    pub entered: u64,
    /// What the run's evidence is made of.
    pub gleaned: Gleaned,
}

/// One frame of a segment on its way to a worker.
struct Frame {
    segment: SegmentId,
    resource_type: String,
    first_line: u64,
    bytes: Vec<u8>,
    remapped: bool,
}

/// Enters every line of the segments. `remapped`: they are of earlier runs, and only what is still the newest counts.
/// # Errors: see [`GatewayError`].
pub(super) fn transform(
    plan: &Plan<'_>,
    writer: &mut Connection,
    segments: &[Segment],
    remapped: bool,
    sums: &mut Sums,
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
                    resource_type: steps::shown_type(&segment.resource_type).to_owned(),
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
    let page = plan.page();
    let Sums {
        counts,
        stats,
        entered,
        gleaned,
    } = sums;
    let put = |(entries, seen, more): (Vec<Entry>, MapStats, Gleaned)| {
        // The write lock from the start: while a pull still writes its own tables, one that is asked for later may be refused.
        let tx = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(LedgerError::from)?;
        for entry in &entries {
            page.enter(&tx, entry, counts)?;
        }
        tx.commit().map_err(LedgerError::from)?;
        stats.merge(seen);
        gleaned.add(more);
        *entered += entries.len() as u64;
        Ok::<_, GatewayError>(())
    };
    let done = pipeline::run(site.settings.threads, next, worker, put);
    progress(Event::Transform { resources: sums.entered });
    done
}

/// Every line of a frame, to its fate.
fn work(plan: &Plan<'_>, known: &Connection, bench: &mut Bench, frame: &Frame) -> Result<(Vec<Entry>, MapStats, Gleaned), GatewayError> {
    let site = plan.site;
    let (mut entries, mut gleaned) = (Vec::new(), Gleaned::default());
    let (mut marks, mut worker) = (Marks::default(), plan.deidentifier.worker());
    let (mut mapped, mut released, mut room) = (Mapped::with_cache(std::mem::take(&mut bench.codes)), Vec::new(), Vec::new());
    for (line_number, line) in steps::lines(frame.first_line, &frame.bytes) {
        let mut entry = Entry {
            resource_type: frame.resource_type.clone(),
            key: None,
            content: [0; 16],
            version: String::new(),
            outcome: Outcome::Excluded("not looked at"),
            marks: Vec::new(),
            shares: Vec::new(),
            withheld: Vec::new(),
            remapped: frame.remapped,
            origin: Origin {
                segment: frame.segment,
                line: line_number,
            },
        };
        let read = bench.read(line, &site.settings.limits).and_then(|root| Ok((root, Head::of(root)?)));
        let (root, head) = match read {
            Ok(read) => read,
            Err(refusal) => {
                if !frame.remapped {
                    entry.content = first16(&sha256(line));
                    entry.outcome = Outcome::Refused(refusal);
                    entries.push(entry);
                }
                continue;
            }
        };
        let key = source_key(site, head.resource_type, &head.id);
        entry.key = Some(key);
        entry.content = content(root, &mut room);
        version::of(&head.last_updated).clone_into(&mut entry.version);
        if steps::is_resource_type(head.resource_type) {
            head.resource_type.clone_into(&mut entry.resource_type);
        }
        let is_redecided = plan.leaves.redecide.contains(&key);
        if frame.remapped && !plan.new_rules && !is_redecided {
            continue;
        }
        if frame.remapped || plan.skip_unchanged {
            let newest = ledger::known(known, &key)?;
            match newest {
                // Mapped again is only the newest state of a resource, and only if it is still there.
                Some(newest) if frame.remapped && newest.content != entry.content => continue,
                None if frame.remapped => continue,
                Some(newest) if plan.skip_unchanged && !is_redecided && newest.settles(&entry.content) => {
                    entry.outcome = Outcome::Unchanged(newest.fate);
                    entries.push(entry);
                    continue;
                }
                _ => {}
            }
        }
        // Before anything may refuse it: the older rows of what is refused stay, those of who may not leave do not.
        entry
            .marks
            .extend(consent::patient_of(root).map(|patient| marks.of(site, &patient)));
        if entry.marks.is_empty() && !plan.leaves.is_open() {
            entry.marks = about::marks_of(known, &key)?;
        }
        if let Some(why) = stays(plan, root, &entry.marks) {
            entry.outcome = Outcome::Excluded(why);
            entries.push(entry);
            continue;
        }
        gleaned.elements.see(root);
        released.clear();
        let fate = steps::release(
            &site.rules,
            &plan.lookups,
            &mut worker,
            root,
            &mut mapped,
            &mut released,
            &mut gleaned.met,
        );
        if matches!(fate, Ok(map::Fate::Mapped)) {
            // Whom its rows name is whose it is, whatever element the mapping took them from.
            let named = patients_of(&site.rules.model, &mapped).map(|patient| marks.of(site, patient));
            let more: Vec<Mark> = named.filter(|mark| !entry.marks.contains(mark)).collect();
            if let Some(why) = stays(plan, root, &more) {
                entry.marks.extend(more);
                entry.outcome = Outcome::Excluded(why);
                entries.push(entry);
                continue;
            }
            entry.marks.extend(more);
            entry.marks.dedup();
            entry.withheld.extend(plan.deidentifier.withheld(&mapped).cloned());
            let mut gathered = Gathered::default();
            derived::gather(&site.rules, &mapped, &mut gathered);
            entry.shares = shares::sealed(site, &gathered);
        }
        entry.outcome = match fate {
            Ok(map::Fate::Mapped) => Outcome::Mapped(released.drain(..).map(|row| Sealed::new(row, &plan.deidentifier)).collect()),
            Ok(map::Fate::Excluded(why)) => Outcome::Excluded(why),
            // Its older rows stay, unless they are of somebody who may not leave any more: whoever they name is known of them alone.
            Err(refusal) => match plan.leaves.is_open() {
                true => Outcome::Refused(refusal),
                false => {
                    let of_rows = about::marks_of(known, &key)?;
                    stays(plan, root, &of_rows).map_or(Outcome::Refused(refusal), Outcome::Excluded)
                }
            },
        };
        entries.push(entry);
    }
    let stats = mapped.take_stats();
    bench.codes = mapped.into_cache();
    if let Some(fault) = plan.lookups.fault() {
        return Err(GatewayError::Vocabulary(fault));
    }
    Ok((entries, stats, gleaned))
}

/// Why a resource of these patients may not leave.
fn stays(plan: &Plan<'_>, root: Node<'_, '_>, marks: &[Mark]) -> Option<&'static str> {
    if plan.leaves.is_open() {
        return None;
    }
    let when = consent::when(root);
    marks.iter().find_map(|mark| plan.leaves.of(mark).why_not(when))
}

/// The mark of the patient last asked for is kept: the lines of one patient often follow each other.
#[derive(Default)]
struct Marks {
    last: Option<(String, Mark)>,
}

impl Marks {
    fn of(&mut self, site: &Site, patient: &str) -> Mark {
        match &self.last {
            Some((last, mark)) if last == patient => *mark,
            _ => {
                let mark = site.mark(patient);
                self.last = Some((patient.to_owned(), mark));
                mark
            }
        }
    }
}

/// What tells whether a resource changed: a digest of its canonical text, so that another order of members, other white space
/// or a new `meta.versionId` are no change. Where an EHR has no `_lastUpdated`, this alone tells.
pub(super) fn content(root: Node<'_, '_>, room: &mut Vec<u8>) -> [u8; 16] {
    room.clear();
    canonical::write(root, room);
    first16(&sha256(room))
}

/// The keyed hash under which the ledger knows a resource.
pub(super) fn source_key(site: &Site, resource_type: &str, id: &str) -> SourceKey {
    first16(&hmac_sha256(&site.source_key, format!("{resource_type}/{id}").as_bytes()))
}

pub(super) fn first16(digest: &[u8; 32]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&digest[..16]);
    out
}
