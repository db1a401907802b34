//! What tells one state of a file from another. Symbolic links are followed:
//! Kubernetes swaps the directory behind one, and with it the file.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files, each in the state in which it was read; `None`: it was not there.
pub type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// A file's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    place: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
}

impl Stamp {
    /// Of the file that stands at a path now; `None` where there is none.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|seen| Self::of(&seen))
    }

    /// Of a file that is open, or was looked at.
    #[must_use]
    pub fn of(seen: &Metadata) -> Self {
        Self {
            place: (seen.dev(), seen.ino()),
            modified: (seen.mtime(), seen.mtime_nsec()),
            changed: (seen.ctime(), seen.ctime_nsec()),
            size: seen.size(),
        }
    }
}
