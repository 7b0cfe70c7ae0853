//! Everything a site has landed, the newest first, and which of it still is: for who reads the landing and changes nothing.
//! Memory: 16 bytes for each resource that is landed.

use std::collections::HashSet;

use rusqlite::Connection;

use crate::fhir::tree::Node;
use crate::landing::{Kind, Segment};
use crate::origin::Origin;

use super::error::GatewayError;
use super::ledger::{self, LedgerError, SourceKey};
use super::site::Site;
use super::steps::{self, Bench, Deletion, Head};
use super::transform::source_key;

/// Knows of each resource whether this is its newest state, where the newest are asked first.
pub(super) struct Newest<'s> {
    site: &'s Site,
    db: Connection,
    /// The last run that the registry acknowledged.
    acknowledged: i64,
    /// The run whose segment is being read.
    run: i64,
    seen: HashSet<SourceKey>,
}

impl<'s> Newest<'s> {
    /// # Errors: the database.
    pub(super) fn of(site: &'s Site) -> Result<Self, GatewayError> {
        let db = site.bulk()?;
        let acknowledged = db
            .query_row("SELECT COALESCE(MAX(id), 0) FROM run WHERE phase = 'done'", [], |row| row.get(0))
            .map_err(LedgerError::from)?;
        Ok(Self {
            site,
            db,
            acknowledged,
            run: 0,
            seen: HashSet::new(),
        })
    }

    /// Whether this is the newest state of a resource that is still there. A line that is no resource is what it is.
    /// # Errors: the database.
    pub(super) fn is(&mut self, root: Node<'_, '_>) -> Result<bool, GatewayError> {
        let Ok(head) = Head::of(root) else { return Ok(true) };
        let key = source_key(self.site, head.resource_type, &head.id);
        // What the ledger no longer knows was withdrawn: it was gone from a run that saw everything.
        let gone = self.run <= self.acknowledged && ledger::known(&self.db, &key)?.is_none();
        Ok(self.seen.insert(key) && !gone)
    }

    fn forget(&mut self, deleted: Node<'_, '_>) {
        for deletion in steps::deletions(deleted) {
            if let Deletion::Of(resource_type, id) = deletion {
                self.seen.insert(source_key(self.site, resource_type, &id));
            }
        }
    }
}

/// Calls `take` with every line of every resource that is landed and where it lies, the newest segment first.
/// # Errors: a segment that cannot be read; what `take` says.
pub(super) fn each_line(
    site: &Site,
    newest: &mut Newest<'_>,
    mut take: impl FnMut(&mut Newest<'_>, Origin, i64, &[u8]) -> Result<(), GatewayError>,
) -> Result<(), GatewayError> {
    let (mut bench, mut bytes) = (Bench::default(), Vec::new());
    for segment in site.landing.all_segments()?.iter().rev() {
        newest.run = segment.run;
        let mut frames = site.landing.read(segment)?;
        while frames.next_into(&mut bytes)? {
            for (line_number, line) in steps::lines(frames.first_line(), &bytes) {
                let origin = Origin {
                    segment: segment.id,
                    line: line_number,
                };
                match segment.kind {
                    Kind::Resources => take(newest, origin, segment.run, line)?,
                    Kind::Deleted => {
                        if let Ok(root) = bench.read(line, &site.settings.limits) {
                            newest.forget(root);
                        }
                    }
                    Kind::Outcome => {}
                }
            }
        }
    }
    Ok(())
}

/// Calls `take` with the type and the lines of every block of resources that is landed, the newest segment first.
/// # Errors: a segment that cannot be read; what `take` says.
pub(super) fn each_landed(
    site: &Site,
    newest: &mut Newest<'_>,
    take: impl FnMut(&mut Newest<'_>, &str, &[u8]) -> Result<(), GatewayError>,
) -> Result<(), GatewayError> {
    each_landed_of(site, None, newest, take)
}

/// The same, of one type only where it is given.
/// # Errors: as `each_landed`.
pub(super) fn each_landed_of(
    site: &Site,
    only: Option<&str>,
    newest: &mut Newest<'_>,
    mut take: impl FnMut(&mut Newest<'_>, &str, &[u8]) -> Result<(), GatewayError>,
) -> Result<(), GatewayError> {
    let (mut bench, mut bytes) = (Bench::default(), Vec::new());
    let segments = site.landing.all_segments()?;
    let other = |segment: &Segment| {
        let named = segment.kind == Kind::Resources && !segment.resource_type.is_empty();
        named && only.is_some_and(|only| segment.resource_type != only)
    };
    for segment in segments.iter().rev().filter(|segment| !other(segment)) {
        newest.run = segment.run;
        let mut frames = site.landing.read(segment)?;
        while frames.next_into(&mut bytes)? {
            match segment.kind {
                Kind::Resources => take(newest, &segment.resource_type, &bytes)?,
                Kind::Deleted => {
                    for (_, line) in steps::lines(1, &bytes) {
                        if let Ok(root) = bench.read(line, &site.settings.limits) {
                            newest.forget(root);
                        }
                    }
                }
                Kind::Outcome => {}
            }
        }
    }
    Ok(())
}
