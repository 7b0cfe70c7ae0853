//! How a resource comes into the ledger's pending tables: its fate, and how its rows differ from what the registry holds.
//! Entering only appends; `settle` then keeps the newest version of what came more than once. What is mapped again comes
//! after that, and only where this run has nothing newer.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Transaction, params};

use super::consent::Mark;
use super::counts::{Counts, Fate};
use super::ledger::{LedgerError, SourceKey, UNCHANGED};
use super::shares::{self, Share};
use super::{about, quarantine, version};
use crate::deidentify::{Deidentified, Deidentifier};
use crate::origin::{Origin, SegmentId};
use crate::refusal::Refusal;

const DELETED: i64 = 0;

/// What the pipeline found out about one resource.
#[derive(Debug)]
pub enum Outcome {
    /// Same bytes and same rules as last time: nothing to do. Holds the fate of then.
    Unchanged(Fate),
    Mapped(Vec<Sealed>),
    Excluded(&'static str),
    Refused(Refusal),
}

/// A row and the MAC under which it may wait here.
#[derive(Debug)]
pub struct Sealed {
    row: Deidentified,
    digest: [u8; 32],
    mac: [u8; 32],
}

impl Sealed {
    pub fn new(row: Deidentified, by: &Deidentifier) -> Self {
        let (digest, mac) = (row.digest(), by.mac(&row));
        Self { row, digest, mac }
    }
}

/// One resource on its way into the ledger.
#[derive(Debug)]
pub struct Entry {
    pub resource_type: String,
    /// `None` for a line that could not be read far enough to know its id.
    pub key: Option<SourceKey>,
    pub content: [u8; 16],
    /// `meta.lastUpdated`, as `version::of` leaves it.
    pub version: String,
    pub outcome: Outcome,
    /// Whose it is; nobody's, or nothing is known of it.
    pub marks: Vec<Mark>,
    /// What it gives to derived rows.
    pub shares: Vec<Share>,
    /// Tables of rows that the policy keeps here, one for each row.
    pub withheld: Vec<Arc<str>>,
    /// Read again from the landing because the rules changed; not pulled in this run.
    pub remapped: bool,
    pub origin: Origin,
}

/// The run that enters, and the rules it enters by.
#[derive(Clone, Copy)]
pub struct Page<'a> {
    pub run: i64,
    pub by: &'a Deidentifier,
    /// The rows the registry holds were made by other rules: one that cannot be made again must not stay.
    pub new_rules: bool,
}

/// An entry of this run.
struct Placed {
    id: i64,
    resource_type: String,
    version: String,
    fate: i64,
    origin: Origin,
    /// Its pending rows: behind the first id, up to and with the second.
    rows: (i64, i64),
}

impl Page<'_> {
    /// Enters one resource: its fate, and how its rows differ from what the registry holds.
    /// # Errors: the database.
    pub fn enter(&self, tx: &Transaction<'_>, entry: &Entry, counts: &mut Counts) -> Result<(), LedgerError> {
        if entry.remapped && is_entered(tx, entry.key.as_ref())? {
            // This run has a newer state of it, or has mapped it again already.
            return Ok(());
        }
        let types = counts.of(&entry.resource_type);
        if entry.remapped {
            types.remapped += 1;
        } else {
            types.pulled += 1;
        }
        let Some(key) = entry.key else {
            types.refused += 1;
            types.unreadable += 1;
            if let Outcome::Refused(refusal) = &entry.outcome {
                counts.refuse(reason(refusal));
                quarantine::enter(tx, self.run, &entry.resource_type, entry.origin, refusal)?;
            }
            return Ok(());
        };
        for table in &entry.withheld {
            counts.withhold(table, 1);
        }
        let rows_after = newest_row(tx)?;
        let (fate, why) = match &entry.outcome {
            Outcome::Unchanged(fate) => (*fate, Some(UNCHANGED.to_owned())),
            Outcome::Mapped(rows) => {
                self.rows(tx, &key, rows)?;
                shares::enter(tx, &key, entry.origin, &entry.shares)?;
                (Fate::Mapped, None)
            }
            Outcome::Excluded(why) => {
                self.rows(tx, &key, &[])?;
                shares::enter(tx, &key, entry.origin, &[])?;
                (Fate::Excluded, Some((*why).to_owned()))
            }
            Outcome::Refused(refusal) => self.refuse(tx, &key, entry, refusal)?,
        };
        if !matches!(entry.outcome, Outcome::Unchanged(_)) {
            about::enter(tx, &key, entry.origin, &entry.marks)?;
        }
        let placed = Placed {
            id: 0,
            resource_type: entry.resource_type.clone(),
            version: entry.version.clone(),
            fate: fate as i64,
            origin: entry.origin,
            rows: (rows_after, newest_row(tx)?),
        };
        put(tx, &key, &placed, entry.content, why.as_deref())
    }

    /// The rows of an earlier, good version stay at the registry until the resource is mended, unless they were made by
    /// rules that hold no more.
    fn refuse(
        &self,
        tx: &Transaction<'_>,
        key: &SourceKey,
        entry: &Entry,
        refusal: &Refusal,
    ) -> Result<(Fate, Option<String>), LedgerError> {
        quarantine::enter(tx, self.run, &entry.resource_type, entry.origin, refusal)?;
        if self.new_rules {
            self.rows(tx, key, &[])?;
            shares::enter(tx, key, entry.origin, &[])?;
        }
        Ok((Fate::Refused, Some(reason(refusal))))
    }

    /// Enters a deletion: tombstones for every row that came from the resource.
    /// # Errors: the database.
    pub fn delete(&self, tx: &Transaction<'_>, resource_type: &str, key: &SourceKey, counts: &mut Counts) -> Result<(), LedgerError> {
        counts.of(resource_type).deleted += 1;
        let rows_after = newest_row(tx)?;
        let origin = Origin {
            segment: SegmentId(0),
            line: 0,
        };
        self.rows(tx, key, &[])?;
        shares::enter(tx, key, origin, &[])?;
        let gone = Placed {
            id: 0,
            resource_type: resource_type.to_owned(),
            version: String::new(),
            fate: DELETED,
            origin,
            rows: (rows_after, newest_row(tx)?),
        };
        put(tx, key, &gone, [0; 16], None)
    }

    /// Enters a line of a deletion that cannot be understood: refused and counted, for what it names is not withdrawn.
    /// # Errors: the database.
    pub fn refuse_deletion(&self, tx: &Transaction<'_>, origin: Origin, refusal: &Refusal, counts: &mut Counts) -> Result<(), LedgerError> {
        let types = counts.of("Bundle");
        types.pulled += 1;
        types.refused += 1;
        counts.refuse(reason(refusal));
        Ok(quarantine::enter(tx, self.run, "Bundle", origin, refusal)?)
    }

    /// Resources of this type that are known here and that a complete full pull did not show: gone.
    /// # Errors: the database.
    pub fn vanish(&self, tx: &Transaction<'_>, resource_type: &str, counts: &mut Counts) -> Result<(), LedgerError> {
        let keys: Vec<SourceKey> = tx
            .prepare_cached(
                "SELECT key FROM source WHERE type = ?1 AND NOT EXISTS (SELECT 1 FROM pending_source p WHERE p.key = source.key)",
            )?
            .query_map([resource_type], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for key in &keys {
            self.delete(tx, resource_type, key, counts)?;
        }
        Ok(())
    }

    /// After everything was mapped again: rows whose resource was not found anywhere were made by rules that hold no more.
    /// How many resources that were.
    /// # Errors: the database.
    pub fn withdraw_stale(&self, tx: &Transaction<'_>, counts: &mut Counts) -> Result<u64, LedgerError> {
        let stale: Vec<(SourceKey, Option<String>)> = tx
            .prepare_cached(
                "SELECT DISTINCT r.source, s.type FROM released r LEFT JOIN source s ON s.key = r.source
                 WHERE NOT EXISTS (SELECT 1 FROM pending_source p WHERE p.key = r.source)
                    AND NOT EXISTS (SELECT 1 FROM derived_group d WHERE d.grp = r.source)",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (key, resource_type) in &stale {
            self.delete(tx, resource_type.as_deref().unwrap_or(super::steps::UNKNOWN_TYPE), key, counts)?;
        }
        Ok(stale.len() as u64)
    }

    /// Enters a known resource that was not come to and may not leave any more: its rows are withdrawn, it stays known.
    /// # Errors: the database.
    pub(super) fn keep_back(
        &self,
        tx: &Transaction<'_>,
        (key, resource_type, content): (&SourceKey, &str, [u8; 16]),
        (marks, why): (&[Mark], &'static str),
        counts: &mut Counts,
    ) -> Result<(), LedgerError> {
        counts.of(resource_type).remapped += 1;
        let origin = Origin {
            segment: SegmentId(0),
            line: 0,
        };
        let rows_after = newest_row(tx)?;
        self.rows(tx, key, &[])?;
        shares::enter(tx, key, origin, &[])?;
        about::enter(tx, key, origin, marks)?;
        let kept = Placed {
            id: 0,
            resource_type: resource_type.to_owned(),
            version: String::new(),
            fate: Fate::Excluded as i64,
            origin,
            rows: (rows_after, newest_row(tx)?),
        };
        put(tx, key, &kept, content, Some(why))
    }

    /// Everything of the export is entered: of what came more than once, only the newest version is kept, the others are
    /// counted as excluded. What is there beats what is deleted: it was made again. Makes the pending tables' indexes.
    /// # Errors: the database.
    pub fn settle(&self, tx: &Transaction<'_>, counts: &mut Counts) -> Result<(), LedgerError> {
        tx.execute_batch("CREATE INDEX pending_source_key ON pending_source (key)")?;
        shares::settle(tx)?;
        about::settle(tx)?;
        {
            let mut repeated = tx.prepare("SELECT key FROM pending_source GROUP BY key HAVING count(*) > 1")?;
            let mut keys = repeated.query([])?;
            while let Some(row) = keys.next()? {
                self.keep_newest(tx, &row.get(0)?, counts)?;
            }
        }
        Ok(tx.execute_batch("CREATE INDEX pending_row_key ON pending_row (table_name, row_key)")?)
    }

    fn keep_newest(&self, tx: &Transaction<'_>, key: &SourceKey, counts: &mut Counts) -> Result<(), LedgerError> {
        let mut entries = placed(tx, key)?.into_iter();
        let Some(mut kept) = entries.next() else { return Ok(()) };
        for next in entries {
            let newer = match (kept.fate == DELETED, next.fate == DELETED) {
                (was_deleted, true) => was_deleted,
                (true, false) => true,
                (false, false) => version::is_later(&next.version, &kept.version),
            };
            let (loser, why) = if newer {
                (std::mem::replace(&mut kept, next), "replaced by a newer version in the same export")
            } else {
                (next, "repeated in one export, not newer")
            };
            tx.prepare_cached("DELETE FROM pending_row WHERE id > ?1 AND id <= ?2")?
                .execute([loser.rows.0, loser.rows.1])?;
            tx.prepare_cached("DELETE FROM pending_source WHERE id = ?1")?.execute([loser.id])?;
            // Of two deletions nothing tells one from the other.
            if loser.origin != kept.origin {
                shares::leave(tx, key, loser.origin)?;
                about::leave(tx, key, loser.origin)?;
            }
            let types = counts.of(&loser.resource_type);
            if loser.fate == DELETED {
                types.deleted -= 1;
            } else {
                types.excluded += 1;
                counts.exclude(why);
                quarantine::leave(tx, self.run, loser.origin)?;
            }
        }
        Ok(())
    }

    /// Pending rows of one source: what differs from the registry, and tombstones for what is gone.
    /// # Errors: the database.
    pub(super) fn rows(&self, tx: &Transaction<'_>, key: &SourceKey, rows: &[Sealed]) -> Result<(), LedgerError> {
        let mut held: BTreeMap<(String, String), [u8; 32]> = BTreeMap::new();
        {
            let mut statement = tx.prepare_cached("SELECT table_name, row_key, digest FROM released WHERE source = ?1")?;
            let mut found = statement.query([&key[..]])?;
            while let Some(row) = found.next()? {
                held.insert((row.get(0)?, row.get(1)?), row.get(2)?);
            }
        }
        for sealed in rows {
            let before = held.remove(&(sealed.row.table().to_owned(), sealed.row.key().to_owned()));
            if before != Some(sealed.digest) {
                insert_row(tx, key, sealed)?;
            }
        }
        for (table, row_key) in held.into_keys() {
            insert_row(tx, key, &Sealed::new(self.by.tombstone(&table, &row_key)?, self.by))?;
        }
        Ok(())
    }
}

pub(super) fn insert_row(tx: &Transaction<'_>, key: &SourceKey, Sealed { row, digest, mac }: &Sealed) -> Result<(), LedgerError> {
    tx.prepare_cached("INSERT INTO pending_row (table_name, row_key, source, digest, mac, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![row.table(), row.key(), &key[..], &digest[..], &mac[..], row.body()])?;
    Ok(())
}

fn newest_row(tx: &Transaction<'_>) -> Result<i64, LedgerError> {
    Ok(tx
        .prepare_cached("SELECT coalesce(max(id), 0) FROM pending_row")?
        .query_row([], |row| row.get(0))?)
}

/// Whether this run has it already; asked once the indexes are there.
fn is_entered(tx: &Transaction<'_>, key: Option<&SourceKey>) -> Result<bool, LedgerError> {
    let Some(key) = key else { return Ok(false) };
    Ok(tx
        .prepare_cached("SELECT 1 FROM pending_source WHERE key = ?1")?
        .exists([&key[..]])?)
}

/// The entries of one resource, in the order they were landed, whenever they were worked on; deletions first.
fn placed(tx: &Transaction<'_>, key: &SourceKey) -> Result<Vec<Placed>, LedgerError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, type, version, fate, segment, line, rows_after, rows_to FROM pending_source WHERE key = ?1 ORDER BY segment, line, id",
    )?;
    let found = statement.query_map([&key[..]], |row| {
        Ok(Placed {
            id: row.get(0)?,
            resource_type: row.get(1)?,
            version: row.get(2)?,
            fate: row.get(3)?,
            origin: Origin {
                segment: SegmentId(row.get(4)?),
                line: row.get::<_, i64>(5)?.unsigned_abs(),
            },
            rows: (row.get(6)?, row.get(7)?),
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn put(tx: &Transaction<'_>, key: &SourceKey, entry: &Placed, content: [u8; 16], why: Option<&str>) -> Result<(), LedgerError> {
    tx.prepare_cached(
        "INSERT INTO pending_source (key, type, content, version, fate, reason, segment, line, rows_after, rows_to)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        &key[..],
        entry.resource_type,
        &content[..],
        entry.version,
        entry.fate,
        why,
        entry.origin.segment.0,
        entry.origin.line.cast_signed(),
        entry.rows.0,
        entry.rows.1
    ])?;
    Ok(())
}

fn reason(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.step.as_str(), refusal.rule)
}
