//! The file: its mode, its formats, its keys, and what is not ours.

use super::super::seal::Sealer;
use super::super::{Store, StoreError, contract};
use super::{SqliteStore, Trouble};
use crate::base::key::Key;
use rusqlite::Connection;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn key(byte: u8) -> Key {
    Key::parse(&format!("{byte:02x}").repeat(32)).unwrap()
}

fn sealer(first: u8, others: &[u8]) -> Sealer {
    Sealer::new(key(first), others.iter().map(|byte| key(*byte)).collect())
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidekey.db");
    (folder, path)
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, sealer(1, &[])).unwrap()
}

fn refused(path: &Path, sealer: Sealer) -> Trouble {
    let before = fs::read(path).ok();
    let refused = SqliteStore::open(path, sealer).err().expect("refused");
    assert_eq!(fs::read(path).ok(), before, "nothing is overwritten");
    assert!(refused.to_string().contains("Nothing in it was changed"));
    refused.trouble
}

#[test]
fn keeps_the_contract_of_stores() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    contract::check(&|| {
        number.set(number.get() + 1);
        Box::new(open(&folder.path().join(number.get().to_string())))
    });
}

#[test]
fn records_survive_and_only_their_owner_may_read_them() {
    let (folder, path) = folder();
    open(&path).put("a", None, None, b"hunter2").unwrap();
    let store = open(&path);
    assert_eq!(store.get("a").unwrap().unwrap().body, b"hunter2");
    for entry in fs::read_dir(folder.path()).unwrap().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
        let bytes = fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(7).any(|w| w == b"hunter2"));
    }
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    open(&path);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn another_key_is_refused() {
    let (_folder, path) = folder();
    open(&path).put("a", None, None, b"text").unwrap();
    assert!(matches!(refused(&path, sealer(2, &[])), Trouble::OtherKey));
    assert_eq!(open(&path).get("a").unwrap().unwrap().body, b"text");
}

#[test]
fn the_first_key_seals_and_rekey_leaves_no_other() {
    let (_folder, path) = folder();
    open(&path).put("a", None, None, b"old").unwrap();
    let both = SqliteStore::open(&path, sealer(2, &[1])).unwrap();
    assert_eq!(both.get("a").unwrap().unwrap().body, b"old");
    both.put("b", None, None, b"new").unwrap();
    assert!(matches!(refused(&path, sealer(2, &[])), Trouble::OtherKey));
    assert_eq!(both.rekey(), Ok(2));
    let new = SqliteStore::open(&path, sealer(2, &[])).unwrap();
    assert_eq!(new.get("a").unwrap().unwrap().body, b"old");
    assert_eq!(new.get("a").unwrap().unwrap().version, 1);
    assert_eq!(new.get("b").unwrap().unwrap().body, b"new");
    assert!(matches!(refused(&path, sealer(1, &[])), Trouble::OtherKey));
}

#[test]
fn a_record_of_another_place_is_unreadable() {
    let (_folder, path) = folder();
    let store = open(&path);
    store.put("a", None, None, b"a").unwrap();
    store.put("b", None, None, b"b").unwrap();
    let swap = "UPDATE record SET body = (SELECT body FROM record WHERE key = 'a') \
                WHERE key = 'b'";
    Connection::open(&path).unwrap().execute(swap, []).unwrap();
    assert!(matches!(store.get("b"), Err(StoreError::Unreadable(_))));
    assert_eq!(store.get("a").unwrap().unwrap().body, b"a");
}

#[test]
fn a_newer_format_is_left_alone() {
    let (_folder, path) = folder();
    open(&path);
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    assert!(matches!(refused(&path, sealer(1, &[])), Trouble::Newer(99)));
}

#[test]
fn what_is_no_store_is_left_alone() {
    let (_folder, path) = folder();
    fs::write(&path, "a letter to somebody, longer than a head").unwrap();
    assert!(matches!(refused(&path, sealer(1, &[])), Trouble::File(_)));
    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute("CREATE TABLE theirs (a)", []).unwrap();
    drop(other);
    assert!(matches!(refused(&path, sealer(1, &[])), Trouble::NotAStore));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(refused(&path, sealer(1, &[])), Trouble::File(_)));
}

#[test]
fn a_damaged_file_is_left_alone() {
    let (_folder, path) = folder();
    let store = open(&path);
    for number in 0..200 {
        let body = vec![0; 500];
        store.put(&number.to_string(), None, None, &body).unwrap();
    }
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..half + 8_192].fill(0x55);
    fs::write(&path, bytes).unwrap();
    let trouble = refused(&path, sealer(1, &[]));
    assert!(matches!(trouble, Trouble::Damaged(_)), "{trouble:?}");
}

#[test]
fn a_missing_folder_is_named() {
    let (folder, _) = folder();
    let path = folder.path().join("none/sidekey.db");
    assert!(matches!(refused(&path, sealer(1, &[])), Trouble::File(_)));
}

/// `format-1.sql` is a store as the first format had it, under the key of 32
/// bytes 01.
#[test]
fn the_first_format_is_brought_to_the_present_one() {
    let (_folder, path) = folder();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("format-1.sql")).unwrap();
    drop(old);
    assert!(matches!(refused(&path, sealer(2, &[])), Trouble::OtherKey));
    let store = open(&path);
    let one = store.get("account/one").unwrap().unwrap();
    assert_eq!((one.version, &*one.body), (3, &b"the body of one"[..]));
    assert_eq!(
        one.lease.map(|l| (l.owner, l.fencing)),
        Some(("me".into(), 7))
    );
    assert_eq!(store.put("account/one", Some(3), None, b"next"), Ok(4));
    assert_eq!(
        store.changes(0).unwrap().written,
        [("account/one".to_owned(), 4)]
    );
    drop(store);
    assert_eq!(open(&path).get("account/two").unwrap().unwrap().body, b"");
}

#[test]
fn processes_that_start_together_make_one_store() {
    // Each time they meet in another moment of its making.
    for _ in 0..10 {
        let (_folder, path) = folder();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || open(path).put(&number.to_string(), None, None, b"x"));
            }
        });
        assert_eq!(open(&path).keys("").unwrap().len(), 8);
    }
}
