//! What every store must do, whatever lies below it: each backend runs these
//! same checks.

use super::{Changes, Lease, Store, StoreError};
use crate::base::clock::Wall;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Runs every check, each on a store that `make` has made empty.
pub fn check(make: &dyn Fn() -> Box<dyn Store>) {
    versions_grow_by_one(&*make());
    a_stale_write_changes_nothing(&*make());
    a_lease_travels_with_its_record(&*make());
    removal_asks_for_the_version(&*make());
    keys_are_found_by_prefix(&*make());
    bodies_are_any_bytes(&*make());
    changes_are_told_since_a_mark(&*make());
    one_of_many_writers_wins(&Arc::from(make()));
}

fn lease(owner: &str, fencing: u64) -> Lease {
    Lease {
        owner: owner.to_owned(),
        fencing,
        deadline: Wall::new(Duration::from_millis(1_700_000_000_123)),
    }
}

fn versions_grow_by_one(store: &dyn Store) {
    assert!(store.get("a").unwrap().is_none());
    assert_eq!(store.put("a", None, None, b"1"), Ok(1));
    assert_eq!(store.put("a", Some(1), None, b"2"), Ok(2));
    assert_eq!(store.put("b", None, None, b"x"), Ok(1));
    let record = store.get("a").unwrap().unwrap();
    assert_eq!((record.version, &*record.body), (2, &b"2"[..]));
}

fn a_stale_write_changes_nothing(store: &dyn Store) {
    assert_eq!(
        store.put("a", Some(1), None, b"1"),
        Err(StoreError::Conflict)
    );
    assert!(store.get("a").unwrap().is_none());
    store.put("a", None, None, b"1").unwrap();
    store
        .put("a", Some(1), Some(&lease("me", 1)), b"2")
        .unwrap();
    for stale in [None, Some(1), Some(3)] {
        let outcome = store.put("a", stale, None, b"lost");
        assert_eq!(outcome, Err(StoreError::Conflict), "{stale:?}");
    }
    let record = store.get("a").unwrap().unwrap();
    assert_eq!((record.version, &*record.body), (2, &b"2"[..]));
    assert_eq!(record.lease, Some(lease("me", 1)));
}

fn a_lease_travels_with_its_record(store: &dyn Store) {
    store.put("a", None, Some(&lease("me", 7)), b"1").unwrap();
    assert_eq!(store.get("a").unwrap().unwrap().lease, Some(lease("me", 7)));
    store
        .put("a", Some(1), Some(&lease("you", 8)), b"1")
        .unwrap();
    assert_eq!(
        store.get("a").unwrap().unwrap().lease,
        Some(lease("you", 8))
    );
    store.put("a", Some(2), None, b"1").unwrap();
    assert_eq!(store.get("a").unwrap().unwrap().lease, None);
}

fn removal_asks_for_the_version(store: &dyn Store) {
    assert_eq!(store.remove("a", 1), Err(StoreError::Conflict));
    store.put("a", None, None, b"1").unwrap();
    store.put("a", Some(1), None, b"2").unwrap();
    assert_eq!(store.remove("a", 1), Err(StoreError::Conflict));
    assert_eq!(store.remove("a", 2), Ok(()));
    assert!(store.get("a").unwrap().is_none());
}

fn keys_are_found_by_prefix(store: &dyn Store) {
    for key in ["account/b", "account/a", "accounts", "other", "account/%"] {
        store.put(key, None, None, b"").unwrap();
    }
    let found = store.keys("account/").unwrap();
    assert_eq!(found, ["account/%", "account/a", "account/b"]);
    assert_eq!(store.keys("").unwrap().len(), 5);
    assert!(store.keys("account/_").unwrap().is_empty());
}

fn changes_are_told_since_a_mark(store: &dyn Store) {
    let changes = |since| {
        let mut changes = store.changes(since).unwrap();
        changes.written.sort();
        changes
    };
    assert!(changes(0).written.is_empty());
    store.put("a", None, None, b"1").unwrap();
    store.put("b", None, None, b"1").unwrap();
    let first = changes(0);
    assert_eq!(first.written, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    assert_eq!(
        changes(first.upto),
        Changes {
            upto: first.upto,
            written: vec![]
        }
    );
    store.put("a", Some(1), None, b"2").unwrap();
    store.put("a", Some(2), None, b"3").unwrap();
    store.put("b", Some(7), None, b"lost").unwrap_err();
    let second = changes(first.upto);
    assert_eq!(second.written, [("a".to_owned(), 3)]);
    store.remove("a", 3).unwrap();
    assert!(changes(first.upto).written.is_empty());
}

fn bodies_are_any_bytes(store: &dyn Store) {
    let body: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    store.put("a", None, None, &body).unwrap();
    assert_eq!(store.get("a").unwrap().unwrap().body, body);
    store.put("a", Some(1), None, b"").unwrap();
    assert!(store.get("a").unwrap().unwrap().body.is_empty());
}

/// Eight threads add one to the same record fifty times each; nothing is lost.
fn one_of_many_writers_wins(store: &Arc<dyn Store>) {
    let conflicts = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| add_one(&**store, &conflicts)));
        }
    });
    let record = store.get("n").unwrap().unwrap();
    assert_eq!(record.version, 400);
    assert_eq!(record.body, 400_u32.to_be_bytes());
}

fn add_one(store: &dyn Store, conflicts: &AtomicU32) {
    loop {
        let old = store.get("n").unwrap();
        let value = old.as_ref().map_or(0, |r| {
            u32::from_be_bytes(r.body.as_slice().try_into().unwrap())
        });
        let body = (value + 1).to_be_bytes();
        match store.put("n", old.map(|r| r.version), None, &body) {
            Ok(_) => return,
            Err(StoreError::Conflict) => conflicts.fetch_add(1, Ordering::Relaxed),
            Err(other) => panic!("{other}"),
        };
    }
}
