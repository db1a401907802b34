//! The one event loop, level-triggered: what is not read in this turn is reported again.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

#[derive(Clone, Copy)]
pub struct Event {
    pub key: u64,
    pub writable: bool,
}

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers; the descriptor is new and owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Epoll {
            fd,
            events: Vec::with_capacity(1024),
        })
    }

    pub fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, key, false)
    }

    /// Whether to be told when there is room to write, besides what there is to read.
    pub fn want_write(&self, fd: RawFd, key: u64, write: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, key, write)
    }

    /// For what stays open but has nothing more to say.
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, false)
    }

    pub fn wait(&mut self, timeout_ms: i32, into: &mut Vec<Event>) -> io::Result<()> {
        into.clear();
        let room = self.events.capacity() as i32;
        // SAFETY: the buffer has room for `room` events, and the kernel says how many it wrote.
        unsafe {
            let n = libc::epoll_wait(
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                room,
                timeout_ms,
            );
            match check(n) {
                Ok(n) => self.events.set_len(n as usize),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        into.extend(self.events.iter().map(|event| {
            let bits = event.events as i32;
            Event {
                key: event.u64,
                writable: bits & libc::EPOLLOUT != 0,
            }
        }));
        Ok(())
    }

    /// Waits until there is an event or a line on standard input; true for the latter.
    pub fn wait_or_stdin(&self) -> io::Result<bool> {
        let watch = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut both = [watch(self.fd.as_raw_fd()), watch(0)];
        // SAFETY: an array of two.
        match check(unsafe { libc::poll(both.as_mut_ptr(), 2, -1) }) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(both[1].revents != 0),
        }
    }

    fn control(&self, operation: i32, fd: RawFd, key: u64, write: bool) -> io::Result<()> {
        let events = libc::EPOLLIN | if write { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: key,
        };
        // SAFETY: the event outlives the call.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &mut event) }).map(drop)
    }
}

/// std listens with a backlog of 128; a thousand connections come in one go here.
pub fn longer_backlog(listener: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(listener.as_raw_fd(), 4096) }).map(drop)
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
