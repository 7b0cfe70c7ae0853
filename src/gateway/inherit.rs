//! What a site with a new ledger takes over from its registry: the end of its chain, and the rows that are there. After a lost
//! disk everything is pulled again; what comes out as it stands there is not sent again, and what does not come out any more is
//! withdrawn. A new site takes over nothing.
//!
//! A ledger that is new, with keys that are not those of the rows out there, would give every patient a second pseudonym: such a
//! run is stopped before anything is sent.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::deliver;
use super::enter::Sealed;
use super::error::GatewayError;
use super::journal::Run;
use super::ledger::{self, LedgerError, SourceKey};
use super::site::Site;
use super::transform::Plan;
use super::withdraw;
use crate::platform::database;
use crate::platform::secret::unhex;
use crate::submission::Place;
use crate::submit::{self, SubmitError};

/// The tables.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS inherited (      -- the end of the chain, when this ledger began
    only INTEGER PRIMARY KEY CHECK (only = 1),
    sequence INTEGER NOT NULL,
    manifest_sha256 TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS inherited_row (  -- rows at the registry of which no resource here is known yet
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (table_name, row_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending_adopted ( -- those that came out as they stand there
    source BLOB NOT NULL,
    table_name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT;
";

/// The source of a row that no resource here makes: no resource's, for it is no keyed hash.
const NOBODY: SourceKey = [0; 16];

/// Asks the registry, once in the life of a ledger, before its first submission.
/// # Errors: the registry; it holds rows made with another key; the database.
pub(super) async fn take_over(site: &Site) -> Result<(), GatewayError> {
    {
        let db = database::lock(&site.db);
        if ledger::watermark(&db)?.is_some() || chain(&db)?.is_some() {
            return Ok(());
        }
        db.execute("DELETE FROM inherited_row", []).map_err(LedgerError::from)?;
    }
    let link = deliver::link(site)?;
    let place = match submit::place(&link).await {
        // Not there just now: a new site begins its chain, and what is packaged waits. Should the registry know better, it
        // refuses that beginning, and is asked then.
        Err(error) if error.may_be_retried() => return Ok(()),
        answer => answer?,
    };
    if let Some(expected) = place.other_key(|fingerprint| site.made(fingerprint)) {
        return Err(GatewayError::OtherKey {
            found: site.keys.fingerprint().to_owned(),
            expected: expected.to_owned(),
        });
    }
    if place.sequence > 0 {
        submit::inventory(&link, |rows| {
            let mut db = database::lock(&site.db);
            let tx = db.transaction().map_err(LedgerError::from)?;
            for row in &rows {
                let digest = unhex(&row.sha256).ok_or(GatewayError::Answer("a row's digest is none"))?;
                tx.prepare_cached("INSERT OR REPLACE INTO inherited_row (table_name, row_key, digest) VALUES (?1, ?2, ?3)")
                    .and_then(|mut insert| insert.execute(params![row.table, row.key, digest]))
                    .map_err(LedgerError::from)?;
            }
            Ok::<_, GatewayError>(tx.commit().map_err(LedgerError::from)?)
        })
        .await?;
    }
    // It knows nothing of this site, or does not know the question: should it know better, it refuses our beginning and is asked
    // again.
    if place.sequence == 0 {
        return Ok(());
    }
    // Last: where this stands, all of it is there.
    database::lock(&site.db)
        .execute(
            "INSERT OR REPLACE INTO inherited (only, sequence, manifest_sha256) VALUES (1, ?1, ?2)",
            params![place.sequence.cast_signed(), place.manifest_sha256],
        )
        .map_err(LedgerError::from)?;
    Ok(())
}

/// Whether the registry refuses a beginning that it was not asked about: it knows this site already. Nothing of it was applied.
/// # Errors: the database.
pub(super) fn is_known_better(site: &Site, error: &GatewayError) -> Result<bool, LedgerError> {
    let GatewayError::Submit(SubmitError::Refused { status, diagnostics, .. }) = error else {
        return Ok(false);
    };
    // Its place in the chain, and nothing else: any other refusal is for a person to see.
    let is_of_chain = ["sequence:", "previous:"].iter().any(|word| diagnostics.starts_with(word));
    if !(*status == 422 && is_of_chain) {
        return Ok(false);
    }
    let db = database::lock(&site.db);
    Ok(ledger::watermark(&db)?.is_none() && chain(&db)?.is_none())
}

/// The end of the chain that this ledger goes on with.
/// # Errors: the database.
pub(super) fn chain(db: &Connection) -> Result<Option<Place>, LedgerError> {
    let found = db.query_row("SELECT sequence, manifest_sha256 FROM inherited", [], |row| {
        Ok(Place {
            sequence: row.get::<_, i64>(0)?.unsigned_abs(),
            manifest_sha256: row.get(1)?,
            key_fingerprint: None,
        })
    });
    Ok(found.optional()?)
}

/// Takes out of the pending rows what the registry has as it is. After a pull that shows everything, what it has and nothing
/// here makes is withdrawn; `accept`: whatever share of it that is.
/// # Errors: `Brake`; the database.
pub(super) fn adopt(plan: &Plan<'_>, run: &Run, writer: &mut Connection, accept: bool) -> Result<(), GatewayError> {
    let tx = writer.transaction().map_err(LedgerError::from)?;
    let known: i64 = tx
        .query_row("SELECT count(*) FROM inherited_row", [], |row| row.get(0))
        .map_err(LedgerError::from)?;
    if known == 0 {
        return Ok(());
    }
    tx.execute_batch(
        "INSERT INTO pending_adopted (source, table_name, row_key, digest)
            SELECT p.source, p.table_name, p.row_key, p.digest FROM pending_row p
            JOIN inherited_row i ON i.table_name = p.table_name AND i.row_key = p.row_key
            WHERE p.body IS NOT NULL AND p.digest = i.digest;
         DELETE FROM pending_row WHERE body IS NOT NULL AND (table_name, row_key, digest) IN (SELECT table_name, row_key, digest FROM inherited_row);",
    )
    .map_err(LedgerError::from)?;
    if run.full && run.complete {
        let gone = gone(&tx)?;
        if !accept {
            withdraw::brake_rows(plan.site, gone.len() as u64, known.unsigned_abs())?;
        }
        for (table, key) in gone {
            let row = plan.deidentifier.tombstone(&table, &key)?;
            super::enter::insert_row(&tx, &NOBODY, &Sealed::new(row, &plan.deidentifier))?;
        }
    }
    Ok(tx.commit().map_err(LedgerError::from)?)
}

/// Rows at the registry of which it is still not known whether anything here makes them, once what is pending is acknowledged.
/// While there are any, everything is pulled again, and no withdrawal is done.
/// # Errors: the database.
pub(super) fn left(db: &Connection) -> rusqlite::Result<u64> {
    let left = "SELECT count(*) FROM inherited_row i
         WHERE NOT EXISTS (SELECT 1 FROM pending_row p WHERE p.table_name = i.table_name AND p.row_key = i.row_key)
            AND (table_name, row_key) NOT IN (SELECT table_name, row_key FROM pending_adopted)";
    db.query_row(left, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// Rows at the registry that nothing here makes.
fn gone(tx: &Transaction<'_>) -> Result<Vec<(String, String)>, LedgerError> {
    let mut select = tx.prepare(
        "SELECT table_name, row_key FROM inherited_row i
         WHERE NOT EXISTS (SELECT 1 FROM pending_row p WHERE p.table_name = i.table_name AND p.row_key = i.row_key)
            AND (table_name, row_key) NOT IN (SELECT table_name, row_key FROM pending_adopted)",
    )?;
    let found = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The registry has answered: what was adopted is this ledger's own. Comes while the pending rows are there.
/// # Errors: the database.
pub(super) fn acknowledge(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(
        "INSERT OR REPLACE INTO released (source, table_name, row_key, digest)
            SELECT source, table_name, row_key, digest FROM pending_adopted ORDER BY 1, 2, 3;
         DELETE FROM inherited_row WHERE (table_name, row_key) IN (SELECT table_name, row_key FROM pending_adopted);
         DELETE FROM inherited_row WHERE (table_name, row_key) IN (SELECT table_name, row_key FROM pending_row);",
    )
}

/// Throws away the pending work.
/// # Errors: the database.
pub(super) fn discard(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch("DELETE FROM pending_adopted;")
}
