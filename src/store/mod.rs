//! Where records live between restarts: opaque versioned bytes under a key,
//! changed only by compare-and-swap, each with the lease of whoever may
//! refresh the account it belongs to.

#[cfg(test)]
pub mod contract;
pub mod export;
pub mod keyfile;
pub mod memory;
pub mod seal;
pub mod sqlite;

use crate::base::clock::Wall;
use crate::base::secret::Secret;
use std::fmt;

/// A record as the store holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Grows by one with every write; the first is 1.
    pub version: u64,
    pub lease: Option<Lease>,
    pub body: Vec<u8>,
}

/// The right to refresh one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The process that holds it.
    pub owner: String,
    /// Grows with every lease given on this record, and survives its release,
    /// so that a late writer is recognised.
    pub fencing: u64,
    /// When others may take it.
    pub deadline: Wall,
}

/// A store. Calls may block; the cold wing makes them off its event loop.
pub trait Store: Send + Sync + 'static {
    /// The record under a key.
    ///
    /// # Errors
    /// When the store can't be read or the record can't be opened.
    fn get(&self, key: &str) -> Result<Option<Record>, StoreError>;

    /// Writes a record if its version is still `expected` (`None`: if there is
    /// none), durably; gives the new version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another write came first; else when the
    /// store can't be written, in which case nothing has changed.
    fn put(
        &self,
        key: &str,
        expected: Option<u64>,
        lease: Option<&Lease>,
        body: &[u8],
    ) -> Result<u64, StoreError>;

    /// The same of a body that these secrets may stand in: a store that keeps it in
    /// memory as it is needs no copy of them.
    ///
    /// # Errors
    /// As [`Store::put`].
    fn put_sharing(
        &self,
        key: &str,
        expected: Option<u64>,
        lease: Option<&Lease>,
        body: &[u8],
        _secrets: &[&Secret],
    ) -> Result<u64, StoreError> {
        self.put(key, expected, lease, body)
    }

    /// Removes a record if its version is still `expected`.
    ///
    /// # Errors
    /// As [`Store::put`].
    fn remove(&self, key: &str, expected: u64) -> Result<(), StoreError>;

    /// The keys that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// When the store can't be read.
    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// What was written after the mark `since` (0: ever), by this process or
    /// another, and the mark to ask with the next time. Removals are not told.
    ///
    /// # Errors
    /// When the store can't be read.
    fn changes(&self, since: u64) -> Result<Changes, StoreError>;

    /// False where no other process can write.
    fn is_shared(&self) -> bool {
        true
    }

    /// True where no call waits for anything, so that none needs a thread of its own.
    fn is_instant(&self) -> bool {
        false
    }
}

/// What has been written to a store meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The mark up to which this tells of everything.
    pub upto: u64,
    /// Keys with their present versions.
    pub written: Vec<(String, u64)>,
}

/// Why a store did not do as asked. Texts hold no record's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Another write came first: read again.
    Conflict,
    /// The store can't be read or written now.
    Unavailable(String),
    /// The record is damaged or sealed with another key.
    Unreadable(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("another process wrote the record first"),
            Self::Unavailable(why) => write!(f, "the store can't be used: {why}"),
            Self::Unreadable(why) => write!(f, "the record can't be read: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
