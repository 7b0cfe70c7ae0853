//! The files of a log: their paths, which of them a tree needs, and the bundles that hold the entries.
//! Knows no store and no signature. Basis: C2SP tlog-tiles; tiles have height 8, that is 256 hashes of 32 bytes.

use super::error::AuditError;

/// Entries in a full bundle, hashes in a full tile.
pub(super) const FULL: u64 = 256;
/// Bytes of an entry at most: its length stands in two bytes.
pub(super) const MAX_ENTRY: usize = u16::MAX as usize;
/// Bytes of any file of a log at most.
pub(super) const MAX_FILE: u64 = FULL * (2 + MAX_ENTRY as u64);

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The entries themselves.
    Entries,
    /// Tree hashes; level 0 has the leaf hashes.
    Hashes(u8),
}

/// One file: the `n`-th of its kind, `width` (1 to 256) entries or hashes wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub kind: Kind,
    pub n: u64,
    pub width: u64,
}

impl Tile {
    /// `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
    pub(super) fn path(&self) -> String {
        let full = self.full_path();
        if self.width < FULL {
            format!("{full}.p/{}", self.width)
        } else {
            full
        }
    }

    /// The path of the full tile at this place; its partial tiles stand in the folder of that name and `.p`.
    pub(super) fn full_path(&self) -> String {
        let mut number = format!("{:03}", self.n % 1000);
        let mut rest = self.n / 1000;
        while rest > 0 {
            number = format!("x{:03}/{number}", rest % 1000);
            rest /= 1000;
        }
        match self.kind {
            Kind::Entries => format!("tile/entries/{number}"),
            Kind::Hashes(level) => format!("tile/{level}/{number}"),
        }
    }

    /// The tile with this path, if it is one exactly.
    pub(super) fn from_path(path: &str) -> Option<Self> {
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let kind = match kind {
            "entries" => Kind::Entries,
            level => Kind::Hashes(level.parse().ok().filter(|level| *level < 8)?),
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok().filter(|width| (1..FULL).contains(width))?),
            None => (rest, FULL),
        };
        let mut n: u64 = 0;
        for group in number.split('/') {
            let digits: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
            n = n.checked_mul(1000)?.checked_add(digits)?;
        }
        let tile = Tile { kind, n, width };
        (tile.path() == path).then_some(tile)
    }
}

/// The tiles of one kind that a tree of `size` entries has, from number `first` on. Level l has one hash for every 256^l entries.
pub(super) fn tiles(kind: Kind, size: u64, first: u64) -> impl Iterator<Item = Tile> {
    let hashes = match kind {
        Kind::Entries => size,
        Kind::Hashes(level) => size >> (8 * u32::from(level)),
    };
    (first..hashes.div_ceil(FULL)).map(move |n| Tile {
        kind,
        n,
        width: FULL.min(hashes - n * FULL),
    })
}

/// The levels of hash tiles that a tree of `size` entries has.
pub(super) fn levels(size: u64) -> impl Iterator<Item = u8> {
    (0..8).take_while(move |level| size >> (8 * u32::from(*level)) > 0)
}

/// Adds one entry to a bundle.
pub(super) fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), AuditError> {
    let length = u16::try_from(entry.len()).map_err(|_| AuditError::EntryTooLong(entry.len()))?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle that must hold exactly `tile.width` of them.
pub(super) fn bundle_entries<'b>(tile: &Tile, bundle: &'b [u8]) -> Result<Vec<&'b [u8]>, AuditError> {
    let mut entries = Vec::with_capacity(tile.width as usize);
    let mut rest = bundle;
    for i in 0..tile.width {
        let cut = || AuditError::Entry {
            index: tile.n * FULL + i,
            path: tile.path(),
            fault: "the bundle ends before it does",
        };
        let (length, after) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or_else(cut)?;
        entries.push(entry);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(AuditError::tile(&tile.path(), "it goes on after its last entry"));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_c2sp_text() {
        let check = |kind, n, width, path: &str| {
            let tile = Tile { kind, n, width };
            assert_eq!(tile.path(), path);
            assert_eq!(Tile::from_path(path), Some(tile));
        };
        check(Kind::Hashes(0), 1_234_067, 256, "tile/0/x001/x234/067");
        check(Kind::Hashes(1), 0, 1, "tile/1/000.p/1");
        check(Kind::Entries, 273, 112, "tile/entries/273.p/112");
        check(Kind::Entries, 1000, 256, "tile/entries/x001/000");
    }

    #[test]
    fn a_path_written_otherwise_is_no_tile() {
        for path in [
            "tile/0/1",
            "tile/0/x000/001",
            "tile/00/001",
            "tile/8/001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/entries/",
            "tile/0/000.tmp",
            "checkpoint",
            "tile/0/+01",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Tile::from_path(path), None, "{path}");
        }
    }

    #[test]
    fn a_tree_of_70000_has_the_tiles_of_the_c2sp_example() {
        let of = |level| tiles(Kind::Hashes(level), 70_000, 0).map(|tile| tile.width).collect::<Vec<_>>();
        assert_eq!(levels(70_000).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(of(0).len(), 274);
        assert_eq!(of(0)[273], 112);
        assert_eq!(of(1), [256, 17]);
        assert_eq!(of(2), [1]);
        assert_eq!(tiles(Kind::Hashes(0), 256, 0).map(|tile| tile.width).collect::<Vec<_>>(), [256]);
        assert_eq!(levels(0).count(), 0);
    }

    #[test]
    fn a_bundle_gives_back_its_entries_and_refuses_every_cut_and_addition() {
        let mut bundle = Vec::new();
        let long = vec![7; MAX_ENTRY];
        for entry in [b"one".as_slice(), b"", &long] {
            push_entry(&mut bundle, entry).unwrap();
        }
        let tile = Tile {
            kind: Kind::Entries,
            n: 2,
            width: 3,
        };
        assert_eq!(bundle_entries(&tile, &bundle).unwrap(), [b"one".as_slice(), b"", &long]);
        for cut in [0, 1, 4, 6, 8, bundle.len() - 1] {
            assert!(
                bundle_entries(&tile, &bundle[..cut])
                    .unwrap_err()
                    .to_string()
                    .starts_with("entry 51"),
                "{cut}"
            );
        }
        bundle.push(0);
        let refused = bundle_entries(&tile, &bundle).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`tile/entries/002.p/3` is refused: it goes on after its last entry"
        );
        assert!(push_entry(&mut bundle, &vec![0; MAX_ENTRY + 1]).is_err());
    }
}
