//! The sockets at which a process listens, as another may get them.

use super::doors::Doors;
use crate::net::unix::{Bound, Seen};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// A socket as it is handed over: what it is for, and the socket.
pub type Named = (String, Arc<OwnedFd>);

/// The sockets at which this process listens now; cheap to clone.
#[derive(Clone, Default)]
pub struct Held {
    sockets: Arc<Mutex<Sockets>>,
    lost: Arc<Notify>,
}

#[derive(Default)]
struct Sockets {
    /// For applications, which a reload may change.
    proxy: Vec<Named>,
    files: Vec<(Weak<Bound>, u32)>,
    others: Vec<Named>,
}

impl Held {
    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
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
            match file.set_mode(*mode) {
                Err(why) if why.kind() == io::ErrorKind::NotFound => {
                    tracing::warn!(target: "sidekey", "{file} went while it was taken over; it is bound anew");
                    file.lose();
                    self.lost.notify_one();
                }
                Err(why) => tracing::warn!(target: "sidekey", "{file} keeps its mode: {why}"),
                Ok(()) => {}
            }
        }
    }

    /// Waits until a file was found to be gone.
    pub async fn lost(&self) {
        self.lost.notified().await;
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
    pub fn pass_on(&self) -> (Vec<Named>, Files) {
        let sockets = self.sockets();
        let files = sockets.files.iter();
        let files = Files(
            files
                .filter_map(|(file, _)| Some((file.clone(), file.upgrade()?.seen())))
                .collect(),
        );
        files.pass_on();
        let all = sockets.proxy.iter().chain(&sockets.others);
        (all.cloned().collect(), files)
    }
}

/// The files of Unix sockets that were handed over together.
pub struct Files(Vec<(Weak<Bound>, Seen)>);

impl Files {
    fn pass_on(&self) {
        for (file, _) in &self.0 {
            if let Some(file) = file.upgrade() {
                file.pass_on();
            }
        }
    }

    /// They are this process's again. A reload may have taken their listeners
    /// away meanwhile.
    pub fn keep(&self) {
        for (file, seen) in &self.0 {
            match file.upgrade() {
                Some(file) => file.keep(),
                None => seen.remove(),
            }
        }
    }
}

#[cfg(test)]
impl Held {
    /// One Unix socket, by its file and itself.
    pub fn of_unix_socket(file: Weak<Bound>, socket: Named) -> Self {
        let held = Self::default();
        *held.sockets() = Sockets {
            files: vec![(file, 0o600)],
            others: vec![socket],
            ..Sockets::default()
        };
        held
    }
}
