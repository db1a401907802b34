//! The pipe between two connections.

use crate::net::stream::Stream;
use rustix::io::retry_on_intr;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

/// Bytes that are moved at once.
const MOST: u64 = 1024 * 1024;
/// Pipes of a thread that may be in use at once; who gets none copies.
const PIPES: usize = 32;
/// Empty ones that are kept for the next content. All pipes of a user without rights
/// count together, those of other processes as well.
const SPARE: usize = 2;
/// What a pipe is made for: pages, of which few packets fill one.
const ROOM: usize = 64 * 4096;
/// How often none is asked for after the kernel has refused.
const REFUSED: u32 = 1024;

thread_local! {
    static IN_USE: Cell<usize> = const { Cell::new(0) };
    static EMPTY: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
    static WITHOUT: Cell<u32> = const { Cell::new(0) };
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
        room.or_else(|_| fcntl_setpipe_size(&write, ROOM / 4))?;
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
        if IN_USE.get() >= PIPES || WITHOUT.get() > 0 {
            WITHOUT.set(WITHOUT.get().saturating_sub(1));
            return None;
        }
        let kept = EMPTY.with_borrow_mut(Vec::pop);
        let ends = match kept.map_or_else(Ends::new, Ok) {
            Ok(ends) => ends,
            Err(_) => {
                WITHOUT.set(REFUSED);
                return None;
            }
        };
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
    /// which is empty; gives how many. `None` where they have to be read: nothing is
    /// here yet, or not for this, or the connection has ended or failed. Nobody is
    /// woken when more comes, but by the reading.
    pub fn fill(&mut self, from: &mut Stream, most: u64) -> Option<usize> {
        let ends = self.ends.as_ref().filter(|_| self.held == 0)?;
        let most = usize::try_from(most.min(MOST)).unwrap_or_default();
        // Empty it may be for splice alone, at urgent data: so that is not to wait.
        let taken = from.try_take(|socket| match moved(socket, &ends.write, most) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            moved => moved,
        });
        match taken {
            Ok(moved) => self.held = moved,
            // Not every kernel does it, nor does every sandbox let it.
            Err(error) if is_refusal(&error) => WITHOUT.set(REFUSED),
            Err(_) => {}
        }
        (self.held > 0).then_some(self.held)
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

fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

fn moved(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    let splice = || splice(&from, None, &to, None, most, flags);
    Ok(retry_on_intr(splice)?)
}

#[cfg(test)]
mod tests {
    use super::{PIPES, Pipe, SPARE};
    use crate::net::pair::{sockets, turn, with_sockets};
    use crate::net::stream::Stream;
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::thread;

    const LENGTH: usize = 3 * 1024 * 1024 + 5;

    async fn fill(pipe: &mut Pipe, from: &mut Stream, most: u64) -> usize {
        loop {
            poll_fn(|cx| from.poll_readable(cx)).await;
            if let Some(moved) = pipe.fill(from, most) {
                return moved;
            }
            turn().await;
        }
    }

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
            while left > 0 {
                let moved = fill(&mut pipe, &mut from, left).await;
                left -= moved as u64;
                while !pipe.is_empty() {
                    poll_fn(|cx| pipe.poll_drain(&mut to, cx)).await.unwrap();
                }
            }
            writer.join().unwrap();
            assert_eq!(pipe.fill(&mut from, 9), None, "the end has to be read");
            drop(to);
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
                assert_eq!(fill(&mut pipe, &mut from, 100).await, 5);
                assert_eq!(pipe.fill(&mut from, 100), None, "it is full");
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
