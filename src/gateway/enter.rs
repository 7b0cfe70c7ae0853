//! How a resource comes into the ledger's pending tables: its fate, and how its rows differ from what the registry holds.
//! The order of entering does not matter, but for two: what the EHR deleted comes first, what is mapped again comes last.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Transaction, params};

use super::counts::{Counts, Fate};
use super::ledger::{LedgerError, SourceKey, UNCHANGED};
use super::{quarantine, version};
use crate::deidentify::{Deidentified, Deidentifier};
use crate::origin::{Origin, SegmentId};
use crate::refusal::{Refusal, Step};

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
    mac: [u8; 32],
}

impl Sealed {
    pub fn new(row: Deidentified, by: &Deidentifier) -> Self {
        let mac = by.mac(&row);
        Self { row, mac }
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
struct Earlier {
    resource_type: String,
    version: String,
    fate: i64,
    origin: Origin,
}

impl Page<'_> {
    /// Enters one resource: its fate, and how its rows differ from what the registry holds.
    /// A repeat within the run replaces the earlier one only if it is newer; either way it is counted.
    /// # Errors: the database.
    pub fn enter(&self, tx: &Transaction<'_>, entry: &Entry, counts: &mut Counts) -> Result<(), LedgerError> {
        let earlier = entry.key.map(|key| earlier(tx, &key)).transpose()?.flatten();
        if entry.remapped && earlier.is_some() {
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
        match earlier {
            None => {}
            // It is in the export, so it is there: deleted and made again.
            Some(earlier) if earlier.fate == DELETED => {
                counts.of(&earlier.resource_type).deleted -= 1;
                forget_rows(tx, &key)?;
            }
            Some(earlier) if version::is_later(&entry.version, &earlier.version) => {
                // The one that gives way may have been counted under another type: a file may hold what its name does not say.
                counts.of(&earlier.resource_type).excluded += 1;
                counts.exclude("replaced by a newer version in the same export");
                quarantine::leave(tx, self.run, earlier.origin)?;
                forget_rows(tx, &key)?;
            }
            Some(_) => {
                counts.of(&entry.resource_type).excluded += 1;
                counts.exclude("repeated in one export, not newer");
                return Ok(());
            }
        }
        let (fate, why) = match &entry.outcome {
            Outcome::Unchanged(fate) => (*fate, Some(UNCHANGED.to_owned())),
            Outcome::Mapped(rows) => match self.rows(tx, &key, rows)? {
                Ok(()) => (Fate::Mapped, None),
                Err(refusal) => self.refuse(tx, &key, entry, &refusal)?,
            },
            Outcome::Excluded(why) => {
                self.rows(tx, &key, &[])?.ok();
                (Fate::Excluded, Some((*why).to_owned()))
            }
            Outcome::Refused(refusal) => self.refuse(tx, &key, entry, refusal)?,
        };
        put(
            tx,
            &key,
            &Earlier {
                resource_type: entry.resource_type.clone(),
                version: entry.version.clone(),
                fate: fate as i64,
                origin: entry.origin,
            },
            entry.content,
            why.as_deref(),
        )
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
            self.rows(tx, key, &[])?.ok();
        }
        Ok((Fate::Refused, Some(reason(refusal))))
    }

    /// Enters a deletion: tombstones for every row that came from the resource. `false` if this run has it already.
    /// # Errors: the database.
    pub fn delete(&self, tx: &Transaction<'_>, resource_type: &str, key: &SourceKey, counts: &mut Counts) -> Result<bool, LedgerError> {
        if earlier(tx, key)?.is_some() {
            return Ok(false);
        }
        counts.of(resource_type).deleted += 1;
        self.rows(tx, key, &[])?.ok();
        let gone = Earlier {
            resource_type: resource_type.to_owned(),
            version: String::new(),
            fate: DELETED,
            origin: Origin {
                segment: SegmentId(0),
                line: 0,
            },
        };
        put(tx, key, &gone, [0; 16], None)?;
        Ok(true)
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
            .prepare_cached("SELECT key FROM source WHERE type = ?1 AND key NOT IN (SELECT key FROM pending_source)")?
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
                 WHERE r.source NOT IN (SELECT key FROM pending_source)",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (key, resource_type) in &stale {
            self.delete(tx, resource_type.as_deref().unwrap_or(super::steps::UNKNOWN_TYPE), key, counts)?;
        }
        Ok(stale.len() as u64)
    }

    /// Pending rows of one resource: what differs from the registry, and tombstones for what is gone.
    /// The inner error is the data's: two resources that claim one row key.
    fn rows(&self, tx: &Transaction<'_>, key: &SourceKey, rows: &[Sealed]) -> Result<Result<(), Refusal>, LedgerError> {
        for Sealed { row, .. } in rows {
            if owner(tx, row)?.is_some_and(|owner| owner != *key) {
                return Ok(Err(Refusal::new(Step::Map, row.table(), "row key of another resource")));
            }
        }
        let mut held: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
        {
            let mut statement = tx.prepare_cached("SELECT table_name, row_key, digest FROM released WHERE source = ?1")?;
            let mut found = statement.query([&key[..]])?;
            while let Some(row) = found.next()? {
                held.insert((row.get(0)?, row.get(1)?), row.get(2)?);
            }
        }
        for sealed in rows {
            let before = held.remove(&(sealed.row.table().to_owned(), sealed.row.key().to_owned()));
            if before.as_deref() != Some(&sealed.row.digest()[..]) {
                insert_row(tx, key, sealed)?;
            }
        }
        for (table, row_key) in held.into_keys() {
            insert_row(tx, key, &Sealed::new(self.by.tombstone(&table, &row_key)?, self.by))?;
        }
        Ok(Ok(()))
    }
}

/// Whose the row is: the resource that claimed it in this run, or the one that has it at the registry and did not give it up.
fn owner(tx: &Transaction<'_>, row: &Deidentified) -> Result<Option<SourceKey>, LedgerError> {
    Ok(tx
        .prepare_cached(
            "SELECT coalesce(
                (SELECT source FROM pending_row WHERE table_name = ?1 AND row_key = ?2 AND body IS NOT NULL),
                (SELECT source FROM released r WHERE table_name = ?1 AND row_key = ?2 AND NOT EXISTS
                    (SELECT 1 FROM pending_row p WHERE p.table_name = ?1 AND p.row_key = ?2 AND p.body IS NULL)))",
        )?
        .query_row([row.table(), row.key()], |row| row.get(0))?)
}

/// A row that another resource claimed meanwhile stays that one's.
fn insert_row(tx: &Transaction<'_>, key: &SourceKey, Sealed { row, mac }: &Sealed) -> Result<(), LedgerError> {
    tx.prepare_cached(
        "INSERT INTO pending_row (table_name, row_key, source, digest, mac, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET source = excluded.source, digest = excluded.digest, mac = excluded.mac, body = excluded.body
         WHERE pending_row.source = excluded.source OR pending_row.body IS NULL",
    )?
    .execute(params![row.table(), row.key(), &key[..], &row.digest()[..], &mac[..], row.body()])?;
    Ok(())
}

fn forget_rows(tx: &Transaction<'_>, key: &SourceKey) -> Result<(), LedgerError> {
    tx.prepare_cached("DELETE FROM pending_row WHERE source = ?1")?
        .execute([&key[..]])?;
    Ok(())
}

fn earlier(tx: &Transaction<'_>, key: &SourceKey) -> Result<Option<Earlier>, LedgerError> {
    Ok(tx
        .prepare_cached("SELECT type, version, fate, segment, line FROM pending_source WHERE key = ?1")?
        .query_row([&key[..]], |row| {
            Ok(Earlier {
                resource_type: row.get(0)?,
                version: row.get(1)?,
                fate: row.get(2)?,
                origin: Origin {
                    segment: SegmentId(row.get(3)?),
                    line: row.get::<_, i64>(4)?.unsigned_abs(),
                },
            })
        })
        .optional()?)
}

fn put(tx: &Transaction<'_>, key: &SourceKey, entry: &Earlier, content: [u8; 16], why: Option<&str>) -> Result<(), LedgerError> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO pending_source (key, type, content, version, fate, reason, segment, line)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        &key[..],
        entry.resource_type,
        &content[..],
        entry.version,
        entry.fate,
        why,
        entry.origin.segment.0,
        entry.origin.line.cast_signed()
    ])?;
    Ok(())
}

fn reason(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.step.as_str(), refusal.rule)
}
