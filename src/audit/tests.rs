//! The log as a whole: appended, proven, published, verified, and spoilt byte by byte.
#![allow(clippy::disallowed_methods, reason = "tests write and spoil files")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tlog_tiles::{Hash, node_hash, record_hash};

use super::*;

mod tamper;

const ORIGIN: &str = "registry.example/log";

fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

fn log() -> Log {
    Log::open(&[42; 32], ORIGIN).unwrap()
}

fn entry(index: u64) -> Vec<u8> {
    format!("{{\"event\":\"submission\",\"seq\":{index}}}").into_bytes()
}

fn append(connection: &mut Connection, count: u64) {
    let log = log();
    let transaction = connection.transaction().unwrap();
    for index in size(&transaction).unwrap().. {
        if size(&transaction).unwrap() == count {
            break;
        }
        assert_eq!(
            log.append(&transaction, &entry(index)).unwrap(),
            Appended { index, size: index + 1 }
        );
    }
    transaction.commit().unwrap();
}

/// The root by the definition in RFC 6962, over all the entries: slow and plain.
fn root_by_definition(entries: &[Vec<u8>]) -> Hash {
    match entries {
        [] => Hash(
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"")
                .as_ref()
                .try_into()
                .unwrap(),
        ),
        [entry] => record_hash(entry),
        entries => {
            let split = entries.len().next_power_of_two() / 2;
            node_hash(root_by_definition(&entries[..split]), root_by_definition(&entries[split..]))
        }
    }
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn published(count: u64) -> (Connection, tempfile::TempDir) {
    let mut connection = database();
    append(&mut connection, count);
    let dir = tempfile::tempdir().unwrap();
    log().publish(&connection, dir.path()).unwrap();
    (connection, dir)
}

#[test]
fn the_root_is_the_one_rfc_6962_defines_at_every_size() {
    let mut connection = database();
    let mut entries = Vec::new();
    for count in 0..70 {
        append(&mut connection, count);
        let head = log().checkpoint(&connection).unwrap().head;
        assert_eq!((head.size, Hash(head.root)), (count, root_by_definition(&entries)));
        entries.push(entry(count));
    }
}

#[test]
fn an_entry_is_in_the_log_only_if_the_callers_transaction_commits() {
    let mut connection = database();
    append(&mut connection, 5);
    let before = log().checkpoint(&connection).unwrap();
    let transaction = connection.transaction().unwrap();
    log().append(&transaction, b"never").unwrap();
    log().proof(&transaction, 5).unwrap();
    transaction.rollback().unwrap();
    assert_eq!(log().checkpoint(&connection).unwrap(), before);
}

#[test]
fn each_proof_proves_its_entry_and_no_other_and_is_the_same_bytes_again() {
    let mut connection = database();
    let vkey = Vkey::parse(&log().vkey()).unwrap();
    for count in [1, 2, 3, 7, 8, 255, 256, 257] {
        append(&mut connection, count);
        for index in [0, count / 2, count - 1] {
            let proof = log().proof(&connection, index).unwrap();
            assert_eq!(proof, log().proof(&connection, index).unwrap());
            let proven = verify_proof(&vkey, &entry(index), &proof).unwrap();
            assert_eq!((proven.index, proven.head.size), (index, count));
            assert!(verify_proof(&vkey, &entry(index + 1), &proof).is_err());
        }
    }
    assert!(matches!(
        log().proof(&connection, 257),
        Err(AuditError::NoSuchEntry { index: 257, size: 257 })
    ));
}

#[test]
fn a_published_log_verifies_at_every_kind_of_size() {
    for count in [0, 1, 255, 256, 257, 600] {
        let (_, dir) = published(count);
        let vkey = Vkey::parse(&log().vkey()).unwrap();
        assert_eq!(verify_dir(&vkey, dir.path(), None).unwrap().entries, count);
    }
}

#[test]
fn publishing_step_by_step_gives_the_files_of_publishing_at_once_and_nothing_when_nothing_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = database();
    let vkey = Vkey::parse(&log().vkey()).unwrap();
    for count in [1, 2, 200, 256, 300, 511, 513] {
        append(&mut connection, count);
        assert!(log().publish(&connection, dir.path()).unwrap().files > 0);
        assert_eq!(log().publish(&connection, dir.path()).unwrap().files, 0);
        assert_eq!(verify_dir(&vkey, dir.path(), None).unwrap().entries, count);
    }
    let (_, at_once) = published(513);
    let stepwise = files(dir.path());
    for (name, bytes) in files(at_once.path()) {
        assert_eq!(stepwise.get(&name), Some(&bytes), "{name}");
    }
    assert!(
        !stepwise.contains_key("tile/0/000.p/200"),
        "partial tiles go once the full one is there"
    );
}

#[test]
fn a_crash_before_the_checkpoint_leaves_the_old_log_whole_and_the_next_publication_mends_it() {
    let (mut connection, dir) = published(200);
    let old = fs::read(dir.path().join("checkpoint")).unwrap();
    append(&mut connection, 300);
    log().publish(&connection, dir.path()).unwrap();
    let full = files(dir.path());
    // As if the crash came before the checkpoint, and in the midst of the tiles.
    fs::write(dir.path().join("checkpoint"), old).unwrap();
    fs::remove_file(dir.path().join("tile/0/001.p/44")).unwrap();
    for tile in ["tile/0/000.p/200", "tile/entries/000.p/200"] {
        let full = &full[tile.strip_suffix(".p/200").unwrap()];
        let bytes = if tile.contains("entries") {
            (0..200).map(|i| 2 + entry(i).len()).sum()
        } else {
            200 * 32
        };
        fs::create_dir_all(dir.path().join(tile).parent().unwrap()).unwrap();
        fs::write(dir.path().join(tile), &full[..bytes]).unwrap();
    }
    let vkey = Vkey::parse(&log().vkey()).unwrap();
    assert_eq!(verify_dir(&vkey, dir.path(), None).unwrap().entries, 200);
    log().publish(&connection, dir.path()).unwrap();
    assert_eq!(files(dir.path()), full);
}

#[test]
fn a_log_that_grew_while_it_is_verified_still_verifies_up_to_its_checkpoint() {
    let (mut connection, dir) = published(200);
    let checkpoint = fs::read(dir.path().join("checkpoint")).unwrap();
    append(&mut connection, 300);
    log().publish(&connection, dir.path()).unwrap();
    assert!(!dir.path().join("tile/0/000.p").exists());
    let fetch = |path: &str| match path {
        "checkpoint" => Ok(checkpoint.clone()),
        path => fs::read(dir.path().join(path)).map_err(FetchError::from),
    };
    let vkey = Vkey::parse(&log().vkey()).unwrap();
    assert_eq!(verify(&vkey, &fetch).unwrap().entries, 200);
}

#[test]
fn nothing_is_signed_or_published_over_a_history_that_was_rewritten() {
    let (connection, dir) = published(20);
    let before = files(dir.path());
    connection
        .execute_batch("DROP TRIGGER log_entry_is_never_deleted; DELETE FROM log_entry WHERE idx >= 15")
        .unwrap();
    assert!(matches!(
        log().checkpoint(&connection),
        Err(AuditError::Inconsistent { earlier: 20, size: 15, .. })
    ));
    assert!(log().publish(&connection, dir.path()).is_err());
    // A database set back together with its own record of checkpoints still meets the published one.
    let mut restored = database();
    append(&mut restored, 15);
    assert!(matches!(
        log().publish(&restored, dir.path()),
        Err(AuditError::Inconsistent { earlier: 20, size: 15, .. })
    ));
    let transaction = restored.transaction().unwrap();
    for index in 15..30 {
        log().append(&transaction, &entry(index + 100)).unwrap();
    }
    transaction.commit().unwrap();
    assert!(matches!(
        log().publish(&restored, dir.path()),
        Err(AuditError::Inconsistent { earlier: 20, size: 30, .. })
    ));
    assert_eq!(files(dir.path()), before);
}

#[test]
fn a_log_entry_can_be_neither_changed_nor_deleted_in_the_database() {
    let mut connection = database();
    append(&mut connection, 3);
    assert!(connection.execute("UPDATE log_entry SET entry = x'00' WHERE idx = 1", []).is_err());
    assert!(connection.execute("DELETE FROM log_entry WHERE idx = 2", []).is_err());
    assert_eq!(
        entries(&connection, 1, 10).unwrap().iter().map(|e| e.index).collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn a_fork_signed_with_the_right_key_is_found_by_whoever_kept_an_earlier_checkpoint() {
    let (mut connection, dir) = published(200);
    let vkey = Vkey::parse(&log().vkey()).unwrap();
    let earlier = verify_dir(&vkey, dir.path(), None).unwrap().head;
    append(&mut connection, 300);
    log().publish(&connection, dir.path()).unwrap();
    let fetched = RefCell::new(0);
    let fetch = |path: &str| {
        *fetched.borrow_mut() += 1;
        fs::read(dir.path().join(path)).map_err(FetchError::from)
    };
    assert_eq!(consistent_since(&vkey, &fetch, &earlier).unwrap().size, 300);
    assert!(*fetched.borrow() < 5, "fetches only what it needs");
    verify_dir(&vkey, dir.path(), Some(&earlier)).unwrap();

    let mut fork = database();
    let transaction = fork.transaction().unwrap();
    for index in 0..310 {
        log().append(&transaction, &entry(index / 2)).unwrap();
    }
    transaction.commit().unwrap();
    let forked = tempfile::tempdir().unwrap();
    log().publish(&fork, forked.path()).unwrap();
    let fetch = |path: &str| fs::read(forked.path().join(path)).map_err(FetchError::from);
    verify(&vkey, &fetch).unwrap();
    for refused in [
        consistent_since(&vkey, &fetch, &earlier).err(),
        verify_since(&vkey, &fetch, Some(&earlier)).err(),
    ] {
        assert!(matches!(
            refused,
            Some(AuditError::Inconsistent {
                earlier: 200,
                size: 310,
                ..
            })
        ));
    }
}
