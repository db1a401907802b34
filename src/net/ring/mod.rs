//! The second back end under a worker: `io_uring`. The ring lives inside the
//! worker's event loop: before the loop would sleep, everything that its tasks
//! have left goes to the kernel in one call, and the loop watches the ring as
//! it watches sockets. Timers, channels, connecting, accepting and tasks stay
//! the loop's.

mod buffers;
mod conn;
mod driver;
mod stream;
#[cfg(test)]
mod tests;

use super::awake;
use driver::{Driver, Outlook};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Builder;

pub use stream::Stream;

/// Polls of tasks after which the ring turns though the loop is not idle.
const BUSY: u32 = 256;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Ring>>> = const { RefCell::new(None) };
    /// The thread's ring has woken a task.
    static WOKEN: Cell<bool> = const { Cell::new(false) };
}

/// The ring of a worker.
pub struct Ring {
    driver: RefCell<Driver>,
    polls: Cell<u32>,
    /// How often the loop was left to sleep.
    #[cfg(test)]
    sleeps: Cell<u32>,
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.driver.borrow().fd()
    }
}

impl Ring {
    fn turn(&self) {
        self.polls.set(0);
        self.driver.borrow_mut().turn();
    }

    /// The last turn before the loop sleeps, unless a task was woken. An answer that is
    /// to come at once is looked out for here, and all else waits meanwhile. What the
    /// next call brings, the loop's own does, which then returns: no other is needed.
    fn last_turn(&self) {
        loop {
            WOKEN.set(false);
            self.turn();
            if WOKEN.get() {
                return;
            }
            let outlook = self.driver.borrow_mut().look_out(awake::goes_on);
            match outlook {
                Outlook::Completed => {}
                Outlook::AtNextCall => return,
                Outlook::Nothing => break,
            }
        }
        #[cfg(test)]
        self.sleeps.set(self.sleeps.get() + 1);
    }
}

/// The calling thread's ring, where it has one.
#[must_use]
pub fn current() -> Option<Rc<Ring>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Gives the calling thread a ring.
///
/// # Errors
/// When the kernel has none, or not all that is needed, or forbids it.
pub fn enter() -> io::Result<Entered> {
    let ring = Ring {
        driver: RefCell::new(Driver::new()?),
        polls: Cell::new(0),
        #[cfg(test)]
        sleeps: Cell::new(0),
    };
    CURRENT.set(Some(Rc::new(ring)));
    Ok(Entered(()))
}

/// Takes the thread's ring away when dropped: after the loop, whose tasks hold
/// connections on the ring.
pub struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.take();
    }
}

/// Makes a loop turn the ring before it sleeps and when it wakes up. Sockets
/// that only the loop watches, listeners most of all, can wait a little longer.
pub fn prepare(builder: &mut Builder) {
    builder
        .on_thread_park(last_turn)
        .on_thread_unpark(turn)
        .event_interval(BUSY);
}

fn last_turn() {
    CURRENT.with_borrow(|ring| {
        if let Some(ring) = ring {
            ring.last_turn();
        }
    });
}

fn turn() {
    CURRENT.with_borrow(|ring| {
        if let Some(ring) = ring {
            ring.turn();
        }
    });
}

/// A task at whose polls the ring is looked after: the loop may be too busy to
/// sleep, and then no longer turns the ring by itself.
pub struct Tended<F>(pub F);

impl<F: Future<Output = ()>> Future for Tended<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        tend();
        // SAFETY: the task is pinned as this is, and never moved out of it.
        unsafe { self.map_unchecked_mut(|tended| &mut tended.0) }.poll(cx)
    }
}

fn tend() {
    CURRENT.with_borrow(|ring| {
        let Some(ring) = ring else { return };
        let polls = ring.polls.get() + 1;
        ring.polls.set(polls);
        if polls >= BUSY {
            ring.turn();
        }
    });
}

/// Lets the loop wake up for the ring, as long as this is kept. Nobody waits
/// for it: the loop turns the ring whenever it wakes up.
///
/// # Errors
/// When the loop can't watch it.
pub fn watch() -> io::Result<Option<AsyncFd<Rc<Ring>>>> {
    let Some(ring) = current() else {
        return Ok(None);
    };
    // SAFETY: the descriptor is the ring's, which the `AsyncFd` keeps alive and
    // gives to nobody else.
    let watched = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
    watched.map(Some).map_err(|error| error.into_parts().1)
}

/// Why there can be no ring here; `None` when there can.
#[must_use]
pub fn probe() -> Option<String> {
    let error = Driver::new().err()?;
    Some(match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "it is forbidden: by the container's seccomp profile (Docker's and containerd's \
             defaults do) or by the sysctl kernel.io_uring_disabled"
                .to_owned()
        }
        Some(libc::ENOSYS) => "this kernel has none".to_owned(),
        Some(libc::EINVAL) => "this kernel is too old: Linux 6.0 or later is needed".to_owned(),
        _ => format!("the kernel says: {error}"),
    })
}
