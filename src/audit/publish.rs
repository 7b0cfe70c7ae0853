//! The log as files: tiles, entry bundles, checkpoint, each written durably, the checkpoint last. The files follow the
//! store: a crash anywhere leaves a log that verifies, and the next call goes on where this one stopped.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::Connection;
use tlog_tiles::stored_hash_index;

use crate::platform::file::write_durable;

use super::error::AuditError;
use super::log::{self, Log};
use super::note::{Head, Vkey, open_checkpoint};
use super::tiles::{self, FULL, Kind, Tile};

/// What now stands in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub head: Head,
    /// Files written by this call; none if the folder was up to date.
    pub files: usize,
}

impl Log {
    /// Brings the folder up to the log as it is now. The folder's checkpoint says how far it is; nothing else is remembered.
    ///
    /// # Errors: `Inconsistent` if the log does not continue what the folder holds: nothing is written then.
    pub fn publish(&self, connection: &Connection, dir: &Path) -> Result<Published, AuditError> {
        let signed = self.checkpoint(connection)?;
        let vkey = self.vkey();
        let published = self.published(dir, &vkey)?;
        let size = signed.head.size;
        if let Some(published) = &published {
            let hint = "the database was set back behind what is published, or this folder belongs to another log of the same name";
            log::continues(connection, published.size, &published.root, size, hint)?;
            if published.size == size {
                return Ok(Published {
                    head: signed.head,
                    files: 0,
                });
            }
        }
        let from = published.map_or(0, |published| published.size);
        let mut files = 0;
        for tile in changed(from, size) {
            write(dir, &tile.path(), &content(connection, &tile)?)?;
            files += 1;
        }
        write(dir, "vkey", format!("{vkey}\n").as_bytes())?;
        // The checkpoint after the tiles: whoever sees it finds all that it signs.
        write(dir, "checkpoint", signed.checkpoint.as_bytes())?;
        for tile in changed(from, size).filter(|tile| tile.width == FULL) {
            remove_partials(dir, &tile)?;
        }
        Ok(Published {
            head: signed.head,
            files: files + 2,
        })
    }

    /// The head of the checkpoint in the folder, if there is one.
    fn published(&self, dir: &Path, vkey: &str) -> Result<Option<Head>, AuditError> {
        let path = dir.join("checkpoint");
        match fs::read(&path) {
            Ok(checkpoint) => Ok(Some(open_checkpoint(&Vkey::parse(vkey)?, &checkpoint)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(&path, source)),
        }
    }
}

/// The tiles in which the tree of `size` differs from the one of `from`, level by level.
fn changed(from: u64, size: u64) -> impl Iterator<Item = Tile> {
    let levels = tiles::levels(size).map(|level| (Kind::Hashes(level), 8 * u32::from(level)));
    std::iter::once((Kind::Entries, 0)).chain(levels).flat_map(move |(kind, shift)| {
        let had = from >> shift;
        let more = size >> shift > had;
        tiles::tiles(kind, size, had / FULL).filter(move |_| more)
    })
}

fn content(connection: &Connection, tile: &Tile) -> Result<Vec<u8>, AuditError> {
    let first = tile.n * FULL;
    let mut bytes = Vec::new();
    match tile.kind {
        Kind::Entries => {
            let entries = log::entries(connection, first, tile.width)?;
            for (index, entry) in (first..first + tile.width).zip(&entries) {
                if entry.index != index {
                    return Err(AuditError::NoSuchEntry {
                        index,
                        size: first + tile.width,
                    });
                }
                tiles::push_entry(&mut bytes, &entry.entry)?;
            }
            if (entries.len() as u64) < tile.width {
                let index = first + entries.len() as u64;
                return Err(AuditError::NoSuchEntry {
                    index,
                    size: first + tile.width,
                });
            }
        }
        Kind::Hashes(level) => {
            let indexes: Vec<_> = (first..first + tile.width).map(|n| stored_hash_index(8 * level, n)).collect();
            for hash in log::hashes(connection, &indexes)? {
                bytes.extend_from_slice(&hash.0);
            }
        }
    }
    Ok(bytes)
}

fn write(dir: &Path, path: &str, bytes: &[u8]) -> Result<(), AuditError> {
    let path = dir.join(path);
    if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
        fs::create_dir_all(parent).map_err(|source| failed(parent, source))?;
        // The new folders' own names must outlast a power cut as well.
        for folder in parent.ancestors().skip(1).take_while(|folder| folder.starts_with(dir)) {
            let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|source| failed(folder, source))?;
        }
    }
    Ok(write_durable(&path, bytes)?)
}

/// Partial tiles may go once the full one is there (C2SP tlog-tiles, "Partial Tiles").
fn remove_partials(dir: &Path, full: &Tile) -> Result<(), AuditError> {
    let partials = dir.join(format!("{}.p", full.full_path()));
    match fs::remove_dir_all(&partials) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&partials, error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, source: io::Error) -> AuditError {
    AuditError::File {
        path: path.display().to_string(),
        source,
    }
}
