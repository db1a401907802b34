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
//! ```

use super::doors::Doors;
use crate::base::directories::state_directory;
use crate::net::handover::{Passed, receive, send};
use crate::net::unix::Bound;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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

/// A socket as it is handed over: what it is for, and the socket.
pub type Named = (String, Arc<OwnedFd>);

/// `listen 127.0.0.1:7480`: the key, and the address as the configuration has it.
pub fn name(key: &str, address: impl std::fmt::Display) -> String {
    format!("{key} {address}")
}

/// The sockets at which this process listens now; cheap to clone.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<Sockets>>);

#[derive(Default)]
struct Sockets {
    /// For applications, which a reload may change.
    proxy: Vec<Named>,
    files: Vec<(Weak<Bound>, u32)>,
    others: Vec<Named>,
}

impl Held {
    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_proxy(&self, doors: &Doors) {
        let mut sockets = self.sockets();
        sockets.proxy = doors.sockets();
        sockets.files = doors.files();
    }

    /// The files of Unix sockets that were taken over are this process's now:
    /// they get the modes of its configuration, and go with it.
    pub fn keep_files(&self) {
        for (file, mode) in &self.sockets().files {
            let Some(file) = file.upgrade() else { continue };
            file.keep();
            if let Err(why) = file.set_mode(*mode) {
                tracing::warn!(target: "sidekey", "{file} keeps its mode: {why}");
            }
        }
    }

    pub fn set_others(&self, sockets: Vec<Named>) {
        self.sockets().others = sockets;
    }

    /// What is held no more can be closed.
    pub fn clear(&self) {
        *self.sockets() = Sockets::default();
    }

    /// For the next process. The files are its own from before it has them: this
    /// one may end at any time.
    fn pass_on(&self) -> (Vec<Named>, Files) {
        let sockets = self.sockets();
        let files = sockets.files.iter().map(|(file, _)| file.clone());
        let files = Files(files.collect());
        files.each(Bound::pass_on);
        let all = sockets.proxy.iter().chain(&sockets.others);
        (all.cloned().collect(), files)
    }
}

/// The files of Unix sockets that were handed over together.
struct Files(Vec<Weak<Bound>>);

impl Files {
    fn each(&self, what: impl Fn(&Bound)) {
        for file in self.0.iter().filter_map(Weak::upgrade) {
            what(&file);
        }
    }
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
        files.each(Bound::keep);
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
    stream.write_all(YOURS)
}

/// The process before this one, which goes on until this one is ready.
pub struct Predecessor {
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
        Ok(Some(Self { stream, sockets }))
    }

    /// Its socket of that name.
    pub fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let at = self.sockets.iter().position(|passed| passed.name == name)?;
        Some(self.sockets.swap_remove(at).socket)
    }

    /// Lets it drain and end: this process serves. Blocks.
    ///
    /// # Errors
    /// When it is gone already, or does not answer.
    pub fn ready(mut self) -> io::Result<()> {
        self.stream.write_all(READY)?;
        expect(&mut self.stream, YOURS)
    }
}

fn is_nobody(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    kinds.contains(&error.kind())
}

/// One for each admin listener: several sidekeys of a user may run side by side.
fn place(admin: SocketAddr) -> Result<PathBuf, String> {
    let env = |name: &str| std::env::var(name).ok();
    let folder =
        state_directory(&env).ok_or("none of STATE_DIRECTORY, XDG_STATE_HOME, HOME is set")?;
    let path = folder.join(format!("take-over-{}.sock", admin.port()));
    match length(&path) {
        fits if fits <= LONGEST_PATH => Ok(path),
        _ => Err(format!("{} is too long for a Unix socket", path.display())),
    }
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
