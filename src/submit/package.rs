//! Rows to chunks: NDJSON of one table, compressed, named by the SHA-256 of its bytes, durable in the outbox.
//! The same rows in the same order give the same chunks, so a run that is repeated after a crash sends what it sent before.
//! Knows no network. Limits: `submission`'s for what a registry takes; ours are lower.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zstd::stream::write::Encoder;

use super::fault::SubmitError;
use crate::deidentify::Deidentified;
use crate::platform::file;
use crate::platform::secret::{hex, sha256};
use crate::submission::{self, LINE_MAX_BYTES, Output};

/// A chunk's most bytes, compressed.
const MAX_BYTES: usize = 4 << 20;
/// A chunk's most bytes, plain.
const MAX_PLAIN_BYTES: usize = 32 << 20;
/// From this size on, a chunk that shrinks to less than a hundredth is ended: the registry refuses what may be a decompression bomb.
const RATIO_FROM_BYTES: usize = 1 << 20;
const MAX_RATIO: usize = 100;
/// What the compressor may hold back of what it was given: one block of 128 KiB, and the frame's own few bytes.
const HELD_BACK_BYTES: usize = 132 << 10;
/// Fixed: another level gives other bytes, and so other names.
const LEVEL: i32 = 3;

/// What was packed: the manifest's `output`, and how many rows and tombstones there are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    pub output: Vec<Output>,
    pub released: u64,
}

/// Writes the rows, which come table by table and by ascending key, into the outbox. Memory: one compressed chunk.
///
/// # Errors: `Order` for a row that comes out of order or twice; `RowTooLong`; the outbox cannot be written.
pub fn package<'r>(rows: impl IntoIterator<Item = &'r Deidentified>, outbox: &Path) -> Result<Packed, SubmitError> {
    let mut packer = Packer::new(outbox)?;
    for row in rows {
        packer.push(row)?;
    }
    packer.finish()
}

/// Packs rows one by one, for a caller that cannot hold them all.
pub struct Packer {
    outbox: PathBuf,
    chunk: Option<Chunk>,
    line: Vec<u8>,
    last_key: String,
    tables: BTreeSet<String>,
    packed: Packed,
}

/// The chunk that is being filled.
struct Chunk {
    table: String,
    encoder: Encoder<'static, Vec<u8>>,
    plain: usize,
    upserts: u64,
    tombstones: u64,
}

impl Packer {
    /// Packs into this folder, which is made if it is not there.
    pub fn new(outbox: &Path) -> Result<Self, SubmitError> {
        file::create_dir_private(outbox)?;
        Ok(Self {
            outbox: outbox.to_owned(),
            chunk: None,
            line: Vec::new(),
            last_key: String::new(),
            tables: BTreeSet::new(),
            packed: Packed::default(),
        })
    }

    /// Adds one row or tombstone.
    pub fn push(&mut self, row: &Deidentified) -> Result<(), SubmitError> {
        self.add(row.table(), row.key(), row.body())
    }

    fn add(&mut self, table: &str, key: &str, body: Option<&[u8]>) -> Result<(), SubmitError> {
        self.line.clear();
        match body {
            Some(body) => submission::write_upsert(table, key, body, &mut self.line),
            None => submission::write_delete(table, key, &mut self.line),
        }
        if self.line.len() > LINE_MAX_BYTES {
            return Err(SubmitError::RowTooLong(table.to_owned()));
        }
        let same_table = self.chunk.as_ref().is_some_and(|chunk| chunk.table == table);
        if same_table && key <= self.last_key.as_str() || !same_table && !self.tables.insert(table.to_owned()) {
            return Err(SubmitError::Order(table.to_owned()));
        }
        key.clone_into(&mut self.last_key);
        if let Some(full) = self.chunk.take_if(|chunk| !same_table || !chunk.has_room(self.line.len())) {
            self.close(full)?;
        }
        let chunk = match &mut self.chunk {
            Some(chunk) => chunk,
            none => none.insert(Chunk::new(table)?),
        };
        chunk.add(&self.line, body.is_some())?;
        self.packed.released += 1;
        Ok(())
    }

    /// Ends the last chunk.
    pub fn finish(mut self) -> Result<Packed, SubmitError> {
        if let Some(last) = self.chunk.take() {
            self.close(last)?;
        }
        Ok(self.packed)
    }

    fn close(&mut self, chunk: Chunk) -> Result<(), SubmitError> {
        let Chunk {
            table,
            encoder,
            upserts,
            tombstones,
            ..
        } = chunk;
        let bytes = encoder.finish().map_err(SubmitError::Compress)?;
        let name = hex(&sha256(&bytes));
        file::write_durable(&self.outbox.join(&name), &bytes)?;
        self.packed
            .output
            .push(Output::new(&table, &name, bytes.len() as u64, upserts, tombstones));
        Ok(())
    }
}

impl Chunk {
    fn new(table: &str) -> Result<Self, SubmitError> {
        let mut encoder = Encoder::new(Vec::new(), LEVEL).map_err(SubmitError::Compress)?;
        encoder.include_checksum(true).map_err(SubmitError::Compress)?;
        Ok(Self {
            table: table.to_owned(),
            encoder,
            plain: 0,
            upserts: 0,
            tombstones: 0,
        })
    }

    fn has_room(&self, line: usize) -> bool {
        let plain = self.plain + line;
        let compressed = self.encoder.get_ref().len();
        plain <= MAX_PLAIN_BYTES
            && compressed + HELD_BACK_BYTES + line <= MAX_BYTES
            && (plain <= RATIO_FROM_BYTES || plain <= compressed * MAX_RATIO)
    }

    fn add(&mut self, line: &[u8], upsert: bool) -> Result<(), SubmitError> {
        std::io::Write::write_all(&mut self.encoder, line).map_err(SubmitError::Compress)?;
        self.plain += line.len();
        *if upsert { &mut self.upserts } else { &mut self.tombstones } += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs rows given as (table, key, body) and gives back the chunks, unpacked.
    fn pack(rows: impl IntoIterator<Item = (&'static str, String, Option<Vec<u8>>)>) -> Result<(Packed, Vec<Vec<u8>>), SubmitError> {
        let dir = tempfile::tempdir().unwrap();
        let mut packer = Packer::new(dir.path())?;
        for (table, key, body) in rows {
            packer.add(table, &key, body.as_deref())?;
        }
        let packed = packer.finish()?;
        let read = |output: &Output| {
            let bytes = std::fs::read(dir.path().join(&output.sha256)).unwrap();
            assert_eq!((hex(&sha256(&bytes)), bytes.len() as u64), (output.sha256.clone(), output.bytes));
            assert!(bytes.len() <= MAX_BYTES);
            zstd::decode_all(bytes.as_slice()).unwrap()
        };
        let chunks: Vec<_> = packed.output.iter().map(read).collect();
        assert!(chunks.iter().all(|chunk| chunk.len() <= MAX_PLAIN_BYTES));
        Ok((packed, chunks))
    }

    fn row(table: &'static str, key: &str) -> (&'static str, String, Option<Vec<u8>>) {
        (table, key.to_owned(), Some(format!("{{\"k\":\"{key}\"}}").into_bytes()))
    }

    #[test]
    fn one_table_stands_in_one_chunk_with_its_rows_and_tombstones_counted() {
        let (packed, chunks) = pack([row("patient", "a"), ("patient", "b".into(), None), row("lab", "a")]).unwrap();
        assert_eq!(packed.released, 3);
        let counts: Vec<_> = packed
            .output
            .iter()
            .map(|o| (o.table.as_str(), o.rows, o.upserts, o.tombstones))
            .collect();
        assert_eq!(counts, [("patient", 2, 1, 1), ("lab", 1, 1, 0)]);
        assert_eq!(
            chunks[0],
            b"{\"table\":\"patient\",\"key\":\"a\",\"op\":\"upsert\",\"row\":{\"k\":\"a\"}}\n{\"table\":\"patient\",\"key\":\"b\",\"op\":\"delete\"}\n"
        );
    }

    #[test]
    fn the_same_rows_give_the_same_chunks() {
        let rows = || (0..5000).map(|n| row("lab", &format!("{n:06}")));
        assert_eq!(pack(rows()).unwrap(), pack(rows()).unwrap());
    }

    #[test]
    fn nothing_packed_is_no_chunk() {
        assert_eq!(pack([]).unwrap().0, Packed::default());
    }

    #[test]
    fn a_row_out_of_order_or_twice_is_refused() {
        for rows in [[row("lab", "b"), row("lab", "a")], [row("lab", "a"), row("lab", "a")]] {
            assert!(matches!(pack(rows), Err(SubmitError::Order(table)) if table == "lab"));
        }
        assert!(matches!(
            pack([row("lab", "a"), row("patient", "a"), row("lab", "b")]),
            Err(SubmitError::Order(_))
        ));
    }

    #[test]
    fn rows_that_do_not_shrink_are_cut_below_the_compressed_limit() {
        // The hex of a chain of digests: nothing shrinks it by more than half.
        let mut digest = [0; 32];
        let rows = (0..20).map(|n| {
            let mut body = b"{\"k\":\"".to_vec();
            while body.len() < 900_000 {
                digest = sha256(&digest);
                body.extend_from_slice(hex(&digest).as_bytes());
            }
            body.extend_from_slice(b"\"}");
            ("lab", format!("{n:02}"), Some(body))
        });
        let (packed, chunks) = pack(rows).unwrap();
        assert!(packed.output.len() > 1);
        assert_eq!(packed.output.iter().map(|o| o.rows).sum::<u64>(), 20);
        assert!(chunks.iter().all(|chunk| chunk.ends_with(b"}\n")));
    }

    #[test]
    fn rows_that_shrink_to_nothing_are_cut_before_they_look_like_a_bomb() {
        let rows = (0..40).map(|n| ("lab", format!("{n:02}"), Some(vec![b' '; 200_000])));
        let (packed, chunks) = pack(rows).unwrap();
        for (output, chunk) in packed.output.iter().zip(&chunks) {
            assert!(chunk.len() <= 1 << 20 || chunk.len() as u64 <= output.bytes * submission::CHUNK_MAX_RATIO);
        }
        assert_eq!(packed.released, 40);
    }

    #[test]
    fn a_row_longer_than_a_line_may_be_is_refused_by_its_table() {
        let refused = pack([("note", "k".to_owned(), Some(vec![b' '; LINE_MAX_BYTES]))]).unwrap_err();
        assert!(matches!(refused, SubmitError::RowTooLong(table) if table == "note"));
    }
}
