//! A key in a file of its own, which only its owner may read.

use crate::base::key::{EXPECTED, Key};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longer files hold no key.
const MAX_BYTES: u64 = 4_096;

/// Why there is no key.
#[derive(Debug)]
pub struct KeyFileError {
    pub path: PathBuf,
    pub why: KeyFileTrouble,
}

/// What is wrong with a key's file.
#[derive(Debug)]
pub enum KeyFileTrouble {
    File(io::Error),
    /// Others may read it.
    Open,
    /// It holds no key.
    NoKey,
}

impl KeyFileError {
    /// True when there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(&self.why, KeyFileTrouble::File(why) if why.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            KeyFileTrouble::File(why) => write!(f, "the store's key at {path}: {why}"),
            KeyFileTrouble::Open => write!(
                f,
                "others may read the store's key at {path}: run chmod 600 {path}"
            ),
            KeyFileTrouble::NoKey => write!(f, "{path} holds no key: expected {EXPECTED}"),
        }
    }
}

impl std::error::Error for KeyFileError {}

/// The key in the file at `path`.
///
/// # Errors
/// When there is none, or others may read it.
pub fn find(path: &Path) -> Result<Key, KeyFileError> {
    let trouble = |why| KeyFileError {
        path: path.to_owned(),
        why,
    };
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(|why| trouble(KeyFileTrouble::File(why)))?;
    let mode = file.metadata().map(|m| m.mode());
    if mode.map_err(|why| trouble(KeyFileTrouble::File(why)))? & 0o077 != 0 {
        return Err(trouble(KeyFileTrouble::Open));
    }
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(|why| trouble(KeyFileTrouble::File(why)))?;
    Key::parse(&text).ok_or_else(|| trouble(KeyFileTrouble::NoKey))
}

/// Makes a key at `path`, unless another process has just done so, and gives
/// the one that lies there.
///
/// # Errors
/// When it can't be made or read back.
pub fn make(path: &Path) -> Result<Key, KeyFileError> {
    write(path).map_err(|why| KeyFileError {
        path: path.to_owned(),
        why: KeyFileTrouble::File(why),
    })?;
    find(path)
}

/// Written beside its place and linked there, so that nobody ever reads half
/// of it and the first of two processes wins.
fn write(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    let key = Key::random()?.to_hex();
    let written = writeln!(file, "{}", key.expose()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&beside, path));
    fs::remove_file(&beside)?;
    match linked {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A sealed store must not outlive its key: the name is durable too.
        Ok(()) => File::open(folder)?.sync_all(),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyFileTrouble, find, make};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/store-key");
        assert!(find(&path).unwrap_err().is_missing());
        let key = make(&path).unwrap();
        assert_eq!(make(&path).unwrap(), key);
        assert_eq!(find(&path).unwrap(), key);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = fs::read_dir(home.path().join("a")).unwrap().count();
        assert_eq!(files, 1, "nothing is left beside it");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(find(&path).unwrap_err().why, KeyFileTrouble::Open));
    }

    #[test]
    fn another_text_is_no_key() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("store-key");
        fs::write(&path, "a letter").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(
            find(&path).unwrap_err().why,
            KeyFileTrouble::NoKey
        ));
    }
}
