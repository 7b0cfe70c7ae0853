//! Whose each resource in the ledger is, and what was decided of each patient when the registry last answered. With it a
//! patient who may not leave any more is withdrawn without reading the landing, and a changed decision is noticed.
//! Patients are keyed hashes here, which outlive a change of the master key; nobody's id stands in it.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, Transaction, params};

use super::consent::{Leave, Leaves, Mark};
use super::ledger::{LedgerError, SourceKey, UNCHANGED};
use crate::origin::Origin;

/// The tables, beside the ledger's.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS about (     -- whose each acknowledged resource is
    source BLOB NOT NULL,
    mark BLOB NOT NULL,                -- keyed hash of Patient/id
    PRIMARY KEY (source, mark)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS about_by_mark ON about (mark);
CREATE TABLE IF NOT EXISTS pending_about (
    source BLOB NOT NULL,
    mark BLOB NOT NULL,
    segment INTEGER NOT NULL,
    line INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS standing (  -- what was decided of a patient; the empty mark: of everybody else
    mark BLOB PRIMARY KEY,
    decision BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending_standing (
    mark BLOB PRIMARY KEY,
    decision BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Enters whose a resource is.
/// # Errors: the database.
pub(super) fn enter(tx: &Transaction<'_>, source: &SourceKey, origin: Origin, marks: &[Mark]) -> Result<(), LedgerError> {
    let mut insert = tx.prepare_cached("INSERT INTO pending_about (source, mark, segment, line) VALUES (?1, ?2, ?3, ?4)")?;
    for mark in marks {
        insert.execute(params![&source[..], &mark[..], origin.segment.0, origin.line.cast_signed()])?;
    }
    Ok(())
}

/// Takes back what was entered of one of several versions of a resource.
/// # Errors: the database.
pub(super) fn leave(tx: &Transaction<'_>, source: &SourceKey, origin: Origin) -> Result<(), LedgerError> {
    tx.prepare_cached("DELETE FROM pending_about WHERE source = ?1 AND segment = ?2 AND line = ?3")?
        .execute(params![&source[..], origin.segment.0, origin.line.cast_signed()])?;
    Ok(())
}

/// Makes the index, when the export is in.
/// # Errors: the database.
pub(super) fn settle(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch("CREATE INDEX pending_about_source ON pending_about (source)")
}

/// Throws away the pending work.
/// # Errors: the database.
pub(super) fn discard(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch("DROP INDEX IF EXISTS pending_about_source; DELETE FROM pending_about; DELETE FROM pending_standing;")
}

/// Notes what this run decides of whom, to be true when the registry has answered.
/// # Errors: the database.
pub(super) fn decide(tx: &Transaction<'_>, leaves: &Leaves) -> Result<(), LedgerError> {
    let mut insert = tx.prepare_cached("INSERT OR REPLACE INTO pending_standing (mark, decision) VALUES (?1, ?2)")?;
    for (mark, decision) in leaves.kept() {
        insert.execute(params![mark, &decision[..]])?;
    }
    Ok(())
}

/// The registry has answered: what was pending is now true. A refused resource keeps whose it was, for its older rows stay.
/// # Errors: the database.
pub(super) fn acknowledge(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute(
        "DELETE FROM about WHERE source IN (SELECT key FROM pending_source WHERE fate < 3 AND reason IS NOT ?1)",
        [UNCHANGED],
    )?;
    tx.execute_batch(
        "INSERT OR IGNORE INTO about (source, mark) SELECT source, mark FROM pending_about ORDER BY 1, 2;
         DELETE FROM standing;
         INSERT INTO standing (mark, decision) SELECT mark, decision FROM pending_standing;",
    )
}

/// Whose an acknowledged resource is.
/// # Errors: the database.
pub(super) fn marks_of(db: &Connection, source: &SourceKey) -> Result<Vec<Mark>, LedgerError> {
    let mut select = db.prepare_cached("SELECT mark FROM about WHERE source = ?1")?;
    let found = select.query_map([&source[..]], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The acknowledged resources of a patient, and the rows of them that the registry holds, derived ones with them.
/// # Errors: the database.
pub(super) fn held(db: &Connection, mark: &Mark) -> Result<(u64, u64), LedgerError> {
    let number = |sql: &str| db.query_row(sql, [&mark[..]], |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()));
    Ok((
        number("SELECT count(*) FROM about WHERE mark = ?1")?,
        number(
            "SELECT count(*) FROM released WHERE source IN (SELECT source FROM about WHERE mark = ?1
                UNION SELECT d.grp FROM derived_share d JOIN about a ON a.source = d.source WHERE a.mark = ?1)",
        )?,
    ))
}

/// Of these, whom no resource here is about, neither an acknowledged one nor one of a run that is under way.
/// # Errors: the database.
pub(super) fn strangers(db: &Connection, mut marks: HashSet<Mark>) -> Result<HashSet<Mark>, LedgerError> {
    let mut acknowledged = db.prepare_cached("SELECT 1 FROM about WHERE mark = ?1")?;
    for mark in marks.clone() {
        if acknowledged.exists([&mark[..]])? {
            marks.remove(&mark);
        }
    }
    // Without an index, so once for all of them, and only where somebody is left to look for.
    if !marks.is_empty() {
        let mut pending = db.prepare("SELECT DISTINCT mark FROM pending_about")?;
        let mut found = pending.query([])?;
        while let Some(row) = found.next()? {
            marks.remove(&row.get::<_, Mark>(0)?);
        }
    }
    Ok(marks)
}

/// People whose rows the registry holds of whom nothing may leave any more, and all people in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losing {
    pub people: u64,
    pub known: u64,
}

/// What other decisions than those of the ledger ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub losing: Losing,
    /// Something else is decided of everybody of whom nothing is said: everything is mapped again, as under new rules, and no
    /// list of what to look at is held.
    pub of_everybody: bool,
}

/// Fills in which acknowledged resources must be decided anew. `is_asked_for` says of a decision that a person made it by
/// name; the others who lose everything are counted.
/// # Errors: the database.
pub(super) fn compare(db: &Connection, leaves: &mut Leaves, is_asked_for: impl Fn(&Leave) -> bool) -> Result<Changes, LedgerError> {
    let mut before: HashMap<Vec<u8>, [u8; 8]> = HashMap::new();
    let mut select = db.prepare("SELECT mark, decision FROM standing")?;
    let mut found = select.query([])?;
    while let Some(row) = found.next()? {
        before.insert(row.get(0)?, row.get(1)?);
    }
    // A ledger from before decisions were kept let everybody leave.
    let of_rest = before.remove(&[][..]).unwrap_or_else(|| Leave::All.digest());
    let is_changed = |mark: &Mark| leaves.of(mark).digest() != before.get(&mark[..]).copied().unwrap_or(of_rest);
    let mut changes = Changes {
        of_everybody: leaves.kept().next().is_some_and(|(_, now)| now != of_rest),
        ..Changes::default()
    };
    let loses = |mark: &Mark| {
        let leave = leaves.of(mark);
        let is_counted = matches!(leave, Leave::Nothing(_)) && !is_asked_for(leave);
        Ok::<_, LedgerError>(is_counted && held(db, mark)?.1 > 0)
    };
    let (mut redecide, mut reread) = (HashSet::new(), false);
    if changes.of_everybody {
        let mut select = db.prepare("SELECT DISTINCT mark FROM about")?;
        let mut all = select.query([])?;
        while let Some(row) = all.next()? {
            let mark: Mark = row.get(0)?;
            changes.losing.people += u64::from(is_changed(&mark) && loses(&mark)?);
        }
    } else {
        let kept = before.keys().filter_map(|mark| Mark::try_from(&mark[..]).ok());
        let named: HashSet<Mark> = leaves.named().chain(kept).collect();
        let mut select = db.prepare("SELECT source FROM about WHERE mark = ?1")?;
        for mark in named.iter().filter(|mark| is_changed(mark)) {
            let before = redecide.len();
            for source in select.query_map([&mark[..]], |row| row.get::<_, SourceKey>(0))? {
                redecide.insert(source?);
            }
            reread |= redecide.len() > before && !matches!(leaves.of(mark), Leave::Nothing(_));
            changes.losing.people += u64::from(loses(mark)?);
        }
    }
    if changes.losing.people > 0 {
        // Of whom the registry holds something: those who are kept here are no part of what would be lost.
        let known = db.query_row(
            "SELECT count(DISTINCT a.mark) FROM about a WHERE EXISTS (SELECT 1 FROM released r WHERE r.source = a.source)",
            [],
            |row| row.get::<_, i64>(0),
        )?;
        changes.losing.known = known.unsigned_abs();
    }
    leaves.redecide = redecide;
    leaves.reread = reread;
    Ok(changes)
}

/// Of the resources to be decided anew, those that this run did not come to: key, type, content.
/// # Errors: the database.
pub(super) fn not_come_to(db: &Connection, leaves: &Leaves) -> Result<Vec<(SourceKey, String, [u8; 16])>, LedgerError> {
    let mut select = db.prepare(
        "SELECT type, content FROM source WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM pending_source p WHERE p.key = source.key)",
    )?;
    let mut found = Vec::new();
    let mut keys: Vec<&SourceKey> = leaves.redecide.iter().collect();
    keys.sort_unstable();
    for key in keys {
        let mut rows = select.query([&key[..]])?;
        if let Some(row) = rows.next()? {
            found.push((*key, row.get(0)?, row.get(1)?));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::ledger;
    use super::*;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(ledger::SCHEMA).unwrap();
        db.execute_batch(SCHEMA).unwrap();
        db
    }

    fn about(db: &mut Connection, pairs: &[(u8, u8)]) {
        for (source, mark) in pairs {
            db.execute("INSERT INTO about VALUES (?1, ?2)", params![&[*source; 16][..], &[*mark; 16][..]])
                .unwrap();
            db.execute(
                "INSERT INTO released (source, table_name, row_key, digest) VALUES (?1, 't', hex(?1), x'')",
                [&[*source; 16][..]],
            )
            .unwrap();
        }
    }

    fn compared(db: &Connection, mut leaves: Leaves) -> (Vec<u8>, bool, u64, bool) {
        let changes = compare(db, &mut leaves, |_| false).unwrap();
        let mut redecide: Vec<u8> = leaves.redecide.iter().map(|key| key[0]).collect();
        redecide.sort_unstable();
        (redecide, leaves.reread, changes.losing.people, changes.of_everybody)
    }

    #[test]
    fn a_stranger_is_whom_no_resource_is_about_sent_or_under_way() {
        let mut db = database();
        about(&mut db, &[(1, 1), (2, 2)]);
        let tx = db.transaction().unwrap();
        let origin = Origin {
            segment: crate::origin::SegmentId(1),
            line: 1,
        };
        enter(&tx, &[3; 16], origin, &[[3; 16]]).unwrap();
        tx.commit().unwrap();
        let marks = |of: &[u8]| of.iter().map(|mark| [*mark; 16]).collect::<HashSet<Mark>>();
        assert_eq!(strangers(&db, marks(&[1, 2, 3, 4])).unwrap(), marks(&[4]));
        assert_eq!(strangers(&db, marks(&[1, 3])).unwrap(), marks(&[]));
    }

    #[test]
    fn who_is_decided_of_otherwise_is_found_by_name_and_by_being_of_the_rest() {
        let mut db = database();
        about(&mut db, &[(1, 1), (2, 1), (3, 2), (4, 3)]);
        let (nothing, all) = (|| Leave::Nothing("consent: x"), || Leave::All);
        let with =
            |default: Leave, people: &[(u8, Leave)]| Leaves::with(default, people.iter().map(|(mark, leave)| ([*mark; 16], leave.clone())));
        assert_eq!(
            compared(&db, with(all(), &[])),
            (vec![], false, 0, false),
            "nothing was ever kept here"
        );
        assert_eq!(compared(&db, with(all(), &[(1, nothing())])), (vec![1, 2], false, 1, false));
        assert_eq!(compared(&db, with(nothing(), &[(2, all())])), (vec![], false, 2, true));

        let tx = db.transaction().unwrap();
        decide(&tx, &with(nothing(), &[(2, all())])).unwrap();
        acknowledge(&tx).unwrap();
        tx.commit().unwrap();
        assert_eq!(
            compared(&db, with(nothing(), &[(2, all())])),
            (vec![], false, 0, false),
            "as it was"
        );
        let more = with(nothing(), &[(1, all()), (2, all())]);
        assert_eq!(compared(&db, more), (vec![1, 2], true, 0, false));
        assert_eq!(compared(&db, with(nothing(), &[])), (vec![3], false, 1, false));
        assert_eq!(compared(&db, with(all(), &[])), (vec![], false, 0, true));
    }
}
