//! Client secrets that are read from their files at each token request: which
//! of them are others now.

use crate::account::{ConnectedAccount, SecretSource};
use crate::base::secret::Secret;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// No secret is longer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// The contents of the files, as they were last seen here.
#[derive(Default)]
pub struct Secrets(HashMap<PathBuf, Option<Secret>>);

impl Secrets {
    /// What the files of these accounts hold now. Blocks.
    pub fn of<'a>(accounts: impl Iterator<Item = &'a Arc<ConnectedAccount>>) -> Self {
        let files: HashSet<&Path> = accounts.filter_map(|account| file(account)).collect();
        let read = files.into_iter().map(|path| (path.to_owned(), read(path)));
        Self(read.collect())
    }

    /// True where an account's file holds something else now than it did before.
    pub fn differ_from(&self, before: &Self, account: &ConnectedAccount) -> bool {
        let of = |secrets: &Self| file(account).and_then(|path| secrets.0.get(path).cloned());
        matches!((of(before), of(self)), (Some(old), Some(new)) if old != new)
    }
}

fn file(account: &ConnectedAccount) -> Option<&Path> {
    match account.oauth.client_secret.as_deref() {
        Some(SecretSource::File(path)) => Some(path),
        _ => None,
    }
}

/// `None` for a file that can't be read now: the token request says why.
fn read(path: &Path) -> Option<Secret> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(Secret::new(text))
}
