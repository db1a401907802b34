//! What is done to a store while nothing runs on it, or beside what does.

use super::stored::{self, StoreFailure, Surroundings};
use crate::config::checked;
use crate::store::export::Imported;
use crate::store::sqlite::SqliteStore;

/// Seals every record with the first key; tells how many there are.
///
/// # Errors
/// When the store can't be opened or written.
pub fn rekey(store: &checked::Store) -> Result<usize, StoreFailure> {
    open(store)?.rekey().map_err(StoreFailure::Call)
}

/// All records as one sealed text.
///
/// # Errors
/// When the store can't be opened or read.
pub fn export(store: &checked::Store) -> Result<String, StoreFailure> {
    open(store)?.export().map_err(StoreFailure::Call)
}

/// Takes in what an export holds and the store does not; tells how many
/// records were written, and how many were there already.
///
/// # Errors
/// When the store can't be opened or written, or the text is no export of ours.
pub fn import(store: &checked::Store, text: &str) -> Result<(usize, usize), StoreFailure> {
    let imported = open(store)?.import(text).map_err(StoreFailure::Call)?;
    let Imported { written, kept } = imported;
    Ok((written, kept))
}

fn open(store: &checked::Store) -> Result<SqliteStore, StoreFailure> {
    let around = Surroundings {
        env: &|name| std::env::var(name).ok(),
        has_terminal: false,
    };
    match store {
        checked::Store::Memory => Err(StoreFailure::Memory),
        checked::Store::File { path, key } => stored::open_file(path.as_deref(), key, &around),
    }
}
