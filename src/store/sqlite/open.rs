//! Opening a store: first it is looked at, and changed only when it is ours,
//! whole, of a known format and for one of our keys.

use super::super::seal::Sealer;
use super::BUSY_TIMEOUT;
use super::failure::Trouble;
use super::format::{self, FORMAT, Kind};
use crate::base::clock::SystemClock;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a lock is tried that SQLite does not wait for.
const LOOK: Duration = Duration::from_millis(10);

/// How every SQLite file begins (sqlite.org/fileformat2.html, 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A store that can be written.
pub struct Opened {
    pub connection: Connection,
    pub id: Vec<u8>,
}

/// Opens a store, or makes one.
pub fn open(path: &Path, sealer: &Sealer) -> Result<Opened, Trouble> {
    look_at_file(path).map_err(Trouble::File)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if is_store(&mut connection, sealer)? {
        look_for_damage(&connection)?;
    }
    set_up(&connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Looked at again under the lock: several processes may start together.
    let id = match format::kind(&transaction)? {
        Kind::Empty => {
            format::make(&transaction, sealer)?;
            format::identity(&transaction, FORMAT, sealer)?
        }
        Kind::Store(FORMAT) => format::identity(&transaction, FORMAT, sealer)?,
        Kind::Store(older) => {
            let id = format::identity(&transaction, older, sealer)?;
            format::upgrade(&transaction, &id, older, sealer)?;
            id
        }
    };
    // Shows that it can be written.
    let now = super::millis(SystemClock::wall());
    transaction.execute("UPDATE store SET opened_at = ?1", [now])?;
    transaction.commit()?;
    Ok(Opened { connection, id })
}

/// False for an empty file. All of it is read at one moment: another process may
/// be making it a store.
fn is_store(connection: &mut Connection, sealer: &Sealer) -> Result<bool, Trouble> {
    let moment = connection.transaction()?;
    let Kind::Store(found) = format::kind(&moment)? else {
        return Ok(false);
    };
    format::identity(&moment, found, sealer)?;
    Ok(true)
}

/// Makes the file where there is none; refuses what SQLite would misread, and
/// what can't be written.
fn look_at_file(path: &Path) -> io::Result<()> {
    let make = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match make {
        Ok(_) => return Ok(()),
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
        Err(why) => return Err(why),
    }
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // Its content is sealed: a mode that can't be changed is no reason to fail.
    let _ = close_to_others(&file);
    let mut head = Vec::with_capacity(MAGIC.len());
    file.take(MAGIC.len() as u64).read_to_end(&mut head)?;
    // Empty when it was read: another process may be making it a store.
    match head.is_empty() || head == MAGIC {
        true => Ok(()),
        false => Err(io::Error::other("the file is no sidekey store")),
    }
}

fn close_to_others(file: &File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(mode & 0o700))
}

fn look_for_damage(connection: &Connection) -> Result<(), Trouble> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(Trouble::Damaged(found)),
    }
}

/// Durable at every commit; what is deleted is overwritten.
fn set_up(connection: &Connection) -> Result<(), Trouble> {
    let mode = write_ahead(connection)?;
    if mode != "wal" {
        let what = "its volume can't carry a write-ahead log, as some network volumes can't";
        return Err(Trouble::Other(format!(
            "{what} (journal mode {mode}); choose a store.path on a local disk"
        )));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    Ok(())
}

/// SQLite does not wait for the lock that the change of mode needs.
fn write_ahead(connection: &Connection) -> Result<String, Trouble> {
    let start = Instant::now();
    loop {
        let changed: rusqlite::Result<String> =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        match changed {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && start.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(LOOK);
            }
            other => return Ok(other?),
        }
    }
}
