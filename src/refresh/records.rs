//! Accounts' records in the store. The calls block, so they are made off the
//! event loop, except those of a store in memory.

use super::attach;
use super::fault::{self, Point};
use super::machine::Loaded;
use super::owner;
use super::record::AccountRecord;
use crate::account::ConnectedAccount;
use crate::base::clock::Wall;
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
    turns: Arc<Semaphore>,
}

impl Records {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
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
        call(self.calls(), move |store| {
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

/// A lease that is over is written with an outcome.
fn points(lease: &Lease) -> (Point, Point) {
    if lease.deadline == Wall::default() {
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
        && lease.deadline != Wall::default()
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
