//! What is to be written to a connection, in its order: short pieces in one
//! buffer, and at most one long piece that is not copied.

use bytes::{Buf, Bytes};
use hyper::rt::Write;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A piece up to this length is copied behind what is written before it.
const SHORT: usize = 4 * 1024;
/// No more is taken on while the buffer holds this much.
const FULL: usize = 16 * 1024;
/// Buffers that a thread keeps for whoever writes next.
const SPARE: usize = 64;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

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

impl Outflow {
    /// True when all is out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_written() && !self.needs_flush
    }

    fn is_written(&self) -> bool {
        self.buffer.is_empty() && self.piece.is_empty() && self.end.is_empty()
    }

    /// True while more may be put in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.buffer.len() < FULL && self.piece.is_empty() && self.end.is_empty()
    }

    /// Where a head or the like is written, while there is room.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            let spare = BUFFERS.with_borrow_mut(Vec::pop);
            self.buffer = spare.unwrap_or_default();
        }
        &mut self.buffer
    }

    /// Puts content in, and what ends it; only while there is room.
    pub fn put(&mut self, piece: Bytes, end: &'static [u8]) {
        if piece.len() <= SHORT {
            let buffer = self.buffer();
            buffer.extend_from_slice(&piece);
            buffer.extend_from_slice(end);
        } else {
            self.piece = piece;
            self.end = end;
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// As the connection's.
    pub fn poll_write<W: Write + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.is_written() {
            self.needs_flush = true;
            let written = if self.piece.is_empty() && self.end.is_empty() {
                ready!(Pin::new(&mut *io).poll_write(cx, &self.buffer[self.sent..]))?
            } else {
                let pieces = [&self.buffer[self.sent..], &self.piece, self.end].map(IoSlice::new);
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, &pieces))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written(written);
        }
        ready!(Pin::new(io).poll_flush(cx))?;
        self.needs_flush = false;
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, mut count: usize) {
        let of_buffer = count.min(self.buffer.len() - self.sent);
        self.sent += of_buffer;
        if self.sent == self.buffer.len() {
            self.give_back();
        }
        count -= of_buffer;
        let of_piece = count.min(self.piece.len());
        if of_piece == self.piece.len() {
            self.piece = Bytes::new();
        } else {
            self.piece.advance(of_piece);
        }
        self.end = &self.end[count - of_piece..];
    }

    /// To whoever writes next.
    fn give_back(&mut self) {
        self.sent = 0;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        if (1..=2 * FULL).contains(&buffer.capacity()) {
            BUFFERS.with_borrow_mut(|spare| {
                if spare.len() < SPARE {
                    spare.push(buffer);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FULL, Outflow, SHORT};
    use bytes::Bytes;
    use hyper::rt::Write;
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};
    use std::io::{self, IoSlice};
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    /// Takes so much at a time, and holds it back for so many flushes, as TLS may.
    struct Slow {
        takes: Vec<usize>,
        flushes: usize,
        held: Vec<u8>,
        out: Vec<u8>,
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
            let mut to = Slow { takes, flushes, held: Vec::new(), out: Vec::new() };
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
