//! The configuration file and what it takes its values from: read at the
//! start, and again when one of these files is not what it was.

use crate::config::checked::Config;
use crate::config::mistakes::Mistakes;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// How often the files are looked at.
const PAUSE: Duration = Duration::from_secs(1);
/// Files that have changed are read once they stay as they are for this long:
/// somebody may still be writing.
const SETTLE: Duration = Duration::from_millis(100);
/// Looks at files that do not stay as they are, before they are read anyway.
const MOST_LOOKS: usize = 20;

/// Reads the configuration, the command line applied to it.
type Read = dyn Fn() -> Result<Config, Mistakes> + Send + Sync;

/// Where the configuration comes from; cheap to clone.
#[derive(Clone)]
pub struct Source {
    file: Arc<Path>,
    read: Arc<Read>,
    /// Of the reading before: most often those of the next.
    known: Arc<Mutex<Vec<PathBuf>>>,
}

/// What reading it has brought.
pub struct Reading {
    pub config: Result<Config, Mistakes>,
    pub watched: Watched,
}

/// Files, each in the state in which it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched(BTreeMap<PathBuf, Option<Stamp>>);

/// What tells one state of a file from another. Symbolic links are followed:
/// Kubernetes swaps the directory behind one, and with it the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
}

impl Source {
    /// `read` reads `file`, as often as it is called.
    pub fn new(
        file: &Path,
        read: impl Fn() -> Result<Config, Mistakes> + Send + Sync + 'static,
    ) -> Self {
        Self {
            file: file.into(),
            read: Arc::new(read),
            known: Arc::default(),
        }
    }

    /// The file's name, as it was given.
    #[must_use]
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// Reads it now. Blocks.
    #[must_use]
    pub fn read(&self) -> Reading {
        // Before they are read: what changes meanwhile is noticed afterwards.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let own = self.file.to_path_buf();
        let before = Watched::look(known.iter().cloned().chain([own]));
        let config = (self.read)();
        let others = match &config {
            Ok(config) => config.files.as_slice(),
            Err(mistakes) => mistakes.files(),
        };
        let mut watched = Watched::look(others.iter().cloned());
        for (file, stamp) in before.0 {
            if file == *self.file || watched.0.contains_key(&file) {
                watched.0.insert(file, stamp);
            }
        }
        *known = others.to_vec();
        Reading { config, watched }
    }
}

impl Watched {
    fn look(files: impl Iterator<Item = PathBuf>) -> Self {
        let looked = files.map(|file| {
            let stamp = stamp(&file);
            (file, stamp)
        });
        Self(looked.collect())
    }

    /// Waits until one of the files is not what it was, and is so to the end.
    pub async fn changed(&self) {
        loop {
            sleep(PAUSE).await;
            let mut seen = self.look_again().await;
            if seen == *self {
                continue;
            }
            for _ in 0..MOST_LOOKS {
                sleep(SETTLE).await;
                let before = std::mem::replace(&mut seen, self.look_again().await);
                if before == seen {
                    break;
                }
            }
            return;
        }
    }

    async fn look_again(&self) -> Self {
        let files = self.clone();
        let looked = tokio::task::spawn_blocking(move || Self::look(files.0.into_keys())).await;
        // A look that was broken off has seen nothing new.
        looked.unwrap_or_else(|_| self.clone())
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let seen = fs::metadata(file).ok()?;
    Some(Stamp {
        place: (seen.dev(), seen.ino()),
        modified: (seen.mtime(), seen.mtime_nsec()),
        changed: (seen.ctime(), seen.ctime_nsec()),
        size: seen.size(),
    })
}

#[cfg(test)]
mod tests {
    use super::Watched;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn looked(file: &Path) -> Watched {
        Watched::look([file.to_owned()].into_iter())
    }

    #[test]
    fn a_file_that_is_written_swapped_or_gone_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a", "b"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("file"), "same").unwrap();
        }
        symlink("a", path("..data")).unwrap();
        symlink("..data/file", path("file")).unwrap();
        let first = looked(&path("file"));
        assert_eq!(first, looked(&path("file")));
        symlink("b", path("new")).unwrap();
        fs::rename(path("new"), path("..data")).unwrap();
        let second = looked(&path("file"));
        assert_ne!(first, second, "swapped behind the link");
        fs::write(path("b").join("file"), "longer").unwrap();
        let third = looked(&path("file"));
        assert_ne!(second, third, "written");
        fs::remove_file(path("b").join("file")).unwrap();
        assert_ne!(third, looked(&path("file")), "gone");
    }
}
