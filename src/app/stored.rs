//! The store that the configuration names, and its key.

use crate::base::directories::{config_directory, state_directory};
use crate::base::key::Key;
use crate::config::checked::{self, StoreKey};
use crate::store::keyfile::{self, KeyFileError};
use crate::store::memory::MemoryStore;
use crate::store::seal::Sealer;
use crate::store::sqlite::{OpenError, SqliteStore};
use crate::store::{Store, StoreError};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILE: &str = "sidekey.db";
const KEY_FILE: &str = "store-key";

/// Why there is no store.
#[derive(Debug)]
pub enum StoreFailure {
    /// None of the variables is set that say where it lies.
    NoDirectory,
    /// None of the variables is set that say where its key lies.
    NoKeyDirectory,
    /// The state directory can't be made.
    Folder {
        path: PathBuf,
        why: io::Error,
    },
    Open(OpenError),
    /// There is nothing to be kept in a store in memory.
    Memory,
    /// It was opened, and then failed.
    Call(StoreError),
    Key(KeyFileError),
    /// There is no key, and none may be made.
    NoKey {
        key: PathBuf,
    },
    /// There is a store, but the key that sidekey made for it is gone.
    KeyLost {
        store: PathBuf,
        key: PathBuf,
    },
}

/// Where the process finds itself.
pub struct Surroundings<'a> {
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// A person is there to be told of a key that is made.
    pub has_terminal: bool,
}

/// Opens the store; a key is made where that is wanted.
///
/// # Errors
/// When there is no key, or the store can't be opened.
pub fn open(
    store: &checked::Store,
    around: &Surroundings<'_>,
) -> Result<Arc<dyn Store>, StoreFailure> {
    match store {
        checked::Store::Memory => Ok(Arc::new(MemoryStore::new())),
        checked::Store::File { path, key } => {
            Ok(Arc::new(open_file(path.as_deref(), key, around)?))
        }
    }
}

/// Opens the store's file, at its default place where `path` is none.
///
/// # Errors
/// As [`open`].
pub fn open_file(
    path: Option<&Path>,
    key: &StoreKey,
    around: &Surroundings<'_>,
) -> Result<SqliteStore, StoreFailure> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => default_path(around)?,
    };
    let sealer = match key {
        StoreKey::Given { first, others } => Sealer::new(first.clone(), others.clone()),
        StoreKey::Own { generate } => {
            let make = *generate || around.has_terminal;
            Sealer::new(own_key(&path, make, around)?, Vec::new())
        }
    };
    SqliteStore::open(&path, sealer).map_err(StoreFailure::Open)
}

/// A file in the state directory, which is made where it is missing.
fn default_path(around: &Surroundings<'_>) -> Result<PathBuf, StoreFailure> {
    let folder = state_directory(around.env).ok_or(StoreFailure::NoDirectory)?;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder);
    match made {
        Ok(()) => Ok(folder.join(FILE)),
        Err(why) => Err(StoreFailure::Folder { path: folder, why }),
    }
}

/// The key that sidekey made itself, in the user's configuration directory.
fn own_key(store: &Path, make: bool, around: &Surroundings<'_>) -> Result<Key, StoreFailure> {
    let folder = config_directory(around.env).ok_or(StoreFailure::NoKeyDirectory)?;
    let path = folder.join(KEY_FILE);
    match keyfile::find(&path) {
        Err(error) if error.is_missing() => {}
        found => return found.map_err(StoreFailure::Key),
    }
    if fs::metadata(store).is_ok_and(|file| file.len() > 0) {
        // Another process may just have made both.
        return keyfile::find(&path).map_err(|error| match error.is_missing() {
            true => StoreFailure::KeyLost {
                store: store.to_owned(),
                key: path,
            },
            false => StoreFailure::Key(error),
        });
    }
    if !make {
        return Err(StoreFailure::NoKey { key: path });
    }
    let key = keyfile::make(&path).map_err(StoreFailure::Key)?;
    tracing::info!(
        target: "sidekey",
        "made a key for the store: {}. Keep a copy: nothing else opens the store",
        path.display()
    );
    Ok(key)
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory => f.write_str(
                "there is no place for the store: set store.path, or STATE_DIRECTORY, \
                 XDG_STATE_HOME or HOME; or `store: {memory: true}` where nothing need outlive \
                 the process",
            ),
            Self::NoKeyDirectory => f.write_str(
                "there is no place for the store's key: set store.key, or XDG_CONFIG_HOME or HOME",
            ),
            Self::Folder { path, why } => write!(
                f,
                "the state directory {} can't be made: {why}; set store.path, or `store: \
                 {{memory: true}}` where nothing need outlive the process",
                path.display()
            ),
            Self::Open(why) => why.fmt(f),
            Self::Memory => f.write_str("the configuration says `store: {memory: true}`"),
            Self::Call(why) => why.fmt(f),
            Self::Key(why) => why.fmt(f),
            Self::NoKey { key } => write!(
                f,
                "there is no key for the store, and without a terminal none is made unasked. \
                 Set store.key; or `store: {{key: {{generate: true}}}}`, which makes one at {}; or \
                 `store: {{memory: true}}` where nothing need outlive the process",
                key.display()
            ),
            Self::KeyLost { store, key } => write!(
                f,
                "the store {} is there, but not its key {}. Put the key back from a copy, or move \
                 the store away and connect the accounts again. Nothing was changed",
                store.display(),
                key.display()
            ),
        }
    }
}

impl std::error::Error for StoreFailure {}
