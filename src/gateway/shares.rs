//! What each resource gives to the derived rows, kept beside the ledger, so that a night makes anew only the rows of the
//! groups that something happened to.
//!
//! ```text
//! enter        a resource that is mapped gives shares: pending_share. What it gave before (derived_share) holds no more;
//!              a row without a group says so for a resource that gives nothing now. Who is not heard of keeps its shares.
//! touched      pending_group: every group that a pending share is in, or that a resource heard of tonight was in before
//! shares_of    a group's shares: the acknowledged ones of whoever was not heard of, and the pending ones
//! acknowledge  with the ledger, in its transaction: pending shares become the acknowledged ones
//! ```
//! A group is known here by a keyed hash of table and value; its value and the dates stand in the sealed share only.
//! Knows no row: `derived` makes them.

use rusqlite::{Connection, Transaction, params};

use crate::map::derive::Gathered;
use crate::origin::Origin;
use crate::platform::secret::{self, hmac_sha256};

use super::ledger::{LedgerError, SourceKey};
use super::site::{Rules, Site};
use super::transform::first16;

const AAD: &[u8] = b"headwater derived share 1";

/// A group of a derived table, known by its keyed hash. In the ledger it is the source of its row.
pub(super) type GroupKey = SourceKey;

/// What one resource gives to one group.
#[derive(Debug)]
pub struct Share {
    table: String,
    group: GroupKey,
    sealed: Vec<u8>,
}

/// The keyed hash of a group: no resource's, for no type of resource is called like that.
pub(super) fn group_key(site: &Site, table: &str, group: &str) -> GroupKey {
    first16(&hmac_sha256(&site.source_key, format!("derived/{table}/{group}").as_bytes()))
}

/// What was gathered of one resource, sealed.
pub(super) fn sealed(site: &Site, gathered: &Gathered) -> Vec<Share> {
    let Rules { model, derivations, .. } = &site.rules;
    let share = |(table, group, bytes): (_, &str, Vec<u8>)| {
        let table = model.table(table).name.clone();
        Share {
            group: group_key(site, &table, group),
            sealed: secret::seal(&site.person_key, AAD, &bytes),
            table,
        }
    };
    derivations.shares(gathered).map(share).collect()
}

/// Enters what a resource gives now, instead of what it gave before.
/// # Errors: the database.
pub(super) fn enter(tx: &Transaction<'_>, source: &SourceKey, origin: Origin, shares: &[Share]) -> Result<(), LedgerError> {
    let mut insert =
        tx.prepare_cached("INSERT INTO pending_share (source, segment, line, grp, table_name, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let (segment, line) = (origin.segment.0, origin.line.cast_signed());
    let gave = tx
        .prepare_cached("SELECT 1 FROM derived_share WHERE source = ?1")?
        .exists([&source[..]])?;
    if gave {
        insert.execute(params![&source[..], segment, line, None::<&[u8]>, None::<&str>, None::<&[u8]>])?;
    }
    for share in shares {
        insert.execute(params![&source[..], segment, line, &share.group[..], share.table, share.sealed])?;
    }
    Ok(())
}

/// Takes back what was entered of one of several versions of a resource.
/// # Errors: the database.
pub(super) fn leave(tx: &Transaction<'_>, source: &SourceKey, origin: Origin) -> Result<(), LedgerError> {
    tx.prepare_cached("DELETE FROM pending_share WHERE source = ?1 AND segment = ?2 AND line = ?3")?
        .execute(params![&source[..], origin.segment.0, origin.line.cast_signed()])?;
    Ok(())
}

/// Makes the indexes, when the export is in.
/// # Errors: the database.
pub(super) fn settle(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(
        "CREATE INDEX pending_share_source ON pending_share (source); CREATE INDEX pending_share_group ON pending_share (grp);",
    )
}

/// Notes the groups whose rows are to be made anew. `all`: every one that has a row, for the rules are new.
/// # Errors: the database.
pub(super) fn touch(tx: &Transaction<'_>, all: bool) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO pending_group (grp, table_name)
         SELECT grp, table_name FROM pending_share WHERE grp IS NOT NULL
         UNION SELECT grp, table_name FROM derived_share WHERE source IN (SELECT source FROM pending_share)
         UNION SELECT grp, table_name FROM derived_group WHERE ?1",
        [all],
    )?;
    Ok(())
}

/// Notes the groups of `table` whose row the registry has not taken to this day, to try them again.
/// # Errors: the database.
pub(super) fn touch_rejected(tx: &Transaction<'_>, table: &str) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT OR IGNORE INTO pending_group (grp, table_name) SELECT source, table_name FROM rejected r
         WHERE table_name = ?1 AND NOT EXISTS (SELECT 1 FROM source s WHERE s.key = r.source)",
        [table],
    )?;
    Ok(())
}

/// Notes the one group of a table with one row a run.
/// # Errors: the database.
pub(super) fn touch_one(tx: &Transaction<'_>, table: &str, group: &GroupKey) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT OR IGNORE INTO pending_group (grp, table_name) VALUES (?1, ?2)",
        params![&group[..], table],
    )?;
    Ok(())
}

/// Some of the groups that were noted, behind `after`: each with its table.
/// # Errors: the database.
pub(super) fn noted(db: &Connection, after: &[u8], limit: u32) -> Result<Vec<(GroupKey, String)>, LedgerError> {
    let mut select = db.prepare_cached("SELECT grp, table_name FROM pending_group WHERE grp > ?1 ORDER BY grp LIMIT ?2")?;
    let found = select.query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Calls `each` with the shares of a group as they are tonight, opened.
/// # Errors: the database; a share that was sealed by another key; what `each` says.
pub(super) fn of_group(
    db: &Connection,
    site: &Site,
    group: &GroupKey,
    mut each: impl FnMut(&[u8]) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let mut select = db.prepare_cached(
        "SELECT sealed FROM derived_share d WHERE grp = ?1 AND NOT EXISTS (SELECT 1 FROM pending_share p WHERE p.source = d.source)
         UNION ALL SELECT sealed FROM pending_share WHERE grp = ?1",
    )?;
    let mut found = select.query([&group[..]])?;
    while let Some(row) = found.next()? {
        let sealed = row.get_ref(0)?.as_blob().map_err(|_| LedgerError::Share)?;
        each(&secret::open(&site.person_key, AAD, sealed).map_err(|_| LedgerError::Share)?)?;
    }
    Ok(())
}

/// The registry has answered: what was pending is now what the derived rows are made of.
/// # Errors: the database.
pub(super) fn acknowledge(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(
        "DELETE FROM derived_share WHERE source IN (SELECT source FROM pending_share);
         INSERT OR REPLACE INTO derived_share (source, grp, table_name, sealed)
            SELECT source, grp, table_name, sealed FROM pending_share WHERE grp IS NOT NULL ORDER BY 1, 2;
         INSERT OR REPLACE INTO derived_group (grp, table_name) SELECT grp, table_name FROM pending_group;
         DELETE FROM derived_group WHERE grp IN (SELECT grp FROM pending_group)
            AND NOT EXISTS (SELECT 1 FROM released r WHERE r.source = derived_group.grp);",
    )
}

/// Throws away the pending work.
/// # Errors: the database.
pub(super) fn discard(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(
        "DROP INDEX IF EXISTS pending_share_source; DROP INDEX IF EXISTS pending_share_group;
         DELETE FROM pending_share; DELETE FROM pending_group;",
    )
}

#[cfg(test)]
mod tests {
    use super::super::ledger;
    use super::*;
    use crate::origin::SegmentId;

    const A: GroupKey = [0xa; 16];
    const B: GroupKey = [0xb; 16];

    fn origin(line: u64) -> Origin {
        Origin {
            segment: SegmentId(1),
            line,
        }
    }

    fn share(group: GroupKey) -> Share {
        Share {
            table: "period".to_owned(),
            group,
            sealed: group.to_vec(),
        }
    }

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(ledger::SCHEMA).unwrap();
        db
    }

    /// One night: each resource, by its key, with what it gives now; the groups that are made anew.
    fn night(db: &mut Connection, heard: &[(u8, &[GroupKey])], all: bool) -> Vec<GroupKey> {
        let tx = db.transaction().unwrap();
        for (line, (source, groups)) in (1..).zip(heard) {
            let shares: Vec<Share> = groups.iter().map(|group| share(*group)).collect();
            enter(&tx, &[*source; 16], origin(line), &shares).unwrap();
        }
        settle(&tx).unwrap();
        touch(&tx, all).unwrap();
        let groups = noted(&tx, &[], 100).unwrap();
        for (group, _) in &groups {
            tx.execute(
                "INSERT OR REPLACE INTO released (source, table_name, row_key, digest) VALUES (?1, 'period', 'k', x'')",
                [&group[..]],
            )
            .unwrap();
        }
        acknowledge(&tx).unwrap();
        discard(&tx).unwrap();
        tx.commit().unwrap();
        groups.into_iter().map(|(group, _)| group).collect()
    }

    #[test]
    fn a_group_is_made_anew_when_a_resource_comes_to_it_changes_in_it_or_leaves_it() {
        let mut db = database();
        assert_eq!(night(&mut db, &[(1, &[A]), (2, &[A, B]), (3, &[])], false), [A, B]);
        assert!(night(&mut db, &[], false).is_empty());
        assert!(night(&mut db, &[(3, &[])], false).is_empty(), "it never gave anything");
        assert_eq!(night(&mut db, &[(1, &[A])], false), [A]);
        assert_eq!(night(&mut db, &[(1, &[B])], false), [A, B], "it moved");
        assert_eq!(night(&mut db, &[(1, &[])], false), [B], "it left");
        assert!(night(&mut db, &[(1, &[])], false).is_empty());
        assert_eq!(night(&mut db, &[], true), [A, B], "new rules: every group that has a row");
        let left: i64 = db
            .query_row("SELECT count(*) FROM derived_share WHERE source = ?1", [&[2; 16][..]], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(left, 2, "who was not heard of keeps its shares");
    }

    #[test]
    fn of_several_versions_of_a_resource_only_the_shares_of_the_one_that_is_kept_count() {
        let mut db = database();
        let tx = db.transaction().unwrap();
        enter(&tx, &[1; 16], origin(1), &[share(A)]).unwrap();
        enter(&tx, &[1; 16], origin(2), &[share(B)]).unwrap();
        leave(&tx, &[1; 16], origin(1)).unwrap();
        touch(&tx, false).unwrap();
        assert_eq!(noted(&tx, &[], 100).unwrap(), [(B, "period".to_owned())]);
    }

    #[test]
    fn a_row_that_is_outstanding_is_tried_again_and_a_resource_s_is_not_taken_for_it() {
        let mut db = database();
        let tx = db.transaction().unwrap();
        tx.execute_batch(
            "INSERT INTO source VALUES (x'01', 'Encounter', x'', 1);
             INSERT INTO rejected VALUES ('period', 'a', x'01', 'r', 'p', 1), ('period', 'b', x'0b', 'r', 'p', 1), ('visit', 'c', x'0c', 'r', 'p', 1);",
        )
        .unwrap();
        touch_rejected(&tx, "period").unwrap();
        let noted: Vec<u8> = tx.query_row("SELECT grp FROM pending_group", [], |row| row.get(0)).unwrap();
        assert_eq!(noted, [0xb]);
    }
}
