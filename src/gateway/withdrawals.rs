//! Patients whom a person withdrew: who (a keyed hash), when, what came of it. A withdrawal blocks for the future until a
//! person takes it back; it outlives `--full`, a change of the master key, and, in the backup, the loss of the disk.
//! Knows no run: `consent` asks who is blocked, `acknowledge` writes down what the registry answered.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::consent::{Leave, Mark, WITHDRAWN};
use super::ledger::LedgerError;
use crate::platform::secret::{self, Secret, hex};

/// The table.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS withdrawal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    mark BLOB NOT NULL,              -- keyed hash of Patient/id
    reason BLOB,                     -- a person's words, sealed
    asked_at TEXT NOT NULL,
    lifted_at TEXT,                  -- taken back by a person
    done_at TEXT,                    -- the registry has acknowledged
    submission TEXT,
    leaf INTEGER,                    -- of the registry's log
    rows INTEGER                     -- withdrawn with it
) STRICT;
CREATE INDEX IF NOT EXISTS withdrawal_by_mark ON withdrawal (mark);
";

const AAD: &[u8] = b"headwater withdrawal 1";

/// One withdrawal, without anything that names its patient.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Withdrawal {
    pub id: i64,
    /// Names the patient to this site only.
    pub mark: String,
    /// `waiting`, `done` or `lifted`.
    pub state: &'static str,
    pub asked_at: String,
    pub done_at: Option<String>,
    pub lifted_at: Option<String>,
    pub submission: Option<String>,
    /// Of the registry's log: where the receipt of the submission stands.
    pub leaf: Option<u64>,
    pub rows: Option<u64>,
}

/// The blocked.
/// # Errors: the database.
pub(super) fn blocked(db: &Connection) -> Result<Vec<Mark>, LedgerError> {
    let mut select = db.prepare("SELECT DISTINCT mark FROM withdrawal WHERE lifted_at IS NULL")?;
    let found = select.query_map([], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Blocks a patient; the number of the withdrawal, and whether it is new.
/// # Errors: the database.
pub(super) fn add(db: &Connection, mark: &Mark, reason: Option<&str>, seal: &Secret, now: Timestamp) -> Result<(i64, bool), LedgerError> {
    if let Some(id) = open(db, mark)? {
        return Ok((id, false));
    }
    let sealed = reason.map(|reason| sealed(seal, reason));
    db.execute(
        "INSERT INTO withdrawal (mark, reason, asked_at) VALUES (?1, ?2, ?3)",
        params![&mark[..], sealed, now.to_string()],
    )?;
    Ok((db.last_insert_rowid(), true))
}

/// A person's words, sealed.
pub(super) fn sealed(seal: &Secret, reason: &str) -> Vec<u8> {
    secret::seal(seal, AAD, reason.as_bytes())
}

/// The number of the withdrawal that blocks a patient.
/// # Errors: the database.
pub(super) fn open(db: &Connection, mark: &Mark) -> Result<Option<i64>, LedgerError> {
    Ok(db
        .query_row(
            "SELECT id FROM withdrawal WHERE mark = ?1 AND lifted_at IS NULL ORDER BY id DESC LIMIT 1",
            [&mark[..]],
            |row| row.get(0),
        )
        .optional()?)
}

/// Takes a withdrawal back; whether there was one.
/// # Errors: the database.
pub(super) fn lift(db: &Connection, id: i64, now: Timestamp) -> Result<bool, LedgerError> {
    let done = db.execute(
        "UPDATE withdrawal SET lifted_at = ?2 WHERE lifted_at IS NULL AND mark = (SELECT mark FROM withdrawal WHERE id = ?1)",
        params![id, now.to_string()],
    )?;
    Ok(done > 0)
}

/// All of them, the oldest first.
/// # Errors: the database.
pub(super) fn list(db: &Connection) -> Result<Vec<Withdrawal>, LedgerError> {
    let mut select = db.prepare("SELECT id, mark, asked_at, done_at, lifted_at, submission, leaf, rows FROM withdrawal ORDER BY id")?;
    let found = select.query_map([], |row| {
        let (done_at, lifted_at): (Option<String>, Option<String>) = (row.get(3)?, row.get(4)?);
        let number = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(i64::unsigned_abs));
        Ok(Withdrawal {
            id: row.get(0)?,
            mark: hex(&row.get::<_, Mark>(1)?),
            state: match (&lifted_at, &done_at) {
                (Some(_), _) => "lifted",
                (None, Some(_)) => "done",
                (None, None) => "waiting",
            },
            asked_at: row.get(2)?,
            done_at,
            lifted_at,
            submission: row.get(5)?,
            leaf: number(6)?,
            rows: number(7)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Why, in the words of the person who asked for it.
/// # Errors: the database; words that another key sealed.
pub(super) fn reason(db: &Connection, id: i64, seal: &Secret) -> Result<Option<String>, LedgerError> {
    let sealed: Option<Vec<u8>> = db
        .query_row("SELECT reason FROM withdrawal WHERE id = ?1", [id], |row| row.get(0))
        .optional()?
        .flatten();
    let open = |sealed: Vec<u8>| secret::open(seal, AAD, &sealed).map_err(|_| LedgerError::Sealed);
    let plain = sealed.map(open).transpose()?;
    Ok(plain.map(|plain| String::from_utf8_lossy(&plain).into_owned()))
}

/// The registry has answered a submission in which nothing of these patients was left. Comes before the ledger moves, for it
/// counts what is pending.
/// # Errors: the database.
pub(super) fn acknowledge(tx: &Transaction<'_>, submission: Option<&str>, leaf: Option<u64>, now: Timestamp) -> rusqlite::Result<()> {
    let mut update = tx.prepare(
        "UPDATE withdrawal SET done_at = ?2, submission = ?3, leaf = ?4, rows =
            (SELECT count(*) FROM pending_row r WHERE r.body IS NULL AND r.source IN
                (SELECT source FROM about WHERE mark = ?1
                 UNION SELECT d.grp FROM derived_share d JOIN about a ON a.source = d.source WHERE a.mark = ?1))
         WHERE mark = ?1 AND done_at IS NULL AND lifted_at IS NULL",
    )?;
    let mut waiting = tx.prepare(
        "SELECT DISTINCT w.mark FROM withdrawal w JOIN pending_standing p ON p.mark = w.mark
         WHERE w.done_at IS NULL AND w.lifted_at IS NULL AND p.decision = ?1",
    )?;
    let decision = Leave::Nothing(WITHDRAWN).digest();
    let marks: Vec<Mark> = waiting.query_map([&decision[..]], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for mark in marks {
        update.execute(params![&mark[..], now.to_string(), submission, leaf.map(u64::cast_signed)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawal_blocks_once_until_it_is_lifted_and_its_reason_stands_sealed() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        let (key, now) = (Secret::random(32), Timestamp::UNIX_EPOCH);
        let mark = [7; 16];
        assert_eq!(add(&db, &mark, Some("by canary letter"), &key, now).unwrap(), (1, true));
        assert_eq!(add(&db, &mark, None, &key, now).unwrap(), (1, false));
        assert_eq!(blocked(&db).unwrap(), [mark]);
        assert_eq!(reason(&db, 1, &key).unwrap().as_deref(), Some("by canary letter"));
        assert!(reason(&db, 1, &Secret::random(32)).is_err());
        let sealed: Vec<u8> = db.query_row("SELECT reason FROM withdrawal", [], |row| row.get(0)).unwrap();
        assert!(!sealed.windows(6).any(|bytes| bytes == b"canary"));
        assert_eq!(list(&db).unwrap()[0].state, "waiting");
        assert!(lift(&db, 1, now).unwrap() && !lift(&db, 1, now).unwrap());
        assert!(blocked(&db).unwrap().is_empty());
        assert_eq!(add(&db, &mark, None, &key, now).unwrap(), (2, true), "it may come again");
    }
}
