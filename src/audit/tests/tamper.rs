//! A log spoilt in every way we could think of: nothing goes unseen, nothing panics, and errors say where.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tlog_tiles::record_hash;

use super::*;

/// Verifies files held in memory with the verifier key among them.
fn verify_files(files: &BTreeMap<String, Vec<u8>>) -> Result<Verified, AuditError> {
    let vkey = std::str::from_utf8(&files["vkey"]).map_err(|_| AuditError::Vkey("not text"))?;
    verify(&Vkey::parse(vkey)?, &|path| {
        files.get(path).cloned().ok_or_else(|| FetchError::from("absent"))
    })
}

/// Changes bytes one at a time, every one of the small files and each `stride`-th of the others; cuts and lengthens every
/// file and takes it away. Every one of these must be refused, none may panic.
fn check_every_tampering_is_refused(files: &BTreeMap<String, Vec<u8>>, stride: usize) {
    verify_files(files).unwrap();
    let mut files = files.clone();
    let mut tried = 0;
    for name in files.keys().cloned().collect::<Vec<_>>() {
        let whole = files[&name].clone();
        let small = whole.len() < 512;
        for at in (0..whole.len()).step_by(if small { 1 } else { stride }) {
            let flips: &[u8] = if small { &[1, 2, 4, 8, 16, 32, 64, 128] } else { &[1 << (at % 8)] };
            for flip in flips {
                files.get_mut(&name).unwrap()[at] ^= flip;
                assert!(verify_files(&files).is_err(), "{name}: byte {at} changed by {flip} went unseen");
                files.get_mut(&name).unwrap()[at] ^= flip;
                tried += 1;
            }
        }
        for cut in [0, 1, whole.len() / 2, whole.len() - 2] {
            files.insert(name.clone(), whole[..cut].to_vec());
            assert!(verify_files(&files).is_err(), "{name}: cut to {cut} went unseen");
        }
        // A key may end in a newline.
        for more in [if name == "vkey" { b" ".as_slice() } else { b"\n" }, &[0], &[0; 32]] {
            files.insert(name.clone(), [&whole, more].concat());
            assert!(verify_files(&files).is_err(), "{name}: {} bytes more went unseen", more.len());
        }
        if name != "vkey" {
            files.remove(&name);
            assert!(verify_files(&files).is_err(), "{name}: its absence went unseen");
        }
        files.insert(name, whole);
    }
    assert!(tried > 1000, "only {tried} changes were tried");
}

#[test]
fn every_tampering_with_our_own_log_is_refused() {
    let (_, dir) = published(300);
    check_every_tampering_is_refused(&files(dir.path()), 1);
}

#[test]
fn an_older_partial_tile_that_was_changed_is_refused_in_a_folder() {
    let (mut connection, dir) = published(5);
    append(&mut connection, 9);
    log().publish(&connection, dir.path()).unwrap();
    let vkey = Vkey::parse(&log().vkey()).unwrap();
    verify_dir(&vkey, dir.path(), None).unwrap();
    for name in ["tile/0/000.p/5", "tile/entries/000.p/5"] {
        let path = dir.path().join(name);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[40] ^= 1;
        for bad in [changed, whole[..64].to_vec(), Vec::new()] {
            fs::write(&path, bad).unwrap();
            assert!(verify_dir(&vkey, dir.path(), None).unwrap_err().to_string().contains(name));
        }
        fs::write(&path, whole).unwrap();
    }
    fs::write(dir.path().join("tile/0/001.9.unfinished"), b"").unwrap();
    verify_dir(&vkey, dir.path(), None).unwrap();
    fs::write(dir.path().join("tile/0/stray"), b"").unwrap();
    assert!(
        verify_dir(&vkey, dir.path(), None)
            .unwrap_err()
            .to_string()
            .contains("tile/0/stray")
    );
}

#[test]
fn errors_name_the_entry_or_the_tile() {
    let (_, dir) = published(300);
    let check = |name: &str, at: usize, expected: &str| {
        let mut files = files(dir.path());
        files.get_mut(name).unwrap()[at] ^= 1;
        assert_eq!(verify_files(&files).unwrap_err().to_string(), expected);
    };
    check(
        "tile/entries/000",
        2,
        "entry 0 in `tile/entries/000` is refused: it has not the hash that the level 0 tile holds for it",
    );
    check(
        "tile/0/001.p/44",
        40,
        "entry 257 in `tile/entries/001.p/44` is refused: it has not the hash that the level 0 tile holds for it",
    );
    check(
        "tile/1/000.p/1",
        0,
        "`tile/1/000.p/1` is refused: it does not hold the hash of `tile/0/000`",
    );
}

#[test]
fn entry_and_leaf_hash_changed_together_are_refused_by_the_tree_above() {
    let (_, dir) = published(300);
    for (bundle, tile, expected) in [
        (
            "tile/entries/000",
            "tile/0/000",
            "`tile/1/000.p/1` is refused: it does not hold the hash of `tile/0/000`",
        ),
        (
            "tile/entries/001.p/44",
            "tile/0/001.p/44",
            "the 300 entries have another root than the checkpoint signs",
        ),
    ] {
        let mut files = files(dir.path());
        let length = usize::from(files[bundle][1]);
        files.get_mut(bundle).unwrap()[2] ^= 1;
        let hash = record_hash(&files[bundle][2..2 + length]);
        files.get_mut(tile).unwrap()[..32].copy_from_slice(&hash.0);
        assert_eq!(verify_files(&files).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_proof_with_any_byte_changed_is_refused() {
    let mut connection = database();
    append(&mut connection, 11);
    let vkey = Vkey::parse(&log().vkey()).unwrap();
    let proof = log().proof(&connection, 4).unwrap();
    for (at, flip) in (0..proof.len()).flat_map(|at| [1, 2, 32, 64].map(|flip| (at, flip))) {
        let mut changed = proof.clone().into_bytes();
        changed[at] ^= flip;
        let refused = String::from_utf8(changed).map_or(true, |changed| verify_proof(&vkey, &entry(4), &changed).is_err());
        assert!(refused, "byte {at} changed by {flip} went unseen");
    }
    for cut in 0..proof.len() {
        assert!(
            proof.get(..cut).is_none_or(|cut| verify_proof(&vkey, &entry(4), cut).is_err()),
            "cut to {cut} went unseen"
        );
    }
    assert!(verify_proof(&vkey, &entry(4), &proof.replace("index 4\n", "index 04\n")).is_err());
    assert!(verify_proof(&vkey, &entry(4), &proof.replace("index 4\n", "extra AAAA\nindex 4\n")).is_ok());
}

/// A log made elsewhere, if this machine has it: `HEADWATER_SHARED` names the folder of shared test data.
fn sample_log() -> Option<PathBuf> {
    let dir = PathBuf::from(std::env::var_os("HEADWATER_SHARED")?).join("data/audit/sample-log");
    dir.is_dir().then_some(dir)
}

#[test]
fn a_log_written_by_another_program_verifies_and_every_tampering_with_it_is_refused() {
    let Some(dir) = sample_log() else {
        eprintln!("skipped: HEADWATER_SHARED names no folder with data/audit/sample-log");
        return;
    };
    let vkey = Vkey::parse(&fs::read_to_string(dir.join("vkey")).unwrap()).unwrap();
    let verified = verify_dir(&vkey, &dir, None).unwrap();
    assert_eq!(
        (verified.entries, verified.head.origin.as_str()),
        (300, "registry.example.org/audit")
    );
    check_every_tampering_is_refused(&files(&dir), 5);

    // Its entries in our store give its root, and its consistency from 200 to 300 is proven.
    let (mut connection, files) = (database(), files(&dir));
    let transaction = connection.transaction().unwrap();
    for (name, n, width) in [("tile/entries/000", 0, 256), ("tile/entries/001.p/44", 1, 44)] {
        let tile = tiles::Tile {
            kind: tiles::Kind::Entries,
            n,
            width,
        };
        for entry in tiles::bundle_entries(&tile, &files[name]).unwrap() {
            log().append(&transaction, entry).unwrap();
        }
    }
    transaction.commit().unwrap();
    let root = |size| log::root(&connection, size).unwrap();
    assert_eq!(root(300), verified.head.root);
    let earlier = Head {
        size: 200,
        root: root(200),
        ..verified.head.clone()
    };
    assert_eq!(verify_dir(&vkey, &dir, Some(&earlier)).unwrap(), verified);
    let fetch = |path: &str| fs::read(dir.join(path)).map_err(FetchError::from);
    assert_eq!(consistent_since(&vkey, &fetch, &earlier).unwrap(), verified.head);

    // And our publication of them gives its files, byte for byte, all but key and checkpoint.
    let ours = tempfile::tempdir().unwrap();
    log().publish(&connection, ours.path()).unwrap();
    let tiles = |dir| {
        super::files(dir)
            .into_iter()
            .filter(|(name, _)| name.starts_with("tile/"))
            .collect::<Vec<_>>()
    };
    assert_eq!(tiles(ours.path()), tiles(&dir));
}

#[test]
fn a_size_that_no_log_has_is_refused_before_anything_is_fetched_or_reserved() {
    let key = note::LogKey::new(&[42; 32], ORIGIN).unwrap();
    let vkey = Vkey::parse(&log().vkey()).unwrap();
    for (size, refused_by) in [
        (u64::MAX, "checkpoint"),
        ((1 << 48) + 1, "checkpoint"),
        (1 << 48, "tile/entries/000"),
    ] {
        let checkpoint = key.sign(size, [1; 32]).unwrap();
        let fetch = |path: &str| match path {
            "checkpoint" => Ok(checkpoint.clone().into_bytes()),
            _ => Err(FetchError::from("absent")),
        };
        let earlier = Head {
            origin: ORIGIN.into(),
            size: 5,
            root: [0; 32],
        };
        assert!(verify(&vkey, &fetch).unwrap_err().to_string().contains(refused_by), "{size}");
        assert!(consistent_since(&vkey, &fetch, &earlier).is_err());
    }
}

proptest::proptest! {
    #[test]
    fn whatever_a_log_is_made_of_verifying_it_says_no_and_does_not_panic(
        garbage in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..700),
        size in 1..600u64,
        text in "(c2sp.org/tlog-proof@v1\n)?(extra [A-Za-z=]{0,9}\n)?(index [0-9]{1,20}\n)?([A-Za-z0-9+/=]{0,50}\n){0,4}\n?.{0,80}",
    ) {
        let key = note::LogKey::new(&[42; 32], ORIGIN).unwrap();
        let vkey = Vkey::parse(&log().vkey()).unwrap();
        let checkpoint = key.sign(size, [1; 32]).unwrap();
        let fetch = |path: &str| Ok(if path == "checkpoint" { checkpoint.clone().into_bytes() } else { garbage.clone() });
        proptest::prop_assert!(verify(&vkey, &fetch).is_err());
        proptest::prop_assert!(open_checkpoint(&vkey, &garbage).is_err());
        proptest::prop_assert!(verify_proof(&vkey, b"entry", &text).is_err());
        let signed = format!("{text}\n\n{checkpoint}");
        proptest::prop_assert!(verify_proof(&vkey, b"entry", &signed).is_err());
        proptest::prop_assert!(Vkey::parse(&text).is_err());
        proptest::prop_assert!(tiles::Tile::from_path(&text).is_none_or(|tile| tile.path() == text));
    }
}
