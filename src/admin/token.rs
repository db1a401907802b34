//! The admin token, where the configuration names none: made once, kept with
//! mode 0600 in the state directory, found there by the command line.

use crate::base::crypto::random_text;
use crate::base::secret::Secret;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FILE: &str = "admin-token";
/// Longer files are no token.
const MAX_BYTES: u64 = 4_096;

/// Why there is no admin token.
#[derive(Debug)]
pub enum TokenError {
    /// Neither `STATE_DIRECTORY`, `XDG_STATE_HOME` nor `HOME` is set.
    NoDirectory,
    /// The file can't be read or made.
    File { path: PathBuf, why: io::Error },
    /// Others may read the file.
    Open { path: PathBuf },
    /// The file holds no token.
    Empty { path: PathBuf },
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory => f.write_str(
                "there is no place for the admin token: set admin.token, or STATE_DIRECTORY, \
                 XDG_STATE_HOME or HOME",
            ),
            Self::File { path, why } if why.kind() == io::ErrorKind::NotFound => write!(
                f,
                "there is no admin token at {}: has no sidekey of this user run yet?",
                path.display()
            ),
            Self::File { path, why } => {
                write!(f, "the admin token's file {}: {why}", path.display())
            }
            Self::Open { path } => write!(
                f,
                "others may read the admin token's file {0}: run chmod 600 {0}",
                path.display()
            ),
            Self::Empty { path } => write!(
                f,
                "the admin token's file {} is empty: remove it, and the next start makes one",
                path.display()
            ),
        }
    }
}

impl std::error::Error for TokenError {}

/// The token in `directory`, made first where there is none.
///
/// # Errors
/// When it can be neither read nor made, or others may read it.
pub fn find_or_make(directory: &Path) -> Result<Secret, TokenError> {
    let path = directory.join(FILE);
    match find(directory) {
        Err(TokenError::File { why, .. }) if why.kind() == io::ErrorKind::NotFound => {
            make(directory, &path).map_err(|why| TokenError::File { path, why })?;
            // Read back: another process may have been first.
            find(directory)
        }
        found => found,
    }
}

/// The token in `directory`.
///
/// # Errors
/// When there is none, or others may read it.
pub fn find(directory: &Path) -> Result<Secret, TokenError> {
    read(&directory.join(FILE))
}

/// The token in the file at `path`, whose mode is its owner's business.
///
/// # Errors
/// When it can't be read or is empty.
pub fn read_any(path: &Path) -> Result<Secret, TokenError> {
    let file = |why| TokenError::File {
        path: path.to_owned(),
        why,
    };
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        .map_err(file)?;
    let token = Secret::new(text.trim().to_owned());
    if token.is_empty() {
        return Err(TokenError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(token)
}

fn read(path: &Path) -> Result<Secret, TokenError> {
    let metadata = fs::metadata(path).map_err(|why| TokenError::File {
        path: path.to_owned(),
        why,
    })?;
    if metadata.mode() & 0o077 != 0 {
        return Err(TokenError::Open {
            path: path.to_owned(),
        });
    }
    read_any(path)
}

/// Written beside its place and linked there, so that nobody ever reads half
/// of it and the first of two processes wins.
fn make(directory: &Path, path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let beside = directory.join(format!(".{FILE}.{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    let written = random_text()
        .map_err(io::Error::other)
        .and_then(|text| file.write_all(text.expose().as_bytes()));
    let linked = written.and_then(|()| fs::hard_link(&beside, path));
    fs::remove_file(&beside)?;
    match linked {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{TokenError, find, find_or_make};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_may_read_it() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("a/b");
        let made = find_or_make(&directory).unwrap();
        assert_eq!(made.expose().len(), 43);
        assert_eq!(made, find_or_make(&directory).unwrap());
        let path = directory.join("admin-token");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::read_dir(&directory).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(find(&directory), Err(TokenError::Open { .. })));
    }

    #[test]
    fn processes_that_start_together_agree() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_owned();
        fs::write(path.join("admin-token"), "theirs\n").unwrap();
        fs::set_permissions(path.join("admin-token"), Permissions::from_mode(0o600)).unwrap();
        super::make(&path, &path.join("admin-token")).unwrap();
        assert_eq!(find(&path).unwrap().expose(), "theirs");
    }

    #[test]
    fn an_empty_file_is_no_token() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin-token");
        fs::write(&path, "\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(
            find_or_make(home.path()),
            Err(TokenError::Empty { .. })
        ));
    }
}
