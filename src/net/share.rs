//! How much is read at once: a lot, while few connections have a lot to read.
//!
//! A large read costs less per byte, most of all because it is passed on with a
//! large write; but each holds its memory until the slower side has taken it.

use hyper::rt::{ReadBuf, ReadBufCursor};
use std::cell::Cell;
use std::io;
use std::task::Poll;

/// Bytes that some connections may read at once.
pub const LARGE_READ: usize = 256 * 1024;
/// Bytes that any connection may read at once.
const READ: usize = 64 * 1024;
/// Connections of a worker that may read a lot at once.
const LARGE: usize = 16;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// A connection's share in large reads: taken by one that is large, given back
/// with the next that is not, or that has to wait: whoever waits for the other
/// side to send holds nothing.
#[derive(Default)]
pub struct Share {
    taken: bool,
}

impl Share {
    /// Reads with `read`, not more at once than is allowed now.
    pub fn read(
        &mut self,
        mut buf: ReadBufCursor<'_>,
        read: impl FnOnce(ReadBufCursor<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let is_small = buf.remaining() <= READ;
        let room = match is_small {
            true => buf.remaining(),
            false if self.taken || TAKEN.get() < LARGE => buf.remaining().min(LARGE_READ),
            false => READ,
        };
        // SAFETY: nothing is written here but by `read`, which only ever
        // initialises, through a cursor.
        let mut part = ReadBuf::uninit(unsafe { &mut buf.as_mut()[..room] });
        let result = read(part.unfilled());
        let length = part.filled().len();
        // SAFETY: `read` has filled this much of the same memory.
        unsafe { buf.advance(length) };
        if !is_small {
            self.set(length > READ);
        }
        result
    }

    /// Others may have it.
    pub fn give_back(&mut self) {
        self.set(false);
    }

    fn set(&mut self, taken: bool) {
        match (self.taken, taken) {
            (false, true) => TAKEN.set(TAKEN.get() + 1),
            (true, false) => TAKEN.set(TAKEN.get() - 1),
            _ => {}
        }
        self.taken = taken;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::{LARGE, LARGE_READ, READ, Share};
    use hyper::rt::ReadBuf;
    use std::mem::MaybeUninit;
    use std::task::Poll;

    /// Reads as much as it may into this much room.
    fn read(share: &mut Share, room: usize) -> usize {
        let mut memory = vec![MaybeUninit::uninit(); room];
        let mut buf = ReadBuf::uninit(&mut memory);
        let _ = share.read(buf.unfilled(), |mut part| {
            let room = part.remaining();
            part.put_slice(&vec![b'x'; room]);
            Poll::Ready(Ok(()))
        });
        assert!(buf.filled().iter().all(|byte| *byte == b'x'));
        buf.filled().len()
    }

    #[test]
    fn only_so_many_read_a_lot_at_once() {
        let mut shares: Vec<Share> = (0..LARGE).map(|_| Share::default()).collect();
        for share in &mut shares {
            assert_eq!(read(share, 2 * LARGE_READ), LARGE_READ);
        }
        let mut late = Share::default();
        assert_eq!(read(&mut late, LARGE_READ), READ);
        assert_eq!(
            read(&mut shares[0], LARGE_READ),
            LARGE_READ,
            "it has its share"
        );
        drop(shares.pop());
        assert_eq!(read(&mut late, LARGE_READ), LARGE_READ);
    }

    #[test]
    fn a_read_that_gives_little_gives_the_share_back() {
        let mut shares: Vec<Share> = (0..LARGE).map(|_| Share::default()).collect();
        for share in &mut shares {
            read(share, LARGE_READ);
        }
        let mut memory = vec![MaybeUninit::uninit(); LARGE_READ];
        let mut buf = ReadBuf::uninit(&mut memory);
        let _ = shares[0].read(buf.unfilled(), |mut part| {
            part.put_slice(b"the end");
            Poll::Ready(Ok(()))
        });
        assert_eq!(buf.filled(), b"the end");
        let mut late = [Share::default(), Share::default()];
        assert_eq!(read(&mut late[0], LARGE_READ), LARGE_READ);
        assert_eq!(read(&mut late[1], LARGE_READ), READ);
        let nothing = shares[1].read(buf.unfilled(), |_| Poll::Pending);
        assert!(nothing.is_pending());
        assert_eq!(read(&mut late[1], LARGE_READ), LARGE_READ);
    }
}
