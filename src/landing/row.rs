//! Segments as rows of the site's database.

use std::sync::Mutex;

use rusqlite::{Connection, Row, Transaction, params};

use super::segment::{Kind, Segment};
use super::writer::Sealed;
use crate::origin::SegmentId;
use crate::platform::database::{self, DatabaseError};

pub(super) const SELECT: &str = "SELECT id, run, resource_type, kind, lines, bytes, sha256, file, sealed FROM segment";

/// Enters finished files, and whatever `also` writes, in one transaction.
pub(super) fn register(
    database: &Mutex<Connection>,
    sealed: Vec<Sealed>,
    also: impl FnOnce(&Transaction<'_>, &[Segment]) -> Result<(), rusqlite::Error>,
) -> Result<Vec<Segment>, DatabaseError> {
    // From here on the files stay: when a commit fails it may still have happened, and opening again tidies up what has no row.
    let mut segments: Vec<Segment> = sealed.into_iter().map(Sealed::into_segment).collect();
    database::transaction(database, |tx| {
        for segment in &mut segments {
            insert(tx, segment)?;
        }
        also(tx, &segments)
    })?;
    Ok(segments)
}

fn insert(tx: &Transaction<'_>, segment: &mut Segment) -> Result<(), rusqlite::Error> {
    tx.execute(
        "INSERT INTO segment (run, resource_type, kind, lines, bytes, sha256, file, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            segment.run,
            segment.resource_type,
            segment.kind.as_str(),
            signed(segment.lines)?,
            signed(segment.bytes)?,
            segment.sha256,
            segment.file,
            signed(segment.sealed_bytes)?
        ],
    )?;
    segment.id = SegmentId(tx.last_insert_rowid());
    Ok(())
}

pub(super) fn segment_of(row: &Row<'_>) -> Result<Segment, rusqlite::Error> {
    let kind: String = row.get(3)?;
    Ok(Segment {
        id: SegmentId(row.get(0)?),
        run: row.get(1)?,
        resource_type: row.get(2)?,
        kind: Kind::parse(&kind).ok_or(rusqlite::Error::InvalidQuery)?,
        lines: unsigned(row, 4)?,
        bytes: unsigned(row, 5)?,
        sha256: row.get(6)?,
        file: row.get(7)?,
        sealed_bytes: unsigned(row, 8)?,
    })
}

fn signed(number: u64) -> Result<i64, rusqlite::Error> {
    i64::try_from(number).map_err(|_| rusqlite::Error::InvalidQuery)
}

fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}
