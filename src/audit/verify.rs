//! The check of a whole log from its files: signature, every entry, every tile, the root. Needs the verifier key and a way
//! to fetch files, nothing else. Memory: one bundle, and 32 bytes for every 256 entries.
//! What it reads is taken for hostile: each length is checked before it is used, and nothing panics.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use tlog_tiles::{Error, Hash, Tile as TreeTile, TileHashReader, TileReader, node_hash, record_hash, tree_hash};

use crate::platform::file::TEMPORARY;

use super::error::{AuditError, FetchError};
use super::note::{Head, Vkey, open_checkpoint};
use super::tiles::{self, FULL, Kind, Tile};

/// What was found true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub head: Head,
    /// Entries whose bytes were hashed and found in the tree: all of them.
    pub entries: u64,
}

type Fetch<'f> = &'f dyn Fn(&str) -> Result<Vec<u8>, FetchError>;

/// Checks the whole log whose files `fetch` gives by their path (`checkpoint`, `tile/0/000`, …).
///
/// # Errors: name the first tile or entry that is not as the checkpoint says.
pub fn verify(vkey: &Vkey, fetch: Fetch<'_>) -> Result<Verified, AuditError> {
    verify_since(vkey, fetch, None)
}

/// As [`verify`]; also, the log must continue the `earlier` head.
pub fn verify_since(vkey: &Vkey, fetch: Fetch<'_>, earlier: Option<&Head>) -> Result<Verified, AuditError> {
    let head = open_checkpoint(vkey, &get(fetch, "checkpoint")?)?;
    let forked = |earlier: &Head| AuditError::Inconsistent {
        earlier: earlier.size,
        size: head.size,
        hint: "keep both checkpoints: together they prove that the log was rewritten",
    };
    if let Some(earlier) = earlier.filter(|earlier| earlier.size > head.size || earlier.origin != head.origin) {
        return Err(forked(earlier));
    }
    let mut tree = Frontier::default();
    let mut earlier_root = (earlier.map(|earlier| earlier.size) == Some(0)).then(|| tree.root());
    // The hashes that the next level's tiles must hold: one for each full tile.
    let mut above = Vec::new();
    for (bundle_tile, hash_tile) in tiles::tiles(Kind::Entries, head.size, 0).zip(tiles::tiles(Kind::Hashes(0), head.size, 0)) {
        let (bundle_tile, bundle) = get_tile(fetch, &bundle_tile)?;
        let tile = get_hashes(fetch, &hash_tile)?;
        for (i, (entry, stored)) in (0..).zip(tiles::bundle_entries(&bundle_tile, &bundle)?.into_iter().zip(&tile)) {
            let index = bundle_tile.n * FULL + i;
            let hash = record_hash(entry);
            if hash != *stored {
                return Err(AuditError::Entry {
                    index,
                    path: bundle_tile.path(),
                    fault: "it has not the hash that the level 0 tile holds for it",
                });
            }
            tree.push(hash);
            if earlier.is_some_and(|earlier| earlier.size == index + 1) {
                earlier_root = Some(tree.root());
            }
        }
        if hash_tile.width == FULL {
            above.push(subtree(&tile));
        }
    }
    for level in tiles::levels(head.size).skip(1) {
        above = check_level(fetch, level, head.size, &above)?;
    }
    if tree.root() != Hash(head.root) {
        return Err(AuditError::Root { size: head.size });
    }
    if let Some(earlier) = earlier.filter(|earlier| earlier_root != Some(Hash(earlier.root))) {
        return Err(forked(earlier));
    }
    let entries = head.size;
    Ok(Verified { head, entries })
}

/// Checks the log in this folder: all that [`verify`] checks, and that the older partial tiles which still lie there are
/// the beginnings of today's. A file in `tile/` that is no part of a log is refused; what a crashed writer left unfinished is not read.
pub fn verify_dir(vkey: &Vkey, dir: &Path, earlier: Option<&Head>) -> Result<Verified, AuditError> {
    let fetch = |path: &str| read_bounded(&dir.join(path)).map_err(FetchError::from);
    let verified = verify_since(vkey, &fetch, earlier)?;
    let size = verified.head.size;
    let mut folders = vec!["tile".to_owned()];
    while let Some(folder) = folders.pop() {
        let listed = match fs::read_dir(dir.join(&folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && size == 0 => continue,
            listed => listed,
        };
        let failed = |source| AuditError::File {
            path: folder.clone(),
            source,
        };
        for file in listed.map_err(failed)? {
            let file = file.map_err(failed)?;
            let Some(name) = file.file_name().to_str().map(str::to_owned) else {
                return Err(AuditError::tile(&folder, "it holds a file whose name is not text"));
            };
            let path = format!("{folder}/{name}");
            if file.file_type().map_err(failed)?.is_dir() {
                folders.push(path);
            } else if !name.ends_with(TEMPORARY) {
                check_leftover(&fetch, &path, size)?;
            }
        }
    }
    Ok(verified)
}

/// Fetches the checkpoint and only those tiles that prove it to continue `earlier`: O(log n). What a site does before each push.
pub fn consistent_since(vkey: &Vkey, fetch: Fetch<'_>, earlier: &Head) -> Result<Head, AuditError> {
    let head = open_checkpoint(vkey, &get(fetch, "checkpoint")?)?;
    let forked = || AuditError::Inconsistent {
        earlier: earlier.size,
        size: head.size,
        hint: "keep both checkpoints: together they prove that the log was rewritten",
    };
    if earlier.size > head.size || earlier.origin != head.origin {
        return Err(forked());
    }
    if earlier.size == 0 {
        return Ok(head);
    }
    // Every hash the reader gives is proven against today's root, so the earlier root computed from them is proven too.
    let tiles = Tiles { fetch, size: head.size };
    let reader = TileHashReader::new(head.size, Hash(head.root), &tiles);
    let root =
        tree_hash(earlier.size, &reader).map_err(|_| AuditError::Proof("the log's tiles are missing or not those its checkpoint signs"))?;
    if root != Hash(earlier.root) { Err(forked()) } else { Ok(head) }
}

/// Checks one level's tiles against the hashes of the full tiles below it; gives the hashes of its own full tiles.
fn check_level(fetch: Fetch<'_>, level: u8, size: u64, below: &[Hash]) -> Result<Vec<Hash>, AuditError> {
    let mut above = Vec::new();
    for (tile, expected) in tiles::tiles(Kind::Hashes(level), size, 0).zip(below.chunks(FULL as usize)) {
        let stored = get_hashes(fetch, &tile)?;
        if let Some(at) = stored.iter().zip(expected).position(|(stored, expected)| stored != expected) {
            let child = Tile {
                kind: Kind::Hashes(level - 1),
                n: tile.n * FULL + at as u64,
                width: FULL,
            };
            return Err(AuditError::tile(
                &tile.path(),
                format!("it does not hold the hash of `{}`", child.path()),
            ));
        }
        if tile.width == FULL {
            above.push(subtree(&stored));
        }
    }
    Ok(above)
}

/// A file that the walk found: today's tile (checked already), an older and narrower one, or one beyond the checkpoint.
fn check_leftover(fetch: Fetch<'_>, path: &str, size: u64) -> Result<(), AuditError> {
    let tile = Tile::from_path(path).ok_or_else(|| AuditError::tile(path, "it is no file of a log"))?;
    // Beyond the checkpoint lies what a writer published just before its next checkpoint; that one will cover it.
    let Some(today) = tiles::tiles(tile.kind, size, tile.n)
        .next()
        .filter(|today| today.width != tile.width)
    else {
        return Ok(());
    };
    let (ours, todays) = (get(fetch, path)?, get(fetch, &today.path())?);
    let (narrow, wide, width) = if tile.width < today.width {
        (&ours, &todays, tile.width)
    } else {
        (&todays, &ours, today.width)
    };
    let whole = match tile.kind {
        Kind::Hashes(_) => ours.len() as u64 == tile.width * 32,
        Kind::Entries => tiles::bundle_entries(&tile, &ours)?.len() as u64 == tile.width,
    };
    if !whole || !wide.starts_with(narrow) {
        return Err(AuditError::tile(
            path,
            format!("its first {width} do not agree with `{}`", today.path()),
        ));
    }
    Ok(())
}

fn get(fetch: Fetch<'_>, path: &str) -> Result<Vec<u8>, AuditError> {
    let bytes = fetch(path).map_err(|source| AuditError::Fetch {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() as u64 > tiles::MAX_FILE {
        return Err(AuditError::tile(path, "it is longer than any file of a log"));
    }
    Ok(bytes)
}

fn get_hashes(fetch: Fetch<'_>, tile: &Tile) -> Result<Vec<Hash>, AuditError> {
    let (read, bytes) = get_tile(fetch, tile)?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || hashes.len() as u64 != read.width {
        let fault = format!("it has {} bytes, not {}", bytes.len(), read.width * 32);
        return Err(AuditError::tile(&read.path(), fault));
    }
    Ok(hashes.iter().take(tile.width as usize).map(|hash| Hash(*hash)).collect())
}

/// The tile; or the full one in its place, if the log grew since its checkpoint was fetched and dropped the partial one.
fn get_tile(fetch: Fetch<'_>, tile: &Tile) -> Result<(Tile, Vec<u8>), AuditError> {
    match get(fetch, &tile.path()) {
        Err(absent @ AuditError::Fetch { .. }) if tile.width < FULL => {
            let full = Tile { width: FULL, ..*tile };
            get(fetch, &full.path()).map(|bytes| (full, bytes)).map_err(|_| absent)
        }
        read => Ok((*tile, read?)),
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(tiles::MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The root of a full tile's 256 hashes.
fn subtree(hashes: &[Hash]) -> Hash {
    let mut tree = Frontier::default();
    hashes.iter().for_each(|hash| tree.push(*hash));
    tree.root()
}

/// The complete subtrees of the leaves so far, largest first, as (height, hash): all that a running root needs.
#[derive(Default)]
struct Frontier(Vec<(u32, Hash)>);

impl Frontier {
    fn push(&mut self, leaf: Hash) {
        let (mut height, mut hash) = (0, leaf);
        while let Some((_, left)) = self.0.pop_if(|(top, _)| *top == height) {
            hash = node_hash(left, hash);
            height += 1;
        }
        self.0.push((height, hash));
    }

    fn root(&self) -> Hash {
        let hashes = self.0.iter().rev().map(|(_, hash)| *hash);
        hashes
            .reduce(|right, left| node_hash(left, right))
            .unwrap_or(tlog_tiles::EMPTY_HASH)
    }
}

/// Our files as the tree's mathematics reads them.
struct Tiles<'f> {
    fetch: Fetch<'f>,
    size: u64,
}

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, wanted: &[TreeTile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |wanted: &TreeTile| {
            let kind = Kind::Hashes(wanted.level());
            // Only the widest tile is sure to be there.
            let tile = tiles::tiles(kind, self.size, wanted.level_index())
                .next()
                .ok_or(Error::InvalidTile)?;
            let hashes = get_hashes(self.fetch, &tile).map_err(|_| Error::InvalidTile)?;
            let hashes = hashes.get(..wanted.width() as usize).ok_or(Error::InvalidTile)?;
            Ok(hashes.iter().flat_map(|hash| hash.0).collect())
        };
        wanted.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[TreeTile], _: &[Vec<u8>]) {}
}
