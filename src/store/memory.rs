//! Records in memory: gone with the process.

use super::{Changes, Lease, Record, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use zeroize::Zeroize;

/// A store that lives as long as the process.
#[derive(Default)]
pub struct MemoryStore {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    records: BTreeMap<String, Record>,
    /// Counts writes.
    changes: u64,
    /// The count at each record's last write.
    changed: BTreeMap<String, u64>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // No write below can panic half-way: what a poisoned lock holds is whole.
        self.held
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        Ok(self.held().records.get(key).cloned())
    }

    fn put(
        &self,
        key: &str,
        expected: Option<u64>,
        lease: Option<&Lease>,
        body: &[u8],
    ) -> Result<u64, StoreError> {
        let mut held = self.held();
        let old = held.records.get_mut(key);
        if old.as_ref().map(|r| r.version) != expected {
            return Err(StoreError::Conflict);
        }
        if let Some(old) = old {
            old.body.zeroize();
        }
        let version = expected.unwrap_or(0) + 1;
        let record = Record {
            version,
            lease: lease.cloned(),
            body: body.to_vec(),
        };
        held.records.insert(key.to_owned(), record);
        held.changes += 1;
        let change = held.changes;
        held.changed.insert(key.to_owned(), change);
        Ok(version)
    }

    fn remove(&self, key: &str, expected: u64) -> Result<(), StoreError> {
        let mut held = self.held();
        match held.records.get_mut(key) {
            Some(record) if record.version == expected => {
                record.body.zeroize();
                held.records.remove(key);
                held.changed.remove(key);
                Ok(())
            }
            _ => Err(StoreError::Conflict),
        }
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let held = self.held();
        Ok(held
            .records
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect())
    }

    fn changes(&self, since: u64) -> Result<Changes, StoreError> {
        let held = self.held();
        let written = held.changed.iter().filter(|(_, change)| **change > since);
        let version = |key: &String| held.records.get(key).map(|r| r.version);
        Ok(Changes {
            upto: held.changes,
            written: written
                .filter_map(|(key, _)| Some((key.clone(), version(key)?)))
                .collect(),
        })
    }

    fn is_shared(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::MemoryStore;

    #[test]
    fn keeps_the_contract_of_stores() {
        contract::check(&|| Box::new(MemoryStore::new()));
    }
}
