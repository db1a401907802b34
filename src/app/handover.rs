//! One process takes over from another without a gap: `run --take-over`.
//!
//! The running process waits at a Unix socket in the state directory. The next
//! one connects, gets the listening sockets, starts, and says so; then the
//! running one drains and ends. Both accept at the same sockets in between, so
//! no connection is refused; if the next one fails, nothing has changed.
//!
//! ```text
//! next → running   take-over 1
//! running → next   sockets, each with its key and its address as configured
//! next → running   ready
//! running → next   yours
//! next             waits for its own successor, and closes
//! ```
//!
//! One that is not answered looks whether the running one still waits for a next
//! one. If so, that one goes on, and the next one ends: never do both stay.

use super::held::{Held, Named};
use crate::base::crypto::sha256_text;
use crate::base::directories::state_directory;
use crate::net::handover::{Passed, receive, send};
use crate::net::inherited::{Inherited, PassedOn};
use crate::net::unix::remove_unwanted;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const HELLO: &[u8] = b"take-over 1\n";
const READY: &[u8] = b"ready\n";
const YOURS: &[u8] = b"yours\n";

/// For each message that needs no thought.
const PATIENCE: Duration = Duration::from_secs(10);
/// For the start of the next process, its first tokens included.
const START: Duration = Duration::from_secs(120);
/// The longest path of a Unix socket, in bytes.
const LONGEST_PATH: usize = 107;

/// `listen 127.0.0.1:7480`: the key, and the address as the configuration has it.
pub fn name(key: &str, address: impl std::fmt::Display) -> String {
    format!("{key} {address}")
}

/// `inherited 3 web`, `inherited 4`: the number, and the name if it was announced.
const INHERITED: &str = "inherited ";

/// What the name of a Unix socket begins with; its path follows.
const UNIX: &str = "listen unix:";

/// What whoever started the first process has opened for it.
///
/// # Errors
/// When there are no more descriptors.
pub fn inherited(all: &Inherited) -> io::Result<Vec<Named>> {
    let named = all.to_pass_on()?.into_iter().map(|passed| {
        let number = passed.number;
        let name = passed.name.map(|name| format!(" {name}"));
        let name = format!("{INHERITED}{number}{}", name.unwrap_or_default());
        (name, Arc::new(passed.socket))
    });
    Ok(named.collect())
}

/// The number and the name.
fn as_inherited(name: &str) -> Option<(RawFd, Option<String>)> {
    let rest = name.strip_prefix(INHERITED)?;
    let (number, name) = match rest.split_once(' ') {
        Some((number, name)) => (number, Some(name.to_owned())),
        None => (rest, None),
    };
    Some((number.parse().ok()?, name))
}

/// Where this process waits for the next.
pub struct Offer {
    listener: tokio::net::UnixListener,
    path: PathBuf,
    /// Its device and inode: the next process puts its own in its place.
    place: (u64, u64),
}

impl Offer {
    /// Waits from now on, in the place of whoever waited there before; call it
    /// on a runtime. Blocks for a moment.
    ///
    /// # Errors
    /// Why there is no such place.
    pub fn open(admin: SocketAddr) -> Result<Self, String> {
        let path = place(admin)?;
        let why = |error: io::Error| format!("{}: {error}", path.display());
        if let Some(folder) = path.parent() {
            let mut builder = DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(why)?;
        }
        // Renamed when it is ready, so that nobody finds half of it.
        let new = path.with_extension("new");
        let _ = fs::remove_file(&new);
        let listener = UnixListener::bind(&new).map_err(why)?;
        fs::set_permissions(&new, Permissions::from_mode(0o600)).map_err(why)?;
        let seen = fs::metadata(&new).map_err(why)?;
        fs::rename(&new, &path).map_err(why)?;
        listener.set_nonblocking(true).map_err(why)?;
        Ok(Self {
            listener: tokio::net::UnixListener::from_std(listener).map_err(why)?,
            place: (seen.dev(), seen.ino()),
            path,
        })
    }

    /// Waits until another process serves at the sockets that are held.
    pub async fn taken(&self, held: &Held) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == own_user() => {}
                _ => {
                    tracing::warn!(target: "sidekey", "another user asked to take over, and was refused");
                    continue;
                }
            }
            let held = held.clone();
            let handed = tokio::task::spawn_blocking(move || hand_over(stream, &held)).await;
            match handed {
                Ok(Ok(())) => return,
                Ok(Err(why)) => tracing::warn!(
                    target: "sidekey",
                    "another process was to take over, and did not: {why}; this one goes on"
                ),
                Err(_) => {}
            }
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let seen = fs::symlink_metadata(&self.path);
        if seen.is_ok_and(|seen| (seen.dev(), seen.ino()) == self.place) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn hand_over(stream: tokio::net::UnixStream, held: &Held) -> io::Result<()> {
    let mut stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    set_patience(&stream, PATIENCE)?;
    expect(&mut stream, HELLO)?;
    let (sockets, files) = held.pass_on();
    let passed = pass(&mut stream, sockets);
    if passed.is_err() {
        files.keep();
    }
    passed
}

fn pass(stream: &mut UnixStream, sockets: Vec<Named>) -> io::Result<()> {
    let borrowed: Vec<_> = sockets
        .iter()
        .map(|(name, socket)| (name.as_str(), socket.as_fd()))
        .collect();
    send(stream, &borrowed)?;
    drop(borrowed);
    // While the next one starts, this one may end and close them.
    drop(sockets);
    set_patience(stream, START)?;
    expect(stream, READY)?;
    stream.write_all(YOURS)?;
    // Until it waits in our place, so that one of us always does.
    set_patience(stream, PATIENCE)?;
    let _ = stream.read(&mut [0]);
    Ok(())
}

/// The process before this one, which goes on until this one is ready.
pub struct Predecessor {
    path: PathBuf,
    stream: UnixStream,
    sockets: Vec<Passed>,
}

impl Predecessor {
    /// Asks for its sockets; `None` where no process runs. Blocks.
    ///
    /// # Errors
    /// Why it did not give them.
    pub fn ask(admin: SocketAddr) -> Result<Option<Self>, String> {
        let path = place(admin)?;
        let why = |error: io::Error| format!("{}: {error}", path.display());
        let mut stream = match UnixStream::connect(&path) {
            Err(error) if is_nobody(&error) => return Ok(None),
            connected => connected.map_err(why)?,
        };
        if fs::metadata(&path).map_err(why)?.uid() != own_user() {
            return Err(format!("{} is another user's", path.display()));
        }
        set_patience(&stream, PATIENCE).map_err(why)?;
        stream.write_all(HELLO).map_err(why)?;
        let sockets = receive(&stream).map_err(why)?;
        let admin = name("admin.listen", admin);
        if !sockets.iter().any(|passed| passed.name == admin) {
            return Err(format!("{}: {admin} is not among its own", path.display()));
        }
        Ok(Some(Self {
            path,
            stream,
            sockets,
        }))
    }

    /// Its socket of that name.
    pub fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let at = self.sockets.iter().position(|passed| passed.name == name)?;
        Some(self.sockets.swap_remove(at).socket)
    }

    /// What it was started with, or its own predecessors.
    pub fn take_inherited(&mut self) -> Vec<PassedOn> {
        let (inherited, others) = std::mem::take(&mut self.sockets)
            .into_iter()
            .partition(|passed| as_inherited(&passed.name).is_some());
        self.sockets = others;
        let inherited: Vec<Passed> = inherited;
        let named = inherited.into_iter().filter_map(|passed| {
            let (number, name) = as_inherited(&passed.name)?;
            Some(PassedOn {
                number,
                name,
                socket: passed.socket,
            })
        });
        named.collect()
    }

    /// Lets it drain and end: this process serves. What it gives is to be dropped
    /// once this one waits for the next; `None` when the other is gone already.
    /// Blocks.
    ///
    /// # Errors
    /// Why the other goes on: this one is to end.
    pub fn ready(mut self) -> Result<Option<Succession>, String> {
        let told = self.stream.write_all(READY);
        let Err(why) = told.and_then(|()| expect(&mut self.stream, YOURS)) else {
            self.clear_away();
            return Ok(Some(Succession(self.stream)));
        };
        // One that ends waits for nobody.
        match UnixStream::connect(&self.path) {
            Err(error) if is_nobody(&error) => {
                self.clear_away();
                Ok(None)
            }
            _ => Err(format!("it no longer waits for this one ({why})")),
        }
    }

    /// What this process does not listen at has no use for its file any more.
    fn clear_away(&self) {
        let names = self.sockets.iter().map(|passed| passed.name.as_str());
        for path in names.filter_map(|name| name.strip_prefix(UNIX)) {
            remove_unwanted(Path::new(path));
        }
    }
}

/// The other process ends when this is dropped.
#[must_use]
pub struct Succession(#[expect(dead_code, reason = "it is what the other waits for")] UnixStream);

fn is_nobody(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    kinds.contains(&error.kind())
}

/// One for each admin listener: several sidekeys of a user may run side by side.
/// Port 0 would be the same place for all of them.
fn place(admin: SocketAddr) -> Result<PathBuf, String> {
    if admin.port() == 0 {
        let why = "admin.listen has port 0, by which no process can be told from another; \
                   a take-over needs a port that is written";
        return Err(why.to_owned());
    }
    let env = |name: &str| std::env::var(name).ok();
    let folder =
        state_directory(&env).ok_or("none of STATE_DIRECTORY, XDG_STATE_HOME, HOME is set")?;
    let path = folder.join(file_name(admin));
    match length(&path) {
        fits if fits <= LONGEST_PATH => Ok(path),
        _ => Err(format!("{} is too long for a Unix socket", path.display())),
    }
}

/// Short, for the path of a Unix socket has little room; the same in each version.
fn file_name(admin: SocketAddr) -> String {
    let digest = sha256_text(&admin.to_string());
    let start: String = digest.chars().take(16).collect();
    format!("take-over-{start}.sock")
}

/// While it is made its name is no longer than this.
fn length(path: &Path) -> usize {
    path.as_os_str().len()
}

fn set_patience(stream: &UnixStream, patience: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))
}

fn expect(stream: &mut UnixStream, message: &[u8]) -> io::Result<()> {
    let mut read = vec![0; message.len()];
    stream.read_exact(&mut read)?;
    match read == message {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::{
        HELLO, Held, PATIENCE, Predecessor, READY, YOURS, as_inherited, expect, file_name,
        hand_over, place, receive, set_patience,
    };
    use crate::net::unix;
    use std::collections::HashSet;
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::sync::Arc;

    /// The next process at `path`, and the other's end of its connection.
    fn next(path: PathBuf) -> (Predecessor, UnixStream) {
        let (stream, other) = UnixStream::pair().unwrap();
        for end in [&stream, &other] {
            set_patience(end, PATIENCE).unwrap();
        }
        let next = Predecessor {
            path,
            stream,
            sockets: Vec::new(),
        };
        (next, other)
    }

    #[test]
    fn each_admin_listener_has_a_place_of_its_own() {
        let place = |text: &str| file_name(text.parse().unwrap());
        assert_eq!(place("127.0.0.1:7481"), place("127.0.0.1:7481"));
        let places = [
            "127.0.0.1:7481",
            "127.0.0.2:7481",
            "[::1]:7481",
            "127.0.0.1:7482",
        ];
        let different: HashSet<_> = places.into_iter().map(place).collect();
        assert_eq!(different.len(), places.len());
        for place in different {
            assert_eq!(place.len(), "take-over-0123456789abcdef.sock".len());
        }
    }

    #[test]
    fn an_inherited_socket_is_known_by_number_and_name() {
        let read = |name| as_inherited(name);
        assert_eq!(read("inherited 3"), Some((3, None)));
        assert_eq!(read("inherited 3 "), Some((3, Some(String::new()))));
        assert_eq!(read("inherited 4 a b"), Some((4, Some("a b".to_owned()))));
        for none in ["inherited", "inherited x", "listen systemd:web"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn of_two_processes_one_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let running = UnixListener::bind(&path).unwrap();
        // The other has lost its patience.
        let (late, other) = next(path.clone());
        drop(other);
        let why = late.ready().err().unwrap();
        assert!(why.contains("no longer waits"), "{why}");
        // It has ended.
        let (alone, other) = next(path.clone());
        drop((other, running));
        assert!(alone.ready().unwrap().is_none());
        std::fs::remove_file(&path).unwrap();
        let (alone, other) = next(path.clone());
        drop(other);
        assert!(alone.ready().unwrap().is_none());
        // It answers, and waits until the next one waits in its place.
        let (in_time, mut other) = next(path);
        other.write_all(YOURS).unwrap();
        let succession = in_time.ready().unwrap().unwrap();
        expect(&mut other, READY).unwrap();
        other.set_nonblocking(true).unwrap();
        let open = other.read(&mut [0]).unwrap_err();
        assert_eq!(open.kind(), ErrorKind::WouldBlock);
        drop(succession);
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn port_0_is_no_place() {
        assert!(
            place("127.0.0.1:0".parse().unwrap())
                .unwrap_err()
                .contains("port 0")
        );
    }

    /// A reload takes the listener away while the next process starts, and that fails.
    #[tokio::test]
    async fn a_file_whose_listener_went_meanwhile_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let socket = unix::bind(&path, 0o600).unwrap();
        let file = Arc::downgrade(socket.file().unwrap());
        let named = Arc::new(socket.to_pass_on().unwrap());
        let held = Held::of_unix_socket(file, ("listen".to_owned(), named));
        let (mut next, running) = UnixStream::pair().unwrap();
        running.set_nonblocking(true).unwrap();
        let running = tokio::net::UnixStream::from_std(running).unwrap();
        let handing = tokio::task::spawn_blocking(move || hand_over(running, &held));
        next.write_all(HELLO).unwrap();
        let sockets = receive(&next).unwrap();
        assert_eq!(sockets.len(), 1);
        drop(socket);
        assert!(path.exists(), "it may be the next one's");
        drop(next);
        handing.await.unwrap().unwrap_err();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn one_that_is_never_ready_changes_nothing() {
        let (mut next, running) = UnixStream::pair().unwrap();
        running.set_nonblocking(true).unwrap();
        let running = tokio::net::UnixStream::from_std(running).unwrap();
        next.write_all(HELLO).unwrap();
        next.write_all(b"never\n").unwrap();
        let why = hand_over(running, &Held::default()).unwrap_err();
        assert_eq!(why.kind(), ErrorKind::InvalidData, "{why}");
    }
}
