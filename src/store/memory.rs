//! Records in memory: gone with the process.

use super::{Changes, Lease, Record, Store, StoreError};
use crate::base::clock::Wall;
use crate::base::secret::Secret;
use memchr::memmem;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use zeroize::Zeroize;

/// A secret that is shorter is not worth more than its copy.
const WORTH_SHARING: usize = 64;

/// A store that lives as long as the process.
#[derive(Default)]
pub struct MemoryStore {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// There may be very many; in boxes, for half of a tree's places are empty.
    records: BTreeMap<Box<str>, Box<Kept>>,
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
    body: Body,
}

/// A lease; all of one owner share its name.
struct KeptLease {
    owner: Arc<str>,
    fencing: u64,
    deadline: Wall,
}

/// A record's bytes, without the secrets in it that lie elsewhere in memory anyway.
struct Body {
    text: Box<[u8]>,
    /// Before which byte of the text each stands, in this order.
    shared: Box<[(usize, Secret)]>,
}

impl Body {
    /// Every byte of `body`; of those of `secrets` that are found in it no copy.
    fn new(body: &[u8], secrets: &[&Secret]) -> Self {
        let worth = secrets.iter().filter(|s| s.expose().len() >= WORTH_SHARING);
        let mut found: Vec<_> = worth
            .filter_map(|secret| Some((memmem::find(body, secret.expose().as_bytes())?, *secret)))
            .collect();
        found.sort_by_key(|(at, _)| *at);
        // Never grown: no copy of a part stays behind.
        let mut text = Vec::with_capacity(body.len());
        let mut shared = Vec::with_capacity(found.len());
        let mut next = 0;
        for (at, secret) in found {
            // One may stand within another.
            if at >= next {
                text.extend_from_slice(&body[next..at]);
                shared.push((text.len(), secret.clone()));
                next = at + secret.expose().len();
            }
        }
        text.extend_from_slice(&body[next..]);
        let kept = Self {
            text: Box::from(&*text),
            shared: shared.into(),
        };
        text.zeroize();
        kept
    }

    fn bytes(&self) -> Vec<u8> {
        let secrets: usize = self.shared.iter().map(|(_, s)| s.expose().len()).sum();
        let mut bytes = Vec::with_capacity(self.text.len() + secrets);
        let mut next = 0;
        for (at, secret) in &self.shared {
            bytes.extend_from_slice(&self.text[next..*at]);
            bytes.extend_from_slice(secret.expose().as_bytes());
            next = *at;
        }
        bytes.extend_from_slice(&self.text[next..]);
        bytes
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.text.zeroize();
    }
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
            body: self.body.bytes(),
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
        Ok(self.held().records.get(key).map(|kept| kept.record()))
    }

    fn put(
        &self,
        key: &str,
        expected: Option<u64>,
        lease: Option<&Lease>,
        body: &[u8],
    ) -> Result<u64, StoreError> {
        self.put_sharing(key, expected, lease, body, &[])
    }

    fn put_sharing(
        &self,
        key: &str,
        expected: Option<u64>,
        lease: Option<&Lease>,
        body: &[u8],
        secrets: &[&Secret],
    ) -> Result<u64, StoreError> {
        let body = Body::new(body, secrets);
        let mut held = self.held();
        if held.records.get(key).map(|kept| kept.version) != expected {
            return Err(StoreError::Conflict);
        }
        let version = expected.unwrap_or(0) + 1;
        held.changes += 1;
        let kept = Kept {
            version,
            change: held.changes,
            lease: lease.map(|lease| held.keep(lease)),
            body,
        };
        match held.records.get_mut(key) {
            Some(old) => **old = kept,
            None => drop(held.records.insert(Box::from(key), Box::new(kept))),
        }
        Ok(version)
    }

    fn remove(&self, key: &str, expected: u64) -> Result<(), StoreError> {
        let mut held = self.held();
        match held.records.get(key) {
            Some(record) if record.version == expected => {
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
    use super::{Body, MemoryStore};
    use crate::base::secret::Secret;
    use crate::store::Store;

    #[test]
    fn keeps_the_contract_of_stores() {
        contract::check(&|| Box::new(MemoryStore::new()));
    }

    #[test]
    fn a_secret_that_is_elsewhere_is_not_copied_and_no_byte_is_lost() {
        let long = |letter: &str| Secret::new(letter.repeat(900));
        let (first, second, absent) = (long("a"), long("b"), long("c"));
        // Within another, twice, and too short to be worth it.
        let (within, short) = (Secret::new("b".repeat(100)), Secret::new("x".to_owned()));
        let (a, b) = (first.expose(), second.expose());
        let all = [&second, &within, &first, &absent, &short];
        for (body, left) in [
            (format!("x{a}yy{b}z"), 4),
            (format!("{b}{a}"), 0),
            (format!("{a}{a}x"), 901),
            ("x".to_owned(), 1),
            (String::new(), 0),
        ] {
            let kept = Body::new(body.as_bytes(), &all);
            assert_eq!(kept.bytes(), body.as_bytes());
            assert_eq!(kept.text.len(), left, "{}", body.len());
            let is_same = |secret: &Secret| {
                all.iter()
                    .any(|s| s.expose().as_ptr() == secret.expose().as_ptr())
            };
            assert!(kept.shared.iter().all(|(_, secret)| is_same(secret)));
            let store = MemoryStore::new();
            store.put("a", None, None, b"before").unwrap();
            store
                .put_sharing("a", Some(1), None, body.as_bytes(), &all)
                .unwrap();
            assert_eq!(store.get("a").unwrap().unwrap().body, body.as_bytes());
        }
    }
}
