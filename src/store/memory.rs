//! Records in memory: gone with the process.

use super::{Changes, Lease, Record, Store, StoreError};
use crate::base::clock::Wall;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use zeroize::Zeroize;

/// A store that lives as long as the process.
#[derive(Default)]
pub struct MemoryStore {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// There may be very many.
    records: BTreeMap<Box<str>, Kept>,
    /// Counts writes.
    changes: u64,
    /// Who took a lease last.
    owner: Arc<str>,
}

struct Kept {
    version: u64,
    /// The count at its last write.
    change: u64,
    lease: Option<KeptLease>,
    body: Box<[u8]>,
}

/// A lease; all of one owner share its name.
struct KeptLease {
    owner: Arc<str>,
    fencing: u64,
    deadline: Wall,
}

impl Held {
    fn keep(&mut self, lease: &Lease) -> KeptLease {
        if *self.owner != *lease.owner {
            self.owner = Arc::from(&*lease.owner);
        }
        KeptLease {
            owner: self.owner.clone(),
            fencing: lease.fencing,
            deadline: lease.deadline,
        }
    }
}

impl Kept {
    fn record(&self) -> Record {
        let lease = self.lease.as_ref().map(|lease| Lease {
            owner: lease.owner.to_string(),
            fencing: lease.fencing,
            deadline: lease.deadline,
        });
        Record {
            version: self.version,
            lease,
            body: self.body.to_vec(),
        }
    }
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
        Ok(self.held().records.get(key).map(Kept::record))
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
        held.changes += 1;
        let lease = lease.map(|lease| held.keep(lease));
        let kept = Kept {
            version,
            change: held.changes,
            lease,
            body: Box::from(body),
        };
        held.records.insert(Box::from(key), kept);
        Ok(version)
    }

    fn remove(&self, key: &str, expected: u64) -> Result<(), StoreError> {
        let mut held = self.held();
        match held.records.get_mut(key) {
            Some(record) if record.version == expected => {
                record.body.zeroize();
                held.records.remove(key);
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
            .map(|key| key.to_string())
            .collect())
    }

    fn changes(&self, since: u64) -> Result<Changes, StoreError> {
        let held = self.held();
        let written = held.records.iter().filter(|(_, kept)| kept.change > since);
        Ok(Changes {
            upto: held.changes,
            written: written
                .map(|(key, kept)| (key.to_string(), kept.version))
                .collect(),
        })
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn is_instant(&self) -> bool {
        true
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
