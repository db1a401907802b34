//! The pipe between two connections.

use crate::net::stream::Stream;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

/// Bytes that are moved at once.
const MOST: u64 = 256 * 1024;
/// Pipes of a thread that may be in use at once; who gets none copies.
const PIPES: usize = 32;
/// Empty ones that are kept for the next content.
const SPARE: usize = 8;
/// What a pipe is made for: a page each, of which few packets fill one.
const ROOM: usize = 128 * 4096;

thread_local! {
    static IN_USE: Cell<usize> = const { Cell::new(0) };
    static EMPTY: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
}

struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Ends {
    /// One with less room than a pipe usually has, as the kernel gives it to whom
    /// has many, is no use.
    fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let room = fcntl_setpipe_size(&write, ROOM);
        room.or_else(|_| fcntl_setpipe_size(&write, ROOM / 8))?;
        Ok(Self { read, write })
    }
}

/// A pipe, and how much is in it.
pub struct Pipe {
    /// Until it is dropped.
    ends: Option<Ends>,
    held: usize,
}

impl Pipe {
    /// A pipe with nothing in it; `None` where too many are in use, or the kernel
    /// gives none.
    #[must_use]
    pub fn take() -> Option<Self> {
        if IN_USE.get() >= PIPES {
            return None;
        }
        let kept = EMPTY.with_borrow_mut(Vec::pop);
        let ends = kept.or_else(|| Ends::new().ok())?;
        IN_USE.set(IN_USE.get() + 1);
        Some(Self {
            ends: Some(ends),
            held: 0,
        })
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Moves up to `most` bytes of what has come on a connection into this pipe,
    /// which is empty; `None` where they have to be read: the connection has
    /// ended, or failed, or has read on by itself.
    pub fn poll_fill(
        &mut self,
        from: &mut Stream,
        most: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<usize>> {
        let Some(ends) = self.ends.as_ref().filter(|_| self.held == 0) else {
            return Poll::Ready(None);
        };
        let most = usize::try_from(most.min(MOST)).unwrap_or_default();
        let moved = from.poll_taken(cx, |socket| moved(socket, &ends.write, most));
        self.held = ready!(moved).unwrap_or_default();
        Poll::Ready((self.held > 0).then_some(self.held))
    }

    /// Moves everything in this pipe to a connection, or what it takes now; ready
    /// with how much that is.
    ///
    /// # Errors
    /// As the connection's.
    pub fn poll_drain(&mut self, to: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(ends) = self.ends.as_ref().filter(|_| self.held > 0) else {
            return Poll::Ready(Ok(0));
        };
        let most = self.held;
        let moved = to.poll_given(cx, |socket| moved(&ends.read, socket, most));
        let moved = ready!(moved)?;
        if moved == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.held -= moved;
        Poll::Ready(Ok(moved))
    }
}

impl Drop for Pipe {
    /// What is left in it must not come out among another one's bytes.
    fn drop(&mut self) {
        IN_USE.set(IN_USE.get() - 1);
        if let Some(ends) = self.ends.take().filter(|_| self.held == 0) {
            EMPTY.with_borrow_mut(|empty| {
                if empty.len() < SPARE {
                    empty.push(ends);
                }
            });
        }
    }
}

fn moved(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    Ok(splice(from, None, to, None, most, flags)?)
}

#[cfg(test)]
mod tests {
    use super::{PIPES, Pipe, SPARE};
    use crate::net::pair::{sockets, with_sockets};
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::task::{Context, Waker};
    use std::thread;

    const LENGTH: usize = 3 * 1024 * 1024 + 5;

    #[test]
    fn all_comes_out_in_its_order() {
        with_sockets(async {
            let (mut from, mut source) = sockets().await;
            let (mut to, mut sink) = sockets().await;
            let all: Vec<u8> = (0..LENGTH).map(|i| (i * 7 + i / 251) as u8).collect();
            let sent = all.clone();
            let writer = thread::spawn(move || source.write_all(&sent).unwrap());
            let reader = thread::spawn(move || {
                let mut got = Vec::new();
                sink.read_to_end(&mut got).unwrap();
                got
            });
            let mut pipe = Pipe::take().unwrap();
            let mut left = LENGTH as u64;
            while let Some(moved) = poll_fn(|cx| pipe.poll_fill(&mut from, left, cx)).await {
                left -= moved as u64;
                while !pipe.is_empty() {
                    poll_fn(|cx| pipe.poll_drain(&mut to, cx)).await.unwrap();
                }
            }
            assert_eq!(left, 0, "the end has to be read");
            drop(to);
            writer.join().unwrap();
            assert!(reader.join().unwrap() == all);
        });
    }

    #[test]
    fn one_that_is_not_empty_is_not_used_again() {
        with_sockets(async {
            let (mut from, mut source) = sockets().await;
            let (mut to, mut sink) = sockets().await;
            for word in [b"first", b"other"] {
                source.write_all(word).unwrap();
                let mut pipe = Pipe::take().unwrap();
                let moved = poll_fn(|cx| pipe.poll_fill(&mut from, 100, cx)).await;
                assert_eq!(moved, Some(5));
                let again = pipe.poll_fill(&mut from, 100, &mut Context::from_waker(Waker::noop()));
                assert!(again.is_ready(), "it is full");
                if word == b"other" {
                    poll_fn(|cx| pipe.poll_drain(&mut to, cx)).await.unwrap();
                }
            }
            let mut got = [0; 5];
            sink.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"other");
        });
    }

    #[test]
    fn there_are_only_so_many() {
        let taken: Vec<Pipe> = (0..PIPES).map(|_| Pipe::take().unwrap()).collect();
        assert!(Pipe::take().is_none());
        drop(taken);
        assert_eq!(super::EMPTY.with_borrow(Vec::len), SPARE);
        assert!(Pipe::take().is_some());
    }
}
