//! What is to be written to a connection, in its order: short pieces in one
//! buffer, and at most one long piece that is not copied.

use super::scratch;
use bytes::{Buf, Bytes};
use hyper::rt::Write;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A piece up to this length costs less as a copy.
const SHORT: usize = 8 * 1024;
/// No more is taken on while the buffer holds this much.
const FULL: usize = 16 * 1024;

/// Bytes on their way out.
#[derive(Default)]
pub struct Outflow {
    buffer: Vec<u8>,
    /// Of the buffer.
    sent: usize,
    /// Behind the buffer.
    piece: Bytes,
    /// Behind the piece.
    end: &'static [u8],
    /// What was written may still be held back, by TLS.
    needs_flush: bool,
}

impl Drop for Outflow {
    fn drop(&mut self) {
        scratch::give_back(std::mem::take(&mut self.buffer));
    }
}

impl Outflow {
    /// True when all is out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_written() && !self.needs_flush
    }

    /// True when all was written, though it may be held back.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.buffer.is_empty() && self.piece.is_empty() && self.end.is_empty()
    }

    /// True while more may be put in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.buffer.len() < FULL && self.piece.is_empty() && self.end.is_empty()
    }

    /// True where all of it is in the buffer, and nothing of it is out.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.sent == 0 && self.piece.is_empty() && self.end.is_empty()
    }

    /// Where a head or the like is written, while there is room.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            self.buffer = scratch::buffer();
        }
        &mut self.buffer
    }

    /// Puts content in, and what ends it; only while there is room.
    pub fn put(&mut self, piece: Bytes, end: &'static [u8]) {
        match piece.len() <= SHORT {
            true => self.copy(&piece, end),
            false => (self.piece, self.end) = (piece, end),
        }
    }

    /// The same, however long it is.
    pub fn copy(&mut self, piece: &[u8], end: &[u8]) {
        let buffer = self.buffer();
        buffer.extend_from_slice(piece);
        buffer.extend_from_slice(end);
    }

    /// Writes all of it, and has it go out.
    ///
    /// # Errors
    /// As the connection's.
    pub fn poll_write<W: Write + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_written() {
            ready!(self.poll_some(io, cx))?;
        }
        if self.needs_flush {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes some of it, where there is any.
    ///
    /// # Errors
    /// As the connection's.
    pub fn poll_some<W: Write + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.needs_flush = true;
        let first = &self.buffer[self.sent..];
        let written = if self.piece.is_empty() && self.end.is_empty() {
            ready!(Pin::new(io).poll_write(cx, first))?
        } else {
            let pieces = [first, &self.piece, self.end].map(IoSlice::new);
            let from = usize::from(first.is_empty());
            ready!(Pin::new(io).poll_write_vectored(cx, &pieces[from..]))?
        };
        self.written(written);
        match written {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Somebody else has had it go out.
    pub fn flushed(&mut self) {
        self.needs_flush = false;
    }

    fn written(&mut self, mut count: usize) {
        let of_buffer = count.min(self.buffer.len() - self.sent);
        self.sent += of_buffer;
        if self.sent == self.buffer.len() {
            self.sent = 0;
            scratch::give_back(std::mem::take(&mut self.buffer));
        }
        count -= of_buffer;
        let of_piece = count.min(self.piece.len());
        match of_piece == self.piece.len() {
            true => self.piece = Bytes::new(),
            false => self.piece.advance(of_piece),
        }
        self.end = &self.end[count - of_piece..];
    }
}

#[cfg(test)]
pub mod tests {
    use super::{FULL, Outflow, SHORT};
    use bytes::Bytes;
    use hyper::rt::Write;
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};
    use std::io::{self, IoSlice};
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    /// Takes so much at a time, and holds it back for so many flushes, as TLS may.
    #[derive(Default)]
    pub struct Slow {
        pub takes: Vec<usize>,
        pub flushes: usize,
        pub held: Vec<u8>,
        pub out: Vec<u8>,
    }

    impl Write for Slow {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(buf)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let Some(mut room) = self.takes.pop() else {
                self.takes = vec![3 * FULL];
                return Poll::Pending;
            };
            let before = self.held.len();
            for buf in bufs {
                let length = room.min(buf.len());
                self.held.extend_from_slice(&buf[..length]);
                room -= length;
            }
            Poll::Ready(Ok(self.held.len() - before))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.flushes > 0 {
                self.flushes -= 1;
                return Poll::Pending;
            }
            let held = std::mem::take(&mut self.held);
            self.out.extend_from_slice(&held);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        /// Everything goes out in its order, however slowly it is taken; and nothing
        /// is taken for sent that is held back.
        #[test]
        fn all_goes_out(
            pieces in vec((1..3 * SHORT, any::<u8>()), 1..6),
            takes in vec(1..SHORT, 0..6),
            flushes in 0..4_usize,
        ) {
            let mut to = Slow { takes, flushes, ..Slow::default() };
            let (mut out, mut all) = (Outflow::default(), Vec::new());
            let mut cx = Context::from_waker(Waker::noop());
            for (length, byte) in pieces {
                while !out.has_room() {
                    let _ = out.poll_write(&mut to, &mut cx);
                }
                let piece = vec![byte; length];
                all.extend_from_slice(&piece);
                all.extend_from_slice(b"\r\n");
                out.put(Bytes::from(piece), b"\r\n");
            }
            for _ in 0..20 {
                let is_out = out.poll_write(&mut to, &mut cx).is_ready();
                assert_eq!(is_out, out.is_empty());
                assert!(!is_out || to.held.is_empty(), "it is held back");
            }
            assert!(out.is_empty());
            assert_eq!(to.out, all);
        }
    }
}
