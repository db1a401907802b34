//! Unix sockets: a file that stands for a listener, whose it is, and when it goes.

use super::listen::{BACKLOG, Credentials, Socket};
use socket2::{Domain, SockAddr, Socket as RawSocket, Type};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::UnixStream;

/// A socket's file as it was when it was bound.
#[derive(Clone, Debug)]
pub struct Seen {
    path: PathBuf,
    /// Device and inode.
    place: (u64, u64),
}

impl Seen {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            place: place(path)?,
            path: path.to_owned(),
        })
    }

    fn is_there(&self) -> io::Result<bool> {
        Ok(place(&self.path)? == self.place)
    }

    /// Removes it, if no other is in its place.
    pub fn remove(&self) {
        if self.is_there().is_ok_and(|is_there| is_there) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the file of a socket that was handed over and that nobody wants;
/// whoever calls has its lock.
pub fn remove_unwanted(path: &Path) {
    let found = fs::symlink_metadata(path);
    if found.is_ok_and(|found| found.file_type().is_socket()) {
        let _ = fs::remove_file(path);
    }
}

/// The file of a socket that this process listens on. Dropped, it is removed if
/// it is still this one, and the next process may have the place.
#[derive(Debug)]
pub struct Bound {
    file: Seen,
    /// Held for as long as we listen: of two processes that start at once only
    /// one comes to look at the socket's file. Never removed, for somebody may
    /// be about to lock it.
    lock: File,
    /// Another process goes on with it, or has not given it up yet.
    is_anothers: AtomicBool,
    /// It went while it was another's.
    is_lost: AtomicBool,
}

impl Bound {
    /// Its lock, for the process that takes over: locked until both have ended.
    ///
    /// # Errors
    /// When there are no more descriptors.
    pub fn lock(&self) -> io::Result<OwnedFd> {
        self.lock.try_clone().map(OwnedFd::from)
    }

    /// From now on the file is another process's, and stays.
    pub fn pass_on(&self) {
        self.is_anothers.store(true, Ordering::Relaxed);
    }

    /// From now on the file is this process's, and goes with it: the process
    /// before has given it up, or the next one did not take it.
    pub fn keep(&self) {
        self.is_anothers.store(false, Ordering::Relaxed);
    }

    /// Nobody finds the socket any more, for its file is gone.
    pub fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// The file, also when this is gone.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.file.clone()
    }

    /// Gives the file another mode.
    ///
    /// # Errors
    /// `NotFound` when the file is gone, or another is in its place.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        match self.file.is_there()? {
            true => fs::set_permissions(&self.file.path, Permissions::from_mode(mode)),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Its path.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.path.display().fmt(f)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if !self.is_anothers.load(Ordering::Relaxed) {
            self.file.remove();
        }
    }
}

/// Binds and listens. `mode` are the permission bits of the file. A file that a
/// process has left behind is replaced.
///
/// # Errors
/// `AddrInUse` when somebody listens there, `AlreadyExists` when what is there
/// is no socket, and what the operating system says.
pub fn bind(path: &Path, mode: u32) -> io::Result<Socket> {
    bind_again(path, mode, lock(path)?.into())
}

/// The same, where this process has the lock already.
///
/// # Errors
/// As [`bind`].
pub fn bind_again(path: &Path, mode: u32, lock: OwnedFd) -> io::Result<Socket> {
    clear(path)?;
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let bound = Bound {
        file: Seen::at(path)?,
        lock: lock.into(),
        is_anothers: AtomicBool::new(false),
        is_lost: AtomicBool::new(false),
    };
    // Nobody can connect before it listens.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(Socket::Unix(socket.into(), Some(Arc::new(bound))))
}

/// Listens at a socket, and has the lock of its file, that another process has
/// handed over. The file stays that one's, and as it is, until [`Bound::keep`].
///
/// # Errors
/// When its file is gone.
pub fn taken(path: &Path, socket: OwnedFd, lock: OwnedFd) -> io::Result<Socket> {
    let bound = Bound {
        file: Seen::at(path)?,
        lock: lock.into(),
        is_anothers: AtomicBool::new(true),
        is_lost: AtomicBool::new(false),
    };
    Ok(Socket::Unix(socket.into(), Some(Arc::new(bound))))
}

/// Who connected; `None` where the system does not say.
#[must_use]
pub fn credentials(stream: &UnixStream) -> Option<Credentials> {
    let peer = stream.peer_cred().ok()?;
    Some(Credentials {
        uid: peer.uid(),
        gid: peer.gid(),
    })
}

/// `PATH.lock`
fn lock(path: &Path) -> io::Result<File> {
    let mut name = OsString::from(path);
    name.push(".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&name)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::AddrInUse.into()),
        Err(TryLockError::Error(why)) => Err(why),
    }
}

/// Removes a socket's file at which nobody listens.
fn clear(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(why),
    };
    if !found.file_type().is_socket() {
        let what = "there is a file of this name already, and it is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    // One whose queue is full must not hold us up.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => Err(why),
        // Connected, or about to be.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

fn place(path: &Path) -> io::Result<(u64, u64)> {
    let seen = fs::symlink_metadata(path)?;
    Ok((seen.dev(), seen.ino()))
}

#[cfg(test)]
mod tests {
    use super::{Socket, bind, taken};
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn the_file_has_its_mode_and_goes_with_the_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let socket = bind(&path, 0o660).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o660);
        let copy = socket.try_clone().unwrap();
        drop(socket);
        UnixStream::connect(&path).unwrap();
        assert_eq!(bind(&path, 0o600).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(copy);
        assert!(!path.exists());
        bind(&path, 0o600).unwrap();
    }

    #[test]
    fn what_is_left_behind_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let foreign = UnixListener::bind(&path).unwrap();
        assert_eq!(bind(&path, 0o600).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(foreign);
        let ours = bind(&path, 0o600).unwrap();
        assert!(matches!(ours, Socket::Unix(..)));
        UnixStream::connect(&path).unwrap();
        // Another file in its place is another's.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "text").unwrap();
        drop(ours);
        assert_eq!(fs::read(&path).unwrap(), b"text");
        let why = bind(&path, 0o600).unwrap_err();
        assert_eq!(why.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_was_taken_is_the_others_until_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        let first = bind(&path, 0o640).unwrap();
        let file = first.file().unwrap();
        let next = || taken(&path, first.to_pass_on().unwrap(), file.lock().unwrap()).unwrap();
        // One that fails changes nothing.
        file.pass_on();
        drop(next());
        assert_eq!(mode(), 0o640);
        file.keep();
        // One that succeeds has it.
        file.pass_on();
        let second = next();
        assert_eq!(mode(), 0o640);
        drop(first);
        assert!(path.exists());
        let file = second.file().unwrap();
        file.keep();
        file.set_mode(0o600).unwrap();
        assert_eq!(mode(), 0o600);
        let copy = fs::hard_link(&path, folder.path().join("copy"));
        copy.unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(
            file.set_mode(0o640).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        fs::write(&path, "text").unwrap();
        assert_eq!(
            file.set_mode(0o640).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        fs::remove_file(&path).unwrap();
        fs::rename(folder.path().join("copy"), &path).unwrap();
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn of_many_that_bind_at_once_one_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        // Left behind.
        drop(UnixListener::bind(&path).unwrap());
        let start = std::sync::Barrier::new(8);
        let bound: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        bind(&path, 0o600)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1);
        UnixStream::connect(&path).unwrap();
    }
}
