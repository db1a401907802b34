//! A worker's thread and its event loop.

#[cfg(target_os = "linux")]
use super::ring;
use super::{awake, turn};
use std::fmt;
use std::future::Future;
use std::io;
use std::thread;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::coop::unconstrained;

/// How workers wait for sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// Whatever the operating system has for it: epoll on Linux.
    #[default]
    Poll,
    /// Linux's `io_uring`.
    Ring,
}

impl Io {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ring => "io_uring",
            Self::Poll if cfg!(target_os = "linux") => "epoll",
            Self::Poll => "kqueue",
        }
    }

    /// Why there is no `io_uring` here; `None` when there is.
    #[must_use]
    pub fn no_ring() -> Option<String> {
        #[cfg(target_os = "linux")]
        return ring::probe();
        #[cfg(not(target_os = "linux"))]
        Some("only Linux has it".to_owned())
    }
}

impl fmt::Display for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Starts an OS thread with an event loop of its own and runs `main` on it.
/// The future is made on the thread, so nothing in it needs to be `Send`. With
/// `spins` it stays [awake] for answers that come at once.
///
/// # Errors
/// When the operating system gives no thread.
pub fn spawn<F, M>(name: String, io: Io, spins: bool, main: M) -> io::Result<thread::JoinHandle<()>>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    thread::Builder::new().name(name).spawn(move || {
        if spins {
            awake::enable();
        }
        let ended = match io {
            Io::Poll => event_loop(&mut Builder::new_current_thread(), || async {
                // It does what others have been given time for.
                tokio::task::spawn_local(unconstrained(turn::ends()));
                main().await;
            }),
            Io::Ring => on_ring(main),
        };
        if let Err(error) = ended {
            tracing::error!("a worker's event loop can't be made: {error}");
        }
    })
}

fn event_loop<F: Future<Output = ()>>(
    builder: &mut Builder,
    main: impl FnOnce() -> F,
) -> io::Result<()> {
    let builder = builder.enable_io().enable_time();
    let runtime = builder.build_local(LocalOptions::default())?;
    runtime.block_on(async {
        #[cfg(target_os = "linux")]
        let watched = ring::watch()?;
        #[cfg(not(target_os = "linux"))]
        let watched = None::<()>;
        // A ring looks for itself, before the loop sleeps.
        if watched.is_none() && awake::is_enabled() {
            tokio::task::spawn_local(unconstrained(awake::task()));
        }
        main().await;
        Ok(())
    })
}

/// There was a ring when the process began; a worker that gets none all the
/// same, for want of memory most likely, does without.
#[cfg(target_os = "linux")]
fn on_ring<F: Future<Output = ()>>(main: impl FnOnce() -> F) -> io::Result<()> {
    let entered = ring::enter();
    let mut builder = Builder::new_current_thread();
    match &entered {
        Ok(_) => ring::prepare(&mut builder),
        Err(error) => tracing::warn!("a worker goes on with epoll, without io_uring: {error}"),
    }
    event_loop(&mut builder, main)
}

#[cfg(not(target_os = "linux"))]
fn on_ring<F: Future<Output = ()>>(_: impl FnOnce() -> F) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Runs a task on the calling worker, beside the others.
pub fn spawn_local(task: impl Future<Output = ()> + 'static) {
    #[cfg(target_os = "linux")]
    let task = ring::Tended(task);
    tokio::task::spawn_local(task);
}
