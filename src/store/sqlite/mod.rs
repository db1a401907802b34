//! Records in an SQLite file, which several processes on one host may have
//! open at a time. Bodies are sealed; keys, versions and leases are not.

mod failure;
mod format;
mod open;

#[cfg(test)]
mod tests;

pub use failure::{OpenError, Trouble};

use super::export::{self, Imported};
use super::seal::{Place, Sealer};
use super::{Changes, Lease, Record, Store, StoreError};
use crate::base::clock::Wall;
use failure::store_error;
use format::FORMAT;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long another process's write is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A store in a file.
pub struct SqliteStore {
    connection: Mutex<Connection>,
    id: Vec<u8>,
    sealer: Sealer,
}

impl SqliteStore {
    /// Opens the store at `path`, or makes one with mode 0600 where there is
    /// none. A store of an older format is brought to the present one.
    ///
    /// # Errors
    /// When it can't be opened or written, is damaged, of a newer format, for
    /// another key, or no store at all; nothing was changed then.
    pub fn open(path: &Path, sealer: Sealer) -> Result<Self, OpenError> {
        let opened = open::open(path, &sealer).map_err(|trouble| OpenError {
            path: path.to_owned(),
            trouble,
        })?;
        Ok(Self {
            connection: Mutex::new(opened.connection),
            id: opened.id,
            sealer,
        })
    }

    /// Seals every record anew with the first key, all of them or none; tells
    /// how many. Versions stay, so that running processes don't notice.
    ///
    /// # Errors
    /// When a record can't be opened with any of the keys, or the store can't
    /// be written.
    pub fn rekey(&self) -> Result<usize, StoreError> {
        let mut connection = self.connection();
        let transaction = begin(&mut connection)?;
        let sealed = format::reseal(&transaction, &self.id, FORMAT, &self.sealer)?;
        transaction.commit().map_err(store_error)?;
        Ok(sealed)
    }

    /// All records as one text, sealed with the first key.
    ///
    /// # Errors
    /// As [`export::export`].
    pub fn export(&self) -> Result<String, StoreError> {
        export::export(self, &self.sealer)
    }

    /// Takes in the records of an export that are not here.
    ///
    /// # Errors
    /// As [`export::import`].
    pub fn import(&self, text: &str) -> Result<Imported, StoreError> {
        export::import(self, &self.sealer, text)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic cut short was rolled back.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn place<'a>(&'a self, key: &'a str, version: u64) -> Place<'a> {
        Place {
            format: FORMAT,
            store: &self.id,
            key,
            version,
        }
    }

    fn opened(&self, key: &str, row: StoredRow) -> Result<Record, StoreError> {
        let version = unsigned(row.version);
        let body = self.sealer.open(self.place(key, version), &row.body);
        let body = body.map_err(|_| {
            let what = "it is damaged, or sealed with a key that is not in store.key";
            StoreError::Unreadable(what.to_owned())
        })?;
        Ok(Record {
            version,
            lease: row.lease,
            body: body.to_vec(),
        })
    }
}

impl Store for SqliteStore {
    fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        const GET: &str = "SELECT version, lease_owner, lease_fencing, lease_deadline, body \
                           FROM record WHERE key = ?1";
        let row = self
            .connection()
            .prepare_cached(GET)
            .and_then(|mut get| get.query_row([key], StoredRow::read).optional())
            .map_err(store_error)?;
        row.map(|row| self.opened(key, row)).transpose()
    }

    fn put(
        &self,
        key: &str,
        expected: Option<u64>,
        lease: Option<&Lease>,
        body: &[u8],
    ) -> Result<u64, StoreError> {
        let version = expected.unwrap_or(0).saturating_add(1);
        let sealed = self
            .sealer
            .seal(self.place(key, version), body)
            .map_err(|why| StoreError::Unavailable(why.to_string()))?;
        let mut connection = self.connection();
        let transaction = begin(&mut connection)?;
        let change = count_change(&transaction)?;
        let written = write(&transaction, key, expected, change, lease, &sealed)?;
        if !written {
            return Err(StoreError::Conflict);
        }
        transaction.commit().map_err(store_error)?;
        Ok(version)
    }

    fn remove(&self, key: &str, expected: u64) -> Result<(), StoreError> {
        let removed = self
            .connection()
            .execute(
                "DELETE FROM record WHERE key = ?1 AND version = ?2",
                params![key, signed(expected)],
            )
            .map_err(store_error)?;
        if removed == 0 {
            return Err(StoreError::Conflict);
        }
        Ok(())
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        // Not LIKE, which has wildcards and folds cases.
        const KEYS: &str =
            "SELECT key FROM record WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key";
        let connection = self.connection();
        let mut keys = connection.prepare_cached(KEYS).map_err(store_error)?;
        let rows = keys.query_map([prefix], |row| row.get(0));
        rows.and_then(Iterator::collect).map_err(store_error)
    }

    fn changes(&self, since: u64) -> Result<Changes, StoreError> {
        // One statement, so that both parts are of the same moment.
        const CHANGES: &str = "SELECT store.changes, record.key, record.version \
                               FROM store LEFT JOIN record ON record.change > ?1";
        let connection = self.connection();
        let mut changes = connection.prepare_cached(CHANGES).map_err(store_error)?;
        let mut rows = changes.query([signed(since)]).map_err(store_error)?;
        let mut told = Changes::default();
        while let Some(row) = rows.next().map_err(store_error)? {
            told.upto = unsigned(row.get(0).map_err(store_error)?);
            let key: Option<String> = row.get(1).map_err(store_error)?;
            let version: Option<i64> = row.get(2).map_err(store_error)?;
            told.written
                .extend(key.zip(version).map(|(key, v)| (key, unsigned(v))));
        }
        Ok(told)
    }
}

/// A record's row as it is stored.
struct StoredRow {
    version: i64,
    lease: Option<Lease>,
    body: Vec<u8>,
}

impl StoredRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let owner: Option<String> = row.get(1)?;
        let fencing: Option<i64> = row.get(2)?;
        let deadline: Option<i64> = row.get(3)?;
        let lease = owner.zip(fencing).zip(deadline);
        let lease = lease.map(|((owner, fencing), deadline)| Lease {
            owner,
            fencing: unsigned(fencing),
            deadline: Wall::new(Duration::from_millis(unsigned(deadline))),
        });
        Ok(Self {
            version: row.get(0)?,
            lease,
            body: row.get(4)?,
        })
    }
}

/// A transaction that writes: the lock is taken at its beginning, where it can
/// be waited for.
fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(store_error)
}

fn count_change(transaction: &Transaction<'_>) -> Result<i64, StoreError> {
    const COUNT: &str = "UPDATE store SET changes = changes + 1 RETURNING changes";
    transaction
        .prepare_cached(COUNT)
        .and_then(|mut count| count.query_row([], |row| row.get(0)))
        .map_err(store_error)
}

/// False when the record is not at the version that is expected.
fn write(
    transaction: &Transaction<'_>,
    key: &str,
    expected: Option<u64>,
    change: i64,
    lease: Option<&Lease>,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    const INSERT: &str = "INSERT INTO record \
        (key, version, change, lease_owner, lease_fencing, lease_deadline, body) \
        VALUES (?1, ?2 + 1, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
    const UPDATE: &str = "UPDATE record SET version = ?2 + 1, change = ?3, lease_owner = ?4, \
        lease_fencing = ?5, lease_deadline = ?6, body = ?7 WHERE key = ?1 AND version = ?2";
    let sql = if expected.is_some() { UPDATE } else { INSERT };
    let values = params![
        key,
        signed(expected.unwrap_or(0)),
        change,
        lease.map(|l| &l.owner),
        lease.map(|l| signed(l.fencing)),
        lease.map(|l| millis(l.deadline)),
        sealed,
    ];
    let written = transaction
        .prepare_cached(sql)
        .and_then(|mut write| write.execute(values))
        .map_err(store_error)?;
    Ok(written == 1)
}

fn millis(at: Wall) -> i64 {
    i64::try_from(at.passed().as_millis()).unwrap_or(i64::MAX)
}

/// Our counters stay far below where the two differ.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
