//! What goes wrong with the file, in words for people. No text holds anything
//! of a record's body.

use super::super::StoreError;
use super::BUSY_TIMEOUT;
use super::format::FORMAT;
use rusqlite::{Error, ErrorCode};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A store that can't be opened. Nothing in it was changed.
#[derive(Debug)]
pub struct OpenError {
    pub path: PathBuf,
    pub trouble: Trouble,
}

/// What is wrong with a store.
#[derive(Debug)]
pub enum Trouble {
    /// The system refuses the file or its folder.
    File(io::Error),
    /// The file is something else.
    NotAStore,
    Damaged(String),
    /// Written by a newer version, in this format.
    Newer(u32),
    /// None of the keys opens it.
    OtherKey,
    DiskFull,
    ReadOnly,
    /// Another process holds it.
    Busy,
    Other(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::NotADatabase) => Self::NotAStore,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged(error.to_string()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Other(words(&error)),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreadable(why) => Self::Damaged(why),
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store {} can't be used: ", self.path.display())?;
        match &self.trouble {
            Trouble::File(why) if why.kind() == io::ErrorKind::NotFound => f.write_str(
                "its folder does not exist; make the folder, or choose another store.path",
            ),
            Trouble::File(why) if why.kind() == io::ErrorKind::PermissionDenied => write!(
                f,
                "{why}; it and its folder must be writable for the user that sidekey runs as"
            ),
            Trouble::File(why) if is_read_only(why) => fmt::Display::fmt(&Trouble::ReadOnly, f),
            Trouble::File(why) => write!(f, "{why}"),
            other => other.fmt(f),
        }?;
        f.write_str(". Nothing in it was changed")
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(why) => why.fmt(f),
            Self::NotAStore => f.write_str(
                "the file is no sidekey store, or its beginning is damaged; choose another \
                 store.path, or put a backup in its place",
            ),
            Self::Damaged(why) => write!(
                f,
                "it is damaged ({why}); put a backup in its place, or move it away with its -wal \
                 and -shm files and connect the accounts again"
            ),
            Self::Newer(format) => write!(
                f,
                "it has format {format}, and this version knows formats up to {FORMAT}; run the \
                 newer version"
            ),
            Self::OtherKey => f.write_str(
                "it is sealed with another key; give that key in store.key (a list may hold \
                 several: the first seals, all open), or move the store away and connect the \
                 accounts again",
            ),
            Self::DiskFull => f.write_str("the disk is full; make room, and start again"),
            Self::ReadOnly => f.write_str(
                "it is read-only; mount its volume writable, choose another store.path, or set \
                 `store: {memory: true}` where nothing need outlive the process",
            ),
            Self::Busy => write!(
                f,
                "another process has held it for more than {} s; find out with `fuser` which",
                BUSY_TIMEOUT.as_secs()
            ),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for OpenError {}

fn is_read_only(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::ReadOnlyFilesystem
}

/// A failed call on an open store.
pub fn store_error(error: Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Unreadable(format!("the store is damaged ({error})"))
        }
        _ => StoreError::Unavailable(words(&error)),
    }
}

fn words(error: &Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::ReadOnly) => "it is read-only".to_owned(),
        Some(ErrorCode::SystemIoFailure) => format!("the disk failed ({error})"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let seconds = BUSY_TIMEOUT.as_secs();
            format!("another process has held it for more than {seconds} s")
        }
        _ => error.to_string(),
    }
}
