//! The file's formats: how a store of the present one is made, and how older
//! ones are brought to it.

use super::super::StoreError;
use super::super::seal::{Place, Sealer};
use super::failure::{Trouble, store_error};
use super::unsigned;
use rusqlite::{Connection, Transaction, params};

/// "SKEY": what tells a store from another SQLite file.
pub const APPLICATION_ID: i32 = 0x534b_4559;

/// The format that this version writes; it knows no newer one.
pub const FORMAT: u32 = 2;

/// In format 1 a store did not tell what has changed in it.
const BEFORE_CHANGES: u32 = 1;

/// What the probe holds: it opens with the store's keys and no others.
const PROBE: &[u8] = b"sidekey";

const TABLES: &str = "
    CREATE TABLE store (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        id BLOB NOT NULL,
        -- Sealed: opens with this store's keys only.
        probe BLOB NOT NULL,
        -- Counts the writes of all records.
        changes INTEGER NOT NULL DEFAULT 0,
        -- Unix time in milliseconds.
        opened_at INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE record (
        key TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        -- The count of changes at its last write.
        change INTEGER NOT NULL DEFAULT 0,
        lease_owner TEXT,
        lease_fencing INTEGER,
        -- Unix time in milliseconds.
        lease_deadline INTEGER,
        -- Nonce and sealed text.
        body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX record_change ON record (change);
";

const ADD_CHANGES: &str = "
    ALTER TABLE store ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE record ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX record_change ON record (change);
";

/// What a file says that it is.
pub enum Kind {
    Empty,
    Store(u32),
}

/// Looks at a file without changing it.
pub fn kind(connection: &Connection) -> Result<Kind, Trouble> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let count = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(count, [], |row| row.get(0))?;
    let application = number("application_id")?;
    let format = number("user_version")?;
    match (application, u32::try_from(format)) {
        (0, Ok(0)) if tables == 0 => Ok(Kind::Empty),
        (id, Ok(format)) if id == i64::from(APPLICATION_ID) => match format {
            0 => Err(Trouble::Damaged("it has no format".to_owned())),
            known @ 1..=FORMAT => Ok(Kind::Store(known)),
            newer => Err(Trouble::Newer(newer)),
        },
        _ => Err(Trouble::NotAStore),
    }
}

/// Makes a store in an empty file.
pub fn make(transaction: &Transaction<'_>, sealer: &Sealer) -> Result<(), Trouble> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|_| Trouble::Other("the system gave no random bytes".to_owned()))?;
    transaction.execute_batch(TABLES)?;
    let probe = seal_probe(&id, FORMAT, sealer)?;
    transaction.execute(
        "INSERT INTO store (one, id, probe) VALUES (1, ?1, ?2)",
        params![id, probe],
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}

/// The store's identity, once one of the keys has opened its probe.
pub fn identity(connection: &Connection, format: u32, sealer: &Sealer) -> Result<Vec<u8>, Trouble> {
    let (id, probe): (Vec<u8>, Vec<u8>) =
        connection.query_row("SELECT id, probe FROM store", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    match sealer.open(probe_place(&id, format), &probe) {
        Ok(text) if **text == *PROBE => Ok(id),
        _ => Err(Trouble::OtherKey),
    }
}

/// Brings an older store to the present format, within the transaction.
pub fn upgrade(
    transaction: &Transaction<'_>,
    id: &[u8],
    from: u32,
    sealer: &Sealer,
) -> Result<(), Trouble> {
    if from <= BEFORE_CHANGES {
        transaction.execute_batch(ADD_CHANGES)?;
    }
    // The seal is bound to the format.
    reseal(transaction, id, from, sealer)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}

/// Opens everything as `from` seals it, and seals it with the first key as the
/// present format does; tells how many records there are.
pub fn reseal(
    transaction: &Transaction<'_>,
    id: &[u8],
    from: u32,
    sealer: &Sealer,
) -> Result<usize, StoreError> {
    let rows = transaction
        .prepare("SELECT key, version, body FROM record")
        .and_then(|mut all| {
            let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, i64, Vec<u8>)>>>()
        })
        .map_err(store_error)?;
    for (key, version, body) in &rows {
        let place = |format| Place {
            format,
            store: id,
            key,
            version: unsigned(*version),
        };
        let text = sealer.open(place(from), body).map_err(|_| {
            let what = format!("none of the keys opens the record {key}");
            StoreError::Unreadable(what)
        })?;
        let sealed = sealer.seal(place(FORMAT), &text).map_err(no_seal)?;
        transaction
            .execute(
                "UPDATE record SET body = ?2 WHERE key = ?1",
                params![key, sealed],
            )
            .map_err(store_error)?;
    }
    let probe = seal_probe(id, FORMAT, sealer)?;
    transaction
        .execute("UPDATE store SET probe = ?1", [probe])
        .map_err(store_error)?;
    Ok(rows.len())
}

fn seal_probe(id: &[u8], format: u32, sealer: &Sealer) -> Result<Vec<u8>, StoreError> {
    sealer.seal(probe_place(id, format), PROBE).map_err(no_seal)
}

fn no_seal(why: std::io::Error) -> StoreError {
    StoreError::Unavailable(why.to_string())
}

/// Records begin with version 1, so that no record has the probe's place.
fn probe_place(id: &[u8], format: u32) -> Place<'_> {
    Place {
        format,
        store: id,
        key: "",
        version: 0,
    }
}
