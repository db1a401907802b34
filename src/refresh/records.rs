//! Accounts' records in the store. The calls block, so they are made off the
//! event loop, except those of a store in memory.

use super::attach;
use super::fault::{self, Point};
use super::machine::Loaded;
use super::owner;
use super::record::AccountRecord;
use crate::account::ConnectedAccount;
use crate::base::clock::{Clock, Wall};
use crate::base::id::AccountKey;
use crate::store::{Changes, Lease, Store, StoreError};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

const PREFIX: &str = "account/";

/// Calls of the store at once. It does one after the other; a second one has its
/// record read or made meanwhile. Each more would be a thread that waits.
const AT_ONCE: usize = 2;
/// And when the process ends.
const ALL_AT_ONCE: usize = 512;

/// The key of an account's record.
pub fn key(account: &ConnectedAccount) -> String {
    format!("{PREFIX}{}", account.key)
}

/// The account whose record has this key.
pub fn account(key: &str) -> Option<AccountKey> {
    AccountKey::new(key.strip_prefix(PREFIX)?).ok()
}

/// The store as the scheduler uses it.
pub struct Records {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    turns: Arc<Semaphore>,
}

impl Records {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The process ends soon: nothing that is to be written waits for its turn.
    pub fn hurry(&self) {
        self.turns.add_permits(ALL_AT_ONCE);
    }

    /// Reads an account's record.
    pub fn read(
        &self,
        account: Arc<ConnectedAccount>,
    ) -> impl Future<Output = Result<Option<Loaded>, StoreError>> + Send + use<> {
        call(self.calls(), move |store| read_now(store, &account))
    }

    /// Writes an account's record, if its version is still the expected one.
    pub fn write(
        &self,
        key: String,
        expected: Option<u64>,
        lease: Lease,
        record: AccountRecord,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + use<> {
        let clock = self.clock.clone();
        let asked = clock.now().wall;
        call(self.calls(), move |store| {
            let lease = from_now(lease, asked, clock.now().wall);
            let bytes = record.to_bytes();
            let (before, after) = points(&lease);
            fault::pass(before);
            let secrets = record.secrets();
            let written = store.put_sharing(&key, expected, Some(&lease), &bytes, &secrets);
            fault::pass(after);
            written
        })
    }

    /// What was written since a mark.
    pub fn changes(
        &self,
        mark: u64,
    ) -> impl Future<Output = Result<Changes, StoreError>> + Send + use<> {
        call(self.calls(), move |store| store.changes(mark))
    }

    fn calls(&self) -> (Arc<dyn Store>, Arc<Semaphore>) {
        (self.store.clone(), self.turns.clone())
    }
}

async fn call<T: Send + 'static>(
    (store, turns): (Arc<dyn Store>, Arc<Semaphore>),
    work: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = if store.is_instant() {
        tokio::spawn(async move { work(&*store) })
    } else {
        // It is never closed; if it were, the call would be made all the same.
        let turn = turns.acquire_owned().await;
        spawn_blocking(move || {
            let _turn = turn;
            work(&*store)
        })
    };
    done.await.unwrap_or_else(|_| Err(panicked()))
}

/// A lease for as long as was asked, from now on: the write may have waited long for
/// its turn, and what it did not wait for is yet to come.
fn from_now(lease: Lease, asked: Wall, now: Wall) -> Lease {
    match is_over(&lease) {
        true => lease,
        false => Lease {
            deadline: now.plus(lease.deadline.since(asked)),
            ..lease
        },
    }
}

fn is_over(lease: &Lease) -> bool {
    lease.deadline == Wall::default()
}

/// A lease that is over is written with an outcome.
fn points(lease: &Lease) -> (Point, Point) {
    if is_over(lease) {
        (Point::BeforeWrite, Point::AfterWrite)
    } else {
        (Point::BeforeIntent, Point::AfterIntent)
    }
}

fn read_now(store: &dyn Store, account: &ConnectedAccount) -> Result<Option<Loaded>, StoreError> {
    let Some(found) = store.get(&key(account))? else {
        return Ok(None);
    };
    let body = zeroize::Zeroizing::new(found.body);
    let mut record = AccountRecord::from_bytes(&body)
        .map_err(|unreadable| StoreError::Unreadable(unreadable.0))?;
    if let Some(tokens) = &mut record.tokens
        && attach::build(&account.attach, &tokens.access_token).is_err()
    {
        // It was stored before its place was changed, where it does not fit.
        tokens.expires_at = Some(tokens.issued_at);
    }
    let mut lease = found.lease;
    if let Some(lease) = &mut lease
        && !is_over(lease)
        && owner::is_gone(&lease.owner)
    {
        tracing::debug!(account = %account.key, "the process that held its lease has ended");
        lease.deadline = Wall::default();
    }
    Ok(Some(Loaded {
        version: found.version,
        lease,
        record,
    }))
}

fn panicked() -> StoreError {
    StoreError::Unavailable("the call was broken off".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Arc, Changes, Lease, Records, Store, StoreError, Wall};
    use crate::base::clock::{Clock, Mono, Now};
    use crate::refresh::record::AccountRecord;
    use crate::store::Record;
    use crate::store::memory::MemoryStore;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    /// Seconds since the Unix epoch; steps when it is told to.
    #[derive(Default)]
    struct Told(AtomicU64);

    impl Clock for Told {
        fn now(&self) -> Now {
            let passed = Duration::from_secs(self.0.load(Ordering::SeqCst));
            Now {
                mono: Mono::new(passed),
                wall: Wall::new(passed),
            }
        }
    }

    /// Each write says that its turn has come, and goes on when it may.
    struct Slow {
        held: MemoryStore,
        turns: Sender<String>,
        may: Mutex<Receiver<()>>,
    }

    impl Store for Slow {
        fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
            self.held.get(key)
        }

        fn put(
            &self,
            key: &str,
            expected: Option<u64>,
            lease: Option<&Lease>,
            body: &[u8],
        ) -> Result<u64, StoreError> {
            self.turns.send(key.to_owned()).unwrap();
            self.may.lock().unwrap().recv().unwrap();
            self.held.put(key, expected, lease, body)
        }

        fn remove(&self, key: &str, expected: u64) -> Result<(), StoreError> {
            self.held.remove(key, expected)
        }

        fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
            self.held.keys(prefix)
        }

        fn changes(&self, since: u64) -> Result<Changes, StoreError> {
            self.held.changes(since)
        }
    }

    fn lease_until(seconds: u64) -> Lease {
        Lease {
            owner: "one".to_owned(),
            fencing: 1,
            deadline: Wall::new(Duration::from_secs(seconds)),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_lease_begins_when_the_turn_of_its_write_has_come() {
        let (turns, begun) = channel();
        let (go, may) = channel();
        let store = Arc::new(Slow {
            held: MemoryStore::new(),
            turns,
            may: Mutex::new(may),
        });
        let clock = Arc::new(Told::default());
        clock.0.store(1_000, Ordering::SeqCst);
        let records = Records::new(store.clone(), clock.clone());
        let write = |key: &str, deadline| {
            let lease = lease_until(deadline);
            let work = records.write(key.to_owned(), None, lease, AccountRecord::default());
            tokio::spawn(work)
        };
        let mut writes = vec![write("a", 1_045), write("b", 1_045)];
        for _ in 0..2 {
            begun.recv().unwrap();
        }
        writes.push(write("waits", 1_045));
        writes.push(write("over", 0));
        clock.0.store(5_000, Ordering::SeqCst);
        for _ in 0..4 {
            go.send(()).unwrap();
        }
        for write in writes {
            write.await.unwrap().unwrap();
        }
        let deadline = |key: &str| {
            let lease = store.get(key).unwrap().unwrap().lease.unwrap();
            lease.deadline.unix_seconds()
        };
        assert_eq!(deadline("a"), 1_045);
        assert_eq!(deadline("waits"), 5_045, "as long as was asked for");
        assert_eq!(deadline("over"), 0, "what is given back stays so");
    }
}
