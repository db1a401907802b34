//! What is to be written to a caller: a head, and pieces of a body. Small ones are
//! copied behind each other and go out at once, large ones go from where they are.

use super::answer::{self, Framing};
use super::scratch;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use hyper::rt::Write;
use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A piece that costs less as a copy.
const SMALL: usize = 8 * 1024;
/// So much together goes out before more is asked for.
const ENOUGH: usize = 16 * 1024;

const LINE_END: &[u8] = b"\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const LAST_CHUNK_BEHIND: &[u8] = b"\r\n0\r\n\r\n";

/// In this order: the buffer, a large piece, and what comes behind that.
pub struct Out {
    pub buffer: Vec<u8>,
    /// How much of the buffer is out.
    written: usize,
    piece: Bytes,
    behind: &'static [u8],
    /// Whether pieces may go out where they are.
    is_vectored: bool,
}

impl Drop for Out {
    fn drop(&mut self) {
        scratch::give_back(std::mem::take(&mut self.buffer));
    }
}

impl Out {
    #[must_use]
    pub fn new(is_vectored: bool) -> Self {
        Self {
            buffer: scratch::buffer(),
            written: 0,
            piece: Bytes::new(),
            behind: b"",
            is_vectored,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.piece.is_empty() && self.behind.is_empty()
    }

    /// True while it takes no further piece.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.piece.is_empty() || !self.behind.is_empty() || self.buffer.len() >= ENOUGH
    }

    /// True where all of it is in the buffer, and nothing of it is out.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.written == 0 && self.piece.is_empty() && self.behind.is_empty()
    }

    /// Holds no memory while nothing is to be written.
    pub fn rest(&mut self) {
        if self.buffer.is_empty() {
            scratch::give_back(std::mem::take(&mut self.buffer));
        }
    }

    /// Adds a piece of the body, which is the `last` one or not; false where the
    /// body is longer, or shorter, than its head has said. Not while it is full.
    pub fn push(&mut self, mut piece: Bytes, framing: &mut Framing, last: bool) -> bool {
        match framing {
            Framing::Length(left) => {
                let fits = piece.len() as u64 <= *left;
                if !fits {
                    // No further, whatever it says: the rest would be another answer.
                    piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                }
                *left -= piece.len() as u64;
                self.add(piece, b"");
                fits && (!last || *left == 0)
            }
            Framing::ToTheEnd => {
                self.add(piece, b"");
                true
            }
            Framing::Chunks(_) if piece.is_empty() => {
                if last {
                    self.buffer.extend_from_slice(LAST_CHUNK);
                }
                true
            }
            Framing::Chunks(_) => {
                // Nothing fails that is written to memory.
                let _ = write!(self.buffer, "{:X}\r\n", piece.len());
                self.add(piece, if last { LAST_CHUNK_BEHIND } else { LINE_END });
                true
            }
        }
    }

    /// Ends a body in chunks with its trailers.
    pub fn push_trailers(&mut self, trailers: &HeaderMap, framing: &Framing, spells: bool) {
        if let Framing::Chunks(named) = framing {
            answer::put_trailers(&mut self.buffer, trailers, named, spells);
        }
    }

    fn add(&mut self, piece: Bytes, behind: &'static [u8]) {
        if piece.len() <= SMALL || !self.is_vectored {
            self.buffer.extend_from_slice(&piece);
            self.buffer.extend_from_slice(behind);
        } else {
            self.piece = piece;
            self.behind = behind;
        }
    }

    /// Writes some of it; gives how much.
    pub fn poll_write<S: Write + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<usize>> {
        let first = &self.buffer[self.written..];
        let written = if self.piece.is_empty() && self.behind.is_empty() {
            Pin::new(stream).poll_write(cx, first)
        } else {
            let parts = [first, &self.piece, self.behind].map(IoSlice::new);
            let parts = if first.is_empty() {
                &parts[1..]
            } else {
                &parts[..]
            };
            Pin::new(stream).poll_write_vectored(cx, parts)
        };
        if let Poll::Ready(Ok(written)) = written {
            self.advance(written);
        }
        written
    }

    fn advance(&mut self, mut by: usize) {
        let of_buffer = by.min(self.buffer.len() - self.written);
        self.written += of_buffer;
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.written = 0;
        }
        by -= of_buffer;
        let of_piece = by.min(self.piece.len());
        self.piece.advance(of_piece);
        self.behind = &self.behind[by - of_piece..];
    }
}

#[cfg(test)]
mod tests {
    use super::{Out, SMALL};
    use crate::proxy::http1::caller::answer::Framing;
    use crate::proxy::http1::chunks::{Chunks, Decoded};
    use bytes::Bytes;
    use hyper::rt::Write;
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};
    use std::io::{self, IoSlice};
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    /// Takes so much at a time.
    struct Taking(Vec<usize>, usize, Vec<u8>);

    impl Taking {
        fn take(&mut self, bufs: &[IoSlice<'_>]) -> usize {
            let mut room = self.0[self.1 % self.0.len()];
            self.1 += 1;
            let before = self.2.len();
            for buf in bufs {
                let length = room.min(buf.len());
                self.2.extend_from_slice(&buf[..length]);
                room -= length;
            }
            self.2.len() - before
        }
    }

    impl Write for Taking {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(self.take(&[IoSlice::new(buf)])))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(self.take(bufs)))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn sent(pieces: &[Vec<u8>], mut framing: Framing, vectored: bool, taken: &[usize]) -> Vec<u8> {
        let mut out = Out::new(vectored);
        let mut to = Taking(taken.to_vec(), 0, Vec::new());
        let mut cx = Context::from_waker(Waker::noop());
        for (number, piece) in pieces.iter().enumerate() {
            let last = number + 1 == pieces.len();
            assert!(out.push(Bytes::from(piece.clone()), &mut framing, last));
            while out.is_full() || last && !out.is_empty() {
                let written = out.poll_write(&mut cx, &mut to);
                assert!(matches!(written, Poll::Ready(Ok(1..))));
            }
        }
        to.2
    }

    proptest! {
        /// However little is taken at a time, everything goes out in its order.
        #[test]
        fn all_goes_out(
            lengths in vec(1..3 * SMALL, 1..5),
            taken in vec(1..SMALL, 1..5),
            vectored in any::<bool>(),
        ) {
            let pieces: Vec<Vec<u8>> = lengths.iter().enumerate()
                .map(|(number, length)| vec![number as u8; *length]).collect();
            let whole = pieces.concat();
            let length = Framing::Length(whole.len() as u64);
            assert_eq!(sent(&pieces, length, vectored, &taken), whole);
            let chunked = sent(&pieces, Framing::Chunks(vec![]), vectored, &taken);
            let (mut chunks, mut at, mut content) = (Chunks::new(), 0, Vec::new());
            loop {
                match chunks.decode(&chunked[at..]).unwrap() {
                    Decoded::Data(range) => {
                        content.extend_from_slice(&chunked[at..][range.clone()]);
                        at += range.end;
                    }
                    Decoded::End(used, None) => break assert_eq!(at + used, chunked.len()),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(content, whole);
        }
    }

    #[test]
    fn no_more_goes_out_than_was_said_and_less_is_noticed() {
        let mut out = Out::new(true);
        let mut framing = Framing::Length(3);
        assert!(!out.push(Bytes::from_static(b"abcd"), &mut framing, false));
        assert_eq!(out.buffer, b"abc");
        let mut framing = Framing::Length(3);
        assert!(!out.push(Bytes::from_static(b"ab"), &mut framing, true));
    }
}
