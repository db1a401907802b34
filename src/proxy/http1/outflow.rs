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
}

impl Outflow {
    /// True when all has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
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
        while !self.is_empty() {
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
        Pin::new(io).poll_flush(cx)
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
        if buffer.capacity() <= 2 * FULL {
            BUFFERS.with_borrow_mut(|spare| {
                if spare.len() < SPARE {
                    spare.push(buffer);
                }
            });
        }
    }
}
