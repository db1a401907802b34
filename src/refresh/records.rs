//! Accounts' records in the store. The calls block, so they are made off the
//! event loop.

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
use tokio::task::spawn_blocking;

const PREFIX: &str = "account/";

/// The key of an account's record.
pub fn key(account: &ConnectedAccount) -> String {
    format!("{PREFIX}{}", account.key)
}

/// The account whose record has this key.
pub fn account(key: &str) -> Option<AccountKey> {
    AccountKey::new(key.strip_prefix(PREFIX)?).ok()
}

/// Reads an account's record.
pub async fn read(
    store: Arc<dyn Store>,
    account: Arc<ConnectedAccount>,
) -> Result<Option<Loaded>, StoreError> {
    let work = spawn_blocking(move || read_now(&*store, &account));
    work.await.unwrap_or_else(|_| Err(panicked()))
}

/// Writes an account's record, if its version is still the expected one.
pub async fn write(
    store: Arc<dyn Store>,
    key: String,
    expected: Option<u64>,
    lease: Lease,
    record: AccountRecord,
) -> Result<u64, StoreError> {
    let work = spawn_blocking(move || {
        let bytes = record.to_bytes();
        let (before, after) = points(&lease);
        fault::pass(before);
        let written = store.put(&key, expected, Some(&lease), &bytes);
        fault::pass(after);
        written
    });
    work.await.unwrap_or_else(|_| Err(panicked()))
}

/// What was written since a mark.
pub async fn changes(store: Arc<dyn Store>, mark: u64) -> Result<Changes, StoreError> {
    let work = spawn_blocking(move || store.changes(mark));
    work.await.unwrap_or_else(|_| Err(panicked()))
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
