//! The configuration file and what it takes its values from: read at the
//! start, and again when one of these files is not what it was.

use crate::config::checked::Config;
use crate::config::mistakes::Mistakes;
use crate::config::stamp::{Stamp, Stamps};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
}

/// What reading it has brought.
pub struct Reading {
    pub config: Result<Config, Mistakes>,
    pub watched: Watched,
}

/// Files, each in the state in which it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched(Stamps);

impl Source {
    /// `read` reads `file`, as often as it is called.
    pub fn new(
        file: &Path,
        read: impl Fn() -> Result<Config, Mistakes> + Send + Sync + 'static,
    ) -> Self {
        Self {
            file: file.into(),
            read: Arc::new(read),
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
        // Before it is read: what changes meanwhile is noticed afterwards.
        let stamp = Stamp::at(&self.file);
        let config = (self.read)();
        let (others, stamps) = match &config {
            Ok(config) => (config.files.as_slice(), &config.stamps),
            Err(mistakes) => (mistakes.files(), mistakes.stamps()),
        };
        // Those that were read count as they were then, likewise.
        let unread = others.iter().filter(|file| !stamps.contains_key(*file));
        let mut watched = Watched::look(unread.cloned());
        watched.0.extend(stamps.clone());
        watched.0.insert(self.file.to_path_buf(), stamp);
        Reading { config, watched }
    }
}

impl Watched {
    fn look(files: impl Iterator<Item = PathBuf>) -> Self {
        let looked = files.map(|file| {
            let stamp = Stamp::at(&file);
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

#[cfg(test)]
mod tests {
    use super::{Source, Watched};
    use crate::config::load;
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

    /// As Kubernetes may do it at any moment, also between the two.
    #[tokio::test]
    async fn a_value_file_that_is_swapped_as_soon_as_it_was_read_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("token"), "a-token-of-some-length-0123456789").unwrap();
        fs::write(path("other"), "a-token-of-some-length-9876543210").unwrap();
        let yaml = "admin: {token: {file: token}, public_url: {file: missing}}\n";
        fs::write(path("sidekey.yaml"), yaml).unwrap();
        let (file, swap) = (path("sidekey.yaml"), (path("other"), path("token")));
        let missing = path("missing");
        let source = Source::new(&path("sidekey.yaml"), move || {
            let read = load(&file, &|_| None);
            if swap.0.exists() {
                fs::rename(&swap.0, &swap.1).unwrap();
                fs::write(&missing, "http://127.0.0.1:1").unwrap();
            }
            read
        });
        let first = source.read();
        assert!(first.config.is_err(), "a file was missing");
        let now = first.watched.look_again().await;
        let differ = |name: &str| now.0.get(&path(name)) != first.watched.0.get(&path(name));
        assert!(differ("token") && differ("missing") && !differ("sidekey.yaml"));
        let second = source.read();
        assert_eq!(second.watched, second.watched.look_again().await);
    }
}
