//! Records in memory: gone with the process.

use super::{Lease, Record, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use zeroize::Zeroize;

/// A store that lives as long as the process.
#[derive(Default)]
pub struct MemoryStore {
    records: Mutex<BTreeMap<String, Record>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        // No write below can panic half-way: what a poisoned lock holds is whole.
        self.records
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        Ok(self.records().get(key).cloned())
    }

    fn put(
        &self,
        key: &str,
        expected: Option<u64>,
        lease: Option<&Lease>,
        body: &[u8],
    ) -> Result<u64, StoreError> {
        let mut records = self.records();
        let old = records.get_mut(key);
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
        records.insert(key.to_owned(), record);
        Ok(version)
    }

    fn remove(&self, key: &str, expected: u64) -> Result<(), StoreError> {
        let mut records = self.records();
        match records.get_mut(key) {
            Some(record) if record.version == expected => {
                record.body.zeroize();
                records.remove(key);
                Ok(())
            }
            _ => Err(StoreError::Conflict),
        }
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let keys = self.records();
        Ok(keys
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect())
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
